//! The kinds of servers that there are: each keeps the contract.

use mongodb::bson::{DateTime, Document, doc};
use scrubjay::store::{Accepted, StoreError};

use super::open;
use crate::contract::CASES;
use crate::contract::fixture::{ANN, Fixture};
use crate::contract::schedules::new;
use crate::support::knobs::knob;
use crate::support::mongo::{Database, Kind, Server};
use crate::support::wire::Wire;

/// The share of the contract that every kind of server is put through: what a unit decides alone and against others, and the reads
/// that need an order or an index. `SCRUBJAY_TEST_WHOLE_CONTRACT=1` takes all of it.
const SHARE: &[(&str, &[&str])] = &[
    ("accepting", &[]),
    ("accounts", &["many_who_ask_at_once_get_one_account"]),
    ("changes", &["a_change_is_made_with_its_word_and_only_once"]),
    ("consent", &["an_opt_out_stops_everything_but_its_confirmation"]),
    ("conversations", &["a_deleted_conversation_is_gone_and_stays_gone", "conversations_are_listed_by_their_newest_message"]),
    ("credits", &["a_reply_holds_before_and_settles_after"]),
    ("deliveries", &["parts_leave_one_after_the_other", "an_attempt_whose_process_died_is_looked_up", "a_status_never_goes_back"]),
    ("graph", &["an_entity_that_is_there_is_merged", "writers_side_by_side_lose_nothing"]),
    ("isolation", &[]),
    ("jobs", &["jobs_are_listed_replies_first"]),
    ("listings", &["people_and_tokens_are_listed_oldest_first", "marks_never_go_back"]),
    ("schedules", &["of_many_processes_one_fires"]),
    ("steps", &["who_lost_the_lease_records_no_step"]),
    ("summaries", &["one_of_several_makes_a_summary"]),
    ("todos", &["sixteen_at_once_write_an_equal_item_once_and_different_ones_each"]),
    (
        "turns",
        &[
            "a_lease_that_ran_out_is_taken_over_and_its_holder_writes_nothing",
            "two_processes_lease_each_turn_once",
            "daily_limits_count_turns_that_begin",
        ],
    ),
];

/// Runs the contract's cases on that server, each in a database of its own.
fn keeps_the_contract(server: &Server) {
    keeps_the_contract_at(&server.uri());
}

fn keeps_the_contract_at(uri: &str) {
    let whole = knob("SCRUBJAY_TEST_WHOLE_CONTRACT", 0) > 0;
    let is_chosen = |module: &str, case: &str| {
        let share = SHARE.iter().find(|(of, _)| *of == module);
        whole || share.is_some_and(|(_, cases)| cases.is_empty() || cases.contains(&case))
    };
    let chosen: Vec<_> = CASES.iter().filter(|(module, case, _)| is_chosen(module, case)).collect();
    let named: usize = SHARE.iter().map(|(_, cases)| cases.len().max(1)).sum();
    assert!(chosen.len() >= named, "a case of the share is not in the contract any more: {named} are named, {} found", chosen.len());
    let begun = std::time::Instant::now();
    for (module, case, run) in &chosen {
        eprintln!("{module}::{case}");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(run(Fixture::on(Database::at(uri.to_owned()))));
    }
    eprintln!("{} of {} cases of the contract in {:?}", chosen.len(), CASES.len(), begun.elapsed());
}

#[test]
fn one_that_is_no_replica_set_keeps_the_contract() {
    let server = Server::start(Kind { standalone: true, ..Kind::default() });
    keeps_the_contract(&server);
    // It has no change streams, and says so: what other processes do is asked for.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let f = Fixture::on(Database::at(server.uri()));
        assert!(f.store.news().await.unwrap().is_none());
        crate::contract::elsewhere::what_ends_in_another_process_is_seen_here(f).await;
    });
}

#[test]
fn one_that_is_older_than_8_0_keeps_the_contract() {
    let server = Server::start(Kind::default());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let wire = runtime.block_on(Wire::to_older(&server.uri()));
    keeps_the_contract_at(&wire.uri);
    let seen = wire.take_commands();
    assert!(seen.contains_key("update") && !seen.contains_key("bulkWrite"), "{seen:?}");
}

#[test]
fn one_that_asks_for_a_password_keeps_the_contract() {
    keeps_the_contract(&Server::start(Kind { auth: true, ..Kind::default() }));
}

#[test]
fn one_that_speaks_tls_keeps_the_contract() {
    keeps_the_contract(&Server::start(Kind { tls: true, ..Kind::default() }));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_asks_for_a_password_over_tls_and_is_killed() {
    let mut server = Server::start(Kind { auth: true, tls: true, durable: true, ..Kind::default() });
    let f = Fixture::on(Database::at(server.uri()));
    let receipt = f.texted(ANN, "hello").await;
    f.drain().await;
    server.kill();
    server.run();
    f.texted(ANN, "still there?").await;
    assert_eq!(f.said(receipt).await, ["hello", "re: hello", "still there?"], "what was acknowledged is there");

    for (uri, said) in [
        (server.uri().replace("p%40ss%2Fw%3Ard", "s3cret-guess"), "does not let us in"),
        (server.uri().replace("keeper:p%40ss%2Fw%3Ard@", ""), "does not let us in"),
        (server.bare_uri(), "did not answer within"),
    ] {
        let error = open(&Database { uri, name: "any".to_owned() }).err().expect("it lets nobody else in");
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        let error = error.to_string();
        assert!(error.contains(said) && !error.contains("s3cret") && !error.contains("keeper"), "{error}");
    }
}

/// A process that dies between its commit and what it staged: nobody hears of that person again, and the reminder comes all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_staged_is_applied_by_whoever_looks_for_work() {
    let server = Server::start(Kind::default());
    let f = Fixture::on(Database::at(server.uri()));
    let ann = f.texted(ANN, "hello").await.user_id;
    f.drain().await;
    let database = f.database().open().await;
    let (schedules, heads) = (database.collection::<Document>("scrubjay_schedules"), database.collection::<Document>("scrubjay_heads"));
    f.store.figures().await.unwrap();
    let fails = doc! { "failCommands": ["bulkWrite"], "errorCode": 96 };
    let armed = doc! { "configureFailPoint": "failCommand", "mode": "alwaysOn", "data": fails };
    database.client().database("admin").run_command(armed).await.unwrap();
    f.store.add_schedule(ann, new("drink tea", 1), 50).await.unwrap();
    assert_eq!(schedules.count_documents(doc! {}).await.unwrap(), 0, "it is committed and not applied");
    let disarmed = doc! { "configureFailPoint": "failCommand", "mode": "off" };
    database.client().database("admin").run_command(disarmed).await.unwrap();

    f.advance(60_000);
    assert_eq!(f.store.list_due_schedules(10).await.unwrap().due.len(), 0, "its process may still be about to apply it");
    let long_ago = doc! { "$set": { "stagedSince": DateTime::from_millis(0) } };
    heads.update_one(doc! { "stagedSince": { "$exists": true } }, long_ago).await.unwrap();
    assert_eq!(f.store.list_due_schedules(10).await.unwrap().due.len(), 1);
    assert_eq!(heads.count_documents(doc! { "stagedSince": { "$exists": true } }).await.unwrap(), 0);
}

/// A process asks whether a text came before and is answered late. Meanwhile another takes the text in, and the first sees the person
/// as they are then, because there is work.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_another_process_took_in_meanwhile_is_not_taken_in_again() {
    let server = Server::start(Kind::default());
    let f = Fixture::on(Database::at(server.uri()));
    let receipt = f.texted(ANN, "one").await;
    f.drain().await;
    let (other, text) = (f.open_again(), f.text(ANN, "two"));
    let slow = doc! { "failCommands": ["find"], "blockConnection": true, "blockTimeMS": 2_000 };
    let armed = doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": slow };
    f.database().open().await.client().database("admin").run_command(armed).await.unwrap();
    let (store, same) = (std::sync::Arc::clone(&f.store), text.clone());
    let late = tokio::spawn(async move { store.accept(same).await.unwrap() });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let Accepted::Stored(stored) = other.accept(text).await.unwrap() else { panic!("it is new") };
    let work = f.lease().await;
    assert_eq!(late.await.unwrap(), Accepted::Repeat(stored));
    assert_eq!(work.len(), 1);
    f.answer(&work[0], "re: two").await;
    f.drain().await;
    assert_eq!(f.said(receipt).await, ["one", "re: one", "two", "re: two"]);
}
