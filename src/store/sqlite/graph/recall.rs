//! What a graph knows that has to do with a text: each rare word of the text counts for the facts that have it.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, params};

use super::super::fault::Outcome;
use super::read::{fact, newest_relations, select_fact};
use super::search::{entity_of, is_observation, rows};
use super::{Number, counts};
use crate::domain::graph::{GraphCounts, Relation};
use crate::domain::graph_text::{is_word_of, topic_words};
use crate::domain::ids::UserId;
use crate::store::Recollection;

/// Rows of one word that count: the newest. A word that has so many says little.
const ROWS: usize = 128;
/// Rows of a graph up to which words are looked for that are too short for the index.
const SMALL: i64 = 5_000;
/// Entities whose facts are told for their own sake.
const ENTITIES: usize = 8;
/// The newest facts of such an entity that are told.
const FACTS_EACH: i64 = 12;

/// How much each fact and each entity has to do with a text.
#[derive(Default)]
struct Scores {
    observations: HashMap<i64, f64>,
    entities: HashMap<i64, f64>,
}

impl Scores {
    fn of(db: &Connection, number: Number, text: &str) -> Outcome<Self> {
        let mut scores = Self::default();
        let GraphCounts { entities, observations, .. } = counts(db, number)?;
        let is_small = entities + observations <= SMALL;
        for word in topic_words(text).into_iter().filter(|word| is_small || word.chars().count() >= 3) {
            // Names are few and say most: they are asked apart, so that a word of many observations does not hide them.
            let mut hits = rows(db, number.entities(), &word, ROWS)?;
            hits.extend(rows(db, number.observations(), &word, ROWS)?);
            #[expect(clippy::cast_precision_loss, reason = "at most some hundred rows")]
            let weight = 1.0 / (1.0 + hits.len() as f64).ln_1p();
            for hit in hits {
                if is_observation(hit.id) {
                    *scores.observations.entry(hit.id).or_default() += weight;
                } else {
                    let weight = weight * if hit.in_name && is_word_of(&word, &hit.name) { 3.0 } else { 1.0 };
                    *scores.entities.entry(hit.id).or_default() += weight;
                }
            }
        }
        Ok(scores)
    }

    /// Entities, the one that has most to do with the text first.
    fn best_entities(&self) -> Vec<(i64, f64)> {
        let mut entities: Vec<(i64, f64)> = self.entities.iter().map(|(id, score)| (*id, *score)).collect();
        entities.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
        entities.truncate(ENTITIES);
        entities
    }
}

/// The best facts and the relations of the entities that the text names.
pub(super) fn recall(db: &Connection, user: UserId, text: &str, limit: usize) -> Outcome<Recollection> {
    let Some(number) = Number::find(db, user)? else { return Ok(Recollection::default()) };
    let mut scores = Scores::of(db, number, text)?;
    let entities = scores.best_entities();
    // A fact that has a word counts more when its entity has one too.
    for (id, score) in &mut scores.observations {
        let entity = entity_of(db, *id)?;
        *score += scores.entities.get(&entity).copied().unwrap_or_default();
    }
    let mut newest = db.prepare_cached("SELECT id FROM observations WHERE entity = ?1 ORDER BY id DESC LIMIT ?2")?;
    for (entity, score) in &entities {
        for id in newest.query_map(params![entity, FACTS_EACH], |row| row.get(0))? {
            scores.observations.entry(id?).or_insert(*score);
        }
    }
    let mut best: Vec<(i64, f64)> = scores.observations.into_iter().collect();
    best.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    best.truncate(limit);
    let mut by_id = db.prepare_cached(select_fact!("WHERE o.id = ?1"))?;
    let mut facts = Vec::with_capacity(best.len());
    for (id, _score) in best {
        facts.extend(by_id.query_row([id], fact).optional()?);
    }
    let mut relations: Vec<Relation> = Vec::new();
    let mut told = HashSet::new();
    for (entity, _score) in entities {
        for (id, relation) in newest_relations(db, entity, limit.saturating_sub(relations.len()))? {
            if told.insert(id) {
                relations.push(relation);
            }
        }
    }
    Ok(Recollection { facts, relations })
}
