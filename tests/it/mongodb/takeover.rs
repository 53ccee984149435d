//! A database that LibreChat's fork for texts, and the plan's own memory and todo servers, filled.

use mongodb::bson::{Bson, Document, doc};
use scrubjay::domain::graph::Detail;
use scrubjay::domain::ids::{ConversationId, UserId};
use scrubjay::domain::ledger::Credits;
use scrubjay::domain::user::SHARED_ACCOUNT;
use scrubjay::store::{GraphRead, MessageFilter, PageRequest, TodoFilter};

use super::{open, pymongo};
use crate::contract::fixture::{ANN, BOB, Fixture, phone};
use crate::support::mongo::Database;

fn graph(bytes: usize) -> GraphRead {
    GraphRead { cursor: None, limit: 100, bytes, detail: Detail::Plain, whole: true }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_conversations_graphs_and_lists_are_used_as_they_are() {
    let database = Database::new();
    let ids = pymongo("fill.py", &database, &[]).await;
    let id = |name: &str| ids[name].as_str().unwrap().parse::<UserId>().unwrap();
    let f = Fixture::on(database);

    // People by their numbers, wherever those were kept; of several with one number the oldest.
    let ann = f.store.find_user_by_phone(&phone(ANN)).await.unwrap().unwrap();
    let bob = f.store.find_user_by_phone(&phone(BOB)).await.unwrap().unwrap();
    assert_eq!((ann.id, bob.id), (id("ann"), id("bob")));
    assert_eq!(
        (ann.email.as_str(), ann.balance, ann.preferences.endpoint.as_ref()),
        ("+15550000001@sms.librechat.ai", Some(Credits(1234)), None)
    );
    assert_eq!(f.store.find_user(id("again")).await.unwrap(), None, "a second account of the number is left as it is");

    // Their conversation goes on where it was.
    let thread: ConversationId = ids["thread"].as_str().unwrap().parse().unwrap();
    let receipt = f.texted(ANN, "and its name?").await;
    assert_eq!((receipt.user_id, receipt.conversation_id, receipt.is_new_user), (ann.id, thread, false));
    assert_eq!(f.said(receipt).await, ["my cat is called Tiger", "A fine name.", "feed it at noon", "and its name?"]);
    let turn = f.lease_one().await;
    f.answer(&turn, "Tiger").await;
    f.assert_chain(ann.id, thread).await;
    let recalled = f.store.recent_messages(ann.id, thread, 5, 10).await.unwrap();
    assert_eq!(recalled.messages.len(), 4);
    let found = f.store.list_conversations(ann.id, PageRequest::first(10)).await.unwrap();
    assert_eq!(found.items.iter().map(|found| found.id.to_string()).collect::<Vec<_>>(), [ids["thread"].clone(), ids["other"].clone()]);
    let by_words = MessageFilter { conversation_id: None, search: Some("TIGER".to_owned()) };
    assert_eq!(f.store.list_messages(ann.id, by_words, PageRequest::first(10)).await.unwrap().items.len(), 2);

    // What the plan's servers knew.
    let known = f.store.read_graph(ann.id, graph(10_000)).await.unwrap();
    assert_eq!((known.entities.len(), known.relations.len()), (2, 1));
    assert_eq!(known.entities[0].observations.iter().map(|fact| fact.text.as_str()).collect::<Vec<_>>(), ["is orange", "is fed at noon"]);
    assert_eq!(f.store.read_graph(SHARED_ACCOUNT, graph(10_000)).await.unwrap().entities[0].name, "Host");
    assert_eq!(f.store.read_graph(id("web"), graph(10_000)).await.unwrap().entities[0].name, "Carol");
    assert_eq!(f.store.read_graph(bob.id, graph(10_000)).await.unwrap().entities.len(), 0, "a torn document is nobody's graph");
    let todos = f.store.list_todos(ann.id, TodoFilter::default(), PageRequest::first(10)).await.unwrap().items;
    assert_eq!(
        todos.iter().map(|todo| (todo.text.as_str(), todo.completed_at.is_some())).collect::<Vec<_>>(),
        [("buy cat food", false), ("brush", true)]
    );

    // The originals are there, nothing says `external` any more, and what LibreChat alone knows is as it was.
    let seen = pymongo("look.py", f.database(), &[]).await;
    assert_eq!((seen["originals"].clone(), seen["external"].clone()), (serde_json::json!([5, 1]), serde_json::json!([0, 0])));
    let database = f.database().open().await;
    let foreign = database.collection::<Document>("messages").find_one(doc! { "messageId": "not-a-uuid" }).await.unwrap().unwrap();
    assert_eq!((foreign.get_str("text").unwrap(), foreign.get("slot")), ("not ours", None));
    let done = database.collection::<Document>("scrubjay_meta").find_one(doc! { "_id": "takeover" }).await.unwrap().unwrap();
    let count = |name: &str| done.get_i64(name).unwrap();
    assert_eq!((count("people"), count("documents"), count("unreadable")), (2, 4, 1), "{done}");
    assert_eq!(done.get_array("duplicates").unwrap(), &[ids["again"].as_str().unwrap().into()]);
}

/// A process that dies in the middle of it leaves nothing that the next does not make the same way.
#[tokio::test(flavor = "multi_thread")]
async fn taking_over_again_changes_nothing() {
    let database = Database::new();
    pymongo("fill.py", &database, &[]).await;
    let uri = database.uri.clone();
    drop(open(&database).unwrap());
    let first = everything(&database).await;
    let meta = database.open().await.collection::<Document>("scrubjay_meta");
    meta.delete_many(doc! { "_id": { "$ne": "store" } }).await.unwrap();
    drop(open(&database).unwrap());
    assert_eq!(everything(&database).await, first, "{uri}");
}

/// LibreChat's list of a conversation's messages may be null, and to that the server adds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_null_is_mended_by_whoever_adds_to_it() {
    let database = Database::new();
    let same = Database { uri: database.uri.clone(), name: database.name.clone() };
    let f = tokio::task::block_in_place(|| Fixture::on(same));
    let receipt = f.texted(ANN, "hello").await;
    f.drain().await;
    assert_eq!(f.said(receipt).await.len(), 2);
    let conversations = database.open().await.collection::<Document>("conversations");
    conversations.update_one(doc! {}, doc! { "$set": { "messages": Bson::Null } }).await.unwrap();
    f.texted(ANN, "and?").await;
    f.drain().await;
    // Whoever comes at the same moment meets it too, and finds it mended by another.
    let read = || f.said(receipt);
    let all = futures::future::join_all((0..8).map(|_| read())).await;
    assert!(all.iter().all(|said| said.len() == 4), "{all:?}");
    let found = conversations.find_one(doc! {}).await.unwrap().unwrap();
    assert_eq!(found.get_array("messages").unwrap().len(), 2, "{found}");
}

/// All that people would notice, in order.
async fn everything(database: &Database) -> Vec<Document> {
    let database = database.open().await;
    let mut found = Vec::new();
    for name in ["users", "conversations", "messages", "balances", "mcp_memory", "mcp_todoodles"] {
        let mut documents = database.collection::<Document>(name).find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap();
        while documents.advance().await.unwrap() {
            let mut document = documents.deserialize_current().unwrap();
            document.remove("unitVersion");
            document.remove("updatedAt");
            found.push(document);
        }
    }
    found
}
