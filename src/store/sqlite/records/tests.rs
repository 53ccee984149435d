//! That nothing is left out.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::super::migrate;
use super::shape::Shape;
use super::tables::{TABLES, Table};
use crate::store::record::Kind;

fn schema() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    migrate::apply_after(&db, 0, migrate::MIGRATIONS).unwrap();
    db
}

#[test]
fn every_kind_has_its_table_in_its_place() {
    assert_eq!(TABLES.iter().map(|table| table.kind).collect::<Vec<_>>(), Kind::ALL);
    for table in TABLES {
        assert_eq!(Table::of(table.kind).name, table.name);
        for field in table.kind.key_fields() {
            assert!(table.column(field).is_some() || (table.in_graph() && *field == "userId"), "{field} of {}", table.name);
        }
    }
}

#[test]
fn every_column_of_every_table_is_in_a_record_or_said_not_to_be() {
    let db = schema();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'graph_index%' AND name NOT LIKE 'sqlite_%' AND name <> 'meta'";
    let mut names = db.prepare(sql).unwrap();
    let names: BTreeSet<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(names, TABLES.iter().map(|table| table.name.to_owned()).collect());
    for table in TABLES {
        let mut columns = db.prepare(&format!("SELECT name FROM pragma_table_info('{}')", table.name)).unwrap();
        let columns: BTreeSet<String> = columns.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let recorded = table.columns.iter().map(|column| column.name);
        let known: Vec<&str> =
            recorded.chain(table.derived.iter().map(|derived| derived.name)).chain(table.volatile.iter().copied()).collect();
        assert_eq!(columns, known.iter().map(|name| (*name).to_owned()).collect(), "{}", table.name);
        assert_eq!(columns.len(), known.len(), "{} names a column twice", table.name);
        for name in table.lookup {
            assert!(columns.contains(*name), "{name} of {}", table.name);
        }
    }
}

#[test]
fn every_statement_can_be_prepared_and_looks_a_row_up_by_an_index() {
    let db = schema();
    for table in TABLES {
        let statements = super::statements::of(table.kind).unwrap();
        for sql in [&statements.all, &statements.insert, &statements.update, &statements.delete] {
            db.prepare(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
        }
        if !table.person.is_empty() {
            db.prepare(&statements.of_person).unwrap();
        }
        let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {}", statements.one)).unwrap();
        let nulls = vec![rusqlite::types::Value::Null; table.lookup.len()];
        let steps: Vec<String> = plan.query_map(rusqlite::params_from_iter(nulls), |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(steps.iter().all(|step| !step.contains("SCAN")), "{}: {steps:?}", table.name);
    }
}

#[test]
fn what_cannot_be_in_a_column_is_refused() {
    use rusqlite::types::ValueRef;
    let mut out = String::new();
    for (shape, value) in [
        (Shape::Flag, ValueRef::Integer(2)),
        (Shape::Moment, ValueRef::Text(b"now")),
        (Shape::Uuid, ValueRef::Blob(b"short")),
        (Shape::Person, ValueRef::Blob(&[0; 13])),
        (Shape::Text, ValueRef::Text(&[0xff])),
        (Shape::Integer, ValueRef::Real(1.5)),
    ] {
        shape.write("x", value, &mut out).unwrap_err();
    }
    for (shape, json) in
        [(Shape::Bytes, "\"abc\""), (Shape::Bytes, "\"+1\""), (Shape::Bytes, "\"é\""), (Shape::Integer, "1.5"), (Shape::Flag, "1")]
    {
        let raw = serde_json::value::RawValue::from_string(json.to_owned()).unwrap();
        assert!(shape.bind("x", Some(&raw)).is_err(), "{json}");
    }
}
