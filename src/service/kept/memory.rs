//! `/memory` and `/forget`.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::{Kept, Plan, brief, number};
use crate::domain::graph::{Detail, Entity, Fact, GraphCounts, Observation, ObservationId, Relation, fold};
use crate::domain::ids::UserId;
use crate::domain::user::User;
use crate::store::{Change, GraphRead, GraphSearch, PageRequest, StoreResult};

/// Facts of one listing; the phone gets as much of it as fits, and the rest by `MORE`.
const FACTS: usize = 40;
/// Pages of facts that can be asked for by number.
const PAGES: usize = 100;
/// Facts and relations that a search shows.
const FOUND: usize = 25;
/// Links and bare names that are shown behind the facts.
const OTHERS: usize = 20;
/// Readings of the graph for them.
const PARTS: usize = 10;
/// Entities and relations that are looked through for them, and bytes of each such reading.
const LOOKED_AT: (usize, usize) = (1_000, 64 * 1024);

const NOTHING: &str = "Nothing is remembered about you yet.";

impl Kept {
    pub(super) async fn memory(&self, user: Option<&User>, rest: &str) -> StoreResult<Plan> {
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
                let empty = number == 1 && facts.is_empty();
                return Ok(Plan::say(if empty { NOTHING } else { "There is no such page of what is remembered." }));
            }
        }
        let others = if cursor.is_none() { self.others(user.id).await? } else { Vec::new() };
        if facts.is_empty() && others.is_empty() {
            return Ok(Plan::say(NOTHING));
        }
        let mut text = "What is remembered, the newest first:".to_owned();
        for fact in &facts {
            add_fact(&mut text, fact);
        }
        for other in others.iter().take(OTHERS) {
            let _infallible = write!(text, "\n- {}", brief(other));
        }
        if others.len() > OTHERS {
            let _infallible = write!(text, "\n- and {} more", others.len() - OTHERS);
        }
        text.push_str("\n/forget and a number or a name removes it, /memory and a word searches.");
        if cursor.is_some() {
            let _infallible = write!(text, " /memory {} shows older ones.", page + 1);
        }
        Ok(Plan::say(text))
    }

    /// What has no number: links, and names of which nothing else is known.
    async fn others(&self, user: UserId) -> StoreResult<Vec<String>> {
        let (limit, bytes) = LOOKED_AT;
        let (mut bare, mut links, mut cursor) = (Vec::new(), Vec::new(), None);
        // Names come before links; of a very large graph only the beginning is looked at.
        for _part in 0..PARTS {
            let read = GraphRead { cursor, limit, bytes, detail: Detail::Names, whole: true };
            let part = self.store.read_graph(user, read).await?;
            bare.extend(part.entities.into_iter().filter(|entity| entity.observation_count == 0).map(|entity| entity.name));
            links.extend(part.relations);
            cursor = part.next;
            if cursor.is_none() || links.len() > OTHERS {
                break;
            }
        }
        let linked: HashSet<&str> = links.iter().flat_map(|link| [link.from.as_str(), link.to.as_str()]).collect();
        bare.retain(|name: &String| !linked.contains(name.as_str()));
        Ok(links.iter().map(told).chain(bare).collect())
    }

    async fn search(&self, user: &User, query: &str) -> StoreResult<Plan> {
        let found = self.store.recall(user.id, query.to_owned(), FOUND).await?;
        let (mut facts, mut relations, mut bare) = (found.facts, found.relations, Vec::new());
        if facts.is_empty() && relations.is_empty() {
            // Words that say nothing to a recall, as everybody uses them, may be looked for all the same.
            let (_entities, bytes) = LOOKED_AT;
            let search = GraphSearch { query: query.to_owned(), cursor: None, limit: FOUND, bytes, detail: Detail::Plain };
            let found = self.store.search_nodes(user.id, search).await?.found;
            bare.extend(found.entities.iter().filter(|entity| entity.observation_count == 0).map(|entity| entity.name.clone()));
            facts = found.entities.into_iter().flat_map(|entity| facts_about(entity, query)).take(FOUND).collect();
            relations = found.relations;
            relations.truncate(FOUND);
        }
        if facts.is_empty() && relations.is_empty() && bare.is_empty() {
            return Ok(Plan::say("Nothing is remembered about that."));
        }
        let mut text = "Remembered about that:".to_owned();
        for fact in &facts {
            add_fact(&mut text, fact);
        }
        for other in relations.iter().map(told).chain(bare) {
            let _infallible = write!(text, "\n- {}", brief(&other));
        }
        text.push_str("\n/forget and a number or a name removes it.");
        Ok(Plan::say(text))
    }

    pub(super) async fn forget(&self, user: Option<&User>, rest: &str) -> StoreResult<Plan> {
        const HOW: &str = "Which one? /memory shows what is remembered, with numbers; /forget and a number or a name removes one, /forget all everything.";
        const NONE: &str = "Nothing is remembered about you, so nothing was forgotten.";
        let all = rest.to_ascii_lowercase();
        let all: Vec<&str> = all.split_whitespace().collect();
        let Some(user) = user else { return Ok(Plan::say(if rest.is_empty() { HOW } else { NONE })) };
        if let ["all", confirmed @ ..] = all.as_slice() {
            let GraphCounts { entities, observations, .. } = self.store.graph_stats(user.id, 1).await?.counts;
            let much = format!("{observations} facts about {entities} people and things");
            return Ok(match confirmed {
                _ if entities == 0 => Plan::say(NONE),
                ["yes"] => Plan::change(Change::ForgetEverything, format!("Forgotten: {much}."), NONE),
                _ => Plan::say(format!("This forgets {much}, for good. Text \"/forget all yes\" to do it.")),
            });
        }
        let Some(id) = number(rest).and_then(|number| i32::try_from(number).ok()?.try_into().ok()).map(ObservationId) else {
            return Ok(self.forget_name(user, rest).await?.unwrap_or_else(|| Plan::say(HOW)));
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

impl Kept {
    /// What is known of a name is forgotten: with a question first where that is more than the name. `None` when there is no such name.
    async fn forget_name(&self, user: &User, rest: &str) -> StoreResult<Option<Plan>> {
        let (name, is_sure) = match rest.trim().rsplit_once(char::is_whitespace) {
            Some((name, yes)) if yes.eq_ignore_ascii_case("yes") => (name.trim_end(), true),
            _ => (rest.trim(), false),
        };
        if name.is_empty() {
            return Ok(None);
        }
        let around = self.store.open_nodes(user.id, vec![name.to_owned()], Detail::Names, LOOKED_AT.1).await?.found;
        let Some(entity) = around.entities.into_iter().next() else { return Ok(None) };
        let links = around.relations.len() + usize::try_from(around.relations_left).unwrap_or(0);
        let much = format!("{} with {} facts and {links} links", brief(&entity.name), entity.observation_count);
        Ok(Some(if is_sure || entity.observation_count + links == 0 {
            let otherwise = "That was forgotten already.";
            Plan::change(Change::ForgetEntity(entity.name), format!("Forgotten: {much}."), otherwise)
        } else {
            Plan::say(format!("This forgets {much}, for good. Text \"/forget {} yes\" to do it.", brief(&entity.name)))
        }))
    }
}

/// An entity's observations: those that hold the text, or all where none does.
fn facts_about(entity: Entity, text: &str) -> Vec<Fact> {
    let text = fold(text);
    let holds = |observation: &Observation| fold(&observation.text).contains(&text);
    let any = entity.observations.iter().any(holds);
    let wanted = entity.observations.into_iter().filter(|observation| !any || holds(observation));
    wanted.map(|observation| Fact { entity: entity.name.clone(), entity_type: entity.entity_type.clone(), observation }).collect()
}

fn told(relation: &Relation) -> String {
    let Relation { from, to, relation_type } = relation;
    format!("{from} {relation_type} {to}")
}

fn add_fact(text: &mut String, fact: &Fact) {
    let _infallible = write!(text, "\n{}. {}", fact.observation.id, shown(fact));
}

fn shown(fact: &Fact) -> String {
    brief(&format!("{}: {}", fact.entity, fact.observation.text))
}
