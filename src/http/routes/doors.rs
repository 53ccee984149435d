//! Each door, with what it takes and gives.

use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, patch, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{Answer, Key, Media, Parameter, Route, SchemaOf, problem_type};
use crate::domain::token::Scope;
use crate::http::openapi::{JsonDocument, MessageBody};
use crate::http::shapes::{ConversationShape, UserShape};
use crate::http::state::HttpState;
use crate::http::{health, live, me, messages, openapi, owner, simulator, webhook};

/// All of them.
pub(super) fn all() -> Vec<Route> {
    [host_routes(), gateway_routes(), message_routes(), owner_routes()].into_iter().flatten().collect()
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn json(schema: SchemaOf) -> Media {
    Media { media: "application/json", schema: Some(schema) }
}

const fn plain(media: &'static str) -> Media {
    Media { media, schema: None }
}

fn answer<const N: usize>(status: u16, description: &'static str, content: [Media; N]) -> Answer {
    Answer { status, description, content: content.into() }
}

const fn query(name: &'static str, description: &'static str) -> Parameter {
    Parameter { place: "query", name, description }
}

const fn in_header(name: &'static str, description: &'static str) -> Parameter {
    Parameter { place: "header", name, description }
}

const PROBLEM: [Media; 1] = [plain("application/problem+json")];
const ERROR: [Media; 1] = [plain("application/json")];
const EVENTS: &str = "text/event-stream";

fn unauthorized() -> Answer {
    answer(401, "No valid token.", PROBLEM)
}

fn not_a_person() -> Answer {
    answer(403, "The token does not speak for a person, or lacks the scope.", PROBLEM)
}

fn unavailable() -> Answer {
    answer(
        503,
        "Storage is unavailable; nothing was stored, unless `detail` says that this is not known. `Retry-After` says when to try again.",
        PROBLEM,
    )
}

fn wrong_parameter() -> Answer {
    answer(400, "A parameter is wrong; `parameter` names it.", PROBLEM)
}

const CURSOR: Parameter = query("cursor", "Where the page before ended: its `nextCursor`.");
const PAGE_SIZE: Parameter = query("pageSize", "Entries at most, 1 to 100; 25 when absent. More than 100 is 100.");

const POST_PARAMETERS: [Parameter; 3] = [
    in_header("Idempotency-Key", "Makes a repeat return the first answer; 1 to 255 characters. `metadata.messageSid` does the same."),
    in_header("Prefer", "`respond-async` answers at once with the ids; `wait=SECONDS` waits shorter than `external_api.wait_seconds`."),
    in_header(
        "Accept",
        "`text/event-stream` streams the answer: `accepted`, `delta` …, `tool` as tools are called, `message`, `done`; or `error`.",
    ),
];

fn post_answers() -> Vec<Answer> {
    vec![
        answer(200, "Stored and answered. A consent word gets no reply.", [json(of::<messages::Answered>), plain(EVENTS)]),
        answer(202, "Stored; the answer was not waited for, or did not come in time.", [json(of::<messages::Ids>)]),
        answer(
            400,
            "Not JSON, a wrong role, no valid number, no text, or a field that is wrong.",
            [plain("application/problem+json"), plain("application/json")],
        ),
        answer(401, "No key.", ERROR),
        answer(402, "Stored; out of credit.", PROBLEM),
        answer(
            403,
            "Wrong key, a number that is not admitted, a blocked person.",
            [plain("application/problem+json"), plain("application/json")],
        ),
        answer(404, "The door is closed; or an agent or a conversation that does not exist, or is another's.", PROBLEM),
        answer(408, "The body did not arrive in time.", PROBLEM),
        answer(409, "Stored; the host discarded the turn.", PROBLEM),
        answer(413, "The body is too large.", PROBLEM),
        answer(422, "The idempotency key was used with another body.", PROBLEM),
        answer(429, "Too many messages a minute (nothing stored), or today's limit (stored).", PROBLEM),
        answer(502, "Stored; the model failed. `willRetry` says whether another attempt follows.", PROBLEM),
        unavailable(),
    ]
}

const WEBHOOK_BODY: Media = plain("application/x-www-form-urlencoded");

fn webhook_answers(taken: Answer) -> Vec<Answer> {
    vec![
        taken,
        answer(400, "Signed rightly, but not what the carrier sends.", PROBLEM),
        answer(403, "Not proven to be the carrier's.", []),
        answer(404, "No such gateway is open.", PROBLEM),
        answer(413, "The body is too large.", PROBLEM),
        answer(415, "Neither a form nor JSON.", PROBLEM),
        unavailable(),
    ]
}

/// A door that has nothing but a method and a path; the rest is filled in.
fn route(method: Method, path: &'static str, handler: fn() -> MethodRouter<HttpState>) -> Route {
    Route {
        method,
        path,
        handler,
        operation: "",
        tag: "",
        summary: "",
        key: Key::Open,
        parameters: Vec::new(),
        body: None,
        answers: Vec::new(),
    }
}

fn host_routes() -> Vec<Route> {
    vec![
        Route {
            operation: "health",
            tag: "health",
            summary: "Whether the server answers.",
            answers: vec![answer(200, "`OK`", [plain("text/plain")])],
            ..route(Method::GET, "/health", || get(health::health))
        },
        Route {
            operation: "live",
            tag: "health",
            summary: "Whether the process lives.",
            answers: vec![answer(200, "It does.", [json(of::<JsonDocument>)])],
            ..route(Method::GET, "/health/live", || get(health::live))
        },
        Route {
            operation: "ready",
            tag: "health",
            summary: "Whether every part can do its work.",
            answers: vec![
                answer(200, "Ready; `parts` says so for each.", [json(of::<JsonDocument>)]),
                answer(
                    503,
                    "Storage is down, sending has stopped, or the server stops; `parts` says which and why.",
                    [json(of::<JsonDocument>)],
                ),
            ],
            ..route(Method::GET, "/health/ready", || get(health::ready))
        },
        Route {
            operation: "metrics",
            tag: "health",
            summary: "Figures, in Prometheus' text format.",
            key: Key::Host(Scope::Read),
            answers: vec![
                answer(200, "The figures.", [plain("text/plain")]),
                unauthorized(),
                answer(403, "Not an admin token, or one without the scope.", PROBLEM),
                answer(404, "Figures are not kept.", PROBLEM),
            ],
            ..route(Method::GET, "/metrics", || get(health::metrics))
        },
        Route {
            operation: "openApi",
            tag: "document",
            summary: "This document.",
            answers: vec![answer(200, "OpenAPI 3.1.", [json(of::<JsonDocument>)])],
            ..route(Method::GET, "/api/openapi.json", || get(openapi::serve_document))
        },
        Route {
            operation: "problemType",
            tag: "document",
            summary: "What a problem's `type` means.",
            answers: vec![answer(200, "Its meaning.", [json(of::<JsonDocument>)]), answer(404, "No such type.", PROBLEM)],
            ..route(Method::GET, "/problems/{name}", || get(problem_type))
        },
    ]
}

fn gateway_routes() -> Vec<Route> {
    vec![
        Route {
            operation: "receiveText",
            tag: "gateways",
            summary: "A carrier hands over a text. Acknowledged once it is stored; a repeat has no second effect.",
            key: Key::Signature,
            body: Some(WEBHOOK_BODY),
            answers: webhook_answers(answer(
                200,
                "Stored, or of no concern to us; in the form that the carrier expects.",
                [plain("text/xml")],
            )),
            ..route(Method::POST, "/webhooks/{gateway}", || post(webhook::message))
        },
        Route {
            operation: "receiveStatus",
            tag: "gateways",
            summary: "A carrier's word on a message that we sent.",
            key: Key::Signature,
            body: Some(WEBHOOK_BODY),
            answers: webhook_answers(answer(204, "Recorded, or of no concern to us.", [])),
            ..route(Method::POST, "/webhooks/{gateway}/status", || post(webhook::status))
        },
        Route {
            operation: "readSimulatedPhone",
            tag: "gateways",
            summary: "A simulated phone's mailbox, for `scrubjay chat`. For callers on this machine who sign as the simulator's phones do.",
            key: Key::Loopback,
            parameters: vec![
                query("phone", "The phone's number."),
                query("after", "Show what came after this cursor; without it only the newest cursor is told."),
                query("wait_ms", "How long to wait for something, in milliseconds; at most 30,000."),
            ],
            answers: vec![
                answer(200, "`newest`, the cursor to ask after next, and `messages`.", [json(of::<JsonDocument>)]),
                wrong_parameter(),
                answer(403, "Not signed with this run's secret.", []),
                answer(404, "There is no simulator, or the caller is elsewhere.", PROBLEM),
            ],
            ..route(Method::GET, "/simulator/messages", || get(simulator::messages))
        },
    ]
}

fn message_routes() -> Vec<Route> {
    vec![
        Route {
            operation: "sendMessage",
            tag: "messages",
            summary: "A person's message to a conversation; the answer holds the reply.",
            key: Key::Caller,
            parameters: POST_PARAMETERS.into(),
            body: Some(json(of::<MessageBody>)),
            answers: post_answers(),
            ..route(Method::POST, "/api/messages/{conversationId}", || post(messages::post))
        },
        Route {
            operation: "sendUnaddressedMessage",
            tag: "messages",
            summary: "The same with the conversation's id in the body, or found by the person's number.",
            key: Key::Caller,
            parameters: POST_PARAMETERS.into(),
            body: Some(json(of::<MessageBody>)),
            answers: post_answers(),
            ..route(Method::POST, "/api/messages", || post(messages::post_unaddressed))
        },
        Route {
            operation: "streamMessages",
            tag: "messages",
            summary: "The person's finished turns as they finish: `connected`, `heartbeat` each 30 s, `newConversation`, `newMessage`.",
            key: Key::PersonOrUrl(Scope::Read),
            parameters: vec![
                query("token", "The bearer token, for clients that cannot send a header."),
                in_header("Last-Event-ID", "Resume after this event."),
            ],
            answers: vec![answer(200, "Events.", [plain(EVENTS)]), wrong_parameter(), unauthorized(), not_a_person(), unavailable()],
            ..route(Method::GET, "/api/messages/stream", || get(live::stream))
        },
        Route {
            operation: "listMessages",
            tag: "messages",
            summary: "The person's messages: those of one conversation in its order, of all newest first.",
            key: Key::Person(Scope::Read),
            parameters: vec![
                query("conversationId", "Of this conversation only."),
                query("search", "Holding this text, in any case."),
                CURSOR,
                PAGE_SIZE,
            ],
            answers: vec![
                answer(200, "A page.", [json(of::<owner::MessagePage>)]),
                wrong_parameter(),
                unauthorized(),
                not_a_person(),
                answer(404, "No such conversation, or another's.", PROBLEM),
                unavailable(),
            ],
            ..route(Method::GET, "/api/messages", || get(owner::list_messages))
        },
    ]
}

fn owner_routes() -> Vec<Route> {
    let absent = || answer(404, "No such conversation, or another's.", PROBLEM);
    vec![
        Route {
            operation: "listConversations",
            tag: "conversations",
            summary: "The person's conversations, the one with the newest message first.",
            key: Key::Person(Scope::Read),
            parameters: vec![CURSOR, PAGE_SIZE],
            answers: vec![
                answer(200, "A page.", [json(of::<owner::ConversationPage>)]),
                wrong_parameter(),
                unauthorized(),
                not_a_person(),
                unavailable(),
            ],
            ..route(Method::GET, "/api/conversations", || get(owner::list_conversations))
        },
        Route {
            operation: "getConversation",
            tag: "conversations",
            summary: "One of the person's conversations.",
            key: Key::Person(Scope::Read),
            answers: vec![answer(200, "It.", [json(of::<ConversationShape>)]), unauthorized(), not_a_person(), absent(), unavailable()],
            ..route(Method::GET, "/api/conversations/{conversationId}", || get(owner::get_conversation))
        },
        Route {
            operation: "deleteConversation",
            tag: "conversations",
            summary: "Deletes one of the person's conversations with its messages.",
            key: Key::Person(Scope::Write),
            answers: vec![answer(204, "Gone.", []), unauthorized(), not_a_person(), absent(), unavailable()],
            ..route(Method::DELETE, "/api/conversations/{conversationId}", || delete(owner::delete_conversation))
        },
        Route {
            operation: "getMe",
            tag: "me",
            summary: "The person's account.",
            key: Key::Person(Scope::Read),
            answers: vec![answer(200, "It.", [json(of::<UserShape>)]), unauthorized(), not_a_person(), unavailable()],
            ..route(Method::GET, "/api/me", || get(me::get))
        },
        Route {
            operation: "changeMe",
            tag: "me",
            summary: "Changes what the person prefers, each field on its own.",
            key: Key::Person(Scope::Write),
            body: Some(json(of::<me::MePatch>)),
            answers: vec![
                answer(200, "The account as changed.", [json(of::<UserShape>)]),
                answer(400, "Not JSON, an unknown field, or a value that is not configured.", PROBLEM),
                unauthorized(),
                not_a_person(),
                answer(413, "The body is too large.", PROBLEM),
                unavailable(),
            ],
            ..route(Method::PATCH, "/api/me", || patch(me::patch))
        },
    ]
}
