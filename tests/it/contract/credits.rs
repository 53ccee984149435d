//! Credits: held before, charged after, granted again; and what a person is told once.

use scrubjay::domain::job::JobId;
use scrubjay::domain::ledger::{Credits, Refill, Usage};
use scrubjay::domain::step::{NewStep, ToolCall};
use scrubjay::domain::turn::{LeasedTurn, Refusal, TurnEnd};
use scrubjay::store::{BalanceRules, NewInbound, NewPerson, Notice, Reservation, TurnOutcome, TurnRelease};

use super::fixture::{ANN, Fixture};

const RULES: BalanceRules = BalanceRules { start: Credits(100), refill: None };

async fn balance(f: &Fixture, turn: &LeasedTurn) -> Option<Credits> {
    f.store.find_user(turn.user.id).await.unwrap().unwrap().balance
}

async fn reserve(f: &Fixture, turn: &LeasedTurn, credits: i64) -> Reservation {
    f.store.reserve(&turn.lease, RULES, Credits(credits)).await.unwrap()
}

fn charged(f: &Fixture, credits: i64) -> TurnOutcome {
    TurnOutcome::Answered { reply: f.reply("ok"), outgoing: Vec::new(), charge: Credits(credits) }
}

pub(super) async fn a_reply_holds_before_and_settles_after(f: Fixture) {
    let text = f.text(ANN, "hello");
    let person = NewPerson { start_credits: Some(Credits(50)), ..text.person.clone() };
    f.stored(NewInbound { person, ..text }).await;
    let turn = f.lease_one().await;
    assert_eq!(turn.user.balance, Some(Credits(50)), "granted with the person");
    assert_eq!(reserve(&f, &turn, 60).await, Reservation::Insufficient { balance: Credits(50) });
    assert_eq!(balance(&f, &turn).await, Some(Credits(50)));
    assert_eq!(reserve(&f, &turn, 40).await, Reservation::Held);
    assert_eq!(balance(&f, &turn).await, Some(Credits(10)));
    assert_eq!(reserve(&f, &turn, 30).await, Reservation::Held, "a second one replaces the first");
    assert_eq!(balance(&f, &turn).await, Some(Credits(20)));
    f.store.complete_turn(&turn.lease, charged(&f, 55)).await.unwrap();
    assert_eq!(balance(&f, &turn).await, Some(Credits(-5)), "one answer may cost more than was held for it");
    let record = f.store.find_turn(turn.user.id, turn.lease.turn_id).await.unwrap().unwrap();
    assert_eq!(record.charge, Credits(55));
}

pub(super) async fn what_was_held_is_free_again_without_an_answer(f: Fixture) {
    f.texted(ANN, "hello").await;
    let turn = f.lease_one().await;
    assert_eq!(turn.user.balance, None);
    assert_eq!(reserve(&f, &turn, 70).await, Reservation::Held, "the start is granted to whoever has no balance");
    let retry = TurnRelease::Retry { due: f.clock.now(), error: "busy".to_owned() };
    f.store.release_turn(&turn.lease, retry).await.unwrap();
    assert_eq!(balance(&f, &turn).await, Some(Credits(100)));

    let turn = f.lease_one().await;
    reserve(&f, &turn, 70).await;
    f.advance(20_000);
    let taken_over = f.lease_one().await;
    assert_eq!(reserve(&f, &taken_over, 90).await, Reservation::Held, "what the dead holder held is replaced");
    let refused = TurnOutcome::Refused { reason: Refusal::OutOfCredit, notice: None };
    f.store.complete_turn(&taken_over.lease, refused).await.unwrap();
    assert_eq!(balance(&f, &turn).await, Some(Credits(100)));
}

/// A step of a turn that has cost so much with it.
async fn step(f: &Fixture, turn: &LeasedTurn, number: u32, cost: i64) {
    let call = ToolCall { id: format!("call{number}"), name: "look".to_owned(), arguments: "{}".to_owned(), extra: None };
    let (text, model) = (String::new(), "small".to_owned());
    let step = NewStep { number, text, shown: false, model, usage: Usage::default(), charge: Credits(cost), calls: vec![call] };
    f.store.record_step(&turn.lease, step).await.unwrap();
}

async fn charge(f: &Fixture, turn: &LeasedTurn) -> Credits {
    f.store.find_turn(turn.user.id, turn.lease.turn_id).await.unwrap().unwrap().charge
}

pub(super) async fn a_turn_that_dies_is_charged_once_for_what_its_steps_cost(f: Fixture) {
    f.texted(ANN, "hello").await;
    let turn = f.lease_one().await;
    reserve(&f, &turn, 70).await;
    step(&f, &turn, 1, 12).await;
    step(&f, &turn, 2, 30).await;
    let retry = TurnRelease::Retry { due: f.clock.now(), error: "busy".to_owned() };
    f.store.release_turn(&turn.lease, retry).await.unwrap();
    assert_eq!((balance(&f, &turn).await, charge(&f, &turn).await), (Some(Credits(70)), Credits(30)));
    let turn = f.lease_one().await;
    assert_eq!(reserve(&f, &turn, 101).await, Reservation::Insufficient { balance: Credits(70) });
    assert_eq!(reserve(&f, &turn, 100).await, Reservation::Held, "what the turn was charged is not held again");
    let dead = || TurnRelease::Dead { error: "refused".to_owned() };
    f.store.release_turn(&turn.lease, dead()).await.unwrap();
    assert_eq!((balance(&f, &turn).await, charge(&f, &turn).await), (Some(Credits(70)), Credits(30)), "once");

    let later = f.clock.now().after(std::time::Duration::from_mins(1));
    f.store.replay_job(turn.user.id, JobId::Reply(turn.lease.turn_id), later).await.unwrap();
    let turn = f.lease_one().await;
    reserve(&f, &turn, 60).await;
    f.store.complete_turn(&turn.lease, charged(&f, 55)).await.unwrap();
    assert_eq!((balance(&f, &turn).await, charge(&f, &turn).await), (Some(Credits(45)), Credits(55)), "the rest of it");

    // The same where a turn ends otherwise: too old by now, discarded, withdrawn with its conversation.
    f.texted(ANN, "two").await;
    let turn = f.lease_one().await;
    step(&f, &turn, 1, 5).await;
    f.store.complete_turn(&turn.lease, TurnOutcome::Refused { reason: Refusal::TooOld, notice: None }).await.unwrap();
    assert_eq!((balance(&f, &turn).await, charge(&f, &turn).await), (Some(Credits(40)), Credits(5)));
    f.texted(ANN, "three").await;
    let turn = f.lease_one().await;
    reserve(&f, &turn, 20).await;
    step(&f, &turn, 1, 7).await;
    f.advance(20_000);
    f.store.discard_job(turn.user.id, JobId::Reply(turn.lease.turn_id)).await.unwrap();
    assert_eq!((balance(&f, &turn).await, charge(&f, &turn).await), (Some(Credits(33)), Credits(7)));
    f.texted(ANN, "four").await;
    let turn = f.lease_one().await;
    reserve(&f, &turn, 20).await;
    step(&f, &turn, 1, 3).await;
    f.store.delete_conversation(turn.user.id, turn.conversation.id).await.unwrap();
    assert_eq!(balance(&f, &turn).await, Some(Credits(30)));
}

pub(super) async fn credits_come_back_once_a_period(f: Fixture) {
    let rules = BalanceRules { start: Credits(10), refill: Some(Refill { credits: Credits(5), every_millis: 1_000 }) };
    f.texted(ANN, "hello").await;
    let turn = f.lease_one().await;
    f.store.reserve(&turn.lease, rules, Credits(10)).await.unwrap();
    f.advance(999);
    assert_eq!(f.store.reserve(&turn.lease, rules, Credits(11)).await.unwrap(), Reservation::Insufficient { balance: Credits(10) });
    f.advance(1);
    assert_eq!(f.store.reserve(&turn.lease, rules, Credits(15)).await.unwrap(), Reservation::Held);
    f.advance(10_500);
    assert_eq!(
        f.store.reserve(&turn.lease, rules, Credits(21)).await.unwrap(),
        Reservation::Insufficient { balance: Credits(20) },
        "periods in which nobody asked are not made up for"
    );
    f.advance(500);
    assert_eq!(f.store.reserve(&turn.lease, rules, Credits(25)).await.unwrap(), Reservation::Held, "the rhythm is kept");
}

pub(super) async fn a_person_is_told_once(f: Fixture) {
    let receipt = f.texted(ANN, "one").await;
    f.texted(ANN, "two").await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let turn = f.lease_one().await;
        let notice = Notice {
            key: "out-of-credit:2026-11-22".to_owned(),
            message_id: f.clock.message_id(),
            text: "nothing left".to_owned(),
            outgoing: f.outgoing(&["nothing left"]),
        };
        let outcome = TurnOutcome::Refused { reason: Refusal::OutOfCredit, notice: Some(notice) };
        let done = f.store.complete_turn(&turn.lease, outcome).await.unwrap();
        assert_eq!(done.end, TurnEnd::Refused(Refusal::OutOfCredit));
        told.push(done.outgoing);
    }
    assert_eq!(told, [1, 0]);
    assert_eq!(f.said(receipt).await, ["one", "nothing left", "two"]);
    f.assert_chain(receipt.user_id, receipt.conversation_id).await;
    assert_eq!(f.send_all().await, ["nothing left"]);
}
