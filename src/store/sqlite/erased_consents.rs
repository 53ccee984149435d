//! The word of a number that is in the store no more.
//!
//! When a person is erased, their opt-out stays as an HMAC of the number under a random key of this store. When the number comes again
//! the word is taken back to it. Whoever has the whole store can still try all numbers there are; what this keeps is that the number
//! stands in no file, and that two stores' hashes say nothing about each other.

use hmac::{Hmac, KeyInit as _, Mac as _};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::Sha256;

use super::fault::{Fault, Outcome};
use super::writer::Unit;
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;

/// The name of the key.
const KEY: &str = "phone";

fn hash(db: &Connection, phone: &PhoneNumber) -> Outcome<Option<[u8; 32]>> {
    let key: Option<Vec<u8>> =
        db.prepare_cached("SELECT bytes FROM hash_keys WHERE name = ?1")?.query_row([KEY], |row| row.get(0)).optional()?;
    // Without a key nobody was erased yet.
    let Some(key) = key else { return Ok(None) };
    let mut mac =
        Hmac::<Sha256>::new_from_slice(&key).map_err(|_length| Fault::contradiction("the key of hashed numbers has no length"))?;
    mac.update(phone.as_str().as_bytes());
    Ok(Some(mac.finalize().into_bytes().into()))
}

/// Puts a number's opt-out under its hash, and takes the number's own word away. A first key is the one given.
pub(super) fn hide(unit: &Unit<'_>, phone: &PhoneNumber, first_key: [u8; 32]) -> Outcome<()> {
    unit.db
        .prepare_cached("INSERT INTO hash_keys (name, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![KEY, first_key])?;
    if let Some(hash) = hash(unit.db, phone)? {
        unit.db
            .prepare_cached(
                "INSERT INTO erased_consents (hash, opted_out, said_at) SELECT ?1, opted_out, said_at FROM consents WHERE phone = ?2 AND opted_out
                 ON CONFLICT DO UPDATE SET opted_out = excluded.opted_out, said_at = excluded.said_at",
            )?
            .execute(params![hash, phone])?;
    }
    unit.db.prepare_cached("DELETE FROM consents WHERE phone = ?1")?.execute([phone])?;
    Ok(())
}

/// The word that is kept under a number's hash, and when it was said.
pub(super) fn find(db: &Connection, phone: &PhoneNumber) -> Outcome<Option<(bool, Timestamp)>> {
    let Some(hash) = hash(db, phone)? else { return Ok(None) };
    Ok(db
        .prepare_cached("SELECT opted_out, said_at FROM erased_consents WHERE hash = ?1")?
        .query_row([hash], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

/// Gives a number that came again its word back: it is in the store again.
pub(super) fn recall(unit: &Unit<'_>, phone: &PhoneNumber) -> Outcome<()> {
    let Some(hash) = hash(unit.db, phone)? else { return Ok(()) };
    unit.db
        .prepare_cached(
            "INSERT INTO consents (phone, opted_out, said_at) SELECT ?1, opted_out, said_at FROM erased_consents WHERE hash = ?2
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![phone, hash])?;
    unit.db.prepare_cached("DELETE FROM erased_consents WHERE hash = ?1")?.execute([hash])?;
    Ok(())
}
