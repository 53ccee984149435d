//! What was forgotten is in no file any more: not in the table, the search index, free pages or the write-ahead log, nor in JSON
//! files, their copies and the journal.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use scrubjay::domain::graph::{NewEntity, ObservationId, Relation};
use scrubjay::domain::ids::UserId;
use scrubjay::domain::schedule::{Mode, When, Zone};
use scrubjay::domain::todo::TodoChange;
use scrubjay::store::{NamedObservation, NewSchedule, NewTodo, PageRequest, ScheduleChange, SharedStore};

use super::fixture::{ANN, BOB, Fixture};
use super::graph::{LIMITS, new, relation};

/// Words that stand nowhere else, and what the index keeps of them: three characters in a row.
const SECRETS: [&str; 3] = ["qzxjvkwq", "Qzxjvkwq", "zxj"];

/// Whether any file of the store has one of the secrets in it.
fn traces(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(traces(&path));
            continue;
        }
        // Files come and go meanwhile.
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for secret in SECRETS {
            if bytes.windows(secret.len()).any(|window| window == secret.as_bytes()) {
                found.push(format!("{secret} in {}", path.display()));
            }
        }
    }
    found
}

/// Waits until the files have no trace: the log is emptied by a thread of its own, soon.
fn assert_forgotten(f: &Fixture, what: &str) {
    let begun = Instant::now();
    loop {
        let found = traces(&f.settings.path);
        if found.is_empty() {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: {found:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Erases what is left over, as a recurring duty does.
async fn erase(store: &SharedStore) {
    while store.erase_left_over(100).await.unwrap() {}
}

async fn remember_secrets(f: &Fixture, user: UserId) {
    let entities = vec![
        new("Ada", "person", &["the word is qzxjvkwq", "plain"]),
        new("Qzxjvkwq", "secret", &[]),
        new("Bob", "Qzxjvkwq", &["also Qzxjvkwq"]),
    ];
    f.store.create_entities(user, entities, None, LIMITS).await.unwrap();
    f.store.create_relations(user, vec![relation("Ada", "qzxjvkwq", "Bob")], LIMITS).await.unwrap();
    // Others' words lie around them in the same pages of the index.
    let around: Vec<NewEntity> = (0..200).map(|number| new(&format!("note {number}"), "note", &["something else entirely"])).collect();
    f.store.create_entities(user, around, None, LIMITS).await.unwrap();
    assert!(!traces(&f.settings.path).is_empty(), "the test can see them");
}

#[test]
fn what_was_forgotten_is_in_no_file() {
    super::run("sqlite", forgotten);
}

#[test]
fn what_was_forgotten_is_in_no_json_file() {
    super::run("json", forgotten);
}

async fn forgotten(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    remember_secrets(&f, user).await;
    let named = |entity: &str, text: &str| NamedObservation { entity: entity.to_owned(), text: text.to_owned() };
    f.store.delete_observations(user, vec![named("Ada", "the word is qzxjvkwq")]).await.unwrap();
    let gone: Vec<Relation> = vec![relation("Ada", "qzxjvkwq", "Bob")];
    f.store.delete_relations(user, gone).await.unwrap();
    let facts = f.store.list_facts(user, PageRequest::first(500)).await.unwrap().items;
    let number: ObservationId = facts.iter().find(|fact| fact.entity == "Bob").unwrap().observation.id;
    f.store.delete_observation(user, number).await.unwrap().unwrap();
    f.store.delete_entities(user, vec!["Qzxjvkwq".to_owned(), "Bob".to_owned()]).await.unwrap();
    assert_forgotten(&f, "piece by piece");

    remember_secrets(&f, user).await;
    f.store.delete_graph(user).await.unwrap();
    erase(&f.store).await;
    assert_forgotten(&f, "all at once");
    f.store.close().await;
    assert_eq!(traces(&f.settings.path), Vec::<String>::new());
}

#[test]
fn what_a_text_said_before_it_was_replaced_is_in_no_file() {
    super::run("sqlite", replaced);
}

#[test]
fn what_a_text_said_before_it_was_replaced_is_in_no_json_file() {
    super::run("json", replaced);
}

async fn replaced(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    let secret = "the word is qzxjvkwq".to_owned();
    let new = NewTodo { text: secret.clone(), category: None, priority: None, due: None, parent: None };
    let todo = f.store.add_todo(user, new, 10).await.unwrap().todo;
    assert!(!traces(&f.settings.path).is_empty(), "the test can see it");
    f.store.change_todo(user, todo.id, vec![TodoChange::Text("buy milk".to_owned())]).await.unwrap();
    assert_forgotten(&f, "an item");

    let at = f.clock.now().after(Duration::from_mins(5));
    let new = NewSchedule {
        name: secret.clone(),
        message: secret,
        mode: Mode::Remind,
        when: When::Once(at),
        zone: Zone::utc(),
        anchor: at,
        next_run: at,
        conversation_id: None,
        same_within: Duration::ZERO,
    };
    let made = f.store.add_schedule(user, new, 10).await.unwrap().schedule;
    assert!(!traces(&f.settings.path).is_empty(), "the test can see it");
    let changes = vec![ScheduleChange::Name("drink".to_owned()), ScheduleChange::Message("drink".to_owned())];
    f.store.change_schedule(user, made.id, made.revision, changes, 10).await.unwrap();
    assert_forgotten(&f, "a schedule");
}

#[test]
fn of_a_person_who_is_erased_no_json_file_says_a_word() {
    super::run("json", everything_of_a_person);
}

#[test]
fn of_a_person_who_is_erased_no_file_says_a_word() {
    super::run("sqlite", everything_of_a_person);
}

/// Erased right after everything was written, and again when it lies in the files for long.
async fn everything_of_a_person(f: Fixture) {
    for lies_in_the_files in [false, true] {
        let mut user = f.texted(BOB, "stays").await.user_id;
        for number in 0..3 {
            user = f.texted(ANN, &format!("the word {number} is qzxjvkwq")).await.user_id;
        }
        f.drain().await;
        let turn = f.texted(ANN, "qzxjvkwq, once more").await;
        f.store.complete_turn(&f.lease_one().await.lease, f.answered("qzxjvkwq!", &["qzxjvkwq!"])).await.unwrap();
        f.texted(ANN, "qzxjvkwq, not answered yet").await;
        remember_secrets(&f, user).await;
        let secret = "the word is qzxjvkwq".to_owned();
        let new = NewTodo { text: secret.clone(), category: Some(secret.clone()), priority: None, due: None, parent: None };
        f.store.add_todo(user, new, 10).await.unwrap();
        let at = f.clock.now().after(Duration::from_mins(5));
        let new = NewSchedule {
            name: secret.clone(),
            message: secret,
            mode: Mode::Ask,
            when: When::Once(at),
            zone: Zone::utc(),
            anchor: at,
            next_run: at,
            conversation_id: Some(turn.conversation_id),
            same_within: Duration::ZERO,
        };
        f.store.add_schedule(user, new, 10).await.unwrap();
        let store = if lies_in_the_files {
            f.store.close().await;
            f.open_again()
        } else {
            f.store.clone()
        };
        assert!(!traces(&f.settings.path).is_empty(), "the test can see it");
        store.erase_person(user).await.unwrap();
        erase(&store).await;
        assert_forgotten(&f, "everything");
        assert_eq!(store.list_users(PageRequest::first(10)).await.unwrap().items.len(), 1, "the other stays");
        if lies_in_the_files {
            store.close().await;
        }
    }
    assert_eq!(traces(&f.settings.path), Vec::<String>::new());
}

#[test]
fn a_person_who_is_erased_takes_the_graph_along() {
    super::run("sqlite", |f| async move {
        let (ann, bob) = (f.texted(ANN, "x").await.user_id, f.texted(BOB, "x").await.user_id);
        remember_secrets(&f, ann).await;
        f.store.create_entities(bob, vec![new("Ada", "person", &["stays"])], None, LIMITS).await.unwrap();
        f.store.close().await;
        let file = f.settings.path.join("scrubjay.db");
        let db = Connection::open(&file).unwrap();
        db.execute_batch("PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF; PRAGMA journal_mode = DELETE;")
            .unwrap();
        db.execute("DELETE FROM people WHERE user_id = ?1", [ann.as_bytes()]).unwrap();
        drop(db);
        let store = f.open_again();
        assert!(store.find_user(ann).await.unwrap().is_none());
        erase(&store).await;
        store.close().await;
        let db = Connection::open(&file).unwrap();
        let rows = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(rows("SELECT count(*) FROM graphs"), 1);
        assert_eq!(rows("SELECT count(*) FROM entities"), 1);
        assert_eq!(rows("SELECT count(*) FROM graph_index"), 2, "his entity and his observation");
        db.execute_batch("INSERT INTO graph_index (graph_index) VALUES ('integrity-check')").unwrap();
        drop(db);
        assert_eq!(traces(&f.settings.path), Vec::<String>::new());
    });
}
