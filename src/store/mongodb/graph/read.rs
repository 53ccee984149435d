//! Opening and listing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;

use super::count;
use super::held::{Held, ObservationRow};
use super::near;
use crate::domain::graph::{Detail, Entity, Fact, GraphCounts, ObservationId, Relation, composed};
use crate::store::cursor::{self, Listing, Place};
use crate::store::{GraphPart, GraphRead, GraphStats, Opened, Page, PageRequest, StoreResult, Subgraph};

/// The relations of entities, in the order in which they were made, as far as `bytes` of JSON reach.
pub(super) fn with_relations(held: &Held, ids: &[i64], entities: Vec<Entity>, bytes: usize) -> Subgraph {
    let of_them: BTreeSet<i64> = ids.iter().filter_map(|id| held.entities.get(id)).flat_map(|row| row.relations.iter().copied()).collect();
    let mut subgraph = Subgraph { entities, relations: Vec::new(), relations_left: count(of_them.len()) };
    let mut left = bytes;
    for row in of_them.iter().filter_map(|id| held.relations.get(id)) {
        let relation = held.relation(row);
        match left.checked_sub(relation.json_size()) {
            Some(after) => left = after,
            None => break,
        }
        subgraph.relations.push(relation);
        subgraph.relations_left -= 1;
    }
    subgraph
}

/// Names in composed form, each once.
fn distinct(names: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.into_iter().map(|name| composed(&name)).filter(|name| seen.insert(name.clone())).collect()
}

fn size(entities: &[Entity], detail: Detail) -> usize {
    entities.iter().map(|entity| entity.json_size(detail)).sum()
}

/// Entities of about `bytes` of JSON together, in the order in which they were made. Each has the same share, and what some do not
/// need is for those that need more.
fn entities(held: &Held, ids: &mut [i64], detail: Detail, bytes: usize) -> Vec<Entity> {
    ids.sort_unstable();
    let share = bytes / ids.len().max(1);
    let mut entities: Vec<Entity> = ids.iter().filter_map(|id| held.entity(*id, detail, share)).collect();
    let mut left = bytes.saturating_sub(size(&entities, detail));
    for (id, one) in ids.iter().zip(&mut entities).filter(|(_id, one)| one.is_cut(detail)) {
        let room = left.saturating_add(one.json_size(detail));
        if let Some(more) = held.entity(*id, detail, room) {
            *one = more;
        }
        left = room.saturating_sub(one.json_size(detail));
    }
    entities
}

/// Entities by name; what is not there is passed over.
pub(super) fn known(held: &Held, names: Vec<String>, bytes: usize) -> Vec<Entity> {
    let mut ids: Vec<i64> = distinct(names).iter().filter_map(|name| held.entity_named(name)).collect();
    entities(held, &mut ids, Detail::Plain, bytes)
}

/// Entities by name, with their relations and names that look like those that are not there.
pub(super) fn open(held: &Held, names: Vec<String>, detail: Detail, bytes: usize) -> Opened {
    let (mut ids, mut missing) = (Vec::new(), Vec::new());
    let mut close = near::Missing::default();
    for name in distinct(names) {
        match held.entity_named(&name) {
            Some(id) => ids.push(id),
            None => missing.push(close.of(held, name)),
        }
    }
    let entities = entities(held, &mut ids, detail, bytes);
    let left = bytes.saturating_sub(size(&entities, detail));
    Opened { found: with_relations(held, &ids, entities, left), missing }
}

/// A part of the whole.
pub(super) fn part(held: &Held, read: &GraphRead) -> StoreResult<GraphPart> {
    let from = cursor::read(Listing::Graph, 0, read.cursor.as_deref())?;
    let [phase, after] = from.map_or([0, 0], |place: Place<2>| place.numbers);
    let behind = |after: i64| (Bound::Excluded(after), Bound::Unbounded);
    let mut part = GraphPart::default();
    let mut left = read.bytes;
    let mut room = read.limit.max(1);
    let mut stopped = None;
    let mut last = after;
    if phase == 0 {
        for id in held.entities.range(behind(after)).map(|(id, _row)| *id) {
            let first = part.entities.is_empty();
            let entity = if room == 0 { None } else { held.entity(id, read.detail, read.room(first, left)) };
            let fits = |entity: &Entity| first || (entity.json_size(read.detail) <= left && !entity.is_cut(read.detail));
            let Some(entity) = entity.filter(fits) else {
                stopped = Some([0, last]);
                break;
            };
            left = left.saturating_sub(entity.json_size(read.detail));
            room -= 1;
            last = id;
            part.entities.push(entity);
        }
    }
    if stopped.is_none() {
        last = if phase == 0 { 0 } else { after };
        for (id, row) in held.relations.range(behind(last)) {
            let relation = held.relation(row);
            let first = part.entities.is_empty() && part.relations.is_empty();
            if room == 0 || (relation.json_size() > left && !first) {
                stopped = Some([1, last]);
                break;
            }
            left = left.saturating_sub(relation.json_size());
            room -= 1;
            last = *id;
            part.relations.push(relation);
        }
    }
    if let Some([phase, last]) = stopped {
        part.next = Some(cursor::write(Listing::Graph, &Place { numbers: [phase, last], id: Vec::new() }));
        part.left = if phase == 0 {
            let entities = count(held.entities.range(behind(last)).count());
            GraphCounts { entities, observations: 0, relations: count(held.relations.len()) }
        } else {
            GraphCounts { relations: count(held.relations.range(behind(last)).count()), ..GraphCounts::default() }
        };
    }
    Ok(part)
}

/// An overview. It reads every entity's type and every relation's ends.
pub(super) fn stats(held: &Held, limit: usize) -> GraphStats {
    let mut by_type: BTreeMap<&str, i64> = BTreeMap::new();
    for row in held.entities.values() {
        *by_type.entry(row.entity_type.as_str()).or_default() += 1;
    }
    let mut types: Vec<(String, i64)> = by_type.into_iter().map(|(name, many)| (name.to_owned(), many)).collect();
    types.sort_by_key(|(_name, many)| Reverse(*many));
    types.truncate(limit);
    let mut connected: Vec<(i64, i64)> =
        held.entities.iter().filter(|(_id, row)| !row.relations.is_empty()).map(|(id, row)| (count(row.relations.len()), *id)).collect();
    connected.sort_unstable_by_key(|(many, id)| (Reverse(*many), *id));
    let name = |id: &i64| held.entities.get(id).map(|row| row.name.clone()).unwrap_or_default();
    let most_connected = connected.iter().take(limit).map(|(many, id)| (name(id), *many)).collect();
    let newest = held.entities.values().rev().take(limit).map(|row| (row.name.clone(), row.created_at)).collect();
    GraphStats { counts: held.counts(), types, most_connected, newest }
}

/// An observation with what it is of.
pub(super) fn fact(held: &Held, id: i64, row: &ObservationRow) -> Option<Fact> {
    let entity = held.entities.get(&row.entity)?;
    Some(Fact { entity: entity.name.clone(), entity_type: entity.entity_type.clone(), observation: Held::observation(id, row) })
}

/// An observation by its number.
pub(super) fn find_fact(held: &Held, id: ObservationId) -> Option<Fact> {
    let id = i64::from(id.0);
    held.observations.get(&id).and_then(|row| fact(held, id, row))
}

/// Observations, the newest first.
pub(super) fn facts(held: &Held, request: &PageRequest) -> StoreResult<Page<Fact>> {
    let from = cursor::read(Listing::Facts, 0, request.cursor.as_deref())?;
    let before = from.map_or(i64::MAX, |Place { numbers: [before], .. }| before);
    let rows = held.observations.range(..before).rev().filter_map(|(id, row)| fact(held, *id, row));
    let rows: Vec<Fact> = rows.take(request.limit.max(1).saturating_add(1)).collect();
    let place = |fact: &Fact| Place { numbers: [i64::from(fact.observation.id.0)], id: Vec::new() };
    Ok(cursor::page(Listing::Facts, request.limit, rows, place, |fact| fact))
}

/// The newest relations of an entity.
pub(super) fn newest_relations(held: &Held, entity: i64, limit: usize) -> Vec<(i64, Relation)> {
    let Some(row) = held.entities.get(&entity) else { return Vec::new() };
    let newest = row.relations.iter().rev().take(limit);
    newest.filter_map(|id| held.relations.get(id).map(|row| (*id, held.relation(row)))).collect()
}
