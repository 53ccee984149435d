//! Another person's ids give nothing, in any method.

use scrubjay::domain::job::JobId;
use scrubjay::domain::ledger::Credits;
use scrubjay::store::{BalanceRules, DeliveryOutcome, MessageFilter, PageRequest, StoreError, TurnRelease};

use super::fixture::{ANN, BOB, Fixture, NOON};

pub(super) async fn another_persons_ids_give_nothing(f: Fixture) {
    let ann = f.texted(ANN, "a secret").await;
    let bob = f.texted(BOB, "hello").await;
    for turn in f.lease().await {
        f.store.complete_turn(&turn.lease, f.answered("re", &["re"])).await.unwrap();
    }
    let sent = f.store.list_outbound(ann.user_id, 10).await.unwrap().remove(0);
    f.texted(ANN, "running").await;
    let running = f.lease_one().await;
    let deliveries = f.deliveries().await;
    let delivery = deliveries.iter().find(|delivery| delivery.message.user_id == ann.user_id).unwrap();
    let before = (f.said(ann).await, f.store.list_outbound(ann.user_id, 10).await.unwrap());

    assert!(f.store.find_conversation(bob.user_id, ann.conversation_id).await.unwrap().is_none());
    assert!(f.store.find_turn(bob.user_id, ann.turn_id).await.unwrap().is_none());
    assert!(f.store.find_outbound(bob.user_id, sent.id).await.unwrap().is_none());
    assert!(f.store.recent_messages(bob.user_id, ann.conversation_id, i64::MAX, 10).await.unwrap().messages.is_empty());
    let filter = MessageFilter { conversation_id: Some(ann.conversation_id), search: None };
    assert!(f.store.list_messages(bob.user_id, filter, PageRequest::first(10)).await.unwrap().items.is_empty());
    let filter = MessageFilter { conversation_id: None, search: Some("secret".to_owned()) };
    assert!(f.store.list_messages(bob.user_id, filter, PageRequest::first(10)).await.unwrap().items.is_empty());
    let finished = f.store.list_finished_turns(bob.user_id, 0, 10).await.unwrap();
    assert!(finished.iter().flat_map(|turn| &turn.messages).all(|message| message.user_id == bob.user_id));
    assert!(f.store.list_outbound(bob.user_id, 10).await.unwrap().iter().all(|message| message.user_id == bob.user_id));
    assert_eq!(f.store.list_conversations(bob.user_id, PageRequest::first(10)).await.unwrap().items.len(), 1);

    assert!(matches!(f.store.close_conversation(bob.user_id, ann.conversation_id).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(f.store.delete_conversation(bob.user_id, ann.conversation_id).await, Err(StoreError::NotFound { .. })));
    for id in [JobId::Reply(running.lease.turn_id), JobId::Deliver(sent.id)] {
        assert!(matches!(f.store.replay_job(bob.user_id, id, NOON).await, Err(StoreError::NotFound { .. })));
        assert!(matches!(f.store.discard_job(bob.user_id, id).await, Err(StoreError::NotFound { .. })));
    }

    // A forged lease: the right turn and fence, another person.
    let mut forged = running.lease.clone();
    forged.user_id = bob.user_id;
    let rules = BalanceRules { start: Credits(1), refill: None };
    assert!(matches!(f.store.reserve(&forged, rules, Credits(1)).await, Err(StoreError::LeaseLost)));
    assert!(matches!(f.store.complete_turn(&forged, f.answered("x", &[])).await, Err(StoreError::LeaseLost)));
    assert!(matches!(f.store.release_turn(&forged, TurnRelease::Unchanged).await, Err(StoreError::LeaseLost)));
    let mut forged = delivery.lease.clone();
    forged.user_id = bob.user_id;
    let dead = DeliveryOutcome::Dead { error: "x".to_owned() };
    assert!(matches!(f.store.record_delivery(&forged, dead).await, Err(StoreError::LeaseLost)));
    assert!(matches!(f.store.release_delivery(&forged).await, Err(StoreError::LeaseLost)));

    let after = (f.said(ann).await, f.store.list_outbound(ann.user_id, 10).await.unwrap());
    assert_eq!(before, after);
    f.answer(&running, "still mine").await;
}
