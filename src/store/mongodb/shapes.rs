//! Documents as they stand in the database, and back: LibreChat's shapes for people, conversations, messages and credits, our own
//! for turns, outgoing messages and receipts.
//!
//! Fields of ours in LibreChat's collections have plain names that LibreChat does not use, and never a name with a dot: what is
//! set field by field must not meet what is set whole.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};
use uuid::Uuid;

use super::fields::{Fields, date, maybe_date, object_id, plain};
use super::staged::{SEARCHED, binary};
use super::state::ending::Ending;
use super::state::{Outgoing, State, StepState, Text, Thread, Turn, Word};
use super::strangers::Row;
use crate::domain::delivery::{DeliveryStatus, OutboundMessage, OutboundState, ReplyRoute};
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{ConversationId, MessageId, OutboundId, TurnId, UserId};
use crate::domain::ledger::{Credits, Usage};
use crate::domain::message::{Message, Role};
use crate::domain::phone::PhoneNumber;
use crate::domain::step::Step;
use crate::domain::time::Timestamp;
use crate::domain::turn::{Refusal, TurnRequest, TurnState};
use crate::store::{Receipt, StoreResult};

/// Where a message lies among those of its conversation, and what a prompt does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the turn behind whose texts it lies.
    pub(super) slot: i64,
    /// Its place there.
    pub(super) entry: i64,
    /// Later prompts repeat it.
    pub(super) recalled: bool,
    /// When it arrived.
    pub(super) received_at: Timestamp,
}

fn text(value: &impl ToString) -> Bson {
    Bson::String(value.to_string())
}

fn maybe(value: Option<&str>) -> Bson {
    value.map_or(Bson::Null, |value| Bson::String(value.to_owned()))
}

// ---- LibreChat's

/// A person: the key, what follows every text, and what only a new one gets.
pub(super) fn user_document(user_id: UserId, state: &State) -> (Document, Document, Document) {
    let person = &state.person;
    let set = doc! {
        "metadata.lastSMS": date(state.last_sms),
        "metadata.messageCount": state.message_count,
        "metadata.preferences": plain(&person.preferences),
        "updatedAt": date(person.updated_at.max(state.last_sms)),
    };
    let mut insert = doc! {
        "email": &person.email,
        "name": &person.name,
        "username": &person.username,
        "provider": &person.provider,
        "role": &person.role,
        "emailVerified": person.email_verified,
        "metadata.source": &person.provider,
        "metadata.createdBy": "sms-system",
        "metadata.firstContact": date(person.first_contact),
        "createdAt": date(person.created_at),
    };
    if let Some(phone) = &person.phone {
        insert.insert("phoneNumber", phone.as_str());
        insert.insert("metadata.phoneNumber", phone.as_str());
    }
    (doc! { "_id": object_id(user_id) }, set, insert)
}

/// A person's credits, all of which are of our doing.
pub(super) fn balance_document(user_id: UserId, balance: Credits) -> (Document, Document) {
    (doc! { "user": object_id(user_id) }, doc! { "tokenCredits": balance.0, super::credits::OWN: balance.0 })
}

/// A conversation: the key, what follows every message, and what only a new one gets. Its title is LibreChat's to change.
pub(super) fn conversation_document(user_id: UserId, thread: &Thread) -> (Document, Document, Document) {
    let mut set = doc! {
        "metadata.lastMessage": date(thread.last_message),
        "metadata.messageCount": thread.message_count,
        "choice": plain(&thread.choice),
        "closed": thread.closed,
        "lastSequence": thread.last_sequence,
        "lastMessageId": thread.last_id.map_or(Bson::Null, |id| text(&id)),
        "lastSlot": thread.last_slot,
        "lastEntry": thread.last_entry,
        "updatedAt": date(thread.updated_at),
    };
    if let Some(endpoint) = &thread.endpoint {
        set.insert("endpoint", endpoint.as_str());
    }
    if let Some(model) = &thread.model {
        set.insert("model", model);
    }
    let mut insert = doc! {
        "title": &thread.title,
        SEARCHED: false,
        "metadata.source": &thread.source,
        "metadata.createdBy": "sms-system",
        "createdAt": date(thread.created_at),
    };
    if let Some(phone) = &thread.phone {
        insert.insert("metadata.phoneNumber", phone.as_str());
    }
    (conversation_key(user_id, thread.id), set, insert)
}

/// What a conversation is found by.
pub(super) fn conversation_key(user_id: UserId, id: ConversationId) -> Document {
    doc! { "conversationId": id.to_string(), "user": user_id.to_string() }
}

/// Reads a conversation. One that LibreChat began has nothing of ours yet.
pub(super) fn thread_from(collection: &str, document: &Document) -> StoreResult<Thread> {
    let fields = Fields::new(collection, document);
    let created_at = fields.find_moment("createdAt")?.unwrap_or(Timestamp::from_millis(0));
    let updated_at = fields.find_moment("updatedAt")?.unwrap_or(created_at);
    Ok(Thread {
        id: fields.id("conversationId", ConversationId::from_uuid)?,
        title: fields.find_text("title")?.unwrap_or("New Chat").to_owned(),
        // What LibreChat's users may have chosen is not always an endpoint of ours; `external` never is.
        endpoint: fields.find_text("endpoint")?.and_then(|name| Endpoint::parse(name).ok()),
        model: fields.find_text("model")?.map(str::to_owned),
        choice: fields.find_value("choice")?.unwrap_or_default(),
        phone: fields.find_parsed("metadata.phoneNumber", PhoneNumber::from_stored)?,
        source: fields.find_text("metadata.source")?.unwrap_or("librechat").to_owned(),
        last_message: fields.find_moment("metadata.lastMessage")?.unwrap_or(updated_at),
        message_count: fields.find_number("metadata.messageCount")?.unwrap_or(0),
        closed: fields.flag("closed")?,
        created_at,
        updated_at,
        last_sequence: fields.find_number("lastSequence")?.unwrap_or(0),
        last_id: fields.find_id("lastMessageId", MessageId::from_uuid)?,
        last_slot: fields.find_number("lastSlot")?.unwrap_or(0),
        last_entry: fields.find_number("lastEntry")?.unwrap_or(0),
        unsummarised: false,
    })
}

/// What a message is found by.
pub(super) fn message_key(user_id: UserId, id: MessageId) -> Document {
    doc! { "messageId": id.to_string(), "user": user_id.to_string() }
}

/// The field of a conversation that lists the rows of its messages.
pub(super) const LISTED: &str = "messages";

/// The `_id` of a message of ours. It is made of what the message has anyway, so that its conversation can list it before it is there;
/// like the server's own it begins with the moment, and what was made later comes later, for LibreChat sorts by it.
pub(super) fn row_id(message: &Message) -> ObjectId {
    let id = message.id.as_uuid();
    let made = super::left_over::made_at(*id).unwrap_or_else(|| message.created_at.as_millis()).max(0);
    let seconds = u32::try_from(made / 1_000).unwrap_or(u32::MAX);
    let rest = u16::try_from(made % 1_000).unwrap_or(0);
    let mut bytes = [0; 12];
    // Behind the moment of an id comes what tells those of one moment apart, in their order.
    let parts = seconds.to_be_bytes().into_iter().chain(rest.to_be_bytes()).chain(id.as_bytes().iter().copied().skip(6));
    for (byte, part) in bytes.iter_mut().zip(parts) {
        *byte = part;
    }
    ObjectId::from_bytes(bytes)
}

/// A message, whole: the key, what it says, and what only a new one gets.
pub(super) fn message_document(message: &Message, place: &Place) -> (Document, Document, Document) {
    let from_person = message.role == Role::External;
    let mut set = doc! {
        "conversationId": message.conversation_id.to_string(),
        "sender": if from_person { "User" } else { message.model.as_deref().unwrap_or("Assistant") },
        "role": message.role.as_str(),
        "text": &message.text,
        "isCreatedByUser": from_person,
        "endpoint": maybe(message.endpoint.as_ref().map(Endpoint::as_str)),
        "model": maybe(message.model.as_deref()),
        "tokenCount": message.token_count,
        "unfinished": message.unfinished,
        "error": message.error,
        "createdAt": date(message.created_at),
        "updatedAt": date(message.updated_at),
        // LibreChat's search has not seen it as it is now.
        SEARCHED: false,
        "turnId": message.turn_id.to_string(),
        "slot": place.slot,
        "entry": place.entry,
        "recalled": place.recalled,
        "receivedAt": date(place.received_at),
    };
    if let Some(sequence) = message.sequence {
        set.insert("sequence", sequence);
    }
    if let Some(parent) = message.parent_id {
        set.insert("parentMessageId", parent.to_string());
    }
    if !message.attachments.is_empty() {
        set.insert("attachments", plain(&message.attachments));
    }
    (message_key(message.user_id, message.id), set, doc! { "_id": row_id(message) })
}

/// What a message of LibreChat's says, wherever LibreChat's version of then kept it.
pub(super) fn content_text(message: &Document) -> Option<String> {
    let part = |part: &Bson| {
        let part = part.as_document()?;
        let said = part.get_str("text").or_else(|_other| part.get_document("text").and_then(|text| text.get_str("value")));
        said.ok().filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let parts = message.get_array("content").ok()?;
    Some(parts.iter().filter_map(part).collect::<Vec<_>>().join(" "))
}

/// A place for a message that somebody wrote on LibreChat's pages.
pub(super) fn taken_in(user_id: UserId, row: &Row, thread: &Thread, recalled: bool) -> (Document, Document) {
    let set = doc! {
        "role": if row.from_person { Role::External.as_str() } else { Role::Assistant.as_str() },
        "turnId": row.id.to_string(),
        "slot": thread.last_slot,
        "entry": thread.last_entry,
        "recalled": recalled,
        "receivedAt": date(row.created_at),
        "sequence": thread.last_sequence,
    };
    (message_key(user_id, row.id), set)
}

/// What a text gets when its turn begins.
pub(super) fn message_place(user_id: UserId, text: &Text) -> (Document, Document) {
    let mut set = doc! { "updatedAt": date(text.updated_at) };
    if let (Some(sequence), Some(parent)) = (text.sequence, text.parent) {
        set.insert("sequence", sequence);
        set.insert("parentMessageId", parent.to_string());
    }
    (message_key(user_id, text.id), set)
}

/// What a text gets when it is answered.
pub(super) fn message_endpoint(user_id: UserId, id: MessageId, endpoint: &Endpoint) -> (Document, Document) {
    (message_key(user_id, id), doc! { "endpoint": endpoint.as_str() })
}

/// Reads a message of ours, with where it lies.
pub(super) fn message_from(collection: &str, document: &Document) -> StoreResult<(Message, Place)> {
    let fields = Fields::new(collection, document);
    let created_at = fields.moment("createdAt")?;
    let role = if fields.flag("isCreatedByUser")? { Role::External } else { Role::Assistant };
    let message = Message {
        id: fields.id("messageId", MessageId::from_uuid)?,
        conversation_id: fields.id("conversationId", ConversationId::from_uuid)?,
        user_id: fields.user("user")?,
        turn_id: fields.id("turnId", TurnId::from_uuid)?,
        sequence: fields.find_number("sequence")?,
        // What LibreChat wrote may hang from what has another kind of id.
        parent_id: fields.find_text("parentMessageId")?.and_then(|id| Uuid::try_parse(id).ok()).map(MessageId::from_uuid),
        role,
        text: match fields.find_text("text")?.filter(|text| !text.is_empty()) {
            Some(text) => text.to_owned(),
            None => content_text(document).map_or_else(|| fields.text("text").map(str::to_owned), Ok)?,
        },
        // LibreChat's own are other things than ours.
        attachments: fields.find_value("attachments").ok().flatten().unwrap_or_default(),
        endpoint: fields.find_text("endpoint")?.and_then(|name| Endpoint::parse(name).ok()),
        model: fields.find_text("model")?.map(str::to_owned),
        token_count: fields.find_number("tokenCount")?.unwrap_or(0),
        unfinished: fields.flag("unfinished")?,
        error: fields.flag("error")?,
        created_at,
        updated_at: fields.find_moment("updatedAt")?.unwrap_or(created_at),
    };
    let place = Place {
        slot: fields.number("slot")?,
        entry: fields.number("entry")?,
        recalled: fields.flag("recalled")?,
        received_at: fields.find_moment("receivedAt")?.unwrap_or(created_at),
    };
    Ok((message, place))
}

// ---- ours

/// The receipt of a message, under what the message is known by.
pub(super) fn receipt_document(key: &str, receipt: &Receipt, fingerprint: Option<[u8; 32]>, now: Timestamp) -> (Document, Document) {
    let insert = doc! {
        "user": receipt.user_id.to_string(),
        "isNewUser": receipt.is_new_user,
        "conversationId": receipt.conversation_id.to_string(),
        "messageId": receipt.message_id.to_string(),
        "turnId": receipt.turn_id.to_string(),
        "fingerprint": fingerprint.map_or(Bson::Null, |bytes| binary(bytes.to_vec())),
        "storedAt": date(now),
    };
    (doc! { "_id": key }, insert)
}

/// Reads a receipt, and of what body it is.
pub(super) fn receipt_from(collection: &str, document: &Document) -> StoreResult<(Receipt, Option<Vec<u8>>)> {
    let fields = Fields::new(collection, document);
    let receipt = Receipt {
        user_id: fields.user("user")?,
        is_new_user: fields.flag("isNewUser")?,
        conversation_id: fields.id("conversationId", ConversationId::from_uuid)?,
        message_id: fields.id("messageId", MessageId::from_uuid)?,
        turn_id: fields.id("turnId", TurnId::from_uuid)?,
    };
    Ok((receipt, fields.find_bytes("fingerprint")?.map(<[u8]>::to_vec)))
}

/// The word of a number.
pub(super) fn consent_document(phone: &PhoneNumber, word: Word) -> (Document, Document) {
    (doc! { "_id": phone.as_str() }, doc! { "optedOut": word.opted_out, "saidAt": date(word.said_at) })
}

/// Reads the word of a number.
pub(super) fn word_from(collection: &str, document: &Document) -> StoreResult<Word> {
    let fields = Fields::new(collection, document);
    Ok(Word { opted_out: fields.flag("optedOut")?, said_at: fields.moment("saidAt")? })
}

/// What a turn is found by.
pub(super) fn turn_key(id: TurnId) -> Document {
    doc! { "_id": id.to_string() }
}

/// A turn that is over, or dead. A dead one keeps what a replay needs; [`super::keeping`] reads the rest.
pub(super) fn turn_document(user_id: UserId, turn: &Turn, state: TurnState, event: Option<i64>, ending: &Ending) -> (Document, Document) {
    let mut insert = doc! {
        "user": user_id.to_string(),
        "conversationId": turn.conversation_id.to_string(),
        "number": turn.number,
        "state": state.as_str(),
        "refusal": maybe(turn.refusal.map(Refusal::as_str)),
        "error": maybe(turn.error.as_deref()),
        "attempts": i64::from(turn.attempts),
        "due": date(turn.due),
        "openedAt": date(turn.opened_at),
        "charge": turn.charge.0,
        "usage": plain(&ending.usage),
        "beganConversation": turn.began_conversation,
        "replyId": ending.reply.map_or(Bson::Null, |id| text(&id)),
        "textIds": turn.texts.iter().map(|text| text.id.to_string()).collect::<Vec<_>>(),
        "steps": plain(&turn.steps),
        "kind": plain(&turn.kind),
        "texts": i64::try_from(turn.texts.len()).unwrap_or(i64::MAX),
        "starts": i64::from(turn.starts),
        "lastTextAt": date(turn.last_text_at),
    };
    let mut given = |name: &str, value: Option<Bson>| {
        if let Some(value) = value {
            insert.insert(name, value);
        }
    };
    given("event", event.map(Bson::Int64));
    given("gatherUntil", turn.gather_until.map(|until| date(until).into()));
    given("answerUntil", turn.answer_until.map(|until| date(until).into()));
    given("overLimit", turn.over_limit.map(|refusal| refusal.as_str().into()));
    given("request", (turn.request != TurnRequest::default()).then(|| plain(&turn.request)));
    given("route", turn.route.as_ref().map(plain));
    if state == TurnState::Dead {
        let mut kept = turn.clone();
        // They stand with the messages.
        for text in &mut kept.texts {
            text.text = None;
        }
        insert.insert("turn", plain(&kept));
    }
    (turn_key(turn.id), insert)
}

/// A turn that is over, or dead, as it is read.
#[derive(Debug, Clone)]
pub(super) struct PastTurn {
    pub(super) id: TurnId,
    pub(super) user_id: UserId,
    pub(super) conversation_id: ConversationId,
    pub(super) state: TurnState,
    pub(super) refusal: Option<Refusal>,
    pub(super) error: Option<String>,
    pub(super) attempts: u32,
    pub(super) due: Timestamp,
    pub(super) opened_at: Timestamp,
    pub(super) charge: Credits,
    pub(super) usage: Usage,
    pub(super) event: i64,
    pub(super) began_conversation: bool,
    pub(super) reply_id: Option<MessageId>,
    pub(super) text_ids: Vec<String>,
    pub(super) steps: Vec<Step>,
    /// Of a dead one.
    pub(super) turn: Option<Turn>,
}

/// Reads a turn that is over, or dead.
pub(super) fn past_turn_from(collection: &str, document: &Document) -> StoreResult<PastTurn> {
    let fields = Fields::new(collection, document);
    let steps: Vec<StepState> = fields.find_value("steps")?.unwrap_or_default();
    Ok(PastTurn {
        id: fields.id("_id", TurnId::from_uuid)?,
        user_id: fields.user("user")?,
        conversation_id: fields.id("conversationId", ConversationId::from_uuid)?,
        state: fields.find_word("state", TurnState::parse)?.ok_or_else(|| fields.damaged("state", "it is missing"))?,
        refusal: fields.find_word("refusal", Refusal::parse)?,
        error: fields.find_text("error")?.map(str::to_owned),
        attempts: u32::try_from(fields.number("attempts")?).unwrap_or(u32::MAX),
        due: fields.moment("due")?,
        opened_at: fields.moment("openedAt")?,
        charge: Credits(fields.number("charge")?),
        usage: fields.find_value("usage")?.unwrap_or_default(),
        event: fields.find_number("event")?.unwrap_or(0),
        began_conversation: fields.flag("beganConversation")?,
        reply_id: fields.find_id("replyId", MessageId::from_uuid)?,
        text_ids: fields.texts("textIds")?.into_iter().map(str::to_owned).collect(),
        steps: steps.iter().map(StepState::step).collect(),
        turn: fields.find_value("turn")?,
    })
}

/// What an outgoing message is found by.
pub(super) fn outbox_key(id: OutboundId) -> Document {
    doc! { "_id": id.to_string() }
}

/// What a carrier knows a message by, over all carriers.
pub(super) fn carrier_key(gateway: &str, gateway_message_id: &str) -> String {
    format!("{gateway}\n{gateway_message_id}")
}

/// What a carrier's early report is found by.
pub(super) fn report_key(gateway: &str, gateway_message_id: &str) -> Document {
    doc! { "_id": carrier_key(gateway, gateway_message_id) }
}

/// An outgoing message that has gone its way.
pub(super) fn outbox_document(user_id: UserId, message: &Outgoing) -> (Document, Document) {
    let mut insert = doc! {
        "user": user_id.to_string(),
        "number": message.number,
        "turnId": message.turn_id.to_string(),
        "conversationId": message.conversation_id.to_string(),
        "part": i64::from(message.part),
        "to": message.to.as_str(),
        "gateway": &message.route.gateway,
        "from": &message.route.from,
        "body": &message.body,
        "segments": i64::from(message.segments),
        "state": message.state.as_str(),
        "confirmation": message.confirmation,
        "due": date(message.due),
        "status": maybe(message.status.map(DeliveryStatus::as_str)),
        "attempts": i64::from(message.attempts),
        "checks": i64::from(message.checks),
        "attemptedAt": maybe_date(message.attempted_at),
        "expiresAt": date(message.expires_at),
        "error": maybe(message.error.as_deref()),
        "createdAt": date(message.created_at),
    };
    if let Some(id) = &message.gateway_message_id {
        insert.insert("gatewayMessageId", id);
        insert.insert("carrierKey", carrier_key(&message.route.gateway, id));
    }
    (outbox_key(message.id), insert)
}

/// Reads an outgoing message that has gone its way.
pub(super) fn outgoing_from(collection: &str, document: &Document) -> StoreResult<(UserId, Outgoing)> {
    let fields = Fields::new(collection, document);
    let count = |path: &str| Ok(u32::try_from(fields.number(path)?).unwrap_or(u32::MAX));
    let message = Outgoing {
        number: fields.number("number")?,
        id: fields.id("_id", OutboundId::from_uuid)?,
        turn_id: fields.id("turnId", TurnId::from_uuid)?,
        conversation_id: fields.id("conversationId", ConversationId::from_uuid)?,
        part: count("part")?,
        to: fields.parsed("to", PhoneNumber::from_stored)?,
        route: ReplyRoute { gateway: fields.text("gateway")?.to_owned(), from: fields.text("from")?.to_owned() },
        body: fields.text("body")?.to_owned(),
        segments: count("segments")?,
        state: fields.find_word("state", OutboundState::parse)?.ok_or_else(|| fields.damaged("state", "it is missing"))?,
        confirmation: fields.flag("confirmation")?,
        due: fields.moment("due")?,
        status: fields.find_word("status", DeliveryStatus::parse)?,
        gateway_message_id: fields.find_text("gatewayMessageId")?.map(str::to_owned),
        attempts: count("attempts")?,
        checks: count("checks")?,
        attempted_at: fields.find_moment("attemptedAt")?,
        expires_at: fields.moment("expiresAt")?,
        error: fields.find_text("error")?.map(str::to_owned),
        created_at: fields.moment("createdAt")?,
    };
    Ok((fields.user("user")?, message))
}

/// Reads one as the port has it.
pub(super) fn outbound_from(collection: &str, document: &Document) -> StoreResult<OutboundMessage> {
    let (user_id, message) = outgoing_from(collection, document)?;
    Ok(message.message(user_id))
}
