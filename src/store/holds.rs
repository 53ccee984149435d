//! Schedules whose rows cannot be read, left alone for a while so that they keep nobody else waiting.
//!
//! This is remembered by each process for itself and never written to the row: once that is repaired it must say when it was due.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::time::Timestamp;

/// How long one is left alone, before it is looked at again.
const HOLD: Duration = Duration::from_mins(1);

/// What is held, and until when. There are few of them, if any.
#[derive(Debug)]
pub(super) struct Holds<K>(Mutex<Vec<(K, Timestamp)>>);

impl<K> Default for Holds<K> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<K: Clone + PartialEq> Holds<K> {
    /// What is held now.
    pub(super) fn current(&self, now: Timestamp) -> Vec<K> {
        // Plain values, whole between any two calls.
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|(_key, until)| *until > now);
        held.iter().map(|(key, _until)| key.clone()).collect()
    }

    /// Holds this one from now on.
    pub(super) fn hold(&self, key: K, now: Timestamp) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|(other, _until)| *other != key);
        held.push((key, now.after(HOLD)));
    }
}
