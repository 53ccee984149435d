//! What a graph knows that has to do with a text: each rare word of the text counts for the facts that have it.

use std::collections::HashSet;

use super::held::Held;
use super::read::{fact, newest_relations};
use crate::domain::graph::Relation;
use crate::domain::graph_rank::{FACTS_EACH, HITS, Scores};
use crate::domain::graph_text::{is_word_of, topic_words};
use crate::store::Recollection;

/// Counts the words of a text.
fn scores_of(held: &Held, text: &str) -> Scores {
    let mut scores = Scores::default();
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
        scores.add_word(&entities, &observations);
    }
    scores
}

/// The best facts and the relations of the entities that the text names.
pub(super) fn recall(held: &Held, text: &str, limit: usize) -> Recollection {
    let mut scores = scores_of(held, text);
    let entities = scores.best_entities();
    let with_entity = |id: i64| Some((id, held.observations.get(&id)?.entity));
    scores.join(scores.observations().into_iter().filter_map(with_entity));
    for (entity, score) in &entities {
        let observations = held.entities.get(entity).into_iter().flat_map(|row| &row.observations);
        scores.add_facts(observations.rev().take(FACTS_EACH.into()).copied(), *score);
    }
    let best = scores.best_observations(limit);
    let facts = best.iter().filter_map(|id| held.observations.get(id).and_then(|row| fact(held, *id, row))).collect();
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
