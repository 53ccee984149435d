//! What people, conversations, messages and jobs look like outside: the JSON of the API and of the commands' `--json`.
//!
//! Names and nesting are LibreChat's. Nothing is read back from these: they are made from domain types and written.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::domain::conversation::Conversation;
use crate::domain::job::Job;
use crate::domain::ledger::Usage;
use crate::domain::message::{Attachment, Message, Role};
use crate::domain::turn::StoredReply;
use crate::domain::user::{Preferences, User};

/// Who made what came in by phone.
const CREATED_BY: &str = "sms-system";

/// A person.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserShape {
    /// Their id: 24 hexadecimal digits.
    #[serde(rename = "_id")]
    pub id: String,
    /// `<number>@<people.email_domain>` unless the account came from elsewhere.
    pub email: String,
    /// `SMS User <number>` unless changed.
    pub name: String,
    /// `sms_<digits>`, with `_1`, `_2` … when that was taken.
    pub username: String,
    /// Who made the account: `sms` for ours.
    pub provider: String,
    /// Their number in E.164.
    pub phone_number: Option<String>,
    /// Whether the address counts as verified.
    pub email_verified: bool,
    /// `USER` or `ADMIN`.
    pub role: String,
    /// What the system knows of them.
    pub metadata: UserMetadata,
    /// What callers sent as metadata, the newest value of each key; nothing of ours.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub caller_metadata: serde_json::Map<String, Value>,
    /// Refused until unblocked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub blocked: bool,
    /// Credits left, where a balance has been granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<i64>,
    /// Where and with what they are answered now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<Effective>,
    /// When the account was made (RFC 3339, milliseconds).
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: String,
}

/// What the system knows of a person.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserMetadata {
    /// Their number in E.164.
    pub phone_number: Option<String>,
    /// Where they come from: `sms`.
    pub source: String,
    /// What made the account: `sms-system`.
    pub created_by: String,
    /// When their first message was stored.
    pub first_contact: String,
    /// When their newest message was stored.
    #[serde(rename = "lastSMS")]
    pub last_sms: String,
    /// Stored inbound messages, repeats not counted.
    pub message_count: i64,
    /// Explicit choices only.
    pub preferences: PreferencesShape,
}

/// What a person chose; what is absent is as configured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreferencesShape {
    /// Where their messages are answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The model there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_model: Option<String>,
    /// The agent of the `agents` endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// An IANA time zone name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The hours without reminders, such as `22:00-07:00`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<String>,
}

/// Where and with what a person is answered now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Effective {
    /// The endpoint.
    pub endpoint: String,
    /// The model there.
    pub model: String,
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversationShape {
    /// Its id, a UUID.
    pub conversation_id: String,
    /// `SMS Chat <number>`, or what `metadata.title` said.
    pub title: String,
    /// Where its last turn was answered.
    pub endpoint: Option<String>,
    /// The model of its last turn.
    pub model: Option<String>,
    /// Whose it is.
    pub user: String,
    /// What the system knows of it.
    pub metadata: ConversationMetadata,
    /// Closed: never continued by phone again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
    /// When it began.
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: String,
}

/// What the system knows of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversationMetadata {
    /// The person's number when it began.
    pub phone_number: Option<String>,
    /// Where it comes from: `sms`, or what the API said.
    pub source: String,
    /// What made it: `sms-system`.
    pub created_by: String,
    /// When its last message was stored.
    pub last_message: String,
    /// Messages in it, both sides.
    pub message_count: i64,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageShape {
    /// Its id, a UUID.
    pub message_id: String,
    /// The conversation it stands in.
    pub conversation_id: String,
    /// Whose conversation that is.
    pub user: String,
    /// The message before it; the zero UUID for the first, null until its turn begins.
    pub parent_message_id: Option<String>,
    /// `User` or `Assistant`.
    pub sender: String,
    /// `external` (the person) or `assistant`.
    pub role: String,
    /// What it says.
    pub text: String,
    /// The person wrote it.
    pub is_created_by_user: bool,
    /// Where it is or was answered.
    pub endpoint: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// Tokens of this text, counted or estimated.
    pub token_count: i64,
    /// The answer was cut short by a limit.
    pub unfinished: bool,
    /// The text stands for a failure.
    pub error: bool,
    /// What came with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentShape>,
    /// When it was stored.
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: String,
}

/// Something that came with a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttachmentShape {
    /// A file name or a short description.
    pub name: String,
    /// Media type, such as `image/jpeg`.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub content_type: String,
    /// Where the carrier or the caller keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A reply as the message API answers it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplyShape {
    /// Its id, a UUID.
    pub message_id: String,
    /// What it says.
    pub text: String,
    /// Where it was answered; null for a fixed answer of ours.
    pub endpoint: Option<String>,
    /// The model that answered; null for a fixed answer of ours.
    pub model: Option<String>,
    /// Tokens it took.
    pub usage: UsageShape,
}

/// Tokens that a reply took, as the model reports them or as estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UsageShape {
    /// Of the prompt.
    pub prompt_tokens: i64,
    /// Of the answer.
    pub completion_tokens: i64,
    /// Both.
    pub total_tokens: i64,
}

/// Durable work.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct JobShape {
    /// `reply-<uuid>` or `deliver-<uuid>`.
    pub id: String,
    /// `reply` or `deliver`.
    pub kind: Value,
    /// `ready`, `leased`, `waiting`, `dead` or `done`.
    pub state: Value,
    /// Whose it is.
    pub user: String,
    /// Tries so far.
    pub attempts: u32,
    /// When it is due; for a done or dead one, when it ended.
    pub due: String,
    /// What went wrong last.
    pub error: Option<String>,
}

impl UserShape {
    /// With where and with what they are answered now.
    #[must_use]
    pub fn with_effective(mut self, endpoint: impl Into<String>, model: impl Into<String>) -> Self {
        self.effective = Some(Effective { endpoint: endpoint.into(), model: model.into() });
        self
    }
}

impl From<&User> for UserShape {
    fn from(user: &User) -> Self {
        let phone_number = user.phone.as_ref().map(|phone| phone.as_str().to_owned());
        Self {
            id: user.id.to_string(),
            email: user.email.clone(),
            name: user.name.clone(),
            username: user.username.clone(),
            provider: user.provider.clone(),
            phone_number: phone_number.clone(),
            email_verified: user.email_verified,
            role: user.role.clone(),
            metadata: UserMetadata {
                phone_number,
                source: "sms".to_owned(),
                created_by: CREATED_BY.to_owned(),
                first_contact: user.first_contact.to_string(),
                last_sms: user.last_sms.to_string(),
                message_count: user.message_count,
                preferences: PreferencesShape::from(&user.preferences),
            },
            caller_metadata: user.caller_metadata.clone(),
            blocked: user.blocked,
            balance: user.balance.map(|credits| credits.0),
            effective: None,
            created_at: user.created_at.to_string(),
            updated_at: user.updated_at.to_string(),
        }
    }
}

impl From<&Preferences> for PreferencesShape {
    fn from(preferences: &Preferences) -> Self {
        Self {
            endpoint: preferences.endpoint.as_ref().map(ToString::to_string),
            default_model: preferences.default_model.clone(),
            agent_id: preferences.agent_id.as_ref().map(ToString::to_string),
            time_zone: preferences.time_zone.clone(),
            quiet_hours: preferences.quiet_hours.map(|hours| hours.to_string()),
        }
    }
}

impl From<&Conversation> for ConversationShape {
    fn from(conversation: &Conversation) -> Self {
        Self {
            conversation_id: conversation.id.to_string(),
            title: conversation.title.clone(),
            endpoint: conversation.endpoint.as_ref().map(ToString::to_string),
            model: conversation.model.clone(),
            user: conversation.user_id.to_string(),
            metadata: ConversationMetadata {
                phone_number: conversation.phone.as_ref().map(|phone| phone.as_str().to_owned()),
                source: conversation.source.clone(),
                created_by: CREATED_BY.to_owned(),
                last_message: conversation.last_message.to_string(),
                message_count: conversation.message_count,
            },
            closed: conversation.closed,
            created_at: conversation.created_at.to_string(),
            updated_at: conversation.updated_at.to_string(),
        }
    }
}

impl From<&Message> for MessageShape {
    fn from(message: &Message) -> Self {
        let sender = match message.role {
            Role::External => "User",
            Role::Assistant => "Assistant",
        };
        Self {
            message_id: message.id.to_string(),
            conversation_id: message.conversation_id.to_string(),
            user: message.user_id.to_string(),
            parent_message_id: message.parent_id.map(|parent| parent.to_string()),
            sender: sender.to_owned(),
            role: message.role.as_str().to_owned(),
            text: message.text.clone(),
            is_created_by_user: message.role == Role::External,
            endpoint: message.endpoint.as_ref().map(ToString::to_string),
            model: message.model.clone(),
            token_count: message.token_count,
            unfinished: message.unfinished,
            error: message.error,
            attachments: message.attachments.iter().map(AttachmentShape::from).collect(),
            created_at: message.created_at.to_string(),
            updated_at: message.updated_at.to_string(),
        }
    }
}

impl From<&Attachment> for AttachmentShape {
    fn from(attachment: &Attachment) -> Self {
        Self { name: attachment.name.clone(), content_type: attachment.content_type.clone(), url: attachment.url.clone() }
    }
}

impl From<&StoredReply> for ReplyShape {
    fn from(reply: &StoredReply) -> Self {
        Self {
            message_id: reply.message_id.to_string(),
            text: reply.text.clone(),
            endpoint: reply.endpoint.as_ref().map(ToString::to_string),
            model: reply.model.clone(),
            usage: UsageShape::from(reply.usage),
        }
    }
}

impl From<Usage> for UsageShape {
    fn from(usage: Usage) -> Self {
        Self { prompt_tokens: usage.prompt_tokens, completion_tokens: usage.completion_tokens, total_tokens: usage.total_tokens }
    }
}

impl From<&Job> for JobShape {
    fn from(job: &Job) -> Self {
        Self {
            id: job.id.to_string(),
            kind: serde_json::to_value(job.kind).unwrap_or_default(),
            state: serde_json::to_value(job.state).unwrap_or_default(),
            user: job.user.to_string(),
            attempts: job.attempts,
            due: job.due.to_string(),
            error: job.error.clone(),
        }
    }
}
