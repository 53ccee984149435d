//! Where everything lies, and how a file is put in place.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::steps::{pieces, step};
use crate::domain::ids::UserId;
use crate::store::record::Kind;
use crate::store::{StoreError, StoreResult};

/// What a copy of a file's last state is called behind the file's own name.
const PREVIOUS: &str = "previous";

/// The folders and files of a store.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// The store's folder.
    pub(super) root: PathBuf,
}

impl Layout {
    /// What names the store.
    pub(super) fn identity(&self) -> PathBuf {
        self.root.join("store.json")
    }

    /// Shared by all who have the store open; whoever has it alone checks and rebuilds.
    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// What the files contain.
    pub(super) fn manifest(&self) -> PathBuf {
        self.root.join("checkpoint.json")
    }

    /// The journal's folder.
    pub(super) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// A part of the journal.
    pub(super) fn segment(&self, number: u64) -> PathBuf {
        self.journal().join(format!("{number:08}.jsonl"))
    }

    /// Held while the journal is written to.
    pub(super) fn journal_lock(&self) -> PathBuf {
        self.journal().join("lock")
    }

    /// Held while files are written.
    pub(super) fn checkpoint_lock(&self) -> PathBuf {
        self.root.join("checkpoint.lock")
    }

    /// The index's folder: deletable.
    pub(super) fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    /// What belongs to nobody.
    pub(super) fn shared(&self) -> PathBuf {
        self.root.join("shared")
    }

    /// A person's folder.
    pub(super) fn person(&self, user: UserId) -> PathBuf {
        self.people().join(user.to_string())
    }

    /// Everybody's folders.
    pub(super) fn people(&self) -> PathBuf {
        self.root.join("people")
    }

    /// A file of records.
    pub(super) fn file(&self, of: &FileOf) -> PathBuf {
        let folder = of.user.map_or_else(|| self.shared(), |user| self.person(user));
        folder.join(format!("{}.jsonl", of.name))
    }

    /// Makes the folders, for their owner only.
    pub(super) fn make(&self) -> StoreResult<()> {
        for folder in [self.root.clone(), self.journal(), self.index(), self.shared(), self.people()] {
            make_folder(&folder)?;
        }
        Ok(())
    }

    /// Says in the folder of the index what that is. Whoever does has the store to itself.
    pub(super) fn explain_index(&self) -> StoreResult<()> {
        let note = self.index().join("README");
        if !note.exists() {
            let text = "A search index over the JSON files beside this folder. Nothing is kept here alone: stop the program, delete the\n\
                        folder, and it is made again.\n";
            put(&note, text.as_bytes(), Keep::Nothing)?;
        }
        Ok(())
    }
}

/// Which file of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileOf {
    /// Whose; `None` for what is nobody's.
    pub(super) user: Option<UserId>,
    /// Its name without the ending.
    pub(super) name: &'static str,
}

/// The files of what is nobody's, and what is in them.
pub(super) const SHARED: &[(&str, &[Kind])] = &[
    ("consents", &[Kind::Consent, Kind::HashKey, Kind::ErasedConsent]),
    ("state", &[Kind::Mark, Kind::DailyTurns, Kind::StatusReport]),
    ("tokens", &[Kind::Token]),
];

/// The files of a person. `person` comes last: it names the others.
pub(super) const OF_PERSON: &[(&str, &[Kind])] = &[
    ("conversations", &[Kind::Conversation, Kind::Summary]),
    ("messages", &[Kind::Message]),
    ("turns", &[Kind::Turn, Kind::Step, Kind::Call, Kind::Receipt]),
    ("outbox", &[Kind::Outbound]),
    ("memory", &[Kind::Graph, Kind::Entity, Kind::Observation, Kind::Relation]),
    ("todos", &[Kind::TodoList, Kind::Todo]),
    ("schedules", &[Kind::ScheduleList, Kind::Schedule]),
    (PERSON, &[Kind::Person, Kind::Activity, Kind::Notice, Kind::Token]),
];

/// The file that is there for every person.
pub(super) const PERSON: &str = "person";

/// The file that a record is in.
pub(super) fn file_of(kind: Kind, user: Option<UserId>) -> FileOf {
    let files = if user.is_some() { OF_PERSON } else { SHARED };
    let name = files.iter().find(|(_name, kinds)| kinds.contains(&kind)).map_or(PERSON, |(name, _kinds)| *name);
    FileOf { user, name }
}

/// What is in a file.
pub(super) fn kinds_of(file: &FileOf) -> &'static [Kind] {
    let files = if file.user.is_some() { OF_PERSON } else { SHARED };
    files.iter().find(|(name, _kinds)| *name == file.name).map_or(&[], |(_name, kinds)| *kinds)
}

/// The copy of a file's last state.
pub(super) fn previous(path: &Path) -> PathBuf {
    beside(path, PREVIOUS)
}

/// A file beside another, with something behind its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

/// What a host can do about a file.
pub(super) fn failed(what: &str, path: &Path, error: std::io::Error) -> StoreError {
    let advice = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => "no room on its disk; free some",
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            "let the user who runs this own the folder, on a disk that can be written to"
        }
        _ => "look at the disk and the system log",
    };
    StoreError::unavailable(format!("{} could not be {what}: {advice}", path.display()), error)
}

/// Makes a folder and those above it, for their owner only.
pub(super) fn make_folder(folder: &Path) -> StoreResult<()> {
    step().and_then(|()| DirBuilder::new().recursive(true).mode(0o700).create(folder)).map_err(|error| failed("made", folder, error))
}

/// Makes what was done in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> StoreResult<()> {
    step().and_then(|()| File::open(folder)).and_then(|folder| folder.sync_all()).map_err(|error| failed("written", folder, error))
}

/// What becomes of a file that another takes the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// It is gone.
    Nothing,
    /// It stays beside it, in place of the one before.
    Previous,
}

/// Writes a file whole: there is the old one or the new one at any moment, and the new one when this returns. The folder is to be
/// made durable by [`sync_folder`] afterwards.
pub(super) fn put_unsynced(path: &Path, bytes: &[u8], keep: Keep) -> StoreResult<()> {
    let part = beside(path, "part");
    if let Err(error) = write_new(&part, bytes) {
        // A part of a file takes room that may be what is missing.
        let _left = remove(&part);
        return Err(failed("written", &part, error));
    }
    if keep == Keep::Previous && path.exists() {
        let link = beside(path, "link");
        // What a process left that died just here.
        remove(&link)?;
        step().and_then(|()| std::fs::hard_link(path, &link)).map_err(|error| failed("kept", path, error))?;
        rename(&link, &previous(path)).map_err(|error| failed("kept", path, error))?;
        // Of two names of one file renaming one to the other leaves both: a process died when the copy was this very file.
        remove(&link)?;
    }
    rename(&part, path).map_err(|error| failed("written", path, error))
}

fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    step().and_then(|()| std::fs::rename(from, to))
}

/// The same, durable with its folder.
pub(super) fn put(path: &Path, bytes: &[u8], keep: Keep) -> StoreResult<()> {
    put_unsynced(path, bytes, keep)?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    step()?;
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    for piece in pieces(bytes) {
        step()?;
        file.write_all(piece)?;
    }
    step()?;
    file.sync_all()
}

/// Deletes a file; one that is not there is deleted.
pub(super) fn remove(path: &Path) -> StoreResult<()> {
    done(step().and_then(|()| std::fs::remove_file(path)), path)
}

/// Deletes a folder with all that is in it, likewise.
pub(super) fn remove_folder(path: &Path) -> StoreResult<()> {
    done(step().and_then(|()| std::fs::remove_dir_all(path)), path)
}

fn done(removed: std::io::Result<()>, path: &Path) -> StoreResult<()> {
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("deleted", path, error)),
        _ => Ok(()),
    }
}

/// How much room a probe asks for: more than the journal of a usual moment.
const PROBE: usize = 256 << 10;

/// Tells whether the disk takes what is written to a folder at this moment, by writing something to it.
pub(super) fn probe(folder: &Path) -> StoreResult<()> {
    let path = folder.join(format!("probe-{}", std::process::id()));
    let written = write_new(&path, &vec![b' '; PROBE]);
    let removed = std::fs::remove_file(&path);
    written.map_err(|error| failed("written", &path, error))?;
    removed.map_err(|error| failed("deleted", &path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_record_has_a_file() {
        for kind in Kind::ALL {
            let files = SHARED.iter().chain(OF_PERSON).filter(|(_name, kinds)| kinds.contains(kind)).count();
            let wanted = if *kind == Kind::Token { 2 } else { 1 };
            assert_eq!(files, wanted, "{kind:?}");
        }
    }
}
