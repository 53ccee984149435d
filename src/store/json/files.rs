//! The files of records: which there are, and that each is as it was written.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::layout::{FileOf, Layout, OF_PERSON, PERSON, SHARED};
use super::manifest::Manifest;
use super::sheet::{self, Sheet, damaged};
use crate::domain::ids::UserId;
use crate::store::StoreResult;

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

/// Reads every file that should be there and hands it out, checked. Damage is collected by `damage`, which may end the reading.
pub(super) fn each(
    layout: &Layout,
    store: &str,
    manifest: &Manifest,
    mut take: impl FnMut(&Path, &FileOf, &Sheet<'_>) -> StoreResult<()>,
    mut damage: impl FnMut(PathBuf, crate::store::StoreError) -> StoreResult<()>,
) -> StoreResult<()> {
    let mut one = |of: &FileOf, damage: &mut dyn FnMut(PathBuf, crate::store::StoreError) -> StoreResult<()>| -> StoreResult<Vec<String>> {
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
    };
    for (name, _kinds) in SHARED {
        if manifest.shared.iter().any(|there| there == name) {
            one(&FileOf { user: None, name }, &mut damage)?;
        }
    }
    if manifest.generation == 0 {
        return Ok(());
    }
    let everybody = match people(layout, store) {
        Ok(everybody) => everybody,
        Err(error) => return damage(layout.file(&PEOPLE), error),
    };
    for user in everybody {
        let files = one(&FileOf { user: Some(user), name: PERSON }, &mut damage)?;
        for (name, _kinds) in OF_PERSON.iter().filter(|(name, _kinds)| files.iter().any(|file| file == name)) {
            one(&FileOf { user: Some(user), name }, &mut damage)?;
        }
    }
    Ok(())
}
