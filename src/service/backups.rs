//! Scheduled archives: written when the newest is old enough, and the oldest deleted.
//!
//! What is due is told by the folder alone: nothing is remembered elsewhere, so a restart, a folder that was emptied and a clock that was
//! set need no care. Processes that share a folder agree by the file's name, which is made of the time that it stands for.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::archives::{self, KeepError, Target, blocking};
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::store::SharedStore;
use crate::store::archive::{ArchiveError, Existing, Summary};

const BEFORE: &str = "scrubjay-";
const AFTER: &str = ".jsonl";
/// How the time is written in a name: it sorts, and no file system minds it.
const TIME: &str = "%Y-%m-%dT%H-%M-%SZ";

/// Writes archives into a folder.
pub struct Backups {
    store: SharedStore,
    clock: Clock,
    folder: PathBuf,
    every: Duration,
    keep: usize,
}

/// What one look did.
#[derive(Debug)]
pub enum Looked {
    /// The newest archive is young enough.
    NotDue,
    /// Another process is writing it, or has written it.
    Others,
    /// An archive was written, and that many old ones were deleted.
    Written {
        /// What it holds.
        summary: Summary,
        /// Old archives that were deleted.
        deleted: usize,
    },
}

impl Backups {
    /// Archives of this store in that folder, one each `every`, of which the newest `keep` (at least 1) stay.
    #[must_use]
    pub fn new(store: SharedStore, clock: Clock, folder: PathBuf, every: Duration, keep: usize) -> Self {
        Self { store, clock, folder, every, keep: keep.max(1) }
    }

    /// Writes an archive if one is due.
    ///
    /// # Errors
    /// [`KeepError`]; nothing was deleted then.
    pub async fn look(&self, stop: CancellationToken) -> Result<Looked, KeepError> {
        let now = self.clock.now();
        let folder = self.folder.clone();
        let newest = blocking(move |_runtime| Ok(listed(&folder)?.into_iter().map(|(moment, _path)| moment).max())).await?;
        if let Some(newest) = newest {
            metrics::gauge!("backup_age_seconds").set(now.since(newest).as_secs_f64());
        }
        if newest.is_some_and(|newest| newest <= now && now.since(newest) < self.every) {
            return Ok(Looked::NotDue);
        }
        let folder = self.folder.clone();
        blocking(move |_runtime| Ok(std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?)).await?;
        let path = self.folder.join(name_of(self.slot(now)));
        let target = Target::File { path, existing: Existing::Kept };
        let summary = match archives::write(SharedStore::clone(&self.store), target, stop, |_at| {}).await {
            Ok(summary) => summary,
            Err(KeepError::Archive(ArchiveError::Io(error)))
                if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::ResourceBusy) =>
            {
                return Ok(Looked::Others);
            }
            Err(error) => return Err(error),
        };
        metrics::gauge!("backup_age_seconds").set(0.0);
        let (folder, keep) = (self.folder.clone(), self.keep);
        let deleted = blocking(move |_runtime| Ok(rotate(&folder, keep)?)).await?;
        Ok(Looked::Written { summary, deleted })
    }

    /// The time that an archive of now stands for: processes that look at about the same time mean the same.
    fn slot(&self, now: Timestamp) -> Timestamp {
        // A tenth of the period; names are whole seconds.
        let grain = i64::try_from(self.every.as_secs() / 10).unwrap_or(i64::MAX).clamp(1, 600) * 1_000;
        Timestamp::from_millis(now.as_millis().div_euclid(grain) * grain)
    }
}

/// Deletes all but the newest archives. Files of other names are not ours.
fn rotate(folder: &Path, keep: usize) -> io::Result<usize> {
    let mut archives = listed(folder)?;
    archives.sort_unstable_by(|one, other| other.cmp(one));
    let mut deleted = 0;
    for (_moment, path) in archives.iter().skip(keep) {
        match std::fs::remove_file(path) {
            Ok(()) => deleted += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(deleted)
}

fn name_of(moment: Timestamp) -> String {
    format!("{BEFORE}{}{AFTER}", moment.to_jiff().strftime(TIME))
}

/// The archives in a folder, with the times in their names.
fn listed(folder: &Path) -> io::Result<Vec<(Timestamp, PathBuf)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let time = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(BEFORE)?.strip_suffix(AFTER));
        if let Some(moment) = time.and_then(|time| jiff::civil::DateTime::strptime(TIME, time).ok())
            && let Ok(moment) = moment.to_zoned(jiff::tz::TimeZone::UTC)
        {
            found.push((moment.timestamp().into(), path));
        }
    }
    Ok(found)
}
