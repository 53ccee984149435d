//! Conversations and messages, as their owner sees them.

use rusqlite::{Connection, OptionalExtension, params};

use super::cursor::{self, Listing, Place};
use super::fault::Outcome;
use super::lanes;
use super::rows;
use super::summaries;
use super::writer::{Unit, done};
use crate::domain::conversation::Conversation;
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::message::Message;
use crate::store::{MessageFilter, Page, PageRequest, Recent, StoreError};

/// What is missing, when it is.
const CONVERSATION: &str = "the conversation";

macro_rules! select_conversation {
    ($rest:literal) => {
        concat!("SELECT ", rows::conversation_columns!(), " FROM conversations c WHERE c.user_id = ?1 ", $rest)
    };
}

macro_rules! select_message {
    ($rest:literal) => {
        concat!("SELECT ", rows::message_columns!(), " FROM messages m WHERE m.user_id = ?1 ", $rest)
    };
}

/// One conversation of a person.
pub(super) fn find(db: &Connection, user: UserId, id: ConversationId) -> Outcome<Option<Conversation>> {
    Ok(db.prepare_cached(select_conversation!("AND c.id = ?2"))?.query_row(params![user, id], rows::conversation).optional()?)
}

/// A person's conversations, the one with the newest message first.
pub(super) fn list(db: &Connection, user: UserId, request: &PageRequest) -> Outcome<Page<Conversation>> {
    let from = cursor::read(Listing::Conversations, 16, request.cursor.as_deref())?;
    // Nothing is later than the beginning: a blob of 17 bytes sorts behind every id.
    let from = from.unwrap_or(Place { numbers: [i64::MAX], id: vec![0xff; 17] });
    let [last_message] = from.numbers;
    let found = db
        .prepare_cached(select_conversation!("AND (c.last_message, c.id) < (?2, ?3) ORDER BY c.last_message DESC, c.id DESC LIMIT ?4"))?
        .query_map(params![user, last_message, from.id, cursor::ask_for(request.limit)], rows::conversation)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let place = |conversation: &Conversation| Place {
        numbers: [conversation.last_message.as_millis()],
        id: conversation.id.as_uuid().as_bytes().to_vec(),
    };
    Ok(cursor::page(Listing::Conversations, request.limit, found, place, |conversation| conversation))
}

/// Closes a conversation.
pub(super) fn close(unit: &Unit<'_>, user: UserId, id: ConversationId) -> Outcome<Conversation> {
    let changed = unit
        .db
        .prepare_cached("UPDATE conversations SET closed = 1, updated_at = ?3 WHERE user_id = ?1 AND id = ?2")?
        .execute(params![user, id, unit.now])?;
    done(changed, CONVERSATION)?;
    find(unit.db, user, id)?.ok_or_else(|| StoreError::NotFound { what: CONVERSATION }.into())
}

/// Deletes a conversation with its messages and turns, and what its outgoing messages said.
pub(super) fn delete(unit: &Unit<'_>, user: UserId, id: ConversationId) -> Outcome<()> {
    if find(unit.db, user, id)?.is_none() {
        return Err(StoreError::NotFound { what: CONVERSATION }.into());
    }
    // Every text lies in the slot of its own turn; a reminder that waits for its place has none yet.
    let turns: Vec<i64> = unit
        .db
        .prepare_cached(
            "SELECT slot FROM messages WHERE user_id = ?1 AND conversation_id = ?2
             UNION SELECT number FROM turns WHERE user_id = ?1 AND state IN ('open', 'begun') AND conversation_id = ?2",
        )?
        .query_map(params![user, id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let leased: Option<i64> =
        unit.db.prepare_cached("SELECT turn_leased FROM activity WHERE user_id = ?1")?.query_row([user], |row| row.get(0))?;
    for number in &turns {
        unit.db
            .prepare_cached(
                // What was held comes back, but for what the turn's steps have cost already.
                "UPDATE activity SET balance = balance + (
                     SELECT t.reserved + t.charge - max(t.charge, coalesce((SELECT max(charge) FROM steps WHERE turn = t.number), 0))
                     FROM turns t WHERE t.number = ?2 AND t.user_id = ?1)
                 WHERE user_id = ?1 AND balance IS NOT NULL",
            )?
            .execute(params![user, number])?;
        unit.db.prepare_cached("DELETE FROM turns WHERE number = ?1 AND user_id = ?2")?.execute(params![number, user])?;
    }
    // Messages go with it. What was sent stays known by the carrier's id, without its words: a look-up must not take it for another.
    unit.db.prepare_cached("DELETE FROM conversations WHERE user_id = ?1 AND id = ?2")?.execute(params![user, id])?;
    unit.db
        .prepare_cached(
            "UPDATE outbox SET body = '', error = CASE WHEN state = 'accepted' THEN error ELSE 'its conversation was deleted' END,
                 due = CASE WHEN state = 'accepted' THEN due ELSE ?3 END,
                 state = CASE WHEN state = 'accepted' THEN state ELSE 'canceled' END
             WHERE user_id = ?1 AND conversation_id = ?2",
        )?
        .execute(params![user, id, unit.now])?;
    lanes::refresh_deliveries(unit, user)?;
    if leased.is_some_and(|number| turns.contains(&number)) { lanes::free_turns(unit, user) } else { lanes::refresh_turns(unit, user) }
}

/// A message's row with its place in the table.
type Placed = (Message, i64, i64);

fn placed(row: &rusqlite::Row<'_>) -> rusqlite::Result<Placed> {
    Ok((rows::message(row)?, row.get(16)?, row.get(17)?))
}

/// A person's messages.
pub(super) fn list_messages(db: &Connection, user: UserId, filter: &MessageFilter, request: &PageRequest) -> Outcome<Page<Message>> {
    // Not LIKE: its patterns are bounded, give `%` and `_` a meaning, and end at a NUL.
    let wanted = filter.search.as_deref().map(str::to_ascii_lowercase);
    let rows = cursor::ask_for(request.limit);
    if let Some(id) = filter.conversation_id {
        let from = cursor::read(Listing::MessagesOfOne, 0, request.cursor.as_deref())?;
        let [slot, entry] = from.map_or([i64::MIN; 2], |place: Place<2>| place.numbers);
        let found = db
            .prepare_cached(select_message!(
                "AND m.conversation_id = ?2 AND (m.slot, m.entry) > (?3, ?4) AND (?5 IS NULL OR instr(lower(m.text), ?5) > 0)
                     ORDER BY m.slot, m.entry LIMIT ?6"
            ))?
            .query_map(params![user, id, slot, entry, wanted, rows], placed)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let place = |found: &Placed| Place { numbers: [found.1, found.2], id: Vec::new() };
        Ok(cursor::page(Listing::MessagesOfOne, request.limit, found, place, |found| found.0))
    } else {
        let from = cursor::read(Listing::MessagesOfAll, 0, request.cursor.as_deref())?;
        let [created_at, slot, entry] = from.map_or([i64::MAX; 3], |place: Place<3>| place.numbers);
        let found = db
            .prepare_cached(select_message!(
                "AND (m.created_at, m.slot, m.entry) < (?2, ?3, ?4) AND (?5 IS NULL OR instr(lower(m.text), ?5) > 0)
                     ORDER BY m.created_at DESC, m.slot DESC, m.entry DESC LIMIT ?6"
            ))?
            .query_map(params![user, created_at, slot, entry, wanted, rows], placed)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let place = |found: &Placed| Place { numbers: [found.0.created_at.as_millis(), found.1, found.2], id: Vec::new() };
        Ok(cursor::page(Listing::MessagesOfAll, request.limit, found, place, |found| found.0))
    }
}

/// The newest messages before a place, oldest first, with the summary of what is older.
pub(super) fn recent(db: &Connection, user: UserId, id: ConversationId, before: i64, limit: usize) -> Outcome<Recent> {
    let mut found = db
        .prepare_cached(select_message!(
            "AND m.conversation_id = ?2 AND m.sequence < ?3 AND m.recalled ORDER BY m.slot DESC, m.entry DESC LIMIT ?4"
        ))?
        .query_map(params![user, id, before, i64::try_from(limit).unwrap_or(i64::MAX)], rows::message)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    found.reverse();
    Ok(Recent { summary: summaries::find(db, user, id)?, messages: found })
}

/// Messages behind one place and not behind another, oldest first.
pub(super) fn between(
    db: &Connection,
    user: UserId,
    id: ConversationId,
    (after, until): (i64, i64),
    limit: usize,
) -> Outcome<Vec<Message>> {
    Ok(db
        .prepare_cached(select_message!(
            "AND m.conversation_id = ?2 AND m.sequence > ?3 AND m.sequence <= ?4 AND m.recalled ORDER BY m.slot, m.entry LIMIT ?5"
        ))?
        .query_map(params![user, id, after, until, i64::try_from(limit).unwrap_or(i64::MAX)], rows::message)?
        .collect::<rusqlite::Result<Vec<_>>>()?)
}
