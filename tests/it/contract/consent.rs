//! Opting out and in, blocking.

use scrubjay::domain::delivery::OutboundState;
use scrubjay::domain::turn::{Refusal, TurnEnd};
use scrubjay::store::{Accepted, Action, Consent, NewInbound, StoreError};

use super::fixture::{ANN, BOB, Fixture, owner, phone};

fn consent(f: &Fixture, from: &str, consent: Consent, confirmation: Option<&str>) -> NewInbound {
    let confirmation = confirmation.map(|text| f.outgoing(&[text]).remove(0));
    NewInbound { action: Action::Consent { consent, confirmation }, ..f.text(from, "STOP") }
}

pub(super) async fn an_opt_out_stops_everything_but_its_confirmation(f: Fixture) {
    let receipt = f.texted(ANN, "one").await;
    let turn = f.lease_one().await;
    f.store.complete_turn(&turn.lease, f.answered("r1", &["r1"])).await.unwrap();
    f.texted(ANN, "two").await;
    let running = f.lease_one().await;
    f.stored(consent(&f, ANN, Consent::OptOut, Some("you are out"))).await;
    assert!(f.store.is_opted_out(&phone(ANN)).await.unwrap());
    assert!(!f.store.is_opted_out(&phone(BOB)).await.unwrap());

    let done = f.store.complete_turn(&running.lease, f.answered("r2", &["r2"])).await.unwrap();
    assert_eq!(done.outgoing, 0, "the reply is stored, not sent");
    assert_eq!(f.send_all().await, ["you are out"]);
    let states: Vec<_> = f.store.list_outbound(receipt.user_id, 10).await.unwrap().into_iter().map(|sent| sent.state).collect();
    assert_eq!(states, [OutboundState::Accepted, OutboundState::Canceled]);

    let ignored = f.texted(ANN, "hello?").await;
    assert!(f.lease().await.is_empty());
    let record = f.store.find_turn(ignored.user_id, ignored.turn_id).await.unwrap().unwrap();
    assert_eq!(record.end, Some(TurnEnd::Refused(Refusal::OptedOut)));
    f.stored(f.call(ANN, "through the API", None)).await;
    assert_eq!(f.lease().await.len(), 1, "the API answers by itself and is not concerned");
    f.drain().await;
    f.store.release_owner(&owner()).await.unwrap();
    f.drain().await;

    f.stored(consent(&f, ANN, Consent::OptIn, Some("welcome back"))).await;
    assert!(!f.store.is_opted_out(&phone(ANN)).await.unwrap());
    f.texted(ANN, "again").await;
    let turn = f.lease_one().await;
    f.store.complete_turn(&turn.lease, f.answered("r3", &["r3"])).await.unwrap();
    assert_eq!(f.send_all().await, ["welcome back", "r3"]);
    f.assert_chain(receipt.user_id, receipt.conversation_id).await;
}

pub(super) async fn the_word_of_a_stranger_is_kept_for_when_they_come(f: Fixture) {
    f.store.record_consent(&phone(ANN), Consent::OptOut).await.unwrap();
    assert!(f.store.find_user_by_phone(&phone(ANN)).await.unwrap().is_none());
    let receipt = f.texted(ANN, "hello").await;
    assert!(receipt.is_new_user);
    assert!(f.lease().await.is_empty());
    f.store.record_consent(&phone(ANN), Consent::OptIn).await.unwrap();
    f.texted(ANN, "hello").await;
    assert_eq!(f.lease().await.len(), 1);
}

pub(super) async fn a_blocked_person_is_refused_and_owed_nothing(f: Fixture) {
    let receipt = f.texted(ANN, "one").await;
    let turn = f.lease_one().await;
    f.store.complete_turn(&turn.lease, f.answered("r1", &["r1"])).await.unwrap();
    f.texted(ANN, "two").await;
    f.texted(ANN, "three").await;
    let running = f.lease_one().await;
    let user = f.store.set_blocked(receipt.user_id, true).await.unwrap();
    assert!(user.blocked);
    let late = f.store.complete_turn(&running.lease, f.answered("late", &["late"])).await;
    assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
    assert_eq!(f.store.accept(f.text(ANN, "four")).await.unwrap(), Accepted::Blocked { user_id: receipt.user_id });
    assert!(f.lease().await.is_empty());
    assert!(f.send_all().await.is_empty());
    assert_eq!(f.said(receipt).await, ["one", "r1", "two", "three"]);
    f.assert_chain(receipt.user_id, receipt.conversation_id).await;
    assert_eq!(f.store.figures().await.unwrap().open_turns, 0);

    assert!(!f.store.set_blocked(receipt.user_id, false).await.unwrap().blocked);
    f.texted(ANN, "five").await;
    assert_eq!(f.lease().await.len(), 1);
}
