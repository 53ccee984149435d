//! The thread that writes the files, so that the journal stays short and whoever looks finds people's folders as they are.

use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::checkpoint::{Checkpoint, Why};
use super::manifest::Identity;
use super::trust;
use crate::store::sqlite::Companion;
use crate::store::{StoreError, StoreResult};

/// From how much of journal on files are written while there is writing.
const MUCH: u64 = 16 << 20;
/// After how long without writing.
const QUIET: Duration = Duration::from_secs(5);
/// How long is waited after files could not be written.
const BACK_OFF: Duration = Duration::from_secs(30);

/// What the thread is told.
#[derive(Default)]
pub(super) struct Signals {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default, Clone, Copy)]
struct State {
    /// Of journal since files were written.
    bytes: u64,
    /// How often that was.
    kept: u64,
    forget: bool,
    closed: bool,
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
        drop(state);
        self.changed.notify_one();
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
        let mut state = signals.lock();
        let why = loop {
            let may = failed.is_none_or(|failed| failed.elapsed() >= BACK_OFF);
            if state.closed {
                break (state.bytes > 0 || state.forget).then_some(if state.forget { Why::Forgotten } else { Why::Changed });
            }
            if may && state.forget {
                break Some(Why::Forgotten);
            }
            if may && state.bytes >= MUCH {
                break Some(Why::Changed);
            }
            let before = state.kept;
            let wait = if state.bytes > 0 || state.forget { QUIET } else { Duration::from_hours(1) };
            let (next, waited) = signals.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if waited.timed_out() && may && state.bytes > 0 && state.kept == before {
                break Some(Why::Changed);
            }
        };
        let now = *state;
        state.forget = false;
        drop(state);
        let Some(why) = why else { return };
        match checkpoint.run(why) {
            Ok(()) => {
                failed = None;
                let mut state = signals.lock();
                state.bytes = state.bytes.saturating_sub(now.bytes);
            }
            Err(error) => {
                failed = Some(Instant::now());
                signals.lock().forget |= why == Why::Forgotten;
                tracing::warn!(error = %error, "the store's files were not written; the journal has everything, and it is tried again");
                metrics::counter!("store_checkpoint_failures_total").increment(1);
            }
        }
        if now.closed {
            return;
        }
    }
}
