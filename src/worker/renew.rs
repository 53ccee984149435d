//! Keeps our leases alive while we are.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::InFlight;
use crate::store::{Owner, RENEW, SharedStore};

/// Renews what is worked on until `stop`.
pub async fn run(store: SharedStore, owner: Owner, in_flight: Arc<InFlight>, stop: CancellationToken) {
    loop {
        if tokio::time::timeout(RENEW, stop.cancelled()).await.is_ok() {
            return;
        }
        let held = in_flight.held();
        if held.is_empty() {
            continue;
        }
        if let Err(error) = store.renew_leases(&owner, &held).await {
            tracing::warn!(%error, "the leases could not be renewed; work may be taken over by another process");
        }
    }
}
