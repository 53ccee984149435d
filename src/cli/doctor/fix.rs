//! Mending what the doctor finds in the store: accounts, and conversations, that another program made twice become one.

use super::report::Finding;
use crate::cli::keeping;
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{self, Double, DoubleConversation, SharedStore, StoreError};

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
    match mend_all(store, config, clock, before).await {
        Ok(findings) => findings,
        Err(error) => vec![Finding::failed(PART, format!("not everything was mended: {error}"), "look again when the store answers")],
    }
}

async fn mend_all(store: &SharedStore, config: &Config, clock: &Clock, before: Before) -> Result<Vec<Finding>, StoreError> {
    let reuse_days = config.conversations.reuse_days;
    let doubles = store.list_doubles().await?;
    if doubles.is_empty() && store.list_double_conversations(reuse_days).await?.is_empty() {
        return Ok(vec![Finding::ok(PART, "there was nothing to mend")]);
    }
    let mut findings = Vec::new();
    if before == Before::Archive {
        match keeping::archive_before("fix", SharedStore::clone(store), config, clock).await {
            Ok(path) => findings.push(Finding::ok(PART, format!("what was before is in {}", path.display()))),
            Err(error) => {
                let found = format!("nothing was mended, because no archive could be written first: {error:#}");
                return Ok(vec![Finding::failed(PART, found, "make room for one, or mend without: --no-archive")]);
            }
        }
    }
    findings.extend(merge_people(store, config, doubles).await);
    // Conversations of accounts that have become one may have gone on at the same time.
    findings.extend(merge_conversations(store, store.list_double_conversations(reuse_days).await?).await);
    Ok(findings)
}

/// Makes accounts with the number of another a part of that one.
async fn merge_people(store: &SharedStore, config: &Config, doubles: Vec<Double>) -> Vec<Finding> {
    let limits = keeping::merge_limits(config);
    let mut findings = Vec::new();
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

/// Makes conversations that went on beside another one a part of that one; told in one sentence, for there may be many.
async fn merge_conversations(store: &SharedStore, doubles: Vec<DoubleConversation>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut merged = 0_usize;
    for DoubleConversation { user_id, conversation, into } in doubles {
        match store.merge_conversations(user_id, conversation, into).await {
            Ok(()) => merged += 1,
            // An earlier run was interrupted when it was decided, and not yet to be seen.
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => {
                let found = format!("the conversation {conversation} of {user_id} is still apart from {into}: {error}");
                findings.push(Finding::failed(PART, found, "see to what it says, then again"));
            }
        }
    }
    if merged > 0 {
        findings.push(Finding::ok(PART, format!("{merged} conversations are part of another of the same person now")));
    }
    findings
}
