//! The thread that writes the files, so that the journal stays short and whoever looks finds people's folders as they are.

use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::checkpoint::{Checkpoint, Why};
use super::layout::probe;
use super::manifest::Identity;
use super::trust;
use crate::store::sqlite::Companion;
use crate::store::{StoreError, StoreResult};

/// From how much of journal on files are written while there is writing.
const MUCH: u64 = 16 << 20;
/// After how long without writing.
const QUIET: Duration = Duration::from_secs(5);
/// After how long they are written though the writing goes on.
const OLD: Duration = Duration::from_mins(1);
/// How long is waited after files could not be written.
const BACK_OFF: Duration = Duration::from_secs(10);

/// What the thread is told.
#[derive(Default)]
pub(super) struct Signals {
    state: Mutex<State>,
    changed: Condvar,
}

#[expect(clippy::struct_excessive_bools, reason = "each is told, and done, apart from the others")]
#[derive(Default, Clone, Copy)]
struct State {
    /// Of journal since files were written.
    bytes: u64,
    /// Since when there is some.
    since: Option<Instant>,
    /// How often that was.
    kept: u64,
    /// Another process left something in the journal that is not in the files.
    left: bool,
    /// The copies are older than the files.
    unlike: bool,
    forget: bool,
    closed: bool,
}

impl State {
    /// Whether something is in the journal that is not in the files.
    const fn has_news(&self) -> bool {
        self.bytes > 0 || self.left
    }

    /// What is to be done at once.
    fn pressing(&self) -> Option<Why> {
        if self.forget {
            Some(Why::Forgotten)
        } else {
            let old = self.since.is_some_and(|since| since.elapsed() >= OLD);
            (self.bytes >= MUCH || old).then_some(Why::Changed)
        }
    }

    /// What is to be done when nothing is written for a while.
    fn at_rest(&self) -> Option<Why> {
        if self.has_news() { Some(Why::Changed) } else { self.unlike.then_some(Why::Rest) }
    }

    /// What is to be done at the end: what others left is left to those who run for longer.
    fn at_end(&self) -> Option<Why> {
        if self.forget { Some(Why::Forgotten) } else { (self.bytes > 0).then_some(Why::Changed) }
    }
}

impl Signals {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So much was written to the journal.
    pub(super) fn kept(&self, bytes: u64) {
        let mut state = self.lock();
        state.bytes += bytes;
        state.kept += 1;
        state.since.get_or_insert_with(Instant::now);
        drop(state);
        self.changed.notify_one();
    }

    /// Waits until something is to be done; `None` at the end.
    fn next(&self, may: impl Fn() -> bool) -> (State, Option<Why>) {
        let mut state = self.lock();
        let why = loop {
            if state.closed {
                break state.at_end();
            }
            if may()
                && let Some(why) = state.pressing()
            {
                break Some(why);
            }
            let before = state.kept;
            let wait = if state.forget || state.at_rest().is_some() { QUIET } else { Duration::from_hours(1) };
            let (next, waited) = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if waited.timed_out()
                && may()
                && state.kept == before
                && let Some(why) = state.at_rest()
            {
                break Some(why);
            }
        };
        let now = *state;
        state.forget = false;
        (now, why)
    }

    /// It was done.
    fn done(&self, why: Why, then: &State) {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(then.bytes);
        state.since = (state.bytes > 0).then(Instant::now);
        state.left = false;
        state.unlike = why == Why::Changed;
    }
}

/// The thread, and what the store says to it.
pub(super) struct Keeper {
    signals: Arc<Signals>,
    checkpoint: Arc<Checkpoint>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Shared with everybody who has the store open.
    lock: Mutex<Option<File>>,
}

impl Keeper {
    /// Starts the thread.
    pub(super) fn start(signals: Arc<Signals>, checkpoint: Checkpoint, lock: File) -> StoreResult<Self> {
        // A process that was killed had no time for what it should have written, or made forgotten.
        let (left, unlike) = checkpoint.left_over()?;
        {
            let mut state = signals.lock();
            state.left = left;
            state.unlike = unlike;
        }
        let checkpoint = Arc::new(checkpoint);
        let (told, at_work) = (Arc::clone(&signals), Arc::clone(&checkpoint));
        let thread = std::thread::Builder::new()
            .name("store-files".to_owned())
            .spawn(move || run(&told, &at_work))
            .map_err(|error| StoreError::unavailable("the thread that writes the files could not be started", error))?;
        Ok(Self { signals, checkpoint, thread: Mutex::new(Some(thread)), lock: Mutex::new(Some(lock)) })
    }
}

impl Companion for Keeper {
    fn probe(&self) -> StoreResult<()> {
        probe(&self.checkpoint.layout.journal())
    }

    fn forget(&self) {
        self.signals.lock().forget = true;
        self.signals.changed.notify_one();
    }

    fn restoring(&self, archive: Option<&str>) -> StoreResult<()> {
        let layout = &self.checkpoint.layout;
        match Identity::read(layout)? {
            Some(identity) => Identity { restoring: archive.map(str::to_owned), ..identity }.write(layout),
            None => Ok(()),
        }
    }

    fn close(&self) {
        self.signals.lock().closed = true;
        self.signals.changed.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the store's files had panicked");
        }
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(lock) = lock
            && lock.unlock().is_ok()
            && lock.try_lock().is_ok()
        {
            // Nobody else has it open: the index is whole on the disk, and the next start need not make it again.
            trust::mark_clean(&self.checkpoint.layout);
        }
    }
}

fn run(signals: &Signals, checkpoint: &Checkpoint) {
    let mut failed: Option<Instant> = None;
    loop {
        let (then, why) = signals.next(|| failed.is_none_or(|failed| failed.elapsed() >= BACK_OFF));
        let Some(why) = why else { return };
        match checkpoint.run(why) {
            Ok(()) => {
                failed = None;
                signals.done(why, &then);
            }
            Err(error) => {
                failed = Some(Instant::now());
                signals.lock().forget |= why == Why::Forgotten;
                tracing::warn!(error = %error, "the store's files were not written; the journal has everything, and it is tried again");
                metrics::counter!("store_checkpoint_failures_total").increment(1);
            }
        }
        if then.closed {
            return;
        }
    }
}
