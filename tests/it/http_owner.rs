//! What a bearer sees: listings, their own account, the live stream; and who is no bearer.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt;
use hmac::{Hmac, KeyInit, Mac};
use scrubjay::domain::token::{Scope, TokenKind};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::Sha256;
use tower::ServiceExt;

use crate::http_home::{Doors, JWT_SECRET, request};

const ANNE: &str = "+15550100001";
const QUIET: Duration = Duration::from_millis(400);

/// A LibreChat login, signed with `secret`.
pub(crate) fn login(header: &Value, claims: &Value, secret: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn in_an_hour(doors: &Doors) -> i64 {
    doors.app.clock.now().as_millis() / 1000 + 3600
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn listings_go_page_by_page() {
    let doors = Doors::open("").await;
    let mut user = Value::Null;
    for text in ["one", "two", "three", "/new", "four"] {
        user = doors.say(ANNE, text).await["userId"].clone();
    }
    let token = doors.token(TokenKind::User, user.as_str()).await;
    let all = doors.get("/api/messages", &token).await.json();
    assert_eq!(all["nextCursor"], Value::Null);
    let all = all["messages"].as_array().unwrap().clone();
    assert_eq!(all.len(), 10);
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = doors.get(&format!("/api/messages?pageSize=3&cursor={cursor}"), &token).await.json();
        let messages = page["messages"].as_array().unwrap().clone();
        assert!(messages.len() <= 3);
        paged.extend(messages);
        match page["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(paged, all);

    let conversations = doors.get("/api/conversations", &token).await.json();
    assert_eq!(conversations["conversations"].as_array().unwrap().len(), 2);
    let first = conversations["conversations"][1]["conversationId"].as_str().unwrap();
    let of_first = doors.get(&format!("/api/messages?conversationId={first}"), &token).await.json();
    let roles: Vec<&str> = of_first["messages"].as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["external", "assistant"].repeat(4));
    let found = doors.get("/api/messages?search=THREE", &token).await.json();
    assert!(found["messages"].as_array().unwrap().iter().all(|message| message["text"].as_str().unwrap().contains("three")), "{found}");
    assert!(!found["messages"].as_array().unwrap().is_empty());

    let path = format!("/api/conversations/{first}");
    assert_eq!(doors.get(&path, &token).await.json()["metadata"]["messageCount"], 8);
    let delete = || request(Method::DELETE, &path, &[("authorization", &bearer(&token))], Body::empty());
    assert_eq!(doors.send(delete()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(doors.send(delete()).await.status, StatusCode::NOT_FOUND);
    assert_eq!(doors.get(&path, &token).await.status, StatusCode::NOT_FOUND);
    assert_eq!(doors.get("/api/messages", &token).await.json()["messages"].as_array().unwrap().len(), 2);
    doors.close().await;
}

#[tokio::test]
async fn preferences_change_field_by_field_and_the_next_reply_with_them() {
    let doors = Doors::open("").await;
    let user = doors.say(ANNE, "Hello").await["userId"].clone();
    let token = doors.token(TokenKind::User, user.as_str()).await;
    let patch = |body: Value| {
        let authorization = bearer(&token);
        let doors = &doors;
        async move { doors.send(request(Method::PATCH, "/api/me", &[("authorization", &authorization)], body.to_string())).await }
    };
    let me = doors.get("/api/me", &token).await.json();
    assert_eq!((&me["_id"], &me["phoneNumber"]), (&user, &json!(ANNE)));
    assert_eq!(me["effective"], json!({"endpoint": "demo", "model": "demo"}));
    let changed = patch(json!({"preferences": {"endpoint": "AGENTS", "agentId": "agent_jay", "timeZone": "Europe/Berlin"}})).await.json();
    let preferences = json!({"endpoint": "agents", "agentId": "agent_jay", "timeZone": "Europe/Berlin"});
    assert_eq!(changed["metadata"]["preferences"], preferences);
    assert_eq!(changed["effective"]["endpoint"], "agents");
    assert_eq!(doors.say(ANNE, "Hello").await["reply"]["endpoint"], "agents");
    let cleared = patch(json!({"endpoint": null})).await.json();
    assert_eq!(cleared["metadata"]["preferences"], json!({"agentId": "agent_jay", "timeZone": "Europe/Berlin"}));
    assert_eq!(doors.get("/api/me", &token).await.json()["metadata"]["preferences"], cleared["metadata"]["preferences"]);

    for (wrong, field) in [
        (json!({"preferences": {"role": "ADMIN"}}), "preferences.role"),
        (json!({"role": "ADMIN"}), "role"),
        (json!({"preferences": {"endpoint": "openAI"}, "_id": "x"}), "_id"),
        (json!({"preferences": []}), "preferences"),
        (json!({"endpoint": "nowhere"}), "endpoint"),
        (json!({"endpoint": "external"}), "endpoint"),
        (json!({"endpoint": {"$ne": null}}), "endpoint"),
        (json!({"agentId": "agent_none"}), "agentId"),
        (json!({"agentId": "jay"}), "agentId"),
        (json!({"timeZone": "Mars/Olympus"}), "timeZone"),
        (json!({"defaultModel": "x\u{0}"}), "defaultModel"),
        (json!({"defaultModel": "x".repeat(201)}), "defaultModel"),
    ] {
        let answer = patch(wrong.clone()).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["field"]), (400, &json!(field)), "{wrong}: {}", answer.text());
    }
    assert_eq!(doors.get("/api/me", &token).await.json()["metadata"]["preferences"], cleared["metadata"]["preferences"]);
    doors.close().await;
}

#[tokio::test]
async fn only_a_valid_bearer_of_a_person_opens_their_doors() {
    let doors = Doors::open("").await;
    let user = doors.say(ANNE, "Hello").await["userId"].clone();
    let id = user.as_str().unwrap();
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let (soon, past) = (in_an_hour(&doors), in_an_hour(&doors) - 7200);
    let token = doors.token(TokenKind::User, Some(id)).await;
    let good_login = login(&header, &json!({"id": id, "exp": soon}), JWT_SECRET);
    for path in ["/api/me", "/api/messages", "/api/conversations", "/api/conversations/0192f3a4-0000-7000-8000-000000000000"] {
        for good in [&token, &good_login] {
            let status = doors.get(path, good).await.status.as_u16();
            assert_eq!(status, if path.contains("0192f3a4") { 404 } else { 200 }, "{path}");
        }
        for kind in [TokenKind::Admin, TokenKind::Service] {
            let answer = doors.get(path, &doors.token(kind, None).await).await;
            assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (403, "forbidden"), "{path}");
        }
        let wrong = [
            String::new(),
            token[..token.len() - 1].to_owned(),
            format!("{token}x"),
            login(&header, &json!({"id": id, "exp": past}), JWT_SECRET),
            login(&header, &json!({"id": id}), JWT_SECRET),
            login(&header, &json!({"id": id, "exp": soon}), "another-secret"),
            login(&json!({"alg": "none"}), &json!({"id": id, "exp": soon}), JWT_SECRET),
            login(&header, &json!({"id": {"$gt": ""}, "exp": soon}), JWT_SECRET),
        ];
        for token in wrong {
            let answer = doors.get(path, &token).await;
            assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (401, "unauthorized"), "{path} {token}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
        // A token in the URL counts at the stream alone.
        let in_url = doors.send(request(Method::GET, &format!("{path}?token={token}"), &[], Body::empty())).await;
        assert_eq!(in_url.status.as_u16(), 401, "{path}");
    }
    let nobody = login(&header, &json!({"id": "0123456789abcdef01234567", "exp": soon}), JWT_SECRET);
    assert_eq!(doors.get("/api/me", &nobody).await.status.as_u16(), 404, "a login of somebody who never texted");
    doors.close().await;
}

#[tokio::test]
async fn the_stream_shows_finished_turns_and_resumes_where_it_was_left() {
    let doors = Doors::open("").await;
    let first = doors.say(ANNE, "One").await;
    let user = first["userId"].as_str().unwrap();
    let token = doors.token(TokenKind::User, Some(user)).await;
    let open = |headers: &[(&str, &str)]| request(Method::GET, &format!("/api/messages/stream?token={token}"), headers, Body::empty());

    let quiet = doors.send_stream(open(&[]), QUIET).await;
    assert_eq!(quiet.headers["content-type"], "text/event-stream");
    assert_eq!(quiet.headers["x-accel-buffering"], "no");
    assert_eq!(quiet.headers["cache-control"], "no-cache");
    let events = quiet.events();
    assert_eq!(events.len(), 1, "only what finishes from now on: {events:?}");
    assert_eq!((events[0].0.as_str(), &events[0].1["userId"]), ("connected", &first["userId"]));

    let (said, (live, _)) = tokio::join!(async { doors.send_stream(open(&[]), Duration::from_millis(1500)).await.events() }, async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        (doors.say(ANNE, "Two").await, doors.say(ANNE, "Three").await)
    });
    let shown: Vec<&Value> = said.iter().filter(|(name, _)| name == "newMessage").map(|(_, data)| data).collect();
    assert_eq!(shown.len(), 2, "{said:?}");
    let texts: Vec<&str> = shown[0]["messages"].as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(texts, ["external", "assistant"]);
    assert_eq!(shown[0]["messages"][1]["text"], live["reply"]["text"]);

    let from_start = doors.send_stream(open(&[("last-event-id", "0")]), QUIET).await;
    let names: Vec<String> = from_start.events().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["connected", "newConversation", "newMessage", "newMessage", "newMessage"]);
    let whole = from_start.text();
    let ids: Vec<&str> = whole.lines().filter_map(|line| line.strip_prefix("id:").map(str::trim)).collect();
    assert_eq!(ids.len(), 3, "{whole}");
    let resumed = doors.send_stream(open(&[("last-event-id", ids[1])]), QUIET).await.events();
    assert_eq!(resumed.iter().filter(|(name, _)| name == "newMessage").count(), 1);
    assert_eq!(
        doors.send_stream(open(&[("last-event-id", "99999")]), QUIET).await.events().len(),
        1,
        "an id of another store counts as now"
    );
    for wrong in ["x", "-1", "1.5", ""] {
        let answer = doors.send(open(&[("last-event-id", wrong)])).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (400, "invalid-parameter"), "{wrong:?}");
    }

    doors.stop.drain.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), doors.send(open(&[]))).await;
    assert!(ended.is_ok(), "a stop ends the streams");
    doors.close().await;
}

/// Moves the runtime's clock, and lets it run again: the store's threads have a clock of their own.
async fn leap(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// What comes until nothing comes for a moment, and whether that was the end.
async fn read_on(body: &mut axum::body::BodyDataStream) -> (String, bool) {
    let mut whole = String::new();
    loop {
        match tokio::time::timeout(QUIET, body.next()).await {
            Ok(Some(chunk)) => whole.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap()),
            Ok(None) => return (whole, true),
            Err(_quiet) => return (whole, false),
        }
    }
}

#[tokio::test]
async fn a_stream_says_each_30_seconds_that_it_lives_and_ends_when_its_token_is_revoked() {
    let doors = Doors::open("").await;
    let user = doors.say(ANNE, "Hello").await["userId"].clone();
    let user_id = user.as_str().unwrap().parse().unwrap();
    let made = doors.app.tokens.create(TokenKind::User, Some(user_id), &[Scope::Read], None).await.unwrap();
    let stream = |token: &str| request(Method::GET, "/api/messages/stream", &[("authorization", &bearer(token))], Body::empty());
    let response = doors.router().oneshot(stream(made.secret.expose_secret())).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    assert!(read_on(&mut body).await.0.contains("event: connected"));
    for beat in 0..3 {
        // QUIET has passed since the last look; what is left to 30 s is less than 29.
        leap(Duration::from_secs(27)).await;
        let (early, _) = read_on(&mut body).await;
        assert!(!early.contains("event:"), "beat {beat} came early: {early}");
        leap(Duration::from_secs(3)).await;
        let (told, ended) = read_on(&mut body).await;
        let events = crate::http_home::read_events(&told);
        assert_eq!((events.len(), ended), (1, false), "beat {beat}: {told}");
        assert_eq!(events[0].0, "heartbeat");
        assert!(events[0].1["timestamp"].is_string(), "{told}");
    }
    doors.app.tokens.revoke(made.token.id).await.unwrap();
    leap(Duration::from_secs(31)).await;
    let (told, ended) = read_on(&mut body).await;
    assert!(ended && !told.contains("event:"), "a revoked token is shown nothing more, and its stream ends: {told}");
    doors.close().await;
}
