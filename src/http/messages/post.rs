//! `POST /api/messages/{conversationId}`: check the key, read, store, then wait for the answer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;

use super::answer;
use super::parse::{Raw, Rules, parse, unknown_choice};
use super::wait::Waiting;
use crate::domain::conversation::Choice;
use crate::domain::user::Preferences;
use crate::http::auth;
use crate::http::in_time::in_time;
use crate::http::problem::{ApiError, Problem, ProblemKind};
use crate::http::segment::Segment;
use crate::http::state::HttpState;
use crate::http_body;
use crate::service::people::UserName;
use crate::service::receive::{ApiMessage, Received};
use crate::service::watch::TurnEvent;
use crate::store::{PageRequest, StoreError};

/// `POST /api/messages/{conversationId}`.
pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Segment(conversation_id): Segment,
    request: Request,
) -> Result<Response, ApiError> {
    receive(state, Some(conversation_id), request).await
}

/// `POST /api/messages`: the same with the id in the body, or without one.
pub(in crate::http) async fn post_unaddressed(State(state): State<HttpState>, request: Request) -> Result<Response, ApiError> {
    receive(state, None, request).await
}

async fn receive(state: HttpState, path_id: Option<String>, request: Request) -> Result<Response, ApiError> {
    let (parts, request_body) = request.into_parts();
    if let Err(refused) = auth::api_key(&state.config.external_api.key, &parts.headers) {
        http_body::discard(request_body).await;
        return Err(refused);
    }
    let bytes = http_body::read(&parts.headers, request_body, state.config.server.body_limit_bytes).await?;
    let rules = Rules {
        phone: state.phone_rules,
        models: &state.models,
        default_endpoint: &state.config.endpoints.default,
        has_default_agent: state.config.agents.default.is_some(),
    };
    // The turn's id is made here, so that looking on begins before there is anything to see.
    let turn_id = state.clock.turn_id();
    let message = parse(Raw { headers: &parts.headers, path_id: path_id.as_deref(), body: &bytes }, &rules, turn_id)?;
    drop(bytes);
    check_model(&state, &message).await?;
    let follower = state.watch.follow(turn_id);
    let receiver = Arc::clone(&state.receiver);
    let (receipt, repeat, end) = match in_time(&state, async move { receiver.receive_api(message).await }).await? {
        Received::Stored { receipt, repeat, end } => (receipt, repeat, end),
        refused => return Err(refusal(&refused, state.config.external_api.messages_per_minute)),
    };
    let wishes = Wishes::read(&parts.headers, state.config.external_api.wait_seconds);
    let follower = if receipt.turn_id == turn_id { follower } else { state.watch.follow(receipt.turn_id) };
    let mut waiting = Waiting::new(state.clone(), receipt, follower, wishes.wait);
    let mut decided = end;
    if repeat && let Some(TurnEvent::End(end)) = waiting.look_back().await {
        decided = Some(end);
    }
    if wishes.events {
        return Ok(answer::as_events(&receipt, decided, waiting, state.clock.clone()));
    }
    let end = match decided {
        Some(end) => Some(end),
        None if wishes.respond_async => None,
        None => waiting.end().await,
    };
    let mut response = answer::as_json(&receipt, end, state.clock.now());
    if wishes.respond_async {
        response.headers_mut().insert(HeaderName::from_static("preference-applied"), HeaderValue::from_static("respond-async"));
    }
    Ok(response)
}

/// Refuses a model that was named without an endpoint when nothing that could answer this message offers it: neither the default
/// endpoint nor the one that the person or their conversation chose. Which of them it will be is decided when the turn begins.
async fn check_model(state: &HttpState, message: &ApiMessage) -> Result<(), ApiError> {
    let (choice, nobody) = (&message.request.choice, Preferences::default());
    if choice.endpoint.is_some() || choice.model.is_none() {
        return Ok(());
    }
    let Err(impossible) = state.models.resolve(choice, &nobody, &Choice::default()) else { return Ok(()) };
    let user = match state.people.get(&UserName::Phone(message.phone.clone())).await {
        Ok(user) => user,
        Err(StoreError::NotFound { .. }) => return Err(unknown_choice(&impossible)),
        Err(error) => return Err(error.into()),
    };
    let conversation = match message.conversation_id {
        Some(id) => match state.conversations.get(user.id, id).await {
            Ok(conversation) => Some(conversation),
            // Not theirs: that is said when the message is to be stored.
            Err(StoreError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        },
        None => state.conversations.list(user.id, PageRequest::first(1)).await?.items.into_iter().next(),
    };
    let kept = conversation.map(|conversation| conversation.choice).unwrap_or_default();
    let possible = [&Choice::default(), &kept].into_iter().any(|kept| state.models.resolve(choice, &user.preferences, kept).is_ok());
    if possible { Ok(()) } else { Err(unknown_choice(&impossible)) }
}

fn refusal(refused: &Received, messages_per_minute: u32) -> ApiError {
    match refused {
        Received::NotAdmitted => ProblemKind::NotAdmitted.into(),
        Received::Blocked => ProblemKind::Blocked.into(),
        Received::UnknownConversation => ProblemKind::UnknownConversation.into(),
        Received::OtherBody => ProblemKind::IdempotencyKeyReused.into(),
        Received::TooMany => {
            Problem::new(ProblemKind::TooManyMessages).retry_after(u64::from(60_u32.div_ceil(messages_per_minute.max(1)))).into()
        }
        Received::TooLong => Problem::new(ProblemKind::TextTooLong).with("field", "content").into(),
        Received::Stored { .. } => ProblemKind::Internal.into(),
    }
}

/// How the caller wants to be answered.
///
/// # Source
/// RFC 7240, "Prefer Header for HTTP": `respond-async` and `wait=SECONDS`.
struct Wishes {
    events: bool,
    respond_async: bool,
    wait: Duration,
}

impl Wishes {
    fn read(headers: &HeaderMap, wait_seconds: u64) -> Self {
        let tokens = |name: &str| headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        let events = tokens(ACCEPT.as_str())
            .any(|accepted| accepted.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("text/event-stream")));
        let preferred = || tokens("prefer").map(|preference| preference.split(';').next().unwrap_or_default().trim());
        let respond_async = preferred().any(|preference| preference.eq_ignore_ascii_case("respond-async"));
        let asked = preferred().find_map(|preference| preference.strip_prefix("wait=")?.trim_matches('"').parse::<u64>().ok());
        Self { events, respond_async, wait: Duration::from_secs(asked.map_or(wait_seconds, |asked| asked.min(wait_seconds))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &str)]) -> Wishes {
        let headers = headers.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap()));
        Wishes::read(&headers.collect(), 120)
    }

    #[test]
    fn how_to_answer_is_read_from_accept_and_prefer() {
        let plain = read(&[("accept", "application/json")]);
        assert!(!plain.events && !plain.respond_async);
        assert_eq!(plain.wait, Duration::from_mins(2));
        assert!(read(&[("accept", "application/json, Text/Event-Stream;q=0.9")]).events);
        let hurried = read(&[("prefer", "respond-async, wait=5")]);
        assert!(hurried.respond_async);
        assert_eq!(hurried.wait, Duration::from_secs(5));
        assert_eq!(read(&[("prefer", "wait=900")]).wait, Duration::from_mins(2));
    }
}
