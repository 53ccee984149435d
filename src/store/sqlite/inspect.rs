//! What is wrong with the file, beyond what its records say: SQLite's own check, the search index, the lanes.

use std::path::Path;

use rusqlite::Connection;

use super::fault::Outcome;
use super::open::{Access, connect};
use crate::domain::graph::fold;
use crate::store::{Damage, StoreResult};

/// Damages of the file itself that are told at most.
const TOLD: usize = 20;

const RESTORE: &str = "stop the server, move the file away, and restore the newest archive (`scrubjay archive read`)";
const REBUILD: &str = "write an archive and restore it into an empty store: the search index and the lanes are made anew";

/// Looks at the whole file, in one transaction that writes nothing.
pub(super) fn find_damage(file: &Path) -> StoreResult<Vec<Damage>> {
    let db = connect(file, Access::Snapshot, 16)?;
    look(&db).map_err(|fault| fault.into_store_error(file))
}

fn look(db: &Connection) -> Outcome<Vec<Damage>> {
    db.execute_batch("BEGIN")?;
    let mut damages = Vec::new();
    let mut check = db.prepare(&format!("PRAGMA integrity_check({TOLD})"))?;
    for word in check.query_map([], |row| row.get::<_, String>(0))? {
        let word = word?;
        if word != "ok" {
            damages.push(Damage { what: format!("the file is damaged: {word}"), mend: RESTORE });
        }
    }
    let mut check = db.prepare("SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2")?;
    for broken in check.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)))? {
        let (table, parent, rows) = broken?;
        damages.push(Damage { what: format!("{rows} rows of {table} refer to rows of {parent} that are not there"), mend: RESTORE });
    }
    for (sql, what) in [
        (
            "SELECT count(*) FROM entities e LEFT JOIN graph_index i ON i.rowid = e.id WHERE i.rowid IS NULL OR i.name <> e.folded",
            "entities are not in the search index as they are",
        ),
        (
            "SELECT count(*) FROM graph_index i WHERE NOT EXISTS (SELECT 1 FROM entities WHERE id = i.rowid)
                 AND NOT EXISTS (SELECT 1 FROM observations WHERE id = i.rowid)",
            "rows of the search index are of nothing that is there",
        ),
        (
            "SELECT count(*) FROM activity a WHERE turn_owner IS NULL AND turn_next IS NULL
                 AND EXISTS (SELECT 1 FROM turns t WHERE t.user_id = a.user_id AND t.state IN ('open', 'begun'))",
            "people wait for an answer, but their lanes say that nothing is to be done",
        ),
        (
            "SELECT count(*) FROM activity a WHERE delivery_owner IS NULL AND delivery_next IS NULL
                 AND EXISTS (SELECT 1 FROM outbox o WHERE o.user_id = a.user_id AND o.state IN ('ready', 'sending', 'checking'))",
            "people wait for messages, but their lanes say that nothing is to be sent",
        ),
    ] {
        let rows: i64 = db.prepare(sql)?.query_row([], |row| row.get(0))?;
        if rows > 0 {
            damages.push(Damage { what: format!("{rows} {what}"), mend: REBUILD });
        }
    }
    let unlike = observations_unlike(db)?;
    if unlike > 0 {
        damages.push(Damage { what: format!("{unlike} observations are not in the search index as they are"), mend: REBUILD });
    }
    db.execute_batch("COMMIT")?;
    Ok(damages)
}

fn observations_unlike(db: &Connection) -> Outcome<u64> {
    let mut statement = db.prepare("SELECT o.text, i.text FROM observations o LEFT JOIN graph_index i ON i.rowid = o.id")?;
    let mut rows = statement.query([])?;
    let mut unlike = 0;
    while let Some(row) = rows.next()? {
        let (text, indexed): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        if indexed.as_deref() != Some(fold(&text).as_str()) {
            unlike += 1;
        }
    }
    Ok(unlike)
}
