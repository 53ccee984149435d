//! Texts that never reached us: asked for at the carrier, taken in by the same door.

use std::sync::Arc;
use std::time::Duration;

use super::receive::{CarrierConfirms, Received, Receiver};
use crate::clock::Clock;
use crate::gateway::{Gateway, SendError};
use crate::store::{SharedStore, StoreError};

/// How far back each look overlaps the one before: carriers list a text some time after they received it.
const OVERLAP: Duration = Duration::from_mins(15);

/// Asks gateways for missed texts.
pub struct CatchUp {
    store: SharedStore,
    clock: Clock,
    receiver: Arc<Receiver>,
}

/// Why a look was not finished. The next one begins at the same mark, so nothing is skipped.
#[derive(Debug, thiserror::Error)]
pub enum CatchUpError {
    /// The carrier could not be asked.
    #[error("the carrier could not be asked: {0}")]
    Gateway(#[from] SendError),
    /// The store could not take a text.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CatchUp {
    /// Over this store, through this door.
    #[must_use]
    pub fn new(store: SharedStore, clock: Clock, receiver: Arc<Receiver>) -> Self {
        Self { store, clock, receiver }
    }

    /// One look at one gateway. Returns how many texts were new. The first look ever only sets the mark: texts that an earlier
    /// system answered are not answered again.
    ///
    /// # Errors
    /// [`CatchUpError`]; the mark has not moved.
    pub async fn look(&self, gateway: &Arc<dyn Gateway>) -> Result<usize, CatchUpError> {
        let name = format!("catch-up:{}", gateway.name());
        let now = self.clock.now();
        let Some(mark) = self.store.find_mark(&name).await? else {
            self.store.set_mark(&format!("{name}:first"), now).await?;
            self.store.set_mark(&name, now).await?;
            return Ok(0);
        };
        // Never before the very first look, whatever the overlap.
        let first = self.store.find_mark(&format!("{name}:first")).await?.unwrap_or(mark);
        let since = mark.before(OVERLAP).max(first);
        let confirms = if gateway.confirms_consent() { CarrierConfirms::Yes } else { CarrierConfirms::No };
        let mut new = 0;
        for message in gateway.list_missed(since).await? {
            if message.sent_at.is_some_and(|sent| sent < since) {
                continue;
            }
            match self.receiver.receive_sms(message, confirms).await {
                Ok(Received::Stored { repeat: false, .. }) => new += 1,
                Ok(_known_or_not_admitted) => {}
                // One person's damaged data must not keep everybody else's texts out.
                Err(error @ StoreError::Corrupt { .. }) => tracing::error!(%error, "a missed text could not be taken in"),
                Err(error) => return Err(error.into()),
            }
        }
        self.store.set_mark(&name, now).await?;
        if new > 0 {
            tracing::info!(gateway = gateway.name(), texts = new, "texts that never reached us were found at the carrier");
        }
        Ok(new)
    }
}
