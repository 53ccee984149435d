//! Messages to be delivered.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::LaneWork;
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
}

#[async_trait]
impl LaneWork for DeliveryWork {
    type Item = LeasedDelivery;

    async fn lease(&self, limit: usize) -> StoreResult<Leased<LeasedDelivery>> {
        let allowance = self.deliverer.allowance(limit);
        let leased = self.store.lease_deliveries(&self.owner, &allowance.gateways, allowance.limit).await?;
        self.deliverer.leased(&leased.work);
        Ok(leased)
    }

    async fn perform(&self, delivery: LeasedDelivery, stop: CancellationToken) {
        if stop.is_cancelled() {
            self.deliverer.give_back(&delivery).await;
        } else {
            self.deliverer.deliver(delivery).await;
        }
    }

    fn lease_of(&self, delivery: &LeasedDelivery) -> HeldLease {
        HeldLease { user_id: delivery.lease.user_id, lane: LaneKind::Deliveries, fence: delivery.lease.fence }
    }

    fn name(&self) -> &'static str {
        "deliveries"
    }
}
