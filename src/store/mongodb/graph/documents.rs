//! How a graph lies in its collection: a document an entity, an observation, a relation, told apart by `kind`. Each has its number in
//! the person's graph, and a key that begins with the person.

use mongodb::bson::{Bson, Document, doc};

use super::held::{Change, EntityRow, Held, ObservationRow, RelationRow};
use crate::domain::ids::{ConversationId, UserId};
use crate::store::StoreResult;
use crate::store::mongodb::fields::{Fields, date};
use crate::store::mongodb::lists::key;
use crate::store::mongodb::names::Place;
use crate::store::mongodb::state::Draft;

/// A graph as documents are read into it, in any order.
#[derive(Default)]
pub(super) struct Reader {
    held: Held,
    observations: Vec<(i64, ObservationRow)>,
    relations: Vec<(i64, RelationRow)>,
}

impl Reader {
    /// Reads one document.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Corrupt`].
    pub(super) fn add(&mut self, collection: &str, document: &Document) -> StoreResult<()> {
        let fields = Fields::new(collection, document);
        let (id, created_at) = (fields.number("number")?, fields.moment("createdAt")?);
        match fields.text("kind")? {
            "entity" => {
                let (name, entity_type) = (fields.text("name")?.to_owned(), fields.text("entityType")?.to_owned());
                self.held.put_entity(id, EntityRow::new(name, entity_type, created_at, fields.moment("updatedAt")?));
            }
            "observation" => {
                let from = fields.find_id("conversationId", ConversationId::from_uuid)?;
                self.observations
                    .push((id, ObservationRow::new(fields.number("entity")?, fields.text("text")?.to_owned(), from, created_at)));
            }
            "relation" => {
                let (source, target) = (fields.number("source")?, fields.number("target")?);
                self.relations
                    .push((id, RelationRow { source, target, relation_type: fields.text("relationType")?.to_owned(), created_at }));
            }
            _ => return Err(fields.damaged("kind", "it is none of entity, observation and relation")),
        }
        Ok(())
    }

    /// The graph, when all of it was read.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Corrupt`] when something is said of an entity that is not there.
    pub(super) fn finish(self, collection: &str, last_item: i64) -> StoreResult<Held> {
        let Self { mut held, observations, relations } = self;
        let missing = |what: &str, id: i64| {
            crate::store::mongodb::fields::damaged(collection, format_args!("{what} {id} is of an entity that is not there"))
        };
        for (id, row) in observations {
            if !held.entities.contains_key(&row.entity) {
                return Err(missing("observation", id));
            }
            held.put_observation(id, row);
        }
        for (id, row) in relations {
            if !held.entities.contains_key(&row.source) || !held.entities.contains_key(&row.target) {
                return Err(missing("relation", id));
            }
            held.put_relation(id, row);
        }
        held.last_item = last_item;
        Ok(held)
    }
}

/// Stages what was changed.
pub(super) fn stage(draft: &mut Draft, held: &Held) {
    let user = draft.user_id;
    for change in held.changes() {
        match change {
            // What is gone again by now is deleted further on.
            Change::Entity(id) | Change::Altered(id, ..) => {
                if let Some(row) = held.entities.get(id) {
                    draft.put(Place::Memory, key(user, *id), entity(user, *id, row));
                }
            }
            Change::Observation(id) => {
                if let Some(row) = held.observations.get(id) {
                    draft.put(Place::Memory, key(user, *id), observation(user, *id, row));
                }
            }
            Change::Relation(id) => {
                if let Some(row) = held.relations.get(id) {
                    draft.put(Place::Memory, key(user, *id), relation(user, *id, held, row));
                }
            }
            Change::EntityGone(id, _) | Change::ObservationGone(id, _) | Change::RelationGone(id, _) => {
                draft.delete(Place::Memory, key(user, *id));
            }
        }
    }
}

fn entity(user: UserId, id: i64, row: &EntityRow) -> Document {
    doc! {
        "user": user.to_string(),
        "kind": "entity",
        "number": id,
        "name": &row.name,
        "entityType": &row.entity_type,
        "createdAt": date(row.created_at),
        "updatedAt": date(row.updated_at),
    }
}

fn observation(user: UserId, id: i64, row: &ObservationRow) -> Document {
    doc! {
        "user": user.to_string(),
        "kind": "observation",
        "number": id,
        "entity": row.entity,
        "text": &row.text,
        "conversationId": row.conversation_id.map_or(Bson::Null, |id| id.to_string().into()),
        "createdAt": date(row.created_at),
    }
}

/// With the names of both ends, for whoever looks into the collection; the numbers count.
fn relation(user: UserId, id: i64, held: &Held, row: &RelationRow) -> Document {
    let named = held.relation(row);
    doc! {
        "user": user.to_string(),
        "kind": "relation",
        "number": id,
        "source": row.source,
        "target": row.target,
        "from": named.from,
        "relationType": named.relation_type,
        "to": named.to,
        "createdAt": date(row.created_at),
    }
}
