//! What a person sees of their own: conversations and messages. Another's are as if they did not exist.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::auth::{bearer, person};
use super::problem::{ApiError, ProblemKind};
use super::query::Query;
use super::segment::Segment;
use super::shapes::{ConversationShape, MessageShape};
use super::state::HttpState;
use crate::domain::ids::ConversationId;
use crate::domain::token::Scope;
use crate::store::MessageFilter;

/// Part of a listing of messages.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessagePage {
    /// Those of one conversation in its order; of all, newest first.
    messages: Vec<MessageShape>,
    /// Where to go on; null at the end.
    next_cursor: Option<String>,
}

/// Part of a listing of conversations.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConversationPage {
    /// The one with the newest message first.
    conversations: Vec<ConversationShape>,
    /// Where to go on; null at the end.
    next_cursor: Option<String>,
}

/// `GET /api/messages`.
pub(super) async fn list_messages(State(state): State<HttpState>, request: Request) -> Result<Json<MessagePage>, ApiError> {
    let (parts, _) = request.into_parts();
    let user_id = person(&state, bearer(&parts.headers).as_ref(), Scope::Read).await?;
    let query = Query::read(&parts.uri, &["conversationId", "search", "cursor", "pageSize"])?;
    let conversation_id = query.get("conversationId").map(conversation_id).transpose()?;
    let filter = MessageFilter { conversation_id, search: query.get("search").map(str::to_owned) };
    let page = state.conversations.messages(user_id, filter, query.page()?).await?;
    Ok(Json(MessagePage { messages: page.items.iter().map(MessageShape::from).collect(), next_cursor: page.next }))
}

/// `GET /api/conversations`.
pub(super) async fn list_conversations(State(state): State<HttpState>, request: Request) -> Result<Json<ConversationPage>, ApiError> {
    let (parts, _) = request.into_parts();
    let user_id = person(&state, bearer(&parts.headers).as_ref(), Scope::Read).await?;
    let query = Query::read(&parts.uri, &["cursor", "pageSize"])?;
    let page = state.conversations.list(user_id, query.page()?).await?;
    Ok(Json(ConversationPage { conversations: page.items.iter().map(ConversationShape::from).collect(), next_cursor: page.next }))
}

/// `GET /api/conversations/{conversationId}`.
pub(super) async fn get_conversation(
    State(state): State<HttpState>,
    Segment(id): Segment,
    request: Request,
) -> Result<Json<ConversationShape>, ApiError> {
    let (parts, _) = request.into_parts();
    let user_id = person(&state, bearer(&parts.headers).as_ref(), Scope::Read).await?;
    let conversation = state.conversations.get(user_id, conversation_id(&id)?).await?;
    Ok(Json(ConversationShape::from(&conversation)))
}

/// `DELETE /api/conversations/{conversationId}`.
pub(super) async fn delete_conversation(
    State(state): State<HttpState>,
    Segment(id): Segment,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let (parts, _) = request.into_parts();
    let user_id = person(&state, bearer(&parts.headers).as_ref(), Scope::Write).await?;
    state.conversations.delete(user_id, conversation_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is no id names nothing: the same answer as for what does not exist.
fn conversation_id(text: &str) -> Result<ConversationId, ApiError> {
    text.parse().map_err(|_no_id| ProblemKind::NotFound.into())
}
