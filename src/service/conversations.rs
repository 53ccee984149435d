//! Conversations and messages, as their owner sees them.

use crate::domain::conversation::Conversation;
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::message::Message;
use crate::store::{MessageFilter, Page, PageRequest, SharedStore, StoreError, StoreResult};

/// Conversations of one person at a time.
#[derive(Clone)]
pub struct Conversations {
    store: SharedStore,
}

impl Conversations {
    /// Over this store.
    #[must_use]
    pub fn new(store: SharedStore) -> Self {
        Self { store }
    }

    /// One of that person's.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also when it is another's; [`StoreError::Unavailable`].
    pub async fn get(&self, user_id: UserId, id: ConversationId) -> StoreResult<Conversation> {
        self.store.find_conversation(user_id, id).await?.ok_or(StoreError::NotFound { what: "that conversation" })
    }

    /// That person's, newest first.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`]; [`StoreError::Unavailable`].
    pub async fn list(&self, user_id: UserId, page: PageRequest) -> StoreResult<Page<Conversation>> {
        self.store.list_conversations(user_id, page).await
    }

    /// Closes one: the next message by phone begins a new one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Unavailable`].
    pub async fn close(&self, user_id: UserId, id: ConversationId) -> StoreResult<Conversation> {
        self.store.close_conversation(user_id, id).await
    }

    /// Deletes one with its messages.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Unavailable`].
    pub async fn delete(&self, user_id: UserId, id: ConversationId) -> StoreResult<()> {
        self.store.delete_conversation(user_id, id).await
    }

    /// Messages of one conversation, or of all.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the conversation that was named is not that person's; [`StoreError::InvalidCursor`];
    /// [`StoreError::Unavailable`].
    pub async fn messages(&self, user_id: UserId, filter: MessageFilter, page: PageRequest) -> StoreResult<Page<Message>> {
        if let Some(id) = filter.conversation_id {
            self.get(user_id, id).await?;
        }
        self.store.list_messages(user_id, filter, page).await
    }
}
