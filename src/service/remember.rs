//! What a person has us remember: the knowledge graph, within the limits of the settings.
//!
//! Tools, commands and texts all come through here. Every change is one call of the store, so it happens whole or not at all.

use crate::config::sections;
use crate::domain::graph::{Detail, Fact, GraphCounts, GraphLimits, GraphRefusal, NewEntity, NewObservations, ObservationId, Relation};
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::text::beginning;
use crate::store::{
    Deleted, GraphFound, GraphPart, GraphRead, GraphSearch, GraphStats, Imported, MissingName, NamedObservation, Neighbourhood, Opened,
    Page, PageRequest, Recollection, RelationsWritten, SharedStore, StoreError, StoreResult, Written,
};

/// Characters of a query that count.
const QUERY_CHARACTERS: usize = 4_000;

/// People's memory.
#[derive(Clone)]
pub struct Memory {
    store: SharedStore,
    limits: GraphLimits,
    answer_bytes: usize,
}

impl Memory {
    /// Over this store, with these settings.
    #[must_use]
    pub fn new(store: SharedStore, settings: &sections::Memory) -> Self {
        Self { store, limits: settings.limits(), answer_bytes: settings.answer_bytes }
    }

    /// Bytes of JSON that an answer has at most, about, unless its caller asks for more or less.
    #[must_use]
    pub const fn answer_bytes(&self) -> usize {
        self.answer_bytes
    }

    /// Makes entities, or merges them into those that are there. Returns those that were made or changed.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] in words for whoever asked, and nothing was written; [`StoreError::Unavailable`].
    pub async fn create_entities(
        &self,
        user_id: UserId,
        entities: Vec<NewEntity>,
        from: Option<ConversationId>,
    ) -> StoreResult<Vec<Written>> {
        self.store.create_entities(user_id, entities, from, self.limits).await
    }

    /// Makes relations among entities that are there.
    ///
    /// # Errors
    /// As for [`Memory::create_entities`].
    pub async fn create_relations(&self, user_id: UserId, relations: Vec<Relation>) -> StoreResult<RelationsWritten> {
        self.store.create_relations(user_id, relations, self.limits).await
    }

    /// Adds what is not known yet to entities that are there, or that are made with the type given.
    ///
    /// # Errors
    /// As for [`Memory::create_entities`].
    pub async fn add_observations(
        &self,
        user_id: UserId,
        observations: Vec<NewObservations>,
        from: Option<ConversationId>,
    ) -> StoreResult<Vec<Written>> {
        self.store.add_observations(user_id, observations, from, self.limits).await
    }

    /// Deletes entities with what belongs to them.
    ///
    /// # Errors
    /// As for [`Memory::create_entities`].
    pub async fn delete_entities(&self, user_id: UserId, names: Vec<String>) -> StoreResult<Deleted<String>> {
        self.few("names", names.len())?;
        self.store.delete_entities(user_id, names).await
    }

    /// Deletes observations by their texts.
    ///
    /// # Errors
    /// As for [`Memory::create_entities`].
    pub async fn delete_observations(&self, user_id: UserId, texts: Vec<NamedObservation>) -> StoreResult<Deleted<NamedObservation>> {
        self.few("observations", texts.len())?;
        self.store.delete_observations(user_id, texts).await
    }

    /// Deletes relations.
    ///
    /// # Errors
    /// As for [`Memory::create_entities`].
    pub async fn delete_relations(&self, user_id: UserId, relations: Vec<Relation>) -> StoreResult<Deleted<Relation>> {
        self.few("relations", relations.len())?;
        self.store.delete_relations(user_id, relations).await
    }

    /// Entities by their names, with their relations, within [`Memory::answer_bytes`].
    ///
    /// # Errors
    /// As for [`Memory::create_entities`].
    pub async fn open(&self, user_id: UserId, names: Vec<String>, detail: Detail) -> StoreResult<Opened> {
        self.few("names", names.len())?;
        self.store.open_nodes(user_id, names, detail, self.answer_bytes).await
    }

    /// A page of what a query finds, the best first.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`]; [`StoreError::Unavailable`].
    pub async fn search(&self, user_id: UserId, mut search: GraphSearch) -> StoreResult<GraphFound> {
        // No observation is longer than its limit, so what is longer can only be found by its words.
        let end = beginning(&search.query, self.limits.observation_characters.max(QUERY_CHARACTERS)).len();
        search.query.truncate(end);
        self.store.search_nodes(user_id, search).await
    }

    /// A part of the whole graph.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`]; [`StoreError::Unavailable`].
    pub async fn read(&self, user_id: UserId, read: GraphRead) -> StoreResult<GraphPart> {
        self.store.read_graph(user_id, read).await
    }

    /// What lies around an entity, within [`Memory::answer_bytes`]. `Err` inside when it is not there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn related(
        &self,
        user_id: UserId,
        name: String,
        depth: u32,
        limit: usize,
    ) -> StoreResult<Result<Neighbourhood, MissingName>> {
        self.store.find_related(user_id, name, depth, limit, self.answer_bytes).await
    }

    /// An overview; each of its lists has at most `limit` entries.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn stats(&self, user_id: UserId, limit: usize) -> StoreResult<GraphStats> {
        self.store.graph_stats(user_id, limit).await
    }

    /// What is known that has to do with a text, the best first: at most `limit` facts and as many relations.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn recall(&self, user_id: UserId, text: &str, limit: usize) -> StoreResult<Recollection> {
        self.store.recall(user_id, text.to_owned(), limit).await
    }

    /// Everything known, the newest first. [`Fact::observation`] has the number by which [`Memory::forget`] takes it.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`]; [`StoreError::Unavailable`].
    pub async fn facts(&self, user_id: UserId, page: PageRequest) -> StoreResult<Page<Fact>> {
        self.store.list_facts(user_id, page).await
    }

    /// Forgets one observation. Returns what it was, or `None` when there is none of that number.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn forget(&self, user_id: UserId, id: ObservationId) -> StoreResult<Option<Fact>> {
        self.store.delete_observation(user_id, id).await
    }

    /// Forgets everything. Returns how much it was.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn forget_all(&self, user_id: UserId) -> StoreResult<GraphCounts> {
        self.store.delete_graph(user_id).await
    }

    /// Merges a whole graph, all or nothing; a repeat changes nothing. Others' writes wait meanwhile: some seconds for 50,000
    /// entities.
    ///
    /// # Errors
    /// As for [`Memory::create_entities`].
    pub async fn import(&self, user_id: UserId, entities: Vec<NewEntity>, relations: Vec<Relation>) -> StoreResult<Imported> {
        self.store.import_graph(user_id, entities, relations, self.limits).await
    }

    /// Whether an entity may be stored, so that a file can be checked line by line before it is imported.
    ///
    /// # Errors
    /// What a limit forbids.
    pub fn check_entity(&self, entity: &NewEntity) -> Result<(), GraphRefusal> {
        self.limits.entity(entity)
    }

    /// Whether a relation may be stored.
    ///
    /// # Errors
    /// What a limit forbids.
    pub fn check_relation(&self, relation: &Relation) -> Result<(), GraphRefusal> {
        self.limits.relation(relation)
    }

    fn few(&self, what: &'static str, has: usize) -> StoreResult<()> {
        self.limits.count(what, has).map_err(|refusal| StoreError::Conflict { reason: refusal.to_string() })
    }
}
