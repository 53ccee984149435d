//! Writing the files: each that holds something that changed, from one moment of the index.
//!
//! Whatever moment a process dies at, nothing is lost: the journal goes only after the files that have what it says, and after a
//! second copy of each. Until `checkpoint.json` says otherwise the journal is read from where it was before; reading it again over
//! newer files gives the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::files::PEOPLE;
use super::keeper::Signals;
use super::layout::{
    FileOf, Keep, Layout, OF_PERSON, PERSON, SHARED, beside, file_of, kinds_of, previous, put_unsynced, remove, sync_folder,
};
use super::manifest::Manifest;
use super::pen::{Pen, lock_file};
use super::replay::Change;
use super::segments::{self, Position};
use super::sheet::{self, Head};
use crate::clock::Clock;
use crate::domain::ids::UserId;
use crate::store::record::Kind;
use crate::store::sqlite::{Access, Fault, Outcome, Unit, connect, of_kinds};
use crate::store::{StoreError, StoreResult};

/// Why files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// There is something new.
    Changed,
    /// There is nothing new, but the copies are older than the files: what is in them alone goes.
    Rest,
    /// Something must not stay readable: the older copies and the journal that have it go as well.
    Forgotten,
}

/// Writes the files of a store.
pub(super) struct Checkpoint {
    pub(super) layout: Layout,
    pub(super) store: String,
    /// The index.
    pub(super) file: PathBuf,
    pub(super) clock: Clock,
}

/// What a checkpoint works on: an index of one moment.
struct Moment {
    db: Connection,
    generation: u64,
    /// The first segment that is not in it.
    boundary: u64,
}

impl Checkpoint {
    /// Writes what changed. While another process does that, nothing is to be done.
    pub(super) fn run(&self, why: Why) -> StoreResult<()> {
        let path = self.layout.checkpoint_lock();
        let lock = lock_file(&path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) if why != Why::Forgotten => return Ok(()),
            Err(error) => return Err(StoreError::unavailable("another process writes the files", std::io::Error::from(error))),
        }
        self.once(&[])?;
        if why == Why::Forgotten {
            // What the first round wrote anew has an older copy beside it, and the journal goes one round later.
            self.once(&[])?;
        }
        Ok(())
    }

    /// Writes everything that the index holds, whatever the journal says: the way back when files are damaged and the index is not.
    pub(super) fn everything(&self) -> StoreResult<()> {
        let db = connect(&self.file, Access::Snapshot, 16)?;
        let everybody = in_index(&db).map_err(|fault| fault.into_store_error(&self.file))?;
        let mut all: Vec<FileOf> = SHARED.iter().map(|(name, _kinds)| FileOf { user: None, name }).collect();
        all.push(PEOPLE);
        for user in everybody {
            all.extend(OF_PERSON.iter().map(|(name, _kinds)| FileOf { user: Some(user), name }));
        }
        drop(db);
        self.once(&all)?;
        self.once(&[])
    }

    fn once(&self, also: &[FileOf]) -> StoreResult<()> {
        let manifest = Manifest::read(&self.layout, &self.store)?.unwrap_or_else(|| Manifest::first(&self.store));
        self.clear(&manifest)?;
        let moment = self.moment(&manifest)?;
        let mut changed = self.changed(manifest.segment, moment.boundary)?;
        changed.extend(also);
        self.write(&manifest, &moment, &changed).map_err(|fault| fault.into_store_error(&self.file))
    }

    /// Begins a new segment, and to read at exactly that moment.
    fn moment(&self, manifest: &Manifest) -> StoreResult<Moment> {
        let db = connect(&self.file, Access::Write, 1)?;
        let off = db.pragma_update(None, "synchronous", "OFF").map_err(Fault::from);
        let mut pen = Pen::new(&self.layout, &self.store, Arc::new(Signals::default()))?;
        let reading = connect(&self.file, Access::Snapshot, 8)?;
        let begun = off.and_then(|()| {
            super::capture::begin(&db)?;
            db.execute_batch("BEGIN IMMEDIATE")?;
            let unit = Unit { db: &db, now: self.clock.now(), file: &self.file };
            let rotated = pen.catch_up(&unit).and_then(|end| pen.rotate(&unit, &end));
            match rotated {
                Ok(boundary) => {
                    db.execute_batch("COMMIT")?;
                    // Whoever writes next waits for the journal's lock, so this is the moment of the new segment.
                    reading.execute_batch("BEGIN")?;
                    reading.query_row("SELECT count(*) FROM meta", [], |_row| Ok(()))?;
                    Ok(boundary)
                }
                Err(fault) => {
                    db.execute_batch("ROLLBACK")?;
                    Err(fault)
                }
            }
        });
        pen.release();
        let boundary = begun.map_err(|fault| fault.into_store_error(&self.file))?;
        Ok(Moment { db: reading, generation: manifest.generation + 1, boundary })
    }

    /// The files that what the journal says from one segment up to another touches.
    fn changed(&self, from: u64, to: u64) -> StoreResult<BTreeSet<FileOf>> {
        let mut changed = BTreeSet::new();
        for segment in from..to {
            let start = Position { segment, offset: 0, next: 0, sum: String::new() };
            segments::read_on(&self.layout, &self.store, &start, u64::MAX, |line| {
                let change = Change::of(line)?;
                for key in &change.delete {
                    if key.kind == Kind::Person {
                        changed.extend(OF_PERSON.iter().map(|(name, _kinds)| FileOf { user: key.user, name }));
                    }
                    changed.insert(file_of(key.kind, key.user));
                }
                for record in &change.put {
                    if record.kind() == Kind::Person {
                        changed.insert(PEOPLE);
                    }
                    changed.insert(file_of(record.kind(), record.user_id()));
                }
                changed.extend(change.delete.iter().any(|key| key.kind == Kind::Person).then_some(PEOPLE));
                Ok(())
            })?;
        }
        Ok(changed)
    }

    fn write(&self, manifest: &Manifest, moment: &Moment, changed: &BTreeSet<FileOf>) -> Outcome<()> {
        let mut written: BTreeSet<PathBuf> = BTreeSet::new();
        let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
        let mut empty: Vec<PathBuf> = Vec::new();
        let mut new: BTreeSet<PathBuf> = BTreeSet::new();
        let mut put = |of: &FileOf, text: &str| -> Outcome<()> {
            let path = self.layout.file(of);
            if let Some(folder) = path.parent() {
                super::layout::make_folder(folder)?;
                folders.insert(folder.to_owned());
            }
            if !path.exists() {
                new.insert(path.clone());
            }
            put_unsynced(&path, text.as_bytes(), Keep::Previous)?;
            written.insert(path);
            Ok(())
        };
        let people: BTreeSet<UserId> = changed.iter().filter_map(|file| file.user).collect();
        let mut gone: Vec<UserId> = Vec::new();
        for user in people {
            let mut there: Vec<String> = Vec::new();
            for (name, _kinds) in OF_PERSON {
                let of = FileOf { user: Some(user), name };
                if *name == PERSON {
                    continue;
                }
                if changed.contains(&of) {
                    let body = body(&moment.db, &of)?;
                    if body.is_empty() {
                        empty.push(self.layout.file(&of));
                    } else {
                        put(&of, &self.sheet(&of, moment.generation, Vec::new(), &body)?)?;
                        there.push((*name).to_owned());
                    }
                } else if self.layout.file(&of).exists() {
                    there.push((*name).to_owned());
                }
            }
            let of = FileOf { user: Some(user), name: PERSON };
            let body = body(&moment.db, &of)?;
            if body.contains("{\"kind\":\"person\"") {
                put(&of, &self.sheet(&of, moment.generation, there, &body)?)?;
            } else {
                gone.push(user);
            }
        }
        let mut shared = manifest.shared.clone();
        for of in changed.iter().filter(|file| file.user.is_none() && **file != PEOPLE) {
            let body = body(&moment.db, of)?;
            shared.retain(|name| name != of.name);
            if body.is_empty() {
                empty.push(self.layout.file(of));
            } else {
                put(of, &self.sheet(of, moment.generation, Vec::new(), &body)?)?;
                shared.push(of.name.to_owned());
            }
        }
        shared.sort();
        if changed.contains(&PEOPLE) || !gone.is_empty() || manifest.generation == 0 {
            let mut lines = String::new();
            for user in in_index(&moment.db)? {
                let _infallible = writeln!(lines, "{{\"userId\":\"{user}\"}}");
            }
            put(&PEOPLE, &self.sheet(&PEOPLE, moment.generation, Vec::new(), &lines)?)?;
        }
        folders.insert(self.layout.people());
        for folder in &folders {
            sync_folder(folder)?;
        }
        self.refresh_copies(manifest, &written)?;
        let below = |path: &Path| path.strip_prefix(&self.layout.root).unwrap_or(path).to_string_lossy().into_owned();
        let next = Manifest {
            generation: moment.generation,
            segment: moment.boundary,
            previous_segment: manifest.segment,
            shared,
            written: written.iter().map(|path| below(path)).collect(),
            new: new.iter().map(|path| below(path)).collect(),
            deleted: empty.iter().cloned().chain(gone.iter().map(|user| self.layout.person(*user))).map(|path| below(&path)).collect(),
            ..manifest.clone()
        };
        next.write(&self.layout)?;
        self.clear(&next)?;
        Ok(())
    }

    /// Whether the journal has something that is not in the files, and whether it or the copies have something that is in neither
    /// any more: so a process left them that was ended before its time.
    pub(super) fn left_over(&self) -> StoreResult<(bool, bool)> {
        let Some(manifest) = Manifest::read(&self.layout, &self.store)? else { return Ok((false, false)) };
        let mut lines = (false, false);
        for segment in segments::list(&self.layout)? {
            if segments::has_lines(&self.layout.segment(segment))? {
                let newer = segment >= manifest.segment;
                lines = (lines.0 || newer, lines.1 || !newer);
            }
        }
        Ok((lines.0, lines.1 || !manifest.written.is_empty() || !manifest.deleted.is_empty()))
    }

    /// What was written last time and not now has a copy beside it that is older than the journal reaches: it becomes one of now.
    fn refresh_copies(&self, manifest: &Manifest, written: &BTreeSet<PathBuf>) -> StoreResult<()> {
        let mut folders = BTreeSet::new();
        for path in manifest.written.iter().map(|path| self.layout.root.join(path)).filter(|path| !written.contains(path)) {
            let Some(text) = sheet::read(&path)? else { continue };
            let copy = previous(&path);
            put_unsynced(&copy, text.as_bytes(), Keep::Nothing)?;
            folders.extend(path.parent().map(Path::to_owned));
        }
        folders.iter().try_for_each(|folder| sync_folder(folder))
    }

    /// Deletes what nothing names any more: files of which nothing is left, folders of people who are gone, segments.
    fn clear(&self, manifest: &Manifest) -> StoreResult<()> {
        for path in manifest.deleted.iter().map(|path| self.layout.root.join(path)) {
            if path.is_dir() {
                super::layout::remove_folder(&path)?;
                continue;
            }
            let copy = previous(&path);
            for path in [beside(&path, "part"), beside(&path, "link"), beside(&copy, "part"), copy, path] {
                remove(&path)?;
            }
        }
        for segment in segments::list(&self.layout)? {
            if segment < manifest.previous_segment {
                remove(&self.layout.segment(segment))?;
            }
        }
        Ok(())
    }

    fn sheet(&self, of: &FileOf, generation: u64, files: Vec<String>, body: &str) -> StoreResult<String> {
        sheet::write(Head { files, ..Head::new(&self.store, of, generation) }, body)
    }
}

/// The lines of a file.
fn body(db: &Connection, of: &FileOf) -> Outcome<String> {
    let mut body = String::new();
    of_kinds(db, kinds_of(of), of.user, |record| {
        let line = record.to_json().map_err(|error| StoreError::unavailable("a record could not be written as JSON", error))?;
        body.push_str(&line);
        body.push('\n');
        Ok(())
    })?;
    Ok(body)
}

/// Everybody who is in the index.
fn in_index(db: &Connection) -> Outcome<Vec<UserId>> {
    let mut everybody = db.prepare("SELECT user_id FROM people ORDER BY user_id")?;
    let everybody = everybody.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(everybody)
}
