//! Messages to be delivered.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::LaneWork;
use super::renew::Held;
use crate::service::deliver::Deliverer;
use crate::store::{HeldLease, LaneKind, Leased, LeasedDelivery, Owner, SharedStore, StoreResult};

/// Outgoing messages, handed to carriers by a [`Deliverer`].
pub struct DeliveryWork {
    /// Where they are leased.
    pub store: SharedStore,
    /// In whose name.
    pub owner: Owner,
    /// The gateways that are open.
    pub gateways: Vec<String>,
    /// What is being worked on.
    pub held: Held,
    /// By whom they are delivered.
    pub deliverer: Arc<Deliverer>,
}

const fn held(delivery: &LeasedDelivery) -> HeldLease {
    HeldLease { user_id: delivery.lease.user_id, lane: LaneKind::Deliveries, fence: delivery.lease.fence }
}

#[async_trait]
impl LaneWork for DeliveryWork {
    type Item = LeasedDelivery;

    async fn lease(&self, limit: usize) -> StoreResult<Leased<LeasedDelivery>> {
        let leased = self.store.lease_deliveries(&self.owner, &self.gateways, limit).await?;
        leased.work.iter().for_each(|delivery| self.held.add(held(delivery)));
        Ok(leased)
    }

    async fn perform(&self, delivery: LeasedDelivery, stop: CancellationToken) {
        let held = held(&delivery);
        if stop.is_cancelled() {
            self.deliverer.give_back(&delivery).await;
        } else {
            self.deliverer.deliver(delivery).await;
        }
        self.held.remove(&held);
    }

    fn name(&self) -> &'static str {
        "deliveries"
    }
}
