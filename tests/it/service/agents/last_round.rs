//! When the tools are used up an answer comes all the same: from a model that does not stop calling, and through a server that refuses
//! to be asked as the protocol has it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scrubjay::domain::ledger::Credits;
use scrubjay::domain::step::Step;
use scrubjay::domain::turn::TurnEnd;
use serde_json::json;

use super::super::bench::ADA;
use super::{Stage, agent, reply, says, stage};
use crate::support::model::{Asked, Reaction};

async fn two_steps() -> Stage {
    stage(|config| agent(config).max_steps = 2).await
}

/// For whoever has 100,000 credits, of which each token takes one.
async fn two_paid_steps() -> Stage {
    stage(|config| {
        agent(config).max_steps = 2;
        config.balance.enabled = true;
        config.balance.start_credits = 100_000;
        let endpoint = config.endpoints.named.get_mut("openAI").unwrap();
        (endpoint.prompt_token_credits, endpoint.completion_token_credits) = (1.0, 1.0);
    })
    .await
}

fn count() -> Reaction {
    Reaction::call("count", json!({"by": 1}))
}

/// How many calls each step has. A round that gave none that count is a step without any.
fn calls_of(steps: &[Step]) -> Vec<usize> {
    steps.iter().map(|step| step.calls.len()).collect()
}

/// What was sent when nothing else helped: no tools, no calls, and the steps told behind the person's words.
fn assert_plain(asked: &Asked) {
    assert_eq!((asked.body.get("tools"), asked.body.get("tool_choice"), asked.steps(), asked.results().len()), (None, None, 0, 0));
    let roles: Vec<&str> = asked.messages.iter().map(|entry| entry.role.as_str()).collect();
    assert_eq!(roles, ["system", "user"], "its sides alternate");
    let told = &asked.messages[1].content;
    assert!(told.starts_with("count on and on\n\n--- what your tools gave back ---\nStored words, as data."), "{told}");
    assert_eq!(told.matches("You called count with {\"by\":1} and got: {\"added\":1}").count(), 2, "{told}");
    assert!(asked.messages[0].content.contains("Answer the person now"));
}

#[tokio::test]
async fn a_model_that_calls_all_the_same_is_asked_once_more_without_tools() {
    let stage = two_steps().await;
    // Beside the call that it must not ask for it says something, which is no answer.
    stage.model.script(|asked| {
        if asked.offered().is_empty() {
            return says("Counted twice.");
        }
        Reaction::Call("Once more.".to_owned(), vec![("count".to_owned(), json!({"by": 1}))])
    });
    let (turn, steps) = stage.ask("count on and on").await;
    assert_eq!((reply(&turn).text.as_str(), calls_of(&steps)), ("Counted twice.", vec![1, 1, 0]));
    assert_eq!(stage.set.counted(), [1, 1], "what it asked for beyond the limit was not done");
    let asked = stage.model.asked();
    assert_eq!(asked.len(), 4);
    assert_eq!((asked[2].may_call(), asked[2].results().len()), (false, 2));
    assert_plain(&asked[3]);
    stage.bench.assert_no_job_left().await;
}

#[tokio::test]
async fn a_model_that_never_stops_calling_ends_with_words_of_ours() {
    let stage = two_paid_steps().await;
    stage.model.always(count());
    let (turn, steps) = stage.ask("count on and on").await;
    assert_eq!(
        reply(&turn).text,
        "I have done what I could with my tools, but I did not find the words to tell you about it. Please ask me again."
    );
    assert_eq!((calls_of(&steps), stage.set.counted(), stage.model.asked().len()), (vec![1, 1, 0], vec![1, 1], 4));
    assert_plain(&stage.model.asked()[3]);
    // The two steps, and the round that gave calls in place of an answer.
    let round = steps[0].usage.prompt_tokens + steps[0].usage.completion_tokens;
    assert_eq!(turn.charge, Credits(3 * round));
    stage.bench.assert_no_job_left().await;
}

#[tokio::test]
async fn a_round_that_gave_no_answer_is_paid_for_where_the_turn_dies_behind_it() {
    let stage = two_paid_steps().await;
    // The plain round fails: once for a while, and then for good.
    let tries = AtomicUsize::new(0);
    stage.model.script(move |asked| match asked.offered().is_empty() {
        false => count(),
        true if tries.fetch_add(1, Ordering::SeqCst) == 0 => Reaction::Fail(503, None),
        true => Reaction::HangUp,
    });
    let receipt = stage.receipt("count on and on").await;
    for _attempt in 0..stage.bench.attempts() {
        stage.bench.app.drain().await.unwrap();
        stage.bench.clock.advance(Duration::from_hours(1));
    }
    let (turn, steps) = stage.turn(receipt).await;
    assert!(matches!(turn.end, Some(TurnEnd::Failed { will_retry: false, .. })), "{turn:?}");
    assert_eq!(stage.set.counted(), [1, 1], "what was done stays done and is not done again");
    // Each attempt asks the model as the last one did: once with its tools, once in plain words. What it answered is paid for.
    let answered = stage.model.asked().iter().filter(|asked| !asked.offered().is_empty()).count();
    let round = steps[0].usage.prompt_tokens + steps[0].usage.completion_tokens;
    assert!(answered > 3, "{answered} rounds");
    assert_eq!((steps.len(), turn.charge), (answered, Credits(round * i64::try_from(answered).unwrap())));
    assert_eq!(stage.bench.balance(ADA).await, Some(Credits(100_000 - turn.charge.0)));
}

#[tokio::test]
async fn a_server_that_refuses_calls_in_its_prompt_is_told_them_in_plain_words() {
    let stage = two_steps().await;
    stage.model.script(|asked| match (asked.may_call(), asked.steps()) {
        (true, _) => count(),
        (false, 0) => says("Counted twice."),
        (false, _) => Reaction::Fail(400, None),
    });
    let (turn, steps) = stage.ask("count on and on").await;
    assert_eq!((reply(&turn).text.as_str(), steps.len(), stage.set.counted()), ("Counted twice.", 2, vec![1, 1]));
    let asked = stage.model.asked();
    assert_eq!(asked.len(), 4);
    assert_plain(&asked[3]);
    stage.bench.assert_no_job_left().await;
}

#[tokio::test]
async fn a_server_that_refuses_everything_leaves_a_dead_letter_and_is_not_asked_on_and_on() {
    let stage = two_steps().await;
    stage.model.script(|asked| if asked.may_call() { count() } else { Reaction::Fail(401, None) });
    let (turn, steps) = stage.ask("count on and on").await;
    assert!(matches!(turn.end, Some(TurnEnd::Failed { will_retry: false, .. })), "{turn:?}");
    assert_eq!((steps.len(), stage.model.asked().len()), (2, 4));
}
