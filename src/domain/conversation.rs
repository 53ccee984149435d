//! Conversations: one thread with one person.

use std::time::Duration;

use super::endpoint::Endpoint;
use super::ids::{AgentId, ConversationId, UserId};
use super::phone::PhoneNumber;
use super::time::Timestamp;

/// A thread with one person, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// Whose it is.
    pub user_id: UserId,
    /// `SMS Chat <number>`, or what `metadata.title` said.
    pub title: String,
    /// Where its last turn was answered.
    pub endpoint: Option<Endpoint>,
    /// The model of its last turn.
    pub model: Option<String>,
    /// What was explicitly chosen for it (a request's `metadata.endpoint`, `.model`, `.agent_id`), kept for its next turns.
    pub choice: Choice,
    /// The person's number when it began.
    pub phone: Option<PhoneNumber>,
    /// Where it comes from: `sms`, or what the API said.
    pub source: String,
    /// When its last message was stored.
    pub last_message: Timestamp,
    /// Messages in it, both sides.
    pub message_count: i64,
    /// Closed: never continued by phone again.
    pub closed: bool,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// An explicit choice of where and with what a turn is answered. Empty fields leave it to the next in line.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Choice {
    /// The endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
}

/// The last activity a conversation must be younger than to be continued at `now`. `None`: any age, when `reuse_days` is 0.
#[must_use]
pub fn reuse_horizon(now: Timestamp, reuse_days: u32) -> Option<Timestamp> {
    (reuse_days > 0).then(|| now.before(Duration::from_secs(u64::from(reuse_days) * 86_400)))
}
