//! Adding to a graph. Each function refuses before or after it has begun to change, and its caller takes the changes back then.

use std::collections::HashMap;

use super::held::{EntityRow, Held, ObservationRow, RelationRow};
use super::{count, near};
use crate::domain::graph::{GraphLimits, GraphRefusal, NewEntity, NewObservations, Relation, composed};
use crate::domain::ids::ConversationId;
use crate::domain::time::Timestamp;
use crate::store::{DanglingRelation, Imported, MissingName, RelationsWritten, StoreError, StoreResult, Written};

/// Numbers that a graph has: an observation's is shown as a number of 31 bits.
const NUMBERS: i64 = 1 << 31;

fn refused(refusal: &GraphRefusal) -> StoreError {
    StoreError::Conflict { reason: refusal.to_string() }
}

/// A graph while it is added to.
struct Open<'a> {
    held: &'a mut Held,
    limits: GraphLimits,
    now: Timestamp,
}

impl Open<'_> {
    fn next_id(&mut self) -> StoreResult<i64> {
        if self.held.last_item + 1 >= NUMBERS {
            let reason =
                "the graph has used up its 2,147,483,647 numbers, which deleting does not give back; nothing can be added to it any more"
                    .to_owned();
            return Err(StoreError::Conflict { reason });
        }
        self.held.last_item += 1;
        Ok(self.held.last_item)
    }

    fn room(has: usize, what: &'static str, limit: i64) -> StoreResult<()> {
        if count(has) >= limit { Err(refused(&GraphRefusal::Full { what, limit })) } else { Ok(()) }
    }

    fn add_entity(&mut self, name: &str, entity_type: &str) -> StoreResult<i64> {
        Self::room(self.held.entities.len(), "entities", self.limits.entities)?;
        let id = self.next_id()?;
        self.held.add_entity(id, EntityRow::new(name.to_owned(), entity_type.to_owned(), self.now, self.now));
        Ok(id)
    }

    fn type_of(&self, entity: i64) -> String {
        self.held.entities.get(&entity).map(|row| row.entity_type.clone()).unwrap_or_default()
    }

    /// Adds those of `texts` that the entity lacks, and returns them.
    fn add_observations(&mut self, entity: i64, texts: &[String], from: Option<ConversationId>) -> StoreResult<Vec<String>> {
        let mut added = Vec::new();
        for text in texts.iter().map(|text| composed(text)) {
            if self.held.observation_saying(entity, &text).is_some() {
                continue;
            }
            Self::room(self.held.observations.len(), "observations", self.limits.observations)?;
            let id = self.next_id()?;
            self.held.add_observation(id, ObservationRow::new(entity, text.clone(), from, self.now));
            added.push(text);
        }
        Ok(added)
    }

    /// Makes an entity or merges it into the one of its name; `None` when that changed nothing.
    fn merge(&mut self, new: &NewEntity, from: Option<ConversationId>) -> StoreResult<Option<(i64, Written)>> {
        let (name, entity_type) = (composed(&new.name), composed(&new.entity_type));
        let (id, created, retyped) = match self.held.entity_named(&name) {
            Some(id) => (id, false, !entity_type.is_empty() && self.type_of(id) != entity_type),
            None => (self.add_entity(&name, &entity_type)?, true, false),
        };
        if retyped {
            self.held.alter_entity(id, Some(entity_type), self.now);
        }
        let added = self.add_observations(id, &new.observations, from)?;
        if !created && !retyped && added.is_empty() {
            return Ok(None);
        }
        if !created && !added.is_empty() {
            self.held.alter_entity(id, None, self.now);
        }
        Ok(Some((id, Written { name, entity_type: self.type_of(id), added, created })))
    }

    /// Makes a relation; false when it is there, the missing ends when they are.
    fn relate(&mut self, relation: &Relation) -> StoreResult<Result<bool, Vec<String>>> {
        let (source, target) = (self.held.entity_named(&relation.from), self.held.entity_named(&relation.to));
        let (Some(source), Some(target)) = (source, target) else {
            let ends = [(source, &relation.from), (target, &relation.to)];
            let mut missing: Vec<String> = ends.into_iter().filter(|(id, _)| id.is_none()).map(|(_, name)| name.clone()).collect();
            missing.dedup();
            return Ok(Err(missing));
        };
        if self.held.relation_keyed(source, target, &relation.relation_type).is_some() {
            return Ok(Ok(false));
        }
        Self::room(self.held.relations.len(), "relations", self.limits.relations)?;
        let id = self.next_id()?;
        let row = RelationRow { source, target, relation_type: relation.relation_type.clone(), created_at: self.now };
        self.held.add_relation(id, row);
        Ok(Ok(true))
    }
}

/// Makes or merges entities.
pub(super) fn create_entities(
    held: &mut Held,
    entities: &[NewEntity],
    from: Option<ConversationId>,
    limits: GraphLimits,
    now: Timestamp,
) -> StoreResult<Vec<Written>> {
    let mut graph = Open { held, limits, now };
    let mut written: Vec<Written> = Vec::new();
    // One entity may stand in a batch twice; it is told once.
    let mut told: HashMap<i64, usize> = HashMap::new();
    for entity in entities {
        let Some((id, one)) = graph.merge(entity, from)? else { continue };
        if let Some(before) = told.get(&id).and_then(|place| written.get_mut(*place)) {
            before.entity_type = one.entity_type;
            before.added.extend(one.added);
        } else {
            told.insert(id, written.len());
            written.push(one);
        }
    }
    Ok(written)
}

/// Checks what entities are made of.
pub(super) fn check_entities(entities: &[NewEntity], limits: &GraphLimits) -> StoreResult<()> {
    let check = || {
        limits.count("entities", entities.len())?;
        entities.iter().try_for_each(|entity| {
            limits.count("observations of one entity", entity.observations.len())?;
            limits.entity(entity)
        })
    };
    check().map_err(|refusal| refused(&refusal))
}

/// Makes relations.
pub(super) fn create_relations(
    held: &mut Held,
    relations: &[Relation],
    limits: GraphLimits,
    now: Timestamp,
) -> StoreResult<RelationsWritten> {
    let mut graph = Open { held, limits, now };
    let mut written = RelationsWritten::default();
    let mut close = near::Missing::default();
    for relation in relations {
        let relation = relation.composed();
        match graph.relate(&relation)? {
            Ok(true) => written.created.push(relation),
            Ok(false) => {}
            Err(names) => {
                let missing = names.into_iter().map(|name| close.of(graph.held, name)).collect();
                written.refused.push(DanglingRelation { relation, missing });
            }
        }
    }
    Ok(written)
}

/// Checks what relations are made of.
pub(super) fn check_relations(relations: &[Relation], limits: &GraphLimits) -> StoreResult<()> {
    let check = || {
        limits.count("relations", relations.len())?;
        relations.iter().try_for_each(|relation| limits.relation(relation))
    };
    check().map_err(|refusal| refused(&refusal))
}

/// Adds observations.
pub(super) fn add_observations(
    held: &mut Held,
    observations: &[NewObservations],
    from: Option<ConversationId>,
    limits: GraphLimits,
    now: Timestamp,
) -> StoreResult<Vec<Written>> {
    let mut graph = Open { held, limits, now };
    let mut missing: Vec<MissingName> = Vec::new();
    let mut close = near::Missing::default();
    let mut written = Vec::new();
    for new in observations {
        let name = composed(&new.entity);
        let (id, created) = match (graph.held.entity_named(&name), &new.entity_type) {
            (Some(id), _) => (id, false),
            (None, Some(entity_type)) => (graph.add_entity(&name, &composed(entity_type))?, true),
            (None, None) => {
                missing.push(close.of(graph.held, name));
                continue;
            }
        };
        let added = graph.add_observations(id, &new.contents, from)?;
        if !created && !added.is_empty() {
            graph.held.alter_entity(id, None, now);
        }
        written.push(Written { name, entity_type: graph.type_of(id), added, created });
    }
    if missing.is_empty() {
        return Ok(written);
    }
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let reason = format!("nothing was added: {}; make it with create_entities, or give an entityType with it", names.join("; "));
    Err(StoreError::Conflict { reason })
}

/// Checks observations and what they are for.
pub(super) fn check_observations(observations: &[NewObservations], limits: &GraphLimits) -> StoreResult<()> {
    let check = || {
        limits.count("entities", observations.len())?;
        observations.iter().try_for_each(|new| {
            limits.count("observations of one entity", new.contents.len())?;
            limits.name("entity name", &new.entity)?;
            new.entity_type.iter().try_for_each(|entity_type| limits.entity_type(entity_type))?;
            new.contents.iter().try_for_each(|text| limits.observation(text))
        })
    };
    check().map_err(|refusal| refused(&refusal))
}

/// Merges a whole graph.
pub(super) fn import(
    held: &mut Held,
    entities: &[NewEntity],
    relations: &[Relation],
    limits: GraphLimits,
    now: Timestamp,
) -> StoreResult<Imported> {
    let mut graph = Open { held, limits, now };
    let mut imported = Imported::default();
    for entity in entities {
        if let Some((_id, written)) = graph.merge(entity, None)? {
            imported.count(&written);
        }
    }
    for relation in relations {
        let relation = relation.composed();
        match graph.relate(&relation)? {
            Ok(made) => imported.relations += i64::from(made),
            Err(_missing) => imported.dangling.push(relation),
        }
    }
    Ok(imported)
}

/// Checks a graph from elsewhere; it may have any number of items.
pub(super) fn check_import(entities: &[NewEntity], relations: &[Relation], limits: &GraphLimits) -> StoreResult<()> {
    let check = || {
        entities.iter().try_for_each(|entity| limits.entity(entity))?;
        relations.iter().try_for_each(|relation| limits.relation(relation))
    };
    check().map_err(|refusal| refused(&refusal))
}
