//! Keeping everything elsewhere: all that a store holds as records, and back.

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::StoreResult;
use super::record::Record;
use crate::domain::ids::UserId;

/// Whose records are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's, and what belongs to nobody.
    Everybodys,
    /// One person's.
    Persons(UserId),
}

/// Something that is wrong with what a backend keeps, beyond what its records say.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// What, without texts of people.
    pub what: String,
    /// What to do about it.
    pub mend: &'static str,
}

/// Everything that a store held at one moment, batch by batch, in the order of [`Record::place`]. What is written to the store
/// meanwhile is not in it, and waits for nothing. A store that cannot look at its past (MongoDB) holds to that person by person: what is
/// nobody's is of the beginning, and each person of one moment since, whole or not there. Reading ahead is bounded; dropping this ends it.
#[derive(Debug)]
pub struct Snapshot {
    batches: mpsc::Receiver<StoreResult<Vec<Record>>>,
}

impl Snapshot {
    /// What comes through this channel; an error is the last that comes.
    pub(crate) const fn new(batches: mpsc::Receiver<StoreResult<Vec<Record>>>) -> Self {
        Self { batches }
    }

    /// The next batch; `None` after the last.
    ///
    /// # Errors
    /// What the store says; the snapshot is not whole then.
    pub async fn next(&mut self) -> Option<StoreResult<Vec<Record>>> {
        self.batches.recv().await
    }
}

/// All that a store holds, out of it and into it.
#[async_trait]
pub trait Keeping {
    /// Everything that the store holds now, as records. Numbers that rows of all people share count each person's own from 1, so
    /// that equal stores give equal snapshots.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](super::StoreError::Unavailable) when reading cannot begin; later failures come with the batches.
    async fn snapshot(&self, whose: Whose) -> StoreResult<Snapshot>;

    /// Begins to restore, or goes on: returns how many records of that archive were restored already. From now until
    /// [`Keeping::finish_restore`] the store opens only by [`open_to_restore`](super::open_to_restore).
    ///
    /// # Errors
    /// [`StoreError::Conflict`](super::StoreError::Conflict) when the store holds something, or another archive is being restored;
    /// [`StoreError::Unavailable`](super::StoreError::Unavailable).
    async fn begin_restore(&self, archive: &str) -> StoreResult<u64>;

    /// Puts records, in their order, each in place of what has its key; `restored` is how many of the archive there are then.
    /// Repeating it changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`](super::StoreError::Conflict) when no restoring was begun, or a record contradicts another;
    /// [`StoreError::Unavailable`](super::StoreError::Unavailable). Nothing of the batch is there then.
    async fn restore(&self, batch: Vec<Record>, restored: u64) -> StoreResult<()>;

    /// Ends restoring: the store is one like any other.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](super::StoreError::Unavailable).
    async fn finish_restore(&self) -> StoreResult<()>;

    /// Looks for what is wrong beyond the records themselves: in files, in search indexes, in lanes. It changes nothing and may take
    /// long. A backend that keeps nothing but records has nothing to say.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](super::StoreError::Unavailable).
    async fn find_damage(&self) -> StoreResult<Vec<Damage>> {
        Ok(Vec::new())
    }
}
