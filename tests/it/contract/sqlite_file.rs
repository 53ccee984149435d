//! The file of the SQLite backend: what opening it does, and what it refuses.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use scrubjay::domain::time::Timestamp;
use scrubjay::store::StoreError;

use super::fixture::{ANN, BOB, Fixture, owner};

fn in_runtime<F: Future<Output = ()>>(case: impl FnOnce(Fixture) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(case(Fixture::open("sqlite")));
}

fn file(f: &Fixture) -> PathBuf {
    f.settings.path.join("scrubjay.db")
}

/// Closes the store and changes its file by hand.
async fn by_hand(f: &Fixture, statements: &str) {
    f.store.close().await;
    Connection::open(file(f)).unwrap().execute_batch(statements).unwrap();
}

fn refusal(f: &Fixture) -> StoreError {
    match scrubjay::store::open(&f.settings, f.clock.clone()) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

#[test]
fn what_was_stored_is_there_after_reopening() {
    in_runtime(|f| async move {
        let receipt = f.texted(ANN, "hello").await;
        f.store.close().await;
        assert!(matches!(f.store.accept(f.text(ANN, "late")).await, Err(StoreError::Unavailable { .. })));
        assert!(matches!(f.store.find_user(receipt.user_id).await, Err(StoreError::Unavailable { .. })));
        let again = f.open_again();
        assert!(again.find_user(receipt.user_id).await.unwrap().is_some());
        again.check().await.unwrap();
        let wal = f.settings.path.join("scrubjay.db-wal");
        again.close().await;
        assert!(!wal.exists(), "the log is in the file");
    });
}

#[test]
fn whether_there_is_a_store_is_told_without_making_one() {
    let folder = tempfile::tempdir().unwrap();
    let settings = super::fixture::settings("sqlite", folder.path());
    assert!(!scrubjay::store::exists(&settings));
    assert!(!settings.path.exists(), "looking makes nothing");
    drop(scrubjay::store::open(&settings, scrubjay::clock::Clock::system()).unwrap());
    assert!(scrubjay::store::exists(&settings));
}

#[test]
fn folder_and_file_are_their_owners_alone() {
    in_runtime(|f| async move {
        f.texted(ANN, "hello").await;
        let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(f.settings.path.clone()), 0o700);
        assert_eq!(mode(file(&f)), 0o600);
        assert_eq!(mode(f.settings.path.join("scrubjay.db-wal")), 0o600);
    });
}

#[test]
fn a_newer_file_is_refused_with_the_way_out() {
    in_runtime(|f| async move {
        by_hand(&f, "PRAGMA user_version = 9999").await;
        let error = refusal(&f);
        assert!(matches!(error, StoreError::Unsupported { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("scrubjay.db") && text.contains("9999") && text.contains("newer release"), "{text}");
    });
}

#[test]
fn a_file_of_another_program_or_backend_is_left_alone() {
    in_runtime(|f| async move {
        by_hand(&f, "UPDATE meta SET value = 'mongodb' WHERE key = 'backend'").await;
        assert!(refusal(&f).to_string().contains("mongodb"));
        std::fs::remove_file(file(&f)).unwrap();
        Connection::open(file(&f)).unwrap().execute_batch("CREATE TABLE theirs (x); PRAGMA application_id = 7").unwrap();
        let before = std::fs::read(file(&f)).unwrap();
        let error = refusal(&f);
        assert!(matches!(&error, StoreError::Unsupported { reason } if reason.contains("another program")), "{error:?}");
        assert_eq!(std::fs::read(file(&f)).unwrap(), before);
    });
}

#[test]
fn a_damaged_file_is_named_and_never_replaced() {
    in_runtime(|f| async move {
        f.texted(ANN, "hello").await;
        f.store.close().await;
        let mut bytes = std::fs::read(file(&f)).unwrap();
        bytes[..100].fill(b'x');
        std::fs::write(file(&f), &bytes).unwrap();
        let error = refusal(&f);
        assert!(matches!(&error, StoreError::Corrupt { place, .. } if *place == file(&f)), "{error:?}");
        assert!(error.to_string().contains("restore a copy"), "{error}");
        assert_eq!(std::fs::read(file(&f)).unwrap(), bytes);
    });
}

#[test]
fn a_damaged_row_is_an_error_and_holds_up_nobody_else() {
    in_runtime(|f| async move {
        let ann = f.texted(ANN, "hello").await;
        f.texted(BOB, "hello").await;
        by_hand(&f, "UPDATE turns SET route_from = NULL, state = 'open', request = '{' WHERE number = 1").await;
        let again = f.open_again();
        let work = again.lease_turns(&owner(), 10, &super::fixture::no_limits()).await.unwrap().work;
        assert_eq!(work.len(), 1, "Bob is answered");
        assert_ne!(work[0].user.id, ann.user_id);
        again.close().await;

        let db = Connection::open(file(&f)).unwrap();
        db.execute_batch("UPDATE people SET caller_metadata = 'not JSON' WHERE phone = '+15550000001'").unwrap();
        drop(db);
        let again = f.open_again();
        let error = again.find_user(ann.user_id).await.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt { place, .. } if *place == file(&f)), "{error:?}");
    });
}

#[test]
fn a_damaged_schedule_holds_up_no_other_and_is_still_due_when_it_is_repaired() {
    in_runtime(|f| async move {
        let user = f.texted(ANN, "hello").await.user_id;
        let planned = f.clock.now().after(Duration::from_mins(1));
        for message in ["damaged", "sound"] {
            f.store.add_schedule(user, super::schedules::new(message, 1), 10).await.unwrap();
        }
        let db = Connection::open(file(&f)).unwrap();
        let rule: String = db.query_row("SELECT rule FROM schedules WHERE id = 1", [], |row| row.get(0)).unwrap();
        db.execute("UPDATE schedules SET rule = '{' WHERE id = 1", []).unwrap();
        f.advance(60_000);
        let due = async || -> Vec<(String, Option<Timestamp>)> {
            let found = f.store.list_due_schedules(1).await.unwrap().due;
            found.into_iter().map(|due| (due.schedule.message, due.schedule.next_run)).collect()
        };
        // The damaged one is the first and takes the one place; then it is left alone.
        assert_eq!(due().await, []);
        assert_eq!(due().await, [("sound".to_owned(), Some(planned))]);
        let next: i64 = db.query_row("SELECT next_run FROM schedules WHERE id = 1", [], |row| row.get(0)).unwrap();
        assert_eq!(next, planned.as_millis(), "a hold is no part of the row");
        f.advance(60_000);
        assert_eq!(due().await, [], "it is looked at again");
        db.execute("UPDATE schedules SET rule = ?1 WHERE id = 1", [&rule]).unwrap();
        f.advance(60_000);
        assert_eq!(due().await, [("damaged".to_owned(), Some(planned))]);
    });
}

#[test]
fn a_file_that_another_process_keeps_locked_is_unavailable_within_seconds() {
    in_runtime(|f| async move {
        let other = Connection::open(file(&f)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let begun = Instant::now();
        let error = f.store.accept(f.text(ANN, "hello")).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        assert!(matches!(&error, StoreError::Unavailable { reason, .. } if reason.contains("another process")), "{error:?}");
        assert!(f.store.find_user(f.clock.user_id()).await.unwrap().is_none(), "reading goes on");
        other.execute_batch("ROLLBACK").unwrap();
        f.texted(ANN, "hello").await;
    });
}

#[test]
fn many_processes_may_make_one_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let settings = super::fixture::settings("sqlite", folder.path());
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let settings = settings.clone();
            std::thread::spawn(move || scrubjay::store::open(&settings, scrubjay::clock::Clock::system()).map(drop))
        })
        .collect();
    for thread in opening {
        thread.join().unwrap().unwrap();
    }
}

#[test]
fn what_is_deleted_cannot_be_read_from_the_files() {
    in_runtime(|f| async move {
        let marked = "marked-secret-".repeat(400);
        let receipt = f.texted(ANN, &marked).await;
        f.drain().await;
        f.store.delete_conversation(receipt.user_id, receipt.conversation_id).await.unwrap();
        f.store.close().await;
        for entry in std::fs::read_dir(&f.settings.path).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(13).any(|window| window == b"marked-secret"));
        }
    });
}

#[test]
fn somebody_who_reads_for_long_keeps_no_writer_waiting() {
    in_runtime(|f| async move {
        let marked = "marked-secret-".repeat(400);
        // What comes behind a reader's moment stays in the log until it ends.
        let reading = Connection::open(file(&f)).unwrap();
        reading.execute_batch("BEGIN").unwrap();
        let _snapshot: i64 = reading.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap();
        let receipt = f.texted(ANN, &marked).await;
        // What was deleted must leave the log, which the reader stands in the way of.
        f.store.delete_conversation(receipt.user_id, receipt.conversation_id).await.unwrap();
        let mut slowest = Duration::ZERO;
        for _ in 0..30 {
            let begun = Instant::now();
            f.texted(ANN, "hello").await;
            slowest = slowest.max(begun.elapsed());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(slowest < Duration::from_secs(1), "a write waited for {slowest:?}");

        let readable = || {
            let log = std::fs::read(f.settings.path.join("scrubjay.db-wal")).unwrap();
            log.windows(13).any(|window| window == b"marked-secret")
        };
        assert!(readable(), "it is still in the log");
        reading.execute_batch("COMMIT").unwrap();
        let begun = Instant::now();
        while readable() {
            assert!(begun.elapsed() < Duration::from_secs(10), "the log is emptied soon after");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn any_number_of_checks_write_once_a_second() {
    in_runtime(|f| async move {
        let db = Connection::open(file(&f)).unwrap();
        let checked = || -> String { db.query_row("SELECT value FROM meta WHERE key = 'checked'", [], |row| row.get(0)).unwrap() };
        f.store.check().await.unwrap();
        let first = checked();
        f.advance(999);
        let asking: Vec<_> = (0..50)
            .map(|_| {
                let store = f.store.clone();
                tokio::spawn(async move { store.check().await })
            })
            .collect();
        for check in asking {
            check.await.unwrap().unwrap();
        }
        assert_eq!(checked(), first);
        f.advance(1);
        f.store.check().await.unwrap();
        assert_ne!(checked(), first, "it is really written");
    });
}

#[test]
fn a_username_that_is_taken_is_counted_up() {
    in_runtime(|f| async move {
        by_hand(
            &f,
            "INSERT INTO people (user_id, email, name, username, provider, role, email_verified, caller_metadata, first_contact, created_at,
                 updated_at)
             VALUES (x'000000000000000000000001', 'a@b', 'web', 'sms_15550000001', 'local', 'USER', 1, '{}', 1, 1, 1),
                 (x'000000000000000000000002', 'c@d', 'web', 'sms_15550000001_1', 'local', 'USER', 1, '{}', 1, 1, 1)",
        )
        .await;
        let again = f.open_again();
        again.accept(f.text(ANN, "hello")).await.unwrap();
        let user = again.find_user_by_phone(&super::fixture::phone(ANN)).await.unwrap().unwrap();
        assert_eq!(user.username, "sms_15550000001_2");
    });
}
