//! An agent's ten steps while the real program is killed at each of them: every write happens once, and one reply is texted.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::{SOON, Stage, number};
use crate::support::eventually;
use crate::support::model::{Asked, Reaction};
use crate::support::twilio::{Text, Twilio};

const STEPS: usize = 10;

/// Each step counts at the outside server, which may not be repeated, and adds an item to the list, which may.
fn step(asked: &Asked, turn: &str) -> Reaction {
    match asked.steps() {
        at if at < STEPS => Reaction::Call(
            String::new(),
            vec![("counter_count".to_owned(), json!({"by": at})), ("todo_add".to_owned(), json!({"text": format!("{turn} {at}")}))],
        ),
        _ => Reaction::Say(format!("{turn} is done")),
    }
}

fn turn_of(asked: &Asked) -> String {
    asked.messages.iter().rfind(|entry| entry.role == "user").map(|entry| entry.content.clone()).unwrap_or_default()
}

fn lines(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

async fn stage() -> (Stage, PathBuf) {
    let stage = Stage::with(|settings| {
        settings
            .set("endpoints.default", "agents")
            .set("agents.default", "agent_scrubjay")
            .set("agents.agent_scrubjay.servers", vec!["counter"])
            .set("endpoints.openAI.first_token_seconds", 60)
    })
    .await;
    let file = stage.home.path().join("counted");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/e2e/counting_server.py");
    let yaml =
        format!("mcpServers:\n  counter:\n    command: python3\n    args: [-u, {script:?}, \"{}\", \"{}\"]\n", file.display(), STEPS + 1);
    std::fs::write(stage.home.path().join("scrubjay.yaml"), yaml).unwrap();
    (stage, file)
}

/// How many calls of a tool the turn that is open has ended.
async fn ended(stage: &Stage, tool: &str) -> usize {
    let open = stage.home.list(&["jobs", "list"]).await;
    let Some(job) = open.iter().find(|job| job["kind"] == "reply") else { return 0 };
    let shown = stage.home.json(&["jobs", "show", job["id"].as_str().unwrap()]).await;
    let calls = shown["calls"].as_array().cloned().unwrap_or_default();
    calls.iter().filter(|call| call["name"] == tool && call["endedAt"].is_string()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_killed_at_each_step_goes_on_and_writes_nothing_twice() {
    let (stage, file) = stage().await;
    let (twilio, ada) = (Twilio::new(), number(1));
    let mut stalled = HashSet::new();
    stage.model.script(move |asked| {
        let turn = turn_of(asked);
        // In the first turn the model stalls once at each question.
        if turn == "first" && stalled.insert(asked.steps()) { Reaction::Stall } else { step(asked, &turn) }
    });

    // Killed while the model is asked: at each of the eleven questions.
    let mut product = stage.home.serve().await;
    assert!(twilio.post(product.address, &Text::new(&ada, "first")).await.unwrap().is_success());
    for at in 0..=STEPS {
        eventually("the model being asked", SOON, || async { (stage.model.held() > 0).then_some(()) }).await;
        product.kill();
        eventually("the question being given up", SOON, || async { (stage.model.held() == 0).then_some(()) }).await;
        assert_eq!(lines(&file).len(), at, "what was counted when question {at} was cut short");
        product = stage.home.serve().await;
    }
    assert_eq!(stage.bodies_to(&ada, 1).await, ["first is done"]);
    let expected: Vec<usize> = (0..=STEPS).flat_map(|at| [at, at]).collect();
    assert_eq!(stage.model.asked().iter().map(Asked::steps).collect::<Vec<_>>(), expected, "each question is repeated once, no other");
    let counted: Vec<String> = (0..STEPS).map(|at| at.to_string()).collect();
    assert_eq!(lines(&file), counted);

    // Killed while the outside server counts, when it has had its effect: in each of the ten steps.
    assert!(twilio.post(product.address, &Text::new(&ada, "second")).await.unwrap().is_success());
    let mark = file.with_extension("stalled");
    for at in 0..STEPS {
        let number = (STEPS + 1 + at).to_string();
        eventually("a call that stalls", SOON, || async { lines(&mark).first().is_some_and(|mark| *mark == number).then_some(()) }).await;
        // The list's own call, made beside it, is over: only of the outside server's can nobody say what it did.
        eventually("the call beside it", SOON, || async { (ended(&stage, "todo_add").await > at).then_some(()) }).await;
        product.kill();
        product = stage.home.serve().await;
    }
    assert_eq!(stage.bodies_to(&ada, 2).await, ["first is done", "second is done"]);
    assert_eq!(lines(&file).len(), 2 * STEPS, "each count once");
    let asked = stage.model.asked();
    let last = asked.last().unwrap();
    let unsure = last.results().iter().filter(|result| result.contains("may or may not have happened")).count();
    assert_eq!(
        (asked.len() - expected.len(), unsure),
        (STEPS + 1, STEPS),
        "no question twice; of each call it is told that it is not sure"
    );

    // The list has every item once, and the record every call.
    let items = stage.home.list(&["todos", "list", "--user", &ada]).await;
    let mut texts: Vec<&str> = items.iter().filter_map(|item| item["text"].as_str()).collect();
    texts.sort_unstable();
    let mut wanted: Vec<String> = ["first", "second"].iter().flat_map(|turn| (0..STEPS).map(move |at| format!("{turn} {at}"))).collect();
    wanted.sort();
    assert_eq!(texts, wanted);
    let jobs = stage.home.list(&["jobs", "list", "--all"]).await;
    for job in jobs.iter().filter(|job| job["kind"] == "reply") {
        let shown = stage.home.json(&["jobs", "show", job["id"].as_str().unwrap()]).await;
        let calls = shown["calls"].as_array().unwrap();
        assert_eq!(calls.len(), 2 * STEPS);
        assert!(calls.iter().all(|call| call["endedAt"].is_string()), "{calls:?}");
    }
    stage.no_job_left(Duration::from_secs(30)).await;
    product.stop().await;
}
