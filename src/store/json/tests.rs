//! A process that dies at any step of writing files, or of putting back what it could not store.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::checkpoint::Why;
use super::pen::applied;
use super::steps::die_after;
use super::*;
use crate::config::Config;
use crate::config::sections::Backend;
use crate::domain::graph::{GraphLimits, NewEntity};
use crate::domain::ids::UserId;
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::domain::todo::{TodoChange, TodoId};
use crate::store::sqlite::Journal as _;
use crate::store::{Consent, NewAccount, NewPerson, NewTodo, SharedStore, Whose};

const NOON: Timestamp = Timestamp::from_millis(1_795_348_800_000);
/// Stands nowhere else.
const SECRET: &[u8] = b"qzxjvkwq";

fn storage(folder: &Path) -> Storage {
    Storage { backend: Backend::Json, path: folder.to_owned(), ..Config::from_toml("").unwrap().storage }
}

fn clock() -> Clock {
    Clock::set_to(NOON)
}

fn opened(folder: &Path) -> SharedStore {
    crate::store::open(&storage(folder), clock()).unwrap()
}

/// Everything a store holds, a line a record.
async fn lines(store: &SharedStore) -> Vec<String> {
    let mut snapshot = store.snapshot(Whose::Everybodys).await.unwrap();
    let mut lines = Vec::new();
    while let Some(batch) = snapshot.next().await {
        lines.extend(batch.unwrap().iter().map(|record| record.to_json().unwrap()));
    }
    lines
}

async fn person(store: &SharedStore, clock: &Clock, number: &str) -> UserId {
    let person = NewPerson { id: clock.user_id(), email_domain: "sms.librechat.ai".to_owned(), start_credits: None };
    let phone = Some(PhoneNumber::from_stored(number).unwrap());
    store.open_account(NewAccount { phone, person }).await.unwrap().id
}

async fn todo(store: &SharedStore, user: UserId, text: &str) -> TodoId {
    let new = NewTodo { text: text.to_owned(), category: None, priority: None, due: None, parent: None };
    store.add_todo(user, new, 100).await.unwrap().todo.id
}

async fn remember(store: &SharedStore, user: UserId, name: &str, observation: &str) {
    let limits =
        GraphLimits { name_characters: 100, observation_characters: 100, items: 100, entities: 100, observations: 100, relations: 100 };
    let new = NewEntity { name: name.to_owned(), entity_type: "thing".to_owned(), observations: vec![observation.to_owned()] };
    store.create_entities(user, vec![new], None, limits).await.unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            let _bytes = std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The files that have the secret in them.
fn traces(folder: &Path) -> Vec<PathBuf> {
    // Files come and go meanwhile.
    let has = |path: &PathBuf| std::fs::read(path).is_ok_and(|bytes| bytes.windows(SECRET.len()).any(|window| window == SECRET));
    files(folder).into_iter().filter(has).collect()
}

fn checkpoint(folder: &Path) -> Checkpoint {
    let layout = Layout { root: super::folder(&storage(folder)) };
    let store = Identity::read(&layout).unwrap().unwrap().store;
    let file = file_in(&layout.index());
    Checkpoint { layout, store, file, clock: clock() }
}

/// A folder as a killed process leaves it: files, their copies, and a journal with all that changes them. What has the secret was
/// deleted, a person is gone, another has nothing left of one kind. Returns the folder and what the store holds.
async fn left_by_a_killed_process() -> (tempfile::TempDir, Vec<String>) {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let store = opened(folder.path());
    let (ann, bob) = (person(&store, &clock, "+15550000001").await, person(&store, &clock, "+15550000002").await);
    let first = todo(&store, ann, "the word is qzxjvkwq").await;
    for user in [ann, bob] {
        remember(&store, user, "Ada", "the word is qzxjvkwq").await;
    }
    todo(&store, bob, "the word is qzxjvkwq").await;
    store.set_mark("a mark", NOON).await.unwrap();
    store.close().await;

    let store = opened(folder.path());
    // Whoever writes the files waits.
    let held = lock_file(&checkpoint(folder.path()).layout.checkpoint_lock()).unwrap();
    held.lock().unwrap();
    let eve = person(&store, &clock, "+15550000003").await;
    let second = todo(&store, ann, "qzxjvkwq again").await;
    store.change_todo(ann, second, vec![TodoChange::Text("stays".to_owned())]).await.unwrap();
    store.delete_todo(ann, first).await.unwrap();
    store.record_consent(&PhoneNumber::from_stored("+15550000004").unwrap(), Consent::OptOut, NOON).await.unwrap();
    remember(&store, eve, "Babbage", "stays").await;
    store.delete_graph(ann).await.unwrap();
    store.erase_person(bob).await.unwrap();
    while store.erase_left_over(100).await.unwrap() {}
    let wanted = lines(&store).await;
    let killed = tempfile::tempdir().unwrap();
    copy(folder.path(), killed.path());
    held.unlock().unwrap();
    store.close().await;
    // Its index is put in order, no more: whoever comes for a moment writes no files.
    opened(killed.path()).close().await;
    (killed, wanted)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_step_of_writing_files_a_process_dies_at_nothing_is_lost_and_what_was_forgotten_goes() {
    let (killed, wanted) = left_by_a_killed_process().await;
    assert!(!traces(killed.path()).is_empty(), "the test can see it");
    // A run of a debug build tries each eighth step; which ones, chance says.
    let stride = if cfg!(debug_assertions) { 8 } else { 1 };
    let mut steps = usize::try_from(std::process::id()).unwrap() % stride;
    loop {
        let folder = tempfile::tempdir().unwrap();
        copy(killed.path(), folder.path());
        let layout = checkpoint(folder.path()).layout;
        trust::mark_used(&layout).unwrap();

        die_after(Some(steps));
        let died = checkpoint(folder.path()).run(Why::Forgotten).is_err();
        die_after(None);

        if steps % 2 == 0 {
            std::fs::remove_dir_all(layout.index()).unwrap();
        }
        let store = opened(folder.path());
        assert_eq!(lines(&store).await, wanted, "after {steps} steps");
        // Something more, so that files are written that were not under way.
        store.set_mark("another mark", NOON).await.unwrap();
        let wanted = lines(&store).await;
        store.close().await;
        checkpoint(folder.path()).run(Why::Forgotten).unwrap();
        assert_eq!(traces(&layout.root), Vec::<PathBuf>::new(), "after {steps} steps");
        // What the files say is all of it.
        std::fs::remove_dir_all(layout.index()).unwrap();
        let store = opened(folder.path());
        assert_eq!(lines(&store).await, wanted, "from the files written after {steps} steps");
        store.close().await;
        if !died {
            break;
        }
        steps += stride;
    }
    assert!(steps > 100, "{steps} steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_left_to_be_forgotten_goes_with_the_next_one_that_stays() {
    let (killed, wanted) = left_by_a_killed_process().await;
    let store = opened(killed.path());
    let begun = Instant::now();
    while let [first, ..] = &traces(killed.path())[..] {
        assert!(begun.elapsed() < Duration::from_mins(1), "it is in {}", first.display());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(lines(&store).await, wanted);
    store.close().await;
}

/// A connection that writes, with its journal.
fn writing(folder: &Path) -> (Connection, Pen, PathBuf) {
    let Checkpoint { layout, store, file, .. } = checkpoint(folder);
    let db = connect(&file, Access::Write, 1).unwrap();
    let mut pen = Pen::new(&layout, &store, Arc::new(Signals::default())).unwrap();
    pen.attach(&db).unwrap();
    (db, pen, file)
}

/// A batch of one unit, as the writer does it; true when it is stored.
fn stored(db: &Connection, pen: &mut Pen, file: &Path, mark: &str) -> bool {
    batch(db, pen, file, mark).is_ok()
}

/// The same. What is not stored comes with what became of taking it back.
fn batch(db: &Connection, pen: &mut Pen, file: &Path, mark: &str) -> Result<(), StoreResult<()>> {
    let unit = Unit { db, now: NOON, file };
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let kept = pen.begun(&unit).and_then(|()| {
        db.execute("INSERT INTO marks (name, moment) VALUES (?1, 1)", [mark])?;
        pen.done(&unit)?;
        pen.keep(&unit)
    });
    if kept.is_ok() {
        db.execute_batch("COMMIT").unwrap();
        pen.committed();
        return Ok(());
    }
    let taken_back = pen.rolled_back();
    db.execute_batch("ROLLBACK").unwrap();
    Err(taken_back)
}

fn marks(db: &Connection) -> BTreeSet<String> {
    let mut marks = db.prepare("SELECT name FROM marks").unwrap();
    marks.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_did_not_take_is_taken_back_as_soon_as_it_can_be_and_writing_goes_on() {
    for steps in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        opened(folder.path()).close().await;
        let (db, mut pen, file) = writing(folder.path());
        assert!(stored(&db, &mut pen, &file, "before"));
        let before = applied(&db).unwrap().unwrap();
        // Neither the line nor its taking back.
        die_after(Some(steps));
        let is_stored = stored(&db, &mut pen, &file, "lost");
        assert_eq!(is_stored, steps == 3, "{steps} steps");
        assert_eq!(applied(&db).unwrap().unwrap() == before, !is_stored);
        if !is_stored {
            assert!(!stored(&db, &mut pen, &file, "lost as well"), "while it cannot be taken back");
        }
        die_after(None);
        assert!(stored(&db, &mut pen, &file, "after"), "it goes on by itself");
        let wanted: Vec<&str> = if is_stored { vec!["after", "before", "lost"] } else { vec!["after", "before"] };
        assert_eq!(marks(&db).iter().map(String::as_str).collect::<Vec<_>>(), wanted);
        drop((db, pen));
        std::fs::remove_dir_all(folder.path().join("json/index")).unwrap();
        opened(folder.path()).close().await;
        assert_eq!(marks(&connect(&file, Access::Read, 1).unwrap()).iter().map(String::as_str).collect::<Vec<_>>(), wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_taken_back_and_another_process_found_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    opened(folder.path()).close().await;
    let (db, mut pen, file) = writing(folder.path());
    // Both halves of the line, but not the flush, nor the taking back.
    die_after(Some(2));
    let taken_back = batch(&db, &mut pen, &file, "perhaps").unwrap_err();
    assert!(taken_back.unwrap_err().outcome_is_unknown(), "whoever asked for it reads that it may be stored");
    die_after(None);
    let (other_db, mut other, _file) = writing(folder.path());
    assert!(stored(&other_db, &mut other, &file, "theirs"));
    assert!(stored(&db, &mut pen, &file, "ours"));
    assert_eq!(marks(&db).iter().map(String::as_str).collect::<Vec<_>>(), ["ours", "perhaps", "theirs"]);
}
