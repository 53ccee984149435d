//! The process ends at every point of a ten-step answer, and the next one goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use super::{Stage, calls, reply, says, stage};
use crate::service::bench::ADA;
use crate::support::model::{Asked, Reaction};

/// Ten steps, each a write that must not be repeated and a read beside it; in the seventh one that calls itself idempotent.
fn script(asked: &Asked) -> Reaction {
    let by = i64::try_from(asked.steps()).unwrap() + 1;
    match asked.steps() {
        6 => calls(&[("put", json!({"key": "k"})), ("look", json!({"at": by}))]),
        0..10 => calls(&[("count", json!({"by": by})), ("look", json!({"at": by}))]),
        _ => says("Done."),
    }
}

const COUNTED: [i64; 9] = [1, 2, 3, 4, 5, 6, 8, 9, 10];

async fn until_done(stage: &Stage) -> Vec<String> {
    stage.bench.app.drain().await.unwrap();
    stage.bench.assert_no_job_left().await;
    let sent = stage.bench.sent();
    assert!(sent.iter().all(|(to, _)| to == ADA));
    sent.into_iter().map(|(_, body)| body).collect()
}

#[tokio::test]
async fn a_crash_while_the_model_is_asked_repeats_only_that_question() {
    for at in 0..=10 {
        let mut stage = stage(|_| {}).await;
        let asked_then = Arc::new(AtomicUsize::new(0));
        let first = Arc::clone(&asked_then);
        stage.model.script(move |asked| {
            let stalls = asked.steps() == at && first.fetch_add(1, Ordering::SeqCst) == 0;
            if stalls { Reaction::Stall } else { script(asked) }
        });
        stage.bench.text(ADA, "count to ten").await;
        let (bench, model) = (&mut stage.bench, &stage.model);
        let crashed = bench
            .crash_when(async || {
                while model.held() == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
            .await;
        assert!(crashed, "at {at}");
        assert_eq!(until_done(&stage).await, ["Done."], "at {at}");
        assert_eq!(stage.set.counted(), COUNTED, "at {at}");
        assert_eq!((stage.set.made("put"), stage.set.made("look")), (1, 10), "at {at}");
        let mut expected: Vec<usize> = (0..=10).collect();
        expected.insert(at, at);
        assert_eq!(stage.model.asked().iter().map(Asked::steps).collect::<Vec<_>>(), expected, "only the open question is repeated");
    }
}

#[tokio::test]
async fn a_crash_within_a_call_repeats_it_only_where_it_reads() {
    // Each step makes two calls; the one with this number has had its effect when the process ends.
    for call in 1..=20 {
        let mut stage = stage(|_| {}).await;
        stage.model.script(script);
        stage.set.stall_after(call);
        stage.bench.text(ADA, "count to ten").await;
        let (bench, set) = (&mut stage.bench, &stage.set);
        assert!(bench.crash_when(async || set.stalled().await).await, "in call {call}");
        assert_eq!(until_done(&stage).await, ["Done."], "in call {call}");
        assert_eq!(stage.set.counted(), COUNTED, "in call {call}: each write once");
        assert_eq!(stage.model.asked().len(), 11, "in call {call}: the model is asked for nothing twice");
        let step = (call - 1) / 2;
        let asked = stage.model.asked();
        let interrupted: Vec<&str> = asked[10].results().into_iter().filter(|result| result.contains("may or may not")).collect();
        // Reads are made again; of the writes the model is told. What had not been begun is made once.
        let expected = if call % 2 == 0 { (1, 0) } else { (0, 1) };
        assert_eq!((stage.set.calls().len() - 20, interrupted.len()), expected, "in call {call} of step {step}: again, told");
    }
}

#[tokio::test]
async fn who_was_interrupted_says_so_to_the_model() {
    let mut stage = stage(|_| {}).await;
    stage.model.script(|asked| match asked.steps() {
        0 => Reaction::call("count", json!({"by": 1})),
        _ => says("I am not sure."),
    });
    stage.set.stall_after(1);
    stage.bench.text(ADA, "count").await;
    let (bench, set) = (&mut stage.bench, &stage.set);
    assert!(bench.crash_when(async || set.stalled().await).await);
    assert_eq!(until_done(&stage).await, ["I am not sure."]);
    assert_eq!((stage.set.counted(), stage.set.made("count")), (vec![1], 1));
    let asked = stage.model.asked();
    assert!(asked[1].results()[0].starts_with("Error: the program was interrupted while this was being done"), "{:?}", asked[1].results());
    let receipt = stage.receipt("and again").await;
    stage.model.always(says("Hello."));
    stage.bench.app.drain().await.unwrap();
    let (turn, steps) = stage.turn(receipt).await;
    assert_eq!((reply(&turn).text.as_str(), steps.len()), ("Hello.", 0));
}
