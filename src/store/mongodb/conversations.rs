//! Conversations and messages, as their owner sees them.

use async_trait::async_trait;
use futures::TryStreamExt as _;
use mongodb::bson::{Document, doc};
use uuid::Uuid;

use super::MongoStore;
use super::fault;
use super::fields::{Fields, date, document_of};
use super::names::Place;
use super::shapes;
use super::state::Draft;
use super::unit::Unit;
use crate::domain::conversation::Conversation;
use crate::domain::delivery::OutboundState;
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::message::Message;
use crate::domain::time::Timestamp;
use crate::store::cursor::{self, Listing};
use crate::store::{Conversations, MessageFilter, Page, PageRequest, Recent, StoreError, StoreResult};

/// What is missing, when it is.
const CONVERSATION: &str = "the conversation";

/// Why what was to be sent is not sent.
const DELETED: &str = "its conversation was deleted";

/// A message with its place, as listings go on from.
type Placed = (Message, shapes::Place);

impl MongoStore {
    /// Messages in an order, those that hold a text where one is given: as many as a page asks for.
    async fn messages_holding(&self, filter: Document, sort: Document, search: Option<&str>, most: i64) -> StoreResult<Vec<Placed>> {
        let collection = self.collection(Place::Messages);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let wanted = search.map(str::to_ascii_lowercase);
        let asked = if wanted.is_none() { i64::try_from(most).unwrap_or(i64::MAX) } else { 0 };
        let mut found = Vec::new();
        let mut rows = collection.find(filter).sort(sort).limit(asked).await.map_err(fault::unavailable)?;
        while found.len() < most && rows.advance().await.map_err(fault::unavailable)? {
            let row = shapes::message_from(collection.name(), &document_of(rows.current())?)?;
            // Not the server's own search: its patterns end at a NUL and know other cases than ours.
            if wanted.as_ref().is_none_or(|wanted| row.0.text.to_ascii_lowercase().contains(wanted)) {
                found.push(row);
            }
        }
        Ok(found)
    }
}

/// What comes behind a place in an order of several fields, as the server is asked for it.
fn behind(fields: &[(&str, mongodb::bson::Bson)], operator: &str) -> Vec<Document> {
    let mut ways = Vec::new();
    for (number, (name, value)) in fields.iter().enumerate() {
        let mut way = Document::new();
        for (same, value) in fields.iter().take(number) {
            way.insert(*same, value.clone());
        }
        way.insert(*name, doc! { operator: value.clone() });
        ways.push(way);
    }
    ways
}

#[async_trait]
impl Conversations for MongoStore {
    async fn find_conversation(&self, user_id: UserId, id: ConversationId) -> StoreResult<Option<Conversation>> {
        self.settle(user_id).await?;
        Ok(self.find_thread(user_id, id).await?.map(|thread| thread.conversation(user_id)))
    }

    async fn list_conversations(&self, user_id: UserId, page: PageRequest) -> StoreResult<Page<Conversation>> {
        let mut filter = doc! { "user": user_id.to_string(), "metadata.lastMessage": { "$exists": true } };
        if let Some(cursor::Place { numbers: [last], id }) = cursor::read(Listing::Conversations, 16, page.cursor.as_deref())? {
            let id = Uuid::from_slice(&id).unwrap_or_default().to_string();
            let last = date(Timestamp::from_millis(last)).into();
            filter.insert("$or", behind(&[("metadata.lastMessage", last), ("conversationId", id.into())], "$lt"));
        }
        self.settle(user_id).await?;
        let collection = self.collection(Place::Conversations);
        let newest = doc! { "metadata.lastMessage": -1, "conversationId": -1 };
        let found = collection.find(filter).sort(newest).limit(cursor::ask_for(page.limit)).await.map_err(fault::unavailable)?;
        let found: Vec<Document> = found.try_collect().await.map_err(fault::unavailable)?;
        let conversation = |document| shapes::thread_from(collection.name(), document).map(|thread| thread.conversation(user_id));
        let found = found.iter().map(conversation).collect::<StoreResult<Vec<Conversation>>>()?;
        let place = |conversation: &Conversation| cursor::Place {
            numbers: [conversation.last_message.as_millis()],
            id: conversation.id.as_uuid().as_bytes().to_vec(),
        };
        Ok(cursor::page(Listing::Conversations, page.limit, found, place, |conversation| conversation))
    }

    async fn close_conversation(&self, user_id: UserId, id: ConversationId) -> StoreResult<Conversation> {
        let mut attempts = self.unit(user_id);
        loop {
            let mut unit = of_nobody(attempts.begin().await)?;
            unit.need_thread(id).await?;
            let now = unit.draft.now;
            // The title is LibreChat's to change, and the whole conversation LibreChat's to delete.
            let stored = self.find_thread(user_id, id).await?.ok_or(StoreError::NotFound { what: CONVERSATION })?;
            let thread = unit.draft.state.thread_mut(id).ok_or(StoreError::NotFound { what: CONVERSATION })?;
            thread.title = stored.title;
            thread.closed = true;
            thread.updated_at = now;
            let closed = thread.conversation(user_id);
            unit.draft.show_thread(id);
            if unit.commit().await? {
                return Ok(closed);
            }
        }
    }

    async fn delete_conversation(&self, user_id: UserId, id: ConversationId) -> StoreResult<()> {
        let mut attempts = self.unit(user_id);
        loop {
            let mut unit = of_nobody(attempts.begin().await)?;
            unit.need_thread(id).await?;
            unit.draft.state.thread(id).ok_or(StoreError::NotFound { what: CONVERSATION })?;
            unit.forget_sent(id).await?;
            unit.draft.delete_conversation(id);
            if unit.commit().await? {
                return Ok(());
            }
        }
    }

    async fn list_messages(&self, user_id: UserId, filter: MessageFilter, page: PageRequest) -> StoreResult<Page<Message>> {
        let most = cursor::ask_for(page.limit);
        // What only LibreChat wrote has no place among ours.
        let mut wanted = doc! { "user": user_id.to_string(), "slot": { "$exists": true } };
        if let Some(id) = filter.conversation_id {
            wanted.insert("conversationId", id.to_string());
            if let Some(cursor::Place { numbers: [slot, entry], .. }) = cursor::read(Listing::MessagesOfOne, 0, page.cursor.as_deref())? {
                wanted.insert("$or", behind(&[("slot", slot.into()), ("entry", entry.into())], "$gt"));
            }
            self.settle(user_id).await?;
            let found = self.messages_holding(wanted, doc! { "slot": 1, "entry": 1 }, filter.search.as_deref(), most).await?;
            let place = |(_, place): &Placed| cursor::Place { numbers: [place.slot, place.entry], id: Vec::new() };
            return Ok(cursor::page(Listing::MessagesOfOne, page.limit, found, place, |found| found.0));
        }
        if let Some(cursor::Place { numbers: [created, slot, entry], .. }) =
            cursor::read(Listing::MessagesOfAll, 0, page.cursor.as_deref())?
        {
            let created = date(Timestamp::from_millis(created)).into();
            wanted.insert("$or", behind(&[("createdAt", created), ("slot", slot.into()), ("entry", entry.into())], "$lt"));
        }
        self.settle(user_id).await?;
        let newest = doc! { "createdAt": -1, "slot": -1, "entry": -1 };
        let found = self.messages_holding(wanted, newest, filter.search.as_deref(), most).await?;
        let place = |(message, place): &Placed| cursor::Place {
            numbers: [message.created_at.as_millis(), place.slot, place.entry],
            id: Vec::new(),
        };
        Ok(cursor::page(Listing::MessagesOfAll, page.limit, found, place, |found| found.0))
    }

    async fn recent_messages(&self, user_id: UserId, id: ConversationId, before_sequence: i64, limit: usize) -> StoreResult<Recent> {
        let has_none = self.settle_before(user_id, id, before_sequence).await?;
        let summary = async || if has_none { Ok(None) } else { self.find_summary(user_id, id).await };
        if limit == 0 {
            return Ok(Recent { summary: summary().await?, messages: Vec::new() });
        }
        let wanted = doc! {
            "user": user_id.to_string(),
            "conversationId": id.to_string(),
            "sequence": { "$lt": before_sequence },
            "recalled": true,
        };
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        // Both are as of now: a summary only ever moves forward, over messages that stay.
        let (summary, found) =
            futures::future::try_join(summary(), self.messages_holding(wanted, doc! { "slot": -1, "entry": -1 }, None, most)).await?;
        Ok(Recent { summary, messages: found.into_iter().rev().map(|(message, _place)| message).collect() })
    }
}

/// A person who does not exist has no conversation either.
fn of_nobody<T>(outcome: StoreResult<T>) -> StoreResult<T> {
    match outcome {
        Err(StoreError::NotFound { what: "the person" }) => Err(StoreError::NotFound { what: CONVERSATION }),
        other => other,
    }
}

impl Unit<'_> {
    /// Takes the words out of what a conversation sent. That it was sent stays known, so that a look-up does not take it for
    /// something else.
    async fn forget_sent(&mut self, id: ConversationId) -> StoreResult<()> {
        let collection = self.store.collection(Place::Outbox);
        let of_it = doc! { "user": self.draft.user_id.to_string(), "conversationId": id.to_string() };
        let mut rows = collection.find(of_it).projection(doc! { "_id": 1, "state": 1 }).await.map_err(fault::unavailable)?;
        while rows.advance().await.map_err(fault::unavailable)? {
            let row = rows.deserialize_current().map_err(fault::unavailable)?;
            let fields = Fields::new(collection.name(), &row);
            let key = doc! { "_id": fields.text("_id")? };
            let mut set = doc! { "body": "" };
            if fields.find_word("state", OutboundState::parse)? != Some(OutboundState::Accepted) {
                set.insert("state", OutboundState::Canceled.as_str());
                set.insert("error", DELETED);
                set.insert("due", date(self.draft.now));
            }
            self.draft.change(Place::Outbox, key, set);
        }
        Ok(())
    }
}

impl Draft {
    /// Deletes a conversation with its messages and turns, and withdraws what is still to be sent of it.
    pub(super) fn delete_conversation(&mut self, id: ConversationId) {
        let now = self.now;
        self.drop_conversation(id);
        for message in self.state.outgoing.iter_mut().filter(|message| message.conversation_id == id) {
            message.body = String::new();
            if message.state != OutboundState::Accepted {
                message.state = OutboundState::Canceled;
                message.error = Some(DELETED.to_owned());
                message.due = now;
            }
        }
        self.refresh_deliveries();
        let of_it = || doc! { "conversationId": id.to_string() };
        for place in [Place::Conversations, Place::Messages, Place::Turns, Place::Summaries] {
            self.delete_all(place, of_it());
        }
    }
}
