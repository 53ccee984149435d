//! How often one person may be called for.

use axum::http::header::RETRY_AFTER;
use scrubjay::domain::token::TokenKind;
use serde_json::json;

use super::{Desk, newest};

#[tokio::test]
async fn beyond_the_limit_a_person_waits_and_nobody_else() {
    let desk = Desk::with("mcp.calls_per_minute = 3").await;
    let (ann, bob) = (desk.person("+15550100001").await, desk.person("+15550100002").await);
    let ann_token = desk.doors.token(TokenKind::User, Some(&ann)).await;
    let bob_token = desk.doors.token(TokenKind::User, Some(&bob)).await;
    let service = desk.doors.token(TokenKind::Service, None).await;
    // What is refused for another reason is not counted.
    assert_eq!(desk.ask("sj_wrong", "tools/list", json!({})).await.status, 401);
    for _ in 0..3 {
        assert_eq!(desk.ask(&ann_token, "tools/list", json!({})).await.status, 200);
    }
    let (person, by_service) = (format!("Bearer {ann_token}"), format!("Bearer {service}"));
    let own = [("authorization", person.as_str())];
    let named = [("authorization", by_service.as_str()), ("x-user-id", ann.as_str())];
    // By every door, and whoever calls in her name.
    for (path, headers) in [("/mcp", own.as_slice()), ("/mcp/memory", &own), ("/mcp", &named)] {
        let add = json!({"name": "memory_add", "arguments": {"text": "too much"}});
        let refused = desk.send(newest(path, headers, "tools/call", add)).await;
        assert_eq!(refused.status, 429, "{path}: {}", refused.text());
        let wait: u64 = refused.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!((1..=20).contains(&wait), "a call comes free each 20 s, and this one says {wait}");
        let error = &refused.json()["error"];
        assert!(error["message"].as_str().unwrap().contains("mcp.calls_per_minute"), "{error}");
    }
    let bobs = desk.call(&bob_token, "memory_list", json!({})).await;
    assert_eq!(bobs["structuredContent"]["notes"], json!([]));
}

/// The one test that waits: the limit goes by the processor's clock, and a second is what it tells the client to wait.
#[tokio::test]
async fn what_was_refused_stored_nothing_and_after_the_wait_a_call_is_let_in_again() {
    let desk = Desk::with("mcp.calls_per_minute = 60").await;
    let ann = desk.person("+15550100001").await;
    let token = desk.doors.token(TokenKind::User, Some(&ann)).await;
    let bearer = format!("Bearer {token}");
    let add = async |text: &str| {
        let params = json!({"name": "memory_add", "arguments": {"text": text}});
        desk.send(newest("/mcp", &[("authorization", &bearer)], "tools/call", params)).await
    };
    let kept = || desk.notes.kept.lock().unwrap().get(&ann.parse().unwrap()).cloned().unwrap_or_default();
    let (mut let_in, mut refused) = (Vec::new(), None);
    // Calls come free while these are made, one a second.
    for number in 0..600 {
        let text = format!("note {number}");
        let answer = add(&text).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        let_in.push(text);
    }
    let refused = refused.expect("600 calls are over the limit");
    assert!(let_in.len() >= 60, "only {} calls were let in", let_in.len());
    assert_eq!(kept(), let_in, "what was let in, and nothing of what was refused");
    let wait: u64 = refused.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert_eq!(wait, 1, "a call comes free each second");
    tokio::time::sleep(std::time::Duration::from_secs(wait)).await;
    assert_eq!(add("in time").await.status, 200);
    let_in.push("in time".to_owned());
    assert_eq!(kept(), let_in);
}

#[tokio::test]
async fn without_a_limit_nobody_waits() {
    let desk = Desk::with("mcp.calls_per_minute = 0").await;
    let token = desk.doors.token(TokenKind::User, Some(&desk.person("+15550100001").await)).await;
    for _ in 0..700 {
        assert_eq!(desk.ask(&token, "tools/list", json!({})).await.status, 200);
    }
}
