//! Ending turns: replies, refusals, credits, and giving a turn back.

use rusqlite::{OptionalExtension, params};

use super::fault::Outcome;
use super::lanes::{self, Recipient};
use super::turns::{Turn, find};
use super::writer::Unit;
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{MessageId, UserId};
use crate::domain::ledger::{Credits, Usage};
use crate::domain::message::Role;
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::domain::turn::{NewReply, Refusal, StoredReply, TurnEnd, TurnLease, TurnState};
use crate::store::{BalanceRules, CompletedTurn, NewOutbound, Notice, Reservation, StoreError, TurnOutcome, TurnRelease};

/// An entry of ours in a conversation.
pub(super) struct Entry<'a> {
    pub(super) id: MessageId,
    pub(super) text: &'a str,
    pub(super) endpoint: Option<&'a Endpoint>,
    pub(super) model: Option<&'a str>,
    pub(super) tokens: i64,
    pub(super) unfinished: bool,
    /// A model's words, which later prompts repeat.
    recalled: bool,
}

impl<'a> Entry<'a> {
    /// A fixed text, which no model wrote.
    pub(super) const fn of_ours(id: MessageId, text: &'a str) -> Self {
        Self { id, text, endpoint: None, model: None, tokens: 0, unfinished: false, recalled: false }
    }

    /// A text that a person planned for themselves: what they say next may be about it.
    pub(super) const fn planned(id: MessageId, text: &'a str) -> Self {
        Self { recalled: true, ..Self::of_ours(id, text) }
    }
}

/// How a turn's row looks when it is over.
#[derive(Default)]
pub(super) struct Ending {
    pub(super) refusal: Option<Refusal>,
    /// Where its reply stands.
    pub(super) reply: Option<(i64, i64)>,
    pub(super) usage: Usage,
    /// A model was asked, and answered.
    pub(super) tried: bool,
}

/// The turn of a lease that still holds.
pub(super) fn held(unit: &Unit<'_>, lease: &TurnLease) -> Outcome<Turn> {
    let turn = find(unit.db, lease.user_id, lease.turn_id)?.filter(|turn| turn.state == TurnState::Begun);
    let turn = turn.ok_or(StoreError::LeaseLost)?;
    let holds = unit
        .db
        .prepare_cached("SELECT 1 FROM activity WHERE user_id = ?1 AND turn_owner IS NOT NULL AND turn_fence = ?2 AND turn_leased = ?3")?
        .query_row(params![lease.user_id, lease.fence, turn.number], |_row| Ok(()))
        .optional()?;
    match holds {
        Some(()) => Ok(turn),
        None => Err(StoreError::LeaseLost.into()),
    }
}

/// Holds credits for a turn.
pub(super) fn reserve(unit: &Unit<'_>, lease: &TurnLease, rules: BalanceRules, credits: Credits) -> Outcome<Reservation> {
    let turn = held(unit, lease)?;
    let before = Credits(turn.reserved);
    let credits = credits.minus(turn.charge).max(Credits::ZERO);
    let balance = grant_due(unit, lease.user_id, rules)?.plus(before);
    let enough = balance >= credits;
    let held = if enough { credits } else { before };
    unit.db.prepare_cached("UPDATE activity SET balance = ?2 WHERE user_id = ?1")?.execute(params![lease.user_id, balance.minus(held)])?;
    unit.db.prepare_cached("UPDATE turns SET reserved = ?2 WHERE number = ?1")?.execute(params![turn.number, held])?;
    Ok(if enough { Reservation::Held } else { Reservation::Insufficient { balance } })
}

/// Grants a person what is due; returns what they have then.
pub(super) fn grant_due(unit: &Unit<'_>, user: UserId, rules: BalanceRules) -> Outcome<Credits> {
    let (balance, refilled_at): (Option<Credits>, Option<Timestamp>) = unit
        .db
        .prepare_cached("SELECT balance, refilled_at FROM activity WHERE user_id = ?1")?
        .query_row([user], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (balance, refilled_at) = rules.granted(balance, refilled_at, unit.now);
    unit.db.prepare_cached("UPDATE activity SET balance = ?2, refilled_at = ?3 WHERE user_id = ?1")?.execute(params![
        user,
        balance,
        refilled_at
    ])?;
    Ok(balance)
}

/// Ends a turn whose lease holds.
pub(super) fn complete(unit: &Unit<'_>, lease: &TurnLease, outcome: &TurnOutcome) -> Outcome<CompletedTurn> {
    let turn = held(unit, lease)?;
    let (end, outgoing) = match outcome {
        TurnOutcome::Answered { reply, outgoing, charge } => {
            let end = answer(unit, &turn, reply, *charge)?;
            (end, send(unit, &turn, outgoing)?)
        }
        TurnOutcome::Refused { reason, notice } => {
            settle(unit, &turn, spent(unit, &turn)?)?;
            let (reply, told) = match notice {
                Some(notice) => tell_once(unit, &turn, notice)?,
                None => (None, 0),
            };
            finish(unit, &turn, &Ending { refusal: Some(*reason), reply, ..Ending::default() })?;
            (TurnEnd::Refused(*reason), told)
        }
    };
    lanes::free_turns(unit, turn.user_id)?;
    Ok(CompletedTurn { end, outgoing })
}

fn answer(unit: &Unit<'_>, turn: &Turn, reply: &NewReply, charge: Credits) -> Outcome<TurnEnd> {
    let entry = Entry {
        id: reply.message_id,
        text: &reply.text,
        endpoint: Some(&reply.endpoint),
        model: Some(&reply.model),
        tokens: reply.usage.completion_tokens,
        unfinished: reply.unfinished,
        recalled: true,
    };
    let place = add_entry(unit, turn, &entry)?;
    unit.db
        .prepare_cached(
            "UPDATE messages SET endpoint = ?4
             WHERE user_id = ?1 AND conversation_id = ?2 AND slot = ?3 AND role = 'external'",
        )?
        .execute(params![turn.user_id, turn.conversation_id, turn.number, reply.endpoint])?;
    settle(unit, turn, charge)?;
    finish(unit, turn, &Ending { refusal: None, reply: Some(place), usage: reply.usage, tried: true })?;
    Ok(TurnEnd::Answered(Some(reply.stored())))
}

/// Adds an entry of ours behind the last one of the turn's conversation; returns its slot and its place there.
pub(super) fn add_entry(unit: &Unit<'_>, turn: &Turn, entry: &Entry<'_>) -> Outcome<(i64, i64)> {
    let (sequence, parent, slot, last_entry): (i64, Option<MessageId>, i64, i64) = unit
        .db
        .prepare_cached("SELECT last_sequence, last_id, last_slot, last_entry FROM conversations WHERE user_id = ?1 AND id = ?2")?
        .query_row(params![turn.user_id, turn.conversation_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    unit.db
        .prepare_cached(
            "INSERT INTO messages (user_id, conversation_id, slot, entry, id, turn_id, sequence, parent_id, role, text, endpoint, model,
                 token_count, unfinished, received_at, created_at, updated_at, recalled)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?15, ?15, ?16)",
        )?
        .execute(params![
            turn.user_id,
            turn.conversation_id,
            slot,
            last_entry + 1,
            entry.id,
            turn.id,
            sequence + 1,
            parent.unwrap_or(MessageId::ROOT),
            Role::Assistant,
            entry.text,
            entry.endpoint,
            entry.model,
            entry.tokens,
            entry.unfinished,
            unit.now,
            entry.recalled,
        ])?;
    unit.db
        .prepare_cached(
            "UPDATE conversations SET last_sequence = ?3, last_id = ?4, last_entry = ?5, endpoint = coalesce(?6, endpoint),
                 model = coalesce(?7, model), last_message = max(last_message, ?8), message_count = message_count + 1, updated_at = ?8
             WHERE user_id = ?1 AND id = ?2",
        )?
        .execute(params![
            turn.user_id,
            turn.conversation_id,
            sequence + 1,
            entry.id,
            last_entry + 1,
            entry.endpoint,
            entry.model,
            unit.now
        ])?;
    Ok((slot, last_entry + 1))
}

/// Marks a turn as over and gives it the person's next event number.
pub(super) fn finish(unit: &Unit<'_>, turn: &Turn, ending: &Ending) -> Outcome<()> {
    let event: i64 = unit
        .db
        .prepare_cached("UPDATE activity SET latest_event = latest_event + 1 WHERE user_id = ?1 RETURNING latest_event")?
        .query_row([turn.user_id], |row| row.get(0))?;
    let Usage { prompt_tokens, completion_tokens, total_tokens } = ending.usage;
    unit.db
        .prepare_cached(
            "UPDATE turns SET state = 'done', refusal = ?2, event = ?3, due = ?4, error = NULL, reserved = 0, answer = NULL,
                 answer_id = NULL, reply_slot = ?5, reply_entry = ?6, prompt_tokens = ?7, completion_tokens = ?8, total_tokens = ?9,
                 attempts = attempts + ?10
             WHERE number = ?1",
        )?
        .execute(params![
            turn.number,
            ending.refusal,
            event,
            unit.now,
            ending.reply.map(|(slot, _entry)| slot),
            ending.reply.map(|(_slot, entry)| entry),
            prompt_tokens,
            completion_tokens,
            total_tokens,
            ending.tried,
        ])?;
    // What its tools read and wrote rests where they put it, and is forgotten there: no copy of it stays here.
    unit.db
        .prepare_cached("UPDATE calls SET arguments = '', extra = NULL, result = '' WHERE turn = ?1 AND user_id = ?2")?
        .execute(params![turn.number, turn.user_id])?;
    // What its model said beside its calls may repeat it; what of that was shown stands in the reply.
    unit.db.prepare_cached("UPDATE steps SET said = '' WHERE turn = ?1 AND user_id = ?2")?.execute(params![turn.number, turn.user_id])?;
    Ok(())
}

/// What a turn has cost that ends without an answer, or may: its recorded steps were paid for by the host. A turn without any has
/// cost what it was charged.
pub(super) fn spent(unit: &Unit<'_>, turn: &Turn) -> Outcome<Credits> {
    let steps = unit
        .db
        .prepare_cached("SELECT charge FROM steps WHERE turn = ?1 AND user_id = ?2 ORDER BY number DESC LIMIT 1")?
        .query_row(params![turn.number, turn.user_id], |row| row.get(0))
        .optional()?;
    Ok(steps.unwrap_or(turn.charge))
}

/// Gives back what was held for a turn and takes what it has cost in all, less what was taken before: so it is paid for once,
/// however often it is settled. What was taken is not given back.
pub(super) fn settle(unit: &Unit<'_>, turn: &Turn, cost: Credits) -> Outcome<()> {
    let charge = cost.max(turn.charge).minus(turn.charge);
    let back = Credits(turn.reserved).minus(charge);
    if back != Credits::ZERO {
        unit.db
            .prepare_cached("UPDATE activity SET balance = balance + ?2 WHERE user_id = ?1 AND balance IS NOT NULL")?
            .execute(params![turn.user_id, back])?;
    }
    if turn.reserved != 0 || charge != Credits::ZERO {
        unit.db
            .prepare_cached("UPDATE turns SET reserved = 0, charge = charge + ?2 WHERE number = ?1")?
            .execute(params![turn.number, charge])?;
    }
    Ok(())
}

/// Adds what is to be sent, unless there is no way back or the person opted out meanwhile. Returns how many.
fn send(unit: &Unit<'_>, turn: &Turn, outgoing: &[NewOutbound]) -> Outcome<usize> {
    let Some(route) = turn.route.as_ref().filter(|_route| !outgoing.is_empty()) else {
        return Ok(0);
    };
    let Some(phone) = phone_of(unit, turn.user_id)? else { return Ok(0) };
    if lanes::opted_out(unit.db, &phone)? {
        return Ok(0);
    }
    let to = Recipient {
        user_id: turn.user_id,
        phone: &phone,
        conversation_id: turn.conversation_id,
        turn_id: turn.id,
        route,
        confirmation: false,
    };
    lanes::add_outgoing(unit, &to, outgoing)?;
    Ok(outgoing.len())
}

fn phone_of(unit: &Unit<'_>, user: UserId) -> Outcome<Option<PhoneNumber>> {
    Ok(unit.db.prepare_cached("SELECT phone FROM people WHERE user_id = ?1")?.query_row([user], |row| row.get(0))?)
}

/// Tells a person something unless they were told; returns where it stands and how many messages leave for it.
fn tell_once(unit: &Unit<'_>, turn: &Turn, notice: &Notice) -> Outcome<(Option<(i64, i64)>, usize)> {
    let first = unit
        .db
        .prepare_cached("INSERT INTO notices (user_id, key, given_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![turn.user_id, notice.key, unit.now])?;
    if first == 0 {
        return Ok((None, 0));
    }
    let place = add_entry(unit, turn, &Entry::of_ours(notice.message_id, &notice.text))?;
    Ok((Some(place), send(unit, turn, &notice.outgoing)?))
}

/// Gives a turn back without an end.
pub(super) fn release(unit: &Unit<'_>, lease: &TurnLease, release: &TurnRelease) -> Outcome<()> {
    let turn = held(unit, lease)?;
    settle(unit, &turn, spent(unit, &turn)?)?;
    match release {
        TurnRelease::Retry { due, error } => {
            // Given back, so this lease is none of those that ended without a word.
            unit.db
                .prepare_cached(
                    "UPDATE turns SET due = ?2, error = ?3, attempts = attempts + 1, starts = max(starts - 1, 0) WHERE number = ?1",
                )?
                .execute(params![turn.number, due, error])?
        }
        TurnRelease::Dead { error } => unit
            .db
            .prepare_cached(
                "UPDATE turns SET state = 'dead', due = ?2, error = ?3, attempts = attempts + 1, starts = max(starts - 1, 0)
                 WHERE number = ?1",
            )?
            .execute(params![turn.number, unit.now, error])?,
        TurnRelease::Unchanged => unit
            .db
            .prepare_cached("UPDATE turns SET due = min(due, ?2), starts = max(starts - 1, 0) WHERE number = ?1")?
            .execute(params![turn.number, unit.now])?,
    };
    lanes::free_turns(unit, turn.user_id)
}

/// How a stored turn ended, or how the last attempt at it did.
pub(super) fn end_of(state: TurnState, refusal: Option<Refusal>, error: Option<String>, reply: Option<StoredReply>) -> Option<TurnEnd> {
    match state {
        TurnState::Open => None,
        TurnState::Begun => error.map(|error| TurnEnd::Failed { error, will_retry: true }),
        TurnState::Dead => Some(TurnEnd::Failed { error: error.unwrap_or_default(), will_retry: false }),
        TurnState::Done => Some(refusal.map_or(TurnEnd::Answered(reply), TurnEnd::Refused)),
    }
}
