//! Our values in SQLite's columns, and back. A column that holds anything else is damaged data, never a default.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::domain::delivery::{DeliveryStatus, OutboundState};
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{AgentId, ConversationId, MessageId, OutboundId, TurnId, UserId};
use crate::domain::ledger::Credits;
use crate::domain::message::Role;
use crate::domain::phone::PhoneNumber;
use crate::domain::quiet_hours::QuietHours;
use crate::domain::time::Timestamp;
use crate::domain::todo::{Priority, TodoId};
use crate::domain::turn::{Refusal, TurnState};

/// A stored value that is not what its column holds.
fn damaged(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> FromSqlError {
    FromSqlError::Other(error.into())
}

impl ToSql for UserId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.as_bytes())))
    }
}

impl FromSql for UserId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let bytes = value.as_blob()?;
        match bytes.try_into() {
            Ok(bytes) => Ok(Self::from_bytes(bytes)),
            Err(_) => Err(FromSqlError::InvalidBlobSize { expected_size: 12, blob_size: bytes.len() }),
        }
    }
}

macro_rules! uuid_column {
    ($($name:ident),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.as_uuid().as_bytes())))
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                uuid(value).map(Self::from_uuid)
            }
        }
    )*};
}
uuid_column!(ConversationId, MessageId, TurnId, OutboundId);

/// A UUID of 16 bytes.
fn uuid(value: ValueRef<'_>) -> FromSqlResult<Uuid> {
    let bytes = value.as_blob()?;
    Uuid::from_slice(bytes).map_err(|_size| FromSqlError::InvalidBlobSize { expected_size: 16, blob_size: bytes.len() })
}

/// A UUID that has no type of its own.
pub(super) struct Id(pub(super) Uuid);

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes())))
    }
}

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        uuid(value).map(Self)
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_millis().into())
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self::from_millis)
    }
}

impl ToSql for TodoId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.number().into())
    }
}

impl FromSql for TodoId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        Self::new(number).ok_or(FromSqlError::OutOfRange(number))
    }
}

impl ToSql for Credits {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.into())
    }
}

impl FromSql for Credits {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self)
    }
}

impl ToSql for PhoneNumber {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for PhoneNumber {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::from_stored(value.as_str()?).map_err(damaged)
    }
}

impl ToSql for QuietHours {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.to_string().into())
    }
}

impl FromSql for QuietHours {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(damaged)
    }
}

impl ToSql for Endpoint {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for Endpoint {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::parse(value.as_str()?).map_err(damaged)
    }
}

impl ToSql for AgentId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for AgentId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(damaged)
    }
}

/// Words that a column may hold, in both directions.
macro_rules! word_column {
    ($name:ident, $parse:expr) => {
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let word = value.as_str()?;
                $parse(word).ok_or_else(|| damaged(format!(concat!("{:?} is no ", stringify!($name)), word)))
            }
        }
    };
}
word_column!(TurnState, TurnState::parse);
word_column!(Refusal, Refusal::parse);
word_column!(OutboundState, OutboundState::parse);
word_column!(Priority, Priority::parse);
word_column!(DeliveryStatus, DeliveryStatus::parse);
word_column!(Role, |word| [Role::External, Role::Assistant].into_iter().find(|role| role.as_str() == word));

/// What kind of turn: who answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnKind {
    /// A model.
    Reply,
    /// Nobody: a text that is only kept, or a consent word.
    Record,
    /// We, with a text that was given when the turn was made.
    Answer,
    /// Nobody asked: a text of a schedule, which later prompts repeat.
    Remind,
}

impl TurnKind {
    /// As stored.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Record => "record",
            Self::Answer => "answer",
            Self::Remind => "remind",
        }
    }
}
word_column!(TurnKind, |word| {
    [TurnKind::Reply, TurnKind::Record, TurnKind::Answer, TurnKind::Remind].into_iter().find(|kind| kind.as_str() == word)
});

/// A value kept as JSON text.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        serde_json::to_string(&self.0).map(Into::into).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Self).map_err(damaged)
    }
}
