//! Who has the store open, so that no archive is restored under somebody's feet: a lock beside the file, which all share who use it,
//! and which whoever restores has alone.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::store::{StoreError, StoreResult};

/// What the lock's file is called behind the store's.
const ENDING: &str = "lock";

/// This process among those that have the store open. The system gives the lock back with the process.
#[derive(Debug)]
pub(super) struct Presence {
    store: PathBuf,
    /// `None` where the file system knows no locks.
    lock: Option<File>,
}

impl Presence {
    /// Comes in beside all others.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] while another process restores; [`StoreError::Unavailable`] when the lock's file cannot be made.
    pub(super) fn enter(store: &Path) -> StoreResult<Self> {
        let path = store.with_extension(ENDING);
        let made = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path);
        let lock = made.map_err(|error| {
            let reason = format!("{} cannot be made or opened; see to it that its folder can be written to and has room", path.display());
            StoreError::unavailable(reason, error)
        })?;
        let store = store.to_owned();
        match lock.try_lock_shared() {
            Ok(()) => Ok(Self { store, lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => {
                let reason = format!(
                    "another process restores an archive into {} at this moment; wait until its `scrubjay archive read` has ended",
                    store.display()
                );
                Err(StoreError::Unsupported { reason })
            }
            Err(TryLockError::Error(error)) => {
                tracing::debug!(error = %error, "the file system knows no locks, so nobody can tell who has the store open");
                Ok(Self { store, lock: None })
            }
        }
    }

    /// Sees to it that nobody else has the store open, and that nobody comes in from now on.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody has.
    pub(super) fn be_alone(&self) -> StoreResult<()> {
        let Some(lock) = &self.lock else { return Ok(()) };
        if lock.try_lock().is_ok() {
            return Ok(());
        }
        // The system gives the shared lock back before it tries for the other.
        self.be_one_of_many();
        let reason =
            format!("another process has {} open (a server, or an MCP server of a host); stop it, and restore then", self.store.display());
        Err(StoreError::Conflict { reason })
    }

    /// Lets others in again.
    pub(super) fn be_one_of_many(&self) {
        if let Some(lock) = &self.lock
            && let Err(error) = lock.try_lock_shared()
        {
            tracing::debug!(error = %error, "the lock of those who have the store open could not be shared again");
        }
    }

    /// This process has the store open no longer.
    pub(super) fn leave(&self) {
        if let Some(lock) = &self.lock
            && let Err(error) = lock.unlock()
        {
            tracing::debug!(error = %error, "the lock of those who have the store open was not given back");
        }
    }
}
