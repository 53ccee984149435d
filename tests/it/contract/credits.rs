//! Credits: held before, charged after, granted again; and what a person is told once.

use scrubjay::domain::ledger::{Credits, Refill};
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
