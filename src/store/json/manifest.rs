//! The two documents that say what a folder is and how far its files reach.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::layout::{Keep, Layout, put};
use super::sheet::{self, FORMAT, VERSION};
use crate::store::{StoreError, StoreResult};

/// `store.json`: whose folder this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    pub(super) format: String,
    /// The backend that the data is of.
    pub(super) backend: String,
    pub(super) version: u32,
    /// The store's id, in every file and in the index.
    pub(super) store: String,
    /// The archive that is being restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) restoring: Option<String>,
}

impl Identity {
    pub(super) fn new(store: String) -> Self {
        Self { format: FORMAT.to_owned(), backend: "json".to_owned(), version: VERSION, store, restoring: None }
    }

    pub(super) fn read(layout: &Layout) -> StoreResult<Option<Self>> {
        let path = layout.identity();
        let found: Option<Self> = sheet::read_signed(&path)?;
        if let Some(identity) = &found
            && (identity.format != FORMAT || identity.backend != "json" || identity.version > VERSION)
        {
            let reason = format!(
                "{} says it is of the backend {:?}, version {}; this release reads \"json\" up to version {VERSION}",
                path.display(),
                identity.backend,
                identity.version
            );
            return Err(StoreError::Unsupported { reason });
        }
        Ok(found)
    }

    pub(super) fn write(&self, layout: &Layout) -> StoreResult<()> {
        put(&layout.identity(), sheet::sign(self)?.as_bytes(), Keep::Previous)
    }
}

/// `checkpoint.json`: how far the files reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) store: String,
    /// How often files were written.
    pub(super) generation: u64,
    /// The first part of the journal that is not in the files.
    pub(super) segment: u64,
    /// The first part that is not in the copies beside them.
    pub(super) previous_segment: u64,
    /// The files of what is nobody's that there are.
    pub(super) shared: Vec<String>,
    /// What was written last, so has an older copy beside it: paths below the store's folder.
    pub(super) written: Vec<String>,
    /// Those of them that were not there before, so have no older copy: what they held then is nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) new: Vec<String>,
    /// What is deleted now that this says what there is: paths likewise. A process may have died before it did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) deleted: Vec<String>,
}

impl Manifest {
    /// Of a store that has no files yet.
    pub(super) fn first(store: &str) -> Self {
        Self {
            store: store.to_owned(),
            generation: 0,
            segment: 1,
            previous_segment: 1,
            shared: Vec::new(),
            written: Vec::new(),
            new: Vec::new(),
            deleted: Vec::new(),
        }
    }

    pub(super) fn read(layout: &Layout, store: &str) -> StoreResult<Option<Self>> {
        let path = layout.manifest();
        let found: Option<Self> = sheet::read_signed(&path)?;
        if found.as_ref().is_some_and(|manifest| manifest.store != store) {
            return Err(sheet::damaged(&path, "it is another store's"));
        }
        Ok(found)
    }

    /// Whether a file had nothing before it was written last.
    pub(super) fn is_new(&self, layout: &Layout, path: &Path) -> bool {
        self.new.iter().any(|new| layout.root.join(new) == path)
    }

    pub(super) fn write(&self, layout: &Layout) -> StoreResult<()> {
        put(&layout.manifest(), sheet::sign(self)?.as_bytes(), Keep::Previous)
    }
}
