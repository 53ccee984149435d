//! The schema's versions: numbered files, applied in order, never changed once released.

use rusqlite::Connection;

/// `SJAY`: marks the file as ours.
pub(super) const APPLICATION_ID: i32 = 0x534A_4159;

/// Every version's statements, the first at index 0. An applied file never changes; a test holds their hashes.
pub(in crate::store) const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/0001_initial.sql"),
    include_str!("../../../migrations/0002_graph.sql"),
    include_str!("../../../migrations/0003_todos.sql"),
    include_str!("../../../migrations/0004_schedules.sql"),
    include_str!("../../../migrations/0005_steps.sql"),
    include_str!("../../../migrations/0006_summaries.sql"),
    include_str!("../../../migrations/0007_step_charges.sql"),
    include_str!("../../../migrations/0008_summary_claims.sql"),
    include_str!("../../../migrations/0009_detached_graphs.sql"),
    include_str!("../../../migrations/0010_erased_people.sql"),
];

/// The version that these migrations lead to.
pub(in crate::store) fn latest(migrations: &[&str]) -> u32 {
    u32::try_from(migrations.len()).unwrap_or(u32::MAX)
}

/// Brings the schema from `version` to the latest. Runs inside the caller's transaction.
pub(super) fn apply_after(db: &Connection, version: u32, migrations: &[&str]) -> rusqlite::Result<()> {
    for statements in migrations.iter().skip(version as usize) {
        db.execute_batch(statements)?;
    }
    db.execute("INSERT INTO meta (key, value) VALUES ('backend', 'sqlite') ON CONFLICT DO NOTHING", [])?;
    db.execute(
        "INSERT INTO meta (key, value) VALUES ('schema', ?1) ON CONFLICT DO UPDATE SET value = ?1",
        [latest(migrations).to_string()],
    )?;
    db.pragma_update(None, "application_id", APPLICATION_ID)?;
    db.pragma_update(None, "user_version", latest(migrations))
}

/// Takes `external` out of rows that name it as an endpoint: it is a message's role, and the default endpoint answers in its
/// place. Returns how many rows said it. Partial indexes make it cost nothing where there are none.
pub(super) fn remove_role_as_endpoint(db: &Connection) -> rusqlite::Result<usize> {
    let mut rows = 0;
    for statement in [
        "UPDATE people SET preferred_endpoint = NULL WHERE lower(preferred_endpoint) = 'external'",
        "UPDATE conversations SET
             endpoint = CASE WHEN lower(endpoint) = 'external' THEN NULL ELSE endpoint END,
             choice_endpoint = CASE WHEN lower(choice_endpoint) = 'external' THEN NULL ELSE choice_endpoint END
         WHERE lower(endpoint) = 'external' OR lower(choice_endpoint) = 'external'",
        "UPDATE messages SET endpoint = NULL WHERE lower(endpoint) = 'external'",
        "UPDATE turns SET request = json_remove(request, '$.choice.endpoint')
         WHERE state IN ('open', 'begun') AND CASE WHEN json_valid(request) THEN lower(json_extract(request, '$.choice.endpoint')) = 'external' END",
        "UPDATE turns SET request = json_remove(request, '$.choice.endpoint')
         WHERE state = 'dead' AND CASE WHEN json_valid(request) THEN lower(json_extract(request, '$.choice.endpoint')) = 'external' END",
    ] {
        rows += db.execute(statement, [])?;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn an_applied_migration_never_changes() {
        let hashes: Vec<String> = MIGRATIONS
            .iter()
            .map(|statements| base64::engine::general_purpose::STANDARD.encode(Sha256::digest(statements.as_bytes())))
            .collect();
        insta::assert_debug_snapshot!(hashes);
    }

    #[test]
    fn a_graph_from_before_keeps_its_rows_and_leaves_its_person_in_one_step() {
        let mut db = Connection::open_in_memory().unwrap();
        db.pragma_update(None, "foreign_keys", true).unwrap();
        apply_after(&db, 0, MIGRATIONS.get(..8).unwrap()).unwrap();
        db.execute_batch(
            "INSERT INTO people VALUES (zeroblob(12), '+15550000001', 'e', 'n', 'u', 'sms', 'USER', 1, NULL, NULL, NULL, NULL, '{}', 0, 1, 1, 1, NULL);
             INSERT INTO graphs VALUES (5, zeroblob(12), 3, 1, 1, 1);
             INSERT INTO entities VALUES ((5 << 32) | 1, 5, 'ada', 'Ada', 'person', 1, 1);
             INSERT INTO observations VALUES ((5 << 32) | 2147483650, (5 << 32) | 1, 7, 'is kind', NULL, 1);
             INSERT INTO relations VALUES ((5 << 32) | 3, (5 << 32) | 1, (5 << 32) | 1, 'likes', 1);
             INSERT INTO graph_index (rowid, name, type, text) VALUES ((5 << 32) | 1, 'ada', 'person', '');",
        )
        .unwrap();
        let change = db.transaction().unwrap();
        apply_after(&change, 8, MIGRATIONS).unwrap();
        change.commit().unwrap();
        let graph = |db: &Connection| {
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, Option<Vec<u8>>>(1)?.is_some(), row.get(2)?));
            db.query_row("SELECT number, user_id, last_item FROM graphs", [], read).unwrap()
        };
        assert_eq!(graph(&db), (5, true, 3));
        let broken: i64 = db.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)).unwrap();
        assert_eq!(broken, 0);
        db.execute("DELETE FROM graphs", []).unwrap_err();
        db.execute("DELETE FROM people", []).unwrap();
        assert_eq!(graph(&db), (5, false, 3), "it waits to be erased, and nobody has it");
        let entities: i64 = db.query_row("SELECT count(*) FROM entities", [], |row| row.get(0)).unwrap();
        assert_eq!(entities, 1);
    }

    #[test]
    fn the_role_external_leaves_every_place_of_an_endpoint() {
        let db = Connection::open_in_memory().unwrap();
        apply_after(&db, 0, MIGRATIONS).unwrap();
        let plans = [
            "people SET preferred_endpoint = NULL WHERE lower(preferred_endpoint) = 'external'",
            "messages SET endpoint = NULL WHERE lower(endpoint) = 'external'",
        ];
        for plan in plans {
            let detail: String = db.query_row(&format!("EXPLAIN QUERY PLAN UPDATE {plan}"), [], |row| row.get(3)).unwrap();
            assert!(detail.contains("_at_role"), "{plan} reads the whole table: {detail}");
        }
        db.execute_batch(
            "INSERT INTO people VALUES (zeroblob(12), '+15550000001', 'e', 'n', 'u', 'sms', 'USER', 1, 'External', NULL, NULL, NULL, '{}', 0, 1, 1, 1, NULL, NULL);
             INSERT INTO conversations VALUES (zeroblob(12), zeroblob(16), 't', 'external', NULL, 'EXTERNAL', NULL, NULL, NULL, 'sms', 1, 1, 0, 0, NULL, 0, 0, 1, 1);
             INSERT INTO messages VALUES (zeroblob(12), zeroblob(16), 1, 0, zeroblob(16), zeroblob(16), 1, NULL, 'external', 'x', NULL, 'external', NULL, 0, 0, 0, 1, 1, 1, 1);
             INSERT INTO turns (id, user_id, conversation_id, kind, state, due, last_text_at, opened_at, request)
                VALUES (zeroblob(16), zeroblob(12), zeroblob(16), 'reply', 'open', 1, 1, 1, '{\"choice\":{\"endpoint\":\"external\",\"model\":\"m\"}}');",
        )
        .unwrap();
        assert_eq!(remove_role_as_endpoint(&db).unwrap(), 4);
        assert_eq!(remove_role_as_endpoint(&db).unwrap(), 0);
        let (endpoint, role, request): (Option<String>, String, String) = db
            .query_row("SELECT c.choice_endpoint, m.role, t.request FROM conversations c, messages m, turns t", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .unwrap();
        assert_eq!((endpoint, role.as_str(), request.as_str()), (None, "external", r#"{"choice":{"model":"m"}}"#));
    }
}
