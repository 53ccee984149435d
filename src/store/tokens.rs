//! Bearer tokens.

use async_trait::async_trait;
use uuid::Uuid;

use super::{Page, PageRequest, StoreResult};
use crate::domain::ids::UserId;
use crate::domain::token::Token;
use crate::domain::user::User;

/// Whether somebody is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They are.
    Welcome,
    /// The host has blocked them.
    Blocked,
}

impl From<&User> for Standing {
    fn from(user: &User) -> Self {
        if user.blocked { Self::Blocked } else { Self::Welcome }
    }
}

/// A token, with the person whom it speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownToken {
    /// The token.
    pub token: Token,
    /// How that person stands; `None` when there is nobody, or nobody of that id.
    pub standing: Option<Standing>,
}

/// Bearer tokens, by hash.
#[async_trait]
pub trait Tokens {
    /// Keeps a token.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`] when its person does not exist; [`super::StoreError::Unavailable`].
    async fn add_token(&self, token: Token) -> StoreResult<()>;

    /// The token of that hash, and how the person stands [whom it speaks for](Token::speaks_for). The caller checks whether it has expired. Every call over HTTP begins with this, so it is one look and sees what
    /// was stored last by whatever process.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn find_token(&self, hash: [u8; 32], named: Option<UserId>) -> StoreResult<Option<KnownToken>>;

    /// All tokens, oldest first: for the host.
    ///
    /// # Errors
    /// [`super::StoreError::InvalidCursor`]; [`super::StoreError::Unavailable`].
    async fn list_tokens(&self, page: PageRequest) -> StoreResult<Page<Token>>;

    /// Forgets a token.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`]; [`super::StoreError::Unavailable`].
    async fn revoke_token(&self, id: Uuid) -> StoreResult<()>;
}
