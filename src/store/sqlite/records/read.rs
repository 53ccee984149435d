//! Rows as records.

use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};

use super::super::fault::{Fault, Outcome};
use super::shape::{Misshapen, Shape};
use super::statements::{self, read_columns};
use super::tables::Table;
use crate::domain::ids::UserId;
use crate::store::record::{InvalidRecord, Kind, Record};

impl From<Misshapen> for Fault {
    fn from(error: Misshapen) -> Self {
        Self::Sql(rusqlite::Error::FromSqlConversionFailure(0, Type::Null, error.into()))
    }
}

impl From<InvalidRecord> for Fault {
    fn from(error: InvalidRecord) -> Self {
        Self::Sql(rusqlite::Error::FromSqlConversionFailure(0, Type::Null, error.into()))
    }
}

/// Whose a row is.
pub(super) fn owner(table: &Table, row: &Row<'_>) -> Outcome<Option<UserId>> {
    if table.person.is_empty() { Ok(None) } else { Ok(row.get(0)?) }
}

/// A row as a record. `ordinal` takes the place of a number that counts the rows of all people.
pub(super) fn record(table: &Table, row: &Row<'_>, ordinal: Option<i64>) -> Outcome<Record> {
    let mut json = format!("{{\"kind\":\"{}\"", table.kind.as_str());
    let mut write = |field: &'static str, shape: Shape, value: ValueRef<'_>| -> Outcome<()> {
        let before = json.len();
        json.push_str(",\"");
        json.push_str(field);
        json.push_str("\":");
        if !shape.write(field, value, &mut json)? {
            json.truncate(before);
        }
        Ok(())
    };
    let mut place = 0;
    if !table.person.is_empty() {
        write("userId", Shape::Person, row.get_ref(0)?)?;
        place = 1;
    }
    for (place, column) in (place..).zip(read_columns(table)) {
        let value = match (column.shape, ordinal) {
            (Shape::Ordinal, Some(ordinal)) => ValueRef::Integer(ordinal),
            _ => row.get_ref(place)?,
        };
        write(column.field, column.shape, value)?;
    }
    if let Some((field, _sql)) = table.computed {
        write(field, Shape::Flag, row.get_ref(place + read_columns(table).count())?)?;
    }
    json.push('}');
    Ok(Record::from_json(&json)?)
}

/// The row that an index finds by these values, with its numbers as they are stored.
pub(in crate::store::sqlite) fn one(db: &Connection, kind: Kind, lookup: &[ValueRef<'_>]) -> Outcome<Option<Record>> {
    let Some(statements) = statements::of(kind) else { return Ok(None) };
    let values = lookup.iter().map(|value| rusqlite::types::ToSqlOutput::Borrowed(*value));
    let found = db
        .prepare_cached(&statements.one)?
        .query_row(rusqlite::params_from_iter(values), |row| Ok(record(Table::of(kind), row, None)))
        .optional()?;
    found.transpose()
}
