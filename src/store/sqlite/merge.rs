//! Making one person of two, in one transaction.
//!
//! What rules decide about is read as records, decided by [`unite`], and put back as records; the rest changes its owner in its table.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Outcome;
use super::records::{Numbers, of_kinds, put};
use super::writer::{Unit, Urgency};
use super::{SqliteStore, erased_consents, lanes};
use crate::domain::ids::UserId;
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::store::merging::{Holdings, more_careful, refuse_open_work, unite};
use crate::store::record::Record;
use crate::store::{MergeLimits, Merged, Merging, StoreError, StoreResult};

#[async_trait]
impl Merging for SqliteStore {
    async fn merge_people(&self, from: UserId, into: UserId, limits: MergeLimits) -> StoreResult<Merged> {
        self.write(Urgency::Other, move |unit| merge(unit, from, into, &limits)).await
    }
}

fn merge(unit: &Unit<'_>, from: UserId, into: UserId, limits: &MergeLimits) -> Outcome<Merged> {
    let db = unit.db;
    let (mut one, mut other) = (holdings(db, from)?, holdings(db, into)?);
    let united = unite(&one, &other, limits)?;
    let (turns, messages) = open_work(db, from)?;
    refuse_open_work(turns, messages)?;
    refuse_common_conversations(db, from, into)?;

    let mut merged = united.merged;
    let phones = (one.person.take().and_then(|person| person.phone), other.person.take().and_then(|person| person.phone));
    if let (Some(gone), Some(kept)) = &phones {
        merged.opted_out = carry_opt_out(unit, gone, kept)?;
        if merged.opted_out {
            lanes::withdraw(unit, into, "the person opted out")?;
        }
    }
    // Events of the one come behind those of the other, so that whoever follows that one misses none of them.
    let events = other.activity.map_or(0, |activity| activity.latest_event);
    merged.conversations = change_owner(unit, from, into, events)?;
    // Nothing of theirs is left but what was decided about: it goes with the account, and its graph bit by bit.
    db.prepare_cached("UPDATE graphs SET user_id = NULL WHERE user_id = ?1")?.execute([from])?;
    db.prepare_cached("DELETE FROM people WHERE user_id = ?1")?.execute([from])?;
    for record in &united.put {
        put(db, record, Numbers::Kept)?;
    }
    lanes::refresh_turns(unit, into)?;
    lanes::refresh_deliveries(unit, into)?;
    Ok(merged)
}

/// What somebody has; nothing of whoever is being erased.
fn holdings(db: &Connection, user: UserId) -> Outcome<Holdings> {
    let mut found = Holdings::default();
    of_kinds(db, Holdings::KINDS, Some(user), |record: Record| {
        found.take(record);
        Ok(())
    })?;
    if found.person.as_ref().is_none_or(|person| person.erased_at.is_some()) {
        return Err(StoreError::NotFound { what: "the person" }.into());
    }
    Ok(found)
}

fn open_work(db: &Connection, user: UserId) -> Outcome<(usize, usize)> {
    let count = |sql: &str| -> Outcome<usize> {
        let found: i64 = db.prepare_cached(sql)?.query_row([user], |row| row.get(0))?;
        Ok(usize::try_from(found).unwrap_or(usize::MAX))
    };
    Ok((
        count("SELECT count(*) FROM turns WHERE user_id = ?1 AND state IN ('open', 'begun')")?,
        count("SELECT count(*) FROM outbox WHERE user_id = ?1 AND state IN ('ready', 'sending', 'checking')")?,
    ))
}

/// Two people have no conversation in common, unless somebody copied rows.
fn refuse_common_conversations(db: &Connection, from: UserId, into: UserId) -> Outcome<()> {
    let sql = "SELECT 1 FROM conversations one JOIN conversations other ON other.user_id = ?2 AND other.id = one.id WHERE one.user_id = ?1";
    if db.prepare_cached(sql)?.exists(params![from, into])? {
        let reason = "both accounts have a conversation of the same id; delete it from one of them first".to_owned();
        return Err(StoreError::Conflict { reason }.into());
    }
    Ok(())
}

/// Lets the number that stays say what the other said, where that is more careful. True when it did.
fn carry_opt_out(unit: &Unit<'_>, gone: &PhoneNumber, kept: &PhoneNumber) -> Outcome<bool> {
    let word = |phone: &PhoneNumber| -> Outcome<Option<(bool, Timestamp)>> {
        erased_consents::recall(unit, phone)?;
        let sql = "SELECT opted_out, said_at FROM consents WHERE phone = ?1";
        Ok(unit.db.prepare_cached(sql)?.query_row([phone], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    };
    let Some((opted_out, said_at)) = more_careful(word(gone)?, word(kept)?) else { return Ok(false) };
    unit.db
        .prepare_cached(
            "INSERT INTO consents (phone, opted_out, said_at) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET opted_out = excluded.opted_out, said_at = excluded.said_at",
        )?
        .execute(params![kept, opted_out, said_at])?;
    Ok(true)
}

/// Gives what no rule decides about to its new owner. How many conversations there were.
fn change_owner(unit: &Unit<'_>, from: UserId, into: UserId, events: i64) -> Outcome<u64> {
    let db = unit.db;
    // Messages name their conversation with its owner: for a moment one of the two is ahead.
    db.execute_batch("PRAGMA defer_foreign_keys = ON")?;
    db.prepare_cached(
        "UPDATE outbox SET state = 'canceled', error = 'the account became part of another', due = ?2 WHERE user_id = ?1 AND state = 'held'",
    )?
    .execute(params![from, unit.now])?;
    for sql in [
        "UPDATE steps SET user_id = ?2 WHERE user_id = ?1 AND turn IN (SELECT number FROM turns WHERE user_id = ?1)",
        "UPDATE calls SET user_id = ?2 WHERE user_id = ?1 AND turn IN (SELECT number FROM turns WHERE user_id = ?1)",
        "UPDATE messages SET user_id = ?2 WHERE user_id = ?1",
        "UPDATE summaries SET user_id = ?2 WHERE user_id = ?1",
        "UPDATE outbox SET user_id = ?2 WHERE user_id = ?1",
        "UPDATE receipts SET user_id = ?2 WHERE user_id = ?1",
        "UPDATE tokens SET user_id = ?2 WHERE user_id = ?1",
    ] {
        db.prepare_cached(sql)?.execute(params![from, into])?;
    }
    db.prepare_cached("UPDATE turns SET user_id = ?2, event = event + ?3 WHERE user_id = ?1")?.execute(params![from, into, events])?;
    let conversations = db.prepare_cached("UPDATE conversations SET user_id = ?2 WHERE user_id = ?1")?.execute(params![from, into])?;
    Ok(u64::try_from(conversations).unwrap_or(u64::MAX))
}
