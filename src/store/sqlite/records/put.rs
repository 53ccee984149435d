//! Records into rows.

use std::collections::HashMap;

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, params, params_from_iter};
use serde_json::value::RawValue;

use super::super::fault::{Fault, Outcome};
use super::shape::Shape;
use super::statements::{self, Statements, key_columns, read_columns};
use super::tables::Table;
use crate::domain::graph::fold;
use crate::domain::ids::UserId;
use crate::store::record::{InvalidRecord, Kind, Record};

/// What becomes of the numbers that rows of all people share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Numbers {
    /// A new row gets the next one: the records come from another store.
    New,
    /// They are kept: the records are this store's own.
    Kept,
}

/// A record's fields, or those of its key, as JSON.
type Fields<'a> = HashMap<&'a str, &'a RawValue>;

fn fields(json: &str) -> Outcome<Fields<'_>> {
    serde_json::from_str(json).map_err(|error| InvalidRecord::Json(error).into())
}

fn statements_of(kind: Kind) -> Outcome<&'static Statements> {
    statements::of(kind).ok_or_else(|| Fault::contradiction("a kind of record without a table"))
}

/// Puts a record where it belongs, in place of what has its key. What belongs to a person needs the person to be there, what
/// belongs to a turn the turn: records are put in their order.
pub(in crate::store) fn put(db: &Connection, record: &Record, numbers: Numbers) -> Outcome<()> {
    let table = Table::of(record.kind());
    let statements = statements_of(table.kind)?;
    let json = record.to_json().map_err(InvalidRecord::Json)?;
    let fields = fields(&json)?;
    let mut values = Vec::with_capacity(table.columns.len() + 3);
    if !table.person.is_empty() {
        values.push(Shape::Person.bind("userId", fields.get("userId").copied())?);
    }
    for column in read_columns(table) {
        values.push(match (column.shape, numbers) {
            (Shape::Ordinal, Numbers::New) => Value::Null,
            (shape, _) => shape.bind(column.field, fields.get(column.field).copied())?,
        });
    }
    for derived in table.derived {
        let value = match Shape::Text.bind(derived.field, fields.get(derived.field).copied())? {
            Value::Text(text) => (derived.value)(&text),
            other => other,
        };
        values.push(value);
    }
    match db.prepare_cached(&statements.insert)?.execute(params_from_iter(&values)) {
        Ok(_inserted) => {}
        // It is there already; or something else is in its way, which is then said.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            if update(db, statements, &values)? == 0 {
                return Err(error.into());
            }
        }
        Err(error) => return Err(error.into()),
    }
    match record {
        Record::Entity(entity) => index(db, entity.user_id, entity.number, &Indexed::Entity(&entity.name, &entity.entity_type)),
        Record::Observation(observation) => index(db, observation.user_id, observation.number, &Indexed::Observation(&observation.text)),
        // Where the reply of a turn lies is kept with the turn as well.
        Record::Message(message) if message.reply => {
            db.prepare_cached(
                "UPDATE turns SET (reply_slot, reply_entry) = (SELECT coalesce((SELECT number FROM turns WHERE id = ?2), 0), ?3) WHERE id = ?1",
            )?
            .execute(params![message.turn_id, message.slot, message.entry])?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// An update has no use for the columns that never change, so not every parameter stands in it: they are bound one by one.
fn update(db: &Connection, statements: &Statements, values: &[Value]) -> Outcome<usize> {
    let mut update = db.prepare_cached(&statements.update)?;
    let known = update.parameter_count();
    for (parameter, value) in (1..=known).zip(values) {
        update.raw_bind_parameter(parameter, value)?;
    }
    Ok(update.raw_execute()?)
}

/// What the search index holds of a row.
enum Indexed<'a> {
    Entity(&'a str, &'a str),
    Observation(&'a str),
}

/// Puts a row into the search index, in place of what is there.
fn index(db: &Connection, user: UserId, number: i64, row: &Indexed<'_>) -> Outcome<()> {
    let shape = if matches!(row, Indexed::Observation(_)) { Shape::Observation } else { Shape::Item };
    let id: i64 = db.prepare_cached(&format!("SELECT {}", shape.store_sql(2, 1)))?.query_row(params![user, number], |row| row.get(0))?;
    db.prepare_cached("DELETE FROM graph_index WHERE rowid = ?1")?.execute([id])?;
    match row {
        Indexed::Entity(name, entity_type) => db
            .prepare_cached("INSERT INTO graph_index (rowid, name, type) VALUES (?1, ?2, ?3)")?
            .execute(params![id, fold(name), fold(entity_type)])?,
        Indexed::Observation(text) => {
            db.prepare_cached("INSERT INTO graph_index (rowid, text) VALUES (?1, ?2)")?.execute(params![id, fold(text)])?
        }
    };
    Ok(())
}

/// Deletes the record of a key: the JSON of its kind's key fields. True when it was there.
pub(in crate::store) fn delete(db: &Connection, kind: Kind, key: &str) -> Outcome<bool> {
    let table = Table::of(kind);
    let fields = fields(key)?;
    if kind == Kind::Graph {
        // With all that is in it; what nobody has any more is erased later.
        let user = Shape::Person.bind("userId", fields.get("userId").copied())?;
        return Ok(db.prepare_cached("UPDATE graphs SET user_id = NULL WHERE user_id = ?1")?.execute([user])? > 0);
    }
    let mut values = Vec::new();
    if !table.person.is_empty() {
        values.push(Shape::Person.bind("userId", fields.get("userId").copied())?);
    }
    for column in key_columns(table) {
        values.push(column.shape.bind(column.field, fields.get(column.field).copied())?);
    }
    if matches!(kind, Kind::Entity | Kind::Observation)
        && let Some(number) = key_columns(table).next()
    {
        let sql = format!("DELETE FROM graph_index WHERE rowid = {}", number.shape.store_sql(2, 1));
        db.prepare_cached(&sql)?.execute(params_from_iter(&values))?;
    }
    Ok(db.prepare_cached(&statements_of(kind)?.delete)?.execute(params_from_iter(&values))? > 0)
}
