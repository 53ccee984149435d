//! Bearer tokens, by hash.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::cursor::{self, Listing, Place};
use super::fault::{Fault, Outcome};
use super::values::{Id, Json};
use super::writer::{Unit, done};
use crate::domain::ids::UserId;
use crate::domain::token::{Token, TokenKind};
use crate::store::{KnownToken, Page, PageRequest, StoreError};

/// The columns of a token.
macro_rules! select_token {
    ($rest:literal) => {
        concat!("SELECT id, hash, kind, user_id, scopes, expires_at, created_at FROM tokens ", $rest)
    };
}

fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let kind: String = row.get(2)?;
    let kind = [TokenKind::User, TokenKind::Service, TokenKind::Admin]
        .into_iter()
        .find(|known| word(*known) == kind)
        .ok_or_else(|| rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, "no kind of token".into()))?;
    Ok(Token {
        id: row.get::<_, Id>(0)?.0,
        hash: row.get(1)?,
        kind,
        user_id: row.get(3)?,
        scopes: row.get::<_, Json<_>>(4)?.0,
        expires_at: row.get(5)?,
        created_at: row.get(6)?,
    })
}

const fn word(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::User => "user",
        TokenKind::Service => "service",
        TokenKind::Admin => "admin",
    }
}

/// Keeps a token.
pub(super) fn add(unit: &Unit<'_>, token: &Token) -> Outcome<()> {
    if let Some(user) = token.user_id
        && super::people::find(unit.db, user)?.is_none()
    {
        return Err(Fault::Refused(StoreError::NotFound { what: "the person" }));
    }
    unit.db
        .prepare_cached("INSERT INTO tokens (id, hash, kind, user_id, scopes, expires_at, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![
            Id(token.id),
            token.hash,
            word(token.kind),
            token.user_id,
            Json(&token.scopes),
            token.expires_at,
            token.created_at
        ])?;
    Ok(())
}

/// The token of a hash, and how the person stands whom it speaks for.
pub(super) fn find(db: &Connection, hash: [u8; 32], named: Option<UserId>) -> Outcome<Option<KnownToken>> {
    let found = db.prepare_cached(select_token!("WHERE hash = ?1"))?.query_row([hash], token).optional()?;
    let Some(token) = found else { return Ok(None) };
    let standing = match token.speaks_for(named) {
        Some(person) => super::people::standing(db, person)?,
        None => None,
    };
    Ok(Some(KnownToken { token, standing }))
}

/// All tokens, oldest first.
pub(super) fn list(db: &Connection, request: &PageRequest) -> Outcome<Page<Token>> {
    let from = cursor::read(Listing::Tokens, 16, request.cursor.as_deref())?;
    let from = from.unwrap_or(Place { numbers: [i64::MIN], id: Vec::new() });
    let [created_at] = from.numbers;
    let found = db
        .prepare_cached(select_token!("WHERE (created_at, id) > (?1, ?2) ORDER BY created_at, id LIMIT ?3"))?
        .query_map(params![created_at, from.id, cursor::ask_for(request.limit)], token)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let place = |token: &Token| Place { numbers: [token.created_at.as_millis()], id: token.id.as_bytes().to_vec() };
    Ok(cursor::page(Listing::Tokens, request.limit, found, place, |token| token))
}

/// Forgets a token.
pub(super) fn revoke(unit: &Unit<'_>, id: Uuid) -> Outcome<()> {
    done(unit.db.prepare_cached("DELETE FROM tokens WHERE id = ?1")?.execute([Id(id)])?, "the token")
}
