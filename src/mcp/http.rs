//! The doors at `/mcp`: Host and Origin, then who calls and how often, then the message, then the protocol.
//!
//! rmcp speaks the protocol, statelessly and in JSON. What it refuses in plain text, and what stands before it, is answered as an
//! error of JSON-RPC without an id, which the specification allows and clients show to people.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use rmcp::ErrorData;
use rmcp::model::JsonRpcError;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use super::catalogue::{Catalogue, JSON};
use super::hosts::{Hosts, Refused};
use super::identity::{NotLetIn, Porter, USER_ID, USER_PHONE};
use super::messages::{LONGEST, too_long, unreadable};
use super::pace::{Pace, TooFast};
use super::server::Server;
use crate::config::Config;
use crate::domain::phone::UnknownRegion;
use crate::http_body::{self, BodyError};
use crate::lifecycle::Stop;
use crate::service::access::Access;
use crate::service::people::People;
use crate::service::tools::ToolSet;
use crate::store::StoreError;

/// The doors: the path, and the one set behind it.
const DOORS: [(&str, Option<&str>); 4] =
    [("/mcp", None), ("/mcp/memory", Some("memory")), ("/mcp/todo", Some("todo")), ("/mcp/schedule", Some("schedule"))];

/// Seconds after which a caller should try again when the store was unavailable.
const STORE_RETRY_SECONDS: &str = "5";

/// What the doors are made of.
pub struct McpParts {
    /// Settings: under which names this server is called, and how numbers are read.
    pub config: Arc<Config>,
    /// Reads bearer tokens and logins.
    pub access: Access,
    /// People, whom services name.
    pub people: People,
    /// What is served.
    pub sets: Vec<Arc<dyn ToolSet>>,
    /// The two signals that stop the server. Calls in flight are finished at the first and dropped at the second.
    pub stop: Stop,
}

struct Door {
    hosts: Hosts,
    porter: Porter,
    pace: Arc<Pace>,
    protocol: StreamableHttpService<Arc<Server>, NeverSessionManager>,
}

/// A router with every door that has tools behind it.
///
/// # Errors
/// A `phone.default_region` that is none.
pub fn router(parts: &McpParts) -> Result<Router, UnknownRegion> {
    let everything = Catalogue::new(parts.sets.clone());
    let hosts = Hosts::of(&parts.config);
    let porter = Porter { access: parts.access.clone(), people: parts.people.clone(), phone_rules: parts.config.phone.rules()? };
    // One for all doors: each serves a part of what the first serves.
    let pace = Arc::new(Pace::of(&parts.config.mcp));
    let mut router = Router::new();
    for (path, set) in DOORS {
        let catalogue = set.map_or_else(|| Catalogue::new(parts.sets.clone()), |set| everything.only(set));
        if set.is_some_and(|set| !catalogue.has(set)) {
            continue;
        }
        let server = Arc::new(Server::behind_door(Arc::new(catalogue)));
        let door = Door { hosts: hosts.clone(), porter: porter.clone(), pace: Arc::clone(&pace), protocol: protocol(server, &parts.stop) };
        router = router.route(path, any(knock).with_state(Arc::new(door)));
    }
    Ok(router)
}

fn protocol(server: Arc<Server>, stop: &Stop) -> StreamableHttpService<Arc<Server>, NeverSessionManager> {
    let settings = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        // Checked before, for every method and with an answer that says what to do.
        .disable_allowed_hosts()
        .with_max_request_body_bytes(LONGEST)
        // Ends calls in flight at once: that is for the second signal, while the first lets connections finish.
        .with_cancellation_token(stop.now.clone());
    StreamableHttpService::new(move || Ok(Arc::clone(&server)), Arc::new(NeverSessionManager::default()), settings)
}

async fn knock(State(door): State<Arc<Door>>, request: Request) -> Response {
    let (mut parts, request_body) = request.into_parts();
    let visitor = match door.enter(&parts).await {
        Ok(visitor) => visitor,
        Err(refusal) => {
            http_body::discard(request_body).await;
            return refusal.into_response();
        }
    };
    let message = match http_body::read(&parts.headers, request_body, LONGEST).await {
        Ok(message) => message,
        Err(unread) => return Refusal::from(unread).into_response(),
    };
    // Tools see neither the token nor who was named how: only the person.
    for hidden in [AUTHORIZATION, USER_ID, USER_PHONE] {
        parts.headers.remove(hidden);
    }
    parts.extensions.insert(visitor);
    let response = door.protocol.handle(Request::from_parts(parts, Body::from(message.clone()))).await;
    as_json_rpc(response.map(Body::new), &message).await
}

impl Door {
    async fn enter(&self, parts: &axum::http::request::Parts) -> Result<super::identity::Visitor, Refusal> {
        self.hosts.check(&parts.uri, &parts.headers)?;
        if parts.method != Method::POST {
            let refusal =
                Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this server is stateless: it takes POST, and streams nothing by itself");
            return Err(refusal.with(ALLOW, HeaderValue::from_static("POST")));
        }
        let visitor = self.porter.let_in(&parts.headers).await?;
        self.pace.check(visitor.user_id)?;
        Ok(visitor)
    }
}

/// A refusal as an error of JSON-RPC.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    error: ErrorData,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let message = message.into();
        let error =
            if status.is_server_error() { ErrorData::internal_error(message, None) } else { ErrorData::invalid_request(message, None) };
        Self { status, error, header: None }
    }

    fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&JsonRpcError::new(None, self.error)).unwrap_or_default();
        let mut response = (self.status, [(CONTENT_TYPE, HeaderValue::from_static(JSON))], body).into_response();
        response.headers_mut().extend(self.header);
        response
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let message = match refused {
            Refused::Host => "this name in Host is not allowed; the host adds it to mcp.allowed_hosts",
            Refused::Origin => "this page in Origin is not allowed; the host adds its name to mcp.allowed_hosts",
        };
        Self::new(StatusCode::FORBIDDEN, message)
    }
}

impl From<TooFast> for Refusal {
    fn from(TooFast { wait }: TooFast) -> Self {
        // Rounded up, so that whoever waits as long is let in.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let message = format!("too many calls in this person's name (mcp.calls_per_minute); try again in {seconds} s");
        Self::new(StatusCode::TOO_MANY_REQUESTS, message).with(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }
}

impl From<NotLetIn> for Refusal {
    /// A failure of the store is logged here, because here it is handled.
    ///
    /// # Source
    /// RFC 6750 section 3: the challenge names an error only when a token came.
    fn from(reason: NotLetIn) -> Self {
        match reason {
            NotLetIn::Missing(message) => {
                let challenge = HeaderValue::from_static(r#"Bearer realm="scrubjay""#);
                Self::new(StatusCode::UNAUTHORIZED, message).with(WWW_AUTHENTICATE, challenge)
            }
            NotLetIn::Invalid => {
                let challenge = HeaderValue::from_static(r#"Bearer realm="scrubjay", error="invalid_token""#);
                Self::new(StatusCode::UNAUTHORIZED, "the token is not valid, or has ended").with(WWW_AUTHENTICATE, challenge)
            }
            NotLetIn::Forbidden(message) => Self::new(StatusCode::FORBIDDEN, message),
            NotLetIn::Storage(error) => {
                tracing::warn!(%error, "an MCP request was refused because storage is unavailable");
                let retryable = matches!(error, StoreError::Unavailable { .. });
                let status = if retryable { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
                let refusal = Self::new(status, "storage is unavailable; nothing was read");
                if retryable { refusal.with(RETRY_AFTER, HeaderValue::from_static(STORE_RETRY_SECONDS)) } else { refusal }
            }
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(unread: BodyError) -> Self {
        match unread {
            BodyError::TooLarge => Self { status: StatusCode::PAYLOAD_TOO_LARGE, error: too_long(), header: None },
            BodyError::TooSlow => Self::new(StatusCode::REQUEST_TIMEOUT, "the message did not arrive in time"),
            BodyError::Broken => Self::new(StatusCode::BAD_REQUEST, "the message broke off"),
        }
    }
}

/// Longest plain-text refusal of rmcp's that is passed on, in bytes.
const LONGEST_REASON: usize = 16 * 1024;

/// Puts what rmcp refuses in plain text into the shape of an error of JSON-RPC, and tells apart what it calls an unsupported
/// media type when a message cannot be read.
async fn as_json_rpc(response: Response, message: &[u8]) -> Response {
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(JSON.as_bytes()));
    if is_json || response.status().is_success() {
        return response;
    }
    let (parts, reason) = response.into_parts();
    let reason = to_bytes(reason, LONGEST_REASON).await.unwrap_or_default();
    let reason = String::from_utf8_lossy(&reason);
    if parts.status == StatusCode::UNSUPPORTED_MEDIA_TYPE && reason.starts_with("fail to deserialize") {
        let (_id, error) = unreadable(message);
        return Refusal { status: StatusCode::BAD_REQUEST, error, header: None }.into_response();
    }
    Refusal::new(parts.status, reason).into_response()
}
