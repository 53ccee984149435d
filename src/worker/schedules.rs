//! Fires schedules whose time has come.
//!
//! Every process looks for itself; a firing is one step in the store, which one of them wins. So nothing is leased here, and
//! nothing is left behind by a stop: what was fired is stored as turns and outgoing messages, what was not stays due.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::STORE_REST;
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::service::remind::Remind;
use crate::service::watch::Wake;
use crate::store::StoreResult;

/// Schedules looked at in one go.
const BATCH: usize = 256;

/// Looks for due schedules, again and again.
pub struct SchedulePoller {
    /// What fires them.
    pub remind: Arc<Remind>,
    /// Announces schedules that were made or changed in this process.
    pub wake: Arc<Wake>,
    /// The present moment.
    pub clock: Clock,
    /// How often to look for what other processes made.
    pub poll: Duration,
}

impl SchedulePoller {
    /// Fires what is due once; returns how many this process fired: for tests, and for commands that run without a server.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Unavailable`].
    pub async fn step(&self) -> StoreResult<usize> {
        Ok(self.remind.fire_due(BATCH).await?.fired)
    }

    /// Works until `stop`. A firing that has begun is finished.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // What is announced from here on may have come too late for this look.
            let announced = self.wake.take();
            match self.remind.fire_due(BATCH).await {
                Ok(look) => self.rest([look.next_due, announced].into_iter().flatten().min(), &stop).await,
                Err(error) => {
                    tracing::warn!(%error, "schedules could not be fired; trying again");
                    let _stopped_or_rested = tokio::time::timeout(STORE_REST, stop.cancelled()).await;
                }
            }
        }
    }

    /// Waits for what is due next, for an announcement of something sooner, or for `poll` to pass.
    async fn rest(&self, mut due: Option<Timestamp>, stop: &CancellationToken) {
        loop {
            due = [due, self.wake.take()].into_iter().flatten().min();
            let wait = due.map_or(self.poll, |due| due.since(self.clock.now()).min(self.poll));
            if wait.is_zero() {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => return,
                () = self.wake.announced() => {}
            }
        }
    }
}
