//! Summaries of long conversations.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Outcome;
use super::writer::{Unit, Urgency};
use super::{SqliteStore, conversations};
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::message::Message;
use crate::domain::time::Timestamp;
use crate::store::{NewSummary, StoreResult, Summaries, Summary, SummaryClaim};

#[async_trait]
impl Summaries for SqliteStore {
    async fn messages_between(
        &self,
        user_id: UserId,
        id: ConversationId,
        after_sequence: i64,
        until_sequence: i64,
        limit: usize,
    ) -> StoreResult<Vec<Message>> {
        self.read(move |db| conversations::between(db, user_id, id, (after_sequence, until_sequence), limit)).await
    }

    async fn claim_summary(
        &self,
        user_id: UserId,
        id: ConversationId,
        from_sequence: i64,
        until: Timestamp,
    ) -> StoreResult<Option<SummaryClaim>> {
        self.write(Urgency::Other, move |unit| claim(unit, user_id, id, from_sequence, until)).await
    }

    async fn release_summary(&self, user_id: UserId, id: ConversationId, claim: SummaryClaim) -> StoreResult<()> {
        self.write(Urgency::Other, move |unit| release(unit, user_id, id, claim)).await
    }

    async fn leave_summary(&self, user_id: UserId, id: ConversationId) -> StoreResult<()> {
        self.write(Urgency::Other, move |unit| leave(unit, user_id, id)).await
    }

    async fn end_lapsed_summary(&self, user_id: UserId, id: ConversationId) -> StoreResult<()> {
        self.write(Urgency::Other, move |unit| end_lapsed(unit, user_id, id)).await
    }

    async fn set_summary(&self, user_id: UserId, id: ConversationId, new: &NewSummary) -> StoreResult<bool> {
        let new = new.clone();
        self.write(Urgency::Other, move |unit| set(unit, user_id, id, &new)).await
    }

    async fn list_lapsed_summaries(&self, most_attempts: u32, limit: usize) -> StoreResult<Vec<(UserId, ConversationId)>> {
        let now = self.clock.now();
        self.read(move |db| lapsed(db, now, most_attempts, limit)).await
    }
}

/// The summary of a conversation, where one was made or begun.
pub(super) fn find(db: &Connection, user: UserId, id: ConversationId) -> Outcome<Option<Summary>> {
    Ok(db
        .prepare_cached("SELECT up_to_sequence, text, attempts FROM summaries WHERE user_id = ?1 AND conversation_id = ?2")?
        .query_row(params![user, id], |row| Ok(Summary { up_to_sequence: row.get(0)?, text: row.get(1)?, attempts: row.get(2)? }))
        .optional()?)
}

fn claim(unit: &Unit<'_>, user: UserId, id: ConversationId, from: i64, until: Timestamp) -> Outcome<Option<SummaryClaim>> {
    Ok(unit
        .db
        .prepare_cached(
            "INSERT INTO summaries (user_id, conversation_id, claimed_until, claims, attempts, updated_at)
             SELECT ?1, ?2, ?4, 1, 1, ?5 FROM conversations WHERE user_id = ?1 AND id = ?2
             ON CONFLICT DO UPDATE SET claimed_until = ?4, claims = claims + 1, attempts = attempts + 1, updated_at = ?5
                 WHERE up_to_sequence = ?3 AND coalesce(claimed_until, 0) <= ?5
             RETURNING claims",
        )?
        .query_row(params![user, id, from, until, unit.now], |row| row.get(0).map(SummaryClaim))
        .optional()?)
}

fn release(unit: &Unit<'_>, user: UserId, id: ConversationId, claim: SummaryClaim) -> Outcome<()> {
    unit.db
        .prepare_cached(
            "UPDATE summaries SET claimed_until = ?4, attempts = max(attempts - 1, 0), updated_at = ?4
             WHERE user_id = ?1 AND conversation_id = ?2 AND claims = ?3 AND claimed_until IS NOT NULL",
        )?
        .execute(params![user, id, claim.0, unit.now])?;
    Ok(())
}

fn leave(unit: &Unit<'_>, user: UserId, id: ConversationId) -> Outcome<()> {
    unit.db
        .prepare_cached(
            "INSERT INTO summaries (user_id, conversation_id, claimed_until, updated_at)
             SELECT ?1, ?2, ?3, ?3 FROM conversations WHERE user_id = ?1 AND id = ?2
             ON CONFLICT DO UPDATE SET claimed_until = ?3, updated_at = ?3 WHERE claimed_until IS NULL",
        )?
        .execute(params![user, id, unit.now])?;
    Ok(())
}

fn end_lapsed(unit: &Unit<'_>, user: UserId, id: ConversationId) -> Outcome<()> {
    unit.db
        .prepare_cached(
            "UPDATE summaries SET claimed_until = NULL, updated_at = ?3
             WHERE user_id = ?1 AND conversation_id = ?2 AND claimed_until <= ?3",
        )?
        .execute(params![user, id, unit.now])?;
    Ok(())
}

fn set(unit: &Unit<'_>, user: UserId, id: ConversationId, new: &NewSummary) -> Outcome<bool> {
    let stored = unit
        .db
        .prepare_cached(
            "INSERT INTO summaries (user_id, conversation_id, up_to_sequence, text, updated_at)
             SELECT ?1, ?2, ?3, ?4, ?5 FROM conversations WHERE user_id = ?1 AND id = ?2
             ON CONFLICT DO UPDATE SET up_to_sequence = ?3, text = ?4, claimed_until = NULL, attempts = 0, updated_at = ?5
                 WHERE up_to_sequence < ?3",
        )?
        .execute(params![user, id, new.up_to_sequence, new.text, unit.now])?;
    if stored == 0 {
        return Ok(false);
    }
    unit.db
        .prepare_cached("UPDATE activity SET balance = balance - min(?2, max(balance, 0)) WHERE user_id = ?1 AND balance IS NOT NULL")?
        .execute(params![user, new.charge])?;
    Ok(true)
}

fn lapsed(db: &Connection, now: Timestamp, most_attempts: u32, limit: usize) -> Outcome<Vec<(UserId, ConversationId)>> {
    Ok(db
        .prepare_cached(
            "SELECT user_id, conversation_id FROM summaries
             WHERE claimed_until IS NOT NULL AND claimed_until <= ?1 AND attempts < ?2 ORDER BY claimed_until LIMIT ?3",
        )?
        .query_map(params![now, most_attempts, i64::try_from(limit).unwrap_or(i64::MAX)], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?)
}
