//! A file of records: a head that says what it is and vouches for it, then a record a line.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::layout::FileOf;
use crate::domain::ids::UserId;
use crate::store::record::Record;
use crate::store::{Extent, StoreError, StoreResult};

/// What the head says first.
pub(super) const FORMAT: &str = "scrubjay-json";
/// Which version of it this release writes and reads.
pub(super) const VERSION: u32 = 1;

/// The first line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    pub(super) format: String,
    pub(super) version: u32,
    /// The store's id.
    pub(super) store: String,
    /// The file's name, so that one cannot be taken for another.
    pub(super) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_id: Option<UserId>,
    /// Which checkpoint wrote it.
    pub(super) generation: u64,
    /// How many lines follow.
    pub(super) lines: usize,
    /// In a person's own file: which others the person has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) files: Vec<String>,
    /// Of this line with this left empty, and all that follows.
    pub(super) sha256: String,
}

impl Head {
    /// Of a file whose lines are not known yet.
    pub(super) fn new(store: &str, of: &FileOf, generation: u64) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            store: store.to_owned(),
            kind: of.name.to_owned(),
            user_id: of.user,
            generation,
            lines: 0,
            files: Vec::new(),
            sha256: String::new(),
        }
    }
}

/// Writes a file: its head with the checksum, and its lines.
pub(super) fn write(mut head: Head, body: &str) -> StoreResult<String> {
    head.lines = body.lines().count();
    head.sha256 = String::new();
    let unsigned = json(&head)?;
    head.sha256 = hex::encode(Sha256::new().chain_update(&unsigned).chain_update("\n").chain_update(body).finalize());
    let mut text = json(&head)?;
    text.push('\n');
    text.push_str(body);
    Ok(text)
}

fn json(head: &Head) -> StoreResult<String> {
    serde_json::to_string(head).map_err(|error| StoreError::unavailable("a head could not be written as JSON", error))
}

/// Damage, and the way out of it.
pub(super) fn damaged(path: &Path, what: &str) -> StoreError {
    let reason =
        format!("{what}; stop everything that uses the store, then `scrubjay store check --use-previous` goes back to the last good copy");
    StoreError::Corrupt { place: path.to_owned(), extent: Extent::Store, reason }
}

/// What a file is checked to be.
#[derive(Debug)]
pub(super) struct Sheet<'a> {
    pub(super) head: Head,
    /// Its lines behind the head.
    pub(super) body: &'a str,
}

/// Checks a file's text: that it is that file of that store, and as it was written.
pub(super) fn check<'a>(path: &Path, text: &'a str, store: &str, of: &FileOf) -> StoreResult<Sheet<'a>> {
    let (first, body) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(head) = serde_json::from_str::<Head>(first) else {
        return Err(damaged(path, "its first line is not a head"));
    };
    if head.format != FORMAT || head.version > VERSION {
        let reason = format!("{} was written by a newer release, or another program (version {})", path.display(), head.version);
        // A bit may have flipped in the version: what vouches for itself is believed.
        if sum(&head, body)? == head.sha256 {
            return Err(StoreError::Unsupported { reason });
        }
    }
    if sum(&head, body)? != head.sha256 || json(&head)? != first {
        return Err(damaged(path, "its checksum does not fit its content"));
    }
    if head.store != store || head.kind != of.name || head.user_id != of.user || head.lines != body.lines().count() {
        return Err(damaged(path, "it is another file than its name and place say"));
    }
    Ok(Sheet { head, body })
}

fn sum(head: &Head, body: &str) -> StoreResult<String> {
    let unsigned = json(&Head { sha256: String::new(), ..head.clone() })?;
    Ok(hex::encode(Sha256::new().chain_update(&unsigned).chain_update("\n").chain_update(body).finalize()))
}

/// Reads a file; `None` when it is not there.
pub(super) fn read(path: &Path) -> StoreResult<Option<String>> {
    match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_error) => Err(damaged(path, "it is not text")),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(super::layout::failed("read", path, error)),
    }
}

/// The records of a checked file.
pub(super) fn records<'a>(path: &'a Path, sheet: &Sheet<'a>) -> impl Iterator<Item = StoreResult<(Record, &'a str)>> + use<'a> {
    let body = sheet.body;
    (2..).zip(body.lines()).map(move |(number, line): (usize, &str)| {
        let record = Record::from_json(line).map_err(|error| damaged(path, &format!("line {number}: {error}")))?;
        Ok((record, line))
    })
}

/// Writes a small document that vouches for itself.
pub(super) fn sign(value: &impl Serialize) -> StoreResult<String> {
    let written =
        serde_json::to_string(value).map_err(|error| StoreError::unavailable("a document could not be written as JSON", error))?;
    let body = written.strip_suffix('}').unwrap_or(&written);
    Ok(format!("{body},\"sha256\":\"{}\"}}\n", hex::encode(Sha256::digest(body.as_bytes()))))
}

/// Reads such a document; `None` when it is not there.
pub(super) fn read_signed<T: serde::de::DeserializeOwned>(path: &Path) -> StoreResult<Option<T>> {
    let Some(text) = read(path)? else { return Ok(None) };
    let whole = text.strip_suffix("\"}\n").and_then(|rest| rest.rsplit_once(",\"sha256\":\""));
    let Some((body, _sum)) = whole.filter(|(body, sum)| hex::encode(Sha256::digest(body.as_bytes())) == *sum) else {
        return Err(damaged(path, "its checksum does not fit its content"));
    };
    match serde_json::from_str(&format!("{body}}}")) {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(StoreError::Unsupported { reason: format!("{} is not of this release: {error}", path.display()) }),
    }
}
