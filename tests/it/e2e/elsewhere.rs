//! Looking on at one program while another does the work: two programs on one store, and streams of events at both.

use std::time::Duration;

use serde_json::{Value, json};

use super::{SOON, Stage, number};
use crate::backends::Ground;
use crate::support::api::{Api, Stream};
use crate::support::eventually;
use crate::support::model::Reaction;
use crate::support::twilio::Twilio;

on_every_backend! {
    what_one_program_answers_is_seen_live_at_both_in_the_same_order,
    an_answer_made_at_one_program_ends_the_stream_at_the_other,
    when_the_program_that_answers_dies_the_stream_at_the_other_ends_with_the_reply,
}

type Events = Vec<(String, Value)>;

/// Events of that name.
fn named<'a>(events: &'a Events, name: &str) -> Vec<&'a Value> {
    events.iter().filter(|(of, _)| of == name).map(|(_, data)| data).collect()
}

/// What a reply's events join to, and how they end.
fn reply_of(events: &Events) -> (String, String) {
    let deltas = named(events, "delta").into_iter().map(|delta| delta["text"].as_str().unwrap()).collect();
    (deltas, named(events, "message")[0]["text"].as_str().unwrap().to_owned())
}

async fn read(stream: &mut Stream, name: &str, count: usize) -> Events {
    let reading = stream.until(|events| events.iter().filter(|(of, _)| of == name).count() >= count);
    tokio::time::timeout(SOON, reading).await.unwrap_or_else(|_| panic!("{count} times {name} did not come within {SOON:?}"))
}

/// What the live events tell: which conversation began, and what was said. A conversation is shown as it is when it is looked at, so of
/// that only its id is compared.
fn told(events: &Events) -> Vec<Value> {
    let told = events.iter().filter_map(|(name, data)| match name.as_str() {
        "newConversation" => Some(json!({ "began": data["conversation"]["conversationId"] })),
        "newMessage" => Some(json!({ "in": data["conversationId"], "said": data["messages"] })),
        _ => None,
    });
    told.collect()
}

async fn what_one_program_answers_is_seen_live_at_both_in_the_same_order(ground: Ground) {
    const TEXTS: usize = 6;
    let stage = Stage::on(ground).await;
    let (one, two, anna) = (stage.home.serve().await, stage.home.serve().await, number(1));
    let (at_one, at_two, twilio) = (Api::new(one.address), Api::new(two.address), Twilio::new());
    twilio.text(one.address, &anna, "/new").await;
    stage.bodies_to(&anna, 1).await;
    let token = stage.home.json(&["token", "create", "--user", &anna]).await["token"].as_str().unwrap().to_owned();
    let (mut first, mut second) = (at_one.live(&token, None).await, at_two.live(&token, None).await);
    for stream in [&mut first, &mut second] {
        read(stream, "connected", 1).await;
    }
    // Texts come in at the one and the other in turn; whoever answers them, one of the two streams looks on from outside.
    for index in 0..TEXTS {
        let address = if index % 2 == 0 { one.address } else { two.address };
        twilio.text(address, &anna, &format!("text {index}")).await;
        stage.bodies_to(&anna, 2 + index).await;
    }
    let (here, there) = (read(&mut first, "newMessage", TEXTS).await, read(&mut second, "newMessage", TEXTS).await);
    assert_eq!(told(&here), told(&there));
    assert_eq!(named(&here, "newConversation").len(), 1);
    let said: Vec<Vec<&str>> = named(&here, "newMessage")
        .into_iter()
        .map(|event| event["messages"].as_array().unwrap().iter().map(|message| message["text"].as_str().unwrap()).collect())
        .collect();
    let expected: Vec<Vec<String>> = (0..TEXTS).map(|index| vec![format!("text {index}"), format!("you said: text {index}")]).collect();
    assert_eq!(said, expected);
    let ids = first.ids();
    assert_eq!(ids.len(), TEXTS);
    assert_eq!(ids, second.ids());
    // Who was looking on at the one goes on at the other, from where that was.
    drop(first);
    let mut resumed = at_two.live(&token, Some(&ids[2])).await;
    let later = read(&mut resumed, "newMessage", TEXTS - 3).await;
    assert_eq!(resumed.ids(), ids[3..]);
    assert_eq!(told(&later), told(&here).split_off(1 + 3));
}

/// A caller whose connection broke repeats its message at another program while the first still works on it.
async fn an_answer_made_at_one_program_ends_the_stream_at_the_other(ground: Ground) {
    let stage = Stage::on(ground).await;
    stage.model.always(Reaction::Stall);
    let (one, anna) = (stage.home.serve().await, number(1));
    let key = [("idempotency-key", "the-same-message")];
    let mut here = Api::new(one.address).stream_with(&anna, "hold the line", &key).await;
    eventually("a turn in the first program", SOON, || async { (stage.model.held() == 1).then_some(()) }).await;
    let two = stage.home.serve().await;
    let mut there = Api::new(two.address).stream_with(&anna, "hold the line", &key).await;
    let ids = |accepted: &Events| accepted[0].1.clone();
    let (nearby, elsewhere) = (read(&mut here, "accepted", 1).await, read(&mut there, "accepted", 1).await);
    for field in ["conversationId", "messageId", "userId"] {
        assert_eq!(ids(&nearby)[field], ids(&elsewhere)[field], "{field}");
    }
    stage.model.release();
    for stream in [&mut here, &mut there] {
        let (shown, stored) = reply_of(&read(stream, "done", 1).await);
        assert_eq!((shown.as_str(), stored.as_str()), ("you said: hold the line", "you said: hold the line"));
    }
    assert_eq!(stage.model.asked().len(), 1);
}

async fn when_the_program_that_answers_dies_the_stream_at_the_other_ends_with_the_reply(ground: Ground) {
    let stage = Stage::on(ground).await;
    stage.model.always(Reaction::Stall);
    let (one, anna) = (stage.home.serve().await, number(1));
    let key = [("idempotency-key", "the-same-message")];
    let mut here = Api::new(one.address).stream_with(&anna, "hold the line", &key).await;
    read(&mut here, "accepted", 1).await;
    eventually("a turn in the first program", SOON, || async { (stage.model.held() == 1).then_some(()) }).await;
    let two = stage.home.serve().await;
    let mut there = Api::new(two.address).stream_with(&anna, "hold the line", &key).await;
    read(&mut there, "accepted", 1).await;
    stage.model.always(Reaction::Slowly("you said: hold the line".to_owned(), Duration::from_millis(20)));
    one.kill();
    // Its lease runs out after 15 s at most.
    let (shown, stored) = reply_of(&read(&mut there, "done", 1).await);
    assert_eq!((shown.as_str(), stored.as_str()), ("you said: hold the line", "you said: hold the line"));
    stage.no_job_left(SOON).await;
    assert_eq!(stage.model.asked().len(), 2);
}

/// Four who look on at two people do not ask while there is a stream of changes, and see what happens all the same.
#[cfg(feature = "mongodb")]
#[tokio::test(flavor = "multi_thread")]
async fn a_program_on_mongodb_is_told_and_does_not_ask() {
    let database = crate::support::mongo::Database::new();
    let wire = crate::support::wire::Wire::to(&database.uri).await;
    // Its workers ask for nothing while this lasts.
    let stage = Stage::on_with(Ground::at(wire.uri.clone()), |settings| settings.set("worker.poll_ms", 3_600_000)).await;
    let (product, people, twilio) = (stage.home.serve().await, [number(1), number(2)], Twilio::new());
    let mut streams = Vec::new();
    for person in &people {
        twilio.text(product.address, person, "hello").await;
        stage.bodies_to(person, 1).await;
        let token = stage.home.json(&["token", "create", "--user", person]).await["token"].as_str().unwrap().to_owned();
        for _ in 0..2 {
            let mut stream = Api::new(product.address).live(&token, None).await;
            read(&mut stream, "connected", 1).await;
            streams.push(stream);
        }
    }
    let told = || async { wire.take_commands().contains_key("getMore").then_some(()) };
    eventually("a stream of changes", SOON, told).await;
    // What is left of the beginning, and the leases and clocks that every program looks after.
    tokio::time::sleep(Duration::from_secs(1)).await;
    wire.take_commands();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let asked = wire.take_commands();
    assert!(asked.get("find").copied().unwrap_or_default() < 8, "four would have asked sixteen times: {asked:?}");
    for person in &people {
        twilio.text(product.address, person, "and again").await;
    }
    for stream in &mut streams {
        read(stream, "newMessage", 1).await;
    }
}
