//! What a call of our own sets comes back with: results, and what went wrong, for a model to read.

use serde::Serialize;

use crate::service::tools::ToolOutcome;
use crate::store::StoreError;

/// A result as the outcome of a call.
pub(super) fn result(value: &impl Serialize) -> Result<ToolOutcome, ToolOutcome> {
    serde_json::to_value(value).map(ToolOutcome::of).map_err(|error| ToolOutcome::error(format!("The result cannot be written: {error}.")))
}

/// The outcome when the store fails; `None` when what it says is for whoever called. `what` is what was worked on ("the memory").
/// Files and causes are the host's business: they are logged, and nobody else is told.
pub(super) fn unreachable(what: &str, error: &StoreError) -> Option<ToolOutcome> {
    match error {
        StoreError::NotFound { .. } | StoreError::Conflict { .. } | StoreError::InvalidCursor => None,
        StoreError::LeaseLost | StoreError::Unavailable { .. } | StoreError::Corrupt { .. } | StoreError::Unsupported { .. } => {
            tracing::warn!(%error, "{what} could not be used");
            let told = format!("{what} cannot be reached now; nothing was changed. Try again later");
            Some(ToolOutcome::error(sentence(&told)))
        }
    }
}

/// Words as a sentence.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_failed_of_stays_with_the_host() {
        let damaged = StoreError::Corrupt { place: "/srv/scrubjay.db".into(), reason: "page 7".to_owned() };
        let busy = StoreError::Unavailable { reason: "the disk of /srv is full".to_owned(), source: None };
        for error in [damaged, busy] {
            let told = unreachable("the memory", &error).unwrap();
            assert_eq!(
                (told.is_error, told.text.as_str()),
                (true, "The memory cannot be reached now; nothing was changed. Try again later.")
            );
        }
        assert!(unreachable("the memory", &StoreError::NotFound { what: "it" }).is_none());
        assert!(unreachable("the memory", &StoreError::Conflict { reason: "full".to_owned() }).is_none());
    }
}
