//! Conversations, messages, summaries and receipts as records and back.

use std::collections::{HashMap, HashSet};

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};

use super::{Put, bytes, unfit, unwritten};
use crate::domain::conversation::Choice;
use crate::domain::ids::{ConversationId, MessageId, TurnId, UserId};
use crate::domain::message::{Message, Role};
use crate::store::mongodb::fields::{Fields, date, maybe_date};
use crate::store::mongodb::names::Place;
use crate::store::mongodb::shapes;
use crate::store::mongodb::staged::binary;
use crate::store::mongodb::state::{Text, Thread};
use crate::store::record::words::{Raw, Word};
use crate::store::record::{self, Record};
use crate::store::{Receipt, StoreResult};

/// What places in conversations are told by: turns have numbers here, and ids in records.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// By their numbers.
    pub(super) ids: HashMap<i64, TurnId>,
    /// What each ended with.
    pub(super) replies: HashSet<(TurnId, MessageId)>,
}

impl Turns {
    /// A place as a record says it. What LibreChat's own messages got as places when they were taken over are numbers of no turn:
    /// such an entry stands before all turns, at that number.
    fn place(&self, slot: i64, entry: i64) -> (Option<TurnId>, i64) {
        match self.ids.get(&slot) {
            Some(turn) => (Some(*turn), entry),
            None => (None, slot.saturating_add(entry)),
        }
    }
}

/// A conversation as a record.
pub(super) fn conversation_record(turns: &Turns, user_id: UserId, thread: Thread) -> Record {
    let (last_slot, last_entry) = turns.place(thread.last_slot, thread.last_entry);
    let Choice { endpoint: choice_endpoint, model: choice_model, agent_id } = thread.choice;
    Record::Conversation(Box::new(record::StoredConversation {
        user_id,
        id: thread.id,
        title: thread.title,
        source: thread.source,
        last_message: thread.last_message,
        message_count: thread.message_count,
        closed: thread.closed,
        last_sequence: thread.last_sequence,
        last_entry,
        created_at: thread.created_at,
        updated_at: thread.updated_at,
        endpoint: thread.endpoint,
        model: thread.model,
        choice_endpoint,
        choice_model,
        choice_agent: agent_id.map(|agent| agent.to_string()),
        phone: thread.phone,
        last_slot,
        last_id: thread.last_id,
    }))
}

/// A conversation as its record says; `last_slot` is the number of the turn that it names.
pub(super) fn thread(record: &record::StoredConversation, last_slot: i64) -> StoreResult<Thread> {
    let agent_id = record.choice_agent.as_deref().map(str::parse).transpose().map_err(|error| unfit("conversation", error))?;
    Ok(Thread {
        id: record.id,
        title: record.title.clone(),
        endpoint: record.endpoint.clone(),
        model: record.model.clone(),
        choice: Choice { endpoint: record.choice_endpoint.clone(), model: record.choice_model.clone(), agent_id },
        phone: record.phone.clone(),
        source: record.source.clone(),
        last_message: record.last_message,
        message_count: record.message_count,
        closed: record.closed,
        created_at: record.created_at,
        updated_at: record.updated_at,
        last_sequence: record.last_sequence,
        last_id: record.last_id,
        last_slot,
        last_entry: record.last_entry,
        unsummarised: false,
    })
}

/// An entry as a record.
pub(super) fn message_record(turns: &Turns, collection: &str, document: &Document) -> StoreResult<Record> {
    let (message, place) = shapes::message_from(collection, document)?;
    let (slot, entry) = turns.place(place.slot, place.entry);
    let attachments = (!message.attachments.is_empty()).then(|| Raw::of(&message.attachments)).transpose().map_err(unwritten)?;
    Ok(Record::Message(Box::new(record::StoredMessage {
        user_id: message.user_id,
        conversation_id: message.conversation_id,
        id: message.id,
        turn_id: message.turn_id,
        entry,
        role: Word(message.role),
        text: message.text,
        token_count: message.token_count,
        unfinished: message.unfinished,
        error: message.error,
        recalled: place.recalled,
        reply: turns.replies.contains(&(message.turn_id, message.id)),
        received_at: place.received_at,
        created_at: message.created_at,
        updated_at: message.updated_at,
        slot,
        sequence: message.sequence,
        parent_id: message.parent_id,
        attachments,
        endpoint: message.endpoint,
        model: message.model,
    })))
}

/// An entry, with `slot` as the number of the turn that it names; and the row that it is.
pub(super) fn message_put(record: &record::StoredMessage, slot: i64) -> StoreResult<(Put, ObjectId)> {
    let Word(role) = record.role;
    let message = Message {
        id: record.id,
        conversation_id: record.conversation_id,
        user_id: record.user_id,
        turn_id: record.turn_id,
        sequence: record.sequence,
        parent_id: record.parent_id,
        role,
        text: record.text.clone(),
        attachments: attachments(record.attachments.as_ref())?,
        endpoint: record.endpoint.clone(),
        model: record.model.clone(),
        token_count: record.token_count,
        unfinished: record.unfinished,
        error: record.error,
        created_at: record.created_at,
        updated_at: record.updated_at,
    };
    let place = shapes::Place { slot, entry: record.entry, recalled: record.recalled, received_at: record.received_at };
    let (key, set, insert) = shapes::message_document(&message, &place);
    Ok((Put::set_new(Place::Messages, key, set, insert), shapes::row_id(&message)))
}

fn attachments(raw: Option<&Raw>) -> StoreResult<Vec<crate::domain::message::Attachment>> {
    let read = raw.map(|raw| serde_json::from_str(raw.get())).transpose().map_err(|error| unfit("message", error))?;
    Ok(read.unwrap_or_default())
}

/// An entry that a person wrote, as the turn holds it that it belongs to.
pub(super) fn text(message: Message, place: &shapes::Place) -> Option<Text> {
    (message.role == Role::External).then(|| Text {
        id: message.id,
        text: (message.text.len() <= crate::store::mongodb::state::accept::TEXT_IN_HEAD).then_some(message.text),
        attachments: message.attachments,
        token_count: message.token_count,
        entry: place.entry,
        recalled: place.recalled,
        sequence: message.sequence,
        parent: message.parent_id,
        received_at: place.received_at,
        created_at: message.created_at,
        updated_at: message.updated_at,
    })
}

/// Rows in the list of their conversation's.
pub(super) fn listed_put(user: UserId, conversation: ConversationId, rows: Vec<ObjectId>) -> Put {
    Put::add(Place::Conversations, shapes::conversation_key(user, conversation), doc! { shapes::LISTED: { "$each": rows } })
}

/// A summary, or a claim to make one, as a record.
pub(super) fn summary_record(collection: &str, document: &Document) -> StoreResult<record::StoredSummary> {
    let fields = Fields::new(collection, document);
    Ok(record::StoredSummary {
        user_id: fields.user("user")?,
        conversation_id: fields.id("conversationId", ConversationId::from_uuid)?,
        up_to_sequence: fields.find_number("upToSequence")?.unwrap_or(0),
        text: fields.find_text("text")?.unwrap_or_default().to_owned(),
        claims: fields.find_number("claims")?.unwrap_or(0),
        attempts: fields.find_number("attempts")?.unwrap_or(0),
        updated_at: fields.moment("updatedAt")?,
        claimed_until: fields.find_moment("claimedUntil")?,
    })
}

pub(super) fn summary_put(record: &record::StoredSummary) -> Put {
    let key = doc! { "user": record.user_id.to_string(), "conversationId": record.conversation_id.to_string() };
    let set = doc! {
        "upToSequence": record.up_to_sequence,
        "text": &record.text,
        "claims": record.claims,
        "attempts": record.attempts,
        "updatedAt": date(record.updated_at),
        "claimedUntil": maybe_date(record.claimed_until),
    };
    Put::set(Place::Summaries, key, set)
}

/// A receipt as a record.
pub(super) fn receipt_record(collection: &str, document: &Document) -> StoreResult<Record> {
    let fields = Fields::new(collection, document);
    let (receipt, fingerprint) = shapes::receipt_from(collection, document)?;
    let (door, key) = fields.text("_id")?.split_once('\n').ok_or_else(|| fields.damaged("_id", "it names no door"))?;
    Ok(Record::Receipt(Box::new(record::StoredReceipt {
        user_id: receipt.user_id,
        door: door.to_owned(),
        key: key.to_owned(),
        is_new_user: receipt.is_new_user,
        conversation_id: receipt.conversation_id,
        message_id: receipt.message_id,
        turn_id: receipt.turn_id,
        stored_at: fields.moment("storedAt")?,
        fingerprint: fingerprint.as_deref().map(hex::encode),
    })))
}

pub(super) fn receipt_put(record: &record::StoredReceipt) -> StoreResult<Put> {
    let receipt = Receipt {
        user_id: record.user_id,
        is_new_user: record.is_new_user,
        conversation_id: record.conversation_id,
        message_id: record.message_id,
        turn_id: record.turn_id,
    };
    let fingerprint = record.fingerprint.as_deref().map(|digits| bytes("receipt", digits)).transpose()?;
    let (mut key, mut set) = shapes::receipt_document(&format!("{}\n{}", record.door, record.key), &receipt, None, record.stored_at);
    set.insert("fingerprint", fingerprint.map_or(Bson::Null, binary));
    // Another person's of the same key is not written over: it is in the way, and that is said.
    key.insert("user", record.user_id.to_string());
    Ok(Put::set(Place::Receipts, key, set))
}
