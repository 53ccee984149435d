//! The way back when files are damaged. Only when asked: it goes on without what cannot be read, after it has said what that is.
//!
//! Where the index is whole it has everything, and the files are written from it anew. Else the copies beside the files are used,
//! with the journal since them; what of the journal cannot be read is left out.

use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::layout::{FileOf, Keep, Layout, OF_PERSON, PERSON, beside, previous, put};
use super::manifest::{Identity, Manifest};
use super::pen::lock_file;
use super::rebuild::{self, Source};
use super::segments;
use super::sheet::{self, Head};
use crate::clock::Clock;
use crate::config::sections::Storage;
use crate::store::sqlite::file_in;
use crate::store::{StoreError, StoreResult};

/// What was done about a damaged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// The file; it stays beside, with `.damaged` behind its name.
    pub file: PathBuf,
    /// What was wrong with it, and what stands in its place.
    pub what: String,
}

/// Checks every file and puts the last good state in place of what is damaged. The store must be open nowhere.
///
/// # Errors
/// [`StoreError::Unavailable`] while a process has it open; [`StoreError::Corrupt`] for a file that has no good copy either.
pub(in crate::store) fn mend(storage: &Storage, clock: &Clock) -> StoreResult<Vec<Mended>> {
    let layout = Layout { root: super::folder(storage) };
    let lock = lock_file(&layout.lock())?;
    lock.try_lock().map_err(|error| {
        let reason = format!("another process has {} open; stop it first", layout.root.display());
        StoreError::unavailable(reason, std::io::Error::from(error))
    })?;
    let mut mended = Vec::new();
    let identity = document(&layout.identity(), &mut mended, || Identity::read(&layout))?;
    let manifest = document(&layout.manifest(), &mut mended, || Manifest::read(&layout, &identity.store))?;
    let source = Source { layout: &layout, store: &identity.store, manifest: &manifest, restoring: identity.restoring.as_deref() };
    let mut damaged = damage(&source)?;
    let known = rebuild::known(&source);
    let journal = rebuild::journal(&source, known.as_ref(), |_change| Ok(())).err();
    let file = file_in(&layout.index());
    if known.is_some() {
        let whole = Checkpoint { layout: layout.clone(), store: identity.store.clone(), file, clock: clock.clone() };
        if damaged.is_empty() && journal.is_none() {
            return Ok(mended);
        }
        for (path, error) in damaged {
            set_aside(&path)?;
            mended.push(Mended { file: path, what: format!("{error}; written anew from the index, which has everything") });
        }
        if let Some(StoreError::Corrupt { place, reason, .. }) = journal {
            let segment = after_journal(&layout, &identity.store, &manifest, &place)?;
            mended
                .push(Mended { file: place, what: format!("{reason}; the index has what it said; the journal goes on in part {segment}") });
        }
        whole.everything()?;
        return Ok(mended);
    }
    // A person's own file names the others, so what is wrong with those may show only when it is whole.
    while !damaged.is_empty() {
        for (path, error) in damaged {
            let (text, what) = last_good(&source, &path).ok_or_else(|| no_copy(&path, &error))?;
            set_aside(&path)?;
            put(&path, text.as_bytes(), Keep::Nothing)?;
            mended.push(Mended { file: path, what: format!("{error}; {what}") });
        }
        damaged = damage(&source)?;
    }
    if let Some(error) = journal {
        return Err(error);
    }
    if !mended.is_empty() {
        // The copies are older than the files: the journal is read from where they end.
        Manifest { segment: manifest.previous_segment, ..manifest }.write(&layout)?;
        rebuild::clear(&layout)?;
    }
    Ok(mended)
}

/// Every file that is not as it was written.
fn damage(source: &Source<'_>) -> StoreResult<Vec<(PathBuf, StoreError)>> {
    let mut damaged: Vec<(PathBuf, StoreError)> = Vec::new();
    super::files::each(
        source.layout,
        source.store,
        source.manifest,
        |path, _of, sheet| sheet::records(path, sheet).try_for_each(|read| read.map(|_record| ())),
        |path, error| {
            damaged.push((path, error));
            Ok(())
        },
    )?;
    Ok(damaged)
}

/// What a file held where the journal begins, and what is to be said of it.
fn last_good(source: &Source<'_>, path: &Path) -> Option<(String, &'static str)> {
    let Source { layout, store, manifest, .. } = source;
    let of = file_of_path(layout, path)?;
    let copy = previous(path);
    if let Some(text) = sheet::read(&copy).ok()? {
        sheet::check(&copy, &text, store, &of).ok()?;
        return Some((text, "its last copy stands in its place, with the journal since then"));
    }
    if !manifest.is_new(layout, path) {
        return None;
    }
    let others = OF_PERSON.iter().filter(|(name, _kinds)| *name != PERSON && layout.file(&FileOf { name, ..of }).exists());
    let files = if of.name == PERSON { others.map(|(name, _kinds)| (*name).to_owned()).collect() } else { Vec::new() };
    let nothing = sheet::write(Head { files, ..Head::new(store, &of, manifest.generation) }, "").ok()?;
    Some((nothing, "it was new, so the journal has all that was in it"))
}

/// A document that vouches for itself, or its last copy.
fn document<T>(path: &Path, mended: &mut Vec<Mended>, read: impl Fn() -> StoreResult<Option<T>>) -> StoreResult<T> {
    let missing = || sheet::damaged(path, "it is missing");
    match read() {
        Ok(Some(found)) => Ok(found),
        Err(error @ StoreError::Unsupported { .. }) => Err(error),
        found => {
            let error = found.err().unwrap_or_else(missing);
            let copy = sheet::read(&previous(path))?.ok_or_else(missing)?;
            set_aside(path)?;
            put(path, copy.as_bytes(), Keep::Nothing)?;
            mended.push(Mended { file: path.to_owned(), what: format!("{error}; its last copy stands in its place") });
            read()?.ok_or_else(missing)
        }
    }
}

fn no_copy(path: &Path, error: &StoreError) -> StoreError {
    sheet::damaged(path, &format!("{error}; its copy is damaged or missing as well: restore an archive"))
}

fn set_aside(path: &Path) -> StoreResult<()> {
    match std::fs::rename(path, beside(path, "damaged")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(super::layout::failed("set aside", path, error)),
        _ => Ok(()),
    }
}

/// Which file of records lies there.
fn file_of_path(layout: &Layout, path: &Path) -> Option<FileOf> {
    let name = path.file_name()?.to_str()?.strip_suffix(".jsonl")?;
    let folder = path.parent()?;
    if folder == layout.shared() {
        if name == super::files::PEOPLE.name {
            return Some(super::files::PEOPLE);
        }
        return super::layout::SHARED.iter().find(|(known, _kinds)| *known == name).map(|(name, _kinds)| FileOf { user: None, name });
    }
    let user = folder.file_name()?.to_str()?.parse().ok()?;
    OF_PERSON.iter().find(|(known, _kinds)| *known == name).map(|(name, _kinds)| FileOf { user: Some(user), name })
}

/// Sets the damaged parts of the journal aside and begins a new one; the index has what they said.
fn after_journal(layout: &Layout, store: &str, manifest: &Manifest, damaged: &Path) -> StoreResult<u64> {
    let there = segments::list(layout)?;
    let next = there.last().copied().unwrap_or(0) + 1;
    for segment in &there {
        let path = layout.segment(*segment);
        if path == damaged { set_aside(&path)? } else { super::layout::remove(&path)? }
    }
    let position = rebuild::position(&file_in(&layout.index()))?;
    let begun = super::pen::begin_segment(layout, store, next, position.next)?;
    rebuild::set_position(&file_in(&layout.index()), &begun)?;
    Manifest { segment: next, previous_segment: next, ..manifest.clone() }.write(layout)?;
    Ok(next)
}
