//! Delivering messages.

use async_trait::async_trait;

use super::{Leased, Owner, StoreResult, Timestamp};
use crate::domain::delivery::{DeliveryStatus, OutboundMessage, StatusReport};
use crate::domain::ids::{OutboundId, UserId};

/// A message to be sent. Its recipient, route and turn are those of the unit that makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOutbound {
    /// Its id.
    pub id: OutboundId,
    /// The text, final.
    pub body: String,
    /// Segments that it takes.
    pub segments: u32,
    /// Kept back until the person asks for `MORE`.
    pub held: bool,
    /// Not sent after this moment.
    pub expires_at: Timestamp,
}

/// The right to deliver a message, until it runs out or is taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryLease {
    /// Whom it is for.
    pub user_id: UserId,
    /// Which.
    pub outbound_id: OutboundId,
    /// Grows with each lease of that person's lane.
    pub fence: i64,
}

/// What is to be done about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryWork {
    /// Hand it to the carrier. The attempt is already recorded: should we die now, it is looked up first.
    Send,
    /// Ask the carrier whether it has it.
    LookUp,
}

/// A message that is ours to deliver.
#[derive(Debug, Clone, PartialEq)]
pub struct LeasedDelivery {
    /// The right to it.
    pub lease: DeliveryLease,
    /// The message.
    pub message: OutboundMessage,
    /// What to do.
    pub work: DeliveryWork,
}

/// How an attempt or a look-up ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The carrier has it.
    Accepted {
        /// The carrier's id.
        gateway_message_id: String,
        /// Its first word.
        status: DeliveryStatus,
    },
    /// It was certainly not sent; again at that moment.
    Retry {
        /// When.
        due: Timestamp,
        /// What went wrong.
        error: String,
    },
    /// It may have been sent, or a look-up did not find it: look (again) at that moment.
    LookUp {
        /// When.
        due: Timestamp,
        /// What went wrong.
        error: String,
        /// Whether a look-up was made and found nothing.
        looked: Looked,
    },
    /// The look-ups found nothing: it was not sent; due now.
    SendAgain,
    /// The account cannot send: again at that moment, no attempt counted.
    Stopped {
        /// When.
        due: Timestamp,
        /// What the carrier said.
        error: String,
    },
    /// Given up: a dead letter.
    Dead {
        /// Why.
        error: String,
    },
    /// The carrier says the person opted out: recorded, and everything else still to be sent to them is withdrawn.
    OptedOut {
        /// What the carrier said.
        error: String,
    },
}

/// Whether a look-up was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// It was, and found nothing.
    Yes,
    /// None yet, or the carrier could not be asked.
    No,
}

/// What a status report changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusRecorded {
    /// The message's status advanced.
    Advanced,
    /// It was as far along already.
    Unchanged,
    /// No message has that id yet; the report is kept for when one does.
    Early,
}

/// Delivering messages.
#[async_trait]
pub trait Outbox: Sync {
    /// Leases the heads of up to `limit` due lanes to `owner` and records the attempts that begin, of those heads alone that
    /// leave by one of `gateways`: what another gateway is to carry waits, with its lane, for a process that has it open, and
    /// does not count for `next_due`. Messages that are too old,
    /// or whose person opted out meanwhile (a confirmation of that excepted), are withdrawn on the way. A message found being
    /// sent by nobody is to be looked up first.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn lease_deliveries(&self, owner: &Owner, gateways: &[String], limit: usize) -> StoreResult<Leased<LeasedDelivery>>;

    /// The same among the lanes that this process left due itself, as [`super::Turns::lease_own_turns`].
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn lease_own_deliveries(&self, owner: &Owner, gateways: &[String], limit: usize) -> StoreResult<Leased<LeasedDelivery>> {
        self.lease_deliveries(owner, gateways, limit).await
    }

    /// Records how it went and frees the lane.
    ///
    /// # Errors
    /// [`super::StoreError::LeaseLost`]: nothing was written. [`super::StoreError::Unavailable`].
    async fn record_delivery(&self, lease: &DeliveryLease, outcome: DeliveryOutcome) -> StoreResult<()>;

    /// Gives a delivery back as if it had not been leased (a stop before the request was made).
    ///
    /// # Errors
    /// [`super::StoreError::LeaseLost`]; [`super::StoreError::Unavailable`].
    async fn release_delivery(&self, lease: &DeliveryLease) -> StoreResult<()>;

    /// Records a carrier's later word. It never goes back.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn record_status(&self, report: &StatusReport) -> StoreResult<StatusRecorded>;

    /// The carrier's ids of the person's messages whose last attempt began at that moment or later: look-ups leave them out.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn list_known_ids(&self, user_id: UserId, since: Timestamp) -> StoreResult<Vec<String>>;

    /// One outgoing message of a person.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn find_outbound(&self, user_id: UserId, id: OutboundId) -> StoreResult<Option<OutboundMessage>>;

    /// The person's outgoing messages, newest first.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn list_outbound(&self, user_id: UserId, limit: usize) -> StoreResult<Vec<OutboundMessage>>;
}
