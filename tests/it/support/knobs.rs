//! What the person who runs the tests may turn: variables `SCRUBJAY_TEST_…`, numbers all of them.

/// The number that a variable holds, or else `default`.
#[expect(clippy::disallowed_methods, reason = "a test's own knob, not a setting of the program")]
pub(crate) fn knob(variable: &str, default: usize) -> usize {
    assert!(variable.starts_with("SCRUBJAY_TEST_"), "{variable:?} is no name for a test's variable");
    match std::env::var(variable) {
        Ok(text) if !text.is_empty() => text.parse().unwrap_or_else(|error| panic!("{variable}={text:?}: {error}")),
        _ => default,
    }
}
