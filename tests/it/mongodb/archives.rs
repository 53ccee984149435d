//! Archives of a database that LibreChat filled, and people who leave it.

use std::sync::Arc;

use mongodb::bson::{Document, doc, oid::ObjectId};
use scrubjay::domain::ids::UserId;
use scrubjay::service::archives::{self, Target};
use scrubjay::store::archive::Existing;
use scrubjay::store::{SharedStore, StoreError, Whose};
use tokio_util::sync::CancellationToken;

use super::{open, pymongo};
use crate::contract::fixture::{ANN, Fixture, phone};
use crate::support::mongo::Database;

/// An archive of a store, as a file.
async fn archive(store: &SharedStore, folder: &tempfile::TempDir, name: &str) -> Vec<u8> {
    let path = folder.path().join(name);
    let target = Target::File { path: path.clone(), existing: Existing::Kept };
    archives::write(Arc::clone(store), target, CancellationToken::new(), |_at| {}).await.unwrap();
    std::fs::read(path).unwrap()
}

/// Restores an archive of one store into another.
pub(super) async fn copy(from: &SharedStore, to: &SharedStore) {
    let folder = tempfile::tempdir().unwrap();
    archive(from, &folder, "copy.jsonl").await;
    let file = std::fs::File::open(folder.path().join("copy.jsonl")).unwrap();
    let verified = archives::verify(file.try_clone().unwrap(), |_at| {}).await.unwrap();
    assert_eq!(verified.faults.count, 0, "{:?}", verified.faults);
    archives::restore(Arc::clone(to), file, verified.summary, |_at| {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_over_is_archived_and_fits_together() {
    let database = Database::new();
    pymongo("fill.py", &database, &[]).await;
    let f = Fixture::on(database);
    let receipt = f.texted(ANN, "and its name?").await;
    f.drain().await;
    let said = f.said(receipt).await;
    assert_eq!(said.len(), 5, "what was said before is there");

    let folder = tempfile::tempdir().unwrap();
    let before = archive(&f.store, &folder, "before.jsonl").await;
    let file = std::fs::File::open(folder.path().join("before.jsonl")).unwrap();
    let verified = archives::verify(file.try_clone().unwrap(), |_at| {}).await.unwrap();
    assert_eq!(verified.faults.count, 0, "{:?}", verified.faults);
    assert_eq!(f.store.find_damage().await.unwrap(), []);
    for backend in ["sqlite", "mongodb"] {
        let other = Fixture::open(backend);
        archives::restore(Arc::clone(&other.store), file.try_clone().unwrap(), verified.summary.clone(), |_at| {}).await.unwrap();
        assert!(before == archive(&other.store, &folder, backend).await, "into {backend}");
        assert_eq!(other.said(receipt).await, said, "in their order");
        let more = other
            .stored(scrubjay::store::NewInbound { door: scrubjay::store::Door::Api { repeat: None }, ..other.text(ANN, "more") })
            .await;
        assert_eq!((more.user_id, more.conversation_id), (receipt.user_id, receipt.conversation_id));
        other.drain().await;
        other.assert_chain(receipt.user_id, receipt.conversation_id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_is_shared_with_librechat_which_keeps_its_own() {
    let source = Fixture::open("sqlite");
    let receipt = source.texted(ANN, "hello").await;
    source.drain().await;
    let folder = tempfile::tempdir().unwrap();
    archive(&source.store, &folder, "archive.jsonl").await;
    let file = std::fs::File::open(folder.path().join("archive.jsonl")).unwrap();
    let summary = archives::verify(file.try_clone().unwrap(), |_at| {}).await.unwrap().summary;

    let database = Database::new();
    let raw = database.open().await;
    let web = ObjectId::new();
    raw.collection("users").insert_one(doc! { "_id": web, "email": "web@example.org", "username": "web" }).await.unwrap();
    raw.collection("conversations").insert_one(doc! { "conversationId": "c", "user": web.to_hex(), "title": "mine" }).await.unwrap();
    let f = Fixture::on(database);
    archives::restore(Arc::clone(&f.store), file, summary, |_at| {}).await.unwrap();
    assert_eq!(raw.collection::<Document>("users").count_documents(doc! {}).await.unwrap(), 2);
    let user = raw.collection::<Document>("users").find_one(doc! { "phoneNumber": ANN }).await.unwrap().unwrap();
    assert_eq!(user.get_object_id("_id").unwrap().bytes(), *receipt.user_id.as_bytes());
    let messages = raw.collection::<Document>("messages").count_documents(doc! { "user": receipt.user_id.to_string() }).await.unwrap();
    assert_eq!(messages, 2);
    assert!(f.store.find_conversation(UserId::from_bytes(web.bytes()), receipt.conversation_id).await.unwrap().is_none());

    // Half restored it opens for nothing else.
    let (half, other) = (Database::new(), Database::new());
    let begun = Fixture::on(half);
    begun.store.begin_restore("archive").await.unwrap();
    let refused = open(begun.database()).map(|_store| ()).unwrap_err();
    assert!(matches!(&refused, StoreError::Unsupported { reason } if reason.contains("archive read")), "{refused}");
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_erased_leaves_librechats_collections_too() {
    let f = Fixture::on(Database::new());
    let raw = f.database().open().await;
    // Somebody who uses LibreChat's pages and texts as well.
    let web = ObjectId::new();
    let account = doc! { "_id": web, "email": "web@example.org", "username": "web", "provider": "local", "phoneNumber": "+15550007777" };
    raw.collection("users").insert_one(account).await.unwrap();
    raw.collection("conversations").insert_one(doc! { "conversationId": "c", "user": web.to_hex(), "title": "mine" }).await.unwrap();
    raw.collection("messages")
        .insert_one(doc! { "messageId": "m", "conversationId": "c", "user": web.to_hex(), "text": "on the pages" })
        .await
        .unwrap();
    let both = f.texted("+15550007777", "by phone").await;
    assert_eq!(*both.user_id.as_bytes(), web.bytes());
    let ann = f.texted(ANN, "marzipan").await;
    f.drain().await;
    // What LibreChat wrote into a conversation by phone.
    let aside =
        doc! { "messageId": "x", "conversationId": ann.conversation_id.to_string(), "user": ann.user_id.to_string(), "text": "aside" };
    raw.collection("messages").insert_one(aside).await.unwrap();

    for user in [ann.user_id, both.user_id] {
        f.store.erase_person(user).await.unwrap();
    }
    assert!(f.store.find_user_by_phone(&phone("+15550007777")).await.unwrap().is_none());
    let again = f.texted("+15550007777", "hello").await;
    assert!(again.is_new_user && again.user_id != both.user_id, "the number is somebody else's now");
    // Interrupted and gone on with by another process.
    assert!(f.store.erase_left_over(2).await.unwrap());
    let other = open(f.database()).unwrap();
    while other.erase_left_over(3).await.unwrap() {}
    for collection in raw.list_collection_names().await.unwrap() {
        let left = raw.collection::<Document>(&collection).count_documents(doc! { "user": ann.user_id.to_string() }).await.unwrap();
        assert!(left == 0 || collection == "scrubjay_receipts", "{left} documents in {collection}");
    }
    let users = raw.collection::<Document>("users");
    assert_eq!(users.count_documents(doc! { "phoneNumber": ANN }).await.unwrap(), 0);
    let account = users.find_one(doc! { "_id": web }).await.unwrap().unwrap();
    assert!(!account.contains_key("phoneNumber") && !account.contains_key("metadata"), "{account}");
    assert_eq!(account.get_str("email").unwrap(), "web@example.org");
    assert_eq!(raw.collection::<Document>("messages").count_documents(doc! { "user": web.to_hex() }).await.unwrap(), 1, "their own stays");
    let mut left = f.store.snapshot(Whose::Persons(ann.user_id)).await.unwrap();
    assert!(left.next().await.unwrap().unwrap().iter().all(|record| record.kind() == scrubjay::store::record::Kind::Receipt));
    assert_eq!(f.store.find_damage().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tells_what_somebody_else_took_away() {
    let f = Fixture::on(Database::new());
    let ann = f.texted(ANN, "hello").await;
    f.drain().await;
    assert_eq!(f.store.find_damage().await.unwrap(), []);
    let raw = f.database().open().await;
    let heads = raw.collection::<Document>("scrubjay_heads");
    heads.drop_index("turnNext_1").await.unwrap();
    raw.collection::<Document>("users").delete_many(doc! {}).await.unwrap();
    let stranger = doc! { "_id": "000102030405060708090a0b/1", "user": "000102030405060708090a0b", "number": 1, "text": "whose?" };
    raw.collection("mcp_todoodles").insert_one(stranger).await.unwrap();
    let again = f.texted(ANN, "again").await;
    // Reading writes what was still staged.
    assert_eq!(f.said(again).await.len(), 3);
    raw.collection::<Document>("users").delete_many(doc! {}).await.unwrap();
    heads.update_many(doc! {}, doc! { "$unset": { "turnNext": "" } }).await.unwrap();
    let told: Vec<String> = f.store.find_damage().await.unwrap().into_iter().map(|damage| damage.what).collect();
    for expected in [
        "the index \"turnNext_1\"",
        "1 people wait for an answer",
        "1 people are not among LibreChat's users",
        "1 documents of \"mcp_todoodles\"",
    ] {
        assert!(told.iter().any(|what| what.contains(expected)), "{expected:?} is not in {told:?}");
    }
    // A message without its conversation is a fault of the records.
    raw.collection::<Document>("conversations").delete_many(doc! { "user": ann.user_id.to_string() }).await.unwrap();
    assert_eq!(archives::look(&f.store, |_record| {}).await.unwrap().count, 0, "what LibreChat deleted is in no record");
}
