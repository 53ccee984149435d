//! What a unit changed in the index, read back as records.

use rusqlite::Connection;

use super::line::Noted;
use crate::domain::time::Timestamp;
use crate::store::StoreError;
use crate::store::sqlite::{Noticed, Outcome, noticed, watch};

/// Makes a connection notice what changes.
pub(super) fn begin(db: &Connection) -> Outcome<()> {
    watch(db)
}

/// What has changed since this was asked last; `None` where it is nothing that is kept.
pub(super) fn take(db: &Connection, at: Timestamp) -> Outcome<Option<Noted>> {
    let Noticed { mut put, delete } = noticed(db)?;
    if put.is_empty() && delete.is_empty() {
        return Ok(None);
    }
    put.sort_by_cached_key(crate::store::record::Record::place);
    let put = put
        .iter()
        .map(|record| record.to_json().map_err(|error| StoreError::unavailable("a record could not be written as JSON", error)))
        .collect::<Result<_, _>>()?;
    Ok(Some(Noted { at, delete, put }))
}
