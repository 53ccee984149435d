//! Opting out and in, blocking.

use std::time::Duration;

use scrubjay::domain::delivery::OutboundState;
use scrubjay::domain::time::Timestamp;
use scrubjay::domain::turn::{Refusal, TurnEnd};
use scrubjay::store::{Accepted, Action, Consent, DeliveryOutcome, NewInbound, StoreError};

use super::fixture::{ANN, BOB, Fixture, NOON, owner, phone};

fn consent(f: &Fixture, from: &str, consent: Consent, confirmation: Option<&str>) -> NewInbound {
    let confirmation = confirmation.map(|text| f.outgoing(&[text]).remove(0));
    NewInbound { action: Action::Consent { consent, said_at: f.clock.now(), confirmation }, ..f.text(from, "STOP") }
}

/// The same word, said at another moment than it is found.
fn said(at: Timestamp, word: NewInbound) -> NewInbound {
    let Action::Consent { consent, confirmation, .. } = word.action else { panic!("a consent word") };
    NewInbound { action: Action::Consent { consent, said_at: at, confirmation }, ..word }
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
    f.store.record_consent(&phone(ANN), Consent::OptOut, NOON).await.unwrap();
    assert!(f.store.find_user_by_phone(&phone(ANN)).await.unwrap().is_none());
    let receipt = f.texted(ANN, "hello").await;
    assert!(receipt.is_new_user);
    assert!(f.lease().await.is_empty());
    f.store.record_consent(&phone(ANN), Consent::OptIn, NOON.before(Duration::from_millis(1))).await.unwrap();
    f.texted(ANN, "not yet").await;
    assert!(f.lease().await.is_empty(), "a word that was said before is not the last");
    f.store.record_consent(&phone(ANN), Consent::OptIn, NOON).await.unwrap();
    f.texted(ANN, "hello").await;
    assert_eq!(f.lease().await.len(), 1);
}

pub(super) async fn a_word_found_late_does_not_undo_a_later_one(f: Fixture) {
    let minute = |count| NOON.after(Duration::from_mins(count));
    let is_out = || async { f.store.is_opted_out(&phone(ANN)).await.unwrap() };
    f.advance(10 * 60_000);
    let receipt = f.stored(said(minute(5), consent(&f, ANN, Consent::OptOut, Some("out")))).await;
    assert_eq!(f.send_all().await, ["out"]);
    f.stored(said(minute(4), consent(&f, ANN, Consent::OptIn, Some("in")))).await;
    assert!(is_out().await, "she took that back");
    f.stored(said(minute(6), consent(&f, ANN, Consent::OptIn, Some("in again")))).await;
    assert!(!is_out().await);
    assert_eq!(f.send_all().await, ["in again"]);

    let turn = f.stored(f.text(ANN, "tell me")).await;
    let leased = f.lease_one().await;
    f.store.complete_turn(&leased.lease, f.answered("told", &["told"])).await.unwrap();
    f.stored(said(minute(5), consent(&f, ANN, Consent::OptOut, Some("out late")))).await;
    assert!(!is_out().await, "an opt-in is a word too");
    assert_eq!(f.send_all().await, ["told"], "nothing is withdrawn and nothing confirmed");
    assert_eq!(f.said(receipt).await.len(), 6, "every message is stored");
    assert!(f.store.find_turn(turn.user_id, turn.turn_id).await.unwrap().is_some());
}

pub(super) async fn a_word_is_confirmed_when_it_changes_something(f: Fixture) {
    f.stored(consent(&f, ANN, Consent::OptIn, Some("never out"))).await;
    f.stored(consent(&f, ANN, Consent::OptOut, Some("out"))).await;
    f.advance(1_000);
    f.stored(consent(&f, ANN, Consent::OptOut, Some("out twice"))).await;
    assert_eq!(f.send_all().await, ["out"]);
    f.stored(said(f.clock.now().before(Duration::from_millis(500)), consent(&f, ANN, Consent::OptIn, Some("between")))).await;
    assert!(f.store.is_opted_out(&phone(ANN)).await.unwrap(), "the second word is the newer one, though it changed nothing");
    f.advance(1);
    f.stored(consent(&f, ANN, Consent::OptIn, Some("in"))).await;
    f.stored(consent(&f, ANN, Consent::OptIn, Some("in twice"))).await;
    assert_eq!(f.send_all().await, ["in"]);
}

pub(super) async fn a_word_of_a_clock_that_is_ahead_holds_from_now(f: Fixture) {
    f.stored(said(f.clock.now().after(Duration::from_hours(1)), consent(&f, ANN, Consent::OptOut, None))).await;
    assert!(f.store.is_opted_out(&phone(ANN)).await.unwrap());
    f.advance(1);
    f.stored(consent(&f, ANN, Consent::OptIn, None)).await;
    assert!(!f.store.is_opted_out(&phone(ANN)).await.unwrap());
}

pub(super) async fn the_word_of_a_blocked_person_holds(f: Fixture) {
    let receipt = f.texted(ANN, "one").await;
    f.drain().await;
    f.store.set_blocked(receipt.user_id, true).await.unwrap();
    let blocked = Accepted::Blocked { user_id: receipt.user_id };
    assert_eq!(f.store.accept(consent(&f, ANN, Consent::OptOut, Some("out"))).await.unwrap(), blocked);
    assert!(f.store.is_opted_out(&phone(ANN)).await.unwrap());
    assert!(f.send_all().await.is_empty());
    assert_eq!(f.said(receipt).await, ["one", "re: one"], "nothing else is stored");
    let early = said(NOON.before(Duration::from_secs(1)), consent(&f, ANN, Consent::OptIn, None));
    assert_eq!(f.store.accept(early).await.unwrap(), blocked);
    f.store.set_blocked(receipt.user_id, false).await.unwrap();
    f.texted(ANN, "two").await;
    assert!(f.lease().await.is_empty(), "unblocked, but still opted out");
}

pub(super) async fn what_the_carrier_says_is_a_word_said_now(f: Fixture) {
    f.texted(ANN, "hello").await;
    let turn = f.lease_one().await;
    f.store.complete_turn(&turn.lease, f.answered("hi", &["hi", "more"])).await.unwrap();
    f.advance(60_000);
    let first = f.delivery().await;
    f.store.record_delivery(&first.lease, DeliveryOutcome::OptedOut { error: "21610".to_owned() }).await.unwrap();
    f.store.record_consent(&phone(ANN), Consent::OptIn, NOON.after(Duration::from_secs(30))).await.unwrap();
    assert!(f.store.is_opted_out(&phone(ANN)).await.unwrap());
    assert!(f.send_all().await.is_empty());
    f.store.record_consent(&phone(ANN), Consent::OptIn, f.clock.now()).await.unwrap();
    assert!(!f.store.is_opted_out(&phone(ANN)).await.unwrap());
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
