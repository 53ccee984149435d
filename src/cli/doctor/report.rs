//! What the doctor found: a list of parts, each well, doubtful or wrong, and how to mend it.

use std::fmt::Write as _;

use serde::Serialize;

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Well.
    Ok,
    /// It works, but its owner should know something.
    Warning,
    /// It does not work.
    Failed,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// Which part: `store`, `endpoint openAI` …
    pub(super) part: String,
    /// How it is.
    pub(super) state: State,
    /// What was found, without a secret.
    pub(super) found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

impl Finding {
    /// A part that is well.
    pub(super) fn ok(part: impl Into<String>, found: impl Into<String>) -> Self {
        Self { part: part.into(), state: State::Ok, found: found.into(), mend: None }
    }

    /// A part that works, with something to know.
    pub(super) fn warning(part: impl Into<String>, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { part: part.into(), state: State::Warning, found: found.into(), mend: Some(mend.into()) }
    }

    /// A part that does not work.
    pub(super) fn failed(part: impl Into<String>, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { part: part.into(), state: State::Failed, found: found.into(), mend: Some(mend.into()) }
    }
}

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// No part failed.
    pub(super) healthy: bool,
    /// Each part.
    pub(super) findings: Vec<Finding>,
}

impl Report {
    /// Of these.
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        Self { healthy: findings.iter().all(|finding| finding.state != State::Failed), findings }
    }

    /// For people.
    pub(super) fn to_text(&self) -> String {
        let width = self.findings.iter().map(|finding| finding.part.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for finding in &self.findings {
            let state = match finding.state {
                State::Ok => "ok     ",
                State::Warning => "warning",
                State::Failed => "FAILED ",
            };
            let _infallible = writeln!(text, "{state}  {part:width$}  {found}", part = finding.part, found = finding.found);
            if let Some(mend) = &finding.mend {
                let _infallible = writeln!(text, "         {:width$}  -> {mend}", "");
            }
        }
        let failed = self.findings.iter().filter(|finding| finding.state == State::Failed).count();
        let warnings = self.findings.iter().filter(|finding| finding.state == State::Warning).count();
        let _infallible = match (failed, warnings) {
            (0, 0) => writeln!(text, "\nEverything is well."),
            (0, _) => writeln!(text, "\nEverything works; to know: {warnings}."),
            _ => writeln!(text, "\nTo mend: {failed}; to know: {warnings}."),
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_healthy_until_a_part_fails() {
        let ok = Finding::ok("store", "sqlite in ./data");
        let warning = Finding::warning("doors", "no gateway", "set one up");
        assert!(Report::new(vec![ok.clone(), warning.clone()]).healthy);
        let report = Report::new(vec![ok, warning, Finding::failed("endpoint x", "401", "check the key")]);
        assert!(!report.healthy);
        let text = report.to_text();
        assert!(text.contains("FAILED   endpoint x  401\n                     -> check the key\n"), "{text}");
        assert!(text.ends_with("To mend: 1; to know: 1.\n"), "{text}");
    }
}
