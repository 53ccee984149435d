//! Adding to a graph. Each function is one unit of work: it refuses before or after it has begun to write, and then all is undone.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::super::fault::{Fault, Outcome};
use super::super::people;
use super::super::writer::Unit;
use super::{Number, OBSERVATION, digest, entity_id, near, observation_of};
use crate::domain::graph::{GraphCounts, GraphLimits, GraphRefusal, NewEntity, NewObservations, Relation, composed, fold};
use crate::domain::ids::{ConversationId, UserId};
use crate::store::{DanglingRelation, Imported, MissingName, RelationsWritten, StoreError, Written};

impl From<GraphRefusal> for Fault {
    fn from(refusal: GraphRefusal) -> Self {
        Self::Refused(StoreError::Conflict { reason: refusal.to_string() })
    }
}

/// A person's graph while it is written to: its counters are kept here and stored once.
pub(super) struct Open<'a> {
    unit: &'a Unit<'a>,
    pub(super) number: Number,
    last_item: i64,
    pub(super) counts: GraphCounts,
    limits: GraphLimits,
}

impl<'a> Open<'a> {
    /// The graph of a person, made where there is none.
    fn of(unit: &'a Unit<'a>, user: UserId, limits: GraphLimits) -> Outcome<Self> {
        let find = |db: &Connection| -> Outcome<Option<(i64, i64, GraphCounts)>> {
            Ok(db
                .prepare_cached("SELECT number, last_item, entities, observations, relations FROM graphs WHERE user_id = ?1")?
                .query_row([user], |row| {
                    Ok((row.get(0)?, row.get(1)?, GraphCounts { entities: row.get(2)?, observations: row.get(3)?, relations: row.get(4)? }))
                })
                .optional()?)
        };
        let found = match find(unit.db)? {
            Some(found) => found,
            None if people::find(unit.db, user)?.is_none() => return Err(StoreError::NotFound { what: "the person" }.into()),
            None => {
                unit.db.prepare_cached("INSERT INTO graphs (user_id) VALUES (?1)")?.execute([user])?;
                (unit.db.last_insert_rowid(), 0, GraphCounts::default())
            }
        };
        let (number, last_item, counts) = found;
        Ok(Self { unit, number: Number(number), last_item, counts, limits })
    }

    /// Stores the counters.
    fn close(self) -> Outcome<()> {
        self.unit
            .db
            .prepare_cached("UPDATE graphs SET last_item = ?2, entities = ?3, observations = ?4, relations = ?5 WHERE number = ?1")?
            .execute(params![self.number.0, self.last_item, self.counts.entities, self.counts.observations, self.counts.relations])?;
        Ok(())
    }

    /// The next id, of an entity or relation.
    fn next_id(&mut self) -> Outcome<i64> {
        self.last_item += 1;
        if self.last_item >= OBSERVATION {
            let reason =
                "the graph has used up its 2,147,483,647 numbers, which deleting does not give back; nothing can be added to it any more"
                    .to_owned();
            return Err(StoreError::Conflict { reason }.into());
        }
        Ok(self.number.first() | self.last_item)
    }

    /// Makes an entity that is not there.
    fn add_entity(&mut self, name: &str, entity_type: &str) -> Outcome<i64> {
        if self.counts.entities >= self.limits.entities {
            return Err(GraphRefusal::Full { what: "entities", limit: self.limits.entities }.into());
        }
        let (id, folded) = (self.next_id()?, fold(name));
        self.unit
            .db
            .prepare_cached(
                "INSERT INTO entities (id, graph, folded, name, type, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
            )?
            .execute(params![id, self.number.0, folded, name, entity_type, self.unit.now])?;
        self.unit.db.prepare_cached("INSERT INTO graph_index (rowid, name, type) VALUES (?1, ?2, ?3)")?.execute(params![
            id,
            folded,
            fold(entity_type)
        ])?;
        self.counts.entities += 1;
        Ok(id)
    }

    /// Gives an entity that is there another type; false when it has it already.
    fn change_type(&self, id: i64, entity_type: &str) -> Outcome<bool> {
        let changed = self
            .unit
            .db
            .prepare_cached("UPDATE entities SET type = ?2, updated_at = ?3 WHERE id = ?1 AND type <> ?2")?
            .execute(params![id, entity_type, self.unit.now])?;
        if changed > 0 {
            self.unit.db.prepare_cached("UPDATE graph_index SET type = ?2 WHERE rowid = ?1")?.execute(params![id, fold(entity_type)])?;
        }
        Ok(changed > 0)
    }

    /// Adds those of `texts` that the entity lacks, and returns them.
    fn add_observations(&mut self, entity: i64, texts: &[String], from: Option<ConversationId>) -> Outcome<Vec<String>> {
        let mut added = Vec::new();
        for text in texts {
            let text = composed(text);
            if observation_of(self.unit.db, entity, &text)?.is_some() {
                continue;
            }
            if self.counts.observations >= self.limits.observations {
                return Err(GraphRefusal::Full { what: "observations", limit: self.limits.observations }.into());
            }
            let id = self.next_id()? | OBSERVATION;
            self.unit
                .db
                .prepare_cached(
                    "INSERT INTO observations (id, entity, digest, text, conversation_id, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![id, entity, digest(&text), text, from, self.unit.now])?;
            self.unit.db.prepare_cached("INSERT INTO graph_index (rowid, text) VALUES (?1, ?2)")?.execute(params![id, fold(&text)])?;
            self.counts.observations += 1;
            added.push(text);
        }
        Ok(added)
    }

    fn touch(&self, entity: i64) -> Outcome<()> {
        let touch = "UPDATE entities SET updated_at = ?2 WHERE id = ?1";
        self.unit.db.prepare_cached(touch)?.execute(params![entity, self.unit.now])?;
        Ok(())
    }

    /// Makes an entity or merges it into the one of its name; `None` when that changed nothing.
    fn merge(&mut self, new: &NewEntity, from: Option<ConversationId>) -> Outcome<Option<(i64, Written)>> {
        let (name, entity_type) = (composed(&new.name), composed(&new.entity_type));
        let (id, created, retyped) = match entity_id(self.unit.db, self.number, &name)? {
            Some(id) => (id, false, !entity_type.is_empty() && self.change_type(id, &entity_type)?),
            None => (self.add_entity(&name, &entity_type)?, true, false),
        };
        let added = self.add_observations(id, &new.observations, from)?;
        if !created && !retyped && added.is_empty() {
            return Ok(None);
        }
        if !created && !added.is_empty() {
            self.touch(id)?;
        }
        let stored = "SELECT type FROM entities WHERE id = ?1";
        let entity_type =
            if entity_type.is_empty() { self.unit.db.prepare_cached(stored)?.query_row([id], |row| row.get(0))? } else { entity_type };
        Ok(Some((id, Written { name, entity_type, added, created })))
    }

    /// Makes a relation; false when it is there, the missing ends when they are.
    fn relate(&mut self, relation: &Relation) -> Outcome<Result<bool, Vec<String>>> {
        let source = entity_id(self.unit.db, self.number, &relation.from)?;
        let target = entity_id(self.unit.db, self.number, &relation.to)?;
        let (Some(source), Some(target)) = (source, target) else {
            let mut missing: Vec<String> = [(source, &relation.from), (target, &relation.to)]
                .into_iter()
                .filter(|(id, _name)| id.is_none())
                .map(|(_id, name)| name.clone())
                .collect();
            missing.dedup();
            return Ok(Err(missing));
        };
        let there = self
            .unit
            .db
            .prepare_cached("SELECT 1 FROM relations WHERE source = ?1 AND target = ?2 AND type = ?3")?
            .exists(params![source, target, relation.relation_type])?;
        if there {
            return Ok(Ok(false));
        }
        if self.counts.relations >= self.limits.relations {
            return Err(GraphRefusal::Full { what: "relations", limit: self.limits.relations }.into());
        }
        let id = self.next_id()?;
        self.unit
            .db
            .prepare_cached("INSERT INTO relations (id, source, target, type, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![id, source, target, relation.relation_type, self.unit.now])?;
        self.counts.relations += 1;
        Ok(Ok(true))
    }
}

/// Makes or merges entities.
pub(super) fn create_entities(
    unit: &Unit<'_>,
    user: UserId,
    entities: &[NewEntity],
    from: Option<ConversationId>,
    limits: GraphLimits,
) -> Outcome<Vec<Written>> {
    limits.count("entities", entities.len())?;
    for entity in entities {
        limits.count("observations of one entity", entity.observations.len())?;
        limits.entity(entity)?;
    }
    let mut graph = Open::of(unit, user, limits)?;
    let mut written: Vec<Written> = Vec::new();
    // One entity may stand in a batch twice; it is told once.
    let mut told: HashMap<i64, usize> = HashMap::new();
    for entity in entities {
        let Some((id, one)) = graph.merge(entity, from)? else { continue };
        if let Some(before) = told.get(&id).and_then(|place| written.get_mut(*place)) {
            before.entity_type = one.entity_type;
            before.added.extend(one.added);
        } else {
            told.insert(id, written.len());
            written.push(one);
        }
    }
    graph.close()?;
    Ok(written)
}

/// Makes relations.
pub(super) fn create_relations(unit: &Unit<'_>, user: UserId, relations: &[Relation], limits: GraphLimits) -> Outcome<RelationsWritten> {
    limits.count("relations", relations.len())?;
    relations.iter().try_for_each(|relation| limits.relation(relation))?;
    let mut graph = Open::of(unit, user, limits)?;
    let mut written = RelationsWritten::default();
    let mut close = near::Missing::default();
    for relation in relations {
        let relation = relation.composed();
        match graph.relate(&relation)? {
            Ok(true) => written.created.push(relation),
            Ok(false) => {}
            Err(names) => {
                let missing = names.into_iter().map(|name| close.of(unit.db, graph.number, name)).collect::<Outcome<_>>()?;
                written.refused.push(DanglingRelation { relation, missing });
            }
        }
    }
    graph.close()?;
    Ok(written)
}

/// Adds observations.
pub(super) fn add_observations(
    unit: &Unit<'_>,
    user: UserId,
    observations: &[NewObservations],
    from: Option<ConversationId>,
    limits: GraphLimits,
) -> Outcome<Vec<Written>> {
    limits.count("entities", observations.len())?;
    for new in observations {
        limits.count("observations of one entity", new.contents.len())?;
        limits.name("entity name", &new.entity)?;
        new.entity_type.iter().try_for_each(|entity_type| limits.entity_type(entity_type))?;
        new.contents.iter().try_for_each(|text| limits.observation(text))?;
    }
    let mut graph = Open::of(unit, user, limits)?;
    let mut missing: Vec<MissingName> = Vec::new();
    let mut close = near::Missing::default();
    let mut written = Vec::new();
    for new in observations {
        let name = composed(&new.entity);
        let (id, created) = match (entity_id(unit.db, graph.number, &name)?, &new.entity_type) {
            (Some(id), _) => (id, false),
            (None, Some(entity_type)) => (graph.add_entity(&name, &composed(entity_type))?, true),
            (None, None) => {
                missing.push(close.of(unit.db, graph.number, name)?);
                continue;
            }
        };
        let added = graph.add_observations(id, &new.contents, from)?;
        if !created && !added.is_empty() {
            graph.touch(id)?;
        }
        let stored = "SELECT type FROM entities WHERE id = ?1";
        let entity_type = unit.db.prepare_cached(stored)?.query_row([id], |row| row.get(0))?;
        written.push(Written { name, entity_type, added, created });
    }
    if !missing.is_empty() {
        let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
        let reason = format!("nothing was added: {}; make it with create_entities, or give an entityType with it", names.join("; "));
        return Err(StoreError::Conflict { reason }.into());
    }
    graph.close()?;
    Ok(written)
}

/// Merges a whole graph.
pub(super) fn import(
    unit: &Unit<'_>,
    user: UserId,
    entities: &[NewEntity],
    relations: &[Relation],
    limits: GraphLimits,
) -> Outcome<Imported> {
    entities.iter().try_for_each(|entity| limits.entity(entity))?;
    relations.iter().try_for_each(|relation| limits.relation(relation))?;
    let mut graph = Open::of(unit, user, limits)?;
    let mut imported = Imported::default();
    for entity in entities {
        if let Some((_id, written)) = graph.merge(entity, None)? {
            imported.count(&written);
        }
    }
    for relation in relations {
        let relation = relation.composed();
        match graph.relate(&relation)? {
            Ok(made) => imported.relations += i64::from(made),
            Err(_missing) => imported.dangling.push(relation),
        }
    }
    graph.close()?;
    Ok(imported)
}
