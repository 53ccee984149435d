//! Two people have the same names for everything, and neither ever sees or changes what is the other's: over every tool and every
//! resource of the program by HTTP. `isolation_stdio` does the same with processes.

use std::collections::{BTreeMap, BTreeSet};

use scrubjay::domain::ids::UserId;
use scrubjay::domain::token::TokenKind;
use scrubjay::service::tools::{ToolContext, ToolDefinition};
use serde_json::{Value, json};

use super::attempts::{Maker, NAMES, Sure, addresses, question, seeds, texts};
use super::{newest, post};
use crate::backends::Ground;
use crate::http_home::Doors;
use crate::support::chance::Chance;

const ANN: &str = "+15550100001";
const BOB: &str = "+15550100002";

/// Stands in everything that Ann stores, and in no argument of Bob's.
const ANNS: &str = "only-ann-knows-7141";

/// Stands in everything that Bob stores to begin with.
const BOBS: &str = "only-bob-knows-2718";

/// Rounds after which every resource is read.
const READ_EVERY: usize = 10;

/// Calls by Bob in a round.
const CALLS: usize = 12;

/// The program's own doors with Ann and Bob, each with the same things stored.
struct World {
    doors: Doors,
    ann: String,
    ann_token: String,
    bob_token: String,
    service: String,
    tools: Vec<ToolDefinition>,
}

impl World {
    async fn new(ground: Ground) -> Self {
        let doors = Doors::open_idle_on(ground, "").await;
        let said = async |number: &str| {
            let said = json!({"role": "external", "content": "/help", "from": number});
            doors.post("sms-conversation", &said, &[]).await.json()["userId"].as_str().unwrap().to_owned()
        };
        let (ann, bob) = (said(ANN).await, said(BOB).await);
        let ann_token = doors.token(TokenKind::User, Some(&ann)).await;
        let bob_token = doors.token(TokenKind::User, Some(&bob)).await;
        let service = doors.token(TokenKind::Service, None).await;
        let tools = definitions(&doors, ann.parse().unwrap()).await.into_iter().flat_map(|(_, tools)| tools).collect();
        let world = Self { doors, ann, ann_token, bob_token, service, tools };
        for (token, marker) in [(&world.ann_token, ANNS), (&world.bob_token, BOBS)] {
            for (tool, arguments) in seeds(marker) {
                let result = world.call(token, tool, arguments).await;
                assert_eq!(result["isError"], false, "{tool}: {result}");
            }
        }
        world
    }

    async fn ask(&self, token: &str, method: &str, params: Value) -> Value {
        self.doors.send(newest("/mcp", &[("authorization", &format!("Bearer {token}"))], method, params)).await.json()
    }

    async fn call(&self, token: &str, tool: &str, arguments: Value) -> Value {
        self.ask(token, "tools/call", json!({"name": tool, "arguments": arguments})).await["result"].clone()
    }

    /// Everything of Ann's that can be read.
    async fn state_of_ann(&self) -> BTreeMap<String, Value> {
        let mut state = BTreeMap::new();
        let listed = self.call(&self.ann_token, "schedule_list", json!({})).await;
        let schedule = &listed["structuredContent"]["schedules"][0]["id"];
        for tool in self.tools.iter().filter(|tool| tool.hints.read_only) {
            let result = self.call(&self.ann_token, &tool.name, question(&tool.name, schedule)).await;
            // Not an error that would always be the same.
            assert_eq!(result["isError"], false, "{}: {result}", tool.name);
            state.insert(tool.name.clone(), result);
        }
        for uri in self.uris(&NAMES) {
            state.insert(uri.clone(), self.ask(&self.ann_token, "resources/read", json!({"uri": uri})).await["result"]["contents"].clone());
        }
        state
    }

    /// Reads every resource for somebody, templates with each of these names. Returns those that gave them something.
    async fn read_all(&self, token: &str, names: &[&str], others: &str) -> BTreeSet<&'static str> {
        let mut read = BTreeSet::new();
        for resource in self.resources() {
            for uri in addresses([resource], names) {
                let answer = self.ask(token, "resources/read", json!({"uri": uri})).await;
                assert!(!answer.to_string().contains(others), "{uri} showed what is the other's: {answer}");
                if answer["result"]["contents"].as_array().is_some_and(|contents| !contents.is_empty()) {
                    read.insert(resource);
                }
            }
        }
        read
    }

    fn resources(&self) -> BTreeSet<&'static str> {
        self.doors.app.tools.iter().flat_map(|set| set.resources()).map(|resource| resource.uri).collect()
    }

    /// Every resource, templates with each of these names.
    fn uris(&self, names: &[&str]) -> Vec<String> {
        addresses(self.resources(), names)
    }
}

async fn definitions(doors: &Doors, user_id: UserId) -> Vec<(String, Vec<ToolDefinition>)> {
    let context = ToolContext { user_id, conversation_id: None };
    let mut found = Vec::new();
    for set in &doors.app.tools {
        found.push((set.name().to_owned(), set.definitions(&context).await.as_ref().clone()));
    }
    found
}

on_every_backend!(nothing_that_one_person_calls_shows_or_changes_what_is_the_others);

/// Anybody tries anything with every tool and every resource, at the other's expense.
async fn nothing_that_one_person_calls_shows_or_changes_what_is_the_others(ground: Ground) {
    let rounds = ground.size(40, 6);
    let world = World::new(ground).await;
    let before = world.state_of_ann().await;
    let whole = json!(before).to_string();
    assert!(before.len() >= 3 && whole.contains(ANNS), "Ann has nothing to lose: {whole}");
    let chance = Chance::new();
    let texts = texts(&world.ann, ANN);
    let names: Vec<&str> = texts.iter().map(String::as_str).collect();
    let schemas: Vec<(String, Value)> =
        world.tools.iter().map(|tool| (tool.name.clone(), Value::Object(tool.input_schema.as_ref().clone()))).collect();
    let mut called = BTreeSet::new();
    for round in 0..rounds {
        if round % READ_EVERY == 0 {
            let (bobs, anns) = (world.read_all(&world.bob_token, &names, ANNS).await, world.read_all(&world.ann_token, &names, BOBS).await);
            assert_eq!(anns, world.resources(), "Ann has something at every resource");
            // What Bob calls at random may delete what he has; before that there is something everywhere.
            assert!(round > 0 || bobs == anns, "Bob has {bobs:?}");
        }
        for call in 0..CALLS {
            // Each tool in its turn, so that none is left out.
            let (name, schema) = &schemas[(round * CALLS + call) % schemas.len()];
            let arguments = Maker { chance: &chance, root: schema, texts: &texts }.object(schema, 0);
            let result = world.call(&world.bob_token, name, arguments.clone()).await;
            assert!(result["isError"].is_boolean(), "{name} {arguments}: {result}");
            assert!(!result.to_string().contains(ANNS), "{name} {arguments} showed what is Ann's: {result}");
            called.insert(name.as_str());
        }
        assert_eq!(world.state_of_ann().await, before, "what Bob called in round {round} changed what is Ann's");
    }
    assert_eq!(called.len(), schemas.len(), "every tool was called");
    // Not only calls that failed leave Ann's alone: each tool does its work for Bob.
    let (mut sure, mut worked) = (Sure::new(), BTreeSet::new());
    while let Some((tool, arguments)) = sure.next() {
        let result = world.call(&world.bob_token, tool, arguments).await;
        sure.took(tool, &result);
        assert!(!result.to_string().contains(ANNS), "{tool} showed what is Ann's: {result}");
        assert_eq!(world.state_of_ann().await, before, "Bob's {tool} changed what is Ann's");
        worked.insert(tool);
    }
    assert_eq!(worked, called, "every tool did its work");
    // Nor with headers that name her beside his own token.
    for header in [("x-user-id", world.ann.as_str()), ("x-user-phone", ANN)] {
        let bearer = format!("Bearer {}", world.bob_token);
        let answer = world.doors.send(newest("/mcp", &[("authorization", &bearer), header], "tools/list", json!({}))).await;
        assert_eq!(answer.status, 403);
    }
    // And a service that names nobody reads nothing.
    let bearer = format!("Bearer {}", world.service);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    assert_eq!(world.doors.send(post("/mcp", &[("authorization", &bearer)], body)).await.status, 401);
    world.doors.close().await;
}

/// Every property below a schema.
fn properties(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            found.extend(object.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.clone()));
            object.values().for_each(|inner| properties(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| properties(inner, found)),
        _ => {}
    }
}

#[tokio::test]
async fn no_tool_has_an_argument_that_names_a_person_or_a_number() {
    let world = World::new(Ground::new("sqlite")).await;
    assert!(world.tools.len() >= 25, "{} tools", world.tools.len());
    let mut names = BTreeSet::new();
    for tool in &world.tools {
        let mut arguments = BTreeSet::new();
        properties(&Value::Object(tool.input_schema.as_ref().clone()), &mut arguments);
        for argument in arguments {
            let argument = argument.to_lowercase();
            let forbidden = [
                "user",
                "person",
                "people",
                "phone",
                "number",
                "owner",
                "account",
                "recipient",
                "sender",
                "contact",
                "email",
                "tenant",
                "conversation",
                "token",
            ];
            // The two ends of a relation in the graph are entities.
            let an_end = ["from", "to"].contains(&argument.as_str()) && !tool.name.ends_with("_relations");
            assert!(!an_end && !forbidden.iter().any(|forbidden| argument.contains(forbidden)), "{} takes {argument:?}", tool.name);
        }
        assert!(names.insert(tool.name.as_str()), "two tools are named {:?}", tool.name);
        let plain = tool.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        assert!(plain && (1..=64).contains(&tool.name.len()), "{:?} is no name for a tool", tool.name);
        assert!(!tool.title.is_empty() && !tool.description.is_empty(), "{:?} says nothing about itself", tool.name);
        assert_eq!(tool.input_schema["type"], "object", "{:?}", tool.name);
    }
    world.doors.close().await;
}

#[tokio::test]
async fn lists_of_tools_are_short() {
    let world = World::new(Ground::new("sqlite")).await;
    let bearer = format!("Bearer {}", world.ann_token);
    let mut sizes = BTreeMap::new();
    for (path, limit) in [("/mcp", 36 * 1024), ("/mcp/memory", 16 * 1024), ("/mcp/todo", 16 * 1024), ("/mcp/schedule", 16 * 1024)] {
        let answer = world.doors.send(newest(path, &[("authorization", &bearer)], "tools/list", json!({}))).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let tools = answer.json()["result"]["tools"].as_array().map_or(0, Vec::len);
        assert!(tools >= 8 && answer.body.len() < limit, "{path}: {tools} tools in {} bytes", answer.body.len());
        sizes.insert(path, (tools, answer.body.len()));
    }
    eprintln!("tools and bytes of tools/list: {sizes:?}");
    let all = sizes.remove("/mcp").unwrap().0;
    assert_eq!(sizes.values().map(|(tools, _)| tools).sum::<usize>(), all, "the three sets are all there is");
    world.doors.close().await;
}
