//! `/memory` and `/forget`.

use std::fmt::Write as _;

use super::{Kept, Plan, brief, number};
use crate::domain::graph::{Fact, GraphCounts, ObservationId, Relation};
use crate::domain::user::User;
use crate::store::{Change, PageRequest, StoreResult};

/// Facts of one listing; the phone gets as much of it as fits, and the rest by `MORE`.
const FACTS: usize = 40;
/// Pages of facts that can be asked for by number.
const PAGES: usize = 100;
/// Facts and relations that a search shows.
const FOUND: usize = 25;

impl Kept {
    pub(super) async fn memory(&self, user: Option<&User>, rest: &str) -> StoreResult<Plan> {
        const NOTHING: &str = "Nothing is remembered about you yet.";
        let Some(user) = user else { return Ok(Plan::say(NOTHING)) };
        let page: usize = if rest.is_empty() { 1 } else { rest.parse().unwrap_or(0) };
        if page == 0 {
            return self.search(user, rest).await;
        }
        let mut cursor = None;
        let mut facts = Vec::new();
        for number in 1..=page.min(PAGES) {
            let listed = self.store.list_facts(user.id, PageRequest { cursor, limit: FACTS }).await?;
            (facts, cursor) = (listed.items, listed.next);
            if cursor.is_none() && number < page {
                return Ok(Plan::say(if number == 1 && facts.is_empty() {
                    NOTHING
                } else {
                    "There is no such page of what is remembered."
                }));
            }
        }
        if facts.is_empty() {
            return Ok(Plan::say(NOTHING));
        }
        let mut text = "What is remembered, the newest first:".to_owned();
        for fact in &facts {
            add_fact(&mut text, fact);
        }
        text.push_str("\n/forget and a number removes one, /memory and a word searches.");
        if cursor.is_some() {
            let _infallible = write!(text, " /memory {} shows older ones.", page + 1);
        }
        Ok(Plan::say(text))
    }

    async fn search(&self, user: &User, query: &str) -> StoreResult<Plan> {
        let found = self.store.recall(user.id, query.to_owned(), FOUND).await?;
        if found.facts.is_empty() && found.relations.is_empty() {
            return Ok(Plan::say("Nothing is remembered about that."));
        }
        let mut text = "Remembered about that:".to_owned();
        found.facts.iter().for_each(|fact| add_fact(&mut text, fact));
        for Relation { from, to, relation_type } in &found.relations {
            let _infallible = write!(text, "\n- {}", brief(&format!("{from} {relation_type} {to}")));
        }
        if !found.facts.is_empty() {
            text.push_str("\n/forget and a number removes one.");
        }
        Ok(Plan::say(text))
    }

    pub(super) async fn forget(&self, user: Option<&User>, rest: &str) -> StoreResult<Plan> {
        const HOW: &str =
            "Which one? /memory shows what is remembered, with numbers; /forget and a number removes one, /forget all everything.";
        const NOTHING: &str = "Nothing is remembered about you, so nothing was forgotten.";
        let all = rest.to_ascii_lowercase();
        let all: Vec<&str> = all.split_whitespace().collect();
        let Some(user) = user else { return Ok(Plan::say(if rest.is_empty() { HOW } else { NOTHING })) };
        if let ["all", confirmed @ ..] = all.as_slice() {
            let GraphCounts { entities, observations, .. } = self.store.graph_stats(user.id, 1).await?.counts;
            let much = format!("{observations} facts about {entities} people and things");
            return Ok(match confirmed {
                _ if entities == 0 => Plan::say(NOTHING),
                ["yes"] => Plan::change(Change::ForgetEverything, format!("Forgotten: {much}."), NOTHING),
                _ => Plan::say(format!("This forgets {much}, for good. Text \"/forget all yes\" to do it.")),
            });
        }
        let Some(id) = number(rest).and_then(|number| i32::try_from(number).ok()?.try_into().ok()).map(ObservationId) else {
            return Ok(Plan::say(HOW));
        };
        Ok(match self.store.find_fact(user.id, id).await? {
            Some(fact) => {
                let done = format!("Forgotten: {}", shown(&fact));
                Plan::change(Change::Forget(id), done, format!("Number {id} was forgotten already."))
            }
            None => Plan::say(format!("Nothing that is remembered has the number {id}. /memory shows what there is.")),
        })
    }
}

fn add_fact(text: &mut String, fact: &Fact) {
    let _infallible = write!(text, "\n{}. {}", fact.observation.id, shown(fact));
}

fn shown(fact: &Fact) -> String {
    brief(&format!("{}: {}", fact.entity, fact.observation.text))
}
