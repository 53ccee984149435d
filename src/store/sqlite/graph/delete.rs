//! Taking away from a graph: rows, what the index has of them, and the counters.

use rusqlite::{Connection, OptionalExtension, params};

use super::super::fault::Outcome;
use super::super::writer::Unit;
use super::{Number, count, counts, entity_id, observation, observation_of};
use crate::domain::graph::{Fact, GraphCounts, ObservationId, Relation, composed};
use crate::domain::ids::UserId;
use crate::store::{Deleted, NamedObservation};

/// Takes from the counters what was deleted.
fn subtract(db: &Connection, number: Number, gone: GraphCounts) -> Outcome<()> {
    db.prepare_cached(
        "UPDATE graphs SET entities = entities - ?2, observations = observations - ?3, relations = relations - ?4 WHERE number = ?1",
    )?
    .execute(params![number.0, gone.entities, gone.observations, gone.relations])?;
    Ok(())
}

fn remove_from_index(db: &Connection, id: i64) -> Outcome<()> {
    db.prepare_cached("DELETE FROM graph_index WHERE rowid = ?1")?.execute([id])?;
    Ok(())
}

/// Deletes an entity with its observations and relations.
pub(in super::super) fn entity(unit: &Unit<'_>, user: UserId, name: &str) -> Outcome<Deleted<String>> {
    entities(unit, user, &[name.to_owned()])
}

/// Deletes entities with their observations and relations.
pub(super) fn entities(unit: &Unit<'_>, user: UserId, names: &[String]) -> Outcome<Deleted<String>> {
    let mut gone = GraphCounts::default();
    let mut not_found = Vec::new();
    let number = Number::find(unit.db, user)?;
    let mut seen = std::collections::HashSet::new();
    for name in names.iter().map(|name| composed(name)).filter(|name| seen.insert(name.clone())) {
        let id = match number {
            Some(number) => entity_id(unit.db, number, &name)?,
            None => None,
        };
        let Some(id) = id else {
            not_found.push(name);
            continue;
        };
        let observations: Vec<i64> = unit
            .db
            .prepare_cached("SELECT id FROM observations WHERE entity = ?1")?
            .query_map([id], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for observation in &observations {
            remove_from_index(unit.db, *observation)?;
        }
        remove_from_index(unit.db, id)?;
        gone.observations += count(observations.len());
        unit.db.prepare_cached("DELETE FROM observations WHERE entity = ?1")?.execute([id])?;
        gone.relations += count(unit.db.prepare_cached("DELETE FROM relations WHERE source = ?1")?.execute([id])?);
        gone.relations += count(unit.db.prepare_cached("DELETE FROM relations WHERE target = ?1")?.execute([id])?);
        gone.entities += count(unit.db.prepare_cached("DELETE FROM entities WHERE id = ?1")?.execute([id])?);
    }
    if let Some(number) = number {
        subtract(unit.db, number, gone)?;
    }
    Ok(Deleted { deleted: gone.entities, not_found })
}

/// Deletes one row of an observation.
fn remove_observation(unit: &Unit<'_>, entity: i64, id: i64) -> Outcome<()> {
    remove_from_index(unit.db, id)?;
    unit.db.prepare_cached("DELETE FROM observations WHERE id = ?1")?.execute([id])?;
    unit.db.prepare_cached("UPDATE entities SET updated_at = ?2 WHERE id = ?1")?.execute(params![entity, unit.now])?;
    Ok(())
}

/// Deletes observations by their texts.
pub(super) fn observations(unit: &Unit<'_>, user: UserId, texts: &[NamedObservation]) -> Outcome<Deleted<NamedObservation>> {
    let mut gone = GraphCounts::default();
    let mut not_found = Vec::new();
    let number = Number::find(unit.db, user)?;
    for wanted in texts {
        let wanted = NamedObservation { entity: composed(&wanted.entity), text: composed(&wanted.text) };
        let entity = match number {
            Some(number) => entity_id(unit.db, number, &wanted.entity)?,
            None => None,
        };
        let found = match entity {
            Some(entity) => observation_of(unit.db, entity, &wanted.text)?.map(|id| (entity, id)),
            None => None,
        };
        match found {
            Some((entity, id)) => {
                remove_observation(unit, entity, id)?;
                gone.observations += 1;
            }
            None => not_found.push(wanted),
        }
    }
    if let Some(number) = number {
        subtract(unit.db, number, gone)?;
    }
    Ok(Deleted { deleted: gone.observations, not_found })
}

/// Deletes relations.
pub(super) fn relations(unit: &Unit<'_>, user: UserId, relations: &[Relation]) -> Outcome<Deleted<Relation>> {
    let mut gone = GraphCounts::default();
    let mut not_found = Vec::new();
    let number = Number::find(unit.db, user)?;
    for relation in relations {
        let relation = relation.composed();
        let ends = match number {
            Some(number) => entity_id(unit.db, number, &relation.from)?.zip(entity_id(unit.db, number, &relation.to)?),
            None => None,
        };
        let deleted = match ends {
            Some((source, target)) => unit
                .db
                .prepare_cached("DELETE FROM relations WHERE source = ?1 AND target = ?2 AND type = ?3")?
                .execute(params![source, target, relation.relation_type])?,
            None => 0,
        };
        gone.relations += count(deleted);
        if deleted == 0 {
            not_found.push(relation);
        }
    }
    if let Some(number) = number {
        subtract(unit.db, number, gone)?;
    }
    Ok(Deleted { deleted: gone.relations, not_found })
}

/// Deletes an observation by its number.
pub(in crate::store::sqlite) fn observation_by_id(unit: &Unit<'_>, user: UserId, id: ObservationId) -> Outcome<Option<Fact>> {
    let Some(number) = Number::find(unit.db, user)? else { return Ok(None) };
    let id = number.observation(id);
    let found = unit
        .db
        .prepare_cached(
            "SELECT o.id, o.text, o.conversation_id, o.created_at, e.name, e.type, e.id FROM observations o
             JOIN entities e ON e.id = o.entity WHERE o.id = ?1",
        )?
        .query_row([id], |row| {
            Ok((Fact { entity: row.get(4)?, entity_type: row.get(5)?, observation: observation(row)? }, row.get::<_, i64>(6)?))
        })
        .optional()?;
    let Some((fact, entity)) = found else { return Ok(None) };
    remove_observation(unit, entity, id)?;
    subtract(unit.db, number, GraphCounts { observations: 1, ..GraphCounts::default() })?;
    Ok(Some(fact))
}

/// Deletes everything: the person has an empty graph at once, and what was in the other is erased bit by bit, the first bit here. What
/// counts up goes on from where it was: a number that somebody was shown before never means something that was stored since.
pub(in crate::store::sqlite) fn all(unit: &Unit<'_>, user: UserId) -> Outcome<GraphCounts> {
    let Some(number) = Number::find(unit.db, user)? else { return Ok(GraphCounts::default()) };
    let gone = counts(unit.db, number)?;
    if gone == GraphCounts::default() {
        return Ok(gone);
    }
    let last_item: i64 =
        unit.db.prepare_cached("SELECT last_item FROM graphs WHERE number = ?1")?.query_row([number.0], |row| row.get(0))?;
    unit.db.prepare_cached("UPDATE graphs SET user_id = NULL WHERE number = ?1")?.execute([number.0])?;
    // The row that was detached still has the old number, so this one gets another.
    unit.db.prepare_cached("INSERT INTO graphs (user_id, last_item) VALUES (?1, ?2)")?.execute(params![user, last_item])?;
    erase(unit, number, ERASED_WITH_IT)?;
    Ok(gone)
}

/// Rows that are erased in the step that deletes a graph: a small one is gone with it.
const ERASED_WITH_IT: usize = 100;

/// Whether there are graphs that nobody has any more.
pub(in crate::store::sqlite) fn any_left_over(db: &Connection) -> Outcome<bool> {
    Ok(db.prepare_cached("SELECT 1 FROM graphs WHERE user_id IS NULL LIMIT 1")?.exists([])?)
}

/// Erases up to that many rows of graphs that nobody has any more. Whether rows are left.
pub(in crate::store::sqlite) fn erase_left_over(unit: &Unit<'_>, rows: usize) -> Outcome<bool> {
    let mut find = unit.db.prepare_cached("SELECT number FROM graphs WHERE user_id IS NULL ORDER BY number LIMIT 1")?;
    let mut left = rows;
    while let Some(number) = find.query_row([], |row| row.get(0).map(Number)).optional()? {
        if left == 0 {
            return Ok(true);
        }
        left -= erase(unit, number, left)?;
    }
    Ok(false)
}

/// Erases up to that many rows of a graph, and the graph with the last of them. Returns how many.
///
/// What the search index has goes first: it is found by the same range of ids and takes the most time. Then what refers to others
/// before what it refers to.
fn erase(unit: &Unit<'_>, number: Number, rows: usize) -> Outcome<usize> {
    let mut left = rows;
    for sql in [
        "DELETE FROM graph_index WHERE rowid IN (SELECT rowid FROM graph_index WHERE rowid BETWEEN ?1 AND ?2 LIMIT ?3)",
        "DELETE FROM relations WHERE id IN (SELECT id FROM relations WHERE id BETWEEN ?1 AND ?2 LIMIT ?3)",
        "DELETE FROM observations WHERE id IN (SELECT id FROM observations WHERE id BETWEEN ?1 AND ?2 LIMIT ?3)",
        "DELETE FROM entities WHERE id IN (SELECT id FROM entities WHERE id BETWEEN ?1 AND ?2 LIMIT ?3)",
    ] {
        left -= unit.db.prepare_cached(sql)?.execute(params![number.first(), number.last(), count(left)])?.min(left);
        if left == 0 {
            return Ok(rows);
        }
    }
    left -= unit.db.prepare_cached("DELETE FROM graphs WHERE number = ?1 AND user_id IS NULL")?.execute([number.0])?;
    Ok(rows - left)
}
