//! From a server's list of tools to what a model sees of it, within bounds.

use std::collections::HashMap;
use std::sync::Arc;

use rmcp::model::{Tool, ToolAnnotations};
use serde_json::{Value, json};

use super::names;
use super::outcome::cut;
use crate::service::tools::{JsonObject, ToolDefinition, ToolHints};

/// Tools of one server. Each takes its part of every prompt; a server with more is meant for another kind of client.
pub(super) const MOST_TOOLS: usize = 128;
/// Bytes of one tool's schema of arguments.
const LARGEST_SCHEMA: usize = 32 * 1024;
/// Bytes of one tool's description.
const LONGEST_DESCRIPTION: usize = 2_000;
const LONGEST_TITLE: usize = 100;

/// A server's tools under the names that models see, and the way back.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) definitions: Arc<Vec<ToolDefinition>>,
    originals: HashMap<String, String>,
}

impl Table {
    /// Takes what can be used; the second value counts what cannot.
    pub(super) fn of(prefix: &str, tools: Vec<Tool>) -> (Self, usize) {
        let mut definitions = Vec::new();
        let mut originals = HashMap::new();
        let listed = tools.len();
        for tool in tools {
            let name = names::exposed(prefix, &tool.name);
            if definitions.len() == MOST_TOOLS || originals.contains_key(&name) {
                continue;
            }
            let Some(definition) = definition(name.clone(), &tool) else { continue };
            originals.insert(name, tool.name.into_owned());
            definitions.push(definition);
        }
        let left_out = listed - definitions.len();
        (Self { definitions: Arc::new(definitions), originals }, left_out)
    }

    /// The server's own name of a tool.
    pub(super) fn original(&self, exposed: &str) -> Option<&str> {
        self.originals.get(exposed).map(String::as_str)
    }
}

fn definition(name: String, tool: &Tool) -> Option<ToolDefinition> {
    let annotations = tool.annotations.clone().unwrap_or_default();
    let title = tool.title.as_deref().or(annotations.title.as_deref()).unwrap_or(&tool.name);
    let description = tool.description.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(title);
    Some(ToolDefinition {
        name,
        title: cut(title, LONGEST_TITLE),
        description: cut(description, LONGEST_DESCRIPTION),
        input_schema: input_schema(&tool.input_schema)?,
        // It would be checked by nobody: an outside server's result is data, whatever shape it has.
        output_schema: None,
        hints: hints(&annotations),
    })
}

/// Models' APIs want an object with properties, which servers leave out where a tool takes no arguments.
fn input_schema(schema: &Arc<JsonObject>) -> Option<Arc<JsonObject>> {
    if serde_json::to_string(schema.as_ref()).ok()?.len() > LARGEST_SCHEMA {
        return None;
    }
    match schema.get("type") {
        Some(Value::String(kind)) if kind == "object" && schema.contains_key("properties") => return Some(Arc::clone(schema)),
        Some(Value::String(kind)) if kind != "object" => return None,
        _ => {}
    }
    let mut whole = schema.as_ref().clone();
    whole.insert("type".to_owned(), json!("object"));
    whole.entry("properties").or_insert_with(|| json!({}));
    Some(Arc::new(whole))
}

/// The server's word for it, with MCP's defaults where it says nothing: such a tool may destroy, may not be repeated, and reaches
/// beyond.
fn hints(said: &ToolAnnotations) -> ToolHints {
    let read_only = said.read_only_hint.unwrap_or(false);
    ToolHints {
        read_only,
        destructive: !read_only && said.destructive_hint.unwrap_or(true),
        // The hint means nothing for a tool that changes nothing: repeating that is harmless.
        idempotent: read_only || said.idempotent_hint.unwrap_or(false),
        open_world: said.open_world_hint.unwrap_or(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(value: Value) -> Tool {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_tool_that_says_nothing_of_itself_is_taken_for_the_worst() {
        let (table, _) = Table::of("x", vec![tool(json!({"name": "t", "inputSchema": {"type": "object"}}))]);
        let definition = &table.definitions[0];
        let worst = ToolHints { read_only: false, destructive: true, idempotent: false, open_world: true };
        assert_eq!((definition.hints, definition.title.as_str(), definition.description.as_str()), (worst, "t", "t"));
        assert_eq!(definition.input_schema["properties"], json!({}));
        assert_eq!(table.original("x_t"), Some("t"));
    }

    #[test]
    fn hints_are_the_server_s_word() {
        let annotated = |annotations: Value| hints(&serde_json::from_value(annotations).unwrap());
        assert_eq!(annotated(json!({"readOnlyHint": true, "openWorldHint": false})), ToolHints::READ);
        assert_eq!(annotated(json!({"destructiveHint": false, "idempotentHint": true, "openWorldHint": false})), ToolHints::ADD);
    }

    #[test]
    fn what_no_model_could_use_is_left_out_and_counted() {
        let huge = "x".repeat(LARGEST_SCHEMA);
        let tools = vec![
            tool(json!({"name": "a", "inputSchema": {"type": "object", "description": huge}})),
            tool(json!({"name": "b", "inputSchema": {"type": "string"}})),
            tool(json!({"name": "c", "description": "d".repeat(5_000), "inputSchema": {}})),
            tool(json!({"name": "c", "inputSchema": {}})),
        ];
        let (table, left_out) = Table::of("x", tools);
        assert_eq!((table.definitions.len(), left_out), (1, 3));
        assert!(table.definitions[0].description.len() <= LONGEST_DESCRIPTION + 8);
        let many = (0..200).map(|at| tool(json!({"name": format!("t{at}"), "inputSchema": {}}))).collect();
        assert_eq!(Table::of("x", many).0.definitions.len(), MOST_TOOLS);
    }
}
