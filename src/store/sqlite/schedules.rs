//! Schedules: making, reading, changing, and which are due.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::fault::{Fault, Outcome};
use super::people;
use super::values::Json;
use super::writer::{Unit, done};
use crate::domain::ids::UserId;
use crate::domain::schedule::{Mode, OutboundProgress, RunOutcome, RunProgress, Schedule, ScheduleId, TurnProgress, When, Zone};
use crate::domain::time::Timestamp;
use crate::store::schedules::{self as rules, Again, FINISHED_KEPT, check_room};
use crate::store::{AddedSchedule, DueSchedule, DueSchedules, NewSchedule, ScheduleChange, ScheduleFilter, StoreError};

/// What is missing, when it is.
const SCHEDULE: &str = "the schedule";

impl ToSql for RunOutcome {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for RunOutcome {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let word = value.as_str()?;
        Self::parse(word).ok_or_else(|| FromSqlError::Other(format!("{word:?} is no outcome of a run").into()))
    }
}

impl ToSql for ScheduleId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.into())
    }
}

impl FromSql for ScheduleId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self)
    }
}

impl ToSql for Zone {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for Zone {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::parse(value.as_str()?).map_err(|unknown| FromSqlError::Other(unknown.into()))
    }
}

impl ToSql for Mode {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for Mode {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let word = value.as_str()?;
        Self::parse(word).ok_or_else(|| FromSqlError::Other(format!("{word:?} is no mode of a schedule").into()))
    }
}

macro_rules! select_schedule {
    ($rest:literal) => {
        concat!(
            "SELECT s.id, s.user_id, s.name, s.message, s.mode, s.rule, s.zone, s.anchor, s.enabled, s.finished, s.next_run, s.last_run,
                 s.last_outcome, s.runs, s.failures, s.conversation_id, s.revision, s.created_at, s.updated_at,
                 t.state, t.refusal, t.error, t.route_gateway, o.state, o.error
             FROM schedules s LEFT JOIN turns t ON t.id = s.last_turn AND t.user_id = s.user_id
                 LEFT JOIN outbox o ON o.id = s.last_outbound AND o.user_id = s.user_id ",
            $rest
        )
    };
}

fn schedule(row: &Row<'_>) -> rusqlite::Result<Schedule> {
    let outcome: Option<RunOutcome> = row.get(12)?;
    let last_result = outcome.map(|outcome| Ok::<_, rusqlite::Error>(outcome.result(&progress(row)?))).transpose()?;
    let failed_later = outcome.zip(last_result.as_ref()).is_some_and(|(outcome, result)| outcome.failed_later(result));
    Ok(Schedule {
        id: row.get(0)?,
        user_id: row.get(1)?,
        name: row.get(2)?,
        message: row.get(3)?,
        mode: row.get(4)?,
        when: row.get::<_, Json<When>>(5)?.0,
        zone: row.get(6)?,
        anchor: row.get(7)?,
        enabled: row.get(8)?,
        finished: row.get(9)?,
        next_run: row.get(10)?,
        last_run: row.get(11)?,
        last_result,
        runs: row.get(13)?,
        failures: row.get::<_, u32>(14)? + u32::from(failed_later),
        conversation_id: row.get(15)?,
        revision: row.get(16)?,
        created_at: row.get(17)?,
        updated_at: row.get(18)?,
    })
}

/// How far what the last run made has come.
fn progress(row: &Row<'_>) -> rusqlite::Result<RunProgress> {
    let turn = match row.get(19)? {
        Some(state) => Some(TurnProgress { state, refusal: row.get(20)?, error: row.get(21)? }),
        None => None,
    };
    let outbound = match row.get(23)? {
        Some(state) => Some(OutboundProgress { state, error: row.get(24)? }),
        None => None,
    };
    Ok(RunProgress { turn, routed: row.get::<_, Option<String>>(22)?.is_some(), outbound })
}

/// One schedule.
pub(super) fn find(db: &Connection, user: UserId, id: ScheduleId) -> Outcome<Option<Schedule>> {
    Ok(db.prepare_cached(select_schedule!("WHERE s.user_id = ?1 AND s.id = ?2"))?.query_row(params![user, id], schedule).optional()?)
}

pub(super) fn get(db: &Connection, user: UserId, id: ScheduleId) -> Outcome<Schedule> {
    find(db, user, id)?.ok_or_else(|| StoreError::NotFound { what: SCHEDULE }.into())
}

/// A person's schedules.
pub(super) fn list(db: &Connection, user: UserId, filter: ScheduleFilter) -> Outcome<Vec<Schedule>> {
    let sql = match filter {
        ScheduleFilter::Upcoming => select_schedule!("WHERE s.user_id = ?1 AND s.next_run IS NOT NULL ORDER BY s.next_run, s.id"),
        ScheduleFilter::All => select_schedule!("WHERE s.user_id = ?1 ORDER BY s.id"),
    };
    Ok(db.prepare_cached(sql)?.query_map([user], schedule)?.collect::<rusqlite::Result<_>>()?)
}

/// Makes a schedule, unless an equal one is on.
pub(super) fn add(unit: &Unit<'_>, user: UserId, new: &NewSchedule, limit: usize) -> Outcome<AddedSchedule> {
    let held = list(unit.db, user, ScheduleFilter::All)?;
    if let Some(equal) = held.iter().find(|schedule| new.is_same_as(schedule)) {
        return Ok(AddedSchedule { schedule: equal.clone(), is_new: false });
    }
    check_room(&held, limit)?;
    let id = next_id(unit, user)?;
    unit.db
        .prepare_cached(
            "INSERT INTO schedules (user_id, id, name, message, mode, rule, zone, anchor, enabled, finished, next_run, conversation_id,
                 revision, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, 0, ?9, ?10, 1, ?11, ?11)",
        )?
        .execute(params![
            user,
            id,
            new.name,
            new.message,
            new.mode,
            Json(&new.when),
            new.zone,
            new.anchor,
            new.next_run,
            new.conversation_id,
            unit.now
        ])?;
    unit.db
        .prepare_cached(
            "DELETE FROM schedules WHERE user_id = ?1 AND finished AND id NOT IN
                 (SELECT id FROM schedules WHERE user_id = ?1 AND finished ORDER BY updated_at DESC, id DESC LIMIT ?2)",
        )?
        .execute(params![user, FINISHED_KEPT])?;
    Ok(AddedSchedule { schedule: get(unit.db, user, id)?, is_new: true })
}

fn next_id(unit: &Unit<'_>, user: UserId) -> Outcome<ScheduleId> {
    let known: bool =
        unit.db.prepare_cached("SELECT EXISTS (SELECT 1 FROM schedule_lists WHERE user_id = ?1)")?.query_row([user], |row| row.get(0))?;
    if !known && people::find(unit.db, user)?.is_none() {
        return Err(StoreError::NotFound { what: "the person" }.into());
    }
    let id = unit
        .db
        .prepare_cached(
            "INSERT INTO schedule_lists (user_id, last_id) VALUES (?1, 1) ON CONFLICT DO UPDATE SET last_id = last_id + 1 RETURNING last_id",
        )?
        .query_row([user], |row| row.get(0))?;
    Ok(id)
}

/// Changes a schedule that is as it was read.
pub(super) fn change(
    unit: &Unit<'_>,
    user: UserId,
    id: ScheduleId,
    revision: i64,
    changes: &[ScheduleChange],
    limit: usize,
) -> Outcome<Schedule> {
    let mut schedule = get(unit.db, user, id)?;
    if rules::change(&mut schedule, revision, changes)? == Again::Begins {
        check_room(&list(unit.db, user, ScheduleFilter::All)?, limit)?;
    }
    unit.db
        .prepare_cached(
            "UPDATE schedules SET name = ?3, message = ?4, mode = ?5, rule = ?6, zone = ?7, anchor = ?8, enabled = ?9, finished = ?10,
                 next_run = ?11, revision = revision + 1, updated_at = ?12
             WHERE user_id = ?1 AND id = ?2",
        )?
        .execute(params![
            user,
            id,
            schedule.name,
            schedule.message,
            schedule.mode,
            Json(&schedule.when),
            schedule.zone,
            schedule.anchor,
            schedule.enabled,
            schedule.finished,
            schedule.next_run,
            unit.now
        ])?;
    get(unit.db, user, id)
}

/// Deletes a schedule.
pub(super) fn delete(unit: &Unit<'_>, user: UserId, id: ScheduleId) -> Outcome<()> {
    let deleted = unit.db.prepare_cached("DELETE FROM schedules WHERE user_id = ?1 AND id = ?2")?.execute(params![user, id])?;
    done(deleted, SCHEDULE)
}

/// A schedule's key.
pub(super) type Key = (UserId, ScheduleId);

/// What is due and not held, and the keys of rows that cannot be read.
pub(super) fn list_due(db: &Connection, now: Timestamp, limit: usize, held: &[Key]) -> Outcome<(DueSchedules, Vec<Key>)> {
    let most = limit.saturating_add(held.len());
    let keys = db
        .prepare_cached("SELECT user_id, id FROM schedules WHERE next_run <= ?1 ORDER BY next_run LIMIT ?2")?
        .query_map(params![now, i64::try_from(most).unwrap_or(i64::MAX)], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<Key>>>()?;
    let (mut due, mut damaged) = (Vec::with_capacity(keys.len()), Vec::new());
    for (user, id) in keys.into_iter().filter(|key| !held.contains(key)).take(limit) {
        match read_due(db, user, id) {
            Ok(found) => due.extend(found),
            Err(fault) if fault.is_damage() => damaged.push((user, id)),
            Err(fault) => return Err(fault),
        }
    }
    let next_due = db
        .prepare_cached("SELECT min(next_run) FROM schedules WHERE next_run IS NOT NULL AND next_run > ?1")?
        .query_row([now], |row| row.get(0))?;
    Ok((DueSchedules { due, next_due }, damaged))
}

fn read_due(db: &Connection, user: UserId, id: ScheduleId) -> Outcome<Option<DueSchedule>> {
    let Some(schedule) = find(db, user, id)? else { return Ok(None) };
    let user = people::find(db, user)?.ok_or_else(|| Fault::contradiction("a schedule's person is missing"))?;
    Ok(Some(DueSchedule { schedule, user }))
}
