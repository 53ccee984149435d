//! Erasing what was deleted whole: it is unreadable already, and what is left of it in the files goes bit by bit, so that nobody's
//! message waits for it. What a stop or a crash leaves is erased after the next start.

use std::time::Duration;

use tokio::time::Instant;

use crate::store::{SharedStore, StoreResult};

/// Rows of the first step.
const FIRST: usize = 25;

/// Rows of a step at least and at most.
const ROWS: (usize, usize) = (5, 2_000);

/// How long a step is to take: others' writes wait for about as long.
const STEP: Duration = Duration::from_millis(30);

/// Least rest after a step.
const REST: Duration = Duration::from_millis(2);

/// Erases what is left over.
#[derive(Clone)]
pub struct Eraser {
    store: SharedStore,
}

impl Eraser {
    /// Over this store.
    #[must_use]
    pub fn new(store: SharedStore) -> Self {
        Self { store }
    }

    /// Erases until nothing is left, step by step. It rests as long as it works, so it takes half of the store's time at most, and a
    /// step is as large as this machine does in some hundredths of a second. It may be dropped at any moment.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::store::StoreError::Unavailable); what is left is erased the next time.
    pub async fn erase_all(&self) -> StoreResult<()> {
        let mut rows = FIRST;
        loop {
            let begun = Instant::now();
            if !self.store.erase_left_over(rows).await? {
                return Ok(());
            }
            let took = begun.elapsed();
            rows = next(rows, took);
            tokio::time::sleep(took.max(REST)).await;
        }
    }
}

/// Rows of the step after one of so many that took so long.
fn next(rows: usize, took: Duration) -> usize {
    let (least, most) = ROWS;
    let wanted = if took > STEP * 2 {
        rows / 2
    } else if took < STEP / 2 {
        rows * 2
    } else {
        rows
    };
    wanted.clamp(least, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_and_shrink_to_the_time_that_they_are_to_take() {
        // A machine that does a row in two milliseconds, one that does twenty in one, and one that hangs.
        let after = |took: &dyn Fn(usize) -> Duration| (0..20).fold(FIRST, |rows, _| next(rows, took(rows)));
        assert_eq!(after(&|rows| Duration::from_millis(2) * u32::try_from(rows).unwrap()), FIRST);
        assert_eq!(after(&|rows| Duration::from_micros(50) * u32::try_from(rows).unwrap()), 400);
        assert_eq!(after(&|_| Duration::from_secs(1)), ROWS.0);
        assert_eq!(after(&|_| Duration::ZERO), ROWS.1);
    }
}
