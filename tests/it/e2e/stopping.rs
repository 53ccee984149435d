//! Graceful stop: the first signal lets running work finish, the second cancels it; neither loses anything.

use std::time::{Duration, Instant};

use super::{SOON, Stage, number};
use crate::support::eventually;
use crate::support::model::Reaction;
use crate::support::twilio::Twilio;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_signal_lets_a_running_turn_finish() {
    let stage = Stage::new().await;
    let answer = "a slow answer that takes its time";
    stage.model.always(Reaction::Slowly(answer.to_owned(), Duration::from_millis(150)));
    let mut product = stage.home.serve().await;
    let anna = number(1);
    Twilio::new().text(product.address, &anna, "take your time").await;
    eventually("a request at the model", SOON, || async { (!stage.model.asked().is_empty()).then_some(()) }).await;
    product.terminate();
    let status = product.ended(Duration::from_secs(25)).await;
    assert!(status.success(), "a graceful stop ended with {status}");

    let _product = stage.home.serve().await;
    assert_eq!(stage.bodies_to(&anna, 1).await, [answer]);
    stage.no_job_left(SOON).await;
    assert_eq!(stage.model.asked().len(), 1, "the turn was begun again although the stop should have let it finish");
    assert_eq!(stage.carrier.bodies_to(&anna).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_signal_cancels_and_the_next_start_answers() {
    let stage = Stage::new().await;
    stage.model.always(Reaction::Stall);
    let mut product = stage.home.serve().await;
    let anna = number(1);
    Twilio::new().text(product.address, &anna, "never mind").await;
    eventually("a stalled turn", SOON, || async { (stage.model.held() == 1).then_some(()) }).await;
    product.terminate();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(stage.model.held(), 1, "the first signal canceled a running turn");
    let begun = Instant::now();
    product.terminate();
    product.ended(Duration::from_secs(10)).await;
    eprintln!("ended {:?} after the second signal", begun.elapsed());

    stage.model.always(Reaction::Echo);
    let _product = stage.home.serve().await;
    assert_eq!(stage.bodies_to(&anna, 1).await, ["you said: never mind"]);
    stage.no_job_left(SOON).await;
    assert_eq!(stage.carrier.bodies_to(&anna).len(), 1);
}
