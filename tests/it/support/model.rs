//! A language model service that speaks the chat completions protocol and misbehaves on demand.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;

use super::listener::{Connection, Served};

/// What the model does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Reaction {
    /// Answers this, at once.
    Say(String),
    /// Answers with what the person wrote last: `you said: …`, several texts joined by ` + `.
    Echo,
    /// Says this a word at a time, with a pause before each.
    Slowly(String, Duration),
    /// An error status with a body that repeats the prompt, as careless servers do; perhaps with `Retry-After` seconds.
    Fail(u16, Option<u64>),
    /// Says nothing until [`ModelServer::release`], then echoes.
    Stall,
    /// Begins an answer, then the connection breaks.
    BreakOff,
    /// The connection breaks before any answer.
    HangUp,
    /// Says this and asks for these tools with these arguments, under the ids `call-1`, `call-2` … of this server.
    Call(String, Vec<(String, Value)>),
}

impl Reaction {
    /// Asks for one tool.
    pub(crate) fn call(name: &str, arguments: Value) -> Self {
        Self::Call(String::new(), vec![(name.to_owned(), arguments)])
    }
}

/// One entry of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `system`, `user`, `assistant`, `tool`.
    pub(crate) role: String,
    /// What is said; empty beside calls.
    pub(crate) content: String,
    /// The names of the tools that the model asked for.
    pub(crate) calls: Vec<String>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The prompt, system text included.
    pub(crate) messages: Vec<Entry>,
    /// The whole body.
    pub(crate) body: Value,
    /// The `Authorization` header.
    pub(crate) authorization: Option<String>,
}

impl Asked {
    /// What the person wrote since the model's last answer; asking for tools is none.
    pub(crate) fn newest(&self) -> Vec<&str> {
        let from = self.messages.iter().rposition(|entry| entry.role == "assistant" && entry.calls.is_empty()).map_or(0, |index| index + 1);
        self.messages[from..].iter().filter(|entry| entry.role == "user").map(|entry| entry.content.as_str()).collect()
    }

    /// What came of the tools that the model has called since the person wrote last, in order.
    pub(crate) fn results(&self) -> Vec<&str> {
        let from = self.messages.iter().rposition(|entry| entry.role == "user").unwrap_or(0);
        self.messages[from..].iter().filter(|entry| entry.role == "tool").map(|entry| entry.content.as_str()).collect()
    }

    /// How often the model was asked for this answer already, and asked for tools.
    pub(crate) fn steps(&self) -> usize {
        let from = self.messages.iter().rposition(|entry| entry.role == "user").unwrap_or(0);
        self.messages[from..].iter().filter(|entry| !entry.calls.is_empty()).count()
    }

    /// The names of the tools that are offered.
    pub(crate) fn offered(&self) -> Vec<&str> {
        let tools = self.body.get("tools").and_then(Value::as_array);
        tools.into_iter().flatten().filter_map(|tool| tool["function"]["name"].as_str()).collect()
    }

    /// Whether the model may ask for calls.
    pub(crate) fn may_call(&self) -> bool {
        !self.offered().is_empty() && self.body.get("tool_choice").is_none_or(|choice| choice != "none")
    }

    /// The prompt without the system text.
    pub(crate) fn dialogue(&self) -> Vec<&Entry> {
        self.messages.iter().filter(|entry| entry.role != "system").collect()
    }

    fn echo(&self) -> String {
        format!("you said: {}", self.newest().join(" + "))
    }
}

type Script = Box<dyn FnMut(&Asked) -> Reaction + Send>;

struct Shared {
    script: Mutex<Script>,
    asked: Mutex<Vec<Asked>>,
    held: AtomicUsize,
    calls: AtomicUsize,
    released: watch::Sender<bool>,
}

/// The running service.
pub(crate) struct ModelServer {
    shared: Arc<Shared>,
    served: Served,
}

impl ModelServer {
    /// Starts one that echoes.
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(Shared {
            script: Mutex::new(Box::new(|_| Reaction::Echo)),
            asked: Mutex::default(),
            held: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            released: watch::Sender::new(false),
        });
        let router =
            Router::new().route("/v1/chat/completions", post(complete)).route("/v1/models", get(list)).with_state(Arc::clone(&shared));
        Self { served: Served::start(router).await, shared }
    }

    /// The base URL to configure.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.served.address)
    }

    /// Decides on each further request.
    pub(crate) fn script(&self, script: impl FnMut(&Asked) -> Reaction + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// Always the same.
    pub(crate) fn always(&self, reaction: Reaction) {
        self.script(move |_| reaction.clone());
    }

    /// Every request so far, in order of arrival.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Requests that stall at this moment.
    pub(crate) fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// Lets every stalled request, and any later one that would stall, be answered.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

async fn list() -> Response {
    axum::Json(json!({"object": "list", "data": [{"id": "test-model", "object": "model", "owned_by": "test"}]})).into_response()
}

fn read(headers: &HeaderMap, body: &Bytes) -> Option<Asked> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let messages = body.get("messages")?.as_array()?.iter().map(|message| {
        let calls = message.get("tool_calls").and_then(Value::as_array);
        let calls: Vec<String> =
            calls.into_iter().flatten().filter_map(|call| call["function"]["name"].as_str().map(str::to_owned)).collect();
        // Only beside calls may nothing be said.
        let content = message.get("content")?.as_str().or_else(|| (!calls.is_empty()).then_some(""))?.to_owned();
        Some(Entry { role: message.get("role")?.as_str()?.to_owned(), content, calls })
    });
    let messages = messages.collect::<Option<Vec<_>>>()?;
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Some(Asked { messages, body, authorization })
}

async fn complete(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(asked) = read(&headers, &body) else {
        return (StatusCode::BAD_REQUEST, "not a chat completion request").into_response();
    };
    shared.asked.lock().unwrap().push(asked.clone());
    let reaction = (shared.script.lock().unwrap())(&asked);
    let streamed = asked.body.get("stream").and_then(Value::as_bool).unwrap_or(false);
    match reaction {
        Reaction::Say(text) => answer(&text, streamed),
        Reaction::Echo => answer(&asked.echo(), streamed),
        Reaction::Slowly(text, pause) => slowly(&text, pause, streamed).await,
        Reaction::Fail(status, retry_after) => fail(status, retry_after, &asked),
        Reaction::Stall => {
            hold(&shared).await;
            answer(&asked.echo(), streamed)
        }
        Reaction::Call(text, calls) => call(&shared, &text, &calls),
        Reaction::BreakOff => break_off(&asked.echo()),
        Reaction::HangUp => {
            connection.cut();
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

/// Counts a stalled request for as long as its client waits, also when the client gives up.
struct Held<'a>(&'a AtomicUsize);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn hold(shared: &Shared) {
    shared.held.fetch_add(1, Ordering::SeqCst);
    let _held = Held(&shared.held);
    let mut released = shared.released.subscribe();
    let _ = released.wait_for(|released| *released).await;
}

fn fail(status: u16, retry_after: Option<u64>, asked: &Asked) -> Response {
    let error = json!({"error": {"message": format!("cannot answer {}", asked.body), "type": "server_error"}});
    let mut response = (StatusCode::from_u16(status).unwrap(), axum::Json(error)).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn chunk(delta: &Value, finish: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    let event = json!({"id": "chatcmpl-test", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "test-model", "choices": [choice]});
    format!("data: {event}\n\n")
}

/// The answer's words, each with the blank before it.
fn words(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

fn ending(text: &str) -> String {
    ended(text, "stop")
}

fn ended(text: &str, reason: &str) -> String {
    let tokens = words(text).len();
    let usage = json!({"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": tokens + 10});
    let last = json!({"id": "chatcmpl-test", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "test-model", "choices": [], "usage": usage});
    format!("{}data: {last}\n\ndata: [DONE]\n\n", chunk(&json!({}), Some(reason)))
}

fn event_stream(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn answer(text: &str, streamed: bool) -> Response {
    if !streamed {
        let message = json!({"role": "assistant", "content": text});
        let tokens = words(text).len();
        return axum::Json(json!({
            "id": "chatcmpl-test", "object": "chat.completion", "created": 1_700_000_000, "model": "test-model",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": tokens + 10},
        }))
        .into_response();
    }
    let mut whole = chunk(&json!({"role": "assistant", "content": ""}), None);
    for word in words(text) {
        whole.push_str(&chunk(&json!({"content": word}), None));
    }
    whole.push_str(&ending(text));
    event_stream(Body::from(whole))
}

/// Asks for tools as OpenAI does: each call named first, its arguments in pieces behind it.
fn call(shared: &Shared, text: &str, calls: &[(String, Value)]) -> Response {
    let mut whole = String::new();
    for word in words(text) {
        whole.push_str(&chunk(&json!({"content": word}), None));
    }
    for (index, (name, arguments)) in calls.iter().enumerate() {
        let id = format!("call-{}", shared.calls.fetch_add(1, Ordering::SeqCst) + 1);
        let named = json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}});
        whole.push_str(&chunk(&json!({"tool_calls": [named]}), None));
        // Arguments that are text stand for what is no JSON object.
        let arguments = arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned);
        let (first, second) = arguments.split_at(arguments.floor_char_boundary(arguments.len() / 2));
        for piece in [first, second] {
            whole.push_str(&chunk(&json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}), None));
        }
    }
    whole.push_str(&ended(text, "tool_calls"));
    event_stream(Body::from(whole))
}

async fn slowly(text: &str, pause: Duration, streamed: bool) -> Response {
    let words = words(text);
    if !streamed {
        tokio::time::sleep(pause * u32::try_from(words.len()).unwrap()).await;
        return answer(text, false);
    }
    let mut events: Vec<String> = words.into_iter().map(|word| chunk(&json!({"content": word}), None)).collect();
    events.push(ending(text));
    let stream = tokio_stream::iter(events).then(move |event| async move {
        tokio::time::sleep(pause).await;
        Ok::<_, Infallible>(event)
    });
    event_stream(Body::from_stream(stream))
}

fn break_off(text: &str) -> Response {
    let begun = words(text).into_iter().take(2).map(|word| Ok(chunk(&json!({"content": word}), None)));
    let end = std::iter::once(Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted)));
    event_stream(Body::from_stream(tokio_stream::iter(begun.chain(end).collect::<Vec<_>>())))
}
