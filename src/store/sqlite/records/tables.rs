//! Which table holds a kind of record, and which columns its fields.

use rusqlite::types::Value;

use super::shape::Shape::{self, Bytes, Flag, Integer, Item, Json, Moment, Observation, Ordinal, Person, Text, Turn, TurnOrZero, Uuid};
use crate::domain::graph::fold;
use crate::domain::todo::words;
use crate::store::record::Kind;

/// A column and the field that it is in a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) field: &'static str,
    pub(super) name: &'static str,
    pub(super) shape: Shape,
}

/// A column that is worked out from a field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Derived {
    pub(super) name: &'static str,
    pub(super) field: &'static str,
    pub(super) value: fn(&str) -> Value,
}

/// A table of one kind.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) kind: Kind,
    pub(super) name: &'static str,
    /// Whose a row is, from the row `t` (and `g`, where it is part of a graph); empty for what is nobody's.
    pub(super) person: &'static str,
    /// The rows of the person `?1`.
    pub(super) of_person: &'static str,
    /// The person's field first, where there is one.
    pub(super) columns: &'static [Column],
    pub(super) derived: &'static [Derived],
    /// A field that is 0 or 1 by what other tables say, and how that is read.
    pub(super) computed: Option<(&'static str, &'static str)>,
    /// What is in no record, or told by another one: leases, lanes, local numbers.
    #[cfg_attr(not(test), expect(dead_code, reason = "it is said so that a test can hold that no column was forgotten"))]
    pub(super) volatile: &'static [&'static str],
    /// The order of the kind's places, as columns of `t`.
    pub(super) order: &'static str,
    /// Columns of an index by which one row is found.
    pub(super) lookup: &'static [&'static str],
}

impl Table {
    /// Whether its rows are parts of a graph: their ids say of which.
    pub(super) fn in_graph(&self) -> bool {
        matches!(self.kind, Kind::Entity | Kind::Observation | Kind::Relation)
    }

    /// The table of a kind.
    pub(super) fn of(kind: Kind) -> &'static Self {
        // A test holds that there is one for each, in order.
        TABLES.iter().find(|table| table.kind == kind).unwrap_or(&TABLES[0])
    }

    /// A column by its field.
    pub(super) fn column(&self, field: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.field == field)
    }

    /// From where rows are read.
    pub(super) fn from(&self) -> String {
        let graph = if self.in_graph() { " JOIN graphs g ON g.number = t.id >> 32" } else { "" };
        format!("{} t{graph}", self.name)
    }
}

const fn column(field: &'static str, name: &'static str, shape: Shape) -> Column {
    Column { field, name, shape }
}

/// The part of a JSON column's text or a name, folded.
fn folded(text: &str) -> Value {
    Value::Text(fold(text))
}

fn compared(text: &str) -> Value {
    Value::Text(words(text))
}

fn digest(text: &str) -> Value {
    Value::Integer(super::super::graph::digest(text))
}

const OWN: &str = "t.user_id";
const OF_PERSON: &str = "t.user_id = ?1";
const OF_TURN: &str = "t.turn IN (SELECT number FROM turns WHERE user_id = ?1)";
const OF_GRAPH: &str = "t.id BETWEEN (SELECT number << 32 FROM graphs WHERE user_id = ?1)
     AND (SELECT number << 32 | 4294967295 FROM graphs WHERE user_id = ?1)";

macro_rules! tables {
    ($($kind:ident $name:literal person $person:expr, $of_person:expr; order $order:literal; lookup [$($lookup:literal),*];
        $(derived [$($derived:literal = $value:ident($from:literal)),*];)? $(computed $computed:literal = $computed_sql:literal;)?
        $(volatile [$($volatile:literal),*];)?
        { $($field:literal $column:literal $shape:ident),* $(,)? })*) => {
        /// The tables, in the order of their kinds.
        pub(super) const TABLES: &[Table; 26] = &[$(Table {
            kind: Kind::$kind,
            name: $name,
            person: $person,
            of_person: $of_person,
            columns: &[$(column($field, $column, $shape)),*],
            derived: &[$($(Derived { name: $derived, field: $from, value: $value }),*)?],
            computed: tables!(@computed $($computed $computed_sql)?),
            volatile: &[$($($volatile),*)?],
            order: $order,
            lookup: &[$($lookup),*],
        }),*];
    };
    (@computed) => { None };
    (@computed $field:literal $sql:literal) => { Some(($field, $sql)) };
}

tables! {
    Mark "marks" person "", ""; order "t.name"; lookup ["name"]; { "name" "name" Text, "moment" "moment" Moment }
    DailyTurns "daily_turns" person "", ""; order "t.day"; lookup ["day"]; { "day" "day" Text, "turns" "turns" Integer }
    Consent "consents" person "", ""; order "t.phone"; lookup ["phone"]; {
        "phone" "phone" Text, "optedOut" "opted_out" Flag, "saidAt" "said_at" Moment
    }
    StatusReport "status_reports" person "", ""; order "t.gateway, t.gateway_message_id"; lookup ["gateway", "gateway_message_id"]; {
        "gateway" "gateway" Text, "gatewayMessageId" "gateway_message_id" Text, "status" "status" Text, "errorCode" "error_code" Text,
        "receivedAt" "received_at" Moment
    }
    HashKey "hash_keys" person "", ""; order "t.name"; lookup ["name"]; { "name" "name" Text, "bytes" "bytes" Bytes }
    ErasedConsent "erased_consents" person "", ""; order "t.hash"; lookup ["hash"]; {
        "hash" "hash" Bytes, "optedOut" "opted_out" Flag, "saidAt" "said_at" Moment
    }
    Person "people" person OWN, OF_PERSON; order "t.user_id"; lookup ["user_id"]; {
        "userId" "user_id" Person, "phone" "phone" Text, "email" "email" Text, "name" "name" Text, "username" "username" Text,
        "provider" "provider" Text, "role" "role" Text, "emailVerified" "email_verified" Flag,
        "preferredEndpoint" "preferred_endpoint" Text, "preferredModel" "preferred_model" Text, "preferredAgent" "preferred_agent" Text,
        "timeZone" "time_zone" Text, "callerMetadata" "caller_metadata" Json, "blocked" "blocked" Flag,
        "firstContact" "first_contact" Moment, "createdAt" "created_at" Moment, "updatedAt" "updated_at" Moment,
        "quietHours" "quiet_hours" Text, "erasedAt" "erased_at" Moment
    }
    Activity "activity" person OWN, OF_PERSON; order "t.user_id"; lookup ["user_id"];
        volatile ["turn_next", "turn_owner", "turn_leased", "turn_fence", "delivery_next", "delivery_gateway", "delivery_owner",
            "delivery_leased", "delivery_fence"]; {
        "userId" "user_id" Person, "lastSms" "last_sms" Moment, "messageCount" "message_count" Integer, "balance" "balance" Integer,
        "refilledAt" "refilled_at" Moment, "latestEvent" "latest_event" Integer, "turnsDay" "turns_day" Text,
        "turnsToday" "turns_today" Integer, "routeGateway" "route_gateway" Text, "routeFrom" "route_from" Text
    }
    Turn "turns" person OWN, OF_PERSON; order "t.number"; lookup ["id"]; volatile ["reply_slot", "reply_entry"]; {
        "userId" "user_id" Person, "number" "number" Ordinal, "id" "id" Uuid, "conversationId" "conversation_id" Uuid,
        "turnKind" "kind" Text, "state" "state" Text, "due" "due" Moment, "gatherUntil" "gather_until" Moment,
        "lastTextAt" "last_text_at" Moment, "texts" "texts" Integer, "attempts" "attempts" Integer, "starts" "starts" Integer,
        "answerUntil" "answer_until" Moment, "error" "error" Text, "request" "request" Json, "routeGateway" "route_gateway" Text,
        "routeFrom" "route_from" Text, "refusal" "refusal" Text, "overLimit" "over_limit" Text, "answerId" "answer_id" Uuid,
        "answer" "answer" Text, "reserved" "reserved" Integer, "charge" "charge" Integer, "beganConversation" "began_conversation" Flag,
        "promptTokens" "prompt_tokens" Integer,
        "completionTokens" "completion_tokens" Integer, "totalTokens" "total_tokens" Integer, "event" "event" Integer,
        "openedAt" "opened_at" Moment
    }
    Step "steps" person OWN, OF_TURN; order "(SELECT id FROM turns WHERE number = t.turn), t.number"; lookup ["turn", "number"]; {
        "userId" "user_id" Person, "turn" "turn" Turn, "number" "number" Integer, "said" "said" Text, "shown" "shown" Flag,
        "model" "model" Text, "promptTokens" "prompt_tokens" Integer, "completionTokens" "completion_tokens" Integer,
        "totalTokens" "total_tokens" Integer, "charge" "charge" Integer, "recordedAt" "recorded_at" Moment
    }
    Call "calls" person OWN, OF_TURN; order "(SELECT id FROM turns WHERE number = t.turn), t.step, t.number";
        lookup ["turn", "step", "number"]; {
        "userId" "user_id" Person, "turn" "turn" Turn, "step" "step" Integer, "number" "number" Integer, "id" "id" Text,
        "name" "name" Text, "arguments" "arguments" Text, "extra" "extra" Json, "begunAt" "begun_at" Moment, "endedAt" "ended_at" Moment,
        "failed" "failed" Flag, "result" "result" Text
    }
    Conversation "conversations" person OWN, OF_PERSON; order "t.id"; lookup ["user_id", "id"]; {
        "userId" "user_id" Person, "id" "id" Uuid, "title" "title" Text, "endpoint" "endpoint" Text, "model" "model" Text,
        "choiceEndpoint" "choice_endpoint" Text, "choiceModel" "choice_model" Text, "choiceAgent" "choice_agent" Text,
        "phone" "phone" Text, "source" "source" Text, "lastMessage" "last_message" Moment, "messageCount" "message_count" Integer,
        "closed" "closed" Flag, "lastSequence" "last_sequence" Integer, "lastId" "last_id" Uuid, "lastSlot" "last_slot" TurnOrZero,
        "lastEntry" "last_entry" Integer, "createdAt" "created_at" Moment, "updatedAt" "updated_at" Moment
    }
    Message "messages" person OWN, OF_PERSON; order "t.conversation_id, t.created_at, t.id";
        lookup ["user_id", "conversation_id", "slot", "entry"];
        computed "reply" = "EXISTS (SELECT 1 FROM turns WHERE id = t.turn_id AND reply_slot = t.slot AND reply_entry = t.entry)"; {
        "userId" "user_id" Person, "conversationId" "conversation_id" Uuid, "slot" "slot" TurnOrZero, "entry" "entry" Integer,
        "id" "id" Uuid, "turnId" "turn_id" Uuid, "sequence" "sequence" Integer, "parentId" "parent_id" Uuid, "role" "role" Text,
        "text" "text" Text, "attachments" "attachments" Json, "endpoint" "endpoint" Text, "model" "model" Text,
        "tokenCount" "token_count" Integer, "unfinished" "unfinished" Flag, "error" "error" Flag, "recalled" "recalled" Flag,
        "receivedAt" "received_at" Moment, "createdAt" "created_at" Moment, "updatedAt" "updated_at" Moment
    }
    Summary "summaries" person OWN, OF_PERSON; order "t.conversation_id"; lookup ["user_id", "conversation_id"]; {
        "userId" "user_id" Person, "conversationId" "conversation_id" Uuid, "upToSequence" "up_to_sequence" Integer, "text" "text" Text,
        "claimedUntil" "claimed_until" Moment, "claims" "claims" Integer, "attempts" "attempts" Integer, "updatedAt" "updated_at" Moment
    }
    Outbound "outbox" person OWN, OF_PERSON; order "t.number"; lookup ["id"]; {
        "userId" "user_id" Person, "number" "number" Ordinal, "id" "id" Uuid, "conversationId" "conversation_id" Uuid,
        "turnId" "turn_id" Uuid, "part" "part" Integer, "phone" "phone" Text, "routeGateway" "route_gateway" Text,
        "routeFrom" "route_from" Text, "body" "body" Text, "segments" "segments" Integer, "state" "state" Text,
        "confirmation" "confirmation" Flag, "due" "due" Moment, "status" "status" Text, "gatewayMessageId" "gateway_message_id" Text,
        "attempts" "attempts" Integer, "checks" "checks" Integer, "attemptedAt" "attempted_at" Moment, "expiresAt" "expires_at" Moment,
        "error" "error" Text, "createdAt" "created_at" Moment
    }
    Receipt "receipts" person OWN, OF_PERSON; order "t.door, t.key"; lookup ["door", "key"]; {
        "userId" "user_id" Person, "door" "door" Text, "key" "key" Text, "fingerprint" "fingerprint" Bytes, "isNewUser" "is_new_user" Flag,
        "conversationId" "conversation_id" Uuid, "messageId" "message_id" Uuid, "turnId" "turn_id" Uuid, "storedAt" "stored_at" Moment
    }
    Notice "notices" person OWN, OF_PERSON; order "t.key"; lookup ["user_id", "key"]; {
        "userId" "user_id" Person, "key" "key" Text, "givenAt" "given_at" Moment
    }
    Graph "graphs" person OWN, OF_PERSON; order "t.user_id"; lookup ["user_id"]; volatile ["number"]; {
        "userId" "user_id" Person, "lastItem" "last_item" Integer, "entities" "entities" Integer, "observations" "observations" Integer,
        "relations" "relations" Integer
    }
    Entity "entities" person "g.user_id", OF_GRAPH; order "t.id"; lookup ["id"]; derived ["folded" = folded("name")]; volatile ["graph"]; {
        "number" "id" Item, "name" "name" Text, "type" "type" Text, "createdAt" "created_at" Moment, "updatedAt" "updated_at" Moment
    }
    Observation "observations" person "g.user_id", OF_GRAPH; order "t.id"; lookup ["id"]; derived ["digest" = digest("text")]; {
        "number" "id" Observation, "entity" "entity" Item, "text" "text" Text, "conversationId" "conversation_id" Uuid,
        "createdAt" "created_at" Moment
    }
    Relation "relations" person "g.user_id", OF_GRAPH; order "t.id"; lookup ["id"]; {
        "number" "id" Item, "source" "source" Item, "target" "target" Item, "type" "type" Text, "createdAt" "created_at" Moment
    }
    TodoList "todo_lists" person OWN, OF_PERSON; order "t.user_id"; lookup ["user_id"]; {
        "userId" "user_id" Person, "lastId" "last_id" Integer, "items" "items" Integer
    }
    Todo "todos" person OWN, OF_PERSON; order "t.id"; lookup ["user_id", "id"];
        derived ["words" = compared("text"), "category_words" = compared("category")]; {
        "userId" "user_id" Person, "id" "id" Integer, "text" "text" Text, "category" "category" Text, "priority" "priority" Text,
        "dueOn" "due_on" Text, "dueAt" "due_at" Moment, "parentId" "parent_id" Integer, "completedAt" "completed_at" Moment,
        "createdAt" "created_at" Moment, "updatedAt" "updated_at" Moment
    }
    ScheduleList "schedule_lists" person OWN, OF_PERSON; order "t.user_id"; lookup ["user_id"]; {
        "userId" "user_id" Person, "lastId" "last_id" Integer
    }
    Schedule "schedules" person OWN, OF_PERSON; order "t.id"; lookup ["user_id", "id"]; {
        "userId" "user_id" Person, "id" "id" Integer, "name" "name" Text, "message" "message" Text, "mode" "mode" Text, "rule" "rule" Json,
        "zone" "zone" Text, "anchor" "anchor" Moment, "enabled" "enabled" Flag, "finished" "finished" Flag, "nextRun" "next_run" Moment,
        "lastRun" "last_run" Moment, "lastOutcome" "last_outcome" Text, "lastTurn" "last_turn" Uuid, "lastOutbound" "last_outbound" Uuid,
        "runs" "runs" Integer, "failures" "failures" Integer, "conversationId" "conversation_id" Uuid, "revision" "revision" Integer,
        "createdAt" "created_at" Moment, "updatedAt" "updated_at" Moment
    }
    Token "tokens" person OWN, OF_PERSON; order "t.id"; lookup ["id"]; {
        "userId" "user_id" Person, "id" "id" Uuid, "hash" "hash" Bytes, "tokenKind" "kind" Text, "scopes" "scopes" Json,
        "expiresAt" "expires_at" Moment, "createdAt" "created_at" Moment
    }
}
