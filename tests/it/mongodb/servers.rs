//! The kinds of servers that there are: each takes a text, answers it, sends it, and remembers what it was told.

use mongodb::bson::{DateTime, Document, doc};
use scrubjay::domain::graph::{Detail, GraphLimits, NewEntity};
use scrubjay::domain::schedule::{Mode, When, Zone};
use scrubjay::store::{NewSchedule, StoreError};

use super::open;
use crate::contract::fixture::{ANN, Fixture, NOON};
use crate::support::mongo::{Database, Kind, Server};

/// A text, its answer on its way to the phone, and a fact.
async fn a_short_life(f: &Fixture) {
    let receipt = f.texted(ANN, "hello").await;
    let turn = f.lease_one().await;
    f.store.complete_turn(&turn.lease, f.answered("hi there", &["hi there"])).await.unwrap();
    assert_eq!(f.send_all().await, ["hi there"]);
    assert_eq!(f.said(receipt).await, ["hello", "hi there"]);
    f.assert_chain(receipt.user_id, receipt.conversation_id).await;
    let limits =
        GraphLimits { name_characters: 100, observation_characters: 100, items: 10, entities: 10, observations: 10, relations: 10 };
    let tea = NewEntity { name: "Ann".to_owned(), entity_type: "person".to_owned(), observations: vec!["drinks tea".to_owned()] };
    f.store.create_entities(receipt.user_id, vec![tea], None, limits).await.unwrap();
    let opened = f.store.open_nodes(receipt.user_id, vec!["Ann".to_owned()], Detail::Plain, 1_000).await.unwrap();
    assert_eq!(opened.found.entities[0].observations[0].text, "drinks tea");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_asks_for_a_password_over_tls_and_is_killed() {
    let mut server = Server::start(Kind { auth: true, tls: true, durable: true, ..Kind::default() });
    let f = Fixture::on(Database::at(server.uri()));
    a_short_life(&f).await;
    server.kill();
    server.run();
    let receipt = f.texted(ANN, "still there?").await;
    assert_eq!(f.said(receipt).await, ["hello", "hi there", "still there?"], "what was acknowledged is there");

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

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_no_replica_set() {
    let mut server = Server::start(Kind { standalone: true, ..Kind::default() });
    a_short_life(&Fixture::on(Database::at(server.uri()))).await;
    server.stop();
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
    let fails = doc! { "failCommands": ["bulkWrite"], "errorCode": 96 };
    let armed = doc! { "configureFailPoint": "failCommand", "mode": "alwaysOn", "data": fails };
    database.client().database("admin").run_command(armed).await.unwrap();
    let at = NOON.after(std::time::Duration::from_mins(1));
    let tea = NewSchedule {
        name: "tea".to_owned(),
        message: "drink tea".to_owned(),
        mode: Mode::Remind,
        when: When::Once(at),
        zone: Zone::utc(),
        anchor: NOON,
        next_run: at,
        conversation_id: None,
        same_within: std::time::Duration::ZERO,
    };
    f.store.add_schedule(ann, tea, 50).await.unwrap();
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
