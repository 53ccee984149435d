//! Changes that a person makes by a word: in the unit that stores the word, so that each is made once.

use super::unit::Unit;
use crate::store::{Change, Receipt, StoreError, StoreResult};

impl Unit<'_> {
    /// Makes a change; false when there was nothing to change, or a limit forbids it. Then nothing is changed.
    pub(super) async fn make_change(&mut self, of: &Receipt, change: &Change) -> StoreResult<bool> {
        match self.try_change(of, change).await {
            Err(StoreError::NotFound { .. } | StoreError::Conflict { .. }) => Ok(false),
            other => other,
        }
    }

    async fn try_change(&mut self, of: &Receipt, change: &Change) -> StoreResult<bool> {
        Ok(match change {
            Change::Forget(id) => self.forget_fact(*id).await?.is_some(),
            Change::ForgetEntity(name) => self.forget_entity(name).await?.deleted > 0,
            Change::ForgetEverything => self.forget_graph().await?.entities > 0,
            Change::AddTodo { new, limit } => self.add_todo(new, *limit).await?.is_new,
            Change::CompleteTodo(id) => self.complete_todo(*id).await?.changed,
            Change::AddSchedule { new, limit } => self.add_schedule(new, Some(of.conversation_id), *limit).await?.is_new,
            Change::DeleteSchedule(id) => {
                self.delete_schedule(*id).await?;
                true
            }
        })
    }
}
