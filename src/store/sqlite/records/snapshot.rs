//! All records of one moment, in their order.
//!
//! Each table is read once, sorted by person; the streams are merged person by person. SQLite sorts in files of its own where
//! there is much, so memory stays bounded whatever the store holds.

use rusqlite::{Connection, Row, Rows};

use std::collections::BTreeSet;

use super::super::fault::Outcome;
use super::read::{owner, record};
use super::statements;
use super::tables::{TABLES, Table};
use crate::domain::ids::UserId;
use crate::store::Whose;
use crate::store::record::{Kind, Record};

/// One table, read in order, with the row that is next.
struct Stream<'a> {
    table: &'static Table,
    rows: Rows<'a>,
    /// Whose rows are being read, and how many of them were.
    of: Option<UserId>,
    count: i64,
    next: Option<(Option<UserId>, Record)>,
}

impl<'a> Stream<'a> {
    fn begin(table: &'static Table, rows: Rows<'a>) -> Outcome<Self> {
        let mut stream = Self { table, rows, of: None, count: 0, next: None };
        stream.advance()?;
        Ok(stream)
    }

    fn advance(&mut self) -> Outcome<()> {
        let Some(row) = self.rows.next()? else {
            self.next = None;
            return Ok(());
        };
        let of = owner(self.table, row)?;
        self.count = if of == self.of { self.count + 1 } else { 1 };
        self.of = of;
        self.next = Some((of, record(self.table, row, Some(self.count))?));
        Ok(())
    }
}

/// Calls `take` with each record, in order and with each person's own count of what has a number, until it says that this was enough. Runs inside a transaction of the caller's.
pub(super) fn each(db: &Connection, whose: Whose, mut take: impl FnMut(Record) -> bool) -> Outcome<()> {
    let mut prepared = Vec::new();
    for table in TABLES {
        let Some(statements) = statements::of(table.kind) else { continue };
        match whose {
            Whose::Everybodys => prepared.push((table, db.prepare(&statements.all)?, None)),
            Whose::Persons(user) if !table.person.is_empty() => prepared.push((table, db.prepare(&statements.of_person)?, Some(user))),
            Whose::Persons(_) => {}
        }
    }
    // Whoever is being erased is nobody; but for what this store itself has to go on with, only receipts are left of them.
    let erased: BTreeSet<UserId> = db
        .prepare("SELECT user_id FROM people WHERE erased_at IS NOT NULL")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut streams = Vec::with_capacity(prepared.len());
    for (table, statement, user) in &mut prepared {
        let rows = match user {
            Some(user) => statement.query([*user])?,
            None => statement.query([])?,
        };
        streams.push(Stream::begin(table, rows)?);
    }
    loop {
        let Some(person) = streams.iter().filter_map(|stream| stream.next.as_ref().map(|(of, _record)| *of)).min() else {
            return Ok(());
        };
        for stream in &mut streams {
            while let Some((_of, record)) = stream.next.take_if(|(of, _record)| *of == person) {
                stream.advance()?;
                if !matches!(record, Record::Receipt(_)) && person.is_some_and(|person| erased.contains(&person)) {
                    continue;
                }
                if !take(record) {
                    return Ok(());
                }
            }
        }
    }
}

/// The records of some kinds, of one person or (of kinds that are nobody's) all, with their numbers as they are stored.
pub(in crate::store) fn of_kinds(
    db: &Connection,
    kinds: &[Kind],
    user: Option<UserId>,
    mut take: impl FnMut(Record) -> Outcome<()>,
) -> Outcome<()> {
    for kind in kinds {
        let table = Table::of(*kind);
        let Some(statements) = statements::of(*kind) else { continue };
        let mut each = |row: &Row<'_>| -> Outcome<()> {
            // What is somebody's stands with that person.
            if owner(table, row)? == user { take(record(table, row, None)?) } else { Ok(()) }
        };
        let mut statement = db.prepare_cached(if user.is_some() { &statements.of_person } else { &statements.all })?;
        let mut rows = statement.query(rusqlite::params_from_iter(user))?;
        while let Some(row) = rows.next()? {
            each(row)?;
        }
    }
    Ok(())
}

/// Whether there is no record at all.
pub(super) fn is_empty(db: &Connection) -> Outcome<bool> {
    for table in TABLES {
        if db.prepare(&format!("SELECT 1 FROM {} LIMIT 1", table.name))?.exists([])? {
            return Ok(false);
        }
    }
    Ok(true)
}
