//! The union of two graphs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::holdings::Holdings;
use super::{United, too_much};
use crate::domain::graph::GraphLimits;
use crate::domain::ids::UserId;
use crate::store::record::{Record, StoredEntity, StoredGraph, StoredObservation, StoredRelation};
use crate::store::{StoreError, StoreResult};

/// Numbers of a graph are kept in so many bits.
const LAST: i64 = (1 << 31) - 1;

/// What is added, under its old number: new numbers are given in the order of these.
enum Added<'a> {
    Entity(&'a StoredEntity),
    Observation(&'a StoredObservation),
    Relation(&'a StoredRelation),
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn check(what: &str, both: usize, allowed: i64) -> StoreResult<()> {
    let allowed = usize::try_from(allowed).unwrap_or(0);
    if both > allowed { Err(too_much(what, both, allowed)) } else { Ok(()) }
}

/// Adds what the one graph has and the other has not: entities of one name are one, which keeps the type that it has in the
/// remaining graph; of equal observations of one entity, and of equal relations, there is one.
pub(super) fn unite(user: UserId, from: &Holdings, into: &Holdings, limits: &GraphLimits, united: &mut United) -> StoreResult<()> {
    if from.entities.is_empty() {
        return Ok(());
    }
    let names: HashMap<&str, &StoredEntity> = into.entities.iter().map(|entity| (entity.name.as_str(), entity)).collect();
    let same = |entity: &StoredEntity| names.get(entity.name.as_str()).copied();
    // By the numbers that they had: entities that are there already, and everything that is new.
    let mut numbers: BTreeMap<i64, i64> = BTreeMap::new();
    let mut added: BTreeMap<i64, Added<'_>> = BTreeMap::new();
    let mut altered: Vec<StoredEntity> = Vec::new();
    for entity in &from.entities {
        match same(entity) {
            Some(known) => {
                numbers.insert(entity.number, known.number);
                let one = StoredEntity {
                    created_at: known.created_at.min(entity.created_at),
                    updated_at: known.updated_at.max(entity.updated_at),
                    ..known.clone()
                };
                if one != *known {
                    altered.push(one);
                }
            }
            None => drop(added.insert(entity.number, Added::Entity(entity))),
        }
    }
    let texts: HashSet<(i64, &str)> = into.observations.iter().map(|fact| (fact.entity, fact.text.as_str())).collect();
    for fact in &from.observations {
        if !numbers.get(&fact.entity).is_some_and(|entity| texts.contains(&(*entity, fact.text.as_str()))) {
            added.insert(fact.number, Added::Observation(fact));
        }
    }
    let ends: BTreeSet<(i64, i64, &str)> =
        into.relations.iter().map(|relation| (relation.source, relation.target, relation.relation_type.as_str())).collect();
    for relation in &from.relations {
        let both = numbers.get(&relation.source).zip(numbers.get(&relation.target));
        if !both.is_some_and(|(source, target)| ends.contains(&(*source, *target, relation.relation_type.as_str()))) {
            added.insert(relation.number, Added::Relation(relation));
        }
    }

    let mut last = into.graph.as_ref().map_or(0, |graph| graph.last_item);
    let mut renumbered: BTreeMap<i64, i64> = BTreeMap::new();
    for (number, item) in &added {
        last += 1;
        renumbered.insert(*number, last);
        if let Added::Entity(entity) = item {
            numbers.insert(entity.number, last);
        }
    }
    if last > LAST {
        return Err(StoreError::Conflict { reason: "the graph of the remaining account has no numbers left".to_owned() });
    }
    let end = |number: i64| {
        let damaged = || StoreError::Conflict {
            reason: "something in the graph of the account that is to go is of an entity that is not there; `scrubjay store check`"
                .to_owned(),
        };
        numbers.get(&number).copied().ok_or_else(damaged)
    };

    let (mut entities, mut observations, mut relations) = (Vec::new(), Vec::new(), Vec::new());
    for (old, item) in added {
        let number = renumbered.get(&old).copied().unwrap_or_default();
        match item {
            Added::Entity(entity) => {
                entities.push(Record::Entity(Box::new(StoredEntity { user_id: user, number, ..entity.clone() })));
            }
            Added::Observation(fact) => {
                let entity = end(fact.entity)?;
                observations.push(Record::Observation(Box::new(StoredObservation { user_id: user, number, entity, ..fact.clone() })));
            }
            Added::Relation(relation) => {
                let (source, target) = (end(relation.source)?, end(relation.target)?);
                relations.push(Record::Relation(Box::new(StoredRelation { user_id: user, number, source, target, ..relation.clone() })));
            }
        }
    }
    let (all_entities, all_observations, all_relations) =
        (into.entities.len() + entities.len(), into.observations.len() + observations.len(), into.relations.len() + relations.len());
    check("entities", all_entities, limits.entities)?;
    check("observations", all_observations, limits.observations)?;
    check("relations", all_relations, limits.relations)?;
    let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    united.merged.entities = wide(entities.len());
    united.merged.observations = wide(observations.len());
    united.merged.relations = wide(relations.len());
    united.put.push(Record::Graph(Box::new(StoredGraph {
        user_id: user,
        last_item: last,
        entities: count(all_entities),
        observations: count(all_observations),
        relations: count(all_relations),
    })));
    united.put.extend(altered.into_iter().map(|entity| Record::Entity(Box::new(entity))));
    united.put.extend(entities);
    united.put.extend(observations);
    united.put.extend(relations);
    Ok(())
}
