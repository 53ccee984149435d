//! Turns to be answered.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::LaneWork;
use super::renew::Held;
use crate::domain::turn::LeasedTurn;
use crate::service::reply::Replier;
use crate::store::{HeldLease, LaneKind, Leased, Owner, SharedStore, StoreResult};

/// Turns, answered by a [`Replier`].
pub struct TurnWork {
    /// Where they are leased.
    pub store: SharedStore,
    /// In whose name.
    pub owner: Owner,
    /// What is being worked on.
    pub held: Held,
    /// By whom they are answered.
    pub replier: Arc<Replier>,
}

const fn held(turn: &LeasedTurn) -> HeldLease {
    HeldLease { user_id: turn.lease.user_id, lane: LaneKind::Turns, fence: turn.lease.fence }
}

#[async_trait]
impl LaneWork for TurnWork {
    type Item = LeasedTurn;

    async fn lease(&self, limit: usize) -> StoreResult<Leased<LeasedTurn>> {
        let leased = self.store.lease_turns(&self.owner, limit, &self.replier.daily_limits()).await?;
        leased.work.iter().for_each(|turn| self.held.add(held(turn)));
        Ok(leased)
    }

    async fn perform(&self, turn: LeasedTurn, stop: CancellationToken) {
        let held = held(&turn);
        self.replier.reply(turn, &stop).await;
        self.held.remove(&held);
    }

    fn name(&self) -> &'static str {
        "turns"
    }
}
