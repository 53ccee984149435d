//! Identifiers. Each kind is its own type, so one cannot be passed for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::text::beginning;

/// Text that is not the identifier it was said to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct InvalidId {
    text: String,
    expected: &'static str,
}

impl InvalidId {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: beginning(text, 80).to_owned(), expected }
    }
}

/// A person: 12 bytes, written as 24 hexadecimal digits on every backend, the shape of a MongoDB `ObjectId`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId([u8; 12]);

impl UserId {
    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// Its 12 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({self})")
    }
}

impl FromStr for UserId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut bytes = [0_u8; 12];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_wrong) => Err(InvalidId::new(text, "a person's id of 24 hexadecimal digits")),
        }
    }
}

impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id with this value.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Its value.
            #[must_use]
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                // Only the hyphenated form: braces, URNs and bare digits would be second names of one id.
                match Uuid::try_parse(text) {
                    Ok(uuid) if text.len() == 36 => Ok(Self(uuid)),
                    _ => Err(InvalidId::new(text, $expected)),
                }
            }
        }
    };
}

uuid_id!(
    /// A conversation with one person.
    ConversationId,
    "a conversation's id (a UUID)"
);
uuid_id!(
    /// One message, a person's or the assistant's.
    MessageId,
    "a message's id (a UUID)"
);
uuid_id!(
    /// One turn: a person's texts and the reply to them.
    TurnId,
    "a turn's id (a UUID)"
);
uuid_id!(
    /// One outgoing message: a part of a reply, or a notice.
    OutboundId,
    "an outgoing message's id (a UUID)"
);

impl MessageId {
    /// The parent of a conversation's first message, as LibreChat writes it.
    pub const ROOT: Self = Self(Uuid::nil());
}

/// A configured agent: `agent_` and 1 to 64 letters, digits, `_` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct AgentId(String);

impl AgentId {
    /// The id as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AgentId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let rest = text.strip_prefix("agent_").unwrap_or_default();
        let valid = (1..=64).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidId::new(text, "an agent's id (agent_…)")) }
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AgentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_reads_what_it_writes_and_nothing_else() {
        let id = UserId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255]);
        assert_eq!(id.to_string(), "000102030405060708090aff");
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "000102030405060708090af", "000102030405060708090agg", "+00102030405060708090aff", "é00102030405060708090af"] {
            assert!(wrong.parse::<UserId>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_conversation_id_has_one_spelling() {
        assert!("018f0000-0000-7000-8000-000000000000".parse::<ConversationId>().is_ok());
        assert!("018f0000000070008000000000000000".parse::<ConversationId>().is_err());
        assert!("{018f0000-0000-7000-8000-000000000000}".parse::<ConversationId>().is_err());
    }

    #[test]
    fn an_agent_id_begins_with_agent() {
        assert!("agent_1-b_C".parse::<AgentId>().is_ok());
        for wrong in ["agent_", "agent", "Agent_x", "agent_é", "agent_a b"] {
            assert!(wrong.parse::<AgentId>().is_err(), "{wrong:?}");
        }
    }
}
