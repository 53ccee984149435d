//! Queues within a process: whoever changes the same thing waits for the one before.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::store::{StoreError, StoreResult};

/// Queues, so many that two people seldom share one.
const QUEUES: usize = 512;

/// How long a turn is waited for. Those before it take milliseconds, but where the server says nothing each of them takes the time of
/// its commands: whoever begins behind them all has been given up by its caller long before.
const LONGEST: Duration = Duration::from_secs(10);

/// A queue for each of many keys. It only keeps units of one process from getting in each other's way: what makes them right is
/// the version of the head.
#[derive(Debug)]
pub(super) struct Queues(Vec<Arc<Mutex<()>>>);

impl Queues {
    pub(super) fn new() -> Self {
        Self((0..QUEUES).map(|_number| Arc::default()).collect())
    }

    /// Waits for the key's turn, which lasts as long as what is returned.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not come in time: nothing was begun.
    pub(super) async fn of(&self, key: &[u8]) -> StoreResult<OwnedMutexGuard<()>> {
        let queue = self.0.get(place_of(key)).map_or_else(Arc::default, Arc::clone);
        tokio::time::timeout(LONGEST, queue.lock_owned()).await.map_err(|_elapsed| {
            let reason =
                format!("what came before it took longer than {} s, so nothing was stored; MongoDB is slow, or silent", LONGEST.as_secs());
            StoreError::Unavailable { reason, source: None }
        })
    }

    /// Takes the turns of those keys where nobody is before it, without waiting; tells of each key whether it has its turn.
    pub(super) fn take_free<K: AsRef<[u8]>>(&self, keys: impl Iterator<Item = K>) -> (Vec<OwnedMutexGuard<()>>, Vec<bool>) {
        let (mut places, mut taken) = (HashMap::new(), Vec::new());
        let is_free = keys.map(|key| {
            *places.entry(place_of(key.as_ref())).or_insert_with_key(|place| {
                let turn = self.0.get(*place).and_then(|queue| Arc::clone(queue).try_lock_owned().ok());
                turn.map(|turn| taken.push(turn)).is_some()
            })
        });
        let is_free = is_free.collect();
        (taken, is_free)
    }
}

fn place_of(key: &[u8]) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % QUEUES as u64).unwrap_or(0)
}
