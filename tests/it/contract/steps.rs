//! What an agent does within a turn, and what of it comes back to whoever takes the turn up again.

use scrubjay::domain::ids::UserId;
use scrubjay::domain::ledger::{Credits, Usage};
use scrubjay::domain::step::{CallPlace, CallResult, NewStep, Step, ToolCall};
use scrubjay::domain::turn::LeasedTurn;
use scrubjay::store::{LEASE, StoreError, TurnRelease};
use serde_json::json;

use super::fixture::{ANN, BOB, Fixture, NOON, no_limits, other_owner};

fn call(id: &str, name: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: r#"{"text":"été \" 🙂"}"#.to_owned(), extra: None }
}

fn step(number: u32, calls: Vec<ToolCall>) -> NewStep {
    let usage = Usage { prompt_tokens: 10, completion_tokens: 2, total_tokens: 12 };
    NewStep { number, text: format!("step {number}"), shown: number == 1, model: "small".to_owned(), usage, charge: Credits::ZERO, calls }
}

const fn at(step: u32, call: u32) -> CallPlace {
    CallPlace { step, call }
}

fn result(text: &str, failed: bool) -> CallResult {
    CallResult { text: text.to_owned(), failed }
}

async fn steps(fixture: &Fixture, turn: &LeasedTurn) -> Vec<Step> {
    fixture.store.list_steps(turn.lease.user_id, turn.lease.turn_id).await.unwrap()
}

pub(super) async fn steps_come_back_as_far_as_they_were_recorded(fixture: Fixture) {
    fixture.texted(ANN, "add milk").await;
    let turn = fixture.lease_one().await;
    assert_eq!((turn.steps.as_slice(), steps(&fixture, &turn).await), (&[][..], Vec::new()));
    let signed = ToolCall { extra: Some(json!({ "signature": [1, null] })), ..call("b", "list") };
    let first = step(1, vec![call("a", "add"), signed, call("c", "add")]);
    let mut expected = vec![first.clone().recorded()];
    fixture.store.record_step(&turn.lease, first).await.unwrap();
    assert_eq!(steps(&fixture, &turn).await, expected);

    fixture.advance(10);
    fixture.store.begin_call(&turn.lease, at(1, 0)).await.unwrap();
    fixture.store.begin_call(&turn.lease, at(1, 1)).await.unwrap();
    fixture.advance(10);
    fixture.store.end_call(&turn.lease, at(1, 1), result("[]", false)).await.unwrap();
    fixture.store.end_call(&turn.lease, at(1, 2), result("no", true)).await.unwrap();
    let second = step(2, vec![call("d", "add")]);
    expected.push(second.clone().recorded());
    fixture.store.record_step(&turn.lease, second).await.unwrap();
    let without_calls = step(3, Vec::new());
    expected.push(without_calls.clone().recorded());
    fixture.store.record_step(&turn.lease, without_calls).await.unwrap();
    let (begun, ended) = (NOON.after(std::time::Duration::from_millis(10)), NOON.after(std::time::Duration::from_millis(20)));
    let calls = &mut expected[0].calls;
    calls[0].begun_at = Some(begun);
    (calls[1].begun_at, calls[1].ended_at, calls[1].result) = (Some(begun), Some(ended), Some(result("[]", false)));
    (calls[2].ended_at, calls[2].result) = (Some(ended), Some(result("no", true)));
    assert_eq!(steps(&fixture, &turn).await, expected);

    // Whoever takes the turn up again gets them with it, whether it was given back or its process died.
    fixture.store.release_turn(&turn.lease, TurnRelease::Retry { due: fixture.clock.now(), error: "x".to_owned() }).await.unwrap();
    let again = fixture.lease_one().await;
    assert_eq!(again.steps, expected);
    fixture.clock.advance(LEASE);
    let after_death = fixture.lease_one().await;
    assert_eq!(after_death.steps, expected);

    // They stay with the turn when it is over, without what was said, read and written; the next turn has none.
    fixture.answer(&after_death, "done").await;
    for step in &mut expected {
        step.text = String::new();
    }
    for call in expected.iter_mut().flat_map(|step| &mut step.calls) {
        (call.call.arguments, call.call.extra) = (String::new(), None);
        if let Some(result) = &mut call.result {
            result.text = String::new();
        }
    }
    assert_eq!(steps(&fixture, &turn).await, expected);
    fixture.texted(ANN, "and now?").await;
    assert_eq!(fixture.lease_one().await.steps, []);
}

pub(super) async fn what_is_recorded_twice_stays_as_it_was_first(fixture: Fixture) {
    fixture.texted(ANN, "add milk").await;
    let turn = fixture.lease_one().await;
    let lease = &turn.lease;
    fixture.store.record_step(lease, step(1, vec![call("a", "add")])).await.unwrap();
    fixture.store.begin_call(lease, at(1, 0)).await.unwrap();
    fixture.store.end_call(lease, at(1, 0), result("first", false)).await.unwrap();
    let before = steps(&fixture, &turn).await;
    fixture.advance(1_000);
    fixture.store.record_step(lease, step(1, vec![call("x", "other"), call("y", "other")])).await.unwrap();
    fixture.store.begin_call(lease, at(1, 0)).await.unwrap();
    fixture.store.end_call(lease, at(1, 0), result("second", true)).await.unwrap();
    assert_eq!(steps(&fixture, &turn).await, before);
    // What is not there cannot be begun.
    for place in [at(1, 1), at(2, 0)] {
        assert!(matches!(fixture.store.begin_call(lease, place).await, Err(StoreError::NotFound { .. })));
        assert!(matches!(fixture.store.end_call(lease, place, result("", false)).await, Err(StoreError::NotFound { .. })));
    }
}

pub(super) async fn who_lost_the_lease_records_no_step(fixture: Fixture) {
    fixture.texted(ANN, "add milk").await;
    let lost = fixture.lease_one().await;
    fixture.store.record_step(&lost.lease, step(1, vec![call("a", "add")])).await.unwrap();
    fixture.clock.advance(LEASE);
    let holder = fixture.store.lease_turns(&other_owner(), 1, &no_limits()).await.unwrap().work.remove(0);
    let before = steps(&fixture, &holder).await;
    assert!(matches!(fixture.store.record_step(&lost.lease, step(2, vec![call("b", "add")])).await, Err(StoreError::LeaseLost)));
    assert!(matches!(fixture.store.begin_call(&lost.lease, at(1, 0)).await, Err(StoreError::LeaseLost)));
    assert!(matches!(fixture.store.end_call(&lost.lease, at(1, 0), result("", false)).await, Err(StoreError::LeaseLost)));
    assert_eq!(steps(&fixture, &holder).await, before);
    fixture.store.begin_call(&holder.lease, at(1, 0)).await.unwrap();
    // A turn that is over takes no more steps either.
    fixture.answer(&holder, "done").await;
    assert!(matches!(fixture.store.end_call(&holder.lease, at(1, 0), result("", false)).await, Err(StoreError::LeaseLost)));
}

pub(super) async fn steps_are_their_persons_and_go_with_the_conversation(fixture: Fixture) {
    let receipt = fixture.texted(ANN, "add milk").await;
    let turn = fixture.lease_one().await;
    fixture.store.record_step(&turn.lease, step(1, vec![call("a", "add")])).await.unwrap();
    let bob: UserId = fixture.texted(BOB, "hi").await.user_id;
    assert_eq!(fixture.store.list_steps(bob, turn.lease.turn_id).await.unwrap(), []);
    assert_eq!(steps(&fixture, &turn).await.len(), 1);
    fixture.store.delete_conversation(receipt.user_id, receipt.conversation_id).await.unwrap();
    assert_eq!(steps(&fixture, &turn).await, []);
}
