//! Asks the carriers for texts that never reached us: at start, then every few minutes.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::gateway::Gateways;
use crate::service::catch_up::CatchUp;

/// Looks at every gateway each `every`, until `stop`.
pub async fn run(catch_up: Arc<CatchUp>, gateways: Gateways, every: Duration, stop: CancellationToken) {
    loop {
        for gateway in gateways.iter() {
            match stop.run_until_cancelled(catch_up.look(gateway)).await {
                None => return,
                Some(Ok(_new)) => {}
                Some(Err(error)) => {
                    tracing::warn!(gateway = gateway.name(), %error, "catch-up was not finished; the next look begins at the same mark");
                }
            }
        }
        if tokio::time::timeout(every, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}
