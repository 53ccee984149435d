//! What a store over SQLite has beside the file: nothing, or another backend whose derived index the file is.

use rusqlite::Connection;

use super::fault::Outcome;
use super::writer::Unit;
use crate::store::StoreResult;

/// Keeps what is written elsewhere, before it is committed here. The writer calls it within its transactions, on its thread.
pub(in crate::store) trait Journal: Send {
    /// The connection that will write, before it does.
    fn attach(&mut self, db: &Connection) -> Outcome<()>;

    /// A transaction has begun and holds the write lock: what others kept and did not commit is made up for.
    fn begun(&mut self, unit: &Unit<'_>) -> Outcome<()>;

    /// A unit has been done: what it changed is noted.
    fn done(&mut self, unit: &Unit<'_>) -> Outcome<()>;

    /// Everything noted is made durable, as the last thing before the commit.
    fn keep(&mut self, unit: &Unit<'_>) -> Outcome<()>;

    /// The transaction was committed.
    fn committed(&mut self);

    /// The transaction was rolled back: what was noted is forgotten, what was kept of it is taken back.
    ///
    /// # Errors
    /// [`crate::store::StoreError::outcome_is_unknown`] when it could not be taken back.
    fn rolled_back(&mut self) -> StoreResult<()>;
}

/// What goes on beside the store's own threads.
pub(in crate::store) trait Companion: Send + Sync {
    /// Tells whether there is room at this moment for what a unit keeps, and leave to write it.
    ///
    /// # Errors
    /// When there is not.
    fn probe(&self) -> StoreResult<()>;

    /// Something was deleted that must not stay readable.
    fn forget(&self);

    /// The store marks that it is being restored, or is no longer, where its index is not needed to see it.
    ///
    /// # Errors
    /// When the mark could not be written.
    fn restoring(&self, archive: Option<&str>) -> StoreResult<()>;

    /// The store has closed its connections.
    fn close(&self);
}

/// Both.
pub(in crate::store) struct Beside {
    /// Where writes are kept.
    pub(in crate::store) journal: Box<dyn Journal>,
    /// What else goes on.
    pub(in crate::store) companion: std::sync::Arc<dyn Companion>,
}
