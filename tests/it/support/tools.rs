//! Tools called as an agent calls them, over a store of their own.

use scrubjay::domain::ids::UserId;
use scrubjay::service::tools::{ToolContext, ToolOutcome, ToolSet};
use serde_json::{Value, json};

use crate::contract::fixture::Fixture;

/// A tool set and its store, at a moment that stands still.
pub(crate) struct ToolStage<T> {
    pub(crate) tools: T,
    pub(crate) fixture: Fixture,
}

fn called_by(user_id: UserId) -> ToolContext {
    ToolContext { user_id, conversation_id: None }
}

impl<T: ToolSet> ToolStage<T> {
    /// Somebody with that number.
    pub(crate) async fn person(&self, number: &str) -> UserId {
        self.fixture.texted(number, "hello").await.user_id
    }

    pub(crate) async fn call(&self, user: UserId, name: &str, arguments: Value) -> ToolOutcome {
        self.tools.call(&called_by(user), name, arguments.as_object().unwrap().clone()).await
    }

    /// The result of a call that does its work.
    pub(crate) async fn result(&self, user: UserId, name: &str, arguments: Value) -> Value {
        let outcome = self.call(user, name, arguments.clone()).await;
        assert!(!outcome.is_error, "{name} {arguments}: {}", outcome.text);
        let structured = outcome.structured.unwrap();
        assert_eq!(outcome.text, structured.to_string(), "the text is the result as compact JSON");
        structured
    }

    /// What is said to a call that is refused.
    pub(crate) async fn refusal(&self, user: UserId, name: &str, arguments: Value) -> String {
        let outcome = self.call(user, name, arguments.clone()).await;
        assert!(outcome.is_error && outcome.structured.is_none(), "{name} {arguments} was done: {}", outcome.text);
        outcome.text
    }

    pub(crate) async fn resource(&self, user: UserId, uri: &str) -> Option<Value> {
        self.tools.read_resource(&called_by(user), uri).await.unwrap()
    }
}

/// A set's tools as MCP lists them.
pub(crate) async fn as_listed(set: &dyn ToolSet) -> Value {
    let definitions = set.definitions(&called_by(UserId::from_bytes([1; 12]))).await;
    let tools = definitions.iter().map(|tool| {
        json!({
            "name": tool.name,
            "title": tool.title,
            "description": tool.description,
            "inputSchema": tool.input_schema.as_ref(),
            "outputSchema": tool.output_schema.as_deref(),
            "annotations": {
                "readOnlyHint": tool.hints.read_only,
                "destructiveHint": tool.hints.destructive,
                "idempotentHint": tool.hints.idempotent,
                "openWorldHint": tool.hints.open_world,
            },
        })
    });
    json!({ "tools": tools.collect::<Vec<Value>>() })
}
