//! Graphs, todo lists and schedules as records and back.

use mongodb::bson::{Bson, Document, doc};

use super::{Put, unfit, unwritten};
use crate::domain::ids::{ConversationId, OutboundId, TurnId, UserId};
use crate::domain::schedule::{Mode, When};
use crate::domain::todo::Priority;
use crate::store::StoreResult;
use crate::store::mongodb::fields::{Fields, date, maybe_date, plain};
use crate::store::mongodb::lists::{ListHead, key};
use crate::store::mongodb::names::Place;
use crate::store::record::words::{Raw, Word};
use crate::store::record::{self, Record};

fn id(id: Option<impl ToString>) -> Bson {
    id.map_or(Bson::Null, |id| id.to_string().into())
}

/// One document of a graph.
pub(in crate::store::mongodb) fn graph_record(user_id: UserId, fields: &Fields<'_>) -> StoreResult<Record> {
    let (number, created_at) = (fields.number("number")?, fields.moment("createdAt")?);
    Ok(match fields.text("kind")? {
        "entity" => Record::Entity(Box::new(record::StoredEntity {
            user_id,
            number,
            name: fields.text("name")?.to_owned(),
            entity_type: fields.text("entityType")?.to_owned(),
            created_at,
            updated_at: fields.moment("updatedAt")?,
        })),
        "observation" => Record::Observation(Box::new(record::StoredObservation {
            user_id,
            number,
            entity: fields.number("entity")?,
            text: fields.text("text")?.to_owned(),
            created_at,
            conversation_id: fields.find_id("conversationId", ConversationId::from_uuid)?,
        })),
        "relation" => Record::Relation(Box::new(record::StoredRelation {
            user_id,
            number,
            source: fields.number("source")?,
            target: fields.number("target")?,
            relation_type: fields.text("relationType")?.to_owned(),
            created_at,
        })),
        _ => return Err(fields.damaged("kind", "it is none of entity, observation and relation")),
    })
}

/// A graph's documents as records, with the graph's own.
pub(super) fn graph_records(
    user_id: UserId,
    stand: ListHead,
    collection: &str,
    documents: &[Document],
    out: &mut Vec<Record>,
) -> StoreResult<()> {
    let (mut entities, mut observations, mut relations) = (0, 0, 0);
    for document in documents {
        let record = graph_record(user_id, &Fields::new(collection, document))?;
        match record {
            Record::Entity(_) => entities += 1,
            Record::Observation(_) => observations += 1,
            _ => relations += 1,
        }
        out.push(record);
    }
    out.push(Record::Graph(Box::new(record::StoredGraph { user_id, last_item: stand.last, entities, observations, relations })));
    Ok(())
}

pub(in crate::store::mongodb) fn entity_fields(record: &record::StoredEntity) -> Document {
    doc! {
        "user": record.user_id.to_string(),
        "kind": "entity",
        "number": record.number,
        "name": &record.name,
        "entityType": &record.entity_type,
        "createdAt": date(record.created_at),
        "updatedAt": date(record.updated_at),
    }
}

pub(in crate::store::mongodb) fn observation_fields(record: &record::StoredObservation) -> Document {
    doc! {
        "user": record.user_id.to_string(),
        "kind": "observation",
        "number": record.number,
        "entity": record.entity,
        "text": &record.text,
        "conversationId": id(record.conversation_id),
        "createdAt": date(record.created_at),
    }
}

/// With the names of both ends, for whoever looks into the collection.
pub(in crate::store::mongodb) fn relation_fields(record: &record::StoredRelation, from: &str, to: &str) -> Document {
    doc! {
        "user": record.user_id.to_string(),
        "kind": "relation",
        "number": record.number,
        "source": record.source,
        "target": record.target,
        "from": from,
        "relationType": &record.relation_type,
        "to": to,
        "createdAt": date(record.created_at),
    }
}

/// A todo list's documents as records, with the list's own.
pub(super) fn todo_records(
    user_id: UserId,
    stand: ListHead,
    collection: &str,
    documents: &[Document],
    out: &mut Vec<Record>,
) -> StoreResult<()> {
    let items = i64::try_from(documents.len()).unwrap_or(i64::MAX);
    out.push(Record::TodoList(Box::new(record::TodoList { user_id, last_id: stand.last, items })));
    for document in documents {
        out.push(Record::Todo(Box::new(todo_record(user_id, &Fields::new(collection, document))?)));
    }
    Ok(())
}

/// A todo's document.
pub(in crate::store::mongodb) fn todo_record(user_id: UserId, fields: &Fields<'_>) -> StoreResult<record::StoredTodo> {
    Ok(record::StoredTodo {
        user_id,
        id: fields.number("number")?,
        text: fields.text("text")?.to_owned(),
        priority: Word(fields.find_word("priority", Priority::parse)?.unwrap_or_default()),
        created_at: fields.moment("createdAt")?,
        updated_at: fields.moment("updatedAt")?,
        category: fields.find_text("category")?.map(str::to_owned),
        due_on: fields.find_text("dueOn")?.map(str::to_owned),
        due_at: fields.find_moment("dueAt")?,
        parent_id: fields.find_number("parent")?,
        completed_at: fields.find_moment("completedAt")?,
    })
}

pub(in crate::store::mongodb) fn todo_fields(record: &record::StoredTodo) -> Document {
    let Word(priority) = record.priority;
    doc! {
        "user": record.user_id.to_string(),
        "number": record.id,
        "text": &record.text,
        "category": record.category.clone(),
        "priority": priority.as_str(),
        "dueOn": record.due_on.clone(),
        "dueAt": maybe_date(record.due_at),
        "parent": record.parent_id,
        "completedAt": maybe_date(record.completed_at),
        "createdAt": date(record.created_at),
        "updatedAt": date(record.updated_at),
    }
}

/// The schedules' documents as records, with the list's own.
pub(super) fn schedule_records(
    user_id: UserId,
    stand: ListHead,
    collection: &str,
    documents: &[Document],
    out: &mut Vec<Record>,
) -> StoreResult<()> {
    out.push(Record::ScheduleList(Box::new(record::ScheduleList { user_id, last_id: stand.last })));
    for document in documents {
        out.push(Record::Schedule(Box::new(schedule_record(user_id, &Fields::new(collection, document))?)));
    }
    Ok(())
}

/// A schedule's document.
pub(in crate::store::mongodb) fn schedule_record(user_id: UserId, fields: &Fields<'_>) -> StoreResult<record::StoredSchedule> {
    let missing = |path: &str| fields.damaged(path, "it is missing");
    let rule: When = fields.find_value("rule")?.ok_or_else(|| missing("rule"))?;
    Ok(record::StoredSchedule {
        user_id,
        id: fields.number("number")?,
        name: fields.text("name")?.to_owned(),
        message: fields.text("message")?.to_owned(),
        mode: Word(fields.find_word("mode", Mode::parse)?.ok_or_else(|| missing("mode"))?),
        rule: Raw::of(&rule).map_err(unwritten)?,
        zone: fields.text("zone")?.to_owned(),
        anchor: fields.moment("anchor")?,
        enabled: fields.flag("enabled")?,
        finished: fields.flag("finished")?,
        runs: fields.number("runs")?,
        failures: fields.number("failures")?,
        revision: fields.number("revision")?,
        created_at: fields.moment("createdAt")?,
        updated_at: fields.moment("updatedAt")?,
        next_run: fields.find_moment("nextRun")?,
        last_run: fields.find_moment("lastRun")?,
        last_outcome: fields.find_text("lastOutcome")?.map(str::to_owned),
        last_turn: fields.find_id("lastTurn", TurnId::from_uuid)?,
        last_outbound: fields.find_id("lastOutbound", OutboundId::from_uuid)?,
        conversation_id: fields.find_id("conversationId", ConversationId::from_uuid)?,
    })
}

/// A schedule; `routed` says whether its last run had a way to a phone.
pub(super) fn schedule_put(record: &record::StoredSchedule, routed: bool) -> StoreResult<Put> {
    let Word(mode) = record.mode;
    let rule: When = serde_json::from_str(record.rule.get()).map_err(|error| unfit("schedule", error))?;
    let set = doc! {
        "user": record.user_id.to_string(),
        "number": record.id,
        "name": &record.name,
        "message": &record.message,
        "mode": mode.as_str(),
        "rule": plain(&rule),
        "zone": &record.zone,
        "anchor": date(record.anchor),
        "enabled": record.enabled,
        "finished": record.finished,
        "nextRun": maybe_date(record.next_run),
        "lastRun": maybe_date(record.last_run),
        "lastOutcome": record.last_outcome.clone(),
        "lastTurn": id(record.last_turn),
        "lastOutbound": id(record.last_outbound),
        "lastRouted": routed,
        "runs": record.runs,
        "failures": record.failures,
        "conversationId": id(record.conversation_id),
        "revision": record.revision,
        "createdAt": date(record.created_at),
        "updatedAt": date(record.updated_at),
    };
    Ok(Put::set(Place::Schedules, key(record.user_id, record.id), set))
}
