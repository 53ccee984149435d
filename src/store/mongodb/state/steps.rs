//! What an agent does within a turn.

use super::words::JsonText;
use super::{CallState, Draft, StepState, Turn};
use crate::domain::step::{CallPlace, CallResult, NewStep, RecordedCall, Step};
use crate::domain::turn::TurnLease;
use crate::store::{StoreError, StoreResult};

impl StepState {
    /// The step as the port has it.
    pub(in crate::store::mongodb) fn step(&self) -> Step {
        Step {
            number: self.number,
            text: self.said.clone(),
            shown: self.shown,
            model: self.model.clone(),
            usage: self.usage,
            calls: self.calls.iter().map(CallState::recorded).collect(),
        }
    }
}

impl CallState {
    fn recorded(&self) -> RecordedCall {
        let result = self
            .ended_at
            .map(|_ended| CallResult { text: self.result.clone().unwrap_or_default(), failed: self.failed.unwrap_or_default() });
        RecordedCall { call: self.call.get().clone(), begun_at: self.begun_at, ended_at: self.ended_at, result }
    }
}

impl Draft {
    fn held_turn_mut(&mut self, lease: &TurnLease) -> StoreResult<&mut Turn> {
        let number = self.held_turn(lease)?.number;
        self.turn_mut(number).ok_or(StoreError::LeaseLost)
    }

    fn call_mut(&mut self, lease: &TurnLease, place: CallPlace) -> StoreResult<&mut CallState> {
        let steps = &mut self.held_turn_mut(lease)?.steps;
        let step = steps.iter_mut().find(|step| step.number == place.step);
        let call = step.and_then(|step| step.calls.get_mut(usize::try_from(place.call).unwrap_or(usize::MAX)));
        call.ok_or(StoreError::NotFound { what: "that call" })
    }

    /// Records a step and its calls, unless it is recorded already.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    pub(in crate::store::mongodb) fn record_step(&mut self, lease: &TurnLease, new: NewStep) -> StoreResult<()> {
        let now = self.now;
        let steps = &mut self.held_turn_mut(lease)?.steps;
        if steps.iter().any(|step| step.number == new.number) {
            return Ok(());
        }
        let call = |call| CallState { call: JsonText::of(call), begun_at: None, ended_at: None, failed: None, result: None };
        let step = StepState {
            number: new.number,
            said: new.text,
            shown: new.shown,
            model: new.model,
            usage: new.usage,
            charge: new.charge,
            calls: new.calls.into_iter().map(call).collect(),
            recorded_at: now,
        };
        let place = steps.iter().position(|other| other.number > step.number).unwrap_or(steps.len());
        steps.insert(place, step);
        Ok(())
    }

    /// Records that a call begins. One that has ended stays ended.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]; [`StoreError::NotFound`].
    pub(in crate::store::mongodb) fn begin_call(&mut self, lease: &TurnLease, place: CallPlace) -> StoreResult<()> {
        let now = self.now;
        let call = self.call_mut(lease, place)?;
        if call.ended_at.is_none() {
            call.begun_at = Some(now);
        }
        Ok(())
    }

    /// Records what came of a call. The first result stays.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]; [`StoreError::NotFound`].
    pub(in crate::store::mongodb) fn end_call(&mut self, lease: &TurnLease, place: CallPlace, result: &CallResult) -> StoreResult<()> {
        let now = self.now;
        let call = self.call_mut(lease, place)?;
        if call.ended_at.is_none() {
            call.ended_at = Some(now);
            call.failed = Some(result.failed);
            call.result = Some(result.text.clone());
        }
        Ok(())
    }
}
