//! Bearer tokens: made once, shown once, kept as a hash.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::clock::Clock;
use crate::domain::ids::UserId;
use crate::domain::token::{Scope, Token, TokenKind};
use crate::store::{KnownToken, Page, PageRequest, SharedStore, Standing, StoreError, StoreResult};

/// What every token begins with, so that scanners for leaked secrets can tell it.
const PREFIX: &str = "sj_";

/// Tokens.
#[derive(Clone)]
pub struct Tokens {
    store: SharedStore,
    clock: Clock,
}

/// A token just made: the only time its secret is seen.
#[derive(Debug)]
pub struct NewToken {
    /// As stored.
    pub token: Token,
    /// What the bearer sends.
    pub secret: SecretString,
}

impl Tokens {
    /// Over this store.
    #[must_use]
    pub fn new(store: SharedStore, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Makes a token: 256 bits of chance. Without scopes it may do whatever its kind may.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the person does not exist; [`StoreError::Unavailable`].
    pub async fn create(
        &self,
        kind: TokenKind,
        user_id: Option<UserId>,
        scopes: &[Scope],
        valid_for: Option<Duration>,
    ) -> StoreResult<NewToken> {
        let chance = self.clock.secret_bytes::<32>().map_err(|error| StoreError::unavailable("the system gave no random bytes", error))?;
        let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(chance));
        let now = self.clock.now();
        let token = Token {
            id: self.clock.uuid(),
            hash: hash(&secret),
            kind,
            user_id,
            scopes: scopes.iter().map(ToString::to_string).collect(),
            expires_at: valid_for.map(|valid| now.after(valid)),
            created_at: now,
        };
        self.store.add_token(token.clone()).await?;
        Ok(NewToken { token, secret: SecretString::from(secret) })
    }

    /// The token that a bearer sent, if it is one of ours and has not expired, and how the person stands whom it speaks for: its
    /// own, or the one who is `named` beside it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn verify(&self, secret: &SecretString, named: Option<UserId>) -> StoreResult<Option<KnownToken>> {
        let secret = secret.expose_secret();
        // Looking up by hash leaks no more by its timing than the hash of a guess.
        if !secret.starts_with(PREFIX) || secret.len() > 128 {
            return Ok(None);
        }
        let now = self.clock.now();
        let known = self.store.find_token(hash(secret), named).await?;
        Ok(known.filter(|known| known.token.expires_at.is_none_or(|expires| now < expires)))
    }

    /// How a person stands who proves themselves otherwise.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn standing(&self, user_id: UserId) -> StoreResult<Option<Standing>> {
        Ok(self.store.find_user(user_id).await?.as_ref().map(Standing::from))
    }

    /// All tokens, oldest first.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`]; [`StoreError::Unavailable`].
    pub async fn list(&self, page: PageRequest) -> StoreResult<Page<Token>> {
        self.store.list_tokens(page).await
    }

    /// Forgets a token.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Unavailable`].
    pub async fn revoke(&self, id: Uuid) -> StoreResult<()> {
        self.store.revoke_token(id).await
    }
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
