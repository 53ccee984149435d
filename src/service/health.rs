//! Whether the system can do its work now.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::clock::Clock;
use crate::store::SharedStore;

/// How long the store may take to answer.
const STORE_LIMIT: Duration = Duration::from_secs(5);

/// Readiness, a part at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// All parts are well.
    pub ready: bool,
    /// Each part: `ok`, or what is wrong, without a secret or a number.
    pub parts: BTreeMap<String, String>,
}

/// Knows what is wrong at the moment.
pub struct Health {
    store: SharedStore,
    clock: Clock,
    stopped_gateways: Mutex<BTreeMap<String, String>>,
}

impl Health {
    /// Over this store.
    #[must_use]
    pub fn new(store: SharedStore, clock: Clock) -> Self {
        Self { store, clock, stopped_gateways: Mutex::new(BTreeMap::new()) }
    }

    /// A gateway refuses our account: readiness is red until it takes a message again.
    pub fn gateway_stopped(&self, gateway: &str, reason: &str) {
        self.stopped_gateways.lock().unwrap_or_else(PoisonError::into_inner).insert(gateway.to_owned(), reason.to_owned());
    }

    /// A gateway took a message.
    pub fn gateway_sends(&self, gateway: &str) {
        let mut stopped = self.stopped_gateways.lock().unwrap_or_else(PoisonError::into_inner);
        if !stopped.is_empty() {
            stopped.remove(gateway);
        }
    }

    /// Asks every part.
    pub async fn readiness(&self) -> Readiness {
        let mut parts = BTreeMap::new();
        let storage = match tokio::time::timeout(STORE_LIMIT, self.store.check()).await {
            Ok(Ok(())) => "ok".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => format!("no answer within {} s", STORE_LIMIT.as_secs()),
        };
        parts.insert("storage".to_owned(), storage);
        let stopped = self.stopped_gateways.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sending = if stopped.is_empty() {
            "ok".to_owned()
        } else {
            stopped.iter().map(|(gateway, reason)| format!("{gateway}: {reason}")).collect::<Vec<_>>().join("; ")
        };
        parts.insert("sending".to_owned(), sending);
        Readiness { ready: parts.values().all(|part| part == "ok"), parts }
    }

    /// Sets the gauges that are asked for rather than counted.
    pub async fn observe(&self) {
        if let Ok(Ok(figures)) = tokio::time::timeout(STORE_LIMIT, self.store.figures()).await {
            let age = figures.oldest_due.map_or(Duration::ZERO, |due| self.clock.now().since(due));
            metrics::gauge!("queue_age_seconds").set(age.as_secs_f64());
        }
    }
}
