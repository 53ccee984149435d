//! Words and texts of records that have their own spelling.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::domain::delivery::{DeliveryStatus, OutboundState};
use crate::domain::endpoint::{Endpoint, InvalidEndpoint};
use crate::domain::message::Role;
use crate::domain::schedule::Mode;
use crate::domain::todo::Priority;
use crate::domain::turn::{Refusal, TurnState};

/// A value that is written as one of a few words. Any other word is damaged data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word<T>(pub(crate) T);

/// What has words.
pub(super) trait Worded: Sized {
    /// Its word.
    fn word(&self) -> &'static str;
    /// The value of a word.
    fn of_word(word: &str) -> Option<Self>;
}

macro_rules! worded {
    ($($name:ident => $parse:expr),* $(,)?) => {$(
        impl Worded for $name {
            fn word(&self) -> &'static str {
                self.as_str()
            }

            fn of_word(word: &str) -> Option<Self> {
                $parse(word)
            }
        }
    )*};
}
worded! {
    TurnState => Self::parse,
    Refusal => Self::parse,
    OutboundState => Self::parse,
    DeliveryStatus => Self::parse,
    Priority => Self::parse,
    Mode => Self::parse,
    Role => |word| [Role::External, Role::Assistant].into_iter().find(|role| role.as_str() == word),
}

impl<T: Worded> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.word())
    }
}

impl<'de, T: Worded> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        T::of_word(&word).map(Self).ok_or_else(|| serde::de::Error::custom(format!("{word:?} is none of the words that can be here")))
    }
}

/// JSON that is kept as it was written, to the byte: numbers are not rounded on the way.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Raw(Box<RawValue>);

impl Raw {
    /// JSON as it is written.
    ///
    /// # Errors
    /// When it is none.
    #[cfg(feature = "mongodb")]
    pub(crate) fn parse(text: String) -> serde_json::Result<Self> {
        RawValue::from_string(text).map(Self)
    }

    /// A value, written now.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    #[cfg(feature = "mongodb")]
    pub(crate) fn of(value: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// The text.
    pub(crate) fn get(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

/// An endpoint where there may be none. The role `external`, which older systems wrote there, is none: the default endpoint answers.
pub(super) fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Endpoint>, D::Error> {
    let Some(name) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    match Endpoint::parse(&name) {
        Ok(endpoint) => Ok(Some(endpoint)),
        Err(InvalidEndpoint::IsRole) => {
            tracing::warn!("a stored record named \"external\" as an endpoint; the default endpoint answers in its place");
            metrics::counter!("endpoint_redirected_total").increment(1);
            Ok(None)
        }
        Err(error @ InvalidEndpoint::Name(_)) => Err(serde::de::Error::custom(error)),
    }
}
