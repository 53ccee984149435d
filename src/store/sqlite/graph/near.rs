//! Names that look like one that is not there. The candidates are few, however large the graph.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, params};

use super::super::fault::Outcome;
use super::Number;
use super::search::quoted;
use crate::domain::graph::fold;
use crate::domain::graph_text::{ALIKE, likeness, rarest_tokens};
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
