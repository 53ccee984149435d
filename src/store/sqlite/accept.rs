//! Taking in a message: one unit of work from receipt to lane.

use rusqlite::{Connection, OptionalExtension, params};

use super::changes;
use super::fault::Outcome;
use super::lanes::{self, Recipient, Word};
use super::people;
use super::rows::request_column;
use super::values::{Json, TurnKind};
use super::writer::Unit;
use crate::domain::conversation::Choice;
use crate::domain::ids::{ConversationId, TurnId, UserId};
use crate::domain::ledger::Credits;
use crate::domain::message::{CALLER_METADATA_BYTES, CallerMetadata, Role};
use crate::domain::time::Timestamp;
use crate::domain::turn::{Refusal, TurnState};
use crate::store::{Accepted, Action, ConversationTarget, Debounce, Door, Effect, NewInbound, Receipt};

/// What is known of the sender.
struct Sender {
    user_id: UserId,
    is_new: bool,
    /// A turn of theirs is open: only then can this message join one, or must end its gathering.
    lane_in_use: bool,
    opted_out: bool,
}

/// Stores a message with everything that follows from it.
pub(super) fn accept(unit: &Unit<'_>, new: &NewInbound) -> Outcome<Accepted> {
    if let Some(repeat) = find_repeat(unit, &new.door)? {
        return Ok(repeat);
    }
    let sender = match find_sender(unit, new)? {
        Found::Blocked(user_id) => {
            if let Action::Consent { consent, said_at, .. } = &new.action {
                lanes::record_word(unit, &new.phone, *consent, *said_at)?;
            }
            return Ok(Accepted::Blocked { user_id });
        }
        Found::Known(sender) => Some(sender),
        Found::Nobody => None,
    };
    let Some(continued) = find_conversation(unit, new, sender.as_ref())? else {
        return Ok(Accepted::UnknownConversation);
    };
    let sender = match sender {
        Some(sender) => sender,
        None => add_person(unit, new)?,
    };
    let through_gateway = matches!(new.door, Door::Gateway { .. });
    let silenced = Action::Record { reason: Refusal::OptedOut };
    let action = match &new.action {
        consent @ Action::Consent { .. } => consent,
        _ if sender.opted_out && through_gateway => &silenced,
        action => action,
    };
    let conversation_id = match continued {
        Continued::This(id) => {
            touch_conversation(unit, new, sender.user_id, id)?;
            id
        }
        Continued::None => add_conversation(unit, new, sender.user_id)?,
    };
    let place = place_in_turn(unit, new, &sender, conversation_id, action)?;
    add_text(unit, new, &sender, conversation_id, &place, action)?;
    let receipt = Receipt {
        user_id: sender.user_id,
        is_new_user: sender.is_new,
        conversation_id,
        message_id: new.message_id,
        turn_id: place.turn_id,
    };
    add_receipt(unit, &new.door, &receipt)?;
    take_effect(unit, new, action, &receipt)?;
    // What comes later of itself goes where the person last texted from.
    let way_back = new.route.as_ref().filter(|_route| through_gateway);
    unit.db
        .prepare_cached(
            "UPDATE activity SET last_sms = ?2, message_count = message_count + 1, route_gateway = coalesce(?3, route_gateway),
                 route_from = CASE WHEN ?3 IS NULL THEN route_from ELSE ?4 END, turn_next = CASE WHEN turn_owner IS NULL
                 THEN (SELECT due FROM turns WHERE user_id = ?1 AND state IN ('open', 'begun') ORDER BY number LIMIT 1)
                 ELSE turn_next END
             WHERE user_id = ?1",
        )?
        .execute(params![
            sender.user_id,
            unit.now,
            way_back.map(|route| route.gateway.as_str()),
            way_back.map(|route| route.from.as_str())
        ])?;
    if !new.caller_metadata.is_empty() {
        keep_metadata(unit, sender.user_id, &new.caller_metadata)?;
    }
    Ok(Accepted::Stored(receipt))
}

/// The door as the key of a receipt; a gateway's name cannot be taken for the API.
fn door_key(door: &Door) -> Option<(String, &str, Option<&[u8]>)> {
    match door {
        Door::Gateway { name, message_id } => Some((format!("gateway/{name}"), message_id, None)),
        Door::Api { repeat: Some(repeat) } => Some(("api".to_owned(), &repeat.key, Some(&repeat.fingerprint))),
        Door::Api { repeat: None } => None,
    }
}

fn find_repeat(unit: &Unit<'_>, door: &Door) -> Outcome<Option<Accepted>> {
    let said = door_key(door).and_then(|(_, _, fingerprint)| fingerprint);
    let found = stored_receipt(unit.db, door)?;
    Ok(found.map(|(stored, receipt)| if stored.as_deref() == said { Accepted::Repeat(receipt) } else { Accepted::OtherBody }))
}

/// The receipt of a door and key, whatever the body was.
pub(super) fn find_receipt(db: &Connection, door: &Door) -> Outcome<Option<Receipt>> {
    Ok(stored_receipt(db, door)?.map(|(_, receipt)| receipt))
}

fn stored_receipt(db: &Connection, door: &Door) -> Outcome<Option<(Option<Vec<u8>>, Receipt)>> {
    let Some((door, key, _)) = door_key(door) else {
        return Ok(None);
    };
    let found = db
        .prepare_cached(
            "SELECT fingerprint, user_id, is_new_user, conversation_id, message_id, turn_id FROM receipts WHERE door = ?1 AND key = ?2",
        )?
        .query_row(params![door, key], |row| {
            let receipt = Receipt {
                user_id: row.get(1)?,
                is_new_user: row.get(2)?,
                conversation_id: row.get(3)?,
                message_id: row.get(4)?,
                turn_id: row.get(5)?,
            };
            Ok((row.get::<_, Option<Vec<u8>>>(0)?, receipt))
        })
        .optional()?;
    Ok(found)
}

fn add_receipt(unit: &Unit<'_>, door: &Door, receipt: &Receipt) -> Outcome<()> {
    if let Some((door, key, fingerprint)) = door_key(door) {
        unit.db
            .prepare_cached(
                "INSERT INTO receipts (door, key, fingerprint, user_id, is_new_user, conversation_id, message_id, turn_id, stored_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                door,
                key,
                fingerprint,
                receipt.user_id,
                receipt.is_new_user,
                receipt.conversation_id,
                receipt.message_id,
                receipt.turn_id,
                unit.now
            ])?;
    }
    Ok(())
}

/// Who sent it, as far as known.
enum Found {
    Nobody,
    Blocked(UserId),
    Known(Sender),
}

fn find_sender(unit: &Unit<'_>, new: &NewInbound) -> Outcome<Found> {
    let found = unit
        .db
        .prepare_cached(
            "SELECT p.user_id, p.blocked, a.turn_next IS NOT NULL, EXISTS (SELECT 1 FROM consents WHERE phone = ?1 AND opted_out)
             FROM people p JOIN activity a ON a.user_id = p.user_id WHERE p.phone = ?1",
        )?
        .query_row([&new.phone], |row| {
            let sender = Sender { user_id: row.get(0)?, is_new: false, lane_in_use: row.get(2)?, opted_out: row.get(3)? };
            Ok(if row.get(1)? { Found::Blocked(sender.user_id) } else { Found::Known(sender) })
        })
        .optional()?;
    Ok(found.unwrap_or(Found::Nobody))
}

fn add_person(unit: &Unit<'_>, new: &NewInbound) -> Outcome<Sender> {
    people::add(unit, &new.person, Some(&new.phone))?;
    Ok(Sender { user_id: new.person.id, is_new: true, lane_in_use: false, opted_out: lanes::opted_out(unit.db, &new.phone)? })
}

/// The conversation that is continued.
enum Continued {
    None,
    This(ConversationId),
}

/// `None` when a conversation was named that is not the sender's.
fn find_conversation(unit: &Unit<'_>, new: &NewInbound, sender: Option<&Sender>) -> Outcome<Option<Continued>> {
    let found = match (&new.conversation, sender) {
        (ConversationTarget::ByPhone { .. }, None) => return Ok(Some(Continued::None)),
        (ConversationTarget::Exactly(_), None) => return Ok(None),
        (ConversationTarget::ByPhone { not_before }, Some(sender)) => {
            let found = unit
                .db
                .prepare_cached(
                    "SELECT id FROM conversations WHERE user_id = ?1 AND source = ?2 AND closed = 0 AND last_message >= ?3
                     ORDER BY last_message DESC, id DESC LIMIT 1",
                )?
                .query_row(params![sender.user_id, new.source, not_before.map_or(i64::MIN, Timestamp::as_millis)], |row| row.get(0))
                .optional()?;
            return Ok(Some(found.map_or(Continued::None, Continued::This)));
        }
        (ConversationTarget::Exactly(id), Some(sender)) => unit
            .db
            .prepare_cached("SELECT id FROM conversations WHERE user_id = ?1 AND id = ?2")?
            .query_row(params![sender.user_id, id], |row| row.get(0))
            .optional()?,
    };
    Ok(found.map(Continued::This))
}

fn add_conversation(unit: &Unit<'_>, new: &NewInbound, user: UserId) -> Outcome<ConversationId> {
    let title = new.title.clone().unwrap_or_else(|| format!("SMS Chat {}", new.phone.as_str()));
    let Choice { endpoint, model, agent_id } = &new.request.choice;
    unit.db
        .prepare_cached(
            "INSERT INTO conversations (user_id, id, title, choice_endpoint, choice_model, choice_agent, phone, source, last_message,
                 message_count, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1, ?9, ?9)",
        )?
        .execute(params![user, new.new_conversation_id, title, endpoint, model, agent_id, new.phone, new.source, unit.now])?;
    Ok(new.new_conversation_id)
}

/// One message more; an explicit choice is kept for later turns.
fn touch_conversation(unit: &Unit<'_>, new: &NewInbound, user: UserId, id: ConversationId) -> Outcome<()> {
    unit.db
        .prepare_cached(
            "UPDATE conversations SET last_message = max(last_message, ?3), message_count = message_count + 1, updated_at = ?3
             WHERE user_id = ?1 AND id = ?2",
        )?
        .execute(params![user, id, unit.now])?;
    if new.request.choice != Choice::default() {
        let Choice { endpoint, model, agent_id } = &new.request.choice;
        unit.db
            .prepare_cached(
                "UPDATE conversations SET choice_endpoint = coalesce(?3, choice_endpoint), choice_model = coalesce(?4, choice_model),
                     choice_agent = coalesce(?5, choice_agent)
                 WHERE user_id = ?1 AND id = ?2",
            )?
            .execute(params![user, id, endpoint, model, agent_id])?;
    }
    Ok(())
}

/// Where a message stands: its turn, and its place among the turn's texts.
struct Place {
    turn_id: TurnId,
    number: i64,
    entry: i64,
}

fn place_in_turn(unit: &Unit<'_>, new: &NewInbound, sender: &Sender, conversation: ConversationId, action: &Action) -> Outcome<Place> {
    let debounce = match action {
        Action::Reply { debounce } => *debounce,
        _ => None,
    };
    if sender.lane_in_use {
        match debounce {
            Some(debounce) => {
                if let Some(place) = join_turn(unit, new, sender.user_id, conversation, debounce)? {
                    return Ok(place);
                }
            }
            None => end_gathering(unit, sender.user_id)?,
        }
    }
    let until = debounce.map(|debounce| unit.now.as_millis().saturating_add(debounce.max_millis));
    let due = debounce.map_or(unit.now.as_millis(), |debounce| unit.now.as_millis().saturating_add(debounce.wait_millis));
    let (kind, refusal) = match action {
        Action::Reply { .. } => (TurnKind::Reply, None),
        Action::Record { reason } => (TurnKind::Record, Some(*reason)),
        Action::Consent { .. } => (TurnKind::Record, None),
        Action::Answer { .. } => (TurnKind::Answer, None),
    };
    unit.db
        .prepare_cached(
            "INSERT INTO turns (id, user_id, conversation_id, kind, state, due, gather_until, last_text_at, request, route_gateway,
                 route_from, refusal, opened_at)
             VALUES (?1, ?2, ?3, ?4, 'open', ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?7)",
        )?
        .execute(params![
            new.turn_id,
            sender.user_id,
            conversation,
            kind,
            due.min(until.unwrap_or(due)),
            until,
            unit.now,
            request_column(&new.request),
            new.route.as_ref().map(|route| route.gateway.as_str()),
            new.route.as_ref().map(|route| route.from.as_str()),
            refusal,
        ])?;
    Ok(Place { turn_id: new.turn_id, number: unit.db.last_insert_rowid(), entry: 0 })
}

/// Adds the text to the person's last turn, where that still gathers, is of the same conversation and goes back the same way.
/// Only the last: a text that joined an earlier one would overtake what came between.
fn join_turn(unit: &Unit<'_>, new: &NewInbound, user: UserId, conversation: ConversationId, debounce: Debounce) -> Outcome<Option<Place>> {
    struct Last {
        number: i64,
        turn_id: TurnId,
        conversation: ConversationId,
        kind: TurnKind,
        state: TurnState,
        until: Option<i64>,
        newest_text: i64,
        texts: i64,
        gateway: Option<String>,
        from: Option<String>,
        request: Option<Json<crate::domain::turn::TurnRequest>>,
    }
    let last = unit
        .db
        .prepare_cached(
            "SELECT number, id, conversation_id, kind, state, gather_until, last_text_at, texts, route_gateway, route_from, request
             FROM turns WHERE user_id = ?1 AND state IN ('open', 'begun') ORDER BY number DESC LIMIT 1",
        )?
        .query_row([user], |row| {
            Ok(Last {
                number: row.get(0)?,
                turn_id: row.get(1)?,
                conversation: row.get(2)?,
                kind: row.get(3)?,
                state: row.get(4)?,
                until: row.get(5)?,
                newest_text: row.get(6)?,
                texts: row.get(7)?,
                gateway: row.get(8)?,
                from: row.get(9)?,
                request: row.get(10)?,
            })
        })
        .optional()?;
    let Some(last) = last else { return Ok(None) };
    let Some(until) = last.until else { return Ok(None) };
    let now = unit.now.as_millis();
    let same = last.conversation == conversation
        && super::rows::route(last.gateway, last.from) == new.route
        && last.request.map(|json| json.0).unwrap_or_default() == new.request;
    let gathers = last.kind == TurnKind::Reply && last.state == TurnState::Open;
    let in_time = now <= until && now <= last.newest_text.saturating_add(debounce.wait_millis);
    if !(same && gathers && in_time) {
        return Ok(None);
    }
    let due = now.saturating_add(debounce.wait_millis).min(until);
    unit.db.prepare_cached("UPDATE turns SET texts = texts + 1, last_text_at = ?2, due = ?3 WHERE number = ?1")?.execute(params![
        last.number,
        now,
        due
    ])?;
    Ok(Some(Place { turn_id: last.turn_id, number: last.number, entry: last.texts }))
}

/// What still gathers is due now, so that this message never waits for it.
fn end_gathering(unit: &Unit<'_>, user: UserId) -> Outcome<()> {
    unit.db
        .prepare_cached(
            "UPDATE turns SET due = min(due, ?2), gather_until = NULL
             WHERE user_id = ?1 AND state IN ('open', 'begun') AND state = 'open' AND gather_until IS NOT NULL",
        )?
        .execute(params![user, unit.now])?;
    Ok(())
}

fn add_text(
    unit: &Unit<'_>,
    new: &NewInbound,
    sender: &Sender,
    conversation: ConversationId,
    place: &Place,
    action: &Action,
) -> Outcome<()> {
    let attachments = (!new.attachments.is_empty()).then_some(Json(&new.attachments));
    unit.db
        .prepare_cached(
            "INSERT INTO messages (user_id, conversation_id, slot, entry, id, turn_id, role, text, attachments, token_count, recalled,
                 received_at, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13)",
        )?
        .execute(params![
            sender.user_id,
            conversation,
            place.number,
            place.entry,
            new.message_id,
            place.turn_id,
            Role::External,
            new.text,
            attachments,
            new.token_count,
            matches!(action, Action::Reply { .. }),
            new.received_at,
            unit.now
        ])?;
    Ok(())
}

/// What the action asks for besides being recorded.
fn take_effect(unit: &Unit<'_>, new: &NewInbound, action: &Action, receipt: &Receipt) -> Outcome<()> {
    let (outgoing, confirmation) = match action {
        Action::Reply { .. } | Action::Record { .. } => return Ok(()),
        Action::Consent { consent, said_at, confirmation } => match lanes::record_word(unit, &new.phone, *consent, *said_at)? {
            Word::Changed => (confirmation.as_slice(), true),
            Word::Unchanged => return Ok(()),
        },
        Action::Answer { text, reply_id, outgoing, effect } => {
            if release_held(unit, effect, receipt)? {
                return Ok(());
            }
            let (text, outgoing) = match effect {
                Effect::Change { change, otherwise } if !changes::make(unit, receipt, change)? => (&otherwise.text, &otherwise.outgoing),
                _ => (text, outgoing),
            };
            unit.db.prepare_cached("UPDATE turns SET answer_id = ?2, answer = ?3 WHERE id = ?1")?.execute(params![
                receipt.turn_id,
                reply_id,
                text
            ])?;
            if *effect == Effect::NewConversation {
                unit.db
                    .prepare_cached("UPDATE conversations SET closed = 1 WHERE user_id = ?1 AND id = ?2")?
                    .execute(params![receipt.user_id, receipt.conversation_id])?;
            }
            (outgoing.as_slice(), false)
        }
    };
    let Some(route) = &new.route else { return Ok(()) };
    let to = Recipient {
        user_id: receipt.user_id,
        phone: &new.phone,
        conversation_id: receipt.conversation_id,
        turn_id: receipt.turn_id,
        route,
        confirmation,
    };
    lanes::add_outgoing(unit, &to, outgoing)
}

/// Lets kept-back parts go; false when the effect is another or there were none.
fn release_held(unit: &Unit<'_>, effect: &Effect, receipt: &Receipt) -> Outcome<bool> {
    let Effect::ReleaseHeld { parts, expires_at, segment_price } = effect else { return Ok(false) };
    let held: Vec<(i64, i64)> = unit
        .db
        .prepare_cached("SELECT number, segments FROM outbox WHERE user_id = ?1 AND state = 'held' ORDER BY number LIMIT ?2")?
        .query_map(params![receipt.user_id, parts], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    if held.is_empty() {
        return Ok(false);
    }
    let mut segments: i64 = 0;
    for (number, taken) in held {
        unit.db
            .prepare_cached("UPDATE outbox SET state = 'ready', due = ?2, expires_at = ?3 WHERE number = ?1")?
            .execute(params![number, unit.now, expires_at])?;
        segments = segments.saturating_add(taken);
    }
    let charge = Credits(segment_price.0.saturating_mul(segments));
    let charged = unit
        .db
        .prepare_cached("UPDATE activity SET balance = balance - ?2 WHERE user_id = ?1 AND balance IS NOT NULL")?
        .execute(params![receipt.user_id, charge])?;
    if charged > 0 {
        unit.db.prepare_cached("UPDATE turns SET charge = ?2 WHERE id = ?1")?.execute(params![receipt.turn_id, charge])?;
    }
    lanes::refresh_deliveries(unit, receipt.user_id)?;
    Ok(true)
}

/// The newest value of each key, within the bound: what was just sent first, then what was there, in the order of the keys.
fn keep_metadata(unit: &Unit<'_>, user: UserId, sent: &CallerMetadata) -> Outcome<()> {
    let stored: Json<CallerMetadata> =
        unit.db.prepare_cached("SELECT caller_metadata FROM people WHERE user_id = ?1")?.query_row([user], |row| row.get(0))?;
    let merged = merge_metadata(sent, stored.0.clone());
    if merged != stored.0 {
        unit.db.prepare_cached("UPDATE people SET caller_metadata = ?2, updated_at = ?3 WHERE user_id = ?1")?.execute(params![
            user,
            Json(merged),
            unit.now
        ])?;
    }
    Ok(())
}

fn merge_metadata(sent: &CallerMetadata, stored: CallerMetadata) -> CallerMetadata {
    let older = stored.into_iter().filter(|(key, _value)| !sent.contains_key(key));
    let mut merged = CallerMetadata::new();
    // The two braces.
    let mut bytes = 2;
    for (key, value) in sent.clone().into_iter().chain(older) {
        // Quotes and escapes of the key as JSON writes them, the colon and a comma.
        let size = serde_json::Value::String(key.clone()).to_string().len() + value.to_string().len() + 2;
        if bytes + size <= CALLER_METADATA_BYTES {
            bytes += size;
            merged.insert(key, value);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: serde_json::Value) -> CallerMetadata {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_was_sent_last_wins_and_the_whole_stays_within_its_bound() {
        let merged = merge_metadata(&map(json!({"a": 2})), map(json!({"a": 1, "b": 1})));
        assert_eq!(merged, map(json!({"a": 2, "b": 1})));

        let big = "x".repeat(CALLER_METADATA_BYTES / 2);
        let merged = merge_metadata(&map(json!({"new": big})), map(json!({"old": big, "small": 1})));
        assert_eq!(merged, map(json!({"new": big, "small": 1})));
        assert!(serde_json::to_string(&merged).unwrap().len() <= CALLER_METADATA_BYTES);
    }
}
