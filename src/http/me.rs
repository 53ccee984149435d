//! The person themselves: their account, and what they prefer.

use axum::Json;
use axum::extract::{Request, State};
use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::auth::{bearer, person};
use super::body;
use super::messages::{Characters, Fields};
use super::problem::ApiError;
use super::shapes::UserShape;
use super::state::HttpState;
use crate::domain::conversation::Choice;
use crate::domain::endpoint::Endpoint;
use crate::domain::token::Scope;
use crate::domain::user::{PreferenceChange, User};
use crate::http_body;
use crate::model::Models;
use crate::service::people::UserName;

/// Longest preference, in characters.
const LONGEST: usize = 200;

/// What can be changed. A field that is absent stays as it is; null clears it.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the document's description of what `changes` reads field by field")]
pub(super) struct PreferencesPatch {
    /// A configured endpoint.
    endpoint: Option<String>,
    /// A model that the endpoint offers.
    default_model: Option<String>,
    /// A configured agent, for the endpoint `agents`.
    agent_id: Option<String>,
    /// An IANA time zone name, such as `Europe/Berlin`.
    time_zone: Option<String>,
    /// Hours in which no reminders are texted, on the clocks of the time zone, such as `22:00-07:00`.
    quiet_hours: Option<String>,
}

/// A change of one's own account: `{"preferences": {…}}`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "the document's description of what `changes` reads field by field")]
pub(super) struct MePatch {
    /// Each field on its own.
    preferences: PreferencesPatch,
}

/// `GET /api/me`.
pub(super) async fn get(State(state): State<HttpState>, request: Request) -> Result<Json<UserShape>, ApiError> {
    let (parts, _) = request.into_parts();
    let user_id = person(&state, bearer(&parts.headers).as_ref(), Scope::Read).await?;
    let user = state.people.get(&UserName::Id(user_id)).await?;
    Ok(Json(shape(&user, &state.models)))
}

/// `PATCH /api/me`.
pub(super) async fn patch(State(state): State<HttpState>, request: Request) -> Result<Json<UserShape>, ApiError> {
    let (parts, request_body) = request.into_parts();
    let user_id = match person(&state, bearer(&parts.headers).as_ref(), Scope::Write).await {
        Ok(user_id) => user_id,
        Err(refused) => {
            http_body::discard(request_body).await;
            return Err(refused);
        }
    };
    let bytes = http_body::read(&parts.headers, request_body, state.config.server.body_limit_bytes).await?;
    let changes = changes(&body::object(&bytes)?, &state.models)?;
    let user =
        if changes.is_empty() { state.people.get(&UserName::Id(user_id)).await? } else { state.people.prefer(user_id, changes).await? };
    Ok(Json(shape(&user, &state.models)))
}

fn shape(user: &User, models: &Models) -> UserShape {
    let shape = UserShape::from(user);
    match models.resolve(&Choice::default(), &user.preferences, &Choice::default()) {
        Ok(resolved) => shape.with_effective(resolved.endpoint.as_str(), resolved.model),
        // `agents` without an agent: nothing answers this person until one is chosen.
        Err(_unanswered) => shape,
    }
}

/// Reads a change. The fields may also stand in the body itself, without `preferences` around them.
fn changes(object: &Map<String, Value>, models: &Models) -> Result<Vec<PreferenceChange>, ApiError> {
    let (fields, object) = match object.get("preferences") {
        None => (Fields::new(object, ""), object),
        Some(Value::Object(inner)) if object.len() == 1 => (Fields::new(inner, "preferences."), inner),
        Some(Value::Object(_)) => {
            let other = object.keys().find(|name| *name != "preferences").cloned().unwrap_or_default();
            return Err(ApiError::field(other, "cannot be changed beside `preferences`"));
        }
        Some(_) => return Err(ApiError::field("preferences", "must be an object")),
    };
    object.keys().map(|name| change(fields, name, models)).collect()
}

fn change(fields: Fields<'_>, name: &str, models: &Models) -> Result<PreferenceChange, ApiError> {
    let shown: String = name.chars().filter(|character| !character.is_control()).take(40).collect();
    if !["endpoint", "defaultModel", "agentId", "timeZone", "quietHours"].contains(&name) {
        return Err(ApiError::field(
            fields.path(&shown),
            "cannot be changed; endpoint, defaultModel, agentId, timeZone and quietHours can",
        ));
    }
    let Some(text) = fields.string(name, LONGEST, Characters::Line)? else {
        return Ok(match name {
            "endpoint" => PreferenceChange::Endpoint(None),
            "defaultModel" => PreferenceChange::DefaultModel(None),
            "agentId" => PreferenceChange::AgentId(None),
            "timeZone" => PreferenceChange::TimeZone(None),
            _ => PreferenceChange::QuietHours(None),
        });
    };
    let wrong = |detail: String| ApiError::field(fields.path(name), detail);
    Ok(match name {
        "endpoint" => {
            let endpoint = Endpoint::parse(text).map_err(|error| wrong(error.to_string()))?;
            if !models.offers(&endpoint) {
                return Err(wrong("is not a configured endpoint".to_owned()));
            }
            PreferenceChange::Endpoint(Some(endpoint))
        }
        "defaultModel" => PreferenceChange::DefaultModel(Some(text.to_owned())),
        "agentId" => {
            let agent = text.parse().map_err(|error: crate::domain::ids::InvalidId| wrong(error.to_string()))?;
            if !models.has_agent(&agent) {
                return Err(wrong("is not a configured agent".to_owned()));
            }
            PreferenceChange::AgentId(Some(agent))
        }
        "timeZone" => {
            if jiff::tz::TimeZone::get(text).is_err() {
                return Err(wrong("is not a time zone; use an IANA name such as Europe/Berlin".to_owned()));
            }
            PreferenceChange::TimeZone(Some(text.to_owned()))
        }
        _ => {
            let hours = text.parse().map_err(|error: crate::domain::quiet_hours::InvalidQuietHours| wrong(error.to_string()))?;
            PreferenceChange::QuietHours(Some(hours))
        }
    })
}
