//! A conversation by phone that its person opens on LibreChat's pages: goes on with, clears up, deletes.

use scrubjay::domain::conversation::Conversation;
use scrubjay::domain::ids::{ConversationId, UserId};
use scrubjay::domain::message::Role;
use scrubjay::store::{Accepted, ConversationTarget, NewInbound, PageRequest, Receipt, StoreError};
use serde_json::Value;

use super::pymongo;
use crate::contract::fixture::{ANN, Fixture};
use crate::support::mongo::Database;

fn fixture() -> Fixture {
    Fixture::on(Database::new())
}

async fn does(f: &Fixture, action: &str, conversation: ConversationId, more: &[&str]) -> Value {
    let conversation = conversation.to_string();
    let mut arguments = vec![action, conversation.as_str()];
    arguments.extend(more);
    let printed = pymongo("change.py", f.database(), &arguments).await;
    f.advance(5_000);
    printed
}

/// What the next turn's prompt is made of, and its own text; the turn is answered then.
async fn prompt(f: &Fixture, receipt: &Receipt) -> Vec<(Role, String)> {
    let turn = f.lease_one().await;
    let first = turn.texts.first().unwrap();
    let recent = f.store.recent_messages(receipt.user_id, receipt.conversation_id, first.sequence.unwrap(), 50).await.unwrap();
    f.answer(&turn, "sure").await;
    recent.messages.iter().chain(&turn.texts).map(|message| (message.role, message.text.clone())).collect()
}

async fn conversations(f: &Fixture, user: UserId) -> Vec<Conversation> {
    f.store.list_conversations(user, PageRequest::first(9)).await.unwrap().items
}

fn said(role: Role, text: &str) -> (Role, String) {
    (role, text.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_on_the_web_is_known_by_phone_and_gone_on_from() {
    let f = fixture();
    let first = f.texted(ANN, "my cat is ill").await;
    f.drain().await;
    let id = first.conversation_id;
    let web = does(&f, "say", id, &["what may it eat?", "Rice."]).await;
    let next = f.texted(ANN, "and drink?").await;
    assert_eq!(next.conversation_id, id);
    let expected = [
        said(Role::External, "my cat is ill"),
        said(Role::Assistant, "re: my cat is ill"),
        said(Role::External, "what may it eat?"),
        said(Role::Assistant, "Rice."),
        said(Role::External, "and drink?"),
    ];
    assert_eq!(prompt(&f, &next).await, expected);

    // One chain, in which LibreChat's own rows hang where LibreChat hung them; and nobody lost a row of the other's.
    f.assert_chain(next.user_id, id).await;
    let all = f.messages(next.user_id, id).await;
    assert_eq!(all.len(), 6);
    assert_eq!(all[3].id.to_string(), web["answer"].as_str().unwrap());
    assert_eq!(all[4].parent_id, Some(all[3].id));
    assert_eq!(conversations(&f, next.user_id).await[0].message_count, 6);
    let rows = does(&f, "list", id, &[]).await;
    let sorted = |name: &str| {
        let mut rows: Vec<String> = rows[name].as_array().unwrap().iter().map(|row| row.as_str().unwrap().to_owned()).collect();
        rows.sort();
        rows
    };
    assert_eq!(sorted("listed"), sorted("there"), "each row once");
    assert_eq!(sorted("listed").len(), 6);

    // And on: what they ask for once more on the web is answered once in a prompt, by the newest answer.
    does(&f, "say", id, &["is water well?", "No."]).await;
    let again = does(&f, "retry", id, &["Yes."]).await;
    let last = f.texted(ANN, "thanks").await;
    let told = prompt(&f, &last).await;
    assert_eq!(&told[6..], [said(Role::External, "is water well?"), said(Role::Assistant, "Yes."), said(Role::External, "thanks")]);
    let thanks = f.messages(last.user_id, id).await.into_iter().find(|message| message.text == "thanks").unwrap();
    assert_eq!(thanks.parent_id.unwrap().to_string(), again["answer"].as_str().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_on_the_web_is_taken_in_once_however_many_texts_come_at_once() {
    let f = fixture();
    let first = f.texted(ANN, "one").await;
    f.drain().await;
    does(&f, "say", first.conversation_id, &["two", "Three."]).await;
    for text in ["four", "five"] {
        f.texted(ANN, text).await;
    }
    f.drain().await;
    assert_eq!(f.said(first).await, ["one", "re: one", "two", "Three.", "four", "re: four", "five", "re: five"]);
    f.assert_chain(first.user_id, first.conversation_id).await;
    assert_eq!(conversations(&f, first.user_id).await[0].message_count, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_from_the_web_is_archived_and_restored_in_its_place() {
    let f = fixture();
    let first = f.texted(ANN, "one").await;
    f.drain().await;
    does(&f, "say", first.conversation_id, &["two", "Three."]).await;
    f.texted(ANN, "four").await;
    f.drain().await;
    let wanted = f.said(first).await;
    assert_eq!(wanted, ["one", "re: one", "two", "Three.", "four", "re: four"]);
    let other = fixture();
    super::archives::copy(&f.store, &other.store).await;
    assert_eq!(other.said(first).await, wanted);
    let rows = does(&other, "list", first.conversation_id, &[]).await;
    assert_eq!(rows["listed"].as_array().unwrap().len(), 6, "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_deleted_on_the_web_is_told_no_more_and_nothing_hangs_from_it() {
    let f = fixture();
    let first = f.texted(ANN, "a secret").await;
    f.drain().await;
    let all = f.messages(first.user_id, first.conversation_id).await;
    does(&f, "forget", first.conversation_id, &[&all[1].id.to_string()]).await;
    let next = f.texted(ANN, "again").await;
    assert_eq!(next.conversation_id, first.conversation_id, "the conversation is there");
    assert_eq!(prompt(&f, &next).await, [said(Role::External, "a secret"), said(Role::External, "again")]);
    let left = f.messages(first.user_id, first.conversation_id).await;
    assert_eq!(left[1].parent_id, Some(left[0].id));
    assert_eq!(left.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_is_deleted_on_the_web_is_not_brought_back_and_the_next_text_begins_another() {
    let f = fixture();
    let first = f.texted(ANN, "one").await;
    f.drain().await;
    does(&f, "delete", first.conversation_id, &[]).await;
    let next = f.texted(ANN, "two").await;
    assert_ne!(next.conversation_id, first.conversation_id);
    assert_eq!(prompt(&f, &next).await, [said(Role::External, "two")], "nothing of the first is told");
    assert_eq!(f.said(next).await, ["two", "sure"]);
    assert!(f.said(first).await.is_empty());
    let ids: Vec<ConversationId> = conversations(&f, next.user_id).await.iter().map(|found| found.id).collect();
    assert_eq!(ids, [next.conversation_id]);

    // Whoever names it is told that it is not there.
    let named = f.text(ANN, "three");
    let named = NewInbound { conversation: ConversationTarget::Exactly(first.conversation_id), ..named };
    assert_eq!(f.store.accept(named).await.unwrap(), Accepted::UnknownConversation);
    let gone = f.store.close_conversation(next.user_id, first.conversation_id).await.unwrap_err();
    assert!(matches!(gone, StoreError::NotFound { .. }), "{gone}");
}

/// All conversations are deleted at once, and one of them is waited for by a text that nobody has answered yet.
#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_deleted_stays_deleted_and_a_later_text_is_answered() {
    let f = fixture();
    let first = f.texted(ANN, "one").await;
    f.drain().await;
    f.store.close_conversation(first.user_id, first.conversation_id).await.unwrap();
    let second = f.texted(ANN, "two").await;
    f.drain().await;
    f.texted(ANN, "unanswered").await;
    // What is staged is written by whoever looks.
    f.said(second).await;
    for id in [first.conversation_id, second.conversation_id] {
        does(&f, "delete", id, &[]).await;
    }
    let third = f.texted(ANN, "three").await;
    assert!(![first.conversation_id, second.conversation_id].contains(&third.conversation_id));
    f.drain().await;
    assert_eq!(f.said(third).await, ["three", "re: three"]);
    assert_eq!(conversations(&f, third.user_id).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_title_that_was_given_on_the_web_stays_whatever_comes_after() {
    let f = fixture();
    let first = f.texted(ANN, "one").await;
    f.drain().await;
    does(&f, "rename", first.conversation_id, &["My cat"]).await;
    f.texted(ANN, "two").await;
    f.drain().await;
    let closed = f.store.close_conversation(first.user_id, first.conversation_id).await.unwrap();
    assert_eq!((closed.title.as_str(), closed.closed), ("My cat", true));
    assert_eq!(conversations(&f, first.user_id).await[0].title, "My cat");
}
