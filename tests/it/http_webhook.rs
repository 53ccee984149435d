//! The carriers' doors.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;

use crate::http_home::{Answer, Doors, request};
use crate::support::twilio::{AUTH_TOKEN, PUBLIC_URL, Text, encode, sign};

const ANNE: &str = "+15550100001";
const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";

/// A form signed for that path.
fn signed(path: &str, form: &[(String, String)]) -> Request<Body> {
    let signature = sign(AUTH_TOKEN, &format!("{PUBLIC_URL}{path}"), form);
    request(Method::POST, path, &[("content-type", FORM), ("x-twilio-signature", &signature)], encode(form))
}

fn is_acknowledged(answer: &Answer) -> bool {
    answer.status.as_u16() == 200
        && answer.headers["content-type"] == "text/xml"
        && answer.text() == r#"<?xml version="1.0" encoding="UTF-8"?><Response></Response>"#
}

#[tokio::test]
async fn a_signed_text_is_stored_and_acknowledged_and_its_repeat_changes_nothing() {
    let doors = Doors::open_idle("").await;
    let text = Text::new(ANNE, "Hällo + jay = 100 %?");
    for _ in 0..3 {
        let answer = doors.send(signed("/webhooks/twilio", &text.form())).await;
        assert!(is_acknowledged(&answer), "{answer:?}");
    }
    let all = doors.everything().await;
    assert_eq!(all["people"].as_array().unwrap().len(), 1);
    assert_eq!(all["people"][0]["user"]["metadata"]["messageCount"], 1);
    let messages = all["people"][0]["messages"].as_array().unwrap();
    assert_eq!((messages.len(), &messages[0]["text"]), (1, &json!("Hällo + jay = 100 %?")));
}

#[tokio::test]
async fn the_path_and_query_are_part_of_what_is_signed() {
    let doors = Doors::open_idle("").await;
    let form = Text::new(ANNE, "Hello").form();
    for path in ["/webhooks/twilio?a=%2B1&b=%e9", "/webhooks/twilio?x=1"] {
        assert!(is_acknowledged(&doors.send(signed(path, &form)).await), "{path}");
        let (mut parts, body) = signed(path, &form).into_parts();
        parts.uri = "/webhooks/twilio?x=2".parse().unwrap();
        assert_eq!(doors.send(Request::from_parts(parts, body)).await.status.as_u16(), 403);
    }
}

#[tokio::test]
async fn whoever_is_not_proven_to_be_the_carrier_learns_nothing() {
    let doors = Doors::open_idle("").await;
    let form = Text::new(ANNE, "Hello").form();
    let signature = sign(AUTH_TOKEN, &format!("{PUBLIC_URL}/webhooks/twilio"), &form);
    let body = encode(&form);
    for (signature, body) in [
        (None, body.clone()),
        (Some(String::new()), body.clone()),
        (Some("not base64 !".to_owned()), body.clone()),
        (Some(sign("another-token", &format!("{PUBLIC_URL}/webhooks/twilio"), &form)), body.clone()),
        (Some(sign(AUTH_TOKEN, "https://evil.example.org/webhooks/twilio", &form)), body.clone()),
        (Some(signature.clone()), body.replace("Hello", "Hullo")),
        (Some(signature.clone()), format!("{body}&Body=Hello2")),
        (Some(signature), String::new()),
    ] {
        let mut headers = vec![("content-type", FORM), ("host", "evil.example.org")];
        headers.extend(signature.as_deref().map(|signature| ("x-twilio-signature", signature)));
        let answer = doors.send(request(Method::POST, "/webhooks/twilio", &headers, body)).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (403, ""), "{signature:?}");
    }
    assert_eq!(doors.everything().await, json!({"people": [], "jobs": []}));
}

#[tokio::test]
async fn closed_doors_and_other_content_are_refused() {
    let doors = Doors::open_idle("").await;
    let form = Text::new(ANNE, "Hello").form();
    for path in ["/webhooks/nobody", "/webhooks/nobody/status", "/webhooks/simulator"] {
        let answer = doors.send(signed(path, &form)).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (404, "not-found"), "{path}");
    }
    // The simulator is there for this machine, and asks for a signature there too; not through a proxy on this machine.
    let local = doors.send_from("127.0.0.1:5000", signed("/webhooks/simulator", &form)).await;
    assert_eq!(local.status.as_u16(), 403);
    let mut proxied = signed("/webhooks/simulator", &form);
    proxied.headers_mut().insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
    assert_eq!(doors.send_from("127.0.0.1:5000", proxied).await.status.as_u16(), 404);
    for content_type in ["text/plain", "multipart/form-data; boundary=x", ""] {
        let mut other = signed("/webhooks/twilio", &form);
        other.headers_mut().insert("content-type", content_type.parse().unwrap());
        assert_eq!(doors.send(other).await.status.as_u16(), 415, "{content_type:?}");
    }
    assert_eq!(doors.everything().await, json!({"people": [], "jobs": []}));
}

#[tokio::test]
async fn senders_who_are_not_answered_are_acknowledged_and_not_stored() {
    let doors = Doors::open_idle("people.admission = \"allowlist\"\npeople.allow = [\"+15550100001\"]").await;
    for (from, body) in [("+15550100002", "Hello"), ("12345", "Hello"), ("ACME", "Hello"), ("whatsapp:+15550100001", "Hello")] {
        let answer = doors.send(signed("/webhooks/twilio", &Text::new(from, body).form())).await;
        assert!(is_acknowledged(&answer), "{from}: {answer:?}");
    }
    assert_eq!(doors.everything().await, json!({"people": [], "jobs": []}));
    assert!(is_acknowledged(&doors.send(signed("/webhooks/twilio", &Text::new(ANNE, "Hello").form())).await));
    assert_eq!(doors.everything().await["people"].as_array().unwrap().len(), 1);
}

/// It was sent and paid for: its sender is told, which only works when it is stored.
#[tokio::test]
async fn a_text_that_is_too_long_is_acknowledged_and_its_sender_told() {
    let doors = Doors::open_idle("limits.text_characters = 20").await;
    assert!(is_acknowledged(&doors.send(signed("/webhooks/twilio", &Text::new(ANNE, &"x".repeat(21)).form())).await));
    let all = doors.everything().await;
    assert_eq!(all["people"][0]["user"]["metadata"]["messageCount"], 1);
    assert!(all["jobs"].as_array().unwrap().iter().any(|job| job.as_str().unwrap().starts_with("deliver-")), "{all}");
}

#[tokio::test]
async fn a_status_is_taken_and_a_closed_store_asks_to_come_again() {
    let doors = Doors::open_idle("").await;
    let form = |status: &str| {
        [
            ("MessageSid", "SM0123456789abcdef0123456789abcdef"),
            ("MessageStatus", status),
            ("AccountSid", crate::support::twilio::ACCOUNT_SID),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
    };
    let taken = doors.send(signed("/webhooks/twilio/status", &form("delivered"))).await;
    assert_eq!((taken.status.as_u16(), taken.text().as_str()), (204, ""));
    doors.app.close().await;
    for path in ["/webhooks/twilio", "/webhooks/twilio/status"] {
        let form = if path.ends_with("status") { form("sent") } else { Text::new(ANNE, "Hello").form() };
        let answer = doors.send(signed(path, &form)).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (503, "storage-unavailable"), "{path}");
        assert!(answer.headers.contains_key("retry-after"));
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_url_is_the_one_it_received() {
    let doors = Doors::open_idle("server.public_url = \"\"\nserver.trusted_proxies = [\"10.0.0.0/8\"]").await;
    let form = Text::new(ANNE, "Hello").form();
    let signature = sign(AUTH_TOKEN, "https://text.example.org/webhooks/twilio", &form);
    let headers = [
        ("content-type", FORM),
        ("host", "inner:8080"),
        ("x-forwarded-host", "text.example.org"),
        ("x-forwarded-proto", "https"),
        ("x-twilio-signature", &signature),
    ];
    let forwarded = || request(Method::POST, "/webhooks/twilio", &headers, encode(&form));
    assert_eq!(doors.send_from("192.0.2.9:1", forwarded()).await.status.as_u16(), 403);
    assert!(is_acknowledged(&doors.send_from("10.1.2.3:1", forwarded()).await));
}

/// Anybody can post one, and it is held and hashed before it is known whose it is.
#[tokio::test]
async fn a_webhook_is_small_whatever_other_bodies_may_be() {
    let limit = 128 * 1024;
    for (settings, limit) in [("server.body_limit_bytes = 8388608", limit), ("server.body_limit_bytes = 4096", 4096)] {
        let doors = Doors::open_idle(settings).await;
        let mut form = Text::new(ANNE, "Hello").form();
        form.push(("Filler".to_owned(), String::new()));
        let missing = limit - encode(&form).len();
        form.last_mut().unwrap().1 = "x".repeat(missing);
        for path in ["/webhooks/twilio", "/webhooks/twilio/status"] {
            let fits = doors.send(signed(path, &form)).await;
            assert_ne!(fits.status.as_u16(), 413, "{path}: {}", fits.text());
        }
        form.last_mut().unwrap().1.push('x');
        let before = doors.everything().await;
        for path in ["/webhooks/twilio", "/webhooks/twilio/status"] {
            let refused = doors.send(signed(path, &form)).await;
            assert_eq!((refused.status.as_u16(), refused.problem().as_str()), (413, "body-too-large"), "{settings}: {path}");
        }
        assert_eq!(doors.everything().await, before);
    }
}
