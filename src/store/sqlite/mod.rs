//! SQLite: one file, one thread that writes, a few that read, one that keeps the write-ahead log short.
//!
//! Every method of the port becomes one unit of work: a plain function over a connection that runs on the writer's thread,
//! inside the transaction that it shares with whatever else was waiting, or on a reader's. Nothing here blocks the async
//! side but [`short`] reads, for about as long as it would take to hand them to a reader. Nothing outside names a type of this
//! module. Start with [`accept`] and [`turns`].

mod accept;
mod changes;
mod check;
mod checkpoint;
mod conversations;
mod damage;
mod erase;
mod erased_consents;
mod fault;
mod graph;
mod inspect;
mod jobs;
mod journal;
mod lanes;
mod merge;
mod migrate;
mod open;
mod outbox;
mod people;
mod port;
mod presence;
mod readers;
mod records;
mod rows;
mod schedule_runs;
mod schedules;
mod schedules_port;
mod short;
mod steps;
mod summaries;
#[cfg(test)]
mod tests;
mod ticket;
mod todos;
mod todos_port;
mod tokens;
mod turn_end;
mod turn_views;
mod turns;
mod upkeep;
mod values;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use self::check::Checks;
use self::checkpoint::{Checkpointer, Progress};
use self::damage::Met;
use self::fault::explain;
pub(super) use self::fault::{Fault, Outcome};
pub(super) use self::journal::{Beside, Companion, Journal};
pub(super) use self::migrate::MIGRATIONS;
pub(super) use self::open::{Access, connect, file_in, prepare};
use self::presence::Presence;
use self::readers::Readers;
pub(super) use self::records::{Noticed, Numbers, delete, noticed, of_kinds, put, refresh, watch};
use self::short::ShortReads;
pub(super) use self::writer::Unit;
use self::writer::{Urgency, Writer};
use super::holds::Holds;
use super::{Purpose, StoreError, StoreResult, cursor};
use crate::clock::Clock;
use crate::config::sections;
use crate::domain::ids::UserId;

/// How long a caller waits for its write to be begun, or for what it reads: the wait for another process's lock, and as much
/// again for the queue.
const IN_QUEUE: Duration = Duration::from_secs(10);

/// The store on SQLite.
///
/// Dropping it finishes what was submitted and ends its threads, like [`close`](super::Upkeep::close).
pub(super) struct SqliteStore {
    clock: Clock,
    file: PathBuf,
    companion: Option<Arc<dyn Companion>>,
    progress: Arc<Progress>,
    checks: Checks,
    damage: Met,
    presence: Arc<Presence>,
    /// Schedules whose rows are damaged.
    held_schedules: Holds<schedules::Key>,
    writer: Arc<Writer>,
    readers: Arc<Readers>,
    short: ShortReads,
    checkpointer: Arc<Checkpointer>,
}

impl SqliteStore {
    /// Opens the file in `storage.path`, making it where it is missing.
    pub(super) fn open(storage: &sections::Storage, clock: Clock, purpose: Purpose) -> StoreResult<Self> {
        let file = prepare(&storage.path, storage.sqlite.cache_mib, MIGRATIONS)?;
        Self::open_file(file, storage, clock, purpose, None)
    }

    /// Opens a file that is prepared. With something beside it, the file is an index that can be made again: nothing waits for it to
    /// be on disk.
    pub(super) fn open_file(
        file: PathBuf,
        storage: &sections::Storage,
        clock: Clock,
        purpose: Purpose,
        beside: Option<Beside>,
    ) -> StoreResult<Self> {
        let cache = storage.sqlite.cache_mib;
        // In this order: whoever begins to restore either sees this process, or has left its mark.
        let presence = Presence::enter(&file)?;
        open::check_purpose(&file, purpose)?;
        let progress = Arc::new(Progress::default());
        let to_write = connect(&file, Access::Write, cache)?;
        let to_checkpoint = connect(&file, Access::Checkpoint, 1)?;
        if beside.is_some() {
            for db in [&to_write, &to_checkpoint] {
                db.pragma_update(None, "synchronous", "OFF").map_err(|error| explain(error, &file))?;
            }
        }
        let mut beside = beside;
        if let Some(beside) = &mut beside {
            beside.journal.attach(&to_write).map_err(|fault| fault.into_store_error(&file))?;
        }
        let (journal, companion) = beside.map(|beside| (beside.journal, beside.companion)).unzip();
        if let Some(companion) = &companion {
            progress.accompany(Arc::clone(companion));
        }
        let readers = Readers::start(&file, storage.sqlite.readers, cache, readers::LONGEST)?;
        let short = ShortReads::open(&file, storage.sqlite.readers)?;
        let writer = Writer::start(to_write, file.clone(), clock.clone(), Arc::clone(&progress), journal)?;
        let checkpointer = Checkpointer::start(to_checkpoint, &file, Arc::clone(&progress))?;
        Ok(Self {
            clock,
            file,
            companion,
            progress,
            checks: Checks::default(),
            damage: Met::default(),
            presence: Arc::new(presence),
            held_schedules: Holds::default(),
            writer: Arc::new(writer),
            readers: Arc::new(readers),
            short,
            checkpointer: Arc::new(checkpointer),
        })
    }

    /// Runs a unit of work on the writer's thread and waits for its commit.
    async fn write<T, F>(&self, urgency: Urgency, work: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnMut(&Unit<'_>) -> Outcome<T> + Send + 'static,
    {
        self.noted(self.writer.submit(urgency, work)?.answered(IN_QUEUE).await)
    }

    /// Runs a read on one of the readers' threads.
    async fn read<T, F>(&self, read: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        self.noted(self.readers.submit(read)?.answered(IN_QUEUE).await)
    }

    /// Runs a read that may go through as much as the person has stored, where nobody else waits for it.
    async fn read_long<T, F>(&self, user: UserId, read: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        self.noted(self.readers.submit_long(user, read)?.answered(IN_QUEUE).await)
    }

    /// Runs a read that looks things up by key, on this thread where that is soon done, else on one of the readers'.
    async fn look_up<T, F>(&self, read: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Outcome<T> + Send + 'static,
    {
        match self.short.try_read(&read) {
            Some(found) => self.noted(found),
            None => self.read(read).await,
        }
    }

    /// Finishes what was submitted and ends the threads; the log is moved into the file last.
    fn shut_down(readers: &Readers, writer: &Writer, checkpointer: &Checkpointer, companion: Option<&dyn Companion>, presence: &Presence) {
        readers.close();
        writer.close();
        checkpointer.close();
        if let Some(companion) = companion {
            companion.close();
        }
        presence.leave();
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.short.close();
        Self::shut_down(&self.readers, &self.writer, &self.checkpointer, self.companion.as_deref(), &self.presence);
    }
}

/// Whether there is a file already.
pub(super) fn exists(storage: &sections::Storage) -> bool {
    file_in(&storage.path).exists()
}

/// What is answered after the end.
fn closed() -> StoreError {
    StoreError::Unavailable { reason: "it is closed; this program is stopping".to_owned(), source: None }
}
