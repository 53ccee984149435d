//! What a client was told is stored is stored: with many calls in flight, with two processes on one store, and over kills.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use super::stdio::{Talk, home};
use crate::support::chance::Chance;
use crate::support::eventually;
use crate::support::home::Home;

const ANN: &str = "+15550100001";
const IN_FLIGHT: usize = 16;
const LIMIT: Duration = Duration::from_secs(30);

/// The `number`th write: an entity, or every other time an item of the list.
fn write(number: usize) -> Value {
    let name = format!("thing {number}");
    let call = if number.is_multiple_of(2) {
        json!({"name": "create_entities", "arguments": {"entities": [{"name": name, "entityType": "thing", "observations": ["new"]}]}})
    } else {
        json!({"name": "todo_add", "arguments": {"text": name}})
    };
    json!({"jsonrpc": "2.0", "id": 1_000_000 + number, "method": "tools/call", "params": call})
}

/// A client with calls in flight, and what was acknowledged to it.
struct Writing {
    talk: Talk,
    in_flight: usize,
    acknowledged: BTreeSet<usize>,
}

impl Writing {
    fn begin(home: &Home) -> Self {
        let mut talk = Talk::start(home, &["--user", ANN], &[]);
        talk.hello();
        Self { talk, in_flight: 0, acknowledged: BTreeSet::new() }
    }

    /// Writes, after an answer was taken where enough calls are in flight.
    fn write(&mut self, number: usize, in_flight: usize) {
        if self.in_flight == in_flight {
            self.take();
        }
        self.talk.send(&write(number));
        self.in_flight += 1;
    }

    fn take(&mut self) {
        let answer = self.talk.next(LIMIT);
        assert_eq!(answer["result"]["isError"].as_bool(), Some(false), "{answer}");
        let number = usize::try_from(answer["id"].as_u64().unwrap()).unwrap() - 1_000_000;
        assert!(self.acknowledged.insert(number), "{number} was answered twice");
        self.in_flight -= 1;
    }

    fn finish(mut self) -> BTreeSet<usize> {
        while self.in_flight > 0 {
            self.take();
        }
        self.talk.end_input();
        assert!(self.talk.ended().success());
        self.acknowledged.clone()
    }
}

/// Which writes a fresh process finds, and how often each.
fn stored(home: &Home) -> BTreeMap<usize, usize> {
    let mut talk = Talk::start(home, &["--user", ANN], &[]);
    talk.hello();
    let graph = talk.call("read_graph", &json!({"limit": 10_000, "maxBytes": 4_000_000}));
    let graph = &graph["structuredContent"];
    assert!(graph.get("nextCursor").is_none(), "{graph}");
    let mut names: Vec<String> = Vec::new();
    for entity in graph["entities"].as_array().unwrap() {
        assert_eq!(entity["observations"], json!(["new"]), "an entity was stored in part");
        names.push(entity["name"].as_str().unwrap().to_owned());
    }
    let mut cursor = Value::Null;
    loop {
        let page = talk.call("todo_list", &json!({"limit": 200, "cursor": cursor}))["structuredContent"].clone();
        names.extend(page["todos"].as_array().unwrap().iter().map(|todo| todo["text"].as_str().unwrap().to_owned()));
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    talk.end_input();
    assert!(talk.ended().success());
    let mut found = BTreeMap::new();
    for name in names {
        *found.entry(name.strip_prefix("thing ").unwrap().parse().unwrap()).or_insert(0) += 1;
    }
    found
}

fn files(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_hundred_and_sixty_writes_with_sixteen_in_flight_are_all_stored_once() {
    let home = home();
    let mut writing = Writing::begin(&home);
    for number in 0..160 {
        writing.write(number, IN_FLIGHT);
    }
    assert_eq!(writing.finish().len(), 160);
    let found = stored(&home);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), (0..160).collect::<Vec<_>>());
    assert!(found.values().all(|times| *times == 1), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_and_sixty_calls_over_http_with_sixteen_in_flight_are_all_stored_once() {
    let home = home();
    // A new number makes the person; without any input it ends again.
    let (code, _, stderr) = home.run(&["mcp", "--user", ANN]).await;
    assert_eq!(code, 0, "{stderr}");
    let token = home.json(&["token", "create", "--user", ANN]).await["token"].as_str().unwrap().to_owned();
    let product = home.serve().await;
    let (client, url) = (crate::support::http_client(), product.url("/mcp"));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..IN_FLIGHT {
        let (client, url, token) = (client.clone(), url.clone(), token.clone());
        callers.spawn(async move {
            for number in (caller..160).step_by(IN_FLIGHT) {
                let request = client.post(&url).bearer_auth(&token).header("mcp-protocol-version", "2025-06-18");
                let answer = request.header("accept", "application/json, text/event-stream").json(&write(number)).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
                assert_eq!((&answer["id"], &answer["result"]["isError"]), (&json!(1_000_000 + number), &json!(false)), "{answer}");
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    // Read by another process while the first runs, as it was acknowledged.
    let found = tokio::task::block_in_place(|| stored(&home));
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), (0..160).collect::<Vec<_>>());
    assert!(found.values().all(|times| *times == 1), "{found:?}");
    product.stop().await;
}

#[tokio::test]
async fn two_processes_on_one_store_lose_nothing_of_each_other() {
    let home = home();
    let (mut one, mut two) = (Writing::begin(&home), Writing::begin(&home));
    for number in 0..100 {
        one.write(2 * number, 8);
        two.write(2 * number + 1, 8);
        // And both the same.
        if number % 10 == 0 {
            one.write(1000 + number, 8);
            two.write(1000 + number, 8);
        }
    }
    let acknowledged: BTreeSet<usize> = one.finish().union(&two.finish()).copied().collect();
    assert_eq!(acknowledged.len(), 210);
    let found = stored(&home);
    assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), acknowledged);
    assert!(found.values().all(|times| *times == 1), "something was stored twice: {found:?}");
}

#[tokio::test]
async fn twenty_kills_lose_nothing_that_was_acknowledged_and_leave_no_file_behind() {
    // What a store has that was closed in order and never killed.
    let quiet = home();
    Writing::begin(&quiet).finish();
    let home = home();
    let chance = Chance::new();
    let (mut acknowledged, mut sent) = (BTreeSet::new(), 0);
    for round in 0..20 {
        let mut writing = Writing::begin(&home);
        let end = sent + usize::try_from(chance.between(20, 120)).unwrap();
        while sent < end {
            writing.write(sent, IN_FLIGHT);
            sent += 1;
        }
        acknowledged.append(&mut writing.acknowledged);
        // Dropping it kills it, with calls in flight.
        assert!(writing.in_flight > 0);
        drop(writing);
        // Each kill is looked behind: the next would hide what this one lost.
        let found = stored(&home);
        let lost: Vec<_> = acknowledged.iter().filter(|number| !found.contains_key(number)).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged and lost: {lost:?} of {}", acknowledged.len());
        assert!(found.values().all(|times| *times == 1) && found.keys().all(|number| *number < sent), "round {round}: {found:?}");
        assert_eq!(files(&home.data()), files(&quiet.data()), "round {round}");
    }
    assert!(acknowledged.len() > 300, "the kills came too early to tell: {}", acknowledged.len());
}

const WORD: &str = "qzxjvkwq";

/// The files of the data folder that hold the word.
fn holding(home: &Home) -> Vec<PathBuf> {
    let files = std::fs::read_dir(home.data()).unwrap().map(|entry| entry.unwrap().path());
    // Closing the index of the log would end the locks that this process has on it.
    let files = files.filter(|file| !file.to_string_lossy().ends_with("-shm"));
    files.filter(|file| std::fs::read(file).is_ok_and(|bytes| bytes.windows(WORD.len()).any(|window| window == WORD.as_bytes()))).collect()
}

/// A program is told to forget something of `name` and is killed before it could empty the log, which a reader keeps it from. The reader
/// rests then, and stays open: who closes a file last empties its log.
fn forget_and_die(home: &Home, name: &str) -> Connection {
    let fact = format!("the word is {WORD}");
    let mut talk = Talk::start(home, &["--user", ANN], &[]);
    talk.hello();
    let remember = json!({"entities": [{"name": name, "entityType": "person", "observations": [fact]}]});
    assert_eq!(talk.call("create_entities", &remember)["isError"], false);
    let reader = Connection::open_with_flags(home.data().join("scrubjay.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let known: i64 = reader.query_row("SELECT count(*) FROM observations", [], |row| row.get(0)).unwrap();
    assert_eq!(known, 1, "what is to be forgotten is known");
    let forget = json!({"deletions": [{"entityName": name, "observations": [fact]}]});
    assert_eq!(talk.call("delete_observations", &forget)["isError"], false);
    // Dropping it kills it. What was forgotten is still there for the reader, so it must be in a file.
    drop(talk);
    assert!(!holding(home).is_empty(), "the test would not see the word");
    reader.execute_batch("COMMIT").unwrap();
    reader
}

#[tokio::test]
async fn what_was_forgotten_leaves_the_files_though_the_program_that_was_told_was_killed() {
    let home = home();
    let gone = || async { holding(&home).is_empty().then_some(()) };
    // Beside another program, which has nothing more to do.
    let mut other = Talk::start(&home, &["--user", ANN], &[]);
    other.hello();
    assert_eq!(other.call("todo_add", &json!({"text": "milk"}))["isError"], false);
    let _rests = forget_and_die(&home, "Ada");
    eventually("files without the word, beside another program", LIMIT, gone).await;
    // And alone: the next start finds it.
    drop(other);
    let _rests_too = forget_and_die(&home, "Bea");
    let mut next = Talk::start(&home, &["--user", ANN], &[]);
    next.hello();
    assert!(next.answer("tools/list", &json!({}))["result"]["tools"].is_array());
    eventually("files without the word, after a start", LIMIT, gone).await;
    next.end_input();
    assert!(next.ended().success());
}
