//! The external message API: its answers in the order of its table, as JSON and as events, and its repeats.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::http_home::{ABSENT, Doors, message, request};
use crate::support::home::API_KEY;
use crate::support::model::{ModelServer, Reaction};

const ANNE: &str = "+15550100001";
const BERT: &str = "+15550100002";

fn text(from: &str, content: &str) -> Value {
    json!({"role": "external", "content": content, "from": from})
}

/// Settings for a model that the test plays; one attempt, so that a failure is final.
fn model_settings(model: &ModelServer, attempts: u32) -> String {
    format!(
        r#"
        endpoints.default = "openAI"
        endpoints.openAI.base_url = "{}"
        endpoints.openAI.default_model = "test-model"
        endpoints.openAI.retries = 0
        worker.attempts = {attempts}
        worker.backoff_ms = 20
        worker.poll_ms = 100
        "#,
        model.base_url()
    )
}

#[tokio::test]
async fn a_message_is_answered_with_ids_and_reply() {
    let doors = Doors::open("").await;
    let first = doors.say(ANNE, "Hello there").await;
    assert_eq!(first["isNewUser"], true);
    assert_eq!(first["reply"]["endpoint"], "demo");
    assert!(!first["reply"]["text"].as_str().unwrap().is_empty());
    assert!(first["reply"]["usage"]["total_tokens"].is_i64());
    let names: Vec<&String> = first.as_object().unwrap().keys().collect();
    assert_eq!(names, ["conversationId", "isNewUser", "messageId", "reply", "userId"]);

    let second = doors.say(ANNE, "And again").await;
    assert_eq!((&second["isNewUser"], &second["userId"]), (&json!(false), &first["userId"]));
    assert_eq!(second["conversationId"], first["conversationId"]);
    let other = doors.say(BERT, "Hello there").await;
    assert_ne!(other["userId"], first["userId"]);
    assert_ne!(other["conversationId"], first["conversationId"]);
    doors.close().await;
}

#[tokio::test]
async fn refusals_come_in_the_order_of_the_table() {
    let doors = Doors::open("").await;
    let bad_everything = json!({"role": "user", "metadata": {"endpoint": "agents"}});
    let send = |key: Option<&'static str>, body: String| {
        let headers: Vec<(&str, &str)> = key.map(|key| ("x-api-key", key)).into_iter().collect();
        doors.send(message("no-such-conversation", &headers, &[], body))
    };
    let none = send(None, bad_everything.to_string()).await;
    assert_eq!((none.status.as_u16(), none.json()), (401, json!({"error": "API key required"})));
    let wrong = send(Some("wrong"), "{".to_owned()).await;
    assert_eq!((wrong.status.as_u16(), wrong.json()), (403, json!({"error": "Invalid API key"})));
    let no_json = send(Some(API_KEY), "{".to_owned()).await;
    assert_eq!((no_json.status.as_u16(), no_json.problem().as_str()), (400, "invalid-json"));
    assert_eq!(no_json.headers["content-type"], "application/problem+json");

    let mut body = bad_everything;
    let mut expect = Vec::new();
    let steps = [
        (400, json!({"error": "Invalid role for external message request"}), json!({"role": "external"})),
        (400, json!({"error": "agent_id required for agent endpoint"}), json!({"metadata": {"endpoint": "agents", "agent_id": "jay"}})),
        (400, json!({"error": "Invalid agent_id format"}), json!({"metadata": {"endpoint": "AGENTS", "agent_id": "agent_unknown"}})),
        (404, json!("unknown-agent"), json!({"metadata": {"endpoint": "agents", "agent_id": "agent_jay"}})),
        (400, json!("Valid phone number required"), json!({"from": ANNE})),
        (400, json!("invalid-field"), json!({"content": "Hello"})),
        (404, json!("unknown-conversation"), json!({})),
    ];
    for (status, told, change) in steps {
        let answer = send(Some(API_KEY), body.to_string()).await;
        let json = answer.json();
        assert_eq!(answer.status.as_u16(), status, "{body}: {json}");
        assert!(json == told || json!(answer.problem()) == told || json["error"] == told, "{body}: {json}");
        expect.push(status);
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    }
    assert_eq!(expect.len(), 7);
    assert_eq!(doors.everything().await, json!({"people": [], "jobs": []}));
    let answered = doors.post("new", &body, &[]).await;
    assert_eq!((answered.status.as_u16(), &answered.json()["reply"]["endpoint"]), (200, &json!("agents")));
    doors.close().await;
}

#[tokio::test]
async fn without_a_configured_key_there_is_no_door() {
    let doors = Doors::open_idle(&format!("external_api.key = \"{ABSENT}\"")).await;
    for headers in [&[][..], &[("x-api-key", "")], &[("x-api-key", API_KEY)]] {
        let answer = doors.send(message("new", headers, &[], text(ANNE, "Hello").to_string())).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (404, "not-found"));
    }
}

#[tokio::test]
async fn the_first_valid_number_in_order_is_the_senders() {
    let doors = Doors::open("").await;
    let mut whose = Vec::new();
    for body in [
        json!({"metadata": {"phoneNumber": "+15550100011", "from": "+15550100013"}, "from": "+15550100012", "phoneNumber": "+15550100014"}),
        json!({"metadata": {"phoneNumber": "nobody", "from": "+15550100013"}, "from": "+15550100012", "phoneNumber": "+15550100014"}),
        json!({"metadata": {"phoneNumber": null, "from": "+15550100013"}, "from": "123", "phoneNumber": "+15550100014"}),
        json!({"metadata": {}, "phoneNumber": "(555) 010-0014"}),
    ] {
        let mut body = body;
        body["role"] = "external".into();
        body["content"] = "Hello".into();
        let answer = doors.post("new", &body, &[]).await.json();
        let user =
            doors.app.people.get(&scrubjay::service::people::UserName::Id(answer["userId"].as_str().unwrap().parse().unwrap())).await;
        whose.push(user.unwrap().phone.unwrap().as_str().to_owned());
    }
    assert_eq!(whose, ["+15550100011", "+15550100012", "+15550100013", "+15550100014"]);
    doors.close().await;
}

#[tokio::test]
async fn a_text_is_read_from_content_its_parts_or_text() {
    let model = ModelServer::start().await;
    let doors = Doors::open(&model_settings(&model, 1)).await;
    for (body, read) in [
        (json!({"content": "one"}), "one"),
        (json!({"content": [{"type": "text", "text": "two"}, {"text": "lines"}]}), "two\nlines"),
        (json!({"text": "three"}), "three"),
        (json!({"content": " ", "text": "four\ttabs"}), "four\ttabs"),
        (json!({"content": "five", "text": "six", "whatever": {"LibreChat": ["sends"]}}), "five"),
    ] {
        let mut body = body;
        body["role"] = "external".into();
        body["from"] = ANNE.into();
        let answer = doors.post("new", &body, &[]).await;
        assert_eq!(answer.json()["reply"]["text"], format!("you said: {read}"), "{}", answer.text());
    }
    doors.close().await;
}

#[tokio::test]
async fn a_conversation_is_continued_by_its_owner_alone() {
    let doors = Doors::open("").await;
    let annes = doors.say(ANNE, "Mine").await["conversationId"].as_str().unwrap().to_owned();
    doors.say(BERT, "Mine too").await;
    let before = doors.everything().await;
    for absent in [annes.as_str(), "0192f3a4-0000-7000-8000-000000000000", "%00", "..", "x", &"a".repeat(4000)] {
        let answer = doors.post(absent, &text(BERT, "Let me in"), &[]).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (404, "unknown-conversation"), "{absent}");
    }
    let in_body = json!({"role": "external", "content": "x", "from": BERT, "conversationId": annes});
    let unaddressed = doors.send(request(Method::POST, "/api/messages", &[("x-api-key", API_KEY)], in_body.to_string())).await;
    assert_eq!(unaddressed.status.as_u16(), 404);
    assert_eq!(doors.everything().await, before);

    for body in [text(ANNE, "By path"), json!({"role": "external", "content": "By body", "from": ANNE, "conversationId": annes})] {
        let path = if body["conversationId"].is_null() { annes.as_str() } else { "placeholder" };
        assert_eq!(doors.post(path, &body, &[]).await.json()["conversationId"], annes);
    }
    let torn = json!({"role": "external", "content": "x", "from": ANNE, "conversationId": "0192f3a4-0000-7000-8000-000000000000"});
    assert_eq!(doors.post(&annes, &torn, &[]).await.json()["field"], "conversationId");
    for by_phone in ["sms-conversation", "external-message", "external-sms", "placeholder", "new"] {
        assert_eq!(doors.post(by_phone, &text(ANNE, "By phone"), &[]).await.json()["conversationId"], annes);
    }
    doors.close().await;
}

#[tokio::test]
async fn what_callers_send_along_overwrites_nothing_and_is_kept_apart() {
    let doors = Doors::open("").await;
    let metadata = json!({
        "phoneNumber": ANNE, "title": "About jays", "endpoint": "external", "createdBy": "evil", "messageCount": 999,
        "preferences": {"endpoint": "evil"}, "source": "kiosk", "campaign": {"id": 7, "$set": {"role": "ADMIN"}}, "additional_instructions": "Rhyme.",
    });
    let answer = doors.post("new", &json!({"role": "external", "content": "Hello", "metadata": metadata}), &[]).await.json();
    assert_eq!(answer["reply"]["endpoint"], "demo", "a role is no endpoint: {answer}");
    let all = doors.everything_of(answer["userId"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(all["user"]["role"], "USER");
    assert_eq!(all["user"]["metadata"]["createdBy"], "sms-system");
    assert_eq!(all["user"]["metadata"]["messageCount"], 1);
    assert_eq!(all["user"]["metadata"]["preferences"], json!({}));
    let kept = &all["user"]["callerMetadata"];
    assert_eq!(kept["campaign"], json!({"id": 7, "$set": {"role": "ADMIN"}}));
    assert!(kept.get("additional_instructions").is_none() && kept.get("phoneNumber").is_none(), "{kept}");
    assert_eq!(all["conversations"][0]["title"], "About jays");
    assert_eq!(all["conversations"][0]["metadata"]["source"], "kiosk");
    doors.close().await;
}

#[tokio::test]
async fn a_consent_word_gets_no_reply() {
    let doors = Doors::open("").await;
    doors.say(ANNE, "Hello").await;
    let stopped = doors.say(ANNE, " stop ").await;
    assert_eq!(stopped["reply"], Value::Null);
    assert!(stopped["messageId"].is_string());
    doors.close().await;
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_another_body_none() {
    let model = ModelServer::start().await;
    let doors = Doors::open(&model_settings(&model, 1)).await;
    let key = &[("idempotency-key", "order-66")][..];
    let first = doors.post("new", &text(ANNE, "Once"), key).await;
    assert_eq!(first.status, StatusCode::OK);
    let again = doors.post("new", &text(ANNE, "Once"), key).await;
    assert_eq!((again.status, again.json()), (StatusCode::OK, first.json()));
    let streamed = doors.post("new", &text(ANNE, "Once"), &[key[0], ("accept", "text/event-stream")]).await.events();
    let names: Vec<&str> = streamed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["accepted", "delta", "message", "done"]);
    for other in [doors.post("new", &text(ANNE, "Twice"), key).await, doors.post("new", &text(BERT, "Once"), key).await] {
        assert_eq!((other.status.as_u16(), other.problem().as_str()), (422, "idempotency-key-reused"));
        assert_eq!(other.json().get("messageId"), None);
    }
    let by_sid = json!({"role": "external", "content": "Sid", "from": ANNE, "metadata": {"messageSid": "SM1"}});
    let (one, two) = (doors.post("new", &by_sid, &[]).await.json(), doors.post("new", &by_sid, &[]).await.json());
    assert_eq!(one, two);
    assert_eq!(model.asked().len(), 2);

    // A repeat that arrives while the first is being answered waits for the same answer.
    model.always(Reaction::Slowly("a b c d".to_owned(), Duration::from_millis(50)));
    let key = &[("idempotency-key", "slow")][..];
    let body = text(BERT, "Slow");
    let (one, two) = tokio::join!(doors.post("new", &body, key), doors.post("new", &body, key));
    assert_eq!((one.status, one.json()), (two.status, two.json()));
    assert_eq!(one.json()["reply"]["text"], "a b c d");
    assert_eq!(model.asked().len(), 3);
    doors.close().await;
}

#[tokio::test]
async fn a_stream_tells_the_reply_piece_by_piece() {
    let model = ModelServer::start().await;
    model.always(Reaction::Slowly("Jays are noisy and clever.".to_owned(), Duration::from_millis(30)));
    let doors = Doors::open(&model_settings(&model, 1)).await;
    let answer = doors.post("new", &text(ANNE, "Tell me"), &[("accept", "text/event-stream")]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert_eq!(answer.headers["cache-control"], "no-cache");
    assert_eq!(answer.headers["x-accel-buffering"], "no");
    let events = answer.events();
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names[0], &names[names.len() - 2..]), ("accepted", &["message", "done"][..]));
    let pieces: Vec<&str> = events.iter().filter(|(name, _)| name == "delta").map(|(_, data)| data["text"].as_str().unwrap()).collect();
    assert!(pieces.len() > 1, "{pieces:?}");
    assert_eq!(pieces.concat(), "Jays are noisy and clever.");
    let (_, told) = &events[events.len() - 2];
    assert_eq!(told["text"], "Jays are noisy and clever.");
    assert_eq!(events[0].1["isNewUser"], true);

    let help = doors.post("new", &text(ANNE, "/help"), &[("accept", "text/event-stream")]).await.events();
    assert_eq!(help[1].1["text"], help[2].1["text"], "a fixed answer comes in one piece: {help:?}");
    let stop = doors.post("new", &text(ANNE, "STOP"), &[("accept", "text/event-stream")]).await.events();
    assert_eq!(stop.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["accepted", "done"]);
    doors.close().await;
}

#[tokio::test]
async fn a_failed_model_is_told_with_the_ids_of_what_is_stored() {
    let model = ModelServer::start().await;
    model.always(Reaction::Fail(400, None));
    let doors = Doors::open(&model_settings(&model, 1)).await;
    let answer = doors.post("new", &text(ANNE, "Hello"), &[]).await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (502, "model-failed"));
    let told = answer.json();
    assert_eq!(told["willRetry"], false);
    let all = doors.everything_of(told["userId"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(all["messages"][0]["messageId"], told["messageId"]);
    assert_eq!(all["conversations"][0]["conversationId"], told["conversationId"]);

    let events = doors.post("new", &text(BERT, "Hello"), &[("accept", "text/event-stream")]).await.events();
    assert_eq!(events.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["accepted", "error"]);
    assert_eq!((&events[1].1["type"], &events[1].1["messageId"]), (&json!("/problems/model-failed"), &events[0].1["messageId"]));
    doors.close().await;
}

#[tokio::test]
async fn who_does_not_wait_gets_the_ids_and_the_turn_goes_on() {
    let model = ModelServer::start().await;
    model.always(Reaction::Stall);
    let doors = Doors::open(&model_settings(&model, 1)).await;
    let hurried = doors.post("new", &text(ANNE, "Now"), &[("prefer", "respond-async")]).await;
    assert_eq!((hurried.status.as_u16(), &hurried.headers["preference-applied"]), (202, &"respond-async".parse().unwrap()));
    let names: Vec<String> = hurried.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["conversationId", "isNewUser", "messageId", "userId"]);
    let impatient = doors.post("new", &text(BERT, "Soon"), &[("prefer", "wait=0")]).await;
    assert_eq!(impatient.status.as_u16(), 202);

    // Hanging up: the request is dropped in the middle of waiting.
    let body = text("+15550100003", "Bye");
    let dropped = tokio::time::timeout(Duration::from_millis(300), doors.post("new", &body, &[])).await;
    assert!(dropped.is_err());
    model.release();
    for from in [ANNE, BERT, "+15550100003"] {
        let user_id = user_of(&doors, from).await;
        crate::support::eventually("the reply is stored", Duration::from_secs(10), || async {
            let all = doors.everything_of(user_id).await;
            (all["messages"].as_array().unwrap().len() == 2).then_some(())
        })
        .await;
    }
    doors.close().await;
}

async fn user_of(doors: &Doors, phone: &str) -> scrubjay::domain::ids::UserId {
    let people = doors.app.people.list(scrubjay::store::PageRequest::first(100)).await.unwrap().items;
    people.iter().find(|user| user.phone.as_ref().is_some_and(|own| own.as_str() == phone)).unwrap().id
}

#[tokio::test]
async fn budgets_and_lists_are_refused_each_with_its_own_problem() {
    let doors =
        Doors::open("people.admission = \"allowlist\"\npeople.allow = [\"+15550100001\"]\nexternal_api.messages_per_minute = 2").await;
    let stranger = doors.post("new", &text(BERT, "Hello"), &[]).await;
    assert_eq!((stranger.status.as_u16(), stranger.problem().as_str()), (403, "not-admitted"));
    let answered = doors.say(ANNE, "One").await;
    doors.say(ANNE, "Two").await;
    let third = doors.post("new", &text(ANNE, "Three"), &[]).await;
    assert_eq!((third.status.as_u16(), third.problem().as_str()), (429, "too-many-messages"));
    assert!(third.headers.contains_key("retry-after"));
    let user_id = answered["userId"].as_str().unwrap().parse().unwrap();
    doors.app.people.set_blocked(user_id, true).await.unwrap();
    let blocked = doors.post("new", &text(ANNE, "STOP"), &[]).await;
    assert_eq!((blocked.status.as_u16(), blocked.problem().as_str()), (403, "blocked"));
    assert_eq!(doors.everything_of(user_id).await["user"]["metadata"]["messageCount"], 2);
    doors.close().await;

    let doors = Doors::open("limits.turns_per_day = 1\nlimits.text_characters = 10").await;
    doors.say(ANNE, "One").await;
    let second = doors.post("new", &text(ANNE, "Two"), &[]).await;
    assert_eq!((second.status.as_u16(), second.problem().as_str()), (429, "daily-limit"));
    assert!(second.json()["messageId"].is_string() && second.headers.contains_key("retry-after"), "{}", second.text());
    let long = doors.post("new", &text(ANNE, "12345678901"), &[]).await;
    assert_eq!((long.status.as_u16(), long.problem().as_str()), (400, "text-too-long"));
    doors.close().await;

    let doors = Doors::open("balance.enabled = true\nbalance.start_credits = 0\nendpoints.demo.prompt_token_credits = 1.0").await;
    let broke = doors.post("new", &text(ANNE, "Hello"), &[]).await;
    assert_eq!((broke.status.as_u16(), broke.problem().as_str()), (402, "out-of-credit"));
    assert!(broke.json()["messageId"].is_string());
    assert_eq!(doors.say(ANNE, "STOP").await["reply"], Value::Null, "consent words hold out of credit too");
    doors.close().await;
}

#[tokio::test]
async fn a_closed_store_is_told_and_nothing_is_stored() {
    let doors = Doors::open_idle("").await;
    doors.app.close().await;
    let answer = doors.post("new", &text(ANNE, "Hello"), &[]).await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (503, "storage-unavailable"));
    assert!(answer.headers.contains_key("retry-after"));
    let ready = doors.send(request(Method::GET, "/health/ready", &[], Body::empty())).await;
    assert_eq!((ready.status.as_u16(), &ready.json()["ready"]), (503, &json!(false)));
}

#[tokio::test]
async fn a_stop_answers_those_who_wait() {
    let model = ModelServer::start().await;
    model.always(Reaction::Stall);
    let doors = Doors::open(&model_settings(&model, 5)).await;
    let (body, drain) = (text(ANNE, "Hello"), doors.stop.drain.clone());
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        drain.cancel();
    };
    let waiting = tokio::time::timeout(Duration::from_secs(10), doors.post("new", &body, &[]));
    let (answer, ()) = tokio::join!(waiting, stopping);
    let answer = answer.unwrap();
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text());
    doors.close().await;
}

/// The second signal gives the turn back: it is not a failure of the model, and the next start answers it.
#[tokio::test]
async fn a_turn_that_a_stop_gives_back_is_no_failure() {
    let model = ModelServer::start().await;
    model.always(Reaction::Stall);
    let doors = Doors::open(&format!("{}\nserver.stop_seconds = 60", model_settings(&model, 5))).await;
    for accept in ["application/json", "text/event-stream"] {
        // The workers are gone after the first; so the second is told at once that the server stops.
        let (body, stop) = (text(ANNE, "Hello"), doors.stop.clone());
        let stopping = async {
            crate::support::eventually("the model is asked", Duration::from_secs(5), || async { (model.held() == 1).then_some(()) }).await;
            stop.drain.cancel();
            stop.now.cancel();
        };
        let headers = [("accept", accept), ("prefer", "wait=5")];
        let waiting = tokio::time::timeout(Duration::from_secs(20), doors.post("new", &body, &headers));
        if accept == "application/json" {
            let (answer, ()) = tokio::join!(waiting, stopping);
            let answer = answer.unwrap();
            assert_eq!(answer.status.as_u16(), 202, "{}", answer.text());
            assert!(answer.json()["messageId"].is_string());
        } else {
            let events = waiting.await.unwrap().events();
            assert_eq!(events[0].0, "accepted");
            assert_eq!((events[1].0.as_str(), &events[1].1["type"]), ("error", &json!("/problems/still-working")), "{events:?}");
        }
    }
    let jobs = doors.app.jobs.list(scrubjay::store::JobFilter::Unfinished, scrubjay::store::PageRequest::first(10)).await.unwrap().items;
    assert!(!jobs.is_empty() && jobs.iter().all(|job| job.error.is_none()), "{jobs:?}");
    doors.close().await;
}

/// Two endpoints that answer with listed models only, beside the offline one.
fn listed_models(model: &ModelServer) -> String {
    let other = format!(r#"{{ base_url = "{}", default_model = "b-model", models = ["b-model", "shared"] }}"#, model.base_url());
    format!("{}\nendpoints.openAI.models = [\"test-model\", \"shared\"]\nendpoints.other = {other}", model_settings(model, 1))
}

#[tokio::test]
async fn a_model_that_nothing_offers_is_refused_before_it_is_stored() {
    let model = ModelServer::start().await;
    let doors = Doors::open(&listed_models(&model)).await;
    let ask = |from: &str, metadata: Value| {
        let body = json!({"role": "external", "content": "Hello", "from": from, "metadata": metadata});
        let doors = &doors;
        async move { doors.post("new", &body, &[]).await }
    };
    for metadata in [
        json!({"model": "no-model"}),
        json!({"model": "b-model"}),
        json!({"endpoint": "external", "model": "b-model"}),
        json!({"endpoint": "other", "model": "test-model"}),
    ] {
        let refused = ask(ANNE, metadata.clone()).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (400, &json!("metadata.model")), "{metadata}: {}", refused.text());
    }
    let unknown_agent = ask(ANNE, json!({"agent_id": "agent_none"})).await;
    assert_eq!((unknown_agent.status.as_u16(), unknown_agent.problem().as_str()), (404, "unknown-agent"));
    assert_eq!(doors.everything().await, json!({"people": [], "jobs": []}));

    let answered_by =
        |answer: crate::http_home::Answer| (answer.json()["reply"]["endpoint"].clone(), answer.json()["reply"]["model"].clone());
    assert_eq!(ask(ANNE, json!({"model": "shared"})).await.status.as_u16(), 200);
    // Bert's conversation was taken to the other endpoint, Cleo prefers it: there that model is offered.
    ask(BERT, json!({"endpoint": "other"})).await;
    assert_eq!(answered_by(ask(BERT, json!({"model": "b-model"})).await).0, "other");
    let cleo = ask("+15550100003", json!({})).await.json()["userId"].as_str().unwrap().parse().unwrap();
    let other = scrubjay::domain::endpoint::Endpoint::parse("other").unwrap();
    doors.app.people.prefer(cleo, vec![scrubjay::domain::user::PreferenceChange::Endpoint(Some(other))]).await.unwrap();
    assert_eq!(answered_by(ask("+15550100003", json!({"model": "b-model"})).await).0, "other");
    let before = doors.everything().await;
    assert_eq!(ask(ANNE, json!({"model": "b-model"})).await.status.as_u16(), 400);
    assert_eq!(ask(BERT, json!({"model": "no-model"})).await.status.as_u16(), 400);
    assert_eq!(doors.everything().await, before);
    doors.close().await;
}

#[tokio::test]
async fn whoever_names_the_role_as_endpoint_is_answered_by_the_default_one() {
    let model = ModelServer::start().await;
    let doors = Doors::open(&listed_models(&model)).await;
    let ask = |metadata: Value| {
        let body = json!({"role": "external", "content": "Hello", "from": ANNE, "metadata": metadata});
        let doors = &doors;
        async move { doors.post("new", &body, &[]).await.json() }
    };
    let first = ask(json!({"endpoint": "other"})).await;
    assert_eq!(first["reply"]["endpoint"], "other");
    let user_id = first["userId"].as_str().unwrap().parse().unwrap();
    // Neither the conversation's choice nor the person's preference stands above it.
    let other = scrubjay::domain::endpoint::Endpoint::parse("other").unwrap();
    doors.app.people.prefer(user_id, vec![scrubjay::domain::user::PreferenceChange::Endpoint(Some(other))]).await.unwrap();
    for role in ["external", "EXTERNAL", " External "] {
        assert_eq!(ask(json!({ "endpoint": role })).await["reply"]["endpoint"], "openAI", "{role:?}");
    }
    assert_eq!(ask(json!({})).await["reply"]["endpoint"], "other", "the preference holds for what names nothing");
    doors.close().await;
}
