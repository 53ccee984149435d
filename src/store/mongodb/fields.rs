//! Documents read field by field. A field that holds anything else than it should is damaged data, never a default.

use std::path::PathBuf;

use mongodb::bson::{Bson, DateTime, Document, RawDocument, oid::ObjectId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::staged::unwritable;
use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;
use crate::store::{Extent, StoreError, StoreResult};

/// A document of a collection, to be read.
pub(super) struct Fields<'a> {
    collection: &'a str,
    document: &'a Document,
}

impl<'a> Fields<'a> {
    pub(super) const fn new(collection: &'a str, document: &'a Document) -> Self {
        Self { collection, document }
    }

    /// What is said of a field that is not what it should be.
    pub(super) fn damaged(&self, name: &str, reason: impl std::fmt::Display) -> StoreError {
        let id = self.document.get("_id").map(ToString::to_string).unwrap_or_default();
        damaged(self.collection, format_args!("the document {id} has no right {name:?} ({reason})"))
    }

    /// The value under a path of names; null is none.
    fn find(&self, path: &str) -> Option<&'a Bson> {
        let mut document = self.document;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let value = document.get(name).filter(|value| **value != Bson::Null)?;
            match (names.peek(), value) {
                (None, value) => return Some(value),
                (Some(_), Bson::Document(inner)) => document = inner,
                (Some(_), _) => return None,
            }
        }
        None
    }

    fn wrong<T>(&self, path: &str, found: &Bson) -> StoreResult<T> {
        Err(self.damaged(path, format_args!("it is a {:?}", found.element_type())))
    }

    fn needed<T>(&self, path: &str, found: Option<T>) -> StoreResult<T> {
        found.ok_or_else(|| self.damaged(path, "it is missing"))
    }

    pub(super) fn find_text(&self, path: &str) -> StoreResult<Option<&'a str>> {
        match self.find(path) {
            None => Ok(None),
            Some(Bson::String(text)) => Ok(Some(text)),
            Some(other) => self.wrong(path, other),
        }
    }

    pub(super) fn text(&self, path: &str) -> StoreResult<&'a str> {
        self.needed(path, self.find_text(path)?)
    }

    /// A whole number, however the server or a script wrote it.
    #[expect(
        clippy::float_cmp,
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "a number that is not whole, or too large, is refused"
    )]
    pub(super) fn find_number(&self, path: &str) -> StoreResult<Option<i64>> {
        match self.find(path) {
            None => Ok(None),
            Some(Bson::Int32(number)) => Ok(Some(i64::from(*number))),
            Some(Bson::Int64(number)) => Ok(Some(*number)),
            Some(Bson::Double(number)) if (*number as i64) as f64 == *number => Ok(Some(*number as i64)),
            Some(other) => self.wrong(path, other),
        }
    }

    /// A number of which the whole part counts.
    #[expect(clippy::cast_possible_truncation, reason = "what is beyond all numbers is the largest")]
    pub(super) fn find_amount(&self, path: &str) -> StoreResult<Option<i64>> {
        match self.find(path) {
            Some(Bson::Double(number)) if number.is_finite() => Ok(Some(number.floor() as i64)),
            Some(Bson::Double(number)) => Err(self.damaged(path, format_args!("it is {number}"))),
            _ => self.find_number(path),
        }
    }

    pub(super) fn number(&self, path: &str) -> StoreResult<i64> {
        self.needed(path, self.find_number(path)?)
    }

    pub(super) fn flag(&self, path: &str) -> StoreResult<bool> {
        match self.find(path) {
            None => Ok(false),
            Some(Bson::Boolean(flag)) => Ok(*flag),
            Some(other) => self.wrong(path, other),
        }
    }

    pub(super) fn find_moment(&self, path: &str) -> StoreResult<Option<Timestamp>> {
        match self.find(path) {
            None => Ok(None),
            Some(Bson::DateTime(date)) => Ok(Some(moment(*date))),
            Some(other) => self.wrong(path, other),
        }
    }

    pub(super) fn moment(&self, path: &str) -> StoreResult<Timestamp> {
        self.needed(path, self.find_moment(path)?)
    }

    pub(super) fn find_bytes(&self, path: &str) -> StoreResult<Option<&'a [u8]>> {
        match self.find(path) {
            None => Ok(None),
            Some(Bson::Binary(binary)) => Ok(Some(&binary.bytes)),
            Some(other) => self.wrong(path, other),
        }
    }

    /// A text that is parsed.
    pub(super) fn find_parsed<T, E: std::fmt::Display>(&self, path: &str, parse: impl Fn(&str) -> Result<T, E>) -> StoreResult<Option<T>> {
        let Some(text) = self.find_text(path)? else { return Ok(None) };
        parse(text).map(Some).map_err(|error| self.damaged(path, error))
    }

    /// A text that is parsed and must be there.
    pub(super) fn parsed<T, E: std::fmt::Display>(&self, path: &str, parse: impl Fn(&str) -> Result<T, E>) -> StoreResult<T> {
        self.needed(path, self.find_parsed(path, parse)?)
    }

    /// A word of the domain.
    pub(super) fn find_word<T>(&self, path: &str, parse: impl Fn(&str) -> Option<T>) -> StoreResult<Option<T>> {
        self.find_parsed(path, |text| parse(text).ok_or("no such word"))
    }

    /// A UUID, as an id of ours.
    pub(super) fn id<T>(&self, path: &str, of: impl Fn(Uuid) -> T) -> StoreResult<T> {
        self.needed(path, self.find_id(path, of)?)
    }

    /// A UUID that may be missing.
    pub(super) fn find_id<T>(&self, path: &str, of: impl Fn(Uuid) -> T) -> StoreResult<Option<T>> {
        Ok(self.find_parsed(path, Uuid::try_parse)?.map(of))
    }

    /// A person's id, as text or as LibreChat's own type.
    pub(super) fn user(&self, path: &str) -> StoreResult<UserId> {
        match self.find(path) {
            Some(Bson::ObjectId(id)) => Ok(UserId::from_bytes(id.bytes())),
            _ => self.parsed(path, str::parse),
        }
    }

    /// A list of texts; a missing one is empty.
    pub(super) fn texts(&self, path: &str) -> StoreResult<Vec<&'a str>> {
        match self.find(path) {
            None => Ok(Vec::new()),
            Some(Bson::Array(items)) => {
                items.iter().map(|item| item.as_str().ok_or_else(|| self.damaged(path, "an entry is no text"))).collect()
            }
            Some(other) => self.wrong(path, other),
        }
    }

    /// A value of a type of its own.
    pub(super) fn find_value<T: DeserializeOwned>(&self, path: &str) -> StoreResult<Option<T>> {
        let Some(value) = self.find(path) else { return Ok(None) };
        mongodb::bson::deserialize_from_bson(value.clone()).map(Some).map_err(|error| self.damaged(path, error))
    }
}

/// What is said of data that is not what it should be.
pub(super) fn damaged(collection: &str, reason: impl std::fmt::Display) -> StoreError {
    let reason = format!("{reason}; mend or delete that document with mongosh, or restore a copy");
    StoreError::Corrupt { place: PathBuf::from(format!("MongoDB collection {collection}")), extent: Extent::Part, reason }
}

/// A document of the server's bytes: value by value, as the driver would read it, takes several times as long.
pub(super) fn document_of(bytes: &RawDocument) -> StoreResult<Document> {
    Document::try_from(bytes).map_err(|error| StoreError::unavailable("MongoDB sent what is no document", error))
}

/// A moment as the server keeps it.
pub(super) const fn date(moment: Timestamp) -> DateTime {
    DateTime::from_millis(moment.as_millis())
}

/// The same, where it may be missing: null then.
pub(super) fn maybe_date(moment: Option<Timestamp>) -> Bson {
    moment.map_or(Bson::Null, |moment| Bson::DateTime(date(moment)))
}

/// A moment of the server's.
pub(super) const fn moment(date: DateTime) -> Timestamp {
    Timestamp::from_millis(date.timestamp_millis())
}

/// A person's id as LibreChat has it in `users`.
pub(super) const fn object_id(user: UserId) -> ObjectId {
    ObjectId::from_bytes(*user.as_bytes())
}

/// A value as BSON.
pub(super) fn to_bson(value: &impl Serialize) -> StoreResult<Bson> {
    mongodb::bson::serialize_to_bson(value).map_err(unwritable)
}

/// The same, for values whose writing cannot fail: words, numbers and lists of them. What does fail is null, which is read as
/// missing.
pub(super) fn plain(value: &impl Serialize) -> Bson {
    mongodb::bson::serialize_to_bson(value).unwrap_or(Bson::Null)
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    #[test]
    fn what_is_not_what_it_should_be_is_damage_that_names_its_place() {
        let document = doc! { "_id": 7, "a": 1.0, "b": "x", "in": { "c": 3_i64 }, "none": Bson::Null, "half": 0.5 };
        let fields = Fields::new("turns", &document);
        assert_eq!(fields.number("a").unwrap(), 1);
        assert_eq!(fields.number("in.c").unwrap(), 3);
        assert_eq!(fields.find_text("none").unwrap(), None);
        for error in [fields.number("b"), fields.number("missing"), fields.number("half"), fields.moment("a").map(Timestamp::as_millis)] {
            let StoreError::Corrupt { place, reason, .. } = error.unwrap_err() else { panic!("it is damage") };
            assert!(place.ends_with("MongoDB collection turns"), "{place:?}");
            assert!(reason.contains("document 7"), "{reason}");
        }
    }
}
