//! The server's clock as this process knows it: leases of several hosts are timed by one clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use mongodb::bson::doc;

use super::MongoStore;
use super::fault;
use super::fields::Fields;
use crate::domain::time::Timestamp;
use crate::store::StoreResult;

/// A measurement whose question and answer took longer says too little: half of that time is the most it can be wrong by. A process
/// that was stopped in the middle of one would otherwise think that its clock is many seconds off, and take over what others hold.
const TOO_SLOW: Duration = Duration::from_secs(1);

/// Measurements made at once, until one is good.
const TRIES: u32 = 3;

/// After so long a process that works measures again: clocks drift, and are set.
const OLD: Duration = Duration::from_mins(1);

/// How far the server's clock is ahead of this machine's.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// In milliseconds; negative when it is behind.
    millis: AtomicI64,
    /// When it was last measured, in milliseconds since 1970 by this machine; 0 is never.
    measured_at: AtomicI64,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Measured {
    millis: i64,
    /// From the question to the answer.
    took: Duration,
}

impl Measured {
    /// Half of the way there and back is counted as the way back.
    fn new(asked: Timestamp, took: Duration, theirs: Timestamp) -> Self {
        let ours = asked.after(took / 2);
        Self { millis: theirs.as_millis() - ours.as_millis(), took }
    }

    const fn is_good(self) -> bool {
        self.took.as_millis() <= TOO_SLOW.as_millis()
    }
}

impl Ahead {
    /// What the server's clock shows when this machine's shows `ours`.
    fn of(&self, ours: Timestamp) -> Timestamp {
        match self.millis.load(Ordering::Relaxed) {
            ahead if ahead >= 0 => ours.after(Duration::from_millis(ahead.unsigned_abs())),
            behind => ours.before(Duration::from_millis(behind.unsigned_abs())),
        }
    }

    /// Takes a measurement over. A bad one is better than none, and no better than an earlier one.
    fn learn(&self, measured: Measured, at: Timestamp) {
        if measured.is_good() || self.measured_at.load(Ordering::Relaxed) == 0 {
            self.millis.store(measured.millis, Ordering::Relaxed);
            self.measured_at.store(at.as_millis().max(1), Ordering::Relaxed);
        }
    }

    fn is_old(&self, now: Timestamp) -> bool {
        let measured_at = Timestamp::from_millis(self.measured_at.load(Ordering::Relaxed));
        measured_at > now || now.since(measured_at) >= OLD
    }
}

impl MongoStore {
    /// The present moment, by the server's clock.
    pub(super) fn now(&self) -> Timestamp {
        self.ahead.of(self.clock.now())
    }

    /// Compares the server's clock with this machine's.
    pub(super) async fn compare_clocks(&self) -> StoreResult<()> {
        if self.clock.stands_still() {
            return Ok(());
        }
        let mut best: Option<Measured> = None;
        for _ in 0..TRIES {
            let (asked, begun) = (self.clock.now(), Instant::now());
            let hello = self.db.run_command(doc! { "hello": 1 }).await.map_err(fault::unavailable)?;
            // Of the two clocks the one that says more: a suspended machine stops the one, and somebody may set the other.
            let took = begun.elapsed().max(self.clock.now().since(asked));
            let Some(theirs) = Fields::new("hello", &hello).find_moment("localTime")? else { return Ok(()) };
            let measured = Measured::new(asked, took, theirs);
            best = best.filter(|best| best.took <= took).or(Some(measured));
            if measured.is_good() {
                break;
            }
        }
        if let Some(best) = best {
            self.ahead.learn(best, self.clock.now());
        }
        Ok(())
    }

    /// The same where the last measurement is old. That it could not be made harms nobody yet.
    pub(super) async fn compare_clocks_again(&self) {
        if self.ahead.is_old(self.clock.now())
            && let Err(error) = self.compare_clocks().await
        {
            tracing::debug!(error = %error, "the server's clock could not be read");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_795_348_800_000);

    #[test]
    fn a_measurement_that_was_interrupted_changes_nothing_that_is_known() {
        let ahead = Ahead::default();
        let millis = |millis| Duration::from_millis(millis);
        // 300 ms there and back, the server 2 s ahead in the middle of it.
        ahead.learn(Measured::new(NOON, millis(300), NOON.after(millis(2_150))), NOON);
        assert_eq!(ahead.of(NOON), NOON.after(millis(2_000)));
        // Stopped for 20 s between question and answer: it looks as if the server were 10 s behind.
        let stopped = Measured::new(NOON, millis(20_000), NOON.after(millis(2_000)));
        assert_eq!(stopped.millis, -8_000);
        ahead.learn(stopped, NOON.after(millis(20_000)));
        assert_eq!(ahead.of(NOON), NOON.after(millis(2_000)));
        // A good one replaces what was known, also backwards.
        ahead.learn(Measured::new(NOON, millis(2), NOON.before(millis(499))), NOON);
        assert_eq!(ahead.of(NOON), NOON.before(millis(500)));
    }

    #[test]
    fn without_another_a_bad_measurement_counts_and_it_grows_old() {
        let ahead = Ahead::default();
        assert!(ahead.is_old(NOON));
        ahead.learn(Measured::new(NOON, Duration::from_secs(4), NOON.after(Duration::from_secs(5))), NOON);
        assert_eq!(ahead.of(NOON), NOON.after(Duration::from_secs(3)));
        assert!(!ahead.is_old(NOON.after(OLD / 2)));
        assert!(ahead.is_old(NOON.after(OLD)));
        assert!(ahead.is_old(NOON.before(Duration::from_secs(1))), "the machine's clock was set back");
    }
}
