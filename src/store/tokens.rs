//! Bearer tokens.

use async_trait::async_trait;
use uuid::Uuid;

use super::{Page, PageRequest, StoreResult};
use crate::domain::token::Token;

/// Bearer tokens, by hash.
#[async_trait]
pub trait Tokens {
    /// Keeps a token.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`] when its person does not exist; [`super::StoreError::Unavailable`].
    async fn add_token(&self, token: Token) -> StoreResult<()>;

    /// The token of that hash; the caller checks whether it has expired.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn find_token(&self, hash: [u8; 32]) -> StoreResult<Option<Token>>;

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
