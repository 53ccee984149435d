//! Searching: every folded text of the graph is looked at. They lie in memory, so ten thousand entities take a few milliseconds, and
//! there is no index to keep.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use sha2::{Digest as _, Sha256};

use super::held::{EntityRow, Held};
use super::{count, read};
use crate::domain::graph::{Entity, fold};
use crate::domain::graph_rank::Class;
use crate::domain::graph_text::query_words;
use crate::store::cursor::{self, Listing, Place};
use crate::store::{GraphFound, GraphSearch, StoreError, StoreResult};

/// Where a folded text is found in an entity's own words.
fn class_of(row: &EntityRow, query: &str) -> Option<Class> {
    Class::in_name(query, &row.folded_name).or_else(|| row.folded_type.contains(query).then_some(Class::Type))
}

/// Whether an entity has a word in its name, its type or an observation.
fn has(held: &Held, row: &EntityRow, word: &str) -> bool {
    row.folded_name.contains(word)
        || row.folded_type.contains(word)
        || row.observations.iter().filter_map(|id| held.observations.get(id)).any(|observation| observation.folded.contains(word))
}

/// Every entity that a folded query finds, the best first: its class, what it is sorted by within that (the newest first), its number.
fn ranked(held: &Held, query: &str) -> Vec<(Class, i64, i64)> {
    let mut best: HashMap<i64, (Class, i64)> = HashMap::new();
    for (id, row) in &held.entities {
        if let Some(class) = class_of(row, query) {
            best.insert(*id, (class, *id));
        }
    }
    // The newest come first, so an entity gets its newest.
    for (id, row) in held.observations.iter().rev().filter(|(_id, row)| row.folded.contains(query)) {
        best.entry(row.entity).or_insert((Class::Observation, *id));
    }
    let words = query_words(query);
    if words.len() > 1 {
        let without: HashSet<i64> = best.keys().copied().collect();
        for (id, row) in held.entities.iter().filter(|(id, _row)| !without.contains(id)) {
            if words.iter().all(|word| has(held, row, word)) {
                best.insert(*id, (Class::Words, *id));
            }
        }
    }
    let mut ranked: Vec<_> = best.into_iter().map(|(id, (class, newest))| (class, newest, id)).collect();
    ranked.sort_unstable_by_key(|(class, newest, _id)| (*class, Reverse(*newest)));
    ranked
}

/// By what a cursor knows its query.
fn mark(query: &str) -> Vec<u8> {
    Sha256::digest(query.as_bytes()).iter().take(8).copied().collect()
}

/// A page of what a query finds.
pub(super) fn find(held: &Held, search: &GraphSearch) -> StoreResult<GraphFound> {
    let query = fold(&search.query);
    let mark = mark(&query);
    let from = cursor::read(Listing::GraphSearch, mark.len(), search.cursor.as_deref())?;
    if from.as_ref().is_some_and(|place: &Place<2>| place.id != mark) {
        return Err(StoreError::InvalidCursor);
    }
    let after = from.map(|place| place.numbers);
    let ranked = ranked(held, &query);
    let is_behind =
        |class: Class, newest: i64| after.is_none_or(|[last, before]| (class.number(), -newest) > (last, before.saturating_neg()));
    let mut found = GraphFound { hits: count(ranked.len()), ..GraphFound::default() };
    let (mut ids, mut entities) = (Vec::new(), Vec::new());
    let mut left = search.bytes;
    let mut last = None;
    for (class, newest, id) in ranked.into_iter().filter(|(class, newest, _id)| is_behind(*class, *newest)) {
        let full = entities.len() >= search.limit.max(1);
        let entity = if full { None } else { held.entity(id, search.detail, left) };
        let fits = |entity: &Entity| !entity.is_cut(search.detail) && entity.json_size(search.detail) <= left;
        let Some(entity) = entity.filter(|entity| entities.is_empty() || fits(entity)) else {
            found.next = last.map(|place| cursor::write(Listing::GraphSearch, &place));
            break;
        };
        left = left.saturating_sub(entity.json_size(search.detail));
        ids.push(id);
        entities.push(entity);
        last = Some(Place { numbers: [class.number(), newest], id: mark.clone() });
    }
    found.found = read::with_relations(held, &ids, entities, left);
    Ok(found)
}
