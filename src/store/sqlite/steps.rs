//! What an agent does within a turn: its model's steps and their calls.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::fault::Outcome;
use super::turn_end::held;
use super::values::Json;
use super::writer::{Unit, Urgency};
use crate::domain::ids::{TurnId, UserId};
use crate::domain::ledger::Usage;
use crate::domain::step::{CallPlace, CallResult, NewStep, RecordedCall, Step, ToolCall};
use crate::domain::turn::TurnLease;
use crate::store::{Steps, StoreError, StoreResult};

#[async_trait]
impl Steps for SqliteStore {
    async fn record_step(&self, lease: &TurnLease, step: NewStep) -> StoreResult<()> {
        let lease = lease.clone();
        self.write(Urgency::Other, move |unit| record(unit, &lease, &step)).await
    }

    async fn begin_call(&self, lease: &TurnLease, place: CallPlace) -> StoreResult<()> {
        let lease = lease.clone();
        self.write(Urgency::Other, move |unit| begin(unit, &lease, place)).await
    }

    async fn end_call(&self, lease: &TurnLease, place: CallPlace, result: CallResult) -> StoreResult<()> {
        let lease = lease.clone();
        self.write(Urgency::Other, move |unit| end(unit, &lease, place, &result)).await
    }

    async fn list_steps(&self, user_id: UserId, turn_id: TurnId) -> StoreResult<Vec<Step>> {
        self.read(move |db| list(db, user_id, turn_id)).await
    }
}

/// Records a step and its calls, unless it is recorded already.
fn record(unit: &Unit<'_>, lease: &TurnLease, step: &NewStep) -> Outcome<()> {
    let turn = held(unit, lease)?;
    let first = unit
        .db
        .prepare_cached(
            "INSERT INTO steps (turn, number, user_id, said, shown, model, prompt_tokens, completion_tokens, total_tokens, recorded_at,
                 charge)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            turn.number,
            step.number,
            turn.user_id,
            step.text,
            step.shown,
            step.model,
            step.usage.prompt_tokens,
            step.usage.completion_tokens,
            step.usage.total_tokens,
            unit.now,
            step.charge,
        ])?;
    if first == 0 {
        return Ok(());
    }
    let mut insert = unit.db.prepare_cached(
        "INSERT INTO calls (turn, step, number, user_id, id, name, arguments, extra) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for (number, call) in (0_u32..).zip(&step.calls) {
        let extra = call.extra.as_ref().map(Json);
        insert.execute(params![turn.number, step.number, number, turn.user_id, call.id, call.name, call.arguments, extra])?;
    }
    Ok(())
}

/// Records that a call begins.
fn begin(unit: &Unit<'_>, lease: &TurnLease, place: CallPlace) -> Outcome<()> {
    let turn = held(unit, lease)?;
    let changed = unit
        .db
        .prepare_cached(
            "UPDATE calls SET begun_at = CASE WHEN ended_at IS NULL THEN ?5 ELSE begun_at END
             WHERE turn = ?1 AND step = ?2 AND number = ?3 AND user_id = ?4",
        )?
        .execute(params![turn.number, place.step, place.call, turn.user_id, unit.now])?;
    known(changed)
}

/// Records what came of a call, unless that is recorded already.
fn end(unit: &Unit<'_>, lease: &TurnLease, place: CallPlace, result: &CallResult) -> Outcome<()> {
    let turn = held(unit, lease)?;
    let changed = unit
        .db
        .prepare_cached(
            "UPDATE calls SET failed = coalesce(failed, ?5), result = coalesce(result, ?6), ended_at = coalesce(ended_at, ?7)
             WHERE turn = ?1 AND step = ?2 AND number = ?3 AND user_id = ?4",
        )?
        .execute(params![turn.number, place.step, place.call, turn.user_id, result.failed, result.text, unit.now])?;
    known(changed)
}

fn known(changed: usize) -> Outcome<()> {
    if changed == 0 { Err(StoreError::NotFound { what: "that call" }.into()) } else { Ok(()) }
}

/// The steps of a person's turn.
fn list(db: &Connection, user: UserId, id: TurnId) -> Outcome<Vec<Step>> {
    let number: Option<i64> = db
        .prepare_cached("SELECT number FROM turns WHERE id = ?1 AND user_id = ?2")?
        .query_row(params![id, user], |row| row.get(0))
        .optional()?;
    number.map_or_else(|| Ok(Vec::new()), |number| of_turn(db, user, number))
}

/// The steps of the turn of that number.
pub(super) fn of_turn(db: &Connection, user: UserId, turn: i64) -> Outcome<Vec<Step>> {
    let mut steps = db
        .prepare_cached(
            "SELECT number, said, shown, model, prompt_tokens, completion_tokens, total_tokens FROM steps
             WHERE turn = ?1 AND user_id = ?2 ORDER BY number",
        )?
        .query_map(params![turn, user], step)?
        .collect::<rusqlite::Result<Vec<Step>>>()?;
    if steps.is_empty() {
        return Ok(steps);
    }
    let mut calls = db.prepare_cached(
        "SELECT id, name, arguments, extra, begun_at, ended_at, failed, result FROM calls
         WHERE turn = ?1 AND step = ?2 AND user_id = ?3 ORDER BY number",
    )?;
    for step in &mut steps {
        step.calls = calls.query_map(params![turn, step.number, user], call)?.collect::<rusqlite::Result<_>>()?;
    }
    Ok(steps)
}

fn step(row: &Row<'_>) -> rusqlite::Result<Step> {
    Ok(Step {
        number: row.get(0)?,
        text: row.get(1)?,
        shown: row.get(2)?,
        model: row.get(3)?,
        usage: Usage { prompt_tokens: row.get(4)?, completion_tokens: row.get(5)?, total_tokens: row.get(6)? },
        calls: Vec::new(),
    })
}

fn call(row: &Row<'_>) -> rusqlite::Result<RecordedCall> {
    let (failed, text): (Option<bool>, Option<String>) = (row.get(6)?, row.get(7)?);
    Ok(RecordedCall {
        call: ToolCall {
            id: row.get(0)?,
            name: row.get(1)?,
            arguments: row.get(2)?,
            extra: row.get::<_, Option<Json<_>>>(3)?.map(|json| json.0),
        },
        begun_at: row.get(4)?,
        ended_at: row.get(5)?,
        result: failed.zip(text).map(|(failed, text)| CallResult { text, failed }),
    })
}
