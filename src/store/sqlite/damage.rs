//! Damage that is met while the store is used. It does not pass: from then on the store says so whenever it is asked whether it is
//! well, until somebody has mended the file and started anew.

use std::path::Path;
use std::sync::OnceLock;

use super::SqliteStore;
use super::fault::same;
use crate::store::{Extent, StoreError, StoreResult};

/// The first damage of the store as a whole that was met.
#[derive(Default)]
pub(super) struct Met(OnceLock<StoreError>);

impl Met {
    /// # Errors
    /// The damage, where some was met.
    pub(super) fn check(&self) -> StoreResult<()> {
        self.0.get().map_or(Ok(()), |damage| Err(same(damage)))
    }
}

impl SqliteStore {
    /// An answer of the store, with what it tells of damage noted.
    pub(super) fn noted<T>(&self, answer: StoreResult<T>) -> StoreResult<T> {
        let Err(StoreError::Corrupt { place, extent: Extent::Store, reason }) = answer else { return answer };
        let is_index = self.companion.is_some() && place == self.file;
        let reason = if is_index { way_out_of_an_index(&reason, &place) } else { reason };
        let damage = StoreError::Corrupt { place, extent: Extent::Store, reason };
        if self.damage.0.set(same(&damage)).is_ok() {
            tracing::error!(error = %damage, "the store is damaged; until it is mended texts that meet the damage are refused, and their senders try again");
        }
        Err(damage)
    }
}

/// What is only derived is not restored but made again.
fn way_out_of_an_index(reason: &str, index: &Path) -> String {
    let what = reason.split(';').next().unwrap_or(reason);
    let folder = index.parent().unwrap_or(index).display();
    format!("{what}; it is only the index of the files: stop this program, delete {folder}, and the next start makes it again")
}
