//! Turns to be answered.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{LaneWork, Look};
use crate::domain::turn::LeasedTurn;
use crate::service::reply::Replier;
use crate::store::{HeldLease, LaneKind, Leased, Owner, SharedStore, StoreResult};

/// Turns, answered by a [`Replier`].
pub struct TurnWork {
    /// Where they are leased.
    pub store: SharedStore,
    /// In whose name.
    pub owner: Owner,
    /// By whom they are answered.
    pub replier: Arc<Replier>,
}

#[async_trait]
impl LaneWork for TurnWork {
    type Item = LeasedTurn;

    async fn lease(&self, limit: usize, look: Look) -> StoreResult<Leased<LeasedTurn>> {
        let limits = self.replier.daily_limits();
        match look {
            Look::All => self.store.lease_turns(&self.owner, limit, &limits).await,
            Look::Own => self.store.lease_own_turns(&self.owner, limit, &limits).await,
        }
    }

    async fn perform(&self, turn: LeasedTurn, stop: CancellationToken) {
        self.replier.reply(turn, &stop).await;
    }

    fn lease_of(&self, turn: &LeasedTurn) -> HeldLease {
        HeldLease { user_id: turn.lease.user_id, lane: LaneKind::Turns, fence: turn.lease.fence }
    }

    fn name(&self) -> &'static str {
        "turns"
    }
}
