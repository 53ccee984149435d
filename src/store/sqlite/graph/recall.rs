//! What a graph knows that has to do with a text: each rare word of the text counts for the facts that have it.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::super::fault::Outcome;
use super::read::{fact, newest_relations, select_fact};
use super::search::{entity_of, rows};
use super::{Number, counts};
use crate::domain::graph::{GraphCounts, Relation};
use crate::domain::graph_rank::{FACTS_EACH, HITS, Scores};
use crate::domain::graph_text::{is_word_of, topic_words};
use crate::domain::ids::UserId;
use crate::store::Recollection;

/// Rows of a graph up to which words are looked for that are too short for the index.
const SMALL: i64 = 5_000;
/// Counts the words of a text.
fn scores_of(db: &Connection, number: Number, text: &str) -> Outcome<Scores> {
    let mut scores = Scores::default();
    let GraphCounts { entities, observations, .. } = counts(db, number)?;
    let is_small = entities + observations <= SMALL;
    for word in topic_words(text).into_iter().filter(|word| is_small || word.chars().count() >= 3) {
        // Names are few and say most: they are asked apart, so that a word of many observations does not hide them.
        let entities = rows(db, number.entities(), &word, HITS)?;
        let entities: Vec<(i64, bool)> = entities.iter().map(|hit| (hit.id, is_word_of(&word, &hit.name))).collect();
        let observations = rows(db, number.observations(), &word, HITS)?;
        scores.add_word(&entities, &observations.iter().map(|hit| hit.id).collect::<Vec<_>>());
    }
    Ok(scores)
}

/// The best facts and the relations of the entities that the text names.
pub(super) fn recall(db: &Connection, user: UserId, text: &str, limit: usize) -> Outcome<Recollection> {
    let Some(number) = Number::find(db, user)? else { return Ok(Recollection::default()) };
    let mut scores = scores_of(db, number, text)?;
    let entities = scores.best_entities();
    let with_entity = |id: i64| Ok((id, entity_of(db, id)?));
    scores.join(scores.observations().into_iter().map(with_entity).collect::<Outcome<Vec<_>>>()?);
    let mut newest = db.prepare_cached("SELECT id FROM observations WHERE entity = ?1 ORDER BY id DESC LIMIT ?2")?;
    for (entity, score) in &entities {
        let facts = newest.query_map(params![entity, FACTS_EACH], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        scores.add_facts(facts, *score);
    }
    let best = scores.best_observations(limit);
    let mut by_id = db.prepare_cached(select_fact!("WHERE o.id = ?1"))?;
    let mut facts = Vec::with_capacity(best.len());
    for id in best {
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
