//! What a graph knows that has to do with a text: each rare word of the text counts for the facts that have it.

use std::collections::{HashMap, HashSet};

use super::held::Held;
use super::read::{fact, newest_relations};
use crate::domain::graph::Relation;
use crate::domain::graph_text::{is_word_of, topic_words};
use crate::store::Recollection;

/// Hits of one word that count, among entities and among observations: the newest. A word that has so many says little.
const HITS: usize = 128;
/// Entities whose facts are told for their own sake.
const ENTITIES: usize = 8;
/// The newest facts of such an entity that are told.
const FACTS_EACH: usize = 12;

/// How much each fact and each entity has to do with a text.
#[derive(Default)]
struct Scores {
    observations: HashMap<i64, f64>,
    entities: HashMap<i64, f64>,
}

impl Scores {
    fn of(held: &Held, text: &str) -> Self {
        let mut scores = Self::default();
        for word in topic_words(text) {
            let word = word.as_str();
            let in_entity = |id: &i64| held.entities.get(id).filter(|row| row.folded_name.contains(word) || row.folded_type.contains(word));
            let entities: Vec<(i64, bool)> = held
                .entities
                .keys()
                .rev()
                .filter_map(|id| in_entity(id).map(|row| (*id, is_word_of(word, &row.folded_name))))
                .take(HITS)
                .collect();
            let observations: Vec<i64> =
                held.observations.iter().rev().filter(|(_id, row)| row.folded.contains(word)).map(|(id, _row)| *id).take(HITS).collect();
            #[expect(clippy::cast_precision_loss, reason = "at most some hundred hits")]
            let weight = 1.0 / (1.0 + (entities.len() + observations.len()) as f64).ln_1p();
            for (id, is_whole) in entities {
                *scores.entities.entry(id).or_default() += weight * if is_whole { 3.0 } else { 1.0 };
            }
            for id in observations {
                *scores.observations.entry(id).or_default() += weight;
            }
        }
        scores
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
pub(super) fn recall(held: &Held, text: &str, limit: usize) -> Recollection {
    let mut scores = Scores::of(held, text);
    let entities = scores.best_entities();
    // A fact that has a word counts more when its entity has one too.
    for (id, score) in &mut scores.observations {
        let entity = held.observations.get(id).map(|row| row.entity);
        *score += entity.and_then(|entity| scores.entities.get(&entity)).copied().unwrap_or_default();
    }
    for (entity, score) in &entities {
        let newest = held.entities.get(entity).into_iter().flat_map(|row| row.observations.iter().rev().take(FACTS_EACH));
        for id in newest {
            scores.observations.entry(*id).or_insert(*score);
        }
    }
    let mut best: Vec<(i64, f64)> = scores.observations.into_iter().collect();
    best.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    best.truncate(limit);
    let facts = best.iter().filter_map(|(id, _score)| held.observations.get(id).and_then(|row| fact(held, *id, row))).collect();
    let mut relations: Vec<Relation> = Vec::new();
    let mut told = HashSet::new();
    for (entity, _score) in entities {
        for (id, relation) in newest_relations(held, entity, limit.saturating_sub(relations.len())) {
            if told.insert(id) {
                relations.push(relation);
            }
        }
    }
    Recollection { facts, relations }
}
