//! Graphs that this process has read, each with the revision that it is of.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::held::Held;
use crate::domain::ids::UserId;

/// Bytes of graphs that are kept, about.
const BYTES: usize = 96 * 1024 * 1024;

/// A graph of a revision.
#[derive(Clone)]
struct Kept {
    revision: i64,
    held: Arc<Held>,
    /// When it was last asked for, by the shelf's own count.
    used: u64,
}

#[derive(Default)]
struct Shelved {
    graphs: HashMap<UserId, Kept>,
    bytes: usize,
    uses: u64,
}

/// The graphs that were used last.
#[derive(Default)]
pub(in crate::store::mongodb) struct Shelf {
    shelved: Mutex<Shelved>,
}

impl fmt::Debug for Shelf {
    /// Without what the graphs say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").finish_non_exhaustive()
    }
}

impl Shelf {
    fn shelved(&self) -> std::sync::MutexGuard<'_, Shelved> {
        self.shelved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A person's graph, if it is of that revision.
    pub(super) fn find(&self, user: UserId, revision: i64) -> Option<Arc<Held>> {
        let mut shelved = self.shelved();
        shelved.uses += 1;
        let this_use = shelved.uses;
        let kept = shelved.graphs.get_mut(&user).filter(|kept| kept.revision == revision)?;
        kept.used = this_use;
        Some(Arc::clone(&kept.held))
    }

    /// Takes a person's graph off the shelf to be changed; nobody else has it then, unless somebody reads it just now.
    pub(super) fn take(&self, user: UserId, revision: i64) -> Option<Arc<Held>> {
        let mut shelved = self.shelved();
        let kept = shelved.graphs.remove(&user)?;
        shelved.bytes = shelved.bytes.saturating_sub(kept.held.bytes);
        (kept.revision == revision).then_some(kept.held)
    }

    /// Keeps a graph, unless a newer one of the person is kept; those that were not used for longest make room.
    pub(super) fn keep(&self, user: UserId, revision: i64, held: Arc<Held>) {
        let mut shelved = self.shelved();
        if shelved.graphs.get(&user).is_some_and(|kept| kept.revision > revision) {
            return;
        }
        shelved.uses += 1;
        let kept = Kept { revision, used: shelved.uses, held };
        shelved.bytes += kept.held.bytes;
        if let Some(before) = shelved.graphs.insert(user, kept) {
            shelved.bytes = shelved.bytes.saturating_sub(before.held.bytes);
        }
        while shelved.bytes > BYTES && shelved.graphs.len() > 1 {
            let oldest = shelved.graphs.iter().min_by_key(|(_user, kept)| kept.used).map(|(user, _kept)| *user);
            if let Some(gone) = oldest.and_then(|oldest| shelved.graphs.remove(&oldest)) {
                shelved.bytes = shelved.bytes.saturating_sub(gone.held.bytes);
            }
        }
    }
}
