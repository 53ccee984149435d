//! Bearer tokens: who may call, and for what. Only a token's SHA-256 is stored.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ids::UserId;
use super::text::beginning;
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

/// Something that a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Look at what is there: `GET`, the live stream too.
    Read,
    /// Change or delete it. Does not include [`Scope::Read`].
    Write,
}

impl Scope {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Read, Self::Write];

    /// Its word, as stored and as written on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a scope; there are {known}", known = Scope::ALL.map(Scope::as_str).join(" and "))]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(word: &str) -> Result<Self, UnknownScope> {
        let known = Self::ALL.into_iter().find(|scope| scope.as_str() == word);
        known.ok_or_else(|| UnknownScope(beginning(word, 40).to_owned()))
    }
}

/// What the bearer of a token or login may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grants {
    /// Whatever its kind may.
    Everything,
    /// These alone.
    Only(Vec<Scope>),
}

impl Grants {
    /// Reads a token's stored words: none of them grants everything; one that is not known grants nothing.
    #[must_use]
    pub fn read(words: &[String]) -> Self {
        if words.is_empty() { Self::Everything } else { Self::Only(words.iter().filter_map(|word| word.parse().ok()).collect()) }
    }

    /// Whether this is among it.
    #[must_use]
    pub fn include(&self, scope: Scope) -> bool {
        match self {
            Self::Everything => true,
            Self::Only(scopes) => scopes.contains(&scope),
        }
    }
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
    /// What it may do, as words that [`Grants::read`] reads; empty means everything its kind may.
    pub scopes: Vec<String>,
    /// Refused from this moment on.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Token {
    /// The person whom it speaks for: its own, or for a service the one who is `named` beside it.
    #[must_use]
    pub fn speaks_for(&self, named: Option<UserId>) -> Option<UserId> {
        match self.kind {
            TokenKind::User => self.user_id,
            TokenKind::Service => named,
            TokenKind::Admin => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Grants {
        Grants::read(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn words_grant_what_they_name_and_nothing_else() {
        let granted = |words: &[&str]| Scope::ALL.map(|scope| read(words).include(scope));
        assert_eq!(granted(&[]), [true, true]);
        assert_eq!(granted(&["read"]), [true, false]);
        assert_eq!(granted(&["write"]), [false, true]);
        assert_eq!(granted(&["write", "read", "read"]), [true, true]);
        for unknown in ["", "Read", "read ", "read,write", "*", "admin", "mcp"] {
            assert_eq!(granted(&[unknown]), [false, false], "{unknown:?}");
            assert_eq!(granted(&[unknown, "read"]), [true, false], "{unknown:?}");
        }
    }

    #[test]
    fn an_unknown_word_is_refused_with_the_known_ones() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        let told = "everything".parse::<Scope>().unwrap_err().to_string();
        assert_eq!(told, r#""everything" is not a scope; there are read and write"#);
    }
}
