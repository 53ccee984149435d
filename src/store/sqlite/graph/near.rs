//! Names that look like one that is not there. The candidates are few, however large the graph.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, params};

use super::super::fault::Outcome;
use super::Number;
use super::search::{quoted, rarest_tokens};
use crate::domain::graph::fold;
use crate::store::MissingName;

/// Names told.
const TOLD: usize = 3;
/// Missing names of one call for which they are told: a call may have thousands, and a write holds up everybody's.
const ANSWERED: usize = 5;
/// Candidates on either side in the alphabet, and of those that share letters.
const BESIDE: i64 = 12;
const SHARING: i64 = 40;
/// Tokens of the name that are asked for.
const TOKENS: usize = 4;
/// Characters of a name that are compared.
const COMPARED: usize = 64;
/// How alike two names must be, from 0 to 1.
const ALIKE: f64 = 0.75;

/// The missing names of one call.
#[derive(Default)]
pub(super) struct Missing {
    answered: HashMap<String, Vec<String>>,
}

impl Missing {
    /// What is said of a name that is no entity's: with those that look like it for the first few names.
    pub(super) fn of(&mut self, db: &Connection, number: Number, name: String) -> Outcome<MissingName> {
        let close = match self.answered.get(&name) {
            Some(close) => close.clone(),
            None if self.answered.len() >= ANSWERED => Vec::new(),
            None => {
                let close = close(db, number, &name)?;
                self.answered.insert(name.clone(), close.clone());
                close
            }
        };
        Ok(MissingName { name, close })
    }
}

/// Names that look like one.
fn close(db: &Connection, number: Number, name: &str) -> Outcome<Vec<String>> {
    let folded = fold(name);
    let mut candidates: BTreeSet<String> = BTreeSet::new();
    for sql in [
        "SELECT name FROM entities WHERE graph = ?1 AND folded >= ?2 ORDER BY folded, name LIMIT ?3",
        "SELECT name FROM entities WHERE graph = ?1 AND folded < ?2 ORDER BY folded DESC, name DESC LIMIT ?3",
    ] {
        for found in db.prepare_cached(sql)?.query_map(params![number.0, folded, BESIDE], |row| row.get(0))? {
            candidates.insert(found?);
        }
    }
    let (first, last) = number.entities();
    let mut sharing = db.prepare_cached(
        "SELECT e.name FROM graph_index i JOIN entities e ON e.id = i.rowid
         WHERE i.graph_index MATCH ?1 AND i.rowid BETWEEN ?2 AND ?3 ORDER BY i.rowid DESC LIMIT ?4",
    )?;
    // Each token and each two of them: two that are shared say more, and one may be where the slip is.
    let tokens: Vec<String> = rarest_tokens(&folded, TOKENS).iter().map(|token| format!("name : {}", quoted(token))).collect();
    for (place, one) in tokens.iter().enumerate() {
        let pairs = tokens.iter().skip(place + 1).map(|other| format!("{one} AND {other}"));
        for expression in std::iter::once(one.clone()).chain(pairs) {
            for found in sharing.query_map(params![expression, first, last, SHARING], |row| row.get(0))? {
                candidates.insert(found?);
            }
        }
    }
    let mut close: Vec<(f64, String)> = candidates
        .into_iter()
        .map(|candidate| (likeness(&folded, &fold(&candidate)), candidate))
        .filter(|(alike, _name)| *alike >= ALIKE)
        .collect();
    close.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(close.into_iter().take(TOLD).map(|(_alike, name)| name).collect())
}

/// How alike two folded names are: by their letters, or because one is a whole word of the other.
fn likeness(a: &str, b: &str) -> f64 {
    let word_of =
        |short: &str, long: &str| short.chars().count() >= 3 && long.split(|c: char| !c.is_alphanumeric()).any(|word| word == short);
    if word_of(a, b) || word_of(b, a) {
        return 0.9;
    }
    let begin = |text: &str| -> String { text.chars().take(COMPARED).collect() };
    let (a, b) = (begin(a), begin(b));
    let (has, other) = (a.chars().count(), b.chars().count());
    let (short, long) = (has.min(other), has.max(other));
    // What differs so much in length is not alike, whatever its letters.
    if short * 4 < long {
        return 0.0;
    }
    let by_order = if has > 3 { strsim::jaro_winkler(&a, &b) - 0.1 } else { 0.0 };
    // Each character that one has more is a step from one to the other.
    if short * 4 < long * 3 {
        return by_order;
    }
    #[expect(clippy::cast_precision_loss, reason = "both are at most COMPARED")]
    let by_steps = if long == 0 { 1.0 } else { 1.0 - strsim::osa_distance(&a, &b) as f64 / long as f64 };
    by_steps.max(by_order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_parts_are_alike_and_others_are_not() {
        for (a, b) in [("ada lovelace", "ada lovelce"), ("ada", "ada lovelace"), ("project x", "projekt x"), ("lodnon", "london")] {
            assert!(likeness(a, b) >= ALIKE, "{a} {b}: {}", likeness(a, b));
        }
        for (a, b) in [("ada", "bob"), ("london", "paris"), ("entity-000001", "sister"), ("a", "b")] {
            assert!(likeness(a, b) < ALIKE, "{a} {b}: {}", likeness(a, b));
        }
        let long = "an entity with a very long name ".repeat(8);
        assert!(likeness("an entity", &long) < f64::EPSILON, "they differ too much in length to be compared");
        assert!(likeness(&long, &long.replace("very", "vrey")) >= ALIKE);
    }
}
