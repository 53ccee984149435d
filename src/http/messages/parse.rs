//! Reading a message: from the body to what the service takes, in the order in which the contract lists its refusals.
//!
//! Fields that are not known are ignored: callers written for LibreChat send many. Fields that are known must be right.

use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::fields::{Characters, Fields, string};
use crate::domain::conversation::Choice;
use crate::domain::endpoint::{Endpoint, InvalidEndpoint};
use crate::domain::ids::{AgentId, ConversationId, TurnId};
use crate::domain::message::{Attachment, CALLER_METADATA_BYTES, CallerMetadata};
use crate::domain::phone::{PhoneNumber, PhoneRules};
use crate::domain::turn::TurnRequest;
use crate::domain::user::Preferences;
use crate::http::body;
use crate::http::problem::{ApiError, Problem, ProblemKind};
use crate::model::{Models, ResolveError};
use crate::service::receive::ApiMessage;
use crate::store::ApiRepeat;

/// Ids that name no conversation but ask for the person's current one.
pub(super) const BY_PHONE: [&str; 5] = ["sms-conversation", "external-message", "external-sms", "placeholder", "new"];

/// Limits of single fields, in characters.
const TITLE: usize = 200;
const NAME: usize = 200;
const SOURCE: usize = 64;
const INSTRUCTIONS: usize = 8_000;
const KEY: usize = 255;
const URL: usize = 2_048;
/// No limit but the body's; the service knows the text's own.
const UNLIMITED: usize = usize::MAX;
/// Attachments of one message.
const ATTACHMENTS: usize = 32;
/// Nesting of the caller's metadata, so that it can be stored inside another document and read again.
const METADATA_DEPTH: usize = 16;

/// Fields of `metadata` that are obeyed. They are not kept with the person as well.
const OBEYED: [&str; 9] =
    ["phoneNumber", "from", "source", "endpoint", "agent_id", "model", "title", "additional_instructions", "messageSid"];

/// What reading needs to know.
pub(super) struct Rules<'a> {
    pub(super) phone: PhoneRules,
    pub(super) models: &'a Models,
    /// What answers those who name the role `external` as their endpoint.
    pub(super) default_endpoint: &'a Endpoint,
    /// An agent is configured for those who name none.
    pub(super) has_default_agent: bool,
}

/// The request as it arrived. `path_id` is the conversation's id in the path, where the path has one.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) path_id: Option<&'a str>,
    pub(super) body: &'a [u8],
}

/// Reads a message. `turn_id` is the id that its turn gets when it begins one.
pub(super) fn parse(raw: Raw<'_>, rules: &Rules<'_>, turn_id: TurnId) -> Result<ApiMessage, ApiError> {
    let object = body::object(raw.body)?;
    let top = Fields::new(&object, "");
    if top.value("role").and_then(Value::as_str) != Some("external") {
        return Err(ApiError::fixed(StatusCode::BAD_REQUEST, "Invalid role for external message request"));
    }
    let none = Map::new();
    let metadata = Fields::new(top.object("metadata")?.unwrap_or(&none), "metadata.");
    let choice = choice(metadata, rules)?;
    let phone = phone(top, metadata, rules.phone)?;
    let text = text(top)?;
    let attachments = attachments(top)?;
    if text.trim().is_empty() && attachments.is_empty() {
        return Err(ApiError::field("content", "must hold a text, unless `attachments` holds something"));
    }
    let instructions = metadata.string("additional_instructions", INSTRUCTIONS, Characters::Text)?;
    let title = metadata.string("title", TITLE, Characters::Line)?;
    let source = metadata.string("source", SOURCE, Characters::Line)?;
    let kept = caller_metadata(top.object("metadata")?)?;
    let repeat = repeat(raw, metadata)?;
    Ok(ApiMessage {
        phone,
        text,
        attachments,
        conversation_id: conversation_id(raw.path_id, top)?,
        source: source.map(str::to_owned),
        title: title.map(str::to_owned),
        request: TurnRequest { choice, additional_instructions: instructions.map(str::to_owned) },
        metadata: kept,
        repeat,
        turn_id,
    })
}

/// Where the message asks to be answered.
fn choice(metadata: Fields<'_>, rules: &Rules<'_>) -> Result<Choice, ApiError> {
    let endpoint = match metadata.string("endpoint", NAME, Characters::Line)?.map(Endpoint::parse) {
        None => None,
        Some(Ok(endpoint)) => Some(endpoint),
        Some(Err(InvalidEndpoint::IsRole)) => {
            metrics::counter!("endpoint_redirected_total").increment(1);
            tracing::warn!("a message named the role \"external\" as its endpoint; the default endpoint answers it");
            Some(rules.default_endpoint.clone())
        }
        Some(Err(error @ InvalidEndpoint::Name(_))) => return Err(ApiError::field("metadata.endpoint", error.to_string())),
    };
    let agent = metadata.string("agent_id", NAME, Characters::Line)?;
    let agent_id = match (&endpoint, agent) {
        (Some(endpoint), None) if endpoint.is_agents() && !rules.has_default_agent => {
            return Err(ApiError::fixed(StatusCode::BAD_REQUEST, "agent_id required for agent endpoint"));
        }
        // An agent has no meaning at another endpoint, and callers send their last one along.
        (Some(endpoint), Some(_)) if !endpoint.is_agents() => None,
        (_, None) => None,
        (_, Some(agent)) => Some(known_agent(agent, rules.models)?),
    };
    let model = metadata.string("model", NAME, Characters::Line)?.map(str::to_owned);
    let choice = Choice { endpoint, model, agent_id };
    // A model without an endpoint depends on what the person chose: `post` asks for that.
    if choice.endpoint.is_some() {
        rules.models.resolve(&choice, &Preferences::default(), &Choice::default()).map_err(|error| unknown_choice(&error))?;
    }
    Ok(choice)
}

fn known_agent(agent: &str, models: &Models) -> Result<AgentId, ApiError> {
    let Ok(agent) = agent.parse::<AgentId>() else {
        return Err(ApiError::fixed(StatusCode::BAD_REQUEST, "Invalid agent_id format"));
    };
    if models.has_agent(&agent) { Ok(agent) } else { Err(ProblemKind::UnknownAgent.into()) }
}

pub(super) fn unknown_choice(error: &ResolveError) -> ApiError {
    match error {
        ResolveError::UnknownEndpoint { .. } => ApiError::field("metadata.endpoint", error.to_string()),
        ResolveError::UnknownModel { .. } => ApiError::field("metadata.model", error.to_string()),
        ResolveError::UnknownAgent { .. } => ProblemKind::UnknownAgent.into(),
        ResolveError::AgentRequired { .. } => ApiError::fixed(StatusCode::BAD_REQUEST, "agent_id required for agent endpoint"),
    }
}

/// The first valid number of the places where callers put it.
fn phone(top: Fields<'_>, metadata: Fields<'_>, rules: PhoneRules) -> Result<PhoneNumber, ApiError> {
    let places = [metadata.value("phoneNumber"), top.value("from"), metadata.value("from"), top.value("phoneNumber")];
    let found = places.into_iter().flatten().find_map(|value| PhoneNumber::parse_json(value, &rules).ok());
    found.ok_or_else(|| {
        let details = "Send the sender's number in E.164 format, such as +15551234567, as metadata.phoneNumber or from";
        ApiError::Fixed(StatusCode::BAD_REQUEST, json!({ "error": "Valid phone number required", "details": details }))
    })
}

/// `content` as a string or as parts, else `text`.
fn text(top: Fields<'_>) -> Result<String, ApiError> {
    let content = match top.value("content") {
        None => None,
        Some(Value::Array(parts)) => Some(joined(parts)?),
        Some(Value::String(_)) => top.string("content", UNLIMITED, Characters::Text)?.map(str::to_owned),
        Some(_) => return Err(ApiError::field("content", "must be a string, or an array of objects with a `text`")),
    };
    // Read in any case, so that a wrong type is told whether or not `content` was there.
    let text = top.string("text", UNLIMITED, Characters::Text)?;
    Ok(content.filter(|content| !content.trim().is_empty()).or_else(|| text.map(str::to_owned)).unwrap_or_default())
}

fn joined(parts: &[Value]) -> Result<String, ApiError> {
    let mut whole = String::new();
    for (place, part) in parts.iter().enumerate() {
        let path = format!("content[{place}].text");
        let Some(value) = part.as_object().and_then(|part| part.get("text")) else {
            return Err(ApiError::field(path, "must be there: each part is an object with a `text`"));
        };
        if place > 0 {
            whole.push('\n');
        }
        whole.push_str(string(value, &path, UNLIMITED, Characters::Text)?);
    }
    Ok(whole)
}

/// Attachments by name; their content stays where it is.
fn attachments(top: Fields<'_>) -> Result<Vec<Attachment>, ApiError> {
    let list = match top.value("attachments") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(ApiError::field("attachments", "must be an array")),
    };
    if list.len() > ATTACHMENTS {
        return Err(ApiError::field("attachments", format!("must have at most {ATTACHMENTS} entries")));
    }
    list.iter().enumerate().map(|(place, value)| attachment(value, &format!("attachments[{place}]"))).collect()
}

fn attachment(value: &Value, path: &str) -> Result<Attachment, ApiError> {
    let object = match value {
        Value::String(_) => {
            let name = string(value, path, NAME, Characters::Line)?.trim();
            if name.is_empty() {
                return Err(ApiError::field(path, "must not be empty"));
            }
            return Ok(Attachment { name: name.to_owned(), content_type: String::new(), url: None });
        }
        Value::Object(object) => object,
        _ => return Err(ApiError::field(path, "must be a name, or an object with `name`, `type` and `url`")),
    };
    let prefix = format!("{path}.");
    let fields = Fields::new(object, &prefix);
    let first = |names: [&str; 3], longest| -> Result<Option<String>, ApiError> {
        for name in names {
            if let Some(text) = fields.string(name, longest, Characters::Line)? {
                return Ok(Some(text.to_owned()));
            }
        }
        Ok(None)
    };
    let url = fields.string("url", URL, Characters::Line)?.map(str::to_owned);
    let content_type = first(["type", "contentType", "content_type"], NAME)?.unwrap_or_default();
    let name = first(["name", "filename", "file_name"], NAME)?;
    let Some(name) = name.or_else(|| (url.is_some() || !content_type.is_empty()).then(|| "attachment".to_owned())) else {
        return Err(ApiError::field(fields.path("name"), "must be there"));
    };
    Ok(Attachment { name, content_type, url })
}

/// What the caller sent along that means nothing to us.
fn caller_metadata(metadata: Option<&Map<String, Value>>) -> Result<CallerMetadata, ApiError> {
    let Some(metadata) = metadata else { return Ok(CallerMetadata::new()) };
    let kept: CallerMetadata =
        metadata.iter().filter(|(name, _)| !OBEYED.contains(&name.as_str())).map(|(name, value)| (name.clone(), value.clone())).collect();
    if kept.is_empty() {
        return Ok(kept);
    }
    if kept.iter().any(|(name, value)| !storable(name) || !is_storable(value, METADATA_DEPTH)) {
        let detail = format!("must be nested at most {METADATA_DEPTH} deep, without control characters in its names and without NUL");
        return Err(ApiError::field("metadata", detail));
    }
    let bytes = serde_json::to_vec(metadata).map_or(usize::MAX, |bytes| bytes.len());
    if bytes > CALLER_METADATA_BYTES {
        return Err(ApiError::field("metadata", format!("must have at most {CALLER_METADATA_BYTES} bytes as JSON")));
    }
    Ok(kept)
}

fn storable(name: &str) -> bool {
    !name.is_empty() && Characters::Line.allow(name)
}

fn is_storable(value: &Value, depth: usize) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => !text.contains('\0'),
        Value::Array(list) => depth > 0 && list.iter().all(|value| is_storable(value, depth - 1)),
        Value::Object(object) => depth > 0 && object.iter().all(|(name, value)| storable(name) && is_storable(value, depth - 1)),
    }
}

/// `Idempotency-Key`, else `metadata.messageSid`.
fn repeat(raw: Raw<'_>, metadata: Fields<'_>) -> Result<Option<ApiRepeat>, ApiError> {
    let key = match raw.headers.get("idempotency-key") {
        Some(value) => {
            let key = value.to_str().map(str::trim).unwrap_or_default();
            if key.is_empty() || key.len() > KEY {
                return Err(ApiError::parameter("Idempotency-Key", format!("must be 1 to {KEY} visible ASCII characters")));
            }
            Some(key)
        }
        None => metadata.string("messageSid", KEY, Characters::Line)?,
    };
    Ok(key.map(|key| {
        let mut hash = Sha256::new();
        hash.update(raw.path_id.unwrap_or_default().as_bytes());
        hash.update([0]);
        hash.update(raw.body);
        ApiRepeat { key: key.to_owned(), fingerprint: hash.finalize().into() }
    }))
}

/// The conversation that path and body name; `None` finds it by phone.
fn conversation_id(path_id: Option<&str>, top: Fields<'_>) -> Result<Option<ConversationId>, ApiError> {
    let read = |id: &str| -> Result<Option<ConversationId>, ApiError> {
        if BY_PHONE.contains(&id) {
            return Ok(None);
        }
        // What is no id names no conversation: the same answer as for one that does not exist.
        id.parse().map(Some).map_err(|_no_id| Problem::new(ProblemKind::UnknownConversation).into())
    };
    let in_body = top.string("conversationId", NAME, Characters::Line)?.map(read).transpose()?.flatten();
    let in_path = path_id.map(read).transpose()?.flatten();
    match (in_path, in_body) {
        (Some(path), Some(body)) if path != body => {
            Err(ApiError::field("conversationId", "must not name another conversation than the path"))
        }
        (path, body) => Ok(path.or(body)),
    }
}
