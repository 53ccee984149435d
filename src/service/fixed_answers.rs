//! How many answers without a model a number gets.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::domain::phone::PhoneNumber;

/// Checks after which numbers are forgotten that have been silent.
const SWEEP: u64 = 4096;

/// Counts by number, in this process.
pub(super) struct FixedAnswers {
    answers: DefaultKeyedRateLimiter<PhoneNumber>,
    notices: DefaultKeyedRateLimiter<PhoneNumber>,
    checks: AtomicU64,
}

impl FixedAnswers {
    /// So many an hour; `None` without a limit.
    pub(super) fn new(per_hour: u32) -> Option<Self> {
        let limit = NonZeroU32::new(per_hour)?;
        Some(Self {
            answers: RateLimiter::keyed(Quota::per_hour(limit)),
            notices: RateLimiter::keyed(Quota::per_hour(NonZeroU32::MIN)),
            checks: AtomicU64::new(0),
        })
    }

    /// Counts an answer; whether it may be given.
    pub(super) fn may_answer(&self, phone: &PhoneNumber) -> bool {
        if self.checks.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.answers.retain_recent();
            self.notices.retain_recent();
        }
        self.answers.check_key(phone).is_ok()
    }

    /// Whether the number has not yet been told that it may not.
    pub(super) fn may_tell(&self, phone: &PhoneNumber) -> bool {
        self.notices.check_key(phone).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::phone::{NumberCheck, PhoneRules};

    #[test]
    fn each_number_has_its_answers_and_is_told_once() {
        assert!(FixedAnswers::new(0).is_none());
        let answers = FixedAnswers::new(2).unwrap();
        let rules = PhoneRules::new("US", NumberCheck::E164).unwrap();
        let [ann, bob] = ["+15550100001", "+15550100002"].map(|number| PhoneNumber::parse(number, &rules).unwrap());
        let given: Vec<bool> = (0..4).map(|_| answers.may_answer(&ann)).collect();
        assert_eq!(given, [true, true, false, false]);
        assert_eq!((answers.may_tell(&ann), answers.may_tell(&ann)), (true, false));
        assert_eq!((answers.may_answer(&bob), answers.may_tell(&bob)), (true, true));
    }
}
