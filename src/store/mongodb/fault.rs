//! What goes wrong in here, and what it means outside.

use std::time::Duration;

use mongodb::error::{Error, ErrorKind, WriteFailure};

use crate::store::StoreError;

/// A document with that key is there already.
pub(super) const DUPLICATE: i32 = 11_000;

/// After so long what a unit staged is no longer written by the process that staged it, but by the next that reads the head: it
/// may have been applied by another by then, and what came after deleted.
pub(super) const LATE: Duration = Duration::from_secs(5);

/// What became of a guarded write.
#[derive(Debug)]
pub(super) enum Wrote {
    /// It was written.
    Done,
    /// It was not: somebody else's is there.
    Refused,
    /// Nobody can say without looking.
    Unknown(Error),
}

/// Sorts what a guarded write came to: `matched` says whether the guard held.
pub(super) fn wrote(matched: Result<bool, Error>) -> Wrote {
    match matched {
        Ok(true) => Wrote::Done,
        Ok(false) => Wrote::Refused,
        Err(error) if is_duplicate(&error) => Wrote::Refused,
        Err(error) => Wrote::Unknown(error),
    }
}

/// Whether a document with that key was there already.
pub(super) fn is_duplicate(error: &Error) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Write(WriteFailure::WriteError(failure)) => failure.code == DUPLICATE,
        ErrorKind::Command(failure) => failure.code == DUPLICATE,
        _ => false,
    }
}

const SILENT: &str = "MongoDB did not answer as it should";

/// A failure of the server or of the way to it, as the port says it.
pub(super) fn unavailable(error: Error) -> StoreError {
    StoreError::unavailable(SILENT, error)
}

/// The same behind a commit: it may have happened.
pub(super) fn unknown(error: Error) -> StoreError {
    StoreError::unknown_outcome(SILENT, Some(error.into()))
}
