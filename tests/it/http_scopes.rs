//! What a token's scopes open, at every door that asks for a bearer.

use axum::body::Body;
use axum::http::{Method, Request};
use scrubjay::domain::ids::UserId;
use scrubjay::domain::token::{Scope, Token, TokenKind};
use scrubjay::http::document;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::http_home::{Doors, request};

const ANNE: &str = "+15550100001";
const ABSENT: &str = "0192f3a4-0000-7000-8000-000000000000";

/// Every operation that asks for a bearer: method, path, and the scope that the document names.
fn bearers_doors() -> Vec<(Method, String, String)> {
    let document = document();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let scopes = operation["security"].as_array().unwrap().iter().find_map(|scheme| scheme.get("bearer"));
            let Some(scopes) = scopes else { continue };
            assert_eq!(scopes.as_array().unwrap().len(), 1, "{method} {path}");
            found.push((method.to_uppercase().parse().unwrap(), path.clone(), scopes[0].as_str().unwrap().to_owned()));
        }
    }
    found
}

fn knock(method: &Method, path: &str, token: &str) -> Request<Body> {
    let body = if *method == Method::PATCH { r#"{"preferences":{"timeZone":"UTC"}}"# } else { "" };
    let path = path.replace("{conversationId}", ABSENT);
    request(method.clone(), &path, &[("authorization", &format!("Bearer {token}"))], body)
}

#[tokio::test]
async fn a_token_opens_the_doors_of_its_scopes_alone() {
    let doors = Doors::open("").await;
    let user = doors.say(ANNE, "Hello").await["userId"].clone();
    let user = user.as_str().unwrap();
    let listed = bearers_doors();
    assert!(listed.len() >= 8, "{listed:?}");
    for (method, path, needed) in listed {
        // Looking needs the one, changing the other.
        assert_eq!(needed, if method == Method::GET { "read" } else { "write" }, "{method} {path}");
        let (kind, whose) = if path == "/metrics" { (TokenKind::Admin, None) } else { (TokenKind::User, Some(user)) };
        let cases: [(&[Scope], bool); 4] =
            [(&[], true), (&[Scope::Read], needed == "read"), (&[Scope::Write], needed == "write"), (&[Scope::Read, Scope::Write], true)];
        for (scopes, opens) in cases {
            let token = doors.token_for(kind, whose, scopes).await;
            // Streams that open do not end.
            let answer = doors.send_stream(knock(&method, &path, &token), std::time::Duration::from_millis(200)).await;
            assert_eq!(answer.status.as_u16() != 403, opens, "{method} {path} with {scopes:?}: {}", answer.text());
            if !opens {
                assert_eq!((answer.problem(), &answer.json()["scope"]), ("missing-scope".to_owned(), &json!(needed)));
                assert!(answer.json()["detail"].as_str().unwrap().contains(&format!("{needed:?}")), "{}", answer.text());
                let challenge = format!("Bearer error=\"insufficient_scope\", scope={needed:?}");
                assert_eq!(answer.headers["www-authenticate"], challenge.as_str());
            }
        }
    }
    doors.close().await;
}

#[tokio::test]
async fn a_token_without_the_scope_changes_nothing() {
    let doors = Doors::open("").await;
    let said = doors.say(ANNE, "Hello").await;
    let before = doors.everything().await;
    let token = doors.token_for(TokenKind::User, said["userId"].as_str(), &[Scope::Read]).await;
    let conversation = format!("/api/conversations/{}", said["conversationId"].as_str().unwrap());
    for (method, path) in [(Method::DELETE, conversation.as_str()), (Method::PATCH, "/api/me")] {
        assert_eq!(doors.send(knock(&method, path, &token)).await.status.as_u16(), 403);
    }
    assert_eq!(doors.everything().await, before);
    let writer = doors.token_for(TokenKind::User, said["userId"].as_str(), &[Scope::Write]).await;
    assert_eq!(doors.send(knock(&Method::DELETE, &conversation, &writer)).await.status.as_u16(), 204);
    doors.close().await;
}

/// A row of an older or a newer version, or one that somebody wrote by hand.
#[tokio::test]
async fn a_stored_word_that_is_no_scope_grants_nothing() {
    let doors = Doors::open("").await;
    let user = doors.say(ANNE, "Hello").await["userId"].clone();
    let user_id: UserId = user.as_str().unwrap().parse().unwrap();
    let state = doors.app.http_state(None, doors.stop.clone()).unwrap();
    for (number, words, opens) in [(0, vec!["everything"], false), (1, vec!["everything", "read"], true)] {
        let secret = format!("sj_{number}");
        let token = Token {
            id: state.clock.uuid(),
            hash: Sha256::digest(secret.as_bytes()).into(),
            kind: TokenKind::User,
            user_id: Some(user_id),
            scopes: words.iter().map(|&word| word.to_owned()).collect(),
            expires_at: None,
            created_at: state.clock.now(),
        };
        state.store.add_token(token).await.unwrap();
        let status = doors.get("/api/me", &secret).await.status.as_u16();
        assert_eq!(status, if opens { 200 } else { 403 }, "{words:?}");
        assert_eq!(doors.send(knock(&Method::PATCH, "/api/me", &secret)).await.status.as_u16(), 403, "{words:?}");
    }
    doors.close().await;
}
