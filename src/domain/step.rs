//! What an agent did within a turn: the calls that a model asked for, step by step, and what came of each.
//!
//! A step is one answer of a model that asked for tools. It is recorded before any of its calls is made, so that whoever takes the
//! turn up after a crash goes on from there instead of asking again.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ledger::{Credits, Usage};
use super::time::Timestamp;

/// A call that a model asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// By what the model finds its result again; unique within a turn.
    pub id: String,
    /// The tool's name as the model wrote it, which may be none that there is.
    pub name: String,
    /// The arguments as the model wrote them; meant to be a JSON object, and not always one.
    pub arguments: String,
    /// What the model's server wants to get back with the call and nobody else reads, such as the signature of a thought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

/// What came of a call, as the model is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallResult {
    /// The result, or why there is none; cut to the agent's limit.
    pub text: String,
    /// It failed.
    pub failed: bool,
}

/// A step as its model gave it, to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct NewStep {
    /// Its place in the turn, from 1.
    pub number: u32,
    /// What the model said beside its calls; may be empty.
    pub text: String,
    /// `text` was handed to whoever looks on, so it belongs to the reply.
    pub shown: bool,
    /// The model, as it named itself.
    pub model: String,
    /// What the step took.
    pub usage: Usage,
    /// What the turn has cost the person with this step and all before it: what is charged should it end without an answer.
    pub charge: Credits,
    /// What it asked for, in its order. None for a round that gave no answer and whose calls were not taken: it has its cost.
    pub calls: Vec<ToolCall>,
}

/// A step as recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its place in the turn, from 1.
    pub number: u32,
    /// What the model said beside its calls; may be empty.
    pub text: String,
    /// `text` was handed to whoever looks on, so it belongs to the reply.
    pub shown: bool,
    /// The model, as it named itself.
    pub model: String,
    /// What the step took.
    pub usage: Usage,
    /// Its calls, in the model's order.
    pub calls: Vec<RecordedCall>,
}

/// A call as recorded. It was asked for; it may have begun; it may have ended.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedCall {
    /// What was asked for.
    pub call: ToolCall,
    /// When it was begun last. With no result beside it: the process died meanwhile, and nobody knows whether it was done.
    pub begun_at: Option<Timestamp>,
    /// When its result was recorded.
    pub ended_at: Option<Timestamp>,
    /// What came of it.
    pub result: Option<CallResult>,
}

/// A call's place in its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallPlace {
    /// The step's number, from 1.
    pub step: u32,
    /// Its place among the step's calls, from 0.
    pub call: u32,
}

impl NewStep {
    /// The same as it is recorded: nothing begun.
    #[must_use]
    pub fn recorded(self) -> Step {
        let Self { number, text, shown, model, usage, calls, charge: _ } = self;
        let calls = calls.into_iter().map(|call| RecordedCall { call, begun_at: None, ended_at: None, result: None }).collect();
        Step { number, text, shown, model, usage, calls }
    }
}
