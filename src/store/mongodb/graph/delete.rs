//! Taking away from a graph.

use std::collections::HashSet;

use super::count;
use super::held::Held;
use crate::domain::graph::{Fact, GraphCounts, ObservationId, Relation, composed};
use crate::domain::time::Timestamp;
use crate::store::{Deleted, NamedObservation};

/// Deletes entities with their observations and relations.
pub(super) fn entities(held: &mut Held, names: &[String]) -> Deleted<String> {
    let mut seen = HashSet::new();
    let mut deleted = Deleted { deleted: 0, not_found: Vec::new() };
    for name in names.iter().map(|name| composed(name)).filter(|name| seen.insert(name.clone())) {
        match held.entity_named(&name) {
            Some(id) => {
                held.delete_entity(id);
                deleted.deleted += 1;
            }
            None => deleted.not_found.push(name),
        }
    }
    deleted
}

/// Deletes observations by their texts.
pub(super) fn observations(held: &mut Held, texts: &[NamedObservation], now: Timestamp) -> Deleted<NamedObservation> {
    let mut deleted = Deleted { deleted: 0, not_found: Vec::new() };
    for wanted in texts {
        let wanted = NamedObservation { entity: composed(&wanted.entity), text: composed(&wanted.text) };
        let entity = held.entity_named(&wanted.entity);
        match entity.and_then(|entity| held.observation_saying(entity, &wanted.text).map(|id| (entity, id))) {
            Some((entity, id)) => {
                held.delete_observation(id);
                held.alter_entity(entity, None, now);
                deleted.deleted += 1;
            }
            None => deleted.not_found.push(wanted),
        }
    }
    deleted
}

/// Deletes relations.
pub(super) fn relations(held: &mut Held, relations: &[Relation]) -> Deleted<Relation> {
    let mut deleted = Deleted { deleted: 0, not_found: Vec::new() };
    for relation in relations {
        let relation = relation.composed();
        let ends = held.entity_named(&relation.from).zip(held.entity_named(&relation.to));
        match ends.and_then(|(source, target)| held.relation_keyed(source, target, &relation.relation_type)) {
            Some(id) => {
                held.delete_relation(id);
                deleted.deleted += 1;
            }
            None => deleted.not_found.push(relation),
        }
    }
    deleted
}

/// Deletes an observation by its number.
pub(super) fn observation_by_id(held: &mut Held, id: ObservationId, now: Timestamp) -> Option<Fact> {
    let fact = super::read::find_fact(held, id)?;
    let id = i64::from(id.0);
    let entity = held.observations.get(&id)?.entity;
    held.delete_observation(id);
    held.alter_entity(entity, None, now);
    Some(fact)
}

/// Deletes everything. What counts up goes on from where it was: a number that somebody was shown before never means something
/// that was stored since.
pub(super) fn all(held: &mut Held) -> GraphCounts {
    let gone = held.counts();
    let ids: Vec<i64> = held.entities.keys().copied().collect();
    for id in ids {
        held.delete_entity(id);
    }
    debug_assert_eq!(count(held.relations.len()), 0, "no relation is without its ends");
    gone
}
