//! Conversations and messages, as their owner sees them.

use async_trait::async_trait;

use super::{Page, PageRequest, Recent, StoreResult};
use crate::domain::conversation::Conversation;
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::message::Message;

/// Which messages are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// Of this conversation only.
    pub conversation_id: Option<ConversationId>,
    /// Holding this text, in any (ASCII) case.
    pub search: Option<String>,
}

/// Conversations and messages.
#[async_trait]
pub trait Conversations {
    /// One conversation of a person.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn find_conversation(&self, user_id: UserId, id: ConversationId) -> StoreResult<Option<Conversation>>;

    /// A person's conversations, the one with the newest message first.
    ///
    /// # Errors
    /// [`super::StoreError::InvalidCursor`]; [`super::StoreError::Unavailable`].
    async fn list_conversations(&self, user_id: UserId, page: PageRequest) -> StoreResult<Page<Conversation>>;

    /// Closes a conversation: the next message by phone begins a new one.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`]; [`super::StoreError::Unavailable`].
    async fn close_conversation(&self, user_id: UserId, id: ConversationId) -> StoreResult<Conversation>;

    /// Deletes a conversation with its messages and turns and withdraws what is still to be sent of it. Receipts stay: a repeated
    /// webhook brings nothing back.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`]; [`super::StoreError::Unavailable`].
    async fn delete_conversation(&self, user_id: UserId, id: ConversationId) -> StoreResult<()>;

    /// A person's messages: those of one conversation in its order, those of all newest first.
    ///
    /// # Errors
    /// [`super::StoreError::InvalidCursor`]; [`super::StoreError::Unavailable`].
    async fn list_messages(&self, user_id: UserId, filter: MessageFilter, page: PageRequest) -> StoreResult<Page<Message>>;

    /// The newest messages of a conversation that stand before that place, oldest first, and the summary of what is older: what
    /// a prompt recalls, as of one moment. Left out are texts that no model was to answer (consent words, commands, what was only recorded) and fixed answers of ours; texts
    /// whose answer failed or was refused are there.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn recent_messages(&self, user_id: UserId, id: ConversationId, before_sequence: i64, limit: usize) -> StoreResult<Recent>;
}
