//! Keeps our leases alive while we are.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::store::{HeldLease, Owner, RENEW, SharedStore};

/// The leases that are being worked on.
#[derive(Debug, Clone, Default)]
pub struct Held(Arc<Mutex<HashSet<HeldLease>>>);

impl Held {
    /// Work on it begins.
    pub fn add(&self, lease: HeldLease) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(lease);
    }

    /// Work on it has ended.
    pub fn remove(&self, lease: &HeldLease) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(lease);
    }

    fn all(&self) -> Vec<HeldLease> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

/// Renews what is held until `stop`.
pub async fn run(store: SharedStore, owner: Owner, held: Held, stop: CancellationToken) {
    loop {
        if tokio::time::timeout(RENEW, stop.cancelled()).await.is_ok() {
            return;
        }
        if let Err(error) = store.renew_leases(&owner, &held.all()).await {
            tracing::warn!(%error, "the leases could not be renewed; work may be taken over by another process");
        }
    }
}
