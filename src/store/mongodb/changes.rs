//! Changes that a person makes by a word: in the unit that stores the word, so that each is made once.

use super::unit::Unit;
use crate::store::{Change, Receipt, StoreError, StoreResult};

impl Unit<'_> {
    /// Makes a change; false when there was nothing to change, or a limit forbids it. Then nothing is changed.
    #[expect(clippy::unused_async, reason = "the graph, the list and the schedules come next")]
    pub(super) async fn make_change(&mut self, _of: &Receipt, _change: &Change) -> StoreResult<bool> {
        Err(StoreError::Unsupported { reason: "changes by a word are not in this build".to_owned() })
    }
}
