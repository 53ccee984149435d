//! Opening the file: who owns it, what it holds, which version, and how each connection is set up.

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::fault::{Fault, Outcome, explain};
use super::{migrate, records};
use crate::store::{Extent, Purpose, StoreError, StoreResult};

/// How long another process's lock on the file is waited for.
pub(super) const WAIT: Duration = Duration::from_secs(5);

/// The file's name in the data folder.
const FILE: &str = "scrubjay.db";

/// How a connection is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Access {
    /// The one that writes.
    Write,
    /// One of those that read.
    Read,
    /// The one that moves the log into the file. What it waits for it waits for with the write lock in hand, so not for long.
    Checkpoint,
    /// One that reads everything, sorted, and may need much room for that.
    Snapshot,
}

impl Access {
    /// How long it waits for others.
    const fn patience(self) -> Duration {
        match self {
            Self::Write | Self::Read | Self::Snapshot => WAIT,
            Self::Checkpoint => Duration::from_millis(25),
        }
    }
}

/// The file of a data folder.
pub(in crate::store) fn file_in(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Makes the folder and the file where they are missing, checks whose the file is, and brings its schema up to date.
/// Several processes may do this at once.
pub(in crate::store) fn prepare(folder: &Path, cache_mib: u32, migrations: &[&str]) -> StoreResult<PathBuf> {
    let file = file_in(folder);
    let advice = |what: &Path| format!("{} cannot be made or opened; set storage.path to a folder that can be written", what.display());
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| StoreError::unavailable(advice(folder), error))?;
    match file.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => found(&file, cache_mib, migrations, &advice(&file))?,
        Err(error) => return Err(StoreError::unavailable(advice(&file), error)),
        // SQLite takes it for a new database. Ours are never empty: they are made elsewhere and put in place whole.
        Ok(metadata) if metadata.len() == 0 => {
            let reason = "it is empty, which a store never is; restore a copy of it, or delete it to begin anew".to_owned();
            return Err(StoreError::Corrupt { place: file, extent: Extent::Store, reason });
        }
        Ok(_there) => {}
    }
    // Whether it can be written to is told better by the system than by SQLite.
    OpenOptions::new().read(true).write(true).open(&file).map_err(|error| StoreError::unavailable(advice(&file), error))?;
    update(&file, cache_mib, migrations).map_err(|fault| fault.into_store_error(&file))?;
    Ok(file)
}

fn update(file: &Path, cache_mib: u32, migrations: &[&str]) -> Outcome<()> {
    let db = connect(file, Access::Write, cache_mib)?;
    let begun = Instant::now();
    loop {
        match bring_up_to_date(&db, file, migrations) {
            // Two processes that turn a file into a write-ahead log at once: SQLite tells one of them without waiting.
            Err(Fault::Sql(error)) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && begun.elapsed() < WAIT => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

/// Makes the file: under another name first, so that there is a whole one or none at any moment.
fn found(file: &Path, cache_mib: u32, migrations: &[&str], advice: &str) -> StoreResult<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let part = file.with_file_name(format!("{FILE}.new-{}-{number}", std::process::id()));
    let cannot = |error: std::io::Error| StoreError::unavailable(advice.to_owned(), error);
    let made = (|| {
        // For its owner only.
        OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&part).map_err(cannot)?;
        // Closing it moves its log into it.
        update(&part, cache_mib, migrations).map_err(|fault| fault.into_store_error(file))?;
        match std::fs::hard_link(&part, file) {
            // Another process was first, and its file is as good.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            // A file system without links.
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
                std::fs::rename(&part, file).map_err(cannot)
            }
            linked => linked.map_err(cannot),
        }
    })();
    for left in ["", "-wal", "-shm"] {
        let mut path = part.clone().into_os_string();
        path.push(left);
        let _gone = std::fs::remove_file(path);
    }
    made?;
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|opened| opened.sync_all()).map_err(cannot)
}

/// Opens a connection and sets it up.
pub(in crate::store) fn connect(file: &Path, access: Access, cache_mib: u32) -> StoreResult<Connection> {
    set_up(file, access, cache_mib).map_err(|error| explain(error, file))
}

fn set_up(file: &Path, access: Access, cache_mib: u32) -> rusqlite::Result<Connection> {
    let mode = match access {
        Access::Write | Access::Checkpoint => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::Read | Access::Snapshot => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    // Each connection is used by one thread at a time, so SQLite's own locking of it is left out.
    let mut db = Connection::open_with_flags(file, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // SQLite's own waiting backs off to 100 ms, and a busy process beside us leaves gaps of fractions of a millisecond.
    let patience = access.patience();
    let mut begun = Instant::now();
    db.busy_handler(Some(move |tries| {
        if tries == 0 {
            begun = Instant::now();
        }
        std::thread::sleep(Duration::from_micros(500));
        begun.elapsed() < patience
    }))?;
    db.set_prepared_statement_cache_capacity(256);
    // Without this SQLite parses a cached statement anew whenever a bound value might decide whether a partial index fits: a
    // third of the time that a turn took.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update(None, "mmap_size", 0)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update(None, "cache_size", -i64::from(cache_mib.max(1)) * 1024)?;
    if access == Access::Snapshot {
        db.pragma_update(None, "temp_store", "FILE")?;
    }
    if matches!(access, Access::Write | Access::Checkpoint) {
        db.pragma_update(None, "foreign_keys", true)?;
        db.pragma_update(None, "synchronous", "FULL")?;
        // What is deleted is overwritten: forgetting is meant.
        db.pragma_update(None, "secure_delete", true)?;
        // A thread of its own moves the log into the file, so that no commit waits for that.
        db.pragma_update(None, "wal_autocheckpoint", 0)?;
    }
    Ok(db)
}

/// Checks whose file this is and applies what its schema lacks.
fn bring_up_to_date(db: &Connection, file: &Path, migrations: &[&str]) -> Outcome<()> {
    check_identity(db, file, migrations)?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    if version(db)? < migrate::latest(migrations) {
        in_transaction(db, |db| migrate_to_latest(db, file, migrations))?;
    }
    let backend: Option<String> = db.query_row("SELECT max(value) FROM meta WHERE key = 'backend'", [], |row| row.get(0))?;
    if backend.as_deref() != Some("sqlite") {
        let reason = format!("{} says it belongs to the backend {backend:?}, not \"sqlite\"; set storage.backend to that", file.display());
        return Err(StoreError::Unsupported { reason }.into());
    }
    let rows = in_transaction(db, |db| migrate::remove_role_as_endpoint(db).map_err(Fault::Sql))?;
    if rows > 0 {
        tracing::warn!(rows, "stored rows named \"external\" as an endpoint; the default endpoint answers in its place");
        metrics::counter!("endpoint_redirected_total").increment(rows as u64);
    }
    Ok(())
}

/// A store that is being restored from an archive is opened for nothing else: it holds a part of what it will.
pub(super) fn check_purpose(file: &Path, purpose: Purpose) -> StoreResult<()> {
    let db = connect(file, Access::Read, 1)?;
    let archive = records::being_restored(&db).map_err(|error| explain(error, file))?;
    match (archive, purpose) {
        (Some(archive), Purpose::Use) => {
            let reason = format!(
                "{} is being restored from an archive ({archive}) and holds a part of it so far; go on with `scrubjay archive read`",
                file.display()
            );
            Err(StoreError::Unsupported { reason })
        }
        _ => Ok(()),
    }
}

fn version(db: &Connection) -> rusqlite::Result<u32> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// A file that is not ours, or newer than we are, stays as it is.
fn check_identity(db: &Connection, file: &Path, migrations: &[&str]) -> Outcome<()> {
    let application: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let version = version(db)?;
    let new = application == 0 && version == 0 && tables == 0;
    let name = file.display();
    let reason = if application != migrate::APPLICATION_ID && !new {
        format!("{name} is a database of another program; set storage.path to a folder of our own")
    } else if version > migrate::latest(migrations) {
        format!(
            "{name} was written by a newer release (schema {version}, this one knows {}); run that release, or restore the copy \
             that it made beside the file before it changed it",
            migrate::latest(migrations)
        )
    } else {
        return Ok(());
    };
    Err(StoreError::Unsupported { reason }.into())
}

/// Applies what is missing, inside the caller's write transaction; a file that holds data is copied first.
fn migrate_to_latest(db: &Connection, file: &Path, migrations: &[&str]) -> Outcome<()> {
    let version = version(db)?;
    // Another process may have done it while we waited for the lock.
    if version >= migrate::latest(migrations) {
        return Ok(());
    }
    if version > 0 {
        let copy = copy_before(file, version + 1)?;
        tracing::info!(file = %file.display(), copy = %copy.display(), from = version, to = migrate::latest(migrations), "migrating the store");
    }
    migrate::apply_after(db, version, migrations)?;
    Ok(())
}

/// Copies the file to `scrubjay.db.before-NNNN`, through a connection of its own: nobody writes, since we hold the lock.
fn copy_before(file: &Path, next: u32) -> Outcome<PathBuf> {
    let copy = file.with_file_name(format!("{FILE}.before-{next:04}"));
    let part = file.with_file_name(format!("{FILE}.before-{next:04}.part"));
    let cannot = |error: std::io::Error| {
        StoreError::unavailable(format!("no copy could be made at {} before the schema changes", copy.display()), error)
    };
    OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&part).map_err(cannot)?;
    let source = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut target = Connection::open(&part)?;
    Backup::new(&source, &mut target)?.run_to_completion(1024, Duration::ZERO, None)?;
    drop(target);
    std::fs::File::open(&part).and_then(|opened| opened.sync_all()).map_err(cannot)?;
    std::fs::rename(&part, &copy).map_err(cannot)?;
    let folder = copy.parent().unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|opened| opened.sync_all()).map_err(cannot)?;
    Ok(copy)
}

/// Runs `work` in a write transaction: all of it or nothing.
fn in_transaction<T>(db: &Connection, work: impl FnOnce(&Connection) -> Outcome<T>) -> Outcome<T> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    let outcome = work(db);
    match outcome {
        Ok(value) => {
            db.execute_batch("COMMIT")?;
            Ok(value)
        }
        Err(fault) => {
            if !db.is_autocommit() {
                db.execute_batch("ROLLBACK")?;
            }
            Err(fault)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rusqlite::StatementStatus;

    use super::*;
    use crate::store::sqlite::migrate::MIGRATIONS;

    /// A release that knew the first schema only.
    const FIRST: &[&str] = MIGRATIONS.split_at(1).0;

    fn marks(file: &Path) -> Vec<String> {
        let db = Connection::open(file).unwrap();
        let mut marks = db.prepare("SELECT name FROM marks").unwrap();
        marks.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_file_with_data_is_copied_before_its_schema_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = prepare(folder.path(), 1, FIRST).unwrap();
        connect(&file, Access::Write, 1).unwrap().execute("INSERT INTO marks VALUES ('before', 1)", []).unwrap();
        let next = [FIRST[0], "ALTER TABLE marks ADD COLUMN note TEXT; INSERT INTO marks VALUES ('after', 2, 'new');"];
        prepare(folder.path(), 1, &next).unwrap();
        let copy = folder.path().join("scrubjay.db.before-0002");
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(marks(&copy), ["before"]);
        assert_eq!(marks(&file).len(), 2);

        let error = prepare(folder.path(), 1, FIRST).unwrap_err();
        assert!(matches!(error, StoreError::Unsupported { .. }), "an older release leaves the newer file alone: {error:?}");
        std::fs::rename(&copy, &file).unwrap();
        prepare(folder.path(), 1, FIRST).unwrap();
        assert_eq!(marks(&file), ["before"], "the copy is a whole store");
    }

    #[test]
    fn without_a_copy_nothing_is_migrated() {
        let folder = tempfile::tempdir().unwrap();
        let file = prepare(folder.path(), 1, FIRST).unwrap();
        connect(&file, Access::Write, 1).unwrap().execute("INSERT INTO marks VALUES ('before', 1)", []).unwrap();
        let in_the_way = folder.path().join("scrubjay.db.before-0002.part");
        std::fs::create_dir(&in_the_way).unwrap();
        let next = [FIRST[0], "INSERT INTO marks VALUES ('after', 2);"];
        let error = prepare(folder.path(), 1, &next).unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable { reason, .. } if reason.contains("before-0002")), "{error:?}");
        assert_eq!(marks(&file), ["before"]);
        prepare(folder.path(), 1, FIRST).unwrap();

        std::fs::remove_dir(&in_the_way).unwrap();
        prepare(folder.path(), 1, &next).unwrap();
        assert_eq!(marks(&file).len(), 2, "once there is room for the copy it goes on");
        let copy = folder.path().join("scrubjay.db.before-0002");
        prepare(folder.path(), 1, &next).unwrap();
        assert_eq!(marks(&copy), ["before"], "a file that is up to date is not copied again");
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = prepare(folder.path(), 1, FIRST).unwrap();
        let next = [FIRST[0], "INSERT INTO marks VALUES ('half', 1); INSERT INTO nowhere VALUES (1);"];
        prepare(folder.path(), 1, &next).unwrap_err();
        prepare(folder.path(), 1, FIRST).unwrap();
        assert!(marks(&file).is_empty());
    }

    #[test]
    fn a_cached_statement_is_not_parsed_anew_for_each_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = prepare(folder.path(), 1, MIGRATIONS).unwrap();
        let db = connect(&file, Access::Write, 1).unwrap();
        let mut lanes = db.prepare("SELECT user_id FROM activity WHERE turn_next <= ?1 ORDER BY turn_next LIMIT ?2").unwrap();
        for value in 0..10 {
            assert!(!lanes.exists([value, 1]).unwrap());
        }
        assert_eq!(lanes.get_status(StatementStatus::RePrepare), 0);
    }
}
