//! Texts that reached the carrier while nobody listened.

use std::time::Duration;

use futures::future::join;

use super::books::{Books, assert_one_chain};
use super::{SOON, Stage, number};
use crate::backends::Ground;
use crate::support::eventually;
use crate::support::twilio::{OUR_NUMBER, Text, Twilio};

on_every_backend! {
    a_text_sent_while_the_program_was_down_is_answered_after_its_start_and_only_once,
    two_programs_that_catch_up_at_once_take_each_text_in_once,
}

async fn a_text_sent_while_the_program_was_down_is_answered_after_its_start_and_only_once(ground: Ground) {
    let stage = Stage::on_with(ground, |settings| settings.set("catch_up.minutes", 5)).await;
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

/// Texts that nobody was told of, three each of these many people.
const MISSED_BY: usize = 8;
const MISSED_EACH: usize = 3;

async fn two_programs_that_catch_up_at_once_take_each_text_in_once(ground: Ground) {
    let stage = Stage::on_with(ground, |settings| settings.set("catch_up.minutes", 5)).await;
    // The very first start marks from when on texts are asked for.
    let first = stage.home.serve().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    first.stop().await;
    let mut missed = Vec::new();
    for index in 0..MISSED_EACH {
        for person in 0..MISSED_BY {
            let text = Text::new(&number(person), &format!("text {index}"));
            stage.carrier.receive(&text.sid, &text.from, OUR_NUMBER, &text.body);
            missed.push(text);
        }
    }
    let (one, two) = join(stage.home.serve(), stage.home.serve()).await;
    for person in 0..MISSED_BY {
        stage.bodies_to(&number(person), MISSED_EACH).await;
    }
    // The carrier's own repeats come late, at the one or the other.
    for (index, text) in missed.iter().enumerate() {
        let address = if index % 2 == 0 { one.address } else { two.address };
        assert_eq!(Twilio::new().post(address, text).await.unwrap(), reqwest::StatusCode::OK);
    }
    stage.no_job_left(SOON).await;
    let expected: Vec<String> = (0..MISSED_EACH).map(|index| format!("you said: text {index}")).collect();
    let books = Books::read(&stage.home).await;
    for person in 0..MISSED_BY {
        assert_eq!(stage.carrier.bodies_to(&number(person)), expected, "person {person}");
        assert_eq!(books.only(&number(person)).len(), 2 * MISSED_EACH);
        assert_one_chain(books.only(&number(person)));
    }
    assert_eq!(stage.model.asked().len(), MISSED_BY * MISSED_EACH, "a text was taken in twice");
}
