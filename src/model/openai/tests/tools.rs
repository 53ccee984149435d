//! Tools: what is offered and given back, and the calls that come in every shape that servers have for them.

use std::sync::Arc;

use super::*;
use crate::domain::step::ToolCall;
use crate::model::{ToolSpec, ToolStep};

fn spec(name: &str) -> ToolSpec {
    let schema = json!({ "properties": { "text": { "type": ["string", "null"] } }, "additionalProperties": false });
    ToolSpec::new(name, "Does it.", schema.as_object().unwrap())
}

fn offering() -> CompletionRequest {
    CompletionRequest { tools: Arc::new([spec("add"), spec("list")]), ..request() }
}

fn called(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned(), extra: None }
}

async fn answered(request: &CompletionRequest, body: &str) -> (Result<Completion, ModelError>, String, usize) {
    let fake = Fake::start(vec![stream(body)]).await;
    let pieces = Mutex::new(String::new());
    let sink = |piece: &str| pieces.lock().unwrap().push_str(piece);
    let outcome = client(&fake.base_url, limits()).complete(request, &sink).await;
    (outcome, pieces.into_inner().unwrap(), fake.seen().bodies.len())
}

/// An answer made of these pieces of calls, one event each.
fn stream_of(calls: &[serde_json::Value], finish: &str) -> String {
    calls.iter().map(|calls| event(&json!({ "tool_calls": calls }), None)).collect::<String>() + &end(finish)
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table of what servers do")]
async fn calls_are_put_together_whatever_the_server_makes_of_them() {
    let milk = r#"{"text":"milk"}"#;
    let add_and_list = [called("a", "add", milk), called("b", "list", "{}")];
    let twice = [called("", "add", milk), called("", "add", r#"{"text":"eggs"}"#)];
    for (what, pieces, calls) in [
        (
            "OpenAI: numbered, named once, arguments in pieces, two at once",
            vec![
                json!([{ "index": 0, "id": "a", "type": "function", "function": { "name": "add", "arguments": "" } }]),
                json!([{ "index": 0, "function": { "arguments": "{\"text\":" } }]),
                json!([{ "index": 1, "id": "b", "type": "function", "function": { "name": "list", "arguments": "" } }]),
                json!([{ "index": 0, "function": { "arguments": "\"milk\"}" } }, { "index": 1, "function": { "arguments": "{}" } }]),
            ],
            &add_and_list[..],
        ),
        (
            "whole calls in one piece",
            vec![
                json!([{ "index": 0, "id": "a", "function": { "name": "add", "arguments": milk } }, { "index": 1, "id": "b", "function": { "name": "list", "arguments": "{}" } }]),
            ],
            &add_and_list,
        ),
        (
            "no number, arguments as objects",
            vec![
                json!([{ "id": "a", "function": { "name": "add", "arguments": { "text": "milk" } } }]),
                json!([{ "id": "b", "function": { "name": "list", "arguments": {} } }]),
            ],
            &add_and_list,
        ),
        (
            "no number, arguments in pieces that name nothing",
            vec![
                json!([{ "id": "a", "function": { "name": "add", "arguments": "{\"text\":" } }]),
                json!([{ "function": { "arguments": "\"milk\"}" } }]),
                json!([{ "id": "b", "function": { "name": "list" } }]),
                json!([{ "id": null, "function": { "name": null, "arguments": "{}" } }]),
            ],
            &add_and_list,
        ),
        (
            "number 0 at each call",
            vec![
                json!([{ "index": 0, "id": "a", "function": { "name": "add", "arguments": milk } }]),
                json!([{ "index": 0, "id": "b", "function": { "name": "list", "arguments": "{}" } }]),
            ],
            &add_and_list,
        ),
        (
            "neither number nor id, the same tool twice",
            vec![
                json!([{ "function": { "name": "add", "arguments": { "text": "milk" } } }]),
                json!([{ "id": "", "function": { "name": "add", "arguments": { "text": "eggs" } } }]),
            ],
            &twice,
        ),
        (
            "number 0 at each, without ids",
            vec![
                json!([{ "index": 0, "function": { "name": "add", "arguments": milk } }, { "index": 0, "function": { "name": "add", "arguments": "{\"text\":\"eggs\"}" } }]),
            ],
            &twice,
        ),
        (
            "name and id with every piece, and at the end once more",
            vec![
                json!([{ "index": "0", "id": "a", "function": { "name": "add", "arguments": "{\"text\"" } }]),
                json!([{ "index": "0", "id": "a", "function": { "name": "add", "arguments": ":\"milk\"}" } }]),
                json!([{ "index": "0", "id": "a", "function": { "name": "add", "arguments": "" } }]),
                json!([null, { "index": 1, "id": "b", "function": { "name": "list", "arguments": null } }]),
                json!([{ "index": 1, "function": { "name": "list", "arguments": "{}" } }]),
                json!([]),
            ],
            &add_and_list,
        ),
        (
            "an id that comes late, an empty object in the place of what follows",
            vec![
                json!([{ "index": 0, "function": { "name": "add", "arguments": "{}" } }]),
                json!([{ "index": 0, "function": { "arguments": milk } }]),
                json!([{ "index": 1, "function": { "name": "list", "arguments": "" } }]),
                json!([{ "index": 1, "id": "b", "function": { "arguments": "{}" } }]),
            ],
            &[called("", "add", milk), called("b", "list", "{}")],
        ),
        (
            "one id for two calls, arguments that are no JSON, a call without a name",
            vec![
                json!([{ "index": 0, "id": "a", "function": { "name": "add", "arguments": "{text: milk" } }, { "index": 1, "id": "a", "function": { "name": "list", "arguments": "" } }, { "index": 2, "id": "c" }]),
            ],
            &[called("a", "add", "{text: milk"), called("", "list", "")],
        ),
    ] {
        for finish in ["tool_calls", "stop", "function_call", "tool_use", ""] {
            let (outcome, told, requests) = answered(&offering(), &stream_of(&pieces, finish)).await;
            let completion = outcome.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(
                (completion.calls.as_slice(), completion.text.as_str(), told.as_str(), requests),
                (calls, "", "", 1),
                "{what}, {finish:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_said_beside_calls_is_text_and_what_its_server_wants_back_is_kept() {
    let call = json!([{ "index": 0, "id": "a", "function": { "name": "add", "arguments": "{}" }, "extra_content": { "google": { "thought_signature": "s" } } }]);
    let body = pieces(&["One", " moment."]) + &event(&json!({ "tool_calls": call }), None) + &end("tool_calls");
    let (outcome, told, _) = answered(&offering(), &body).await;
    let completion = outcome.unwrap();
    assert_eq!((completion.text.as_str(), told.as_str()), ("One moment.", "One moment."));
    assert_eq!(completion.calls[0].extra, Some(json!({ "google": { "thought_signature": "s" } })));
    assert_eq!(completion.usage.total_tokens, 12);
    // A whole answer in place of a stream.
    let message =
        json!({ "content": null, "tool_calls": [{ "id": "a", "type": "function", "function": { "name": "list", "arguments": "{}" } }] });
    let whole = json!({ "choices": [{ "message": message, "finish_reason": "tool_calls" }] }).to_string();
    let fake = Fake::start(vec![plain(200, "", &whole)]).await;
    let completion = client(&fake.base_url, limits()).complete(&offering(), &|_| ()).await.unwrap();
    assert_eq!((completion.calls, completion.cut_short), (vec![called("a", "list", "{}")], false));
}

#[tokio::test]
async fn an_answer_that_breaks_off_within_a_call_is_asked_for_again() {
    let begun_call =
        event(&json!({ "tool_calls": [{ "index": 0, "id": "a", "function": { "name": "add", "arguments": "{\"te" } }] }), None);
    let broken = [begun(&[begun_call.as_bytes()]), vec![Step::Close]].concat();
    let whole = stream(&stream_of(&[json!([{ "id": "a", "function": { "name": "list", "arguments": "{}" } }])], "tool_calls"));
    let fake = Fake::start(vec![broken, whole]).await;
    let completion = client(&fake.base_url, limits()).complete(&offering(), &|_| ()).await.unwrap();
    assert_eq!((completion.calls, fake.seen().bodies.len()), (vec![called("a", "list", "{}")], 2));
}

#[tokio::test]
async fn calls_that_cannot_be_are_refused() {
    let named = |count: usize| json!((0..count).map(|at| json!({ "index": at, "function": { "name": "add" } })).collect::<Vec<_>>());
    let refused = |outcome: Result<Completion, ModelError>, words: &str| match outcome {
        Err(ModelError::Refused { reason }) if reason.contains(words) => {}
        other => panic!("wanted Refused with {words:?}, got {other:?}"),
    };
    refused(answered(&offering(), &stream_of(&[named(65)], "tool_calls")).await.0, "more than 64 calls");
    refused(answered(&request(), &stream_of(&[named(1)], "stop")).await.0, "offered none");
    let long = json!([{ "index": 0, "function": { "name": "add", "arguments": "x".repeat(300 * 1024) } }]);
    refused(answered(&offering(), &stream_of(&[long], "tool_calls")).await.0, "256 KiB");
    // Text beside a call that nobody offered is an answer.
    let body = pieces(&["Hello"]) + &event(&json!({ "tool_calls": named(1) }), None) + &end("tool_calls");
    let completion = answered(&request(), &body).await.0.unwrap();
    assert_eq!((completion.text.as_str(), completion.calls.len()), ("Hello", 0));
    let (outcome, _, requests) = answered(&offering(), &end("tool_calls")).await;
    assert!(matches!(outcome, Err(ModelError::Unavailable { reason, .. }) if reason.contains("named none")));
    assert_eq!(requests, 1);
}

async fn sent(request: &CompletionRequest, change: impl FnOnce(&mut EndpointSettings)) -> serde_json::Value {
    let fake = Fake::start(vec![good()]).await;
    let mut settings = settings(&fake.base_url);
    change(&mut settings);
    let model = OpenAi::open(&Endpoint::parse("local").unwrap(), &settings).unwrap();
    model.complete(request, &|_| ()).await.unwrap();
    serde_json::from_str(&fake.seen().bodies[0]).unwrap()
}

#[tokio::test]
async fn tools_and_earlier_steps_are_sent_as_the_protocol_has_them() {
    let signed = ToolCall { extra: Some(json!({ "s": 1 })), ..called("a", "add", r#"{"text":"milk"}"#) };
    let step = |text: &str, calls| ToolStep { text: text.to_owned(), calls };
    let steps = vec![
        step("", vec![(signed, r#"{"id":1}"#.to_owned()), (called("b", "list", "{oops"), "Error: no JSON".to_owned())]),
        step("Once more.", vec![(called("c", "list", ""), "[]".to_owned())]),
    ];
    let request = CompletionRequest { steps, one_call_a_step: true, ..offering() };
    let body = sent(&request, |_| {}).await;
    let call = |id: &str, name: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
    let mut signed = call("a", "add", r#"{"text":"milk"}"#);
    signed["extra_content"] = json!({ "s": 1 });
    assert_eq!(
        body["messages"].as_array().unwrap()[2..],
        [
            json!({ "role": "assistant", "content": null, "tool_calls": [signed, call("b", "list", "{}")] }),
            json!({ "role": "tool", "tool_call_id": "a", "content": "{\"id\":1}" }),
            json!({ "role": "tool", "tool_call_id": "b", "content": "Error: no JSON" }),
            json!({ "role": "assistant", "content": "Once more.", "tool_calls": [call("c", "list", "{}")] }),
            json!({ "role": "tool", "tool_call_id": "c", "content": "[]" }),
        ]
    );
    let parameters = json!({ "type": "object", "properties": { "text": { "type": "string" } } });
    assert_eq!(
        body["tools"][0],
        json!({ "type": "function", "function": { "name": "add", "description": "Does it.", "parameters": parameters } })
    );
    assert_eq!((&body["tools"].as_array().unwrap().len(), &body["parallel_tool_calls"]), (&2, &json!(false)));
}

#[tokio::test]
async fn what_concerns_tools_is_sent_only_beside_tools_and_only_where_it_is_taken() {
    let one = CompletionRequest { one_call_a_step: true, ..offering() };
    let drop = |settings: &mut EndpointSettings| settings.drop_params = vec!["parallel_tool_calls".to_owned()];
    assert_eq!(sent(&one, drop).await["parallel_tool_calls"], json!(null));
    let add = |settings: &mut EndpointSettings| {
        settings.add_params.insert("parallel_tool_calls".to_owned(), json!(true));
        settings.add_params.insert("tool_choice".to_owned(), json!("auto"));
    };
    let body = sent(&one, add).await;
    assert_eq!((&body["parallel_tool_calls"], &body["tool_choice"]), (&json!(true), &json!("auto")));
    let last = CompletionRequest { must_answer: true, ..offering() };
    let body = sent(&last, add).await;
    assert_eq!((&body["tool_choice"], body["tools"].as_array().unwrap().len()), (&json!("none"), 2), "who must answer has no choice");
    assert_eq!(sent(&last, |settings| settings.drop_params = vec!["tool_choice".to_owned()]).await.get("tool_choice"), None);
    assert_eq!(sent(&CompletionRequest { must_answer: true, ..request() }, add).await.get("tool_choice"), None);
    for plain in [sent(&CompletionRequest { one_call_a_step: true, ..request() }, add).await, sent(&request(), |_| {}).await] {
        for name in ["tools", "tool_choice", "parallel_tool_calls"] {
            assert_eq!(plain.get(name), None);
        }
    }
    assert_eq!(sent(&offering(), |_| {}).await.get("parallel_tool_calls"), None);
}

#[tokio::test]
async fn an_agents_parameters_win_except_over_what_the_server_does_not_take() {
    let parameters = json!({ "temperature": 0.2, "max_tokens": 7, "top_p": 0.5, "model": "other", "messages": [], "stream": false });
    let request = CompletionRequest { parameters: Arc::new(parameters.as_object().unwrap().clone()), ..request() };
    let body = sent(&request, |settings| {
        settings.add_params.insert("temperature".to_owned(), json!(1));
        settings.drop_params = vec!["top_p".to_owned()];
    })
    .await;
    assert_eq!((&body["temperature"], &body["max_tokens"], body.get("top_p")), (&json!(0.2), &json!(7), None));
    assert_eq!((&body["model"], &body["stream"], body["messages"].as_array().unwrap().len()), (&json!("asked-model"), &json!(true), 2));
}
