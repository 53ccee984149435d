//! Queues within a process: whoever changes the same thing waits for the one before.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

/// Queues, so many that two people seldom share one.
const QUEUES: usize = 512;

/// A queue for each of many keys. It only keeps units of one process from getting in each other's way: what makes them right is
/// the version of the head.
#[derive(Debug)]
pub(super) struct Queues(Vec<Arc<Mutex<()>>>);

impl Queues {
    pub(super) fn new() -> Self {
        Self((0..QUEUES).map(|_number| Arc::default()).collect())
    }

    /// Waits for the key's turn, which lasts as long as what is returned.
    pub(super) async fn of(&self, key: &[u8]) -> OwnedMutexGuard<()> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % QUEUES as u64).unwrap_or(0);
        let queue = self.0.get(place).map_or_else(Arc::default, Arc::clone);
        queue.lock_owned().await
    }
}
