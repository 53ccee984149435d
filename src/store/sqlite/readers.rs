//! The threads that read, each on a read-only connection of its own, beside the one that writes.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::fault::Outcome;
use super::open::{Access, connect};
use crate::store::{StoreError, StoreResult};

/// Reads that may wait.
const QUEUE: usize = 4096;

/// A read that waits for a thread, without its type.
type Read = Box<dyn FnOnce(&Connection, &Path) + Send>;

#[derive(Default)]
struct Queue {
    reads: VecDeque<Read>,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The readers: a handle to their queue and their threads.
pub(super) struct Readers {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    /// Starts `count` threads.
    pub(super) fn start(file: &Path, count: usize, cache_mib: u32) -> StoreResult<Self> {
        let shared = Arc::new(Shared { queue: Mutex::new(Queue::default()), arrived: Condvar::new() });
        let readers = Self { shared, threads: Mutex::new(Vec::new()) };
        for _ in 0..count.clamp(1, 64) {
            let db = connect(file, Access::Read, cache_mib)?;
            let shared = Arc::clone(&readers.shared);
            let file: PathBuf = file.to_owned();
            let handle = std::thread::Builder::new()
                .name("store-reader".to_owned())
                .spawn(move || run(&shared, &db, &file))
                .map_err(|error| StoreError::unavailable("a thread that reads could not be started", error))?;
            readers.threads.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        }
        Ok(readers)
    }

    /// Puts a read into the queue; it sees one state of the store throughout.
    pub(super) fn submit<T, F>(&self, read: F) -> StoreResult<oneshot::Receiver<StoreResult<T>>>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let read: Read = Box::new(move |db, file| {
            if !reply.is_closed() {
                let found = in_snapshot(db, read).map_err(|fault| fault.into_store_error(file));
                let _gone = reply.send(found);
            }
        });
        {
            let mut queue = self.shared.lock();
            if queue.closed {
                return Err(super::closed());
            }
            if queue.reads.len() >= QUEUE {
                let reason = format!("{QUEUE} reads are waiting already; try again in a moment");
                return Err(StoreError::Unavailable { reason, source: None });
            }
            queue.reads.push_back(read);
        }
        self.shared.arrived.notify_one();
        Ok(answer)
    }

    /// Takes no more reads, finishes what is waiting and ends the threads.
    pub(super) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.arrived.notify_all();
        let handles = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for handle in handles {
            if handle.join().is_err() {
                tracing::error!("a thread that reads from the store had panicked");
            }
        }
    }
}

fn run(shared: &Shared, db: &Connection, file: &Path) {
    loop {
        let mut queue = shared.lock();
        let read = loop {
            if let Some(read) = queue.reads.pop_front() {
                break read;
            }
            if queue.closed {
                return;
            }
            queue = shared.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        };
        drop(queue);
        read(db, file);
    }
}

/// All statements of a read see the same state.
pub(super) fn in_snapshot<T>(db: &Connection, read: impl FnOnce(&Connection) -> Outcome<T>) -> Outcome<T> {
    db.prepare_cached("BEGIN")?.execute([])?;
    let found = read(db);
    if !db.is_autocommit() {
        db.prepare_cached("COMMIT")?.execute([])?;
    }
    found
}
