//! The files of records: which there are, and that each is as it was written.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::layout::{FileOf, Layout, OF_PERSON, PERSON, SHARED};
use super::manifest::Manifest;
use super::sheet::{self, Sheet, damaged};
use crate::domain::ids::UserId;
use crate::store::{StoreError, StoreResult};

/// So many people are worth a thread.
const SHARE: usize = 64;

/// The list of everybody who has a folder.
pub(super) const PEOPLE: FileOf = FileOf { user: None, name: "people" };

/// A line of that list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    user_id: UserId,
}

/// Everybody who has a folder, as the list says.
pub(super) fn people(layout: &Layout, store: &str) -> StoreResult<Vec<UserId>> {
    let path = layout.file(&PEOPLE);
    let Some(text) = sheet::read(&path)? else {
        return Err(damaged(&path, "it is missing"));
    };
    let sheet = sheet::check(&path, &text, store, &PEOPLE)?;
    let lines = sheet.body.lines().map(|line| serde_json::from_str::<Listed>(line).map(|listed| listed.user_id));
    lines.collect::<Result<_, _>>().map_err(|error| damaged(&path, &format!("a line is not a person's: {error}")))
}

/// Reads a file that should be there and hands it out, checked. Returns which others its head names.
fn one(
    layout: &Layout,
    store: &str,
    of: &FileOf,
    take: &mut impl FnMut(&Path, &FileOf, &Sheet<'_>) -> StoreResult<()>,
    damage: &mut impl FnMut(PathBuf, StoreError) -> StoreResult<()>,
) -> StoreResult<Vec<String>> {
    let path = layout.file(of);
    let read = sheet::read(&path).and_then(|text| text.ok_or_else(|| damaged(&path, "it is missing")));
    let text = match read {
        Ok(text) => text,
        Err(error) => return damage(path, error).map(|()| Vec::new()),
    };
    match sheet::check(&path, &text, store, of) {
        Ok(sheet) => {
            take(&path, of, &sheet)?;
            Ok(sheet.head.files)
        }
        Err(error) => damage(path, error).map(|()| Vec::new()),
    }
}

/// The files of some people.
fn of_people(
    layout: &Layout,
    store: &str,
    people: &[UserId],
    take: &mut impl FnMut(&Path, &FileOf, &Sheet<'_>) -> StoreResult<()>,
    damage: &mut impl FnMut(PathBuf, StoreError) -> StoreResult<()>,
) -> StoreResult<()> {
    for user in people {
        let files = one(layout, store, &FileOf { user: Some(*user), name: PERSON }, take, damage)?;
        for (name, _kinds) in OF_PERSON.iter().filter(|(name, _kinds)| files.iter().any(|file| file == name)) {
            one(layout, store, &FileOf { user: Some(*user), name }, take, damage)?;
        }
    }
    Ok(())
}

/// Reads every file that should be there and hands it out, checked. Damage is collected by `damage`, which may end the reading.
pub(super) fn each(
    layout: &Layout,
    store: &str,
    manifest: &Manifest,
    mut take: impl FnMut(&Path, &FileOf, &Sheet<'_>) -> StoreResult<()>,
    mut damage: impl FnMut(PathBuf, StoreError) -> StoreResult<()>,
) -> StoreResult<()> {
    for (name, _kinds) in SHARED {
        if manifest.shared.iter().any(|there| there == name) {
            one(layout, store, &FileOf { user: None, name }, &mut take, &mut damage)?;
        }
    }
    if manifest.generation == 0 {
        return Ok(());
    }
    match people(layout, store) {
        Ok(everybody) => of_people(layout, store, &everybody, &mut take, &mut damage),
        Err(error) => damage(layout.file(&PEOPLE), error),
    }
}

/// Reads every file and tells whether each is as it was written, on all processors: an open store waits for it.
pub(super) fn verify(layout: &Layout, store: &str, manifest: &Manifest) -> StoreResult<()> {
    each(layout, store, &Manifest { generation: 0, ..manifest.clone() }, |_path, _of, _sheet| Ok(()), |_path, error| Err(error))?;
    if manifest.generation == 0 {
        return Ok(());
    }
    let everybody = people(layout, store)?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let share = everybody.len().div_ceil(threads).max(SHARE);
    std::thread::scope(|scope| {
        let check = |people| move || of_people(layout, store, people, &mut |_path, _of, _sheet| Ok(()), &mut |_path, error| Err(error));
        let checks: Vec<_> = everybody.chunks(share).map(|people| scope.spawn(check(people))).collect();
        checks.into_iter().try_for_each(|check| {
            let broken = |_panic| StoreError::Unavailable { reason: "the check of the files broke down".to_owned(), source: None };
            check.join().map_err(broken)?
        })
    })
}
