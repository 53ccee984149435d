//! The carriers' doors: checked, read, stored, and only then acknowledged.
//!
//! Nothing here waits for a model. Whoever is not proven to be the carrier learns nothing but 403.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use metrics::counter;

use super::address::{candidate_urls, is_local};
use super::in_time::in_time;
use super::problem::{ApiError, Problem, ProblemKind};
use super::segment::Segment;
use super::state::HttpState;
use crate::gateway::{Gateway, WebhookEvent, WebhookKind, WebhookRequest};
use crate::http_body;
use crate::service::receive::{CarrierConfirms, Received};

/// The gateway that this program plays itself; it has no business with anybody but this machine.
const SIMULATOR: &str = "simulator";

/// Largest webhook, in bytes. Anybody can post one, and it is held and hashed before it is known whether the carrier sent it; what
/// carriers send is far smaller (Twilio's longest text has 1,600 characters).
const LARGEST_BODY: usize = 128 * 1024;

/// `POST /webhooks/{gateway}`: a text.
pub(super) async fn message(State(state): State<HttpState>, Segment(gateway): Segment, request: Request) -> Result<Response, ApiError> {
    receive(&state, &gateway, WebhookKind::Message, request).await
}

/// `POST /webhooks/{gateway}/status`: the carrier's word on an outgoing message.
pub(super) async fn status(State(state): State<HttpState>, Segment(gateway): Segment, request: Request) -> Result<Response, ApiError> {
    receive(&state, &gateway, WebhookKind::Status, request).await
}

async fn receive(state: &HttpState, name: &str, kind: WebhookKind, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let gateway = state.gateways.find(name).filter(|gateway| gateway.name() != SIMULATOR || is_local(&parts));
    let Some(gateway) = gateway else { return Err(ProblemKind::NotFound.into()) };
    let content_type = content_type(&parts.headers)?;
    let body = http_body::read(&parts.headers, body, LARGEST_BODY.min(state.config.server.body_limit_bytes)).await?;
    let request = WebhookRequest {
        urls: candidate_urls(&parts, &state.config.server.public_url, state.proxies()),
        content_type,
        headers: signature_headers(&parts.headers),
        body,
    };
    if let Err(error) = gateway.verify(&request) {
        state.refused().log(gateway.name(), &error.reason, &state.stop.drain);
        counter!("inbound_total", "door" => gateway.name(), "outcome" => "unproven").increment(1);
        return Ok(StatusCode::FORBIDDEN.into_response());
    }
    let event = gateway.parse(&request, kind).map_err(|error| {
        tracing::warn!(gateway = gateway.name(), reason = %error.reason, "a proven webhook could not be read");
        Problem::new(ProblemKind::InvalidWebhook).detail(error.reason)
    })?;
    store(state, gateway.as_ref(), event).await?;
    Ok(match kind {
        WebhookKind::Status => StatusCode::NO_CONTENT.into_response(),
        WebhookKind::Message => {
            let acknowledgement = gateway.acknowledgement();
            ([(CONTENT_TYPE, HeaderValue::from_static(acknowledgement.content_type))], acknowledgement.body).into_response()
        }
    })
}

/// Stores what a webhook said. Senders who are not answered are counted here and acknowledged like any other: the carrier can do
/// nothing about them, and would only try again.
async fn store(state: &HttpState, gateway: &dyn Gateway, event: WebhookEvent) -> Result<(), ApiError> {
    let uncounted = match event {
        WebhookEvent::Inbound(message) => {
            let confirms = if gateway.confirms_consent() { CarrierConfirms::Yes } else { CarrierConfirms::No };
            let receiver = Arc::clone(&state.receiver);
            match in_time(state, async move { receiver.receive_sms(*message, confirms).await }).await? {
                Received::NotAdmitted => "not-admitted",
                Received::TooLong => "too-long",
                Received::TooMany => "too-many",
                // The receiver counts what it stored and what the store refused.
                Received::Stored { .. } | Received::Blocked | Received::UnknownConversation | Received::OtherBody => return Ok(()),
            }
        }
        WebhookEvent::Status(report) => {
            let receiver = Arc::clone(&state.receiver);
            in_time(state, async move { receiver.receive_status(&report).await }).await?;
            return Ok(());
        }
        WebhookEvent::Ignored { reason } => reason,
    };
    counter!("inbound_total", "door" => gateway.name(), "outcome" => uncounted).increment(1);
    Ok(())
}

/// The content type, lower case. Carriers send forms or JSON.
fn content_type(headers: &HeaderMap) -> Result<String, ApiError> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    let essence = value.split(';').next().unwrap_or_default().trim();
    if matches!(essence, "application/x-www-form-urlencoded" | "application/json") {
        Ok(value)
    } else {
        Err(ProblemKind::UnsupportedMediaType.into())
    }
}

/// The headers that a signature can stand in: carriers' own, which all begin with `X-`.
fn signature_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let own = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-") && !name.as_str().starts_with("x-forwarded-"));
    own.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))).collect()
}
