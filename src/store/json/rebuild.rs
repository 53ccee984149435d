//! Making the index from the files and the journal.
//!
//! Files of different checkpoints and the journal over them pass through states that never were, so the last state of each record
//! is found first and the index is filled with that alone, what others refer to first.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use serde_json::value::RawValue;

use super::files;
use super::layout::Layout;
use super::manifest::Manifest;
use super::pen::{self, APPLIED};
use super::replay::Change;
use super::segments::{self, Position};
use super::sheet;
use super::trust;
use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;
use crate::store::record::{Kind, Record};
use crate::store::sqlite::{Access, Fault, MIGRATIONS, Numbers, Outcome, Unit, connect, file_in, prepare, put, refresh};
use crate::store::{StoreError, StoreResult};

/// Where the last state of each record is put together.
struct Stage<'a> {
    db: &'a Connection,
}

/// What tells a record from the others of its kind, as text.
fn key(kind: Kind, json: &str) -> Outcome<String> {
    let fields: HashMap<&str, &RawValue> =
        serde_json::from_str(json).map_err(|error| StoreError::unavailable("a key could not be read", error))?;
    Ok(kind.key_fields().iter().map(|field| fields.get(field).map_or("null", |raw| raw.get())).collect::<Vec<_>>().join(","))
}

impl Stage<'_> {
    fn begin(&self) -> Outcome<()> {
        self.db.execute_batch(
            "CREATE TEMP TABLE staged (kind INTEGER NOT NULL, key TEXT NOT NULL, within TEXT, json TEXT NOT NULL, PRIMARY KEY (kind, key))
             STRICT, WITHOUT ROWID;
             CREATE INDEX temp.staged_within ON staged (within) WHERE within IS NOT NULL;",
        )?;
        Ok(())
    }

    fn put(&self, record: &Record, json: &str) -> Outcome<()> {
        let within = match record {
            Record::Step(step) => Some(format!("\"{}\"", step.turn)),
            Record::Call(call) => Some(format!("\"{}\"", call.turn)),
            Record::Entity(_) | Record::Observation(_) | Record::Relation(_) => record.user_id().map(|user| format!("\"{user}\"")),
            _ => None,
        };
        self.db.prepare_cached("INSERT OR REPLACE INTO staged (kind, key, within, json) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            record.kind() as i64,
            key(record.kind(), json)?,
            within,
            json
        ])?;
        Ok(())
    }

    fn delete(&self, change: &super::replay::Key) -> Outcome<()> {
        let whole = key(change.kind, &change.json)?;
        self.db.prepare_cached("DELETE FROM staged WHERE kind = ?1 AND key = ?2")?.execute(params![change.kind as i64, whole])?;
        // A turn takes its steps along, a graph what is in it.
        let within = match change.kind {
            Kind::Turn => whole.split_once(',').map(|(_user, id)| id.to_owned()),
            Kind::Graph => Some(whole),
            _ => None,
        };
        if let Some(within) = within {
            self.db.prepare_cached("DELETE FROM staged WHERE within = ?1")?.execute([within])?;
        }
        Ok(())
    }

    fn change(&self, change: &Change) -> Outcome<()> {
        change.delete.iter().try_for_each(|key| self.delete(key))?;
        for record in &change.put {
            let json = record.to_json().map_err(|error| StoreError::unavailable("a record could not be written as JSON", error))?;
            self.put(record, &json)?;
        }
        Ok(())
    }

    fn fill(&self, file: &Path) -> Outcome<()> {
        let mut people: BTreeSet<UserId> = BTreeSet::new();
        let mut staged = self.db.prepare("SELECT json FROM staged ORDER BY kind, key")?;
        let mut rows = staged.query([])?;
        self.db.execute_batch("PRAGMA defer_foreign_keys = ON")?;
        while let Some(row) = rows.next()? {
            let json: String = row.get(0)?;
            let record = Record::from_json(&json).map_err(|error| sheet::damaged(file, &error.to_string()))?;
            put(self.db, &record, Numbers::Kept)?;
            people.extend(record.user_id());
        }
        // No moment is needed to say what is due.
        refresh(&Unit { db: self.db, now: Timestamp::from_millis(0), file }, people)
    }
}

/// Where the lines come from that do not come from the index.
pub(super) struct Source<'a> {
    pub(super) layout: &'a Layout,
    pub(super) store: &'a str,
    pub(super) manifest: &'a Manifest,
    /// The archive that is being restored.
    pub(super) restoring: Option<&'a str>,
}

/// The journal from the files on: calls `take` with each change. What a trusted index has read of it (`known`) was made durable, so it
/// is damaged where it cannot be read again. Returns where the journal ends.
pub(super) fn journal(
    source: &Source<'_>,
    known: Option<&Position>,
    mut take: impl FnMut(Change) -> StoreResult<()>,
) -> StoreResult<Position> {
    let Source { layout, store, manifest, .. } = source;
    let there = segments::list(layout)?;
    // What is older than the files is there for their copies, and is checked all the same.
    let first = there.iter().copied().find(|segment| *segment >= manifest.previous_segment).unwrap_or(manifest.segment);
    let last = there.last().copied().unwrap_or(0);
    let must = known.map_or(manifest.segment, |known| known.segment.max(manifest.segment));
    if last < must {
        return Err(segments::missing(layout, must));
    }
    let mut position = Position { segment: first.min(manifest.segment), offset: 0, next: 0, sum: String::new() };
    loop {
        let path = layout.segment(position.segment);
        if !path.exists() {
            return Err(segments::missing(layout, position.segment));
        }
        let more = position.segment < last;
        let known = known.filter(|known| known.segment == position.segment).map_or(0, |known| known.offset);
        let durable = if more { u64::MAX } else { known };
        let kept = position.segment >= manifest.segment;
        let read = segments::read_on(layout, store, &position, durable, |line| {
            let change = Change::of(line)?;
            if kept { take(change) } else { Ok(()) }
        })?;
        if read.end.offset < known {
            let what = "it is shorter than it was; where older files were put back on purpose, delete the folder index as well";
            return Err(sheet::damaged(&path, what));
        }
        if read.torn > 0 {
            // Whoever writes next cuts it off.
            tracing::debug!(file = %path.display(), bytes = read.torn, "the journal's end was not written whole");
        }
        if !more {
            return Ok(read.end);
        }
        position = Position { segment: position.segment + 1, offset: 0, ..read.end };
    }
}

/// Makes the index anew. The caller has the store to itself.
pub(super) fn rebuild(source: &Source<'_>, known: Option<&Position>) -> StoreResult<PathBuf> {
    let layout = source.layout;
    let file = file_in(&layout.index());
    clear(layout)?;
    prepare(&layout.index(), 16, MIGRATIONS)?;
    let db = connect(&file, Access::Write, 16)?;
    let made = (|| -> Outcome<Position> {
        db.execute_batch("PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;")?;
        let stage = Stage { db: &db };
        stage.begin()?;
        db.execute_batch("BEGIN IMMEDIATE")?;
        files::each(
            layout,
            source.store,
            source.manifest,
            |path, _of, sheet| {
                for record in sheet::records(path, sheet) {
                    let (record, line) = record?;
                    stage.put(&record, line).map_err(|fault| fault.into_store_error(path))?;
                }
                Ok(())
            },
            |_path, error| Err(error),
        )?;
        let end = journal(source, known, |change| stage.change(&change).map_err(|fault| fault.into_store_error(&file)))?;
        stage.fill(&file)?;
        pen::set_applied(&db, &end)?;
        db.execute("UPDATE meta SET value = 'json' WHERE key = 'backend'", [])?;
        db.execute("INSERT INTO meta (key, value) VALUES ('store', ?1)", [source.store])?;
        if let Some(archive) = source.restoring {
            db.execute("INSERT INTO meta (key, value) VALUES ('restoring', ?1), ('restored', '0')", [archive])?;
        }
        db.execute_batch(
            "CREATE INDEX turns_of_person ON turns (user_id, number);
             CREATE INDEX receipts_of_person ON receipts (user_id);
             COMMIT; DROP TABLE staged;",
        )?;
        Ok(end)
    })();
    made.map_err(|fault: Fault| fault.into_store_error(&file))?;
    Ok(file)
}

/// Deletes the index.
pub(super) fn clear(layout: &Layout) -> StoreResult<()> {
    let file = file_in(&layout.index());
    for name in ["", "-wal", "-shm", "-journal"] {
        let mut path = file.clone().into_os_string();
        path.push(name);
        super::layout::remove(&PathBuf::from(path))?;
    }
    for name in ["owner", "clean"] {
        super::layout::remove(&layout.index().join(name))?;
    }
    Ok(())
}

/// How much of the journal an index has that is to be trusted: of this store and release, and not behind the files.
pub(super) fn known(source: &Source<'_>) -> Option<Position> {
    let file = file_in(&source.layout.index());
    if !file.exists() || !trust::trusted(source.layout) {
        return None;
    }
    let look = || -> Outcome<Option<Position>> {
        let db = connect(&file, Access::Read, 1)?;
        let version: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let meta = |key: &str| -> rusqlite::Result<Option<String>> {
            db.query_row("SELECT max(value) FROM meta WHERE key = ?1", [key], |row| row.get(0))
        };
        let ours = usize::try_from(version).ok() == Some(MIGRATIONS.len())
            && meta("backend")?.as_deref() == Some("json")
            && meta("store")?.as_deref() == Some(source.store);
        Ok(if ours { meta(APPLIED)?.as_deref().and_then(Position::parse) } else { None })
    };
    look().ok().flatten().filter(|position| position.segment >= source.manifest.segment)
}

/// How much of the journal an index has.
pub(super) fn position(file: &Path) -> StoreResult<Position> {
    let look = || -> Outcome<Option<Position>> { pen::applied(&connect(file, Access::Read, 1)?) };
    look()
        .map_err(|fault| fault.into_store_error(file))?
        .ok_or_else(|| sheet::damaged(file, "it does not say how much of the journal it has"))
}

/// Says how much it has.
pub(super) fn set_position(file: &Path, position: &Position) -> StoreResult<()> {
    let write = || -> Outcome<()> { pen::set_applied(&connect(file, Access::Write, 1)?, position) };
    write().map_err(|fault| fault.into_store_error(file))
}
