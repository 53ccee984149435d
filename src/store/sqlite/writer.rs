//! The one thread that writes, and its group commit.
//!
//! Work waits in two bounded queues, accepted messages before everything else. What is waiting when the thread is free
//! becomes one transaction, so that many callers share one flush to disk; while it is flushed, the next batch gathers by
//! itself, without any wait that is made on purpose. Nobody is answered before the commit.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::checkpoint::Progress;
use super::fault::{Fault, Outcome, same};
use super::journal::Journal;
use super::ticket::{Claim, Ticket, broken};
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::store::{StoreError, StoreResult};

/// Units of work that may wait, in each queue.
const QUEUE: usize = 4096;
/// Accepted messages that one transaction takes at most …
const BATCH_ACCEPTS: usize = 256;
/// … and other work that it takes at least, where so much is waiting: acknowledgements go first, but starve nobody.
const BATCH_OTHERS: usize = 128;

/// For how long a batch that was not stored is told to whoever asks whether the store can be written to: a disk that is full for
/// many writes may take a small one.
const TROUBLED: Duration = Duration::from_secs(5);

/// What a unit of work runs in: the connection inside a transaction, and the moment.
pub(in crate::store) struct Unit<'a> {
    /// The connection.
    pub(in crate::store) db: &'a Connection,
    /// The moment, by the store's clock.
    pub(in crate::store) now: Timestamp,
    /// The file, for what is said of it.
    pub(in crate::store) file: &'a Path,
}

/// Which queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// A sender waits for the acknowledgement.
    Accept,
    /// Everything else.
    Other,
}

/// A unit of work that waits for its turn, without its type.
trait Work: Send {
    /// Takes it out of its caller's hands; false when the caller has taken it back, and it must not be done.
    fn begin(&self) -> bool;
    /// Does it inside the transaction; true when it went well. May be called again after a rollback.
    fn run(&mut self, unit: &Unit<'_>) -> bool;
    /// Answers the caller: with what was found, or with why the transaction did not happen.
    fn answer(self: Box<Self>, file: &Path, failure: Option<StoreError>);
}

struct Pending<T, F> {
    claim: Claim,
    work: F,
    outcome: Option<Outcome<T>>,
    reply: oneshot::Sender<StoreResult<T>>,
}

impl<T: Send, F: FnMut(&Unit<'_>) -> Outcome<T> + Send> Work for Pending<T, F> {
    fn begin(&self) -> bool {
        self.claim.begin()
    }

    fn run(&mut self, unit: &Unit<'_>) -> bool {
        let outcome = (self.work)(unit);
        let well = outcome.is_ok();
        self.outcome = Some(outcome);
        well
    }

    fn answer(self: Box<Self>, file: &Path, failure: Option<StoreError>) {
        let answer = match (failure, self.outcome) {
            // A refusal (not found, lease lost) wrote nothing, so it holds whether or not the others were committed.
            (_, Some(Err(fault))) => Err(fault.into_store_error(file)),
            (Some(failure), _) => Err(failure),
            (None, Some(Ok(value))) => Ok(value),
            (None, None) => Err(StoreError::Unavailable { reason: "the work was not done".to_owned(), source: None }),
        };
        // The caller may have gone; there is nobody to tell.
        let _gone = self.reply.send(answer);
    }
}

#[derive(Default)]
struct Queues {
    accepts: VecDeque<Box<dyn Work>>,
    others: VecDeque<Box<dyn Work>>,
    end: End,
}

/// Whether the thread goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum End {
    /// It does.
    #[default]
    NotYet,
    /// It was told to end when the queues are empty.
    Asked,
    /// It panicked.
    Broken,
}

struct Shared {
    queues: Mutex<Queues>,
    arrived: Condvar,
    /// The newest batch that was not stored.
    trouble: Mutex<Option<(Instant, StoreError)>>,
}

impl Shared {
    /// A panic elsewhere leaves the queues whole: each change to them is one call.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<(Instant, StoreError)>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer: a handle to its queues and its thread.
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread on a connection of its own.
    pub(super) fn start(
        db: Connection,
        file: PathBuf,
        clock: Clock,
        progress: Arc<Progress>,
        journal: Option<Box<dyn Journal>>,
    ) -> StoreResult<Self> {
        let shared = Arc::new(Shared { queues: Mutex::default(), arrived: Condvar::new(), trouble: Mutex::default() });
        let thread = Thread { shared: Arc::clone(&shared), db, file, clock, progress, journal };
        let handle = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || thread.run())
            .map_err(|error| StoreError::unavailable("the thread that writes could not be started", error))?;
        Ok(Self { shared, thread: Mutex::new(Some(handle)) })
    }

    /// Puts work into its queue. Full or closed queues refuse at once.
    pub(super) fn submit<T, F>(&self, urgency: Urgency, work: F) -> StoreResult<Ticket<T>>
    where
        T: Send + 'static,
        F: FnMut(&Unit<'_>) -> Outcome<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let claim = Claim::default();
        let pending = Box::new(Pending { claim: claim.clone(), work, outcome: None, reply });
        {
            let mut queues = self.shared.lock();
            match queues.end {
                End::NotYet => {}
                End::Asked => return Err(super::closed()),
                End::Broken => return Err(broken()),
            }
            let queue = match urgency {
                Urgency::Accept => &mut queues.accepts,
                Urgency::Other => &mut queues.others,
            };
            if queue.len() >= QUEUE {
                let reason = format!("{QUEUE} writes are waiting already; try again in a moment");
                return Err(StoreError::Unavailable { reason, source: None });
            }
            queue.push_back(pending);
        }
        self.shared.arrived.notify_one();
        Ok(Ticket::new(claim, answer))
    }

    /// Fails when a batch was not stored a moment ago.
    pub(super) fn check_trouble(&self) -> StoreResult<()> {
        match &*self.shared.trouble() {
            Some((when, error)) if when.elapsed() < TROUBLED => Err(same(error)),
            _ => Ok(()),
        }
    }

    /// Takes no more work, finishes what is waiting and ends the thread.
    pub(super) fn close(&self) {
        {
            let mut queues = self.shared.lock();
            if queues.end == End::NotYet {
                queues.end = End::Asked;
            }
        }
        self.shared.arrived.notify_one();
        let handle = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle
            && handle.join().is_err()
        {
            tracing::error!("the thread that writes to the store had panicked");
        }
    }
}

/// What the thread owns.
struct Thread {
    shared: Arc<Shared>,
    db: Connection,
    file: PathBuf,
    clock: Clock,
    progress: Arc<Progress>,
    /// Where else writes are kept, before they are committed.
    journal: Option<Box<dyn Journal>>,
}

impl Thread {
    fn run(mut self) {
        // Should anything here panic, whoever waits gets an error instead of silence.
        let shared = Arc::clone(&self.shared);
        let _closer = CloseOnDrop(&shared);
        let mut batch = Vec::new();
        while self.take(&mut batch) {
            self.write(&mut batch);
        }
    }

    /// Waits for work and takes a batch of it; false when there is none and will be none.
    fn take(&self, batch: &mut Vec<Box<dyn Work>>) -> bool {
        let mut queues = self.shared.lock();
        while queues.accepts.is_empty() && queues.others.is_empty() {
            if queues.end != End::NotYet {
                return false;
            }
            queues = self.shared.arrived.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
        let accepts = queues.accepts.len().min(BATCH_ACCEPTS);
        batch.extend(queues.accepts.drain(..accepts));
        let others = queues.others.len().min(BATCH_OTHERS);
        batch.extend(queues.others.drain(..others));
        true
    }

    /// Writes a batch in one transaction and answers everybody in it.
    fn write(&mut self, batch: &mut Vec<Box<dyn Work>>) {
        batch.retain(|work| work.begin());
        match self.try_together(batch) {
            Ok(true) => batch.drain(..).for_each(|work| work.answer(&self.file, None)),
            // One of them failed after it had begun to write. Undone together, each is done alone, so that only that one fails.
            // This is rare enough that the usual way is spared a savepoint around each.
            Ok(false) => {
                let mut locked = None;
                for mut work in batch.drain(..) {
                    if locked.is_none()
                        && let Err(fault) = self.try_alone(&mut *work)
                    {
                        let busy = matches!(&fault, Fault::Sql(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy));
                        let failure = fault.into_store_error(&self.file);
                        *self.shared.trouble() = Some((Instant::now(), same(&failure)));
                        // Whoever keeps the file locked is waited for once, not once for each of them.
                        if busy {
                            locked = Some(same(&failure));
                        }
                        work.answer(&self.file, Some(failure));
                    } else {
                        work.answer(&self.file, locked.as_ref().map(same));
                    }
                }
            }
            Err(fault) => {
                let error = fault.into_store_error(&self.file);
                tracing::error!(error = %error, writes = batch.len(), "a batch of writes was not stored");
                *self.shared.trouble() = Some((Instant::now(), same(&error)));
                batch.drain(..).for_each(|work| work.answer(&self.file, Some(same(&error))));
            }
        }
    }

    /// True when committed; false when it was rolled back because one unit failed halfway.
    fn try_together(&mut self, batch: &mut [Box<dyn Work>]) -> Outcome<bool> {
        self.begin()?;
        let before_all = self.db.total_changes();
        for work in batch.iter_mut() {
            let before = self.db.total_changes();
            if work.run(&self.unit()) {
                self.note(before)?;
            } else if self.db.total_changes() != before || self.db.is_autocommit() {
                self.roll_back()?;
                return Ok(false);
            }
        }
        self.commit(self.db.total_changes() != before_all)?;
        Ok(true)
    }

    fn try_alone(&mut self, work: &mut dyn Work) -> Outcome<()> {
        self.begin()?;
        let before = self.db.total_changes();
        if work.run(&self.unit()) {
            self.note(before)?;
            self.commit(true)
        } else {
            self.roll_back()
        }
    }

    /// What a unit changed is noted where it is kept as well.
    fn note(&mut self, before: u64) -> Outcome<()> {
        if self.db.total_changes() == before {
            return Ok(());
        }
        self.with_journal(|journal, unit| journal.done(unit))
    }

    /// Asks the journal for something; where it fails, everything is undone.
    fn with_journal(&mut self, ask: impl FnOnce(&mut dyn Journal, &Unit<'_>) -> Outcome<()>) -> Outcome<()> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let asked = ask(&mut **journal, &Unit { db: &self.db, now: self.clock.now(), file: &self.file });
        if asked.is_err() {
            self.roll_back()?;
        }
        asked
    }

    fn unit(&self) -> Unit<'_> {
        Unit { db: &self.db, now: self.clock.now(), file: &self.file }
    }

    fn begin(&mut self) -> Outcome<()> {
        self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        self.with_journal(|journal, unit| journal.begun(unit))
    }

    /// Commits; a commit that fails is undone, so that nothing of it is there.
    fn commit(&mut self, wrote: bool) -> Outcome<()> {
        self.with_journal(|journal, unit| journal.keep(unit))?;
        let committed = self.db.prepare_cached("COMMIT")?.execute([]);
        if let Err(error) = committed {
            self.roll_back()?;
            return Err(error.into());
        }
        if let Some(journal) = &mut self.journal {
            journal.committed();
        }
        if wrote {
            self.progress.committed();
        }
        Ok(())
    }

    fn roll_back(&mut self) -> Outcome<()> {
        // What was kept elsewhere is taken back while the lock keeps others from reading it, where there is one still.
        let taken_back = self.journal.as_mut().map_or(Ok(()), |journal| journal.rolled_back());
        // Some errors (a full disk) end the transaction by themselves.
        if !self.db.is_autocommit() {
            self.db.execute_batch("ROLLBACK")?;
        }
        Ok(taken_back?)
    }
}

struct CloseOnDrop<'a>(&'a Shared);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        let mut queues = self.0.lock();
        queues.end = if std::thread::panicking() { End::Broken } else { End::Asked };
        // Dropping the work drops its senders, which tells its callers.
        queues.accepts.clear();
        queues.others.clear();
    }
}

/// Leaves work with nothing to say.
pub(super) fn done(changed: usize, what: &'static str) -> Outcome<()> {
    if changed == 0 { Err(Fault::Refused(StoreError::NotFound { what })) } else { Ok(()) }
}
