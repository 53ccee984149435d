//! What lies around an entity, nearest first.

use std::collections::HashMap;

use rusqlite::Connection;

use super::super::fault::Outcome;
use super::{Number, each_relation, entity, entity_id, near};
use crate::domain::graph::{Detail, Relation, composed};
use crate::domain::ids::UserId;
use crate::store::{MissingName, Neighbourhood};

/// Relations among the entities that are told at most, for each of them.
const RELATIONS_EACH: usize = 20;

/// Entities at most `depth` relations away, and the relations among them.
pub(super) fn find(
    db: &Connection,
    user: UserId,
    name: &str,
    depth: u32,
    limit: usize,
    bytes: usize,
) -> Outcome<Result<Neighbourhood, MissingName>> {
    let name = composed(name);
    let Some(number) = Number::find(db, user)? else { return Ok(Err(MissingName { name, close: Vec::new() })) };
    let Some(start) = entity_id(db, number, &name)? else { return near::Missing::default().of(db, number, name).map(Err) };
    let mut distances = HashMap::from([(start, 0)]);
    let mut order = vec![(start, 0)];
    let mut more = false;
    let mut next = 0;
    while let Some((from, distance)) = order.get(next).copied() {
        next += 1;
        if distance >= depth {
            break;
        }
        each_relation(db, from, |relation| {
            let other = if relation.source == from { relation.target } else { relation.source };
            if distances.contains_key(&other) {
                return true;
            }
            if order.len() >= limit {
                more = true;
                return false;
            }
            distances.insert(other, distance + 1);
            order.push((other, distance + 1));
            true
        })?;
    }
    let relations = among(db, &distances)?;
    let mut left = bytes;
    let mut entities = Vec::with_capacity(order.len());
    for (id, distance) in order {
        let entity = entity(db, id, Detail::Plain, left)?;
        left = left.saturating_sub(entity.json_size(Detail::Plain));
        entities.push((entity, distance));
    }
    Ok(Ok(Neighbourhood { entities, relations, more }))
}

/// Relations with both ends among those.
fn among(db: &Connection, those: &HashMap<i64, u32>) -> Outcome<Vec<Relation>> {
    let most = those.len().saturating_mul(RELATIONS_EACH);
    let mut found: Vec<(i64, Relation)> = Vec::new();
    let mut ids: Vec<i64> = those.keys().copied().collect();
    ids.sort_unstable();
    for id in ids {
        each_relation(db, id, |relation| {
            // Each is met at its beginning.
            if relation.source == id && those.contains_key(&relation.target) {
                found.push((relation.id, relation.relation));
            }
            found.len() < most
        })?;
    }
    found.sort_unstable_by_key(|(id, _relation)| *id);
    Ok(found.into_iter().map(|(_id, relation)| relation).collect())
}
