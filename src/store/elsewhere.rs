//! Hearing of what other processes do, instead of asking for it.

use std::fmt;
use std::pin::Pin;

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};

use super::{LaneKind, StoreResult};
use crate::domain::ids::UserId;

/// What a store tells by itself. It is never the truth, only a sign of when to look: who hears nothing asks now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// From here on everything is told. What happened before may not have been: look once.
    Begun,
    /// Nothing is told until [`News::Resumed`] or [`News::Begun`] follows.
    Silent,
    /// It is told again, and what happened in the silence is told next.
    Resumed,
    /// A turn of that person is over, here or in another process.
    Ended(UserId),
    /// Somebody's work was given back unfinished and waits for whoever has room.
    Offered(LaneKind),
}

/// News as they come. Dropping it ends what brings them.
pub struct NewsStream(BoxStream<'static, News>);

impl NewsStream {
    /// What comes through this.
    #[cfg_attr(not(feature = "mongodb"), expect(dead_code, reason = "the backends of this build have nothing to tell"))]
    pub(crate) fn new(news: impl futures::Stream<Item = News> + Send + 'static) -> Self {
        Self(news.boxed())
    }

    /// The next; `None` when none will come any more. Nothing is lost when this is given up while it waits.
    pub async fn next(&mut self) -> Option<News> {
        Pin::new(&mut self.0).next().await
    }
}

impl fmt::Debug for NewsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewsStream")
    }
}

/// Telling what happens, here and in other processes.
#[async_trait]
pub trait Elsewhere {
    /// Begins to tell; `None` for good where the backend, or the server behind it, cannot. One stream serves a whole process: it is
    /// asked for while somebody looks on, and costs nothing otherwise.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](super::StoreError::Unavailable): ask again later. Once there is a stream it heals by itself.
    async fn news(&self) -> StoreResult<Option<NewsStream>> {
        Ok(None)
    }
}
