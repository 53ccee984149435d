//! Whom a call speaks for: every kind of token with every way to name somebody, and calls of two people at once.

use std::sync::Arc;

use axum::http::header::WWW_AUTHENTICATE;
use scrubjay::domain::token::{Scope, TokenKind};
use scrubjay::mcp::http::{McpParts, router};
use serde_json::{Value, json};

use super::notes::Notes;
use super::{Desk, newest};

const ANN: &str = "+15550100001";
const BOB: &str = "+15550100002";
const NOBODY: &str = "+15550100009";

/// Two people with a note each that says whose it is, and every kind of token.
struct Cast {
    desk: Desk,
    ann: String,
    bob: String,
    ann_token: String,
    service: String,
    admin: String,
}

impl Cast {
    async fn new() -> Self {
        let desk = Desk::open().await;
        let (ann, bob) = (desk.person(ANN).await, desk.person(BOB).await);
        let ann_token = desk.doors.token(TokenKind::User, Some(&ann)).await;
        let bob_token = desk.doors.token(TokenKind::User, Some(&bob)).await;
        let service = desk.doors.token(TokenKind::Service, None).await;
        let admin = desk.doors.token(TokenKind::Admin, None).await;
        for (token, note) in [(&ann_token, "Ann's"), (&bob_token, "Bob's")] {
            desk.call(token, "memory_add", json!({"text": note})).await;
        }
        Self { desk, ann, bob, ann_token, service, admin }
    }

    /// What a call with these headers reads: a status, and whose notes.
    async fn reads(&self, headers: &[(&str, &str)]) -> (u16, Option<String>) {
        let answer = self.desk.ask_with(headers, "tools/call", json!({"name": "memory_list", "arguments": {}})).await;
        let note = answer.json()["result"]["structuredContent"]["notes"][0].as_str().map(str::to_owned);
        (answer.status.as_u16(), note)
    }
}

/// Headers that name somebody.
type Headers<'a> = Vec<(&'a str, &'a str)>;

/// Whose notes are read, or the status of the refusal.
type Outcome = Result<&'static str, u16>;

#[tokio::test]
async fn every_token_with_every_way_to_name_somebody() {
    let cast = Cast::new().await;
    let ann = || Ok("Ann's");
    // What names somebody, and what comes of it with: no token, a person's token (Ann's), a service's, an admin's, a wrong one.
    let upper = cast.ann.to_uppercase();
    let formatted = "+1 (555) 010-0001";
    let table: Vec<(Headers<'_>, [Outcome; 5])> = vec![
        (vec![], [Err(401), ann(), Err(401), Err(403), Err(401)]),
        (vec![("x-user-id", &cast.ann)], [Err(401), ann(), ann(), Err(403), Err(401)]),
        (vec![("x-user-id", &upper)], [Err(401), ann(), ann(), Err(403), Err(401)]),
        (vec![("x-user-phone", ANN)], [Err(401), ann(), ann(), Err(403), Err(401)]),
        (vec![("x-user-phone", formatted)], [Err(401), ann(), ann(), Err(403), Err(401)]),
        (vec![("x-user-id", &cast.ann), ("x-user-phone", ANN)], [Err(401), ann(), ann(), Err(403), Err(401)]),
        (vec![("x-user-id", &cast.bob)], [Err(401), Err(403), Ok("Bob's"), Err(403), Err(401)]),
        (vec![("x-user-phone", BOB)], [Err(401), Err(403), Ok("Bob's"), Err(403), Err(401)]),
        (vec![("x-user-id", &cast.ann), ("x-user-phone", BOB)], [Err(401), Err(403), Err(403), Err(403), Err(401)]),
        (vec![("x-user-id", &cast.ann), ("x-user-id", &cast.bob)], [Err(401), Err(403), Err(403), Err(403), Err(401)]),
        (vec![("x-user-phone", ANN), ("x-user-phone", ANN)], [Err(401), Err(403), Err(403), Err(403), Err(401)]),
        (vec![("x-user-id", "")], [Err(401), Err(403), Err(403), Err(403), Err(401)]),
        (vec![("x-user-phone", "")], [Err(401), Err(403), Err(403), Err(403), Err(401)]),
        (vec![("x-user-id", "{{LIBRECHAT_USER_ID}}")], [Err(401), Err(403), Err(403), Err(403), Err(401)]),
        (vec![("x-user-phone", "{{USER_PHONE}}")], [Err(401), Err(403), Err(403), Err(403), Err(401)]),
        (vec![("x-user-id", &cast.ann), ("x-user-phone", "{{USER_PHONE}}")], [Err(401), Err(403), Err(403), Err(403), Err(401)]),
        (vec![("x-user-id", "ffffffffffffffffffffffff")], [Err(401), Err(403), Err(403), Err(403), Err(401)]),
        (vec![("x-user-phone", NOBODY)], [Err(401), Err(403), Err(403), Err(403), Err(401)]),
        (vec![("x-user-id", ANN)], [Err(401), Err(403), Err(403), Err(403), Err(401)]),
        (vec![("x-user-id", "undefined")], [Err(401), Err(403), Err(403), Err(403), Err(401)]),
    ];
    let bearer = |token: &str| format!("Bearer {token}");
    let tokens = [None, Some(bearer(&cast.ann_token)), Some(bearer(&cast.service)), Some(bearer(&cast.admin)), Some(bearer("sj_wrong"))];
    for (naming, outcomes) in table {
        for (token, outcome) in tokens.iter().zip(outcomes) {
            let mut headers = naming.clone();
            headers.extend(token.as_deref().map(|token| ("authorization", token)));
            let expected = match outcome {
                Ok(note) => (200, Some(note.to_owned())),
                Err(status) => (status, None),
            };
            assert_eq!(cast.reads(&headers).await, expected, "{naming:?} with {token:?}");
        }
    }
    let people = cast.desk.doors.app.people.list(scrubjay::store::PageRequest::first(10)).await.unwrap().items;
    assert_eq!(people.len(), 2, "naming somebody makes nobody");
    cast.desk.doors.close().await;
}

#[tokio::test]
async fn a_bearer_that_is_none_is_challenged() {
    let cast = Cast::new().await;
    let token = format!("Bearer {}", cast.ann_token);
    for (headers, challenge) in [
        (vec![], r#"Bearer realm="scrubjay""#),
        (vec![("authorization", "Basic abc")], r#"Bearer realm="scrubjay", error="invalid_token""#),
        (vec![("authorization", "Bearer sj_wrong")], r#"Bearer realm="scrubjay", error="invalid_token""#),
        (
            vec![("authorization", token.as_str()), ("authorization", "Bearer sj_wrong")],
            r#"Bearer realm="scrubjay", error="invalid_token""#,
        ),
    ] {
        let answer = cast.desk.ask_with(&headers, "tools/list", json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.headers[WWW_AUTHENTICATE].to_str().unwrap()), (401, challenge), "{headers:?}");
        assert!(answer.json()["error"]["message"].is_string() && answer.json().get("id").is_none(), "{}", answer.text());
    }
    let service = format!("Bearer {}", cast.service);
    let answer = cast.desk.ask_with(&[("authorization", &service)], "tools/list", json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.headers[WWW_AUTHENTICATE].to_str().unwrap()), (401, r#"Bearer realm="scrubjay""#));
    cast.desk.doors.close().await;
}

#[tokio::test]
async fn a_blocked_person_and_a_revoked_token_read_nothing() {
    let cast = Cast::new().await;
    let (token, service) = (format!("Bearer {}", cast.ann_token), format!("Bearer {}", cast.service));
    let ways = [
        vec![("authorization", token.as_str())],
        vec![("authorization", service.as_str()), ("x-user-id", cast.ann.as_str())],
        vec![("authorization", service.as_str()), ("x-user-phone", ANN)],
    ];
    for (blocked, expected) in [(true, 403), (false, 200)] {
        cast.desk.doors.app.people.set_blocked(cast.ann.parse().unwrap(), blocked).await.unwrap();
        for headers in &ways {
            assert_eq!(cast.reads(headers).await.0, expected, "{headers:?}");
        }
    }
    let all = cast.desk.doors.app.tokens.list(scrubjay::store::PageRequest::first(10)).await.unwrap().items;
    for token in all {
        cast.desk.doors.app.tokens.revoke(token.id).await.unwrap();
    }
    for headers in &ways {
        assert_eq!(cast.reads(headers).await, (401, None), "{headers:?}");
    }
    cast.desk.doors.close().await;
}

#[tokio::test]
async fn a_token_does_what_its_scopes_say() {
    let cast = Cast::new().await;
    for (scopes, reads, writes) in
        [(vec![], true, true), (vec![Scope::Read], true, false), (vec![Scope::Write], false, true), (Scope::ALL.to_vec(), true, true)]
    {
        let token = cast.desk.doors.token_for(TokenKind::User, Some(&cast.ann), &scopes).await;
        for (tool, allowed) in [("memory_list", reads), ("memory_add", writes)] {
            let before = cast.desk.notes.kept.lock().unwrap().clone();
            let result = cast.desk.call(&token, tool, json!({"text": "more"})).await;
            assert_eq!(result["isError"], json!(!allowed), "{tool} with {scopes:?}");
            if !allowed {
                assert!(result["content"][0]["text"].as_str().unwrap().contains("lacks the scope"), "{result}");
                assert_eq!(*cast.desk.notes.kept.lock().unwrap(), before);
                assert_eq!(result.get("structuredContent"), None);
            }
        }
        let read = cast.desk.ask(&token, "resources/read", json!({"uri": "notes://all"})).await.json();
        assert_eq!(read.get("result").is_some(), reads, "{read}");
        // What cannot be called is not offered.
        let listed = cast.desk.ask(&token, "tools/list", json!({})).await.json();
        let names: Vec<&str> = listed["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!((names.contains(&"memory_list"), names.contains(&"memory_add")), (reads, writes), "{scopes:?}");
        assert_eq!(listed["result"]["cacheScope"], "private");
    }
    cast.desk.doors.close().await;
}

#[tokio::test]
async fn only_our_own_names_and_pages_are_served() {
    let cast = Cast::new().await;
    let token = format!("Bearer {}", cast.ann_token);
    let public = crate::support::twilio::PUBLIC_URL;
    let public_host = public.strip_prefix("https://").unwrap();
    for (host, origin, expected) in [
        ("localhost", None, 200),
        ("127.0.0.1:8080", None, 200),
        ("[::1]:8080", None, 200),
        (public_host, None, 200),
        ("scrubjay:9000", None, 200),
        ("localhost", Some("http://localhost:6274"), 200),
        (public_host, Some(public), 200),
        ("scrubjay:9001", None, 403),
        ("evil.example", None, 403),
        (crate::http_home::ABSENT, None, 403),
        ("localhost", Some("https://evil.example"), 403),
        ("localhost", Some("null"), 403),
        ("evil.example", Some("http://localhost"), 403),
    ] {
        let mut headers = vec![("authorization", token.as_str()), ("host", host)];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let (status, note) = cast.reads(&headers).await;
        assert_eq!((status, note.is_some()), (expected, expected == 200), "{host} from {origin:?}");
        // Before anybody is asked who they are.
        headers.remove(0);
        assert_eq!(cast.reads(&headers).await.0, if expected == 200 { 401 } else { 403 }, "{host} from {origin:?}");
    }
    cast.desk.doors.close().await;
}

/// A thousand calls of two people over eight connections, each answered for whoever called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_two_people_at_once_are_never_mixed_up() {
    const CONNECTIONS: usize = 8;
    const CALLS: usize = 125;
    let cast = Cast::new().await;
    let bob_token = cast.desk.doors.token(TokenKind::User, Some(&cast.bob)).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = cast.desk.stop.clone();
    let serving = tokio::spawn(scrubjay::http::serve(listener, cast.desk.router.clone(), stop.clone(), std::time::Duration::from_secs(5)));
    let ways = Arc::new([
        (vec![("authorization".to_owned(), format!("Bearer {}", cast.ann_token))], "Ann's"),
        (vec![("authorization".to_owned(), format!("Bearer {bob_token}"))], "Bob's"),
        (vec![("authorization".to_owned(), format!("Bearer {}", cast.service)), ("x-user-id".to_owned(), cast.ann.clone())], "Ann's"),
        (vec![("authorization".to_owned(), format!("Bearer {}", cast.service)), ("x-user-phone".to_owned(), BOB.to_owned())], "Bob's"),
    ]);
    let callers: Vec<_> = (0..CONNECTIONS)
        .map(|connection| {
            let ways = Arc::clone(&ways);
            tokio::spawn(async move {
                let client = crate::support::http_client();
                let mut wrong = 0;
                for call in 0..CALLS {
                    let (headers, whose) = &ways[(connection + call * 3) % ways.len()];
                    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                    let (parts, body) =
                        newest("/mcp", &headers, "tools/call", json!({"name": "memory_list", "arguments": {}})).into_parts();
                    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                    let mut headers = parts.headers;
                    headers.remove("host");
                    let sent = client.post(format!("http://{address}/mcp")).headers(headers).body(body).send().await.unwrap();
                    let answer: Value = sent.json().await.unwrap();
                    wrong += usize::from(answer["result"]["structuredContent"] != json!({"notes": [whose]}));
                }
                wrong
            })
        })
        .collect();
    let mut wrong = 0;
    for caller in callers {
        wrong += caller.await.unwrap();
    }
    assert_eq!(wrong, 0, "of {} calls", CONNECTIONS * CALLS);
    stop.drain.cancel();
    serving.await.unwrap();
    cast.desk.doors.close().await;
}

#[tokio::test]
async fn the_running_program_has_the_doors_and_a_set_of_its_own_has_one() {
    let cast = Cast::new().await;
    let token = format!("Bearer {}", cast.ann_token);
    let names = |answer: Value| -> Vec<String> {
        answer["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    };
    for (path, count) in [("/mcp", 8), ("/mcp/memory", 4), ("/mcp/todo", 4)] {
        let answer = cast.desk.send(newest(path, &[("authorization", &token)], "tools/list", json!({}))).await;
        assert_eq!(names(answer.json()).len(), count, "{path}");
    }
    // A tool of another set is none here, and a set that is not served has no door.
    let other = newest("/mcp/todo", &[("authorization", &token)], "tools/call", json!({"name": "memory_list", "arguments": {}}));
    assert_eq!(cast.desk.send(other).await.json()["error"]["code"], -32602);
    assert_eq!(cast.desk.send(newest("/mcp/schedule", &[("authorization", &token)], "tools/list", json!({}))).await.status, 404);
    let app = &cast.desk.doors.app;
    let parts = McpParts {
        config: Arc::clone(&app.config),
        access: app.access.clone(),
        people: app.people.clone(),
        sets: vec![Arc::new(Notes::named("schedule"))],
        stop: cast.desk.stop.clone(),
    };
    drop(router(&parts).unwrap());
    assert_eq!(
        cast.desk.doors.send(newest("/mcp", &[], "tools/list", json!({}))).await.status,
        401,
        "the program's own router has the door"
    );
    cast.desk.doors.close().await;
}
