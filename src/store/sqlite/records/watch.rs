//! Noticing which rows a connection changes: triggers of its own on every table that holds records note the rows, which are then
//! read back as records. Columns that are in no record (leases, lanes) do not count.

use std::fmt::Write as _;

use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};

use super::super::fault::Outcome;
use super::read::one;
use super::shape::Shape;
use super::statements::key_columns;
use super::tables::{TABLES, Table};
use crate::store::record::{Kind, Record};

/// What was changed.
pub(in crate::store) struct Noticed {
    /// Records as they are now.
    pub(in crate::store) put: Vec<Record>,
    /// Keys of those that are no more, as JSON, what refers to others before what it refers to.
    pub(in crate::store) delete: Vec<String>,
}

/// Stands for a graph that its person has no more.
const DETACHED: i64 = -1;

/// Begins to notice, on this connection.
pub(in crate::store) fn watch(db: &Connection) -> Outcome<()> {
    let mut sql = "CREATE TEMP TABLE noticed (kind INTEGER NOT NULL, l1 ANY NOT NULL, l2 ANY NOT NULL, l3 ANY NOT NULL, l4 ANY NOT NULL,
             whose ANY NOT NULL, person ANY, k1 ANY, k2 ANY, k3 ANY, PRIMARY KEY (kind, l1, l2, l3, l4, whose)) STRICT, WITHOUT ROWID;"
        .to_owned();
    for (number, table) in TABLES.iter().enumerate() {
        let kept: Vec<&str> = table.columns.iter().map(|column| column.name).filter(|name| !is_key(table, name)).collect();
        let changed: Vec<String> = kept.iter().map(|name| format!("old.{name} IS NOT new.{name}")).collect();
        for (event, row, when) in [
            ("INSERT", "new", String::new()),
            ("DELETE", "old", String::new()),
            ("UPDATE", "new", format!("WHEN {}", changed.join(" OR "))),
        ] {
            let of = if event == "UPDATE" { format!("UPDATE OF {}", kept.join(", ")) } else { event.to_owned() };
            let _infallible = write!(
                sql,
                "CREATE TEMP TRIGGER notice_{}_{event} AFTER {of} ON main.{} {when} BEGIN {} END;",
                table.name,
                table.name,
                note(number, table, row)
            );
        }
    }
    // What changes its owner is no more where it was, and is where it was not.
    for (number, table) in TABLES.iter().enumerate().filter(|(_number, table)| changes_owner(table)) {
        let _infallible = write!(
            sql,
            "CREATE TEMP TRIGGER notice_{}_owner AFTER UPDATE OF user_id ON main.{} WHEN old.user_id IS NOT new.user_id BEGIN {} {} END;",
            table.name,
            table.name,
            note(number, table, "old"),
            note(number, table, "new")
        );
    }
    let _infallible = write!(
        sql,
        "CREATE TEMP TRIGGER notice_detached AFTER UPDATE OF user_id ON main.graphs WHEN old.user_id IS NOT NULL AND new.user_id IS NULL
         BEGIN INSERT INTO noticed SELECT {DETACHED}, old.user_id, '', '', '', '', old.user_id, NULL, NULL, NULL
             WHERE NOT EXISTS (SELECT 1 FROM noticed WHERE kind = {DETACHED} AND l1 = old.user_id); END;"
    );
    db.execute_batch(&sql)?;
    Ok(())
}

/// Whether its rows have a column with their owner. A graph that is detached has none, which is noticed otherwise.
fn changes_owner(table: &Table) -> bool {
    table.kind != Kind::Graph && !table.in_graph() && !table.person.is_empty()
}

fn is_key(table: &Table, name: &str) -> bool {
    key_columns(table).any(|column| column.name == name) || (name == "user_id" && table.kind != Kind::Token)
}

/// The statement of a trigger: how the row is found again, and its key for when it is not.
fn note(number: usize, table: &Table, row: &str) -> String {
    let mut lookup: Vec<String> = table.lookup.iter().map(|name| format!("coalesce({row}.{name}, '')")).collect();
    lookup.resize(4, "''".to_owned());
    let person = if table.in_graph() {
        format!("(SELECT user_id FROM graphs WHERE number = {row}.id >> 32)")
    } else if table.person.is_empty() {
        "NULL".to_owned()
    } else {
        format!("{row}.user_id")
    };
    let mut key: Vec<String> = key_columns(table).map(|column| column.shape.read_sql(row, column.name)).collect();
    key.resize(3, "NULL".to_owned());
    // What is in a graph that nobody has is being erased.
    let whose = if table.in_graph() || table.kind == Kind::Graph { format!("{person} IS NOT NULL AND") } else { String::new() };
    // Not `OR IGNORE`: the statement that fires the trigger decides what becomes of conflicts in it.
    let known: Vec<String> = (1..).zip(&lookup).map(|(place, value)| format!("l{place} = {value}")).collect();
    format!(
        "INSERT INTO noticed SELECT {number}, {}, coalesce({person}, ''), {person}, {}
         WHERE {whose} NOT EXISTS (SELECT 1 FROM noticed WHERE kind = {number} AND {} AND whose = coalesce({person}, ''));",
        lookup.join(", "),
        key.join(", "),
        known.join(" AND ")
    )
}

/// What was noticed since this was asked last.
pub(in crate::store) fn noticed(db: &Connection) -> Outcome<Noticed> {
    let mut found = Noticed { put: Vec::new(), delete: Vec::new() };
    let mut rows: Vec<Vec<Value>> = Vec::new();
    {
        let mut statement = db.prepare_cached("SELECT kind, l1, l2, l3, l4, person, k1, k2, k3 FROM noticed ORDER BY kind DESC")?;
        let mut read = statement.query([])?;
        while let Some(row) = read.next()? {
            rows.push((0..9).map(|place| row.get(place)).collect::<rusqlite::Result<_>>()?);
        }
    }
    if rows.is_empty() {
        return Ok(found);
    }
    db.prepare_cached("DELETE FROM noticed")?.execute([])?;
    for row in &rows {
        let [kind, lookup @ .., person, k1, k2, k3] = row.as_slice() else { continue };
        let number = if let Value::Integer(number) = kind { *number } else { continue };
        if number == DETACHED {
            found.delete.extend(key(Table::of(Kind::Graph), person, &[])?);
            continue;
        }
        let Some(table) = usize::try_from(number).ok().and_then(|number| TABLES.get(number)) else { continue };
        let lookup: Vec<ValueRef<'_>> = lookup.iter().take(table.lookup.len()).map(ValueRef::from).collect();
        match one(db, table.kind, &lookup)? {
            Some(record) if belongs_to(&record, person) => found.put.push(record),
            // It is somebody else's by now, and noticed as theirs.
            Some(_record) => found.delete.extend(key(table, person, &[k1, k2, k3])?),
            // A graph goes by being detached.
            None if table.kind == Kind::Graph => {}
            None => found.delete.extend(key(table, person, &[k1, k2, k3])?),
        }
    }
    Ok(found)
}

fn belongs_to(record: &Record, person: &Value) -> bool {
    match (record.user_id(), person) {
        (Some(user), Value::Blob(bytes)) => user.as_bytes().as_slice() == bytes.as_slice(),
        (None, Value::Null) => true,
        _ => false,
    }
}

/// A key as JSON; `None` where a part of it is no more, as that of a step whose turn is gone, which goes with that.
fn key(table: &Table, person: &Value, parts: &[&Value]) -> Outcome<Option<String>> {
    let mut json = format!("{{\"kind\":\"{}\"", table.kind.as_str());
    let mut write = |field: &'static str, shape: Shape, value: &Value| -> Outcome<bool> {
        json.push_str(",\"");
        json.push_str(field);
        json.push_str("\":");
        Ok(shape.write(field, ValueRef::from(value), &mut json)?)
    };
    if !table.person.is_empty() && table.kind != Kind::Token && !write("userId", Shape::Person, person)? {
        return Ok(None);
    }
    for (column, value) in key_columns(table).zip(parts) {
        if !write(column.field, column.shape, value)? {
            return Ok(None);
        }
    }
    // Whose a token was says in whose file it stands.
    if table.kind == Kind::Token && *person != Value::Null {
        write("userId", Shape::Person, person)?;
    }
    json.push('}');
    Ok(Some(json))
}
