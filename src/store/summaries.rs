//! Summaries of long conversations, kept beside them.

use async_trait::async_trait;

use super::{StoreResult, Timestamp};
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::ledger::Credits;
use crate::domain::message::Message;

/// What a model made of the older part of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The last place that it covers; 0 before the first.
    pub up_to_sequence: i64,
    /// What the model said; empty before the first.
    pub text: String,
    /// How often the next one was begun, without one being stored.
    pub attempts: u32,
}

/// A summary to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSummary {
    /// The last place that it covers.
    pub up_to_sequence: i64,
    /// What the model said.
    pub text: String,
    /// What it cost, taken from the person's balance where there is one, but never more than is there. Zero when balance is off.
    pub charge: Credits,
}

/// A claim that was won; a later one has a higher number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SummaryClaim(pub i64);

/// What a prompt holds of what was said before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recent {
    /// The summary of the older part.
    pub summary: Option<Summary>,
    /// The newest messages, oldest first. Some of them may be covered by the summary as well.
    pub messages: Vec<Message>,
}

/// Summaries of long conversations. That one is due is not kept anywhere: it follows from the conversation, so nothing is
/// forgotten by a crash and an ordinary turn writes nothing for it. Only a process that stops writes down what it leaves unmade.
#[async_trait]
pub trait Summaries {
    /// Messages of a conversation behind that place, up to and with `until_sequence`, oldest first: those that
    /// [`super::Conversations::recent_messages`] would give.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn messages_between(
        &self,
        user_id: UserId,
        id: ConversationId,
        after_sequence: i64,
        until_sequence: i64,
        limit: usize,
    ) -> StoreResult<Vec<Message>>;

    /// Claims the making of the summary that follows the one up to `from_sequence`, until that moment. `None` when another
    /// process holds a claim that has not run out, when there is a later summary, or when the conversation is gone.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn claim_summary(
        &self,
        user_id: UserId,
        id: ConversationId,
        from_sequence: i64,
        until: Timestamp,
    ) -> StoreResult<Option<SummaryClaim>>;

    /// Gives a claim back without a summary, and without counting it as an attempt: it counts as run out, so that somebody takes it
    /// up again. One that was lost to a later claim changes nothing.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn release_summary(&self, user_id: UserId, id: ConversationId, claim: SummaryClaim) -> StoreResult<()>;

    /// Leaves the making of the next summary to whoever looks for claims that ran out, as if one had run out just now. Nothing is
    /// changed where there is a claim, or no conversation.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn leave_summary(&self, user_id: UserId, id: ConversationId) -> StoreResult<()>;

    /// Ends a claim that ran out, whoever held it, so that it is not taken up again. One that has not run out stays.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn end_lapsed_summary(&self, user_id: UserId, id: ConversationId) -> StoreResult<()>;

    /// Stores a summary in place of the one before, takes its charge, and ends the claim. It only moves forward: one that covers
    /// no more than what is stored changes nothing and costs nothing, and so a repeat is harmless. False for that, and when the
    /// conversation is gone.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn set_summary(&self, user_id: UserId, id: ConversationId, new: &NewSummary) -> StoreResult<bool>;

    /// Conversations whose claim ran out without a summary, fewer than so many times, the longest ago first: for the worker that
    /// takes them up again.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn list_lapsed_summaries(&self, most_attempts: u32, limit: usize) -> StoreResult<Vec<(UserId, ConversationId)>>;
}
