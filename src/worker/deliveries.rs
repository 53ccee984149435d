//! Messages to be delivered.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{LaneWork, Look};
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::service::deliver::Deliverer;
use crate::store::{HeldLease, LaneKind, Leased, LeasedDelivery, Owner, SharedStore, StoreResult};

/// Outgoing messages, handed to carriers by a [`Deliverer`].
pub struct DeliveryWork {
    /// Where they are leased.
    pub store: SharedStore,
    /// In whose name.
    pub owner: Owner,
    /// By whom they are delivered.
    pub deliverer: Arc<Deliverer>,
    /// By which is told how old a lease is.
    pub clock: Clock,
}

/// A delivery that was leased.
pub struct Leasing {
    delivery: LeasedDelivery,
    /// When it was asked for: the lease holds from then or later.
    asked_at: Timestamp,
}

#[async_trait]
impl LaneWork for DeliveryWork {
    type Item = Leasing;

    async fn lease(&self, limit: usize, look: Look) -> StoreResult<Leased<Leasing>> {
        let allowance = self.deliverer.allowance(limit);
        let asked_at = self.clock.now();
        let leased = match look {
            Look::All => self.store.lease_deliveries(&self.owner, &allowance.gateways, allowance.limit).await?,
            Look::Own => self.store.lease_own_deliveries(&self.owner, &allowance.gateways, allowance.limit).await?,
        };
        self.deliverer.leased(&leased.work);
        let work = leased.work.into_iter().map(|delivery| Leasing { delivery, asked_at }).collect();
        Ok(Leased { work, next_due: leased.next_due })
    }

    async fn perform(&self, Leasing { delivery, asked_at }: Leasing, stop: CancellationToken) {
        if stop.is_cancelled() {
            self.deliverer.give_back(&delivery).await;
        } else {
            self.deliverer.deliver(delivery, asked_at).await;
        }
    }

    fn lease_of(&self, Leasing { delivery, .. }: &Leasing) -> HeldLease {
        HeldLease { user_id: delivery.lease.user_id, lane: LaneKind::Deliveries, fence: delivery.lease.fence }
    }

    fn name(&self) -> &'static str {
        "deliveries"
    }
}
