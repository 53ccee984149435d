//! Durable work, as the host sees it: turns and outgoing messages as jobs.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::cursor::{self, Listing, Place};
use super::fault::Outcome;
use super::lanes;
use super::outbox;
use super::turn_end::{settle, spent};
use super::turns;
use super::values::{Id, TurnKind};
use super::writer::Unit;
use crate::domain::delivery::OutboundState;
use crate::domain::ids::{OutboundId, TurnId, UserId};
use crate::domain::job::{Job, JobId, JobKind, JobState};
use crate::domain::time::Timestamp;
use crate::domain::turn::{Refusal, TurnState};
use crate::store::{JobFilter, Page, PageRequest, StoreError};

macro_rules! reply_columns {
    () => {
        "t.id, t.number, t.user_id, t.state, t.attempts, t.due, t.error,
         EXISTS (SELECT 1 FROM activity a WHERE a.user_id = t.user_id AND a.turn_leased = t.number AND a.turn_next > ?1)"
    };
}

macro_rules! delivery_columns {
    () => {
        "o.id, o.number, o.user_id, o.state, o.attempts, o.due, o.error,
         EXISTS (SELECT 1 FROM activity a WHERE a.user_id = o.user_id AND a.delivery_leased = o.number AND a.delivery_next > ?1)"
    };
}

/// A job and its place in the listing.
struct Listed {
    job: Job,
    number: i64,
}

fn reply(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<Listed> {
    let due: Timestamp = row.get(5)?;
    let state = match row.get::<_, TurnState>(3)? {
        TurnState::Done => JobState::Done,
        TurnState::Dead => JobState::Dead,
        TurnState::Open | TurnState::Begun => JobState::waiting_for(row.get(7)?, due, now),
    };
    listed(row, JobId::Reply(row.get(0)?), JobKind::Reply, state)
}

fn delivery(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<Listed> {
    let due: Timestamp = row.get(5)?;
    let state = match row.get::<_, OutboundState>(3)? {
        OutboundState::Accepted | OutboundState::Canceled => JobState::Done,
        OutboundState::Dead => JobState::Dead,
        OutboundState::Held => JobState::Waiting,
        OutboundState::Ready | OutboundState::Sending | OutboundState::Checking => JobState::waiting_for(row.get(7)?, due, now),
    };
    listed(row, JobId::Deliver(row.get(0)?), JobKind::Deliver, state)
}

fn listed(row: &Row<'_>, id: JobId, kind: JobKind, state: JobState) -> rusqlite::Result<Listed> {
    let job = Job { id, kind, state, user: row.get(2)?, attempts: row.get(4)?, due: row.get(5)?, error: row.get(6)? };
    Ok(Listed { job, number: row.get(1)? })
}

/// Jobs, oldest first: replies, then deliveries.
pub(super) fn list(db: &Connection, now: Timestamp, filter: JobFilter, request: &PageRequest) -> Outcome<Page<Job>> {
    let from = cursor::read(Listing::Jobs, 0, request.cursor.as_deref())?;
    let [kind, after] = from.map_or([0, i64::MIN], |place: Place<2>| place.numbers);
    let wanted = cursor::ask_for(request.limit);
    let mut jobs: Vec<Listed> = Vec::new();
    if kind == 0 {
        // The unfinished ones are found through two small partial indexes, whatever the number of finished ones.
        let sql = match filter {
            JobFilter::Unfinished => concat!(
                "SELECT ",
                reply_columns!(),
                " FROM turns t WHERE t.number IN (
                     SELECT number FROM turns WHERE state IN ('open', 'begun') AND number > ?2
                     UNION ALL SELECT number FROM turns WHERE state = 'dead' AND number > ?2)
                 ORDER BY t.number LIMIT ?3"
            ),
            JobFilter::All => concat!("SELECT ", reply_columns!(), " FROM turns t WHERE t.number > ?2 ORDER BY t.number LIMIT ?3"),
        };
        let found =
            db.prepare_cached(sql)?.query_map(params![now, after, wanted], |row| reply(row, now))?.collect::<rusqlite::Result<Vec<_>>>()?;
        jobs.extend(found);
    }
    let room = wanted - i64::try_from(jobs.len()).unwrap_or(wanted);
    if room > 0 {
        let after = if kind == 0 { i64::MIN } else { after };
        let sql = match filter {
            JobFilter::Unfinished => concat!(
                "SELECT ",
                delivery_columns!(),
                " FROM outbox o WHERE o.number IN (
                     SELECT number FROM outbox WHERE state IN ('ready', 'sending', 'checking') AND number > ?2
                     UNION ALL SELECT number FROM outbox WHERE state = 'held' AND number > ?2
                     UNION ALL SELECT number FROM outbox WHERE state = 'dead' AND number > ?2)
                 ORDER BY o.number LIMIT ?3"
            ),
            JobFilter::All => concat!("SELECT ", delivery_columns!(), " FROM outbox o WHERE o.number > ?2 ORDER BY o.number LIMIT ?3"),
        };
        let found = db
            .prepare_cached(sql)?
            .query_map(params![now, after, room], |row| delivery(row, now))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        jobs.extend(found);
    }
    let place = |listed: &Listed| Place { numbers: [i64::from(listed.job.kind == JobKind::Deliver), listed.number], id: Vec::new() };
    Ok(cursor::page(Listing::Jobs, request.limit, jobs, place, |listed| listed.job))
}

/// One job.
pub(super) fn find(db: &Connection, now: Timestamp, id: JobId) -> Outcome<Option<Job>> {
    Ok(find_listed(db, now, id)?.map(|listed| listed.job))
}

fn find_listed(db: &Connection, now: Timestamp, id: JobId) -> Outcome<Option<Listed>> {
    let found = match id {
        JobId::Reply(id) => db
            .prepare_cached(concat!("SELECT ", reply_columns!(), " FROM turns t WHERE t.id = ?2"))?
            .query_row(params![now, id], |row| reply(row, now)),
        JobId::Deliver(id) => db
            .prepare_cached(concat!("SELECT ", delivery_columns!(), " FROM outbox o WHERE o.id = ?2"))?
            .query_row(params![now, id], |row| delivery(row, now)),
    };
    Ok(found.optional()?)
}

/// The job, if it is that person's.
fn get(unit: &Unit<'_>, user: UserId, id: JobId) -> Outcome<Listed> {
    let found = find_listed(unit.db, unit.now, id)?.filter(|listed| listed.job.user == user);
    found.ok_or_else(|| StoreError::NotFound { what: "the job" }.into())
}

/// Makes a dead job due now.
pub(super) fn replay(unit: &Unit<'_>, user: UserId, id: JobId, expires_at: Timestamp) -> Outcome<Job> {
    let listed = get(unit, user, id)?;
    if listed.job.state != JobState::Dead {
        let reason = format!("only a dead job can be replayed; this one is {:?}", listed.job.state).to_lowercase();
        return Err(StoreError::Conflict { reason }.into());
    }
    match id {
        JobId::Reply(_) => {
            unit.db
                .prepare_cached(
                    "UPDATE turns SET state = 'begun', attempts = 0, starts = 0, due = ?2, answer_until = ?3 WHERE number = ?1",
                )?
                .execute(params![listed.number, unit.now, expires_at])?;
            lanes::refresh_turns(unit, user)?;
        }
        JobId::Deliver(_) => {
            unit.db
                .prepare_cached("UPDATE outbox SET state = 'ready', attempts = 0, checks = 0, due = ?2, expires_at = ?3 WHERE number = ?1")?
                .execute(params![listed.number, unit.now, expires_at])?;
            lanes::refresh_deliveries(unit, user)?;
        }
    }
    Ok(get(unit, user, id)?.job)
}

/// Ends a job that is dead or waiting.
pub(super) fn discard(unit: &Unit<'_>, user: UserId, id: JobId) -> Outcome<Job> {
    let listed = get(unit, user, id)?;
    let reason = match listed.job.state {
        JobState::Done => Some("the job is done already"),
        JobState::Leased => Some("the job is being worked on; try again when it waits for another attempt"),
        JobState::Ready | JobState::Waiting | JobState::Dead => None,
    };
    if let Some(reason) = reason {
        return Err(StoreError::Conflict { reason: reason.to_owned() }.into());
    }
    match id {
        JobId::Reply(id) => discard_turn(unit, user, id)?,
        JobId::Deliver(id) => discard_message(unit, user, id)?,
    }
    Ok(get(unit, user, id)?.job)
}

fn discard_turn(unit: &Unit<'_>, user: UserId, id: TurnId) -> Outcome<()> {
    let Some(mut turn) = turns::find(unit.db, user, id)? else { return Ok(()) };
    let is_head = turns::head(unit.db, user)?.is_some_and(|head| head.number == turn.number);
    if turn.state == TurnState::Open && !is_head {
        // Its texts come after those of the turns before it, so it is ended when it is its turn.
        unit.db
            .prepare_cached("UPDATE turns SET kind = ?2, refusal = ?3, due = min(due, ?4), gather_until = NULL WHERE number = ?1")?
            .execute(params![turn.number, TurnKind::Record, Refusal::Discarded, unit.now])?;
        return Ok(());
    }
    settle(unit, &turn, spent(unit, &turn)?)?;
    turn.answer = None;
    turn.refusal = Some(Refusal::Discarded);
    turns::end_without_model(unit, &turn)?;
    if is_head { lanes::free_turns(unit, user) } else { Ok(()) }
}

fn discard_message(unit: &Unit<'_>, user: UserId, id: OutboundId) -> Outcome<()> {
    unit.db
        .prepare_cached(
            "UPDATE outbox SET state = 'canceled', error = 'discarded by an operator', due = ?3 WHERE id = ?1 AND user_id = ?2",
        )?
        .execute(params![id, user, unit.now])?;
    // A dead holder's lane, or one that waits behind this message, goes on.
    let leased: Option<Id> = unit
        .db
        .prepare_cached(
            "SELECT o.id FROM activity a JOIN outbox o ON o.number = a.delivery_leased WHERE a.user_id = ?1 AND a.delivery_owner IS NOT NULL",
        )?
        .query_row([user], |row| row.get(0))
        .optional()?;
    if leased.is_some_and(|leased| leased.0 == *id.as_uuid()) {
        return outbox::free_lane(unit, user);
    }
    lanes::refresh_deliveries(unit, user)
}
