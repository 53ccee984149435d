//! Taking in messages.

use async_trait::async_trait;

use super::outbox::NewOutbound;
use super::schedules::NewSchedule;
use super::todos::NewTodo;
use super::{StoreResult, Timestamp};
use crate::domain::delivery::ReplyRoute;
use crate::domain::graph::ObservationId;
use crate::domain::ids::{ConversationId, MessageId, TurnId, UserId};
use crate::domain::ledger::Credits;
use crate::domain::message::{Attachment, CallerMetadata};
use crate::domain::phone::PhoneNumber;
use crate::domain::schedule::ScheduleId;
use crate::domain::todo::TodoId;
use crate::domain::turn::{Refusal, TurnRequest};

/// A message to be stored, with everything that one atomic step needs.
#[derive(Debug, Clone)]
pub struct NewInbound {
    /// Which door it came in by, and by what it is recognised when it comes again.
    pub door: Door,
    /// Who sent it.
    pub phone: PhoneNumber,
    /// What it says.
    pub text: String,
    /// Tokens of the text, as estimated.
    pub token_count: i64,
    /// What came with it.
    pub attachments: Vec<Attachment>,
    /// What the caller sent along; kept with the person, apart from our own fields.
    pub caller_metadata: CallerMetadata,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The account to make when the number is new.
    pub person: NewPerson,
    /// The conversation it belongs to.
    pub conversation: ConversationTarget,
    /// The id of a conversation begun by it.
    pub new_conversation_id: ConversationId,
    /// The title of a conversation begun by it, instead of `SMS Chat <number>`.
    pub title: Option<String>,
    /// The source of the conversation: `sms`, or what the API said.
    pub source: String,
    /// Its id.
    pub message_id: MessageId,
    /// The id of a turn begun by it.
    pub turn_id: TurnId,
    /// What it asks of its turn. An explicit choice is also kept with the conversation.
    pub request: TurnRequest,
    /// How the reply reaches a phone; `None` leaves it to the API's answer.
    pub route: Option<ReplyRoute>,
    /// What is to be done about it.
    pub action: Action,
}

/// Where a message came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// A carrier's webhook or catch-up; a repeat of the pair is the same message, for ever.
    Gateway {
        /// The gateway's name.
        name: String,
        /// The carrier's id.
        message_id: String,
    },
    /// The external message API.
    Api {
        /// By what a repeat is recognised, where the caller said so.
        repeat: Option<ApiRepeat>,
    },
}

/// How the API recognises a repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiRepeat {
    /// `Idempotency-Key`, or `metadata.messageSid`.
    pub key: String,
    /// SHA-256 of the body; the same key with another body is refused.
    pub fingerprint: [u8; 32],
}

/// The account to make for a new number.
#[derive(Debug, Clone)]
pub struct NewPerson {
    /// Its id.
    pub id: UserId,
    /// Domain of its address.
    pub email_domain: String,
    /// Credits granted with it; `None` when balance is off.
    pub start_credits: Option<Credits>,
}

/// Which conversation a message belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConversationTarget {
    /// The person's newest of that source whose last activity is not older than this (`None`: any age); else a new one.
    ByPhone {
        /// The oldest last activity that is continued.
        not_before: Option<Timestamp>,
    },
    /// This one, if it is the person's; else [`Accepted::UnknownConversation`].
    Exactly(ConversationId),
}

/// What is to be done about a message.
#[derive(Debug, Clone)]
pub enum Action {
    /// Answer it by a model.
    Reply {
        /// Texts to be gathered into one turn; `None` makes it a turn of its own, due now.
        debounce: Option<Debounce>,
    },
    /// Store it and end its turn without an answer.
    Record {
        /// Why it is not answered.
        reason: Refusal,
    },
    /// A consent word: recorded with the message, in the same step. Opting out withdraws what is still to be sent to the person.
    /// A word said before one that is known changes nothing; its message is stored all the same.
    Consent {
        /// Which.
        consent: Consent,
        /// When it was said, which may be long before it is found.
        said_at: Timestamp,
        /// The one message that may still be sent, where the word changed something; `None` where the carrier confirms, or
        /// without a route.
        confirmation: Option<NewOutbound>,
    },
    /// A fixed answer of ours, given in the same step.
    Answer {
        /// The answer as stored.
        text: String,
        /// The id of the answer as stored.
        reply_id: MessageId,
        /// The answer as sent; empty without a route.
        outgoing: Vec<NewOutbound>,
        /// What else it does.
        effect: Effect,
    },
}

/// Texts gathered into one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debounce {
    /// A text this long after the last still joins, in milliseconds.
    pub wait_millis: i64,
    /// … at most this long after the first.
    pub max_millis: i64,
}

/// A person's word on being texted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// No more.
    OptOut,
    /// Again.
    OptIn,
}

/// What a fixed answer does besides answering.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Closes the conversation; the next message begins a new one.
    NewConversation,
    /// Lets the parts go that were kept back, at most this many, in order. The answer's `text` and `outgoing` are for when
    /// there were none; when some go, the turn has no stored reply of its own.
    ReleaseHeld {
        /// Parts at most.
        parts: u32,
        /// Moment after which they are not sent.
        expires_at: Timestamp,
        /// What the carrier charges for one segment, taken from the person's balance, where there is one.
        segment_price: Credits,
    },
    /// Changes what is kept of the person. The answer's `text` and `outgoing` are for when that was done.
    Change {
        /// The change.
        change: Change,
        /// The answer for when there was nothing to change, or a limit forbids it; then nothing is changed.
        otherwise: FixedAnswer,
    },
}

/// A fixed answer of ours.
#[derive(Debug, Clone, PartialEq)]
pub struct FixedAnswer {
    /// The answer as stored.
    pub text: String,
    /// The answer as sent; empty without a route.
    pub outgoing: Vec<NewOutbound>,
}

/// A change that a person makes by a word. It is part of the message's own step, so a repeated message repeats nothing. What it
/// is made to has a number that is never used again.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Forgets an observation of the person's graph.
    Forget(ObservationId),
    /// Forgets an entity of that name, with its observations and relations.
    ForgetEntity(String),
    /// Forgets the person's whole graph.
    ForgetEverything,
    /// Writes an item down on a list of at most `limit`, as [`super::Todos::add_todo`] does.
    AddTodo {
        /// The item.
        new: NewTodo,
        /// Items of one person.
        limit: usize,
    },
    /// Marks an open item as done.
    CompleteTodo(TodoId),
    /// Makes a schedule among at most `limit`, as [`super::Schedules::add_schedule`] does, in the message's conversation.
    AddSchedule {
        /// The schedule; its conversation is not looked at.
        new: Box<NewSchedule>,
        /// Schedules of one person.
        limit: usize,
    },
    /// Deletes a schedule.
    DeleteSchedule(ScheduleId),
}

impl Change {
    /// Whether what it removes must not stay readable anywhere.
    #[must_use]
    pub const fn forgets(&self) -> bool {
        matches!(self, Self::Forget(_) | Self::ForgetEntity(_) | Self::ForgetEverything | Self::DeleteSchedule(_))
    }
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Accepted {
    /// Stored now.
    Stored(Receipt),
    /// Stored before: the same receipt as then.
    Repeat(Receipt),
    /// The key of a repeat with another body. Nothing was stored.
    OtherBody,
    /// The conversation that was named is not that person's. Nothing was stored.
    UnknownConversation,
    /// The person is blocked. Nothing was stored but a consent word.
    Blocked {
        /// Who.
        user_id: UserId,
    },
}

/// What was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The person.
    pub user_id: UserId,
    /// This message made the person.
    pub is_new_user: bool,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The message.
    pub message_id: MessageId,
    /// Its turn.
    pub turn_id: TurnId,
}

/// Taking in messages.
#[async_trait]
pub trait Inbox {
    /// Stores a message: the person where the number is new, the conversation where none is continued, the message, its turn
    /// (or its place in one that is still gathering), the person's activity, and what the action asks for, all or nothing.
    ///
    /// The turn's messages get their place in the conversation when the turn begins, not here. A message of an opted-out
    /// person that came through a gateway is stored and its turn ended with [`Refusal::OptedOut`], whatever the action, except
    /// for consent words. A message that is not gathered ends the gathering of the one before it: it never waits for that.
    /// Repeats change nothing.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`]: nothing was stored; the sender must try again.
    async fn accept(&self, new: NewInbound) -> StoreResult<Accepted>;

    /// What was stored when a message came in by that door before; `None` for a new one, and for what cannot be recognised.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn find_receipt(&self, door: &Door) -> StoreResult<Option<Receipt>>;
}
