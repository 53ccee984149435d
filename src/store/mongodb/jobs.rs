//! Durable work across people, as the host sees it: what is unfinished stands in the heads, what is over in its collections.

use async_trait::async_trait;
use futures::TryStreamExt;
use mongodb::bson::{Document, doc};

use super::MongoStore;
use super::fault;
use super::fields::date;
use super::head::Head;
use super::names::Place as Collections;
use super::shapes::{self, PastTurn};
use super::state::Outgoing;
use super::state::jobs::{delivery_job, turn_job};
use super::unit::Unit;
use crate::domain::delivery::OutboundState;
use crate::domain::ids::{TurnId, UserId};
use crate::domain::job::{Job, JobId, JobKind, JobState};
use crate::domain::time::Timestamp;
use crate::domain::turn::TurnState;
use crate::store::cursor::{self, Listing, Place};
use crate::store::{JobFilter, Jobs, Page, PageRequest, StoreError, StoreResult};

/// What is missing, when it is.
const JOB: &str = "the job";

/// Before every job. The server keeps moments as dates, and not every program that reads them knows one before 1970.
const BEGINNING: (Timestamp, [u8; 16]) = (Timestamp::from_millis(0), [0; 16]);

/// A job, and what it is sorted by.
#[derive(Debug, Clone)]
struct Listed {
    job: Job,
    made_at: Timestamp,
}

impl Listed {
    fn id(&self) -> [u8; 16] {
        match self.job.id {
            JobId::Reply(id) => *id.as_uuid().as_bytes(),
            JobId::Deliver(id) => *id.as_uuid().as_bytes(),
        }
    }

    fn place(&self) -> (Timestamp, [u8; 16]) {
        (self.made_at, self.id())
    }
}

#[async_trait]
impl Jobs for MongoStore {
    async fn list_jobs(&self, filter: JobFilter, page: PageRequest) -> StoreResult<Page<Job>> {
        let from: Option<Place<2>> = cursor::read(Listing::Jobs, 16, page.cursor.as_deref())?;
        let [kind, made_at] = from.as_ref().map_or([0, i64::MIN], |place| place.numbers);
        let id = from.as_ref().and_then(|place| place.id.as_slice().try_into().ok()).unwrap_or([0; 16]);
        let after = (Timestamp::from_millis(made_at.max(0)), id);
        let wanted = usize::try_from(cursor::ask_for(page.limit)).unwrap_or(usize::MAX);
        self.apply_what_waits().await;
        let heads = self.heads_with_jobs().await?;
        let mut jobs = Vec::new();
        if kind == 0 {
            jobs = self.replies(&heads, filter, after, wanted).await?;
        }
        if jobs.len() < wanted {
            let after = if kind == 0 { BEGINNING } else { after };
            jobs.extend(self.deliveries(&heads, filter, after, wanted - jobs.len()).await?);
        }
        let place = |listed: &Listed| Place {
            numbers: [i64::from(listed.job.kind == JobKind::Deliver), listed.made_at.as_millis()],
            id: listed.id().to_vec(),
        };
        Ok(cursor::page(Listing::Jobs, page.limit, jobs, place, |listed| listed.job))
    }

    async fn find_job(&self, id: JobId) -> StoreResult<Option<Job>> {
        let unfinished = match id {
            JobId::Reply(id) => doc! { "state.turns.id": id.to_string() },
            JobId::Deliver(id) => doc! { "state.outgoing.id": id.to_string() },
        };
        if let Some(head) = self.load_where(unfinished).await?
            && let Some(job) = head.state.job(head.user_id, id, self.now())
        {
            return Ok(Some(job));
        }
        self.apply_what_waits().await;
        match id {
            JobId::Reply(id) => Ok(self.find_anyones_turn(id).await?.map(|turn| past_reply(&turn).job)),
            JobId::Deliver(id) => Ok(self.find_past_outgoing(id).await?.map(|(user_id, message)| past_delivery(user_id, &message).job)),
        }
    }

    async fn replay_job(&self, user_id: UserId, id: JobId, expires_at: Timestamp) -> StoreResult<Job> {
        let mut attempts = self.unit(user_id);
        loop {
            let mut unit = attempts.begin().await.map_err(no_job)?;
            let dead = unit.find_dead(id).await?;
            let job = match dead {
                Dead::Turn(turn) => unit.draft.replay_turn(*turn, expires_at),
                Dead::Message(message) => unit.draft.replay_message(*message, expires_at),
                Dead::Not(job) => {
                    let reason = format!("only a dead job can be replayed; this one is {:?}", job.state).to_lowercase();
                    return Err(StoreError::Conflict { reason });
                }
            };
            if unit.commit().await? {
                return Ok(job);
            }
        }
    }

    async fn discard_job(&self, user_id: UserId, id: JobId) -> StoreResult<Job> {
        let mut attempts = self.unit(user_id);
        loop {
            let mut unit = attempts.begin().await.map_err(no_job)?;
            let dead = unit.find_dead(id).await?;
            match (dead, id) {
                (Dead::Turn(turn), _) => {
                    unit.need_thread(turn.conversation_id).await?;
                    unit.draft.delete(Collections::Turns, shapes::turn_key(turn.id));
                    unit.draft.discard_turn(*turn)?;
                }
                (Dead::Message(message), _) => {
                    // It stands with those that are over already; what it says of itself changes there.
                    let set = doc! { "state": OutboundState::Canceled.as_str(), "error": "discarded by an operator", "due": date(unit.draft.now) };
                    unit.draft.change(Collections::Outbox, shapes::outbox_key(message.id), set);
                }
                (Dead::Not(job), id) => unit.discard_waiting(&job, id).await?,
            }
            if unit.commit().await? {
                return self.find_job(id).await?.filter(|job| job.user == user_id).ok_or(StoreError::NotFound { what: JOB });
            }
        }
    }
}

fn no_job(error: StoreError) -> StoreError {
    match error {
        StoreError::NotFound { .. } => StoreError::NotFound { what: JOB },
        other => other,
    }
}

/// A job that is to be replayed or discarded.
enum Dead {
    Turn(Box<super::state::Turn>),
    Message(Box<Outgoing>),
    /// It is not dead.
    Not(Job),
}

impl Unit<'_> {
    /// The dead job of that id, if it is this person's.
    async fn find_dead(&self, id: JobId) -> StoreResult<Dead> {
        let (user_id, now) = (self.draft.user_id, self.draft.now);
        if let Some(job) = self.draft.state.job(user_id, id, now) {
            return Ok(Dead::Not(job));
        }
        let missing = StoreError::NotFound { what: JOB };
        match id {
            JobId::Reply(id) => {
                let past = self.store.find_past_turn(user_id, id).await?.ok_or(missing)?;
                let job = past_reply(&past).job;
                Ok(past.turn.filter(|_turn| past.state == TurnState::Dead).map_or(Dead::Not(job), |turn| Dead::Turn(Box::new(turn))))
            }
            JobId::Deliver(id) => {
                let found = self.store.find_past_outgoing(id).await?.filter(|(owner, _message)| *owner == user_id);
                let (_owner, message) = found.ok_or(missing)?;
                let is_dead = message.state == OutboundState::Dead;
                Ok(if is_dead { Dead::Message(Box::new(message)) } else { Dead::Not(past_delivery(user_id, &message).job) })
            }
        }
    }

    async fn discard_waiting(&mut self, job: &Job, id: JobId) -> StoreResult<()> {
        let reason = match job.state {
            JobState::Done => Some("the job is done already"),
            JobState::Leased => Some("the job is being worked on; try again when it waits for another attempt"),
            JobState::Ready | JobState::Waiting | JobState::Dead => None,
        };
        if let Some(reason) = reason {
            return Err(StoreError::Conflict { reason: reason.to_owned() });
        }
        match id {
            JobId::Reply(id) => {
                let conversation = self.draft.state.turns.iter().find(|turn| turn.id == id).map(|turn| turn.conversation_id);
                if let Some(conversation) = conversation {
                    self.need_thread(conversation).await?;
                }
                self.draft.discard_waiting_turn(id)
            }
            JobId::Deliver(id) => self.draft.discard_waiting_message(id),
        }
    }
}

fn past_reply(turn: &PastTurn) -> Listed {
    let job = Job {
        id: JobId::Reply(turn.id),
        kind: JobKind::Reply,
        state: if turn.state == TurnState::Dead { JobState::Dead } else { JobState::Done },
        user: turn.user_id,
        attempts: turn.attempts,
        due: turn.due,
        error: turn.error.clone(),
    };
    Listed { job, made_at: turn.opened_at }
}

fn past_delivery(user_id: UserId, message: &Outgoing) -> Listed {
    // Nobody holds what has gone its way.
    let lane = super::state::Lane::default();
    Listed { job: delivery_job(user_id, &lane, message, message.due), made_at: message.created_at }
}

/// Documents made after a place, oldest first.
fn after_place(field: &str, (made_at, id): (Timestamp, [u8; 16])) -> Document {
    let (made_at, id) = (date(made_at), uuid::Uuid::from_bytes(id).to_string());
    doc! { "$or": [{ field: { "$gt": made_at } }, { field: made_at, "_id": { "$gt": id } }] }
}

impl MongoStore {
    /// Heads with unfinished work, with everything applied that was staged for them.
    async fn heads_with_jobs(&self) -> StoreResult<Vec<Head>> {
        let collection = self.collection(Collections::Heads);
        let either = doc! { "$or": [{ "jobs": { "$exists": true } }, { "stagedSince": { "$exists": true } }] };
        let mut found = collection.find(either).await.map_err(fault::unavailable)?;
        let mut heads = Vec::new();
        while let Some(document) = found.try_next().await.map_err(fault::unavailable)? {
            let head = Head::from_document(collection.name(), &document)?;
            if !head.pending.is_empty() {
                self.apply(head.user_id, head.version, &head.pending).await?;
            }
            heads.push(head);
        }
        Ok(heads)
    }

    async fn replies(&self, heads: &[Head], filter: JobFilter, after: (Timestamp, [u8; 16]), wanted: usize) -> StoreResult<Vec<Listed>> {
        let now = self.now();
        let open = heads.iter().flat_map(|head| {
            let listed = move |turn: &super::state::Turn| Listed {
                job: turn_job(head.user_id, &head.state.turn_lane, turn, now),
                made_at: turn.opened_at,
            };
            head.state.turns.iter().map(listed)
        });
        let mut jobs: Vec<Listed> = open.filter(|listed| listed.place() > after).collect();
        let past = self.past(Collections::Turns, "openedAt", filter, after, wanted).await?;
        let name = self.names.of(Collections::Turns);
        for document in &past {
            jobs.push(past_reply(&shapes::past_turn_from(&name, document)?));
        }
        Ok(first(jobs, wanted))
    }

    async fn deliveries(&self, heads: &[Head], filter: JobFilter, after: (Timestamp, [u8; 16]), wanted: usize) -> StoreResult<Vec<Listed>> {
        let now = self.now();
        let open = heads.iter().flat_map(|head| {
            let listed = move |message: &Outgoing| Listed {
                job: delivery_job(head.user_id, &head.state.delivery_lane, message, now),
                made_at: message.created_at,
            };
            head.state.outgoing.iter().map(listed)
        });
        let is_wanted = |listed: &Listed| filter == JobFilter::All || listed.job.state != JobState::Done;
        let mut jobs: Vec<Listed> = open.filter(|listed| listed.place() > after && is_wanted(listed)).collect();
        let past = self.past(Collections::Outbox, "createdAt", filter, after, wanted).await?;
        let name = self.names.of(Collections::Outbox);
        for document in &past {
            let (user_id, message) = shapes::outgoing_from(&name, document)?;
            jobs.push(past_delivery(user_id, &message));
        }
        Ok(first(jobs, wanted))
    }

    /// What is over, or dead, behind a place.
    async fn past(
        &self,
        place: Collections,
        field: &str,
        filter: JobFilter,
        after: (Timestamp, [u8; 16]),
        wanted: usize,
    ) -> StoreResult<Vec<Document>> {
        let mut behind = after_place(field, after);
        if filter == JobFilter::Unfinished {
            behind.insert("state", "dead");
        }
        let limit = i64::try_from(wanted).unwrap_or(i64::MAX);
        let found = self.collection(place).find(behind).sort(doc! { field: 1, "_id": 1 }).limit(limit).await;
        found.map_err(fault::unavailable)?.try_collect().await.map_err(fault::unavailable)
    }

    async fn find_anyones_turn(&self, id: TurnId) -> StoreResult<Option<PastTurn>> {
        let collection = self.collection(Collections::Turns);
        let found = collection.find_one(shapes::turn_key(id)).await.map_err(fault::unavailable)?;
        found.map(|document| shapes::past_turn_from(collection.name(), &document)).transpose()
    }
}

/// The first of them, each once, in their order.
fn first(mut jobs: Vec<Listed>, wanted: usize) -> Vec<Listed> {
    jobs.sort_by_key(Listed::place);
    jobs.dedup_by_key(|listed| listed.job.id);
    jobs.truncate(wanted);
    jobs
}
