//! Who is asking: a bearer token of ours, or a LibreChat login.
//!
//! A LibreChat login is a JSON Web Token signed with HS256. Only that one algorithm is accepted, so the few lines below stand
//! where a library would bring RSA and elliptic curves that must not be accepted here.
//!
//! # Source
//! RFC 7515 (signature over `header.payload`), RFC 7519 (`exp`, `nbf`), RFC 8725 section 3.1 (fix the algorithm).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::Sha256;

use super::tokens::Tokens;
use crate::clock::Clock;
use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;
use crate::domain::token::{Grants, TokenKind};
use crate::store::{KnownToken, Standing, StoreResult};

/// Longest token that is looked at, in bytes.
const LONGEST: usize = 8 * 1024;

/// Whom a request speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// One person.
    Person(UserId),
    /// A service that names the person itself.
    Service,
    /// The host.
    Admin,
}

/// Whom a bearer speaks for, and what they may do in that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// Whom.
    pub caller: Caller,
    /// What. A LibreChat login may do everything.
    pub grants: Grants,
    /// How that person stands, or the one whom a service names; `None` when there is nobody.
    pub standing: Option<Standing>,
}

/// Reads what a bearer sends.
#[derive(Clone)]
pub struct Access {
    tokens: Tokens,
    clock: Clock,
    jwt_secret: Option<SecretString>,
}

impl Access {
    /// `jwt_secret` is LibreChat's; `None` accepts no logins of it.
    #[must_use]
    pub fn new(tokens: Tokens, clock: Clock, jwt_secret: Option<SecretString>) -> Self {
        Self { tokens, clock, jwt_secret }
    }

    /// What the bearer of this is; `None` when it is not valid, expired, or names nobody.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Unavailable`].
    pub async fn bearer(&self, secret: &SecretString) -> StoreResult<Option<Bearer>> {
        self.bearer_naming(secret, None).await
    }

    /// The same of one who may be a service that names a person.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Unavailable`].
    pub async fn bearer_naming(&self, secret: &SecretString, named: Option<UserId>) -> StoreResult<Option<Bearer>> {
        if let Some(KnownToken { token, standing }) = self.tokens.verify(secret, named).await? {
            let caller = match (token.kind, token.user_id) {
                (TokenKind::User, Some(user_id)) => Caller::Person(user_id),
                (TokenKind::User, None) => return Ok(None),
                (TokenKind::Service, _) => Caller::Service,
                (TokenKind::Admin, _) => Caller::Admin,
            };
            return Ok(Some(Bearer { caller, grants: Grants::read(&token.scopes), standing }));
        }
        let jwt_secret = self.jwt_secret.as_ref();
        let login = jwt_secret.and_then(|jwt_secret| read_login(secret.expose_secret(), jwt_secret, self.clock.now()));
        let Some(user_id) = login else { return Ok(None) };
        let standing = self.tokens.standing(user_id).await?;
        Ok(Some(Bearer { caller: Caller::Person(user_id), grants: Grants::Everything, standing }))
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    id: String,
    exp: Option<f64>,
    nbf: Option<f64>,
}

/// The person that a LibreChat login names. `None` for anything but a well-formed HS256 token with a right signature, an `exp`
/// ahead and no `nbf` ahead.
fn read_login(token: &str, secret: &SecretString, now: Timestamp) -> Option<UserId> {
    if token.len() > LONGEST {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let parsed: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    if parsed.alg != "HS256" || parsed.crit.is_some() {
        return None;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).ok()?;
    mac.update(signed.as_bytes());
    mac.verify_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "seconds of this age are exact in an f64")]
    let seconds = now.as_millis() as f64 / 1000.0;
    let valid = claims.exp.is_some_and(|exp| seconds < exp) && claims.nbf.is_none_or(|nbf| nbf <= seconds);
    if valid { claims.id.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const ID: &str = "0123456789abcdef01234567";

    fn sign(header: &str, payload: &str, secret: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    fn read(token: &str) -> Option<UserId> {
        read_login(token, &SecretString::from("a-secret-of-some-length"), NOW)
    }

    #[test]
    fn a_login_is_read_and_everything_else_is_refused() {
        let (header, secret) = (r#"{"alg":"HS256","typ":"JWT"}"#, "a-secret-of-some-length");
        let good = format!(r#"{{"id":"{ID}","exp":1700000001}}"#);
        assert_eq!(read(&sign(header, &good, secret)), ID.parse().ok());

        let expired = format!(r#"{{"id":"{ID}","exp":1700000000}}"#);
        let endless = format!(r#"{{"id":"{ID}"}}"#);
        let early = format!(r#"{{"id":"{ID}","exp":1700000900,"nbf":1700000800}}"#);
        for payload in [
            expired.as_str(),
            endless.as_str(),
            early.as_str(),
            r#"{"id":"x","exp":1700000001}"#,
            r#"{"id":{"$gt":""},"exp":1700000001}"#,
            "[]",
            "",
        ] {
            assert_eq!(read(&sign(header, payload, secret)), None, "{payload}");
        }
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"hs256"}"#, r#"{"alg":"HS512"}"#, r#"{"alg":"HS256","crit":["b64"]}"#, "{}"] {
            assert_eq!(read(&sign(header, &good, secret)), None, "{header}");
        }
        assert_eq!(read(&sign(header, &good, "another-secret")), None);
        let unsigned = sign(header, &good, secret).rsplit_once('.').map(|(signed, _)| format!("{signed}.")).unwrap();
        for token in [unsigned.as_str(), "", ".", "..", "a.b.c"] {
            assert_eq!(read(token), None, "{token}");
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let token = sign(r#"{"alg":"HS256"}"#, &format!(r#"{{"id":"{ID}","exp":1700000001}}"#), "a-secret-of-some-length");
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last digit of a signature holds spare bits; a strict decoder refuses those too.
            assert_eq!(read(&changed), None, "byte {at}");
        }
    }
}
