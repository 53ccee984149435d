//! What comes first where a graph is searched, and where it is asked what it knows that has to do with a text. Every backend goes by
//! this; how a backend finds its candidates is its own. Entities and observations go by the backend's numbers, which grow.

use std::collections::HashMap;

/// Where a query was found, the best first. The order is part of cursors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It is the name.
    Exact,
    /// The name begins with it.
    Prefix,
    /// It stands in the name.
    Name,
    /// It stands in the type.
    Type,
    /// It stands in an observation.
    Observation,
    /// Each of its words stands somewhere.
    Words,
}

impl Class {
    /// Where a folded query stands in a folded name; `None` where it does not.
    #[must_use]
    pub fn in_name(query: &str, name: &str) -> Option<Self> {
        name.contains(query).then_some(if name == query {
            Self::Exact
        } else if name.starts_with(query) {
            Self::Prefix
        } else {
            Self::Name
        })
    }

    /// As cursors have it.
    #[must_use]
    pub const fn number(self) -> i64 {
        self as i64
    }
}

/// Hits of one word that count, among entities and among observations: the newest. A word that has so many says little.
pub const HITS: usize = 128;
/// Entities whose facts are told for their own sake.
const ENTITIES: usize = 8;
/// The newest facts of such an entity that are told.
pub const FACTS_EACH: u8 = 12;
/// How much more a word counts that stands in a name as a word of its own.
const WHOLE: f64 = 3.0;

/// How much each fact and each entity of a graph has to do with a text.
#[derive(Debug, Default)]
pub struct Scores {
    observations: HashMap<i64, f64>,
    entities: HashMap<i64, f64>,
}

impl Scores {
    /// Counts a word of the text: the entities that have it, and whether it is a whole word of their names, and the observations that
    /// have it. The fewer they are, the more the word says.
    pub fn add_word(&mut self, entities: &[(i64, bool)], observations: &[i64]) {
        #[expect(clippy::cast_precision_loss, reason = "at most some hundred hits")]
        let weight = 1.0 / (1.0 + (entities.len() + observations.len()) as f64).ln_1p();
        for (id, is_whole) in entities {
            *self.entities.entry(*id).or_default() += weight * if *is_whole { WHOLE } else { 1.0 };
        }
        for id in observations {
            *self.observations.entry(*id).or_default() += weight;
        }
    }

    /// The observations that have a word of the text.
    #[must_use]
    pub fn observations(&self) -> Vec<i64> {
        self.observations.keys().copied().collect()
    }

    /// A fact that has a word counts more when its entity has one too. Each pair is an observation and its entity.
    pub fn join(&mut self, pairs: impl IntoIterator<Item = (i64, i64)>) {
        for (observation, entity) in pairs {
            if let Some((score, more)) = self.observations.get_mut(&observation).zip(self.entities.get(&entity)) {
                *score += more;
            }
        }
    }

    /// Entities, the one that has most to do with the text first, with how much that is.
    #[must_use]
    pub fn best_entities(&self) -> Vec<(i64, f64)> {
        best(&self.entities, ENTITIES)
    }

    /// Counts facts of an entity that has that much to do with the text, where they have no word of it themselves.
    pub fn add_facts(&mut self, observations: impl IntoIterator<Item = i64>, score: f64) {
        for id in observations {
            self.observations.entry(id).or_insert(score);
        }
    }

    /// The observations that have most to do with the text, the best first.
    #[must_use]
    pub fn best_observations(&self, limit: usize) -> Vec<i64> {
        best(&self.observations, limit).into_iter().map(|(id, _score)| id).collect()
    }
}

/// The best first, and of equals the newest.
fn best(scores: &HashMap<i64, f64>, limit: usize) -> Vec<(i64, f64)> {
    let mut best: Vec<(i64, f64)> = scores.iter().map(|(id, score)| (*id, *score)).collect();
    best.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    best.truncate(limit);
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_better_the_more_of_it_is_asked_for() {
        let classes = ["ada", "ada lovelace", "dear ada", "bob"].map(|name| Class::in_name("ada", name));
        assert_eq!(classes, [Some(Class::Exact), Some(Class::Prefix), Some(Class::Name), None]);
        assert!(Class::Name < Class::Type && Class::Type < Class::Observation && Class::Observation < Class::Words);
        assert_eq!((Class::Exact.number(), Class::Words.number()), (0, 5), "stored in cursors");
    }

    #[test]
    fn rare_words_and_whole_names_count_most() {
        let mut scores = Scores::default();
        scores.add_word(&[(1, true), (2, false)], &[10]);
        scores.add_word(&[], &[11, 12, 13, 14, 15, 16]);
        assert_eq!(scores.best_entities().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(scores.best_observations(2), [10, 16], "and of equals the newest");
        scores.join([(11, 1), (99, 1)]);
        assert_eq!(scores.best_observations(1), [11], "its entity was named");
        scores.add_facts([11, 20], 100.0);
        assert_eq!(scores.best_observations(2), [20, 11], "what has a word of its own keeps its score");
    }
}
