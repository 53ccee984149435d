//! Durable work, as the host sees it.

use async_trait::async_trait;

use super::{Page, PageRequest, StoreResult, Timestamp};
use crate::domain::ids::UserId;
use crate::domain::job::{Job, JobId};

/// Which jobs are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobFilter {
    /// Not over, or dead.
    Unfinished,
    /// Done ones too.
    All,
}

/// Durable work across people: for the host.
#[async_trait]
pub trait Jobs {
    /// Jobs, oldest first: replies, then deliveries.
    ///
    /// # Errors
    /// [`super::StoreError::InvalidCursor`]; [`super::StoreError::Unavailable`].
    async fn list_jobs(&self, filter: JobFilter, page: PageRequest) -> StoreResult<Page<Job>>;

    /// One job.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn find_job(&self, id: JobId) -> StoreResult<Option<Job>>;

    /// Makes a dead job due now, with its attempts counted anew. A delivery is not sent after `expires_at`; for a reply the
    /// moment is kept as [`LeasedTurn::answer_until`](crate::domain::turn::LeasedTurn::answer_until).
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`]; [`super::StoreError::Conflict`] when it is not dead; [`super::StoreError::Unavailable`].
    async fn replay_job(&self, user_id: UserId, id: JobId, expires_at: Timestamp) -> StoreResult<Job>;

    /// Ends a job that is dead or waiting, without doing it.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`]; [`super::StoreError::Conflict`] when it is done or being worked on;
    /// [`super::StoreError::Unavailable`].
    async fn discard_job(&self, user_id: UserId, id: JobId) -> StoreResult<Job>;
}
