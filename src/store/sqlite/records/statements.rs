//! The statements of each table, made from what [`super::tables`] says of it.

use std::sync::LazyLock;

use super::shape::Shape;
use super::tables::{Column, TABLES, Table};
use crate::store::record::Kind;

/// What can be asked of a table.
#[derive(Debug)]
pub(super) struct Statements {
    /// All rows in the order of their places: the person first (where there is one), then [`read_columns`].
    pub(super) all: String,
    /// The same of the person `?1`.
    pub(super) of_person: String,
    /// The row with these values in the columns of [`Table::lookup`].
    pub(super) one: String,
    /// A new row: the person `?1` (where there is one), then [`read_columns`], then what is derived.
    pub(super) insert: String,
    /// The row with the key that these values have; what of them it has of its own becomes theirs. Parameters as for `insert`.
    pub(super) update: String,
    /// Deletes the row of that key: the person `?1` (where there is one), then the key's other fields.
    pub(super) delete: String,
}

/// The columns that are read and written beside the person's.
pub(super) fn read_columns(table: &Table) -> impl Iterator<Item = &'static Column> + use<> {
    table.columns.iter().filter(|column| column.field != "userId")
}

/// The columns of a table's key beside the person's.
pub(super) fn key_columns(table: &Table) -> impl Iterator<Item = &'static Column> + use<> {
    let table = Table::of(table.kind);
    table.kind.key_fields().iter().filter(|field| **field != "userId").filter_map(|field| table.column(field))
}

static STATEMENTS: LazyLock<Vec<Statements>> = LazyLock::new(|| TABLES.iter().map(make).collect());

/// The statements of a kind's table.
pub(super) fn of(kind: Kind) -> Option<&'static Statements> {
    STATEMENTS.get(kind as usize)
}

fn make(table: &Table) -> Statements {
    let owned = !table.person.is_empty();
    // Where the person is, the other parameters begin behind it.
    let first = if owned { 2 } else { 1 };
    let columns: Vec<&Column> = read_columns(table).collect();
    let store = |place: usize, column: &Column| column.shape.store_sql(place + first, 1);

    let mut read: Vec<String> = columns.iter().map(|column| column.shape.read_sql("t", column.name)).collect();
    if owned {
        read.insert(0, table.person.to_owned());
    }
    read.extend(table.computed.map(|(_field, sql)| sql.to_owned()));
    let select = format!("SELECT {} FROM {}", read.join(", "), table.from());
    let person = if owned { format!("{}, ", table.person) } else { String::new() };
    let lookup: Vec<String> = (1..).zip(table.lookup).map(|(number, name)| format!("t.{name} = ?{number}")).collect();

    let mut names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let mut values: Vec<String> = columns.iter().enumerate().map(|(place, column)| store(place, column)).collect();
    for (place, derived) in (columns.len()..).zip(table.derived) {
        names.push(derived.name);
        values.push(format!("?{}", place + first));
    }
    let key: Vec<&str> = key_columns(table).map(|column| column.name).collect();
    let changed = names.iter().zip(&values).zip(columns.iter().map(|column| Some(column.shape)).chain(std::iter::repeat(None)));
    let changed: Vec<String> = changed
        .filter(|((name, _value), shape)| !key.contains(name) && *shape != Some(Shape::Ordinal))
        .map(|((name, value), _shape)| format!("{name} = {value}"))
        .collect();
    let mut found: Vec<String> =
        names.iter().zip(&values).filter(|(name, _value)| key.contains(name)).map(|(name, value)| format!("{name} = {value}")).collect();
    let own_person = owned && !table.in_graph() && table.kind != Kind::Token;
    if own_person {
        found.push("user_id = ?1".to_owned());
    }
    let mut deleted: Vec<String> =
        key_columns(table).enumerate().map(|(place, column)| format!("{} = {}", column.name, store(place, column))).collect();
    if own_person {
        deleted.push("user_id = ?1".to_owned());
    }
    if owned && !table.in_graph() {
        names.push("user_id");
        values.push("?1".to_owned());
    }
    if table.kind == Kind::Entity {
        names.push("graph");
        values.push("(SELECT number FROM graphs WHERE user_id = ?1)".to_owned());
    }
    // A graph without a person is being erased.
    let all = if owned && table.kind != Kind::Token { format!("{select} WHERE {} IS NOT NULL", table.person) } else { select.clone() };
    Statements {
        all: format!("{all} ORDER BY {person}{}", table.order),
        of_person: format!("{select} WHERE {} ORDER BY {}", table.of_person, table.order),
        one: format!("{select} WHERE {}", lookup.join(" AND ")),
        insert: format!("INSERT INTO {} ({}) VALUES ({})", table.name, names.join(", "), values.join(", ")),
        update: format!("UPDATE {} SET {} WHERE {}", table.name, changed.join(", "), found.join(" AND ")),
        delete: format!("DELETE FROM {} WHERE {}", table.name, deleted.join(" AND ")),
    }
}
