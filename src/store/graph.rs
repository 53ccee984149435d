//! Knowledge graphs.

use std::fmt;

use async_trait::async_trait;

use super::{Page, PageRequest, StoreResult};
use crate::domain::graph::{Detail, Entity, Fact, GraphCounts, GraphLimits, NewEntity, NewObservations, ObservationId, Relation};
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::time::Timestamp;

/// What was done to one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The entity's name.
    pub name: String,
    /// Its type.
    pub entity_type: String,
    /// What was added to it, in order.
    pub added: Vec<String>,
    /// It was not there before.
    pub created: bool,
}

/// A relation that was not made, because an end of it is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DanglingRelation {
    /// The relation.
    pub relation: Relation,
    /// The names that are no entity's.
    pub missing: Vec<MissingName>,
}

/// A name that is no entity's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingName {
    /// The name.
    pub name: String,
    /// Entities' names that look like it, the closest first. Of many missing names the first few only have them.
    pub close: Vec<String>,
}

impl fmt::Display for MissingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no entity {:?}", self.name)?;
        let close: Vec<String> = self.close.iter().map(|name| format!("{name:?}")).collect();
        if close.is_empty() { Ok(()) } else { write!(f, " (close: {})", close.join(", ")) }
    }
}

/// What became of relations to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelationsWritten {
    /// Those that are new.
    pub created: Vec<Relation>,
    /// Those that were not made.
    pub refused: Vec<DanglingRelation>,
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted<T> {
    /// How many there were.
    pub deleted: i64,
    /// What was not there.
    pub not_found: Vec<T>,
}

/// An observation of an entity by its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedObservation {
    /// The entity's name.
    pub entity: String,
    /// The text.
    pub text: String,
}

/// Entities, and relations that begin or end at one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subgraph {
    /// The entities.
    pub entities: Vec<Entity>,
    /// Relations with at least one end among them, in the order in which they were made.
    pub relations: Vec<Relation>,
    /// Further such relations, which were left out.
    pub relations_left: i64,
}

/// Entities by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// Those that are there, in the order in which they were made.
    pub found: Subgraph,
    /// The others.
    pub missing: Vec<MissingName>,
}

/// A search for a text.
#[derive(Debug, Clone)]
pub struct GraphSearch {
    /// The text.
    pub query: String,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Entities at most, from 1.
    pub limit: usize,
    /// Bytes of JSON at most, about; one entity is given always, with its newest observations that fit.
    pub bytes: usize,
    /// How much of each entity.
    pub detail: Detail,
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GraphFound {
    /// The best first.
    pub found: Subgraph,
    /// Where to go on.
    pub next: Option<String>,
    /// Entities found, on this page, those before and those after.
    pub hits: i64,
}

/// A part of the whole graph.
#[derive(Debug, Clone)]
pub struct GraphRead {
    /// Where the part before ended.
    pub cursor: Option<String>,
    /// Entities and relations at most, together, from 1.
    pub limit: usize,
    /// Bytes of JSON at most, about.
    pub bytes: usize,
    /// How much of each entity.
    pub detail: Detail,
    /// Whether the first item of a part is given whatever it takes, so that the parts make up the whole. Else an entity that is larger
    /// than a part is cut to it, its newest observations first.
    pub whole: bool,
}

impl GraphRead {
    /// Bytes for an entity where that many are left.
    pub(super) const fn room(&self, is_first: bool, left: usize) -> usize {
        if is_first && self.whole { usize::MAX } else { left }
    }
}

/// A part of the whole graph: entities first, in the order in which they were made, then relations likewise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GraphPart {
    /// Entities.
    pub entities: Vec<Entity>,
    /// Relations.
    pub relations: Vec<Relation>,
    /// Where to go on.
    pub next: Option<String>,
    /// What comes behind this part; its observations are not counted.
    pub left: GraphCounts,
}

/// What lies around an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbourhood {
    /// Entities with their distance, the nearest first; the first is the one asked for.
    pub entities: Vec<(Entity, u32)>,
    /// Relations among them.
    pub relations: Vec<Relation>,
    /// There are more within that distance.
    pub more: bool,
}

/// An overview of a graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GraphStats {
    /// How much there is.
    pub counts: GraphCounts,
    /// Types with how many entities have them, the most first.
    pub types: Vec<(String, i64)>,
    /// Entities with how many relations they have, the most first.
    pub most_connected: Vec<(String, i64)>,
    /// The newest entities with when they were made.
    pub newest: Vec<(String, Timestamp)>,
}

/// What a graph knows that has to do with a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recollection {
    /// Facts, the best first.
    pub facts: Vec<Fact>,
    /// Relations of the entities that the text names.
    pub relations: Vec<Relation>,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Entities that were made.
    pub entities: i64,
    /// Entities that were there and got more observations or another type.
    pub changed: i64,
    /// Observations that were added.
    pub observations: i64,
    /// Relations that were made.
    pub relations: i64,
    /// Relations that were left out, because an end of theirs is nowhere.
    pub dangling: Vec<Relation>,
}

impl Imported {
    /// Counts what was done to an entity.
    pub(in crate::store) fn count(&mut self, written: &Written) {
        self.entities += i64::from(written.created);
        self.changed += i64::from(!written.created);
        self.observations += i64::try_from(written.added.len()).unwrap_or(i64::MAX);
    }
}

/// What each person's graph holds.
///
/// Names and observations are brought into composed form here. Whatever breaks a limit, or names an entity that has to be there
/// and is not, is [`super::StoreError::Conflict`] with words for whoever asked: then nothing of the call was written. A person who
/// has no graph has an empty one.
#[async_trait]
pub trait Graph {
    /// Makes entities. One that is there is merged: it takes the type, unless that is empty, and the observations that it lacks.
    /// Returns those that were made or changed.
    ///
    /// # Errors
    /// [`super::StoreError::Conflict`]; [`super::StoreError::NotFound`] without that person; [`super::StoreError::Unavailable`].
    async fn create_entities(
        &self,
        user_id: UserId,
        entities: Vec<NewEntity>,
        from: Option<ConversationId>,
        limits: GraphLimits,
    ) -> StoreResult<Vec<Written>>;

    /// Makes relations whose ends are there. One that is there stays as it is.
    ///
    /// # Errors
    /// As for [`Graph::create_entities`].
    async fn create_relations(&self, user_id: UserId, relations: Vec<Relation>, limits: GraphLimits) -> StoreResult<RelationsWritten>;

    /// Adds observations, each that is not there yet. Returns an entry for each of `observations`.
    ///
    /// # Errors
    /// As for [`Graph::create_entities`]; [`super::StoreError::Conflict`] also for an entity that is missing and has no type given.
    async fn add_observations(
        &self,
        user_id: UserId,
        observations: Vec<NewObservations>,
        from: Option<ConversationId>,
        limits: GraphLimits,
    ) -> StoreResult<Vec<Written>>;

    /// Deletes entities with their observations and relations.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn delete_entities(&self, user_id: UserId, names: Vec<String>) -> StoreResult<Deleted<String>>;

    /// Deletes observations by their texts.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn delete_observations(&self, user_id: UserId, texts: Vec<NamedObservation>) -> StoreResult<Deleted<NamedObservation>>;

    /// Deletes relations.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn delete_relations(&self, user_id: UserId, relations: Vec<Relation>) -> StoreResult<Deleted<Relation>>;

    /// One observation by its number.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn find_fact(&self, user_id: UserId, id: ObservationId) -> StoreResult<Option<Fact>>;

    /// Deletes one observation by its number. Returns what it said, or `None` when there is none.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn delete_observation(&self, user_id: UserId, id: ObservationId) -> StoreResult<Option<Fact>>;

    /// Deletes all of it. Returns how much it was. From then on it is empty, however large it was; what a large one leaves in the files is
    /// erased by [`super::Upkeep::erase_left_over`].
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn delete_graph(&self, user_id: UserId) -> StoreResult<GraphCounts>;

    /// Entities by name, with their relations: about `bytes` of JSON at most. Where there is no room for all observations, the
    /// newest are given; relations have the room that entities leave.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn open_nodes(&self, user_id: UserId, names: Vec<String>, detail: Detail, bytes: usize) -> StoreResult<Opened>;

    /// Those of some names that are entities', as [`Graph::open_nodes`] gives them, without relations and without a word about the
    /// other names.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn find_entities(&self, user_id: UserId, names: Vec<String>, bytes: usize) -> StoreResult<Vec<Entity>>;

    /// Entities whose name, type or an observation contains the query, or that contain each of its words somewhere; case and
    /// accents do not count. In this order: the name itself, names that begin with it, names, types, observations that contain it,
    /// then those that have its words; each the newest first.
    ///
    /// # Errors
    /// [`super::StoreError::InvalidCursor`]; [`super::StoreError::Unavailable`].
    async fn search_nodes(&self, user_id: UserId, search: GraphSearch) -> StoreResult<GraphFound>;

    /// The graph, part by part.
    ///
    /// # Errors
    /// [`super::StoreError::InvalidCursor`]; [`super::StoreError::Unavailable`].
    async fn read_graph(&self, user_id: UserId, read: GraphRead) -> StoreResult<GraphPart>;

    /// What lies around an entity, at most `depth` relations away; at most `limit` entities, of about `bytes` of JSON: the newest
    /// observations of each, where there is no room for all. `Err` inside when it is not there.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn find_related(
        &self,
        user_id: UserId,
        name: String,
        depth: u32,
        limit: usize,
        bytes: usize,
    ) -> StoreResult<Result<Neighbourhood, MissingName>>;

    /// An overview; each of its lists has at most `limit` entries.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn graph_stats(&self, user_id: UserId, limit: usize) -> StoreResult<GraphStats>;

    /// What has to do with a text, at most `limit` facts and as many relations.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn recall(&self, user_id: UserId, text: String, limit: usize) -> StoreResult<Recollection>;

    /// [`Graph::recall`], and with it [`Graph::find_entities`] of the graph at the same moment: every turn asks for both.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn recall_with(
        &self,
        user_id: UserId,
        text: String,
        limit: usize,
        names: Vec<String>,
        bytes: usize,
    ) -> StoreResult<(Recollection, Vec<Entity>)>;

    /// All observations, the newest first.
    ///
    /// # Errors
    /// [`super::StoreError::InvalidCursor`]; [`super::StoreError::Unavailable`].
    async fn list_facts(&self, user_id: UserId, page: PageRequest) -> StoreResult<Page<Fact>>;

    /// Merges a whole graph, all or nothing. A repeat changes nothing. [`GraphLimits::items`] does not hold for it.
    ///
    /// # Errors
    /// As for [`Graph::create_entities`].
    async fn import_graph(
        &self,
        user_id: UserId,
        entities: Vec<NewEntity>,
        relations: Vec<Relation>,
        limits: GraphLimits,
    ) -> StoreResult<Imported>;
}
