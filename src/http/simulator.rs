//! The mailboxes of simulated phones: `GET /simulator/messages?phone=NUMBER[&after=CURSOR][&wait_ms=MILLISECONDS]`.
//!
//! For `chat` on this machine. A request is signed as the simulator's webhook is, over its path and query. Without `after` it
//! tells where the mailbox stands and shows nothing; with it, it waits for something newer.

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::address::is_local;
use super::problem::{ApiError, ProblemKind};
use super::query::Query;
use super::state::HttpState;
use crate::domain::phone::PhoneNumber;
use crate::gateway::simulator::{MailboxMessage, SIGNATURE_HEADER, Signed, TIMESTAMP_HEADER};

/// Longest wait for a message.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What is in a phone's mailbox.
#[derive(Debug, Serialize, Deserialize)]
pub struct Mailbox {
    /// The cursor to ask after next.
    pub newest: u64,
    /// What was delivered after the cursor that was asked for, oldest first.
    pub messages: Vec<MailboxMessage>,
}

/// `GET /simulator/messages`.
pub(super) async fn messages(State(state): State<HttpState>, request: Request) -> Result<Response, ApiError> {
    let (parts, _no_body) = request.into_parts();
    // Elsewhere it is as if there were no simulator.
    let Some(carrier) = state.simulator.as_ref().filter(|_| is_local(&parts)) else { return Err(ProblemKind::NotFound.into()) };
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let signed = Signed { timestamp: header(TIMESTAMP_HEADER), signature: header(SIGNATURE_HEADER) };
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    if let Err(error) = carrier.secret().verify(state.clock.now(), &signed, target.as_bytes()) {
        tracing::warn!(reason = %error.reason, "a look into a simulated phone's mailbox was refused");
        return Ok(StatusCode::FORBIDDEN.into_response());
    }
    let query = Query::read(&parts.uri, &["phone", "after", "wait_ms"])?;
    let phone = PhoneNumber::parse(query.get("phone").unwrap_or_default(), &state.phone_rules);
    let Ok(phone) = phone else { return Err(ApiError::parameter("phone", "must be a phone's number")) };
    let wait = number(&query, "wait_ms")?.unwrap_or(0);
    let Some(after) = number(&query, "after")? else {
        return Ok(Json(Mailbox { newest: carrier.newest_cursor(), messages: Vec::new() }).into_response());
    };
    let waiting = carrier.wait_since(&phone, after, Duration::from_millis(wait).min(LONGEST_WAIT));
    let found = state.stop.drain.run_until_cancelled(waiting).await;
    let messages = found.unwrap_or_else(|| carrier.messages_since(&phone, after));
    let newest = messages.last().map_or(after, |message| message.cursor);
    Ok(Json(Mailbox { newest, messages }).into_response())
}

fn number(query: &Query, name: &str) -> Result<Option<u64>, ApiError> {
    let parsed = query.get(name).map(str::parse).transpose();
    parsed.map_err(|_not_a_number| ApiError::parameter(name, "must be a whole number"))
}
