//! Handing out turns and ending them.

use scrubjay::domain::ids::MessageId;
use scrubjay::domain::message::Role;
use scrubjay::domain::turn::{TurnEnd, TurnState};
use scrubjay::store::StoreError;

use super::fixture::{ANN, Fixture, no_limits};

pub(super) async fn a_turn_is_leased_answered_and_over(f: Fixture) {
    let receipt = f.texted(ANN, "hello").await;
    let turn = f.lease_one().await;
    assert_eq!((turn.lease.user_id, turn.lease.turn_id, turn.attempts), (receipt.user_id, receipt.turn_id, 0));
    assert_eq!((turn.texts.len(), turn.texts[0].sequence, turn.texts[0].parent_id), (1, Some(1), Some(MessageId::ROOT)));
    assert_eq!((turn.user.id, turn.conversation.id), (receipt.user_id, receipt.conversation_id));
    assert!(f.lease().await.is_empty(), "a leased lane is nobody else's");

    let done = f.store.complete_turn(&turn.lease, f.answered("hi there", &["hi there"])).await.unwrap();
    assert_eq!(done.outgoing, 1);
    let record = f.store.find_turn(receipt.user_id, receipt.turn_id).await.unwrap().unwrap();
    assert_eq!((record.state, record.end.as_ref()), (TurnState::Done, Some(&done.end)));
    let TurnEnd::Answered(Some(reply)) = done.end else { panic!("it has a reply") };
    assert_eq!((reply.text.as_str(), reply.usage.total_tokens), ("hi there", 10));

    let messages = f.messages(receipt.user_id, receipt.conversation_id).await;
    assert_eq!(messages.iter().map(|message| message.role).collect::<Vec<_>>(), [Role::External, Role::Assistant]);
    assert_eq!((messages[1].parent_id, messages[1].sequence, messages[1].token_count), (Some(receipt.message_id), Some(2), 3));
    assert!(messages.iter().all(|message| message.endpoint.as_ref().is_some_and(|endpoint| endpoint.as_str() == "openAI")));
    assert_eq!(f.send_all().await, ["hi there"]);
    assert!(f.lease().await.is_empty());
    assert_eq!(f.store.latest_event(receipt.user_id).await.unwrap(), 1);
}

pub(super) async fn a_lease_that_ran_out_is_taken_over_and_its_holder_writes_nothing(f: Fixture) {
    f.texted(ANN, "hello").await;
    let lost = f.lease_one().await;
    f.advance(14_999);
    assert!(f.store.lease_turns(&f.other_owner(), 10, &no_limits()).await.unwrap().work.is_empty());
    f.advance(1);
    let work = f.store.lease_turns(&f.other_owner(), 10, &no_limits()).await.unwrap().work;
    assert_eq!((work.len(), work[0].attempts), (1, 1), "the attempt of the dead counts");
    assert_eq!(work[0].texts, lost.texts);
    let late = f.store.complete_turn(&lost.lease, f.answered("late", &["late"])).await;
    assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
    f.answer(&work[0], "in time").await;
    let again = f.store.complete_turn(&work[0].lease, f.answered("twice", &[])).await;
    assert!(matches!(again, Err(StoreError::LeaseLost)), "{again:?}");
    let texts: Vec<_> = f.messages(lost.lease.user_id, lost.conversation.id).await.into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["hello", "in time"]);
}
