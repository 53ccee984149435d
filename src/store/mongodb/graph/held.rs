//! A person's graph in memory, with what finds its parts fast, and the changes that a unit makes to it.
//!
//! Every change goes through a primitive here that notes it. A unit that is refused half-way takes its changes back
//! ([`Held::undo`]); one that succeeds writes them down ([`super::documents`]).

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash as _, Hasher as _};

use crate::domain::graph::{Detail, Entity, GraphCounts, Observation, ObservationId, Relation, SUMMARY, fold};
use crate::domain::ids::ConversationId;
use crate::domain::time::Timestamp;

/// An entity, with its numbers elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EntityRow {
    pub(super) name: String,
    pub(super) entity_type: String,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    /// For search.
    pub(super) folded_name: String,
    pub(super) folded_type: String,
    /// Its observations.
    pub(super) observations: BTreeSet<i64>,
    /// Relations that begin or end at it.
    pub(super) relations: BTreeSet<i64>,
}

/// An observation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ObservationRow {
    pub(super) entity: i64,
    pub(super) text: String,
    pub(super) conversation_id: Option<ConversationId>,
    pub(super) created_at: Timestamp,
    /// For search.
    pub(super) folded: String,
}

/// A relation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RelationRow {
    pub(super) source: i64,
    pub(super) target: i64,
    pub(super) relation_type: String,
    pub(super) created_at: Timestamp,
}

/// One change, with what takes it back.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// An entity was made.
    Entity(i64),
    /// An entity's type or time was changed; the type and the time before.
    Altered(i64, String, Timestamp),
    /// An observation was made.
    Observation(i64),
    /// A relation was made.
    Relation(i64),
    /// An entity was deleted.
    EntityGone(i64, Box<EntityRow>),
    /// An observation was deleted.
    ObservationGone(i64, ObservationRow),
    /// A relation was deleted.
    RelationGone(i64, RelationRow),
}

/// A person's graph.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    /// The last number that anything got. Entities, observations and relations count together, and none is used again.
    pub(super) last_item: i64,
    pub(super) entities: BTreeMap<i64, EntityRow>,
    pub(super) observations: BTreeMap<i64, ObservationRow>,
    pub(super) relations: BTreeMap<i64, RelationRow>,
    /// By composed name.
    names: HashMap<String, i64>,
    /// By folded name, then name: the alphabet for names that look like another.
    pub(super) alphabet: BTreeMap<(String, String), i64>,
    /// By entity and a hash of the text.
    texts: HashMap<(i64, u64), Vec<i64>>,
    /// By both ends and type.
    keys: HashMap<(i64, i64, String), i64>,
    /// Bytes of all texts, about.
    pub(super) bytes: usize,
    /// What was changed since [`Held::settle`].
    changes: Vec<Change>,
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl EntityRow {
    pub(super) fn new(name: String, entity_type: String, created_at: Timestamp, updated_at: Timestamp) -> Self {
        let (folded_name, folded_type) = (fold(&name), fold(&entity_type));
        let (observations, relations) = (BTreeSet::new(), BTreeSet::new());
        Self { name, entity_type, created_at, updated_at, folded_name, folded_type, observations, relations }
    }

    /// Bytes that it takes here, about: each text is there twice, and each row in several maps.
    fn bytes(&self) -> usize {
        400 + 4 * self.name.len() + 2 * self.entity_type.len()
    }
}

impl ObservationRow {
    pub(super) fn new(entity: i64, text: String, conversation_id: Option<ConversationId>, created_at: Timestamp) -> Self {
        let folded = fold(&text);
        Self { entity, text, conversation_id, created_at, folded }
    }

    fn bytes(&self) -> usize {
        250 + 2 * self.text.len()
    }
}

impl RelationRow {
    fn bytes(&self) -> usize {
        300 + 2 * self.relation_type.len()
    }
}

impl Held {
    /// How much there is.
    pub(super) fn counts(&self) -> GraphCounts {
        let count = super::count;
        GraphCounts {
            entities: count(self.entities.len()),
            observations: count(self.observations.len()),
            relations: count(self.relations.len()),
        }
    }

    /// An entity's number by its composed name.
    pub(super) fn entity_named(&self, name: &str) -> Option<i64> {
        self.names.get(name).copied()
    }

    /// The observation of an entity that says this, by its composed text.
    pub(super) fn observation_saying(&self, entity: i64, text: &str) -> Option<i64> {
        let says = |id: &&i64| self.observations.get(id).is_some_and(|row| row.text == text);
        self.texts.get(&(entity, hash(text)))?.iter().find(says).copied()
    }

    /// The relation with that key.
    pub(super) fn relation_keyed(&self, source: i64, target: i64, relation_type: &str) -> Option<i64> {
        self.keys.get(&(source, target, relation_type.to_owned())).copied()
    }

    /// A relation as the port has it.
    pub(super) fn relation(&self, row: &RelationRow) -> Relation {
        let name = |id| self.entities.get(&id).map(|entity| entity.name.clone()).unwrap_or_default();
        Relation { from: name(row.source), to: name(row.target), relation_type: row.relation_type.clone() }
    }

    /// An observation as the port has it.
    pub(super) fn observation(id: i64, row: &ObservationRow) -> Observation {
        Observation {
            id: ObservationId(u32::try_from(id).unwrap_or(u32::MAX)),
            text: row.text.clone(),
            created_at: row.created_at,
            conversation_id: row.conversation_id,
        }
    }

    /// An entity with as much of it as is wanted: of its observations the newest, as far as `bytes` of JSON reach.
    pub(super) fn entity(&self, id: i64, detail: Detail, bytes: usize) -> Option<Entity> {
        let row = self.entities.get(&id)?;
        let mut entity = Entity {
            name: row.name.clone(),
            entity_type: row.entity_type.clone(),
            observations: Vec::new(),
            observation_count: row.observations.len(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        let most = match detail {
            Detail::Names => 0,
            Detail::Summary => SUMMARY,
            Detail::Plain | Detail::Full => usize::MAX,
        };
        let mut left = bytes.saturating_sub(entity.json_size(detail));
        for observation in row.observations.iter().rev().take(most) {
            let Some(found) = self.observations.get(observation) else { continue };
            let found = Self::observation(*observation, found);
            let Some(after) = left.checked_sub(found.json_size(detail)) else { break };
            left = after;
            entity.observations.push(found);
        }
        entity.observations.reverse();
        Some(entity)
    }

    /// Puts an entity in its place, as read or as made.
    pub(super) fn put_entity(&mut self, id: i64, row: EntityRow) {
        self.bytes += row.bytes();
        self.names.insert(row.name.clone(), id);
        self.alphabet.insert((row.folded_name.clone(), row.name.clone()), id);
        self.entities.insert(id, row);
    }

    /// Puts an observation in its place; its entity is there.
    pub(super) fn put_observation(&mut self, id: i64, row: ObservationRow) {
        self.bytes += row.bytes();
        if let Some(entity) = self.entities.get_mut(&row.entity) {
            entity.observations.insert(id);
        }
        self.texts.entry((row.entity, hash(&row.text))).or_default().push(id);
        self.observations.insert(id, row);
    }

    /// Puts a relation in its place; its ends are there.
    pub(super) fn put_relation(&mut self, id: i64, row: RelationRow) {
        self.bytes += row.bytes();
        for end in [row.source, row.target] {
            if let Some(entity) = self.entities.get_mut(&end) {
                entity.relations.insert(id);
            }
        }
        self.keys.insert((row.source, row.target, row.relation_type.clone()), id);
        self.relations.insert(id, row);
    }

    fn take_entity(&mut self, id: i64) -> Option<EntityRow> {
        let row = self.entities.remove(&id)?;
        self.bytes = self.bytes.saturating_sub(row.bytes());
        self.names.remove(&row.name);
        self.alphabet.remove(&(row.folded_name.clone(), row.name.clone()));
        Some(row)
    }

    fn take_observation(&mut self, id: i64) -> Option<ObservationRow> {
        let row = self.observations.remove(&id)?;
        self.bytes = self.bytes.saturating_sub(row.bytes());
        if let Some(entity) = self.entities.get_mut(&row.entity) {
            entity.observations.remove(&id);
        }
        let key = (row.entity, hash(&row.text));
        if let Some(same) = self.texts.get_mut(&key) {
            same.retain(|other| *other != id);
            if same.is_empty() {
                self.texts.remove(&key);
            }
        }
        Some(row)
    }

    fn take_relation(&mut self, id: i64) -> Option<RelationRow> {
        let row = self.relations.remove(&id)?;
        self.bytes = self.bytes.saturating_sub(row.bytes());
        for end in [row.source, row.target] {
            if let Some(entity) = self.entities.get_mut(&end) {
                entity.relations.remove(&id);
            }
        }
        self.keys.remove(&(row.source, row.target, row.relation_type.clone()));
        Some(row)
    }

    /// Makes an entity under a number that is new.
    pub(super) fn add_entity(&mut self, id: i64, row: EntityRow) {
        self.put_entity(id, row);
        self.changes.push(Change::Entity(id));
    }

    /// Makes an observation under a number that is new.
    pub(super) fn add_observation(&mut self, id: i64, row: ObservationRow) {
        self.put_observation(id, row);
        self.changes.push(Change::Observation(id));
    }

    /// Makes a relation under a number that is new.
    pub(super) fn add_relation(&mut self, id: i64, row: RelationRow) {
        self.put_relation(id, row);
        self.changes.push(Change::Relation(id));
    }

    /// Says that an entity has changed, and gives it another type where there is one to give.
    pub(super) fn alter_entity(&mut self, id: i64, entity_type: Option<String>, now: Timestamp) {
        let Some(row) = self.entities.get_mut(&id) else { return };
        self.changes.push(Change::Altered(id, row.entity_type.clone(), row.updated_at));
        row.updated_at = now;
        if let Some(entity_type) = entity_type {
            row.folded_type = fold(&entity_type);
            row.entity_type = entity_type;
        }
    }

    /// Deletes an observation.
    pub(super) fn delete_observation(&mut self, id: i64) {
        if let Some(row) = self.take_observation(id) {
            self.changes.push(Change::ObservationGone(id, row));
        }
    }

    /// Deletes a relation.
    pub(super) fn delete_relation(&mut self, id: i64) {
        if let Some(row) = self.take_relation(id) {
            self.changes.push(Change::RelationGone(id, row));
        }
    }

    /// Deletes an entity with its observations and relations.
    pub(super) fn delete_entity(&mut self, id: i64) {
        let Some(row) = self.entities.get(&id) else { return };
        let (observations, relations) = (row.observations.clone(), row.relations.clone());
        for observation in observations {
            self.delete_observation(observation);
        }
        for relation in relations {
            self.delete_relation(relation);
        }
        if let Some(row) = self.take_entity(id) {
            self.changes.push(Change::EntityGone(id, Box::new(row)));
        }
    }

    /// What was changed.
    pub(super) fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What was changed stays so.
    pub(super) fn settle(&mut self) {
        self.changes = Vec::new();
    }

    /// Takes back what was changed, the last change first. Numbers that were given stay given: nobody has seen them.
    pub(super) fn undo(&mut self) {
        while let Some(change) = self.changes.pop() {
            match change {
                Change::Entity(id) => drop(self.take_entity(id)),
                Change::Observation(id) => drop(self.take_observation(id)),
                Change::Relation(id) => drop(self.take_relation(id)),
                Change::Altered(id, entity_type, updated_at) => {
                    if let Some(row) = self.entities.get_mut(&id) {
                        row.folded_type = fold(&entity_type);
                        row.entity_type = entity_type;
                        row.updated_at = updated_at;
                    }
                }
                Change::EntityGone(id, row) => self.put_entity(id, *row),
                Change::ObservationGone(id, row) => self.put_observation(id, row),
                Change::RelationGone(id, row) => self.put_relation(id, row),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_millis(1)
    }

    fn with_two() -> Held {
        let mut held = Held::default();
        for (id, name) in [(1, "Ada"), (2, "Bob")] {
            held.add_entity(id, EntityRow::new(name.to_owned(), "person".to_owned(), now(), now()));
        }
        held.add_observation(3, ObservationRow::new(1, "likes tea".to_owned(), None, now()));
        held.add_relation(4, RelationRow { source: 1, target: 2, relation_type: "knows".to_owned(), created_at: now() });
        held.add_relation(5, RelationRow { source: 1, target: 1, relation_type: "is".to_owned(), created_at: now() });
        held.settle();
        held
    }

    /// Everything but the order in which hash maps and lists of equal texts happen to be.
    fn content(held: &Held) -> String {
        let found = (held.entity_named("Ada"), held.observation_saying(1, "likes tea"), held.relation_keyed(1, 2, "knows"));
        format!("{:?} {:?} {:?} {:?} {found:?} {}", held.entities, held.observations, held.relations, held.alphabet, held.bytes)
    }

    #[test]
    fn what_is_taken_back_was_never_there() {
        let mut held = with_two();
        let before = content(&held);
        held.delete_observation(3);
        held.delete_entity(1);
        held.add_entity(6, EntityRow::new("Ada".to_owned(), "poet".to_owned(), now(), now()));
        held.add_observation(7, ObservationRow::new(6, "likes tea".to_owned(), None, now()));
        held.alter_entity(2, Some("cat".to_owned()), Timestamp::from_millis(2));
        held.alter_entity(6, None, Timestamp::from_millis(2));
        held.add_relation(8, RelationRow { source: 2, target: 6, relation_type: "knows".to_owned(), created_at: now() });
        assert_ne!(content(&held), before);
        held.undo();
        assert_eq!(content(&held), before);
        assert!(held.changes().is_empty());
    }

    #[test]
    fn an_entity_takes_along_what_is_said_of_it() {
        let mut held = with_two();
        held.delete_entity(1);
        assert_eq!(held.counts(), GraphCounts { entities: 1, observations: 0, relations: 0 });
        assert_eq!(
            (held.entity_named("Ada"), held.observation_saying(1, "likes tea"), held.relation_keyed(1, 1, "is")),
            (None, None, None)
        );
        held.delete_entity(2);
        assert_eq!(held.bytes, 0, "nothing is left behind");
        assert!(held.texts.is_empty() && held.keys.is_empty() && held.names.is_empty() && held.alphabet.is_empty());
    }
}
