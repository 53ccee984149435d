//! Two running programs on one store: each text is answered once, whichever took it.

use std::time::Duration;

use super::books::{Books, assert_one_chain};
use super::{SOON, Stage, number};
use crate::backends::Ground;
use crate::support::chance::Chance;
use crate::support::eventually;
use crate::support::model::Reaction;
use crate::support::twilio::Twilio;

on_every_backend! {
    two_programs_share_one_store_and_each_text_is_answered_once_and_in_order,
    when_one_of_two_programs_dies_the_other_takes_its_turn_over,
}

async fn two_programs_share_one_store_and_each_text_is_answered_once_and_in_order(ground: Ground) {
    let (people, texts_each) = (ground.size(40, 10), ground.size(5, 4));
    let stage = Stage::on(ground).await;
    let chance = Chance::new();
    let (one, two) = (stage.home.serve().await, stage.home.serve().await);
    let phones: Vec<_> = (0..people)
        .map(|person| {
            let (chance, addresses) = (chance.clone(), [one.address, two.address]);
            tokio::spawn(async move {
                let twilio = Twilio::new();
                for index in 0..texts_each {
                    let text = crate::support::twilio::Text::new(&number(person), &format!("text {index}"));
                    let choose = || addresses[usize::from(chance.percent(50))];
                    twilio.text_until_acknowledged(choose, &text, SOON).await;
                }
            })
        })
        .collect();
    for phone in phones {
        phone.await.unwrap();
    }
    stage.no_job_left(Duration::from_mins(1)).await;

    let expected: Vec<String> = (0..texts_each).map(|index| format!("you said: text {index}")).collect();
    for person in 0..people {
        assert_eq!(stage.carrier.bodies_to(&number(person)), expected, "person {person}");
    }
    assert_eq!(stage.model.asked().len(), people * texts_each, "a turn was worked on twice");
    let books = Books::read(&stage.home).await;
    for person in 0..people {
        assert_eq!(books.only(&number(person)).len(), 2 * texts_each);
        assert_one_chain(books.only(&number(person)));
    }
}

async fn when_one_of_two_programs_dies_the_other_takes_its_turn_over(ground: Ground) {
    let stage = Stage::on(ground).await;
    stage.model.always(Reaction::Stall);
    let one = stage.home.serve().await;
    let anna = number(1);
    Twilio::new().text(one.address, &anna, "hold the line").await;
    eventually("a turn in the first program", SOON, || async { (stage.model.held() == 1).then_some(()) }).await;
    let _two = stage.home.serve().await;
    stage.model.always(Reaction::Echo);
    one.kill();
    // Its lease runs out after 15 s at most.
    assert_eq!(stage.bodies_to(&anna, 1).await, ["you said: hold the line"]);
    stage.no_job_left(SOON).await;
    assert_eq!(stage.carrier.bodies_to(&anna).len(), 1);
}
