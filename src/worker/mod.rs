//! Workers: they lease what is due, hand it to a service, and lease again.
//!
//! [`Runner`] is the one loop; [`turns`] and [`deliveries`] are what it runs. Tests call `step` until it finds nothing and need
//! no clock but their own.

pub mod backups;
pub mod catch_up;
pub mod deliveries;
pub mod elsewhere;
pub mod erasing;
pub mod renew;
pub mod schedules;
pub mod summaries;
pub mod turns;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::service::watch::Wake;
use crate::store::{HeldLease, Leased, StoreError, StoreResult};

/// How long a runner rests when the store does not answer.
const STORE_REST: Duration = Duration::from_secs(1);

/// How often a draining runner looks whether what still runs has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Everything that is due, of whichever process.
    All,
    /// At least what this process left due itself.
    Own,
}

/// A kind of work that lanes hold.
#[async_trait]
pub trait LaneWork: Send + Sync + 'static {
    /// One piece of it.
    type Item: Send + 'static;

    /// Leases up to `limit` pieces that are due.
    async fn lease(&self, limit: usize, look: Look) -> StoreResult<Leased<Self::Item>>;

    /// Does one piece and records how it went. `stop` asks to end early.
    async fn perform(&self, item: Self::Item, stop: CancellationToken);

    /// The lease of one piece, to be renewed while it is worked on.
    fn lease_of(&self, item: &Self::Item) -> HeldLease;

    /// Its name in logs.
    fn name(&self) -> &'static str;
}

/// The leases whose work is being done in this process. Only these are renewed: a lease whose task ended without giving it back
/// (the store was away, or it panicked) runs out, and the work is taken up again.
#[derive(Default)]
pub struct InFlight {
    leases: Mutex<HashSet<HeldLease>>,
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, HashSet<HeldLease>> {
        // A set of plain values is whole between any two calls.
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is being worked on now.
    #[must_use]
    pub fn held(&self) -> Vec<HeldLease> {
        self.lock().iter().copied().collect()
    }

    fn begin(self: &Arc<Self>, lease: HeldLease) -> Working {
        self.lock().insert(lease);
        Working { all: Arc::clone(self), lease }
    }
}

/// One piece being worked on, until dropped.
struct Working {
    all: Arc<InFlight>,
    lease: HeldLease,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.all.lock().remove(&self.lease);
    }
}

/// How a runner ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtDrain {
    /// It leases nothing more and finishes what runs.
    FinishRunning,
    /// It goes on leasing until nothing is due: what was made by others while they finished is still sent.
    FinishDue,
}

/// What one step found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It did that many pieces.
    Worked(usize),
    /// Nothing was due.
    Idle,
}

/// Leases and performs, so many pieces at a time.
pub struct Runner<W> {
    work: Arc<W>,
    clock: Clock,
    wake: Arc<Wake>,
    in_flight: Arc<InFlight>,
    at_once: usize,
    poll: Duration,
    at_drain: AtDrain,
}

impl<W: LaneWork> Runner<W> {
    /// A runner of `at_once` pieces at a time that asks at least every `poll`.
    #[must_use]
    pub fn new(
        work: W,
        clock: Clock,
        wake: Arc<Wake>,
        in_flight: Arc<InFlight>,
        at_once: usize,
        poll: Duration,
        at_drain: AtDrain,
    ) -> Self {
        Self { work: Arc::new(work), clock, wake, in_flight, at_once: at_once.max(1), poll, at_drain }
    }

    /// Leases what is due and performs it, one after the other: for tests, which drain with it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn step(&self) -> Result<Step, StoreError> {
        let leased = self.work.lease(self.at_once, Look::All).await?;
        let count = leased.work.len();
        for item in leased.work {
            self.work.perform(item, CancellationToken::new()).await;
        }
        Ok(if count == 0 { Step::Idle } else { Step::Worked(count) })
    }

    /// Works until `drain` is cancelled, then lets what runs finish, unless `stop` asks it to end early.
    pub async fn run(&self, drain: CancellationToken, stop: CancellationToken) {
        let permits = Arc::new(Semaphore::new(self.at_once));
        let tasks = TaskTracker::new();
        // Cancelled when nothing more is leased.
        let end = match self.at_drain {
            AtDrain::FinishRunning => drain.clone(),
            AtDrain::FinishDue => stop.clone(),
        };
        let mut looks = Looks::new(self.poll);
        while !end.is_cancelled() {
            // One place at least must be free before anything is leased: what is leased is worked on at once.
            let Some(first) = end.run_until_cancelled(Arc::clone(&permits).acquire_owned()).await.and_then(Result::ok) else { break };
            let announced = self.wake.take();
            let look = if drain.is_cancelled() { Look::All } else { looks.next(self.clock.now()) };
            let begun = Instant::now();
            let leased = match self.work.lease(1 + permits.available_permits(), look).await {
                Ok(leased) => leased,
                Err(error) => {
                    tracing::warn!(worker = self.work.name(), %error, "no work could be leased; trying again");
                    if let Some(announced) = announced {
                        self.wake.at(announced);
                    }
                    if drain.is_cancelled() {
                        break;
                    }
                    let _drained_or_rested = tokio::time::timeout(STORE_REST, drain.cancelled()).await;
                    continue;
                }
            };
            let idle = leased.work.is_empty();
            let next_due = looks.done(look, begun, leased.next_due);
            let mut first = Some(first);
            for item in leased.work {
                let permit = first.take().or_else(|| Arc::clone(&permits).try_acquire_owned().ok());
                let (work, stop, wake, clock) = (Arc::clone(&self.work), stop.clone(), Arc::clone(&self.wake), self.clock.clone());
                let working = self.in_flight.begin(work.lease_of(&item));
                tasks.spawn(async move {
                    work.perform(item, stop).await;
                    drop((working, permit));
                    // The lane may have a next piece.
                    wake.at(clock.now());
                });
            }
            drop(first);
            if idle && drain.is_cancelled() {
                // Those that still run may make the same person's next piece due.
                if permits.available_permits() == self.at_once {
                    break;
                }
                let _finished_or_rested = tokio::time::timeout(DRAIN_LOOK, self.wake.announced()).await;
            } else if idle {
                self.rest(next_due, announced, looks.longest_rest(), &drain).await;
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// Waits for what is due next, for an announcement of something sooner, or for the time to ask anyway.
    async fn rest(&self, next_due: Option<Timestamp>, announced: Option<Timestamp>, longest: Duration, drain: &CancellationToken) {
        // An announcement of the past has just been looked for.
        let now = self.clock.now();
        let mut due = [next_due, announced.filter(|announced| *announced > now)].into_iter().flatten().min();
        loop {
            due = [due, self.wake.take()].into_iter().flatten().min();
            let wait = due.map_or(longest, |due| due.since(self.clock.now()).min(longest));
            if wait.is_zero() {
                return;
            }
            tokio::select! {
                () = drain.cancelled() => return,
                () = tokio::time::sleep(wait) => return,
                () = self.wake.announced() => {}
            }
        }
    }
}

/// When everything was looked at, so that it is again at least every so often, and whenever some of it is due; announcements
/// between two such looks are of this process's own work.
struct Looks {
    every: Duration,
    all: Option<(Instant, Option<Timestamp>)>,
}

impl Looks {
    const fn new(every: Duration) -> Self {
        Self { every, all: None }
    }

    fn next(&self, now: Timestamp) -> Look {
        match self.all {
            Some((at, next_due)) if at.elapsed() < self.every && next_due.is_none_or(|due| due > now) => Look::Own,
            _ => Look::All,
        }
    }

    /// After a look that began at that moment: when the next work is due, as far as anybody knows.
    fn done(&mut self, look: Look, begun: Instant, next_due: Option<Timestamp>) -> Option<Timestamp> {
        match look {
            Look::All => {
                self.all = Some((begun, next_due));
                next_due
            }
            Look::Own => [next_due, self.all.and_then(|(_at, due)| due)].into_iter().flatten().min(),
        }
    }

    /// Until everything is looked at again.
    fn longest_rest(&self) -> Duration {
        self.all.map_or(Duration::ZERO, |(at, _due)| self.every.saturating_sub(at.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_looked_at_every_so_often_and_when_some_of_it_is_due() {
        let now = Timestamp::from_millis(1_000_000);
        let (begun, hour) = (Instant::now(), Duration::from_hours(1));
        let mut looks = Looks::new(hour);
        assert_eq!((looks.next(now), looks.longest_rest()), (Look::All, Duration::ZERO));
        let due = now.after(Duration::from_secs(5));
        assert_eq!(looks.done(Look::All, begun, Some(due)), Some(due));
        assert_eq!(looks.next(now), Look::Own);
        assert_eq!(looks.next(due), Look::All);
        assert_eq!(looks.done(Look::Own, begun, None), Some(due), "what a look at all saw still comes");
        let sooner = now.after(Duration::from_secs(1));
        assert_eq!(looks.done(Look::Own, begun, Some(sooner)), Some(sooner));
        assert!(looks.longest_rest() <= hour && looks.longest_rest() > hour / 2);
        looks.done(Look::All, begun.checked_sub(hour).unwrap(), None);
        assert_eq!(looks.next(now), Look::All, "it was too long ago");
    }
}
