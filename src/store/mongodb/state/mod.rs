//! What a unit decides by, and the rules: plain values and functions over them, without a database, a clock or an await.
//!
//! [`State`] is everything of one person that a text, a turn or a delivery can change. A rule takes a [`Draft`] of it, changes it,
//! and notes what is to be written elsewhere; [`super::unit`] stores both or neither. Start with [`accept`] and [`leasing`].

pub(super) mod accept;
pub(super) mod begin;
pub(super) mod consent;
pub(super) mod credits;
pub(super) mod deliveries;
pub(super) mod ending;
pub(super) mod jobs;
pub(super) mod lanes;
pub(super) mod leasing;
pub(super) mod outgoing;
pub(super) mod steps;
#[cfg(test)]
mod tests;
pub(super) mod thread;
pub(super) mod words;

use mongodb::bson::{Document, doc};
use serde::{Deserialize, Serialize};

pub(super) use self::outgoing::Outgoing;
pub(super) use self::thread::Thread;
pub(super) use self::words::{OpenState, TurnKind};
use super::lists::Lists;
use super::names::Place;
use super::shapes;
use super::staged::{What, Write, Writes};
use crate::domain::delivery::ReplyRoute;
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{ConversationId, MessageId, TurnId, UserId};
use crate::domain::ledger::{Credits, Usage};
use crate::domain::message::{Attachment, CallerMetadata, Message, Role};
use crate::domain::phone::PhoneNumber;
use crate::domain::step::ToolCall;
use crate::domain::time::Timestamp;
use crate::domain::turn::{Refusal, TurnRequest};
use crate::domain::user::{Preferences, User};
use crate::store::NewPerson;

/// Everything of a person that a unit decides by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State {
    /// Who it is.
    pub(super) person: Person,
    /// When they last texted, or the account was made.
    pub(super) last_sms: Timestamp,
    /// Messages of theirs that were stored.
    pub(super) message_count: i64,
    /// Their credits; none before the first grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) balance: Option<Credits>,
    /// How much of that is others' doing: LibreChat spends from the same credits, and refills them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) others: Credits,
    /// From when the next refill counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refilled_at: Option<Timestamp>,
    /// The number of the turn that ended last.
    #[serde(default)]
    pub(super) latest_event: i64,
    /// The day of `turns_today`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) turns_day: Option<String>,
    /// Turns that began on that day.
    #[serde(default)]
    pub(super) turns_today: u32,
    /// By which their newest text came: where what comes of itself goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) route: Option<ReplyRoute>,
    /// Their newest word on being texted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) word: Option<Word>,
    /// The lane of turns.
    #[serde(default)]
    pub(super) turn_lane: Lane,
    /// The lane of deliveries.
    #[serde(default)]
    pub(super) delivery_lane: Lane,
    /// The last number that a turn or an outgoing message got.
    #[serde(default)]
    pub(super) last_number: i64,
    /// Turns that are not over, in their order.
    #[serde(default)]
    pub(super) turns: Vec<Turn>,
    /// Outgoing messages that no carrier has, in their order; kept-back ones too.
    #[serde(default)]
    pub(super) outgoing: Vec<Outgoing>,
    /// The conversations that were used last.
    #[serde(default)]
    pub(super) threads: Vec<Thread>,
    /// There are more conversations than these.
    #[serde(default)]
    pub(super) more_threads: bool,
    /// What they were told once, the newest of it.
    #[serde(default)]
    pub(super) notices: Vec<Given>,
    /// Receipts of the last messages, by which a repeat is found before its receipt stands where it stays.
    #[serde(default)]
    pub(super) receipts: Vec<Given>,
    /// Where their graph, todo list and schedules stand.
    #[serde(default)]
    pub(super) lists: Lists,
    /// They are nobody any more, since then; what is left of them is being erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) erased_at: Option<Timestamp>,
    /// The account is becoming part of that one, and nothing else happens to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) merging_into: Option<UserId>,
    /// The number of an account that became part of this one, until this one has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) taking: Option<PhoneNumber>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "so serde asks")]
fn is_zero(credits: &Credits) -> bool {
    *credits == Credits::ZERO
}

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Person {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) phone: Option<PhoneNumber>,
    pub(super) email: String,
    pub(super) name: String,
    pub(super) username: String,
    pub(super) provider: String,
    pub(super) role: String,
    pub(super) email_verified: bool,
    #[serde(default)]
    pub(super) preferences: Preferences,
    /// JSON text: a caller's names may be what a field's name must not be.
    #[serde(default)]
    pub(super) caller_metadata: words::JsonText<CallerMetadata>,
    #[serde(default)]
    pub(super) blocked: bool,
    pub(super) first_contact: Timestamp,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

/// A number's word on being texted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Word {
    pub(super) opted_out: bool,
    pub(super) said_at: Timestamp,
}

/// A person's queue of one kind of work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lane {
    /// When its head may be looked at: when it is due, or when the lease on it ends. None when the lane is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<Timestamp>,
    /// Who holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    /// The number of what is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) leased: Option<i64>,
    /// How often it was taken.
    #[serde(default)]
    pub(super) fence: i64,
    /// The gateway by which its head leaves; of deliveries only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gateway: Option<String>,
}

/// Something that was given under a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Given {
    pub(super) key: String,
    pub(super) at: Timestamp,
}

/// A turn that is not over, or a dead one as it is kept for a replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Turn {
    pub(super) number: i64,
    pub(super) id: TurnId,
    pub(super) conversation_id: ConversationId,
    pub(super) kind: TurnKind,
    pub(super) state: OpenState,
    /// When it may be begun or tried again.
    pub(super) due: Timestamp,
    /// Texts join it until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gather_until: Option<Timestamp>,
    pub(super) last_text_at: Timestamp,
    pub(super) texts: Vec<Text>,
    /// Tries whose end was recorded.
    #[serde(default)]
    pub(super) attempts: u32,
    /// Leases that were not given back.
    #[serde(default)]
    pub(super) starts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answer_until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) request: TurnRequest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) route: Option<ReplyRoute>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<Refusal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) over_limit: Option<Refusal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<Answer>,
    #[serde(default)]
    pub(super) reserved: Credits,
    #[serde(default)]
    pub(super) charge: Credits,
    #[serde(default)]
    pub(super) began_conversation: bool,
    #[serde(default)]
    pub(super) steps: Vec<StepState>,
    pub(super) opened_at: Timestamp,
}

impl Turn {
    /// A turn that nothing has happened to, due now.
    pub(super) fn new(number: i64, id: TurnId, conversation_id: ConversationId, kind: TurnKind, now: Timestamp) -> Self {
        Self {
            number,
            id,
            conversation_id,
            kind,
            state: OpenState::Open,
            due: now,
            gather_until: None,
            last_text_at: now,
            texts: Vec::new(),
            attempts: 0,
            starts: 0,
            answer_until: None,
            error: None,
            request: TurnRequest::default(),
            route: None,
            refusal: None,
            over_limit: None,
            answer: None,
            reserved: Credits::ZERO,
            charge: Credits::ZERO,
            began_conversation: false,
            steps: Vec::new(),
            opened_at: now,
        }
    }
}

/// A fixed answer, as stored when its turn ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) id: MessageId,
    pub(super) text: String,
}

/// A text of a turn that is not over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the text of a text is what it says")]
pub(super) struct Text {
    pub(super) id: MessageId,
    /// What it says; none where that is too long for a head and stands with the messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) attachments: Vec<Attachment>,
    #[serde(default)]
    pub(super) token_count: i64,
    pub(super) entry: i64,
    pub(super) recalled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sequence: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<MessageId>,
    pub(super) received_at: Timestamp,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

/// A step of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StepState {
    pub(super) number: u32,
    pub(super) said: String,
    pub(super) shown: bool,
    pub(super) model: String,
    pub(super) usage: Usage,
    /// What the turn had cost with it and all before it.
    #[serde(default)]
    pub(super) charge: Credits,
    pub(super) calls: Vec<CallState>,
    pub(super) recorded_at: Timestamp,
}

/// A call of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallState {
    /// JSON text: what a model wrote may have names that a field must not have.
    pub(super) call: words::JsonText<ToolCall>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) begun_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<String>,
}

/// A person's state while a unit changes it, and what the unit writes elsewhere.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// Whose it is.
    pub(super) user_id: UserId,
    /// When the unit happens.
    pub(super) now: Timestamp,
    /// The state as it will be.
    pub(super) state: State,
    /// What is written elsewhere.
    pub(super) writes: Writes,
    /// The head's version is at least this then.
    pub(super) least_version: i64,
}

impl Draft {
    /// Sets fields of a document, which is made where it is missing.
    pub(super) fn put(&mut self, place: Place, key: Document, set: Document) {
        self.put_new(place, key, set, Document::new());
    }

    /// The same, with fields that only a new document gets.
    pub(super) fn put_new(&mut self, place: Place, key: Document, set: Document, insert: Document) {
        self.writes.add(Write { place, key, what: What::put(set, insert) });
    }

    /// Sets fields of a document, if it is there.
    pub(super) fn change(&mut self, place: Place, key: Document, set: Document) {
        self.writes.add(Write { place, key, what: What::Change { set, add: Document::new() } });
    }

    /// Writes a message of ours, and lists it with its conversation's, as LibreChat does.
    pub(super) fn put_message(&mut self, message: &Message, place: &shapes::Place) {
        let (key, set, insert) = shapes::message_document(message, place);
        self.put_new(Place::Messages, key, set, insert);
        let add = doc! { shapes::LISTED: [shapes::row_id(message)] };
        let key = shapes::conversation_key(self.user_id, message.conversation_id);
        self.writes.add(Write { place: Place::Conversations, key, what: What::Change { set: Document::new(), add } });
    }

    /// Deletes a document.
    pub(super) fn delete(&mut self, place: Place, key: Document) {
        self.writes.add(Write { place, key, what: What::Delete });
    }

    /// Deletes every document of this person that has these values. The person is added to them.
    pub(super) fn delete_all(&mut self, place: Place, mut key: Document) {
        key.insert("user", self.user_id.to_string());
        self.writes.add(Write { place, key, what: What::DeleteAll });
    }

    /// The next number of a turn or an outgoing message.
    pub(super) const fn next_number(&mut self) -> i64 {
        self.state.last_number += 1;
        self.state.last_number
    }

    /// Writes the person as LibreChat has them.
    pub(super) fn show_person(&mut self) {
        let (key, set, insert) = shapes::user_document(self.user_id, &self.state);
        self.put_new(Place::Users, key, set, insert);
    }

    /// Writes what the credits were changed by to where LibreChat has them, where there are any.
    pub(super) fn show_balance(&mut self) {
        if let Some(Credits(whole)) = self.state.balance {
            let Credits(own) = self.state.own_credits();
            let (key, _whole) = shapes::balance_document(self.user_id, Credits(whole));
            self.writes.add(Write { place: Place::Balances, key, what: What::Credit { own, whole } });
        }
    }

    /// The turn with that number.
    pub(super) fn turn_mut(&mut self, number: i64) -> Option<&mut Turn> {
        self.state.turns.iter_mut().find(|turn| turn.number == number)
    }
}

impl State {
    /// Somebody who has just come.
    pub(super) fn new(new: &NewPerson, phone: Option<&PhoneNumber>, username: String, now: Timestamp) -> Self {
        let (name, mailbox, provider) = match phone {
            Some(phone) => (format!("SMS User {}", phone.as_str()), phone.as_str(), "sms"),
            None => ("Default".to_owned(), "default", "local"),
        };
        let person = Person {
            phone: phone.cloned(),
            email: format!("{mailbox}@{}", new.email_domain),
            name,
            username,
            provider: provider.to_owned(),
            role: "USER".to_owned(),
            email_verified: true,
            preferences: Preferences::default(),
            caller_metadata: words::JsonText::default(),
            blocked: false,
            first_contact: now,
            created_at: now,
            updated_at: now,
        };
        let granted = new.start_credits.map(|_credits| now);
        Self { balance: new.start_credits, refilled_at: granted, ..Self::of(person, now) }
    }

    /// A person of whom nothing else is known.
    pub(super) fn of(person: Person, now: Timestamp) -> Self {
        Self {
            person,
            last_sms: now,
            message_count: 0,
            balance: None,
            others: Credits::ZERO,
            refilled_at: None,
            latest_event: 0,
            turns_day: None,
            turns_today: 0,
            route: None,
            word: None,
            turn_lane: Lane::default(),
            delivery_lane: Lane::default(),
            last_number: 0,
            turns: Vec::new(),
            outgoing: Vec::new(),
            threads: Vec::new(),
            more_threads: false,
            notices: Vec::new(),
            receipts: Vec::new(),
            lists: Lists::default(),
            erased_at: None,
            merging_into: None,
            taking: None,
        }
    }

    /// The user name that somebody with that number wants.
    pub(super) fn username_for(phone: Option<&PhoneNumber>) -> String {
        phone.map_or_else(|| "default".to_owned(), |phone| format!("sms_{}", phone.digits()))
    }

    /// The person as the port has them.
    pub(super) fn user(&self, id: UserId) -> User {
        let Person { phone, email, name, username, provider, role, email_verified, preferences, caller_metadata, .. } = self.person.clone();
        User {
            id,
            phone,
            email,
            name,
            username,
            provider,
            role,
            email_verified,
            first_contact: self.person.first_contact,
            last_sms: self.last_sms,
            message_count: self.message_count,
            preferences,
            caller_metadata: caller_metadata.get().clone(),
            blocked: self.person.blocked,
            balance: self.balance,
            created_at: self.person.created_at,
            updated_at: self.person.updated_at.max(self.last_sms),
        }
    }

    /// Whether they opted out.
    pub(super) fn opted_out(&self) -> bool {
        self.word.is_some_and(|word| word.opted_out)
    }

    /// The conversation, where it is among those kept here.
    pub(super) fn thread(&self, id: ConversationId) -> Option<&Thread> {
        self.threads.iter().find(|thread| thread.id == id)
    }

    /// The same, to be changed.
    pub(super) fn thread_mut(&mut self, id: ConversationId) -> Option<&mut Thread> {
        self.threads.iter_mut().find(|thread| thread.id == id)
    }
}

impl Turn {
    /// Its texts as messages.
    pub(super) fn messages(&self, user_id: UserId) -> Vec<Message> {
        self.texts.iter().map(|text| text.message(user_id, self, None)).collect()
    }
}

impl Text {
    /// The text as a message of its turn.
    pub(super) fn message(&self, user_id: UserId, turn: &Turn, endpoint: Option<Endpoint>) -> Message {
        Message {
            id: self.id,
            conversation_id: turn.conversation_id,
            user_id,
            turn_id: turn.id,
            sequence: self.sequence,
            parent_id: self.parent,
            role: Role::External,
            text: self.text.clone().unwrap_or_default(),
            attachments: self.attachments.clone(),
            endpoint,
            model: None,
            token_count: self.token_count,
            unfinished: false,
            error: false,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}
