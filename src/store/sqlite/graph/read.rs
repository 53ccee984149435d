//! Opening and listing.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::cursor::{self, Listing, Place};
use super::super::fault::Outcome;
use super::{Number, count, counts, entity, entity_id, near, observation, placed, select_relation};
use crate::domain::graph::{Detail, Entity, Fact, GraphCounts, ObservationId, Relation, composed};
use crate::domain::ids::UserId;
use crate::store::{GraphPart, GraphRead, GraphStats, MissingName, Opened, Page, PageRequest, Subgraph};

/// The relations of entities, in the order in which they were made, as far as `bytes` of JSON reach.
pub(super) fn with_relations(db: &Connection, ids: &[i64], entities: Vec<Entity>, bytes: usize) -> Outcome<Subgraph> {
    let mut of_them: Vec<i64> = Vec::new();
    let mut ends = db.prepare_cached("SELECT id FROM relations WHERE source = ?1 UNION ALL SELECT id FROM relations WHERE target = ?1")?;
    for id in ids {
        for found in ends.query_map([id], |row| row.get(0))? {
            of_them.push(found?);
        }
    }
    of_them.sort_unstable();
    of_them.dedup();
    let mut subgraph = Subgraph { entities, relations: Vec::new(), relations_left: count(of_them.len()) };
    let mut left = bytes;
    let mut by_id = db.prepare_cached(select_relation!("WHERE r.id = ?1"))?;
    for id in of_them {
        let relation = by_id.query_row([id], placed)?.relation;
        match left.checked_sub(relation.json_size()) {
            Some(after) => left = after,
            None => break,
        }
        subgraph.relations.push(relation);
        subgraph.relations_left -= 1;
    }
    Ok(subgraph)
}

/// Names in composed form, each once.
fn distinct(names: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    names.iter().map(|name| composed(name)).filter(|name| seen.insert(name.clone())).collect()
}

/// Entities of about `bytes` of JSON together, in the order in which they were made. Each has the same share, and what some do not
/// need is for those that need more.
fn entities(db: &Connection, ids: &mut [i64], detail: Detail, bytes: usize) -> Outcome<Vec<Entity>> {
    ids.sort_unstable();
    let share = bytes / ids.len().max(1);
    let mut entities = ids.iter().map(|id| entity(db, *id, detail, share)).collect::<Outcome<Vec<_>>>()?;
    let mut left = bytes.saturating_sub(size(&entities, detail));
    for (id, one) in ids.iter().zip(&mut entities).filter(|(_id, one)| one.is_cut(detail)) {
        let room = left.saturating_add(one.json_size(detail));
        *one = entity(db, *id, detail, room)?;
        left = room.saturating_sub(one.json_size(detail));
    }
    Ok(entities)
}

fn size(entities: &[Entity], detail: Detail) -> usize {
    entities.iter().map(|entity| entity.json_size(detail)).sum()
}

/// Entities by name; what is not there is passed over.
pub(super) fn known(db: &Connection, user: UserId, names: &[String], bytes: usize) -> Outcome<Vec<Entity>> {
    let Some(number) = Number::find(db, user)? else { return Ok(Vec::new()) };
    let mut ids = Vec::new();
    for name in distinct(names) {
        ids.extend(entity_id(db, number, &name)?);
    }
    entities(db, &mut ids, Detail::Plain, bytes)
}

/// Entities by name, with their relations and names that look like those that are not there.
pub(super) fn open(db: &Connection, user: UserId, names: &[String], detail: Detail, bytes: usize) -> Outcome<Opened> {
    let names = distinct(names);
    let Some(number) = Number::find(db, user)? else {
        let missing = names.into_iter().map(|name| MissingName { name, close: Vec::new() }).collect();
        return Ok(Opened { found: Subgraph::default(), missing });
    };
    let (mut ids, mut missing) = (Vec::new(), Vec::new());
    let mut close = near::Missing::default();
    for name in names {
        match entity_id(db, number, &name)? {
            Some(id) => ids.push(id),
            None => missing.push(close.of(db, number, name)?),
        }
    }
    Ok(Opened { found: opened(db, ids, detail, bytes)?, missing })
}

/// The same when each of the names is there; `None` when one is not.
pub(super) fn open_known(db: &Connection, user: UserId, names: &[String], detail: Detail, bytes: usize) -> Outcome<Option<Opened>> {
    let Some(number) = Number::find(db, user)? else { return Ok(None) };
    let mut ids = Vec::new();
    for name in distinct(names) {
        let Some(id) = entity_id(db, number, &name)? else { return Ok(None) };
        ids.push(id);
    }
    Ok(Some(Opened { found: opened(db, ids, detail, bytes)?, missing: Vec::new() }))
}

fn opened(db: &Connection, mut ids: Vec<i64>, detail: Detail, bytes: usize) -> Outcome<Subgraph> {
    let entities = entities(db, &mut ids, detail, bytes)?;
    let left = bytes.saturating_sub(size(&entities, detail));
    with_relations(db, &ids, entities, left)
}

/// A part of the whole.
pub(super) fn part(db: &Connection, user: UserId, read: &GraphRead) -> Outcome<GraphPart> {
    let from = cursor::read(Listing::Graph, 0, read.cursor.as_deref())?;
    let Some(number) = Number::find(db, user)? else { return Ok(GraphPart::default()) };
    let [phase, after] = from.map_or([0, number.first()], |place: Place<2>| place.numbers);
    // A cursor of another person's graph reads nothing of it.
    let after = after.clamp(number.first(), number.last());
    let mut part = GraphPart::default();
    let mut left = read.bytes;
    let mut room = read.limit.max(1);
    let mut stopped = None;
    let mut last = after;
    if phase == 0 {
        let mut ids = db.prepare_cached("SELECT id FROM entities WHERE id > ?1 AND id <= ?2 ORDER BY id")?;
        for id in ids.query_map([after, number.last()], |row| row.get(0))? {
            let id = id?;
            if room == 0 {
                stopped = Some([0, last]);
                break;
            }
            let first = part.entities.is_empty();
            let entity = entity(db, id, read.detail, read.room(first, left))?;
            let size = entity.json_size(read.detail);
            if !first && (size > left || entity.is_cut(read.detail)) {
                stopped = Some([0, last]);
                break;
            }
            left = left.saturating_sub(size);
            room -= 1;
            last = id;
            part.entities.push(entity);
        }
    }
    if stopped.is_none() {
        let begin = if phase == 0 { number.first() } else { after };
        last = begin;
        let mut relations = db.prepare_cached(select_relation!("WHERE r.id > ?1 AND r.id <= ?2 ORDER BY r.id"))?;
        for found in relations.query_map([begin, number.last()], placed)? {
            let found = found?;
            let size = found.relation.json_size();
            let first = part.entities.is_empty() && part.relations.is_empty();
            if room == 0 || (size > left && !first) {
                stopped = Some([1, last]);
                break;
            }
            left = left.saturating_sub(size);
            room -= 1;
            last = found.id;
            part.relations.push(found.relation);
        }
    }
    if let Some([phase, last]) = stopped {
        let behind = |sql: &str| -> Outcome<i64> { Ok(db.prepare_cached(sql)?.query_row([last, number.last()], |row| row.get(0))?) };
        part.next = Some(cursor::write(Listing::Graph, &Place { numbers: [phase, last], id: Vec::new() }));
        part.left = if phase == 0 {
            let all = counts(db, number)?;
            let entities = match read.cursor {
                None => all.entities - count(part.entities.len()),
                Some(_) => behind("SELECT count(*) FROM entities WHERE id > ?1 AND id <= ?2")?,
            };
            GraphCounts { entities, observations: 0, relations: all.relations }
        } else {
            let relations = behind("SELECT count(*) FROM relations WHERE id > ?1 AND id <= ?2")?;
            GraphCounts { relations, ..GraphCounts::default() }
        };
    }
    Ok(part)
}

/// An overview. It reads every entity's type and every relation's ends.
pub(super) fn stats(db: &Connection, user: UserId, limit: usize) -> Outcome<GraphStats> {
    let Some(number) = Number::find(db, user)? else { return Ok(GraphStats::default()) };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let counted = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let types = db
        .prepare_cached("SELECT type, count(*) FROM entities WHERE id BETWEEN ?1 AND ?2 GROUP BY type ORDER BY 2 DESC, 1 LIMIT ?3")?
        .query_map(params![number.first(), number.last(), limit], counted)?
        .collect::<rusqlite::Result<_>>()?;
    let most_connected = db
        .prepare_cached(
            "SELECT e.name, c.many FROM
                 (SELECT entity, count(*) AS many FROM
                     (SELECT source AS entity FROM relations WHERE id BETWEEN ?1 AND ?2
                      UNION ALL SELECT target FROM relations WHERE id BETWEEN ?1 AND ?2 AND target <> source)
                  GROUP BY entity ORDER BY many DESC, entity LIMIT ?3) c
             JOIN entities e ON e.id = c.entity ORDER BY c.many DESC, e.id",
        )?
        .query_map(params![number.first(), number.last(), limit], counted)?
        .collect::<rusqlite::Result<_>>()?;
    let newest = db
        .prepare_cached("SELECT name, created_at FROM entities WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT ?3")?
        .query_map(params![number.first(), number.last(), limit], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(GraphStats { counts: counts(db, number)?, types, most_connected, newest })
}

/// Reads the columns of [`observation`], the entity's name and its type.
pub(super) fn fact(row: &Row<'_>) -> rusqlite::Result<Fact> {
    Ok(Fact { observation: observation(row)?, entity: row.get(4)?, entity_type: row.get(5)? })
}

macro_rules! select_fact {
    ($rest:literal) => {
        concat!(
            "SELECT o.id, o.text, o.conversation_id, o.created_at, e.name, e.type FROM observations o JOIN entities e ON e.id = o.entity ",
            $rest
        )
    };
}
pub(super) use select_fact;

/// An observation by its number.
pub(super) fn find_fact(db: &Connection, user: UserId, id: ObservationId) -> Outcome<Option<Fact>> {
    let Some(number) = Number::find(db, user)? else { return Ok(None) };
    Ok(db.prepare_cached(select_fact!("WHERE o.id = ?1"))?.query_row([number.observation(id)], fact).optional()?)
}

/// Observations, the newest first.
pub(super) fn facts(db: &Connection, user: UserId, request: &PageRequest) -> Outcome<Page<Fact>> {
    let from = cursor::read(Listing::Facts, 0, request.cursor.as_deref())?;
    let Some(number) = Number::find(db, user)? else { return Ok(Page { items: Vec::new(), next: None }) };
    let (first, last) = number.observations();
    let before = from.map_or(last, |Place { numbers: [before], .. }| before.clamp(first, last));
    let rows = db
        .prepare_cached(select_fact!("WHERE o.id >= ?1 AND o.id < ?2 ORDER BY o.id DESC LIMIT ?3"))?
        .query_map(params![first, before, cursor::ask_for(request.limit)], fact)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let place = |fact: &Fact| Place { numbers: [number.observation(fact.observation.id)], id: Vec::new() };
    Ok(cursor::page(Listing::Facts, request.limit, rows, place, |fact| fact))
}

/// The newest relations of an entity.
pub(super) fn newest_relations(db: &Connection, entity: i64, limit: usize) -> Outcome<Vec<(i64, Relation)>> {
    let found = db
        .prepare_cached(select_relation!("WHERE r.source = ?1 OR r.target = ?1 ORDER BY r.id DESC LIMIT ?2"))?
        .query_map(params![entity, i64::try_from(limit).unwrap_or(i64::MAX)], placed)?
        .map(|found| found.map(|found| (found.id, found.relation)))
        .collect::<rusqlite::Result<_>>()?;
    Ok(found)
}
