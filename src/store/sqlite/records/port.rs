//! [`Keeping`] over SQLite.

use std::collections::BTreeSet;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::{mpsc, oneshot};

use super::super::fault::{Fault, Outcome};
use super::super::open::{Access, connect};
use super::super::writer::{Unit, Urgency};
use super::super::{SqliteStore, inspect, lanes};
use super::put::{Numbers, put};
use super::snapshot;
use crate::domain::ids::UserId;
use crate::store::record::Record;
use crate::store::{Damage, Keeping, Snapshot, StoreError, StoreResult, Whose};

/// Records of one batch of a snapshot at most, and of how many bytes of text about.
const RECORDS: usize = 256;
const BYTES: usize = 1 << 20;

/// Under which keys of `meta` it is kept that, and how far, an archive is being restored.
const ARCHIVE: &str = "restoring";
const RESTORED: &str = "restored";

#[async_trait]
impl Keeping for SqliteStore {
    async fn snapshot(&self, whose: Whose) -> StoreResult<Snapshot> {
        let (batches, received) = mpsc::channel(1);
        let file = self.file.clone();
        let begun = std::thread::Builder::new().name("store-snapshot".to_owned()).spawn(move || {
            let read = connect(&file, Access::Snapshot, 16).and_then(|db| {
                let read = read(&db, whose, |batch| batches.blocking_send(Ok(batch)).is_ok());
                read.map_err(|fault| fault.into_store_error(&file))
            });
            if let Err(error) = read {
                // Whoever asked may have gone.
                let _gone = batches.blocking_send(Err(error));
            }
        });
        begun.map_err(|error| StoreError::unavailable("the thread that reads everything could not be started", error))?;
        Ok(Snapshot::new(received))
    }

    async fn begin_restore(&self, archive: &str) -> StoreResult<u64> {
        let name = archive.to_owned();
        self.presence.be_alone()?;
        let begun = self.write(Urgency::Other, move |unit| begin(unit, &name)).await;
        let begun = begun.and_then(|restored| {
            self.companion.as_ref().map_or(Ok(()), |companion| companion.restoring(Some(archive)))?;
            Ok(restored)
        });
        if begun.is_err() {
            self.presence.be_one_of_many();
        }
        begun
    }

    async fn restore(&self, batch: Vec<Record>, restored: u64) -> StoreResult<()> {
        self.write(Urgency::Other, move |unit| restore(unit, &batch, restored)).await
    }

    async fn finish_restore(&self) -> StoreResult<()> {
        self.companion.as_ref().map_or(Ok(()), |companion| companion.restoring(None))?;
        self.write(Urgency::Other, finish).await?;
        self.presence.be_one_of_many();
        Ok(())
    }

    async fn find_damage(&self) -> StoreResult<Vec<Damage>> {
        let file = self.file.clone();
        let (answer, answered) = oneshot::channel();
        let begun = std::thread::Builder::new().name("store-check".to_owned()).spawn(move || {
            // Whoever asked may have gone.
            let _gone = answer.send(inspect::find_damage(&file));
        });
        begun.map_err(|error| StoreError::unavailable("the thread that checks everything could not be started", error))?;
        answered.await.map_err(|error| StoreError::unavailable("the check broke down", error))?
    }
}

/// Reads everything in one transaction and hands it out in batches, until `hand_out` says that nobody wants more.
fn read(db: &Connection, whose: Whose, mut hand_out: impl FnMut(Vec<Record>) -> bool) -> Outcome<()> {
    db.execute_batch("BEGIN")?;
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut wanted = true;
    snapshot::each(db, whose, |record| {
        bytes += record.weight();
        batch.push(record);
        if batch.len() >= RECORDS || bytes >= BYTES {
            bytes = 0;
            wanted = hand_out(std::mem::take(&mut batch));
        }
        wanted
    })?;
    if wanted && !batch.is_empty() {
        hand_out(batch);
    }
    db.execute_batch("COMMIT")?;
    Ok(())
}

/// The archive that is being restored.
pub(in crate::store::sqlite) fn being_restored(db: &Connection) -> rusqlite::Result<Option<String>> {
    meta(db, ARCHIVE)
}

fn meta(db: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT value FROM meta WHERE key = ?1")?.query_row([key], |row| row.get(0)).optional()
}

fn set_meta(db: &Connection, key: &str, value: &str) -> rusqlite::Result<usize> {
    db.prepare_cached("INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value")?
        .execute([key, value])
}

fn begin(unit: &Unit<'_>, archive: &str) -> Outcome<u64> {
    match being_restored(unit.db)? {
        Some(other) if other != archive => {
            let reason =
                format!("another archive ({other}) is being restored into this store; go on with that one, or begin in an empty folder");
            Err(StoreError::Conflict { reason }.into())
        }
        Some(_same) => {
            let restored = meta(unit.db, RESTORED)?.and_then(|restored| restored.parse().ok());
            restored.ok_or_else(|| Fault::contradiction("how much was restored is not a number"))
        }
        None if !snapshot::is_empty(unit.db)? => {
            let reason = "the store holds something already; an archive is restored into an empty one".to_owned();
            Err(StoreError::Conflict { reason }.into())
        }
        None => {
            set_meta(unit.db, ARCHIVE, archive)?;
            set_meta(unit.db, RESTORED, "0")?;
            Ok(0)
        }
    }
}

fn restore(unit: &Unit<'_>, batch: &[Record], restored: u64) -> Outcome<()> {
    if being_restored(unit.db)?.is_none() {
        return Err(StoreError::Conflict { reason: "no archive is being restored into this store".to_owned() }.into());
    }
    for record in batch {
        put(unit.db, record, Numbers::New).map_err(|fault| explain(fault, record))?;
    }
    refresh_lanes(unit, batch)?;
    set_meta(unit.db, RESTORED, &restored.to_string())?;
    Ok(())
}

/// A record that other records contradict is not the store's damage.
fn explain(fault: Fault, record: &Record) -> Fault {
    match fault {
        Fault::Sql(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
            let reason = format!(
                "a record of the kind {:?} contradicts another, or comes before what it belongs to: {error}",
                record.kind().as_str()
            );
            StoreError::Conflict { reason }.into()
        }
        other => other,
    }
}

/// Sets when the lanes of those whose turns and messages these are may be looked at.
fn refresh_lanes(unit: &Unit<'_>, records: &[Record]) -> Outcome<()> {
    let lanes = |record: &&Record| matches!(record, Record::Activity(_) | Record::Turn(_) | Record::Outbound(_));
    refresh(unit, records.iter().filter(lanes).filter_map(Record::user_id).collect())
}

/// Sets when these people's lanes may be looked at.
pub(in crate::store) fn refresh(unit: &Unit<'_>, people: BTreeSet<UserId>) -> Outcome<()> {
    for user in people {
        lanes::refresh_turns(unit, user)?;
        lanes::refresh_deliveries(unit, user)?;
    }
    Ok(())
}

fn finish(unit: &Unit<'_>) -> Outcome<()> {
    unit.db.prepare_cached("DELETE FROM meta WHERE key IN (?1, ?2)")?.execute([ARCHIVE, RESTORED])?;
    Ok(())
}
