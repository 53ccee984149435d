//! The rules without a database: lanes, gathering, what is held and settled, what leaves and what is withdrawn.

use std::time::Duration;

use super::credits::Everybody;
use super::{Draft, State};
use crate::clock::Clock;
use crate::domain::delivery::{DeliveryStatus, OutboundState, ReplyRoute};
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::UserId;
use crate::domain::ledger::{Credits, Usage};
use crate::domain::message::CallerMetadata;
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::domain::turn::{LeasedTurn, NewReply, TurnRequest};
use crate::store::mongodb::names::Place;
use crate::store::mongodb::news;
use crate::store::mongodb::staged::Writes;
use crate::store::mongodb::state::accept::Placed;
use crate::store::{
    Action, BalanceRules, ConversationTarget, DailyLimits, Debounce, DeliveryOutcome, Door, NewInbound, NewOutbound, NewPerson, Owner,
    Receipt, Reservation, StoreError, TurnOutcome, TurnRelease,
};

const LIMITS: DailyLimits = DailyLimits { day: String::new(), per_person: 0, all: 0 };

fn owner() -> Owner {
    Owner("host/1/1/a".to_owned())
}

fn phone() -> PhoneNumber {
    PhoneNumber::from_stored("+15550000001").unwrap()
}

fn person() -> NewPerson {
    NewPerson { id: UserId::from_bytes([7; 12]), email_domain: "sms.librechat.ai".to_owned(), start_credits: Some(Credits(100)) }
}

fn draft() -> Draft {
    let now = Timestamp::from_millis(1_795_348_800_000);
    let state = State::new(&person(), Some(&phone()), "sms_15550000001".to_owned(), now);
    Draft { user_id: person().id, now, state, writes: Writes::default(), least_version: 0 }
}

fn text(draft: &Draft, text: &str, debounce: Option<Debounce>) -> NewInbound {
    let clock = Clock::set_to(draft.now);
    NewInbound {
        door: Door::Gateway { name: "twilio".to_owned(), message_id: clock.uuid().to_string() },
        phone: phone(),
        text: text.to_owned(),
        token_count: 1,
        attachments: Vec::new(),
        caller_metadata: CallerMetadata::new(),
        received_at: draft.now,
        person: person(),
        conversation: ConversationTarget::ByPhone { not_before: None },
        new_conversation_id: clock.conversation_id(),
        title: None,
        source: "sms".to_owned(),
        message_id: clock.message_id(),
        turn_id: clock.turn_id(),
        request: TurnRequest::default(),
        route: Some(ReplyRoute { gateway: "twilio".to_owned(), from: "+15559990000".to_owned() }),
        action: Action::Reply { debounce },
    }
}

fn accept(draft: &mut Draft, new: &NewInbound) -> Receipt {
    match draft.place(new, false) {
        Placed::Stored(receipt, action) => {
            draft.take_effect(new, &action, &receipt, false);
            receipt
        }
        Placed::Over(other) => panic!("it was not stored: {other:?}"),
    }
}

fn lease(draft: &mut Draft) -> Option<LeasedTurn> {
    draft.lease_turn(&owner(), &LIMITS, Everybody::Counted).unwrap()
}

fn outgoing(draft: &Draft, bodies: &[(&str, bool)]) -> Vec<NewOutbound> {
    let clock = Clock::set_to(draft.now);
    let part = |(body, held): &(&str, bool)| NewOutbound {
        id: clock.outbound_id(),
        body: (*body).to_owned(),
        segments: 1,
        held: *held,
        expires_at: draft.now.after(Duration::from_hours(4)),
    };
    bodies.iter().map(part).collect()
}

fn answer(draft: &Draft, bodies: &[(&str, bool)]) -> TurnOutcome {
    let reply = NewReply {
        message_id: Clock::set_to(draft.now).message_id(),
        text: "re".to_owned(),
        endpoint: Endpoint::parse("openAI").unwrap(),
        model: "small".to_owned(),
        usage: Usage::default(),
        unfinished: false,
    };
    TurnOutcome::Answered { reply, outgoing: outgoing(draft, bodies), charge: Credits(3) }
}

fn states(draft: &Draft) -> Vec<(String, OutboundState)> {
    draft.state.outgoing.iter().map(|message| (message.body.clone(), message.state)).collect()
}

#[test]
fn texts_gather_until_one_does_not_wait_for_them() {
    let mut draft = draft();
    let debounce = Some(Debounce { wait_millis: 1_500, max_millis: 10_000 });
    let new = text(&draft, "one", debounce);
    let first = accept(&mut draft, &new);
    draft.now = draft.now.after(Duration::from_millis(1_500));
    let new = text(&draft, "two", debounce);
    assert_eq!(accept(&mut draft, &new).turn_id, first.turn_id, "in time");
    assert!(lease(&mut draft).is_none(), "it still gathers");
    let new = text(&draft, "three", None);
    assert_ne!(accept(&mut draft, &new).turn_id, first.turn_id);
    let leased = lease(&mut draft).expect("what gathered is due now");
    assert_eq!(
        leased.texts.iter().map(|text| (text.text.as_str(), text.sequence)).collect::<Vec<_>>(),
        [("one", Some(1)), ("two", Some(2))]
    );
    assert!(lease(&mut draft).is_none(), "one at a time");
    draft.complete(&leased.lease, &answer(&draft.clone(), &[])).unwrap();
    assert_eq!(lease(&mut draft).unwrap().texts[0].sequence, Some(4), "behind the answer");
}

#[test]
fn a_lease_that_ran_out_is_lost() {
    let mut draft = draft();
    let new = text(&draft, "one", None);
    accept(&mut draft, &new);
    let slow = lease(&mut draft).unwrap();
    draft.now = draft.now.after(crate::store::LEASE);
    let quick = lease(&mut draft).unwrap();
    assert!(quick.lease.fence > slow.lease.fence);
    assert_eq!((slow.starts, quick.starts), (0, 1));
    let late = draft.complete(&slow.lease, &answer(&draft.clone(), &[]));
    assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
    draft.complete(&quick.lease, &answer(&draft.clone(), &[])).unwrap();
    assert!(draft.state.turns.is_empty() && draft.state.turn_lane.next.is_none());
    assert!(draft.writes.0.iter().any(|write| write.place == Place::Turns), "it stands where finished turns stand");
}

#[test]
fn what_is_held_comes_back_but_for_what_it_cost() {
    let mut draft = draft();
    let rules = BalanceRules { start: Credits(100), refill: None };
    let new = text(&draft, "one", None);
    accept(&mut draft, &new);
    let turn = lease(&mut draft).unwrap();
    assert_eq!(draft.reserve(&turn.lease, rules, Credits(60)).unwrap(), Reservation::Held);
    assert_eq!(draft.reserve(&turn.lease, rules, Credits(80)).unwrap(), Reservation::Held, "the second replaces the first");
    assert_eq!(draft.reserve(&turn.lease, rules, Credits(101)).unwrap(), Reservation::Insufficient { balance: Credits(100) });
    assert_eq!(draft.state.balance, Some(Credits(20)));
    draft.release_turn(&turn.lease, &TurnRelease::Unchanged).unwrap();
    assert_eq!(draft.state.balance, Some(Credits(100)));
    let turn = lease(&mut draft).unwrap();
    draft.reserve(&turn.lease, rules, Credits(60)).unwrap();
    draft.complete(&turn.lease, &answer(&draft.clone(), &[])).unwrap();
    assert_eq!(draft.state.balance, Some(Credits(97)));
}

#[test]
fn kept_parts_give_way_and_what_is_over_moves_out() {
    use OutboundState::{Canceled, Held, Ready, Sending};

    let mut draft = draft();
    for bodies in [&[("a", false), ("b", true)][..], &[("c", false), ("d", true)]] {
        let new = text(&draft, "more", None);
        accept(&mut draft, &new);
        let turn = lease(&mut draft).unwrap();
        draft.complete(&turn.lease, &answer(&draft.clone(), bodies)).unwrap();
    }
    let named = |names: &[(&str, OutboundState)]| names.iter().map(|(body, state)| ((*body).to_owned(), *state)).collect::<Vec<_>>();
    assert_eq!(states(&draft), named(&[("a", Ready), ("b", Canceled), ("c", Ready), ("d", Held)]));
    draft.put_away_outgoing();
    assert_eq!(states(&draft), named(&[("a", Ready), ("c", Ready), ("d", Held)]));
    assert!(draft.lease_delivery(&owner(), &["other".to_owned()]).is_none(), "another gateway carries it");
    let twilio = ["twilio".to_owned()];
    let delivery = draft.lease_delivery(&owner(), &twilio).unwrap();
    draft.withdraw("the person opted out");
    assert_eq!(states(&draft), named(&[("a", Sending), ("c", Canceled), ("d", Canceled)]), "what is being sent is not ours to stop");
    let sent = DeliveryOutcome::Accepted { gateway_message_id: "SM1".to_owned(), status: DeliveryStatus::Queued };
    draft.record_delivery(&delivery.lease, &sent).unwrap();
    assert!(draft.state.outgoing.is_empty() && draft.state.delivery_lane.next.is_none());
    let places: Vec<Place> = draft.writes.0.iter().map(|write| write.place).collect();
    let message = places.iter().rposition(|place| *place == Place::Outbox);
    assert!(message < places.iter().position(|place| *place == Place::Reports), "the message is there before its report is looked for");
}

#[test]
fn others_are_told_of_ends_and_of_what_is_given_back() {
    let mut draft = draft();
    let draft_before = draft.clone();
    let told = |before: &State, after: &Draft| news::of_unit(Some(before), &after.state, after.now);
    let mut step = |change: &mut dyn FnMut(&mut Draft)| {
        let before = draft.state.clone();
        change(&mut draft);
        told(&before, &draft)
    };
    let mut held = None;
    let new = text(&draft_before, "one", None);
    let took_in = step(&mut |draft| assert!(!accept(draft, &new).is_new_user));
    assert!(took_in.is_empty(), "it is the business of whoever took it in");
    assert!(step(&mut |draft| held = lease(draft)).is_empty());
    let turn = held.take().unwrap();
    let then = draft_before.now.after(Duration::from_mins(1));
    let later = TurnRelease::Retry { due: then, error: "away".to_owned() };
    assert!(step(&mut |draft| draft.release_turn(&turn.lease, &later).unwrap()).is_empty(), "nobody can do it now");
    assert!(step(&mut |draft| draft.now = then).is_empty());
    assert!(step(&mut |draft| held = lease(draft)).is_empty());
    let turn = held.take().unwrap();
    assert_eq!(step(&mut |draft| draft.release_turn(&turn.lease, &TurnRelease::Unchanged).unwrap()), ["turns"]);
    assert!(step(&mut |draft| held = lease(draft)).is_empty());
    let turn = held.take().unwrap();
    let bodies = [("a", false)];
    assert_eq!(step(&mut |draft| drop(draft.complete(&turn.lease, &answer(&draft.clone(), &bodies)).unwrap())), ["ended"]);
    let twilio = ["twilio".to_owned()];
    assert!(step(&mut |draft| drop(draft.lease_delivery(&owner(), &twilio).unwrap())).is_empty());
    assert_eq!(step(&mut |draft| draft.free_deliveries()), ["deliveries"]);
    assert!(news::of_unit(None, &draft.state, draft.now).contains(&"ended"), "somebody whose first turn ended as it came");
}
