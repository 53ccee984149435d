//! Short reads, done by whoever asks for them.
//!
//! A look into a few indexes takes some ten microseconds; to wake a thread for it and to be woken by it takes several times that, of two
//! processors. So such a read is tried on the asking thread first, under conditions that keep it from holding that thread up: it
//! waits for no lock and for no connection, and is broken off when it takes longer than [`LONGEST`]. Whatever is not done here is
//! done by the readers, as if it had not been tried. What it sees is one state of the store, as new as theirs.
//!
//! Only reads that look things up by key belong here. One that goes through many rows would be broken off and done twice.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::fault::{Fault, Outcome};
use super::open::{Access, connect};
use super::readers::in_snapshot;
use crate::store::StoreResult;

/// How long a read may hold up the thread that asks.
const LONGEST: Duration = Duration::from_millis(1);
/// Instructions of SQLite's machine after which the time is looked at.
const LOOK_AFTER: i32 = 1_000;
/// Page cache of each connection, in MiB: these reads see few pages.
const CACHE_MIB: u32 = 1;

/// Connections for short reads.
pub(super) struct ShortReads {
    file: PathBuf,
    free: Mutex<Free>,
}

#[derive(Default)]
struct Free {
    lent: Vec<Lent>,
    closed: bool,
}

/// A connection, with when the read that runs on it must end.
struct Lent {
    db: Connection,
    ends: Arc<Deadline>,
}

/// A moment, in microseconds since another.
struct Deadline {
    from: Instant,
    micros: AtomicU64,
}

impl Deadline {
    fn never(&self) {
        self.micros.store(u64::MAX, Ordering::Relaxed);
    }

    fn set(&self, time: Duration) {
        let micros = self.from.elapsed().saturating_add(time).as_micros();
        self.micros.store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.from.elapsed().as_micros() >= u128::from(self.micros.load(Ordering::Relaxed))
    }
}

impl ShortReads {
    /// Opens `count` connections.
    pub(super) fn open(file: &Path, count: usize) -> StoreResult<Self> {
        let lent = (0..count.clamp(1, 64)).map(|_| Lent::open(file)).collect::<StoreResult<_>>()?;
        Ok(Self { file: file.to_owned(), free: Mutex::new(Free { lent, closed: false }) })
    }

    /// What a read finds, or `None` when it was not done here.
    pub(super) fn try_read<T>(&self, read: impl FnOnce(&Connection) -> Outcome<T>) -> Option<StoreResult<T>> {
        self.try_within(LONGEST, read)
    }

    fn try_within<T>(&self, time: Duration, read: impl FnOnce(&Connection) -> Outcome<T>) -> Option<StoreResult<T>> {
        let lent = self.lock().lent.pop()?;
        let found = in_snapshot(&lent.db, |db| {
            lent.ends.set(time);
            let found = read(db);
            // The end of the transaction is not broken off.
            lent.ends.never();
            found
        });
        self.give_back(lent);
        match found {
            Err(Fault::Sql(error)) if is_not_now(&error) => None,
            found => Some(found.map_err(|fault| fault.into_store_error(&self.file))),
        }
    }

    fn give_back(&self, lent: Lent) {
        let mut free = self.lock();
        // One that is still inside a transaction would read an old state for ever.
        if !free.closed && lent.db.is_autocommit() {
            free.lent.push(lent);
        }
    }

    /// Closes the connections; nothing is read here any more.
    pub(super) fn close(&self) {
        *self.lock() = Free { lent: Vec::new(), closed: true };
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lent {
    fn open(file: &Path) -> StoreResult<Self> {
        let ends = Arc::new(Deadline { from: Instant::now(), micros: AtomicU64::new(u64::MAX) });
        let mut db = connect(file, Access::Read, CACHE_MIB)?;
        let looked = Arc::clone(&ends);
        // From now on it waits for nobody.
        db.busy_timeout(Duration::ZERO)
            .and_then(|()| db.progress_handler(LOOK_AFTER, Some(move || looked.is_over())))
            .map_err(|error| Fault::Sql(error).into_store_error(file))?;
        Ok(Self { db, ends })
    }
}

/// Whether a read was broken off, or would have had to wait.
fn is_not_now(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::OperationInterrupted | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

#[cfg(test)]
mod tests {
    use super::super::migrate::MIGRATIONS;
    use super::super::open::prepare;
    use super::*;

    const ONE: &str = "SELECT count(*) FROM people";
    const ENDLESS: &str = "WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted) SELECT max(n) FROM counted";

    fn query(db: &Connection, sql: &str) -> Outcome<i64> {
        Ok(db.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    fn opened(count: usize) -> (tempfile::TempDir, PathBuf, ShortReads) {
        let folder = tempfile::tempdir().unwrap();
        let file = prepare(folder.path(), 1, MIGRATIONS).unwrap();
        let reads = ShortReads::open(&file, count).unwrap();
        (folder, file, reads)
    }

    #[test]
    fn a_read_that_takes_too_long_is_broken_off_and_the_next_is_not() {
        let (_folder, _file, reads) = opened(1);
        let begun = Instant::now();
        assert!(reads.try_read(|db| query(db, ENDLESS)).is_none());
        assert!(begun.elapsed() < Duration::from_secs(5));
        for _ in 0..3 {
            // A busy machine may take the processor away for longer than a read may take.
            assert_eq!(reads.try_within(Duration::from_mins(1), |db| query(db, ONE)).unwrap().unwrap(), 0);
        }
    }

    #[test]
    fn nobody_waits_for_a_connection_or_a_lock() {
        let (_folder, file, reads) = opened(1);
        let inner = reads.try_within(Duration::from_mins(1), |_db| Ok(reads.try_read(|db| query(db, ONE)).is_none()));
        assert!(inner.unwrap().unwrap(), "the only connection is in use");

        // Without a write-ahead log, whoever writes keeps readers out.
        let plain = file.with_file_name("plain.db");
        let writes = Connection::open(&plain).unwrap();
        writes.execute_batch("CREATE TABLE people (name TEXT)").unwrap();
        let reads = ShortReads::open(&plain, 1).unwrap();
        writes.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let begun = Instant::now();
        assert!(reads.try_within(Duration::from_mins(1), |db| query(db, ONE)).is_none());
        assert!(begun.elapsed() < Duration::from_secs(2), "it waited for the lock");
        writes.execute_batch("COMMIT").unwrap();
        assert_eq!(reads.try_within(Duration::from_mins(1), |db| query(db, ONE)).unwrap().unwrap(), 0);
    }

    #[test]
    fn what_is_committed_elsewhere_is_seen_at_once() {
        let (_folder, file, reads) = opened(1);
        let other = connect(&file, Access::Write, 1).unwrap();
        for round in 1..=20 {
            other.execute("INSERT INTO meta (key, value) VALUES (?1, 'x')", [format!("round {round}")]).unwrap();
            let sql = "SELECT count(*) FROM meta WHERE key LIKE 'round %'";
            assert_eq!(reads.try_within(Duration::from_mins(1), |db| query(db, sql)).unwrap().unwrap(), round);
        }
    }

    #[test]
    fn a_real_failure_is_told_and_a_closed_store_reads_nothing_here() {
        let (_folder, _file, reads) = opened(1);
        let failed = reads.try_within(Duration::from_mins(1), |db| query(db, "SELECT nothing FROM nowhere"));
        failed.unwrap().unwrap_err();
        assert_eq!(reads.try_within(Duration::from_mins(1), |db| query(db, ONE)).unwrap().unwrap(), 0);
        reads.close();
        assert!(reads.try_read(|db| query(db, ONE)).is_none());
    }
}
