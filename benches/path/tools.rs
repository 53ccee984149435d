//! Tools over HTTP: calls a second against a bare rmcp tool, and what a call costs in graphs of three sizes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{CallToolRequestParams, CallToolResponse, CallToolResult, ServerCapabilities, ServerConfig};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};

use crate::connection::{Answer, Connection, find};
use crate::load::{self, Requests};
use crate::program::{Program, executable, folder_of, fresh_folder};
use crate::report::{Bounds, median};
use crate::requests;
use crate::rows::{Bench, per};

/// The whole of a tool that does nothing.
#[derive(Clone)]
struct BareTool;

impl ServerHandler for BareTool {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        _request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        Ok(CallToolResult::structured(json!({"entities": [], "relations": []})).into())
    }
}

/// Serves the bare tool on a free port and prints where; ends with the process.
pub(crate) fn serve_bare() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let settings = StreamableHttpServerConfig::default().with_legacy_session_mode(false).with_json_response(true);
        let service = StreamableHttpService::new(|| Ok(BareTool), Arc::new(LocalSessionManager::default()), settings);
        let router = Router::new().route_service("/mcp/memory", service);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("ready http://{}", listener.local_addr().expect("an address"));
        axum::serve(listener, router).await.expect("served");
    });
}

/// One call, whole, as bytes.
pub(crate) fn call(address: SocketAddr, token: &str, tool: &str, arguments: &Value) -> Vec<u8> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}).to_string();
    format!(
        "POST /mcp/memory HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nMCP-Protocol-Version: 2025-06-18\r\n\
         Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn entity(prefix: &str, index: usize) -> Value {
    json!({
        "name": format!("{prefix} {index:06}"),
        "entityType": "person",
        "observations": [format!("{prefix} number {index} keeps caches under tree {}", index * 7919 % 999_983)],
    })
}

/// A token of the first person, made beside the running program, which notices it.
pub(crate) fn token(folder: &Path) -> String {
    let output = scrubjay(folder).args(["token", "create", "--user", &requests::number(0), "--json"]).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    printed["token"].as_str().expect("a token").to_owned()
}

/// Whether a call was answered by its result: an error is answered with 200 too.
fn is_result(answer: &Answer) -> bool {
    let has = |text: &str| find(&answer.body, text.as_bytes()).is_some();
    answer.status == 200 && has("\"structuredContent\"") && !has("\"isError\":true")
}

/// A kind of call whose cost is taken, with its bounds in milliseconds.
pub(crate) struct Timed {
    pub(crate) what: &'static str,
    pub(crate) tool: &'static str,
    floor: f64,
    aim: f64,
}

pub(crate) const TIMED: [Timed; 4] = [
    Timed { what: "create one entity", tool: "create_entities", floor: 0.5, aim: 0.2 },
    Timed { what: "add one observation", tool: "add_observations", floor: 0.5, aim: 0.2 },
    Timed { what: "search, one hit", tool: "search_nodes", floor: 1.0, aim: 0.3 },
    Timed { what: "open one node", tool: "open_nodes", floor: 0.3, aim: 0.15 },
];

impl Timed {
    /// The arguments of a call, and the name of the one entity that its answer must hold.
    pub(crate) fn call(&self, size: usize, index: usize) -> (Value, String) {
        let known = format!("jay {:06}", index * 37 % size);
        match self.tool {
            "create_entities" => {
                let new = entity(&format!("new at {size}"), index);
                let name = new["name"].as_str().expect("a name").to_owned();
                (json!({"entities": [new]}), name)
            }
            "add_observations" => {
                let text = format!("seen at {size} in call {index}");
                (json!({"observations": [{"entityName": known, "contents": [text]}]}), known)
            }
            "search_nodes" => (json!({"query": known}), known),
            _ => (json!({"names": [known]}), known),
        }
    }

    /// Fails unless the answer tells of that entity and of no other, and for an observation that it was added.
    pub(crate) fn expect_one(&self, answer: &Answer, name: &str) {
        let body = String::from_utf8_lossy(&answer.body);
        assert!(is_result(answer), "{}: {body}", self.what);
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        let result = &answer["result"]["structuredContent"];
        let (list, key) = if self.tool == "add_observations" { ("results", "entityName") } else { ("entities", "name") };
        let one = result[list].as_array().is_some_and(|list| list.len() == 1) && result[list][0][key] == name;
        let added = self.tool != "add_observations" || result[list][0]["addedObservations"].as_array().is_some_and(|list| list.len() == 1);
        assert!(one && added, "{} of {name:?}: {body}", self.what);
    }
}

impl Bench {
    /// Tool calls a second over 64 connections, against a bare rmcp tool.
    pub(crate) async fn tools(&mut self) {
        println!("tools: MCP calls over HTTP");
        let count = 10_000 * self.scale;
        let (mut bare, mut reads, mut writes, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for round in 0..self.rounds {
            let yardstick = Program::bare_tool(&fresh_folder("bare-tool"));
            let request =
                |index: usize| call(yardstick.address, "none", "open_nodes", &json!({"names": [format!("jay {:06}", index % 1000)]}));
            let requests: Requests = Arc::new((0..count).map(request).collect());
            bare.push(load::closed_of(yardstick.address, 64, &requests, is_result).await.rate());
            drop(yardstick);

            let program = self.fresh_program("tools", 1).await;
            let token = token(&folder_of("tools"));
            fill(&program, &token, 0, 1000).await;
            let request =
                |index: usize| call(program.address, &token, "open_nodes", &json!({"names": [format!("jay {:06}", index % 1000)]}));
            let requests: Requests = Arc::new((0..count).map(request).collect());
            let before = program.cpu();
            reads.push(load::closed_of(program.address, 64, &requests, is_result).await.rate());
            cpu.push(per(program.cpu().saturating_sub(before), count));
            let request = |index: usize| {
                call(program.address, &token, "create_entities", &json!({"entities": [entity(&format!("round {round}"), index)]}))
            };
            let requests: Requests = Arc::new((0..count / 2).map(request).collect());
            writes.push(load::closed_of(program.address, 64, &requests, is_result).await.rate());
        }
        let (bare, reads) = (median(bare), median(reads));
        self.report.plain("bare rmcp tool, 64 connections", bare, "/s");
        self.report.plain("open one node of 1,000, 64 connections", reads, "/s");
        self.report.plain("CPU of ours a call of it", median(cpu), "ms");
        self.report.plain("create one entity, 64 connections", median(writes), "/s");
        self.report.bounded("open one node against the bare rmcp tool", reads / bare, "", Bounds::AtLeast { floor: 0.3, aim: 0.7 });
    }

    /// What a call costs in a graph of 1,000, 10,000 and 50,000 entities, one call at a time, and the memory that it takes.
    pub(crate) async fn graph(&mut self) {
        println!("graph: CPU of a call by size");
        let program = self.fresh_program("graph", 1).await;
        let folder = folder_of("graph");
        let token = token(&folder);
        let (mut stored, calls) = (0, 1000);
        for size in self.sizes() {
            fill(&program, &token, stored, size).await;
            stored = size;
            let mut connection = Connection::open(program.address).await.expect("it listens");
            for timed in &TIMED {
                let mut costs = Vec::new();
                for round in 0..self.rounds {
                    let before = program.cpu();
                    for index in round * calls..(round + 1) * calls {
                        let (arguments, name) = timed.call(size, index);
                        let answer = connection.exchange(&call(program.address, &token, timed.tool, &arguments)).await;
                        timed.expect_one(&answer.expect("an answer"), &name);
                    }
                    costs.push(per(program.cpu().saturating_sub(before), calls));
                }
                let bounds = Bounds::AtMost { floor: timed.floor, aim: timed.aim };
                self.report.bounded(&format!("{}, {size} entities, CPU of ours", timed.what), median(costs), "ms", bounds);
            }
            let memory = program.memory_mib("VmHWM");
            self.report.bounded(&format!("memory at most, {size} entities"), memory, "MiB", Bounds::AtMost { floor: 60.0, aim: 40.0 });
        }
        drop(program);
        let (mut first, mut opened) = (Vec::new(), Vec::new());
        for _ in 0..7 {
            let (answer, node) = start_over_stdio(&folder);
            first.push(answer);
            opened.push(node);
        }
        // The first answer comes before the store is open, so what it holds shows in the second.
        let bounds = Bounds::AtMost { floor: 100.0, aim: 20.0 };
        self.report.bounded(&format!("start to the first answer over stdio, {stored} entities"), median(first), "ms", bounds);
        self.report.bounded(&format!("start to the first node opened over stdio, {stored} entities"), median(opened), "ms", bounds);
    }

    /// Entities in the graph. The largest takes its time to be filled.
    fn sizes(&self) -> Vec<usize> {
        if self.scale > 1 {
            return vec![1_000, 10_000, 50_000];
        }
        println!("  --quick leaves out the graph of 50,000 entities");
        vec![1_000, 10_000]
    }
}

/// Milliseconds from the start of `scrubjay mcp` to its answer to `initialize`, and to that to a call.
fn start_over_stdio(folder: &Path) -> (f64, f64) {
    let mut command = scrubjay(folder);
    command.args(["mcp", "--user", &requests::number(0)]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let begun = Instant::now();
    let mut child = command.spawn().expect("it starts");
    let mut input = child.stdin.take().expect("its input");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut ask = |message: Value| writeln!(input, "{message}").expect("it reads");
    let mut answer = || {
        let line = lines.next().expect("an answer").expect("text");
        assert!(line.contains("\"result\""), "{line}");
        begun.elapsed().as_secs_f64() * 1000.0
    };
    ask(json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}}));
    let first = answer();
    ask(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    ask(
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "open_nodes", "arguments": {"names": ["jay 000007"]}}}),
    );
    let opened = answer();
    drop(input);
    assert!(child.wait().expect("it ends").success(), "it ends well when its input does");
    (first, opened)
}

/// The command on the settings and the data in `folder`.
pub(crate) fn scrubjay(folder: &Path) -> Command {
    let mut command = Command::new(executable());
    command.env_clear().current_dir(folder).arg("--config").arg(folder.join("config.toml")).arg("--data-dir").arg(folder.join("data"));
    command
}

pub(crate) async fn fill(program: &Program, token: &str, from: usize, to: usize) {
    let requests: Vec<Vec<u8>> = (from..to)
        .step_by(500)
        .map(|first| {
            let entities: Vec<Value> = (first..to.min(first + 500)).map(|index| entity("jay", index)).collect();
            call(program.address, token, "create_entities", &json!({ "entities": entities }))
        })
        .collect();
    load::closed_of(program.address, 1, &Arc::new(requests), is_result).await;
    // What the store moves into its file afterwards is not part of the next call.
    tokio::time::sleep(Duration::from_secs(2)).await;
}
