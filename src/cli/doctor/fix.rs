//! Mending what the doctor finds in the store: accounts that another program made twice become one.

use super::report::Finding;
use crate::cli::keeping;
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{self, SharedStore, StoreError};

/// The part that findings of mending are of.
const PART: &str = "mending";

/// What is done before anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// An archive of the store is written.
    Archive,
    /// Nothing: it was said that there need be no archive.
    Nothing,
}

/// Mends, and tells what was done.
pub(super) async fn fix(config: &Config, before: Before) -> Vec<Finding> {
    if !store::exists(&config.storage) {
        return Vec::new();
    }
    let clock = Clock::system();
    let (storage, time) = (config.storage.clone(), clock.clone());
    let opened = tokio::task::spawn_blocking(move || store::open(&storage, time)).await;
    let store = match opened.unwrap_or_else(|error| Err(StoreError::unavailable("opening it broke off", error))) {
        Ok(store) => store,
        // The examination says why.
        Err(_closed) => return Vec::new(),
    };
    let findings = mend(&store, config, &clock, before).await;
    store.close().await;
    findings
}

async fn mend(store: &SharedStore, config: &Config, clock: &Clock, before: Before) -> Vec<Finding> {
    let doubles = match store.list_doubles().await {
        Ok(doubles) => doubles,
        Err(error) => return vec![Finding::failed(PART, format!("nothing was mended: {error}"), "look again when the store answers")],
    };
    if doubles.is_empty() {
        return vec![Finding::ok(PART, "there was nothing to mend")];
    }
    let mut findings = Vec::new();
    if before == Before::Archive {
        match keeping::archive_before("fix", SharedStore::clone(store), config, clock).await {
            Ok(path) => findings.push(Finding::ok(PART, format!("what was before is in {}", path.display()))),
            Err(error) => {
                let found = format!("nothing was mended, because no archive could be written first: {error:#}");
                return vec![Finding::failed(PART, found, "make room for one, or mend without: --no-archive")];
            }
        }
    }
    let limits = keeping::merge_limits(config);
    for double in doubles {
        let merged = async {
            store.adopt_double(double.account).await?;
            store.merge_people(double.account, double.owner, limits).await
        };
        findings.push(match merged.await {
            Ok(merged) => {
                let found = format!("{} is part of {} now, with {} conversations", double.account, double.owner, merged.conversations);
                Finding::ok(PART, found)
            }
            Err(error) => {
                let found = format!("{} is still apart from {}: {error}", double.account, double.owner);
                Finding::failed(PART, found, "see to what it says, then again")
            }
        });
    }
    findings
}
