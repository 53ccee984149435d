//! What a person has in collections of their own (graph, todo list, schedules), and how it is read as of one moment.
//!
//! The person's head holds a revision of each, which grows with each unit that changes it. Whoever reads many documents reads the
//! revision before and after: the same twice means that nothing was written between.

use mongodb::Collection;
use mongodb::bson::{Document, doc};
use serde::{Deserialize, Serialize};

use super::MongoStore;
use super::fault;
use super::fields::{Fields, object_id};
use super::names::Place;
use super::state::State;
use super::unit::staged_part;
use crate::domain::ids::UserId;
use crate::store::{StoreError, StoreResult};

/// How often reading is begun again because somebody wrote meanwhile.
const ATTEMPTS: u32 = 20;

/// What is in a person's list is found by its number there.
pub(super) fn key(user: UserId, number: impl std::fmt::Display) -> Document {
    doc! { "_id": format!("{user}/{number}") }
}

/// What is kept in a collection of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// The knowledge graph.
    Graph,
    /// The todo list.
    Todos,
    /// The schedules.
    Schedules,
}

/// Where a list stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ListHead {
    /// How often it was changed; zero: it never had anything.
    #[serde(default)]
    pub(super) revision: i64,
    /// The last number that anything in it got.
    #[serde(default)]
    pub(super) last: i64,
}

/// Where each list stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lists {
    #[serde(default)]
    pub(super) graph: ListHead,
    #[serde(default)]
    pub(super) todos: ListHead,
    #[serde(default)]
    pub(super) schedules: ListHead,
}

impl Lists {
    const fn of(&self, list: List) -> ListHead {
        match list {
            List::Graph => self.graph,
            List::Todos => self.todos,
            List::Schedules => self.schedules,
        }
    }
}

impl ListHead {
    /// One change more, with that number as the last.
    pub(super) const fn changed(self, last: i64) -> Self {
        Self { revision: self.revision + 1, last }
    }
}

impl MongoStore {
    /// Where a list of a person stands; somebody who does not exist has nothing.
    pub(super) async fn list_head(&self, user: UserId, list: List) -> StoreResult<ListHead> {
        Ok(self.head_with_lists(user, false).await?.map_or_else(ListHead::default, |lists| lists.of(list)))
    }

    /// Where the lists of a person stand, with everything applied that was staged where that is asked for.
    async fn head_with_lists(&self, user: UserId, settled: bool) -> StoreResult<Option<Lists>> {
        let collection = self.collection(Place::Heads);
        let mut wanted = if settled {
            staged_part()
        } else {
            doc! {}
        };
        wanted.insert("state.lists", 1);
        let found = collection.find_one(doc! { "_id": object_id(user) }).projection(wanted).await.map_err(fault::unavailable)?;
        let Some(document) = found else { return Ok(None) };
        let fields = Fields::new(collection.name(), &document);
        if settled {
            self.settle_found(user, &document).await?;
        }
        Ok(Some(fields.find_value("state.lists")?.unwrap_or_default()))
    }

    /// Reads a list as of one moment: `load` reads its documents.
    pub(super) async fn read_list<T, F: Future<Output = StoreResult<T>> + Send>(
        &self,
        user: UserId,
        list: List,
        load: impl Fn(ListHead) -> F + Send + Sync,
    ) -> StoreResult<(ListHead, T)> {
        let mut made = 0;
        while made < ATTEMPTS {
            self.wait_before(made).await?;
            made += 1;
            let before = self.head_with_lists(user, true).await?.unwrap_or_default().of(list);
            let loaded = load(before).await;
            if self.list_head(user, list).await? == before {
                return Ok((before, loaded?));
            }
        }
        let reason = format!("the same was changed {ATTEMPTS} times while it was read; try again");
        Err(StoreError::Unavailable { reason, source: None })
    }

    /// Shows every document that has these values to `see`, in the order of their numbers.
    pub(super) async fn each(
        &self,
        collection: &Collection<Document>,
        filter: Document,
        mut see: impl FnMut(&Document) -> StoreResult<()> + Send,
    ) -> StoreResult<()> {
        let mut cursor = collection.find(filter).sort(doc! { "number": 1 }).await.map_err(fault::unavailable)?;
        while cursor.advance().await.map_err(fault::unavailable)? {
            see(&cursor.deserialize_current().map_err(fault::unavailable)?)?;
        }
        Ok(())
    }
}

impl State {
    /// A list has changed.
    pub(super) const fn list_changed(&mut self, which: List, last: i64) {
        let head = match which {
            List::Graph => &mut self.lists.graph,
            List::Todos => &mut self.lists.todos,
            List::Schedules => &mut self.lists.schedules,
        };
        *head = head.changed(last);
    }
}
