//! Whether the program lives, whether it can do its work, and its figures.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use serde_json::json;

use super::address::is_local;
use super::auth;
use super::problem::{ApiError, ProblemKind};
use super::state::HttpState;
use crate::domain::token::Scope;

/// `GET /health`.
pub(super) async fn health() -> &'static str {
    "OK"
}

/// `GET /health/live`: this process answers.
pub(super) async fn live() -> Json<serde_json::Value> {
    Json(json!({ "live": true, "version": env!("CARGO_PKG_VERSION") }))
}

/// `GET /health/ready`: every part can do its work.
pub(super) async fn ready(State(state): State<HttpState>) -> Response {
    let mut readiness = state.health.readiness().await;
    if state.stop.drain.is_cancelled() {
        readiness.ready = false;
        readiness.parts.insert("server".to_owned(), "stopping".to_owned());
    }
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// `GET /metrics`: for callers on this machine, and elsewhere for bearers of an admin token.
pub(super) async fn metrics(State(state): State<HttpState>, request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    if !is_local(&parts) {
        auth::host(&state, auth::bearer(&parts.headers).as_ref(), Scope::Read).await?;
    }
    let Some(handle) = &state.metrics else { return Err(ProblemKind::NotFound.into()) };
    state.health.observe().await;
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(CONTENT_TYPE, content_type)], handle.render()).into_response())
}

/// Says what each figure of `/metrics` counts, and in which unit. To be called once, after the recorder is installed.
pub fn describe_metrics() {
    describe_counter!("inbound_total", Unit::Count, "Messages that arrived, by door and by what became of them");
    describe_counter!("duplicates_total", Unit::Count, "Repeats of a message that was already stored, by door");
    describe_gauge!("queue_age_seconds", Unit::Seconds, "How long the longest-waiting due work has been due");
    describe_histogram!("turn_seconds", Unit::Seconds, "From taking up a turn to its stored end");
    describe_histogram!("model_seconds", Unit::Seconds, "One completion, by endpoint");
    describe_counter!("tokens_total", Unit::Count, "Tokens, by endpoint and kind (prompt, completion)");
    describe_counter!("segments_total", Unit::Count, "SMS segments of replies");
    describe_counter!("deliveries_total", Unit::Count, "Carriers' words on outgoing messages, by gateway and status");
    describe_counter!("tool_calls_total", Unit::Count, "Calls of tools, by tool and outcome");
    describe_counter!("schedules_fired_total", Unit::Count, "Schedules whose time had come, by outcome (run, held, missed)");
    describe_counter!("endpoint_redirected_total", Unit::Count, "Requests that named the role \"external\" as their endpoint");
    describe_counter!("backups_total", Unit::Count, "Scheduled archives, by outcome (written, failed)");
    describe_gauge!("backup_age_seconds", Unit::Seconds, "How old the newest scheduled archive is");
    describe_counter!("store_damage_total", Unit::Count, "Requests that were refused because what is stored is damaged");
    describe_counter!("budget_refusals_total", Unit::Count, "Turns that were refused for a budget, by reason");
}
