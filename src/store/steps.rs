//! What an agent does within a turn, recorded as it happens.

use async_trait::async_trait;

use super::StoreResult;
use crate::domain::ids::{TurnId, UserId};
use crate::domain::step::{CallPlace, CallResult, NewStep, Step};
use crate::domain::turn::TurnLease;

/// The steps of turns. Whoever lost the lease records nothing, and so must not call a tool either.
///
/// [`LeasedTurn::steps`](crate::domain::turn::LeasedTurn::steps) brings them back to whoever takes the turn up again.
#[async_trait]
pub trait Steps {
    /// Records what a model asked for, before any of it is done. A step that is recorded already stays as it is.
    ///
    /// # Errors
    /// [`super::StoreError::LeaseLost`]; [`super::StoreError::Unavailable`].
    async fn record_step(&self, lease: &TurnLease, step: NewStep) -> StoreResult<()>;

    /// Records that a call begins now. One that has ended stays ended.
    ///
    /// # Errors
    /// [`super::StoreError::LeaseLost`]; [`super::StoreError::NotFound`] when no such call is recorded;
    /// [`super::StoreError::Unavailable`].
    async fn begin_call(&self, lease: &TurnLease, place: CallPlace) -> StoreResult<()>;

    /// Records what came of a call. The first result stays.
    ///
    /// # Errors
    /// [`super::StoreError::LeaseLost`]; [`super::StoreError::NotFound`] when no such call is recorded;
    /// [`super::StoreError::Unavailable`].
    async fn end_call(&self, lease: &TurnLease, place: CallPlace, result: CallResult) -> StoreResult<()>;

    /// The steps of a person's turn, in order; none for a turn that is not theirs.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn list_steps(&self, user_id: UserId, turn_id: TurnId) -> StoreResult<Vec<Step>>;
}
