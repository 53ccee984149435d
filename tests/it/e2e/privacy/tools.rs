//! What people keep and what their tools do, marked: through MCP clients over both transports, by words, by an agent, by schedules, at
//! other people's servers, in summaries; done, refused, and failing. None of it stands in the log or among the figures, and nobody hears
//! of another's.

use std::net::SocketAddr;

use axum::Router;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::{SOON, Stage, number};
use super::assert_silent;
use crate::mcp::attempts::{Sure, seeds};
use crate::mcp::stdio::Talk;
use crate::outside::small;
use crate::support::carrier::Reaction as CarrierReaction;
use crate::support::eventually;
use crate::support::home::{API_KEY, MODEL_KEY};
use crate::support::listener::Served;
use crate::support::model::{Asked, Reaction};
use crate::support::twilio::{AUTH_TOKEN, Twilio};

const AGENT: &str = "agents.agent_out";

/// Servers beside the small one, each of no use in its own way, with secrets wherever a configuration has room for them.
fn servers(small: &str, far: SocketAddr) -> String {
    format!(
        "mcpServers:
{small}  far:
    url: http://{far}/mcp?key=MARKED-KEY-IN-URL
    headers:
      Authorization: Bearer MARKED-HEADER
      X-User-Phone: \"{{{{USER_PHONE}}}}\"
  dying:
    command: sh
    args: [-c, \"echo MARKED-DYING >&2; exit 3\", MARKED-ARGUMENT]
  garbled:
    command: sh
    args: [-c, \"echo MARKED-GARBLED; exit 0\"]
"
    )
}

async fn stage(far: SocketAddr) -> Stage {
    let names = ["small", "far", "dying", "garbled"].map(str::to_owned).to_vec();
    let stage = Stage::with(|settings| {
        settings
            .set("endpoints.default", "agents")
            .set("agents.default", "agent_out")
            .set(&format!("{AGENT}.instructions"), "MARKED-INSTRUCTIONS")
            .set(&format!("{AGENT}.servers"), names)
            .set("conversations.history_messages", 8)
            .set("summary.messages", 4)
            .set("recall.tokens", 1000)
            .set("mcp.calls_per_minute", 0)
            .set("worker.attempts", 3)
            .set("endpoints.openAI.retries", 1)
    })
    .await;
    let secret = "    env:\n      KEY: MARKED-VARIABLE\n      PHONE: \"{{USER_PHONE}}\"\n";
    let yaml = servers(&small("small", stage.home.path(), "--chatty", secret), far);
    std::fs::write(stage.home.path().join("scrubjay.yaml"), yaml).unwrap();
    stage
}

/// A model that uses every kind of tool for whoever says so, whose summaries fail, and which fails itself when it is asked to.
fn answer(asked: &Asked) -> Reaction {
    if asked.messages[0].content.starts_with("You summarise") {
        return Reaction::Fail(400, None);
    }
    // Texts that were never answered stand above the newest one.
    let text = asked.newest().last().and_then(|texts| texts.lines().last()).unwrap_or_default().to_owned();
    let marked = |what: &str| json!({"text": format!("MARKED-ADA {what}")});
    let seeds = seeds("MARKED-ADA by the agent").into_iter().map(|(name, arguments)| (name.to_owned(), arguments));
    let call = |name: &str, arguments: Value| (name.to_owned(), arguments);
    match (asked.steps(), text.contains("tools"), text.contains("die")) {
        (0, true, _) => Reaction::Call("MARKED-ADA beside the calls".to_owned(), seeds.collect()),
        (1, true, false) => Reaction::Call(
            String::new(),
            vec![
                call("todo_add", json!("MARKED-ADA no JSON {")),
                call("todo_add", json!({"text": {"MARKED-ADA": "no text"}, "MARKED-ADA-FIELD": 1})),
                call("todo_complete", json!({"id": 99, "MARKED-ADA": 1})),
                call("MARKED-ADA_tool", marked("for nobody")),
                call("open_nodes", json!({"names": ["MARKED-ADA nowhere"]})),
                call("add_observations", json!({"observations": [{"entityName": "MARKED-ADA nobody", "contents": ["MARKED-ADA lost"]}]})),
                call("schedule_create", json!({"message": "MARKED-ADA never", "when": "MARKED-ADA o'clock"})),
                call("schedule_create", json!({"message": "MARKED-ADA nowhere", "when": "in 2 hours", "timezone": "MARKED-ADA/Zone"})),
                call("search_nodes", json!({"query": "MARKED-ADA \" OR * NEAR("})),
            ],
        ),
        (2, true, false) => Reaction::Call(
            String::new(),
            ["echo", "fails", "refused", "wrong_shape", "complains", "environment", "who"]
                .map(|tool| call(&format!("small_{tool}"), marked(tool)))
                .to_vec(),
        ),
        (3, true, false) => Reaction::call("small_crash", marked("crash")),
        (1, true, true) => Reaction::Fail(400, None),
        _ => Reaction::Say("MARKED-ADA or whoever it is: noted.".replace("ADA", if text.contains("BOB") { "BOB" } else { "ADA" })),
    }
}

/// Calls that are refused, each with a marked text where it is wrong.
fn refused(mark: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("tools/call", json!({"name": mark, "arguments": {}})),
        ("tools/call", json!({"name": "todo_add", "arguments": {"text": {"is": mark}}})),
        ("tools/call", json!({"name": "todo_add", "arguments": {"text": mark, "dueDate": mark}})),
        ("tools/call", json!({"name": "todo_update", "arguments": {"id": 4711, "text": mark}})),
        ("tools/call", json!({"name": "add_observations", "arguments": {"observations": [{"entityName": mark, "contents": [mark]}]}})),
        ("tools/call", json!({"name": "schedule_create", "arguments": {"message": mark, "when": mark}})),
        ("tools/call", json!({"name": "read_graph", "arguments": {"cursor": mark}})),
        ("tools/call", json!({"name": "todo_list", "arguments": mark})),
        ("resources/read", json!({"uri": format!("memory://entity/{mark}")})),
        ("resources/read", json!({"uri": format!("nowhere://{mark}")})),
        ("prompts/get", json!({"name": mark, "arguments": {"topic": mark}})),
        ("MARKED/method", json!({"of": mark})),
        ("tools/list", json!({"cursor": mark})),
    ]
}

/// An MCP client over HTTP.
struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
    heard: Vec<String>,
}

impl Client {
    async fn post(&mut self, token: &str, headers: &[(&str, &str)], body: String) -> (StatusCode, Value) {
        let mut request = self.http.post(&self.url).bearer_auth(token).header("accept", "application/json, text/event-stream");
        request = request.header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(body).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        self.heard.push(text.clone());
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    async fn ask(&mut self, method: &str, params: &Value) -> Value {
        let message = json!({"jsonrpc": "2.0", "id": "MARKED-BOB-ID", "method": method, "params": params});
        let token = self.token.clone();
        self.post(&token, &[], message.to_string()).await.1
    }

    async fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let answer = self.ask("tools/call", &json!({"name": tool, "arguments": arguments})).await;
        assert_eq!(answer["result"]["isError"], false, "{tool}: {answer}");
        answer["result"].clone()
    }
}

type Headers<'a> = &'a [(&'a str, &'a str)];

/// Everything that Bob's client says over HTTP.
async fn over_http(client: &mut Client) {
    for (tool, arguments) in seeds("MARKED-BOB over HTTP") {
        client.call(tool, &arguments).await;
    }
    let mut sure = Sure::new();
    while let Some((tool, arguments)) = sure.next() {
        let result = client.call(tool, &arguments).await;
        sure.took(tool, &result);
    }
    for (method, params) in refused("MARKED-BOB-WRONG") {
        let answer = client.ask(method, &params).await;
        assert!(answer["error"].is_object() || answer["result"].is_object(), "{method}: {answer}");
    }
    let token = client.token.clone();
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"x": "MARKED-BOB"}}).to_string();
    let revision = [("mcp-protocol-version", "MARKED-BOB-REVISION")];
    let wrong: [(&str, Headers, String); 5] = [
        (&token, &[], "MARKED-BOB is no JSON {".to_owned()),
        (&token, &[], "[\"MARKED-BOB\"]".to_owned()),
        (&token, &revision, message.clone()),
        (&token, &[("origin", "https://MARKED-BOB.example.org")], message.clone()),
        ("MARKED-BOB-TOKEN", &[], message.clone()),
    ];
    for (token, headers, body) in wrong {
        let (status, answer) = client.post(token, headers, body).await;
        assert!(status.is_client_error(), "{status} {answer}");
    }
}

/// Everything that Ada's client says over stdio; what it was answered.
fn over_stdio(mut talk: Talk) -> Vec<String> {
    let mut heard = vec![talk.hello().to_string()];
    for (tool, arguments) in seeds("MARKED-ADA over stdio") {
        heard.push(talk.call(tool, &arguments).to_string());
    }
    let mut sure = Sure::new();
    while let Some((tool, arguments)) = sure.next() {
        let result = talk.call(tool, &arguments);
        sure.took(tool, &result);
        heard.push(result.to_string());
    }
    for (method, params) in refused("MARKED-ADA-WRONG") {
        heard.push(talk.answer(method, &params).to_string());
    }
    talk.send(&json!({"jsonrpc": "2.0", "method": "notifications/MARKED-ADA", "params": {"of": "MARKED-ADA"}}));
    talk.send(&json!("MARKED-ADA is no message"));
    talk.end_input();
    assert!(talk.ended().success());
    heard
}

/// Texts, and waits for an answer.
async fn say(stage: &Stage, address: SocketAddr, from: &str, text: &str) {
    let before = stage.carrier.bodies_to(from).len();
    Twilio::new().text(address, from, text).await;
    stage.bodies_to(from, before + 1).await;
}

/// Waits until nothing is left to do but that many jobs that were given up.
async fn settled(stage: &Stage, dead: usize) {
    let what = format!("{dead} dead jobs and no other");
    eventually(&what, SOON, || async {
        let jobs = stage.home.list(&["jobs", "list"]).await;
        (jobs.len() == dead && jobs.iter().all(|job| job["state"] == "dead")).then_some(())
    })
    .await;
}

/// Words that are obeyed, and ones that are not understood.
const WORDS: [&str; 15] = [
    "/todo MARK milk",
    "/todo",
    "/todo done MARK",
    "/todo done 1",
    "/remind in 3 hours to MARK stretch",
    "/remind MARK whenever",
    "/remind",
    "/remind off 1",
    "/memory",
    "/memory MARK",
    "/forget",
    "/forget MARK",
    "/forget 1",
    "/forget all",
    "/MARK",
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_kept_or_that_a_tool_says_or_is_told_stands_in_the_log() {
    let far = Served::start(Router::new().fallback(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "MARKED-FAR-BODY") })).await;
    let stage = stage(far.address).await;
    stage.model.script(answer);
    let product = stage.home.serve().await;
    let (ada, bob) = (number(1), number(2));
    for (person, text) in [(&ada, "MARKED-ADA hello"), (&bob, "MARKED-BOB hello")] {
        say(&stage, product.address, person, text).await;
    }

    // Clients over both transports.
    let token = stage.home.json(&["token", "create", "--user", &bob]).await["token"].as_str().unwrap().to_owned();
    let (http, url) = (crate::support::http_client(), product.url("/mcp"));
    let mut client = Client { http, url, token: token.clone(), heard: Vec::new() };
    over_http(&mut client).await;
    let talk = Talk::start(&stage.home, &["--user", &ada], &[]);
    let heard_by_ada = tokio::task::spawn_blocking(move || over_stdio(talk)).await.unwrap();

    // An agent with every kind of tool, and one whose model fails behind them, with the whole prompt in its error.
    say(&stage, product.address, &ada, "MARKED-ADA use your tools").await;
    say(&stage, product.address, &ada, "MARKED-ADA what is known to Ada?").await;
    Twilio::new().text(product.address, &ada, "MARKED-ADA use your tools and die").await;
    // Words. Then so much talk that the conversation would be summarised.
    for word in WORDS {
        for (person, mark) in [(&ada, "MARKED-ADA"), (&bob, "MARKED-BOB")] {
            say(&stage, product.address, person, &word.replace("MARK", mark)).await;
        }
    }
    for index in 0..6 {
        say(&stage, product.address, &ada, &format!("MARKED-ADA talks, {index}")).await;
    }
    let summary = |asked: &Asked| asked.messages[0].content.starts_with("You summarise");
    eventually("a summary", SOON, || async { stage.model.asked().iter().any(summary).then_some(()) }).await;

    settled(&stage, 1).await;

    // Schedules that ask, that text, and that the carrier will not have.
    for (mode, message) in [("ask", "MARKED-BOB asks"), ("remind", "MARKED-BOB is reminded")] {
        let plan = json!({"name": format!("MARKED-BOB {mode}"), "message": message, "mode": mode, "when": {"daily": "16:00"}});
        let id = client.call("schedule_create", &plan).await["structuredContent"]["schedule"]["id"].clone();
        let before = stage.carrier.bodies_to(&bob).len();
        client.call("schedule_run_now", &json!({"id": id})).await;
        stage.bodies_to(&bob, before + 1).await;
        if mode == "remind" {
            stage.carrier.always(CarrierReaction::Refuse(21211));
            client.call("schedule_run_now", &json!({"id": id})).await;
        }
    }
    settled(&stage, 2).await;
    let figures = client.http.get(product.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let health = client.http.get(product.url("/health/ready")).send().await.unwrap().text().await.unwrap();
    product.stop().await;

    // All of it happened …
    let (told_ada, told_bob) = (stage.carrier.bodies_to(&ada), stage.carrier.bodies_to(&bob));
    let asked = stage.model.asked();
    let results: Vec<String> = asked.iter().flat_map(Asked::results).map(str::to_owned).collect();
    for result in ["no such fileMARKED-ADA fails", "not known hereMARKED-ADA refused", "MARKED-ADA echo", "MARKED-VARIABLE", "complained"] {
        assert!(results.iter().any(|told| told.contains(result)), "{result:?} was never a result: {results:#?}");
    }
    assert!(results.iter().any(|told| told.contains("whether the call took effect is not known")), "nothing has crashed: {results:#?}");
    let recalled = |asked: &Asked| asked.messages[0].content.contains("is known to Ada MARKED-ADA");
    assert!(asked.iter().any(recalled), "nothing was recalled");
    assert!(told_ada.iter().any(|body| body.contains("Added to your list: MARKED-ADA milk")), "{told_ada:#?}");
    assert!(told_bob.iter().any(|body| body.contains("MARKED-BOB is reminded")), "{told_bob:#?}");
    let log = stage.home.log();
    for server in ["small", "far", "dying", "garbled"] {
        assert!(log.contains(&format!("server=\"{server}\"")), "nothing was said of {server}:\n{log}");
    }
    // … and nobody else heard of it.
    let secrets = [API_KEY, MODEL_KEY, AUTH_TOKEN, token.as_str()];
    assert_silent("the log", &log, &secrets);
    assert_silent("the figures", &figures, &secrets);
    assert!(!health.contains("MARKED") && !health.contains("1555"), "{health}");
    for (whose, heard) in [("ADA", [client.heard, told_bob].concat()), ("BOB", [heard_by_ada, told_ada].concat())] {
        let digits = if whose == "ADA" { &ada } else { &bob };
        let told = heard.iter().find(|text| text.contains(&format!("MARKED-{whose}")) || text.contains(digits.trim_start_matches('+')));
        assert_eq!(told, None, "something of {whose} was told to the other");
    }
}
