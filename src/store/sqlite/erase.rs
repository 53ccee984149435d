//! Erasing people: nobody at once, and then gone bit by bit.

use rusqlite::{Connection, OptionalExtension, params};

use super::erased_consents;
use super::fault::Outcome;
use super::writer::Unit;
use crate::domain::ids::UserId;
use crate::domain::phone::PhoneNumber;
use crate::store::StoreError;

/// Makes a person nobody: no number or name finds them, no token speaks for them, nothing of theirs is worked on or sent, and whoever
/// holds one of their lanes has lost it. What is left is erased by [`erase_left_over`].
pub(super) fn begin(unit: &Unit<'_>, user: UserId, first_key: [u8; 32]) -> Outcome<()> {
    let found: Option<(Option<PhoneNumber>, bool)> = unit
        .db
        .prepare_cached("SELECT phone, erased_at IS NOT NULL FROM people WHERE user_id = ?1")?
        .query_row([user], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((phone, erased)) = found else { return Err(StoreError::NotFound { what: "the person" }.into()) };
    if erased {
        return Ok(());
    }
    if let Some(phone) = &phone {
        erased_consents::hide(unit, phone, first_key)?;
    }
    unit.db
        .prepare_cached(
            "UPDATE people SET phone = NULL, email = '', name = '', username = 'erased ' || lower(hex(user_id)), preferred_endpoint = NULL,
                 preferred_model = NULL, preferred_agent = NULL, time_zone = NULL, quiet_hours = NULL, caller_metadata = '{}', blocked = 1,
                 erased_at = ?2, updated_at = ?2 WHERE user_id = ?1",
        )?
        .execute(params![user, unit.now])?;
    unit.db
        .prepare_cached(
            "UPDATE activity SET turn_owner = NULL, turn_leased = NULL, turn_fence = turn_fence + 1, turn_next = NULL, delivery_owner = NULL,
                 delivery_leased = NULL, delivery_fence = delivery_fence + 1, delivery_next = NULL, delivery_gateway = NULL, balance = NULL,
                 route_gateway = NULL, route_from = NULL WHERE user_id = ?1",
        )?
        .execute([user])?;
    for sql in [
        "DELETE FROM tokens WHERE user_id = ?1",
        "DELETE FROM schedules WHERE user_id = ?1",
        "UPDATE graphs SET user_id = NULL WHERE user_id = ?1",
        // What a worker or an operator could still come across; there is little of it.
        "DELETE FROM turns WHERE user_id = ?1 AND state IN ('open', 'begun')",
        "DELETE FROM turns WHERE user_id = ?1 AND state = 'dead'",
        "DELETE FROM outbox WHERE user_id = ?1 AND state IN ('ready', 'sending', 'checking')",
        "DELETE FROM outbox WHERE user_id = ?1 AND state = 'held'",
        "DELETE FROM outbox WHERE user_id = ?1 AND state = 'dead'",
    ] {
        unit.db.prepare_cached(sql)?.execute([user])?;
    }
    Ok(())
}

/// Whether somebody is being erased.
pub(super) fn any_left_over(db: &Connection) -> Outcome<bool> {
    Ok(db.prepare_cached("SELECT 1 FROM people WHERE erased_at IS NOT NULL LIMIT 1")?.exists([])?)
}

/// Erases up to about that many rows of people who are nobody any more. How many of them may still be erased in this step: none where
/// something is left.
pub(super) fn erase_left_over(unit: &Unit<'_>, rows: usize) -> Outcome<usize> {
    let mut find = unit.db.prepare_cached("SELECT user_id FROM people WHERE erased_at IS NOT NULL LIMIT 1")?;
    let mut left = rows;
    while left > 0
        && let Some(user) = find.query_row([], |row| row.get::<_, UserId>(0)).optional()?
    {
        left = erase(unit, user, left)?;
    }
    Ok(left)
}

/// Erases rows of one person, and the person with the last of them. How many more may be erased in this step.
fn erase(unit: &Unit<'_>, user: UserId, rows: usize) -> Outcome<usize> {
    let mut left = erase_messages(unit, user, rows)?;
    for sql in [
        // By a receipt a repeat is recognised for ever; it says nothing of a person but for this hash of what was said.
        "UPDATE receipts SET fingerprint = NULL WHERE (door, key) IN
             (SELECT door, key FROM receipts WHERE user_id = ?1 AND fingerprint IS NOT NULL LIMIT ?2)",
        "DELETE FROM turns WHERE number IN (SELECT number FROM turns WHERE user_id = ?1 AND event IS NOT NULL LIMIT ?2)",
        "DELETE FROM outbox WHERE number IN (SELECT number FROM outbox WHERE user_id = ?1 LIMIT ?2)",
        "DELETE FROM summaries WHERE user_id = ?1 AND conversation_id IN (SELECT conversation_id FROM summaries WHERE user_id = ?1 LIMIT ?2)",
        "DELETE FROM conversations WHERE user_id = ?1 AND id IN (SELECT id FROM conversations WHERE user_id = ?1 LIMIT ?2)",
        "DELETE FROM notices WHERE user_id = ?1 AND key IN (SELECT key FROM notices WHERE user_id = ?1 LIMIT ?2)",
        "DELETE FROM todos WHERE user_id = ?1 AND id IN (SELECT id FROM todos WHERE user_id = ?1 LIMIT ?2)",
    ] {
        if left == 0 {
            return Ok(0);
        }
        let limit = i64::try_from(left).unwrap_or(i64::MAX);
        left = left.saturating_sub(unit.db.prepare_cached(sql)?.execute(params![user, limit])?);
    }
    if left > 0 {
        // With what was still written for them meanwhile, if anything.
        unit.db.prepare_cached("DELETE FROM people WHERE user_id = ?1")?.execute([user])?;
        left -= 1;
    }
    Ok(left)
}

/// Messages, each with its turn and what an agent did in it: turns are found by no other index.
fn erase_messages(unit: &Unit<'_>, user: UserId, rows: usize) -> Outcome<usize> {
    type Entry = (Vec<u8>, i64, i64, Vec<u8>);
    let limit = i64::try_from(rows).unwrap_or(i64::MAX);
    let entries: Vec<Entry> = unit
        .db
        .prepare_cached("SELECT conversation_id, slot, entry, turn_id FROM messages WHERE user_id = ?1 LIMIT ?2")?
        .query_map(params![user, limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut left = rows;
    let mut steps = unit.db.prepare_cached("SELECT count(*) FROM calls WHERE turn = (SELECT number FROM turns WHERE id = ?1)")?;
    let mut delete_turn = unit.db.prepare_cached("DELETE FROM turns WHERE (id = ?1 OR number = ?2) AND user_id = ?3")?;
    let mut delete_message =
        unit.db.prepare_cached("DELETE FROM messages WHERE user_id = ?1 AND conversation_id = ?2 AND slot = ?3 AND entry = ?4")?;
    for (conversation, slot, entry, turn) in entries {
        if left == 0 {
            break;
        }
        let calls: i64 = steps.query_row([&turn], |row| row.get(0))?;
        let turns = delete_turn.execute(params![turn, slot, user])?;
        delete_message.execute(params![user, conversation, slot, entry])?;
        left = left.saturating_sub(1 + turns + usize::try_from(calls).unwrap_or(0));
    }
    Ok(left)
}
