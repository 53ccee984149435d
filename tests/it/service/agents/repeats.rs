//! The process ends right behind the effect of a tool of ours, before its result is recorded; the next process starts minutes later.

use std::time::Duration;

use scrubjay::domain::ledger::{Credits, Usage};
use scrubjay::domain::step::{CallPlace, NewStep, ToolCall};
use scrubjay::service::tools::{ToolContext, ToolOutcome};
use scrubjay::store::{DailyLimits, Owner};
use serde_json::{Value, json};

use super::{Stage, agent, calls, says, stage};
use crate::service::bench::ADA;

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

/// A call.
type Made = (&'static str, Value);

#[tokio::test]
async fn what_the_person_undid_meanwhile_stays_undone() {
    let person = |name: &str, kind: &str| json!({"entities": [{"name": name, "entityType": kind, "observations": []}]});
    let said = |text: &str| json!({"observations": [{"entityName": "Ada", "contents": [text]}]});
    let unsaid = |text: &str| json!({"deletions": [{"entityName": "Ada", "observations": [text]}]});
    let knows = || json!({"relations": [{"from": "Ada", "to": "Bob", "relationType": "knows"}]});
    let (ada, bob) = (("create_entities", person("Ada", "person")), ("create_entities", person("Bob", "person")));
    let tea = || ("schedule_create", json!({"message": "tea", "when": {"daily": "16:00"}}));
    let (graph, plans) = (("read_graph", json!({})), ("schedule_list", json!({"status": "all"})));
    let one = || json!({"id": 1});
    // What is stored before, the call that is interrupted, what the person does then, and what shows it.
    let table: Vec<(Vec<Made>, Made, Made, Made)> = vec![
        (vec![], ada.clone(), ("delete_entities", json!({"entityNames": ["Ada"]})), graph.clone()),
        (vec![ada.clone()], ("create_entities", person("Ada", "poet")), ("create_entities", person("Ada", "countess")), graph.clone()),
        (vec![ada.clone()], ("add_observations", said("is ill")), ("delete_observations", unsaid("is ill")), graph.clone()),
        (vec![ada.clone(), bob], ("create_relations", knows()), ("delete_relations", knows()), graph.clone()),
        // Deleted, and made anew.
        (vec![ada.clone()], ("delete_entities", json!({"entityNames": ["Ada"]})), ada.clone(), graph.clone()),
        (
            vec![ada.clone(), ("add_observations", said("is ill"))],
            ("delete_observations", unsaid("is ill")),
            ("add_observations", said("is ill")),
            graph,
        ),
        (vec![tea(), ("schedule_disable", one())], ("schedule_enable", one()), ("schedule_disable", one()), plans.clone()),
        (vec![tea()], ("schedule_disable", one()), ("schedule_enable", one()), plans),
    ];
    for (before, (tool, arguments), (then, with), (look, at)) in table {
        let (stage, who) = ours().await;
        for (tool, arguments) in before {
            given(&stage, &who, tool, arguments).await;
        }
        crash_behind(&stage, &who, tool, arguments).await;
        given(&stage, &who, then, with).await;
        let left = given(&stage, &who, look, at.clone()).await;
        assert!(told_after(&stage, DOWN).await.starts_with(NOT_SURE), "{tool}");
        assert_eq!(given(&stage, &who, look, at).await, left, "{tool}");
    }
}

#[tokio::test]
async fn a_fact_that_was_forgotten_by_text_meanwhile_does_not_come_back() {
    let (stage, ada) = ours().await;
    let fact = json!({"entities": [{"name": "Ada", "entityType": "person", "observations": ["likes tea"]}]});
    crash_behind(&stage, &ada, "create_entities", fact).await;
    stage.bench.text(ADA, "/forget all yes").await;
    let graph = given(&stage, &ada, "read_graph", json!({})).await;
    assert!(told_after(&stage, DOWN).await.starts_with(NOT_SURE));
    assert_eq!(given(&stage, &ada, "read_graph", json!({})).await, graph);
    assert_eq!(graph, json!({"entities": [], "relations": []}), "it is obeyed while the turn waits");
}

#[tokio::test]
async fn what_only_reads_is_read_again() {
    let (stage, ada) = ours().await;
    crash_behind(&stage, &ada, "schedule_list", json!({})).await;
    assert_eq!(told_after(&stage, DOWN).await, r#"{"schedules":[]}"#);
}

/// An agent that has a question run whenever it is asked one would never stop.
#[tokio::test]
async fn a_question_does_not_run_itself_again_and_again() {
    let (stage, ada) = ours().await;
    let question = json!({"message": "How are you?", "mode": "ask", "when": {"daily": "16:00"}});
    let id = given(&stage, &ada, "schedule_create", question).await["schedule"]["id"].clone();
    let again = json!({"id": id});
    stage.model.script(move |asked| match asked.steps() {
        0 => calls(&[("schedule_run_now", again.clone())]),
        _ => says("Fine."),
    });
    let runs = async || given(&stage, &ada, "schedule_get", json!({"id": id})).await["schedule"]["runs"].clone();
    stage.ask("run it").await;
    assert_eq!(runs().await, 1, "asked for by the person's turn, and refused in its own");
    let told = stage.model.asked().last().unwrap().results()[0].to_owned();
    assert!(told.starts_with("Error: Nothing was done: it ran less than 5 minutes ago"), "{told}");
    stage.bench.clock.advance(Duration::from_mins(5));
    stage.ask("run it").await;
    assert_eq!(runs().await, 2);
    // A person's own program is not held back.
    let outside = ToolContext { conversation_id: None, ..ada.clone() };
    given(&stage, &outside, "schedule_run_now", json!({"id": id})).await;
    assert_eq!(runs().await, 3);
}
