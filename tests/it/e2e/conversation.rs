//! The golden path: a signed text comes in, is answered by the model, stored, and sent back.

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::books::{Books, assert_one_chain, said};
use super::{SOON, Stage, number};
use crate::backends::Ground;
use crate::support::carrier::Reaction as CarrierReaction;
use crate::support::home::MODEL_KEY;
use crate::support::model::Reaction;
use crate::support::twilio::{ACCOUNT_SID, OUR_NUMBER, PUBLIC_URL, Text, Twilio};

on_every_backend! {
    a_text_is_answered_once_and_the_next_one_continues_the_conversation,
    the_webhook_is_acknowledged_while_the_model_thinks,
    texts_in_rapid_succession_are_one_turn_and_later_ones_the_next,
    stop_silences_start_resumes_and_help_answers_without_the_model,
    a_long_reply_comes_in_parts_in_order_and_more_brings_the_rest,
    a_message_that_the_carrier_took_before_the_line_broke_is_found_and_not_sent_again,
    a_refusal_for_good_is_a_dead_letter_with_its_reason_and_an_opt_out_at_the_carrier_is_kept,
    wrong_credentials_stop_sending_and_turn_readiness_red_and_the_message_waits,
    unsigned_foreign_and_malformed_webhooks_store_nothing,
}

async fn a_text_is_answered_once_and_the_next_one_continues_the_conversation(ground: Ground) {
    let stage = Stage::on(ground).await;
    let product = stage.home.serve().await;
    let (twilio, anna) = (Twilio::new(), number(1));

    let first = twilio.text(product.address, &anna, "hello there").await;
    assert_eq!(stage.bodies_to(&anna, 1).await, ["you said: hello there"]);
    let sent = &stage.carrier.sent()[0];
    assert_eq!((sent.from.as_str(), sent.to.as_str()), (OUR_NUMBER, anna.as_str()));
    assert_eq!(stage.model.asked()[0].authorization.as_deref(), Some(format!("Bearer {MODEL_KEY}").as_str()));

    let callback = sent.status_callback.clone().expect("a status callback was asked for");
    let path = callback.strip_prefix(PUBLIC_URL).expect("below the public URL").to_owned();
    let report = [("MessageSid", sent.sid.as_str()), ("MessageStatus", "delivered"), ("AccountSid", ACCOUNT_SID), ("To", &anna)];
    let report = report.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(twilio.post_form(product.address, &path, &report).await.unwrap(), StatusCode::NO_CONTENT);

    // Twilio repeats a webhook whose answer it did not see: the same answer, no second effect.
    assert_eq!(twilio.post(product.address, &first).await.unwrap(), StatusCode::OK);
    twilio.text(product.address, &anna, "and again").await;
    assert_eq!(stage.bodies_to(&anna, 2).await, ["you said: hello there", "you said: and again"]);
    stage.no_job_left(SOON).await;

    let asked = stage.model.asked();
    assert_eq!(asked.len(), 2, "the repeated webhook was answered again");
    let dialogue: Vec<(&str, &str)> = asked[1].dialogue().into_iter().map(|entry| (entry.role.as_str(), entry.content.as_str())).collect();
    assert_eq!(dialogue, [("user", "hello there"), ("assistant", "you said: hello there"), ("user", "and again")]);

    let books = Books::read(&stage.home).await;
    let conversation = books.only(&anna);
    assert_one_chain(conversation);
    assert_eq!(
        said(conversation),
        [
            ("external", "hello there"),
            ("assistant", "you said: hello there"),
            ("external", "and again"),
            ("assistant", "you said: and again"),
        ]
    );
    assert_eq!(books.counts[&anna], 2, "a duplicate is not counted");
    product.stop().await;
}

async fn the_webhook_is_acknowledged_while_the_model_thinks(ground: Ground) {
    let stage = Stage::on(ground).await;
    stage.model.always(Reaction::Stall);
    let product = stage.home.serve().await;
    let begun = Instant::now();
    Twilio::new().text(product.address, &number(1), "think about it").await;
    assert!(begun.elapsed() < Duration::from_secs(5), "the acknowledgement waited for the model");
    super::eventually("a request at the model", SOON, || async { (stage.model.held() == 1).then_some(()) }).await;
    assert!(stage.carrier.sent().is_empty());
    stage.model.release();
    assert_eq!(stage.bodies_to(&number(1), 1).await, ["you said: think about it"]);
}

async fn texts_in_rapid_succession_are_one_turn_and_later_ones_the_next(ground: Ground) {
    let stage = Stage::on_with(ground, |settings| settings.set("conversations.debounce_ms", 1200)).await;
    let product = stage.home.serve().await;
    let (twilio, anna) = (Twilio::new(), number(1));
    twilio.text(product.address, &anna, "one").await;
    twilio.text(product.address, &anna, "two").await;
    stage.bodies_to(&anna, 1).await;
    twilio.text(product.address, &anna, "three").await;
    stage.bodies_to(&anna, 2).await;
    stage.no_job_left(SOON).await;

    assert_eq!(stage.carrier.bodies_to(&anna).len(), 2);
    let asked = stage.model.asked();
    assert_eq!(asked.len(), 2, "two rapid texts were asked about apart");
    let newest = asked[0].newest().join(" ");
    assert!(newest.contains("one") && newest.contains("two") && !newest.contains("three"), "{newest}");
    let books = Books::read(&stage.home).await;
    let roles: Vec<&str> = books.only(&anna).iter().map(|entry| entry.role.as_str()).collect();
    assert_eq!(roles, ["external", "external", "assistant", "external", "assistant"]);
    assert_one_chain(books.only(&anna));
}

async fn stop_silences_start_resumes_and_help_answers_without_the_model(ground: Ground) {
    let stage = Stage::on_with(ground, |settings| {
        settings.set("gateways.twilio.confirms_consent", false).set("sms.help_text", "this is the help text")
    })
    .await;
    let product = stage.home.serve().await;
    let (twilio, anna) = (Twilio::new(), number(1));
    twilio.text(product.address, &anna, " help ").await;
    assert_eq!(stage.bodies_to(&anna, 1).await, ["this is the help text"]);

    twilio.text(product.address, &anna, "Stop").await;
    let bodies = stage.bodies_to(&anna, 2).await;
    assert!(bodies[1].contains("no more texts"), "{bodies:?}");
    twilio.text(product.address, &anna, "are you there?").await;
    stage.no_job_left(SOON).await;
    assert_eq!(stage.carrier.bodies_to(&anna).len(), 2, "somebody who opted out was texted");

    // The opt-out rests in the store, not in the process.
    product.kill();
    let product = stage.home.serve().await;
    twilio.text(product.address, &anna, "still there?").await;
    stage.no_job_left(SOON).await;
    assert_eq!(stage.carrier.bodies_to(&anna).len(), 2, "an opt-out was forgotten by a restart");

    twilio.text(product.address, &anna, "START").await;
    assert!(stage.bodies_to(&anna, 3).await[2].contains("Welcome back"));
    twilio.text(product.address, &anna, "hello again").await;
    assert!(stage.bodies_to(&anna, 4).await[3].ends_with("hello again"));
    assert_eq!(stage.model.asked().len(), 1, "a word or a text of somebody who had opted out was asked about");
}

async fn a_long_reply_comes_in_parts_in_order_and_more_brings_the_rest(ground: Ground) {
    let stage = Stage::on_with(ground, |settings| settings.set("sms.segments_per_message", 1).set("sms.max_messages", 2)).await;
    let sentence = |index: usize| format!("This is sentence number {index} of a rather long answer.");
    let long: Vec<String> = (1..=30).map(sentence).collect();
    stage.model.always(Reaction::Say(long.join(" ")));
    let product = stage.home.serve().await;
    let (twilio, anna) = (Twilio::new(), number(1));
    twilio.text(product.address, &anna, "tell me a lot").await;
    stage.bodies_to(&anna, 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(stage.carrier.bodies_to(&anna).len(), 2, "more parts than sms.max_messages were sent unasked");
    for expected in [4, 6] {
        twilio.text(product.address, &anna, "more").await;
        stage.bodies_to(&anna, expected).await;
    }
    let parts = stage.carrier.bodies_to(&anna);
    assert!(parts.iter().all(|part| part.chars().count() <= 160), "{parts:?}");
    let whole = parts.join(" ");
    let places: Vec<usize> = long.iter().map_while(|sentence| whole.find(sentence.as_str())).collect();
    assert!(places.is_sorted() && places.len() >= 12, "not the first sentences in order: {parts:#?}");
    assert_eq!(stage.model.asked().len(), 1, "MORE asked the model");
}

async fn a_message_that_the_carrier_took_before_the_line_broke_is_found_and_not_sent_again(ground: Ground) {
    let stage = Stage::on(ground).await;
    let mut first = true;
    stage.carrier.script(move |_| if std::mem::take(&mut first) { CarrierReaction::TakeAndBreak } else { CarrierReaction::Take });
    let product = stage.home.serve().await;
    let (twilio, anna) = (Twilio::new(), number(1));
    twilio.text(product.address, &anna, "one").await;
    twilio.text(product.address, &anna, "two").await;
    stage.bodies_to(&anna, 2).await;
    stage.no_job_left(SOON).await;
    assert_eq!(stage.carrier.bodies_to(&anna), ["you said: one", "you said: two"]);
}

async fn a_refusal_for_good_is_a_dead_letter_with_its_reason_and_an_opt_out_at_the_carrier_is_kept(ground: Ground) {
    let stage = Stage::on(ground).await;
    let (refused, opted_out) = (number(1), number(2));
    let to_refused = refused.clone();
    stage.carrier.script(move |form| {
        let to = form.iter().find(|(key, _)| key == "To").map(|(_, value)| value.as_str());
        CarrierReaction::Refuse(if to == Some(to_refused.as_str()) { 21211 } else { 21610 })
    });
    let product = stage.home.serve().await;
    let twilio = Twilio::new();
    twilio.text(product.address, &refused, "hello").await;
    let dead = super::eventually("a dead letter", SOON, || async {
        stage.home.list(&["jobs", "list"]).await.into_iter().find(|job| job["state"] == "dead")
    })
    .await;
    assert_eq!(dead["kind"], "deliver");
    assert!(dead["error"].as_str().unwrap().contains("21211"), "{dead}");

    twilio.text(product.address, &opted_out, "hello").await;
    super::eventually("two refusals", SOON, || async { (stage.carrier.reactions().len() == 2).then_some(()) }).await;
    stage.carrier.always(CarrierReaction::Take);
    tokio::time::sleep(Duration::from_millis(300)).await;
    twilio.text(product.address, &opted_out, "anybody?").await;
    super::eventually("no unfinished job", SOON, || async {
        let jobs = stage.home.list(&["jobs", "list"]).await;
        jobs.iter().all(|job| job["state"] == "dead").then_some(())
    })
    .await;
    assert!(stage.carrier.bodies_to(&opted_out).is_empty(), "somebody whom the carrier knows as opted out was texted");
}

async fn wrong_credentials_stop_sending_and_turn_readiness_red_and_the_message_waits(ground: Ground) {
    let stage = Stage::on(ground).await;
    stage.carrier.always(CarrierReaction::Unauthorized);
    let product = stage.home.serve().await;
    let ready = |product: &crate::support::process::Product| crate::support::http_client().get(product.url("/health/ready")).send();
    assert_eq!(ready(&product).await.unwrap().status(), StatusCode::OK);
    Twilio::new().text(product.address, &number(1), "hello").await;
    super::eventually("readiness to turn red", SOON, || async {
        (ready(&product).await.unwrap().status() == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    // Sending rests for a minute then; the message waits, it is not given up.
    let jobs = stage.home.list(&["jobs", "list"]).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!((jobs[0]["kind"].as_str(), jobs[0]["state"].as_str()), (Some("deliver"), Some("waiting")));
    assert!(jobs[0]["error"].as_str().unwrap().contains("20003"), "{jobs:?}");
    assert!(stage.carrier.sent().is_empty());
}

async fn unsigned_foreign_and_malformed_webhooks_store_nothing(ground: Ground) {
    let stage = Stage::on(ground).await;
    let product = stage.home.serve().await;
    let (client, text) = (crate::support::http_client(), Text::new(&number(1), "let me in"));
    let url = product.url("/webhooks/twilio");
    let form = crate::support::twilio::encode(&text.form());
    let post = |signature: &str, body: String| {
        let request = client.post(&url).header("Content-Type", "application/x-www-form-urlencoded");
        let request = if signature.is_empty() { request } else { request.header("X-Twilio-Signature", signature) };
        request.body(body).send()
    };
    assert_eq!(post("", form.clone()).await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(post("bm90IGEgc2lnbmF0dXJl", form).await.unwrap().status(), StatusCode::FORBIDDEN);
    let mut foreign = text.form();
    foreign.iter_mut().find(|(key, _)| key == "AccountSid").unwrap().1 = ACCOUNT_SID.replace('0', "f");
    assert_eq!(Twilio::new().post_form(product.address, "/webhooks/twilio", &foreign).await.unwrap(), StatusCode::FORBIDDEN);
    assert!(stage.home.list(&["users", "list"]).await.is_empty());
    assert!(stage.model.asked().is_empty());
}
