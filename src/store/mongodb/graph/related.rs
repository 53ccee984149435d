//! What lies around an entity, nearest first.

use std::collections::HashMap;

use super::held::Held;
use super::near;
use crate::domain::graph::{Detail, Relation, composed};
use crate::store::{MissingName, Neighbourhood};

/// Relations among the entities that are told at most, for each of them.
const RELATIONS_EACH: usize = 20;

/// Entities at most `depth` relations away, and the relations among them.
pub(super) fn find(held: &Held, name: &str, depth: u32, limit: usize, bytes: usize) -> Result<Neighbourhood, MissingName> {
    let name = composed(name);
    let Some(start) = held.entity_named(&name) else { return Err(near::Missing::default().of(held, name)) };
    let mut distances = HashMap::from([(start, 0)]);
    let mut order = vec![(start, 0)];
    let mut more = false;
    let mut next = 0;
    while let Some((from, distance)) = order.get(next).copied() {
        next += 1;
        if distance >= depth {
            break;
        }
        for other in neighbours(held, from) {
            if distances.contains_key(&other) {
                continue;
            }
            if order.len() >= limit {
                more = true;
                break;
            }
            distances.insert(other, distance + 1);
            order.push((other, distance + 1));
        }
    }
    let relations = among(held, &distances);
    let mut left = bytes;
    let mut entities = Vec::with_capacity(order.len());
    for (id, distance) in order {
        if let Some(entity) = held.entity(id, Detail::Plain, left) {
            left = left.saturating_sub(entity.json_size(Detail::Plain));
            entities.push((entity, distance));
        }
    }
    Ok(Neighbourhood { entities, relations, more })
}

/// The other ends of an entity's relations: of those that begin at it, then of those that end at it.
fn neighbours(held: &Held, from: i64) -> Vec<i64> {
    let Some(row) = held.entities.get(&from) else { return Vec::new() };
    let relations = || row.relations.iter().filter_map(|id| held.relations.get(id));
    let out = relations().filter(|relation| relation.source == from).map(|relation| relation.target);
    let back = relations().filter(|relation| relation.target == from && relation.source != from).map(|relation| relation.source);
    out.chain(back).collect()
}

/// Relations with both ends among those.
fn among(held: &Held, those: &HashMap<i64, u32>) -> Vec<Relation> {
    let most = those.len().saturating_mul(RELATIONS_EACH);
    let mut ids: Vec<i64> = those.keys().copied().collect();
    ids.sort_unstable();
    let mut found: Vec<i64> = Vec::new();
    for id in ids {
        let Some(row) = held.entities.get(&id) else { continue };
        // Each is met at its beginning.
        let inside = |relation: &&i64| {
            held.relations.get(relation).is_some_and(|relation| relation.source == id && those.contains_key(&relation.target))
        };
        found.extend(row.relations.iter().filter(inside).take(most.saturating_sub(found.len())));
    }
    found.sort_unstable();
    found.iter().filter_map(|id| held.relations.get(id)).map(|row| held.relation(row)).collect()
}
