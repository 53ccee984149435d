//! JSON files: a folder a person, readable by anybody, and a journal of what was done since they were written.
//!
//! The files and the journal are the truth. The rules of the port are those of the SQLite adapter, which runs over an index of them
//! that can be deleted at any time: what a batch of units changed is noted ([`capture`]), written to the journal and flushed to disk
//! ([`pen`]) before the index commits it. A thread ([`keeper`]) writes the files of those who changed ([`checkpoint`]), each with
//! a head that vouches for it and a copy of its last state beside it. Whoever opens the store first checks every file and, where
//! the index is missing or doubtful, makes it anew ([`rebuild`]).
//!
//! ```text
//! store.json  checkpoint.json  lock  journal/00000007.jsonl
//! people/<24 digits>/person.jsonl  conversations  messages  turns  outbox  memory  todos  schedules  (+ .previous)
//! shared/people.jsonl  consents  state  tokens        index/ (deletable)
//! ```

mod capture;
mod checkpoint;
mod files;
mod keeper;
mod layout;
mod line;
mod manifest;
mod mend;
mod pen;
mod rebuild;
mod replay;
mod segments;
mod sheet;
mod steps;
#[cfg(test)]
mod tests;
mod trust;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::checkpoint::Checkpoint;
use self::keeper::{Keeper, Signals};
use self::layout::Layout;
use self::manifest::{Identity, Manifest};
use self::pen::{Pen, begin_segment, lock_file};
use self::rebuild::Source;
use super::sqlite::{Access, Beside, SqliteStore, Unit, connect, file_in};
use super::{Purpose, StoreError, StoreResult};
use crate::clock::Clock;
use crate::config::sections::Storage;

pub use self::mend::Mended;
pub(super) use self::mend::mend;

/// How long another process that checks the files is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// The store's folder.
pub(super) fn folder(storage: &Storage) -> PathBuf {
    if storage.json.path.is_empty() { storage.path.join("json") } else { PathBuf::from(&storage.json.path) }
}

/// Whether there is a store already.
pub(super) fn exists(storage: &Storage) -> bool {
    Layout { root: folder(storage) }.identity().exists()
}

/// Opens the store, making it where there is none.
pub(super) fn open(storage: &Storage, clock: Clock, purpose: Purpose) -> StoreResult<SqliteStore> {
    let layout = Layout { root: folder(storage) };
    layout.make()?;
    let lock = lock_file(&layout.lock())?;
    let first = enter(&layout, &lock)?;
    let identity = match Identity::read(&layout)? {
        Some(identity) => identity,
        None if first => found(&layout, &clock)?,
        None => return Err(sheet::damaged(&layout.identity(), "it is missing")),
    };
    if first {
        layout.explain_index()?;
        let file = prepare(&layout, &identity)?;
        // What is between the journal and the index is made up for before anybody reads.
        catch_up(&layout, &identity, &file, &clock)?;
        trust::mark_used(&layout)?;
        lock.unlock().map_err(|error| layout::failed("given back", &layout.lock(), error))?;
    }
    share(&layout, &lock)?;
    let file = file_in(&layout.index());
    let signals = Arc::new(Signals::default());
    let pen = Pen::new(&layout, &identity.store, Arc::clone(&signals))?;
    let checkpoint = Checkpoint { layout, store: identity.store, file: file.clone(), clock: clock.clone() };
    let keeper = Keeper::start(signals, checkpoint, lock)?;
    let beside = Beside { journal: Box::new(pen), companion: Arc::new(keeper) };
    SqliteStore::open_file(file, storage, clock, purpose, Some(beside))
}

/// Whether this process is the first: nobody else has the store open, and nobody comes in until the lock is shared.
fn enter(layout: &Layout, lock: &File) -> StoreResult<bool> {
    match lock.try_lock() {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => {
            share(layout, lock)?;
            Ok(false)
        }
        Err(std::fs::TryLockError::Error(error)) => Err(layout::failed("locked", &layout.lock(), error)),
    }
}

/// Takes the lock that all have who use the store.
fn share(layout: &Layout, lock: &File) -> StoreResult<()> {
    let begun = Instant::now();
    loop {
        match lock.try_lock_shared() {
            Ok(()) => return Ok(()),
            Err(std::fs::TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => {
                let reason =
                    format!("another process has {} to itself: it checks the files, or mends them; try again", layout.root.display());
                return Err(StoreError::unavailable(reason, std::io::Error::from(error)));
            }
        }
    }
}

/// Makes a store where there is none.
fn found(layout: &Layout, clock: &Clock) -> StoreResult<Identity> {
    if layout.manifest().exists() || !segments::list(layout)?.is_empty() {
        return Err(sheet::damaged(&layout.identity(), "it is missing, and the folder holds a store's files"));
    }
    let identity = Identity::new(clock.uuid().simple().to_string());
    begin_segment(layout, &identity.store, 1, 1)?;
    Manifest::first(&identity.store).write(layout)?;
    identity.write(layout)?;
    Ok(identity)
}

/// Checks every file, and sees to it that there is an index of them. The caller has the store to itself.
fn prepare(layout: &Layout, identity: &Identity) -> StoreResult<PathBuf> {
    let Some(manifest) = Manifest::read(layout, &identity.store)? else {
        return Err(sheet::damaged(&layout.manifest(), "it is missing"));
    };
    let source = Source { layout, store: &identity.store, manifest: &manifest, restoring: identity.restoring.as_deref() };
    let file = file_in(&layout.index());
    let known = rebuild::known(&source);
    if let Some(position) = &known
        && segments::fits(layout, position)?
    {
        files::verify(layout, &identity.store, &manifest)?;
        rebuild::journal(&source, known.as_ref(), |_change| Ok(()))?;
        return Ok(file);
    }
    if file.exists() {
        tracing::warn!(index = %file.display(), "the index is older than the files, or the machine stopped while it was used; it is made anew");
    }
    rebuild::rebuild(&source, known.as_ref())
}

/// Does what the journal has and the index has not.
fn catch_up(layout: &Layout, identity: &Identity, file: &std::path::Path, clock: &Clock) -> StoreResult<()> {
    let db = connect(file, Access::Write, 4)?;
    let mut pen = Pen::new(layout, &identity.store, Arc::new(Signals::default()))?;
    let unit = Unit { db: &db, now: clock.now(), file };
    let done = (|| {
        db.execute_batch("PRAGMA synchronous = OFF")?;
        capture::begin(&db)?;
        db.execute_batch("BEGIN IMMEDIATE")?;
        let caught_up = pen.catch_up(&unit);
        db.execute_batch(if caught_up.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        caught_up
    })();
    pen.release();
    done.map(|_position| ()).map_err(|fault: super::sqlite::Fault| fault.into_store_error(file))
}
