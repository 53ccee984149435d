//! Erases what people had deleted, in the background.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::service::erase::Eraser;

/// How often it is looked for something to erase.
const LOOK: Duration = Duration::from_secs(5);

/// Looks until `stop`; what is then left over is erased after the next start.
pub async fn run(eraser: Eraser, stop: CancellationToken) {
    loop {
        match stop.run_until_cancelled(eraser.erase_all()).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::warn!(%error, "what was deleted could not be erased yet; trying again"),
        }
        if tokio::time::timeout(LOOK, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}
