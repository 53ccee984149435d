//! Bearer tokens: who may call, and for what. Only a token's SHA-256 is stored.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ids::UserId;
use super::time::Timestamp;

/// Whom a token speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// One person.
    User,
    /// A service that names the person in a header.
    Service,
    /// The host.
    Admin,
}

/// A token as stored; the secret itself is shown once and never kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id, not secret.
    pub id: Uuid,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// Whom it speaks for.
    pub kind: TokenKind,
    /// The person, for [`TokenKind::User`].
    pub user_id: Option<UserId>,
    /// What it may do; empty means everything its kind may.
    pub scopes: Vec<String>,
    /// Refused from this moment on.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}
