//! `GET /api/messages/stream`: a person's finished turns, as they finish.

use std::collections::VecDeque;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::response::sse::Event;
use secrecy::SecretString;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::auth::{bearer, person};
use super::messages::{event, sse};
use super::problem::ApiError;
use super::query::Query;
use super::shapes::{ConversationShape, MessageShape};
use super::state::HttpState;
use crate::domain::ids::UserId;
use crate::domain::token::Scope;
use crate::domain::turn::FinishedTurn;
use crate::service::access::Caller;
use crate::service::people::Live;

/// How often a silent stream says that it lives, and looks whether its bearer is still valid.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// How long a stream rests when the store does not answer.
const STORE_REST: Duration = Duration::from_secs(1);

/// `GET /api/messages/stream`.
pub(super) async fn stream(State(state): State<HttpState>, request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    let query = Query::read(&parts.uri, &["token"])?;
    // A browser's EventSource cannot send a header, so a token in the URL counts here, and only here.
    let bearer = bearer(&parts.headers).or_else(|| query.get("token").map(SecretString::from));
    let user_id = person(&state, bearer.as_ref(), Scope::Read).await?;
    let after = match parts.headers.get("last-event-id") {
        None => None,
        Some(value) => match value.to_str().ok().and_then(|value| value.trim().parse::<i64>().ok()).filter(|id| *id >= 0) {
            Some(event) => Some(event),
            None => return Err(ApiError::parameter("Last-Event-ID", "must be an id that this stream gave out")),
        },
    };
    let live = Live::open(state.store.clone(), &state.watch, user_id, after).await?;
    let now = state.clock.now();
    let connected = json!({ "message": "Connected to message stream", "userId": user_id.to_string(), "timestamp": now });
    let events = Events {
        queue: VecDeque::from([event("connected", &connected)]),
        state,
        bearer: bearer.unwrap_or_default(),
        user_id,
        live,
        heartbeat: Instant::now() + HEARTBEAT,
    };
    Ok(sse(futures::stream::unfold(events, |mut events| async move { events.next().await.map(|event| (Ok(event), events)) })))
}

struct Events {
    state: HttpState,
    bearer: SecretString,
    user_id: UserId,
    live: Live,
    queue: VecDeque<Event>,
    heartbeat: Instant,
}

impl Events {
    /// The next event; `None` ends the stream: the server stops, or the bearer is no longer valid.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            let turns = tokio::select! {
                biased;
                () = self.state.stop.drain.cancelled() => return None,
                () = sleep_until(self.heartbeat) => {
                    self.heartbeat = Instant::now() + HEARTBEAT;
                    if !self.is_still_allowed().await {
                        return None;
                    }
                    self.queue.push_back(event("heartbeat", &json!({ "timestamp": self.state.clock.now() })));
                    continue;
                }
                turns = self.live.next() => turns,
            };
            match turns {
                Ok(turns) => turns.iter().for_each(|turn| self.show(turn)),
                Err(error) => {
                    tracing::warn!(%error, "a live stream waits for storage");
                    sleep(STORE_REST).await;
                }
            }
        }
    }

    async fn is_still_allowed(&self) -> bool {
        match self.state.access.bearer(&self.bearer).await {
            Ok(bearer) => bearer.is_some_and(|bearer| bearer.caller == Caller::Person(self.user_id) && bearer.grants.include(Scope::Read)),
            // Not knowing is no reason to hang up.
            Err(_unavailable) => true,
        }
    }

    fn show(&mut self, turn: &FinishedTurn) {
        let timestamp = self.state.clock.now();
        if turn.began_conversation {
            let conversation = ConversationShape::from(&turn.conversation);
            self.queue.push_back(event("newConversation", &json!({ "conversation": conversation, "timestamp": timestamp })));
        }
        let messages: Vec<MessageShape> = turn.messages.iter().map(MessageShape::from).collect();
        let shown = json!({ "conversationId": turn.conversation.id.to_string(), "messages": messages, "timestamp": timestamp });
        // Only the last event of a turn has an id, so that a resumed stream shows whole turns.
        self.queue.push_back(event("newMessage", &shown).id(turn.event.to_string()));
    }
}
