//! A small tool set in memory: what a person adds, that person reads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use scrubjay::domain::ids::UserId;
use scrubjay::service::tools::{JsonObject, ResourceDefinition, ToolContext, ToolDefinition, ToolHints, ToolOutcome, ToolSet};
use scrubjay::store::{StoreError, StoreResult};
use serde_json::{Value, json};

/// The set; its tools are named `NAME_add`, `NAME_list`, `NAME_slow`, `NAME_panic`.
pub(super) struct Notes {
    name: &'static str,
    definitions: Arc<Vec<ToolDefinition>>,
    /// Everybody's notes.
    pub(super) kept: Mutex<BTreeMap<UserId, Vec<String>>>,
}

fn schema(text: &str) -> Arc<JsonObject> {
    Arc::new(serde_json::from_str(text).unwrap())
}

impl Notes {
    pub(super) fn named(name: &'static str) -> Self {
        let tool = |what: &str, hints, output: bool| ToolDefinition {
            name: format!("{name}_{what}"),
            title: format!("The {what} of {name}"),
            description: format!("Does {what}."),
            input_schema: schema(r#"{"type":"object","properties":{"text":{"type":"string"}}}"#),
            output_schema: output.then(|| {
                schema(r#"{"type":"object","properties":{"notes":{"type":"array","items":{"type":"string"}}},"required":["notes"]}"#)
            }),
            hints,
        };
        let definitions = vec![
            tool("add", ToolHints::ADD, true),
            tool("list", ToolHints::READ, true),
            tool("slow", ToolHints::CHANGE, true),
            tool("panic", ToolHints::READ, false),
        ];
        Self { name, definitions: Arc::new(definitions), kept: Mutex::default() }
    }

    fn of(&self, user: UserId) -> Vec<String> {
        self.kept.lock().unwrap().get(&user).cloned().unwrap_or_default()
    }

    fn add(&self, user: UserId, text: &str) {
        self.kept.lock().unwrap().entry(user).or_default().push(text.to_owned());
    }
}

#[async_trait]
impl ToolSet for Notes {
    fn name(&self) -> &str {
        self.name
    }

    async fn definitions(&self, _context: &ToolContext) -> Arc<Vec<ToolDefinition>> {
        Arc::clone(&self.definitions)
    }

    async fn call(&self, context: &ToolContext, name: &str, arguments: JsonObject) -> ToolOutcome {
        let text = arguments.get("text").and_then(Value::as_str);
        match name.rsplit_once('_').unwrap().1 {
            "add" => match text {
                Some(text) => self.add(context.user_id, text),
                None => return ToolOutcome::error("\"text\" must be text"),
            },
            "slow" => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                self.add(context.user_id, text.unwrap_or("slow"));
            }
            "panic" => panic!("as asked"),
            _ => {}
        }
        ToolOutcome::of(json!({"notes": self.of(context.user_id)}))
    }

    fn resources(&self) -> &'static [ResourceDefinition] {
        const NOTES: &[ResourceDefinition] = &[
            ResourceDefinition { uri: "notes://all", name: "notes", description: "Every note." },
            ResourceDefinition { uri: "notes://note/{number}", name: "note", description: "One note." },
        ];
        if self.name == "memory" { NOTES } else { &[] }
    }

    async fn read_resource(&self, context: &ToolContext, uri: &str) -> StoreResult<Option<Value>> {
        let notes = self.of(context.user_id);
        match uri.strip_prefix("notes://note/") {
            Some("broken") => Err(StoreError::Unavailable { reason: "unplugged".to_owned(), source: None }),
            Some(number) => Ok(number.parse::<usize>().ok().and_then(|number| notes.get(number)).map(|note| json!(note))),
            None => Ok(Some(json!(notes))),
        }
    }
}
