//! Which conversation is continued; closing and deleting one.

use scrubjay::domain::conversation::{Choice, reuse_horizon};
use scrubjay::domain::delivery::OutboundState;
use scrubjay::domain::endpoint::Endpoint;
use scrubjay::domain::turn::TurnRequest;
use scrubjay::store::{Accepted, Action, ConversationTarget, Effect, MessageFilter, NewInbound, PageRequest, StoreError};

use super::fixture::{ANN, BOB, Fixture};

const DAY: u64 = 24 * 3_600_000;

pub(super) async fn the_newest_is_continued_within_its_window(f: Fixture) {
    let by_phone = |text: &str| {
        let not_before = reuse_horizon(f.clock.now(), 7);
        NewInbound { conversation: ConversationTarget::ByPhone { not_before }, ..f.text(ANN, text) }
    };
    let first = f.stored(by_phone("one")).await;
    f.advance(7 * DAY);
    assert_eq!(f.stored(by_phone("seven days later")).await.conversation_id, first.conversation_id);
    f.advance(7 * DAY + 1);
    let second = f.stored(by_phone("too late")).await;
    assert_ne!(second.conversation_id, first.conversation_id);
    let kiosk = NewInbound { source: "kiosk".to_owned(), title: Some("At the kiosk".to_owned()), ..by_phone("elsewhere") };
    let kiosk = f.stored(kiosk).await;
    assert_ne!(kiosk.conversation_id, second.conversation_id, "another source has its own");
    let titled = f.store.find_conversation(kiosk.user_id, kiosk.conversation_id).await.unwrap().unwrap();
    assert_eq!((titled.title.as_str(), titled.source.as_str()), ("At the kiosk", "kiosk"));
    assert_eq!(f.stored(by_phone("back")).await.conversation_id, second.conversation_id);
    f.advance(400 * DAY);
    assert_eq!(f.texted(ANN, "for ever").await.conversation_id, second.conversation_id);
}

pub(super) async fn a_named_conversation_must_be_the_senders(f: Fixture) {
    let ann = f.texted(ANN, "mine").await;
    f.texted(BOB, "mine").await;
    let exactly = |from: &str| NewInbound { conversation: ConversationTarget::Exactly(ann.conversation_id), ..f.call(from, "x", None) };
    assert_eq!(f.stored(exactly(ANN)).await.conversation_id, ann.conversation_id);
    assert_eq!(f.store.accept(exactly(BOB)).await.unwrap(), Accepted::UnknownConversation);
    assert_eq!(f.store.accept(exactly("+15550000009")).await.unwrap(), Accepted::UnknownConversation);
    assert_eq!(f.store.list_users(PageRequest::first(10)).await.unwrap().items.len(), 2, "nothing was stored");
}

pub(super) async fn a_closed_conversation_is_left_by_phone(f: Fixture) {
    let first = f.texted(ANN, "one").await;
    let new = f.text(ANN, "/new");
    let action = Action::Answer {
        text: "A new conversation.".to_owned(),
        reply_id: f.clock.message_id(),
        outgoing: Vec::new(),
        effect: Effect::NewConversation,
    };
    assert_eq!(f.stored(NewInbound { action, ..new }).await.conversation_id, first.conversation_id, "the word stands in the old one");
    let second = f.texted(ANN, "two").await;
    assert_ne!(second.conversation_id, first.conversation_id);
    assert!(f.store.close_conversation(second.user_id, second.conversation_id).await.unwrap().closed);
    assert_ne!(f.texted(ANN, "three").await.conversation_id, second.conversation_id);
    let exactly = NewInbound { conversation: ConversationTarget::Exactly(first.conversation_id), ..f.text(ANN, "back") };
    assert_eq!(f.stored(exactly).await.conversation_id, first.conversation_id);
    f.drain().await;
    assert_eq!(f.said(first).await, ["one", "re: one", "/new", "A new conversation.", "back", "re: back"]);
    f.assert_chain(first.user_id, first.conversation_id).await;
}

pub(super) async fn an_explicit_choice_stays_with_the_conversation(f: Fixture) {
    let choose = |endpoint: Option<&str>, model: Option<&str>| TurnRequest {
        choice: Choice { endpoint: endpoint.map(|name| Endpoint::parse(name).unwrap()), model: model.map(str::to_owned), agent_id: None },
        additional_instructions: Some("be brief".to_owned()),
    };
    let first = NewInbound { request: choose(Some("local"), Some("big")), ..f.call(ANN, "one", None) };
    f.stored(first).await;
    let turn = f.lease_one().await;
    assert_eq!(turn.request, choose(Some("local"), Some("big")));
    assert_eq!(turn.conversation.choice, turn.request.choice);
    f.answer(&turn, "ok").await;
    f.stored(NewInbound { request: choose(None, Some("small")), ..f.call(ANN, "two", None) }).await;
    f.texted(ANN, "three").await;
    let turn = f.lease_one().await;
    f.answer(&turn, "ok").await;
    let turn = f.lease_one().await;
    assert_eq!(turn.request, TurnRequest::default());
    assert_eq!(turn.conversation.choice, choose(Some("local"), Some("small")).choice);
    assert_eq!(turn.conversation.endpoint.map(|endpoint| endpoint.as_str().to_owned()).as_deref(), Some("openAI"));
    assert_eq!(turn.conversation.message_count, 5);
}

pub(super) async fn a_deleted_conversation_is_gone_and_stays_gone(f: Fixture) {
    let first = f.text(ANN, "forget this");
    let receipt = f.stored(first.clone()).await;
    let turn = f.lease_one().await;
    f.store.complete_turn(&turn.lease, f.answered("a secret", &["a secret"])).await.unwrap();
    f.texted(ANN, "running").await;
    f.texted(ANN, "waiting").await;
    let running = f.lease_one().await;
    let (user, id) = (receipt.user_id, receipt.conversation_id);
    f.store.delete_conversation(user, id).await.unwrap();

    let late = f.store.complete_turn(&running.lease, f.answered("late", &["late"])).await;
    assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
    assert!(f.store.find_conversation(user, id).await.unwrap().is_none());
    assert!(f.store.find_turn(user, receipt.turn_id).await.unwrap().is_none());
    let all = f.store.list_messages(user, MessageFilter::default(), PageRequest::first(10)).await.unwrap();
    assert!(all.items.is_empty());
    assert!(f.send_all().await.is_empty());
    let left = f.store.list_outbound(user, 10).await.unwrap();
    assert!(left.iter().all(|message| message.body.is_empty() && message.state == OutboundState::Canceled));
    assert_eq!(f.store.figures().await.unwrap(), scrubjay::store::StoreFigures::default());
    assert!(matches!(f.store.delete_conversation(user, id).await, Err(StoreError::NotFound { .. })));

    let repeat = NewInbound { door: first.door, ..f.text(ANN, "forget this") };
    assert_eq!(f.store.accept(repeat).await.unwrap(), Accepted::Repeat(receipt));
    assert!(f.lease().await.is_empty(), "a repeated webhook brings nothing back");
    let next = f.texted(ANN, "hello again").await;
    assert_ne!(next.conversation_id, id);
    f.drain().await;
    assert_eq!(f.said(next).await, ["hello again", "re: hello again"]);
}

pub(super) async fn conversations_are_listed_by_their_newest_message(f: Fixture) {
    let mut ids = Vec::new();
    for number in 0..5 {
        f.advance(1_000);
        let text = f.text(ANN, "x");
        ids.push(f.stored(NewInbound { source: format!("s{number}"), ..text }).await);
    }
    f.advance(1_000);
    f.stored(NewInbound { conversation: ConversationTarget::Exactly(ids[1].conversation_id), ..f.text(ANN, "y") }).await;
    let mut listed = Vec::new();
    let mut cursor = None;
    loop {
        let page = f.store.list_conversations(ids[0].user_id, PageRequest { cursor, limit: 2 }).await.unwrap();
        listed.extend(page.items.into_iter().map(|conversation| conversation.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let expected: Vec<_> = [1, 4, 3, 2, 0].into_iter().map(|index: usize| ids[index].conversation_id).collect();
    assert_eq!(listed, expected);
}
