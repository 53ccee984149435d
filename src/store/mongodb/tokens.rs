//! Bearer tokens, by hash. They belong to the host, so they need no unit of a person.

use async_trait::async_trait;
use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};
use uuid::Uuid;

use super::MongoStore;
use super::fault;
use super::fields::{Fields, date, maybe_date, object_id, to_bson};
use super::names::Place;
use super::staged::binary;
use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;
use crate::domain::token::{Token, TokenKind};
use crate::store::cursor::{self, Listing};
use crate::store::{KnownToken, Page, PageRequest, People as _, Standing, StoreError, StoreResult, Tokens};

const fn word(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::User => "user",
        TokenKind::Service => "service",
        TokenKind::Admin => "admin",
    }
}

fn parse(text: &str) -> Option<TokenKind> {
    [TokenKind::User, TokenKind::Service, TokenKind::Admin].into_iter().find(|kind| word(*kind) == text)
}

fn document(token: &Token) -> StoreResult<Document> {
    Ok(doc! {
        "_id": token.id.to_string(),
        "hash": binary(token.hash.to_vec()),
        "kind": word(token.kind),
        "user": token.user_id.map_or(Bson::Null, |user| user.to_string().into()),
        "scopes": to_bson(&token.scopes)?,
        "expiresAt": maybe_date(token.expires_at),
        "createdAt": date(token.created_at),
    })
}

fn token_from(collection: &str, document: &Document) -> StoreResult<Token> {
    let fields = Fields::new(collection, document);
    let hash = fields.find_bytes("hash")?.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let user_id = match document.get("user") {
        None | Some(Bson::Null) => None,
        Some(_user) => Some(fields.user("user")?),
    };
    Ok(Token {
        id: fields.id("_id", |id| id)?,
        hash: hash.ok_or_else(|| fields.damaged("hash", "it is no hash of 32 bytes"))?,
        kind: fields.find_word("kind", parse)?.ok_or_else(|| fields.damaged("kind", "it is missing"))?,
        user_id,
        scopes: fields.find_value("scopes")?.ok_or_else(|| fields.damaged("scopes", "they are missing"))?,
        expires_at: fields.find_moment("expiresAt")?,
        created_at: fields.moment("createdAt")?,
    })
}

#[async_trait]
impl Tokens for MongoStore {
    async fn add_token(&self, token: Token) -> StoreResult<()> {
        if let Some(user) = token.user_id {
            let heads = self.collection(Place::Heads);
            let person = heads.find_one(doc! { "_id": object_id(user) }).projection(doc! { "_id": 1 });
            person.await.map_err(fault::unavailable)?.ok_or(StoreError::NotFound { what: "the person" })?;
        }
        self.collection(Place::Tokens).insert_one(document(&token)?).await.map_err(fault::unavailable)?;
        Ok(())
    }

    async fn find_token(&self, hash: [u8; 32], named: Option<UserId>) -> StoreResult<Option<KnownToken>> {
        let collection = self.collection(Place::Tokens);
        let found = collection.find_one(doc! { "hash": binary(hash.to_vec()) }).await.map_err(fault::unavailable)?;
        let Some(document) = found else { return Ok(None) };
        let token = token_from(collection.name(), &document)?;
        // Two documents, read one after the other: what is revoked or blocked meanwhile was not when this call began.
        let standing = match token.speaks_for(named) {
            Some(person) => self.find_user(person).await?.as_ref().map(Standing::from),
            None => None,
        };
        Ok(Some(KnownToken { token, standing }))
    }

    async fn list_tokens(&self, page: PageRequest) -> StoreResult<Page<Token>> {
        let collection = self.collection(Place::Tokens);
        let mut filter = Document::new();
        if let Some(cursor::Place { numbers: [created], id }) = cursor::read(Listing::Tokens, 16, page.cursor.as_deref())? {
            let created = date(Timestamp::from_millis(created));
            let id = Uuid::from_slice(&id).unwrap_or_default().to_string();
            filter.insert("$or", [doc! { "createdAt": { "$gt": created } }, doc! { "createdAt": created, "_id": { "$gt": id } }]);
        }
        let found = collection.find(filter).sort(doc! { "createdAt": 1, "_id": 1 }).limit(cursor::ask_for(page.limit));
        let found: Vec<Document> = found.await.map_err(fault::unavailable)?.try_collect().await.map_err(fault::unavailable)?;
        let tokens = found.iter().map(|document| token_from(collection.name(), document)).collect::<StoreResult<Vec<Token>>>()?;
        let place = |token: &Token| cursor::Place { numbers: [token.created_at.as_millis()], id: token.id.as_bytes().to_vec() };
        Ok(cursor::page(Listing::Tokens, page.limit, tokens, place, |token| token))
    }

    async fn revoke_token(&self, id: Uuid) -> StoreResult<()> {
        let revoked = self.collection(Place::Tokens).delete_one(doc! { "_id": id.to_string() }).await.map_err(fault::unavailable)?;
        if revoked.deleted_count == 0 { Err(StoreError::NotFound { what: "the token" }) } else { Ok(()) }
    }
}
