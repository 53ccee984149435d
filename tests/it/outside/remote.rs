//! Servers over HTTP: our own, and ones that misbehave.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::{ADA, BEA, QUICK, Scene};

/// How a server behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Plain,
    /// It answers in a stream, with a notification before the answer.
    Stream,
    /// It knows no handshake.
    Newest,
    /// It wants a login.
    Closed,
    /// It never answers a call.
    Silent,
    /// It sends everybody to this path, or to another server.
    Moved(&'static str),
    Elsewhere(SocketAddr),
}

/// A request as it came: path, method of the protocol, headers.
type Seen = (String, String, HeaderMap);

struct Remote {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _serving: AbortOnDropHandle<()>,
}

impl Remote {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let router = Router::new().fallback(answer).with_state((manner, Arc::clone(&seen)));
        let serving = AbortOnDropHandle::new(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
        Self { address, seen, _serving: serving }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn yaml(&self, more: &str) -> String {
        format!(
            "  far:\n    url: http://{}/mcp\n    timeout: 500\n    initTimeout: 5000\n    headers:\n      Authorization: Bearer MARKED-TOKEN\n      X-User-Id: \"{{{{LIBRECHAT_USER_ID}}}}\"\n      X-User-Phone: \"{{{{USER_PHONE}}}}\"\n{more}",
            self.address
        )
    }

    async fn scene(&self) -> Scene {
        Scene::open(QUICK, |_| self.yaml("")).await
    }
}

async fn answer(State((manner, seen)): State<(Manner, Arc<Mutex<Vec<Seen>>>)>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let method = message["method"].as_str().unwrap_or_default().to_owned();
    seen.lock().unwrap().push((uri.path().to_owned(), method.clone(), headers.clone()));
    match manner {
        Manner::Moved(path) if uri.path() != path => return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, path)]).into_response(),
        Manner::Elsewhere(address) => {
            return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, format!("http://{address}/mcp"))]).into_response();
        }
        Manner::Closed => return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response(),
        _ => {}
    }
    if method.is_empty() {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    if message["id"].is_null() {
        return StatusCode::ACCEPTED.into_response();
    }
    let tools = json!([{"name": "who", "inputSchema": {"type": "object"}}, {"name": "fails", "inputSchema": {"type": "object"}}]);
    let server = json!({"name": "far", "version": "1"});
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let result = match method.as_str() {
        "initialize" if manner == Manner::Newest => None,
        "initialize" => {
            Some(json!({"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": server}))
        }
        "server/discover" if manner == Manner::Newest => Some(json!({
            "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "serverInfo": server,
            "ttlMs": 0, "cacheScope": "private",
        })),
        "tools/list" => Some(json!({"resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private"})),
        "tools/call" if manner == Manner::Silent => std::future::pending().await,
        "tools/call" if message["params"]["name"] == "who" => {
            let text = json!({"id": header("x-user-id"), "phone": header("x-user-phone")}).to_string();
            Some(json!({"resultType": "complete", "content": [{"type": "text", "text": text}]}))
        }
        _ => None,
    };
    let message = match result {
        Some(result) => json!({"jsonrpc": "2.0", "id": message["id"], "result": result}),
        None => json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "not known"}}),
    };
    if manner == Manner::Stream {
        let noise = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}});
        let events = format!("data: {noise}\n\ndata: {message}\n\n");
        return ([(header::CONTENT_TYPE, "text/event-stream")], events).into_response();
    }
    ([(header::CONTENT_TYPE, "application/json")], message.to_string()).into_response()
}

#[tokio::test]
async fn each_person_s_headers_are_their_own_however_calls_mix() {
    for manner in [Manner::Plain, Manner::Stream, Manner::Newest] {
        let remote = Remote::start(manner).await;
        let scene = remote.scene().await;
        let calls = (0..40).map(|turn| {
            let (who, number) = if turn % 2 == 0 { (&scene.ada, ADA) } else { (&scene.bea, BEA) };
            let scene = &scene;
            async move {
                let outcome = scene.call_as(who, "far_who", json!({})).await;
                let seen: Value = serde_json::from_str(&outcome.text).unwrap_or_else(|_| panic!("{outcome:?}"));
                assert_eq!(seen, json!({"id": who.user_id.to_string(), "phone": number}));
            }
        });
        join_all(calls).await;
        assert!(scene.call("far_fails", json!({})).await.text.contains("refused the call: not known"));
        let seen = remote.seen();
        let initialized = seen.iter().filter(|(_, method, _)| method == "initialize").count();
        assert!(initialized >= 1, "the handshake is tried first");
        for (_, _, headers) in seen {
            assert_eq!(headers["authorization"], "Bearer MARKED-TOKEN");
            let (id, number) = (headers["x-user-id"].to_str().unwrap(), headers["x-user-phone"].to_str().unwrap());
            let ada = scene.ada.user_id.to_string();
            assert!((id == ada && number == ADA) || (id != ada && number == BEA), "{id} {number}");
        }
        scene.close().await;
    }
}

#[tokio::test]
async fn a_redirect_is_followed_at_home_and_nowhere_else() {
    let remote = Remote::start(Manner::Moved("/mcp/")).await;
    let scene = remote.scene().await;
    assert_eq!(scene.names("far").await, ["far_who", "far_fails"]);
    scene.close().await;

    let other = Remote::start(Manner::Plain).await;
    let remote = Remote::start(Manner::Elsewhere(other.address)).await;
    let scene = remote.scene().await;
    assert!(scene.names("far").await.is_empty());
    assert!(!remote.seen().is_empty() && other.seen().is_empty(), "{:?}", other.seen());
    scene.close().await;
}

#[tokio::test]
async fn a_server_that_is_closed_away_or_silent_costs_its_tools_and_a_bounded_time() {
    let closed = Remote::start(Manner::Closed).await;
    let scene = closed.scene().await;
    assert!(scene.names("far").await.is_empty());
    scene.close().await;

    let gone = Remote::start(Manner::Plain).await;
    let address = gone.address;
    drop(gone);
    let scene = Scene::open(QUICK, |_| format!("  far:\n    url: http://{address}/mcp\n")).await;
    let begun = Instant::now();
    assert!(scene.names("far").await.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(2));
    scene.close().await;

    let silent = Remote::start(Manner::Silent).await;
    let scene = silent.scene().await;
    let begun = Instant::now();
    let outcome = scene.call("far_who", json!({})).await;
    assert!(outcome.text.contains("did not answer within 0.5 s"), "{outcome:?}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    scene.close().await;
}

#[tokio::test]
async fn a_server_that_went_away_and_came_back_is_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = |listener: TcpListener| {
        let router = Router::new().fallback(answer).with_state((Manner::Plain, Arc::default()));
        AbortOnDropHandle::new(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
    };
    let serving = serve(listener);
    let scene = Scene::open(QUICK, |_| format!("  far:\n    url: http://{address}/mcp\n    timeout: 2000\n")).await;
    assert!(!scene.call("far_who", json!({})).await.is_error);
    drop(serving);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let lost = scene.call("far_who", json!({})).await;
    assert!(lost.is_error && lost.text.contains("was lost"), "{lost:?}");
    let _serving = serve(TcpListener::bind(address).await.unwrap());
    tokio::time::sleep(QUICK.first_wait).await;
    assert!(!scene.call("far_who", json!({})).await.is_error);
    scene.close().await;
}
