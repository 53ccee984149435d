//! What concerns the store as a whole: figures, marks, and the leases of a process.

use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Outcome;
use super::writer::Unit;
use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;
use crate::store::{HeldLease, LEASE, LaneKind, Owner, StoreFigures};

/// Counts of work; each reads only what is unfinished.
pub(super) fn figures(db: &Connection, now: Timestamp) -> Outcome<StoreFigures> {
    let count = |sql: &str| -> Outcome<i64> { Ok(db.prepare_cached(sql)?.query_row([], |row| row.get(0))?) };
    let oldest_due = db
        .prepare_cached(
            "SELECT min(due) FROM (
                 SELECT min(due) AS due FROM turns WHERE state IN ('open', 'begun') AND due <= ?1
                 UNION ALL SELECT min(due) FROM outbox WHERE state IN ('ready', 'sending', 'checking') AND due <= ?1)",
        )?
        .query_row([now], |row| row.get(0))?;
    Ok(StoreFigures {
        open_turns: count("SELECT count(*) FROM turns WHERE state IN ('open', 'begun')")?,
        dead_turns: count("SELECT count(*) FROM turns WHERE state = 'dead'")?,
        open_deliveries: count("SELECT count(*) FROM outbox WHERE state IN ('ready', 'sending', 'checking')")?,
        dead_deliveries: count("SELECT count(*) FROM outbox WHERE state = 'dead'")?,
        oldest_due,
    })
}

/// A moment kept under a name.
pub(super) fn find_mark(db: &Connection, name: &str) -> Outcome<Option<Timestamp>> {
    Ok(db.prepare_cached("SELECT moment FROM marks WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()?)
}

/// Keeps a moment; it never goes back.
pub(super) fn set_mark(unit: &Unit<'_>, name: &str, moment: Timestamp) -> Outcome<()> {
    unit.db
        .prepare_cached("INSERT INTO marks (name, moment) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET moment = max(moment, ?2)")?
        .execute(params![name, moment])?;
    Ok(())
}

/// Everybody who holds a lane.
pub(super) fn owners(db: &Connection) -> Outcome<Vec<Owner>> {
    let found = db
        .prepare_cached(
            "SELECT turn_owner FROM activity WHERE turn_owner IS NOT NULL
             UNION SELECT delivery_owner FROM activity WHERE delivery_owner IS NOT NULL",
        )?
        .query_map([], |row| row.get(0).map(Owner))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(found)
}

/// Gives back everything a process holds.
pub(super) fn release(unit: &Unit<'_>, owner: &Owner) -> Outcome<usize> {
    let lanes = |sql: &str| -> Outcome<Vec<UserId>> {
        Ok(unit.db.prepare_cached(sql)?.query_map([&owner.0], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
    };
    let turns = lanes("SELECT user_id FROM activity WHERE turn_owner = ?1")?;
    let deliveries = lanes("SELECT user_id FROM activity WHERE delivery_owner = ?1")?;
    for user in &turns {
        super::lanes::free_turns(unit, *user)?;
    }
    for user in &deliveries {
        super::outbox::free_lane(unit, *user)?;
    }
    Ok(turns.len() + deliveries.len())
}

/// Extends what of `held` a process still holds.
pub(super) fn renew(unit: &Unit<'_>, owner: &Owner, held: &[HeldLease]) -> Outcome<usize> {
    let until = unit.now.after(LEASE);
    let mut turns =
        unit.db.prepare_cached("UPDATE activity SET turn_next = ?4 WHERE user_id = ?1 AND turn_owner = ?2 AND turn_fence = ?3")?;
    let mut deliveries = unit
        .db
        .prepare_cached("UPDATE activity SET delivery_next = ?4 WHERE user_id = ?1 AND delivery_owner = ?2 AND delivery_fence = ?3")?;
    let mut renewed = 0;
    for lease in held {
        let lane = match lease.lane {
            LaneKind::Turns => &mut turns,
            LaneKind::Deliveries => &mut deliveries,
        };
        renewed += lane.execute(params![lease.user_id, owner.0, lease.fence, until])?;
    }
    Ok(renewed)
}

/// Whether the file can be read and written: the transaction that this runs in holds the write lock.
pub(super) fn check(unit: &Unit<'_>) -> Outcome<()> {
    unit.db
        .prepare_cached("INSERT INTO meta (key, value) VALUES ('checked', ?1) ON CONFLICT DO UPDATE SET value = ?1")?
        .execute([unit.now.to_string()])?;
    Ok(())
}
