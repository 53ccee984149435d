//! Conversations that a unit needs and the head does not hold.

use std::sync::Arc;

use mongodb::bson::doc;

use super::MongoStore;
use super::fault;
use super::fields::date;
use super::names::Place;
use super::shapes;
use super::state::Thread;
use super::unit::{Apply, Unit};
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::time::Timestamp;
use crate::store::{ConversationTarget, StoreResult};

impl MongoStore {
    /// Reads a conversation of a person.
    pub(super) async fn find_thread(&self, user_id: UserId, id: ConversationId) -> StoreResult<Option<Thread>> {
        let collection = self.collection(Place::Conversations);
        let found = collection.find_one(shapes::conversation_key(user_id, id)).await.map_err(fault::unavailable)?;
        found.map(|document| shapes::thread_from(collection.name(), &document)).transpose()
    }

    /// Sees to it that a conversation's messages before a place, and its summary, stand where they are read. A process that holds
    /// the person's lane of turns knows what is staged, so it need not ask: it is about the turn itself, which comes behind that
    /// place. Returns whether the conversation is known to have no summary.
    pub(super) async fn settle_before(&self, user_id: UserId, id: ConversationId, before: i64) -> StoreResult<bool> {
        let held = self.heads.find(user_id).filter(|head| {
            let lane = &head.state.turn_lane;
            lane.owner.is_some() && lane.next.is_some_and(|until| until > self.now())
        });
        if let Some(head) = held
            && head.pending.parts.is_empty()
            && head.pending.writes.are_behind(before)
        {
            return Ok(head.state.thread(id).is_some_and(|thread| thread.unsummarised));
        }
        self.settle(user_id).await?;
        Ok(false)
    }

    /// A conversation could not be changed where it stands: if somebody deleted it, what is left of it goes too, and the next text
    /// begins another.
    pub(super) async fn forget_if_gone(&self, user_id: UserId, id: ConversationId) -> StoreResult<()> {
        if self.find_thread(user_id, id).await?.is_some() {
            return Ok(());
        }
        let mut made = 0;
        loop {
            self.wait_before(made).await?;
            made += 1;
            let Some(head) = self.load(user_id).await? else { return Ok(()) };
            let mut unit = self.unit_on(Arc::new(head));
            if unit.draft.state.thread(id).is_none() {
                return Ok(());
            }
            unit.draft.delete_conversation(id);
            if unit.commit_and(Apply::Soon).await? {
                return Ok(());
            }
        }
    }

    /// Reads the conversation that somebody continues by texting.
    pub(super) async fn find_newest_thread(
        &self,
        user_id: UserId,
        source: &str,
        not_before: Option<Timestamp>,
    ) -> StoreResult<Option<Thread>> {
        let collection = self.collection(Place::Conversations);
        let mut wanted = doc! { "user": user_id.to_string(), "metadata.source": source, "closed": false };
        if let Some(not_before) = not_before {
            wanted.insert("metadata.lastMessage", doc! { "$gte": date(not_before) });
        }
        let newest = doc! { "metadata.lastMessage": -1, "conversationId": -1 };
        let found = collection.find_one(wanted).sort(newest).await.map_err(fault::unavailable)?;
        found.map(|document| shapes::thread_from(collection.name(), &document)).transpose()
    }
}

impl Unit<'_> {
    /// Makes sure that a conversation is among the state's, if there is one of that id.
    pub(super) async fn need_thread(&mut self, id: ConversationId) -> StoreResult<()> {
        if self.draft.state.thread(id).is_some() {
            return Ok(());
        }
        self.apply_staged().await?;
        if let Some(thread) = self.store.find_thread(self.draft.user_id, id).await? {
            self.draft.state.keep_thread(thread);
        }
        Ok(())
    }

    /// The same for the conversation that a message is to go into, as it stands there: with what somebody wrote into it on LibreChat's
    /// pages; and what is left of one that was deleted there is deleted too, so that the message goes into another.
    pub(super) async fn need_target(&mut self, target: &ConversationTarget, source: &str) -> StoreResult<()> {
        loop {
            let id = match target {
                ConversationTarget::Exactly(id) => {
                    self.need_thread(*id).await?;
                    *id
                }
                ConversationTarget::ByPhone { not_before } => {
                    if self.draft.state.more_threads && self.draft.state.newest_thread(source, *not_before).is_none() {
                        self.apply_staged().await?;
                        if let Some(thread) = self.store.find_newest_thread(self.draft.user_id, source, *not_before).await? {
                            self.draft.state.keep_thread(thread);
                        }
                    }
                    match self.draft.state.newest_thread(source, *not_before) {
                        Some(thread) => thread.id,
                        None => return Ok(()),
                    }
                }
            };
            if self.draft.state.thread(id).is_none() || self.catch_up_with(id).await? {
                return Ok(());
            }
            self.draft.delete_conversation(id);
        }
    }
}
