//! Opening a database: what is refused, and how that is said.

use std::time::{Duration, Instant};

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use scrubjay::clock::Clock;
use scrubjay::store::StoreError;

use super::{open, settings_of};
use crate::contract::fixture::{NOON, settings};
use crate::support::mongo::Database;

/// What opening that connection string says.
fn refusal(uri: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings("mongodb", folder.path());
    settings.mongodb.uri = uri.to_owned().into();
    settings.mongodb.timeout_seconds = 2;
    let begun = Instant::now();
    let error = scrubjay::store::open(&settings, Clock::set_to(NOON)).err().expect("nobody is there");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{uri} took {took:?}");
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_within_the_limit_with_the_way_out() {
    let nobody = refusal("mongodb://127.0.0.1:9/");
    assert!(nobody.contains("127.0.0.1:9") && nobody.contains("within 2 s") && nobody.contains("is it running?"), "{nobody}");
    let docker = refusal("mongodb://keeper:s3cret@mongodb:27017/LibreChat");
    assert!(docker.contains("\"mongodb\" is a name inside Docker's network: outside it the host is usually \"localhost\""), "{docker}");
    assert!(!docker.contains("s3cret") && !docker.contains("keeper"), "{docker}");
    // One that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let said = refusal(&format!("mongodb://{}/", silent.local_addr().unwrap()));
    assert!(said.contains("did not answer within 2 s"), "{said}");
}

/// The same outside of any runtime, as a plain program opens it.
#[test]
fn a_store_is_opened_and_dropped_where_there_is_no_runtime() {
    let database = Database::new();
    drop(open(&database).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = open(&database).unwrap();
        store.check().await.unwrap();
        store.close().await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_a_newer_release_or_of_another_backend_stay_shut() {
    let database = Database::new();
    drop(open(&database).unwrap());
    let meta = database.open().await.collection::<Document>("scrubjay_meta");
    for (change, said) in
        [(doc! { "schema": 99_i64 }, "newer release (schema 99"), (doc! { "schema": 1_i64, "backend": "sqlite" }, "\"sqlite\"")]
    {
        meta.update_one(doc! { "_id": "store" }, doc! { "$set": change }).await.unwrap();
        let error = open(&database).err().unwrap();
        assert!(matches!(&error, StoreError::Unsupported { reason } if reason.contains(said)), "{error:?}");
    }
    meta.update_one(doc! { "_id": "store" }, doc! { "$set": { "backend": "mongodb" } }).await.unwrap();
    open(&database).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_in_the_way_is_named_and_a_missing_one_is_made() {
    let database = Database::new();
    drop(open(&database).unwrap());
    let heads = database.open().await.collection::<Document>("scrubjay_heads");
    heads.drop_index("phone_1").await.unwrap();
    drop(open(&database).unwrap());
    let names = heads.list_index_names().await.unwrap();
    assert!(names.contains(&"phone_1".to_owned()), "{names:?}");

    heads.drop_index("phone_1").await.unwrap();
    let mine = IndexModel::builder().keys(doc! { "phone": 1 }).options(IndexOptions::builder().name("mine".to_owned()).build()).build();
    heads.create_index(mine).await.unwrap();
    let error = open(&database).err().unwrap().to_string();
    assert!(error.contains("\"phone_1\" over phone") && error.contains("dropIndex(\"mine\")"), "{error}");
    heads.drop_index("mine").await.unwrap();
    for _ in 0..2 {
        heads.insert_one(doc! { "phone": "+15550000001" }).await.unwrap();
    }
    let error = open(&database).err().unwrap().to_string();
    assert!(error.contains("several documents have the same phone"), "{error}");
    assert!(!error.contains("+1555"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_collections_are_those_of_the_settings() {
    let database = Database::new();
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings_of(&database, folder.path());
    settings.mongodb.collection_prefix = "bird_".to_owned();
    settings.mongodb.memory_collection = "bird_memory".to_owned();
    drop(scrubjay::store::open(&settings, Clock::set_to(NOON)).unwrap());
    let names = database.open().await.list_collection_names().await.unwrap();
    for name in ["bird_heads", "bird_memory", "mcp_todoodles", "users"] {
        assert!(names.contains(&name.to_owned()), "{name} is not among {names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with("scrubjay_") || name == "mcp_memory"), "{names:?}");
}
