//! What a refusal looks like: `application/problem+json`, or one of the few bodies that callers of the older system know.
//!
//! # Source
//! RFC 9457, "Problem Details for HTTP APIs". A `type` is a path on this server, which explains it to whoever asks.

use std::borrow::Cow;

use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::domain::token::Scope;
use crate::store::StoreError;

/// Seconds after which a caller should try again when the store was unavailable.
const STORE_RETRY_SECONDS: u64 = 5;

/// The same when the store is damaged, which somebody must mend first.
const MEND_RETRY_SECONDS: u64 = 60;

/// What is said where a write had no answer in time.
const UNCERTAIN: &str = "whether it was stored is not known; what is sent again under the same key is stored once";

/// Declares the kinds of problem: name in the `type` URI, status, title, and what it means for a caller.
macro_rules! problems {
    ($($(#[$doc:meta])* $kind:ident = $status:ident $name:literal $title:literal $meaning:literal;)*) => {
        /// A kind of problem. Its `type` URI is `/problems/NAME` and never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ProblemKind { $(#[doc = $title] $kind),* }

        impl ProblemKind {
            /// Each kind, for the document and its snapshot.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The last part of its `type` URI.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }

            /// The status it is answered with.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status),* }
            }

            /// A short summary, the same each time.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title),* }
            }

            /// What it means and what to do about it.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$kind => $meaning),* }
            }
        }
    };
}

problems! {
    InvalidJson = BAD_REQUEST "invalid-json" "The body is not valid JSON"
        "The body must be one JSON object in UTF-8, nested at most 127 deep. Nothing was stored.";
    InvalidField = BAD_REQUEST "invalid-field" "A field is not valid"
        "The member `field` names the field, `detail` says what it must be. Nothing was stored.";
    InvalidParameter = BAD_REQUEST "invalid-parameter" "A parameter is not valid"
        "The member `parameter` names the query parameter or header, `detail` says what it must be.";
    InvalidWebhook = BAD_REQUEST "invalid-webhook" "The webhook could not be read"
        "It was signed rightly, but it is not what its carrier sends. Nothing was stored.";
    TextTooLong = BAD_REQUEST "text-too-long" "The text is too long"
        "It is longer than `limits.text_characters`. Nothing was stored.";
    Unauthorized = UNAUTHORIZED "unauthorized" "No valid token"
        "Send `Authorization: Bearer TOKEN` with a token that has not expired: one of `scrubjay token create`, or a LibreChat login.";
    OutOfCredit = PAYMENT_REQUIRED "out-of-credit" "Out of credit"
        "The message is stored under the ids given; it is not answered because the person's credits do not cover it.";
    Forbidden = FORBIDDEN "forbidden" "Not allowed"
        "The token is valid but speaks for nobody who may come in here: this door is a person's, or the host's.";
    MissingScope = FORBIDDEN "missing-scope" "The token may not do this"
        "The member `scope` names what the token lacks; make one with `scrubjay token create … --scope SCOPE`, or without scopes.";
    NotAdmitted = FORBIDDEN "not-admitted" "The number is not admitted"
        "Only the numbers of `people.allow` are answered here. Nothing was stored.";
    Blocked = FORBIDDEN "blocked" "The person is blocked"
        "The host has blocked this person. Nothing was stored.";
    OptedOut = FORBIDDEN "opted-out" "The person has opted out"
        "The person has sent STOP and is not answered until they send START.";
    NotFound = NOT_FOUND "not-found" "Nothing is here"
        "The path does not exist, its door is closed, or what it names is not yours.";
    UnknownConversation = NOT_FOUND "unknown-conversation" "No such conversation"
        "The conversation does not exist or belongs to somebody else. Nothing was stored.";
    UnknownAgent = NOT_FOUND "unknown-agent" "No such agent"
        "`metadata.agent_id` names an agent that is not configured. Nothing was stored.";
    MethodNotAllowed = METHOD_NOT_ALLOWED "method-not-allowed" "The method is not allowed here"
        "The header `Allow` lists the methods of this path.";
    RequestTimeout = REQUEST_TIMEOUT "request-timeout" "The body did not arrive in time"
        "Send the whole body within 30 seconds.";
    Conflict = CONFLICT "conflict" "Not possible as things are"
        "`detail` says why.";
    BodyTooLarge = PAYLOAD_TOO_LARGE "body-too-large" "The body is too large"
        "It is larger than `server.body_limit_bytes` or, for a webhook, than 128 KiB. Nothing was stored.";
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" "The content type is not understood"
        "Webhooks are forms (`application/x-www-form-urlencoded`) or `application/json`.";
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY "idempotency-key-reused" "The key was used for another message"
        "A repeat must have the same body as the first request with its key. Nothing was stored.";
    TooManyMessages = TOO_MANY_REQUESTS "too-many-messages" "Too many messages"
        "The number sends more than `external_api.messages_per_minute`. Nothing was stored; `Retry-After` says when to try again.";
    DailyLimit = TOO_MANY_REQUESTS "daily-limit" "Today's limit is reached"
        "The message is stored under the ids given; it is not answered because today's turns are used up.";
    Internal = INTERNAL_SERVER_ERROR "internal-error" "Something went wrong here"
        "The fault is ours; the server's log has the details.";
    ModelFailed = BAD_GATEWAY "model-failed" "The model did not answer"
        "The message is stored under the ids given. `willRetry` says whether another attempt follows by itself; else it is a dead letter that the host can replay.";
    StorageUnavailable = SERVICE_UNAVAILABLE "storage-unavailable" "Storage is unavailable"
        "Nothing was stored, unless `detail` says that this is not known. Try again after the seconds of `Retry-After`; a repeat under the same key is stored once.";
    StillWorking = GATEWAY_TIMEOUT "still-working" "Not answered yet"
        "The message is stored and will be answered, but not within the time that this answer waits.";
}

impl ProblemKind {
    /// The `type` URI.
    #[must_use]
    pub fn uri(self) -> String {
        format!("/problems/{}", self.name())
    }
}

/// One refusal.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) kind: ProblemKind,
    detail: Option<Cow<'static, str>>,
    members: Map<String, Value>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(kind: ProblemKind) -> Self {
        let header = (kind == ProblemKind::Unauthorized).then(|| (WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        Self { kind, detail: None, members: Map::new(), header }
    }

    /// The token is good, but not for this.
    ///
    /// # Source
    /// RFC 6750 section 3.1, `insufficient_scope`.
    pub(super) fn missing_scope(scope: Scope) -> Self {
        let mut problem = Self::new(ProblemKind::MissingScope).detail(format!("the token lacks the scope \"{scope}\""));
        problem.members.insert("scope".to_owned(), json!(scope.as_str()));
        let challenge = match scope {
            Scope::Read => r#"Bearer error="insufficient_scope", scope="read""#,
            Scope::Write => r#"Bearer error="insufficient_scope", scope="write""#,
        };
        problem.header = Some((WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
        problem
    }

    /// What is wrong this time. Never a number, a text or a secret that the caller did not send in this very request.
    pub(super) fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// A further member.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Further members.
    pub(super) fn with_all(mut self, members: Map<String, Value>) -> Self {
        self.members.extend(members);
        self
    }

    /// When to try again.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.header = Some((RETRY_AFTER, HeaderValue::from(seconds)));
        self
    }

    /// The methods of a path.
    pub(super) fn allow(mut self, methods: HeaderValue) -> Self {
        self.header = Some((ALLOW, methods));
        self
    }

    /// As JSON.
    pub(super) fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("type".to_owned(), json!(self.kind.uri()));
        object.insert("title".to_owned(), json!(self.kind.title()));
        object.insert("status".to_owned(), json!(self.kind.status().as_u16()));
        if let Some(detail) = &self.detail {
            object.insert("detail".to_owned(), json!(detail));
        }
        object.extend(self.members.clone());
        Value::Object(object)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.to_json().to_string();
        let mut response =
            (self.kind.status(), [(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))], body).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// Why a request is not served.
#[derive(Debug, Clone)]
pub(super) enum ApiError {
    /// As RFC 9457 has it.
    Problem(Box<Problem>),
    /// A body that callers know word for word.
    Fixed(StatusCode, Value),
}

impl ApiError {
    pub(super) fn fixed(status: StatusCode, error: &'static str) -> Self {
        Self::Fixed(status, json!({ "error": error }))
    }

    /// A field of the body is wrong.
    pub(super) fn field(field: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Problem::new(ProblemKind::InvalidField).detail(detail).with("field", field.into()).into()
    }

    /// A query parameter or header is wrong.
    pub(super) fn parameter(parameter: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Problem::new(ProblemKind::InvalidParameter).detail(detail).with("parameter", parameter.into()).into()
    }

    /// The status it is answered with.
    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Problem(problem) => problem.kind.status(),
            Self::Fixed(status, _) => *status,
        }
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<ProblemKind> for ApiError {
    fn from(kind: ProblemKind) -> Self {
        Problem::new(kind).into()
    }
}

impl From<StoreError> for ApiError {
    /// Logged here, because here it is handled; the caller learns only what it can act upon.
    fn from(error: StoreError) -> Self {
        let is_uncertain = error.outcome_is_unknown();
        match error {
            StoreError::NotFound { .. } => ProblemKind::NotFound.into(),
            StoreError::Conflict { reason } => Problem::new(ProblemKind::Conflict).detail(reason).into(),
            StoreError::InvalidCursor => Self::parameter("cursor", error.to_string()),
            StoreError::Unavailable { reason, source } => {
                let cause = source.map(|source| source.to_string());
                tracing::warn!(%reason, cause, "a request was refused because storage is unavailable");
                let problem = Problem::new(ProblemKind::StorageUnavailable).retry_after(STORE_RETRY_SECONDS);
                if is_uncertain { problem.detail(UNCERTAIN) } else { problem }.into()
            }
            // Once it is mended the same can be stored: whoever sent it must keep it until then.
            StoreError::Corrupt { .. } => {
                metrics::counter!("store_damage_total").increment(1);
                tracing::error!(%error, "a request was refused because what is stored is damaged; until that is mended its sender tries again");
                Problem::new(ProblemKind::StorageUnavailable).retry_after(MEND_RETRY_SECONDS).into()
            }
            StoreError::LeaseLost | StoreError::Unsupported { .. } => {
                tracing::error!(%error, "a request failed in storage");
                ProblemKind::Internal.into()
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Fixed(status, body) => (status, axum::Json(body)).into_response(),
        }
    }
}
