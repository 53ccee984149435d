//! The thread that moves the write-ahead log into the file, so that no commit waits for that.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use rusqlite::Connection;

use super::journal::Companion;
use crate::store::{StoreError, StoreResult};

/// Pages in the log from which on they are moved while others write.
const MOVE_FROM: i64 = 4_000;
/// Pages in the log (128 MiB) at which writers wait for a moment, so that it begins anew instead of growing.
const BEGIN_ANEW_FROM: i64 = 32_000;
/// How often the log is looked at while there is writing.
const LOOK: Duration = Duration::from_millis(50);
/// After how long without writing everything is moved and the log emptied.
const IDLE: Duration = Duration::from_secs(1);
/// How often it is looked, while nothing is written here, whether another process has left something in the log.
const LOOK_FOR_OTHERS: Duration = Duration::from_secs(5);

/// How long the log is left as it is after readers stood in the way of emptying it: each try keeps writers out for a moment.
const BACK_OFF: Duration = Duration::from_secs(2);
/// How often it is tried at the end, where something must not stay readable.
const LAST_TRIES: u32 = 20;

/// What the writer tells this thread.
#[derive(Default)]
pub(super) struct Progress {
    state: Mutex<State>,
    changed: Condvar,
    companion: OnceLock<Arc<dyn Companion>>,
}

#[derive(Default, Clone, Copy)]
struct State {
    commits: u64,
    /// The thread waits for a commit.
    sleeps: bool,
    forget: bool,
    closed: bool,
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody else has to know what must not stay readable.
    pub(super) fn accompany(&self, companion: Arc<dyn Companion>) {
        // There is one in the life of a store.
        let _set = self.companion.set(companion);
    }

    /// Something was committed. The thread is woken only where it waits for that: while there is writing it looks by itself.
    pub(super) fn committed(&self) {
        let mut state = self.lock();
        state.commits += 1;
        let sleeps = std::mem::take(&mut state.sleeps);
        drop(state);
        if sleeps {
            self.changed.notify_one();
        }
    }

    /// Something was deleted that must not stay readable in the log: empty it soon.
    pub(super) fn forget(&self) {
        self.lock().forget = true;
        self.changed.notify_one();
        if let Some(companion) = self.companion.get() {
            companion.forget();
        }
    }

    /// Waits a little, but not while the store closes.
    fn pause(&self, wait: Duration) {
        let ended = self.changed.wait_timeout_while(self.lock(), wait, |state| !state.closed && !state.forget);
        drop(ended.unwrap_or_else(PoisonError::into_inner));
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }
}

/// A handle to the thread.
pub(super) struct Checkpointer {
    progress: Arc<Progress>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Checkpointer {
    /// Starts the thread on a connection of its own.
    pub(super) fn start(db: Connection, file: &Path, progress: Arc<Progress>) -> StoreResult<Self> {
        let told = Arc::clone(&progress);
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        let others = Others { log: log.into(), seen: None };
        let handle = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || run(&db, others, &told))
            .map_err(|error| StoreError::unavailable("the thread that keeps the log short could not be started", error))?;
        Ok(Self { progress, thread: Mutex::new(Some(handle)) })
    }

    /// Moves all of the log and ends the thread.
    pub(super) fn close(&self) {
        self.progress.close();
        let handle = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle
            && handle.join().is_err()
        {
            tracing::error!("the thread that keeps the store's log short had panicked");
        }
    }
}

/// The log is emptied whenever nothing is written, not only where this process was told to forget: what another process deleted
/// stays readable in it, and that process may have been killed before it emptied the log itself. So it is at the beginning.
fn run(db: &Connection, mut others: Others, progress: &Progress) {
    let mut seen = 0;
    let mut idle = true;
    let mut forget = false;
    let mut emptier = Emptier { db, held_up: None };
    emptier.empty_at_rest();
    loop {
        let mut state = progress.lock();
        while state.commits == seen && !state.closed && !state.forget {
            state.sleeps = true;
            let wait = match (idle, forget) {
                (false, _) => IDLE,
                (true, true) => BACK_OFF,
                (true, false) => LOOK_FOR_OTHERS,
            };
            let (next, waited) = progress.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if waited.timed_out() {
                break;
            }
        }
        let now = *state;
        state.sleeps = false;
        state.forget = false;
        drop(state);
        forget |= now.forget;
        if now.closed {
            emptier.end(forget);
            return;
        }
        forget = forget && !emptier.empty("TRUNCATE");
        if now.commits == seen {
            if !idle || others.rest() {
                emptier.empty_at_rest();
            }
            idle = true;
            continue;
        }
        idle = false;
        seen = now.commits;
        // NOOP only counts.
        if checkpoint(db, "NOOP").is_some_and(|log| log.pages - log.moved >= MOVE_FROM) {
            let after = checkpoint(db, "PASSIVE");
            if after.is_some_and(|log| log.pages >= BEGIN_ANEW_FROM) {
                emptier.empty("RESTART");
            }
        }
        progress.pause(LOOK);
    }
}

/// The log as other processes fill it.
struct Others {
    log: PathBuf,
    /// Its length, and when it was written last.
    seen: Option<(u64, SystemTime)>,
}

impl Others {
    /// Something is in the log, and nobody has written to it since the last look: whoever did has had the time to empty it.
    fn rest(&mut self) -> bool {
        let read = std::fs::metadata(&self.log).and_then(|log| Ok((log.len(), log.modified()?)));
        let now = read.ok().filter(|(length, _written)| *length > 0);
        now.is_some() && std::mem::replace(&mut self.seen, now) == now
    }
}

/// Empties the log, which readers of what is in it can stand in the way of.
struct Emptier<'a> {
    db: &'a Connection,
    /// When they last did.
    held_up: Option<Instant>,
}

impl Emptier<'_> {
    /// True when the log is empty. Tries only where readers have not just stood in the way: writers wait while it does.
    fn empty(&mut self, mode: &str) -> bool {
        if self.held_up.is_some_and(|held_up| held_up.elapsed() < BACK_OFF) {
            return false;
        }
        let empty = checkpoint(self.db, mode).is_some_and(|log| !log.busy);
        self.held_up = (!empty).then(Instant::now);
        empty
    }

    /// Where nothing is written. What there is to move is moved first, while others may write.
    fn empty_at_rest(&mut self) {
        checkpoint(self.db, "PASSIVE");
        self.empty("TRUNCATE");
    }

    /// The last chance: other processes may have the file open for days.
    fn end(&mut self, forget: bool) {
        for _ in 0..LAST_TRIES {
            self.held_up = None;
            if self.empty("TRUNCATE") || !forget {
                return;
            }
            std::thread::sleep(LOOK);
        }
        if forget {
            tracing::warn!(
                "something was deleted and is still in the store's log, which another process reads; the log is emptied when that ends"
            );
        }
    }
}

/// The log's pages, and how many of them are in the file already.
struct Log {
    /// Readers or writers stood in the way.
    busy: bool,
    pages: i64,
    moved: i64,
}

/// A failure is no harm done: the log keeps everything, and the next look tries again.
fn checkpoint(db: &Connection, mode: &str) -> Option<Log> {
    let log = db
        .prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))
        .and_then(|mut statement| statement.query_row([], |row| Ok(Log { busy: row.get(0)?, pages: row.get(1)?, moved: row.get(2)? })));
    match log {
        Ok(log) => Some(log),
        Err(error) => {
            tracing::warn!(error = %error, mode, "the store's log was not moved into its file; it is tried again");
            None
        }
    }
}
