//! Handing out turns: beginning them, and ending on the way those that need no model.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::fault::{Fault, Outcome};
use super::lanes;
use super::rows;
use super::steps;
use super::turn_end::{self, Ending, Entry, finish};
use super::values::{Json, TurnKind};
use super::writer::Unit;
use crate::domain::conversation::Conversation;
use crate::domain::delivery::ReplyRoute;
use crate::domain::ids::{ConversationId, MessageId, TurnId, UserId};
use crate::domain::ledger::Credits;
use crate::domain::message::Message;
use crate::domain::time::Timestamp;
use crate::domain::turn::{LeasedTurn, Refusal, TurnLease, TurnRequest, TurnState};
use crate::store::{DailyLimits, LEASE, LaneKind, Leased, Owner};

/// Turns of one lane that are ended on the way in one call; a longer row of them goes on with the next call.
const ENDED_AT_ONCE: usize = 64;

/// A turn's row, as far as working on it needs.
pub(super) struct Turn {
    pub(super) number: i64,
    pub(super) id: TurnId,
    pub(super) user_id: UserId,
    pub(super) conversation_id: ConversationId,
    pub(super) kind: TurnKind,
    pub(super) state: TurnState,
    pub(super) due: Timestamp,
    pub(super) attempts: u32,
    pub(super) starts: u32,
    pub(super) answer_until: Option<Timestamp>,
    pub(super) request: TurnRequest,
    pub(super) route: Option<ReplyRoute>,
    pub(super) refusal: Option<Refusal>,
    pub(super) over_limit: Option<Refusal>,
    pub(super) answer: Option<(MessageId, String)>,
    pub(super) reserved: i64,
    /// What it was charged so far.
    pub(super) charge: Credits,
    pub(super) opened_at: Timestamp,
}

/// Columns of [`turn`], from `turns`.
macro_rules! turn_columns {
    () => {
        "number, id, user_id, conversation_id, kind, state, due, attempts, request, route_gateway, route_from, refusal, \
     over_limit, answer_id, answer, reserved, opened_at, starts, answer_until, charge"
    };
}

fn turn(row: &Row<'_>) -> rusqlite::Result<Turn> {
    let answer_id: Option<MessageId> = row.get(13)?;
    let answer: Option<String> = row.get(14)?;
    Ok(Turn {
        number: row.get(0)?,
        id: row.get(1)?,
        user_id: row.get(2)?,
        conversation_id: row.get(3)?,
        kind: row.get(4)?,
        state: row.get(5)?,
        due: row.get(6)?,
        attempts: row.get(7)?,
        request: row.get::<_, Option<Json<_>>>(8)?.map(|json| json.0).unwrap_or_default(),
        route: rows::route(row.get(9)?, row.get(10)?),
        refusal: row.get(11)?,
        over_limit: row.get(12)?,
        answer: answer_id.zip(answer),
        reserved: row.get(15)?,
        opened_at: row.get(16)?,
        starts: row.get(17)?,
        answer_until: row.get(18)?,
        charge: row.get(19)?,
    })
}

/// The first turn of a person that is not over.
pub(super) fn head(db: &Connection, user: UserId) -> Outcome<Option<Turn>> {
    let sql = concat!("SELECT ", turn_columns!(), " FROM turns WHERE user_id = ?1 AND state IN ('open', 'begun') ORDER BY number LIMIT 1");
    Ok(db.prepare_cached(sql)?.query_row([user], turn).optional()?)
}

/// A turn of a person.
pub(super) fn find(db: &Connection, user: UserId, id: TurnId) -> Outcome<Option<Turn>> {
    let sql = concat!("SELECT ", turn_columns!(), " FROM turns WHERE id = ?1 AND user_id = ?2");
    Ok(db.prepare_cached(sql)?.query_row(params![id, user], turn).optional()?)
}

/// Leases the heads of due lanes. Turns that need no model are ended on the way.
pub(super) fn lease(unit: &Unit<'_>, owner: &Owner, limit: usize, limits: &DailyLimits) -> Outcome<Leased<LeasedTurn>> {
    let due = unit
        .db
        .prepare_cached("SELECT user_id FROM activity WHERE turn_next <= ?1 ORDER BY turn_next LIMIT ?2")?
        .query_map(params![unit.now, i64::try_from(limit).unwrap_or(i64::MAX)], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<UserId>>>()?;
    let work = lanes::lease_each(unit, LaneKind::Turns, due, |user| lease_lane(unit, owner, user, limits))?;
    let next_due =
        unit.db.prepare_cached("SELECT min(turn_next) FROM activity WHERE turn_next IS NOT NULL")?.query_row([], |row| row.get(0))?;
    Ok(Leased { work, next_due })
}

/// Leases the head of one lane, where there is one that is due and needs a model.
fn lease_lane(unit: &Unit<'_>, owner: &Owner, user: UserId, limits: &DailyLimits) -> Outcome<Option<LeasedTurn>> {
    for _ in 0..ENDED_AT_ONCE {
        let Some(turn) = head(unit.db, user)?.filter(|turn| turn.due <= unit.now) else {
            break;
        };
        if turn.kind == TurnKind::Reply {
            return lease_turn(unit, owner, turn, limits).map(Some);
        }
        end_without_model(unit, &turn)?;
    }
    // Nothing to be leased: whoever held the lane is long gone.
    lanes::free_turns(unit, user)?;
    Ok(None)
}

/// Ends a turn whose end was known when it was made.
pub(super) fn end_without_model(unit: &Unit<'_>, turn: &Turn) -> Outcome<()> {
    if turn.state == TurnState::Open {
        begin(unit, turn)?;
    }
    let mut ending = Ending { refusal: turn.refusal, ..Ending::default() };
    if let Some((id, text)) = &turn.answer {
        let entry = if turn.kind == TurnKind::Remind { Entry::planned(*id, text) } else { Entry::of_ours(*id, text) };
        ending.reply = Some(turn_end::add_entry(unit, turn, &entry)?);
    }
    finish(unit, turn, &ending)
}

fn lease_turn(unit: &Unit<'_>, owner: &Owner, mut turn: Turn, limits: &DailyLimits) -> Outcome<LeasedTurn> {
    let steps = if turn.state == TurnState::Open {
        begin(unit, &turn)?;
        turn.over_limit = count_turn(unit, turn.user_id, limits)?;
        Vec::new()
    } else {
        steps::of_turn(unit.db, turn.user_id, turn.number)?
    };
    unit.db
        .prepare_cached("UPDATE turns SET state = 'begun', starts = starts + 1, over_limit = ?2 WHERE number = ?1")?
        .execute(params![turn.number, turn.over_limit])?;
    let fence: i64 = unit
        .db
        .prepare_cached(
            "UPDATE activity SET turn_owner = ?2, turn_leased = ?3, turn_fence = turn_fence + 1, turn_next = ?4 WHERE user_id = ?1
             RETURNING turn_fence",
        )?
        .query_row(params![turn.user_id, owner.0, turn.number, unit.now.after(LEASE)], |row| row.get(0))?;
    let sql = concat!("SELECT ", rows::user_columns!(), " FROM people p JOIN activity a ON a.user_id = p.user_id WHERE p.user_id = ?1");
    let user = unit.db.prepare_cached(sql)?.query_row([turn.user_id], rows::user)?;
    Ok(LeasedTurn {
        lease: TurnLease { user_id: turn.user_id, turn_id: turn.id, fence },
        user,
        conversation: conversation(unit.db, turn.user_id, turn.conversation_id)?,
        texts: texts(unit.db, &turn)?,
        request: turn.request,
        route: turn.route,
        attempts: turn.attempts,
        starts: turn.starts,
        answer_until: turn.answer_until,
        opened_at: turn.opened_at,
        over_limit: turn.over_limit,
        steps,
    })
}

/// A conversation that must be there, since a turn of it is.
fn conversation(db: &Connection, user: UserId, id: ConversationId) -> Outcome<Conversation> {
    let sql = concat!("SELECT ", rows::conversation_columns!(), " FROM conversations c WHERE c.user_id = ?1 AND c.id = ?2");
    let found = db.prepare_cached(sql)?.query_row(params![user, id], rows::conversation).optional()?;
    found.ok_or_else(|| Fault::contradiction("a turn's conversation is missing"))
}

/// A turn's texts, in order.
fn texts(db: &Connection, turn: &Turn) -> Outcome<Vec<Message>> {
    let sql = concat!(
        "SELECT ",
        rows::message_columns!(),
        " FROM messages m WHERE m.user_id = ?1 AND m.conversation_id = ?2 AND m.slot = ?3 AND m.role = 'external' ORDER BY m.entry"
    );
    let found = db
        .prepare_cached(sql)?
        .query_map(params![turn.user_id, turn.conversation_id, turn.number], rows::message)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(found)
}

/// Gives a turn's texts their places and parents at the end of its conversation.
fn begin(unit: &Unit<'_>, turn: &Turn) -> Outcome<()> {
    let (mut sequence, mut parent): (i64, Option<MessageId>) = unit
        .db
        .prepare_cached("SELECT last_sequence, last_id FROM conversations WHERE user_id = ?1 AND id = ?2")?
        .query_row(params![turn.user_id, turn.conversation_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let began_conversation = sequence == 0;
    let texts: Vec<(i64, MessageId)> = unit
        .db
        .prepare_cached("SELECT entry, id FROM messages WHERE user_id = ?1 AND conversation_id = ?2 AND slot = ?3 ORDER BY entry")?
        .query_map(params![turn.user_id, turn.conversation_id, turn.number], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut last_entry = 0;
    for (entry, id) in texts {
        sequence += 1;
        unit.db
            .prepare_cached(
                "UPDATE messages SET sequence = ?5, parent_id = ?6, updated_at = ?7
                 WHERE user_id = ?1 AND conversation_id = ?2 AND slot = ?3 AND entry = ?4",
            )?
            .execute(params![
                turn.user_id,
                turn.conversation_id,
                turn.number,
                entry,
                sequence,
                parent.unwrap_or(MessageId::ROOT),
                unit.now
            ])?;
        parent = Some(id);
        last_entry = entry;
    }
    unit.db
        .prepare_cached(
            "UPDATE conversations SET last_sequence = ?3, last_id = ?4, last_slot = ?5, last_entry = ?6 WHERE user_id = ?1 AND id = ?2",
        )?
        .execute(params![turn.user_id, turn.conversation_id, sequence, parent, turn.number, last_entry])?;
    unit.db
        .prepare_cached("UPDATE turns SET state = 'begun', gather_until = NULL, began_conversation = ?2 WHERE number = ?1")?
        .execute(params![turn.number, began_conversation])?;
    Ok(())
}

/// Counts a turn that begins, unless it is over a limit.
pub(super) fn count_turn(unit: &Unit<'_>, user: UserId, limits: &DailyLimits) -> Outcome<Option<Refusal>> {
    if limits.per_person == 0 && limits.all == 0 {
        return Ok(None);
    }
    let mine: u32 = unit
        .db
        .prepare_cached("SELECT CASE WHEN turns_day = ?2 THEN turns_today ELSE 0 END FROM activity WHERE user_id = ?1")?
        .query_row(params![user, limits.day], |row| row.get(0))?;
    if limits.per_person > 0 && mine >= limits.per_person {
        return Ok(Some(Refusal::PersonLimit));
    }
    let all: Option<u32> =
        unit.db.prepare_cached("SELECT turns FROM daily_turns WHERE day = ?1")?.query_row([&limits.day], |row| row.get(0)).optional()?;
    if limits.all > 0 && all.unwrap_or(0) >= limits.all {
        return Ok(Some(Refusal::TotalLimit));
    }
    unit.db.prepare_cached("UPDATE activity SET turns_day = ?2, turns_today = ?3 WHERE user_id = ?1")?.execute(params![
        user,
        limits.day,
        mine + 1
    ])?;
    if all.is_none() {
        // The first turn of a day forgets the days before.
        unit.db.prepare_cached("DELETE FROM daily_turns WHERE day < ?1")?.execute([&limits.day])?;
    }
    unit.db
        .prepare_cached("INSERT INTO daily_turns (day, turns) VALUES (?1, 1) ON CONFLICT DO UPDATE SET turns = turns + 1")?
        .execute([&limits.day])?;
    Ok(None)
}
