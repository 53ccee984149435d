//! Names that look like one that is not there.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::held::Held;
use crate::domain::graph::fold;
use crate::domain::graph_text::{ALIKE, likeness, rarest_tokens};
use crate::store::MissingName;

/// Names told.
const TOLD: usize = 3;
/// Missing names of one call for which they are told: a call may have thousands.
const ANSWERED: usize = 5;
/// Candidates on either side in the alphabet, and of those that share letters.
const BESIDE: usize = 12;
const SHARING: usize = 240;
/// Three letters in a row of the name that are looked for.
const TOKENS: usize = 4;

/// The missing names of one call.
#[derive(Default)]
pub(super) struct Missing {
    answered: HashMap<String, Vec<String>>,
}

impl Missing {
    /// What is said of a name that is no entity's: with those that look like it for the first few names.
    pub(super) fn of(&mut self, held: &Held, name: String) -> MissingName {
        let close = match self.answered.get(&name) {
            Some(close) => close.clone(),
            None if self.answered.len() >= ANSWERED => Vec::new(),
            None => {
                let close = close(held, &name);
                self.answered.insert(name.clone(), close.clone());
                close
            }
        };
        MissingName { name, close }
    }
}

/// Names that look like one: of those beside it in the alphabet, and of those that share most of its rare letters.
fn close(held: &Held, name: &str) -> Vec<String> {
    let folded = fold(name);
    // By name, so that equally alike ones come in the alphabet's order.
    let mut candidates: BTreeMap<&str, &str> = BTreeMap::new();
    let place = (folded.clone(), String::new());
    let after = held.alphabet.range((Bound::Included(place.clone()), Bound::Unbounded)).take(BESIDE);
    let before = held.alphabet.range((Bound::Unbounded, Bound::Excluded(place))).rev().take(BESIDE);
    candidates.extend(after.chain(before).map(|((folded, name), _id)| (name.as_str(), folded.as_str())));
    let tokens = rarest_tokens(&folded, TOKENS);
    let mut sharing: Vec<(usize, i64)> = Vec::new();
    for (id, row) in held.entities.iter().rev() {
        let shared = tokens.iter().filter(|token| row.folded_name.contains(token.as_str())).count();
        if shared > 0 {
            sharing.push((shared, *id));
        }
    }
    sharing.sort_unstable_by(|a, b| b.cmp(a));
    let rows = sharing.iter().take(SHARING).filter_map(|(_shared, id)| held.entities.get(id));
    candidates.extend(rows.map(|row| (row.name.as_str(), row.folded_name.as_str())));
    let alike = candidates.into_iter().map(|(name, other)| (likeness(&folded, other), name));
    let mut close: Vec<(f64, &str)> = alike.filter(|(alike, _name)| *alike >= ALIKE).collect();
    close.sort_by(|a, b| b.0.total_cmp(&a.0));
    close.into_iter().take(TOLD).map(|(_alike, name)| name.to_owned()).collect()
}
