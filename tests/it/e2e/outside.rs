//! An agent of the real program with other people's MCP servers: what they are told, what becomes of a turn when one of them is
//! of no use, and that they end with the program.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Stage, number};
use crate::outside::{gone, small};
use crate::support::api::Api;
use crate::support::model::Reaction;

const AGENT: &str = "agents.agent_out";

/// A program whose agent has these servers.
async fn stage(servers: &[&str], yaml: impl FnOnce(&std::path::Path) -> String) -> Stage {
    let servers: Vec<String> = servers.iter().map(|name| (*name).to_owned()).collect();
    let mut stage = Stage::with(|settings| {
        settings
            .set("endpoints.default", "agents")
            .set("agents.default", "agent_out")
            .set(&format!("{AGENT}.instructions"), "Use your tools.")
            .set(&format!("{AGENT}.tools"), Vec::<String>::new())
            .set(&format!("{AGENT}.servers"), servers)
    })
    .await;
    let yaml = format!("mcpServers:\n{}", yaml(stage.home.path()));
    std::fs::write(stage.home.path().join("scrubjay.yaml"), yaml).unwrap();
    stage.home.set_variable("SCRUBJAY_AUTH__JWT_SECRET", "MARKED-JWT-0a1b2c3d4e5f60718293a4b5c6d7e8f9");
    stage.home.set_variable("MARKED_VARIABLE", "MARKED-VALUE");
    stage.home.set_variable("WEATHER_KEY", "the weather's own key");
    stage
}

fn reply(answer: &serde_json::Value) -> &str {
    answer["reply"]["text"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_told_the_person_and_what_it_is_given_and_nothing_else_of_ours() {
    let personal = "    env:\n      PERSON: \"{{USER_ID}}\"\n      PHONE: \"{{USER_PHONE}}\"\n      KEY: \"${WEATHER_KEY}\"\n    serverInstructions: true\n";
    let stage = stage(&["small"], |folder| small("small", folder, "--chatty", personal)).await;
    stage.model.script(|asked| match asked.results().as_slice() {
        [] => Reaction::Call(String::new(), vec![("small_environment".to_owned(), json!({})), ("small_complains".to_owned(), json!({}))]),
        results => Reaction::Say(results[0].to_owned()),
    });
    let product = stage.home.serve().await;
    let api = Api::new(product.address);
    let (one, other) = (number(1), number(2));
    let asked = (0..6).map(|turn| api.send(if turn % 2 == 0 { &one } else { &other }, "what do you see?"));
    for (turn, (status, answer)) in futures::future::join_all(asked).await.into_iter().enumerate() {
        assert_eq!(status, 200, "{answer}");
        let environment: BTreeMap<String, String> = serde_json::from_str(reply(&answer)).unwrap_or_else(|_| panic!("{answer}"));
        // The program itself was given PATH and three marked or named variables.
        assert_eq!(environment.keys().collect::<Vec<_>>(), ["KEY", "PATH", "PERSON", "PHONE"]);
        assert_eq!(environment["PHONE"], if turn % 2 == 0 { one.clone() } else { other.clone() });
        assert_eq!(environment["PERSON"], answer["userId"].as_str().unwrap());
        assert_eq!(environment["KEY"], "the weather's own key");
    }
    let first = &stage.model.asked()[0];
    assert!(first.offered().contains(&"small_echo"), "{:?}", first.offered());
    let system = &first.messages[0].content;
    assert!(system.contains("--- what the tool server small says of its tools ---\nAsk politely.\n--- end of small ---"), "{system}");

    let log = std::fs::read_to_string(stage.home.path().join("small.log")).unwrap();
    let pids: Vec<u64> = log.lines().filter_map(|line| line.strip_prefix("start ")?.parse().ok()).collect();
    assert_eq!(pids.len(), 2, "one process a person: {log}");
    product.stop().await;
    for pid in pids {
        gone(pid, Duration::from_secs(1)).await;
    }
    assert!(!stage.home.log().contains("MARKED"), "{}", stage.home.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_goes_on_without_servers_that_are_of_no_use() {
    let stage = stage(&["small", "missing", "silent"], |folder| {
        small("small", folder, "", "").replace("timeout: 5000", "timeout: 500")
            + "  missing:\n    command: /nowhere/at/all\n"
            + &small("silent", folder, "--silent", "    initTimeout: 500\n")
    })
    .await;
    stage.model.script(|asked| match asked.results().as_slice() {
        [] => Reaction::call("small_hang", json!({})),
        [_] => Reaction::call("small_fails", json!({})),
        results => Reaction::Say(results.join(" / ")),
    });
    let product = stage.home.serve().await;
    let begun = Instant::now();
    let (status, answer) = Api::new(product.address).send(&number(1), "hello").await;
    assert_eq!(status, 200, "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let said = reply(&answer);
    assert!(said.contains("did not answer within 0.5 s"), "{said}");
    let offered = stage.model.asked()[0].offered().join(" ");
    assert!(offered.contains("small_echo") && !offered.contains("missing") && !offered.contains("silent"), "{offered}");
    let log = stage.home.log();
    for server in ["missing", "silent"] {
        let told = log.lines().filter(|line| line.contains("cannot be used") && line.contains(&format!("server=\"{server}\""))).count();
        assert_eq!(told, 1, "{log}");
    }
    product.stop().await;
}
