//! People: finding, listing, preferring, blocking, consent.

use rusqlite::{Connection, OptionalExtension, params};

use super::cursor::{self, Listing, Place};
use super::erased_consents;
use super::fault::Outcome;
use super::lanes;
use super::rows;
use super::turn_end::{settle, spent};
use super::turns;
use super::writer::{Unit, done};
use crate::domain::ids::UserId;
use crate::domain::phone::PhoneNumber;
use crate::domain::turn::Refusal;
use crate::domain::user::{PreferenceChange, User};
use crate::store::{NewAccount, NewPerson, Page, PageRequest, Standing, StoreError};

macro_rules! select_user {
    ($rest:literal) => {
        concat!("SELECT ", rows::user_columns!(), " FROM people p JOIN activity a ON a.user_id = p.user_id ", $rest)
    };
}

/// One person.
pub(super) fn find(db: &Connection, id: UserId) -> Outcome<Option<User>> {
    Ok(db.prepare_cached(select_user!("WHERE p.user_id = ?1 AND p.erased_at IS NULL"))?.query_row([id], rows::user).optional()?)
}

/// The person of a number.
pub(super) fn find_by_phone(db: &Connection, phone: &PhoneNumber) -> Outcome<Option<User>> {
    Ok(db.prepare_cached(select_user!("WHERE p.phone = ?1"))?.query_row([phone], rows::user).optional()?)
}

/// Whether a person is let in, without all the rest.
pub(super) fn standing(db: &Connection, id: UserId) -> Outcome<Option<Standing>> {
    let blocked = db.prepare_cached("SELECT blocked FROM people WHERE user_id = ?1")?.query_row([id], |row| row.get(0)).optional()?;
    Ok(blocked.map(|blocked: bool| if blocked { Standing::Blocked } else { Standing::Welcome }))
}

fn get(db: &Connection, id: UserId) -> Outcome<User> {
    find(db, id)?.ok_or_else(|| StoreError::NotFound { what: "the person" }.into())
}

/// The account of a number or an id, made now if there is none.
pub(super) fn open(unit: &Unit<'_>, account: &NewAccount) -> Outcome<User> {
    let found = match &account.phone {
        Some(phone) => find_by_phone(unit.db, phone)?,
        None => find(unit.db, account.person.id)?,
    };
    if let Some(user) = found {
        return Ok(user);
    }
    if unit.db.prepare_cached("SELECT 1 FROM people WHERE user_id = ?1")?.exists([account.person.id])? {
        let reason = "the account of that id is still being erased; try again in a moment".to_owned();
        return Err(StoreError::Conflict { reason }.into());
    }
    add(unit, &account.person, account.phone.as_ref())?;
    get(unit.db, account.person.id)
}

/// Makes an account, with a user name that nobody has.
pub(super) fn add(unit: &Unit<'_>, new: &NewPerson, phone: Option<&PhoneNumber>) -> Outcome<()> {
    let (wanted, name, mailbox, provider) = match phone {
        Some(phone) => (format!("sms_{}", phone.digits()), format!("SMS User {}", phone.as_str()), phone.as_str(), "sms"),
        None => ("default".to_owned(), "Default".to_owned(), "default", "local"),
    };
    let mut username = wanted.clone();
    let mut taken = unit.db.prepare_cached("SELECT EXISTS (SELECT 1 FROM people WHERE username = ?1)")?;
    let mut suffix = 0_u32;
    while taken.query_row([&username], |row| row.get(0))? {
        suffix += 1;
        username = format!("{wanted}_{suffix}");
    }
    unit.db
        .prepare_cached(
            "INSERT INTO people (user_id, phone, email, name, username, provider, role, email_verified, caller_metadata, first_contact,
                 created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'USER', 1, '{}', ?7, ?7, ?7)",
        )?
        .execute(params![new.id, phone, format!("{mailbox}@{}", new.email_domain), name, username, provider, unit.now])?;
    let granted_at = new.start_credits.map(|_credits| unit.now);
    unit.db
        .prepare_cached("INSERT INTO activity (user_id, last_sms, message_count, balance, refilled_at) VALUES (?1, ?2, 0, ?3, ?4)")?
        .execute(params![new.id, unit.now, new.start_credits, granted_at])?;
    match phone {
        Some(phone) => erased_consents::recall(unit, phone),
        None => Ok(()),
    }
}

/// Everybody, oldest first.
pub(super) fn list(db: &Connection, request: &PageRequest) -> Outcome<Page<User>> {
    let from = cursor::read(Listing::Users, 12, request.cursor.as_deref())?;
    let from = from.unwrap_or(Place { numbers: [i64::MIN], id: Vec::new() });
    let [created_at] = from.numbers;
    let users = db
        .prepare_cached(select_user!(
            "WHERE (p.created_at, p.user_id) > (?1, ?2) AND p.erased_at IS NULL ORDER BY p.created_at, p.user_id LIMIT ?3"
        ))?
        .query_map(params![created_at, from.id, cursor::ask_for(request.limit)], rows::user)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let place = |user: &User| Place { numbers: [user.created_at.as_millis()], id: user.id.as_bytes().to_vec() };
    Ok(cursor::page(Listing::Users, request.limit, users, place, |user| user))
}

/// Changes preferences, each field on its own.
pub(super) fn prefer(unit: &Unit<'_>, id: UserId, changes: &[PreferenceChange]) -> Outcome<User> {
    let mut preferences = get(unit.db, id)?.preferences;
    for change in changes {
        preferences.apply(change.clone());
    }
    unit.db
        .prepare_cached(
            "UPDATE people SET preferred_endpoint = ?2, preferred_model = ?3, preferred_agent = ?4, time_zone = ?5, quiet_hours = ?6, updated_at = ?7
             WHERE user_id = ?1",
        )?
        .execute(params![id, preferences.endpoint, preferences.default_model, preferences.agent_id, preferences.time_zone, preferences.quiet_hours, unit.now])?;
    get(unit.db, id)
}

/// Blocks or unblocks a person; blocking ends their open turns, in order, and withdraws what is still to be sent.
pub(super) fn set_blocked(unit: &Unit<'_>, id: UserId, blocked: bool) -> Outcome<User> {
    let changed = unit
        .db
        .prepare_cached("UPDATE people SET blocked = ?2, updated_at = ?3 WHERE user_id = ?1")?
        .execute(params![id, blocked, unit.now])?;
    done(changed, "the person")?;
    if blocked {
        while let Some(mut turn) = turns::head(unit.db, id)? {
            settle(unit, &turn, spent(unit, &turn)?)?;
            turn.answer = None;
            turn.refusal = Some(Refusal::Discarded);
            turns::end_without_model(unit, &turn)?;
        }
        lanes::free_turns(unit, id)?;
        lanes::withdraw(unit, id, "the person was blocked")?;
    }
    get(unit.db, id)
}
