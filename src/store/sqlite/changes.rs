//! Changes that a person makes by a word: in the step that stores the word, so that each is made once.

use super::fault::{Fault, Outcome};
use super::writer::Unit;
use super::{graph, schedules, todos};
use crate::domain::todo::{TodoChange, TodoState};
use crate::store::{Change, NewSchedule, Receipt, StoreError};

/// Makes a change; false when there was nothing to change, or a limit forbids it. Then nothing is changed.
pub(super) fn make(unit: &Unit<'_>, of: &Receipt, change: &Change) -> Outcome<bool> {
    unit.db.prepare_cached("SAVEPOINT change")?.execute([])?;
    let made = match try_making(unit, of, change) {
        Err(Fault::Refused(StoreError::NotFound { .. } | StoreError::Conflict { .. })) => {
            unit.db.prepare_cached("ROLLBACK TO change")?.execute([])?;
            false
        }
        other => other?,
    };
    unit.db.prepare_cached("RELEASE change")?.execute([])?;
    Ok(made)
}

fn try_making(unit: &Unit<'_>, of: &Receipt, change: &Change) -> Outcome<bool> {
    let user = of.user_id;
    Ok(match change {
        Change::Forget(id) => graph::forget(unit, user, *id)?.is_some(),
        Change::ForgetEntity(name) => graph::forget_entity(unit, user, name)?.deleted > 0,
        Change::ForgetEverything => graph::forget_all(unit, user)?.entities > 0,
        Change::AddTodo { new, limit } => todos::add(unit, user, new, *limit)?.is_new,
        Change::CompleteTodo(id) => todos::change(unit, user, *id, &[TodoChange::State(TodoState::Completed)])?.changed,
        Change::AddSchedule { new, limit } => {
            let new = NewSchedule { conversation_id: Some(of.conversation_id), ..(**new).clone() };
            schedules::add(unit, user, &new, *limit)?.is_new
        }
        Change::DeleteSchedule(id) => {
            schedules::delete(unit, user, *id)?;
            true
        }
    })
}
