//! Turns as they are looked at: one, and the finished ones.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::fault::Outcome;
use super::rows;
use super::turn_end::end_of;
use crate::domain::ids::{ConversationId, TurnId, UserId};
use crate::domain::ledger::{Credits, Usage};
use crate::domain::message::Message;
use crate::domain::turn::{FinishedTurn, StoredReply, TurnRecord};

/// One turn of a person, with its stored reply.
pub(super) fn find(db: &Connection, user: UserId, id: TurnId) -> Outcome<Option<TurnRecord>> {
    let found = db
        .prepare_cached(
            "SELECT t.conversation_id, t.state, t.refusal, t.error, t.charge, t.prompt_tokens, t.completion_tokens, t.total_tokens,
                 m.id, m.text, m.endpoint, m.model
             FROM turns t LEFT JOIN messages m ON m.user_id = t.user_id AND m.conversation_id = t.conversation_id
                 AND m.slot = t.reply_slot AND m.entry = t.reply_entry
             WHERE t.id = ?1 AND t.user_id = ?2",
        )?
        .query_row(params![id, user], |row| {
            let reply = reply(row)?;
            Ok((row.get::<_, ConversationId>(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get::<_, Credits>(4)?, reply))
        })
        .optional()?;
    let Some((conversation_id, state, refusal, error, charge, reply)) = found else {
        return Ok(None);
    };
    let end = end_of(state, refusal, error, reply);
    Ok(Some(TurnRecord { id, user_id: user, conversation_id, state, end, charge }))
}

fn reply(row: &Row<'_>) -> rusqlite::Result<Option<StoredReply>> {
    let Some(message_id) = row.get(8)? else { return Ok(None) };
    Ok(Some(StoredReply {
        message_id,
        text: row.get(9)?,
        endpoint: row.get(10)?,
        model: row.get(11)?,
        usage: Usage { prompt_tokens: row.get(5)?, completion_tokens: row.get(6)?, total_tokens: row.get(7)? },
    }))
}

/// The finished turns after an event.
pub(super) fn list_finished(db: &Connection, user: UserId, after: i64, limit: usize) -> Outcome<Vec<FinishedTurn>> {
    let sql = concat!(
        "SELECT ",
        rows::conversation_columns!(),
        ", t.event, t.began_conversation, t.number, t.reply_slot, t.reply_entry
         FROM turns t JOIN conversations c ON c.user_id = t.user_id AND c.id = t.conversation_id
         WHERE t.user_id = ?1 AND t.event > ?2 ORDER BY t.event LIMIT ?3"
    );
    let mut finished = Vec::new();
    let mut turns = db.prepare_cached(sql)?;
    let mut turns = turns.query(params![user, after, i64::try_from(limit).unwrap_or(i64::MAX)])?;
    while let Some(row) = turns.next()? {
        let conversation = rows::conversation(row)?;
        let messages = both_sides(db, user, conversation.id, row)?;
        finished.push(FinishedTurn { event: row.get(15)?, conversation, began_conversation: row.get(16)?, messages });
    }
    Ok(finished)
}

/// A turn's texts, and the entry that answers them.
fn both_sides(db: &Connection, user: UserId, conversation: ConversationId, turn: &Row<'_>) -> Outcome<Vec<Message>> {
    let (number, slot, entry): (i64, Option<i64>, Option<i64>) = (turn.get(17)?, turn.get(18)?, turn.get(19)?);
    let sql = concat!(
        "SELECT ",
        rows::message_columns!(),
        " FROM messages m WHERE m.user_id = ?1 AND m.conversation_id = ?2
             AND ((m.slot = ?3 AND m.role = 'external') OR (m.slot = ?4 AND m.entry = ?5))
         ORDER BY m.slot, m.entry"
    );
    let messages = db
        .prepare_cached(sql)?
        .query_map(params![user, conversation, number, slot, entry], rows::message)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(messages)
}

/// The person's newest event.
pub(super) fn latest_event(db: &Connection, user: UserId) -> Outcome<i64> {
    let event =
        db.prepare_cached("SELECT latest_event FROM activity WHERE user_id = ?1")?.query_row([user], |row| row.get(0)).optional()?;
    Ok(event.unwrap_or(0))
}
