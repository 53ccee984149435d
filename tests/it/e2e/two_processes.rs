//! Two running programs on one database file: each text is answered once, whichever took it.

use std::time::Duration;

use super::books::{Books, assert_one_chain};
use super::{SOON, Stage, number};
use crate::support::chance::Chance;
use crate::support::eventually;
use crate::support::model::Reaction;
use crate::support::twilio::Twilio;

const PEOPLE: usize = 40;
const TEXTS_EACH: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_share_one_file_and_each_text_is_answered_once_and_in_order() {
    let stage = Stage::new().await;
    let chance = Chance::new();
    let (one, two) = (stage.home.serve().await, stage.home.serve().await);
    let phones: Vec<_> = (0..PEOPLE)
        .map(|person| {
            let (chance, addresses) = (chance.clone(), [one.address, two.address]);
            tokio::spawn(async move {
                let twilio = Twilio::new();
                for index in 0..TEXTS_EACH {
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

    let expected: Vec<String> = (0..TEXTS_EACH).map(|index| format!("you said: text {index}")).collect();
    for person in 0..PEOPLE {
        assert_eq!(stage.carrier.bodies_to(&number(person)), expected, "person {person}");
    }
    assert_eq!(stage.model.asked().len(), PEOPLE * TEXTS_EACH, "a turn was worked on twice");
    let books = Books::read(&stage.home).await;
    for person in 0..PEOPLE {
        assert_eq!(books.only(&number(person)).len(), 2 * TEXTS_EACH);
        assert_one_chain(books.only(&number(person)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_of_two_programs_dies_the_other_takes_its_turn_over() {
    let stage = Stage::new().await;
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
