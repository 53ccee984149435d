//! Who has the database open, so that no archive is restored under somebody's feet.
//!
//! Each process has a document that it counts up every [`BEAT`], and looks at each time whether an archive is being restored. Whoever
//! is to restore one watches those documents for [`DEAD`]: one that counts on is of a process that lives. No clocks are compared.
//! A process that stood still for a while asks before its next commit ([`Presence::may_commit`]), so it finds out before it writes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::{Collection, Database};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::fault;
use super::fields::Fields;
use super::names::{Names, Place};
use crate::clock::Clock;
use crate::store::{StoreError, StoreResult};

/// How often a process says that it lives.
const BEAT: Duration = Duration::from_secs(2);

/// For how long what it saw when it last did so is believed.
const FRESH: Duration = Duration::from_secs(4);

/// A process that does not say so for this long is gone, or asks before it commits anything. Longer than [`FRESH`] by what a commit takes.
const DEAD: Duration = Duration::from_secs(7);

/// After so many milliseconds the document of a process that was killed is removed by whoever comes.
const FORGOTTEN: i64 = 24 * 3_600_000;

/// The document of [`Place::Meta`] that says that, and how far, an archive is being restored.
pub(super) const RESTORING: &str = "restoring";

/// What a process last saw.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    restoring: bool,
}

/// This process among those that have the database open.
#[derive(Debug)]
pub(super) struct Presence {
    id: String,
    clock: Clock,
    all: Collection<Document>,
    meta: Collection<Document>,
    seen: Mutex<Option<Seen>>,
    /// It is this process that restores.
    restores: AtomicBool,
}

/// How far each other process has counted.
type Counts = BTreeMap<String, i64>;

impl Presence {
    pub(super) fn new(db: &Database, names: &Names, clock: &Clock) -> Arc<Self> {
        Arc::new(Self {
            id: clock.uuid().to_string(),
            clock: clock.clone(),
            all: db.collection(&names.of(Place::Processes)),
            meta: db.collection(&names.of(Place::Meta)),
            seen: Mutex::new(None),
            restores: AtomicBool::new(false),
        })
    }

    /// Says that this process lives, then looks whether an archive is being restored: in this order, so that of a process that comes
    /// and one that begins to restore at least one sees the other.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) async fn beat(&self) -> StoreResult<()> {
        let at = Instant::now();
        let now = DateTime::from_millis(self.clock.now().as_millis());
        let alive = doc! { "$inc": { "count": 1_i64 }, "$set": { "seenAt": now } };
        self.all.update_one(doc! { "_id": &self.id }, alive).upsert(true).await.map_err(fault::unavailable)?;
        let restoring = self.meta.find_one(doc! { "_id": RESTORING }).projection(doc! { "_id": 1 });
        let restoring = restoring.await.map_err(fault::unavailable)?.is_some();
        self.saw(Seen { at, restoring });
        Ok(())
    }

    /// Begins to say so by itself, until what is returned is dropped.
    pub(super) fn go_on(self: &Arc<Self>) -> DropGuard {
        let end = CancellationToken::new();
        let (presence, ended) = (Arc::clone(self), end.clone());
        // It ends between two times, never in the middle of one: the driver wants its calls waited for.
        drop(tokio::spawn(async move {
            while tokio::time::timeout(BEAT, ended.cancelled()).await.is_err() {
                if let Err(error) = presence.beat().await {
                    tracing::debug!(error = %error, "this process could not say that it has the database open");
                }
            }
        }));
        end.drop_guard()
    }

    /// Removes what processes left that were killed long ago.
    pub(super) async fn forget_the_dead(&self) {
        let long_ago = DateTime::from_millis(self.clock.now().as_millis() - FORGOTTEN);
        if let Err(error) = self.all.delete_many(doc! { "seenAt": { "$lt": long_ago } }).await {
            tracing::debug!(error = %error, "documents of processes that are gone were left behind");
        }
    }

    /// This process has the database open no longer.
    pub(super) async fn leave(&self) {
        if let Err(error) = self.all.delete_one(doc! { "_id": &self.id }).await {
            tracing::debug!(error = %error, "the document of this process was left behind");
        }
    }

    /// Asked before each commit: nothing is read or written for it as long as the last look is fresh.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while another process restores an archive, or when it cannot be seen whether one does.
    pub(super) async fn may_commit(&self) -> StoreResult<()> {
        let fresh = |seen: Seen| seen.at.elapsed() < FRESH;
        let known = self.seen().filter(|seen| fresh(*seen));
        let seen = if known.is_some() {
            known
        } else {
            self.beat().await?;
            self.seen()
        };
        if seen.is_some_and(|seen| seen.restoring) && !self.restores.load(Ordering::Acquire) {
            let reason =
                "an archive is being restored into this database by another process; this one was open before, and waits".to_owned();
            return Err(StoreError::Unavailable { reason, source: None });
        }
        Ok(())
    }

    /// Sees to it that no other process has the database open, and marks it with `begun` unless it is marked: from then on nobody
    /// else comes in.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another process has it open; [`StoreError::Unavailable`].
    pub(super) async fn begin_alone(&self, begun: Option<Document>) -> StoreResult<()> {
        let before = self.others().await?;
        let mut quiet = before.clone();
        if !before.is_empty() {
            let watched = Instant::now();
            while watched.elapsed() < DEAD {
                tokio::time::sleep(Duration::from_millis(250)).await;
                quiet = self.others().await?;
                if quiet.iter().any(|(id, count)| before.get(id) != Some(count)) {
                    return Err(open_elsewhere());
                }
            }
        }
        self.restores.store(true, Ordering::Release);
        let marked = begun.is_some();
        if let Some(begun) = begun
            && let Err(error) = self.meta.insert_one(begun).await
        {
            self.restores.store(false, Ordering::Release);
            if fault::is_duplicate(&error) {
                let reason = "another process has just begun to restore into this store; wait until it is done".to_owned();
                return Err(StoreError::Conflict { reason });
            }
            return Err(fault::unavailable(error));
        }
        // Whoever came meanwhile has not seen the mark.
        let now = self.others().await?;
        if now.iter().any(|(id, count)| quiet.get(id) != Some(count)) {
            self.restores.store(false, Ordering::Release);
            if marked {
                self.meta.delete_one(doc! { "_id": RESTORING }).await.map_err(fault::unavailable)?;
            }
            return Err(open_elsewhere());
        }
        Ok(())
    }

    /// Restoring is over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) async fn end_alone(&self) -> StoreResult<()> {
        self.meta.delete_one(doc! { "_id": RESTORING }).await.map_err(fault::unavailable)?;
        self.saw(Seen { at: Instant::now(), restoring: false });
        self.restores.store(false, Ordering::Release);
        Ok(())
    }

    fn seen(&self) -> Option<Seen> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw(&self, seen: Seen) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }

    async fn others(&self) -> StoreResult<Counts> {
        let mut found = self.all.find(doc! { "_id": { "$ne": &self.id } }).await.map_err(fault::unavailable)?;
        let mut counts = Counts::new();
        while let Some(document) = found.try_next().await.map_err(fault::unavailable)? {
            let fields = Fields::new(self.all.name(), &document);
            counts.insert(fields.text("_id")?.to_owned(), fields.number("count")?);
        }
        Ok(counts)
    }
}

fn open_elsewhere() -> StoreError {
    let reason = "another process has this database open (a server, or an MCP server of a host); stop it, and restore then".to_owned();
    StoreError::Conflict { reason }
}
