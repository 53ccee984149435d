//! Turns: one exchange, from a person's texts to the reply.

use super::conversation::{Choice, Conversation};
use super::delivery::ReplyRoute;
use super::endpoint::Endpoint;
use super::ids::{ConversationId, MessageId, TurnId, UserId};
use super::ledger::{Credits, Usage};
use super::message::Message;
use super::step::Step;
use super::time::Timestamp;
use super::user::User;

/// Where a turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TurnState {
    /// Not begun: gathering texts, or behind an earlier turn of the person.
    Open,
    /// Begun: its messages have their places; it is being answered or waits for another attempt.
    Begun,
    /// Over, with or without a reply.
    Done,
    /// Given up after its attempts; an operator replays or discards it.
    Dead,
}

impl TurnState {
    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Dead => "dead",
        }
    }

    /// Reads a stored word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Begun, Self::Done, Self::Dead].into_iter().find(|state| state.as_str() == text)
    }
}

/// Why a turn was ended without asking the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The person cannot pay for it.
    OutOfCredit,
    /// The person had their turns for today.
    PersonLimit,
    /// Everybody together had their turns for today.
    TotalLimit,
    /// The text is too old to answer (found by catch-up).
    TooOld,
    /// The person has opted out.
    OptedOut,
    /// An operator discarded it.
    Discarded,
    /// There was nothing in it.
    Empty,
    /// The carrier answers it itself (its own help text).
    AnsweredByCarrier,
}

impl Refusal {
    /// As stored and as a metrics label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfCredit => "out-of-credit",
            Self::PersonLimit => "person-limit",
            Self::TotalLimit => "total-limit",
            Self::TooOld => "too-old",
            Self::OptedOut => "opted-out",
            Self::Discarded => "discarded",
            Self::Empty => "empty",
            Self::AnsweredByCarrier => "answered-by-carrier",
        }
    }

    /// Reads a stored word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::OutOfCredit,
            Self::PersonLimit,
            Self::TotalLimit,
            Self::TooOld,
            Self::OptedOut,
            Self::Discarded,
            Self::Empty,
            Self::AnsweredByCarrier,
        ]
        .into_iter()
        .find(|refusal| refusal.as_str() == text)
    }
}

/// What a request asked of its own turn.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TurnRequest {
    /// Where and with what it is to be answered.
    #[serde(default)]
    pub choice: Choice,
    /// Added to the system text of this turn alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_instructions: Option<String>,
}

/// The right to work on a turn, until it runs out or is taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnLease {
    /// Whose turn.
    pub user_id: UserId,
    /// Which.
    pub turn_id: TurnId,
    /// Grows with each lease of that person's lane; an older one can no longer write.
    pub fence: i64,
}

/// A turn that has begun and is ours to answer.
#[derive(Debug, Clone, PartialEq)]
pub struct LeasedTurn {
    /// The right to it.
    pub lease: TurnLease,
    /// The person.
    pub user: User,
    /// The conversation.
    pub conversation: Conversation,
    /// Its texts, in order, with their places.
    pub texts: Vec<Message>,
    /// What the request asked for.
    pub request: TurnRequest,
    /// How the reply reaches a phone; `None` for the API, whose answer is the reply.
    pub route: Option<ReplyRoute>,
    /// Attempts before this one that failed, as recorded.
    pub attempts: u32,
    /// Leases before this one that ended without a word: the process died, or lost the lease. A turn that does this to each
    /// process that takes it up shows here.
    pub starts: u32,
    /// An operator replayed it: it is to be answered until this moment, however old its texts are.
    pub answer_until: Option<Timestamp>,
    /// When its first text was stored.
    pub opened_at: Timestamp,
    /// A daily limit that this turn is over; it must be refused.
    pub over_limit: Option<Refusal>,
    /// What an agent did in attempts before this one; the next attempt goes on from there.
    pub steps: Vec<Step>,
}

/// The reply of a turn, to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewReply {
    /// Its id.
    pub message_id: MessageId,
    /// What it says.
    pub text: String,
    /// Where it was answered.
    pub endpoint: Endpoint,
    /// The model that answered.
    pub model: String,
    /// What it took.
    pub usage: Usage,
    /// It was cut short by a limit.
    pub unfinished: bool,
}

impl NewReply {
    /// As anybody who waits for it sees it.
    #[must_use]
    pub fn stored(&self) -> StoredReply {
        StoredReply {
            message_id: self.message_id,
            text: self.text.clone(),
            endpoint: Some(self.endpoint.clone()),
            model: Some(self.model.clone()),
            usage: self.usage,
        }
    }
}

/// How a turn ended, as anybody who waits for it sees it.
#[derive(Debug, Clone, PartialEq)]
pub enum TurnEnd {
    /// Answered; `None` for a text that gets no answer (a consent word).
    Answered(Option<StoredReply>),
    /// Refused before the model was asked.
    Refused(Refusal),
    /// The model failed; the turn is dead, or waits for another attempt.
    Failed {
        /// What went wrong, fit to be shown to the caller.
        error: String,
        /// Another attempt will be made.
        will_retry: bool,
    },
}

/// A reply as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredReply {
    /// Its id.
    pub message_id: MessageId,
    /// What it says.
    pub text: String,
    /// Where it was answered; `None` for a fixed answer of ours.
    pub endpoint: Option<Endpoint>,
    /// The model that answered; `None` for a fixed answer of ours.
    pub model: Option<String>,
    /// What it took.
    pub usage: Usage,
}

/// A turn as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnRecord {
    /// Its id.
    pub id: TurnId,
    /// Whose.
    pub user_id: UserId,
    /// In which conversation.
    pub conversation_id: ConversationId,
    /// Where it stands.
    pub state: TurnState,
    /// How it ended, when it has ended or an attempt at it failed.
    pub end: Option<TurnEnd>,
    /// What it was charged.
    pub charge: Credits,
}

/// A finished turn as the live stream shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedTurn {
    /// Its place among the person's finished turns, from 1 and growing; the stream's event id.
    pub event: i64,
    /// The conversation as it is now.
    pub conversation: Conversation,
    /// Whether this turn began the conversation.
    pub began_conversation: bool,
    /// Both sides, in order.
    pub messages: Vec<Message>,
}
