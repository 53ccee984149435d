//! What end-to-end tests stand on: the real executable in a folder of its own, a carrier and a model that misbehave on
//! demand, and senders that sign as Twilio does.
//!
//! Everything listens on loopback, every wait has a limit, and dropping a value stops what it started.

pub(crate) mod api;
pub(crate) mod carrier;
mod carrier_pages;
pub(crate) mod chance;
pub(crate) mod disk;
pub(crate) mod home;
#[cfg(feature = "mongodb")]
pub(crate) mod knobs;
pub(crate) mod listener;
pub(crate) mod model;
#[cfg(feature = "mongodb")]
pub(crate) mod mongo;
pub(crate) mod process;
mod self_test;
pub(crate) mod tools;
pub(crate) mod twilio;
#[cfg(feature = "mongodb")]
pub(crate) mod wire;

use std::time::{Duration, Instant};

/// Asks again every few milliseconds until `check` gives a value; fails after `limit`, saying what was waited for.
pub(crate) async fn eventually<T, F>(what: &str, limit: Duration, mut check: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let begun = Instant::now();
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A client that gives up after 30 s. The cryptography provider is installed here because reqwest has none built in.
pub(crate) fn http_client() -> reqwest::Client {
    http_client_with(Duration::from_secs(30))
}

/// A client that gives up after that time.
pub(crate) fn http_client_with(patience: Duration) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(patience).no_proxy().build().unwrap()
}
