//! What goes wrong in here, and what it means outside.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::store::{Extent, Locked, StoreError};

/// Why a unit of work did not happen.
#[derive(Debug)]
pub(in crate::store) enum Fault {
    /// SQLite said so, or a row holds what its column should not.
    Sql(rusqlite::Error),
    /// Our own rules said so.
    Refused(StoreError),
}

/// What a unit of work gives.
pub(in crate::store) type Outcome<T> = Result<T, Fault>;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl Fault {
    /// A row that contradicts others.
    pub(in crate::store) fn contradiction(reason: &'static str) -> Self {
        Self::Sql(rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Null, reason.into()))
    }

    /// Whether stored rows are not what they should be: it concerns whom they belong to, not everybody.
    pub(super) const fn is_damage(&self) -> bool {
        matches!(self, Self::Sql(error) if is_damage(error))
    }

    /// As the port says it.
    pub(in crate::store) fn into_store_error(self, file: &Path) -> StoreError {
        match self {
            Self::Refused(error) => error,
            Self::Sql(error) => explain(error, file),
        }
    }
}

/// Sorts SQLite's errors by what the caller, or the host, can do.
pub(in crate::store) fn explain(error: rusqlite::Error, file: &Path) -> StoreError {
    let name = file.display();
    let corrupt = |extent: Extent, reason: String| StoreError::Corrupt { place: file.to_owned(), extent, reason };
    let code = match &error {
        rusqlite::Error::SqliteFailure(failure, _) => failure.code,
        damage if is_damage(damage) => {
            let reason =
                format!("a row holds what cannot be there ({error}); keep the file, restore a copy, or mend the row with the sqlite3 tool");
            return corrupt(Extent::Part, reason);
        }
        _ => ErrorCode::Unknown,
    };
    let reason = match code {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            let reason = format!("{error}; keep the file aside and restore a copy of it, or try `sqlite3 {name} .recover` on a copy");
            return corrupt(Extent::Store, reason);
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            let reason = format!("another process kept {name} locked longer than {} s; end it, or try again", super::open::WAIT.as_secs());
            return StoreError::unavailable(reason, Locked);
        }
        ErrorCode::DiskFull => format!("no room on the disk of {name}; free some"),
        ErrorCode::SystemIoFailure => format!("reading or writing {name} failed; look at the disk and the system log"),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            format!("{name} cannot be written; let the user who runs this own the file and its folder")
        }
        ErrorCode::CannotOpen => format!("{name} cannot be opened; look at its folder and who may write there"),
        _ => format!("{name} did not take it"),
    };
    StoreError::unavailable(reason, error)
}

/// The same failure for the next caller.
pub(super) fn same(error: &StoreError) -> StoreError {
    match error {
        StoreError::Corrupt { place, extent, reason } => {
            StoreError::Corrupt { place: place.clone(), extent: *extent, reason: reason.clone() }
        }
        locked @ StoreError::Unavailable { reason, .. } if locked.is_locked() => StoreError::unavailable(reason.clone(), Locked),
        unknown @ StoreError::Unavailable { reason, .. } if unknown.outcome_is_unknown() => {
            StoreError::unknown_outcome(reason.clone(), None)
        }
        StoreError::Unavailable { reason, .. } => StoreError::Unavailable { reason: reason.clone(), source: None },
        other => StoreError::Unavailable { reason: other.to_string(), source: None },
    }
}

const fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
    )
}
