//! Durable work, as the host sees it.

use std::sync::Arc;
use std::time::Duration;

use super::watch::Wake;
use crate::clock::Clock;
use crate::domain::job::{Job, JobId, JobKind};
use crate::domain::step::Step;
use crate::store::{JobFilter, Page, PageRequest, SharedStore, StoreError, StoreResult};

/// Jobs of everybody: for the host.
#[derive(Clone)]
pub struct Jobs {
    store: SharedStore,
    clock: Clock,
    reply_max_age: Duration,
    wake: Arc<Wake>,
    wake_deliveries: Arc<Wake>,
}

impl Jobs {
    /// Over this store; a replayed delivery may be sent for `reply_max_age` more.
    #[must_use]
    pub fn new(store: SharedStore, clock: Clock, reply_max_age: Duration, wake: Arc<Wake>, wake_deliveries: Arc<Wake>) -> Self {
        Self { store, clock, reply_max_age, wake, wake_deliveries }
    }

    /// Jobs, oldest first.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`]; [`StoreError::Unavailable`].
    pub async fn list(&self, filter: JobFilter, page: PageRequest) -> StoreResult<Page<Job>> {
        self.store.list_jobs(filter, page).await
    }

    /// One job.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Unavailable`].
    pub async fn get(&self, id: JobId) -> StoreResult<Job> {
        self.store.find_job(id).await?.ok_or(StoreError::NotFound { what: "that job" })
    }

    /// What an agent did for a reply, step by step; nothing for a delivery, or where no tool was called.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn steps(&self, job: &Job) -> StoreResult<Vec<Step>> {
        match job.id {
            JobId::Reply(turn_id) => self.store.list_steps(job.user, turn_id).await,
            JobId::Deliver(_) => Ok(Vec::new()),
        }
    }

    /// Makes a dead job due now.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] when it is not dead; [`StoreError::Unavailable`].
    pub async fn replay(&self, id: JobId) -> StoreResult<Job> {
        let job = self.get(id).await?;
        let now = self.clock.now();
        let job = self.store.replay_job(job.user, id, now.after(self.reply_max_age)).await?;
        match job.kind {
            JobKind::Reply => self.wake.at(now),
            JobKind::Deliver => self.wake_deliveries.at(now),
        }
        Ok(job)
    }

    /// Ends a dead or waiting job without doing it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] when it is done or being worked on; [`StoreError::Unavailable`].
    pub async fn discard(&self, id: JobId) -> StoreResult<Job> {
        let job = self.get(id).await?;
        self.store.discard_job(job.user, id).await
    }
}
