//! A graph as the earlier memory server kept it: a file's or a database document's data.

use serde::Deserialize;

use crate::domain::graph::{NewEntity, Relation};

/// The graph.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Document {
    #[serde(default)]
    entities: Vec<Entity>,
    #[serde(default)]
    relations: Vec<Link>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entity {
    name: String,
    #[serde(default, rename = "entityType")]
    kind: String,
    #[serde(default)]
    observations: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    from: String,
    to: String,
    relation_type: String,
}

impl Document {
    /// What is in it.
    pub(crate) fn into_parts(self) -> (Vec<NewEntity>, Vec<Relation>) {
        let entities = self.entities.into_iter();
        let relations = self.relations.into_iter();
        (
            entities.map(|Entity { name, kind, observations }| NewEntity { name, entity_type: kind, observations }).collect(),
            relations.map(|Link { from, to, relation_type }| Relation { from, to, relation_type }).collect(),
        )
    }
}
