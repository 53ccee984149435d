//! The threads that read, each on a read-only connection of its own, beside the one that writes.
//!
//! A **long** read goes through as many rows as a person has stored, so one person could keep everybody waiting with it. Therefore long
//! reads leave a thread to the others wherever there are two, people take turns with them, and one that takes longer than
//! [`LONGEST`] is broken off. So is any read that nobody waits for any more.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::fault::{Fault, Outcome};
use super::open::{Access, connect};
use crate::domain::ids::UserId;
use crate::store::{StoreError, StoreResult};

/// Reads that may wait.
const QUEUE: usize = 4096;
/// Long reads of one person that may wait.
const QUEUE_OF_ONE: usize = 64;
/// How long a long read may run.
pub(super) const LONGEST: Duration = Duration::from_secs(3);
/// Instructions of SQLite's machine after which it is looked whether a read may go on.
const LOOK_AFTER: i32 = 4_000;

/// A read that waits for a thread, without its type.
type Read = Box<dyn FnOnce(&Connection, &Path, &Running) + Send>;

#[derive(Default)]
struct Queue {
    reads: VecDeque<Read>,
    /// Long reads by person, whoever is next first.
    long: VecDeque<(UserId, VecDeque<Read>)>,
    /// Long reads that run.
    running: usize,
    closed: bool,
}

impl Queue {
    /// What a thread does next, and whether that is a long read.
    fn next(&mut self, long_at_once: usize) -> Option<(Read, bool)> {
        if let Some(read) = self.reads.pop_front() {
            return Some((read, false));
        }
        if self.running >= long_at_once {
            return None;
        }
        let (user, mut reads) = self.long.pop_front()?;
        let read = reads.pop_front()?;
        if !reads.is_empty() {
            self.long.push_back((user, reads));
        }
        self.running += 1;
        Some((read, true))
    }

    fn add_long(&mut self, user: UserId, read: Read) -> StoreResult<()> {
        let Some((_user, reads)) = self.long.iter_mut().find(|(whose, _reads)| *whose == user) else {
            self.long.push_back((user, VecDeque::from([read])));
            return Ok(());
        };
        if reads.len() >= QUEUE_OF_ONE {
            return Err(StoreError::Conflict { reason: format!("{QUEUE_OF_ONE} searches are waiting already; wait for their answers") });
        }
        reads.push_back(read);
        Ok(())
    }
}

struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    /// Long reads that may run at once.
    long_at_once: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a thread works on now, as its connection sees it.
#[derive(Default)]
struct Running(Mutex<Option<Bounds>>);

struct Bounds {
    given_up: Arc<AtomicBool>,
    until: Option<Instant>,
}

impl Running {
    fn set(&self, bounds: Option<Bounds>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
    }

    fn must_end(&self) -> bool {
        let bounds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |bounds: &Bounds| bounds.given_up.load(Ordering::Relaxed) || bounds.until.is_some_and(|until| Instant::now() >= until);
        bounds.as_ref().is_some_and(over)
    }
}

/// An answer that is waited for. Whoever drops it gives the read up.
pub(super) struct Asked<T> {
    answer: oneshot::Receiver<StoreResult<T>>,
    given_up: Arc<AtomicBool>,
}

impl<T> Asked<T> {
    /// Waits for what is read, but not for ever.
    pub(super) async fn answered(mut self, limit: Duration) -> StoreResult<T> {
        match tokio::time::timeout(limit, &mut self.answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_dropped)) => Err(super::closed()),
            Err(elapsed) => {
                let reason = format!("no answer within {} s; the disk or another process holds it up", limit.as_secs());
                Err(StoreError::unavailable(reason, elapsed))
            }
        }
    }
}

impl<T> Drop for Asked<T> {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

/// The readers: a handle to their queue and their threads.
pub(super) struct Readers {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    longest: Duration,
}

impl Readers {
    /// Starts `count` threads, whose long reads take `longest` at most.
    pub(super) fn start(file: &Path, count: usize, cache_mib: u32, longest: Duration) -> StoreResult<Self> {
        let count = count.clamp(1, 64);
        let long_at_once = count.saturating_sub(1).max(1);
        let shared = Arc::new(Shared { queue: Mutex::new(Queue::default()), arrived: Condvar::new(), long_at_once });
        let readers = Self { shared, threads: Mutex::new(Vec::new()), longest };
        for _ in 0..count {
            let mut db = connect(file, Access::Read, cache_mib)?;
            let running = Arc::new(Running::default());
            let looked = Arc::clone(&running);
            db.progress_handler(LOOK_AFTER, Some(move || looked.must_end())).map_err(|error| Fault::Sql(error).into_store_error(file))?;
            let shared = Arc::clone(&readers.shared);
            let file: PathBuf = file.to_owned();
            let handle = std::thread::Builder::new()
                .name("store-reader".to_owned())
                .spawn(move || run(&shared, &db, &file, &running))
                .map_err(|error| StoreError::unavailable("a thread that reads could not be started", error))?;
            readers.threads.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        }
        Ok(readers)
    }

    /// Puts a read into the queue; it sees one state of the store throughout.
    pub(super) fn submit<T, F>(&self, read: F) -> StoreResult<Asked<T>>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let (asked, read) = prepared(read, None);
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
        Ok(asked)
    }

    /// Puts a long read of a person's into the queue.
    pub(super) fn submit_long<T, F>(&self, user: UserId, read: F) -> StoreResult<Asked<T>>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let (asked, read) = prepared(read, Some(self.longest));
        {
            let mut queue = self.shared.lock();
            if queue.closed {
                return Err(super::closed());
            }
            queue.add_long(user, read)?;
        }
        self.shared.arrived.notify_one();
        Ok(asked)
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

/// A read for the queue, and where its answer comes.
fn prepared<T, F>(read: F, longest: Option<Duration>) -> (Asked<T>, Read)
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let given_up = Arc::new(AtomicBool::new(false));
    let asked = Asked { answer, given_up: Arc::clone(&given_up) };
    let read: Read = Box::new(move |db, file, running| {
        if reply.is_closed() {
            return;
        }
        let found = in_snapshot(db, |db| {
            running.set(Some(Bounds { given_up, until: longest.map(|longest| Instant::now() + longest) }));
            let found = read(db);
            // The end of the transaction is not broken off.
            running.set(None);
            found
        });
        let _gone = reply.send(found.map_err(|fault| match fault {
            Fault::Sql(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                let reason = "that is too much to be searched at once; ask for longer or rarer words, or for less".to_owned();
                StoreError::Conflict { reason }
            }
            fault => fault.into_store_error(file),
        }));
    });
    (asked, read)
}

fn run(shared: &Shared, db: &Connection, file: &Path, running: &Running) {
    loop {
        let mut queue = shared.lock();
        let (read, is_long) = loop {
            if let Some(next) = queue.next(shared.long_at_once) {
                break next;
            }
            // Whoever runs a long read now does those that wait.
            if queue.closed && (queue.long.is_empty() || queue.running > 0) {
                return;
            }
            queue = shared.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        };
        drop(queue);
        read(db, file, running);
        if is_long {
            shared.lock().running -= 1;
            shared.arrived.notify_one();
        }
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

#[cfg(test)]
mod tests {
    use super::super::migrate::MIGRATIONS;
    use super::super::open::prepare;
    use super::*;

    const ENDLESS: &str = "WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted) SELECT max(n) FROM counted";
    const LIMIT: Duration = Duration::from_mins(1);
    const ANN: UserId = UserId::from_bytes([1; 12]);
    const BOB: UserId = UserId::from_bytes([2; 12]);

    fn query(sql: &'static str) -> impl FnOnce(&Connection) -> Outcome<i64> + Send {
        move |db| Ok(db.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    fn started(count: usize, longest: Duration) -> (tempfile::TempDir, Readers) {
        let folder = tempfile::tempdir().unwrap();
        let file = prepare(folder.path(), 1, MIGRATIONS).unwrap();
        let readers = Readers::start(&file, count, 1, longest).unwrap();
        (folder, readers)
    }

    #[tokio::test]
    async fn long_reads_of_one_person_leave_a_thread_and_every_second_turn_to_others() {
        let (_folder, readers) = started(2, Duration::from_millis(50));
        let of_ann: Vec<_> = (0..20).map(|_| readers.submit_long(ANN, query(ENDLESS)).unwrap()).collect();
        let of_bob = readers.submit_long(BOB, query("SELECT 2")).unwrap();
        assert_eq!(readers.submit(query("SELECT 1")).unwrap().answered(LIMIT).await.unwrap(), 1);
        assert_eq!(of_bob.answered(LIMIT).await.unwrap(), 2);
        let waiting: usize = readers.shared.lock().long.iter().map(|(_user, reads)| reads.len()).sum();
        assert!(waiting >= 10, "Bob waited for Ann's reads: {waiting} are left");
        for asked in of_ann {
            let told = asked.answered(LIMIT).await.unwrap_err();
            assert!(matches!(&told, StoreError::Conflict { reason } if reason.contains("too much")), "{told}");
        }
        readers.close();
    }

    #[tokio::test]
    async fn a_read_that_nobody_waits_for_is_broken_off() {
        let (_folder, readers) = started(1, LIMIT);
        for _ in 0..3 {
            let asked = readers.submit(query(ENDLESS)).unwrap();
            assert!(asked.answered(Duration::from_millis(20)).await.is_err());
            drop(readers.submit_long(ANN, query(ENDLESS)).unwrap());
        }
        assert_eq!(readers.submit(query("SELECT 1")).unwrap().answered(LIMIT).await.unwrap(), 1);
        readers.close();
    }

    #[tokio::test]
    async fn one_person_has_so_many_long_reads_in_the_queue_and_closing_finishes_them() {
        let (_folder, readers) = started(1, LIMIT);
        let busy = readers.submit(query(ENDLESS)).unwrap();
        let waiting: Vec<_> = (0..QUEUE_OF_ONE).map(|_| readers.submit_long(ANN, query("SELECT 3")).unwrap()).collect();
        assert!(matches!(readers.submit_long(ANN, query("SELECT 3")), Err(StoreError::Conflict { .. })));
        let of_bob = readers.submit_long(BOB, query("SELECT 4")).unwrap();
        drop(busy);
        readers.close();
        for asked in waiting {
            assert_eq!(asked.answered(LIMIT).await.unwrap(), 3);
        }
        assert_eq!(of_bob.answered(LIMIT).await.unwrap(), 4);
        assert!(readers.submit(query("SELECT 1")).is_err());
    }
}
