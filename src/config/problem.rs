//! What is wrong with the settings, all of it at once: where, which key, and what to do.

use std::fmt;

use super::provenance::{Origin, Provenance};

/// One thing that is wrong. No field holds the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is written; absent when something is missing altogether.
    pub origin: Option<Origin>,
    /// The key `a.b.c` that it is about, where it is about one.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
    /// The nearest name that exists, written as the place writes names.
    pub nearest: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { origin: None, key: None, message: message.into(), nearest: None, remedy: None }
    }

    pub(super) fn at(mut self, origin: &Origin) -> Self {
        self.origin = Some(origin.clone());
        self
    }

    pub(super) fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(super) fn nearest(mut self, nearest: Option<String>) -> Self {
        self.nearest = nearest;
        self
    }

    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        f.write_str(&self.message)?;
        match (&self.key, &self.origin) {
            (Some(key), Some(origin)) if origin.name != *key => write!(f, " (key {key})")?,
            (Some(key), None) => write!(f, " (key {key})")?,
            _ => {}
        }
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean {nearest}?")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "; {remedy}")?;
        }
        Ok(())
    }
}

/// Something worth knowing that does not keep the program from starting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where it is written, where it is written anywhere.
    pub origin: Option<Origin>,
    /// What it says.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// The settings cannot be used. The program ends with exit code 2 and this list.
#[derive(Debug, thiserror::Error)]
#[error("{}", listed(.problems))]
pub struct LoadError {
    /// Everything that is wrong, in the order of the layers; never empty.
    pub problems: Vec<Problem>,
    /// What is worth knowing beside it.
    pub notes: Vec<Note>,
    /// The values as far as they could be read.
    pub provenance: Provenance,
}

fn listed(problems: &[Problem]) -> String {
    let mut text = match problems.len() {
        1 => "the configuration has a problem:".to_owned(),
        count => format!("the configuration has {count} problems:"),
    };
    for problem in problems {
        text.push_str("\n  ");
        text.push_str(&problem.to_string());
    }
    text
}
