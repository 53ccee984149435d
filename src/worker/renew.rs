//! Keeps our leases alive while we are.

use tokio_util::sync::CancellationToken;

use crate::store::{Owner, RENEW, SharedStore};

/// Renews until `stop`.
pub async fn run(store: SharedStore, owner: Owner, stop: CancellationToken) {
    loop {
        if tokio::time::timeout(RENEW, stop.cancelled()).await.is_ok() {
            return;
        }
        if let Err(error) = store.renew_leases(&owner).await {
            tracing::warn!(%error, "the leases could not be renewed; work may be taken over by another process");
        }
    }
}
