//! Searching. The index holds three characters a token: a text that contains a word has all of the word's tokens. Few of them, the
//! rarest by the look of their letters, narrow the rows down; each row is then compared with the word itself.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use super::super::cursor::{self, Listing, Place};
use super::super::fault::{Fault, Outcome};
use super::{Number, OBSERVATION, digest, entity};
use crate::domain::graph::{Entity, fold};
use crate::domain::graph_rank::Class;
use crate::domain::graph_text::{query_words, rarest_tokens, rarity};
use crate::domain::ids::UserId;
use crate::store::{GraphFound, GraphSearch, StoreError};

/// Tokens of one word that the index is asked for: each costs a look into every part of the index, and two tell most texts apart.
const TOKENS: usize = 2;
/// Rows by which it is tried which word is rare.
const PROBE: usize = 200;
/// Entities up to which it is cheaper to look at each than to ask the index for the next word.
const FEW: usize = 64;

/// A row of the index that contains a word.
pub(super) struct Hit {
    /// The id of an entity or of an observation.
    pub(super) id: i64,
    /// An entity's folded name; empty for an observation.
    pub(super) name: String,
}

/// Rows of a person's index that contain a folded text, the newest first: at most `limit`, and those of `ids` only.
pub(super) fn rows(db: &Connection, ids: (i64, i64), text: &str, limit: usize) -> Outcome<Vec<Hit>> {
    let tokens = rarest_tokens(text, TOKENS);
    let mut found = Vec::new();
    let mut statement;
    let mut rows = if tokens.is_empty() {
        statement =
            db.prepare_cached("SELECT rowid, name, type, text FROM graph_index WHERE rowid BETWEEN ?1 AND ?2 ORDER BY rowid DESC")?;
        statement.query([ids.0, ids.1])?
    } else {
        statement = db.prepare_cached(
            "SELECT rowid, name, type, text FROM graph_index WHERE graph_index MATCH ?3 AND rowid BETWEEN ?1 AND ?2 ORDER BY rowid DESC",
        )?;
        statement.query(params![ids.0, ids.1, all_of(&tokens)])?
    };
    while let Some(row) = rows.next()? {
        if found.len() >= limit {
            break;
        }
        let id: i64 = row.get(0)?;
        let column = |number: usize| -> Outcome<&str> {
            Ok(row.get_ref(number)?.as_str_or_null().map_err(rusqlite::Error::from)?.unwrap_or_default())
        };
        if is_observation(id) {
            if column(3)?.contains(text) {
                found.push(Hit { id, name: String::new() });
            }
        } else {
            let name = column(1)?;
            if name.contains(text) || column(2)?.contains(text) {
                found.push(Hit { id, name: name.to_owned() });
            }
        }
    }
    Ok(found)
}

/// Whether an id is an observation's.
pub(super) const fn is_observation(id: i64) -> bool {
    id & OBSERVATION != 0
}

/// The entity that an observation is of.
pub(super) fn entity_of(db: &Connection, id: i64) -> Outcome<i64> {
    if !is_observation(id) {
        return Ok(id);
    }
    Ok(db.prepare_cached("SELECT entity FROM observations WHERE id = ?1")?.query_row([id], |row| row.get(0))?)
}

/// An expression that asks for all of some tokens.
fn all_of(tokens: &[String]) -> String {
    tokens.iter().map(|token| quoted(token)).collect::<Vec<_>>().join(" AND ")
}

/// A token as the index's language writes it.
pub(super) fn quoted(token: &str) -> String {
    format!("\"{}\"", token.replace('"', "\"\""))
}

/// Entities that have each of the words somewhere.
fn with_all_words(db: &Connection, number: Number, words: &[&str]) -> Outcome<HashSet<i64>> {
    let whole = (number.first(), number.last());
    let mut words = words.to_vec();
    words.sort_by_key(|word| std::cmp::Reverse((rarity(word), word.len())));
    let mut frequent = Vec::new();
    let mut remaining: Option<HashSet<i64>> = None;
    // Words that few rows have come first; when few entities remain, each is looked at for what is left to compare.
    for word in words {
        if let Some(few) = remaining.take_if(|remaining| remaining.len() <= FEW) {
            remaining = Some(those_with(db, few, word)?);
            continue;
        }
        let probed = rows(db, whole, word, PROBE)?;
        if probed.is_empty() {
            return Ok(HashSet::new());
        }
        if probed.len() < PROBE {
            remaining = Some(in_both(remaining, entities_of(db, &probed)?));
        } else {
            frequent.push(word);
        }
    }
    for word in frequent {
        remaining = Some(match remaining.take_if(|remaining| remaining.len() <= FEW) {
            Some(few) => those_with(db, few, word)?,
            None => in_both(remaining, entities_of(db, &rows(db, whole, word, usize::MAX)?)?),
        });
    }
    Ok(remaining.unwrap_or_default())
}

/// The entities that rows of the index are of.
fn entities_of(db: &Connection, hits: &[Hit]) -> Outcome<HashSet<i64>> {
    hits.iter().map(|hit| entity_of(db, hit.id)).collect()
}

fn in_both(one: Option<HashSet<i64>>, other: HashSet<i64>) -> HashSet<i64> {
    match one {
        Some(one) => one.intersection(&other).copied().collect(),
        None => other,
    }
}

/// Those of some entities that have a word.
fn those_with(db: &Connection, entities: HashSet<i64>, word: &str) -> Outcome<HashSet<i64>> {
    let mut having = HashSet::new();
    for id in entities {
        if has(db, id, word)? {
            having.insert(id);
        }
    }
    Ok(having)
}

/// Whether an entity has a word in its name, its type or an observation.
fn has(db: &Connection, id: i64, word: &str) -> Outcome<bool> {
    let mut by_id = db.prepare_cached("SELECT name, type, text FROM graph_index WHERE rowid = ?1")?;
    let mut contains = |id: i64| -> Outcome<bool> {
        let mut rows = by_id.query([id])?;
        let Some(row) = rows.next()? else { return Ok(false) };
        for column in 0..3 {
            if row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from)?.is_some_and(|text| text.contains(word)) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    if contains(id)? {
        return Ok(true);
    }
    let mut observations = db.prepare_cached("SELECT id FROM observations WHERE entity = ?1")?;
    for observation in observations.query_map([id], |row| row.get(0))? {
        if contains(observation?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Every entity that a folded query finds, the best first.
fn ranked(db: &Connection, number: Number, query: &str) -> Outcome<Vec<(Class, i64, i64)>> {
    // By entity: the best class, and what it is sorted by within that, the newest first.
    let mut best: HashMap<i64, (Class, i64)> = HashMap::new();
    let hits = rows(db, (number.first(), number.last()), query, usize::MAX)?;
    for hit in hits.iter().filter(|hit| !is_observation(hit.id)) {
        let class = Class::in_name(query, &hit.name).unwrap_or(Class::Type);
        best.insert(hit.id, (class, hit.id));
    }
    // The newest come first, so an entity gets its newest.
    for hit in hits.iter().filter(|hit| is_observation(hit.id)) {
        best.entry(entity_of(db, hit.id)?).or_insert((Class::Observation, hit.id));
    }
    let words = query_words(query);
    if words.len() > 1 {
        for id in with_all_words(db, number, &words)? {
            best.entry(id).or_insert((Class::Words, id));
        }
    }
    let mut ranked: Vec<_> = best.into_iter().map(|(id, (class, newest))| (class, newest, id)).collect();
    ranked.sort_unstable_by_key(|(class, newest, _id)| (*class, std::cmp::Reverse(*newest)));
    Ok(ranked)
}

/// A page of what a query finds.
pub(super) fn find(db: &Connection, user: UserId, search: &GraphSearch) -> Outcome<GraphFound> {
    let query = fold(&search.query);
    let mark = digest(&query).to_be_bytes();
    let from = cursor::read(Listing::GraphSearch, mark.len(), search.cursor.as_deref())?;
    if from.as_ref().is_some_and(|place: &Place<2>| place.id != mark) {
        return Err(Fault::Refused(StoreError::InvalidCursor));
    }
    let Some(number) = Number::find(db, user)? else { return Ok(GraphFound::default()) };
    let ranked = ranked(db, number, &query)?;
    let after = from.map(|place| place.numbers);
    let is_behind = |class: Class, newest: i64| after.is_none_or(|[last, before]| (class.number(), -newest) > (last, -before));
    let mut found = GraphFound { hits: super::count(ranked.len()), ..GraphFound::default() };
    let (mut ids, mut entities) = (Vec::new(), Vec::new());
    let mut left = search.bytes;
    let mut last = None;
    for (class, newest, id) in ranked.into_iter().filter(|(class, newest, _id)| is_behind(*class, *newest)) {
        let place = Place { numbers: [class.number(), newest], id: mark.to_vec() };
        let full = entities.len() >= search.limit.max(1);
        let entity = if full { None } else { Some(entity(db, id, search.detail, left)?) };
        let fits = |entity: &Entity| !entity.is_cut(search.detail) && entity.json_size(search.detail) <= left;
        let Some(entity) = entity.filter(|entity| entities.is_empty() || fits(entity)) else {
            found.next = last.map(|place| cursor::write(Listing::GraphSearch, &place));
            break;
        };
        left = left.saturating_sub(entity.json_size(search.detail));
        ids.push(id);
        entities.push(entity);
        last = Some(place);
    }
    found.found = super::read::with_relations(db, &ids, entities, left)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_do_not_end_a_token() {
        assert_eq!(all_of(&["a\"b".to_owned(), "AND".to_owned()]), "\"a\"\"b\" AND \"AND\"");
    }
}
