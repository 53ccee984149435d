//! An entity and a relation as the MCP project's own memory server writes them: in the answers of tools, and in its file, which
//! commands read and write.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::graph::{Entity, NewEntity, Relation};

// What stands as `///` here a model reads with each answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlainEntity {
    pub(crate) name: String,
    pub(crate) entity_type: String,
    pub(crate) observations: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RelationShape {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) relation_type: String,
}

impl From<Entity> for PlainEntity {
    fn from(entity: Entity) -> Self {
        let observations = entity.observations.into_iter().map(|observation| observation.text).collect();
        Self { name: entity.name, entity_type: entity.entity_type, observations }
    }
}

impl From<PlainEntity> for NewEntity {
    fn from(shape: PlainEntity) -> Self {
        Self { name: shape.name, entity_type: shape.entity_type, observations: shape.observations }
    }
}

impl From<Relation> for RelationShape {
    fn from(relation: Relation) -> Self {
        Self { from: relation.from, to: relation.to, relation_type: relation.relation_type }
    }
}

impl From<RelationShape> for Relation {
    fn from(shape: RelationShape) -> Self {
        Self { from: shape.from, to: shape.to, relation_type: shape.relation_type }
    }
}
