//! A carrier that speaks Twilio's Messages API, remembers every message that it took, and misbehaves on demand.
//!
//! It lives in the test's process, so it survives whatever happens to the program.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::carrier_pages;
use super::listener::{Connection, Served};
use super::twilio::{ACCOUNT_SID, AUTH_TOKEN};

/// What the carrier does with one request to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Takes it and says so.
    Take,
    /// Takes it and says so after a while.
    TakeSlowly(Duration),
    /// Takes it, then breaks the connection before it has said so.
    TakeAndBreak,
    /// Breaks the connection without taking it.
    Break,
    /// 429, code 20429.
    TooMany,
    /// 500.
    Fail,
    /// 400 with this Twilio error code, repeating the number in its message as Twilio does.
    Refuse(u32),
    /// 401, code 20003.
    Unauthorized,
}

/// How a message came into the carrier's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The sender was told.
    Told,
    /// The connection was broken by the carrier before the sender was told.
    Untold,
    /// A phone sent it to us.
    Received,
}

/// A message in the carrier's record.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) sid: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) body: String,
    pub(crate) taken: Taken,
    /// Milliseconds since 1970.
    pub(crate) created_ms: i64,
    pub(crate) status_callback: Option<String>,
}

type Script = Box<dyn FnMut(&[(String, String)]) -> Reaction + Send>;

struct Shared {
    script: Mutex<Script>,
    records: Mutex<Vec<Record>>,
    reactions: Mutex<Vec<Reaction>>,
    listing: Mutex<ListingScript>,
}

/// What the carrier does with a request for its list: an error status, or an answer.
type ListingScript = Box<dyn FnMut() -> Option<u16> + Send>;

/// The running carrier.
pub(crate) struct Carrier {
    shared: Arc<Shared>,
    served: Served,
}

impl Carrier {
    /// Starts one that takes everything.
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(Shared {
            script: Mutex::new(Box::new(|_| Reaction::Take)),
            records: Mutex::default(),
            reactions: Mutex::default(),
            listing: Mutex::new(Box::new(|| None)),
        });
        let router = Router::new()
            .route("/2010-04-01/Accounts/{sid}/Messages.json", get(list).post(send))
            .route("/2010-04-01/Accounts/{account}", get(account))
            .with_state(Arc::clone(&shared));
        Self { served: Served::start(router).await, shared }
    }

    /// The base to configure as `gateways.twilio.api_base`.
    pub(crate) fn api_base(&self) -> String {
        format!("http://{}", self.served.address)
    }

    /// Decides on each further request to send, whose form it sees.
    pub(crate) fn script(&self, script: impl FnMut(&[(String, String)]) -> Reaction + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// Always the same.
    pub(crate) fn always(&self, reaction: Reaction) {
        self.script(move |_| reaction.clone());
    }

    /// Decides which requests for the list fail, and with which status.
    pub(crate) fn listing_script(&self, script: impl FnMut() -> Option<u16> + Send + 'static) {
        *self.shared.listing.lock().unwrap() = Box::new(script);
    }

    /// A phone sends us a text; the caller decides whether a webhook tells of it.
    pub(crate) fn receive(&self, sid: &str, from: &str, to: &str, body: &str) {
        self.shared.record(sid.to_owned(), from, to, body, Taken::Received, None);
    }

    /// Messages that we sent, in the order in which the carrier took them.
    pub(crate) fn sent(&self) -> Vec<Record> {
        self.shared.records.lock().unwrap().iter().filter(|record| record.taken != Taken::Received).cloned().collect()
    }

    /// Bodies of the messages that we sent to one number, in order.
    pub(crate) fn bodies_to(&self, number: &str) -> Vec<String> {
        self.sent().into_iter().filter(|record| record.to == number).map(|record| record.body).collect()
    }

    /// What it did with each request to send, in order.
    pub(crate) fn reactions(&self) -> Vec<Reaction> {
        self.shared.reactions.lock().unwrap().clone()
    }
}

impl Shared {
    fn record(&self, sid: String, from: &str, to: &str, body: &str, taken: Taken, status_callback: Option<String>) -> Record {
        let created_ms = scrubjay::clock::Clock::system().now().as_millis();
        let record = Record { sid, from: from.to_owned(), to: to.to_owned(), body: body.to_owned(), taken, created_ms, status_callback };
        self.records.lock().unwrap().push(record.clone());
        record
    }
}

/// Twilio's error body.
fn error(status: u16, code: u32, message: &str) -> Response {
    let more = format!("https://www.twilio.com/docs/errors/{code}");
    let body = json!({"code": code, "message": message, "more_info": more, "status": status});
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

fn authorized(headers: &HeaderMap, account: &str) -> bool {
    let expected = format!("Basic {}", STANDARD.encode(format!("{ACCOUNT_SID}:{AUTH_TOKEN}")));
    account == ACCOUNT_SID && headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes() == expected.as_bytes())
}

/// What `doctor` asks: the account itself.
async fn account(Path(account): Path<String>, headers: HeaderMap) -> Response {
    let sid = account.trim_end_matches(".json");
    if !authorized(&headers, sid) {
        return error(401, 20003, "Authenticate");
    }
    axum::Json(json!({"sid": sid, "friendly_name": "test", "status": "active", "type": "Full"})).into_response()
}

async fn send(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if !authorized(&headers, &account) {
        return error(401, 20003, "Authenticate");
    }
    let (Some(to), Some(from), Some(body)) = (field("To"), field("From").or(field("MessagingServiceSid")), field("Body")) else {
        return error(400, 21604, "A 'To' phone number is required.");
    };
    let reaction = (shared.script.lock().unwrap())(&form);
    shared.reactions.lock().unwrap().push(reaction.clone());
    let take = |taken| {
        let sid = format!("SM{}", uuid::Uuid::now_v7().simple());
        shared.record(sid, from, to, body, taken, field("StatusCallback").map(str::to_owned))
    };
    let created = |record: Record| (StatusCode::CREATED, axum::Json(carrier_pages::message(&record))).into_response();
    match reaction {
        Reaction::Take => created(take(Taken::Told)),
        Reaction::TakeSlowly(wait) => {
            let record = take(Taken::Told);
            tokio::time::sleep(wait).await;
            created(record)
        }
        Reaction::TakeAndBreak => {
            take(Taken::Untold);
            connection.cut();
            StatusCode::NO_CONTENT.into_response()
        }
        Reaction::Break => {
            connection.cut();
            StatusCode::NO_CONTENT.into_response()
        }
        Reaction::TooMany => error(429, 20429, "Too Many Requests"),
        Reaction::Fail => error(500, 20500, "Internal Server Error"),
        Reaction::Refuse(code) => error(400, code, &format!("The message to {to} cannot be sent")),
        Reaction::Unauthorized => error(401, 20003, "Authenticate"),
    }
}

async fn list(State(shared): State<Arc<Shared>>, Path(account): Path<String>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    if !authorized(&headers, &account) {
        return error(401, 20003, "Authenticate");
    }
    if let Some(status) = (shared.listing.lock().unwrap())() {
        return error(status, 20500, "Internal Server Error");
    }
    let query: Vec<(String, String)> = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    let records = shared.records.lock().unwrap().clone();
    match carrier_pages::page(&records, &account, &query) {
        Ok(page) => axum::Json(page).into_response(),
        Err(message) => error(400, 20001, &message),
    }
}
