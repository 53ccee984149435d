//! What a caller is told: as one JSON document, or as a stream of events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::wait::{Seen, Waiting};
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::domain::turn::{Refusal, StoredReply, TurnEnd};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::shapes::ReplyShape;
use crate::store::Receipt;

/// How often a stream that has nothing to say says so, for proxies that close silent connections.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What was stored.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Ids {
    /// The conversation it stands in.
    conversation_id: String,
    /// The message as stored.
    message_id: String,
    /// The person.
    user_id: String,
    /// This message made the person's account.
    is_new_user: bool,
}

/// A message that was answered.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(in crate::http) struct Answered {
    /// What was stored.
    #[serde(flatten)]
    ids: Ids,
    /// The reply; null for a consent word, which gets none.
    reply: Option<ReplyShape>,
}

impl From<&Receipt> for Ids {
    fn from(receipt: &Receipt) -> Self {
        Self {
            conversation_id: receipt.conversation_id.to_string(),
            message_id: receipt.message_id.to_string(),
            user_id: receipt.user_id.to_string(),
            is_new_user: receipt.is_new_user,
        }
    }
}

impl Ids {
    fn members(&self) -> Map<String, Value> {
        match json!(self) {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }
}

/// A turn's end, as callers are told.
enum Told {
    Reply(Option<StoredReply>),
    Problem(Problem),
}

fn tell(end: TurnEnd, now: Timestamp) -> Told {
    let problem = match end {
        TurnEnd::Answered(reply) => return Told::Reply(reply),
        TurnEnd::Failed { error, will_retry } => Problem::new(ProblemKind::ModelFailed).detail(error).with("willRetry", will_retry),
        TurnEnd::Refused(Refusal::OutOfCredit) => Problem::new(ProblemKind::OutOfCredit),
        TurnEnd::Refused(Refusal::PersonLimit) => {
            Problem::new(ProblemKind::DailyLimit).retry_after(until_tomorrow(now)).with("limit", "person")
        }
        TurnEnd::Refused(Refusal::TotalLimit) => {
            Problem::new(ProblemKind::DailyLimit).retry_after(until_tomorrow(now)).with("limit", "all")
        }
        TurnEnd::Refused(Refusal::OptedOut) => Problem::new(ProblemKind::OptedOut),
        TurnEnd::Refused(Refusal::Discarded) => {
            Problem::new(ProblemKind::Conflict).detail("the host discarded this turn; it is not answered")
        }
        // Recorded without an answer, as a consent word is.
        TurnEnd::Refused(Refusal::TooOld | Refusal::Empty | Refusal::AnsweredByCarrier) => return Told::Reply(None),
    };
    Told::Problem(problem)
}

/// Seconds until the daily limits begin anew, at midnight UTC.
fn until_tomorrow(now: Timestamp) -> u64 {
    const DAY_MILLIS: i64 = 86_400_000;
    let left = DAY_MILLIS - now.as_millis().rem_euclid(DAY_MILLIS);
    u64::try_from(left / 1000).unwrap_or(0) + 1
}

/// The answer as one document; `end` is `None` when nothing was waited for, or in vain.
pub(super) fn as_json(receipt: &Receipt, end: Option<TurnEnd>, now: Timestamp) -> Response {
    let ids = Ids::from(receipt);
    match end.map(|end| tell(end, now)) {
        None => (StatusCode::ACCEPTED, Json(ids)).into_response(),
        Some(Told::Reply(reply)) => Json(Answered { ids, reply: reply.as_ref().map(ReplyShape::from) }).into_response(),
        Some(Told::Problem(problem)) => problem.with_all(ids.members()).into_response(),
    }
}

/// The answer as a stream: `accepted`, `delta` as the reply comes, `tool` as tools are called, `message`, `done`; or `error`.
pub(super) fn as_events(receipt: &Receipt, decided: Option<TurnEnd>, waiting: Waiting, clock: Clock) -> Response {
    let ids = Ids::from(receipt);
    let mut queue = VecDeque::with_capacity(4);
    queue.push_back(event("accepted", &ids));
    let mut events = Events { ids, queue, waiting, clock, told: String::new(), over: false };
    if let Some(end) = decided {
        events.end(end);
    }
    sse(futures::stream::unfold(events, |mut events| async move { events.next().await.map(|event| (Ok(event), events)) }))
}

/// A stream of events as an answer that no proxy holds back.
pub(in crate::http) fn sse(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// An event whose data is one line of JSON.
pub(in crate::http) fn event(name: &str, data: &impl Serialize) -> Event {
    // Our own shapes always serialize; JSON escapes the line ends that an event could not hold.
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}

struct Events {
    ids: Ids,
    queue: VecDeque<Event>,
    waiting: Waiting,
    clock: Clock,
    /// The pieces so far, joined.
    told: String,
    over: bool,
}

impl Events {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            match self.waiting.next().await {
                Seen::Delta(text) => self.delta(&text),
                Seen::Tool { name, state } => self.queue.push_back(event("tool", &json!({ "name": name, "state": state.as_str() }))),
                Seen::End(end) => self.end(end),
                Seen::Nothing => self.fail(Problem::new(ProblemKind::StillWorking)),
            }
        }
    }

    fn delta(&mut self, text: &str) {
        self.told.push_str(text);
        self.queue.push_back(event("delta", &json!({ "text": text })));
    }

    fn end(&mut self, end: TurnEnd) {
        match tell(end, self.clock.now()) {
            Told::Problem(problem) => self.fail(problem),
            Told::Reply(reply) => {
                if let Some(reply) = &reply {
                    // A reply that was not streamed here (a fixed answer, another process's work) comes in one piece.
                    if let Some(rest) = reply.text.strip_prefix(self.told.as_str()).filter(|rest| !rest.is_empty()) {
                        self.queue.push_back(event("delta", &json!({ "text": rest })));
                    }
                    self.queue.push_back(event("message", &ReplyShape::from(reply)));
                }
                self.queue.push_back(event("done", &self.ids));
                self.over = true;
            }
        }
    }

    fn fail(&mut self, problem: Problem) {
        self.queue.push_back(event("error", &problem.with_all(self.ids.members()).to_json()));
        self.over = true;
    }
}
