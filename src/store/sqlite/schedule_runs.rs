//! Firing a schedule: the plan goes on and the run makes what it makes, in one unit.

use rusqlite::{OptionalExtension, params};

use super::fault::Outcome;
use super::lanes::{self, Recipient};
use super::rows::{self, request_column};
use super::schedules;
use super::values::TurnKind;
use super::writer::Unit;
use super::{turn_end, turns};
use crate::domain::delivery::ReplyRoute;
use crate::domain::ids::{ConversationId, OutboundId, TurnId, UserId};
use crate::domain::ledger::Credits;
use crate::domain::message::Role;
use crate::domain::phone::PhoneNumber;
use crate::domain::schedule::{RunOutcome, Schedule};
use crate::domain::time::Timestamp;
use crate::domain::turn::{Refusal, TurnRequest};
use crate::store::{Act, Fired, Firing, Plan, Run, RunKind, StoreError};

/// What is known of the person.
struct Person {
    phone: Option<PhoneNumber>,
    blocked: bool,
    opted_out: bool,
    /// By which their newest text came.
    route: Option<ReplyRoute>,
}

/// What a run made.
struct Made {
    outcome: RunOutcome,
    turn: Option<TurnId>,
    outbound: Option<OutboundId>,
    outgoing: usize,
}

impl Made {
    const fn nothing(outcome: RunOutcome) -> Self {
        Self { outcome, turn: None, outbound: None, outgoing: 0 }
    }
}

/// Fires a schedule, if it is still as it was read.
pub(super) fn fire(unit: &Unit<'_>, firing: &Firing) -> Outcome<Fired> {
    let found = schedules::find(unit.db, firing.user_id, firing.schedule_id)?;
    let schedule = match (firing.plan, found) {
        (Plan::Due { due, revision, .. }, Some(schedule)) if schedule.next_run == Some(due) && schedule.revision == revision => schedule,
        (Plan::Due { .. }, _) => return Ok(Fired::Lost),
        (Plan::Extra, Some(schedule)) => schedule,
        (Plan::Extra, None) => return Err(StoreError::NotFound { what: "the schedule" }.into()),
    };
    let made = match &firing.act {
        Act::Run(run) => Some(make(unit, &schedule, run)?),
        Act::Miss => Some(Made::nothing(RunOutcome::Missed)),
        Act::Hold => None,
    };
    if let Some(made) = &made {
        record(unit, &schedule, made)?;
    }
    if let Plan::Due { then, .. } = firing.plan {
        unit.db
            .prepare_cached(
                "UPDATE schedules SET next_run = ?3, finished = ?3 IS NULL, enabled = ?3 IS NOT NULL, revision = revision + 1
                 WHERE user_id = ?1 AND id = ?2",
            )?
            .execute(params![schedule.user_id, schedule.id, then])?;
    }
    let outgoing = made.map_or(0, |made| made.outgoing);
    let schedule = schedules::get(unit.db, schedule.user_id, schedule.id)?;
    Ok(Fired::Done { schedule: Box::new(schedule), outgoing })
}

/// Records a run in the schedule's row. How the run before ended is settled by that.
fn record(unit: &Unit<'_>, schedule: &Schedule, made: &Made) -> Outcome<()> {
    let ran = made.outcome != RunOutcome::Missed;
    // As read, the failures hold the bad end of the run before, wherever that was known from.
    let failures = schedule.failures + u32::from(made.outcome.is_failure());
    unit.db
        .prepare_cached(
            "UPDATE schedules SET last_run = CASE WHEN ?3 THEN ?4 ELSE last_run END, runs = runs + ?3, failures = ?5, last_outcome = ?6,
                 last_turn = ?7, last_outbound = ?8, updated_at = ?4
             WHERE user_id = ?1 AND id = ?2",
        )?
        .execute(params![schedule.user_id, schedule.id, ran, unit.now, failures, made.outcome, made.turn, made.outbound])?;
    Ok(())
}

fn find_person(unit: &Unit<'_>, user: UserId) -> Outcome<Person> {
    let person = unit
        .db
        .prepare_cached(
            "SELECT p.phone, p.blocked, EXISTS (SELECT 1 FROM consents WHERE phone = p.phone AND opted_out), a.route_gateway, a.route_from
             FROM people p JOIN activity a ON a.user_id = p.user_id WHERE p.user_id = ?1",
        )?
        .query_row([user], |row| {
            Ok(Person { phone: row.get(0)?, blocked: row.get(1)?, opted_out: row.get(2)?, route: rows::route(row.get(3)?, row.get(4)?) })
        })?;
    Ok(person)
}

/// Makes what a run makes: a turn with its text, and the outgoing messages of a reminder.
fn make(unit: &Unit<'_>, schedule: &Schedule, run: &Run) -> Outcome<Made> {
    let user = schedule.user_id;
    let person = find_person(unit, user)?;
    if person.blocked {
        return Ok(Made::nothing(RunOutcome::Blocked));
    }
    if person.opted_out {
        return Ok(Made::nothing(RunOutcome::OptedOut));
    }
    // Without a number there is no way, whatever the default.
    let route = person.phone.as_ref().and_then(|_phone| person.route.as_ref().or(run.default_route.as_ref()));
    let made = match &run.kind {
        RunKind::Remind { outgoing, segment_price, balance, limits } => {
            let segments = outgoing.iter().filter(|part| !part.held).map(|part| i64::from(part.segments)).sum();
            let price = Credits(segment_price.0.saturating_mul(segments));
            // Without a way to a phone nothing leaves, and nothing is paid.
            let payment = route.and(*balance).filter(|_rules| price > Credits::ZERO);
            if let Some(rules) = payment
                && turn_end::grant_due(unit, user, rules)? < price
            {
                return Ok(Made::nothing(RunOutcome::Refused(Refusal::OutOfCredit)));
            }
            if let Some(refusal) = turns::count_turn(unit, user, limits)? {
                return Ok(Made::nothing(RunOutcome::Refused(refusal)));
            }
            let conversation = find_conversation(unit, schedule, run, person.phone.as_ref())?;
            add_turn(unit, user, run, conversation, TurnKind::Remind, &TurnRequest::default(), route)?;
            let first = outgoing.first().map(|part| part.id);
            match (route, &person.phone, first) {
                (Some(route), Some(phone), Some(first)) => {
                    let turn_id = run.turn_id;
                    let to = Recipient { user_id: user, phone, conversation_id: conversation, turn_id, route, confirmation: false };
                    lanes::add_outgoing(unit, &to, outgoing)?;
                    if payment.is_some() {
                        charge(unit, user, run.turn_id, price)?;
                    }
                    Made { outcome: RunOutcome::Texted, turn: Some(run.turn_id), outbound: Some(first), outgoing: outgoing.len() }
                }
                _ => Made { outcome: RunOutcome::Stored, turn: Some(run.turn_id), outbound: None, outgoing: 0 },
            }
        }
        RunKind::Ask { token_count, instructions } => {
            let request = TurnRequest { additional_instructions: Some(instructions.clone()), ..TurnRequest::default() };
            let conversation = find_conversation(unit, schedule, run, person.phone.as_ref())?;
            let number = add_turn(unit, user, run, conversation, TurnKind::Reply, &request, route)?;
            add_text(unit, user, run, conversation, number, *token_count)?;
            Made { outcome: RunOutcome::Asked, turn: Some(run.turn_id), outbound: None, outgoing: 0 }
        }
    };
    lanes::refresh_turns(unit, user)?;
    Ok(made)
}

/// The conversation in which the schedule was made, else the one that the person would continue by texting, else a new one.
fn find_conversation(unit: &Unit<'_>, schedule: &Schedule, run: &Run, phone: Option<&PhoneNumber>) -> Outcome<ConversationId> {
    let own: Option<ConversationId> = unit
        .db
        .prepare_cached("SELECT id FROM conversations WHERE user_id = ?1 AND id = ?2 AND closed = 0")?
        .query_row(params![schedule.user_id, schedule.conversation_id], |row| row.get(0))
        .optional()?;
    if let Some(own) = own {
        return Ok(own);
    }
    let newest: Option<ConversationId> = unit
        .db
        .prepare_cached(
            "SELECT id FROM conversations WHERE user_id = ?1 AND source = 'sms' AND closed = 0 AND last_message >= ?2
             ORDER BY last_message DESC, id DESC LIMIT 1",
        )?
        .query_row(params![schedule.user_id, run.not_before.map_or(i64::MIN, Timestamp::as_millis)], |row| row.get(0))
        .optional()?;
    if let Some(newest) = newest {
        return Ok(newest);
    }
    let title = phone.map_or_else(|| "Schedules".to_owned(), |phone| format!("SMS Chat {}", phone.as_str()));
    unit.db
        .prepare_cached(
            "INSERT INTO conversations (user_id, id, title, phone, source, last_message, message_count, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, 'sms', ?5, 0, ?5, ?5)",
        )?
        .execute(params![schedule.user_id, run.new_conversation_id, title, phone, unit.now])?;
    Ok(run.new_conversation_id)
}

/// Puts a turn at the end of the person's lane, due now. A reminder's text is the answer to nothing: it gets its place in the
/// conversation when the turns before it have theirs.
fn add_turn(
    unit: &Unit<'_>,
    user: UserId,
    run: &Run,
    conversation: ConversationId,
    kind: TurnKind,
    request: &TurnRequest,
    route: Option<&ReplyRoute>,
) -> Outcome<i64> {
    let answer = (kind == TurnKind::Remind).then_some((run.message_id, run.text.as_str()));
    unit.db
        .prepare_cached(
            "INSERT INTO turns (id, user_id, conversation_id, kind, state, due, last_text_at, texts, request, route_gateway, route_from,
                 answer_id, answer, opened_at)
             VALUES (?1, ?2, ?3, ?4, 'open', ?5, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?5)",
        )?
        .execute(params![
            run.turn_id,
            user,
            conversation,
            kind,
            unit.now,
            i64::from(answer.is_none()),
            request_column(request),
            route.map(|route| route.gateway.as_str()),
            route.map(|route| route.from.as_str()),
            answer.map(|(id, _text)| id),
            answer.map(|(_id, text)| text),
        ])?;
    Ok(unit.db.last_insert_rowid())
}

/// The text that is to be answered. It counts in the conversation, and not among what the person sent.
fn add_text(unit: &Unit<'_>, user: UserId, run: &Run, conversation: ConversationId, number: i64, tokens: i64) -> Outcome<()> {
    unit.db
        .prepare_cached(
            "INSERT INTO messages (user_id, conversation_id, slot, entry, id, turn_id, role, text, token_count, received_at, created_at,
                 updated_at)
             VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?9)",
        )?
        .execute(params![user, conversation, number, run.message_id, run.turn_id, Role::External, run.text, tokens, unit.now])?;
    unit.db
        .prepare_cached(
            "UPDATE conversations SET last_message = max(last_message, ?3), message_count = message_count + 1, updated_at = ?3
             WHERE user_id = ?1 AND id = ?2",
        )?
        .execute(params![user, conversation, unit.now])?;
    Ok(())
}

/// Takes what the texts cost from the balance, which is as high.
fn charge(unit: &Unit<'_>, user: UserId, turn: TurnId, credits: Credits) -> Outcome<()> {
    unit.db.prepare_cached("UPDATE activity SET balance = balance - ?2 WHERE user_id = ?1")?.execute(params![user, credits])?;
    unit.db.prepare_cached("UPDATE turns SET charge = ?2 WHERE id = ?1")?.execute(params![turn, credits])?;
    Ok(())
}
