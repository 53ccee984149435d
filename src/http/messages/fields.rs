//! Reading single fields of a JSON object, each with a refusal that names it.

use serde_json::{Map, Value};

use crate::http::problem::ApiError;

/// A JSON object and where it stands in the body, for naming its fields.
#[derive(Clone, Copy)]
pub(in crate::http) struct Fields<'a> {
    object: &'a Map<String, Value>,
    prefix: &'a str,
}

/// Characters that a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Characters {
    /// No control characters: names, ids, titles.
    Line,
    /// Tab, line feed and carriage return too: what people write.
    Text,
}

impl Characters {
    pub(in crate::http) fn allow(self, text: &str) -> bool {
        let allowed = |character: char| !character.is_control() || (self == Self::Text && matches!(character, '\t' | '\n' | '\r'));
        text.chars().all(allowed)
    }
}

impl<'a> Fields<'a> {
    /// `prefix` stands before each name, such as `metadata.`; empty for the body itself.
    pub(in crate::http) fn new(object: &'a Map<String, Value>, prefix: &'a str) -> Self {
        Self { object, prefix }
    }

    pub(in crate::http) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The value; `None` when absent or null.
    pub(in crate::http) fn value(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// A string of at most `longest` characters; `None` when absent, null or blank.
    pub(in crate::http) fn string(&self, name: &str, longest: usize, characters: Characters) -> Result<Option<&'a str>, ApiError> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => {
                let text = string(value, &self.path(name), longest, characters)?;
                Ok(Some(text).filter(|text| !text.trim().is_empty()))
            }
        }
    }

    /// An object.
    pub(in crate::http) fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, ApiError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(ApiError::field(self.path(name), "must be an object")),
        }
    }
}

/// A value that must be a string.
pub(in crate::http) fn string<'a>(value: &'a Value, path: &str, longest: usize, characters: Characters) -> Result<&'a str, ApiError> {
    let Value::String(text) = value else { return Err(ApiError::field(path, "must be a string")) };
    // Counting characters is dearer than counting bytes, and no text has more of them than bytes.
    if text.len() > longest && text.chars().count() > longest {
        return Err(ApiError::field(path, format!("must have at most {longest} characters")));
    }
    if characters.allow(text) { Ok(text) } else { Err(ApiError::field(path, "must not hold control characters")) }
}
