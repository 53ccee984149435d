//! Every door that the list has is there, and nothing else; what health and figures show to whom.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::http::Method;
use scrubjay::domain::token::TokenKind;
use scrubjay::http::{ProblemKind, list_routes, serve};
use serde_json::json;

use crate::http_home::{Doors, request};

#[tokio::test]
async fn every_listed_route_is_served_and_other_methods_are_refused() {
    let doors = Doors::open_idle("").await;
    let mut methods: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for route in list_routes() {
        methods.entry(route.path).or_default().insert(route.method);
    }
    for (path, served) in methods {
        let concrete = path
            .replace("{gateway}", "twilio")
            .replace("{conversationId}", "0192f3a4-0000-7000-8000-000000000000")
            .replace("{name}", "invalid-json");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let answer = doors.send(request(method.parse().unwrap(), &concrete, &[], Body::empty())).await;
            assert_eq!(answer.status.as_u16() == 405, !served.contains(method), "{method} {path}: {}", answer.status);
            if answer.status.as_u16() == 405 {
                assert_eq!(answer.problem(), "method-not-allowed");
                let allowed: BTreeSet<String> = answer.headers["allow"].to_str().unwrap().split(", ").map(str::to_owned).collect();
                assert!(served.is_subset(&allowed), "{path}: {allowed:?}");
            }
        }
    }
    for path in ["/", "/api", "/api/", "/webhooks", "/webhooks/twilio/", "/api/me/", "/nowhere", "/api/messages/a/b", "/API/me"] {
        let answer = doors.send(request(Method::GET, path, &[], Body::empty())).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (404, "not-found"), "{path}");
    }
}

#[tokio::test]
async fn health_and_documents_are_open() {
    let doors = Doors::open_idle("").await;
    let get = |path: &str| doors.send(request(Method::GET, path, &[], Body::empty()));
    assert_eq!(get("/health").await.text(), "OK");
    assert_eq!(get("/health/live").await.json()["live"], true);
    let ready = get("/health/ready").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["parts"]["storage"]), (200, &json!("ok")));
    doors.app.health.gateway_stopped("twilio", "20003: authenticate");
    let red = get("/health/ready").await;
    assert_eq!((red.status.as_u16(), &red.json()["ready"]), (503, &json!(false)));
    doors.app.health.gateway_sends("twilio");
    assert_eq!(get("/health/ready").await.status.as_u16(), 200);
    assert_eq!(get("/api/openapi.json").await.json()["openapi"], "3.1.1");
    for kind in ProblemKind::ALL {
        let told = get(&kind.uri()).await.json();
        assert_eq!((&told["type"], &told["status"]), (&json!(kind.uri()), &json!(kind.status().as_u16())));
    }
    assert_eq!(get("/problems/none-of-ours").await.status.as_u16(), 404);
}

#[tokio::test]
async fn figures_are_for_this_machine_and_for_the_host() {
    let doors = Doors::open_idle("").await;
    let get = |headers: &[(&str, &str)]| request(Method::GET, "/metrics", headers, Body::empty());
    assert_eq!(doors.send(get(&[])).await.status.as_u16(), 401);
    // No figures are kept here, so the door opens onto nothing; whoever may not open it is told so first.
    assert_eq!(doors.send_from("127.0.0.1:1", get(&[])).await.status.as_u16(), 404);
    assert_eq!(doors.send_from("127.0.0.1:1", get(&[("x-forwarded-for", "192.0.2.1")])).await.status.as_u16(), 401);
    for (kind, status) in [(TokenKind::Admin, 404), (TokenKind::Service, 403)] {
        let bearer = format!("Bearer {}", doors.token(kind, None).await);
        assert_eq!(doors.send(get(&[("authorization", &bearer)])).await.status.as_u16(), status);
    }
}

/// Over a socket, because a connection that is closed with unread bytes in it is reset and takes the answer with it.
#[tokio::test]
async fn whoever_sends_too_much_gets_to_read_why() {
    let doors = Doors::open_idle("").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(serve(listener, doors.router(), doors.stop.clone(), std::time::Duration::from_secs(5)));
    let client = crate::support::http_client();
    let huge = vec![b'x'; 6 * 1024 * 1024];
    let post = |path: &str| client.post(format!("http://{address}{path}")).body(huge.clone());
    let key = crate::support::home::API_KEY;
    assert_eq!(post("/api/messages/new").send().await.unwrap().status().as_u16(), 401);
    assert_eq!(post("/api/messages/new").header("x-api-key", "wrong").send().await.unwrap().status().as_u16(), 403);
    assert_eq!(post("/api/messages/new").header("x-api-key", key).send().await.unwrap().status().as_u16(), 413);
    let form = post("/webhooks/twilio").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(form.send().await.unwrap().status().as_u16(), 413);
    doors.stop.drain.cancel();
    tokio::time::timeout(std::time::Duration::from_secs(10), serving).await.unwrap().unwrap();
}
