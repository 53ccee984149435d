//! The file that an archive becomes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What becomes of a file that has the archive's name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and writing is refused.
    Kept,
    /// The archive takes its place.
    Replaced,
}

/// A file that takes its name when it is complete and on the disk; until then it lies beside it as `NAME.part`, for its owner alone.
/// Dropped before, it is gone; one that a killed process left is written over by the next.
#[derive(Debug)]
pub struct ArchiveFile {
    out: BufWriter<File>,
    path: PathBuf,
    part: PathBuf,
    existing: Existing,
    done: bool,
}

impl ArchiveFile {
    /// Begins it.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when there is a file of that name; [`io::ErrorKind::ResourceBusy`] when another process writes
    /// it; whatever else the file system says.
    pub fn create(path: &Path, existing: Existing) -> io::Result<Self> {
        if existing == Existing::Kept && path.symlink_metadata().is_ok() {
            return Err(exists());
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        let file = take(&part)?;
        Ok(Self { out: BufWriter::with_capacity(1 << 18, file), path: path.to_owned(), part, existing, done: false })
    }

    /// Brings it to the disk, gives it its name, and brings that to the disk.
    ///
    /// # Errors
    /// As [`ArchiveFile::create`]; the file is gone then.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        match self.existing {
            Existing::Replaced => std::fs::rename(&self.part, &self.path)?,
            // A link is made only where no file is. Where there are no links a look has to do.
            Existing::Kept => match std::fs::hard_link(&self.part, &self.path) {
                Ok(()) => std::fs::remove_file(&self.part)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(exists()),
                Err(_no_links) if self.path.symlink_metadata().is_err() => std::fs::rename(&self.part, &self.path)?,
                Err(_no_links) => return Err(exists()),
            },
        }
        self.done = true;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Write for ArchiveFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for ArchiveFile {
    fn drop(&mut self) {
        if !self.done {
            // What cannot be removed is written over by the next.
            let _left = std::fs::remove_file(&self.part);
        }
    }
}

fn exists() -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, "there is a file of that name")
}

/// The empty part file, locked: two processes never write into one.
fn take(part: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(part)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("another process is writing {}", part.display())));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever held the lock before may have given the file its name meanwhile: then this is not the file at that place.
        let same = match part.symlink_metadata() {
            Ok(there) => file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino())),
            Err(_gone) => false,
        };
        if same {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}
