//! Units of work on MongoDB that are interrupted: after each step another process goes on, nothing is lost and nothing is done
//! twice.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use scrubjay::domain::delivery::DeliveryStatus;
use scrubjay::domain::ids::UserId;
use scrubjay::domain::turn::TurnEnd;
use scrubjay::store::{Accepted, DeliveryOutcome, MessageFilter, NewTodo, PageRequest, SharedStore, StoreError, TodoFilter};

use crate::contract::fixture::{ANN, Fixture, no_limits, other_owner, owner, twilio};
use crate::support::eventually;
use crate::support::mongo::Database;
use crate::support::wire::{Break, Wire};

/// A store whose line can be broken, and the same database without that.
struct Setting {
    f: Fixture,
    wire: Wire,
    raw: mongodb::Database,
    direct: Database,
}

async fn setting() -> Setting {
    let direct = Database::new();
    let wire = Wire::to(&direct.uri).await;
    let through = Database { uri: wire.uri.clone(), name: direct.name.clone() };
    let f = tokio::task::block_in_place(|| Fixture::on(through));
    let raw = direct.open().await;
    Setting { f, wire, raw, direct }
}

impl Setting {
    /// Another process, whose line is whole.
    fn other(&self) -> SharedStore {
        let mut settings = self.f.settings.clone();
        settings.mongodb.uri = self.direct.uri.clone().into();
        tokio::task::block_in_place(|| scrubjay::store::open(&settings, self.f.clock.clone()).unwrap())
    }

    /// Every document of every collection, by collection and id.
    async fn everything(&self) -> BTreeMap<(String, String), Document> {
        let mut all = BTreeMap::new();
        let mut names = self.raw.list_collection_names().await.unwrap();
        // Who has it open changes by itself.
        names.retain(|name| !name.ends_with("_processes"));
        for collection in names {
            let found: Vec<Document> =
                self.raw.collection::<Document>(&collection).find(doc! {}).await.unwrap().try_collect().await.unwrap();
            all.extend(found.into_iter().map(|document| ((collection.clone(), document.get("_id").unwrap().to_string()), document)));
        }
        all
    }

    /// Puts one document back as it was in `then`, or away.
    async fn restore(&self, key: &(String, String), now: Option<&Document>, then: Option<&Document>) {
        let collection = self.raw.collection::<Document>(&key.0);
        if let Some(id) = now.or(then).and_then(|document| document.get("_id")) {
            collection.delete_one(doc! { "_id": id.clone() }).await.unwrap();
        }
        if let Some(then) = then {
            collection.insert_one(then).await.unwrap();
        }
    }

    async fn head(&self) -> Document {
        let found = self.raw.collection::<Document>(&self.heads()).find_one(doc! {}).await.unwrap();
        found.expect("there is one person")
    }

    /// Waits until nothing that was committed is unapplied, without anybody asking for it.
    async fn applied(&self) {
        let heads = self.raw.collection::<Document>(&self.heads());
        let wanted = || doc! { "$or": [{ "pending": { "$exists": true } }, { "stagedSince": { "$exists": true } }] };
        let none = || async { (heads.count_documents(wanted()).await.unwrap() == 0).then_some(()) };
        eventually("what was staged to be applied", Duration::from_secs(30), none).await;
    }

    fn heads(&self) -> String {
        format!("{}heads", self.f.settings.mongodb.collection_prefix)
    }
}

/// What others see of the one person and the conversation.
async fn seen(f: &Fixture, store: &SharedStore) -> String {
    let user = store.find_user_by_phone(&crate::contract::fixture::phone(ANN)).await.unwrap().unwrap();
    let conversations = store.list_conversations(user.id, PageRequest::first(10)).await.unwrap().items;
    let filter = MessageFilter { conversation_id: None, search: None };
    let messages = store.list_messages(user.id, filter, PageRequest::first(50)).await.unwrap().items;
    let outbound = store.list_outbound(user.id, 50).await.unwrap();
    let finished = store.list_finished_turns(user.id, 0, 50).await.unwrap();
    let _ = f;
    format!("{user:#?}{conversations:#?}{messages:#?}{outbound:#?}{finished:#?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_never_arrived_has_left_nothing_and_is_made_again() {
    let s = setting().await;
    let text = s.f.text(ANN, "hello");
    s.wire.break_at(Break::Before("insert"));
    let error = s.f.store.accept(text.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    let other = s.other();
    assert!(other.find_user_by_phone(&text.phone).await.unwrap().is_none(), "nothing of it is there");
    s.wire.mend();
    assert!(matches!(s.f.store.accept(text.clone()).await.unwrap(), Accepted::Stored(_)));
    assert!(matches!(other.accept(text).await.unwrap(), Accepted::Repeat(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_has_happened_and_is_told_so() {
    let s = setting().await;
    let first = s.f.texted(ANN, "one").await;
    s.wire.break_at(Break::After("update"));
    let second = s.f.text(ANN, "two");
    let accepted = s.f.store.accept(second.clone()).await.unwrap();
    s.wire.mend();
    let Accepted::Stored(receipt) = accepted else { panic!("it was stored: {accepted:?}") };
    assert_eq!(receipt.conversation_id, first.conversation_id);
    assert_eq!(s.other().accept(second).await.unwrap(), Accepted::Repeat(receipt), "once");
    s.f.drain().await;
    assert_eq!(s.f.said(first).await, ["one", "re: one", "two", "re: two"]);
    s.f.assert_chain(first.user_id, first.conversation_id).await;
}

fn item(text: &str) -> NewTodo {
    NewTodo { text: text.to_owned(), category: None, priority: None, due: None, parent: None }
}

/// A list as others see it, by its words.
async fn items(store: &SharedStore, user: UserId) -> Vec<String> {
    let page = store.list_todos(user, TodoFilter::default(), PageRequest::first(100)).await.unwrap();
    let mut texts: Vec<String> = page.items.into_iter().map(|todo| todo.text).collect();
    texts.sort();
    texts
}

/// A change that repeated would be made twice is committed, and while its answer is on its way another process makes `others`
/// changes of the same person. Then the answer is lost, and the driver tries once more; `again` loses that answer too.
async fn lost_behind_others(others: usize, again: bool) {
    let s = setting().await;
    let (other, user) = (s.other(), s.f.texted(ANN, "hello").await.user_id);
    let held = s.wire.hold("update");
    let store = s.f.store.clone();
    let adding = tokio::spawn(async move { store.add_todo(user, item("ours"), 500).await });
    held.is_done().await;
    for number in 0..others {
        other.add_todo(user, item(&format!("theirs {number}")), 500).await.unwrap();
    }
    if again {
        s.wire.break_at(Break::After("update"));
    }
    held.lose();
    let added = adding.await.unwrap();
    s.wire.mend();
    if again && others >= 32 {
        let error = added.unwrap_err();
        assert!(error.outcome_is_unknown(), "so much later nobody can say: {error:?}");
    } else {
        added.unwrap();
    }
    let mut expected: Vec<String> = (0..others).map(|number| format!("theirs {number}")).collect();
    expected.push("ours".to_owned());
    expected.sort();
    assert_eq!(items(&other, user).await, expected, "each once");
    s.f.store.add_todo(user, item("later"), 500).await.unwrap();
    expected.push("later".to_owned());
    expected.sort();
    assert_eq!(items(&s.f.store, user).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_behind_anothers_is_not_made_again() {
    lost_behind_others(1, false).await;
    lost_behind_others(3, true).await;
    lost_behind_others(40, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_had_committed_is_applied_by_the_next() {
    let s = setting().await;
    let receipt = s.f.texted(ANN, "hello").await;
    let turn = s.f.lease_one().await;
    s.wire.break_at(Break::Before("bulkWrite"));
    let done = s.f.store.complete_turn(&turn.lease, s.f.answered("hi", &["hi"])).await.unwrap();
    assert_eq!(done.outgoing, 1, "it has happened, though nothing but the head knows");
    assert!(s.head().await.contains_key("pending"));
    assert_eq!(s.raw.collection::<Document>("messages").count_documents(doc! {}).await.unwrap(), 0);
    // Readers of another process see it whole.
    let other = s.other();
    let record = other.find_turn(receipt.user_id, receipt.turn_id).await.unwrap().unwrap();
    assert!(matches!(record.end, Some(TurnEnd::Answered(Some(reply))) if reply.text == "hi"));
    assert!(!s.head().await.contains_key("pending"), "and have applied it");
    // The next unit of the one that could not, does no harm.
    s.wire.mend();
    let delivery = s.f.delivery().await;
    let sent = DeliveryOutcome::Accepted { gateway_message_id: "OUT1".to_owned(), status: DeliveryStatus::Queued };
    s.f.store.record_delivery(&delivery.lease, sent).await.unwrap();
    assert_eq!(s.f.said(receipt).await, ["hello", "hi"]);
    s.f.assert_chain(receipt.user_id, receipt.conversation_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_part_was_applied_the_rest_is_and_nothing_twice() {
    let s = setting().await;
    let receipt = s.f.texted(ANN, "hello").await;
    s.f.drain().await;
    s.f.texted(ANN, "again").await;
    let turn = s.f.lease_one().await;
    let _ = s.f.said(receipt).await;
    s.wire.break_at(Break::Before("bulkWrite"));
    s.f.store.complete_turn(&turn.lease, s.f.answered("hi", &["hi"])).await.unwrap();
    let committed = s.everything().await;
    let other = s.other();
    let whole = seen(&s.f, &other).await;
    let applied = s.everything().await;
    let changed: Vec<&(String, String)> =
        committed.keys().chain(applied.keys()).filter(|key| committed.get(*key) != applied.get(*key)).collect();
    let heads = s.heads();
    let mut projections: Vec<&(String, String)> = changed.into_iter().filter(|key| key.0 != heads).collect();
    projections.sort();
    projections.dedup();
    assert!(projections.len() >= 4, "a turn, messages, a conversation: {projections:?}");
    let head = committed.iter().find(|(key, _document)| key.0 == heads).unwrap();
    // Every part of the documents may have been written when the process died.
    for written in 0..(1_u32 << projections.len()) {
        let now = s.everything().await;
        s.restore(head.0, now.get(head.0), Some(head.1)).await;
        for (number, key) in projections.iter().enumerate() {
            let then = if written & (1 << number) == 0 { committed.get(*key) } else { applied.get(*key) };
            // A document that the server names itself comes again under another name.
            s.restore(key, now.get(*key), then).await;
        }
        if written % 5 == 0 {
            s.f.clock.advance(Duration::ZERO);
        }
        assert_eq!(seen(&s.f, &other).await, whole, "with {written:b} of {projections:?}");
        // What this round made anew under other names goes, so that the next begins as the first did.
        for (key, document) in s.everything().await {
            if !committed.contains_key(&key) && !applied.contains_key(&key) {
                s.raw
                    .collection::<Document>(&key.0)
                    .delete_one(doc! { "_id": document.get("_id").cloned().unwrap_or(Bson::Null) })
                    .await
                    .unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_by_another_process_is_known_though_its_person_changes_meanwhile() {
    let s = setting().await;
    let (other, user) = (s.other(), s.f.texted(ANN, "0").await.user_id);
    for number in 1..=10 {
        // The other process remembers the person as of before the text …
        other.add_todo(user, item(&format!("before {number}")), 500).await.unwrap();
        let text = s.f.text(ANN, &format!("text {number}"));
        assert!(matches!(s.f.store.accept(text.clone()).await.unwrap(), Accepted::Stored(_)));
        // … and reads them anew for something else while it looks whether the text came before.
        let (again, changed) = tokio::join!(other.accept(text), other.add_todo(user, item(&format!("behind {number}")), 500));
        assert!(matches!(again.unwrap(), Accepted::Repeat(_)), "text {number} was taken in twice");
        changed.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_person_lose_nothing_and_do_nothing_twice() {
    let s = setting().await;
    let other = s.other();
    let first = s.f.texted(ANN, "0").await;
    let mut texts = Vec::new();
    for number in 1..=20 {
        let (here, there) = (s.f.text(ANN, &format!("here {number}")), s.f.text(ANN, &format!("there {number}")));
        texts.push((here, there));
    }
    let answering = async |store: &SharedStore, owner| {
        let mut answered = 0;
        for _ in 0..60 {
            for turn in store.lease_turns(&owner, 4, &no_limits()).await.unwrap().work {
                match store.complete_turn(&turn.lease, s.f.answered(&format!("re: {}", turn.texts[0].text), &[])).await {
                    Ok(_done) => answered += 1,
                    Err(error) => panic!("nobody else may have it: {error:?}"),
                }
            }
        }
        answered
    };
    let here = async {
        for (text, _there) in &texts {
            assert!(matches!(s.f.store.accept(text.clone()).await.unwrap(), Accepted::Stored(_)));
            // Each comes again by the other door.
            assert!(matches!(other.accept(text.clone()).await.unwrap(), Accepted::Repeat(_)));
        }
    };
    let there = async {
        for (_here, text) in &texts {
            assert!(matches!(other.accept(text.clone()).await.unwrap(), Accepted::Stored(_)));
        }
    };
    let ((), (), ours, theirs) = tokio::join!(here, there, answering(&s.f.store, owner()), answering(&other, other_owner()));
    s.f.drain().await;
    let said = s.f.said(first).await;
    assert_eq!(said.len(), 82, "{ours} were answered here and {theirs} there: {said:?}");
    let mut questions: Vec<&str> = said.iter().map(String::as_str).filter(|text| !text.starts_with("re: ")).collect();
    let answers: Vec<String> = questions.iter().map(|text| format!("re: {text}")).collect();
    assert!(answers.iter().all(|answer| said.iter().filter(|text| *text == answer).count() == 1), "{said:?}");
    questions.sort_unstable();
    questions.dedup();
    assert_eq!(questions.len(), 41);
    s.f.assert_chain(first.user_id, first.conversation_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_slept_too_long_writes_nothing() {
    let s = setting().await;
    let receipt = s.f.texted(ANN, "hello").await;
    let turn = s.f.lease_one().await;
    let other = s.other();
    s.f.clock.advance(Duration::from_secs(16));
    let taken = other.lease_turns(&other_owner(), 1, &no_limits()).await.unwrap().work.remove(0);
    let lost = s.f.store.complete_turn(&turn.lease, s.f.answered("too late", &["too late"])).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
    other.complete_turn(&taken.lease, s.f.answered("in time", &["in time"])).await.unwrap();
    let lost = s.f.store.complete_turn(&turn.lease, s.f.answered("too late", &["too late"])).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
    assert_eq!(s.f.said(receipt).await, ["hello", "in time"]);

    let delivery = s.f.delivery().await;
    s.f.clock.advance(Duration::from_secs(16));
    assert_eq!(other.lease_deliveries(&other_owner(), &twilio(), 1).await.unwrap().work.len(), 1);
    let sent = DeliveryOutcome::Accepted { gateway_message_id: "OUT1".to_owned(), status: DeliveryStatus::Sent };
    let lost = s.f.store.record_delivery(&delivery.lease, sent).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_is_too_large_for_a_head_is_as_whole() {
    let s = setting().await;
    let receipt = s.f.texted(ANN, "hello").await;
    s.f.drain().await;
    s.applied().await;
    let long = "long ".repeat(600_000);
    s.wire.break_at(Break::Before("bulkWrite"));
    let text = s.f.stored(s.f.text(ANN, &long)).await;
    let head = s.head().await;
    assert!(head.contains_key("parts") && !head.contains_key("pending"), "its parts stand beside it");
    let units = s.raw.collection::<Document>(&s.heads().replace("heads", "units"));
    assert!(units.count_documents(doc! {}).await.unwrap() > 0);
    let other = s.other();
    s.wire.mend();
    let leased = other.lease_turns(&owner(), 1, &no_limits()).await.unwrap().work.remove(0);
    assert!(leased.texts[0].text == long, "the whole text");
    other.complete_turn(&leased.lease, s.f.answered("that is long", &[])).await.unwrap();
    assert_eq!(units.count_documents(doc! {}).await.unwrap(), 0, "and they are gone when it is applied");
    assert_eq!(text.conversation_id, receipt.conversation_id);
    assert_eq!(s.f.said(receipt).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_librechat_deleted_stays_deleted() {
    let s = setting().await;
    let receipt = s.f.texted(ANN, "hello").await;
    s.f.drain().await;
    s.applied().await;
    let of_it = doc! { "conversationId": receipt.conversation_id.to_string() };
    for collection in ["conversations", "messages"] {
        s.raw.collection::<Document>(collection).delete_many(of_it.clone()).await.unwrap();
    }
    let next = s.f.texted(ANN, "still there?").await;
    assert_ne!(next.conversation_id, receipt.conversation_id, "another is begun");
    s.f.drain().await;
    assert_eq!(s.f.said(next).await, ["still there?", "re: still there?"]);
    assert!(s.f.said(receipt).await.is_empty());
    for collection in ["conversations", "messages"] {
        assert_eq!(s.raw.collection::<Document>(collection).count_documents(of_it.clone()).await.unwrap(), 0, "{collection}");
    }
}

/// It is deleted while a text in it is being answered: that goes with it, and nothing of it comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_librechat_deletes_in_the_middle_of_a_turn_stays_deleted() {
    let s = setting().await;
    let first = s.f.texted(ANN, "hello").await;
    s.f.drain().await;
    s.applied().await;
    s.f.texted(ANN, "and?").await;
    let turn = s.f.lease_one().await;
    let of_it = doc! { "conversationId": first.conversation_id.to_string() };
    for collection in ["conversations", "messages"] {
        s.raw.collection::<Document>(collection).delete_many(of_it.clone()).await.unwrap();
    }
    let _too_late = s.f.store.complete_turn(&turn.lease, s.f.answered("late", &["late"])).await;
    let next = s.f.texted(ANN, "now?").await;
    assert_ne!(next.conversation_id, first.conversation_id);
    s.f.drain().await;
    s.f.send_all().await;
    assert_eq!(s.f.said(next).await, ["now?", "re: now?"]);
    for collection in ["conversations", "messages"] {
        assert_eq!(s.raw.collection::<Document>(collection).count_documents(of_it.clone()).await.unwrap(), 0, "{collection}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_whose_merge_was_interrupted_are_one_for_whoever_looks() {
    let s = setting().await;
    let one = s.f.texted(ANN, "one").await;
    s.f.drain().await;
    s.f.store.close_conversation(one.user_id, one.conversation_id).await.unwrap();
    s.f.advance(60_000);
    let two = s.f.texted(ANN, "two").await;
    s.f.drain().await;
    let _ = s.f.said(two).await;
    s.wire.break_at(Break::Before("bulkWrite"));
    s.f.store.merge_conversations(one.user_id, one.conversation_id, two.conversation_id).await.unwrap();
    assert!(s.head().await.contains_key("pending"), "it is committed, and nothing of it is written");
    let other = s.other();
    let again = other.merge_conversations(one.user_id, one.conversation_id, two.conversation_id).await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");
    s.wire.mend();
    assert_eq!(s.f.said(two).await, ["one", "re: one", "two", "re: two"]);
    s.f.assert_chain(two.user_id, two.conversation_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_takes_few_round_trips() {
    let s = setting().await;
    // Whoever has texted before.
    s.f.texted(ANN, "before").await;
    s.f.drain().await;
    s.f.send_all().await;
    s.applied().await;
    s.wire.take_commands();
    let receipt = s.f.texted(ANN, "hello").await;
    let turn = s.f.store.lease_own_turns(&owner(), 4, &no_limits()).await.unwrap().work.remove(0);
    let before = turn.texts[0].sequence.unwrap();
    s.f.store.recent_messages(receipt.user_id, receipt.conversation_id, before, 20).await.unwrap();
    s.f.store.recall_with(receipt.user_id, "hello".to_owned(), 8, vec!["user".to_owned()], 4_000).await.unwrap();
    s.f.store.complete_turn(&turn.lease, s.f.answered("hi", &["hi"])).await.unwrap();
    let delivery = s.f.store.lease_own_deliveries(&owner(), &twilio(), 4).await.unwrap().work.remove(0);
    let sent = DeliveryOutcome::Accepted { gateway_message_id: "OUT1".to_owned(), status: DeliveryStatus::Queued };
    s.f.store.record_delivery(&delivery.lease, sent).await.unwrap();
    s.applied().await;
    let commands = s.wire.take_commands();
    let total: u32 = commands.values().sum();
    eprintln!("a turn from text to sent message: {total} round trips {commands:?}");
    assert!(total <= 10, "{commands:?}");
}

/// Nobody waits for what the ends of turns leave elsewhere, so it is written for many people at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_many_turns_left_is_written_together() {
    const PEOPLE: usize = 12;
    let s = setting().await;
    let gone = s.f.texted(ANN, "hello").await;
    s.f.drain().await;
    assert_eq!(s.f.said(gone).await.len(), 2);
    s.f.texted(ANN, "and?").await;
    let mut receipts = Vec::new();
    for person in 1..PEOPLE {
        receipts.push(s.f.texted(&format!("+1555010{person:04}"), "hello").await);
    }
    let turns = s.f.store.lease_turns(&owner(), PEOPLE, &no_limits()).await.unwrap().work;
    assert_eq!(turns.len(), PEOPLE);
    let of_it = doc! { "conversationId": gone.conversation_id.to_string() };
    for collection in ["conversations", "messages"] {
        s.raw.collection::<Document>(collection).delete_many(of_it.clone()).await.unwrap();
    }
    s.wire.take_commands();
    let ends = turns.iter().map(|turn| s.f.store.complete_turn(&turn.lease, s.f.answered("hi", &[])));
    for end in futures::future::join_all(ends).await {
        end.unwrap();
    }
    s.applied().await;
    let commands = s.wire.take_commands();
    eprintln!("the ends of {PEOPLE} turns: {commands:?}");
    let rows = commands.iter().find(|(name, _count)| name.as_str() == "bulkWrite").map_or(0, |(_name, count)| *count);
    assert!(rows > 0 && rows < u32::try_from(PEOPLE).unwrap(), "fewer than one each: {commands:?}");
    let written = s.raw.collection::<Document>("messages");
    for receipt in receipts {
        let of_it = doc! { "conversationId": receipt.conversation_id.to_string() };
        assert_eq!(written.count_documents(of_it).await.unwrap(), 2, "without anybody asking");
        assert_eq!(s.f.said(receipt).await, ["hello", "hi"]);
    }
    for collection in ["conversations", "messages"] {
        let left = s.raw.collection::<Document>(collection).count_documents(of_it.clone()).await.unwrap();
        assert_eq!(left, 0, "{collection}: LibreChat deleted it, and it stays deleted");
    }
}

/// What waits is not lost when its process ends, in whichever way.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_applied_when_the_store_is_closed_and_by_the_next_when_it_dies() {
    let s = setting().await;
    let first = s.f.texted(ANN, "hello").await;
    let turn = s.f.lease_one().await;
    s.f.store.complete_turn(&turn.lease, s.f.answered("hi", &[])).await.unwrap();
    s.f.store.close().await;
    let messages = s.raw.collection::<Document>("messages");
    assert_eq!(messages.count_documents(doc! {}).await.unwrap(), 2, "it was closed");
    let second = tokio::task::block_in_place(|| scrubjay::store::open(&s.f.settings, s.f.clock.clone()).unwrap());
    second.accept(s.f.text(ANN, "and?")).await.unwrap();
    let turn = second.lease_turns(&owner(), 1, &no_limits()).await.unwrap().work.remove(0);
    // It writes no more than the end of the turn, as if it had been killed at this moment.
    s.wire.break_at(Break::Before("bulkWrite"));
    second.complete_turn(&turn.lease, s.f.answered("so", &[])).await.unwrap();
    assert!(s.head().await.contains_key("pending"), "the end of the turn did not wait for what it left elsewhere");
    let third = s.other();
    let of_it = MessageFilter { conversation_id: Some(first.conversation_id), search: None };
    let page = third.list_messages(first.user_id, of_it, PageRequest::first(10)).await.unwrap();
    assert_eq!(page.items.len(), 4);
}

/// A server that failed may come back without the last of what was read from it. The version of that is then given once more, to another
/// process's unit, and whoever remembers the first must not take it for what is there.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_lost_is_not_built_upon_though_its_version_is_there_again() {
    let s = setting().await;
    let receipt = s.f.texted(ANN, "one").await;
    s.f.drain().await;
    let (other, before) = (s.other(), s.head().await);
    s.f.texted(ANN, "lost").await;
    let lost = s.head().await;
    let heads = s.raw.collection::<Document>("scrubjay_heads");
    heads.replace_one(doc! { "_id": before.get("_id").unwrap() }, &before).await.unwrap();
    assert!(matches!(other.accept(s.f.text(ANN, "two")).await.unwrap(), Accepted::Stored(_)));
    assert_eq!(s.head().await.get("version"), lost.get("version"));
    s.f.drain().await;
    assert_eq!(s.f.said(receipt).await, ["one", "re: one", "two", "re: two"]);
    s.f.assert_chain(receipt.user_id, receipt.conversation_id).await;
}
