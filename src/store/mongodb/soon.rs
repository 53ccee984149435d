//! What units staged, applied a moment later for many people at once.
//!
//! The end of a turn is committed with its head, and nobody waits for the rows that it left elsewhere: whoever reads them settles the
//! person first, and whoever works on the person carries them on. So they wait for [`WINDOW`] and are written together, a command a
//! collection (or one, from 8.0 on) for however many people. A process that dies meanwhile leaves them staged, as ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use mongodb::bson::doc;
use tokio::sync::{Notify, OwnedMutexGuard, watch};

use super::MongoStore;
use super::apply::Due;
use super::fault;
use super::fields::{Fields, object_id};
use super::head::Head;
use super::names::Place;
use super::queues::Queues;
use super::staged::What;
use crate::domain::ids::UserId;
use crate::store::StoreResult;

/// How long others are waited for.
const WINDOW: Duration = Duration::from_millis(25);

/// People in one go at most, and at first.
const TOGETHER: usize = 128;
const FIRST: usize = 8;

/// How long a round should take. Its people's next units wait for it, so after one that takes longer there are fewer in the next.
const SHORT: Duration = Duration::from_millis(150);

/// How many are applied at once of those that cannot be applied together.
const ALONE: usize = 8;

/// How long somebody waits who reads rows of many people: what is not applied by then is seen by whoever comes later.
const PATIENCE: Duration = Duration::from_secs(2);

/// A head, and when its commit began.
type Waits = (Arc<Head>, Instant);

/// The newest heads of people whose rows wait.
#[derive(Debug, Default)]
pub(super) struct Soon {
    waiting: Mutex<Waiting>,
    /// Somebody wants it now.
    hurry: Notify,
    /// The round that is over.
    over: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Waiting {
    heads: HashMap<UserId, Waits>,
    /// A task sees to it, in rounds.
    is_seen_to: bool,
    /// The round that was begun.
    round: u64,
    /// How often those at first are doubled now.
    doubled: u32,
}

/// What is applied in one round, and what keeps units of these people from being made meanwhile: one could delete what is written here.
struct Round {
    number: u64,
    heads: Vec<Waits>,
    _queues: Vec<OwnedMutexGuard<()>>,
}

impl Soon {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The person's rows need not be applied any more, or are applied otherwise.
    pub(super) fn forget(&self, user_id: UserId) {
        self.waiting().heads.remove(&user_id);
    }

    /// A later unit carries on what waits.
    pub(super) fn renew(&self, head: &Arc<Head>, begun: Instant) {
        if let Some(waits) = self.waiting().heads.get_mut(&head.user_id).filter(|waits| waits.0.version < head.version) {
            *waits = (Arc::clone(head), begun);
        }
    }

    /// Rows of one more person wait. False: nobody sees to those that do yet.
    fn add(&self, head: &Arc<Head>, begun: Instant) -> bool {
        let mut waiting = self.waiting();
        if waiting.heads.get(&head.user_id).is_none_or(|waits| waits.0.version < head.version) {
            waiting.heads.insert(head.user_id, (Arc::clone(head), begun));
        }
        std::mem::replace(&mut waiting.is_seen_to, true)
    }

    /// Begins a round with some of those that wait, of whom no unit is being made. None: nobody waits.
    fn begin(&self, queues: &Queues) -> Option<Round> {
        let mut waiting = self.waiting();
        waiting.round += 1;
        if waiting.heads.is_empty() {
            waiting.is_seen_to = false;
            self.over.send_replace(waiting.round);
            return None;
        }
        let some: Vec<UserId> = waiting.heads.keys().copied().take((FIRST << waiting.doubled).min(TOGETHER)).collect();
        let (queues, free) = queues.take_free(some.iter().map(UserId::as_bytes));
        let free = some.iter().zip(free).filter(|(_user_id, is_free)| *is_free);
        let heads = free.filter_map(|(user_id, _is_free)| waiting.heads.remove(user_id)).collect();
        Some(Round { number: waiting.round, heads, _queues: queues })
    }

    /// Ends a round: the server can do more in the next, or less.
    fn end(&self, round: u64, took: Duration) {
        let mut waiting = self.waiting();
        waiting.doubled = if took > SHORT { waiting.doubled.saturating_sub(1) } else { (waiting.doubled + 1).min(4) };
        drop(waiting);
        self.over.send_replace(round);
    }

    /// The round after which everything is applied that waits now; none where nothing does.
    fn next_round(&self) -> Option<u64> {
        let waiting = self.waiting();
        waiting.is_seen_to.then_some(waiting.round + 1)
    }
}

impl MongoStore {
    /// Applies what a head has staged, with what others' have.
    pub(super) fn apply_soon(&self, head: &Arc<Head>, begun: Instant) {
        let Some((runtime, store)) = self.home() else { return };
        if !self.soon.add(head, begun) {
            drop(runtime.spawn(async move { store.see_to_those_that_wait().await }));
        }
    }

    async fn see_to_those_that_wait(&self) {
        loop {
            let _hurry = tokio::time::timeout(WINDOW, self.soon.hurry.notified()).await;
            let Some(Round { number, heads, _queues }) = self.soon.begin(&self.queues) else { return };
            let begun = Instant::now();
            self.apply_some(heads).await;
            self.soon.end(number, begun.elapsed());
        }
    }

    /// Waits until what waits now is applied: before rows are looked up whose person is not known, and before the store is closed. False:
    /// nothing waited.
    pub(super) async fn apply_what_waits(&self) -> bool {
        let mut over = self.soon.over.subscribe();
        let Some(round) = self.soon.next_round() else { return false };
        self.soon.hurry.notify_one();
        if tokio::time::timeout(PATIENCE, over.wait_for(|over| *over >= round)).await.is_err() {
            tracing::debug!("what units staged is not applied yet");
        }
        true
    }

    /// Applies together what can be, and the rest one by one. What cannot be applied stays staged, for whoever reads the head.
    async fn apply_some(&self, waiting: Vec<Waits>) {
        let waiting = self.still_to_be_applied(waiting).await;
        let (together, mut alone): (Vec<Waits>, Vec<Waits>) = waiting.into_iter().partition(|(head, _begun)| goes_with_others(head));
        let due: Vec<Due<'_>> = together.iter().map(|(head, _begun)| Due::from(head.as_ref())).collect();
        if let Err(error) = self.apply_all(&due).await {
            tracing::debug!(error = %error, "what units staged cannot be applied together");
            alone.extend(together);
        }
        futures::stream::iter(self.still_to_be_applied(alone).await)
            .for_each_concurrent(ALONE, async |(head, _begun)| {
                if let Err(error) = self.apply(head.user_id, head.version, &head.pending).await {
                    tracing::debug!(error = %error, "what a unit staged is left to the next");
                }
            })
            .await;
    }

    /// Those whose commit is not long ago, for what they staged may have been applied by others since, and deleted; and that nobody has come
    /// behind. None where the server does not say so: it is not asked once for each.
    async fn still_to_be_applied(&self, waiting: Vec<Waits>) -> Vec<Waits> {
        let (fresh, late): (Vec<Waits>, Vec<Waits>) = waiting.into_iter().partition(|(_head, begun)| begun.elapsed() <= fault::LATE);
        for (head, _begun) in late {
            self.heads.forget(head.user_id);
        }
        self.still_newest(fresh).await.unwrap_or_else(|error| {
            tracing::debug!(error = %error, "what units staged is left to the next");
            Vec::new()
        })
    }

    /// Those that nobody else's unit has come behind, and that nobody else has applied.
    async fn still_newest(&self, mut heads: Vec<Waits>) -> StoreResult<Vec<Waits>> {
        if heads.is_empty() {
            return Ok(heads);
        }
        let ids: Vec<_> = heads.iter().map(|(head, _begun)| object_id(head.user_id)).collect();
        let collection = self.collection(Place::Heads);
        let part = doc! { "version": 1, "unit": 1, "stagedSince": 1 };
        let mut found = collection.find(doc! { "_id": { "$in": ids } }).projection(part).await.map_err(fault::unavailable)?;
        let mut staged = HashMap::new();
        while let Some(document) = found.try_next().await.map_err(fault::unavailable)? {
            let fields = Fields::new(collection.name(), &document);
            if document.contains_key("stagedSince") {
                staged.insert(fields.user("_id")?, (fields.number("version")?, fields.id("unit", |unit| unit)?));
            }
        }
        heads.retain(|(head, _begun)| staged.get(&head.user_id) == Some(&(head.version, head.unit)));
        Ok(heads)
    }
}

/// Whether a head's writes can stand among others': none that must be looked at by itself, and none whose order counts.
pub(super) fn goes_with_others(head: &Head) -> bool {
    let is_simple = |what: &What| matches!(what, What::Put { .. } | What::Change { .. } | What::Claim);
    head.pending.parts.is_empty() && head.pending.writes.0.iter().all(|write| is_simple(&write.what))
}
