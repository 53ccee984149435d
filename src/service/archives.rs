//! Archives of a store: written from one moment of it while it is in use, verified, and restored into an empty one.
//!
//! Files are read and written on a thread that may block; the store is asked from there, batch by batch, so that memory stays
//! bounded however much there is.

use std::fs::File;
use std::io::{BufReader, Seek as _, Write};
use std::path::PathBuf;

use serde::Serialize;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::store::archive::{ArchiveError, ArchiveFile, Existing, Fault, Reader, References, Summary, Writer};
use crate::store::record::Record;
use crate::store::{SharedStore, StoreError, Whose};

/// Records of one step of restoring at most, and of how many bytes of lines about.
const RECORDS: usize = 256;
const BYTES: u64 = 1 << 20;

/// Faults that are told at most; the others are counted.
const TOLD: usize = 100;

/// Where an archive is written to.
pub enum Target {
    /// A file, which takes its name when it is whole.
    File {
        /// Its name.
        path: PathBuf,
        /// What becomes of one that is there.
        existing: Existing,
    },
    /// Whatever takes bytes.
    Stream(Box<dyn Write + Send>),
}

/// Why an archive was not written, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was asked to stop.
    #[error("stopped before the end")]
    Stopped,
    /// A thread panicked.
    #[error("the work broke down")]
    Broken,
}

impl From<std::io::Error> for KeepError {
    fn from(error: std::io::Error) -> Self {
        Self::Archive(error.into())
    }
}

/// How far it has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Records so far.
    pub records: u64,
    /// Bytes of the archive so far.
    pub bytes: u64,
}

/// Something that does not fit, and where.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// The line of the archive, from 1; the last of a person's for what is missing there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What.
    #[serde(flatten)]
    pub fault: Fault,
}

/// What a look at every record found.
#[derive(Debug, Default)]
pub struct Faults {
    /// The first of them.
    pub told: Vec<Found>,
    /// How many there are.
    pub count: u64,
}

impl Faults {
    fn add(&mut self, line: Option<u64>, fault: Fault) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(Found { line, fault });
        }
    }
}

/// An archive that was read whole: it is as it was written.
#[derive(Debug)]
pub struct Verified {
    /// What it holds.
    pub summary: Summary,
    /// How many people.
    pub people: u64,
    /// What in it does not fit together.
    pub faults: Faults,
}

/// Writes everything that the store holds at this moment.
///
/// # Errors
/// [`KeepError`]; a file that was begun is gone then.
pub async fn write(
    store: SharedStore,
    target: Target,
    stop: CancellationToken,
    progress: impl FnMut(Progress) + Send + 'static,
) -> Result<Summary, KeepError> {
    blocking(move |runtime| write_blocking(runtime, &store, target, &stop, progress)).await
}

/// Does what may block on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&Handle) -> Result<T, KeepError> + Send + 'static,
) -> Result<T, KeepError> {
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || work(&runtime)).await.unwrap_or(Err(KeepError::Broken))
}

fn write_blocking(
    runtime: &Handle,
    store: &SharedStore,
    target: Target,
    stop: &CancellationToken,
    progress: impl FnMut(Progress),
) -> Result<Summary, KeepError> {
    match target {
        Target::File { path, existing } => {
            let (file, summary) = write_to(runtime, store, ArchiveFile::create(&path, existing)?, stop, progress)?;
            file.finish()?;
            Ok(summary)
        }
        Target::Stream(out) => Ok(write_to(runtime, store, out, stop, progress)?.1),
    }
}

fn write_to<W: Write>(
    runtime: &Handle,
    store: &SharedStore,
    out: W,
    stop: &CancellationToken,
    mut progress: impl FnMut(Progress),
) -> Result<(W, Summary), KeepError> {
    let mut writer = Writer::begin(out)?;
    let mut snapshot = runtime.block_on(store.snapshot(Whose::Everybodys))?;
    while let Some(batch) = runtime.block_on(stop.run_until_cancelled(snapshot.next())).ok_or(KeepError::Stopped)? {
        for record in batch? {
            writer.add(&record)?;
        }
        progress(Progress { records: writer.records(), bytes: writer.bytes() });
    }
    Ok(writer.finish()?)
}

/// Reads an archive whole: its sums, and whether its records fit together.
///
/// # Errors
/// [`KeepError::Archive`] where it is not as it was written.
pub async fn verify(archive: File, mut progress: impl FnMut(Progress) + Send + 'static) -> Result<Verified, KeepError> {
    blocking(move |_runtime| {
        let mut archive = archive;
        archive.rewind()?;
        let mut reader = Reader::begin(BufReader::with_capacity(1 << 18, archive))?;
        let (mut references, mut faults) = (References::default(), Faults::default());
        let mut records = 0;
        while let Some(record) = reader.next_record()? {
            let line = reader.line();
            references.take(&record, &mut |fault| faults.add(Some(line), fault));
            records += 1;
            if records % 1_000 == 0 {
                progress(Progress { records, bytes: reader.bytes() });
            }
        }
        references.end(&mut |fault| faults.add(Some(reader.line() - 1), fault));
        let summary = reader.summary().cloned().ok_or(KeepError::Broken)?;
        Ok(Verified { summary, people: references.people(), faults })
    })
    .await
}

/// Restores an archive that was verified, from where that was interrupted before. Returns how many records were there already.
///
/// # Errors
/// [`StoreError::Conflict`] when the store holds something, or is half restored from another archive; [`ArchiveError::Unfit`] at the
/// first record that does not fit to those before it; [`KeepError`].
pub async fn restore(
    store: SharedStore,
    archive: File,
    summary: Summary,
    progress: impl FnMut(Progress) + Send + 'static,
) -> Result<u64, KeepError> {
    blocking(move |runtime| restore_blocking(runtime, &store, archive, &summary, progress)).await
}

fn restore_blocking(
    runtime: &Handle,
    store: &SharedStore,
    mut archive: File,
    summary: &Summary,
    mut progress: impl FnMut(Progress),
) -> Result<u64, KeepError> {
    let before = runtime.block_on(store.begin_restore(&summary.sha256))?;
    archive.rewind()?;
    let mut reader = Reader::begin(BufReader::with_capacity(1 << 18, archive))?;
    let (mut batch, mut records, mut begun_at) = (Vec::<Record>::new(), 0_u64, 0);
    let (mut references, mut unfit) = (References::default(), None);
    while let Some(record) = reader.next_record()? {
        records += 1;
        let line = reader.line();
        references.take(&record, &mut |fault| {
            unfit.get_or_insert(ArchiveError::Unfit { line, fault });
        });
        if let Some(error) = unfit {
            return Err(error.into());
        }
        if records <= before {
            begun_at = reader.bytes();
            continue;
        }
        batch.push(record);
        if batch.len() >= RECORDS || reader.bytes() - begun_at >= BYTES {
            runtime.block_on(store.restore(std::mem::take(&mut batch), records))?;
            begun_at = reader.bytes();
            progress(Progress { records, bytes: reader.bytes() });
        }
    }
    references.end(&mut |fault| {
        unfit.get_or_insert(ArchiveError::Unfit { line: reader.line() - 1, fault });
    });
    if let Some(error) = unfit {
        return Err(error.into());
    }
    // Between two looks the file may have become another.
    if reader.summary().map(|read| &read.sha256) != Some(&summary.sha256) {
        return Err(ArchiveError::Unsupported("the archive changed while it was being read".to_owned()).into());
    }
    if !batch.is_empty() {
        runtime.block_on(store.restore(batch, records))?;
    }
    runtime.block_on(store.finish_restore())?;
    Ok(before)
}

/// Looks at every record of a store, as an archive of this moment would hold them.
///
/// # Errors
/// What the store says.
pub async fn look(store: &SharedStore, mut each: impl FnMut(&Record)) -> Result<Faults, StoreError> {
    let (mut references, mut faults) = (References::default(), Faults::default());
    let mut snapshot = store.snapshot(Whose::Everybodys).await?;
    while let Some(batch) = snapshot.next().await {
        for record in &batch? {
            references.take(record, &mut |fault| faults.add(None, fault));
            each(record);
        }
    }
    references.end(&mut |fault| faults.add(None, fault));
    Ok(faults)
}
