//! The doors of the real executable: figures, streams as they come, callers who hang up, and what its log says of strangers.

use std::time::{Duration, Instant};

use futures::StreamExt;
use reqwest::Client;
use serde_json::{Value, json};

use crate::http_home::read_events;
use crate::support::carrier::Carrier;
use crate::support::home::{API_KEY, Home, Settings};
use crate::support::model::{ModelServer, Reaction};
use crate::support::process::Product;
use crate::support::twilio::{AUTH_TOKEN, PUBLIC_URL, Text, Twilio, encode, sign};

const ANNE: &str = "+15550100001";

/// A program between a carrier and a model.
struct Stage {
    home: Home,
    model: ModelServer,
    _carrier: Carrier,
    product: Product,
    client: Client,
}

impl Stage {
    async fn new() -> Self {
        let (carrier, model) = (Carrier::start().await, ModelServer::start().await);
        let home = Home::new(&Settings::new(&carrier, &model));
        let product = home.serve().await;
        Self { home, model, _carrier: carrier, product, client: crate::support::http_client() }
    }

    fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(self.product.url("/api/messages/new")).header("x-api-key", API_KEY).body(body.to_string())
    }

    async fn get(&self, path: &str) -> String {
        self.client.get(self.product.url(path)).send().await.unwrap().text().await.unwrap()
    }
}

fn text(content: &str) -> Value {
    json!({"role": "external", "content": content, "from": ANNE})
}

#[tokio::test]
async fn figures_have_their_names_their_help_and_nobodys_number() {
    let stage = Stage::new().await;
    let twilio = Twilio::new();
    let sent = twilio.text(stage.product.address, ANNE, "Hello").await;
    assert_eq!(twilio.post(stage.product.address, &sent).await.unwrap(), 200, "a repeat is acknowledged like the first");
    assert_eq!(stage.post(&text("Hello")).send().await.unwrap().status(), 200);
    let role = json!({"role": "external", "content": "x", "from": ANNE, "metadata": {"endpoint": "external"}});
    assert_eq!(stage.post(&role).send().await.unwrap().status(), 200);
    let figures = stage.get("/metrics").await;
    for line in [
        r#"inbound_total{door="twilio",outcome="stored"} 1"#,
        r#"inbound_total{door="api",outcome="stored"} 2"#,
        r#"duplicates_total{door="twilio"} 1"#,
        "endpoint_redirected_total 1",
        r#"tokens_total{endpoint="openAI",kind="prompt"}"#,
        "# TYPE queue_age_seconds gauge",
        "turn_seconds",
        "model_seconds",
        "# HELP inbound_total",
        "# HELP turn_seconds",
    ] {
        assert!(figures.contains(line), "{line} is not in:\n{figures}");
    }
    assert!(!figures.contains("5550100001"), "{figures}");
    assert_eq!(stage.get("/health").await, "OK");
    let ready: Value = serde_json::from_str(&stage.get("/health/ready").await).unwrap();
    assert_eq!(ready["ready"], true, "{ready}");
    stage.product.stop().await;
}

#[tokio::test]
async fn a_streamed_reply_arrives_while_it_is_written() {
    let stage = Stage::new().await;
    stage.model.always(Reaction::Slowly("one two three four".to_owned(), Duration::from_millis(150)));
    let begun = Instant::now();
    let answer = stage.post(&text("Count")).header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let (mut chunks, mut whole, mut first) = (answer.bytes_stream(), String::new(), None);
    while let Some(chunk) = chunks.next().await {
        whole.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        if first.is_none() && whole.contains("event: delta") {
            first = Some(begun.elapsed());
        }
    }
    let last = begun.elapsed();
    assert!(first.unwrap() + Duration::from_millis(250) < last, "the first piece came after {first:?}, the last after {last:?}");
    let deltas: String =
        read_events(&whole).iter().filter(|(name, _)| name == "delta").map(|(_, data)| data["text"].as_str().unwrap()).collect();
    assert_eq!(deltas, "one two three four");
    stage.product.stop().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_loses_nothing() {
    let stage = Stage::new().await;
    stage.model.always(Reaction::Stall);
    for accept in ["application/json", "text/event-stream"] {
        let request = stage.post(&text(&format!("Bye, {accept}"))).header("accept", accept);
        // The client drops the request or its stream, and with it the connection.
        let _gone = tokio::time::timeout(Duration::from_millis(400), async { request.send().await.unwrap().bytes().await }).await;
    }
    stage.model.release();
    let token = stage.home.json(&["token", "create", "--user", ANNE]).await["token"].as_str().unwrap().to_owned();
    crate::support::eventually("both replies are stored", Duration::from_secs(20), || async {
        let answer = stage.client.get(stage.product.url("/api/messages")).bearer_auth(&token).send().await.unwrap();
        let page: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        (page["messages"].as_array().unwrap().iter().filter(|message| message["role"] == "assistant").count() == 2).then_some(())
    })
    .await;
    stage.product.stop().await;
}

#[tokio::test]
async fn the_log_says_which_url_a_stranger_called_and_no_secret() {
    let stage = Stage::new().await;
    let form = Text::new(ANNE, "A forged text").form();
    let right = sign(AUTH_TOKEN, &format!("{PUBLIC_URL}/webhooks/twilio"), &form);
    let forged = sign("another-token", &format!("{PUBLIC_URL}/webhooks/twilio"), &form);
    let answer = stage
        .client
        .post(stage.product.url("/webhooks/twilio"))
        .header("x-twilio-signature", &forged)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(encode(&form))
        .send()
        .await
        .unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (403, ""));
    stage.product.stop().await;
    let log = stage.home.log();
    let told = log.lines().find(|line| line.contains("a webhook was refused")).unwrap_or_else(|| panic!("nothing of it is logged:\n{log}"));
    assert!(told.contains(&format!("{PUBLIC_URL}/webhooks/twilio")), "{told}");
    for secret in [AUTH_TOKEN, &right, "5550100001", "A forged text"] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

#[tokio::test]
async fn a_flood_of_forged_webhooks_leaves_few_lines_and_nothing_of_their_urls() {
    let stage = Stage::new().await;
    let url = stage.product.url("/webhooks/twilio?From=%2B15550100077&Body=MARKED-BODY&token=MARKED-TOKEN&%2B15550100078=1");
    for _ in 0..40 {
        let form = encode(&Text::new("+15550100079", "MARKED-FORGED").form());
        let forged = stage.client.post(&url).header("x-twilio-signature", "bm9ib2R5IHNpZ25lZCB0aGlzIQ==");
        let answer = forged.header("content-type", "application/x-www-form-urlencoded").body(form).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 403);
    }
    let figures = stage.get("/metrics").await;
    assert!(figures.contains(r#"inbound_total{door="twilio",outcome="unproven"} 40"#), "each is counted:\n{figures}");
    stage.product.stop().await;
    let log = stage.home.log();
    for marked in ["MARKED", "5550100077", "5550100078", "5550100079"] {
        assert!(!log.contains(marked), "{marked} is in the log:\n{log}");
    }
    let in_full: Vec<&str> = log.lines().filter(|line| line.contains("a webhook was refused")).collect();
    assert_eq!(in_full.len(), 10, "{log}");
    assert!(in_full.iter().all(|line| line.contains("From, Body, token, …")), "the names of the query are told: {}", in_full[0]);
    let summed: Vec<&str> = log.lines().filter(|line| line.contains("more webhooks were refused")).collect();
    assert!(summed.len() == 1 && summed[0].contains("30"), "the rest is summed up in one line: {summed:?}");
}
