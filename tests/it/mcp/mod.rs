//! The MCP server: who is let in, what is answered, and what real clients make of it.

pub(crate) mod attempts;
mod bad_input;
mod clients;
mod identity;
mod isolation;
mod isolation_stdio;
mod notes;
mod nothing_lost;
mod pace;
mod protocol;
pub(crate) mod stdio;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use scrubjay::lifecycle::Stop;
use scrubjay::mcp::http::{McpParts, router};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::http_home::{Answer, Doors, request};
use notes::Notes;

/// The newest revision, which has no `initialize`.
const NEWEST: &str = "2026-07-28";

/// Every revision before it.
const OLDER: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// The doors of `/mcp` over two small sets in memory, beside the real store's people and tokens.
struct Desk {
    doors: Doors,
    notes: Arc<Notes>,
    router: Router,
    stop: Stop,
}

impl Desk {
    async fn open() -> Self {
        Self::with("mcp.calls_per_minute = 0").await
    }

    /// With a setting more.
    async fn with(setting: &str) -> Self {
        let doors = Doors::open_idle(&format!("mcp.allowed_hosts = [\"scrubjay:9000\"]\n{setting}")).await;
        let (notes, stop) = (Arc::new(Notes::named("memory")), Stop::default());
        let parts = McpParts {
            config: Arc::clone(&doors.app.config),
            access: doors.app.access.clone(),
            people: doors.app.people.clone(),
            sets: vec![Arc::clone(&notes) as _, Arc::new(Notes::named("todo"))],
            stop: stop.clone(),
        };
        let router = router(&parts).unwrap();
        Self { doors, notes, router, stop }
    }

    /// Makes a person by a first text, and says their id.
    async fn person(&self, number: &str) -> String {
        self.doors.post("sms-conversation", &json!({"role": "external", "content": "/help", "from": number}), &[]).await.json()["userId"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// A request of the newest revision with these headers besides.
    async fn ask_with(&self, headers: &[(&str, &str)], method: &str, params: Value) -> Answer {
        self.send(newest("/mcp", headers, method, params)).await
    }

    /// A request of the newest revision in the name of a token.
    async fn ask(&self, token: &str, method: &str, params: Value) -> Answer {
        self.ask_with(&[("authorization", &format!("Bearer {token}"))], method, params).await
    }

    /// A tool's result.
    async fn call(&self, token: &str, tool: &str, arguments: Value) -> Value {
        let answer = self.ask(token, "tools/call", json!({"name": tool, "arguments": arguments})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["result"].clone()
    }
}

/// Headers that every message has.
const POST: [(&str, &str); 3] =
    [("host", "localhost"), ("content-type", "application/json"), ("accept", "application/json, text/event-stream")];

/// A `POST` of a body, with the headers that every message has unless they are given.
fn post(path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let usual = POST.iter().filter(|(name, _)| !headers.iter().any(|(given, _)| given == name));
    let all: Vec<(&str, &str)> = usual.chain(headers).filter(|(_, value)| *value != crate::http_home::ABSENT).copied().collect();
    request(Method::POST, path, &all, body)
}

/// A request of the newest revision.
fn newest(path: &str, headers: &[(&str, &str)], method: &str, mut params: Value) -> Request<Body> {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": NEWEST,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let name = params["name"].as_str().or(params["uri"].as_str()).map(str::to_owned);
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let mut all = vec![("mcp-protocol-version", NEWEST), ("mcp-method", method)];
    all.extend(name.as_deref().map(|name| ("mcp-name", name)));
    all.retain(|(name, _)| !headers.iter().any(|(given, _)| given == name));
    all.extend(headers);
    post(path, &all, message.to_string())
}

/// A request of an older revision.
fn older(revision: &str, headers: &[(&str, &str)], method: &str, params: &Value) -> Request<Body> {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let mut all = headers.to_vec();
    // A client knows the revision once it has been agreed on.
    if method != "initialize" {
        all.push(("mcp-protocol-version", revision));
    }
    post("/mcp", &all, message.to_string())
}
