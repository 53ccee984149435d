//! A table of bad input over every route: each is a clear refusal, and nothing is stored.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request};
use scrubjay::clock::Clock;
use scrubjay::domain::time::Timestamp;
use scrubjay::domain::token::TokenKind;
use scrubjay::gateway::simulator::{SIGNATURE_HEADER, Signed, SimulatorSecret, TIMESTAMP_HEADER};
use scrubjay::http::list_routes;
use serde_json::{Value, json};

use crate::http_home::{Doors, request};
use crate::support::home::API_KEY;
use crate::support::twilio::{AUTH_TOKEN, PUBLIC_URL, Text, encode, sign};

const ANNE: &str = "+15550100001";
const ABSENT: &str = "0192f3a4-0000-7000-8000-000000000000";

/// A bad request: what is bad about it, the request, and the statuses that are right.
struct Bad {
    name: String,
    request: Request<Body>,
    statuses: &'static [u16],
}

fn bad(name: impl Into<String>, request: Request<Body>, statuses: &'static [u16]) -> Bad {
    Bad { name: name.into(), request, statuses }
}

/// Bodies that are no JSON object, or too large.
fn broken_bodies() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    let bomb = |open: &str, close: &str| format!("{}{}", open.repeat(200_000), close.repeat(200_000)).into_bytes();
    vec![
        ("empty", Vec::new(), &[400]),
        ("no JSON", b"role=external".to_vec(), &[400]),
        ("cut short", br#"{"role":"external","content":"#.to_vec(), &[400]),
        ("two documents", br#"{"role":"external"}{"role":"external"}"#.to_vec(), &[400]),
        ("an array", b"[]".to_vec(), &[400]),
        ("a string", br#""external""#.to_vec(), &[400]),
        ("a number", b"1".to_vec(), &[400]),
        ("null", b"null".to_vec(), &[400]),
        ("broken UTF-8 in a text", b"{\"role\":\"external\",\"content\":\"\xc3\x28\",\"from\":\"+15550100001\"}".to_vec(), &[400]),
        ("broken UTF-8 everywhere", vec![0xff; 64], &[400]),
        ("a lone surrogate", br#"{"role":"external","content":"\ud800","from":"+15550100001"}"#.to_vec(), &[400]),
        ("a depth bomb of objects", bomb(r#"{"role":"#, "}"), &[400]),
        ("a depth bomb of arrays", bomb("[", "]"), &[400]),
        ("a number of 10 kB", format!(r#"{{"role":"external","content":"x","from":{}}}"#, "5".repeat(10_000)).into_bytes(), &[400]),
        ("more than 3 MiB", vec![b' '; 3 * 1024 * 1024 + 1], &[413]),
        (
            "a text of more than 3 MiB",
            format!(r#"{{"role":"external","from":"{ANNE}","content":"{}"}}"#, "x".repeat(3 * 1024 * 1024)).into_bytes(),
            &[413],
        ),
    ]
}

/// Messages with one field wrong, and what names it in the answer.
fn wrong_messages() -> Vec<(&'static str, Value)> {
    let deep = (0..17).fold(json!(1), |inner, _| json!({ "a": inner }));
    let with = |changes: Value| {
        let mut body = json!({"role": "external", "content": "Hello", "from": ANNE});
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        body
    };
    let metadata = |metadata: Value| with(json!({ "metadata": metadata }));
    let mut cases = vec![
        ("Invalid role", json!({})),
        ("Invalid role", with(json!({"role": "assistant"}))),
        ("Invalid role", with(json!({"role": ["external"]}))),
        ("Invalid role", with(json!({"role": {"$eq": "external"}}))),
        ("agent_id required", metadata(json!({"endpoint": "agents"}))),
        ("agent_id required", metadata(json!({"endpoint": "agents", "agent_id": " "}))),
        ("Invalid agent_id format", metadata(json!({"endpoint": "agents", "agent_id": "../../etc"}))),
        ("metadata.agent_id", metadata(json!({"endpoint": "agents", "agent_id": {"$gt": ""}}))),
        ("metadata.endpoint", metadata(json!({"endpoint": {"$ne": null}}))),
        ("metadata.endpoint", metadata(json!({"endpoint": "no such place"}))),
        ("metadata.endpoint", metadata(json!({"endpoint": "nowhere"}))),
        ("metadata.model", metadata(json!({"model": ["demo"]}))),
        ("metadata.model", metadata(json!({"model": "demo\u{7}"}))),
        ("metadata.title", metadata(json!({"title": "x".repeat(201)}))),
        ("metadata.title", metadata(json!({"title": "two\nlines"}))),
        ("metadata.title", metadata(json!({"title": 7}))),
        ("metadata.source", metadata(json!({"source": "x".repeat(65)}))),
        ("metadata.source", metadata(json!({"source": {"$set": 1}}))),
        ("metadata.additional_instructions", metadata(json!({"additional_instructions": "x".repeat(8001)}))),
        ("metadata.additional_instructions", metadata(json!({"additional_instructions": ["obey"]}))),
        ("metadata.messageSid", metadata(json!({"messageSid": "x".repeat(256)}))),
        ("metadata.messageSid", metadata(json!({"messageSid": {"$gt": ""}}))),
        ("metadata", metadata(json!({"note": "x".repeat(17_000)}))),
        ("metadata", metadata(json!({ "note": deep }))),
        ("metadata", metadata(json!({"no\u{0}te": 1}))),
        ("metadata", metadata(json!({"note": ["\u{0}"]}))),
        ("metadata", with(json!({"metadata": "phoneNumber"}))),
        ("metadata", with(json!({"metadata": [{"phoneNumber": ANNE}]}))),
        ("content", with(json!({"content": {"$gt": ""}}))),
        ("content", with(json!({"content": 5}))),
        ("content", with(json!({"content": " \n "}))),
        ("content", with(json!({"content": []}))),
        ("content[0].text", with(json!({"content": ["Hello"]}))),
        ("content[1].text", with(json!({"content": [{"text": "a"}, {"image_url": "b"}]}))),
        ("content[0].text", with(json!({"content": [{"text": {"$gt": ""}}]}))),
        ("content[0].text", with(json!({"content": [{"text": "\u{1b}[2J"}]}))),
        ("text", with(json!({"text": {"$gt": ""}}))),
        ("attachments", with(json!({"attachments": "photo.jpg"}))),
        ("attachments", with(json!({"attachments": vec!["x"; 33]}))),
        ("attachments[0]", with(json!({"attachments": [7]}))),
        ("attachments[0]", with(json!({"attachments": [""]}))),
        ("attachments[0].name", with(json!({"attachments": [{}]}))),
        ("attachments[0].name", with(json!({"attachments": [{"name": {"$gt": ""}}]}))),
        ("attachments[0].url", with(json!({"attachments": [{"name": "x", "url": "y".repeat(2049)}]}))),
        ("conversationId", with(json!({"conversationId": {"$gt": ""}}))),
        ("conversationId", with(json!({"conversationId": 1}))),
        ("unknown-conversation", with(json!({"conversationId": "not-a-uuid"}))),
        ("unknown-conversation", with(json!({ "conversationId": ABSENT }))),
    ];
    for control in ["\u{0}", "\u{8}", "\u{1b}", "\u{7f}", "\u{9d}"] {
        cases.push(("content", with(json!({"content": format!("Hel{control}lo")}))));
        cases.push(("text", with(json!({"content": null, "text": format!("Hel{control}lo")}))));
    }
    let ten_kilobytes = format!("+{}", "5".repeat(10_000));
    for number in [
        json!(null),
        json!(""),
        json!("+"),
        json!("abc"),
        json!("123"),
        json!("+0123456789"),
        json!("+1555\u{0}0100001"),
        json!("+15550100001\r\nx-api-key: y"),
        json!("+15550109997; DROP TABLE users"),
        json!(ten_kilobytes),
        json!(15_550_100_001_i64),
        json!({"$gt": ""}),
        json!([ANNE]),
        json!(true),
    ] {
        cases.push(("Valid phone number required", with(json!({ "from": number }))));
        cases.push(("Valid phone number required", json!({"role": "external", "content": "x", "metadata": {"phoneNumber": number}})));
    }
    cases
}

/// Every bad request to one route. A new route without a line here fails the test.
fn bad_requests(method: &str, path: &str, bearer: &str, secret: &SimulatorSecret) -> Vec<Bad> {
    let authorization = format!("Bearer {bearer}");
    let with_token = |path: &str| request(method.parse().unwrap(), path, &[("authorization", &authorization)], Body::empty());
    match (method, path) {
        ("GET", "/health" | "/health/live" | "/health/ready" | "/api/openapi.json") => Vec::new(),
        ("GET", "/metrics") => vec![
            bad("a person's token", with_token("/metrics"), &[403]),
            bad("nobody", request(Method::GET, "/metrics", &[], Body::empty()), &[401]),
        ],
        ("GET", "/problems/{name}") => {
            ["%00", "%ff", "x", "..%2f..%2fetc%2fpasswd"].map(|name| bad(name, with_token(&format!("/problems/{name}")), &[404])).into()
        }
        ("POST", "/api/messages/{conversationId}") => bad_messages("/api/messages/new"),
        ("POST", "/api/messages") => bad_messages("/api/messages"),
        ("POST", "/webhooks/{gateway}") => bad_webhooks("/webhooks/twilio"),
        ("POST", "/webhooks/{gateway}/status") => bad_webhooks("/webhooks/twilio/status"),
        ("GET", "/simulator/messages") => bad_mailboxes(secret, path),
        ("GET", "/api/messages/stream") => {
            let mut list = bad_queries(path, &with_token);
            let resumed =
                |id: &str| request(Method::GET, path, &[("authorization", authorization.as_str()), ("last-event-id", id)], Body::empty());
            list.extend(["x", "-1", "{\"$gt\":0}", &"9".repeat(10_000)].map(|id| bad("a wrong event id", resumed(id), &[400])));
            list
        }
        ("GET", "/api/messages") => {
            let mut list = bad_queries(path, &with_token);
            let ids = [("x", 404), ("%7B%22$gt%22:%22%22%7D", 404), (ABSENT, 404), ("%00", 400), ("%ff", 400)];
            list.extend(ids.map(|(id, status)| {
                let statuses: &[u16] = if status == 404 { &[404] } else { &[400] };
                bad("a wrong conversation", with_token(&format!("{path}?conversationId={id}")), statuses)
            }));
            list.extend(bad_pages(path, &with_token));
            list
        }
        ("GET", "/api/conversations") => bad_queries(path, &with_token).into_iter().chain(bad_pages(path, &with_token)).collect(),
        ("GET" | "DELETE", "/api/conversations/{conversationId}") => {
            let long = "a".repeat(10_000);
            ["x", ABSENT, "%7B%22$gt%22:%22%22%7D", "%00", "018f0000000070008000000000000000", &long]
                .map(|id| bad(id, with_token(&format!("/api/conversations/{id}")), &[404]))
                .into_iter()
                .chain([bad("broken UTF-8", with_token("/api/conversations/%ff"), &[404])])
                .collect()
        }
        ("GET", "/api/me") => vec![bad("nobody", request(Method::GET, path, &[], Body::empty()), &[401])],
        ("PATCH", "/api/me") => bad_patches(&authorization),
        _ => panic!("no bad input is known for {method} {path}: add some"),
    }
}

fn bad_messages(path: &str) -> Vec<Bad> {
    let post = |headers: &[(&str, &str)], body: Vec<u8>| {
        let headers: Vec<(&str, &str)> = [("x-api-key", API_KEY)].iter().chain(headers).copied().collect();
        request(Method::POST, path, &headers, body)
    };
    let mut list: Vec<Bad> = broken_bodies().into_iter().map(|(name, body, statuses)| bad(name, post(&[], body), statuses)).collect();
    for (named, body) in wrong_messages() {
        let statuses: &[u16] = if named == "unknown-conversation" { &[404] } else { &[400] };
        list.push(bad(
            format!("{named}: {}", body.to_string().chars().take(120).collect::<String>()),
            post(&[], body.to_string().into_bytes()),
            statuses,
        ));
    }
    let good = json!({"role": "external", "content": "Hello", "from": ANNE}).to_string().into_bytes();
    for key in ["", " ", &"k".repeat(256)] {
        list.push(bad("a wrong idempotency key", post(&[("idempotency-key", key)], good.clone()), &[400]));
    }
    list.push(bad("no key", request(Method::POST, path, &[], good.clone()), &[401]));
    list.push(bad("another key", request(Method::POST, path, &[("x-api-key", "x")], good), &[403]));
    list
}

fn bad_webhooks(path: &str) -> Vec<Bad> {
    let url = format!("{PUBLIC_URL}{path}");
    let post = |content_type: &str, signature: &str, body: Vec<u8>| {
        request(Method::POST, path, &[("content-type", content_type), ("x-twilio-signature", signature)], body)
    };
    let form = "application/x-www-form-urlencoded";
    let whole = Text::new(ANNE, "Hello").form();
    let sign_form = |form: &[(String, String)]| sign(AUTH_TOKEN, &url, form);
    let without = |key: &str| whole.iter().filter(|(name, _)| name != key).cloned().collect::<Vec<_>>();
    let mut list = vec![
        bad("too large", post(form, "x", vec![b'x'; 128 * 1024 + 1]), &[413]),
        bad("text", post("text/plain", &sign_form(&whole), encode(&whole).into_bytes()), &[415]),
        bad("unsigned", post(form, "", encode(&whole).into_bytes()), &[403]),
        bad("JSON without a hash", post("application/json", &sign(AUTH_TOKEN, &url, &[]), b"{}".to_vec()), &[400, 403]),
        bad("a depth bomb", post("application/json", &sign(AUTH_TOKEN, &url, &[]), "[".repeat(100_000).into_bytes()), &[400, 403]),
        bad("broken UTF-8 unsigned", post(form, &sign_form(&whole), b"Body=%ff%fe&From=\xff".to_vec()), &[403]),
        bad("empty", post(form, &sign_form(&[]), Vec::new()), &[400, 403]),
        bad("no such gateway", request(Method::POST, &path.replace("twilio", "%24gt"), &[("content-type", form)], encode(&whole)), &[404]),
    ];
    for missing in ["MessageSid", "AccountSid"] {
        let mut form_without = without(missing);
        form_without.retain(|(name, _)| !name.ends_with("MessageSid") && name != "SmsSid" || missing == "AccountSid");
        list.push(bad(
            format!("signed, without {missing}"),
            post(form, &sign_form(&form_without), encode(&form_without).into_bytes()),
            &[400, 403],
        ));
    }
    let mut other_account = without("AccountSid");
    other_account.push(("AccountSid".to_owned(), "ACffffffffffffffffffffffffffffffff".to_owned()));
    list.push(bad("another account", post(form, &sign_form(&other_account), encode(&other_account).into_bytes()), &[403]));
    list
}

/// From this machine, and signed where it is not the signature that is wrong.
fn bad_mailboxes(secret: &SimulatorSecret, path: &str) -> Vec<Bad> {
    let knock = |target: &str, signed: &Signed| {
        let headers = [(TIMESTAMP_HEADER, signed.timestamp.as_str()), (SIGNATURE_HEADER, signed.signature.as_str())];
        let mut request = request(Method::GET, target, &headers, Body::empty());
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>("127.0.0.1:4711".parse().unwrap()));
        request
    };
    let now = Clock::system().now();
    let good = format!("{path}?phone=%2B15550100001&after=0");
    let unsigned = Signed { timestamp: String::new(), signature: String::new() };
    let mut list = vec![
        bad("unsigned", knock(&good, &unsigned), &[403]),
        bad("signed long ago", knock(&good, &secret.sign(Timestamp::from_millis(0), good.as_bytes())), &[403]),
        bad("signed for another phone", knock(&good.replace("0001", "0002"), &secret.sign(now, good.as_bytes())), &[403]),
        bad("signed by another run", knock(&good, &SimulatorSecret::from_text("another").sign(now, good.as_bytes())), &[403]),
    ];
    let mut elsewhere = knock(&good, &secret.sign(now, good.as_bytes()));
    elsewhere.extensions_mut().insert(ConnectInfo::<SocketAddr>("192.0.2.7:4711".parse().unwrap()));
    list.push(bad("from elsewhere", elsewhere, &[404]));
    let anne = "phone=%2B15550100001";
    let wrong =
        ["", "phone=", "phone=abc", "phone=%00", "phone=%ff", "phone[$gt]=", &format!("{anne}&after=-1"), &format!("{anne}&after=x")];
    let waits = [&format!("{anne}&after=0&wait_ms=x"), &format!("{anne}&{anne}"), &format!("{anne}&user=x")];
    for query in wrong.into_iter().chain(waits.map(String::as_str)) {
        let target = format!("{path}?{query}");
        list.push(bad(query, knock(&target, &secret.sign(now, target.as_bytes())), &[400]));
    }
    list
}

fn bad_queries(path: &str, with_token: &dyn Fn(&str) -> Request<Body>) -> Vec<Bad> {
    let mut list: Vec<Bad> = ["user=x", "userId[$ne]=x", "cursor[$gt]=", "%24where=1", "search=a&search=b", "a", "pagesize=1"]
        .map(|query| bad(query, with_token(&format!("{path}?{query}")), &[400]))
        .into();
    list.push(bad("nobody", request(Method::GET, path, &[], Body::empty()), &[401]));
    list.push(bad("no token", request(Method::GET, path, &[("authorization", "Bearer \u{fc}")], Body::empty()), &[401]));
    list.push(bad(
        "a token of 10 kB",
        request(Method::GET, path, &[("authorization", &format!("Bearer {}", "x".repeat(10_000)))], Body::empty()),
        &[401],
    ));
    list
}

fn bad_pages(path: &str, with_token: &dyn Fn(&str) -> Request<Body>) -> Vec<Bad> {
    [
        "pageSize=0",
        "pageSize=-1",
        "pageSize=x",
        "pageSize=1e9",
        "cursor=x",
        "cursor=%00",
        "cursor=%ff",
        "cursor={%22$gt%22:1}",
        "cursor=%F0%9F%92%A9",
    ]
    .map(|query| bad(query, with_token(&format!("{path}?{query}")), &[400]))
    .into()
}

fn bad_patches(authorization: &str) -> Vec<Bad> {
    let patch = |body: Vec<u8>| request(Method::PATCH, "/api/me", &[("authorization", authorization)], body);
    let mut list: Vec<Bad> = broken_bodies().into_iter().map(|(name, body, statuses)| bad(name, patch(body), statuses)).collect();
    for body in [
        json!({"preferences": {"unknown": 1}}),
        json!({"_id": "0123456789abcdef01234567"}),
        json!({"metadata": {"messageCount": 0}}),
        json!({"role": "ADMIN"}),
        json!({"preferences": {"endpoint": {"$ne": null}}}),
        json!({"preferences": {"endpoint": "external"}}),
        json!({"preferences": {"defaultModel": 7}}),
        json!({"preferences": {"defaultModel": "x".repeat(10_000)}}),
        json!({"preferences": {"timeZone": "../../etc/passwd"}}),
        json!({"preferences": {"timeZone": "\u{0}"}}),
        json!({"preferences": {"agentId": ["agent_jay"]}}),
        json!({"preferences": {"timeZone": "UTC", "no\u{1b}body": 1}}),
    ] {
        list.push(bad(body.to_string().chars().take(120).collect::<String>(), patch(body.to_string().into_bytes()), &[400]));
    }
    list.push(bad("nobody", request(Method::PATCH, "/api/me", &[], r#"{"preferences":{"timeZone":"UTC"}}"#), &[401]));
    list
}

#[tokio::test]
async fn bad_input_is_refused_clearly_at_every_route_and_nothing_is_stored() {
    let doors = Doors::open("").await;
    let user = doors.say("+15550100009", "I was here before").await["userId"].clone();
    let token = doors.token(TokenKind::User, user.as_str()).await;
    let before = doors.everything().await;
    let mut sent = 0;
    for route in list_routes() {
        for Bad { name, request, statuses } in
            bad_requests(&route.method, route.path, &token, doors.app.simulator.as_ref().unwrap().secret())
        {
            let answer = doors.send(request).await;
            let told = format!("{} {} with {name}: {} {}", route.method, route.path, answer.status, answer.text());
            assert!(statuses.contains(&answer.status.as_u16()), "expected {statuses:?}: {told}");
            // Clear: a problem with a type and a title, one of the fixed bodies, or a webhook's 403 without a word.
            let clear = !answer.problem().is_empty()
                || answer.json()["error"].is_string()
                || (answer.status.as_u16() == 403 && answer.body.is_empty());
            assert!(clear, "{told}");
            assert!(answer.body.len() < 2_000, "an answer does not repeat what it was sent: {told}");
            sent += 1;
        }
    }
    assert!(sent > 200, "{sent}");
    assert_eq!(doors.everything().await, before);
    doors.close().await;
}

#[tokio::test]
async fn a_wrong_field_is_named() {
    let doors = Doors::open_idle("").await;
    for (named, body) in wrong_messages() {
        let answer = doors.post("new", &body, &[]).await;
        let json = answer.json();
        let told = [json["field"].as_str().unwrap_or_default(), json["error"].as_str().unwrap_or_default(), &answer.problem()].join(" ");
        assert!(told.contains(named), "{named:?} is not named for {}: {json}", body.to_string().chars().take(200).collect::<String>());
    }
    assert_eq!(doors.everything().await, json!({"people": [], "jobs": []}));
}

/// Signed, so from the carrier; yet of nobody who could be answered.
#[tokio::test]
async fn signed_nonsense_makes_nobody() {
    let doors = Doors::open_idle("").await;
    for from in ["", "+", "abc", &"5".repeat(10_000), "+1555\u{0}0100001", "{\"$gt\":\"\"}", "\u{fffd}", "whatsapp:+15550100001", "12345"] {
        let form = Text::new(from, "Hello").form();
        let signature = sign(AUTH_TOKEN, &format!("{PUBLIC_URL}/webhooks/twilio"), &form);
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("x-twilio-signature", signature.as_str())];
        let answer = doors.send(request(Method::POST, "/webhooks/twilio", &headers, encode(&form))).await;
        assert!([200, 400].contains(&answer.status.as_u16()), "{from:?}: {answer:?}");
    }
    assert_eq!(doors.everything().await, json!({"people": [], "jobs": []}));
}
