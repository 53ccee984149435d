//! Agents: a scripted model that calls tools step by step, tool sets that count what they do, and crashes in between.

mod crashes;
mod demo;
mod fake_set;
mod last_round;
mod repeats;

use std::sync::Arc;
use std::time::Duration;

use scrubjay::config::Config;
use scrubjay::domain::endpoint::Endpoint;
use scrubjay::domain::ledger::Credits;
use scrubjay::domain::step::Step;
use scrubjay::domain::turn::{StoredReply, TurnEnd, TurnRecord};
use scrubjay::service::receive::Received;
use scrubjay::service::watch::{ToolState, TurnEvent};
use scrubjay::store::{JobFilter, PageRequest, Receipt};
use serde_json::{Value, json};

use super::bench::{ADA, Bench, bench_with};
use crate::support::model::{Asked, ModelServer, Reaction};
use fake_set::FakeSet;

/// A bench whose default is an agent with the fake set, at a scripted model.
struct Stage {
    bench: Bench,
    model: ModelServer,
    set: Arc<FakeSet>,
}

async fn stage(change: impl FnOnce(&mut Config)) -> Stage {
    let (model, set) = (ModelServer::start().await, Arc::new(FakeSet::default()));
    let bench = bench_with(vec![set.clone()], |config| {
        let endpoint = config.endpoints.named.get_mut("openAI").unwrap();
        endpoint.base_url = model.base_url();
        endpoint.retries = 0;
        config.endpoints.default = Endpoint::parse("agents").unwrap();
        config.agents.default = Some("agent_scrubjay".parse().unwrap());
        let agent = config.agents.named.values_mut().next().unwrap();
        "test-model".clone_into(&mut agent.model);
        "You keep count.".clone_into(&mut agent.instructions);
        (agent.tools, agent.servers) = (Vec::new(), vec!["fake".to_owned()]);
        config.worker.backoff_ms = 1;
        change(config);
    })
    .await;
    Stage { bench, model, set }
}

fn agent(config: &mut Config) -> &mut scrubjay::config::sections::AgentSettings {
    config.agents.named.values_mut().next().unwrap()
}

fn calls(calls: &[(&str, Value)]) -> Reaction {
    Reaction::Call(String::new(), calls.iter().map(|(name, arguments)| ((*name).to_owned(), arguments.clone())).collect())
}

fn says(text: &str) -> Reaction {
    Reaction::Say(text.to_owned())
}

impl Stage {
    /// Sends a message through the API, and lets everything run.
    async fn ask(&self, text: &str) -> (TurnRecord, Vec<Step>) {
        let receipt = self.receipt(text).await;
        self.bench.app.drain().await.unwrap();
        self.turn(receipt).await
    }

    async fn receipt(&self, text: &str) -> Receipt {
        let Received::Stored { receipt, .. } = self.bench.api(ADA, text).await else { panic!("not stored") };
        receipt
    }

    async fn turn(&self, receipt: Receipt) -> (TurnRecord, Vec<Step>) {
        let turn = self.bench.store.find_turn(receipt.user_id, receipt.turn_id).await.unwrap().unwrap();
        (turn, self.bench.store.list_steps(receipt.user_id, receipt.turn_id).await.unwrap())
    }
}

fn reply(turn: &TurnRecord) -> &StoredReply {
    match &turn.end {
        Some(TurnEnd::Answered(Some(reply))) => reply,
        other => panic!("not answered: {other:?}"),
    }
}

/// Ten steps: reads side by side, writes in order, a tool that fails, one that there is none of, arguments that are no JSON.
fn ten_steps(asked: &Asked) -> Reaction {
    match asked.steps() {
        0 => calls(&[("look", json!({"at": 1})), ("look", json!({"at": 2})), ("look", json!({"at": 3}))]),
        1 => calls(&[("count", json!({"by": 1})), ("count", json!({"by": 2})), ("put", json!({"key": "a"}))]),
        2 => calls(&[("fail", json!({}))]),
        3 => calls(&[("todo_everything", json!({})), ("count", json!({"by": 4}))]),
        4 => calls(&[("count", json!("{by: 8}"))]),
        5 => calls(&[("count", json!("[8]")), ("look", json!(""))]),
        6 => calls(&[("put", json!({"key": "a"}))]),
        7 => calls(&[("long", json!({}))]),
        8 => Reaction::Call("Let me count once more.".to_owned(), vec![("count".to_owned(), json!({"by": 16}))]),
        9 => calls(&[("look", json!({"at": 10}))]),
        _ => says("All counted."),
    }
}

#[tokio::test]
async fn ten_steps_are_made_recorded_and_told_to_the_model_word_for_word() {
    let stage = stage(|config| {
        agent(config).tool_output_characters = 60;
        agent(config).parallel = 2;
    })
    .await;
    stage.model.script(ten_steps);
    stage.set.wait_for_company(2);
    let (turn, steps) = stage.ask("count, please").await;
    assert_eq!(reply(&turn).text, "All counted.");
    assert_eq!((reply(&turn).endpoint.as_ref().unwrap().as_str(), reply(&turn).model.as_deref()), ("agents", Some("test-model")));

    let asked = stage.model.asked();
    assert_eq!(asked.len(), 11);
    assert!(asked.iter().all(|asked| asked.offered() == ["look", "count", "put", "fail", "long", "hang"]));
    // What the model really received in the end: the system text's sections aside, word for word.
    let messages = asked[10].body["messages"].as_array().unwrap();
    assert!(messages[0]["content"].as_str().unwrap().contains("You keep count."));
    insta::assert_json_snapshot!("the_prompt_after_ten_steps", messages[1..]);

    assert_eq!(stage.set.counted(), [1, 2, 4, 16], "each write once, in the model's order");
    assert_eq!(stage.set.most_at_once(), 2, "reads side by side, two at most");
    let usage: i64 = steps.iter().map(|step| step.usage.total_tokens).sum();
    assert_eq!(reply(&turn).usage.total_tokens, usage + 12, "of all steps, and 12 for the answer");
    assert_eq!((steps.len(), steps.iter().map(|step| step.calls.len()).sum::<usize>()), (10, 16));
    let failed = steps.iter().flat_map(|step| &step.calls).filter(|call| call.result.as_ref().is_some_and(|result| result.failed));
    assert_eq!(failed.count(), 4);
    assert!(steps.iter().flat_map(|step| &step.calls).all(|call| call.ended_at.is_some()));
    stage.bench.assert_no_job_left().await;
}

#[tokio::test]
async fn a_tool_knows_for_whom_it_is_called_and_a_text_that_orders_otherwise_changes_nothing() {
    let stage = stage(|_| {}).await;
    stage.model.script(|asked| match asked.steps() {
        0 => calls(&[("look", json!({"user": "+15550100002", "userId": "000000000000000000000000", "at": 1}))]),
        _ => says("No."),
    });
    let receipt = stage.receipt("read the other person's list and text +15550100002").await;
    stage.bench.app.drain().await.unwrap();
    let (context, _, arguments) = stage.set.calls().remove(0);
    assert_eq!((context.user_id, context.conversation_id), (receipt.user_id, Some(receipt.conversation_id)));
    assert_eq!(arguments["user"], "+15550100002", "it is handed to the tool as it is, and names nobody there");
    assert!(stage.bench.sent().is_empty());
}

/// Lists of types are legal and refused by clients that translate schemas for other models, as the MCP Inspector's `--strict` tells.
#[tokio::test]
async fn no_schema_of_ours_has_a_list_of_types() {
    let stage = stage(|_| {}).await;
    let context = scrubjay::service::tools::ToolContext { user_id: stage.bench.clock.user_id(), conversation_id: None };
    let (mut seen, mut nullable) = (0, 0);
    for set in &stage.bench.app.tools {
        for tool in set.definitions(&context).await.iter() {
            let schemas = [Some(&tool.input_schema), tool.output_schema.as_ref()];
            for schema in schemas.into_iter().flatten() {
                seen += 1;
                let schema = Value::Object((**schema).clone());
                assert!(!has_list_of_types(&schema), "{}: {schema}", tool.name);
                nullable += schema.to_string().matches(r#"{"type":"null"}"#).count();
            }
        }
    }
    assert!(seen >= 50 && nullable >= 2, "{seen} schemas, {nullable} of them take null");
}

fn has_list_of_types(schema: &Value) -> bool {
    match schema {
        Value::Object(object) => object.get("type").is_some_and(Value::is_array) || object.values().any(has_list_of_types),
        Value::Array(list) => list.iter().any(has_list_of_types),
        _ => false,
    }
}

#[tokio::test]
async fn at_the_step_limit_the_model_must_answer_without_tools() {
    let stage = stage(|config| agent(config).max_steps = 3).await;
    stage.model.script(|asked| if asked.may_call() { Reaction::call("count", json!({"by": 1})) } else { says("Counted three times.") });
    let (turn, steps) = stage.ask("count on and on").await;
    assert_eq!((reply(&turn).text.as_str(), steps.len(), stage.set.counted().len()), ("Counted three times.", 3, 3));
    let asked = stage.model.asked();
    let last = asked.last().unwrap();
    assert_eq!((asked.len(), last.may_call(), last.results().len()), (4, false, 3));
    assert_eq!(last.offered(), asked[0].offered(), "servers refuse calls in a prompt that has no tools");
    let told = |asked: &Asked| asked.messages[0].content.contains("Answer the person now");
    assert_eq!(asked.iter().map(told).collect::<Vec<_>>(), [false, false, false, true]);
}

#[tokio::test]
async fn when_the_time_is_up_no_further_step_begins() {
    let stage = stage(|config| (agent(config).turn_seconds, agent(config).tool_seconds) = (1, 1)).await;
    stage.model.script(|asked| if asked.may_call() { Reaction::call("hang", json!({})) } else { says("It took too long.") });
    let (turn, steps) = stage.ask("wait").await;
    assert_eq!((reply(&turn).text.as_str(), steps.len()), ("It took too long.", 1));
    let asked = stage.model.asked();
    assert!(asked[1].results()[0].starts_with("Error: the tool did not answer within 1 s"), "{:?}", asked[1].results());
}

#[tokio::test]
async fn a_request_that_is_running_when_the_time_is_up_is_ended() {
    let stage = stage(|config| agent(config).turn_seconds = 1).await;
    stage.model.script(|asked| match (asked.may_call(), asked.steps()) {
        (false, _) => says("It took too long."),
        (true, 0) => Reaction::call("count", json!({"by": 1})),
        (true, _) => Reaction::Stall,
    });
    let begun = std::time::Instant::now();
    let (turn, steps) = stage.ask("count").await;
    assert_eq!((reply(&turn).text.as_str(), steps.len(), stage.set.counted()), ("It took too long.", 1, vec![1]));
    assert!(begun.elapsed() < Duration::from_secs(30), "the stalled request was waited for");
    let asked = stage.model.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked[2].messages[0].content.contains("Answer the person now"));
    stage.bench.assert_no_job_left().await;
}

#[tokio::test]
async fn an_answer_that_is_being_shown_when_the_time_is_up_ends_there_and_is_paid_for() {
    let stage = stage(|config| {
        agent(config).turn_seconds = 2;
        config.balance.enabled = true;
        config.balance.start_credits = 100_000;
        let endpoint = config.endpoints.named.get_mut("openAI").unwrap();
        (endpoint.prompt_token_credits, endpoint.completion_token_credits) = (0.0, 1.0);
    })
    .await;
    let words = "word ".repeat(2_000);
    stage.model.always(Reaction::Slowly(words.clone(), Duration::from_millis(20)));
    let (turn, steps) = stage.ask("tell me a story").await;
    let told = &reply(&turn).text;
    assert!(words.starts_with(told.as_str()) && told.len() > 160 && told.len() < words.len(), "{} characters", told.len());
    assert_eq!((steps.len(), stage.model.asked().len()), (0, 1), "it is not begun again");
    let usage = reply(&turn).usage;
    assert!(usage.completion_tokens > 30 && usage.prompt_tokens > 0, "{usage:?}");
    assert_eq!(turn.charge, Credits(usage.completion_tokens));
    let messages = stage.bench.store.recent_messages(turn.user_id, turn.conversation_id, i64::MAX, 10).await.unwrap().messages;
    assert_eq!(messages.iter().map(|message| message.unfinished).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn a_set_that_dies_costs_its_tools_and_not_the_turn() {
    let stage = stage(|_| {}).await;
    let set = Arc::clone(&stage.set);
    stage.model.script(move |asked| match asked.steps() {
        0 => Reaction::call("count", json!({"by": 1})),
        1 => {
            set.die();
            calls(&[("count", json!({"by": 2})), ("look", json!({"at": 1}))])
        }
        _ => says("The counter is gone."),
    });
    let (turn, steps) = stage.ask("count").await;
    assert_eq!(reply(&turn).text, "The counter is gone.");
    assert_eq!(stage.set.counted(), [1]);
    assert!(steps[1].calls.iter().all(|call| call.result.as_ref().unwrap().failed));
    let told = stage.model.asked().pop().unwrap();
    assert_eq!(told.results().iter().filter(|result| result.contains("is gone")).count(), 2);
    // The next turn is not offered what is not there.
    stage.model.always(says("Hello."));
    stage.ask("hello").await;
    let last = stage.model.asked().pop().unwrap();
    assert_eq!((last.body.get("tools"), last.messages[0].content.contains("no more tools")), (None, false));
}

#[tokio::test]
async fn where_the_server_takes_no_tools_none_are_sent() {
    let stage = stage(|config| {
        config.endpoints.named.get_mut("openAI").unwrap().tools = false;
        agent(config).parameters.insert("temperature".to_owned(), json!(0.3));
    })
    .await;
    stage.model.always(says("Hello."));
    let (turn, steps) = stage.ask("hello").await;
    let asked = stage.model.asked();
    assert_eq!((reply(&turn).text.as_str(), steps.len(), asked.len(), asked[0].body.get("tools")), ("Hello.", 0, 1, None));
    assert_eq!(asked[0].body["temperature"], 0.3);
}

#[tokio::test]
async fn pieces_join_to_the_reply_and_tools_are_seen_among_them() {
    let stage = stage(|_| {}).await;
    let long = "word ".repeat(40);
    let beside = long.clone();
    stage.model.script(move |asked| match asked.steps() {
        0 => Reaction::Call("Let me look.".to_owned(), vec![("look".to_owned(), json!({"at": 1}))]),
        1 => Reaction::Call(beside.clone(), vec![("fail".to_owned(), json!({}))]),
        _ => says("And that is all."),
    });
    let receipt = stage.receipt("look").await;
    let mut follower = stage.bench.app.watch.follow(receipt.turn_id);
    stage.bench.app.drain().await.unwrap();
    let (mut told, mut tools) = (String::new(), Vec::new());
    let end = loop {
        match follower.next(&stage.bench.store, receipt.user_id, receipt.turn_id).await.unwrap() {
            TurnEvent::Delta(text) => told.push_str(&text),
            TurnEvent::Tool { name, state } => tools.push((name, state, told.len())),
            TurnEvent::End(end) => break end,
        }
    };
    let TurnEnd::Answered(Some(reply)) = end else { panic!("{end:?}") };
    assert_eq!(reply.text, format!("{long}\n\nAnd that is all."));
    assert_eq!(told, reply.text);
    let seen = |name: &str, state, at: usize| (name.to_owned(), state, at);
    let (started, done, failed) = (ToolState::Started, ToolState::Done, ToolState::Failed);
    let expected = [seen("look", started, 0), seen("look", done, 0), seen("fail", started, long.len()), seen("fail", failed, long.len())];
    assert_eq!(tools, expected);
}

#[tokio::test]
async fn all_steps_are_charged_and_what_is_held_stays_bounded() {
    let priced = |credits: i64| {
        stage(move |config| {
            config.balance.enabled = true;
            config.balance.start_credits = credits;
            let endpoint = config.endpoints.named.get_mut("openAI").unwrap();
            (endpoint.prompt_token_credits, endpoint.completion_token_credits, endpoint.max_tokens) = (1.0, 1.0, 1_000);
        })
    };
    let script = |asked: &Asked| match asked.steps() {
        steps if steps < 5 && asked.may_call() => Reaction::call("count", json!({"by": 1})),
        _ => says("Counted."),
    };
    // Six rounds of at most 1,000 tokens would be 6,000 and more; two at a time are held.
    let stage = priced(4_000).await;
    stage.model.script(script);
    let (turn, steps) = stage.ask("count").await;
    let spent: i64 = steps.iter().map(|step| step.usage.prompt_tokens + step.usage.completion_tokens).sum::<i64>() + 11;
    assert_eq!((reply(&turn).text.as_str(), steps.len(), turn.charge), ("Counted.", 5, Credits(spent)));
    assert_eq!(stage.bench.balance(ADA).await, Some(Credits(4_000 - spent)));
    // Not enough for two rounds: nothing is asked.
    let stage = priced(1_500).await;
    let (turn, _) = stage.ask("count").await;
    assert!(matches!(turn.end, Some(TurnEnd::Refused(_))), "{turn:?}");
    assert!(stage.model.asked().is_empty());
}

#[tokio::test]
async fn a_turn_that_dies_on_the_way_is_paid_for_as_far_as_it_went() {
    let stage = stage(|config| {
        config.balance.enabled = true;
        config.balance.start_credits = 100_000;
        let endpoint = config.endpoints.named.get_mut("openAI").unwrap();
        (endpoint.prompt_token_credits, endpoint.completion_token_credits) = (1.0, 1.0);
    })
    .await;
    stage.model.script(|asked| match asked.steps() {
        steps if steps < 2 => Reaction::call("count", json!({"by": 1})),
        _ => Reaction::Fail(400, None),
    });
    let (turn, steps) = stage.ask("count").await;
    assert!(matches!(turn.end, Some(TurnEnd::Failed { will_retry: false, .. })), "{turn:?}");
    let cost = |steps: &[Step]| steps.iter().map(|step| step.usage.prompt_tokens + step.usage.completion_tokens).sum::<i64>();
    assert_eq!((steps.len(), turn.charge), (2, Credits(cost(&steps))));
    assert_eq!(stage.bench.balance(ADA).await, Some(Credits(100_000 - cost(&steps))));
    // Replayed, it costs what comes on top.
    stage.model.always(says("Counted."));
    let jobs = stage.bench.app.jobs.list(JobFilter::Unfinished, PageRequest::first(1)).await.unwrap().items;
    stage.bench.app.jobs.replay(jobs[0].id).await.unwrap();
    stage.bench.app.drain().await.unwrap();
    let record = stage.bench.store.find_turn(turn.user_id, turn.id).await.unwrap().unwrap();
    assert_eq!((reply(&record).text.as_str(), record.charge), ("Counted.", Credits(cost(&steps) + 11)));
    assert_eq!(stage.bench.balance(ADA).await, Some(Credits(100_000 - cost(&steps) - 11)));
}

#[tokio::test]
async fn credits_that_run_out_on_the_way_end_the_steps_with_an_answer() {
    let stage = stage(|config| {
        config.balance.enabled = true;
        config.balance.start_credits = 3_000;
        let endpoint = config.endpoints.named.get_mut("openAI").unwrap();
        // Results are long here, so that each round's prompt costs more than the one before.
        (endpoint.prompt_token_credits, endpoint.completion_token_credits, endpoint.max_tokens) = (1.0, 0.0, 10);
    })
    .await;
    stage.model.script(|asked| if asked.may_call() { Reaction::call("long", json!({})) } else { says("That is what I found.") });
    let (turn, steps) = stage.ask("read it all").await;
    assert_eq!(reply(&turn).text, "That is what I found.");
    assert!((1..12).contains(&steps.len()), "{}", steps.len());
}

#[tokio::test]
async fn a_model_that_fails_in_the_middle_is_asked_again_from_there() {
    let stage = stage(|_| {}).await;
    let failures = std::sync::atomic::AtomicUsize::new(0);
    stage.model.script(move |asked| match asked.steps() {
        0 => Reaction::call("count", json!({"by": 1})),
        1 if failures.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2 => Reaction::Fail(500, None),
        1 => Reaction::call("count", json!({"by": 2})),
        _ => says("Counted."),
    });
    let receipt = stage.receipt("count").await;
    for _ in 0..3 {
        stage.bench.app.drain().await.unwrap();
        stage.bench.clock.advance(Duration::from_mins(10));
    }
    let (turn, steps) = stage.turn(receipt).await;
    assert_eq!((reply(&turn).text.as_str(), steps.len(), stage.set.counted()), ("Counted.", 2, vec![1, 2]));
    assert_eq!(stage.model.asked().iter().map(Asked::steps).collect::<Vec<_>>(), [0, 1, 1, 1, 2]);
}
