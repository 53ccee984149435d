//! Who calls: the external message API's key, and bearers of tokens.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::{ApiError, Problem, ProblemKind};
use super::state::HttpState;
use crate::domain::ids::UserId;
use crate::domain::token::{Grants, Scope};
use crate::service::access::{Bearer, Caller};

/// Checks `x-api-key`. Without a configured key the door does not exist.
pub(super) fn api_key(configured: &SecretString, headers: &HeaderMap) -> Result<(), ApiError> {
    let configured = configured.expose_secret();
    if configured.is_empty() {
        return Err(ProblemKind::NotFound.into());
    }
    let given = match headers.get("x-api-key") {
        Some(given) if !given.is_empty() => given.as_bytes(),
        _ => return Err(ApiError::fixed(StatusCode::UNAUTHORIZED, "API key required")),
    };
    // Hashed first: comparing keys themselves in constant time would still tell their length.
    let (given, configured) = (Sha256::digest(given), Sha256::digest(configured.as_bytes()));
    if bool::from(given.ct_eq(&configured)) { Ok(()) } else { Err(ApiError::fixed(StatusCode::FORBIDDEN, "Invalid API key")) }
}

/// What `Authorization: Bearer` holds.
pub(super) fn bearer(headers: &HeaderMap) -> Option<SecretString> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| SecretString::from(token.trim()))
}

/// Opens a door of the host: to a bearer of an admin token that may do this.
pub(super) async fn host(state: &HttpState, bearer: Option<&SecretString>, scope: Scope) -> Result<(), ApiError> {
    match known(state, bearer).await? {
        Bearer { caller: Caller::Admin, grants, .. } => granted(&grants, scope),
        Bearer { caller: Caller::Person(_) | Caller::Service, .. } => {
            Err(Problem::new(ProblemKind::Forbidden).detail("this is shown to the host: use an admin token").into())
        }
    }
}

/// The person whom a bearer speaks for, when the bearer may do this in their name. Services and the host are no persons: they
/// have no messages of their own.
pub(super) async fn person(state: &HttpState, bearer: Option<&SecretString>, scope: Scope) -> Result<UserId, ApiError> {
    match known(state, bearer).await? {
        Bearer { caller: Caller::Person(user_id), grants, .. } => granted(&grants, scope).map(|()| user_id),
        Bearer { caller: Caller::Service | Caller::Admin, .. } => {
            Err(Problem::new(ProblemKind::Forbidden).detail("this token does not speak for a person; make one with --user").into())
        }
    }
}

async fn known(state: &HttpState, bearer: Option<&SecretString>) -> Result<Bearer, ApiError> {
    let Some(bearer) = bearer else { return Err(ProblemKind::Unauthorized.into()) };
    state.access.bearer(bearer).await?.ok_or_else(|| ProblemKind::Unauthorized.into())
}

fn granted(grants: &Grants, scope: Scope) -> Result<(), ApiError> {
    if grants.include(scope) { Ok(()) } else { Err(Problem::missing_scope(scope).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(configured: &str, given: Option<&str>) -> Option<u16> {
        let headers = HeaderMap::from_iter(given.map(|given| ("x-api-key".parse().unwrap(), given.parse().unwrap())));
        api_key(&SecretString::from(configured), &headers).err().map(|error| error.status().as_u16())
    }

    #[test]
    fn a_door_without_a_key_is_closed_to_everybody() {
        assert_eq!(check("", None), Some(404));
        assert_eq!(check("", Some("")), Some(404));
        assert_eq!(check("", Some("x")), Some(404));
    }

    #[test]
    fn only_the_whole_key_opens() {
        assert_eq!(check("the-key", None), Some(401));
        assert_eq!(check("the-key", Some("")), Some(401));
        for wrong in ["the-ke", "the-key1", "The-key"] {
            assert_eq!(check("the-key", Some(wrong)), Some(403), "{wrong}");
        }
        assert_eq!(check("the-key", Some("the-key")), None);
    }

    #[test]
    fn a_bearer_is_read_from_its_scheme_only() {
        let read = |value: &str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            bearer(&headers).map(|token| token.expose_secret().to_owned())
        };
        assert_eq!(read("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(read("bearer  abc ").as_deref(), Some("abc"));
        assert_eq!(read("Basic abc"), None);
        assert_eq!(read("abc"), None);
    }
}
