//! The port's methods. A read asks the head for the graph's revision; a write is a unit of the person that raises it.

use std::sync::Arc;

use async_trait::async_trait;
use mongodb::bson::doc;

use super::documents::{Reader, stage};
use super::held::Held;
use super::{delete, read, recall, related, search, write};
use crate::domain::graph::{Detail, Entity, Fact, GraphCounts, GraphLimits, NewEntity, NewObservations, ObservationId, Relation};
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::time::Timestamp;
use crate::store::mongodb::MongoStore;
use crate::store::mongodb::lists::{List, ListHead};
use crate::store::mongodb::names::Place;
use crate::store::mongodb::unit::Unit;
use crate::store::{
    Deleted, Graph, GraphFound, GraphPart, GraphRead, GraphSearch, GraphStats, Imported, MissingName, NamedObservation, Neighbourhood,
    Opened, Page, PageRequest, Recollection, RelationsWritten, StoreError, StoreResult, Written,
};

/// Entities and observations that are looked through at once; with more of them others would wait for this one.
const AT_ONCE: usize = 5_000;

/// Looks through a graph: a large one on a thread that nobody else waits for.
async fn look<T: Send + 'static>(held: Arc<Held>, look: impl FnOnce(&Held) -> T + Send + 'static) -> StoreResult<T> {
    if held.entities.len() + held.observations.len() <= AT_ONCE {
        return Ok(look(&held));
    }
    let looked = tokio::task::spawn_blocking(move || look(&held)).await;
    looked.map_err(|error| StoreError::unavailable("looking through the memory came to no end", error))
}

impl MongoStore {
    /// A person's graph as it is stored. Somebody who does not exist has an empty one.
    async fn graph(&self, user: UserId) -> StoreResult<Arc<Held>> {
        let stand = self.list_head(user, List::Graph).await?;
        if let Some(held) = self.graph_at_hand(user, stand) {
            return Ok(held);
        }
        let (stand, held) = self.read_list(user, List::Graph, |stand| self.load_graph(user, stand)).await?;
        let held = Arc::new(held);
        self.graphs.keep(user, stand.revision, Arc::clone(&held));
        Ok(held)
    }

    /// The graph that goes into the prompt of a person's turn.
    async fn graph_of_turn(&self, user: UserId) -> StoreResult<Arc<Held>> {
        let begun = self.heads.of_begun_turn(user);
        match begun.and_then(|head| self.graph_at_hand(user, head.state.lists.graph)) {
            Some(held) => Ok(held),
            None => self.graph(user).await,
        }
    }

    fn graph_at_hand(&self, user: UserId, stand: ListHead) -> Option<Arc<Held>> {
        if stand.revision == 0 { Some(Arc::default()) } else { self.graphs.find(user, stand.revision) }
    }

    /// Reads a graph whole.
    async fn load_graph(&self, user: UserId, stand: ListHead) -> StoreResult<Held> {
        let collection = self.collection(Place::Memory);
        let mut reader = Reader::default();
        let of_person = doc! { "user": user.to_string() };
        self.each(&collection, of_person, |document| reader.add(collection.name(), document)).await?;
        reader.finish(collection.name(), stand.last)
    }

    /// Changes a person's graph.
    async fn change_graph<T: Send>(
        &self,
        user: UserId,
        rule: impl Fn(&mut Held, Timestamp) -> StoreResult<T> + Send + Sync,
    ) -> StoreResult<T> {
        let mut attempts = self.unit(user);
        loop {
            let mut unit = attempts.begin().await?;
            let (answer, held) = unit.change_graph(&rule).await?;
            let revision = unit.draft.state.lists.graph.revision;
            if unit.commit().await? {
                self.graphs.keep(user, revision, held);
                return Ok(answer);
            }
        }
    }

    /// The same for somebody who may not exist, and has an empty graph then.
    async fn change_graph_of_anybody<T: Send>(
        &self,
        user: UserId,
        rule: impl Fn(&mut Held, Timestamp) -> T + Send + Sync,
    ) -> StoreResult<T> {
        if self.list_head(user, List::Graph).await?.revision == 0 {
            return Ok(rule(&mut Held::default(), self.now()));
        }
        self.change_graph(user, |held, now| Ok(rule(held, now))).await
    }
}

impl Unit<'_> {
    /// Changes the person's graph in this unit; a rule that refuses changes nothing. The graph is returned as it will be.
    async fn change_graph<T>(&mut self, rule: impl FnOnce(&mut Held, Timestamp) -> StoreResult<T> + Send) -> StoreResult<(T, Arc<Held>)> {
        let (user, stand) = (self.draft.user_id, self.draft.state.lists.graph);
        let mut held = match self.store.graphs.take(user, stand.revision) {
            Some(held) => held,
            None if stand.revision == 0 => Arc::default(),
            None => {
                self.apply_staged().await?;
                Arc::new(self.store.load_graph(user, stand).await?)
            }
        };
        let graph = Arc::make_mut(&mut held);
        let answer = rule(graph, self.draft.now);
        if answer.is_err() || graph.changes().is_empty() {
            graph.undo();
            graph.last_item = stand.last;
            self.store.graphs.keep(user, stand.revision, Arc::clone(&held));
            return Ok((answer?, held));
        }
        stage(&mut self.draft, graph);
        graph.settle();
        self.draft.state.list_changed(List::Graph, graph.last_item);
        Ok((answer?, held))
    }

    /// Forgets a fact.
    pub(in crate::store::mongodb) async fn forget_fact(&mut self, id: ObservationId) -> StoreResult<Option<Fact>> {
        Ok(self.change_graph(|held, now| Ok(delete::observation_by_id(held, id, now))).await?.0)
    }

    /// Forgets an entity.
    pub(in crate::store::mongodb) async fn forget_entity(&mut self, name: &str) -> StoreResult<Deleted<String>> {
        let names = [name.to_owned()];
        Ok(self.change_graph(|held, _now| Ok(delete::entities(held, &names))).await?.0)
    }

    /// Forgets the whole graph.
    pub(in crate::store::mongodb) async fn forget_graph(&mut self) -> StoreResult<GraphCounts> {
        Ok(self.change_graph(|held, _now| Ok(delete::all(held))).await?.0)
    }
}

#[async_trait]
impl Graph for MongoStore {
    async fn create_entities(
        &self,
        user_id: UserId,
        entities: Vec<NewEntity>,
        from: Option<ConversationId>,
        limits: GraphLimits,
    ) -> StoreResult<Vec<Written>> {
        write::check_entities(&entities, &limits)?;
        self.change_graph(user_id, |held, now| write::create_entities(held, &entities, from, limits, now)).await
    }

    async fn create_relations(&self, user_id: UserId, relations: Vec<Relation>, limits: GraphLimits) -> StoreResult<RelationsWritten> {
        write::check_relations(&relations, &limits)?;
        self.change_graph(user_id, |held, now| write::create_relations(held, &relations, limits, now)).await
    }

    async fn add_observations(
        &self,
        user_id: UserId,
        observations: Vec<NewObservations>,
        from: Option<ConversationId>,
        limits: GraphLimits,
    ) -> StoreResult<Vec<Written>> {
        write::check_observations(&observations, &limits)?;
        self.change_graph(user_id, |held, now| write::add_observations(held, &observations, from, limits, now)).await
    }

    async fn delete_entities(&self, user_id: UserId, names: Vec<String>) -> StoreResult<Deleted<String>> {
        self.change_graph_of_anybody(user_id, |held, _now| delete::entities(held, &names)).await
    }

    async fn delete_observations(&self, user_id: UserId, texts: Vec<NamedObservation>) -> StoreResult<Deleted<NamedObservation>> {
        self.change_graph_of_anybody(user_id, |held, now| delete::observations(held, &texts, now)).await
    }

    async fn delete_relations(&self, user_id: UserId, relations: Vec<Relation>) -> StoreResult<Deleted<Relation>> {
        self.change_graph_of_anybody(user_id, |held, _now| delete::relations(held, &relations)).await
    }

    async fn find_fact(&self, user_id: UserId, id: ObservationId) -> StoreResult<Option<Fact>> {
        Ok(read::find_fact(&*self.graph(user_id).await?, id))
    }

    async fn delete_observation(&self, user_id: UserId, id: ObservationId) -> StoreResult<Option<Fact>> {
        self.change_graph_of_anybody(user_id, |held, now| delete::observation_by_id(held, id, now)).await
    }

    async fn delete_graph(&self, user_id: UserId) -> StoreResult<GraphCounts> {
        self.change_graph_of_anybody(user_id, |held, _now| delete::all(held)).await
    }

    async fn open_nodes(&self, user_id: UserId, names: Vec<String>, detail: Detail, bytes: usize) -> StoreResult<Opened> {
        Ok(read::open(&*self.graph(user_id).await?, names, detail, bytes))
    }

    async fn find_entities(&self, user_id: UserId, names: Vec<String>, bytes: usize) -> StoreResult<Vec<Entity>> {
        Ok(read::known(&*self.graph(user_id).await?, names, bytes))
    }

    async fn search_nodes(&self, user_id: UserId, search: GraphSearch) -> StoreResult<GraphFound> {
        look(self.graph(user_id).await?, move |held| search::find(held, &search)).await?
    }

    async fn read_graph(&self, user_id: UserId, read: GraphRead) -> StoreResult<GraphPart> {
        look(self.graph(user_id).await?, move |held| read::part(held, &read)).await?
    }

    async fn find_related(
        &self,
        user_id: UserId,
        name: String,
        depth: u32,
        limit: usize,
        bytes: usize,
    ) -> StoreResult<Result<Neighbourhood, MissingName>> {
        look(self.graph(user_id).await?, move |held| related::find(held, &name, depth, limit, bytes)).await
    }

    async fn graph_stats(&self, user_id: UserId, limit: usize) -> StoreResult<GraphStats> {
        look(self.graph(user_id).await?, move |held| read::stats(held, limit)).await
    }

    async fn recall(&self, user_id: UserId, text: String, limit: usize) -> StoreResult<Recollection> {
        look(self.graph(user_id).await?, move |held| recall::recall(held, &text, limit)).await
    }

    async fn recall_with(
        &self,
        user_id: UserId,
        text: String,
        limit: usize,
        names: Vec<String>,
        bytes: usize,
    ) -> StoreResult<(Recollection, Vec<Entity>)> {
        let held = self.graph_of_turn(user_id).await?;
        look(held, move |held| (recall::recall(held, &text, limit), read::known(held, names, bytes))).await
    }

    async fn list_facts(&self, user_id: UserId, page: PageRequest) -> StoreResult<Page<Fact>> {
        look(self.graph(user_id).await?, move |held| read::facts(held, &page)).await?
    }

    async fn import_graph(
        &self,
        user_id: UserId,
        entities: Vec<NewEntity>,
        relations: Vec<Relation>,
        limits: GraphLimits,
    ) -> StoreResult<Imported> {
        write::check_import(&entities, &relations, &limits)?;
        self.change_graph(user_id, |held, now| write::import(held, &entities, &relations, limits, now)).await
    }
}
