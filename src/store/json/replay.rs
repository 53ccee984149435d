//! What a line of the journal says, done to the index.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::line::Line;
use crate::domain::ids::UserId;
use crate::store::record::{Kind, Record};
use crate::store::sqlite::{Numbers, Outcome, Unit, delete, put, refresh};
use crate::store::{StoreError, StoreResult};

/// A key as the journal has it.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) user: Option<UserId>,
    /// Its JSON.
    pub(super) json: String,
}

/// What a unit changed.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) delete: Vec<Key>,
    pub(super) put: Vec<Record>,
}

impl Change {
    /// What a line says. A line that vouches for itself and cannot be read is a newer release's.
    pub(super) fn of(line: &Line<'_>) -> StoreResult<Self> {
        let unknown = |what: String| StoreError::Unsupported {
            reason: format!("line {} of the journal: {what}; run the release that wrote it", line.n),
        };
        let delete = line.delete.iter().map(|key| Key::parse(key.get()).ok_or_else(|| unknown("a key of an unknown kind".to_owned())));
        let put = line.put.iter().map(|record| Record::from_json(record.get()).map_err(|error| unknown(error.to_string())));
        Ok(Self { delete: delete.collect::<Result<_, _>>()?, put: put.collect::<Result<_, _>>()? })
    }
}

impl Key {
    pub(super) fn parse(json: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Parts {
            kind: String,
            user_id: Option<UserId>,
        }
        let parts: Parts = serde_json::from_str(json).ok()?;
        Some(Self { kind: Kind::parse(&parts.kind)?, user: parts.user_id, json: json.to_owned() })
    }
}

/// Does it, inside a write transaction.
pub(super) fn apply(unit: &Unit<'_>, change: &Change) -> Outcome<()> {
    // A record may refer to one that comes behind it.
    unit.db.execute_batch("PRAGMA defer_foreign_keys = ON")?;
    let mut people: BTreeSet<UserId> = BTreeSet::new();
    for key in &change.delete {
        delete(unit.db, key.kind, &key.json)?;
        people.extend(key.user);
    }
    for record in &change.put {
        put(unit.db, record, Numbers::Kept)?;
        people.extend(record.user_id());
    }
    refresh(unit, people)
}
