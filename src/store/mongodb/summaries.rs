//! Summaries of long conversations: a document each, changed in units of their person.

use async_trait::async_trait;
use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};

use super::MongoStore;
use super::fault;
use super::fields::{Fields, date};
use super::names::Place;
use super::shapes;
use super::unit::Unit;
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::ledger::Credits;
use crate::domain::message::Message;
use crate::domain::time::Timestamp;
use crate::store::{NewSummary, StoreError, StoreResult, Summaries, Summary, SummaryClaim};

/// A summary with the claim on the next.
#[derive(Debug, Clone, Default)]
struct Kept {
    summary: Summary,
    claimed_until: Option<Timestamp>,
    /// The number of the last claim.
    claims: i64,
}

#[async_trait]
impl Summaries for MongoStore {
    async fn messages_between(
        &self,
        user_id: UserId,
        id: ConversationId,
        after_sequence: i64,
        until_sequence: i64,
        limit: usize,
    ) -> StoreResult<Vec<Message>> {
        self.settle(user_id).await?;
        let wanted = doc! {
            "user": user_id.to_string(),
            "conversationId": id.to_string(),
            "sequence": { "$gt": after_sequence, "$lte": until_sequence },
            "recalled": true,
        };
        let collection = self.collection(Place::Messages);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = collection.find(wanted).sort(doc! { "slot": 1, "entry": 1 }).limit(limit).await.map_err(fault::unavailable)?;
        let found: Vec<Document> = found.try_collect().await.map_err(fault::unavailable)?;
        found.iter().map(|document| Ok(shapes::message_from(collection.name(), document)?.0)).collect()
    }

    async fn claim_summary(
        &self,
        user_id: UserId,
        id: ConversationId,
        from_sequence: i64,
        until: Timestamp,
    ) -> StoreResult<Option<SummaryClaim>> {
        self.in_conversation(user_id, id, |unit, kept| {
            let now = unit.draft.now;
            let is_free = |kept: &Kept| kept.claimed_until.is_none_or(|claimed| claimed <= now);
            if kept.as_ref().is_some_and(|kept| kept.summary.up_to_sequence != from_sequence || !is_free(kept)) {
                return None;
            }
            let before = kept.unwrap_or_default();
            let claim = before.claims + 1;
            let set = doc! {
                "claimedUntil": date(until),
                "claims": claim,
                "attempts": i64::from(before.summary.attempts + 1),
                "upToSequence": before.summary.up_to_sequence,
            };
            put(unit, id, set);
            Some(SummaryClaim(claim))
        })
        .await
    }

    async fn release_summary(&self, user_id: UserId, id: ConversationId, claim: SummaryClaim) -> StoreResult<()> {
        self.in_conversation(user_id, id, |unit, kept| {
            if let Some(kept) = kept.filter(|kept| kept.claims == claim.0 && kept.claimed_until.is_some()) {
                let attempts = i64::from(kept.summary.attempts.saturating_sub(1));
                let now = date(unit.draft.now);
                put(unit, id, doc! { "claimedUntil": now, "attempts": attempts });
            }
            Some(())
        })
        .await?;
        Ok(())
    }

    async fn leave_summary(&self, user_id: UserId, id: ConversationId) -> StoreResult<()> {
        self.in_conversation(user_id, id, |unit, kept| {
            let kept = kept.unwrap_or_default();
            if kept.claimed_until.is_none() {
                let set = doc! {
                    "claimedUntil": date(unit.draft.now),
                    "attempts": i64::from(kept.summary.attempts),
                    "upToSequence": kept.summary.up_to_sequence,
                };
                put(unit, id, set);
            }
            Some(())
        })
        .await?;
        Ok(())
    }

    async fn end_lapsed_summary(&self, user_id: UserId, id: ConversationId) -> StoreResult<()> {
        self.in_conversation(user_id, id, |unit, kept| {
            let now = unit.draft.now;
            if kept.and_then(|kept| kept.claimed_until).is_some_and(|until| until <= now) {
                put(unit, id, doc! { "claimedUntil": Bson::Null });
            }
            Some(())
        })
        .await?;
        Ok(())
    }

    async fn set_summary(&self, user_id: UserId, id: ConversationId, new: &NewSummary) -> StoreResult<bool> {
        let seen = if new.charge > Credits::ZERO { self.find_credits(user_id).await? } else { None };
        self.in_conversation(user_id, id, |unit, kept| {
            if kept.is_some_and(|kept| kept.summary.up_to_sequence >= new.up_to_sequence) {
                return None;
            }
            let set = doc! {
                "upToSequence": new.up_to_sequence,
                "text": &new.text,
                "claimedUntil": Bson::Null,
                "attempts": 0_i64,
            };
            put(unit, id, set);
            unit.draft.state.see_credits(seen.as_ref(), unit.draft.now);
            let balance = unit.draft.state.balance.unwrap_or_default();
            unit.draft.charge(new.charge.min(balance.max(Credits::ZERO)));
            Some(())
        })
        .await
        .map(|stored| stored.is_some())
    }

    async fn list_lapsed_summaries(&self, most_attempts: u32, limit: usize) -> StoreResult<Vec<(UserId, ConversationId)>> {
        let wanted = doc! { "claimedUntil": { "$lte": date(self.now()) }, "attempts": { "$lt": i64::from(most_attempts) } };
        let collection = self.collection(Place::Summaries);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = collection.find(wanted).sort(doc! { "claimedUntil": 1 }).limit(limit).await.map_err(fault::unavailable)?;
        let found: Vec<Document> = found.try_collect().await.map_err(fault::unavailable)?;
        let lapsed = found.iter().map(|document| {
            let fields = Fields::new(collection.name(), document);
            Ok((fields.user("user")?, fields.id("conversationId", ConversationId::from_uuid)?))
        });
        lapsed.collect()
    }
}

fn key(user_id: UserId, id: ConversationId) -> Document {
    doc! { "user": user_id.to_string(), "conversationId": id.to_string() }
}

fn put(unit: &mut Unit<'_>, id: ConversationId, mut set: Document) {
    set.insert("updatedAt", date(unit.draft.now));
    if let Some(thread) = unit.draft.state.thread_mut(id) {
        thread.unsummarised = false;
    }
    let key = key(unit.draft.user_id, id);
    unit.draft.put(Place::Summaries, key, set);
}

impl MongoStore {
    /// The summary of a conversation, where one was made or begun.
    pub(super) async fn find_summary(&self, user_id: UserId, id: ConversationId) -> StoreResult<Option<Summary>> {
        Ok(self.find_kept(user_id, id).await?.map(|kept| kept.summary))
    }

    async fn find_kept(&self, user_id: UserId, id: ConversationId) -> StoreResult<Option<Kept>> {
        let collection = self.collection(Place::Summaries);
        let found = collection.find_one(key(user_id, id)).await.map_err(fault::unavailable)?;
        let Some(document) = found else { return Ok(None) };
        let fields = Fields::new(collection.name(), &document);
        let summary = Summary {
            up_to_sequence: fields.find_number("upToSequence")?.unwrap_or(0),
            text: fields.find_text("text")?.unwrap_or_default().to_owned(),
            attempts: u32::try_from(fields.find_number("attempts")?.unwrap_or(0)).unwrap_or(u32::MAX),
        };
        Ok(Some(Kept { summary, claimed_until: fields.find_moment("claimedUntil")?, claims: fields.find_number("claims")?.unwrap_or(0) }))
    }

    /// A unit on the summary of a conversation; nothing when the conversation, or the person, is gone.
    async fn in_conversation<T: Send>(
        &self,
        user_id: UserId,
        id: ConversationId,
        mut rule: impl FnMut(&mut Unit<'_>, Option<Kept>) -> Option<T> + Send,
    ) -> StoreResult<Option<T>> {
        let mut attempts = self.unit(user_id);
        loop {
            let mut unit = match attempts.begin().await {
                Err(StoreError::NotFound { .. }) => return Ok(None),
                begun => begun?,
            };
            let kept = self.find_kept(user_id, id).await?;
            if self.find_thread(user_id, id).await?.is_none() {
                return Ok(None);
            }
            let answer = rule(&mut unit, kept);
            if unit.commit().await? {
                return Ok(answer);
            }
        }
    }
}
