//! Handing out deliveries and recording how they went.

use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Outcome;
use super::lanes;
use super::rows;
use super::writer::Unit;
use crate::domain::delivery::{DeliveryStatus, OutboundMessage, OutboundState, StatusReport};
use crate::domain::ids::{OutboundId, UserId};
use crate::domain::time::Timestamp;
use crate::store::{
    Consent, DeliveryLease, DeliveryOutcome, DeliveryWork, LEASE, LaneKind, Leased, LeasedDelivery, Looked, Owner, StatusRecorded,
    StoreError,
};

/// Messages of one lane that are withdrawn on the way in one call.
const WITHDRAWN_AT_ONCE: usize = 64;
/// How long a report that nobody waits for is kept.
const EARLY_REPORTS: std::time::Duration = std::time::Duration::from_hours(24);

/// The row's own columns beside the message.
struct Row {
    number: i64,
    confirmation: bool,
    due: Timestamp,
    message: OutboundMessage,
}

macro_rules! outbox_row {
    () => {
        concat!("SELECT ", rows::outbound_columns!(), ", o.number, o.confirmation, o.due FROM outbox o")
    };
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row { number: row.get(18)?, confirmation: row.get(19)?, due: row.get(20)?, message: rows::outbound(row)? })
}

fn head(db: &Connection, user: UserId) -> Outcome<Option<Row>> {
    let sql = concat!(outbox_row!(), " WHERE o.user_id = ?1 AND o.state IN ('ready', 'sending', 'checking') ORDER BY o.number LIMIT 1");
    Ok(db.prepare_cached(sql)?.query_row([user], row).optional()?)
}

/// Leases the heads of due lanes that leave by one of `gateways`.
pub(super) fn lease(unit: &Unit<'_>, owner: &Owner, gateways: &[String], limit: usize) -> Outcome<Leased<LeasedDelivery>> {
    let mut due: Vec<(Timestamp, UserId)> = Vec::new();
    for gateway in gateways {
        let mut lanes = unit.db.prepare_cached(
            "SELECT delivery_next, user_id FROM activity WHERE delivery_gateway = ?1 AND delivery_next <= ?2 ORDER BY delivery_next LIMIT ?3",
        )?;
        let found =
            lanes.query_map(params![gateway, unit.now, i64::try_from(limit).unwrap_or(i64::MAX)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for lane in found {
            due.push(lane?);
        }
    }
    due.sort_unstable();
    due.dedup();
    due.truncate(limit);
    let due = due.into_iter().map(|(_next, user)| user).collect();
    let work = lanes::lease_each(unit, LaneKind::Deliveries, due, |user| lease_lane(unit, owner, gateways, user))?;
    let mut next_due: Option<Timestamp> = None;
    for gateway in gateways {
        let next: Option<Timestamp> = unit
            .db
            .prepare_cached("SELECT min(delivery_next) FROM activity WHERE delivery_gateway = ?1 AND delivery_next IS NOT NULL")?
            .query_row([gateway], |row| row.get(0))?;
        next_due = [next_due, next].into_iter().flatten().min();
    }
    Ok(Leased { work, next_due })
}

fn lease_lane(unit: &Unit<'_>, owner: &Owner, gateways: &[String], user: UserId) -> Outcome<Option<LeasedDelivery>> {
    for _ in 0..WITHDRAWN_AT_ONCE {
        // Another gateway's message may have come to the head since the lane was found; it waits for who has that open.
        let ours = |row: &Row| row.due <= unit.now && gateways.contains(&row.message.route.gateway);
        let Some(row) = head(unit.db, user)?.filter(ours) else {
            break;
        };
        let reason = if row.message.state != OutboundState::Ready {
            // Perhaps sent: the carrier is asked, whatever else.
            None
        } else if row.message.expires_at < unit.now {
            Some("too old to be sent")
        } else if !row.confirmation && lanes::opted_out(unit.db, &row.message.to)? {
            Some("the person opted out")
        } else {
            None
        };
        match reason {
            Some(reason) => unit
                .db
                .prepare_cached("UPDATE outbox SET state = 'canceled', error = ?2, due = ?3 WHERE number = ?1")?
                .execute(params![row.number, reason, unit.now])?,
            None => return lease_message(unit, owner, row).map(Some),
        };
    }
    free_lane(unit, user)?;
    Ok(None)
}

fn lease_message(unit: &Unit<'_>, owner: &Owner, row: Row) -> Outcome<LeasedDelivery> {
    let Row { number, mut message, .. } = row;
    let work = if message.state == OutboundState::Ready {
        message.state = OutboundState::Sending;
        message.attempts += 1;
        message.checks = 0;
        message.attempted_at = Some(unit.now);
        DeliveryWork::Send
    } else {
        message.state = OutboundState::Checking;
        DeliveryWork::LookUp
    };
    unit.db
        .prepare_cached("UPDATE outbox SET state = ?2, attempts = ?3, checks = ?4, attempted_at = ?5 WHERE number = ?1")?
        .execute(params![number, message.state, message.attempts, message.checks, message.attempted_at])?;
    let fence = unit
        .db
        .prepare_cached(
            "UPDATE activity SET delivery_owner = ?2, delivery_leased = ?3, delivery_fence = delivery_fence + 1, delivery_next = ?4
             WHERE user_id = ?1 RETURNING delivery_fence",
        )?
        .query_row(params![message.user_id, owner.0, number, unit.now.after(LEASE)], |row| row.get(0))?;
    let lease = DeliveryLease { user_id: message.user_id, outbound_id: message.id, fence };
    Ok(LeasedDelivery { lease, message, work })
}

/// Gives the lane back, whoever held it.
pub(super) fn free_lane(unit: &Unit<'_>, user: UserId) -> Outcome<()> {
    unit.db.prepare_cached("UPDATE activity SET delivery_owner = NULL, delivery_leased = NULL WHERE user_id = ?1")?.execute([user])?;
    lanes::refresh_deliveries(unit, user)
}

/// The message of a lease that still holds.
fn held(unit: &Unit<'_>, lease: &DeliveryLease) -> Outcome<Row> {
    let sql = concat!(
        outbox_row!(),
        " JOIN activity a ON a.user_id = o.user_id AND a.delivery_leased = o.number
         WHERE o.id = ?1 AND o.user_id = ?2 AND a.delivery_owner IS NOT NULL AND a.delivery_fence = ?3"
    );
    let found = unit.db.prepare_cached(sql)?.query_row(params![lease.outbound_id, lease.user_id, lease.fence], row).optional()?;
    found.ok_or_else(|| StoreError::LeaseLost.into())
}

/// Records how an attempt or a look-up went.
pub(super) fn record(unit: &Unit<'_>, lease: &DeliveryLease, outcome: &DeliveryOutcome) -> Outcome<()> {
    let row = held(unit, lease)?;
    // Withdrawn while it was being looked up: only that it was sent after all changes anything.
    let withdrawn = row.message.state == OutboundState::Canceled;
    match outcome {
        DeliveryOutcome::Accepted { gateway_message_id, status } => take(unit, &row, gateway_message_id, *status)?,
        DeliveryOutcome::OptedOut { error } => {
            set(unit, &row, &Change { state: OutboundState::Canceled, due: unit.now, error: Some(error), ..Change::of(&row) })?;
            lanes::record_word(unit, &row.message.to, Consent::OptOut, unit.now)?;
        }
        _ if withdrawn => {}
        DeliveryOutcome::Retry { due, error } => {
            set(unit, &row, &Change { state: OutboundState::Ready, due: *due, error: Some(error), ..Change::of(&row) })?;
        }
        DeliveryOutcome::LookUp { due, error, looked } => {
            let checks = row.message.checks + u32::from(*looked == Looked::Yes);
            set(unit, &row, &Change { state: OutboundState::Checking, due: *due, error: Some(error), checks, ..Change::of(&row) })?;
        }
        DeliveryOutcome::SendAgain => {
            set(unit, &row, &Change { state: OutboundState::Ready, due: unit.now, checks: 0, ..Change::of(&row) })?;
        }
        DeliveryOutcome::Stopped { due, error } => {
            set(unit, &row, &Change { due: *due, error: Some(error), ..Change::undone(&row) })?;
        }
        DeliveryOutcome::Dead { error } => {
            set(unit, &row, &Change { state: OutboundState::Dead, due: unit.now, error: Some(error), ..Change::of(&row) })?;
        }
    }
    free_lane(unit, lease.user_id)
}

/// Gives a delivery back as if it had not been leased.
pub(super) fn release(unit: &Unit<'_>, lease: &DeliveryLease) -> Outcome<()> {
    let row = held(unit, lease)?;
    if row.message.state != OutboundState::Canceled {
        set(unit, &row, &Change { due: unit.now, ..Change::undone(&row) })?;
    }
    free_lane(unit, lease.user_id)
}

/// What of a row changes.
struct Change<'a> {
    state: OutboundState,
    due: Timestamp,
    attempts: u32,
    checks: u32,
    error: Option<&'a str>,
}

impl<'a> Change<'a> {
    /// Nothing.
    fn of(row: &'a Row) -> Self {
        let OutboundMessage { state, attempts, checks, error, .. } = &row.message;
        Self { state: *state, due: row.due, attempts: *attempts, checks: *checks, error: error.as_deref() }
    }

    /// What the lease did is undone: an attempt to send does not count, a look-up stays one.
    fn undone(row: &'a Row) -> Self {
        match row.message.state {
            OutboundState::Sending => {
                Self { state: OutboundState::Ready, attempts: row.message.attempts.saturating_sub(1), ..Self::of(row) }
            }
            _ => Self::of(row),
        }
    }
}

fn set(unit: &Unit<'_>, row: &Row, change: &Change<'_>) -> Outcome<()> {
    unit.db
        .prepare_cached("UPDATE outbox SET state = ?2, due = ?3, attempts = ?4, checks = ?5, error = ?6 WHERE number = ?1")?
        .execute(params![row.number, change.state, change.due, change.attempts, change.checks, change.error])?;
    Ok(())
}

/// The carrier has it; a report that came before its answer counts now.
fn take(unit: &Unit<'_>, row: &Row, id: &str, status: DeliveryStatus) -> Outcome<()> {
    let gateway = &row.message.route.gateway;
    let early: Option<(DeliveryStatus, Option<String>)> = unit
        .db
        .prepare_cached("DELETE FROM status_reports WHERE gateway = ?1 AND gateway_message_id = ?2 RETURNING status, error_code")?
        .query_row(params![gateway, id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (status, error) = match early {
        Some((early, code)) if status.advanced_by(early) != status => (early, code.as_deref().map(carrier_error)),
        _ => (status, None),
    };
    unit.db
        .prepare_cached(
            "UPDATE outbox SET state = 'accepted', due = ?2, status = ?3, gateway_message_id = ?4, error = ?5 WHERE number = ?1",
        )?
        .execute(params![row.number, unit.now, status, id, error])?;
    Ok(())
}

fn carrier_error(code: &str) -> String {
    format!("the carrier reports error {code}")
}

/// Records a carrier's later word.
pub(super) fn record_status(unit: &Unit<'_>, report: &StatusReport) -> Outcome<StatusRecorded> {
    let known: Option<(i64, Option<DeliveryStatus>)> = unit
        .db
        .prepare_cached("SELECT number, status FROM outbox WHERE gateway_message_id = ?1 AND route_gateway = ?2")?
        .query_row(params![report.gateway_message_id, report.gateway], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((number, status)) = known else {
        return keep_early(unit, report);
    };
    if status.is_some_and(|status| status.advanced_by(report.status) == status) {
        return Ok(StatusRecorded::Unchanged);
    }
    unit.db.prepare_cached("UPDATE outbox SET status = ?2, error = coalesce(?3, error) WHERE number = ?1")?.execute(params![
        number,
        report.status,
        report.error_code.as_deref().map(carrier_error)
    ])?;
    Ok(StatusRecorded::Advanced)
}

fn keep_early(unit: &Unit<'_>, report: &StatusReport) -> Outcome<StatusRecorded> {
    unit.db.prepare_cached("DELETE FROM status_reports WHERE received_at < ?1")?.execute([unit.now.before(EARLY_REPORTS)])?;
    let before: Option<DeliveryStatus> = unit
        .db
        .prepare_cached("SELECT status FROM status_reports WHERE gateway = ?1 AND gateway_message_id = ?2")?
        .query_row(params![report.gateway, report.gateway_message_id], |row| row.get(0))
        .optional()?;
    if before.is_none_or(|before| before.advanced_by(report.status) != before) {
        unit.db
            .prepare_cached(
                "INSERT OR REPLACE INTO status_reports (gateway, gateway_message_id, status, error_code, received_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![report.gateway, report.gateway_message_id, report.status, report.error_code, unit.now])?;
    }
    Ok(StatusRecorded::Early)
}

/// The carrier's ids of a person's messages.
pub(super) fn known_ids(db: &Connection, user: UserId, since: Timestamp) -> Outcome<Vec<String>> {
    let found = db
        .prepare_cached(
            "SELECT gateway_message_id FROM outbox
             WHERE user_id = ?1 AND attempted_at >= ?2 AND gateway_message_id IS NOT NULL ORDER BY number",
        )?
        .query_map(params![user, since], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(found)
}

/// One message of a person.
pub(super) fn find(db: &Connection, user: UserId, id: OutboundId) -> Outcome<Option<OutboundMessage>> {
    let sql = concat!("SELECT ", rows::outbound_columns!(), " FROM outbox o WHERE o.id = ?1 AND o.user_id = ?2");
    Ok(db.prepare_cached(sql)?.query_row(params![id, user], rows::outbound).optional()?)
}

/// A person's messages, newest first.
pub(super) fn list(db: &Connection, user: UserId, limit: usize) -> Outcome<Vec<OutboundMessage>> {
    let sql = concat!("SELECT ", rows::outbound_columns!(), " FROM outbox o WHERE o.user_id = ?1 ORDER BY o.number DESC LIMIT ?2");
    let found = db
        .prepare_cached(sql)?
        .query_map(params![user, i64::try_from(limit).unwrap_or(i64::MAX)], rows::outbound)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(found)
}
