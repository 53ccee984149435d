//! Handing out turns, ending them, and turns as they are looked at.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;
use futures::future::join_all;
use mongodb::bson::{Document, doc};

use super::MongoStore;
use super::fault;
use super::fields::object_id;
use super::head::Head;
use super::lanes::Due;
use super::names::Place;
use super::shapes::{self, PastTurn};
use super::state::credits::Everybody;
use super::state::words::{OpenState, TurnKind};
use super::unit::{Apply, Unit, staged_part};
use crate::domain::ids::{ConversationId, MessageId, TurnId, UserId};
use crate::domain::ledger::Credits;
use crate::domain::message::Message;
use crate::domain::turn::{FinishedTurn, LeasedTurn, StoredReply, TurnEnd, TurnLease, TurnRecord, TurnState};
use crate::store::{
    BalanceRules, CompletedTurn, DailyLimits, LaneKind, Leased, Owner, Reservation, StoreError, StoreResult, TurnOutcome, TurnRelease,
    Turns,
};

#[async_trait]
impl Turns for MongoStore {
    async fn lease_turns(&self, owner: &Owner, limit: usize, limits: &DailyLimits) -> StoreResult<Leased<LeasedTurn>> {
        let due = self.find_due(LaneKind::Turns, doc! {}, limit).await?;
        self.lease_due_turns(owner, due, limits).await
    }

    async fn lease_own_turns(&self, owner: &Owner, limit: usize, limits: &DailyLimits) -> StoreResult<Leased<LeasedTurn>> {
        let due = self.own_due(LaneKind::Turns, limit, |_state| true);
        self.lease_due_turns(owner, due, limits).await
    }

    async fn reserve(&self, lease: &TurnLease, rules: BalanceRules, credits: Credits) -> StoreResult<Reservation> {
        let seen = self.find_credits(lease.user_id).await?;
        let reserved = self.change(lease.user_id, Apply::Later, |draft| {
            draft.held_turn(lease)?;
            draft.state.see_credits(seen.as_ref(), draft.now);
            draft.reserve(lease, rules, credits)
        });
        lost(reserved.await)
    }

    async fn complete_turn(&self, lease: &TurnLease, outcome: TurnOutcome) -> StoreResult<CompletedTurn> {
        // What is to be delivered has its own units, which come at once and write this as well.
        let leaves = match &outcome {
            TurnOutcome::Answered { outgoing, .. } => outgoing.iter().any(|part| !part.held),
            TurnOutcome::Refused { .. } => false,
        };
        let when = if leaves { Apply::Later } else { Apply::Soon };
        lost(self.change(lease.user_id, when, |draft| draft.complete(lease, &outcome)).await)
    }

    async fn release_turn(&self, lease: &TurnLease, release: TurnRelease) -> StoreResult<()> {
        lost(self.change(lease.user_id, Apply::Now, |draft| draft.release_turn(lease, &release)).await)
    }

    async fn find_turn(&self, user_id: UserId, turn_id: TurnId) -> StoreResult<Option<TurnRecord>> {
        let Some(head) = self.load(user_id).await? else { return Ok(None) };
        if let Some(turn) = head.state.turns.iter().find(|turn| turn.id == turn_id) {
            let state = if turn.state == OpenState::Open { TurnState::Open } else { TurnState::Begun };
            let failed = turn.error.clone().filter(|_error| state == TurnState::Begun);
            let end = failed.map(|error| TurnEnd::Failed { error, will_retry: true });
            return Ok(Some(TurnRecord { id: turn_id, user_id, conversation_id: turn.conversation_id, state, end, charge: turn.charge }));
        }
        if !head.pending.is_empty() {
            self.apply(user_id, head.version, &head.pending).await?;
        }
        let Some(past) = self.find_past_turn(user_id, turn_id).await? else { return Ok(None) };
        let end = match past.state {
            TurnState::Dead => Some(TurnEnd::Failed { error: past.error.clone().unwrap_or_default(), will_retry: false }),
            _ => match past.refusal {
                Some(refusal) => Some(TurnEnd::Refused(refusal)),
                None => Some(TurnEnd::Answered(self.stored_reply(&past).await?)),
            },
        };
        let PastTurn { conversation_id, state, charge, .. } = past;
        Ok(Some(TurnRecord { id: turn_id, user_id, conversation_id, state, end, charge }))
    }

    async fn list_finished_turns(&self, user_id: UserId, after_event: i64, limit: usize) -> StoreResult<Vec<FinishedTurn>> {
        // Whoever looks on asks every second: where nothing has ended since, one look at the head is all.
        let heads = self.collection(Place::Heads);
        let mut part = staged_part();
        part.insert("state.latestEvent", 1);
        let Some(head) = heads.find_one(doc! { "_id": object_id(user_id) }).projection(part).await.map_err(fault::unavailable)? else {
            return Ok(Vec::new());
        };
        let newest = head.get_document("state").and_then(|state| state.get_i64("latestEvent"));
        if newest.is_ok_and(|newest| newest <= after_event) {
            return Ok(Vec::new());
        }
        self.settle_found(user_id, &head).await?;
        let wanted = doc! { "user": user_id.to_string(), "event": { "$gt": after_event } };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let collection = self.collection(Place::Turns);
        let found = collection.find(wanted).sort(doc! { "event": 1 }).limit(limit).await.map_err(fault::unavailable)?;
        let found: Vec<Document> = found.try_collect().await.map_err(fault::unavailable)?;
        let turns: Vec<PastTurn> =
            found.iter().map(|document| shapes::past_turn_from(collection.name(), document)).collect::<StoreResult<_>>()?;
        self.with_messages(user_id, turns).await
    }

    async fn latest_event(&self, user_id: UserId) -> StoreResult<i64> {
        Ok(self.load(user_id).await?.map_or(0, |head| head.state.latest_event))
    }
}

/// A person who is gone has no leases.
fn lost<T>(outcome: StoreResult<T>) -> StoreResult<T> {
    outcome.map_err(|error| match error {
        StoreError::NotFound { what: "the person" } => StoreError::LeaseLost,
        other => other,
    })
}

impl MongoStore {
    async fn lease_due_turns(&self, owner: &Owner, due: Due, limits: &DailyLimits) -> StoreResult<Leased<LeasedTurn>> {
        let mut next_due = due.next;
        let mut work = Vec::with_capacity(due.heads.len());
        for leased in join_all(due.heads.into_iter().map(|head| self.lease_lane(owner, head, limits))).await {
            let (turn, next) = leased?;
            work.extend(turn);
            next_due = [next_due, next].into_iter().flatten().min();
        }
        Ok(Leased { work, next_due })
    }

    /// Leases the head of one lane; also says when the lane may be looked at again.
    async fn lease_lane(
        &self,
        owner: &Owner,
        head: Arc<Head>,
        limits: &DailyLimits,
    ) -> StoreResult<(Option<LeasedTurn>, Option<crate::domain::time::Timestamp>)> {
        let user_id = head.user_id;
        let _queue = self.queue_of(user_id).await?;
        let mut head = self.newest(head);
        let mut counted = None;
        let mut made = 0;
        loop {
            let mut unit = self.unit_on(head);
            unit.need_due_threads().await?;
            if unit.counts_for_everybody(limits) && counted.is_none() {
                counted = Some(self.count_for_everybody(limits).await?);
            }
            let leased = match unit.draft.lease_turn(owner, limits, counted.unwrap_or(Everybody::Counted)) {
                Ok(leased) => leased,
                Err(error) => {
                    self.park(LaneKind::Turns, user_id, &error).await?;
                    return Ok((None, None));
                }
            };
            let next = unit.draft.state.turn_lane.next;
            let when = if leased.is_some() { Apply::Later } else { Apply::Now };
            let is_long = |turn: &LeasedTurn| unit.draft.has_long_text(turn.lease.turn_id);
            let is_long = leased.as_ref().is_some_and(is_long);
            if unit.commit_and(when).await? {
                if counted == Some(Everybody::Counted) && leased.is_none() {
                    self.uncount_for_everybody(limits).await?;
                }
                let leased = match leased {
                    Some(turn) if is_long => Some(self.with_long_texts(turn).await?),
                    leased => leased,
                };
                return Ok((leased, next));
            }
            made += 1;
            self.wait_before(made).await?;
            let Some(found) = self.load(user_id).await? else { return Ok((None, None)) };
            head = Arc::new(found);
        }
    }

    /// Counts a turn in the day of everybody together, if there is room.
    pub(super) async fn count_for_everybody(&self, limits: &DailyLimits) -> StoreResult<Everybody> {
        let collection = self.collection(Place::Days);
        let room = doc! { "_id": &limits.day, "turns": { "$lt": i64::from(limits.all) } };
        let one_more = doc! { "$inc": { "turns": 1_i64 } };
        match collection.update_one(room.clone(), one_more.clone()).upsert(true).await {
            Ok(counted) => {
                if counted.upserted_id.is_some() {
                    // The first turn of a day forgets the days before.
                    collection.delete_many(doc! { "_id": { "$lt": &limits.day } }).await.map_err(fault::unavailable)?;
                }
                Ok(Everybody::Counted)
            }
            // The day is there: it has no room, or another process made it at this moment.
            Err(error) if fault::is_duplicate(&error) => {
                let counted = collection.update_one(room, one_more).await.map_err(fault::unavailable)?;
                Ok(if counted.matched_count > 0 { Everybody::Counted } else { Everybody::Full })
            }
            Err(error) => Err(fault::unavailable(error)),
        }
    }

    /// Takes back a count of a turn that did not begin.
    pub(super) async fn uncount_for_everybody(&self, limits: &DailyLimits) -> StoreResult<()> {
        let day = doc! { "_id": &limits.day, "turns": { "$gt": 0_i64 } };
        let collection = self.collection(Place::Days);
        collection.update_one(day, doc! { "$inc": { "turns": -1_i64 } }).await.map_err(fault::unavailable)?;
        Ok(())
    }

    /// Texts that are too long for a head are read from the messages.
    async fn with_long_texts(&self, mut turn: LeasedTurn) -> StoreResult<LeasedTurn> {
        self.settle(turn.lease.user_id).await?;
        let ids: Vec<String> = turn.texts.iter().map(|text| text.id.to_string()).collect();
        let mut stored = self.messages_by_id(turn.lease.user_id, &ids).await?;
        for text in &mut turn.texts {
            if let Some(message) = stored.remove(&text.id) {
                text.text = message.text;
            }
        }
        Ok(turn)
    }

    /// A turn that is over, or dead.
    pub(super) async fn find_past_turn(&self, user_id: UserId, id: TurnId) -> StoreResult<Option<PastTurn>> {
        let collection = self.collection(Place::Turns);
        let mut wanted = shapes::turn_key(id);
        wanted.insert("user", user_id.to_string());
        let found = collection.find_one(wanted).await.map_err(fault::unavailable)?;
        found.map(|document| shapes::past_turn_from(collection.name(), &document)).transpose()
    }

    async fn stored_reply(&self, turn: &PastTurn) -> StoreResult<Option<StoredReply>> {
        let Some(id) = turn.reply_id else { return Ok(None) };
        let found = self.messages_by_id(turn.user_id, &[id.to_string()]).await?.remove(&id);
        Ok(found.map(|message| StoredReply {
            message_id: id,
            text: message.text,
            endpoint: message.endpoint,
            model: message.model,
            usage: turn.usage,
        }))
    }

    /// Messages of a person, by their ids.
    async fn messages_by_id(&self, user_id: UserId, ids: &[String]) -> StoreResult<HashMap<MessageId, Message>> {
        let collection = self.collection(Place::Messages);
        let wanted = doc! { "user": user_id.to_string(), "messageId": { "$in": ids } };
        let found = collection.find(wanted).await.map_err(fault::unavailable)?;
        let found: Vec<Document> = found.try_collect().await.map_err(fault::unavailable)?;
        let mut messages = HashMap::with_capacity(found.len());
        for document in &found {
            let (message, _place) = shapes::message_from(collection.name(), document)?;
            messages.insert(message.id, message);
        }
        Ok(messages)
    }

    /// Finished turns with their conversations and both sides.
    async fn with_messages(&self, user_id: UserId, past: Vec<PastTurn>) -> StoreResult<Vec<FinishedTurn>> {
        if past.is_empty() {
            return Ok(Vec::new());
        }
        let mut ids: Vec<String> = Vec::new();
        for turn in &past {
            ids.extend(turn.text_ids.iter().cloned());
            ids.extend(turn.reply_id.map(|id| id.to_string()));
        }
        let messages = self.messages_by_id(user_id, &ids).await?;
        let mut threads = HashMap::new();
        for turn in &past {
            if !threads.contains_key(&turn.conversation_id)
                && let Some(thread) = self.find_thread(user_id, turn.conversation_id).await?
            {
                threads.insert(turn.conversation_id, thread.conversation(user_id));
            }
        }
        let mut finished = Vec::with_capacity(past.len());
        for turn in past {
            // Somebody deleted it meanwhile.
            let Some(conversation) = threads.get(&turn.conversation_id) else { continue };
            let texts = turn.text_ids.iter().filter_map(|id| id.parse::<MessageId>().ok());
            let both = texts.chain(turn.reply_id).filter_map(|id| messages.get(&id).cloned()).collect();
            finished.push(FinishedTurn {
                event: turn.event,
                conversation: conversation.clone(),
                began_conversation: turn.began_conversation,
                messages: both,
            });
        }
        Ok(finished)
    }
}

impl Unit<'_> {
    /// Makes sure that the conversations of the turns that are due are among the state's. What is left of one that somebody
    /// deleted goes with it.
    async fn need_due_threads(&mut self) -> StoreResult<()> {
        let now = self.draft.now;
        let due: Vec<ConversationId> =
            self.draft.state.turns.iter().filter(|turn| turn.due <= now).map(|turn| turn.conversation_id).collect();
        for id in due {
            self.need_thread(id).await?;
            if self.draft.state.thread(id).is_none() {
                self.draft.drop_conversation(id);
            }
        }
        Ok(())
    }

    /// Whether the turn that is leased next begins by that, and counts in the day of everybody together.
    fn counts_for_everybody(&self, limits: &DailyLimits) -> bool {
        let first = self.draft.state.turns.iter().filter(|turn| turn.kind == TurnKind::Reply).min_by_key(|turn| turn.number);
        let begins = first.is_some_and(|turn| turn.state == OpenState::Open && turn.due <= self.draft.now);
        begins && limits.all > 0 && !self.draft.is_over_own_limit(limits)
    }
}
