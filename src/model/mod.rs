//! PORT: language models.
//!
//! A [`Model`] turns a prompt into a completion and streams it on the way. It knows nothing of people or stores. It may be offered
//! tools; then its completion holds the calls that it asks for, and whoever asked makes them and asks again with what came of them.

mod demo;
mod openai;
mod registry;
mod schema;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::domain::ledger::Usage;
use crate::domain::step::ToolCall;

pub use registry::{AgentTools, Models, ModelsError, ResolveError, Resolved, ResolvedAgent};
pub use tokens::estimate_tokens;

/// Who speaks in a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// Our instructions.
    System,
    /// The person; the role `external` of a stored message.
    User,
    /// An earlier answer.
    Assistant,
}

/// One entry of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PromptMessage {
    /// Who speaks.
    pub role: Speaker,
    /// What is said.
    pub content: String,
}

/// A tool that a model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Its name, unique within a request: letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// JSON Schema of its arguments, in the part of that language that every server reads.
    pub parameters: Arc<Map<String, Value>>,
}

impl ToolSpec {
    /// A tool whose arguments are described by any JSON Schema; references are put in place and what picky servers refuse is
    /// written otherwise.
    #[must_use]
    pub fn new(name: impl Into<String>, description: impl Into<String>, schema: &Map<String, Value>) -> Self {
        Self { name: name.into(), description: description.into(), parameters: Arc::new(schema::portable(schema)) }
    }
}

/// What a model asked for earlier within this answer, and what came of it. A call never stands here without its result: servers
/// refuse such a prompt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolStep {
    /// What the model said beside its calls; may be empty.
    pub text: String,
    /// Each call with what the model is told about it, in the model's order.
    pub calls: Vec<(ToolCall, String)>,
}

/// What a model is asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CompletionRequest {
    /// The model's name at its endpoint.
    pub model: String,
    /// The prompt, in order.
    pub messages: Vec<PromptMessage>,
    /// An opaque id of the person, for the provider's abuse reports; never a number.
    pub user: String,
    /// What happened since the last message: the steps of this answer, in order.
    pub steps: Vec<ToolStep>,
    /// What the model may call; empty: it must answer.
    pub tools: Arc<[ToolSpec]>,
    /// The model must answer although it is told of its tools: servers refuse a prompt that holds calls and no tools.
    pub must_answer: bool,
    /// The model is asked for one call at a time.
    pub one_call_a_step: bool,
    /// Parameters of the agent, which win over those of the endpoint.
    pub parameters: Arc<Map<String, Value>>,
    /// The answer is to take no more tokens than this, where the endpoint and the agent allow more.
    pub most_tokens: Option<u32>,
}

/// Tokens that a chat template puts around a message.
const AROUND_A_MESSAGE: i64 = 4;

impl CompletionRequest {
    /// A plain question: nothing has happened yet, and no tool is offered.
    #[must_use]
    pub fn new(model: impl Into<String>, messages: Vec<PromptMessage>, user: impl Into<String>) -> Self {
        Self { model: model.into(), messages, user: user.into(), ..Self::default() }
    }

    /// The tokens of the prompt as estimated, steps and offered tools included.
    #[must_use]
    pub fn estimated_tokens(&self) -> i64 {
        let texts: i64 = self.texts().map(|text| estimate_tokens(text) + AROUND_A_MESSAGE).sum();
        let tools = self.tools.iter().map(|tool| {
            let schema = serde_json::to_string(&tool.parameters).unwrap_or_default();
            estimate_tokens(&tool.name) + estimate_tokens(&tool.description) + estimate_tokens(&schema) + AROUND_A_MESSAGE
        });
        texts + tools.sum::<i64>()
    }

    /// Every text of the prompt that somebody's data may stand in.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let said = self.messages.iter().map(|message| message.content.as_str());
        let steps = self.steps.iter().flat_map(|step| {
            let calls = step.calls.iter().flat_map(|(call, result)| [call.arguments.as_str(), result.as_str()]);
            std::iter::once(step.text.as_str()).chain(calls).filter(|text| !text.is_empty())
        });
        said.chain(steps)
    }
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The answer, without any reasoning channel.
    pub text: String,
    /// The model that answered, as it named itself.
    pub model: String,
    /// Tokens it took; estimated when the server does not say.
    pub usage: Usage,
    /// The answer hit the token limit.
    pub cut_short: bool,
    /// The tools that the model wants called before it goes on, in its order. Empty: `text` is its answer. Never empty beside
    /// an empty `text`.
    pub calls: Vec<ToolCall>,
}

/// Why there is no answer, by what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// It may work later: connection trouble, 429, 5xx, a time limit, a stream that broke off.
    #[error("{reason}")]
    Unavailable {
        /// What happened, without the prompt.
        reason: String,
        /// How long the server asked to wait.
        after: Option<Duration>,
    },
    /// The same request will fail again: 400, 401, 403, 404, an answer of another shape.
    #[error("{reason}")]
    Refused {
        /// What happened, without the prompt.
        reason: String,
    },
}

/// Takes the answer's text as it comes; joined, the pieces are [`Completion::text`].
pub type DeltaSink<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// A language model service.
#[async_trait]
pub trait Model: Send + Sync + 'static {
    /// Asks for a completion, handing each piece of text to `sink` as it arrives, also of what is said beside calls. Retries within its own limits, but never
    /// after the first piece was handed on.
    ///
    /// # Errors
    /// By what to do next: see [`ModelError`].
    async fn complete(&self, request: &CompletionRequest, sink: DeltaSink<'_>) -> Result<Completion, ModelError>;

    /// Whether the service answers to our credentials, for `doctor`.
    ///
    /// # Errors
    /// What is wrong.
    async fn check(&self) -> Result<String, ModelError>;
}
