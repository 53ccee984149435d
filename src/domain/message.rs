//! Messages: what a person wrote, what the assistant answered, and what arrives from and leaves for a phone.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::endpoint::Endpoint;
use super::ids::{ConversationId, MessageId, TurnId, UserId};
use super::phone::PhoneNumber;
use super::time::Timestamp;

/// Who wrote a message. `External` is a person outside; it is no endpoint (see [`Endpoint`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A person outside, by phone or through the API. A model sees it as `user`.
    External,
    /// A completion of a language model, or a fixed answer of ours.
    Assistant,
}

impl Role {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Assistant => "assistant",
        }
    }
}

/// Something that came with a message: a picture, a sound, a contact. Named to the model; its content is not fetched yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// A file name or a short description.
    pub name: String,
    /// Media type, such as `image/jpeg`; empty when unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content_type: String,
    /// Where the carrier or the caller keeps it; never fetched without the carrier's own credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// One stored entry of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The conversation it stands in.
    pub conversation_id: ConversationId,
    /// Whose conversation that is.
    pub user_id: UserId,
    /// The turn it belongs to.
    pub turn_id: TurnId,
    /// Its place in the conversation, from 1; `None` until its turn begins.
    pub sequence: Option<i64>,
    /// The entry before it; [`MessageId::ROOT`] for the first; `None` until its turn begins.
    pub parent_id: Option<MessageId>,
    /// Who wrote it.
    pub role: Role,
    /// What it says, UTF-8, as it was received or answered.
    pub text: String,
    /// What came with it.
    pub attachments: Vec<Attachment>,
    /// Where it is or was answered.
    pub endpoint: Option<Endpoint>,
    /// The model that answered.
    pub model: Option<String>,
    /// Tokens of this text, as the model counted or as estimated.
    pub token_count: i64,
    /// The answer was cut short.
    pub unfinished: bool,
    /// The text stands for a failure.
    pub error: bool,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A text as a gateway received it.
#[derive(Debug, Clone, PartialEq)]
pub struct InboundMessage {
    /// The gateway's name.
    pub gateway: String,
    /// The carrier's id of it; a repeat of the id is the same message for ever.
    pub gateway_message_id: String,
    /// Who sent it.
    pub from: PhoneNumber,
    /// The number of ours that was texted, as the carrier wrote it; the reply leaves by it.
    pub to: String,
    /// What it says.
    pub text: String,
    /// What came with it.
    pub attachments: Vec<Attachment>,
    /// What the carrier already did about consent, where it says so (Twilio's Advanced Opt-Out).
    pub opt_out: Option<CarrierConsent>,
    /// When the carrier received it, where it says so.
    pub sent_at: Option<Timestamp>,
}

/// A consent word that the carrier has already acted upon, confirmation included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CarrierConsent {
    /// It recorded an opt-out and confirmed it.
    Stop,
    /// It recorded an opt-in and confirmed it.
    Start,
    /// It sent its help text.
    Help,
}

/// What a caller sent along with a message: kept apart from our own fields, at most 16 KiB as JSON.
pub type CallerMetadata = Map<String, Value>;

/// Bound on [`CallerMetadata`] as compact JSON, in bytes.
pub const CALLER_METADATA_BYTES: usize = 16 * 1024;
