//! A disk of the program's own that can be full, or not be written to.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::home::Home;
use super::process::Product;

/// Keeps a test from mounting, to try what it does where it cannot.
const NO_MOUNT: &str = "SCRUBJAY_TEST_NO_MOUNT";

/// The disk of a home's data, gone when dropped.
pub(crate) struct Disk {
    folder: PathBuf,
    /// It is one. Where none can be mounted, the program's limit of a file's length stands for it.
    mounted: bool,
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
}

impl Disk {
    /// A small one in the place of the data folder. The program is started afterwards.
    #[expect(clippy::disallowed_methods, reason = "it is the tests' own variable")]
    pub(crate) fn at(home: &mut Home, mib: usize) -> Self {
        let folder = home.data();
        std::fs::create_dir_all(&folder).unwrap();
        let size = format!("size={mib}m,mode=0700");
        let place = folder.to_str().unwrap();
        let mounted = std::env::var(NO_MOUNT).is_err() && run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", place]);
        if !mounted {
            eprintln!(
                "NO DISK COULD BE MOUNTED (that takes the superuser): the limit of a file's length stands for a full one, and what needs a \
                 real one (a start on a full or read-only disk) IS NOT TESTED HERE"
            );
            // Whoever reaches the limit is killed, unless the signal is ignored.
            home.run_through(&["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
        }
        Self { folder, mounted }
    }

    /// Whether it is a disk.
    pub(crate) fn is_mounted(&self) -> bool {
        self.mounted
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    /// Leaves no room. What is given back meanwhile is taken by calling it again.
    pub(crate) fn fill(&self, product: &Product) {
        if !self.mounted {
            // Some of the log still fits.
            return limit(product, "4096:");
        }
        let mut ballast = OpenOptions::new().create(true).append(true).open(self.ballast()).unwrap();
        for size in [1 << 20, 4096, 1] {
            let piece = vec![b'x'; size];
            while ballast.write_all(&piece).is_ok() {}
        }
    }

    /// There is room again.
    pub(crate) fn free(&self, product: Option<&Product>) {
        if self.mounted {
            std::fs::remove_file(self.ballast()).unwrap();
        } else if let Some(product) = product {
            limit(product, "unlimited:");
        }
    }

    /// Lets nobody write to it, or again; only while nobody has a file of it open to write. False where that cannot be.
    pub(crate) fn set_read_only(&self, read_only: bool) -> bool {
        let how = if read_only { "remount,ro" } else { "remount,rw" };
        self.mounted && run("mount", &["-o", how, self.folder.to_str().unwrap()])
    }
}

fn limit(product: &Product, size: &str) {
    let done = run("prlimit", &["--pid", &product.id().to_string(), &format!("--fsize={size}")]);
    assert!(done, "prlimit is needed where nothing can be mounted (Debian: apt-get install util-linux)");
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted && !run("umount", &[self.folder.to_str().unwrap()]) {
            // Whoever has it open takes it along.
            run("umount", &["-l", self.folder.to_str().unwrap()]);
        }
    }
}

/// A user who is not the tests', where these run as the superuser; `None` where permissions bind the tests themselves.
pub(crate) fn somebody_else() -> Option<u32> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    File::create(&file).unwrap();
    set_mode(&file, 0o400);
    OpenOptions::new().write(true).open(&file).is_ok().then_some(65534)
}

/// Sets who may do what.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
