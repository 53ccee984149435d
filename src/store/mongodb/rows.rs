//! Many writes to one collection in one command.

use mongodb::bson::{Bson, RawArrayBuf, RawDocument, rawdoc};

use super::MongoStore;
use super::fault::{self, DUPLICATE};
use super::fields::Fields;
use crate::store::{StoreError, StoreResult};

/// Statements of one command at most, and of how many bytes about: the server takes 48 MB.
const STATEMENTS: usize = 500;
const BYTES: usize = 12 * 1024 * 1024;

/// Statements for one command, until they are enough for it.
#[derive(Debug, Default)]
pub(super) struct Row {
    statements: RawArrayBuf,
    count: usize,
    bytes: usize,
}

/// What became of a row of updates.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Updated {
    /// All were made; so many documents were found or made.
    All(i64),
    /// Those before this place were made. That one met a document which has what only one may have; none after it was tried.
    Until(usize),
}

impl Row {
    /// Adds a statement, as the server's `update` command says it.
    pub(super) fn push(&mut self, statement: &RawDocument) {
        self.bytes += statement.as_bytes().len();
        self.count += 1;
        self.statements.push(statement);
    }

    pub(super) const fn is_full(&self) -> bool {
        self.count >= STATEMENTS || self.bytes >= BYTES
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl MongoStore {
    /// Makes a row of updates in order, as safely as every other write.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: some may have been made.
    pub(super) async fn update_row(&self, collection: &str, row: Row) -> StoreResult<Updated> {
        // A command that is run as it is has none of what the client says of writes.
        let safely = rawdoc! { "w": "majority", "j": true };
        let command = rawdoc! { "update": collection, "updates": row.statements, "ordered": true, "writeConcern": safely };
        let answer = self.db.run_raw_command(command).await.map_err(fault::unavailable)?;
        let fields = Fields::new(collection, &answer);
        if let Ok(failed) = answer.get_array("writeErrors")
            && let Some(Bson::Document(failure)) = failed.first()
        {
            let failure = Fields::new(collection, failure);
            let code = failure.find_number("code")?;
            if code == Some(i64::from(DUPLICATE)) {
                return Ok(Updated::Until(usize::try_from(failure.number("index")?).unwrap_or(0)));
            }
            let reason = format!("MongoDB refused to write into {collection:?} (code {})", code.unwrap_or_default());
            return Err(StoreError::Unavailable { reason, source: None });
        }
        if answer.contains_key("writeConcernError") {
            let reason = "MongoDB could not write safely enough; is most of the replica set there?".to_owned();
            return Err(StoreError::Unavailable { reason, source: None });
        }
        Ok(Updated::All(fields.find_number("n")?.unwrap_or(0)))
    }
}
