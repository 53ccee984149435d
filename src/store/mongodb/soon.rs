//! What units staged, applied a moment later for many people at once.
//!
//! The end of a turn is committed with its head, and nobody waits for the rows that it left elsewhere: whoever reads them settles the
//! person first, and whoever works on the person carries them on. So they wait for [`WINDOW`] and are written together, a command a
//! collection (or one, from 8.0 on) for however many people. A process that dies meanwhile leaves them staged, as ever.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use mongodb::bson::{Document, doc};

use super::MongoStore;
use super::apply::{claimed_key, conversation_of, mark};
use super::fault;
use super::fields::{Fields, object_id};
use super::head::Head;
use super::names::Place;
use super::staged::{Command, What, Write};
use crate::domain::ids::{ConversationId, UserId};
use crate::store::StoreResult;

/// How long others are waited for.
const WINDOW: Duration = Duration::from_millis(25);

/// People in one go.
const TOGETHER: usize = 200;

/// How many are applied at once of those that could not be applied together.
const ALONE: usize = 8;

/// The newest heads of people whose rows wait.
#[derive(Debug, Default)]
pub(super) struct Soon {
    waiting: Mutex<Waiting>,
    /// Held by whoever applies.
    applies: tokio::sync::Mutex<()>,
    store: OnceLock<Weak<MongoStore>>,
}

#[derive(Debug, Default)]
struct Waiting {
    heads: HashMap<UserId, (Arc<Head>, Instant)>,
    /// Somebody sees to it.
    is_seen_to: bool,
}

impl Soon {
    /// Tells whose rows these are.
    pub(super) fn belong_to(&self, store: &Arc<MongoStore>) {
        let _again = self.store.set(Arc::downgrade(store));
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The person's rows need not be applied any more, or are applied otherwise.
    pub(super) fn forget(&self, user_id: UserId) {
        self.waiting().heads.remove(&user_id);
    }

    /// A later unit carries on what waits.
    pub(super) fn renew(&self, head: &Arc<Head>, begun: Instant) {
        if let Some(waits) = self.waiting().heads.get_mut(&head.user_id) {
            *waits = (Arc::clone(head), begun);
        }
    }

    /// Rows of one more person wait. What is returned sees to all that do, unless somebody does.
    fn add(&self, head: &Arc<Head>, begun: Instant) -> Option<Arc<MongoStore>> {
        let store = self.store.get()?.upgrade()?;
        let mut waiting = self.waiting();
        waiting.heads.insert(head.user_id, (Arc::clone(head), begun));
        (!std::mem::replace(&mut waiting.is_seen_to, true)).then_some(store)
    }

    /// Some of those that wait, with when they were committed. None: then whoever saw to it is done.
    fn take(&self) -> Vec<(Arc<Head>, Instant)> {
        let mut waiting = self.waiting();
        let some: Vec<UserId> = waiting.heads.keys().copied().take(TOGETHER).collect();
        waiting.is_seen_to = !some.is_empty();
        some.iter().filter_map(|user_id| waiting.heads.remove(user_id)).collect()
    }
}

impl MongoStore {
    /// Applies what a head has staged, with what others' have.
    pub(super) fn apply_soon(&self, head: &Arc<Head>, begun: Instant) {
        if let Some(store) = self.soon.add(head, begun) {
            drop(self.runtime().spawn(async move { store.see_to_those_that_wait().await }));
        }
    }

    async fn see_to_those_that_wait(&self) {
        loop {
            tokio::time::sleep(WINDOW).await;
            let _others_wait = self.soon.applies.lock().await;
            let waiting = self.soon.take();
            if waiting.is_empty() {
                return;
            }
            self.apply_some(waiting).await;
        }
    }

    /// Applies what waits now: before rows are looked up whose person is not known, and before the store is closed.
    pub(super) async fn apply_what_waits(&self) {
        let _others_wait = self.soon.applies.lock().await;
        loop {
            let waiting = self.soon.take();
            if waiting.is_empty() {
                return;
            }
            self.apply_some(waiting).await;
        }
    }

    /// What cannot be applied stays staged, for whoever reads the head.
    async fn apply_some(&self, waiting: Vec<(Arc<Head>, Instant)>) {
        let (fresh, late): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_head, begun)| begun.elapsed() <= fault::LATE);
        for (head, _begun) in late {
            self.heads.forget(head.user_id);
        }
        let heads: Vec<Arc<Head>> = fresh.into_iter().map(|(head, _begun)| head).collect();
        // A server that does not answer this is not asked once for each.
        let heads = match self.still_newest(&heads).await {
            Ok(heads) => heads,
            Err(error) => return tracing::debug!(error = %error, "what units staged is left to the next"),
        };
        let Err(error) = self.apply_together(&heads).await else { return };
        tracing::debug!(error = %error, "what units staged cannot be applied together");
        futures::stream::iter(heads)
            .for_each_concurrent(ALONE, async |head| {
                if let Err(error) = self.apply(head.user_id, head.version, &head.pending).await {
                    tracing::debug!(error = %error, "what a unit staged is left to the next");
                }
            })
            .await;
    }

    /// Applies what these heads have staged. Where it fails all may be tried again, one by one.
    async fn apply_together(&self, heads: &[&Head]) -> StoreResult<()> {
        if heads.is_empty() {
            return Ok(());
        }
        let mut writes: Vec<(UserId, &Write)> = Vec::new();
        let (mut commands, mut asks) = (Vec::new(), Vec::new());
        for head in heads {
            for write in &head.pending.writes.0 {
                writes.push((head.user_id, write.as_ref()));
                commands.push(write.command(&self.names, head.version));
                asks.push(write.what == What::Claim || conversation_of(write).is_some());
            }
        }
        commands.extend(heads.iter().map(|head| mark(&self.names, head.user_id, head.version, head.unit)));
        asks.resize(commands.len(), false);
        let found = if self.writes_across {
            self.run_across(&commands, &asks).await?.into_iter().map(|found| Found { all: found, any: found }).collect()
        } else {
            self.run_rows(&commands, heads.len()).await?
        };
        for head in heads {
            self.heads.applied(head.user_id, head.unit);
        }
        let mut changed = Vec::new();
        for ((user_id, write), found) in writes.into_iter().zip(found) {
            if write.what == What::Claim && found.any {
                self.take_report(claimed_key(write)?).await?;
            }
            changed.extend(conversation_of(write).filter(|_id| !found.all).map(|id| (user_id, id)));
        }
        self.forget_those_gone(changed).await
    }

    /// Those that nobody else's unit has come behind.
    async fn still_newest<'a>(&self, heads: &'a [Arc<Head>]) -> StoreResult<Vec<&'a Head>> {
        if heads.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<_> = heads.iter().map(|head| object_id(head.user_id)).collect();
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
        Ok(heads.iter().map(Arc::as_ref).filter(|head| staged.get(&head.user_id) == Some(&(head.version, head.unit))).collect())
    }

    /// Runs updates of many people, those of one collection in one command; the last of them, the marks, behind all others. Tells of
    /// each what those of its collection found.
    async fn run_rows(&self, commands: &[Command], marks: usize) -> StoreResult<Vec<Found>> {
        let last = commands.len().saturating_sub(marks);
        let mut rows: Vec<(&str, bool, Vec<usize>)> = Vec::new();
        for (place, command) in commands.iter().enumerate() {
            let is_mark = place >= last;
            match rows.iter_mut().find(|(collection, marks, _places)| *collection == command.collection && *marks == is_mark) {
                Some((_collection, _marks, places)) => places.push(place),
                None => rows.push((&command.collection, is_mark, vec![place])),
            }
        }
        let mut told = vec![Found { all: false, any: false }; commands.len()];
        for (_collection, _marks, places) in &rows {
            let found = self.run_group(commands, places).await?;
            for place in places {
                if let Some(told) = told.get_mut(*place) {
                    *told = Found { all: found == places.len(), any: found > 0 };
                }
            }
        }
        Ok(told)
    }

    /// Of conversations that were to be changed, perhaps not there: LibreChat deleted those that are not, and what is left of them goes.
    async fn forget_those_gone(&self, changed: Vec<(UserId, ConversationId)>) -> StoreResult<()> {
        if changed.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = changed.iter().map(|(_user_id, id)| id.to_string()).collect();
        let collection = self.collection(Place::Conversations);
        let wanted = collection.find(doc! { "conversationId": { "$in": ids } }).projection(doc! { "conversationId": 1, "user": 1 });
        let there: Vec<Document> = wanted.await.map_err(fault::unavailable)?.try_collect().await.map_err(fault::unavailable)?;
        let text = |document: &Document, name: &str| document.get_str(name).unwrap_or_default().to_owned();
        let there: HashSet<(String, String)> =
            there.iter().map(|document| (text(document, "user"), text(document, "conversationId"))).collect();
        for (user_id, id) in changed {
            if !there.contains(&(user_id.to_string(), id.to_string())) {
                self.forget_if_gone(user_id, id).await?;
            }
        }
        Ok(())
    }
}

/// What updates of one collection found.
#[derive(Debug, Clone, Copy)]
struct Found {
    /// Each its document, or made it.
    all: bool,
    /// One of them did.
    any: bool,
}

/// Whether a head's writes can stand among others': none that must be looked at by itself, and none whose order counts.
pub(super) fn goes_with_others(head: &Head) -> bool {
    let is_simple = |what: &What| matches!(what, What::Put { .. } | What::Change { .. } | What::Claim);
    head.pending.parts.is_empty() && head.pending.writes.0.iter().all(|write| is_simple(&write.what))
}
