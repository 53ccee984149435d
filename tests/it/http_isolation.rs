//! No read and no write crosses from one person to another, whatever ids, cursors and tokens somebody puts into a request.
//!
//! Three people say the same words, so that only ids and numbers tell them apart. Then anybody tries anything, over every door
//! that holds people's data: whoever did not act stays as they were, and no answer shows what belongs to somebody else.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use proptest::prelude::{Strategy, any, prop, prop_oneof};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use scrubjay::domain::ids::UserId;
use scrubjay::domain::job::JobKind;
use scrubjay::domain::token::TokenKind;
use scrubjay::http::list_routes;
use scrubjay::store::{JobFilter, PageRequest};
use serde_json::{Value, json};

use crate::backends::Ground;
use crate::http_home::{Answer, Doors, JWT_SECRET, request};
use crate::http_owner::login;
use crate::support::home::API_KEY;
use crate::support::twilio::{AUTH_TOKEN, PUBLIC_URL, Text, encode, sign};

const NUMBERS: [&str; 3] = ["+15550100001", "+15550100002", "+15550100003"];
const WORDS: &str = "The same words of everybody";

/// One of the doors that hold people's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    PostToPath,
    PostToBody,
    PostSpoofed,
    PostWithSharedKey,
    Webhook,
    Messages,
    MessagesOf,
    Search,
    StolenCursor,
    Conversations,
    Conversation,
    Delete,
    Me,
    Patch,
    Stream,
}

const DOORS: [Door; 15] = [
    Door::PostToPath,
    Door::PostToBody,
    Door::PostSpoofed,
    Door::PostWithSharedKey,
    Door::Webhook,
    Door::Messages,
    Door::MessagesOf,
    Door::Search,
    Door::StolenCursor,
    Door::Conversations,
    Door::Conversation,
    Door::Delete,
    Door::Me,
    Door::Patch,
    Door::Stream,
];

impl Door {
    /// The route behind it.
    fn route(self) -> &'static str {
        match self {
            Self::PostToPath | Self::PostSpoofed | Self::PostWithSharedKey => "POST /api/messages/{conversationId}",
            Self::PostToBody => "POST /api/messages",
            Self::Webhook => "POST /webhooks/{gateway}",
            Self::Messages | Self::MessagesOf | Self::Search | Self::StolenCursor => "GET /api/messages",
            Self::Conversations => "GET /api/conversations",
            Self::Conversation => "GET /api/conversations/{conversationId}",
            Self::Delete => "DELETE /api/conversations/{conversationId}",
            Self::Me => "GET /api/me",
            Self::Patch => "PATCH /api/me",
            Self::Stream => "GET /api/messages/stream",
        }
    }
}

/// What somebody shows to be let in as somebody.
#[derive(Debug, Clone, Copy)]
enum Pass {
    /// Their own token.
    Token,
    /// Their own login.
    Login,
    /// Nothing that is worth anything; each is another forgery in the name of the target.
    Forged(u8),
}

/// Somebody tries something at somebody's expense.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    actor: usize,
    target: usize,
    door: Door,
    pass: Pass,
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let pass = prop_oneof![2 => proptest::strategy::Just(Pass::Token), 1 => proptest::strategy::Just(Pass::Login), 2 => any::<u8>().prop_map(Pass::Forged)];
    let attempt = (0..3_usize, 0..3_usize, prop::sample::select(&DOORS[..]), pass);
    prop::collection::vec(attempt.prop_map(|(actor, target, door, pass)| Attempt { actor, target, door, pass }), 1..6)
}

struct World {
    doors: Doors,
    ids: Vec<UserId>,
    tokens: Vec<String>,
    service: String,
    admin: String,
}

impl World {
    async fn new(ground: Ground) -> Self {
        let doors = Doors::open_on(ground, "worker.poll_ms = 50").await;
        let (mut ids, mut tokens) = (Vec::new(), Vec::new());
        for number in NUMBERS {
            doors.say(number, WORDS).await;
            let id = doors.say(number, WORDS).await["userId"].as_str().unwrap().to_owned();
            tokens.push(doors.token(TokenKind::User, Some(&id)).await);
            ids.push(id.parse().unwrap());
        }
        let (service, admin) = (doors.token(TokenKind::Service, None).await, doors.token(TokenKind::Admin, None).await);
        Self { doors, ids, tokens, service, admin }
    }

    async fn everybody(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for id in &self.ids {
            all.push(self.doors.everything_of(*id).await);
        }
        all
    }

    /// Waits until no reply is being written.
    async fn settle(&self) {
        crate::support::eventually("every turn is over", Duration::from_secs(10), || async {
            let jobs = self.doors.app.jobs.list(JobFilter::Unfinished, PageRequest::first(100)).await.unwrap().items;
            jobs.iter().all(|job| job.kind != JobKind::Reply).then_some(())
        })
        .await;
    }

    fn login(&self, person: usize, header: &Value, expires: Option<i64>, secret: &str) -> String {
        let mut claims = json!({ "id": self.ids[person].to_string() });
        if let Some(expires) = expires {
            claims["exp"] = (self.doors.app.clock.now().as_millis() / 1000 + expires).into();
        }
        login(header, &claims, secret)
    }

    /// The token that an attempt shows.
    fn pass(&self, attempt: Attempt) -> String {
        let Attempt { actor, target, .. } = attempt;
        let header = json!({"alg": "HS256", "typ": "JWT"});
        match attempt.pass {
            Pass::Token => self.tokens[actor].clone(),
            Pass::Login => self.login(actor, &header, Some(60), JWT_SECRET),
            Pass::Forged(kind) => match kind % 9 {
                0 => self.login(target, &header, Some(60), "a-guessed-secret"),
                1 => self.login(target, &header, Some(-60), JWT_SECRET),
                2 => self.login(target, &header, None, JWT_SECRET),
                3 => self.login(target, &json!({"alg": "none"}), Some(60), JWT_SECRET),
                4 => self.tokens[target][1..].to_owned(),
                5 => format!("{}A", self.tokens[target]),
                6 => self.ids[target].to_string(),
                7 => self.service.clone(),
                _ => self.admin.clone(),
            },
        }
    }

    /// A conversation of that person; an id that is nobody's when there is none left.
    fn conversation(before: &[Value], person: usize) -> String {
        before[person]["conversations"][0]["conversationId"].as_str().unwrap_or("0192f3a4-0000-7000-8000-000000000000").to_owned()
    }

    async fn request(&self, attempt: Attempt, before: &[Value]) -> Request<Body> {
        let Attempt { actor, target, door, .. } = attempt;
        let (from, theirs, id) = (NUMBERS[actor], Self::conversation(before, target), self.ids[target].to_string());
        let authorization = format!("Bearer {}", self.pass(attempt));
        // Headers by which other systems name a person; here they mean nothing.
        let headers = [("authorization", authorization.as_str()), ("x-user-id", &id), ("x-user-phone", NUMBERS[target])];
        let get = |path: &str| request(Method::GET, path, &headers, Body::empty());
        let post = |path: &str, body: Value, more: &[(&str, &str)]| {
            let headers: Vec<(&str, &str)> = [("x-api-key", API_KEY)].iter().chain(&headers).chain(more).copied().collect();
            request(Method::POST, path, &headers, body.to_string())
        };
        match door {
            Door::PostToPath => post(&format!("/api/messages/{theirs}"), json!({"role": "external", "content": WORDS, "from": from}), &[]),
            Door::PostToBody => {
                post("/api/messages", json!({"role": "external", "content": WORDS, "from": from, "conversationId": theirs}), &[])
            }
            Door::PostSpoofed => {
                let spoofed = json!({
                    "role": "external", "content": WORDS, "from": NUMBERS[target], "phoneNumber": NUMBERS[target], "user": id, "userId": id,
                    "metadata": {"phoneNumber": from, "user": id, "userId": id, "_id": id, "conversationId": theirs, "messageCount": 0},
                });
                post("/api/messages/new", spoofed, &[])
            }
            Door::PostWithSharedKey => {
                let body = json!({"role": "external", "content": WORDS, "from": from});
                post("/api/messages/new", body, &[("idempotency-key", "the-key-of-everybody")])
            }
            Door::Webhook => {
                let form = Text::new(from, WORDS).form();
                let signature = sign(AUTH_TOKEN, &format!("{PUBLIC_URL}/webhooks/twilio"), &form);
                let headers = [("content-type", "application/x-www-form-urlencoded"), ("x-twilio-signature", signature.as_str())];
                request(Method::POST, "/webhooks/twilio", &headers, encode(&form))
            }
            Door::Messages => get("/api/messages?pageSize=100"),
            Door::MessagesOf => get(&format!("/api/messages?conversationId={theirs}")),
            Door::Search => get("/api/messages?search=words&pageSize=100"),
            Door::StolenCursor => {
                let page = self.doors.get("/api/messages?pageSize=1", &self.tokens[target]).await.json();
                get(&format!("/api/messages?cursor={}", page["nextCursor"].as_str().unwrap_or_default()))
            }
            Door::Conversations => get("/api/conversations?pageSize=100"),
            Door::Conversation => get(&format!("/api/conversations/{theirs}")),
            Door::Delete => request(Method::DELETE, &format!("/api/conversations/{theirs}"), &headers, Body::empty()),
            Door::Me => get("/api/me"),
            Door::Patch => {
                let body = json!({"preferences": {"timeZone": "Europe/Berlin"}}).to_string();
                request(Method::PATCH, "/api/me", &headers, body)
            }
            Door::Stream => get("/api/messages/stream"),
        }
    }

    async fn make(&self, attempt: Attempt) -> Result<(), TestCaseError> {
        let before = self.everybody().await;
        let mut request = self.request(attempt, &before).await;
        let answer: Answer = if attempt.door == Door::Stream {
            request.headers_mut().insert("last-event-id", "0".parse().unwrap());
            self.doors.send_stream(request, Duration::from_millis(60)).await
        } else {
            self.doors.send(request).await
        };
        self.settle().await;
        let after = self.everybody().await;
        let by_number =
            matches!(attempt.door, Door::PostToPath | Door::PostToBody | Door::PostSpoofed | Door::PostWithSharedKey | Door::Webhook);
        let may_act = by_number || !matches!(attempt.pass, Pass::Forged(_));
        if !may_act {
            let status = answer.status.as_u16();
            proptest::prop_assert!(status == 401 || status == 403, "{attempt:?} was let in: {status} {}", answer.text());
        }
        if attempt.actor != attempt.target
            && matches!(attempt.door, Door::PostToPath | Door::PostToBody | Door::MessagesOf | Door::Conversation | Door::Delete)
            && may_act
        {
            proptest::prop_assert_eq!(answer.status.as_u16(), 404, "{:?}: {}", attempt, answer.text());
        }
        for person in 0..NUMBERS.len() {
            if person == attempt.actor && may_act {
                continue;
            }
            proptest::prop_assert_eq!(&after[person], &before[person], "{:?} changed person {}: {}", attempt, person, answer.text());
            let text = without_own_words(&answer);
            for mark in marks(&before[person]) {
                proptest::prop_assert!(!text.contains(&mark), "{attempt:?} shows {mark} of person {person}: {text}");
            }
        }
        Ok(())
    }
}

/// The answer without what the caller itself sent along earlier, forged ids and all, which is kept apart and shown to it again.
fn without_own_words(answer: &Answer) -> String {
    let mut json = answer.json();
    match json.as_object_mut().and_then(|object| object.remove("callerMetadata")) {
        Some(_own_words) => json.to_string(),
        None => answer.text(),
    }
}

/// By what somebody's data can be told from anybody else's: every id, and the number.
fn marks(person: &Value) -> BTreeSet<String> {
    let mut marks = BTreeSet::new();
    let mut add = |value: &Value| marks.extend(value.as_str().filter(|mark| mark.len() > 8).map(str::to_owned));
    add(&person["user"]["_id"]);
    add(&person["user"]["phoneNumber"]);
    add(&person["user"]["username"]);
    for conversation in person["conversations"].as_array().unwrap() {
        add(&conversation["conversationId"]);
    }
    for message in person["messages"].as_array().unwrap() {
        add(&message["messageId"]);
    }
    marks
}

on_every_backend! {
    no_read_or_write_crosses_from_one_person_to_another,
    each_door_is_tried_with_each_pass,
}

async fn no_read_or_write_crosses_from_one_person_to_another(ground: Ground) {
    let cases = u32::try_from(ground.size(64, 12)).unwrap();
    let world = World::new(ground).await;
    let mut runner = TestRunner::new(Config { cases, max_shrink_iters: 64, failure_persistence: None, ..Config::default() });
    let outcome = tokio::task::block_in_place(|| {
        let runtime = tokio::runtime::Handle::current();
        runner.run(&attempts(), |attempts| {
            runtime.block_on(async {
                for attempt in attempts {
                    world.make(attempt).await?;
                }
                Ok(())
            })
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    world.doors.close().await;
}

/// Every door and every pass at least once, whatever chance chose above. Who somebody is does not depend on the backend, so there
/// are fewer forgeries where each costs more.
async fn each_door_is_tried_with_each_pass(ground: Ground) {
    let (forgeries, pairs) = (ground.size(9, 2), ground.size(2, 1));
    let world = World::new(ground).await;
    for door in DOORS {
        for pass in [Pass::Token, Pass::Login].into_iter().chain([7, 4, 0, 1, 2, 3, 5, 6, 8].map(Pass::Forged).into_iter().take(forgeries))
        {
            for (actor, target) in [(0, 1), (1, 1)].into_iter().take(pairs) {
                world.make(Attempt { actor, target, door, pass }).await.unwrap();
            }
        }
    }
    world.doors.close().await;
}

#[test]
fn every_door_with_peoples_data_is_tried() {
    let open = [
        "GET /health",
        "GET /health/live",
        "GET /health/ready",
        "GET /metrics",
        "GET /api/openapi.json",
        "GET /problems/{name}",
        // A carrier's word on a message of ours names no person.
        "POST /webhooks/{gateway}/status",
        // Simulated phones are the host's own; whoever has the secret of this run may look at any of them.
        "GET /simulator/messages",
    ];
    let tried: BTreeSet<String> = DOORS.iter().map(|door| door.route().to_owned()).chain(open.map(str::to_owned)).collect();
    let served: BTreeSet<String> = list_routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(tried, served);
}
