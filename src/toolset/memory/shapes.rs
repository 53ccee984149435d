//! Arguments and results of the memory tools, in the shapes of the MCP project's own memory server. Field comments are what a
//! model reads. What that server does not have is left out where there is nothing to say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plain::{PlainEntity, RelationShape};
use crate::domain::graph::{Detail, Entity, NewEntity, NewObservations, Observation, Relation};
use crate::domain::time::Timestamp;
use crate::store::{MissingName, Written};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EntityArgument {
    /// Unique name; the key
    name: String,
    /// Such as person, place, project
    #[schemars(extend("aliases" = ["type", "kind"]))]
    entity_type: String,
    /// Facts, one short sentence each
    #[serde(default)]
    #[schemars(extend("aliases" = ["contents", "facts"]))]
    observations: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct CreateEntities {
    pub(super) entities: Vec<EntityArgument>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RelationArgument {
    /// Entity where it begins
    #[schemars(extend("aliases" = ["source", "fromEntity"]))]
    from: String,
    /// Entity where it ends
    #[schemars(extend("aliases" = ["target", "toEntity"]))]
    to: String,
    /// In active voice: works at, likes
    #[schemars(extend("aliases" = ["type", "relation"]))]
    relation_type: String,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Relations {
    pub(super) relations: Vec<RelationArgument>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObservationsArgument {
    #[schemars(extend("aliases" = ["name", "entity"]))]
    entity_name: String,
    #[schemars(extend("aliases" = ["observations", "facts"]))]
    contents: Vec<String>,
    /// Makes a missing entity with this type
    entity_type: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct AddObservations {
    pub(super) observations: Vec<ObservationsArgument>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeleteEntities {
    #[schemars(extend("aliases" = ["names", "entities"]))]
    pub(super) entity_names: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeletionArgument {
    #[schemars(extend("aliases" = ["name", "entity"]))]
    pub(super) entity_name: String,
    /// Their exact texts
    #[schemars(extend("aliases" = ["contents", "facts"]))]
    pub(super) observations: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct DeleteObservations {
    pub(super) deletions: Vec<DeletionArgument>,
}

/// How much of each entity.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum DetailWord {
    Names,
    Summary,
    Full,
}

/// As the domain says it; without the word it is the plain shape.
pub(super) fn detail(word: Option<DetailWord>) -> Detail {
    match word {
        None => Detail::Plain,
        Some(DetailWord::Names) => Detail::Names,
        Some(DetailWord::Summary) => Detail::Summary,
        Some(DetailWord::Full) => Detail::Full,
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReadGraph {
    /// nextCursor of the answer before
    pub(super) cursor: Option<String>,
    #[schemars(range(min = 1, max = 10_000), extend("aliases" = ["per_page", "page_size", "count"]))]
    pub(super) limit: Option<usize>,
    /// Default: 65536
    #[schemars(range(min = 1_000, max = 4_000_000))]
    pub(super) max_bytes: Option<usize>,
    /// names; summary: and 3 newest observations; full: and when and from which conversation
    pub(super) detail: Option<DetailWord>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SearchNodes {
    /// Text in a name, type or observation; or words that all have to be
    #[schemars(extend("aliases" = ["q", "text", "search", "keywords"]))]
    pub(super) query: String,
    /// Entities at most
    #[schemars(range(min = 1, max = 1_000), extend("aliases" = ["per_page", "page_size", "count", "max_results", "top_k"]))]
    pub(super) limit: Option<usize>,
    /// nextCursor of the answer before
    pub(super) cursor: Option<String>,
    #[schemars(range(min = 1_000, max = 4_000_000))]
    pub(super) max_bytes: Option<usize>,
    pub(super) detail: Option<DetailWord>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct OpenNodes {
    /// Exact names
    #[schemars(extend("aliases" = ["entityNames", "entities", "nodes"]))]
    pub(super) names: Vec<String>,
    pub(super) detail: Option<DetailWord>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct FindRelated {
    #[schemars(extend("aliases" = ["entityName", "entity"]))]
    pub(super) name: String,
    /// Relations away at most. Default: 1
    #[schemars(range(min = 1, max = 5))]
    pub(super) depth: Option<u32>,
    /// Entities at most. Default: 50
    #[schemars(range(min = 1, max = 500), extend("aliases" = ["count", "max_results"]))]
    pub(super) limit: Option<usize>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct NoArguments {}

/// An entity in its plain shape.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EntityWritten {
    #[serde(flatten)]
    entity: PlainEntity,
    #[serde(skip_serializing_if = "is_false")]
    merged: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct EntitiesWritten {
    pub(super) entities: Vec<EntityWritten>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct RelationsAnswer {
    pub(super) relations: Vec<RelationShape>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) refused: Vec<RefusedRelation>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct RefusedRelation {
    #[serde(flatten)]
    pub(super) relation: RelationShape,
    pub(super) reason: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Added {
    entity_name: String,
    #[serde(rename = "addedObservations")]
    observations: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    created: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct AddedAnswer {
    pub(super) results: Vec<Added>,
}

/// Observations that were not there.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotFound {
    pub(super) entity_name: String,
    pub(super) observations: Vec<String>,
}

/// What was deleted, with `T` for what was not there.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeletedAnswer<T> {
    pub(super) success: bool,
    pub(super) message: String,
    pub(super) deleted: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) not_found: Vec<T>,
}

// An entity as it is stored. (What stands as `///` here a model reads with each answer.)
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EntityShape {
    #[serde(flatten)]
    entity: PlainEntity,
    #[serde(skip_serializing_if = "Option::is_none")]
    observation_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    distance: Option<u32>,
}

// When an observation was stored, and from which conversation.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Source {
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<String>,
}

// A relation of what was found.
#[derive(Serialize, JsonSchema)]
pub(super) struct RelationFound {
    #[serde(flatten)]
    relation: RelationShape,
    /// The end that is not among the entities
    #[serde(skip_serializing_if = "Option::is_none")]
    neighbour: Option<String>,
}

/// Entities and relations.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct GraphAnswer {
    pub(super) entities: Vec<EntityShape>,
    pub(super) relations: Vec<RelationFound>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) missing: Vec<Missing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
    /// What was left out, and how to get it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) truncated: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Missing {
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    close: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatsAnswer {
    pub(super) entities: i64,
    pub(super) observations: i64,
    pub(super) relations: i64,
    pub(super) types: Vec<TypeCount>,
    pub(super) most_connected: Vec<Connected>,
    pub(super) newest: Vec<Newest>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TypeCount {
    pub(super) entity_type: String,
    pub(super) count: i64,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Connected {
    pub(super) name: String,
    pub(super) relations: i64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Newest {
    pub(super) name: String,
    pub(super) created_at: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_false(yes: &bool) -> bool {
    !*yes
}

impl From<EntityArgument> for NewEntity {
    fn from(entity: EntityArgument) -> Self {
        Self { name: entity.name, entity_type: entity.entity_type, observations: entity.observations }
    }
}

impl From<ObservationsArgument> for NewObservations {
    fn from(new: ObservationsArgument) -> Self {
        Self { entity: new.entity_name, entity_type: new.entity_type, contents: new.contents }
    }
}

impl From<RelationArgument> for Relation {
    fn from(relation: RelationArgument) -> Self {
        Self { from: relation.from, to: relation.to, relation_type: relation.relation_type }
    }
}

impl From<Written> for EntityWritten {
    fn from(written: Written) -> Self {
        let entity = PlainEntity { name: written.name, entity_type: written.entity_type, observations: written.added };
        Self { entity, merged: !written.created }
    }
}

impl From<Written> for Added {
    fn from(written: Written) -> Self {
        Self { entity_name: written.name, observations: written.added, created: written.created }
    }
}

impl From<MissingName> for Missing {
    fn from(missing: MissingName) -> Self {
        Self { name: missing.name, close: missing.close }
    }
}

impl RelationFound {
    /// A relation, marked where only one of its ends is among the entities.
    pub(super) fn new(relation: Relation, is_there: impl Fn(&str) -> bool) -> Self {
        let outside = [&relation.from, &relation.to].into_iter().find(|name| !is_there(name));
        Self { neighbour: outside.cloned(), relation: relation.into() }
    }

    /// A relation whose ends are both known, or come with another part.
    pub(super) fn plain(relation: Relation) -> Self {
        Self { neighbour: None, relation: relation.into() }
    }
}

impl EntityShape {
    /// An entity with as much as is wanted.
    pub(super) fn new(entity: Entity, detail: Detail) -> Self {
        let counted = matches!(detail, Detail::Names | Detail::Summary) || entity.is_cut(detail);
        let full = detail == Detail::Full;
        let time = |moment: Timestamp| full.then(|| moment.to_string());
        let sources = if full { entity.observations.iter().map(Source::from).collect() } else { Vec::new() };
        Self {
            observation_count: counted.then_some(entity.observation_count),
            created_at: time(entity.created_at),
            updated_at: time(entity.updated_at),
            sources,
            distance: None,
            entity: entity.into(),
        }
    }

    /// The same with its distance from the one asked for.
    pub(super) fn at(self, distance: u32) -> Self {
        Self { distance: Some(distance), ..self }
    }
}

impl From<&Observation> for Source {
    fn from(observation: &Observation) -> Self {
        let conversation_id = observation.conversation_id.map(|id| id.to_string());
        Self { at: observation.created_at.to_string(), conversation_id }
    }
}
