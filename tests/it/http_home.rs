//! The real router over the real services and a real store, in this process: what the tests of the doors knock at.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use futures::StreamExt;
use scrubjay::app::App;
use scrubjay::clock::Clock;
use scrubjay::config::Config;
use scrubjay::domain::ids::UserId;
use scrubjay::domain::token::{Scope, TokenKind};
use scrubjay::http::shapes::{ConversationShape, JobShape, MessageShape, UserShape};
use scrubjay::lifecycle::Stop;
use scrubjay::store::{JobFilter, MessageFilter, PageRequest};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tower::ServiceExt;

use crate::backends::Ground;
use crate::support::home::API_KEY;
use crate::support::twilio::{ACCOUNT_SID, AUTH_TOKEN, OUR_NUMBER, PUBLIC_URL};

/// LibreChat's secret in these tests.
pub(crate) const JWT_SECRET: &str = "librechat-jwt-secret-of-these-tests-4f2a9c";

/// The value of a setting that is to be left away.
pub(crate) const ABSENT: &str = "(absent)";

/// Open doors, and workers behind them. The offline model answers.
pub(crate) struct Doors {
    pub(crate) app: Arc<App>,
    pub(crate) stop: Stop,
    router: Router,
    workers: Option<JoinHandle<()>>,
    _folder: TempDir,
    /// Goes away last.
    _ground: Ground,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The last part of a problem's type; empty for anything else.
    pub(crate) fn problem(&self) -> String {
        let json = self.json();
        json["type"].as_str().and_then(|uri| uri.strip_prefix("/problems/")).unwrap_or_default().to_owned()
    }

    /// The body as events: name and data.
    pub(crate) fn events(&self) -> Vec<(String, Value)> {
        read_events(&self.text())
    }
}

/// Reads a stream of events.
pub(crate) fn read_events(text: &str) -> Vec<(String, Value)> {
    let field = |block: &str, name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(|rest| rest.trim().to_owned()));
    let blocks = text.split("\n\n").filter_map(|block| Some((field(block, "event:")?, field(block, "data:")?)));
    blocks.map(|(name, data)| (name, serde_json::from_str(&data).unwrap())).collect()
}

impl Doors {
    /// Opens with workers running.
    pub(crate) async fn open(settings: &str) -> Self {
        Self::open_on(Ground::new("sqlite"), settings).await
    }

    /// The same on a backend.
    pub(crate) async fn open_on(ground: Ground, settings: &str) -> Self {
        let mut doors = Self::open_idle_on(ground, settings).await;
        let (app, stop) = (Arc::clone(&doors.app), doors.stop.clone());
        doors.workers = Some(tokio::spawn(async move { app.run_workers(&stop).await }));
        doors
    }

    /// Opens without workers: what is stored stays unanswered.
    pub(crate) async fn open_idle(settings: &str) -> Self {
        Self::open_idle_on(Ground::new("sqlite"), settings).await
    }

    /// The same on a backend.
    pub(crate) async fn open_idle_on(ground: Ground, settings: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = TempDir::with_prefix("scrubjay-doors-").unwrap();
        let mut table: toml::Table = toml::from_str(&format!(
            r#"
            server.public_url = "{PUBLIC_URL}"
            server.stop_seconds = 2
            external_api.key = "{API_KEY}"
            auth.jwt_secret = "{JWT_SECRET}"
            people.admission = "open"
            conversations.debounce_ms = 0
            endpoints.default = "demo"
            limits.turns_per_day = 0
            limits.turns_per_day_all = 0
            catch_up.minutes = 0
            gateways.simulator.enabled = true
            gateways.twilio.account_sid = "{ACCOUNT_SID}"
            gateways.twilio.auth_token = "{AUTH_TOKEN}"
            gateways.twilio.phone_number = "{OUR_NUMBER}"
            gateways.twilio.api_base = "http://127.0.0.1:9"
            agents.agent_jay = {{ name = "Jay", instructions = "Be brief.", endpoint = "demo", model = "demo" }}
            "#
        ))
        .unwrap();
        let path = toml::Value::from(folder.path().to_str().unwrap());
        merge(&mut table, toml::from_str(settings).unwrap());
        // A door is closed by leaving its secret away, not by setting an empty one.
        for section in table.iter_mut().filter_map(|(_, section)| section.as_table_mut()) {
            section.retain(|_, value| value.as_str() != Some(ABSENT));
        }
        merge(&mut table, toml::Table::from_iter([("storage".to_owned(), toml::Table::from_iter([("path".to_owned(), path)]).into())]));
        merge(&mut table, toml::from_str(&ground.lines()).unwrap());
        let config = Config::from_toml(&toml::to_string(&table).unwrap()).unwrap();
        let app = Arc::new(App::open(config, Clock::system()).await.unwrap());
        let stop = Stop::default();
        let router = app.router(None, stop.clone()).unwrap();
        Self { app, stop, router, workers: None, _folder: folder, _ground: ground }
    }

    /// The router itself, for a test that serves it on a socket.
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// Sends a request and reads the answer to its end; as from another machine, unless the request says where it is from.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(from)| from.to_string());
        self.send_from(from.as_deref().unwrap_or("192.0.2.7:4711"), request).await
    }

    /// Sends a request as from that address.
    pub(crate) async fn send_from(&self, peer: &str, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Sends a request whose answer does not end, and reads what has come when nothing more comes for a while.
    pub(crate) async fn send_stream(&self, request: Request<Body>, quiet: std::time::Duration) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let (mut chunks, mut whole) = (body.into_data_stream(), Vec::new());
        while let Ok(Some(Ok(chunk))) = tokio::time::timeout(quiet, chunks.next()).await {
            whole.extend_from_slice(&chunk);
        }
        Answer { status: parts.status, headers: parts.headers, body: whole.into() }
    }

    /// Posts to the external message API with the key.
    pub(crate) async fn post(&self, conversation: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        self.send(message(conversation, &[("x-api-key", API_KEY)], headers, body.to_string())).await
    }

    /// A text that must be answered.
    pub(crate) async fn say(&self, from: &str, text: &str) -> Value {
        let answer = self.post("sms-conversation", &json!({"role": "external", "content": text, "from": from}), &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    }

    /// A token of that kind.
    pub(crate) async fn token(&self, kind: TokenKind, user: Option<&str>) -> String {
        self.token_for(kind, user, &[]).await
    }

    /// A token of that kind that may do only this.
    pub(crate) async fn token_for(&self, kind: TokenKind, user: Option<&str>, scopes: &[Scope]) -> String {
        let user_id = user.map(|user| user.parse::<UserId>().unwrap());
        self.app.tokens.create(kind, user_id, scopes, None).await.unwrap().secret.expose_secret().to_owned()
    }

    /// `GET` with a bearer token.
    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(request(Method::GET, path, &[("authorization", &format!("Bearer {token}"))], Body::empty())).await
    }

    /// Everything that is stored of everybody, but for tokens.
    pub(crate) async fn everything(&self) -> Value {
        let all = || PageRequest::first(100);
        let mut people = Vec::new();
        for user in self.app.people.list(all()).await.unwrap().items {
            people.push(self.everything_of(user.id).await);
        }
        let jobs = self.app.jobs.list(JobFilter::All, all()).await.unwrap().items;
        json!({ "people": people, "jobs": jobs.iter().map(|job| json!(JobShape::from(job))["id"].clone()).collect::<Vec<_>>() })
    }

    /// Everything that is stored of one person.
    pub(crate) async fn everything_of(&self, user_id: UserId) -> Value {
        let all = || PageRequest::first(100);
        let user = self.app.people.get(&scrubjay::service::people::UserName::Id(user_id)).await.unwrap();
        let conversations = self.app.conversations.list(user_id, all()).await.unwrap().items;
        let messages = self.app.conversations.messages(user_id, MessageFilter::default(), all()).await.unwrap().items;
        json!({
            "user": UserShape::from(&user),
            "conversations": conversations.iter().map(ConversationShape::from).collect::<Vec<_>>(),
            "messages": messages.iter().map(MessageShape::from).collect::<Vec<_>>(),
        })
    }

    /// Ends the workers and closes the store.
    pub(crate) async fn close(mut self) {
        self.stop.drain.cancel();
        self.stop.now.cancel();
        if let Some(workers) = self.workers.take() {
            workers.await.unwrap();
        }
        self.app.close().await;
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        if let Some(workers) = &self.workers {
            workers.abort();
        }
    }
}

/// Any request.
pub(crate) fn request(method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

/// A request to the external message API.
pub(crate) fn message(conversation: &str, key: &[(&str, &str)], headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let headers: Vec<(&str, &str)> = key.iter().chain(headers).copied().collect();
    request(Method::POST, &format!("/api/messages/{conversation}"), &headers, body)
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
