//! The mailboxes of simulated phones: `GET /simulator/messages?phone=NUMBER[&after=CURSOR][&wait_ms=MILLISECONDS]`.
//!
//! For `chat` on this machine. A request is signed as the simulator's webhook is, over its path and query. Without `after` it
//! tells where the mailbox stands and shows nothing; with it, it waits for something newer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::address::is_local;
use crate::clock::Clock;
use crate::domain::phone::{PhoneNumber, PhoneRules};
use crate::gateway::simulator::{MailboxMessage, SIGNATURE_HEADER, Signed, SimulatorCarrier, TIMESTAMP_HEADER};

/// Longest wait for a message.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What a phone asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    phone: String,
    after: Option<u64>,
    #[serde(default)]
    wait_ms: u64,
}

/// What is in a phone's mailbox.
#[derive(Debug, Serialize, Deserialize)]
pub struct Mailbox {
    /// The cursor to ask after next.
    pub newest: u64,
    /// What was delivered after the cursor that was asked for, oldest first.
    pub messages: Vec<MailboxMessage>,
}

/// What the mailboxes are read with.
#[derive(Clone)]
pub struct Mailboxes {
    /// The carrier.
    pub carrier: Arc<SimulatorCarrier>,
    /// Time.
    pub clock: Clock,
    /// How numbers are read.
    pub rules: PhoneRules,
    /// Ends what waits when the server stops.
    pub drain: CancellationToken,
}

/// The route.
pub fn router(mailboxes: Mailboxes) -> Router {
    Router::new().route("/simulator/messages", get(messages)).with_state(mailboxes)
}

async fn messages(State(mailboxes): State<Mailboxes>, request: Request) -> Response {
    let (parts, _no_body) = request.into_parts();
    // Whoever does not sign learns nothing, not even that there is a simulator.
    if !is_local(&parts) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let signed = Signed { timestamp: header(TIMESTAMP_HEADER), signature: header(SIGNATURE_HEADER) };
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    if let Err(error) = mailboxes.carrier.secret().verify(mailboxes.clock.now(), &signed, target.as_bytes()) {
        tracing::warn!(reason = %error.reason, "a look into a simulated phone's mailbox was refused");
        return StatusCode::FORBIDDEN.into_response();
    }
    let Ok(Query(ask)) = Query::<Ask>::try_from_uri(&parts.uri) else { return StatusCode::BAD_REQUEST.into_response() };
    let Ok(phone) = PhoneNumber::parse(&ask.phone, &mailboxes.rules) else { return StatusCode::BAD_REQUEST.into_response() };
    let Some(after) = ask.after else {
        return Json(Mailbox { newest: mailboxes.carrier.newest_cursor(), messages: Vec::new() }).into_response();
    };
    let limit = Duration::from_millis(ask.wait_ms).min(LONGEST_WAIT);
    let waiting = mailboxes.carrier.wait_since(&phone, after, limit);
    let found = mailboxes.drain.run_until_cancelled(waiting).await;
    let messages = found.unwrap_or_else(|| mailboxes.carrier.messages_since(&phone, after));
    let newest = messages.last().map_or(after, |message| message.cursor);
    Json(Mailbox { newest, messages }).into_response()
}
