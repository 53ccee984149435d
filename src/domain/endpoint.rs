//! Where a message is processed.
//!
//! `external` is the *role* of a person's message ([`crate::domain::message::Role`]) and never a place that answers. The
//! system that this one replaces mixed the two and called itself for ever, so here no value of [`Endpoint`] can hold it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::beginning;

/// A place that answers: `openAI`, `agents`, or a configured name of 1 to 64 letters, digits, `_`, `-` or `.`.
/// Never `external`, in any case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint(Arc<str>);

/// Text that names no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// The role of a person's message was given as a place. Callers use the default endpoint, warn and count it.
    #[error("\"external\" is the role of a message, not an endpoint; name openAI, agents or a configured endpoint")]
    IsRole,
    /// Not a name.
    #[error("{0:?} is not an endpoint's name: use 1 to 64 letters, digits, _ - or .")]
    Name(String),
}

impl Endpoint {
    /// The endpoint whose models call tools, one of the two names that LibreChat fixes.
    #[must_use]
    pub fn agents() -> Self {
        Self(Arc::from("agents"))
    }

    /// Reads a name. The two names that LibreChat fixes fold by case (`openai` is `openAI`).
    ///
    /// # Errors
    /// [`InvalidEndpoint::IsRole`] for `external`; [`InvalidEndpoint::Name`] for what is no name.
    pub fn parse(name: &str) -> Result<Self, InvalidEndpoint> {
        let name = name.trim();
        if name.eq_ignore_ascii_case("external") {
            return Err(InvalidEndpoint::IsRole);
        }
        let valid =
            (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
        if !valid {
            return Err(InvalidEndpoint::Name(beginning(name, 80).to_owned()));
        }
        let fixed = ["openAI", "agents"].into_iter().find(|fixed| fixed.eq_ignore_ascii_case(name));
        Ok(Self(Arc::from(fixed.unwrap_or(name))))
    }

    /// The name as written in configuration and in stored rows.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the `agents` endpoint, which needs an agent.
    #[must_use]
    pub fn is_agents(&self) -> bool {
        &*self.0 == "agents"
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.0)
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_external_is_no_endpoint_in_any_case() {
        for name in ["external", "External", " EXTERNAL "] {
            assert_eq!(Endpoint::parse(name), Err(InvalidEndpoint::IsRole));
            assert!(serde_json::from_value::<Endpoint>(serde_json::json!(name)).is_err());
        }
    }

    #[test]
    fn fixed_names_fold_by_case_and_others_keep_theirs() {
        assert_eq!(Endpoint::parse("OPENAI").unwrap().as_str(), "openAI");
        assert!(Endpoint::parse("Agents").unwrap().is_agents());
        assert_eq!(Endpoint::parse("My-Server.1").unwrap().as_str(), "My-Server.1");
        for wrong in ["", "a b", "a/b", "é", "$gt"] {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
