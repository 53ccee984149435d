//! The memory tools: the nine of the MCP project's own memory server, with its names, arguments and results, so that whatever
//! works with that server works with these, and two more.
//!
//! Results only ever have more fields than there. How a call differs where that server is at fault is told in `docs/memory.md`.

pub(crate) mod plain;
mod shapes;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use self::plain::RelationShape;
use self::shapes::{
    AddObservations, AddedAnswer, Connected, CreateEntities, DeleteEntities, DeleteObservations, DeletedAnswer, DeletionArgument,
    EntitiesWritten, EntityShape, FindRelated, GraphAnswer, Newest, NoArguments, NotFound, OpenNodes, ReadGraph, RefusedRelation,
    RelationFound, Relations, RelationsAnswer, SearchNodes, StatsAnswer, TypeCount, detail,
};
use super::answers::{result, sentence, unreachable};
use super::arguments::{ToolList, tool};
use crate::domain::graph::Detail;
use crate::domain::ids::UserId;
use crate::service::remember::Memory;
use crate::service::tools::{JsonObject, ResourceDefinition, ToolContext, ToolDefinition, ToolHints, ToolOutcome, ToolSet};
use crate::store::{DanglingRelation, Deleted, GraphPart, GraphRead, GraphSearch, NamedObservation, StoreError, StoreResult, Subgraph};

/// Entities that `find_related` gives unless asked for more or fewer.
const RELATED: usize = 50;
/// Entries of each list of `memory_stats`.
const STATS: usize = 10;

/// What is said where an entity has more observations than there is room for.
const CUT: &str = "of entities with an observationCount only the newest observations are told; search_nodes for the name with a \
                   higher maxBytes has more.";

/// The resource of the whole graph, its name with the MCP project's server, and the beginning of an entity's.
const GRAPH: &str = "memory://graph";
const GRAPH_THERE: &str = "memory://knowledge-graph";
const ENTITY: &str = "memory://entity/";

/// The memory tools.
pub struct MemoryTools {
    memory: Memory,
    tools: ToolList,
}

impl MemoryTools {
    /// Over this service.
    #[must_use]
    pub fn new(memory: Memory) -> Self {
        let tools = vec![
            tool::<CreateEntities, EntitiesWritten>(
                "create_entities",
                "Create Entities",
                "Remember people, places, things. A name that exists is merged: its type is updated, new observations are added. \
                 Returns what was created or changed.",
                ToolHints::ADD,
            ),
            tool::<Relations, RelationsAnswer>(
                "create_relations",
                "Create Relations",
                "Relate entities that exist, in active voice. Returns new relations; those with a missing end are refused.",
                ToolHints::ADD,
            ),
            tool::<AddObservations, AddedAnswer>(
                "add_observations",
                "Add Observations",
                "Add facts to entities. Returns what was new. All or nothing: a missing entity is an error unless entityType is given.",
                ToolHints::ADD,
            ),
            tool::<DeleteEntities, DeletedAnswer<String>>(
                "delete_entities",
                "Delete Entities",
                "Forget entities with their observations and relations, for good.",
                ToolHints::CHANGE,
            ),
            tool::<DeleteObservations, DeletedAnswer<NotFound>>(
                "delete_observations",
                "Delete Observations",
                "Forget single observations, for good.",
                ToolHints::CHANGE,
            ),
            tool::<Relations, DeletedAnswer<RelationShape>>(
                "delete_relations",
                "Delete Relations",
                "Forget relations, for good.",
                ToolHints::CHANGE,
            ),
            tool::<ReadGraph, GraphAnswer>(
                "read_graph",
                "Read Graph",
                "The whole memory, in parts when it is large. To find something use search_nodes.",
                ToolHints::READ,
            ),
            tool::<SearchNodes, GraphAnswer>(
                "search_nodes",
                "Search Nodes",
                "Find entities by a text in name, type or observations, the best first, with their relations.",
                ToolHints::READ,
            ),
            tool::<OpenNodes, GraphAnswer>(
                "open_nodes",
                "Open Nodes",
                "Get entities by exact name, with their relations. Unknown names come back with close ones.",
                ToolHints::READ,
            ),
            tool::<FindRelated, GraphAnswer>(
                "find_related",
                "Find Related",
                "What lies around an entity: those it is related to, and theirs, the nearest first.",
                ToolHints::READ,
            ),
            tool::<NoArguments, StatsAnswer>(
                "memory_stats",
                "Memory Stats",
                "Counts, types, the most connected and the newest entities.",
                ToolHints::READ,
            ),
        ];
        Self { memory, tools: ToolList::new(tools) }
    }

    /// The outcome, where what went wrong is an outcome too.
    async fn outcome(&self, context: &ToolContext, name: &str, arguments: JsonObject) -> Result<ToolOutcome, ToolOutcome> {
        let user = context.user_id;
        match name {
            "create_entities" => {
                let CreateEntities { entities } = self.tools.read(name, arguments)?;
                let entities = entities.into_iter().map(Into::into).collect();
                let written = self.memory.create_entities(user, entities, context.conversation_id).await.map_err(failed)?;
                result(&EntitiesWritten { entities: written.into_iter().map(Into::into).collect() })
            }
            "create_relations" => self.create_relations(user, self.tools.read(name, arguments)?).await,
            "add_observations" => {
                let AddObservations { observations } = self.tools.read(name, arguments)?;
                let observations = observations.into_iter().map(Into::into).collect();
                let written = self.memory.add_observations(user, observations, context.conversation_id).await.map_err(failed)?;
                result(&AddedAnswer { results: written.into_iter().map(Into::into).collect() })
            }
            "delete_entities" => {
                let DeleteEntities { entity_names } = self.tools.read(name, arguments)?;
                let gone = self.memory.delete_entities(user, entity_names).await.map_err(failed)?;
                result(&deleted("Entities", gone, |names| names))
            }
            "delete_observations" => self.delete_observations(user, self.tools.read(name, arguments)?).await,
            "delete_relations" => {
                let Relations { relations } = self.tools.read(name, arguments)?;
                let relations = relations.into_iter().map(Into::into).collect();
                let gone = self.memory.delete_relations(user, relations).await.map_err(failed)?;
                result(&deleted("Relations", gone, |relations| relations.into_iter().map(RelationShape::from).collect()))
            }
            "read_graph" => result(&self.read_graph(user, self.tools.read(name, arguments)?).await.map_err(failed)?),
            "search_nodes" => self.search_nodes(user, self.tools.read(name, arguments)?).await,
            "open_nodes" => {
                let OpenNodes { names, detail: word } = self.tools.read(name, arguments)?;
                result(&self.open(user, names, detail(word)).await.map_err(failed)?)
            }
            "find_related" => self.find_related(user, self.tools.read(name, arguments)?).await,
            "memory_stats" => {
                let NoArguments {} = self.tools.read(name, arguments)?;
                self.stats(user).await
            }
            _other => Err(self.tools.unknown(name)),
        }
    }

    async fn create_relations(&self, user: UserId, arguments: Relations) -> Result<ToolOutcome, ToolOutcome> {
        let relations = arguments.relations.into_iter().map(Into::into).collect();
        let written = self.memory.create_relations(user, relations).await.map_err(failed)?;
        let refused = |dangling: DanglingRelation| {
            let missing: Vec<String> = dangling.missing.iter().map(ToString::to_string).collect();
            RefusedRelation { reason: format!("{}; create it first", missing.join("; ")), relation: dangling.relation.into() }
        };
        result(&RelationsAnswer {
            relations: written.created.into_iter().map(Into::into).collect(),
            refused: written.refused.into_iter().map(refused).collect(),
        })
    }

    async fn delete_observations(&self, user: UserId, arguments: DeleteObservations) -> Result<ToolOutcome, ToolOutcome> {
        let texts = arguments.deletions.into_iter().flat_map(|deletion| {
            let DeletionArgument { entity_name, observations } = deletion;
            observations.into_iter().map(move |text| NamedObservation { entity: entity_name.clone(), text })
        });
        let gone = self.memory.delete_observations(user, texts.collect()).await.map_err(failed)?;
        result(&deleted("Observations", gone, by_entity))
    }

    async fn read_graph(&self, user: UserId, arguments: ReadGraph) -> StoreResult<GraphAnswer> {
        let detail = detail(arguments.detail);
        let read = GraphRead {
            cursor: arguments.cursor.filter(|cursor| !cursor.is_empty()),
            limit: arguments.limit.unwrap_or(usize::MAX),
            bytes: arguments.max_bytes.unwrap_or(self.memory.answer_bytes()),
            detail,
            whole: false,
        };
        let GraphPart { entities, relations, next, left } = self.memory.read(user, read).await?;
        let truncated = next.is_some().then(|| {
            format!(
                "left out: {} entities, {} relations. The next part: read_graph with cursor = nextCursor. Instead: search_nodes for a \
                 text, open_nodes for names, detail names for an overview, maxBytes for larger parts.",
                left.entities, left.relations
            )
        });
        Ok(GraphAnswer {
            entities: entities.into_iter().map(|entity| EntityShape::new(entity, detail)).collect(),
            relations: relations.into_iter().map(RelationFound::plain).collect(),
            missing: Vec::new(),
            next_cursor: next,
            truncated,
        })
    }

    async fn search_nodes(&self, user: UserId, arguments: SearchNodes) -> Result<ToolOutcome, ToolOutcome> {
        let detail = detail(arguments.detail);
        let search = GraphSearch {
            query: arguments.query,
            cursor: arguments.cursor.filter(|cursor| !cursor.is_empty()),
            limit: arguments.limit.unwrap_or(usize::MAX),
            bytes: arguments.max_bytes.unwrap_or(self.memory.answer_bytes()),
            detail,
        };
        let found = self.memory.search(user, search).await.map_err(failed)?;
        let told = found.found.entities.len();
        let mut answer = answer(found.found, detail);
        if found.next.is_some() {
            let more = format!("{told} of {} entities found are told. More: search_nodes with cursor = nextCursor.", found.hits);
            answer.truncated = Some(join(more, answer.truncated.take()));
        }
        answer.next_cursor = found.next;
        result(&answer)
    }

    async fn open(&self, user: UserId, names: Vec<String>, detail: Detail) -> StoreResult<GraphAnswer> {
        let opened = self.memory.open(user, names, detail).await?;
        let missing = opened.missing.into_iter().map(Into::into).collect();
        Ok(GraphAnswer { missing, ..answer(opened.found, detail) })
    }

    async fn find_related(&self, user: UserId, arguments: FindRelated) -> Result<ToolOutcome, ToolOutcome> {
        let (depth, limit) = (arguments.depth.unwrap_or(1), arguments.limit.unwrap_or(RELATED));
        let found = self.memory.related(user, arguments.name, depth, limit).await.map_err(failed)?;
        let found = found.map_err(|missing| ToolOutcome::error(sentence(&missing.to_string())))?;
        let plain = Detail::Plain;
        let mut truncated = found.entities.iter().any(|(entity, _)| entity.is_cut(plain)).then(|| CUT.to_owned());
        if found.more {
            truncated = Some(join("there are more entities within that depth; ask with a higher limit.".to_owned(), truncated));
        }
        let entities = found.entities.into_iter().map(|(entity, distance)| EntityShape::new(entity, plain).at(distance)).collect();
        let relations = found.relations.into_iter().map(RelationFound::plain).collect();
        result(&GraphAnswer { entities, relations, missing: Vec::new(), next_cursor: None, truncated })
    }

    async fn stats(&self, user: UserId) -> Result<ToolOutcome, ToolOutcome> {
        let stats = self.memory.stats(user, STATS).await.map_err(failed)?;
        result(&StatsAnswer {
            entities: stats.counts.entities,
            observations: stats.counts.observations,
            relations: stats.counts.relations,
            types: stats.types.into_iter().map(|(entity_type, count)| TypeCount { entity_type, count }).collect(),
            most_connected: stats.most_connected.into_iter().map(|(name, relations)| Connected { name, relations }).collect(),
            newest: stats.newest.into_iter().map(|(name, at)| Newest { name, created_at: at.to_string() }).collect(),
        })
    }
}

#[async_trait]
impl ToolSet for MemoryTools {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn definitions(&self, _context: &ToolContext) -> Arc<Vec<ToolDefinition>> {
        self.tools.definitions()
    }

    async fn call(&self, context: &ToolContext, name: &str, arguments: JsonObject) -> ToolOutcome {
        self.outcome(context, name, arguments).await.unwrap_or_else(|failure| failure)
    }

    fn resources(&self) -> &'static [ResourceDefinition] {
        &[
            ResourceDefinition { uri: GRAPH, name: "memory", description: "The person's knowledge graph, its beginning if it is large." },
            ResourceDefinition {
                uri: GRAPH_THERE,
                name: "knowledge-graph",
                description: "The same by the name that it has with the MCP project's memory server.",
            },
            ResourceDefinition {
                uri: "memory://entity/{name}",
                name: "memory-entity",
                description: "An entity by its percent-encoded name, with its relations.",
            },
        ]
    }

    async fn read_resource(&self, context: &ToolContext, uri: &str) -> StoreResult<Option<Value>> {
        let found = if uri == GRAPH || uri == GRAPH_THERE {
            let whole = ReadGraph { cursor: None, limit: None, max_bytes: None, detail: None };
            self.read_graph(context.user_id, whole).await?
        } else {
            let Some(name) = uri.strip_prefix(ENTITY).and_then(percent_decoded) else { return Ok(None) };
            let opened = self.open(context.user_id, vec![name], Detail::Full).await?;
            if opened.entities.is_empty() {
                return Ok(None);
            }
            opened
        };
        Ok(serde_json::to_value(found).ok())
    }
}

/// Entities with their relations, those to others marked.
fn answer(found: Subgraph, detail: Detail) -> GraphAnswer {
    let names: HashSet<String> = found.entities.iter().map(|entity| entity.name.clone()).collect();
    let left = found.relations_left;
    let mut truncated = (left > 0).then(|| format!("{left} relations of these are left out; find_related has them by entity."));
    if found.entities.iter().any(|entity| entity.is_cut(detail)) {
        truncated = Some(join(CUT.to_owned(), truncated));
    }
    GraphAnswer {
        relations: found.relations.into_iter().map(|relation| RelationFound::new(relation, |name| names.contains(name))).collect(),
        entities: found.entities.into_iter().map(|entity| EntityShape::new(entity, detail)).collect(),
        missing: Vec::new(),
        next_cursor: None,
        truncated,
    }
}

/// What a deletion came to. Where everything was there the message is the one that is known from elsewhere.
fn deleted<T, S>(what: &str, gone: Deleted<T>, shape: impl FnOnce(Vec<T>) -> Vec<S>) -> DeletedAnswer<S> {
    let missing = gone.not_found.len();
    let message = match (gone.deleted, missing) {
        (_, 0) => format!("{what} deleted successfully"),
        (0, _) => format!("Nothing was deleted: none of these {} exist", what.to_lowercase()),
        (some, _) => format!("{some} deleted; {missing} not found"),
    };
    DeletedAnswer { success: gone.deleted > 0 || missing == 0, message, deleted: gone.deleted, not_found: shape(gone.not_found) }
}

/// Observations that were not there, gathered by entity in their order.
fn by_entity(texts: Vec<NamedObservation>) -> Vec<NotFound> {
    let mut deletions: Vec<NotFound> = Vec::new();
    for NamedObservation { entity, text } in texts {
        match deletions.last_mut() {
            Some(last) if last.entity_name == entity => last.observations.push(text),
            _other => deletions.push(NotFound { entity_name: entity, observations: vec![text] }),
        }
    }
    deletions
}

fn join(first: String, second: Option<String>) -> String {
    match second {
        Some(second) => format!("{first} {second}"),
        None => first,
    }
}

/// What went wrong, for a model: a sentence.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn failed(error: StoreError) -> ToolOutcome {
    unreachable("the memory", &error).unwrap_or_else(|| ToolOutcome::error(sentence(&error.to_string())))
}

/// A part of a URI as the text that it stands for; `None` when that is no text. A percent sign without two digits stands for itself.
fn percent_decoded(part: &str) -> Option<String> {
    percent_encoding::percent_decode_str(part).decode_utf8().ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_uri_is_decoded() {
        for (text, name) in
            [("Ada", Some("Ada")), ("Ada%20L%c3%BCbeck+", Some("Ada Lübeck+")), ("100%", Some("100%")), ("%zz", Some("%zz")), ("%ff", None)]
        {
            assert_eq!(percent_decoded(text).as_deref(), name, "{text}");
        }
    }
}
