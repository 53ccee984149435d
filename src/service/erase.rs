//! Erasing what was deleted whole: it is unreadable already, and what is left of it in the files goes bit by bit, so that nobody's
//! message waits for it. What a stop or a crash leaves is erased after the next start.

use std::time::Duration;

use tokio::time::Instant;

use crate::store::{SharedStore, StoreResult};

/// Rows of one step: some hundredths of a second of the store's time.
const ROWS: usize = 100;

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

    /// Erases until nothing is left, step by step. It rests as long as it works, so it takes half of the store's time at most. It may
    /// be dropped at any moment.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::store::StoreError::Unavailable); what is left is erased the next time.
    pub async fn erase_all(&self) -> StoreResult<()> {
        loop {
            let begun = Instant::now();
            if !self.store.erase_left_over(ROWS).await? {
                return Ok(());
            }
            tokio::time::sleep(begun.elapsed().max(REST)).await;
        }
    }
}
