//! Summaries of long conversations: after turns were answered, and those that a process or a model left unmade.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::service::summarise::{Place, Summariser};
use crate::store::StoreError;

/// Summaries made at the same time: few, because nobody waits for them and answers come first.
const AT_ONCE: usize = 4;
/// How often it is looked for what was left unmade.
const LOOK: Duration = Duration::from_secs(5);
/// How many of these are taken up with one look.
const LAPSED_AT_ONCE: usize = 16;

/// Makes summaries until `stop`; what runs then is given back, and what waits stays with the summariser.
pub async fn run(summariser: Arc<Summariser>, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let tasks = TaskTracker::new();
    let free = || Arc::clone(&permits).acquire_owned();
    let begin = |place: Place, permit: OwnedSemaphorePermit| {
        let (summariser, stop) = (Arc::clone(&summariser), stop.clone());
        tasks.spawn(async move {
            make(&summariser, place, &stop).await;
            drop(permit);
        });
    };
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let work = async {
        loop {
            // First the permit: what is taken from the queue is begun at once, and a stop loses nothing in between.
            let permit = free().await?;
            tokio::select! {
                place = summariser.next() => begin(place, permit),
                _tick = look.tick() => match summariser.lapsed(LAPSED_AT_ONCE).await {
                    Ok(places) => {
                        drop(permit);
                        for place in places {
                            begin(place, free().await?);
                        }
                    }
                    Err(error) => tracing::warn!(%error, "summaries that were left unmade could not be looked for; trying again"),
                },
            }
        }
    };
    let _stopped: Option<Result<std::convert::Infallible, AcquireError>> = stop.run_until_cancelled(work).await;
    tasks.close();
    tasks.wait().await;
}

async fn make(summariser: &Summariser, place: Place, stop: &CancellationToken) {
    match summariser.summarise(place, stop).await {
        Ok(made) => tracing::debug!(conversation = %place.conversation_id, ?made, "summary"),
        Err(error) => tracing::warn!(conversation = %place.conversation_id, %error, "a summary could not be made; it is tried again later"),
    }
}

/// Makes what is due, one after the other: for tests and for commands that run without a server.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn drain(summariser: &Summariser) -> Result<(), StoreError> {
    while let Some(place) = summariser.take() {
        summariser.summarise(place, &CancellationToken::new()).await?;
    }
    Ok(())
}
