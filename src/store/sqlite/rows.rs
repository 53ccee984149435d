//! Rows as domain values.

use rusqlite::Row;

use super::values::Json;
use crate::domain::conversation::{Choice, Conversation};
use crate::domain::delivery::{OutboundMessage, ReplyRoute};
use crate::domain::message::Message;
use crate::domain::turn::TurnRequest;
use crate::domain::user::{Preferences, User};

/// Columns of [`user`], from `people p JOIN activity a USING (user_id)`.
macro_rules! user_columns {
    () => {
        "p.user_id, p.phone, p.email, p.name, p.username, p.provider, p.role, p.email_verified, p.first_contact, \
     a.last_sms, a.message_count, p.preferred_endpoint, p.preferred_model, p.preferred_agent, p.time_zone, p.caller_metadata, \
     p.blocked, a.balance, p.created_at, max(p.updated_at, a.last_sms), p.quiet_hours"
    };
}

/// Reads `user_columns!`.
pub(super) fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get(0)?,
        phone: row.get(1)?,
        email: row.get(2)?,
        name: row.get(3)?,
        username: row.get(4)?,
        provider: row.get(5)?,
        role: row.get(6)?,
        email_verified: row.get(7)?,
        first_contact: row.get(8)?,
        last_sms: row.get(9)?,
        message_count: row.get(10)?,
        preferences: Preferences {
            endpoint: row.get(11)?,
            default_model: row.get(12)?,
            agent_id: row.get(13)?,
            time_zone: row.get(14)?,
            quiet_hours: row.get(20)?,
        },
        caller_metadata: row.get::<_, Json<_>>(15)?.0,
        blocked: row.get(16)?,
        balance: row.get(17)?,
        created_at: row.get(18)?,
        updated_at: row.get(19)?,
    })
}

/// Columns of [`conversation`], from `conversations c`.
macro_rules! conversation_columns {
    () => {
        "c.id, c.user_id, c.title, c.endpoint, c.model, c.choice_endpoint, c.choice_model, c.choice_agent, \
     c.phone, c.source, c.last_message, c.message_count, c.closed, c.created_at, c.updated_at"
    };
}

/// Reads `conversation_columns!`.
pub(super) fn conversation(row: &Row<'_>) -> rusqlite::Result<Conversation> {
    Ok(Conversation {
        id: row.get(0)?,
        user_id: row.get(1)?,
        title: row.get(2)?,
        endpoint: row.get(3)?,
        model: row.get(4)?,
        choice: Choice { endpoint: row.get(5)?, model: row.get(6)?, agent_id: row.get(7)? },
        phone: row.get(8)?,
        source: row.get(9)?,
        last_message: row.get(10)?,
        message_count: row.get(11)?,
        closed: row.get(12)?,
        created_at: row.get(13)?,
        updated_at: row.get(14)?,
    })
}

/// Columns of [`message`], from `messages m`.
macro_rules! message_columns {
    () => {
        "m.id, m.conversation_id, m.user_id, m.turn_id, m.sequence, m.parent_id, m.role, m.text, m.attachments, \
     m.endpoint, m.model, m.token_count, m.unfinished, m.error, m.created_at, m.updated_at, m.slot, m.entry"
    };
}

/// Reads `message_columns!`.
pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        id: row.get(0)?,
        conversation_id: row.get(1)?,
        user_id: row.get(2)?,
        turn_id: row.get(3)?,
        sequence: row.get(4)?,
        parent_id: row.get(5)?,
        role: row.get(6)?,
        text: row.get(7)?,
        attachments: row.get::<_, Option<Json<_>>>(8)?.map(|json| json.0).unwrap_or_default(),
        endpoint: row.get(9)?,
        model: row.get(10)?,
        token_count: row.get(11)?,
        unfinished: row.get(12)?,
        error: row.get(13)?,
        created_at: row.get(14)?,
        updated_at: row.get(15)?,
    })
}

/// Columns of [`outbound`], from `outbox o`.
macro_rules! outbound_columns {
    () => {
        "o.id, o.user_id, o.turn_id, o.part, o.phone, o.route_gateway, o.route_from, o.body, o.segments, \
     o.state, o.status, o.gateway_message_id, o.attempts, o.checks, o.attempted_at, o.expires_at, o.error, o.created_at"
    };
}

/// Reads `outbound_columns!`.
pub(super) fn outbound(row: &Row<'_>) -> rusqlite::Result<OutboundMessage> {
    Ok(OutboundMessage {
        id: row.get(0)?,
        user_id: row.get(1)?,
        turn_id: row.get(2)?,
        part: row.get(3)?,
        to: row.get(4)?,
        route: ReplyRoute { gateway: row.get(5)?, from: row.get(6)? },
        body: row.get(7)?,
        segments: row.get(8)?,
        state: row.get(9)?,
        status: row.get(10)?,
        gateway_message_id: row.get(11)?,
        attempts: row.get(12)?,
        checks: row.get(13)?,
        attempted_at: row.get(14)?,
        expires_at: row.get(15)?,
        error: row.get(16)?,
        created_at: row.get(17)?,
    })
}

/// The route in two columns, where there is one.
pub(super) fn route(gateway: Option<String>, from: Option<String>) -> Option<ReplyRoute> {
    gateway.map(|gateway| ReplyRoute { gateway, from: from.unwrap_or_default() })
}

/// A request that asks for nothing is kept as NULL.
pub(super) fn request_column(request: &TurnRequest) -> Option<Json<&TurnRequest>> {
    (*request != TurnRequest::default()).then_some(Json(request))
}

pub(super) use {conversation_columns, message_columns, outbound_columns, user_columns};
