//! The process ends right behind the effect of a tool of ours, before its result is recorded; the next process starts minutes later.

use std::time::Duration;

use scrubjay::domain::ledger::{Credits, Usage};
use scrubjay::domain::step::{CallPlace, NewStep, ToolCall};
use scrubjay::service::tools::{ToolContext, ToolOutcome};
use scrubjay::store::{DailyLimits, Owner};
use serde_json::{Value, json};

use super::{Stage, agent, says, stage};

/// An agent with our own tools, whose model answers as soon as it has made a step, and the person who texts it.
async fn ours() -> (Stage, ToolContext) {
    let stage = stage(|config| {
        let agent = agent(config);
        agent.tools = ["memory", "todo", "schedule"].map(str::to_owned).to_vec();
        agent.servers.clear();
    })
    .await;
    stage.model.always(says("Done."));
    let (turn, _steps) = stage.ask("hello").await;
    (stage, ToolContext { user_id: turn.user_id, conversation_id: Some(turn.conversation_id) })
}

async fn call(stage: &Stage, who: &ToolContext, tool: &str, arguments: &Value) -> ToolOutcome {
    for set in &stage.bench.app.tools {
        if set.definitions(who).await.iter().any(|definition| definition.name == tool) {
            return set.call(who, tool, arguments.as_object().unwrap().clone()).await;
        }
    }
    panic!("there is no tool {tool}")
}

/// What a tool gives, which works.
async fn given(stage: &Stage, who: &ToolContext, tool: &str, arguments: Value) -> Value {
    let outcome = call(stage, who, tool, &arguments).await;
    assert!(!outcome.is_error, "{tool}: {outcome:?}");
    outcome.structured.unwrap()
}

/// A process takes up a turn, makes this call for its model, and is gone before it has recorded what came of it.
async fn crash_behind(stage: &Stage, who: &ToolContext, tool: &str, arguments: Value) {
    stage.receipt("do it").await;
    let store = &stage.bench.store;
    let limits = DailyLimits { day: stage.bench.clock.now().utc_day(), per_person: 0, all: 0 };
    let turn = store.lease_turns(&Owner("host/9/9/gone".to_owned()), 1, &limits).await.unwrap().work.remove(0);
    let asked = ToolCall { id: "call-1".to_owned(), name: tool.to_owned(), arguments: arguments.to_string(), extra: None };
    let (number, model, usage, charge) = (1, "test-model".to_owned(), Usage::default(), Credits::ZERO);
    let step = NewStep { number, text: String::new(), shown: false, model, usage, charge, calls: vec![asked] };
    store.record_step(&turn.lease, step).await.unwrap();
    store.begin_call(&turn.lease, CallPlace { step: 1, call: 0 }).await.unwrap();
    given(stage, who, tool, arguments).await;
}

/// The next process answers the turn; what its model is told of the call.
async fn told_after(stage: &Stage, down: Duration) -> String {
    stage.bench.clock.advance(down);
    let before = stage.model.asked().len();
    stage.bench.app.drain().await.unwrap();
    stage.bench.assert_no_job_left().await;
    let asked = stage.model.asked();
    assert_eq!(asked.len(), before + 1, "one question, and its answer");
    let results = asked[before].results();
    assert_eq!(results.len(), 1);
    results[0].to_owned()
}

const DOWN: Duration = Duration::from_mins(3);
const NOT_SURE: &str = "Error: the program was interrupted while this was being done, so it may or may not have happened.";
const AGAIN: &str = "This call was begun before, and the program was interrupted, so it was made again.";

#[tokio::test]
async fn a_reminder_in_twenty_minutes_is_not_made_twice() {
    let (stage, ada) = ours().await;
    let reminder = json!({"name": "tea", "message": "tea", "mode": "remind", "when": {"once": "in 20 minutes"}});
    crash_behind(&stage, &ada, "schedule_create", reminder).await;
    let before = given(&stage, &ada, "schedule_list", json!({"status": "all"})).await;
    assert!(told_after(&stage, DOWN).await.starts_with(NOT_SURE));
    assert_eq!(given(&stage, &ada, "schedule_list", json!({"status": "all"})).await, before);
    assert_eq!(before["schedules"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_reminder_that_fired_meanwhile_is_not_made_again() {
    let (stage, ada) = ours().await;
    let reminder = json!({"name": "tea", "message": "tea", "mode": "remind", "when": {"once": "in 20 minutes"}});
    crash_behind(&stage, &ada, "schedule_create", reminder).await;
    assert!(told_after(&stage, Duration::from_mins(21)).await.starts_with(NOT_SURE));
    let all = given(&stage, &ada, "schedule_list", json!({"status": "all"})).await;
    assert_eq!(all["schedules"].as_array().unwrap().len(), 1, "{all}");
}

#[tokio::test]
async fn a_reminder_put_off_by_twenty_minutes_is_not_put_off_again() {
    let (stage, ada) = ours().await;
    let made = given(&stage, &ada, "schedule_create", json!({"message": "tea", "when": {"once": "in 10 minutes"}})).await;
    let later = json!({"id": made["schedule"]["id"], "when": {"once": "in 20 minutes"}});
    crash_behind(&stage, &ada, "schedule_update", later).await;
    let before = given(&stage, &ada, "schedule_list", json!({})).await;
    assert!(told_after(&stage, DOWN).await.starts_with(NOT_SURE));
    assert_eq!(given(&stage, &ada, "schedule_list", json!({})).await, before);
}

#[tokio::test]
async fn an_item_that_was_ticked_off_meanwhile_is_not_added_again() {
    let (stage, ada) = ours().await;
    crash_behind(&stage, &ada, "todo_add", json!({"text": "milk"})).await;
    given(&stage, &ada, "todo_complete", json!({"text": "milk"})).await;
    assert!(told_after(&stage, DOWN).await.starts_with(NOT_SURE));
    let items = given(&stage, &ada, "todo_list", json!({"status": "all"})).await;
    assert_eq!(items["todos"].as_array().unwrap().len(), 1, "{items}");
}

#[tokio::test]
async fn an_item_that_the_person_changed_meanwhile_is_not_changed_back() {
    let (stage, ada) = ours().await;
    let made = given(&stage, &ada, "todo_add", json!({"text": "milk"})).await;
    crash_behind(&stage, &ada, "todo_update", json!({"id": made["todo"]["id"], "text": "oat milk", "priority": "high"})).await;
    given(&stage, &ada, "todo_update", json!({"id": made["todo"]["id"], "text": "soy milk", "priority": "low"})).await;
    let before = given(&stage, &ada, "todo_list", json!({})).await;
    assert!(told_after(&stage, DOWN).await.starts_with(NOT_SURE));
    assert_eq!(given(&stage, &ada, "todo_list", json!({})).await, before);
}

#[tokio::test]
async fn who_deletes_again_reads_that_the_first_time_may_have_done_it() {
    let (stage, ada) = ours().await;
    given(&stage, &ada, "create_entities", json!({"entities": [{"name": "Ada", "entityType": "person", "observations": []}]})).await;
    let made = given(&stage, &ada, "schedule_create", json!({"message": "tea", "when": {"daily": "16:00"}})).await;
    crash_behind(&stage, &ada, "delete_entities", json!({"entityNames": ["Ada"]})).await;
    let told = told_after(&stage, DOWN).await;
    assert!(told.starts_with(AGAIN) && told.contains("may be its own work.\n{") && told.contains("notFound"), "{told}");
    crash_behind(&stage, &ada, "schedule_delete", json!({"id": made["schedule"]["id"]})).await;
    let told = told_after(&stage, DOWN).await;
    assert!(told.starts_with(&format!("Error: {AGAIN}")) && told.contains("There is no schedule"), "{told}");
    // One that only reads finds what there is.
    crash_behind(&stage, &ada, "schedule_list", json!({})).await;
    assert_eq!(told_after(&stage, DOWN).await, r#"{"schedules":[]}"#);
}
