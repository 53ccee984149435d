//! Whether the index on the disk is the one that was left there. It is not flushed to disk while it is used: after the machine
//! stopped, or as a copy, it can be anything. Then it is made again.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::layout::{Keep, Layout, put, remove};
use crate::store::StoreResult;
use crate::store::sqlite::{Access, connect, file_in};

/// On which start of which machine the index was opened last, and which file it was.
fn owner(file: &Path) -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(format!("{} {}", boot.trim(), identity(file)?))
}

fn identity(file: &Path) -> Option<String> {
    let metadata = file.metadata().ok()?;
    Some(format!("{}:{}", metadata.dev(), metadata.ino()))
}

/// Whether nothing can have happened to the index since it was used last.
pub(super) fn trusted(layout: &Layout) -> bool {
    let file = file_in(&layout.index());
    let read = |name: &str| std::fs::read_to_string(layout.index().join(name)).ok();
    let same_boot = owner(&file).is_some_and(|owner| read("owner").as_deref() == Some(&*owner));
    let clean = identity(&file).is_some_and(|identity| read("clean").as_deref() == Some(&*identity));
    same_boot || clean
}

/// The index is about to be used.
pub(super) fn mark_used(layout: &Layout) -> StoreResult<()> {
    remove(&layout.index().join("clean"))?;
    super::layout::sync_folder(&layout.index())?;
    match owner(&file_in(&layout.index())) {
        Some(owner) => put(&layout.index().join("owner"), owner.as_bytes(), Keep::Nothing),
        None => remove(&layout.index().join("owner")),
    }
}

/// The index is whole on the disk, and nobody has it open. Where that cannot be seen to, it is made again at the next start after
/// the machine's.
pub(super) fn mark_clean(layout: &Layout) {
    let file = file_in(&layout.index());
    let flushed = connect(&file, Access::Checkpoint, 1).and_then(|db| {
        let busy: rusqlite::Result<bool> = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        drop(db);
        File::open(&file).and_then(|file| file.sync_all()).map_err(|error| super::layout::failed("flushed", &file, error))?;
        Ok(matches!(busy, Ok(false)))
    });
    match (flushed, identity(&file)) {
        (Ok(true), Some(identity)) => {
            if let Err(error) = put(&layout.index().join("clean"), identity.as_bytes(), Keep::Nothing) {
                tracing::debug!(error = %error, "the index could not be marked as whole");
            }
        }
        (Ok(_busy), _) => {}
        (Err(error), _) => tracing::debug!(error = %error, "the index could not be flushed"),
    }
}
