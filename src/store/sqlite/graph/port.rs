//! The port's methods, each as one unit of work.

use async_trait::async_trait;
use rusqlite::Connection;

use super::super::SqliteStore;
use super::super::writer::Urgency;
use super::{delete, read, recall, related, search, write};
use crate::domain::graph::{Detail, Entity, Fact, GraphCounts, GraphLimits, NewEntity, NewObservations, ObservationId, Relation};
use crate::domain::ids::{ConversationId, UserId};
use crate::store::{
    Deleted, Graph, GraphFound, GraphPart, GraphRead, GraphSearch, GraphStats, Imported, MissingName, NamedObservation, Neighbourhood,
    Opened, Page, PageRequest, Recollection, RelationsWritten, StoreResult, Written,
};

/// Entities that are opened on the thread that asks for them.
const AT_ONCE: usize = 8;

impl SqliteStore {
    /// What was deleted must not stay readable in the log.
    fn forget_if(&self, deleted: i64) {
        if deleted > 0 {
            self.progress.forget();
        }
    }
}

#[async_trait]
impl Graph for SqliteStore {
    async fn create_entities(
        &self,
        user_id: UserId,
        entities: Vec<NewEntity>,
        from: Option<ConversationId>,
        limits: GraphLimits,
    ) -> StoreResult<Vec<Written>> {
        self.write(Urgency::Other, move |unit| write::create_entities(unit, user_id, &entities, from, limits)).await
    }

    async fn create_relations(&self, user_id: UserId, relations: Vec<Relation>, limits: GraphLimits) -> StoreResult<RelationsWritten> {
        self.write(Urgency::Other, move |unit| write::create_relations(unit, user_id, &relations, limits)).await
    }

    async fn add_observations(
        &self,
        user_id: UserId,
        observations: Vec<NewObservations>,
        from: Option<ConversationId>,
        limits: GraphLimits,
    ) -> StoreResult<Vec<Written>> {
        self.write(Urgency::Other, move |unit| write::add_observations(unit, user_id, &observations, from, limits)).await
    }

    async fn delete_entities(&self, user_id: UserId, names: Vec<String>) -> StoreResult<Deleted<String>> {
        let deleted = self.write(Urgency::Other, move |unit| delete::entities(unit, user_id, &names)).await?;
        self.forget_if(deleted.deleted);
        Ok(deleted)
    }

    async fn delete_observations(&self, user_id: UserId, texts: Vec<NamedObservation>) -> StoreResult<Deleted<NamedObservation>> {
        let deleted = self.write(Urgency::Other, move |unit| delete::observations(unit, user_id, &texts)).await?;
        self.forget_if(deleted.deleted);
        Ok(deleted)
    }

    async fn delete_relations(&self, user_id: UserId, relations: Vec<Relation>) -> StoreResult<Deleted<Relation>> {
        let deleted = self.write(Urgency::Other, move |unit| delete::relations(unit, user_id, &relations)).await?;
        self.forget_if(deleted.deleted);
        Ok(deleted)
    }

    async fn find_fact(&self, user_id: UserId, id: ObservationId) -> StoreResult<Option<Fact>> {
        self.read(move |db| read::find_fact(db, user_id, id)).await
    }

    async fn delete_observation(&self, user_id: UserId, id: ObservationId) -> StoreResult<Option<Fact>> {
        let deleted = self.write(Urgency::Other, move |unit| delete::observation_by_id(unit, user_id, id)).await?;
        self.forget_if(i64::from(deleted.is_some()));
        Ok(deleted)
    }

    async fn delete_graph(&self, user_id: UserId) -> StoreResult<GraphCounts> {
        let deleted = self.write(Urgency::Other, move |unit| delete::all(unit, user_id)).await?;
        self.forget_if(deleted.entities);
        Ok(deleted)
    }

    async fn open_nodes(&self, user_id: UserId, names: Vec<String>, detail: Detail, bytes: usize) -> StoreResult<Opened> {
        // Names that are not there are looked for among those that are, which takes longer.
        let known = |db: &Connection| read::open_known(db, user_id, &names, detail, bytes);
        if names.len() <= AT_ONCE
            && let Some(Ok(Some(opened))) = self.short.try_read(known)
        {
            return Ok(opened);
        }
        self.read_long(user_id, move |db| read::open(db, user_id, &names, detail, bytes)).await
    }

    async fn find_entities(&self, user_id: UserId, names: Vec<String>, bytes: usize) -> StoreResult<Vec<Entity>> {
        self.read(move |db| read::known(db, user_id, &names, bytes)).await
    }

    async fn search_nodes(&self, user_id: UserId, search: GraphSearch) -> StoreResult<GraphFound> {
        self.read_long(user_id, move |db| search::find(db, user_id, &search)).await
    }

    async fn read_graph(&self, user_id: UserId, read: GraphRead) -> StoreResult<GraphPart> {
        self.read_long(user_id, move |db| read::part(db, user_id, &read)).await
    }

    async fn find_related(
        &self,
        user_id: UserId,
        name: String,
        depth: u32,
        limit: usize,
        bytes: usize,
    ) -> StoreResult<Result<Neighbourhood, MissingName>> {
        self.read_long(user_id, move |db| related::find(db, user_id, &name, depth, limit, bytes)).await
    }

    async fn graph_stats(&self, user_id: UserId, limit: usize) -> StoreResult<GraphStats> {
        self.read_long(user_id, move |db| read::stats(db, user_id, limit)).await
    }

    async fn recall(&self, user_id: UserId, text: String, limit: usize) -> StoreResult<Recollection> {
        self.read(move |db| recall::recall(db, user_id, &text, limit)).await
    }

    async fn recall_with(
        &self,
        user_id: UserId,
        text: String,
        limit: usize,
        names: Vec<String>,
        bytes: usize,
    ) -> StoreResult<(Recollection, Vec<Entity>)> {
        self.read(move |db| Ok((recall::recall(db, user_id, &text, limit)?, read::known(db, user_id, &names, bytes)?))).await
    }

    async fn list_facts(&self, user_id: UserId, page: PageRequest) -> StoreResult<Page<Fact>> {
        self.read(move |db| read::facts(db, user_id, &page)).await
    }

    async fn import_graph(
        &self,
        user_id: UserId,
        entities: Vec<NewEntity>,
        relations: Vec<Relation>,
        limits: GraphLimits,
    ) -> StoreResult<Imported> {
        self.write(Urgency::Other, move |unit| write::import(unit, user_id, &entities, &relations, limits)).await
    }
}
