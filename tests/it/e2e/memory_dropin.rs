//! The MCP project's own memory server and ours, driven with the same calls: they answer the same and hold the same, but for the
//! rules that `memory_dropin.py` lists; and each reads the other's file.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::home::{Home, Settings};

/// The upstream server, pinned.
const PACKAGE: &str = "@modelcontextprotocol/server-memory";
const VERSION: &str = "2026.8.31";

const ANN: &str = "+15550100001";
const BOB: &str = "+15550100002";

/// The upstream server's program, installed once below `target/` and shared by later runs.
fn upstream() -> PathBuf {
    let tmp = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let home = tmp.join(format!("node-server-memory-{VERSION}"));
    let done = home.join("installed");
    let lock = File::create(tmp.join("node-server-memory.lock")).unwrap();
    lock.lock().unwrap();
    if !done.exists() {
        let _ = std::fs::remove_dir_all(&home);
        std::fs::create_dir_all(&home).unwrap();
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix", home.to_str().unwrap(), &format!("{PACKAGE}@{VERSION}")]);
        let output = npm.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("Node.js with npm is needed for this test: {error}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        File::create(done).unwrap();
    }
    home.join("node_modules").join(PACKAGE).join("dist").join("index.js")
}

/// `scrubjay mcp` of a person, as words.
fn ours(home: &Home, user: &str) -> Vec<String> {
    let executable = home.executable();
    let words = std::iter::once(executable.get_program()).chain(executable.get_args());
    words.map(|word| word.to_str().unwrap().to_owned()).chain(["mcp", "--user", user].map(str::to_owned)).collect()
}

/// Runs a Python script with arguments to its end and reads the JSON that it prints.
async fn python(script: &str, arguments: Vec<String>) -> Value {
    let child =
        Command::new("python3").arg(script).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap_or_else(|error| panic!("Python 3 is needed for this test: {error}"));
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = tokio::time::timeout(Duration::from_mins(5), output).await.expect("the script ends by itself").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "both servers get nothing but PATH")]
async fn the_upstream_memory_server_can_be_replaced_by_ours() {
    let program = tokio::task::spawn_blocking(upstream).await.unwrap();
    let home = Home::new(&Settings::default());
    let file = home.path().join("memory.jsonl");
    let theirs = vec!["node".to_owned(), program.to_str().unwrap().to_owned()];
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/e2e/memory_dropin.py");
    let environment = json!({"PATH": std::env::var("PATH").unwrap_or_default()});
    let arguments =
        vec![json!(theirs).to_string(), file.to_str().unwrap().to_owned(), json!(ours(&home, ANN)).to_string(), environment.to_string()];
    let report = python(script, arguments).await;
    for count in ["calls", "plain", "any", "refused", "differing", "deletions", "claimed", "extras"] {
        eprintln!("{count}: {}", report[count]);
    }
    assert_eq!(report["wrong"], json!([]), "the two servers disagree");
    let count = |name: &str| report[name].as_u64().unwrap();
    assert!(count("plain") >= 2000 && count("any") >= 2000, "{} and {} calls", report["plain"], report["any"]);
    // Where upstream claims to have deleted what was not there, ours does not.
    assert!(count("deletions") >= 400 && count("claimed") >= 20, "{} and {}", report["deletions"], report["claimed"]);
    assert!(count("refused") >= 50 && count("differing") >= 200, "the calls try too little: {} {}", report["refused"], report["differing"]);

    // Their file, which now has doubles and relations that lead nowhere, is read by ours.
    let left = home.json(&["memory", "import", "--user", BOB, file.to_str().unwrap()]).await;
    assert!(left["entities"].as_u64().unwrap() > 5, "{left}");
    // Ours is read by theirs, and gives the same graph.
    let (code, exported, stderr) = home.run(&["memory", "export", "--user", ANN, file.to_str().unwrap()]).await;
    assert_eq!((code, exported.as_str()), (0, ""), "{stderr}");
    let read = concat!(
        "import json, os, subprocess, sys\n",
        "hello = {'protocolVersion': '2025-06-18', 'capabilities': {}, 'clientInfo': {'name': 'reader', 'version': '1'}}\n",
        "asked = [{'jsonrpc': '2.0', 'id': 1, 'method': 'initialize', 'params': hello},\n",
        "         {'jsonrpc': '2.0', 'method': 'notifications/initialized'},\n",
        "         {'jsonrpc': '2.0', 'id': 2, 'method': 'tools/call', 'params': {'name': 'read_graph', 'arguments': {}}}]\n",
        "server = subprocess.Popen(json.loads(sys.argv[1]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,\n",
        "                          env={**os.environ, 'MEMORY_FILE_PATH': sys.argv[2]})\n",
        "server.stdin.write(''.join(json.dumps(message) + '\\n' for message in asked))\n",
        "server.stdin.flush()\n",
        "answers = [json.loads(server.stdout.readline()) for _ in range(2)]\n",
        "server.stdin.close()\n",
        "server.wait(20)\n",
        "json.dump(answers[1]['result']['structuredContent'], sys.stdout)\n",
    );
    let reader = home.path().join("read.py");
    std::fs::write(&reader, read).unwrap();
    let graph = python(reader.to_str().unwrap(), vec![json!(theirs).to_string(), file.to_str().unwrap().to_owned()]).await;
    assert_eq!(graph, home.json(&["memory", "show", "--user", ANN]).await);
    assert_eq!(graph["entities"].as_array().unwrap().len(), report["graph"]["entities"].as_array().unwrap().len());
    // And back again: a graph that went through a file is the same.
    let carol = "+15550100003";
    home.json(&["memory", "import", "--user", carol, file.to_str().unwrap()]).await;
    assert_eq!(home.json(&["memory", "show", "--user", carol]).await, graph);
}
