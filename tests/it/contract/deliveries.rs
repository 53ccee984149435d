//! Outgoing messages: order, attempts, doubt, and what the carrier says later.

use std::time::Duration;

use scrubjay::domain::delivery::{DeliveryStatus, OutboundState, ReplyRoute, StatusReport};
use scrubjay::domain::job::JobId;
use scrubjay::domain::ledger::Credits;
use scrubjay::store::{
    Action, DeliveryOutcome, DeliveryWork, Effect, HeldLease, LaneKind, LeasedDelivery, Looked, NewInbound, NewOutbound, NewPerson,
    Receipt, StatusRecorded, StoreError, TurnOutcome,
};

use super::fixture::{ANN, BOB, Fixture, NOON, other_owner, owner, phone, twilio};

/// Ann texts and is answered with these parts.
async fn answered(f: &Fixture, parts: &[&str]) -> Receipt {
    let receipt = f.texted(ANN, "hello").await;
    let turn = f.lease_one().await;
    f.store.complete_turn(&turn.lease, f.answered("whole", parts)).await.unwrap();
    receipt
}

fn taken(id: &str, status: DeliveryStatus) -> DeliveryOutcome {
    DeliveryOutcome::Accepted { gateway_message_id: id.to_owned(), status }
}

fn report(id: &str, status: DeliveryStatus) -> StatusReport {
    StatusReport { gateway: "twilio".to_owned(), gateway_message_id: id.to_owned(), status, error_code: None }
}

async fn record(f: &Fixture, delivery: &LeasedDelivery, outcome: DeliveryOutcome) {
    f.store.record_delivery(&delivery.lease, outcome).await.unwrap();
}

pub(super) async fn parts_leave_one_after_the_other(f: Fixture) {
    let receipt = answered(&f, &["1/2", "2/2"]).await;
    let first = f.delivery().await;
    assert_eq!((first.message.body.as_str(), first.message.part, first.work), ("1/2", 0, DeliveryWork::Send));
    assert_eq!((first.message.to.clone(), first.message.route.from.as_str()), (phone(ANN), "+15559990000"));
    assert_eq!((first.message.attempts, first.message.attempted_at), (1, Some(NOON)));
    assert!(f.deliveries().await.is_empty(), "the second waits for the first");
    record(&f, &first, taken("OUT-1", DeliveryStatus::Queued)).await;
    let second = f.delivery().await;
    assert_eq!((second.message.body.as_str(), second.message.part), ("2/2", 1));
    record(&f, &second, taken("OUT-2", DeliveryStatus::Queued)).await;
    assert!(f.deliveries().await.is_empty());
    assert_eq!(f.store.list_known_ids(receipt.user_id, NOON).await.unwrap(), ["OUT-1", "OUT-2"]);
    assert!(f.store.list_known_ids(receipt.user_id, NOON.after(Duration::from_millis(1))).await.unwrap().is_empty());
    let lost = f.store.record_delivery(&first.lease, taken("OUT-3", DeliveryStatus::Queued)).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
}

pub(super) async fn a_refused_attempt_is_repeated_when_due(f: Fixture) {
    answered(&f, &["hi"]).await;
    let first = f.delivery().await;
    let due = f.clock.now().after(Duration::from_secs(2));
    record(&f, &first, DeliveryOutcome::Retry { due, error: "429".to_owned() }).await;
    assert!(f.deliveries().await.is_empty());
    f.advance(2_000);
    let second = f.delivery().await;
    assert_eq!((second.message.attempts, second.message.error.as_deref(), second.work), (2, Some("429"), DeliveryWork::Send));
    f.store.release_delivery(&second.lease).await.unwrap();
    let third = f.delivery().await;
    assert_eq!(third.message.attempts, 2, "what was given back was no attempt");
    record(&f, &third, DeliveryOutcome::Stopped { due: f.clock.now(), error: "20003".to_owned() }).await;
    assert_eq!(f.delivery().await.message.attempts, 2, "neither was what the account could not send");
}

pub(super) async fn what_was_perhaps_sent_is_looked_up_before_it_is_sent_again(f: Fixture) {
    answered(&f, &["hi", "next"]).await;
    let attempt = f.delivery().await;
    let look = |seconds, looked| DeliveryOutcome::LookUp {
        due: f.clock.now().after(Duration::from_secs(seconds)),
        error: "timed out".to_owned(),
        looked,
    };
    record(&f, &attempt, look(5, Looked::No)).await;
    assert!(f.deliveries().await.is_empty());
    f.advance(5_000);
    let first = f.delivery().await;
    assert_eq!((first.work, first.message.state, first.message.checks), (DeliveryWork::LookUp, OutboundState::Checking, 0));
    assert_eq!(first.message.attempted_at, Some(NOON), "look-ups search from the attempt");
    record(&f, &first, look(30, Looked::Yes)).await;
    f.advance(30_000);
    let second = f.delivery().await;
    assert_eq!((second.message.checks, second.message.attempts), (1, 1));
    record(&f, &second, DeliveryOutcome::SendAgain).await;
    let again = f.delivery().await;
    assert_eq!((again.work, again.message.attempts, again.message.checks), (DeliveryWork::Send, 2, 0));
    record(&f, &again, look(0, Looked::No)).await;
    let found = f.delivery().await;
    record(&f, &found, taken("OUT-1", DeliveryStatus::Sent)).await;
    assert_eq!(f.delivery().await.message.body, "next");
}

pub(super) async fn an_attempt_whose_process_died_is_looked_up(f: Fixture) {
    answered(&f, &["hi"]).await;
    let lost = f.delivery().await;
    assert_eq!(lost.message.state, OutboundState::Sending);
    f.advance(15_000);
    let work = f.store.lease_deliveries(&other_owner(), &twilio(), 10).await.unwrap().work;
    assert_eq!((work.len(), work[0].work, work[0].message.attempts), (1, DeliveryWork::LookUp, 1));
    let late = f.store.record_delivery(&lost.lease, taken("OUT-1", DeliveryStatus::Sent)).await;
    assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
    f.store.release_owner(&other_owner()).await.unwrap();
    assert_eq!(f.delivery().await.work, DeliveryWork::LookUp, "a stop does not settle the doubt");
}

pub(super) async fn what_a_process_left_to_be_sent_itself_is_leased_by_it_once(f: Fixture) {
    let other = f.open_again();
    for number in [ANN, BOB] {
        f.texted(number, "hello").await;
    }
    for turn in f.lease().await {
        f.store.complete_turn(&turn.lease, f.answered("whole", &["1/2", "2/2"])).await.unwrap();
    }
    let own = async |limit: usize| f.store.lease_own_deliveries(&owner(), &twilio(), limit).await.unwrap();
    let unknown = f.store.lease_own_deliveries(&owner(), &["another".to_owned()], 10).await.unwrap();
    assert!(unknown.work.is_empty(), "nobody has that gateway's messages: {:?}", unknown.work);
    let first = own(1).await;
    assert_eq!((first.work.len(), first.work[0].message.body.as_str()), (1, "1/2"));
    assert!(first.next_due.is_some_and(|due| due <= f.clock.now()), "there is another at once: {:?}", first.next_due);
    let taken_by_other = other.lease_deliveries(&other_owner(), &twilio(), 10).await.unwrap().work;
    assert_eq!(taken_by_other.len(), 1, "whoever looks at all finds it too");
    assert_ne!(taken_by_other[0].lease.user_id, first.work[0].lease.user_id);
    assert!(own(10).await.work.is_empty(), "each is sent by one");
    record(&f, &first.work[0], taken("OUT-1", DeliveryStatus::Queued)).await;
    let again = own(10).await.work;
    assert_eq!(again.len(), 1, "who is first in a lane that somebody else holds waits");
    assert_eq!((again[0].lease.user_id, again[0].message.body.as_str()), (first.work[0].lease.user_id, "2/2"));
}

pub(super) async fn what_is_too_old_is_not_sent(f: Fixture) {
    let receipt = answered(&f, &["old"]).await;
    f.advance(4 * 3_600_000 + 1);
    answered(&f, &["new"]).await;
    assert_eq!(f.send_all().await, ["new"]);
    let old = f.store.list_outbound(receipt.user_id, 10).await.unwrap().remove(1);
    assert_eq!((old.state, old.attempts), (OutboundState::Canceled, 0));
    assert!(old.error.is_some_and(|error| error.contains("old")));
}

pub(super) async fn a_dead_letter_lets_the_next_one_go(f: Fixture) {
    let receipt = answered(&f, &["bad", "good"]).await;
    let bad = f.delivery().await;
    record(&f, &bad, DeliveryOutcome::Dead { error: "21211".to_owned() }).await;
    assert_eq!(f.send_all().await, ["good"]);
    let figures = f.store.figures().await.unwrap();
    assert_eq!((figures.dead_deliveries, figures.open_deliveries), (1, 0));
    let found = f.store.find_outbound(receipt.user_id, bad.message.id).await.unwrap().unwrap();
    assert_eq!((found.state, found.error.as_deref()), (OutboundState::Dead, Some("21211")));
}

pub(super) async fn an_opt_out_that_the_carrier_knows_of_is_recorded(f: Fixture) {
    answered(&f, &["one", "two"]).await;
    let first = f.delivery().await;
    record(&f, &first, DeliveryOutcome::OptedOut { error: "21610".to_owned() }).await;
    assert!(f.store.is_opted_out(&phone(ANN)).await.unwrap());
    assert!(f.deliveries().await.is_empty());
}

pub(super) async fn a_status_never_goes_back(f: Fixture) {
    use DeliveryStatus::{Delivered, Failed, Queued, Read, Sent};
    let receipt = answered(&f, &["hi"]).await;
    let delivery = f.delivery().await;
    record(&f, &delivery, taken("OUT-1", Queued)).await;
    let steps = [
        (Sent, StatusRecorded::Advanced, Sent),
        (Queued, StatusRecorded::Unchanged, Sent),
        (Delivered, StatusRecorded::Advanced, Delivered),
        (Failed, StatusRecorded::Unchanged, Delivered),
        (Read, StatusRecorded::Advanced, Read),
    ];
    for (status, recorded, stands) in steps {
        assert_eq!(f.store.record_status(&report("OUT-1", status)).await.unwrap(), recorded, "{status:?}");
        let message = f.store.find_outbound(receipt.user_id, delivery.message.id).await.unwrap().unwrap();
        assert_eq!(message.status, Some(stands));
    }
    let elsewhere = StatusReport { gateway: "other".to_owned(), ..report("OUT-1", Read) };
    assert_eq!(f.store.record_status(&elsewhere).await.unwrap(), StatusRecorded::Early, "another carrier's ids are its own");
}

pub(super) async fn a_report_that_comes_before_the_answer_counts(f: Fixture) {
    use DeliveryStatus::{Queued, Sent, Undelivered};
    let receipt = answered(&f, &["hi"]).await;
    let delivery = f.delivery().await;
    let failed = StatusReport { error_code: Some("30005".to_owned()), ..report("OUT-1", Undelivered) };
    assert_eq!(f.store.record_status(&failed).await.unwrap(), StatusRecorded::Early);
    assert_eq!(f.store.record_status(&report("OUT-1", Sent)).await.unwrap(), StatusRecorded::Early, "and does not go back either");
    record(&f, &delivery, taken("OUT-1", Queued)).await;
    let message = f.store.find_outbound(receipt.user_id, delivery.message.id).await.unwrap().unwrap();
    assert_eq!((message.state, message.status), (OutboundState::Accepted, Some(Undelivered)));
    assert!(message.error.is_some_and(|error| error.contains("30005")));
}

/// A reply of which two parts are kept back.
async fn kept_back(f: &Fixture) -> Receipt {
    let text = f.text(ANN, "tell me everything");
    let person = NewPerson { start_credits: Some(Credits(100)), ..text.person.clone() };
    let receipt = f.stored(NewInbound { person, ..text }).await;
    let turn = f.lease_one().await;
    let mut outgoing = f.outgoing(&["1", "2", "3"]);
    outgoing[1].held = true;
    outgoing[2].held = true;
    let outcome = TurnOutcome::Answered { reply: f.reply("all"), outgoing, charge: Credits::ZERO };
    assert_eq!(f.store.complete_turn(&turn.lease, outcome).await.unwrap().outgoing, 3);
    receipt
}

async fn more(f: &Fixture, parts: u32) -> Receipt {
    let expires_at = f.clock.now().after(Duration::from_mins(1));
    let effect = Effect::ReleaseHeld { parts, expires_at, segment_price: Credits(7) };
    let outgoing: Vec<NewOutbound> = f.outgoing(&["there is no more"]);
    let action = Action::Answer { text: "there is no more".to_owned(), reply_id: f.clock.message_id(), outgoing, effect };
    f.stored(NewInbound { action, ..f.text(ANN, "MORE") }).await
}

pub(super) async fn more_lets_kept_parts_go_in_order(f: Fixture) {
    let receipt = kept_back(&f).await;
    assert_eq!(f.send_all().await, ["1"]);
    f.advance(24 * 3_600_000);
    let first = more(&f, 1).await;
    assert_eq!(f.send_all().await, ["2"], "with a new moment of expiry");
    more(&f, 5).await;
    assert_eq!(f.send_all().await, ["3"]);
    more(&f, 5).await;
    assert_eq!(f.send_all().await, ["there is no more"]);
    f.drain().await;
    assert_eq!(f.said(receipt).await, ["tell me everything", "all", "MORE", "MORE", "MORE", "there is no more"]);
    assert_eq!(f.store.find_user(receipt.user_id).await.unwrap().unwrap().balance, Some(Credits(100 - 2 * 7)));
    assert_eq!(f.store.find_turn(receipt.user_id, first.turn_id).await.unwrap().unwrap().charge, Credits(7));
}

pub(super) async fn more_is_the_rest_of_the_newest_long_reply(f: Fixture) {
    let receipt = kept_back(&f).await;
    f.texted(ANN, "something else").await;
    let turn = f.lease_one().await;
    let mut outgoing = f.outgoing(&["a", "b"]);
    outgoing[1].held = true;
    let outcome = TurnOutcome::Answered { reply: f.reply("ab"), outgoing, charge: Credits::ZERO };
    f.store.complete_turn(&turn.lease, outcome).await.unwrap();
    more(&f, 5).await;
    assert_eq!(f.send_all().await, ["1", "a", "b"]);
    let canceled = f.store.list_outbound(receipt.user_id, 10).await.unwrap();
    assert_eq!(canceled.iter().filter(|message| message.state == OutboundState::Canceled).count(), 2);
}

pub(super) async fn people_are_sent_to_side_by_side(f: Fixture) {
    for number in [ANN, BOB] {
        f.texted(number, "hello").await;
    }
    for turn in f.lease().await {
        f.store.complete_turn(&turn.lease, f.answered("hi", &["hi"])).await.unwrap();
    }
    let work = f.deliveries().await;
    assert_eq!(work.len(), 2);
    assert_eq!(f.store.list_owners().await.unwrap(), [owner()]);
    let held =
        |delivery: &LeasedDelivery| HeldLease { user_id: delivery.lease.user_id, lane: LaneKind::Deliveries, fence: delivery.lease.fence };
    f.advance(10_000);
    assert_eq!(f.store.renew_leases(&owner(), &[held(&work[0])]).await.unwrap(), 1);
    f.advance(5_000);
    let forgotten = f.delivery().await;
    assert_eq!(forgotten.message.id, work[1].message.id, "what nobody works on runs out");
    assert_eq!(f.store.renew_leases(&owner(), &[held(&work[1])]).await.unwrap(), 0);
}

/// Somebody texts through a gateway and is answered with these parts.
async fn answered_through(f: &Fixture, gateway: &str, from: &str, parts: &[&str]) -> Receipt {
    let route = Some(ReplyRoute { gateway: gateway.to_owned(), from: "+15559990000".to_owned() });
    let receipt = f.stored(NewInbound { route, ..f.text(from, "hello") }).await;
    let turn = f.lease_one().await;
    f.store.complete_turn(&turn.lease, f.answered("whole", parts)).await.unwrap();
    receipt
}

pub(super) async fn what_another_gateway_is_to_carry_waits_for_who_has_it(f: Fixture) {
    let (twilio, other) = (twilio(), vec!["other".to_owned()]);
    let store = &f.store;
    let lease = |gateways: Vec<String>| async move { store.lease_deliveries(&owner(), &gateways, 1).await.unwrap() };
    let ann = answered_through(&f, "other", ANN, &["foreign"]).await;
    f.advance(1_000);
    answered_through(&f, "twilio", ANN, &["behind it"]).await;
    let nothing = lease(twilio.clone()).await;
    assert_eq!((nothing.work.len(), nothing.next_due), (0, None), "it is not ours, and nothing to ask for again");
    assert_eq!(lease(Vec::new()).await.next_due, None);
    f.advance(1_000);
    answered_through(&f, "twilio", BOB, &["for Bob"]).await;
    let bob = lease(twilio.clone()).await;
    assert_eq!(bob.work[0].message.body, "for Bob", "foreign lanes take nobody's place");
    assert_eq!(bob.next_due, Some(f.clock.now().after(Duration::from_secs(15))), "the lease of Bob's lane alone");
    let waiting = f.store.list_outbound(ann.user_id, 10).await.unwrap();
    assert!(waiting.iter().all(|message| message.state == OutboundState::Ready && message.attempts == 0), "{waiting:?}");

    let both = lease([twilio.clone(), other.clone()].concat()).await;
    assert_eq!(both.work[0].message.body, "foreign", "who has both takes them in order");
    record(&f, &both.work[0], taken("OUT-1", DeliveryStatus::Queued)).await;
    assert!(lease(other).await.work.is_empty());
    assert_eq!(lease(twilio).await.work[0].message.body, "behind it");
}

pub(super) async fn a_lane_whose_head_became_foreign_waits_without_spinning(f: Fixture) {
    let ann = answered_through(&f, "twilio", ANN, &["withdrawn"]).await;
    answered_through(&f, "other", ANN, &["foreign"]).await;
    let first = f.store.list_outbound(ann.user_id, 10).await.unwrap().remove(1);
    f.store.discard_job(ann.user_id, JobId::Deliver(first.id)).await.unwrap();
    let nothing = f.store.lease_deliveries(&owner(), &twilio(), 10).await.unwrap();
    assert_eq!((nothing.work.len(), nothing.next_due), (0, None));

    // Too old is found only when the lane is looked at, and then another's message stands at its head.
    answered_through(&f, "twilio", BOB, &["too old"]).await;
    f.advance(4 * 3_600_000 + 1);
    answered_through(&f, "other", BOB, &["foreign"]).await;
    let nothing = f.store.lease_deliveries(&owner(), &twilio(), 10).await.unwrap();
    assert_eq!((nothing.work.len(), nothing.next_due), (0, None));
}

pub(super) async fn a_look_up_leaves_out_what_was_attempted_since(f: Fixture) {
    let receipt = answered(&f, &["made early"]).await;
    f.advance(60_000);
    let late = f.clock.now();
    let delivery = f.delivery().await;
    record(&f, &delivery, taken("OUT-1", DeliveryStatus::Queued)).await;
    assert_eq!(f.store.list_known_ids(receipt.user_id, late).await.unwrap(), ["OUT-1"], "made before, but sent since");
    f.advance(1);
    assert!(f.store.list_known_ids(receipt.user_id, f.clock.now()).await.unwrap().is_empty());
}
