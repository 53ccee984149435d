//! `scrubjay mcp`, the executable, spoken to line by line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::backends::Ground;
use crate::support::home::{Home, Settings};

const LIMIT: Duration = Duration::from_secs(30);

/// A folder whose settings answer offline.
pub(super) fn home() -> Home {
    Home::new(&settings())
}

/// The same on a backend.
pub(super) fn home_on(ground: &Ground) -> Home {
    Home::new(&ground.keys().into_iter().fold(settings(), |settings, (key, value)| settings.set(key, value)))
}

fn settings() -> Settings {
    Settings::default().set("endpoints.default", "demo").set("people.admission", "open").set("worker.poll_ms", 50)
}

/// A running `scrubjay mcp`; killed when dropped.
pub(crate) struct Talk {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    last_id: u64,
}

impl Talk {
    pub(crate) fn start(home: &Home, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(home.log_file()).unwrap();
        let mut command = home.executable();
        command.arg("mcp").args(arguments).envs(environment.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        Self { input: child.stdin.take(), child, lines, last_id: 0 }
    }

    pub(crate) fn send(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    fn ask(&mut self, method: &str, params: &Value) -> u64 {
        self.last_id += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params}));
        self.last_id
    }

    /// The next line, which must be one message.
    pub(super) fn next(&mut self, limit: Duration) -> Value {
        let line = self.lines.recv_timeout(limit).unwrap_or_else(|_| panic!("no answer within {limit:?}"));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("standard output holds {line:?}: {error}"))
    }

    /// Asks, and waits for the answer to that.
    pub(crate) fn answer(&mut self, method: &str, params: &Value) -> Value {
        let id = self.ask(method, params);
        let answer = self.next(LIMIT);
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// A tool's result.
    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        self.answer("tools/call", &json!({"name": tool, "arguments": arguments}))["result"].clone()
    }

    pub(crate) fn hello(&mut self) -> Value {
        let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
        let answer = self.answer("initialize", &hello);
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        answer
    }

    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    fn terminate(&self) {
        let sent = std::process::Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < LIMIT, "it did not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Who there is: number and id.
async fn people(home: &Home) -> Vec<(Value, String)> {
    let listed = home.list(&["users", "list"]).await;
    listed.iter().map(|user| (user["phoneNumber"].clone(), user["_id"].as_str().unwrap().to_owned())).collect()
}

#[tokio::test]
async fn a_new_number_makes_the_person_once_and_the_end_of_input_ends_it() {
    let home = home();
    for _ in 0..2 {
        let mut talk = Talk::start(&home, &["--user", "(555) 010-0001"], &[]);
        assert_eq!(talk.hello()["result"]["serverInfo"]["name"], "scrubjay");
        assert!(talk.answer("tools/list", &json!({}))["result"]["tools"].is_array());
        talk.end_input();
        assert!(talk.ended().success());
    }
    let people = people(&home).await;
    assert_eq!((people.len(), &people[0].0), (1, &json!("+15550100001")));
    // By id as well, and nothing was written that is not for the log's reader.
    let mut talk = Talk::start(&home, &["--user", &people[0].1], &[]);
    talk.hello();
    assert!(talk.answer("tools/list", &json!({}))["result"]["tools"].is_array());
    talk.end_input();
    assert!(talk.ended().success());
    assert_eq!(home.log(), "");
}

#[tokio::test]
async fn nobodys_id_ends_it_whether_the_client_waits_or_not() {
    let home = home();
    for waits in [false, true] {
        let mut talk = Talk::start(&home, &["--user", "ffffffffffffffffffffffff"], &[]);
        talk.hello();
        if !waits {
            talk.end_input();
        }
        assert_eq!(talk.ended().code(), Some(1));
    }
    assert!(home.log().contains("nobody has that id here"), "{}", home.log());
    assert_eq!(people(&home).await, []);
}

#[tokio::test]
async fn whoever_is_not_said_clearly_is_nobody() {
    let home = home();
    for (arguments, environment) in [
        (vec![], vec![]),
        (vec!["--user", ""], vec![]),
        (vec!["--user", ""], vec![("MCP_USER_BASED", "false")]),
        (vec!["--user", "{{LIBRECHAT_USER_ID}}"], vec![]),
        (vec!["--user", "12345"], vec![]),
        (vec!["--user", "default"], vec![]),
        (vec![], vec![("MCP_USER_ID", "somebody")]),
    ] {
        let mut talk = Talk::start(&home, &arguments, &environment);
        assert_eq!(talk.ended().code(), Some(2), "{arguments:?} {environment:?}");
    }
    assert!(!home.data().exists(), "no store was made");
}

#[tokio::test]
async fn settings_say_for_whom_and_the_shared_account_is_asked_for() {
    let home = home();
    let yaml = home.path().join("servers.yaml");
    std::fs::write(&yaml, "mcpServers:\n  memory:\n    command: scrubjay\n    env:\n      MCP_USER_ID: \"+15550100003\"\n").unwrap();
    let yaml = yaml.to_str().unwrap();
    let starts = [
        (vec![], vec![("MCP_USER_ID", "+15550100001")]),
        (vec!["--user", "+15550100002"], vec![("MCP_USER_ID", "+15550100001")]),
        (vec!["--yaml", yaml, "--server", "memory"], vec![("MCP_USER_ID", "+15550100001")]),
        (vec![], vec![("MCP_USER_BASED", "false")]),
        (vec![], vec![("MCP_USER_BASED", "false"), ("MCP_USER_ID", "+15550100009")]),
        (vec!["--user", "+15550100002"], vec![("MCP_USER_BASED", "false")]),
    ];
    for (arguments, environment) in &starts {
        let mut talk = Talk::start(&home, arguments, environment);
        talk.end_input();
        assert!(talk.ended().success(), "{arguments:?} {environment:?}: {}", home.log());
    }
    let mut people = people(&home).await;
    people.sort_by_key(|(number, _)| number.to_string());
    let numbers: Vec<&Value> = people.iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, [&json!("+15550100001"), &json!("+15550100002"), &json!("+15550100003"), &Value::Null]);
    assert_eq!(people[3].1, "64656661756c740000000000");
}

#[tokio::test]
async fn a_client_is_greeted_while_the_store_cannot_be_opened_yet() {
    let home = home();
    let mut talk = Talk::start(&home, &["--user", "+15550100001"], &[]);
    talk.end_input();
    assert!(talk.ended().success());
    let store = rusqlite::Connection::open(home.data().join("scrubjay.db")).unwrap();
    store.pragma_update(None, "locking_mode", "EXCLUSIVE").unwrap();
    store.execute_batch("BEGIN EXCLUSIVE").unwrap();

    let mut talk = Talk::start(&home, &["--user", "+15550100002"], &[]);
    assert_eq!(talk.hello()["result"]["protocolVersion"], "2025-11-25");
    let asked = talk.ask("tools/list", &json!({}));
    talk.ask("ping", &json!({}));
    assert_eq!(talk.next(LIMIT)["result"], json!({}), "the list waits, and nothing else does");
    // Even the end of the input waits for what was asked before it.
    talk.end_input();
    std::thread::sleep(Duration::from_millis(300));
    store.execute_batch("COMMIT").unwrap();
    drop(store);
    let listed = talk.next(LIMIT);
    assert_eq!(listed["id"], asked);
    assert!(listed["result"]["tools"].is_array(), "{listed}");
    assert!(talk.ended().success(), "{}", home.log());
}

#[tokio::test]
async fn a_store_that_stays_locked_longer_than_one_try_is_tried_again() {
    let home = home();
    let mut talk = Talk::start(&home, &["--user", "+15550100001"], &[]);
    talk.end_input();
    assert!(talk.ended().success());
    let store = rusqlite::Connection::open(home.data().join("scrubjay.db")).unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut talk = Talk::start(&home, &["--user", "+15550100002"], &[]);
    talk.hello();
    let begun = Instant::now();
    let asked = talk.ask("tools/call", &json!({"name": "todo_add", "arguments": {"text": "milk"}}));
    // One try waits for five seconds.
    std::thread::sleep(Duration::from_secs(6));
    store.execute_batch("COMMIT").unwrap();
    let added = talk.next(LIMIT);
    assert_eq!((&added["id"], &added["result"]["isError"]), (&json!(asked), &json!(false)), "{added}; {}", home.log());
    assert!(begun.elapsed() > Duration::from_secs(6));
    talk.end_input();
    assert!(talk.ended().success(), "{}", home.log());
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_is_told_with_each_call() {
    let home = home();
    std::fs::create_dir_all(home.data()).unwrap();
    std::fs::write(home.data().join("scrubjay.db"), "this is no database, and long enough to be taken for one ".repeat(100)).unwrap();
    let mut talk = Talk::start(&home, &["--user", "+15550100001"], &[]);
    talk.hello();
    for _ in 0..2 {
        let result = talk.call("create_entities", &json!({"entities": []}));
        assert_eq!(result["isError"], true);
        assert!(result["content"][0]["text"].as_str().unwrap().contains("the store could not be opened"), "{result}");
    }
    assert!(talk.answer("tools/list", &json!({}))["error"]["message"].as_str().unwrap().contains("could not be opened"));
    talk.end_input();
    assert_eq!(talk.ended().code(), Some(1));
    assert!(home.log().contains("the store could not be opened"), "{}", home.log());
}

#[tokio::test]
async fn a_signal_ends_it_while_the_client_waits() {
    let home = home();
    let mut talk = Talk::start(&home, &["--user", "+15550100001"], &[]);
    talk.hello();
    assert!(talk.answer("tools/list", &json!({}))["result"]["tools"].is_array());
    talk.terminate();
    assert!(talk.ended().success(), "{}", home.log());
    // Before anybody said anything, too.
    let mut talk = Talk::start(&home, &["--user", "+15550100001"], &[]);
    std::thread::sleep(Duration::from_millis(300));
    talk.terminate();
    assert!(talk.ended().success(), "{}", home.log());
}

#[tokio::test]
async fn what_is_no_message_is_answered_and_a_client_without_manners_is_sent_away() {
    let home = home();
    let mut talk = Talk::start(&home, &["--user", "+15550100001"], &[]);
    // Before hello too.
    talk.send(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": 5}}));
    assert_eq!(talk.next(LIMIT)["error"]["code"], -32602);
    talk.hello();
    let large = "x".repeat(6 * 1024 * 1024);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let input = talk.input.as_mut().unwrap();
    input.write_all(b"{bad\nnot json\n\n\xff\xfe\n[1,2]\n{\"jsonrpc\":\"2.0\",\"id\":9}\n").unwrap();
    writeln!(input, "{deep}").unwrap();
    writeln!(input, "{}", json!({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": large}})).unwrap();
    writeln!(input, "{}", json!({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "todo_add", "arguments": [1]}}))
        .unwrap();
    talk.ask("ping", &json!({}));
    let answers: Vec<Value> = std::iter::from_fn(|| {
        let answer = talk.next(LIMIT);
        (answer.get("result").is_none()).then_some(answer)
    })
    .collect();
    let codes: Vec<(i64, bool)> =
        answers.iter().map(|answer| (answer["error"]["code"].as_i64().unwrap(), answer.get("id") == Some(&json!(9)))).collect();
    let (no_json, no_message) = ((-32700, false), (-32600, false));
    let expected = [no_json, no_json, no_json, no_message, (-32600, true), no_json, no_message, (-32602, true)];
    assert_eq!(codes, expected, "{answers:?}");
    assert!(answers.iter().all(|answer| answer.to_string().len() < 1_000), "an answer repeats what was sent");
    talk.end_input();
    assert!(talk.ended().success());

    let mut talk = Talk::start(&home, &["--user", "+15550100001"], &[]);
    talk.send(&json!({"jsonrpc": "2.0", "method": "notifications/secret-7141"}));
    assert_eq!(talk.ended().code(), Some(1));
    assert!(home.log().contains("first message") && !home.log().contains("7141"), "{}", home.log());
}
