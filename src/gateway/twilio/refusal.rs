//! What to do about a request that failed.
//!
//! # Source
//! Twilio, "Error and warning dictionary"; "REST API best practices" for 429.

use std::time::Duration;

use super::wire::ApiError;
use crate::domain::text::beginning;
use crate::gateway::SendError;

/// The longest wait that a carrier may ask for.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// The wait when the sender's queue at the carrier is full and the answer names none.
const QUEUE_WAIT: Duration = Duration::from_mins(1);

/// What an answer other than 2xx means.
pub(super) fn of_answer(status: u16, error: &ApiError, retry_after: Option<&str>) -> SendError {
    let reason = describe(status, error);
    let after = retry_after.and_then(|text| text.trim().parse().ok()).map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
    match (error.code, status) {
        (Some(21610), _) => SendError::OptedOut { reason },
        // Wrong credentials; account suspended or closed; no such account.
        (Some(20003 | 20005 | 20006 | 30002 | 20404), _) | (_, 401 | 403) => SendError::Stopped { reason },
        // The queue of this sender is full.
        (Some(21611 | 30001), _) => SendError::Retry { reason, after: after.or(Some(QUEUE_WAIT)) },
        (_, 408 | 425 | 429 | 500..) => SendError::Retry { reason, after },
        (_, 400..) => SendError::Refused { reason },
        // Redirects are not followed: they would carry our credentials elsewhere.
        _ => SendError::Stopped { reason: format!("{reason}; check gateways.twilio.api_base") },
    }
}

/// What a request without an answer means. `changes` says whether the request would have sent a message.
pub(super) fn of_transport(error: reqwest::Error, changes: Changes) -> SendError {
    // Its address may hold a person's number.
    let error = error.without_url();
    let reason = describe_cause(&error);
    if error.is_builder() {
        return SendError::Stopped { reason: format!("{reason}; check gateways.twilio") };
    }
    match changes {
        Changes::Something if !error.is_connect() => SendError::Ambiguous { reason },
        _ => SendError::Retry { reason, after: None },
    }
}

/// Whether a request changes anything at the carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changes {
    /// It sends a message.
    Something,
    /// It only asks.
    Nothing,
}

fn describe(status: u16, error: &ApiError) -> String {
    let code = error.code.map(|code| format!(" (error {code})")).unwrap_or_default();
    let message = error.message.as_deref().map(|message| format!(": {}", without_numbers(message))).unwrap_or_default();
    format!("HTTP {status}{code}{message}")
}

/// The chain of causes, the innermost being what helps: "connection refused", "operation timed out".
pub(super) fn describe_cause(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    beginning(&text, 300).to_owned()
}

/// A carrier's text fit for a log: numbers masked, at most 200 characters.
pub(super) fn without_numbers(text: &str) -> String {
    let mut shown = String::new();
    let mut digits = String::new();
    for character in beginning(text, 200).chars().chain(['\n']) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        // Codes have five digits, phone numbers seven and more.
        shown.push_str(if digits.len() < 7 { &digits } else { "•••" });
        digits.clear();
        shown.push(if character.is_control() { ' ' } else { character });
    }
    shown.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: Option<u64>, retry_after: Option<&str>) -> SendError {
        of_answer(status, &ApiError { code, message: Some("The 'To' number +15551234567 is unfit".into()) }, retry_after)
    }

    #[test]
    fn each_answer_has_its_consequence() {
        let kind = |status, code| match refusal(status, code, None) {
            SendError::OptedOut { .. } => "opted out",
            SendError::Refused { .. } => "refused",
            SendError::Stopped { .. } => "stopped",
            SendError::Retry { .. } => "retry",
            SendError::Ambiguous { .. } => "ambiguous",
        };
        let table = [
            (400, Some(21610), "opted out"),
            (400, Some(21211), "refused"),
            (400, Some(21614), "refused"),
            (400, Some(21408), "refused"),
            (400, None, "refused"),
            (404, None, "refused"),
            (422, Some(1), "refused"),
            (401, Some(20003), "stopped"),
            (401, None, "stopped"),
            (400, Some(20003), "stopped"),
            (403, None, "stopped"),
            (404, Some(20404), "stopped"),
            (302, None, "stopped"),
            (429, Some(20429), "retry"),
            (429, None, "retry"),
            (500, None, "retry"),
            (503, Some(20503), "retry"),
            (400, Some(21611), "retry"),
            (408, None, "retry"),
        ];
        for (status, code, expected) in table {
            assert_eq!(kind(status, code), expected, "{status} {code:?}");
        }
    }

    #[test]
    fn a_wait_that_was_asked_for_is_kept_within_an_hour() {
        let after = |text| match refusal(429, None, text) {
            SendError::Retry { after, .. } => after,
            other => panic!("{other}"),
        };
        assert_eq!(after(Some("7")), Some(Duration::from_secs(7)));
        assert_eq!(after(Some("99999999")), Some(LONGEST_WAIT));
        assert_eq!(after(Some("soon")), None);
        assert_eq!(after(None), None);
    }

    #[test]
    fn a_reason_names_the_code_and_hides_the_number() {
        let reason = refusal(400, Some(21211), None).to_string();
        assert!(reason.contains("21211") && reason.contains("•••") && !reason.contains("5551234567"), "{reason}");
        assert_eq!(without_numbers("a\nb 123456 (1234567)"), "a b 123456 (•••)");
    }
}
