//! How a column's value is written in a record, and back.

use std::fmt::Write as _;

use rusqlite::types::{Value, ValueRef};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;

/// What a column holds, and so how a record writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Text.
    Text,
    /// A number.
    Integer,
    /// 0 or 1.
    Flag,
    /// Milliseconds since 1970; RFC 3339 in a record.
    Moment,
    /// A person's 12 bytes; 24 digits.
    Person,
    /// 16 bytes; a UUID.
    Uuid,
    /// Bytes; hexadecimal digits.
    Bytes,
    /// JSON, which a record has in it as it is.
    Json,
    /// A number that rows of all people share; in a record each person's own count.
    Ordinal,
    /// The number of a turn's row, or NULL; the turn's id.
    Turn,
    /// As [`Shape::Turn`], with 0 in place of NULL.
    TurnOrZero,
    /// The id of an entity or relation: the graph's number and, below it, the item's; the item's.
    Item,
    /// The id of an observation, likewise.
    Observation,
}

/// A value that is not what its column or its field holds.
#[derive(Debug, thiserror::Error)]
#[error("the field {field} holds what cannot be there")]
pub(super) struct Misshapen {
    field: &'static str,
}

impl Shape {
    /// The SQL that reads a column of the row `row` as it is written in a record, but for what [`Shape::write`] does.
    pub(super) fn read_sql(self, row: &str, column: &str) -> String {
        match self {
            Self::Turn | Self::TurnOrZero => format!("(SELECT id FROM turns WHERE number = {row}.{column})"),
            Self::Item | Self::Observation => format!("({row}.{column} & 2147483647)"),
            _ => format!("{row}.{column}"),
        }
    }

    /// The SQL of the column's value, from the parameter of that number and, where the row is part of a graph, from the person in
    /// the parameter `person`.
    pub(super) fn store_sql(self, parameter: usize, person: usize) -> String {
        let graph = || format!("((SELECT number FROM graphs WHERE user_id = ?{person}) << 32)");
        match self {
            Self::Turn => format!("(SELECT number FROM turns WHERE id = ?{parameter})"),
            // A turn that is not there gives NULL, which the column refuses.
            Self::TurnOrZero => {
                format!("(CASE WHEN ?{parameter} IS NULL THEN 0 ELSE (SELECT number FROM turns WHERE id = ?{parameter}) END)")
            }
            Self::Item => format!("({} | ?{parameter})", graph()),
            Self::Observation => format!("({} | 2147483648 | ?{parameter})", graph()),
            _ => format!("?{parameter}"),
        }
    }

    /// Writes a value that was read as JSON; false when it is NULL, which a record leaves out.
    pub(super) fn write(self, field: &'static str, value: ValueRef<'_>, out: &mut String) -> Result<bool, Misshapen> {
        let misshapen = Misshapen { field };
        let written = match (self, value) {
            (_, ValueRef::Null) => return Ok(false),
            (Self::Flag, ValueRef::Integer(number @ (0 | 1))) => write!(out, "{}", number == 1),
            (Self::Moment, ValueRef::Integer(millis)) => write!(out, "\"{}\"", Timestamp::from_millis(millis)),
            (Self::Integer | Self::Ordinal | Self::Item | Self::Observation, ValueRef::Integer(number)) => write!(out, "{number}"),
            (Self::Text, ValueRef::Text(bytes)) => {
                let Ok(text) = std::str::from_utf8(bytes) else { return Err(misshapen) };
                let Ok(quoted) = serde_json::to_string(text) else { return Err(misshapen) };
                out.push_str(&quoted);
                Ok(())
            }
            (Self::Json, ValueRef::Text(bytes)) => {
                let Ok(text) = std::str::from_utf8(bytes) else { return Err(misshapen) };
                out.push_str(text);
                Ok(())
            }
            (Self::Person, ValueRef::Blob(bytes)) => {
                let Ok(bytes) = bytes.try_into() else { return Err(misshapen) };
                write!(out, "\"{}\"", UserId::from_bytes(bytes))
            }
            (Self::Uuid | Self::Turn | Self::TurnOrZero, ValueRef::Blob(bytes)) => {
                let Ok(id) = Uuid::from_slice(bytes) else { return Err(misshapen) };
                write!(out, "\"{id}\"")
            }
            (Self::Bytes, ValueRef::Blob(bytes)) => write!(out, "\"{}\"", hex::encode(bytes)),
            _ => return Err(misshapen),
        };
        if written.is_err() { Err(misshapen) } else { Ok(true) }
    }

    /// The value to bind for a field of a record.
    pub(super) fn bind(self, field: &'static str, json: Option<&RawValue>) -> Result<Value, Misshapen> {
        let Some(json) = json.filter(|json| json.get() != "null") else { return Ok(Value::Null) };
        let value = match self {
            Self::Text => parse(json).map(Value::Text),
            Self::Integer | Self::Ordinal | Self::Item | Self::Observation => parse(json).map(Value::Integer),
            Self::Flag => parse(json).map(|flag: bool| Value::Integer(flag.into())),
            Self::Moment => parse(json).map(|moment: Timestamp| Value::Integer(moment.as_millis())),
            Self::Person => parse(json).map(|id: UserId| Value::Blob(id.as_bytes().to_vec())),
            Self::Uuid | Self::Turn | Self::TurnOrZero => parse(json).map(|id: Uuid| Value::Blob(id.as_bytes().to_vec())),
            Self::Bytes => parse::<String>(json).and_then(|digits| hex::decode(digits).ok()).map(Value::Blob),
            Self::Json => Some(Value::Text(json.get().to_owned())),
        };
        value.ok_or(Misshapen { field })
    }
}

fn parse<T: DeserializeOwned>(json: &RawValue) -> Option<T> {
    serde_json::from_str(json.get()).ok()
}
