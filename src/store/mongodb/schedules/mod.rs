//! Schedules: a document each. What a run made lies in the person's head while it is under way, and in its own collection
//! afterwards; how a run ended is read from there.

mod row;
mod runs;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use async_trait::async_trait;
use mongodb::bson::{Document, doc};

use self::row::Row;
use super::MongoStore;
use super::fault;
use super::fields::{Fields, date};
use super::head::Head;
use super::lists::{List, ListHead, key};
use super::names::Place;
use super::shapes;
use super::state::credits::Everybody;
use super::state::{OpenState, State};
use super::unit::Unit;
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::schedule::{OutboundProgress, RunProgress, Schedule, ScheduleId, TurnProgress};
use crate::domain::time::Timestamp;
use crate::domain::turn::TurnState;
use crate::store::schedules::{self as rules, Again, FINISHED_KEPT, check_room};
use crate::store::{
    Act, AddedSchedule, DueSchedule, DueSchedules, Fired, Firing, NewSchedule, Run, RunKind, ScheduleChange, ScheduleFilter, Schedules,
    StoreError, StoreResult,
};

/// What is missing, when it is.
const SCHEDULE: &str = "the schedule";

impl MongoStore {
    /// A person's schedules, by their numbers.
    async fn load_schedules(&self, user: UserId, head: ListHead) -> StoreResult<Vec<Row>> {
        let mut rows = Vec::new();
        if head.revision > 0 {
            let collection = self.collection(Place::Schedules);
            let add = |document: &Document| {
                rows.push(Row::from_document(collection.name(), document)?);
                Ok(())
            };
            self.each(&collection, doc! { "user": user.to_string() }, add).await?;
        }
        Ok(rows)
    }

    async fn load_schedule(&self, user: UserId, id: ScheduleId) -> StoreResult<Option<Row>> {
        let collection = self.collection(Place::Schedules);
        let found = collection.find_one(key(user, id)).await.map_err(fault::unavailable)?;
        found.map(|document| Row::from_document(collection.name(), &document)).transpose()
    }

    /// How far the last runs of schedules have come: of what is under way the person's state knows, of the rest its collections.
    async fn progress(&self, state: &State, rows: &[Row]) -> StoreResult<HashMap<ScheduleId, RunProgress>> {
        let mut found: HashMap<ScheduleId, RunProgress> = HashMap::new();
        let (mut turns, mut outbounds) = (Vec::new(), Vec::new());
        for row in rows {
            let Some(last) = &row.last else { continue };
            let progress = found.entry(row.schedule.id).or_default();
            progress.routed = last.routed;
            if let Some(id) = last.turn {
                match state.turns.iter().find(|turn| turn.id == id) {
                    Some(turn) => {
                        let open = if turn.state == OpenState::Open { TurnState::Open } else { TurnState::Begun };
                        progress.turn = Some(TurnProgress { state: open, refusal: turn.refusal, error: turn.error.clone() });
                    }
                    None => turns.push(id.to_string()),
                }
            }
            if let Some(id) = last.outbound {
                match state.outgoing.iter().find(|message| message.id == id) {
                    Some(message) => {
                        progress.outbound = Some(OutboundProgress { state: message.state, error: message.error.clone() });
                    }
                    None => outbounds.push(id.to_string()),
                }
            }
        }
        if !turns.is_empty() {
            let collection = self.collection(Place::Turns);
            let mut cursor = collection.find(doc! { "_id": { "$in": turns } }).await.map_err(fault::unavailable)?;
            while cursor.advance().await.map_err(fault::unavailable)? {
                let document = cursor.deserialize_current().map_err(fault::unavailable)?;
                let turn = shapes::past_turn_from(collection.name(), &document)?;
                for row in rows.iter().filter(|row| row.last.as_ref().is_some_and(|last| last.turn == Some(turn.id))) {
                    let progress = TurnProgress { state: turn.state, refusal: turn.refusal, error: turn.error.clone() };
                    found.entry(row.schedule.id).or_default().turn = Some(progress);
                }
            }
        }
        if !outbounds.is_empty() {
            let collection = self.collection(Place::Outbox);
            let mut cursor = collection.find(doc! { "_id": { "$in": outbounds } }).await.map_err(fault::unavailable)?;
            while cursor.advance().await.map_err(fault::unavailable)? {
                let document = cursor.deserialize_current().map_err(fault::unavailable)?;
                let (_user, message) = shapes::outgoing_from(collection.name(), &document)?;
                for row in rows.iter().filter(|row| row.last.as_ref().is_some_and(|last| last.outbound == Some(message.id))) {
                    let progress = OutboundProgress { state: message.state, error: message.error.clone() };
                    found.entry(row.schedule.id).or_default().outbound = Some(progress);
                }
            }
        }
        Ok(found)
    }

    /// Schedules as the port has them.
    async fn shown(&self, state: &State, rows: &[Row]) -> StoreResult<Vec<Schedule>> {
        let progress = self.progress(state, rows).await?;
        let none = RunProgress::default();
        Ok(rows.iter().map(|row| row.shown(progress.get(&row.schedule.id).unwrap_or(&none))).collect())
    }

    async fn shown_one(&self, state: &State, row: &Row) -> StoreResult<Schedule> {
        let mut shown = self.shown(state, std::slice::from_ref(row)).await?;
        shown.pop().ok_or(StoreError::NotFound { what: SCHEDULE })
    }

    /// Fires a schedule, trying again while others change the same person.
    async fn fire(&self, firing: &Firing, counted: &mut Option<Everybody>) -> StoreResult<Fired> {
        let mut attempts = self.unit(firing.user_id);
        loop {
            let mut unit = match attempts.begin().await {
                Err(StoreError::NotFound { .. }) => return runs::of_nobody(firing),
                other => other?,
            };
            let fired = unit.fire(firing, counted).await?;
            if unit.commit().await? {
                return Ok(fired);
            }
        }
    }

    /// Leaves a schedule alone for a while whose document is damaged, and says so: it must not keep everybody else waiting.
    fn hold_schedule(&self, document: &Document, damage: &StoreError, now: Timestamp) {
        tracing::error!(damage = %damage, "a schedule's document holds what cannot be there; it is left alone for a minute");
        if let Some(id) = document.get("_id") {
            self.held_schedules.hold(id.clone(), now);
        }
    }
}

impl Unit<'_> {
    /// Writes a schedule as it is.
    fn write_schedule(&mut self, row: &Row) {
        self.draft.put(Place::Schedules, row.key(), row.document());
    }

    /// The schedules have changed.
    fn schedules_changed(&mut self, last: i64) {
        self.draft.state.list_changed(List::Schedules, last);
    }

    /// Makes a schedule, unless an equal one is on.
    pub(super) async fn add_schedule(
        &mut self,
        new: &NewSchedule,
        conversation_id: Option<ConversationId>,
        limit: usize,
    ) -> StoreResult<AddedSchedule> {
        let stand = self.draft.state.lists.schedules;
        self.apply_staged().await?;
        let mut held = self.store.load_schedules(self.draft.user_id, stand).await?;
        if let Some(equal) = held.iter().find(|row| new.is_same_as(&row.schedule)) {
            let schedule = self.store.shown_one(&self.draft.state, equal).await?;
            return Ok(AddedSchedule { schedule, is_new: false });
        }
        check_room(held.iter().map(|row| &row.schedule), limit)?;
        let mut row = Row::new(self.draft.user_id, stand.last + 1, new, self.draft.now);
        row.schedule.conversation_id = conversation_id;
        self.write_schedule(&row);
        self.schedules_changed(row.schedule.id.0);
        held.retain(|row| row.schedule.finished);
        held.sort_by_key(|row| std::cmp::Reverse((row.schedule.updated_at, row.schedule.id)));
        for old in held.iter().skip(FINISHED_KEPT.into()) {
            self.draft.delete(Place::Schedules, old.key());
        }
        Ok(AddedSchedule { schedule: row.schedule, is_new: true })
    }

    /// Changes a schedule that is as it was read.
    async fn change_schedule(&mut self, id: ScheduleId, revision: i64, changes: &[ScheduleChange], limit: usize) -> StoreResult<Schedule> {
        let stand = self.draft.state.lists.schedules;
        let held = self.store.load_schedules(self.draft.user_id, stand).await?;
        let found = held.iter().find(|row| row.schedule.id == id).ok_or(StoreError::NotFound { what: SCHEDULE })?;
        let mut row = found.clone();
        if rules::change(&mut row.schedule, revision, changes)? == Again::Begins {
            check_room(held.iter().map(|row| &row.schedule), limit)?;
        }
        row.schedule.revision += 1;
        row.schedule.updated_at = self.draft.now;
        self.write_schedule(&row);
        self.schedules_changed(stand.last);
        self.store.shown_one(&self.draft.state, &row).await
    }

    /// Deletes a schedule.
    pub(super) async fn delete_schedule(&mut self, id: ScheduleId) -> StoreResult<()> {
        let user = self.draft.user_id;
        self.apply_staged().await?;
        self.store.load_schedule(user, id).await?.ok_or(StoreError::NotFound { what: SCHEDULE })?;
        self.draft.delete(Place::Schedules, key(user, id));
        let last = self.draft.state.lists.schedules.last;
        self.schedules_changed(last);
        Ok(())
    }
}

/// A person who does not exist has no schedule either.
fn of_nobody<T>(outcome: StoreResult<T>) -> StoreResult<T> {
    match outcome {
        Err(StoreError::NotFound { what: "the person" }) => Err(StoreError::NotFound { what: SCHEDULE }),
        other => other,
    }
}

#[async_trait]
impl Schedules for MongoStore {
    async fn add_schedule(&self, user_id: UserId, new: NewSchedule, limit: usize) -> StoreResult<AddedSchedule> {
        let mut attempts = self.unit(user_id);
        loop {
            let mut unit = attempts.begin().await?;
            let added = unit.add_schedule(&new, new.conversation_id, limit).await?;
            if unit.commit().await? {
                return Ok(added);
            }
        }
    }

    async fn find_schedule(&self, user_id: UserId, id: ScheduleId) -> StoreResult<Option<Schedule>> {
        self.settle(user_id).await?;
        let Some(head) = self.load(user_id).await? else { return Ok(None) };
        match self.load_schedule(user_id, id).await? {
            Some(row) => self.shown_one(&head.state, &row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn list_schedules(&self, user_id: UserId, filter: ScheduleFilter) -> StoreResult<Vec<Schedule>> {
        let (_head, mut rows) = self.read_list(user_id, List::Schedules, |head| self.load_schedules(user_id, head)).await?;
        if filter == ScheduleFilter::Upcoming {
            rows.retain(|row| row.schedule.next_run.is_some());
            rows.sort_by_key(|row| (row.schedule.next_run, row.schedule.id));
        }
        match self.load(user_id).await? {
            Some(head) => self.shown(&head.state, &rows).await,
            None => Ok(Vec::new()),
        }
    }

    async fn change_schedule(
        &self,
        user_id: UserId,
        id: ScheduleId,
        revision: i64,
        changes: Vec<ScheduleChange>,
        limit: usize,
    ) -> StoreResult<Schedule> {
        let mut attempts = self.unit(user_id);
        loop {
            let mut unit = of_nobody(attempts.begin().await)?;
            let schedule = unit.change_schedule(id, revision, &changes, limit).await?;
            if unit.commit().await? {
                return Ok(schedule);
            }
        }
    }

    async fn delete_schedule(&self, user_id: UserId, id: ScheduleId) -> StoreResult<()> {
        let mut attempts = self.unit(user_id);
        loop {
            let mut unit = of_nobody(attempts.begin().await)?;
            unit.delete_schedule(id).await?;
            if unit.commit().await? {
                return Ok(());
            }
        }
    }

    async fn list_due_schedules(&self, limit: usize) -> StoreResult<DueSchedules> {
        self.apply_left_over().await?;
        let now = self.now();
        let collection = self.collection(Place::Schedules);
        let until = doc! { "nextRun": { "$lte": date(now) }, "_id": { "$nin": self.held_schedules.current(now) } };
        // Not limited: what somebody fired since leaves room for what comes behind it.
        let at_once = u32::try_from(limit.max(1)).unwrap_or(u32::MAX);
        let found = collection.find(until).sort(doc! { "nextRun": 1 }).batch_size(at_once);
        let mut cursor = found.await.map_err(fault::unavailable)?;
        let mut due = Vec::new();
        let mut people: HashMap<UserId, Option<Head>> = HashMap::new();
        while due.len() < limit && cursor.advance().await.map_err(fault::unavailable)? {
            let document = cursor.deserialize_current().map_err(fault::unavailable)?;
            match Row::from_document(collection.name(), &document) {
                Err(damage) => self.hold_schedule(&document, &damage, now),
                Ok(row) => {
                    let head = match people.entry(row.schedule.user_id) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => new.insert(self.load_settled(row.schedule.user_id).await?),
                    };
                    let Some(head) = head else { continue };
                    // What a dead process staged may have moved it on. What a living one does now, its firing finds out.
                    let is_current = head.pending.is_empty();
                    let row = if is_current { Some(row) } else { self.load_schedule(row.schedule.user_id, row.schedule.id).await? };
                    if let Some(row) = row.filter(|row| row.schedule.next_run.is_some_and(|next| next <= now)) {
                        let schedule = self.shown_one(&head.state, &row).await?;
                        due.push(DueSchedule { schedule, user: head.state.user(row.schedule.user_id) });
                    }
                }
            }
        }
        let later = collection.find_one(doc! { "nextRun": { "$gt": date(now) } }).sort(doc! { "nextRun": 1 });
        let later = later.projection(doc! { "nextRun": 1 }).await.map_err(fault::unavailable)?;
        let next_due = match &later {
            Some(document) => Fields::new(collection.name(), document).find_moment("nextRun")?,
            None => None,
        };
        Ok(DueSchedules { due, next_due })
    }

    async fn fire_schedule(&self, firing: Firing) -> StoreResult<Fired> {
        let mut counted = None;
        let fired = self.fire(&firing, &mut counted).await;
        let made_turn = matches!(&fired, Ok(Fired::Done { .. }));
        if let (false, Some(Everybody::Counted), Act::Run(Run { kind: RunKind::Remind { limits, .. }, .. })) =
            (made_turn, counted, &firing.act)
        {
            self.uncount_for_everybody(limits).await?;
        }
        fired
    }
}
