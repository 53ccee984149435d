//! The two lanes of a person: when their heads may be looked at, and what goes into them.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::erased_consents;
use super::fault::Outcome;
use super::writer::Unit;
use crate::domain::delivery::{OutboundState, ReplyRoute};
use crate::domain::ids::{ConversationId, TurnId, UserId};
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::store::{Consent, LaneKind, NewOutbound};

/// Sets when a person's turn lane may be looked at, unless somebody holds it.
pub(super) fn refresh_turns(unit: &Unit<'_>, user: UserId) -> Outcome<()> {
    unit.db
        .prepare_cached(
            "UPDATE activity SET turn_next = (SELECT due FROM turns WHERE user_id = ?1 AND state IN ('open', 'begun') ORDER BY number LIMIT 1)
             WHERE user_id = ?1 AND turn_owner IS NULL",
        )?
        .execute([user])?;
    Ok(())
}

/// Takes the turn lane from whoever holds it, whose lease ends by that, and sets when it may be looked at.
pub(super) fn free_turns(unit: &Unit<'_>, user: UserId) -> Outcome<()> {
    unit.db
        .prepare_cached(
            "UPDATE activity SET turn_owner = NULL, turn_leased = NULL, turn_fence = turn_fence + 1,
                 turn_next = (SELECT due FROM turns WHERE user_id = ?1 AND state IN ('open', 'begun') ORDER BY number LIMIT 1)
             WHERE user_id = ?1",
        )?
        .execute([user])?;
    Ok(())
}

/// Sets when a person's delivery lane may be looked at, unless somebody holds it.
pub(super) fn refresh_deliveries(unit: &Unit<'_>, user: UserId) -> Outcome<()> {
    unit.db
        .prepare_cached(
            "UPDATE activity SET (delivery_next, delivery_gateway) = (SELECT due, route_gateway FROM outbox
                 WHERE user_id = ?1 AND state IN ('ready', 'sending', 'checking') ORDER BY number LIMIT 1)
             WHERE user_id = ?1 AND delivery_owner IS NULL",
        )?
        .execute([user])?;
    Ok(())
}

/// How long a lane with damaged rows is left alone.
const PARKED: Duration = Duration::from_mins(1);

/// Runs `lease` for each person whose lane is `due`. A lane whose rows are damaged is undone, reported and left alone for a
/// while: it must not keep everybody else waiting.
pub(super) fn lease_each<T>(
    unit: &Unit<'_>,
    lane: LaneKind,
    due: Vec<UserId>,
    mut lease: impl FnMut(UserId) -> Outcome<Option<T>>,
) -> Outcome<Vec<T>> {
    let park = match lane {
        LaneKind::Turns => "UPDATE activity SET turn_next = ?2 WHERE user_id = ?1",
        LaneKind::Deliveries => "UPDATE activity SET delivery_next = ?2 WHERE user_id = ?1",
    };
    let mut work = Vec::with_capacity(due.len());
    for user in due {
        unit.db.prepare_cached("SAVEPOINT lane")?.execute([])?;
        match lease(user) {
            Ok(leased) => work.extend(leased),
            Err(fault) if fault.is_damage() => {
                unit.db.prepare_cached("ROLLBACK TO lane")?.execute([])?;
                unit.db.prepare_cached(park)?.execute(params![user, unit.now.after(PARKED)])?;
                let error = fault.into_store_error(unit.file);
                tracing::error!(error = %error, user = %user, lane = ?lane, "a person's work cannot be read; it is left alone for a minute");
            }
            Err(fault) => return Err(fault),
        }
        unit.db.prepare_cached("RELEASE lane")?.execute([])?;
    }
    Ok(work)
}

/// For whom, and as part of what, outgoing messages are made.
pub(super) struct Recipient<'a> {
    pub(super) user_id: UserId,
    pub(super) phone: &'a PhoneNumber,
    pub(super) conversation_id: ConversationId,
    pub(super) turn_id: TurnId,
    pub(super) route: &'a ReplyRoute,
    /// It confirms a consent word and may be sent to somebody who opted out.
    pub(super) confirmation: bool,
}

/// Adds outgoing messages, in order. Parts kept back for an earlier reply give way to those kept back for this one: the word
/// `MORE` asks for the rest of what was read last.
pub(super) fn add_outgoing(unit: &Unit<'_>, to: &Recipient<'_>, outgoing: &[NewOutbound]) -> Outcome<()> {
    if outgoing.is_empty() {
        return Ok(());
    }
    if outgoing.iter().any(|part| part.held) {
        unit.db
            .prepare_cached(
                "UPDATE outbox SET state = 'canceled', error = 'a later reply took its place', due = ?2
                 WHERE user_id = ?1 AND state = 'held'",
            )?
            .execute(params![to.user_id, unit.now])?;
    }
    let mut insert = unit.db.prepare_cached(
        "INSERT INTO outbox (id, user_id, conversation_id, turn_id, part, phone, route_gateway, route_from, body, segments, state,
             confirmation, due, expires_at, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?13)",
    )?;
    for (part, new) in outgoing.iter().enumerate() {
        insert.execute(params![
            new.id,
            to.user_id,
            to.conversation_id,
            to.turn_id,
            u32::try_from(part).unwrap_or(u32::MAX),
            to.phone,
            to.route.gateway,
            to.route.from,
            new.body,
            new.segments,
            if new.held { OutboundState::Held } else { OutboundState::Ready },
            to.confirmation,
            unit.now,
            new.expires_at,
        ])?;
    }
    refresh_deliveries(unit, to.user_id)
}

/// Withdraws what is still to be sent to a person, confirmations of consent words excepted. What is being handed to a carrier
/// at this moment is not ours to stop.
pub(super) fn withdraw(unit: &Unit<'_>, user: UserId, reason: &str) -> Outcome<()> {
    for statement in [
        "UPDATE outbox SET state = 'canceled', error = ?2, due = ?3
         WHERE user_id = ?1 AND state IN ('ready', 'sending', 'checking') AND state <> 'sending' AND confirmation = 0",
        "UPDATE outbox SET state = 'canceled', error = ?2, due = ?3 WHERE user_id = ?1 AND state = 'held' AND confirmation = 0",
    ] {
        unit.db.prepare_cached(statement)?.execute(params![user, reason, unit.now])?;
    }
    refresh_deliveries(unit, user)
}

/// Whether that number has opted out.
pub(super) fn opted_out(db: &Connection, phone: &PhoneNumber) -> Outcome<bool> {
    Ok(newest_word(db, phone)?.is_some_and(|(opted_out, _said_at)| opted_out))
}

fn newest_word(db: &Connection, phone: &PhoneNumber) -> Outcome<Option<(bool, Timestamp)>> {
    let found = db
        .prepare_cached("SELECT opted_out, said_at FROM consents WHERE phone = ?1")?
        .query_row([phone], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match found {
        Some(found) => Ok(Some(found)),
        None => erased_consents::find(db, phone),
    }
}

/// What a consent word did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// It is the number's newest, and the number stands otherwise than before.
    Changed,
    /// It says what was so already, or a later word is known.
    Unchanged,
}

/// Records a number's word, unless a later one is known. One that was said in the future, by a clock that is ahead, counts as
/// said now: it must not outdo what is said next. With [`Consent::OptOut`] that holds, what is still to be sent to whoever has
/// the number is withdrawn.
pub(super) fn record_word(unit: &Unit<'_>, phone: &PhoneNumber, consent: Consent, said_at: Timestamp) -> Outcome<Word> {
    let said_at = said_at.min(unit.now);
    let opted_out = consent == Consent::OptOut;
    erased_consents::recall(unit, phone)?;
    let before = newest_word(unit.db, phone)?;
    if before.is_some_and(|(_opted_out, newest)| newest > said_at) {
        return Ok(Word::Unchanged);
    }
    unit.db
        .prepare_cached(
            "INSERT INTO consents (phone, opted_out, said_at) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET opted_out = excluded.opted_out, said_at = excluded.said_at",
        )?
        .execute(params![phone, opted_out, said_at])?;
    if opted_out {
        let user: Option<UserId> =
            unit.db.prepare_cached("SELECT user_id FROM people WHERE phone = ?1")?.query_row([phone], |row| row.get(0)).optional()?;
        if let Some(user) = user {
            withdraw(unit, user, "the person opted out")?;
        }
    }
    Ok(if before.is_some_and(|(before, _said_at)| before) == opted_out { Word::Unchanged } else { Word::Changed })
}
