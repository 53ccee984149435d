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

/// A value kept as JSON text, because its names are not ours. The text stays as it was written: nothing in it is rounded on the way.
#[derive(Debug, Clone)]
pub(in crate::store::mongodb) struct JsonText<T> {
    value: T,
    text: String,
}

impl<T> JsonText<T> {
    /// What it says.
    pub(in crate::store::mongodb) const fn get(&self) -> &T {
        &self.value
    }

    /// As it is written.
    pub(in crate::store::mongodb) fn text(&self) -> &str {
        &self.text
    }
}

impl<T: Serialize> JsonText<T> {
    /// A value, written now.
    pub(in crate::store::mongodb) fn of(value: T) -> Self {
        // What is kept so has texts for names, so this cannot fail; an empty text would be damage and not another value.
        let text = serde_json::to_string(&value).unwrap_or_default();
        Self { value, text }
    }
}

impl<T: DeserializeOwned> JsonText<T> {
    /// A value as it was written.
    ///
    /// # Errors
    /// When the text is not one.
    pub(in crate::store::mongodb) fn parse(text: String) -> serde_json::Result<Self> {
        Ok(Self { value: serde_json::from_str(&text)?, text })
    }
}

impl<T: Serialize + Default> Default for JsonText<T> {
    fn default() -> Self {
        Self::of(T::default())
    }
}

impl<T> PartialEq for JsonText<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Serialize for JsonText<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for JsonText<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
