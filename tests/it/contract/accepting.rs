//! Taking in messages.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use scrubjay::domain::user::Preferences;
use scrubjay::store::{Accepted, Door, NewInbound, PageRequest};

use super::fixture::{ANN, BOB, Fixture, NOON, phone};
use crate::support::chance::Chance;

pub(super) async fn a_first_text_makes_the_person_and_the_conversation(f: Fixture) {
    let receipt = f.stored(NewInbound { token_count: 2, ..f.text(ANN, "hello") }).await;
    assert!(receipt.is_new_user);

    let user = f.store.find_user(receipt.user_id).await.unwrap().unwrap();
    assert_eq!(user.phone, Some(phone(ANN)));
    assert_eq!(user.email, "+15550000001@sms.librechat.ai");
    assert_eq!(user.name, "SMS User +15550000001");
    assert_eq!(user.username, "sms_15550000001");
    assert_eq!((user.provider.as_str(), user.role.as_str(), user.email_verified), ("sms", "USER", true));
    assert_eq!((user.message_count, user.first_contact, user.last_sms), (1, NOON, NOON));
    assert_eq!((user.preferences, user.balance, user.blocked), (Preferences::default(), None, false));
    assert_eq!(f.store.find_user_by_phone(&phone(ANN)).await.unwrap().map(|user| user.id), Some(receipt.user_id));

    let conversation = f.store.find_conversation(receipt.user_id, receipt.conversation_id).await.unwrap().unwrap();
    assert_eq!(conversation.title, "SMS Chat +15550000001");
    assert_eq!((conversation.source.as_str(), conversation.message_count, conversation.closed), ("sms", 1, false));
    assert_eq!((conversation.endpoint, conversation.phone), (None, Some(phone(ANN))));

    let messages = f.messages(receipt.user_id, receipt.conversation_id).await;
    assert_eq!((messages.len(), messages[0].token_count), (1, 2));
    assert_eq!((messages[0].id, messages[0].turn_id, messages[0].text.as_str()), (receipt.message_id, receipt.turn_id, "hello"));
    assert_eq!((messages[0].sequence, messages[0].parent_id), (None, None), "its place comes with its turn");
}

pub(super) async fn a_repeat_gets_the_receipt_of_the_first_time(f: Fixture) {
    let first = f.text(ANN, "hello");
    let receipt = f.stored(first.clone()).await;
    f.texted(ANN, "in between").await;
    f.advance(90 * 24 * 3_600_000);
    let mut again = f.text(ANN, "hello");
    again.door = first.door;
    assert_eq!(f.store.accept(again).await.unwrap(), Accepted::Repeat(receipt));
    assert_eq!(f.store.find_user(receipt.user_id).await.unwrap().unwrap().message_count, 2);

    let api = f.stored(f.call(ANN, "once", Some("key-1"))).await;
    assert_eq!(f.store.accept(f.call(ANN, "once", Some("key-1"))).await.unwrap(), Accepted::Repeat(api));
    assert_eq!(f.store.accept(f.call(ANN, "another body", Some("key-1"))).await.unwrap(), Accepted::OtherBody);
    let without_key = f.stored(f.call(ANN, "once", None)).await;
    assert_ne!(without_key.message_id, api.message_id);
}

pub(super) async fn a_receipt_is_found_by_the_door_that_its_message_came_in_by(f: Fixture) {
    let (text, call) = (f.text(ANN, "hello"), f.call(ANN, "hello", Some("key-1")));
    for new in [&text, &call] {
        assert_eq!(f.store.find_receipt(&new.door).await.unwrap(), None, "nothing came in yet");
    }
    let (by_text, by_call) = (f.stored(text.clone()).await, f.stored(call.clone()).await);
    for number in 0..3 {
        f.texted(BOB, &format!("in between {number}")).await;
    }
    f.drain().await;
    f.advance(90 * 24 * 3_600_000);
    for store in [f.store.clone(), f.open_again()] {
        assert_eq!(store.find_receipt(&text.door).await.unwrap(), Some(by_text));
        assert_eq!(store.find_receipt(&call.door).await.unwrap(), Some(by_call));
        let Door::Gateway { message_id, .. } = &text.door else { panic!("{:?}", text.door) };
        let elsewhere = Door::Gateway { name: "another".to_owned(), message_id: message_id.clone() };
        assert_eq!(store.find_receipt(&elsewhere).await.unwrap(), None, "ids are a gateway's own");
        assert_eq!(store.find_receipt(&f.call(ANN, "hello", Some("key-2")).door).await.unwrap(), None);
        assert_eq!(store.find_receipt(&f.call(ANN, "hello", None).door).await.unwrap(), None, "it cannot be recognised");
    }
}

pub(super) async fn fifty_first_texts_at_once_make_one_person_and_one_chain(f: Fixture) {
    let texts: Vec<_> = (0..50).map(|number| f.text(ANN, &format!("text {number}"))).collect();
    let waiting: Vec<_> = texts
        .into_iter()
        .map(|text| {
            let store = f.store.clone();
            tokio::spawn(async move { store.accept(text).await.unwrap() })
        })
        .collect();
    let mut receipts = Vec::new();
    for task in waiting {
        match task.await.unwrap() {
            Accepted::Stored(receipt) => receipts.push(receipt),
            other => panic!("it was not stored: {other:?}"),
        }
    }
    assert_eq!(receipts.iter().filter(|receipt| receipt.is_new_user).count(), 1);
    assert!(receipts.iter().all(|receipt| receipt.user_id == receipts[0].user_id));
    assert!(receipts.iter().all(|receipt| receipt.conversation_id == receipts[0].conversation_id));
    assert_eq!(f.store.list_users(PageRequest::first(10)).await.unwrap().items.len(), 1);

    f.drain().await;
    let (user, conversation) = (receipts[0].user_id, receipts[0].conversation_id);
    assert_eq!(f.messages(user, conversation).await.len(), 100);
    f.assert_chain(user, conversation).await;
}

/// Does some steps of work and leaves it where it is then; what it came to, where it was done before.
async fn leaving_after<T>(steps: u64, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut left) = (pin!(work), steps);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Pending if left > 0 => {
            left -= 1;
            Poll::Pending
        }
        Poll::Pending => Poll::Ready(None),
        Poll::Ready(done) => Poll::Ready(Some(done)),
    })
    .await
}

/// A sender that hangs up, or waits no longer, may leave the store at any moment of its work.
pub(super) async fn a_text_whose_taker_left_at_any_moment_is_whole_or_not_there(f: Fixture) {
    let chance = Chance::new();
    let first = f.texted(ANN, "text 0").await;
    let (rounds, mut left) = (f.times(60), 0);
    for round in 1..=rounds {
        let text = f.text(ANN, &format!("text {round}"));
        // Right behind the first thing that it waits for, or when it has gone on so many times.
        let steps = if round % 3 == 0 { 0 } else { chance.between(1, 30) };
        let taken = leaving_after(steps, f.store.accept(text.clone())).await;
        left += u32::from(taken.is_none());
        let again = f.store.accept(text).await.unwrap();
        let stored = |accepted: &Accepted| match accepted {
            Accepted::Stored(receipt) | Accepted::Repeat(receipt) => *receipt,
            other => panic!("{other:?}"),
        };
        if let Some(taken) = taken {
            let taken = taken.unwrap();
            assert_eq!(again, Accepted::Repeat(stored(&taken)));
        }
        assert_eq!(stored(&again).conversation_id, first.conversation_id);
    }
    eprintln!("{left} of {rounds} were left");
    assert!(left > 0, "nobody left in the middle");
    f.drain().await;
    let said = f.said(first).await;
    let expected: Vec<String> = (0..=rounds).flat_map(|round| [format!("text {round}"), format!("re: text {round}")]).collect();
    assert_eq!(said, expected);
    f.assert_chain(first.user_id, first.conversation_id).await;
    assert_eq!(f.store.find_user(first.user_id).await.unwrap().unwrap().message_count, i64::from(rounds) + 1);
}
