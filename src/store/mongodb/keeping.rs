//! All that a database holds as records, and back: refused until documents are converted to records and from them.

use async_trait::async_trait;

use super::MongoStore;
use crate::store::record::Record;
use crate::store::{Keeping, Snapshot, StoreError, StoreResult, Whose};

fn refused() -> StoreError {
    let reason = "archives of a MongoDB database are not in this release; use mongodump and mongorestore".to_owned();
    StoreError::Unsupported { reason }
}

#[async_trait]
impl Keeping for MongoStore {
    async fn snapshot(&self, _whose: Whose) -> StoreResult<Snapshot> {
        Err(refused())
    }

    async fn begin_restore(&self, _archive: &str) -> StoreResult<u64> {
        Err(refused())
    }

    async fn restore(&self, _batch: Vec<Record>, _restored: u64) -> StoreResult<()> {
        Err(refused())
    }

    async fn finish_restore(&self) -> StoreResult<()> {
        Err(refused())
    }
}
