//! What a tool is, for the agent loop and for the MCP server alike.
//!
//! A [`ToolSet`] is called with a [`ToolContext`] that says for whom. That is the only place a person comes from: no tool has an
//! argument that names one. What went wrong in a call is said in its [`ToolOutcome`], in words that let a model recover.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::watch::ToolState;
use crate::domain::ids::{ConversationId, UserId};
use crate::store::StoreResult;

/// A JSON object: arguments, or a schema.
pub type JsonObject = serde_json::Map<String, Value>;

/// For whom a tool is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolContext {
    /// The person, from the turn or the proven identity of an outside client.
    pub user_id: UserId,
    /// The conversation whose turn calls it; `None` for outside clients.
    pub conversation_id: Option<ConversationId>,
}

/// What a tool does to the world, as MCP's annotations say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are MCP's four independent hints")]
pub struct ToolHints {
    /// It changes nothing. Only such calls are made again after a crash.
    pub read_only: bool,
    /// It may remove or overwrite something.
    pub destructive: bool,
    /// A repeat right behind it, with the same arguments, changes nothing more. After a crash that is not enough to repeat it: others
    /// may have changed something in between.
    pub idempotent: bool,
    /// It reaches beyond what this system stores.
    pub open_world: bool,
}

impl ToolHints {
    /// It only reads.
    pub const READ: Self = Self { read_only: true, destructive: false, idempotent: true, open_world: false };
    /// It adds; a repeat adds nothing more.
    pub const ADD: Self = Self { read_only: false, destructive: false, idempotent: true, open_world: false };
    /// It removes or overwrites; a repeat changes nothing more.
    pub const CHANGE: Self = Self { read_only: false, destructive: true, idempotent: true, open_world: false };
}

/// A tool, as a model and an MCP client see it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolDefinition {
    /// Its name, unique over all sets: letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// For people.
    pub title: String,
    /// For models: what it does and when to use it, in a line or two.
    pub description: String,
    /// JSON Schema of its arguments, an object.
    pub input_schema: Arc<JsonObject>,
    /// JSON Schema of [`ToolOutcome::structured`], where the set knows it.
    pub output_schema: Option<Arc<JsonObject>>,
    /// What it does to the world.
    pub hints: ToolHints,
}

/// What came of a call. A failure is an outcome too: the model reads it and goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOutcome {
    /// The result as JSON, where there is one.
    pub structured: Option<Value>,
    /// The same for a reader: compact JSON, or why it failed and what is valid.
    pub text: String,
    /// It failed. Nothing was changed, unless the text says that this is not known.
    pub is_error: bool,
}

impl ToolOutcome {
    /// A result; its text is the same as compact JSON.
    #[must_use]
    pub fn of(structured: Value) -> Self {
        Self { text: structured.to_string(), structured: Some(structured), is_error: false }
    }

    /// A failure, in words that say what is valid or what to do.
    pub fn error(text: impl Into<String>) -> Self {
        Self { structured: None, text: text.into(), is_error: true }
    }
}

/// Counts a call of a tool that exists, once it is over; a name that somebody made up would be a series of its own.
pub fn count_call(set: &str, tool: &str, ended: ToolState) {
    let labels = [("set", set.to_owned()), ("tool", tool.to_owned()), ("outcome", ended.as_str().to_owned())];
    metrics::counter!("tool_calls_total", &labels).increment(1);
}

/// Something a client may read by its URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceDefinition {
    /// The URI, or its template with `{name}` in it.
    pub uri: &'static str,
    /// A short name.
    pub name: &'static str,
    /// What it holds.
    pub description: &'static str,
}

/// Tools of one subject.
#[async_trait]
pub trait ToolSet: Send + Sync + 'static {
    /// The set's name: `memory`, `todo`, `schedule`, or an outside server's.
    fn name(&self) -> &str;

    /// Its tools. An outside server that is down has none; that is logged, and no failure of whoever asks.
    async fn definitions(&self, context: &ToolContext) -> Arc<Vec<ToolDefinition>>;

    /// Calls one of them. A write is one atomic unit, so a caller that goes away leaves nothing half done.
    async fn call(&self, context: &ToolContext, name: &str, arguments: JsonObject) -> ToolOutcome;

    /// What a model should know of the set as a whole, where the host lets an outside server say it. It is the server's text, so
    /// in a prompt it stands as data.
    async fn instructions(&self, _context: &ToolContext) -> Option<String> {
        None
    }

    /// What can be read by URI.
    fn resources(&self) -> &'static [ResourceDefinition] {
        &[]
    }

    /// Reads a resource as JSON; `None` when there is none of that URI, for that person.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Unavailable`].
    async fn read_resource(&self, _context: &ToolContext, _uri: &str) -> StoreResult<Option<Value>> {
        Ok(None)
    }
}
