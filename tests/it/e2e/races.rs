//! First texts of a new number, all at once: one person, one conversation, one chain.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use reqwest::StatusCode;

use super::books::{Books, assert_one_chain};
use super::{Stage, number};
use crate::backends::Ground;
use crate::support::api::Api;
use crate::support::twilio::{Text, Twilio};

const AT_ONCE: usize = 50;

on_every_backend! {
    fifty_first_texts_through_the_webhook_make_one_person_with_one_chain,
    fifty_first_messages_through_the_api_make_one_person_with_one_chain,
}

fn assert_one_person_with_one_chain(books: &Books, number: &str) {
    assert_eq!(books.people.keys().collect::<Vec<_>>(), [number], "not exactly one person");
    assert_eq!(books.counts[number], i64::try_from(AT_ONCE).unwrap());
    let conversation = books.only(number);
    assert_one_chain(conversation);
    let texts: BTreeSet<&str> = conversation.iter().filter(|entry| entry.role == "external").map(|entry| entry.text.as_str()).collect();
    assert_eq!(texts.len(), AT_ONCE, "texts were lost or doubled");
    assert_eq!(conversation.len(), 2 * AT_ONCE, "not each text has its reply");
    for pair in conversation.chunks(2) {
        assert_eq!((pair[0].role.as_str(), pair[1].role.as_str()), ("external", "assistant"));
        assert_eq!(pair[1].text, format!("you said: {}", pair[0].text), "a reply answers another text");
    }
}

async fn fifty_first_texts_through_the_webhook_make_one_person_with_one_chain(ground: Ground) {
    let stage = Stage::on(ground).await;
    let product = stage.home.serve().await;
    let (twilio, anna) = (Twilio::new(), number(1));
    let texts: Vec<Text> = (0..AT_ONCE).map(|index| Text::new(&anna, &format!("text {index}"))).collect();
    let answers = join_all(texts.iter().map(|text| twilio.post(product.address, text))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap() == StatusCode::OK));
    stage.no_job_left(Duration::from_mins(1)).await;
    assert_eq!(stage.carrier.bodies_to(&anna).len(), AT_ONCE);
    assert_one_person_with_one_chain(&Books::read(&stage.home).await, &anna);
}

async fn fifty_first_messages_through_the_api_make_one_person_with_one_chain(ground: Ground) {
    let stage = Stage::on(ground).await;
    let product = stage.home.serve().await;
    let (api, anna) = (Api::new(product.address), number(1));
    let texts: Vec<String> = (0..AT_ONCE).map(|index| format!("text {index}")).collect();
    let answers = join_all(texts.iter().map(|text| api.send(&anna, text))).await;
    let mut made = 0;
    let mut conversations = BTreeSet::new();
    for (text, (status, answer)) in texts.iter().zip(answers) {
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer["reply"]["text"], format!("you said: {text}"), "an answer went to another caller");
        made += usize::from(answer["isNewUser"] == true);
        conversations.insert(answer["conversationId"].as_str().unwrap().to_owned());
    }
    assert_eq!(made, 1, "isNewUser is true for the message that made the person only");
    assert_eq!(conversations.len(), 1);
    stage.no_job_left(Duration::from_mins(1)).await;
    assert!(stage.carrier.sent().is_empty(), "the API's replies are in its answers only");
    assert_one_person_with_one_chain(&Books::read(&stage.home).await, &anna);
}
