//! The `OpenAPI` document, made from the list of doors and from the shapes that are really written.
//!
//! # Source
//! `OpenAPI` 3.1.1; its schemas are JSON Schema 2020-12, which schemars writes.

use std::sync::LazyLock;

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::problem::ProblemKind;
use super::routes::{Answer, Key, Media, Route, routes};
use crate::domain::token::Scope;

/// Any JSON object.
#[derive(JsonSchema)]
pub(super) struct JsonDocument {}

/// A person's message. Fields that are not listed are ignored; of `metadata`, they are kept with the person.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the document's description of what `messages::parse` reads field by field")]
pub(super) struct MessageBody {
    /// Always `external`.
    role: Role,
    /// What the person says: a text, or parts that are joined by line ends. Tab and line ends are the only control characters.
    content: Option<Content>,
    /// The same, when `content` is absent or empty.
    text: Option<String>,
    /// The person's number. The first valid one is taken of `metadata.phoneNumber`, `from`, `metadata.from`, `phoneNumber`.
    from: Option<String>,
    /// See `from`.
    #[schemars(rename = "phoneNumber")]
    phone_number: Option<String>,
    /// The conversation, where the path names none: a UUID, or one of `sms-conversation`, `external-message`, `external-sms`,
    /// `placeholder`, `new`, which find it by number.
    #[schemars(rename = "conversationId")]
    conversation_id: Option<String>,
    /// What is known of the message; at most 16 KiB as JSON, nested at most 16 deep.
    metadata: Option<MessageMetadata>,
    /// Named to the model; at most 32. Their content is not fetched.
    attachments: Option<Vec<MessageAttachment>>,
}

/// The role of a person's message.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "see `MessageBody`")]
enum Role {
    External,
}

/// A text, or parts of one.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "see `MessageBody`")]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A part of a text.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "see `MessageBody`")]
struct Part {
    text: String,
}

/// What is known of a message.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "see `MessageBody`")]
struct MessageMetadata {
    /// See `from`.
    #[schemars(rename = "phoneNumber")]
    phone_number: Option<String>,
    /// See `from`.
    from: Option<String>,
    /// Where the conversation comes from; `sms` when absent. At most 64 characters.
    source: Option<String>,
    /// A configured endpoint. `external` is a role and is answered by the default endpoint.
    endpoint: Option<String>,
    /// A configured agent (`agent_…`), for the endpoint `agents`.
    agent_id: Option<String>,
    /// A model that the endpoint offers.
    model: Option<String>,
    /// The title of a conversation that this message begins. At most 200 characters.
    title: Option<String>,
    /// Added to the instructions of this reply alone. At most 8,000 characters.
    additional_instructions: Option<String>,
    /// By what a repeat is recognised, when there is no `Idempotency-Key`.
    #[schemars(rename = "messageSid")]
    message_sid: Option<String>,
}

/// Something that came with a message: its name, or what is known of it.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "see `MessageBody`")]
enum MessageAttachment {
    Name(String),
    Known {
        /// A file name or a short description; `filename` is read too.
        name: Option<String>,
        /// Media type, such as `image/jpeg`.
        #[schemars(rename = "type")]
        content_type: Option<String>,
        /// Where the caller keeps it.
        url: Option<String>,
    },
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in routes() {
        let operation = operation(route, &mut generator);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            path.insert(route.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Problem".to_owned(), problem_schema());
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Scrubjay",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Text a phone number, talk to an assistant that remembers you.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": security_schemes() },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": route.operation,
        "tags": [route.tag],
        "summary": route.summary,
        "security": security(route.key),
        "responses": route.answers.iter().map(|answer| (answer.status.to_string(), response(answer, generator))).collect::<Map<_, _>>(),
    });
    let in_path = route.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let string = json!({ "type": "string" });
    let in_path = in_path.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": string }));
    let beside = route
        .parameters
        .iter()
        .map(|parameter| json!({ "name": parameter.name, "in": parameter.place, "description": parameter.description, "schema": string }));
    let parameters: Vec<Value> = in_path.chain(beside).collect();
    if let Value::Object(operation) = &mut operation {
        if route.key == Key::Loopback {
            operation.insert("x-loopback-only".to_owned(), true.into());
        }
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), parameters.into());
        }
        if let Some(body) = &route.body {
            let content = content(std::slice::from_ref(body), generator);
            operation.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
        }
    }
    operation
}

fn response(answer: &Answer, generator: &mut SchemaGenerator) -> Value {
    let mut response = json!({ "description": answer.description });
    if let Value::Object(response) = &mut response
        && !answer.content.is_empty()
    {
        response.insert("content".to_owned(), content(&answer.content, generator));
    }
    response
}

fn content(media: &[Media], generator: &mut SchemaGenerator) -> Value {
    let content = media.iter().map(|media| {
        let value = match (media.schema, media.media) {
            (Some(schema), _) => json!({ "schema": schema(generator) }),
            (None, "application/problem+json") => json!({ "schema": { "$ref": "#/components/schemas/Problem" } }),
            (None, _) => json!({}),
        };
        (media.media.to_owned(), value)
    });
    Value::Object(content.collect())
}

fn security(key: Key) -> Value {
    match key {
        Key::Open | Key::Signature | Key::Loopback => json!([]),
        Key::Caller => json!([{ "apiKey": [] }]),
        Key::Person(scope) | Key::Host(scope) => json!([{ "bearer": [scope.as_str()] }]),
        Key::PersonOrUrl(scope) => json!([{ "bearer": [scope.as_str()] }, { "tokenInUrl": [scope.as_str()] }]),
    }
}

fn security_schemes() -> Value {
    json!({
        "apiKey": { "type": "apiKey", "in": "header", "name": "x-api-key", "description": "`external_api.key`." },
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of `scrubjay token create`, or a LibreChat login (HS256, with `exp`). A token made with scopes opens the operations that list one of its scopes.",
        },
        "tokenInUrl": { "type": "apiKey", "in": "query", "name": "token", "description": "The same, where no header can be sent." },
    })
}

/// RFC 9457, with the types there are.
fn problem_schema() -> Value {
    let types: Vec<String> = ProblemKind::ALL.iter().map(|kind| kind.uri()).collect();
    json!({
        "type": "object",
        "description": "A refusal (RFC 9457). Further members depend on the type; each type's path explains it.",
        "required": ["type", "title", "status"],
        "properties": {
            "type": { "type": "string", "format": "uri-reference", "enum": types },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "What is wrong this time." },
            "field": { "type": "string", "description": "The field of the body that is wrong." },
            "parameter": { "type": "string", "description": "The query parameter or header that is wrong." },
            "scope": { "type": "string", "enum": Scope::ALL.map(Scope::as_str), "description": "What the token lacks." },
            "willRetry": { "type": "boolean", "description": "Another attempt follows by itself." },
            "limit": { "type": "string", "enum": ["person", "all"], "description": "Whose daily limit is reached." },
            "conversationId": { "type": "string", "description": "Where the message was stored." },
            "messageId": { "type": "string" },
            "userId": { "type": "string" },
            "isNewUser": { "type": "boolean" },
        },
    })
}

static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// `GET /api/openapi.json`.
pub(super) async fn serve_document() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], DOCUMENT.as_str()).into_response()
}
