//! The one list of doors: path, method, handler, and what each takes and gives. Router and document are both made from it, so
//! neither can have a door that the other lacks.

mod doors;

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use schemars::{Schema, SchemaGenerator};

use super::problem::{Problem, ProblemKind};
use super::segment::Segment;
use super::state::HttpState;
use crate::domain::token::Scope;

/// One door.
pub(in crate::http) struct Route {
    pub(in crate::http) method: Method,
    pub(in crate::http) path: &'static str,
    pub(in crate::http) handler: fn() -> MethodRouter<HttpState>,
    /// Its name in the document, and in clients made from it.
    pub(in crate::http) operation: &'static str,
    pub(in crate::http) tag: &'static str,
    pub(in crate::http) summary: &'static str,
    pub(in crate::http) key: Key,
    pub(in crate::http) parameters: Vec<Parameter>,
    pub(in crate::http) body: Option<Media>,
    pub(in crate::http) answers: Vec<Answer>,
}

/// What opens a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Key {
    /// Nothing.
    Open,
    /// The external message API's key.
    Caller,
    /// A person's bearer token with this scope, or login.
    Person(Scope),
    /// The same, in the URL too.
    PersonOrUrl(Scope),
    /// The carrier's signature.
    Signature,
    /// The simulator's signature, from this machine alone.
    Loopback,
    /// An admin token with this scope; nothing on the same machine.
    Host(Scope),
}

/// A parameter beside those of the path.
#[derive(Clone, Copy)]
pub(in crate::http) struct Parameter {
    /// `query` or `header`.
    pub(in crate::http) place: &'static str,
    pub(in crate::http) name: &'static str,
    pub(in crate::http) description: &'static str,
}

/// A body: its media type and its shape.
#[derive(Clone, Copy)]
pub(in crate::http) struct Media {
    pub(in crate::http) media: &'static str,
    pub(in crate::http) schema: Option<SchemaOf>,
}

/// An answer.
pub(in crate::http) struct Answer {
    pub(in crate::http) status: u16,
    pub(in crate::http) description: &'static str,
    pub(in crate::http) content: Vec<Media>,
}

pub(in crate::http) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Every door.
pub(in crate::http) fn routes() -> &'static [Route] {
    static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(doors::all);
    &ROUTES
}

/// The router over every door.
#[must_use = "a router serves nothing until it is given to `serve`"]
pub fn router(state: HttpState) -> Router {
    let mut router = Router::new();
    // Methods of one path are given to the router together, or the second would replace the first.
    let mut paths: Vec<(&'static str, MethodRouter<HttpState>)> = Vec::new();
    for route in routes() {
        match paths.iter_mut().find(|(path, _)| *path == route.path) {
            Some((_, methods)) => *methods = std::mem::take(methods).merge((route.handler)()),
            None => paths.push((route.path, (route.handler)())),
        }
    }
    for (path, methods) in paths {
        router = router.route(path, methods);
    }
    // The second holds for the paths that are there when it is set, so both come last.
    router.fallback(not_found).method_not_allowed_fallback(method_not_allowed).with_state(state)
}

/// A door's method and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteName {
    /// Upper case.
    pub method: String,
    /// With `{parameters}`.
    pub path: &'static str,
}

/// Every door, for tests that knock at each.
#[must_use]
pub fn list_routes() -> Vec<RouteName> {
    routes().iter().map(|route| RouteName { method: route.method.to_string(), path: route.path }).collect()
}

async fn not_found() -> Response {
    ProblemKind::NotFound.into_response()
}

async fn method_not_allowed(uri: Uri) -> Response {
    let path = uri.path();
    let allowed = routes().iter().filter(|route| matches(route.path, path)).map(|route| route.method.to_string()).collect::<Vec<_>>();
    let allowed = HeaderValue::try_from(allowed.join(", ")).unwrap_or(HeaderValue::from_static(""));
    Problem::new(ProblemKind::MethodNotAllowed).allow(allowed).into_response()
}

/// Whether a path fits a door's, segment by segment.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) if pattern == part || (pattern.starts_with('{') && !part.is_empty()) => {}
            _ => return false,
        }
    }
}

async fn problem_type(Segment(name): Segment) -> Response {
    let Some(kind) = ProblemKind::ALL.iter().find(|kind| kind.name() == name) else { return not_found().await };
    let meaning = serde_json::json!({
        "type": kind.uri(),
        "status": kind.status().as_u16(),
        "title": kind.title(),
        "meaning": kind.meaning(),
    });
    let mut response = axum::Json(meaning).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=86400"));
    response
}
