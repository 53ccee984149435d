//! Large stores: one real person with real turns, copied as often as needed.
//!
//! Copying what the program itself stored keeps this free of the schema's details: it knows what a column's name means, and
//! no table by name but `people`.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::requests::number;

/// Rows of the person who is copied may be numbered up to this; each copy's numbers lie that much higher.
const STRIDE: usize = 1000;
/// Copies made by one statement.
const GROUP: usize = 5000;

/// The store's file below a data folder: the one file that is a database with a table `people`.
fn database(data: &Path) -> Connection {
    let files = std::fs::read_dir(data).expect("a data folder").map(|entry| entry.expect("an entry").path());
    for file in files.filter(|path| path.is_file()) {
        let Ok(database) = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_WRITE) else { continue };
        let known = database.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'people'", [], |row| row.get::<_, i64>(0));
        if known.is_ok_and(|count| count == 1) {
            return database;
        }
    }
    panic!("no database below {}", data.display());
}

/// What a copy has in a column of `t`. An id of a row becomes the copy's person and the end of the old id, so that references
/// still meet; what tells one from another stands in the middle, of which MongoDB's shorter ids are made. The zero id means no row and stays.
fn copied(column: &str) -> String {
    match column {
        "user_id" => "copy.user_id".to_owned(),
        "phone" => "copy.phone".to_owned(),
        "email" | "name" | "username" | "title" | "key" | "gateway_message_id" => format!("t.{column} || '_' || copy.n"),
        // Numbers of rows, counted through the whole table.
        "number" | "slot" | "reply_slot" | "last_slot" => format!("iif(t.{column} > 0, t.{column} + copy.n * {STRIDE}, t.{column})"),
        _ if column == "id" || column.ends_with("_id") => format!(
            "CASE WHEN length(t.{column}) = 16 AND t.{column} <> zeroblob(16) THEN CAST(substr(copy.user_id, 1, 4) || \
             substr(copy.user_id, 9, 2) || substr(copy.user_id, 5, 4) || substr(t.{column}, 15) || substr(copy.user_id, 11) || \
             substr(t.{column}, 13, 2) AS BLOB) ELSE t.{column} END"
        ),
        _ => format!("t.{column}"),
    }
}

/// Copies the only person of the store in `data` to the numbers 1 to `copies`. The program must not run. Returns the messages
/// that are stored then.
pub(crate) fn multiply(data: &Path, copies: usize) -> i64 {
    let mut database = database(data);
    database.execute_batch("PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -200000").expect("settings");
    let one: Vec<u8> = database.query_row("SELECT user_id FROM people", [], |row| row.get(0)).expect("the one person");
    let tables: Vec<String> = {
        let sql = "SELECT s.name FROM sqlite_schema s WHERE s.type = 'table' AND EXISTS \
                   (SELECT 1 FROM pragma_table_info(s.name) WHERE name = 'user_id') AND s.name NOT LIKE 'sqlite_%'";
        let mut statement = database.prepare(sql).expect("SQL");
        let names = statement.query_map([], |row| row.get(0)).expect("tables");
        names.collect::<Result<_, _>>().expect("names")
    };
    database.execute_batch("CREATE TEMP TABLE copy (n INTEGER PRIMARY KEY, user_id BLOB NOT NULL, phone TEXT NOT NULL)").expect("a table");
    for first in (1..=copies).step_by(GROUP) {
        let transaction = database.transaction().expect("a transaction");
        transaction.execute("DELETE FROM copy", []).expect("emptied");
        for n in first..(first + GROUP).min(copies + 1) {
            // The time stays, the rest is scattered, as chance would scatter it.
            let mut user_id = one[..4].to_vec();
            let scattered = u64::try_from(n).expect("a count").wrapping_mul(0x9E37_79B9_7F4A_7C15);
            user_id.extend(scattered.to_be_bytes());
            transaction
                .execute("INSERT INTO copy VALUES (?1, ?2, ?3)", (i64::try_from(n).expect("a count"), user_id, number(n)))
                .expect("a copy");
        }
        for table in &tables {
            let columns: Vec<String> = {
                let mut statement = transaction.prepare("SELECT name FROM pragma_table_info(?1)").expect("SQL");
                let names = statement.query_map([table], |row| row.get(0)).expect("columns");
                names.collect::<Result<_, _>>().expect("names")
            };
            let values: Vec<String> = columns.iter().map(|column| copied(column)).collect();
            let (into, values) = (columns.join(", "), values.join(", "));
            let sql = format!("INSERT INTO {table} ({into}) SELECT {values} FROM copy, {table} t WHERE t.user_id = ?1");
            transaction.execute(&sql, [&one]).unwrap_or_else(|error| panic!("{table}: {error}\n{sql}"));
        }
        transaction.commit().expect("a commit");
    }
    let broken: i64 = database.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)).expect("checked");
    assert_eq!(broken, 0, "copies whose references lead nowhere");
    let stored = database.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).expect("counted");
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("a checkpoint");
    stored
}
