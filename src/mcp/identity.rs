//! Who calls over HTTP: a person by their token, or a service by its token and the person it names in a header.
//!
//! There is no fallback. A call that proves nobody, or two different people, reads nothing.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName};
use secrecy::SecretString;

use crate::domain::ids::UserId;
use crate::domain::phone::{PhoneNumber, PhoneRules};
use crate::domain::token::Grants;
use crate::service::access::{Access, Bearer, Caller};
use crate::service::people::{People, UserName};
use crate::store::{Standing, StoreError};

/// Names a person by id; LibreChat fills in its own.
pub(super) const USER_ID: HeaderName = HeaderName::from_static("x-user-id");
/// Names a person by number.
pub(super) const USER_PHONE: HeaderName = HeaderName::from_static("x-user-phone");

/// A person who was let in, and what may be done in their name. Travels in a request's extensions, where no client can put it.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub(super) user_id: UserId,
    pub(super) grants: Grants,
}

/// Why nobody is let in.
#[derive(Debug)]
pub(super) enum NotLetIn {
    /// No token, or a service that names nobody: 401.
    Missing(&'static str),
    /// A token that is none of ours, or has ended: 401.
    Invalid,
    /// Known, but not for this: 403.
    Forbidden(&'static str),
    /// It could not be found out.
    Storage(StoreError),
}

impl From<StoreError> for NotLetIn {
    fn from(error: StoreError) -> Self {
        Self::Storage(error)
    }
}

/// Lets people in.
#[derive(Clone)]
pub(super) struct Porter {
    pub(super) access: Access,
    pub(super) people: People,
    pub(super) phone_rules: PhoneRules,
}

impl Porter {
    /// Whom a request speaks for. In the usual case that is one look into the store.
    pub(super) async fn let_in(&self, headers: &HeaderMap) -> Result<Visitor, NotLetIn> {
        let token = bearer(headers)?;
        let by_id = named_by_id(headers);
        let named = by_id.as_ref().ok().copied().flatten();
        // Whoever proves nothing hears nothing of what else is wrong.
        let Bearer { caller, grants, standing } = self.access.bearer_naming(&token, named).await?.ok_or(NotLetIn::Invalid)?;
        let by_phone = self.named_by_phone(headers).await?;
        let named = match (by_id?, by_phone) {
            (Some(by_id), Some(by_phone)) if by_id != by_phone => {
                return Err(NotLetIn::Forbidden("X-User-Id and X-User-Phone name two different people"));
            }
            (by_id, by_phone) => by_id.or(by_phone),
        };
        let user_id = match (caller, named) {
            (Caller::Admin, _) => {
                return Err(NotLetIn::Forbidden("an admin token speaks for no person: use one made with --user or --service"));
            }
            (Caller::Person(user_id), None) => user_id,
            (Caller::Person(user_id), Some(named)) if user_id == named => user_id,
            (Caller::Person(_), Some(_)) => {
                return Err(NotLetIn::Forbidden("the token speaks for one person and the headers name another"));
            }
            (Caller::Service, Some(named)) => named,
            (Caller::Service, None) => return Err(NotLetIn::Missing("a service names the person in X-User-Id or X-User-Phone")),
        };
        // Whom a number names has been looked up by it.
        if by_phone.is_none() && standing != Some(Standing::Welcome) {
            return Err(NotLetIn::Forbidden(UNKNOWN));
        }
        Ok(Visitor { user_id, grants })
    }

    /// The person whose number a header holds, who must exist and not be blocked. What is told is the same in both cases.
    async fn named_by_phone(&self, headers: &HeaderMap) -> Result<Option<UserId>, NotLetIn> {
        let Some(text) = one(headers, &USER_PHONE)? else { return Ok(None) };
        let phone = PhoneNumber::parse(text, &self.phone_rules).map_err(|_no_number| NotLetIn::Forbidden(UNKNOWN))?;
        match self.people.get(&UserName::Phone(phone)).await {
            Ok(user) if !user.blocked => Ok(Some(user.id)),
            Ok(_) | Err(StoreError::NotFound { .. }) => Err(NotLetIn::Forbidden(UNKNOWN)),
            Err(error) => Err(error.into()),
        }
    }
}

/// The person whose id a header holds.
fn named_by_id(headers: &HeaderMap) -> Result<Option<UserId>, NotLetIn> {
    one(headers, &USER_ID)?.map(|text| text.parse().map_err(|_no_id| NotLetIn::Forbidden(UNKNOWN))).transpose()
}

const UNKNOWN: &str = "no person is known by that name; a header must hold an id of 24 hexadecimal digits or a number, not a placeholder";

/// The one value of a header.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, NotLetIn> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(|text| Some(text.trim())).map_err(|_not_text| NotLetIn::Forbidden(UNKNOWN)),
        (Some(_), Some(_)) => Err(NotLetIn::Forbidden("a header that names a person came twice")),
    }
}

/// What `Authorization: Bearer` holds.
fn bearer(headers: &HeaderMap) -> Result<SecretString, NotLetIn> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else { return Err(NotLetIn::Missing("a bearer token is needed: `scrubjay token create` makes one")) };
    let read = value.to_str().ok().and_then(|text| text.trim().split_once(' '));
    match read {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && second.is_none() => Ok(SecretString::from(token.trim())),
        _ => Err(NotLetIn::Invalid),
    }
}
