//! The fakes are tested as well: a carrier that forgets or a model that never fails would make every other test pass.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::carrier::{Carrier, Reaction as CarrierReaction, Taken};
use super::chance::Chance;
use super::model::{ModelServer, Reaction as ModelReaction};
use super::twilio::{ACCOUNT_SID, AUTH_TOKEN, OUR_NUMBER, encode, sign};

const PHONE: &str = "+15550100001";

async fn post_message(carrier: &Carrier, body: &str) -> reqwest::Result<(StatusCode, Value)> {
    let form = [("To", PHONE), ("From", OUR_NUMBER), ("Body", body)].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let url = format!("{}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json", carrier.api_base());
    let request = super::http_client().post(url).basic_auth(ACCOUNT_SID, Some(AUTH_TOKEN));
    let answer = request.header("Content-Type", "application/x-www-form-urlencoded").body(encode(&form)).send().await?;
    let status = answer.status();
    Ok((status, answer.json().await?))
}

async fn list(carrier: &Carrier, path: &str) -> Value {
    let request = super::http_client().get(format!("{}{path}", carrier.api_base())).basic_auth(ACCOUNT_SID, Some(AUTH_TOKEN));
    request.send().await.unwrap().json().await.unwrap()
}

fn bodies(page: &Value) -> Vec<&str> {
    page["messages"].as_array().unwrap().iter().map(|message| message["body"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_carrier_records_what_it_takes_and_breaks_connections_before_an_answer() {
    let carrier = Carrier::start().await;
    let (status, created) = post_message(&carrier, "one").await.unwrap();
    assert_eq!((status, created["status"].as_str()), (StatusCode::CREATED, Some("queued")));

    carrier.always(CarrierReaction::TakeAndBreak);
    assert!(post_message(&carrier, "two").await.is_err());
    carrier.always(CarrierReaction::Break);
    assert!(post_message(&carrier, "three").await.is_err());
    carrier.always(CarrierReaction::TooMany);
    assert_eq!(post_message(&carrier, "four").await.unwrap().0, StatusCode::TOO_MANY_REQUESTS);
    carrier.always(CarrierReaction::Refuse(21610));
    assert_eq!(post_message(&carrier, "five").await.unwrap().1["code"], 21610);

    let record: Vec<_> = carrier.sent().into_iter().map(|record| (record.body, record.taken)).collect();
    assert_eq!(record, [("one".to_owned(), Taken::Told), ("two".to_owned(), Taken::Untold)]);
    assert_eq!(carrier.reactions().len(), 5);
}

#[tokio::test]
async fn the_carrier_pages_newest_first_and_hides_queued_messages_from_a_filter_by_sent_date() {
    let carrier = Carrier::start().await;
    for body in ["one", "two", "three"] {
        post_message(&carrier, body).await.unwrap();
    }
    carrier.receive("SM00000000000000000000000000000001", PHONE, OUR_NUMBER, "from a phone");
    let base = format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json");

    let first = list(&carrier, &format!("{base}?To=%2B15550100001&PageSize=2")).await;
    assert_eq!(bodies(&first), ["three", "two"]);
    let second = list(&carrier, first["next_page_uri"].as_str().unwrap()).await;
    assert_eq!(bodies(&second), ["one"]);
    assert_eq!(second["next_page_uri"], Value::Null);

    let received = list(&carrier, &format!("{base}?To=%2B15550009999&DateSent%3E=2026-01-01")).await;
    assert_eq!(bodies(&received), ["from a phone"]);
    assert_eq!(received["messages"][0]["direction"], "inbound");
    let queued = list(&carrier, &format!("{base}?To=%2B15550100001&DateSent%3E=2026-01-01")).await;
    assert_eq!(bodies(&queued), Vec::<&str>::new());
    assert_eq!(list(&carrier, &format!("{base}?Two=1")).await["code"], 20001);
}

#[tokio::test]
async fn the_carrier_refuses_other_credentials() {
    let carrier = Carrier::start().await;
    let url = format!("{}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json", carrier.api_base());
    let answer = super::http_client().get(url).basic_auth(ACCOUNT_SID, Some("wrong")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

async fn ask(model: &ModelServer, stream: bool) -> reqwest::Result<(StatusCode, String)> {
    let messages = json!([
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "earlier"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "hello"},
        {"role": "user", "content": "again"},
    ]);
    let body = json!({"model": "test-model", "stream": stream, "messages": messages});
    let answer = super::http_client().post(format!("{}/chat/completions", model.base_url())).json(&body).send().await?;
    let status = answer.status();
    Ok((status, answer.text().await?))
}

/// The text of a streamed answer.
fn joined(stream: &str) -> String {
    let events = stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let events = events.map(|data| serde_json::from_str::<Value>(data).unwrap());
    events.filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn the_model_echoes_streams_fails_breaks_and_stalls() {
    let model = ModelServer::start().await;
    let (_, stream) = ask(&model, true).await.unwrap();
    assert_eq!(joined(&stream), "you said: hello + again");
    assert!(stream.ends_with("data: [DONE]\n\n"));
    let (_, whole) = ask(&model, false).await.unwrap();
    assert!(whole.contains("you said: hello + again"));

    model.always(ModelReaction::Slowly("one two three".to_owned(), Duration::from_millis(5)));
    assert_eq!(joined(&ask(&model, true).await.unwrap().1), "one two three");
    model.always(ModelReaction::Fail(429, Some(1)));
    assert_eq!(ask(&model, true).await.unwrap().0, StatusCode::TOO_MANY_REQUESTS);
    model.always(ModelReaction::BreakOff);
    assert!(ask(&model, true).await.is_err());
    model.always(ModelReaction::HangUp);
    assert!(ask(&model, true).await.is_err());

    model.always(ModelReaction::Stall);
    let stalled = ask(&model, true);
    tokio::pin!(stalled);
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut stalled).await.is_err());
    assert_eq!(model.held(), 1);
    model.release();
    assert_eq!(joined(&stalled.await.unwrap().1), "you said: hello + again");
    assert_eq!(model.held(), 0);
    assert_eq!(model.asked().len(), 7);
    assert_eq!(model.asked()[0].newest(), ["hello", "again"]);
    assert_eq!(model.asked()[0].dialogue().len(), 4);
}

#[test]
fn the_signer_agrees_with_published_signatures() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../../vectors/twilio_signatures.json")).unwrap();
    let mut compared = 0;
    for vector in vectors.iter().filter(|vector| vector["valid"] == true && vector["body"].is_null()) {
        let pairs = vector["params"].as_array().unwrap().iter();
        let form: Vec<(String, String)> =
            pairs.map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned())).collect();
        let signed = vector["signed_url"].as_str().or(vector["url"].as_str()).unwrap();
        assert_eq!(sign(vector["token"].as_str().unwrap(), signed, &form), vector["signature"].as_str().unwrap(), "{}", vector["id"]);
        compared += 1;
    }
    assert!(compared >= 5, "only {compared} vectors were compared");
}

#[test]
fn chance_repeats_itself_under_the_same_seed() {
    let (one, two) = (Chance::seeded(7), Chance::seeded(7));
    let draw = |chance: &Chance| (0..100).map(|_| chance.between(10, 20)).collect::<Vec<_>>();
    let drawn = draw(&one);
    assert_eq!(drawn, draw(&two));
    assert!(drawn.iter().all(|number| (10..20).contains(number)) && drawn.contains(&10) && drawn.contains(&19));
    assert_eq!(one.seed(), 7);
}
