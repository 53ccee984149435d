//! Answering turns.

use async_trait::async_trait;

use super::outbox::NewOutbound;
use super::{Leased, Owner, StoreResult, Timestamp};
use crate::domain::ids::{MessageId, TurnId, UserId};
use crate::domain::ledger::{Credits, Refill};
use crate::domain::turn::{FinishedTurn, LeasedTurn, NewReply, Refusal, TurnEnd, TurnLease, TurnRecord};

/// Turns that may begin on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyLimits {
    /// The day (UTC, `YYYY-MM-DD`).
    pub day: String,
    /// For one person; 0 is no limit.
    pub per_person: u32,
    /// For all together; 0 is no limit.
    pub all: u32,
}

/// How balances are granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BalanceRules {
    /// Credits of somebody who has no balance yet.
    pub start: Credits,
    /// The repeated grant.
    pub refill: Option<Refill>,
}

impl BalanceRules {
    /// What somebody has, and since when, once what is due was granted: the start to whoever has no balance, and one refill when a period
    /// has gone by. Periods in which nobody asked are not made up for, so that a long absence costs the host nothing; the rhythm of
    /// the periods is kept.
    pub(in crate::store) fn granted(
        self,
        balance: Option<Credits>,
        refilled_at: Option<Timestamp>,
        now: Timestamp,
    ) -> (Credits, Timestamp) {
        let (Some(balance), Some(refilled_at)) = (balance, refilled_at) else {
            return (balance.unwrap_or(self.start), now);
        };
        let Some(refill) = self.refill.filter(|refill| refill.every_millis > 0) else {
            return (balance, refilled_at);
        };
        let periods = (now.as_millis() - refilled_at.as_millis()).max(0) / refill.every_millis;
        let granted = if periods > 0 { refill.credits } else { Credits::ZERO };
        (balance.plus(granted), Timestamp::from_millis(refilled_at.as_millis() + periods * refill.every_millis))
    }
}

/// Whether a turn can be paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservation {
    /// Held: the balance is that much lower until the turn ends.
    Held,
    /// Not enough; what was held before stays held.
    Insufficient {
        /// What there is.
        balance: Credits,
    },
}

/// How a turn ends.
#[derive(Debug, Clone)]
pub enum TurnOutcome {
    /// With a model's reply.
    Answered {
        /// The reply.
        reply: NewReply,
        /// The same as sent, held parts included; empty without a route.
        outgoing: Vec<NewOutbound>,
        /// What the turn cost in all, instead of what was reserved; less what it was charged already when it died before and was
        /// replayed. Zero when balance is off.
        charge: Credits,
    },
    /// Without asking the model.
    Refused {
        /// Why.
        reason: Refusal,
        /// What the person is told, once for each key.
        notice: Option<Notice>,
    },
}

/// Something a person is told once.
#[derive(Debug, Clone)]
pub struct Notice {
    /// By what a second one is recognised, such as `out-of-credit:2026-11-22`.
    pub key: String,
    /// The id of the stored entry.
    pub message_id: MessageId,
    /// What it says.
    pub text: String,
    /// The same as sent; empty without a route.
    pub outgoing: Vec<NewOutbound>,
}

/// A finished turn.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletedTurn {
    /// How it ended, as stored.
    pub end: TurnEnd,
    /// Outgoing messages that were made (an opt-out meanwhile makes none).
    pub outgoing: usize,
}

/// How a turn is given back without an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnRelease {
    /// The attempt failed, which counts; another at that moment. Later turns of the person wait behind it.
    Retry {
        /// When.
        due: Timestamp,
        /// What went wrong.
        error: String,
    },
    /// Given up: a dead letter. Later turns of the person go on.
    Dead {
        /// What went wrong.
        error: String,
    },
    /// As if it had not been leased (a stop): due now, nothing counted.
    Unchanged,
}

/// Answering turns.
#[async_trait]
pub trait Turns: Sync {
    /// Leases the heads of up to `limit` due lanes to `owner`. A turn that begins by this gets its texts' places and parents
    /// and counts towards the daily limits; turns that need no model (consent words, fixed answers, texts that are only
    /// recorded) are given their places and ended on the way, and are not returned.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn lease_turns(&self, owner: &Owner, limit: usize, limits: &DailyLimits) -> StoreResult<Leased<LeasedTurn>>;

    /// The same among the lanes that this process left due itself, for whoever was just told of one. A store that would have to
    /// ask elsewhere for all of them asks nobody; the others lease whatever is due.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn lease_own_turns(&self, owner: &Owner, limit: usize, limits: &DailyLimits) -> StoreResult<Leased<LeasedTurn>> {
        self.lease_turns(owner, limit, limits).await
    }

    /// Holds credits for a turn, granting first what is due. A second reservation for the same turn replaces the first,
    /// where there is enough for it. They are for the whole turn: what it has been charged already is not held again.
    ///
    /// # Errors
    /// [`super::StoreError::LeaseLost`]; [`super::StoreError::Unavailable`].
    async fn reserve(&self, lease: &TurnLease, rules: BalanceRules, credits: Credits) -> StoreResult<Reservation>;

    /// Ends a turn: the reply with its place, the charge instead of the reservation, the outgoing messages, the conversation's
    /// and the person's figures, the lane's next turn, in one step.
    ///
    /// # Errors
    /// [`super::StoreError::LeaseLost`]: nothing was written. [`super::StoreError::Unavailable`].
    async fn complete_turn(&self, lease: &TurnLease, outcome: TurnOutcome) -> StoreResult<CompletedTurn>;

    /// Gives a turn back. What was reserved for it is free again, but for what its recorded steps have cost
    /// ([`NewStep::charge`](crate::domain::step::NewStep::charge)): that is charged, once, however often the turn is taken up
    /// again. The same holds for a turn that ends without an answer.
    ///
    /// # Errors
    /// [`super::StoreError::LeaseLost`]; [`super::StoreError::Unavailable`].
    async fn release_turn(&self, lease: &TurnLease, release: TurnRelease) -> StoreResult<()>;

    /// One turn of a person.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn find_turn(&self, user_id: UserId, turn_id: TurnId) -> StoreResult<Option<TurnRecord>>;

    /// The person's finished turns after that event, oldest first: what the live stream shows.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn list_finished_turns(&self, user_id: UserId, after_event: i64, limit: usize) -> StoreResult<Vec<FinishedTurn>>;

    /// The person's newest event; 0 before the first.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn latest_event(&self, user_id: UserId) -> StoreResult<i64>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refill_comes_once_and_keeps_its_rhythm() {
        let at = Timestamp::from_millis;
        let rules = BalanceRules { start: Credits(100), refill: Some(Refill { credits: Credits(10), every_millis: 1_000 }) };
        let granted = |since: i64, now: i64| rules.granted(Some(Credits(3)), Some(at(since)), at(now));
        assert_eq!(rules.granted(None, None, at(50)), (Credits(100), at(50)));
        assert_eq!(granted(50, 1_049), (Credits(3), at(50)));
        assert_eq!(granted(50, 5_500), (Credits(13), at(5_050)), "one, however many went by");
        assert_eq!(granted(500, 100), (Credits(3), at(500)), "a clock that was put back");
    }
}
