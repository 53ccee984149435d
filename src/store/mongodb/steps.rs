//! What an agent does within a turn.

use async_trait::async_trait;

use super::MongoStore;
use super::state::StepState;
use super::unit::Apply;
use crate::domain::ids::{TurnId, UserId};
use crate::domain::step::{CallPlace, CallResult, NewStep, Step};
use crate::domain::turn::TurnLease;
use crate::store::{Steps, StoreError, StoreResult};

#[async_trait]
impl Steps for MongoStore {
    async fn record_step(&self, lease: &TurnLease, step: NewStep) -> StoreResult<()> {
        lost(self.change(lease.user_id, Apply::Later, |draft| draft.record_step(lease, step.clone())).await)
    }

    async fn begin_call(&self, lease: &TurnLease, place: CallPlace) -> StoreResult<()> {
        lost(self.change(lease.user_id, Apply::Later, |draft| draft.begin_call(lease, place)).await)
    }

    async fn end_call(&self, lease: &TurnLease, place: CallPlace, result: CallResult) -> StoreResult<()> {
        lost(self.change(lease.user_id, Apply::Later, |draft| draft.end_call(lease, place, &result)).await)
    }

    async fn list_steps(&self, user_id: UserId, turn_id: TurnId) -> StoreResult<Vec<Step>> {
        let Some(head) = self.load_settled(user_id).await? else { return Ok(Vec::new()) };
        if let Some(turn) = head.state.turns.iter().find(|turn| turn.id == turn_id) {
            return Ok(turn.steps.iter().map(StepState::step).collect());
        }
        Ok(self.find_past_turn(user_id, turn_id).await?.map(|turn| turn.steps).unwrap_or_default())
    }
}

/// A person who is gone has no leases.
fn lost<T>(outcome: StoreResult<T>) -> StoreResult<T> {
    outcome.map_err(|error| match error {
        StoreError::NotFound { what: "the person" } => StoreError::LeaseLost,
        other => other,
    })
}
