//! Storage that takes longer than a sender waits: the answer comes in time and says to come again, and what was stored meanwhile is
//! stored once.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;

use super::books::{Books, assert_one_chain, said};
use super::{SOON, Stage, number};
use crate::backends::Ground;
use crate::support::process::Product;
use crate::support::twilio::{Text, Twilio};

/// `server.acknowledge_seconds`.
const LIMIT: Duration = Duration::from_secs(1);
/// An answer at the limit, on a machine that other tests keep busy.
const IN_TIME: Duration = Duration::from_secs(4);

async fn stage(backend: &'static str) -> Stage {
    Stage::on_with(Ground::new(backend), |settings| settings.set("server.acknowledge_seconds", 1)).await
}

/// Posts a text that cannot be stored now: the answer says when to come again, and that nobody knows.
async fn told_to_come_again(twilio: &Twilio, product: &Product, text: &Text) {
    let begun = Instant::now();
    let answer = twilio.answer_to(product.address, "/webhooks/twilio", &text.form()).await.unwrap();
    let took = begun.elapsed();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!((LIMIT..IN_TIME).contains(&took), "it took {took:?}");
    assert_eq!(answer.headers()["retry-after"], "5");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["type"], "/problems/storage-unavailable");
    assert!(problem["detail"].as_str().unwrap().contains("not known"), "{problem}");
}

/// Each of the texts was stored and answered once.
async fn assert_once(stage: &Stage, texts: &[&str]) {
    stage.no_job_left(SOON).await;
    let replies: Vec<String> = texts.iter().map(|text| format!("you said: {text}")).collect();
    assert_eq!(stage.carrier.bodies_to(&number(0)), replies);
    let books = Books::read(&stage.home).await;
    let entries = books.only(&number(0));
    assert_one_chain(entries);
    let expected: Vec<(&str, &str)> =
        texts.iter().zip(&replies).flat_map(|(text, reply)| [("external", *text), ("assistant", reply.as_str())]).collect();
    assert_eq!(said(entries), expected);
}

async fn a_locked_file(backend: &'static str, file: &str) {
    let stage = stage(backend).await;
    let (product, twilio) = (stage.home.serve().await, Twilio::new());
    twilio.text(product.address, &number(0), "before").await;
    stage.no_job_left(SOON).await;

    let other = rusqlite::Connection::open(stage.home.data().join(file)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let text = Text::new(&number(0), "meanwhile");
    told_to_come_again(&twilio, &product, &text).await;
    told_to_come_again(&twilio, &product, &text).await;
    other.execute_batch("ROLLBACK").unwrap();
    // It went on without its sender …
    assert_eq!(stage.bodies_to(&number(0), 2).await.len(), 2);
    // … who comes again all the same.
    assert_eq!(twilio.post(product.address, &text).await.unwrap(), StatusCode::OK);
    assert_once(&stage, &["before", "meanwhile"]).await;
    product.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_a_locked_file_holds_up_is_answered_in_time_and_stored_once_in_sqlite() {
    a_locked_file("sqlite", "scrubjay.db").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_a_locked_file_holds_up_is_answered_in_time_and_stored_once_in_json_files() {
    a_locked_file("json", "json/index/scrubjay.db").await;
}

#[cfg(feature = "mongodb")]
#[tokio::test(flavor = "multi_thread")]
async fn a_text_whose_commit_has_no_answer_is_answered_in_time_and_stored_once_in_mongodb() {
    use crate::support::mongo;
    use crate::support::wire::Wire;

    let wire = Wire::to(&mongo::uri()).await;
    let stage = Stage::on_with(Ground::new("mongodb"), |settings| {
        settings.set("storage.mongodb.uri", wire.uri.clone()).set("server.acknowledge_seconds", 1)
    })
    .await;
    let (one, two, twilio) = (stage.home.serve().await, stage.home.serve().await, Twilio::new());
    twilio.text(one.address, &number(0), "before").await;
    stage.no_job_left(SOON).await;

    let held = wire.hold("update");
    let text = Text::new(&number(0), "meanwhile");
    let first = told_to_come_again(&twilio, &one, &text);
    let ((), ()) = tokio::join!(first, held.is_done());
    // Behind the first, which still waits.
    told_to_come_again(&twilio, &one, &text).await;
    // Another process sees what the first has stored and was not told.
    assert_eq!(twilio.post(two.address, &text).await.unwrap(), StatusCode::OK);
    assert_eq!(stage.bodies_to(&number(0), 2).await.len(), 2);
    held.lose();
    twilio.text_until_acknowledged(|| one.address, &text, SOON).await;
    assert_once(&stage, &["before", "meanwhile"]).await;
    one.stop().await;
    two.stop().await;
}
