//! The protocol project's own clients and its conformance suite, at pinned versions, against the executable.

mod conformance;
mod installed;

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::stdio::home;
use crate::support::home::Home;
use crate::support::process::Product;

const ANN: &str = "+15550100001";

/// A running server with Ann in it, and a token of hers.
async fn running() -> (Home, Product, String) {
    let home = home();
    // A new number makes the person; without any input it ends again.
    let (code, _, stderr) = home.run(&["mcp", "--user", ANN]).await;
    assert_eq!(code, 0, "{stderr}");
    let token = home.json(&["token", "create", "--user", ANN]).await["token"].as_str().unwrap().to_owned();
    let product = home.serve().await;
    (home, product, token)
}

/// Runs a script to its end with a job on its standard input, and reads the report that it prints.
async fn report(mut command: Command, job: &Value) -> Value {
    let job = job.to_string();
    let running = tokio::task::spawn_blocking(move || {
        use std::io::Write as _;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(job.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    let output = tokio::time::timeout(Duration::from_mins(2), running).await.expect("the script ends by itself").unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{stderr}", String::from_utf8_lossy(&output.stdout)))
}

/// The servers of a job: the same store over HTTP and over stdio.
fn servers(home: &Home, product: &Product, token: &str) -> Value {
    let data = home.data();
    let config = home.path().join("config.toml");
    json!({
        "http": {"url": product.url("/mcp"), "headers": {"Authorization": format!("Bearer {token}")}},
        "stdio": {
            "command": env!("CARGO_BIN_EXE_scrubjay"),
            "args": ["mcp", "--config", config, "--data-dir", data, "--user", ANN],
            "env": {},
        },
    })
}

fn steps() -> Value {
    json!([
        ["tools", {}],
        ["resources", {}],
        ["templates", {}],
        ["prompts", {}],
        ["call", {"name": "no_such_tool"}],
        ["read", {"uri": "memory://no/such/resource"}],
        ["call", {"name": "todo_add", "arguments": {"text": "milk"}}],
        ["call", {"name": "todo_list", "arguments": {"limit": "many"}}],
        ["read", {"uri": "todo://open"}],
        ["prompt", {"name": "plan-my-day", "arguments": {"focus": "rest"}}],
    ])
}

/// What every client must have seen, whatever it speaks.
fn check(report: &Value, expected: &[(&str, Option<&str>)]) {
    let names: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let mut wanted: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
    wanted.sort_unstable();
    assert_eq!(names, wanted);
    for (name, revision) in expected {
        let run = &report[name];
        assert_eq!(run["revision"].as_str(), *revision, "{name}");
        let results = run["results"].as_array().unwrap();
        assert!(results[0]["tools"].is_array() && results[1]["resources"].is_array(), "{name}: {results:?}");
        assert!(results[2]["resourceTemplates"].is_array() && results[3]["prompts"].is_array(), "{name}: {results:?}");
        assert_eq!(results[4]["protocolError"], -32602, "{name}");
        assert!([json!(-32602), json!(-32002)].contains(&results[5]["protocolError"]), "{name}: {}", results[5]);
        // Added once: every later client finds the same open item.
        let added = &results[6];
        assert_eq!((&added["isError"], &added["structuredContent"]["todo"]["id"]), (&json!(false), &json!(1)), "{name}: {added}");
        let text: Value = serde_json::from_str(added["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, added["structuredContent"], "{name}");
        assert_eq!(results[7]["isError"], true, "{name}: {}", results[7]);
        assert!(results[8]["contents"][0]["text"].as_str().unwrap().contains("milk"), "{name}: {}", results[8]);
        let prompt = results[9]["messages"][0]["content"]["text"].as_str().unwrap();
        assert!(prompt.contains("`todo_list`") && prompt.ends_with("> rest"), "{name}: {prompt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_in_each_mode_over_both_transports() {
    let (home, product, token) = running().await;
    let mut command = Command::new(tokio::task::spawn_blocking(installed::python).await.unwrap());
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/mcp/clients/python.py"));
    let job = json!({"servers": servers(&home, &product, &token), "modes": ["auto", "legacy", "2026-07-28"], "steps": steps()});
    let report = report(command, &job).await;
    let (newest, older) = (Some("2026-07-28"), Some("2025-11-25"));
    check(
        &report,
        &[
            ("http auto", newest),
            ("http legacy", older),
            ("http 2026-07-28", newest),
            ("stdio auto", newest),
            ("stdio legacy", older),
            ("stdio 2026-07-28", newest),
        ],
    );
    product.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_client_over_both_transports() {
    let (home, product, token) = running().await;
    let node = tokio::task::spawn_blocking(installed::node).await.unwrap();
    let mut command = Command::new(&node.program);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/mcp/clients/sdk.mjs")).arg(&node.folder);
    let report = report(command, &json!({"servers": servers(&home, &product, &token), "steps": steps()})).await;
    // Over stdio the SDK does not tell which revision it agreed on.
    check(&report, &[("http default", Some("2025-11-25")), ("stdio default", None)]);
    product.stop().await;
}
