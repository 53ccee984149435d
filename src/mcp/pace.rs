//! How often one person is called for: a client that loops must not take the store from everybody else.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::sections;
use crate::domain::ids::UserId;

/// People who have not been called for in a while are forgotten, so many checks apart.
const FORGET_EVERY: u64 = 4_096;

/// Too many calls for one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooFast {
    /// After which there is room for another.
    pub(super) wait: Duration,
}

/// The limit, and how far each person has come.
pub(super) struct Pace {
    limiter: Option<DefaultKeyedRateLimiter<UserId>>,
    checks: AtomicU64,
}

impl Pace {
    /// Of `mcp.calls_per_minute`.
    pub(super) fn of(settings: &sections::Mcp) -> Self {
        let limiter = NonZeroU32::new(settings.calls_per_minute).map(|calls| RateLimiter::keyed(Quota::per_minute(calls)));
        Self { limiter, checks: AtomicU64::new(0) }
    }

    /// Counts a call for a person, who is known: strangers would fill the memory.
    pub(super) fn check(&self, user_id: UserId) -> Result<(), TooFast> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        if self.checks.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            limiter.retain_recent();
        }
        limiter.check_key(&user_id).map_err(|not_until| TooFast { wait: not_until.wait_time_from(limiter.clock().now()) })
    }
}
