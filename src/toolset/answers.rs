//! What a call of our own sets comes back with: results, and what went wrong, for a model to read.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

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
            let due = TOLD.lock().unwrap_or_else(PoisonError::into_inner).note(Instant::now());
            if let Some(untold) = due {
                tracing::warn!(%error, untold, "{what} could not be used");
            } else {
                tracing::debug!(%error, "{what} could not be used");
            }
            let told = if error.outcome_is_unknown() {
                format!("{what} did not answer, so whether this was done is not known. Look first before you do it again")
            } else {
                format!("{what} cannot be reached now; nothing was changed. Try again later")
            };
            Some(ToolOutcome::error(sentence(&told)))
        }
    }
}

/// How often the log tells of it: whoever calls again and again must not flood it.
const TELL_EVERY: Duration = Duration::from_mins(1);

static TOLD: Mutex<Told> = Mutex::new(Told { last: None, untold: 0 });

/// When the log told of a failure, and how many came since.
struct Told {
    last: Option<Instant>,
    untold: u64,
}

impl Told {
    /// Whether this one is told of, and then how many before it were not.
    fn note(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < TELL_EVERY) {
            self.untold += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.untold))
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
    use crate::store::Extent;

    #[test]
    fn what_the_store_failed_of_stays_with_the_host() {
        let damaged = StoreError::Corrupt { place: "/srv/scrubjay.db".into(), extent: Extent::Store, reason: "page 7".to_owned() };
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

    #[test]
    fn what_may_have_been_done_is_not_called_undone() {
        let silent = StoreError::unknown_outcome("db.example did not answer", Some("connection reset".into()));
        assert!(std::error::Error::source(&silent).unwrap().to_string().contains("connection reset"), "the host reads the cause");
        let told = unreachable("the schedules", &silent).unwrap();
        assert_eq!(
            (told.is_error, told.text.as_str()),
            (true, "The schedules did not answer, so whether this was done is not known. Look first before you do it again.")
        );
    }

    #[test]
    fn the_log_tells_once_a_minute_and_how_many_there_were() {
        let (mut told, start) = (Told { last: None, untold: 0 }, Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let noted = [0, 1, 59, 60, 61, 200].map(|seconds| told.note(after(seconds)));
        assert_eq!(noted, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
