//! Texts that reached the carrier while nobody listened.

use std::time::Duration;

use super::{SOON, Stage, number};
use crate::support::eventually;
use crate::support::twilio::{OUR_NUMBER, Text, Twilio};

#[tokio::test(flavor = "multi_thread")]
async fn a_text_sent_while_the_program_was_down_is_answered_after_its_start_and_only_once() {
    let stage = Stage::with(|settings| settings.set("catch_up.minutes", 5)).await;
    let (twilio, anna, ben) = (Twilio::new(), number(1), number(2));
    // Another system's old text: at the very first start the mark is now.
    stage.carrier.receive("SM00000000000000000000000000000001", &ben, OUR_NUMBER, "long before");
    // Twilio's dates are whole seconds: before and after can only be told apart a second away.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let product = stage.home.serve().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;

    let known = twilio.text(product.address, &anna, "in time").await;
    stage.carrier.receive(&known.sid, &anna, OUR_NUMBER, &known.body);
    stage.bodies_to(&anna, 1).await;
    product.kill();

    let missed = Text::new(&anna, "while you slept");
    stage.carrier.receive(&missed.sid, &anna, OUR_NUMBER, &missed.body);
    let product = stage.home.serve().await;
    assert_eq!(stage.bodies_to(&anna, 2).await, ["you said: in time", "you said: while you slept"]);
    // The carrier's own retry arrives late: it is a repeat.
    assert_eq!(twilio.post(product.address, &missed).await.unwrap(), reqwest::StatusCode::OK);
    stage.no_job_left(SOON).await;
    assert_eq!(stage.carrier.bodies_to(&anna).len(), 2);
    assert!(stage.carrier.bodies_to(&ben).is_empty(), "a text from before the first start was answered");
    drop(product);
    eventually("two prompts", SOON, || async { (stage.model.asked().len() == 2).then_some(()) }).await;
}
