//! The servers of tests are what tests take them for.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, error::Result};

use super::{Database, Kind, Server};

/// What the server says of itself to a client of this address.
async fn hello(uri: &str) -> Result<Document> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut options = ClientOptions::parse(uri).await?;
    options.server_selection_timeout = Some(Duration::from_secs(5));
    let client = Client::with_options(options)?;
    client.database("tea").collection("cups").insert_one(doc! { "full": true }).await?;
    client.database("admin").run_command(doc! { "hello": 1 }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_has_a_database_of_its_own_that_goes_away() {
    let one = Database::new();
    let other = Database::new();
    one.open().await.collection("notes").insert_one(doc! { "text": "tea" }).await.unwrap();
    assert_eq!(other.open().await.collection::<Document>("notes").count_documents(doc! {}).await.unwrap(), 0);
    let (uri, name) = (one.uri.clone(), one.name.clone());
    drop(one);
    let names = Client::with_uri_str(uri).await.unwrap().list_database_names().await.unwrap();
    assert!(!names.contains(&name), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_asks_for_its_password_and_its_certificate_and_keeps_its_data() {
    let mut server = Server::start(Kind { auth: true, tls: true, durable: true, ..Kind::default() });
    assert!(hello(&server.uri()).await.unwrap().contains_key("setName"));
    assert!(hello(&server.bare_uri()).await.is_err(), "it wants TLS");
    let without_password = server.uri().replace("keeper:p%40ss%2Fw%3Ard@", "");
    assert!(hello(&without_password).await.is_err(), "it wants a password");
    server.kill();
    server.run();
    hello(&server.uri()).await.unwrap();
    let cups = Database { uri: server.uri(), name: "tea".to_owned() };
    assert_eq!(cups.open().await.collection::<Document>("cups").count_documents(doc! {}).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_server_is_no_replica_set() {
    let mut server = Server::start(Kind { standalone: true, ..Kind::default() });
    assert!(!hello(&server.uri()).await.unwrap().contains_key("setName"));
    server.stop();
}
