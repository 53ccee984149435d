//! The protocol project's own clients and its conformance suite, at pinned versions, against the executable.

mod conformance;
mod installed;

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::attempts::Sure;
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

/// Words and errors of the protocol, then each tool at its work, then every resource that this leaves.
fn steps() -> Value {
    let first = json!([
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
    ]);
    let mut steps = first.as_array().unwrap().clone();
    assert_eq!(steps.len(), FIRST);
    steps.extend(Sure::with_id("$id").into_iter().map(|(tool, arguments)| json!(["call", {"name": tool, "arguments": arguments}])));
    steps.extend(RESOURCES.map(|uri| json!(["read", {"uri": uri}])));
    json!(steps)
}

/// Steps before the tools at work.
const FIRST: usize = 10;

const RESOURCES: [&str; 3] = ["memory://graph", "memory://entity/me", "schedule://upcoming"];

/// That each tool did its work, and told so in its structured result and in its text alike.
fn check_tools(name: &str, results: &[Value]) {
    let calls = Sure::with_id("$id");
    assert_eq!(results.len(), calls.len() + RESOURCES.len(), "{name}");
    let mut sure = Sure::new();
    let of = |wanted: &str| {
        let at = calls.iter().position(|(tool, _)| *tool == wanted).unwrap();
        results[at]["structuredContent"].clone()
    };
    for ((tool, _), result) in calls.iter().zip(results) {
        sure.took(tool, result);
        let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, result["structuredContent"], "{name}: {tool}");
    }
    let ada = json!({"name": "Ada", "entityType": "person", "observations": ["is a sister of mine"]});
    let friends = json!({"from": "Ada", "to": "Ann", "relationType": "is a friend of"});
    assert_eq!(of("search_nodes")["entities"], json!([ada]), "{name}");
    assert_eq!(of("read_graph")["relations"], json!([friends]), "{name}");
    assert_eq!(of("open_nodes")["entities"].as_array().unwrap().len(), 3, "{name}");
    assert_eq!(of("find_related")["relations"], json!([friends]), "{name}");
    assert_eq!((&of("memory_stats")["entities"], &of("memory_stats")["observations"]), (&json!(3), &json!(1)), "{name}");
    assert_eq!(of("delete_entities")["deleted"], 2, "{name}");
    let planned = of("schedule_create")["schedule"].clone();
    assert_eq!(
        (&planned["message"], &planned["when"], &planned["enabled"]),
        (&json!("more tea"), &json!({"daily": "17:00"}), &json!(true))
    );
    assert_eq!(
        (&of("schedule_disable")["schedule"]["enabled"], &of("schedule_enable")["schedule"]["enabled"]),
        (&json!(false), &json!(true))
    );
    let shown = of("schedule_get")["schedule"].clone();
    assert_eq!((&shown["id"], &shown["name"], &shown["nextRun"]), (&planned["id"], &json!("coffee"), &planned["nextRun"]), "{name}");
    assert_eq!(of("schedule_list")["schedules"], json!([shown]), "{name}");
    assert_eq!((&of("schedule_run_now")["schedule"]["runs"], &of("schedule_delete")["deleted"]), (&json!(1), &planned["id"]), "{name}");
    // What is left of it all stands in the resources.
    let left: Vec<Value> = results[calls.len()..]
        .iter()
        .map(|read| serde_json::from_str(read["contents"][0]["text"].as_str().unwrap_or_else(|| panic!("{name}: {read}"))).unwrap())
        .collect();
    assert_eq!(left[0], json!({"entities": [{"name": "me", "entityType": "person", "observations": []}], "relations": []}), "{name}");
    assert_eq!((&left[1]["entities"][0]["name"], &left[2]["schedules"]), (&json!("me"), &json!([])), "{name}");
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
        check_tools(name, &results[FIRST..]);
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
