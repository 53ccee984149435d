//! Conversations that a unit needs and the head does not hold.

use mongodb::bson::doc;

use super::MongoStore;
use super::fault;
use super::fields::date;
use super::names::Place;
use super::shapes;
use super::state::Thread;
use super::unit::Unit;
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

    /// The same for the conversation that a message is to go into.
    pub(super) async fn need_target(&mut self, target: &ConversationTarget, source: &str) -> StoreResult<()> {
        match target {
            ConversationTarget::Exactly(id) => self.need_thread(*id).await,
            ConversationTarget::ByPhone { not_before } => {
                if !self.draft.state.more_threads || self.draft.state.newest_thread(source, *not_before).is_some() {
                    return Ok(());
                }
                self.apply_staged().await?;
                if let Some(thread) = self.store.find_newest_thread(self.draft.user_id, source, *not_before).await? {
                    self.draft.state.keep_thread(thread);
                }
                Ok(())
            }
        }
    }
}
