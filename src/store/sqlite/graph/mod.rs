//! Knowledge graphs. The migration says how a graph's rows are numbered; [`Number`] is where that is known.
//!
//! [`mod@write`] adds, [`delete`] takes away, [`read`] opens and lists, [`search`] finds, [`recall`] finds what a text is about,
//! [`near`] finds names that look like another.

mod delete;
mod near;
mod port;
mod read;
mod recall;
mod related;
mod search;
mod write;

pub(super) use delete::{all as forget_all, any_left_over, entity as forget_entity, erase_left_over, observation_by_id as forget};

use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::fault::Outcome;
use crate::domain::graph::{Detail, Entity, GraphCounts, Observation, ObservationId, Relation, SUMMARY, fold};
use crate::domain::ids::UserId;

/// The bit that tells an observation's id from an entity's.
const OBSERVATION: i64 = 1 << 31;
/// The lower bits of an id.
const LOWER: i64 = (1 << 32) - 1;

/// A person's number among those who have a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number(i64);

impl Number {
    /// The person's number, where there is a graph.
    fn find(db: &Connection, user: UserId) -> Outcome<Option<Self>> {
        Ok(db.prepare_cached("SELECT number FROM graphs WHERE user_id = ?1")?.query_row([user], |row| row.get(0).map(Self)).optional()?)
    }

    const fn first(self) -> i64 {
        self.0 << 32
    }

    const fn last(self) -> i64 {
        self.first() | LOWER
    }

    /// The first and the last id that an entity can have.
    const fn entities(self) -> (i64, i64) {
        (self.first(), self.first() | (OBSERVATION - 1))
    }

    /// The first and the last id that an observation can have.
    const fn observations(self) -> (i64, i64) {
        (self.first() | OBSERVATION, self.last())
    }

    /// An observation's id, by its number.
    fn observation(self, id: ObservationId) -> i64 {
        self.first() | OBSERVATION | (i64::from(id.0) & (OBSERVATION - 1))
    }
}

/// The number of an observation in its graph.
fn observation_id(id: i64) -> ObservationId {
    ObservationId(u32::try_from(id & (OBSERVATION - 1)).unwrap_or(u32::MAX))
}

/// A number of things in memory.
fn count(things: usize) -> i64 {
    i64::try_from(things).unwrap_or(i64::MAX)
}

/// How much a person has.
fn counts(db: &Connection, number: Number) -> Outcome<GraphCounts> {
    let read = |row: &Row<'_>| Ok(GraphCounts { entities: row.get(0)?, observations: row.get(1)?, relations: row.get(2)? });
    Ok(db.prepare_cached("SELECT entities, observations, relations FROM graphs WHERE number = ?1")?.query_row([number.0], read)?)
}

/// An entity's id by its composed name.
fn entity_id(db: &Connection, number: Number, name: &str) -> Outcome<Option<i64>> {
    Ok(db
        .prepare_cached("SELECT id FROM entities WHERE graph = ?1 AND folded = ?2 AND name = ?3")?
        .query_row(params![number.0, fold(name), name], |row| row.get(0))
        .optional()?)
}

/// The observation of an entity that says this, by its composed text.
fn observation_of(db: &Connection, entity: i64, text: &str) -> Outcome<Option<i64>> {
    let mut of_digest = db.prepare_cached("SELECT id, text FROM observations WHERE entity = ?1 AND digest = ?2")?;
    let mut rows = of_digest.query(params![entity, digest(text)])?;
    while let Some(row) = rows.next()? {
        if row.get_ref(1)?.as_str().is_ok_and(|stored| stored == text) {
            return Ok(Some(row.get(0)?));
        }
    }
    Ok(None)
}

/// A part of a text's hash: two texts that share it are told apart by themselves.
pub(super) fn digest(text: &str) -> i64 {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(8).fold(0, |number, byte| (number << 8) | i64::from(*byte))
}

fn observation(row: &Row<'_>) -> rusqlite::Result<Observation> {
    Ok(Observation { id: observation_id(row.get(0)?), text: row.get(1)?, conversation_id: row.get(2)?, created_at: row.get(3)? })
}

/// An entity with as much of it as is wanted: of its observations the newest, as far as `bytes` of JSON reach.
fn entity(db: &Connection, id: i64, detail: Detail, bytes: usize) -> Outcome<Entity> {
    let mut entity =
        db.prepare_cached("SELECT name, type, created_at, updated_at FROM entities WHERE id = ?1")?.query_row([id], |row| {
            Ok(Entity {
                name: row.get(0)?,
                entity_type: row.get(1)?,
                observations: Vec::new(),
                observation_count: 0,
                created_at: row.get(2)?,
                updated_at: row.get(3)?,
            })
        })?;
    let most = match detail {
        Detail::Names => 0,
        Detail::Summary => SUMMARY,
        Detail::Plain | Detail::Full => usize::MAX,
    };
    let mut whole = most == usize::MAX;
    let mut left = bytes.saturating_sub(entity.json_size(detail));
    // The index sorts numbers alone; texts are read as far as there is room.
    let mut newest = db.prepare_cached("SELECT id FROM observations WHERE entity = ?1 ORDER BY id DESC LIMIT ?2")?;
    let mut by_id = db.prepare_cached("SELECT id, text, conversation_id, created_at FROM observations WHERE id = ?1")?;
    for found in newest.query_map(params![id, count(most)], |row| row.get::<_, i64>(0))? {
        let observation = by_id.query_row([found?], observation)?;
        let Some(after) = left.checked_sub(observation.json_size(detail)) else {
            whole = false;
            break;
        };
        left = after;
        entity.observations.push(observation);
    }
    entity.observations.reverse();
    entity.observation_count = if whole {
        entity.observations.len()
    } else {
        let sql = "SELECT count(*) FROM observations WHERE entity = ?1";
        usize::try_from(db.prepare_cached(sql)?.query_row([id], |row| row.get::<_, i64>(0))?).unwrap_or(0)
    };
    Ok(entity)
}

/// A relation with the ids of its ends.
struct Placed {
    id: i64,
    source: i64,
    target: i64,
    relation: Relation,
}

fn placed(row: &Row<'_>) -> rusqlite::Result<Placed> {
    let relation = Relation { from: row.get(3)?, to: row.get(4)?, relation_type: row.get(5)? };
    Ok(Placed { id: row.get(0)?, source: row.get(1)?, target: row.get(2)?, relation })
}

macro_rules! select_relation {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.source, r.target, s.name, t.name, r.type FROM relations r \
             JOIN entities s ON s.id = r.source JOIN entities t ON t.id = r.target ",
            $rest
        )
    };
}
use select_relation;

/// Calls `see` with each relation of an entity until it says that it has seen enough.
fn each_relation(db: &Connection, entity: i64, mut see: impl FnMut(Placed) -> bool) -> Outcome<()> {
    for sql in [select_relation!("WHERE r.source = ?1"), select_relation!("WHERE r.target = ?1 AND r.source <> ?1")] {
        let mut statement = db.prepare_cached(sql)?;
        for found in statement.query_map([entity], placed)? {
            if !see(found?) {
                return Ok(());
            }
        }
    }
    Ok(())
}
