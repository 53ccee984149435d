//! What must never stand in a log: numbers, texts, prompts, secrets. Each is marked, goes through the whole path, through its
//! failures too, and is then looked for.

mod tools;

use std::time::Duration;

use serde_json::json;

use super::{SOON, Stage, number};
use crate::support::api::Api;
use crate::support::carrier::Reaction as CarrierReaction;
use crate::support::eventually;
use crate::support::home::{API_KEY, MODEL_KEY};
use crate::support::model::Reaction;
use crate::support::twilio::{AUTH_TOKEN, Text, Twilio};

#[tokio::test(flavor = "multi_thread")]
async fn no_number_text_prompt_or_secret_stands_in_the_log() {
    let stage = Stage::with(|settings| {
        settings
            .set("prompt.system", "MARKED-SYSTEM-PROMPT: be brief.")
            .set("worker.attempts", 3)
            .set("endpoints.openAI.retries", 1)
            .set("auth.jwt_secret", "MARKED-JWT-SECRET-c4b1a2f3e4d5968778695a4b3c2d1e0f")
    })
    .await;
    let product = stage.home.serve().await;
    let (twilio, api) = (Twilio::new(), Api::new(product.address));

    // The good path, through both doors.
    twilio.text(product.address, &number(1), "MARKED-TEXT one").await;
    stage.bodies_to(&number(1), 1).await;
    let instructions = json!({"role": "external", "content": "MARKED-TEXT two", "from": number(2),
        "metadata": {"additional_instructions": "MARKED-INSTRUCTIONS", "title": "MARKED-TITLE"}});
    assert_eq!(api.post("sms-conversation", &instructions, &[]).await.0, 200);

    // Refused at the door: signatures, keys, numbers, bodies.
    let client = crate::support::http_client();
    let form = crate::support::twilio::encode(&Text::new(&number(3), "MARKED-TEXT forged").form());
    let forged = client.post(product.url("/webhooks/twilio")).header("X-Twilio-Signature", "MARKED-SIGNATURE");
    let forged = forged.header("Content-Type", "application/x-www-form-urlencoded").body(form).send().await.unwrap();
    assert_eq!(forged.status(), 403);
    let wrong_key = client.post(product.url("/api/messages/sms-conversation")).header("x-api-key", "MARKED-WRONG-KEY");
    assert_eq!(wrong_key.json(&instructions).send().await.unwrap().status(), 403);
    assert_eq!(api.send("MARKED-NO-NUMBER", "MARKED-TEXT three").await.0, 400);
    let stream = client.get(product.url("/api/messages/stream?token=MARKED-TOKEN")).send().await.unwrap();
    assert_eq!(stream.status(), 401);
    assert!(api.post("MARKED-CONVERSATION", &instructions, &[]).await.0.is_client_error());

    // A model that repeats the prompt in its error, a carrier that repeats the number in its own.
    stage.model.always(Reaction::Fail(500, None));
    assert!(!api.send(&number(4), "MARKED-TEXT four").await.0.is_success());
    stage.model.always(Reaction::Fail(400, None));
    assert!(!api.send(&number(5), "MARKED-TEXT five").await.0.is_success());
    stage.model.always(Reaction::BreakOff);
    twilio.text(product.address, &number(6), "MARKED-TEXT six").await;
    let dead_reply = |count: usize| {
        let home = &stage.home;
        eventually("dead letters", SOON, move || async move {
            let jobs = home.list(&["jobs", "list"]).await;
            (jobs.iter().filter(|job| job["state"] == "dead").count() >= count).then_some(())
        })
    };
    dead_reply(3).await;
    stage.model.always(Reaction::Echo);
    stage.carrier.always(CarrierReaction::Refuse(21211));
    twilio.text(product.address, &number(7), "MARKED-TEXT seven").await;
    dead_reply(4).await;
    stage.carrier.always(CarrierReaction::Refuse(21610));
    twilio.text(product.address, &number(8), "MARKED-TEXT eight").await;
    twilio.text(product.address, &number(8), "stop").await;
    stage.carrier.always(CarrierReaction::TakeAndBreak);
    twilio.text(product.address, &number(9), "MARKED-TEXT nine").await;
    stage.bodies_to(&number(9), 1).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    product.stop().await;

    assert_silent("the log", &stage.home.log(), &[API_KEY, MODEL_KEY, AUTH_TOKEN, "be brief", "you said"]);
}

/// Fails where a text holds anything marked, the number of one of these tests' people, or one of these secrets.
fn assert_silent(what: &str, text: &str, secrets: &[&str]) {
    assert!(text.lines().count() >= 5, "{what} says nothing, so nothing was tested:\n{text}");
    let numbers: Vec<String> = (1..=9).map(|person| number(person).trim_start_matches('+').to_owned()).collect();
    for word in secrets.iter().copied().chain(["MARKED"]).chain(numbers.iter().map(String::as_str)) {
        let line = text.lines().find(|line| line.contains(word));
        assert_eq!(line, None, "{word:?} stands in {what}");
    }
}
