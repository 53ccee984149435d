//! How long to wait before another attempt.

use std::time::Duration;

use crate::config::sections::Worker;

/// Doubles from attempt to attempt up to a bound; jittered, so that what failed together does not come back together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    first: Duration,
    most: Duration,
}

impl Backoff {
    pub(super) fn new(settings: &Worker) -> Self {
        let first = Duration::from_millis(settings.backoff_ms);
        Self { first, most: Duration::from_millis(settings.backoff_max_ms).max(first) }
    }

    /// The wait after that attempt (from 1), never shorter than the other side `asked` for, within the bound.
    pub(super) fn wait(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX)).min(self.most);
        // Half fixed, half chance.
        let jitter = doubled.mul_f64(0.5 + chance() / 2.0);
        jitter.max(asked.unwrap_or_default().min(self.most))
    }

    /// The wait of something that has been tried for that long: half as long again, within the bounds.
    pub(super) fn wait_after(&self, waited: Duration, asked: Option<Duration>) -> Duration {
        let wait = (waited / 2).clamp(self.first, self.most);
        wait.mul_f64(0.5 + chance() / 2.0).max(asked.unwrap_or_default().min(self.most))
    }
}

/// A number from 0 to 1, good enough to spread retries.
fn chance() -> f64 {
    let mut bytes = [0_u8; 2];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX),
        Err(_no_entropy) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_within_its_bound_and_honours_what_was_asked() {
        let backoff = Backoff { first: Duration::from_secs(2), most: Duration::from_mins(1) };
        for (attempt, most) in [(1, 2), (2, 4), (3, 8), (6, 60), (40, 60)] {
            let wait = backoff.wait(attempt, None);
            assert!(wait >= Duration::from_secs(most) / 2 && wait <= Duration::from_secs(most), "{attempt}: {wait:?}");
        }
        assert!(backoff.wait(1, Some(Duration::from_secs(30))) >= Duration::from_secs(30));
        assert!(backoff.wait(1, Some(Duration::from_hours(1))) <= Duration::from_mins(1));
    }
}
