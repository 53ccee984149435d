//! PORT: language models.
//!
//! A [`Model`] turns a prompt into a completion and streams it on the way. It knows nothing of people or stores.

mod demo;
mod openai;
mod registry;
mod tokens;

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::ledger::Usage;

pub use registry::{Models, ModelsError, ResolveError, Resolved, ResolvedAgent};
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

/// What a model is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionRequest {
    /// The model's name at its endpoint.
    pub model: String,
    /// The prompt, in order.
    pub messages: Vec<PromptMessage>,
    /// An opaque id of the person, for the provider's abuse reports; never a number.
    pub user: String,
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
    /// Asks for a completion, handing each piece of text to `sink` as it arrives. Retries within its own limits, but never
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
