//! Words and texts that a state holds.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What kind of turn: who answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::store::mongodb) enum TurnKind {
    /// A model.
    Reply,
    /// Nobody: a text that is only kept, or a consent word.
    Record,
    /// We, with a text that was given when the turn was made.
    Answer,
    /// Nobody asked: a text of a schedule, which later prompts repeat.
    Remind,
}

/// How far a turn that is not over has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::store::mongodb) enum OpenState {
    /// Its texts have no places yet.
    Open,
    /// Its texts have their places.
    Begun,
}

/// Defines a serde module for a word of the domain.
macro_rules! word_module {
    ($module:ident, $type:ty) => {
        /// The word as text.
        pub(in crate::store::mongodb) mod $module {
            use serde::de::Error as _;
            use serde::{Deserialize as _, Deserializer, Serializer};

            pub(in crate::store::mongodb) fn serialize<S: Serializer>(word: &$type, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(word.as_str())
            }

            pub(in crate::store::mongodb) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let text = String::deserialize(deserializer)?;
                <$type>::parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no such word")))
            }
        }
    };
}
word_module!(outbound_state, crate::domain::delivery::OutboundState);

/// A value kept as JSON text, because its names are not ours.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::store::mongodb) struct JsonText<T>(pub(in crate::store::mongodb) T);

impl<T: Serialize> Serialize for JsonText<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(&self.0).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&text)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for JsonText<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text).map(Self).map_err(D::Error::custom)
    }
}
