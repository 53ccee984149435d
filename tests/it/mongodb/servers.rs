//! The kinds of servers that there are: each takes a text, answers it, sends it, and remembers what it was told.

use scrubjay::domain::graph::{Detail, GraphLimits, NewEntity};
use scrubjay::store::StoreError;

use super::open;
use crate::contract::fixture::{ANN, Fixture};
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
