//! What comes in wrong is refused in the protocol's words, and nothing is done.

use axum::body::Body;
use axum::http::Method;
use scrubjay::domain::token::TokenKind;
use serde_json::json;

use super::{Desk, POST, newest, post};
use crate::http_home::{ABSENT, request};

/// What is wrong, the headers and the body that are sent, and the status and the code that come back.
type Wrong<'a> = (&'a str, Vec<(&'a str, &'a str)>, Vec<u8>, u16, i64);

#[tokio::test]
async fn what_is_no_message_is_refused_in_the_protocols_words() {
    let desk = Desk::open().await;
    let ann = desk.person("+15550100001").await;
    let bearer = format!("Bearer {}", desk.doors.token(TokenKind::User, Some(&ann)).await);
    let add = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "memory_add", "arguments": {"text": "x"}}});
    let one = add.to_string();
    let large = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"memory_add","arguments":{{"text":"{}"}}}}}}"#,
        "x".repeat(4 * 1024 * 1024)
    );
    let prompt = json!({"jsonrpc": "2.0", "id": 1, "method": "prompts/get", "params": {"name": "x".repeat(10_000)}}).to_string();
    let method = json!({"jsonrpc": "2.0", "id": 1, "method": "x".repeat(10_000)}).to_string();
    let deep = format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    let newest_version = ("mcp-protocol-version", "2026-07-28");
    let table: Vec<Wrong<'_>> = vec![
        ("nothing", vec![], vec![], 400, -32700),
        ("not JSON", vec![], b"{".to_vec(), 400, -32700),
        ("not UTF-8", vec![], b"{\"a\":\"\xff\"}".to_vec(), 400, -32700),
        ("nested without end", vec![], deep.into_bytes(), 400, -32700),
        ("two in one", vec![], format!("{one}{one}").into_bytes(), 400, -32700),
        ("a batch", vec![], format!("[{one},{one}]").into_bytes(), 400, -32600),
        ("an empty batch", vec![], b"[]".to_vec(), 400, -32600),
        ("a number", vec![], b"7".to_vec(), 400, -32600),
        ("an object", vec![], b"{}".to_vec(), 400, -32600),
        ("another JSON-RPC", vec![], one.replace("\"2.0\"", "\"1.0\"").into_bytes(), 400, -32600),
        ("an id that is none", vec![], one.replace("\"id\":1", "\"id\":{}").into_bytes(), 400, -32600),
        ("too long", vec![], large.into_bytes(), 413, -32600),
        ("another type", vec![("content-type", "text/plain")], one.clone().into_bytes(), 415, -32600),
        ("no type", vec![("content-type", ABSENT)], one.clone().into_bytes(), 415, -32600),
        ("no events accepted", vec![("accept", "application/json")], one.clone().into_bytes(), 406, -32600),
        ("an unknown revision", vec![("mcp-protocol-version", "2099-01-01")], one.clone().into_bytes(), 400, -32600),
        ("a revision that is none", vec![("mcp-protocol-version", "x")], one.clone().into_bytes(), 400, -32600),
        (
            "the newest revision without its fields",
            vec![newest_version, ("mcp-method", "tools/call"), ("mcp-name", "memory_add")],
            one.clone().into_bytes(),
            400,
            -32602,
        ),
        ("a name that is no text", vec![], one.replace("\"memory_add\"", "5").into_bytes(), 200, -32602),
        ("arguments that are no object", vec![], one.replace("{\"text\":\"x\"}", "[1]").into_bytes(), 200, -32602),
        ("no parameters", vec![], br#"{"jsonrpc":"2.0","id":1,"method":"resources/read"}"#.to_vec(), 200, -32602),
        ("a prompt that is none", vec![], prompt.into_bytes(), 200, -32602),
        ("a method there is not", vec![], method.into_bytes(), 200, -32601),
        ("an answer nobody asked for", vec![], br#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_vec(), 400, -32600),
    ];
    for (what, headers, body, status, code) in table {
        let mut headers = headers;
        headers.push(("authorization", bearer.as_str()));
        let answer = desk.send(post("/mcp", &headers, body)).await;
        assert_eq!((answer.status.as_u16(), answer.json()["error"]["code"].as_i64()), (status, Some(code)), "{what}: {}", answer.text());
        assert_eq!(answer.headers["content-type"], "application/json", "{what}");
        assert!(answer.body.len() < 2_000, "{what}: the answer repeats what was sent");
    }
    // What contradicts itself between head and body.
    for headers in [[("mcp-name", "memory_list")], [("mcp-method", "tools/list")], [("mcp-protocol-version", "2025-11-25")]] {
        let mut headers = headers.to_vec();
        headers.push(("authorization", bearer.as_str()));
        let answer = desk.send(newest("/mcp", &headers, "tools/call", json!({"name": "memory_add", "arguments": {"text": "x"}}))).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["error"]["code"].as_i64()),
            (400, Some(-32020)),
            "{headers:?}: {}",
            answer.text()
        );
    }
    assert!(desk.notes.kept.lock().unwrap().is_empty(), "nothing was done");
    desk.doors.close().await;
}

#[tokio::test]
async fn only_post_is_taken() {
    let desk = Desk::open().await;
    let ann = desk.person("+15550100001").await;
    let bearer = format!("Bearer {}", desk.doors.token(TokenKind::User, Some(&ann)).await);
    for method in [Method::GET, Method::DELETE, Method::PUT, Method::PATCH, Method::OPTIONS] {
        let mut headers = POST.to_vec();
        headers.extend([("authorization", bearer.as_str()), ("mcp-session-id", "somebody-elses")]);
        let answer = desk.send(request(method.clone(), "/mcp", &headers, Body::empty())).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["allow"]),
            (405, &"POST".parse::<axum::http::HeaderValue>().unwrap()),
            "{method}"
        );
    }
    // A notification is taken and not answered; a session's id means nothing.
    let headers = [("authorization", bearer.as_str()), ("mcp-session-id", "somebody-elses")];
    let answer = desk.send(post("/mcp", &headers, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (202, 0));
    desk.doors.close().await;
}
