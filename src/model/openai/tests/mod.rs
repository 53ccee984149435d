//! The client against a server that does everything that servers do.

mod fake;
mod tools;

use std::sync::Mutex;

use serde_json::json;

use super::*;
use crate::config::sections::EndpointKind;
use crate::domain::ledger::Usage;
use crate::model::{PromptMessage, Speaker};
use fake::{Fake, Reply, Step, begun, chunk, end, event, pieces, plain, stream};

const KEY: &str = "test-key-0123456789";

fn settings(base_url: &str) -> EndpointSettings {
    EndpointSettings {
        kind: EndpointKind::OpenAi,
        base_url: base_url.to_owned(),
        api_key: KEY.into(),
        models: vec![],
        default_model: "m".to_owned(),
        add_params: serde_json::Map::new(),
        drop_params: vec![],
        tools: true,
        max_tokens: 100,
        connect_seconds: 5,
        first_token_seconds: 5,
        idle_seconds: 5,
        total_seconds: 5,
        retries: 2,
        prompt_token_credits: 0.0,
        completion_token_credits: 0.0,
    }
}

/// Long limits, so that a busy machine fails no test; those that test a limit shorten it.
fn limits() -> Limits {
    let long = Duration::from_secs(20);
    Limits {
        connect: long,
        first_token: long,
        idle: long,
        total: long,
        retries: 2,
        backoff: Duration::from_millis(1),
        longest_wait: Duration::from_millis(300),
    }
}

fn client(base_url: &str, limits: Limits) -> OpenAi {
    OpenAi::with_limits(&Endpoint::parse("local").unwrap(), &settings(base_url), limits).unwrap()
}

fn request() -> CompletionRequest {
    let said = |role, content: &str| PromptMessage { role, content: content.to_owned() };
    let messages = vec![said(Speaker::System, "be brief and kind"), said(Speaker::User, "the secret words of the prompt")];
    CompletionRequest::new("asked-model", messages, "u1")
}

/// What one call gave: the outcome, the pieces that were handed on, and the requests it took.
struct Call {
    outcome: Result<Completion, ModelError>,
    pieces: Vec<String>,
    requests: usize,
}

async fn call_at(base_url: &str, limits: Limits) -> (Result<Completion, ModelError>, Vec<String>) {
    let pieces = Mutex::new(Vec::new());
    let sink = |piece: &str| pieces.lock().unwrap().push(piece.to_owned());
    let model = client(base_url, limits);
    let outcome = tokio::time::timeout(Duration::from_mins(1), model.complete(&request(), &sink)).await.expect("every wait has a limit");
    let pieces = pieces.into_inner().unwrap();
    match &outcome {
        Ok(completion) => assert_eq!(completion.text, pieces.concat(), "the pieces joined are the answer"),
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("endpoint local: "), "{text}");
            for secret in [KEY, "secret words", "127.0.0.1"] {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }
    (outcome, pieces)
}

async fn call_with(replies: Vec<Reply>, limits: Limits) -> Call {
    let fake = Fake::start(replies).await;
    let (outcome, pieces) = call_at(&fake.base_url, limits).await;
    let requests = fake.seen().bodies.len();
    Call { outcome, pieces, requests }
}

async fn call(replies: Vec<Reply>) -> Call {
    call_with(replies, limits()).await
}

fn good() -> Reply {
    stream(&(pieces(&["Hello", " you"]) + &end("stop")))
}

impl Call {
    #[track_caller]
    fn text(&self) -> &str {
        &self.outcome.as_ref().unwrap().text
    }

    #[track_caller]
    fn unavailable(&self, words: &str) -> Option<Duration> {
        match &self.outcome {
            Err(ModelError::Unavailable { reason, after }) if reason.contains(words) => *after,
            other => panic!("wanted Unavailable with {words:?}, got {other:?}"),
        }
    }

    #[track_caller]
    fn refused(&self, words: &str) {
        match &self.outcome {
            Err(ModelError::Refused { reason }) if reason.contains(words) => {}
            other => panic!("wanted Refused with {words:?}, got {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_streamed_answer_comes_in_pieces_with_its_figures() {
    let fake = Fake::start(vec![good()]).await;
    let (outcome, pieces) = call_at(&fake.base_url, limits()).await;
    let usage = Usage { prompt_tokens: 10, completion_tokens: 2, total_tokens: 12 };
    assert_eq!(
        outcome,
        Ok(Completion { text: "Hello you".to_owned(), model: "served-model".to_owned(), usage, cut_short: false, calls: vec![] })
    );
    assert_eq!(pieces, ["Hello", " you"]);
    let seen = fake.seen();
    assert!(seen.heads[0].starts_with("post /v1/chat/completions http/1.1\r\n"), "{}", seen.heads[0]);
    assert!(seen.heads[0].contains(&format!("authorization: bearer {KEY}")) && seen.heads[0].contains("content-type: application/json"));
    let body: serde_json::Value = serde_json::from_str(&seen.bodies[0]).unwrap();
    assert_eq!(
        body,
        json!({
            "model": "asked-model",
            "messages": [{ "role": "system", "content": "be brief and kind" }, { "role": "user", "content": "the secret words of the prompt" }],
            "user": "u1", "stream": true, "stream_options": { "include_usage": true }, "max_tokens": 100,
        })
    );
}

#[tokio::test]
async fn a_stream_cut_between_any_two_bytes_reads_the_same() {
    let body = pieces(&["é", "🙂", "漢"]) + &end("stop");
    let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    let mut reply = begun(&bytes);
    reply.push(Step::Send(b"0\r\n\r\n".into()));
    let call = call(vec![reply]).await;
    assert_eq!((call.text(), call.pieces.len()), ("é🙂漢", 3));
}

#[tokio::test]
async fn connections_are_used_again() {
    let fake = Fake::start(vec![good(), plain(200, "", r#"{"choices":[{"message":{"content":"Hi"}}]}"#), good()]).await;
    let model = client(&fake.base_url, limits());
    for _ in 0..5 {
        model.complete(&request(), &|_| ()).await.unwrap();
    }
    assert_eq!((fake.seen().connections, fake.seen().bodies.len()), (1, 5));
}

#[tokio::test]
async fn without_a_key_no_header_is_sent() {
    let fake = Fake::start(vec![good()]).await;
    let open = EndpointSettings { api_key: "".into(), ..settings(&fake.base_url) };
    let model = OpenAi::open(&Endpoint::parse("local").unwrap(), &open).unwrap();
    model.complete(&request(), &|_| ()).await.unwrap();
    assert!(!fake.seen().heads[0].contains("authorization"));
}

#[tokio::test]
async fn passing_failures_are_tried_again_before_the_first_piece() {
    let broken =
        vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".into()), Step::Close];
    let role = event(&json!({ "role": "assistant", "content": "" }), None);
    for failure in [
        plain(429, "retry-after: 0\r\n", r#"{"error":{"message":"slow down"}}"#),
        plain(429, "retry-after-ms: 20\r\n", "{}"),
        plain(500, "", "oops"),
        plain(503, "retry-after: 0.05\r\n", "<html>busy</html>"),
        plain(408, "", ""),
        vec![Step::Close],
        broken,
        [begun(&[role.as_bytes()]), vec![Step::Close]].concat(),
        stream(&role),
        stream("data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n"),
        stream("{\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n"),
    ] {
        let call = call(vec![failure.clone(), failure.clone(), good()]).await;
        assert_eq!((call.text(), call.requests), ("Hello you", 3), "{failure:?}");
    }
}

#[tokio::test]
async fn tries_end_after_the_configured_number() {
    let call = call(vec![plain(500, "", r#"{"error":{"message":"out of order"}}"#)]).await;
    assert_eq!((call.unavailable("500 (\"out of order\")"), call.requests), (None, 3));
}

#[tokio::test]
async fn a_long_wait_is_handed_to_the_caller() {
    let far = "date: Wed, 21 Oct 2026 07:28:00 GMT\r\nretry-after: Wed, 21 Oct 2026 07:30:00 GMT\r\n";
    for (headers, seconds) in [("retry-after: 30\r\n", 30), (far, 120), ("retry-after: 999999999\r\n", 3600)] {
        let call = call(vec![plain(429, headers, "{}"), good()]).await;
        assert_eq!((call.unavailable("429"), call.requests), (Some(Duration::from_secs(seconds)), 1), "{headers}");
    }
}

#[tokio::test]
async fn nonsense_in_retry_after_is_no_wait() {
    for value in ["-5", "soon", "NaN", "1e300", "Wed, 21 Oct 2026 07:30:00 GMT"] {
        let call = call(vec![plain(429, &format!("retry-after: {value}\r\n"), "{}"), good()]).await;
        assert_eq!((call.text(), call.requests), ("Hello you", 2), "{value}");
    }
}

#[tokio::test]
async fn an_exhausted_account_is_not_asked_again_at_once() {
    let call = call(vec![plain(429, "", r#"{"error":{"message":"pay first","code":"insufficient_quota"}}"#), good()]).await;
    assert_eq!((call.unavailable("pay first"), call.requests), (None, 1));
}

#[tokio::test]
async fn lasting_refusals_are_told_at_once_in_the_servers_words() {
    let key = format!(r#"{{"error":{{"message":"Incorrect API key provided: {KEY}."}}}}"#);
    for (reply, words) in [
        (plain(400, "", r#"{"error":{"message":"max_tokens is not supported"}}"#), "400 (\"max_tokens is not supported\")"),
        (plain(401, "", &key), "is api_key right? (\"Incorrect API key provided: [key]\")"),
        (plain(404, "", "<html>nginx</html>"), "are base_url and the model's name right?"),
        (plain(422, "", r#"{"detail":[{"msg":"bad","input":"the secret words of the prompt"}]}"#), "(\"bad\")"),
        (plain(400, "", r#"{"message":"cannot read 'the secret words of the prompt'"}"#), "quotes the prompt and is left out"),
        (plain(307, "location: http://127.0.0.1:1/\r\n", ""), "a redirect, which is not followed"),
        (plain(200, "", r#"{"hello":"world"}"#), "no chat completion"),
        (plain(200, "", "<!doctype html>"), "not with a chat completion"),
        (stream("data: {\"error\":{\"message\":\"too long\",\"type\":\"invalid_request_error\"}}\n\n"), "too long"),
        (plain(200, "", r#"{"error":{"message":"no such model","code":404}}"#), "no such model"),
    ] {
        let call = call(vec![reply, good()]).await;
        call.refused(words);
        assert_eq!(call.requests, 1, "{words}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let (outcome, pieces) = call_at(&base_url, limits()).await;
    Call { outcome, pieces, requests: 0 }.unavailable("is it running, and is base_url right?");
}

#[tokio::test]
async fn a_stall_before_the_first_token_ends_at_its_limit() {
    let short = Limits { first_token: Duration::from_millis(150), ..limits() };
    let role = event(&json!({ "role": "assistant", "content": "" }), None);
    for stall in [
        vec![Step::Stall],
        [begun(&[]), vec![Step::Stall]].concat(),
        [begun(&[b": keep-alive\n\n", role.as_bytes()]), vec![Step::Stall]].concat(),
        // Comments are no sign of a model at work.
        [begun(&[]), vec![Step::Flood(chunk(b": keep-alive\n\n"))]].concat(),
    ] {
        let call = call_with(vec![stall, good()], short).await;
        assert_eq!((call.unavailable("no token within 0.15 s"), call.requests), (None, 1));
    }
}

#[tokio::test]
async fn a_stall_in_the_middle_ends_at_its_limit_and_is_not_repeated() {
    let stall = [begun(&[pieces(&["Hel"]).as_bytes()]), vec![Step::Stall]].concat();
    let call = call_with(vec![stall, good()], Limits { idle: Duration::from_millis(150), ..limits() }).await;
    assert_eq!((call.unavailable("no further token within 0.15 s"), call.requests), (None, 1));
    assert_eq!(call.pieces, ["Hel"]);
}

#[tokio::test]
async fn all_tries_together_end_at_the_total_limit() {
    let drip = Step::Flood(chunk(event(&json!({ "reasoning_content": "hm" }), None).as_bytes()));
    let total = Limits { total: Duration::from_millis(200), ..limits() };
    let endless = call_with(vec![[begun(&[]), vec![drip]].concat()], total).await;
    assert_eq!(endless.unavailable("no complete answer within 0.2 s"), None);
    let slow = Limits { backoff: Duration::from_secs(5), longest_wait: Duration::from_mins(1), ..total };
    let waiting = call_with(vec![plain(500, "", ""), good()], slow).await;
    assert_eq!((waiting.unavailable("500"), waiting.requests), (None, 1), "a wait beyond the limit is not begun");
}

#[tokio::test]
async fn a_stream_that_breaks_after_the_first_piece_is_not_repeated() {
    let first = pieces(&["Hel"]);
    for reply in [
        [begun(&[first.as_bytes()]), vec![Step::Close]].concat(),
        stream(&first),
        stream(&format!("{first}data: [DO")),
        stream(&format!("{first}data: {{\"error\":{{\"message\":\"gone\",\"code\":502}}}}\n\n")),
        stream(&format!("{first}data: not json\n\n")),
        stream(&(first.clone() + &event(&json!({}), Some("error")))),
        stream(&format!("{first}data: {{\"choices\":[{{\"delta\":{{\"content\":7}}}}]}}\n\n")),
        [begun(&[first.as_bytes(), b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}\n\n"]), vec![Step::Stall]].concat(),
    ] {
        let call = call(vec![reply.clone(), good()]).await;
        call.unavailable("");
        assert_eq!((call.requests, call.pieces.concat().as_str()), (1, "Hel"), "{reply:?}");
    }
}

#[tokio::test]
async fn broken_utf8_and_what_is_not_json_are_told() {
    let utf8 = [begun(&[b"data: {\"choices\":[{\"delta\":{\"content\":\"\xc3\x28\"}}]}\n\n"]), vec![Step::Stall]].concat();
    call(vec![utf8]).await.unavailable("not UTF-8");
    call(vec![stream("data: hello there\n\n")]).await.unavailable("not a chat completion");
    call(vec![stream("hello there\n\n")]).await.unavailable("broke off");
    call(vec![stream("")]).await.unavailable("empty");
    call(vec![plain(200, "", "{\"choices\": [{\"mess")]).await.unavailable("not a chat completion");
}

#[tokio::test]
async fn reasoning_is_never_text() {
    let channels = event(&json!({ "role": "assistant", "content": null, "reasoning_content": "SECRET THOUGHT" }), None)
        + &event(&json!({ "reasoning": "SECRET THOUGHT", "reasoning_details": [{ "text": "SECRET THOUGHT" }] }), None)
        + &event(&json!({ "content": [{ "type": "thinking", "thinking": [{ "text": "SECRET THOUGHT" }] }] }), None);
    let inline = pieces(&["\n<th", "ink>SECRET", " THOUGHT</th", "ink>\n\n"]);
    let call = call(vec![stream(&(channels + &inline + &pieces(&["Hi", " <think>"]) + &end("stop")))]).await;
    assert_eq!((call.text(), call.pieces.len()), ("Hi <think>", 2));
}

#[tokio::test]
async fn missing_figures_are_estimated() {
    for usage in ["", "data: {\"choices\":[],\"usage\":{}}\n\n", "data: {\"choices\":[],\"usage\":null}\n\n"] {
        let body = pieces(&["Hello you"]) + &event(&json!({}), Some("stop")) + usage + "data: [DONE]\n\n";
        let call = call(vec![stream(&body)]).await;
        // 17 and 30 bytes and four a message; 9 bytes.
        let estimate = Usage { prompt_tokens: 5 + 4 + 8 + 4, completion_tokens: 3, total_tokens: 24 };
        assert_eq!(call.outcome.unwrap().usage, estimate, "{usage}");
    }
}

#[tokio::test]
async fn json_in_place_of_a_stream_is_an_answer() {
    let message = json!({ "role": "assistant", "content": "Hello you", "reasoning_content": "SECRET" });
    let whole = json!({ "model": "x", "choices": [{ "message": message, "finish_reason": "length" }], "usage": { "prompt_tokens": 3, "completion_tokens": 2 } });
    let pretty = serde_json::to_string_pretty(&whole).unwrap();
    for reply in [plain(200, "", &pretty), stream(&format!("\n{pretty}"))] {
        let completion = call(vec![reply]).await.outcome.unwrap();
        let usage = Usage { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };
        assert_eq!(completion, Completion { text: "Hello you".to_owned(), model: "x".to_owned(), usage, cut_short: true, calls: vec![] });
    }
}

#[tokio::test]
async fn an_answer_ends_by_its_reason_even_without_the_last_event() {
    let finished = pieces(&["Hello you"]) + &event(&json!({}), Some("stop"));
    let short = Limits { idle: Duration::from_millis(150), ..limits() };
    for reply in [
        stream(&finished),
        [begun(&[finished.as_bytes()]), vec![Step::Close]].concat(),
        [begun(&[finished.as_bytes()]), vec![Step::Stall]].concat(),
        stream(&(pieces(&["Hello you"]) + "data: [DONE]")),
        [begun(&[(finished.clone() + &end("stop")).as_bytes()]), vec![Step::Stall]].concat(),
    ] {
        let call = call_with(vec![reply.clone()], short).await;
        assert_eq!((call.text(), call.requests), ("Hello you", 1), "{reply:?}");
    }
}

#[tokio::test]
async fn how_an_answer_ended_is_told() {
    assert!(call(vec![stream(&(pieces(&["Hel"]) + &end("length")))]).await.outcome.unwrap().cut_short);
    call(vec![stream(&(pieces(&["Hel"]) + &end("content_filter")))]).await.refused("content filter");
    call(vec![stream(&end("stop"))]).await.unavailable("empty");
    call(vec![stream(&(pieces(&[" \n"]) + &end("stop")))]).await.unavailable("empty");
    call(vec![stream(&(pieces(&["<think>hm"]) + &end("length")))]).await.refused("raise max_tokens");
    call(vec![stream(&(event(&json!({ "tool_calls": [{ "index": 0 }] }), None) + &end("tool_calls")))]).await.refused("called a tool");
    assert_eq!(call(vec![stream(&(event(&json!({ "refusal": "I will not." }), None) + &end("stop")))]).await.text(), "I will not.");
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let flood = Step::Flood(chunk(pieces(&[&"word ".repeat(2000)]).as_bytes()));
    let call = call(vec![[begun(&[]), vec![flood]].concat()]).await;
    call.refused("longer than 256 KiB");
    assert!(call.pieces.concat().len() <= answer::MAX_ANSWER);
}

#[tokio::test]
async fn an_endless_line_and_an_endless_body_are_cut_off() {
    let flood = |first: &[u8]| [begun(&[first]), vec![Step::Flood(chunk(&[b'x'; 8192]))]].concat();
    call(vec![flood(b"data: ")]).await.refused("more than 1 MiB");
    call(vec![flood(b"{\"")]).await.refused("longer than 2 MiB");
}

#[tokio::test]
async fn an_error_body_without_end_is_no_trap() {
    let head = Step::Send(b"HTTP/1.1 400 X\r\ntransfer-encoding: chunked\r\n\r\n".into());
    let endless = vec![head.clone(), Step::Flood(chunk(&[b'x'; 8192]))];
    call(vec![endless]).await.refused("400");
    let stalled = vec![head, Step::Stall];
    call_with(vec![stalled], Limits { first_token: Duration::from_millis(150), ..limits() }).await.refused("400");
}

#[tokio::test]
async fn the_check_tells_whether_the_key_is_taken() {
    for (reply, outcome) in [
        (plain(200, "", r#"{"data":[]}"#), Ok("endpoint local answers and takes the key")),
        (plain(404, "", ""), Ok("endpoint local answers, and has no list of models to try the key with")),
        (plain(401, "", r#"{"error":{"message":"no"}}"#), Err("endpoint local: it answered 401: is api_key right? (\"no\")")),
    ] {
        let fake = Fake::start(vec![reply]).await;
        let checked = client(&fake.base_url, limits()).check().await;
        assert_eq!(checked.map_err(|error| error.to_string()), outcome.map(str::to_owned).map_err(str::to_owned));
        assert!(fake.seen().heads[0].starts_with("get /v1/models http/1.1\r\n"));
    }
}

#[test]
fn an_address_is_taken_in_the_forms_people_write_it() {
    for base_url in ["http://h:1/v1", "http://h:1/v1/", " http://h:1/v1/chat/completions", "http://h:1/v1/chat/completions/"] {
        assert_eq!(client(base_url, limits()).completions.as_str(), "http://h:1/v1/chat/completions");
    }
    for wrong in ["", "h:1/v1", "ftp://h/v1", "http://"] {
        let error = OpenAi::with_limits(&Endpoint::parse("local").unwrap(), &settings(wrong), limits()).err().unwrap();
        assert!(error.starts_with("endpoints.local.base_url is wrong"), "{error}");
    }
}
