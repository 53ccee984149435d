//! The official conformance suite. Its scenarios ask for tools of names of its own; which it can ask of this server, and why not the
//! others, stands in `docs/mcp.md`, which is held to what the suite really says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH};
use axum::response::Response;
use scrubjay::domain::token::TokenKind;
use scrubjay::mcp::http::{McpParts, router};
use scrubjay::service::tools::{JsonObject, ResourceDefinition, ToolContext, ToolDefinition, ToolHints, ToolOutcome, ToolSet};
use scrubjay::store::StoreResult;
use serde_json::{Value, json};

use super::{installed, running};
use crate::mcp::Desk;

/// All there are.
const SCENARIOS: usize = 32;

/// Scenarios that the server cannot pass because it has not what they ask for.
const NOT_APPLICABLE: &str = include_str!("not_applicable.txt");

/// Scenarios that apply, and pass.
const APPLY: [&str; 6] = ["dns-rebinding-protection", "ping", "prompts-list", "resources-list", "server-initialize", "tools-list"];

/// Scenarios that check nothing where a server answers in JSON.
const CHECK_NOTHING: [&str; 2] = ["server-sse-multiple-streams", "server-sse-polling"];

/// Those that do not apply and that it passes as soon as a set has the tools and resources that they ask for.
const WITH_A_SET: [&str; 5] =
    ["json-schema-2020-12", "resources-read-text", "resources-templates-read", "tools-call-error", "tools-call-simple-text"];

/// A relay on loopback that adds a token to each request, for the suite sends none. Everything else is passed on, `Host` and
/// `Origin` as well.
async fn relay(to: SocketAddr, token: &str) -> SocketAddr {
    let state = Arc::new((to, HeaderValue::try_from(format!("Bearer {token}")).unwrap(), crate::support::http_client()));
    let router = Router::new().fallback(pass_on).with_state(state);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

async fn pass_on(State(state): State<Arc<(SocketAddr, HeaderValue, reqwest::Client)>>, request: Request) -> Response {
    let (to, token, client) = &*state;
    let (mut parts, body) = request.into_parts();
    parts.headers.insert(AUTHORIZATION, token.clone());
    parts.headers.remove(CONTENT_LENGTH);
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let answer = client.request(parts.method, format!("http://{to}{}", parts.uri)).headers(parts.headers).body(body).send().await.unwrap();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    *response.body_mut() = Body::from(answer.bytes().await.unwrap());
    response
}

/// Runs every scenario, and says for each how many checks passed and failed.
async fn scenarios(address: SocketAddr) -> BTreeMap<String, (u32, u32)> {
    let node = tokio::task::spawn_blocking(installed::node).await.unwrap();
    let results = tempfile::tempdir().unwrap();
    let mut command = Command::new(&node.program);
    command.arg(node.folder.join("node_modules/@modelcontextprotocol/conformance/dist/index.js"));
    command.args(["server", "--suite", "all", "--url", &format!("http://{address}/mcp"), "-o"]).arg(results.path());
    let running = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap());
    let output = tokio::time::timeout(Duration::from_secs(90), running).await.expect("the suite ends by itself").unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, summary) = text.split_once("=== SUMMARY ===").unwrap_or_else(|| panic!("no summary: {text}"));
    let read = |line: &str| {
        let (name, counts) = line.trim_start_matches(['✓', '✗', ' ']).split_once(": ")?;
        let (passed, failed) = counts.split_once(" passed, ")?;
        Some((name.to_owned(), (passed.parse().ok()?, failed.strip_suffix(" failed")?.parse().ok()?)))
    };
    let found: BTreeMap<String, (u32, u32)> = summary.lines().filter(|line| line.starts_with(['✓', '✗'])).filter_map(read).collect();
    eprintln!("{summary}");
    assert_eq!(found.len(), SCENARIOS, "the suite has other scenarios than it had: {text}");
    found
}

fn failed(found: &BTreeMap<String, (u32, u32)>) -> BTreeSet<&str> {
    found.iter().filter(|(_, (_, failed))| *failed > 0).map(|(name, _)| name.as_str()).collect()
}

fn not_applicable() -> BTreeSet<&'static str> {
    NOT_APPLICABLE.lines().filter(|line| !line.starts_with('#')).collect()
}

/// Scenarios of which checks have passed.
fn passed(found: &BTreeMap<String, (u32, u32)>) -> BTreeSet<&str> {
    found.iter().filter(|(_, (passed, _))| *passed > 0).map(|(name, _)| name.as_str()).collect()
}

/// What stands between back-ticks.
fn named(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_documentation_names_each_scenario_where_it_belongs() {
    let (_, told) = include_str!("../../../../docs/mcp.md").split_once("These apply and pass:").unwrap();
    let (apply, rest) = told.split_once('.').unwrap();
    let (nothing, table) = rest.split_once("check nothing").unwrap();
    assert_eq!((named(apply), named(nothing)), (BTreeSet::from(APPLY), BTreeSet::from(CHECK_NOTHING)));
    let rows: Vec<(&str, &str)> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | ")).collect();
    let mut does_not: Vec<&str> = rows.iter().flat_map(|(names, _)| names.split(", ").map(|name| name.trim_matches('`'))).collect();
    let in_rows = does_not.len();
    does_not.sort_unstable();
    does_not.dedup();
    assert_eq!(in_rows, does_not.len(), "a scenario has two reasons");
    assert_eq!(does_not.iter().copied().collect::<BTreeSet<_>>(), not_applicable());
    let passes_over_a_set: Vec<_> = rows.iter().filter(|(_, why)| why.contains("Over a tool set that has them they pass")).collect();
    assert_eq!(passes_over_a_set.len(), 1);
    assert_eq!(passes_over_a_set[0].0.split(", ").map(|name| name.trim_matches('`')).collect::<BTreeSet<_>>(), BTreeSet::from(WITH_A_SET));
    assert_eq!(APPLY.len() + CHECK_NOTHING.len() + does_not.len(), SCENARIOS);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_that_applies_passes() {
    let (_home, product, token) = running().await;
    let found = scenarios(relay(product.address, &token).await).await;
    assert_eq!(failed(&found), not_applicable(), "the list of what does not apply is exact");
    assert_eq!(passed(&found), BTreeSet::from(APPLY));
    product.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_scenarios_pass_over_a_set_that_has_what_they_ask_for() {
    let desk = Desk::open().await;
    let ann = desk.person(super::ANN).await;
    let token = desk.doors.token(TokenKind::User, Some(&ann)).await;
    let app = &desk.doors.app;
    let parts = McpParts {
        config: Arc::clone(&app.config),
        access: app.access.clone(),
        people: app.people.clone(),
        sets: vec![Arc::new(Asked::default())],
        stop: desk.stop.clone(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(scrubjay::http::serve(listener, router(&parts).unwrap(), desk.stop.clone(), Duration::from_secs(5)));
    let found = scenarios(relay(address, &token).await).await;
    let expected: BTreeSet<&str> = not_applicable().into_iter().filter(|name| !WITH_A_SET.contains(name)).collect();
    assert_eq!(failed(&found), expected);
    // What does not fail has been checked.
    assert_eq!(passed(&found), APPLY.into_iter().chain(WITH_A_SET).collect());
    desk.stop.drain.cancel();
    desk.stop.now.cancel();
    serving.await.unwrap();
    desk.doors.close().await;
}

/// A set with what the suite asks for, as far as a set can have it.
#[derive(Default)]
struct Asked(Mutex<Option<Arc<Vec<ToolDefinition>>>>);

#[async_trait]
impl ToolSet for Asked {
    fn name(&self) -> &'static str {
        "asked"
    }

    async fn definitions(&self, _context: &ToolContext) -> Arc<Vec<ToolDefinition>> {
        let tool = |name: &str, schema: Value| ToolDefinition {
            name: name.to_owned(),
            title: name.to_owned(),
            description: "As the suite asks for it.".to_owned(),
            input_schema: Arc::new(schema.as_object().unwrap().clone()),
            output_schema: None,
            hints: ToolHints::READ,
        };
        let none = || json!({"type": "object", "properties": {}});
        let address = json!({"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}});
        let full = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "$defs": {"address": address},
            "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
            "additionalProperties": false,
        });
        let mut made = self.0.lock().unwrap();
        let definitions = made.get_or_insert_with(|| {
            Arc::new(vec![tool("test_simple_text", none()), tool("test_error_handling", none()), tool("json_schema_2020_12_tool", full)])
        });
        Arc::clone(definitions)
    }

    async fn call(&self, _context: &ToolContext, name: &str, _arguments: JsonObject) -> ToolOutcome {
        match name {
            "test_error_handling" => ToolOutcome::error("It fails, as asked."),
            _ => ToolOutcome { structured: None, text: "A simple text.".to_owned(), is_error: false },
        }
    }

    fn resources(&self) -> &'static [ResourceDefinition] {
        &[
            ResourceDefinition { uri: "test://static-text", name: "text", description: "A text." },
            ResourceDefinition { uri: "test://template/{id}/data", name: "data", description: "Data of an id." },
        ]
    }

    async fn read_resource(&self, _context: &ToolContext, uri: &str) -> StoreResult<Option<Value>> {
        Ok(Some(json!({"uri": uri})))
    }
}
