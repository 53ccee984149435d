//! The records, one a kind. Their fields are what the program stores and nothing that it can work out again: no search index, no
//! lanes, no leases. What a field means is said where the tables are (`migrations/`), whose columns have the same names.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::words::{Raw, Word, endpoint};
use crate::domain::delivery::{DeliveryStatus, OutboundState};
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{ConversationId, MessageId, OutboundId, TurnId, UserId};
use crate::domain::message::Role;
use crate::domain::phone::PhoneNumber;
use crate::domain::schedule::Mode;
use crate::domain::time::Timestamp;
use crate::domain::todo::Priority;
use crate::domain::turn::{Refusal, TurnState};

/// Defines records: first the fields that are always there, then, behind `=>`, those that may be missing.
macro_rules! records {
    ($(
        $(#[$doc:meta])*
        $name:ident {
            $($(#[$attribute:meta])* $field:ident: $type:ty,)*
            $(=> $($(#[$optional_attribute:meta])* $optional:ident: $optional_type:ty,)*)?
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($(#[$attribute])* pub(crate) $field: $type,)*
            $($(
                $(#[$optional_attribute])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub(crate) $optional: Option<$optional_type>,
            )*)?
        }
    )*};
}

records! {
    /// A moment kept under a name.
    Mark { name: String, moment: Timestamp, }

    /// Turns begun by everybody together on a day.
    DailyTurns { day: String, turns: i64, }

    /// The newest word of a number on being texted.
    StoredConsent { phone: PhoneNumber, opted_out: bool, said_at: Timestamp, }

    /// A carrier's report on a message that no answer of its has named yet.
    StatusReport {
        gateway: String,
        gateway_message_id: String,
        status: Word<DeliveryStatus>,
        received_at: Timestamp,
        => error_code: String,
    }

    /// A key of this store's own, under which numbers are hashed.
    HashKey { name: String, bytes: String, }

    /// The word of a number whose person was erased, by the number's hash.
    StoredErasedConsent { hash: String, opted_out: bool, said_at: Timestamp, }

    /// A bearer token: of a person, or (without one) of a service or the host.
    StoredToken {
        id: Uuid,
        hash: String,
        #[serde(rename = "tokenKind")]
        kind: String,
        scopes: Raw,
        created_at: Timestamp,
        => user_id: UserId, expires_at: Timestamp,
    }

    /// What a person is.
    Person {
        user_id: UserId,
        email: String,
        name: String,
        username: String,
        provider: String,
        role: String,
        email_verified: bool,
        caller_metadata: Raw,
        blocked: bool,
        first_contact: Timestamp,
        created_at: Timestamp,
        updated_at: Timestamp,
        =>
        phone: PhoneNumber,
        #[serde(deserialize_with = "endpoint")]
        preferred_endpoint: Endpoint,
        preferred_model: String,
        preferred_agent: String,
        time_zone: String,
        quiet_hours: String,
        erased_at: Timestamp,
    }

    /// What changes with every message of a person: figures, credits and the way back to the phone.
    Activity {
        user_id: UserId,
        last_sms: Timestamp,
        message_count: i64,
        latest_event: i64,
        turns_today: i64,
        =>
        balance: i64,
        refilled_at: Timestamp,
        turns_day: String,
        route_gateway: String,
        route_from: String,
    }

    /// A turn. `number` grows in the order of the person's turns; in a snapshot it counts them from 1.
    Turn {
        user_id: UserId,
        number: i64,
        id: TurnId,
        conversation_id: ConversationId,
        #[serde(rename = "turnKind")]
        kind: String,
        state: Word<TurnState>,
        due: Timestamp,
        last_text_at: Timestamp,
        texts: i64,
        attempts: i64,
        starts: i64,
        reserved: i64,
        charge: i64,
        began_conversation: bool,
        prompt_tokens: i64,
        completion_tokens: i64,
        total_tokens: i64,
        opened_at: Timestamp,
        =>
        gather_until: Timestamp,
        answer_until: Timestamp,
        error: String,
        request: Raw,
        route_gateway: String,
        route_from: String,
        refusal: Word<Refusal>,
        over_limit: Word<Refusal>,
        answer_id: MessageId,
        answer: String,
        event: i64,
    }

    /// One answer of a model, within a turn, that asked for tools.
    Step {
        user_id: UserId,
        turn: TurnId,
        number: i64,
        said: String,
        shown: bool,
        model: String,
        prompt_tokens: i64,
        completion_tokens: i64,
        total_tokens: i64,
        charge: i64,
        recorded_at: Timestamp,
    }

    /// A call of such a step.
    Call {
        user_id: UserId,
        turn: TurnId,
        step: i64,
        number: i64,
        id: String,
        name: String,
        arguments: String,
        =>
        extra: Raw,
        begun_at: Timestamp,
        ended_at: Timestamp,
        failed: bool,
        result: String,
    }

    /// A conversation. `last_slot` and `last_entry` are the place of its last entry, see [`StoredMessage`].
    StoredConversation {
        user_id: UserId,
        id: ConversationId,
        title: String,
        source: String,
        last_message: Timestamp,
        message_count: i64,
        closed: bool,
        last_sequence: i64,
        last_entry: i64,
        created_at: Timestamp,
        updated_at: Timestamp,
        =>
        #[serde(deserialize_with = "endpoint")]
        endpoint: Endpoint,
        model: String,
        #[serde(deserialize_with = "endpoint")]
        choice_endpoint: Endpoint,
        choice_model: String,
        choice_agent: String,
        phone: PhoneNumber,
        last_slot: TurnId,
        last_id: MessageId,
    }

    /// An entry of a conversation. Its place is the turn that was placed last when it was made (its own for a person's text; none
    /// where there was no turn) and its number behind that. `reply` marks the one that its turn ended with.
    StoredMessage {
        user_id: UserId,
        conversation_id: ConversationId,
        id: MessageId,
        turn_id: TurnId,
        entry: i64,
        role: Word<Role>,
        text: String,
        token_count: i64,
        unfinished: bool,
        error: bool,
        recalled: bool,
        reply: bool,
        received_at: Timestamp,
        created_at: Timestamp,
        updated_at: Timestamp,
        =>
        slot: TurnId,
        sequence: i64,
        parent_id: MessageId,
        attachments: Raw,
        #[serde(deserialize_with = "endpoint")]
        endpoint: Endpoint,
        model: String,
    }

    /// The summary of a conversation, or a claim to make one.
    StoredSummary {
        user_id: UserId,
        conversation_id: ConversationId,
        up_to_sequence: i64,
        text: String,
        claims: i64,
        attempts: i64,
        updated_at: Timestamp,
        => claimed_until: Timestamp,
    }

    /// An outgoing message. `number` is as that of [`Turn`].
    Outbound {
        user_id: UserId,
        number: i64,
        id: OutboundId,
        conversation_id: ConversationId,
        turn_id: TurnId,
        part: i64,
        phone: PhoneNumber,
        route_gateway: String,
        route_from: String,
        body: String,
        segments: i64,
        state: Word<OutboundState>,
        confirmation: bool,
        due: Timestamp,
        attempts: i64,
        checks: i64,
        expires_at: Timestamp,
        created_at: Timestamp,
        =>
        status: Word<DeliveryStatus>,
        gateway_message_id: String,
        attempted_at: Timestamp,
        error: String,
    }

    /// By what a repeat of a message is recognised.
    StoredReceipt {
        user_id: UserId,
        door: String,
        key: String,
        is_new_user: bool,
        conversation_id: ConversationId,
        message_id: MessageId,
        turn_id: TurnId,
        stored_at: Timestamp,
        => fingerprint: String,
    }

    /// That a person was told something.
    Notice { user_id: UserId, key: String, given_at: Timestamp, }

    /// A person's graph: the last number given out in it, and how much it holds.
    StoredGraph { user_id: UserId, last_item: i64, entities: i64, observations: i64, relations: i64, }

    /// An entity, by its number in the graph.
    StoredEntity {
        user_id: UserId,
        number: i64,
        name: String,
        #[serde(rename = "type")]
        entity_type: String,
        created_at: Timestamp,
        updated_at: Timestamp,
    }

    /// An observation of the entity of that number.
    StoredObservation {
        user_id: UserId,
        number: i64,
        entity: i64,
        text: String,
        created_at: Timestamp,
        => conversation_id: ConversationId,
    }

    /// A relation between the entities of those numbers.
    StoredRelation {
        user_id: UserId,
        number: i64,
        source: i64,
        target: i64,
        #[serde(rename = "type")]
        relation_type: String,
        created_at: Timestamp,
    }

    /// A person's list: the last number given out in it.
    TodoList { user_id: UserId, last_id: i64, items: i64, }

    /// An item of it.
    StoredTodo {
        user_id: UserId,
        id: i64,
        text: String,
        priority: Word<Priority>,
        created_at: Timestamp,
        updated_at: Timestamp,
        =>
        category: String,
        due_on: String,
        due_at: Timestamp,
        parent_id: i64,
        completed_at: Timestamp,
    }

    /// A person's schedules: the last number given out among them.
    ScheduleList { user_id: UserId, last_id: i64, }

    /// A schedule.
    StoredSchedule {
        user_id: UserId,
        id: i64,
        name: String,
        message: String,
        mode: Word<Mode>,
        rule: Raw,
        zone: String,
        anchor: Timestamp,
        enabled: bool,
        finished: bool,
        runs: i64,
        failures: i64,
        revision: i64,
        created_at: Timestamp,
        updated_at: Timestamp,
        =>
        next_run: Timestamp,
        last_run: Timestamp,
        last_outcome: String,
        last_turn: TurnId,
        last_outbound: OutboundId,
        conversation_id: ConversationId,
    }
}
