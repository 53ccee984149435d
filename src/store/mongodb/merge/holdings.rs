//! What rules decide about when two people become one, out of documents and back into them.

use mongodb::bson::{Bson, Document, doc};

use crate::domain::delivery::ReplyRoute;
use crate::domain::ids::{ConversationId, OutboundId, TurnId, UserId};
use crate::domain::ledger::Credits;
use crate::domain::schedule::{Mode, When};
use crate::domain::time::Timestamp;
use crate::domain::todo::Priority;
use crate::domain::user::Preferences;
use crate::store::merging::Holdings;
use crate::store::mongodb::MongoStore;
use crate::store::mongodb::fields::{Fields, date, maybe_date};
use crate::store::mongodb::names::Place;
use crate::store::mongodb::state::words::JsonText;
use crate::store::mongodb::state::{Draft, Given, State};
use crate::store::record::words::{Raw, Word};
use crate::store::record::{
    Activity, Notice, Person, Record, ScheduleList, StoredEntity, StoredGraph, StoredObservation, StoredRelation, StoredSchedule,
    StoredTodo, TodoList,
};
use crate::store::{StoreError, StoreResult};

/// JSON as a record keeps it.
fn raw(value: &impl serde::Serialize) -> StoreResult<Raw> {
    as_written(serde_json::to_string(value).map_err(unwritable)?)
}

fn as_written(text: String) -> StoreResult<Raw> {
    Raw::parse(text).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> StoreError {
    StoreError::unavailable("a stored value cannot be written as JSON", error)
}

fn person_of(user: UserId, state: &State) -> StoreResult<Person> {
    let person = &state.person;
    let Preferences { endpoint, default_model, agent_id, time_zone, quiet_hours } = person.preferences.clone();
    Ok(Person {
        user_id: user,
        email: person.email.clone(),
        name: person.name.clone(),
        username: person.username.clone(),
        provider: person.provider.clone(),
        role: person.role.clone(),
        email_verified: person.email_verified,
        caller_metadata: as_written(person.caller_metadata.text().to_owned())?,
        blocked: person.blocked,
        first_contact: person.first_contact,
        created_at: person.created_at,
        updated_at: person.updated_at,
        phone: person.phone.clone(),
        preferred_endpoint: endpoint,
        preferred_model: default_model,
        preferred_agent: agent_id.map(|agent| agent.to_string()),
        time_zone,
        quiet_hours: quiet_hours.map(|hours| hours.to_string()),
        erased_at: None,
    })
}

fn activity_of(user: UserId, state: &State) -> Activity {
    Activity {
        user_id: user,
        last_sms: state.last_sms,
        message_count: state.message_count,
        latest_event: state.latest_event,
        turns_today: i64::from(state.turns_today),
        balance: state.balance.map(|balance| balance.0),
        refilled_at: state.refilled_at,
        turns_day: state.turns_day.clone(),
        route_gateway: state.route.as_ref().map(|route| route.gateway.clone()),
        route_from: state.route.as_ref().map(|route| route.from.clone()),
    }
}

impl State {
    /// Takes over what was decided about the account and its figures. A number that it takes over it gets when nobody has it any more.
    pub(super) fn take_person(&mut self, person: &Person) -> StoreResult<()> {
        let unreadable = |what: &str| StoreError::Conflict { reason: format!("the {what} that is stored cannot be read") };
        self.person.preferences = Preferences {
            endpoint: person.preferred_endpoint.clone(),
            default_model: person.preferred_model.clone(),
            agent_id: person.preferred_agent.as_deref().map(str::parse).transpose().map_err(|_wrong| unreadable("agent"))?,
            time_zone: person.time_zone.clone(),
            quiet_hours: person.quiet_hours.as_deref().map(str::parse).transpose().map_err(|_wrong| unreadable("quiet hours"))?,
        };
        let metadata = person.caller_metadata.get().to_owned();
        self.person.caller_metadata = JsonText::parse(metadata).map_err(|_wrong| unreadable("callers' metadata"))?;
        self.person.blocked = person.blocked;
        self.person.first_contact = person.first_contact;
        self.person.updated_at = person.updated_at;
        Ok(())
    }

    pub(super) fn take_activity(&mut self, activity: &Activity) {
        self.last_sms = activity.last_sms;
        self.message_count = activity.message_count;
        self.latest_event = activity.latest_event;
        self.turns_today = u32::try_from(activity.turns_today).unwrap_or(u32::MAX);
        self.turns_day.clone_from(&activity.turns_day);
        self.balance = activity.balance.map(Credits);
        self.refilled_at = activity.refilled_at;
        let route = activity.route_gateway.clone().zip(activity.route_from.clone());
        self.route = route.map(|(gateway, from)| ReplyRoute { gateway, from });
    }

    pub(super) fn take_notice(&mut self, notice: &Notice) {
        self.notices.retain(|given| given.key != notice.key);
        self.notices.push(Given { key: notice.key.clone(), at: notice.given_at });
    }
}

/// One document of a graph.
fn graph_part(user: UserId, fields: &Fields<'_>, found: &mut Holdings) -> StoreResult<()> {
    let (number, created_at) = (fields.number("number")?, fields.moment("createdAt")?);
    match fields.text("kind")? {
        "entity" => found.entities.push(StoredEntity {
            user_id: user,
            number,
            name: fields.text("name")?.to_owned(),
            entity_type: fields.text("entityType")?.to_owned(),
            created_at,
            updated_at: fields.moment("updatedAt")?,
        }),
        "observation" => found.observations.push(StoredObservation {
            user_id: user,
            number,
            entity: fields.number("entity")?,
            text: fields.text("text")?.to_owned(),
            created_at,
            conversation_id: fields.find_id("conversationId", ConversationId::from_uuid)?,
        }),
        "relation" => found.relations.push(StoredRelation {
            user_id: user,
            number,
            source: fields.number("source")?,
            target: fields.number("target")?,
            relation_type: fields.text("relationType")?.to_owned(),
            created_at,
        }),
        _ => return Err(fields.damaged("kind", "it is none of entity, observation and relation")),
    }
    Ok(())
}

fn todo(user: UserId, fields: &Fields<'_>) -> StoreResult<StoredTodo> {
    Ok(StoredTodo {
        user_id: user,
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

fn schedule(user: UserId, fields: &Fields<'_>) -> StoreResult<StoredSchedule> {
    let missing = |path: &str| fields.damaged(path, "it is missing");
    let when: When = fields.find_value("rule")?.ok_or_else(|| missing("rule"))?;
    Ok(StoredSchedule {
        user_id: user,
        id: fields.number("number")?,
        name: fields.text("name")?.to_owned(),
        message: fields.text("message")?.to_owned(),
        mode: Word(fields.find_word("mode", Mode::parse)?.ok_or_else(|| missing("mode"))?),
        rule: raw(&when)?,
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

/// What somebody has, and the documents of their schedules, which hold more than is decided by.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) holdings: Holdings,
    pub(super) schedules: Vec<(i64, Document)>,
}

impl MongoStore {
    /// What somebody has whose state this is and for whom nothing is staged.
    pub(super) async fn holdings(&self, user: UserId, state: &State) -> StoreResult<Found> {
        let mut found = Found::default();
        let holdings = &mut found.holdings;
        holdings.person = Some(person_of(user, state)?);
        holdings.activity = Some(activity_of(user, state));
        let notice = |given: &Given| Notice { user_id: user, key: given.key.clone(), given_at: given.at };
        holdings.notices = state.notices.iter().map(notice).collect();
        let lists = state.lists;
        let of_person = || doc! { "user": user.to_string() };
        let memory = self.collection(Place::Memory);
        self.each(&memory, of_person(), |document| graph_part(user, &Fields::new(memory.name(), document), holdings)).await?;
        holdings.graph = Some(StoredGraph {
            user_id: user,
            last_item: lists.graph.last,
            entities: count(holdings.entities.len()),
            observations: count(holdings.observations.len()),
            relations: count(holdings.relations.len()),
        });
        let todos = self.collection(Place::Todos);
        let each = |document: &Document| {
            holdings.todos.push(todo(user, &Fields::new(todos.name(), document))?);
            Ok(())
        };
        self.each(&todos, of_person(), each).await?;
        holdings.todo_list = Some(TodoList { user_id: user, last_id: lists.todos.last, items: count(holdings.todos.len()) });
        let schedules = self.collection(Place::Schedules);
        let documents = &mut found.schedules;
        let each = |document: &Document| {
            let stored = schedule(user, &Fields::new(schedules.name(), document))?;
            documents.push((stored.id, document.clone()));
            holdings.schedules.push(stored);
            Ok(())
        };
        self.each(&schedules, of_person(), each).await?;
        holdings.schedule_list = Some(ScheduleList { user_id: user, last_id: lists.schedules.last });
        Ok(found)
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn key(user: UserId, number: i64) -> Document {
    doc! { "_id": format!("{user}/{number}") }
}

fn text(id: Option<impl ToString>) -> Bson {
    id.map_or(Bson::Null, |id| Bson::String(id.to_string()))
}

fn moment(moment: Timestamp) -> Bson {
    Bson::DateTime(date(moment))
}

impl Draft {
    /// Stages a record of this person's graph, list or account. `name_of` tells an entity's name.
    pub(super) fn put_record(&mut self, record: &Record, name_of: &dyn Fn(i64) -> String) -> StoreResult<()> {
        let user = self.user_id;
        let (place, number, fields) = match record {
            Record::Person(person) => return self.state.take_person(person),
            Record::Activity(activity) => {
                self.state.take_activity(activity);
                return Ok(());
            }
            Record::Notice(notice) => {
                self.state.take_notice(notice);
                return Ok(());
            }
            Record::Entity(entity) => {
                let fields = doc! {
                    "kind": "entity",
                    "name": &entity.name,
                    "entityType": &entity.entity_type,
                    "createdAt": moment(entity.created_at),
                    "updatedAt": moment(entity.updated_at),
                };
                (Place::Memory, entity.number, fields)
            }
            Record::Observation(fact) => {
                let fields = doc! {
                    "kind": "observation",
                    "entity": fact.entity,
                    "text": &fact.text,
                    "conversationId": text(fact.conversation_id),
                    "createdAt": moment(fact.created_at),
                };
                (Place::Memory, fact.number, fields)
            }
            Record::Relation(relation) => {
                let fields = doc! {
                    "kind": "relation",
                    "source": relation.source,
                    "target": relation.target,
                    "from": name_of(relation.source),
                    "relationType": &relation.relation_type,
                    "to": name_of(relation.target),
                    "createdAt": moment(relation.created_at),
                };
                (Place::Memory, relation.number, fields)
            }
            Record::Todo(todo) => {
                let fields = doc! {
                    "text": &todo.text,
                    "category": todo.category.clone(),
                    "priority": todo.priority.0.as_str(),
                    "dueOn": text(todo.due_on.as_ref()),
                    "dueAt": maybe_date(todo.due_at),
                    "parent": todo.parent_id,
                    "completedAt": maybe_date(todo.completed_at),
                    "createdAt": moment(todo.created_at),
                    "updatedAt": moment(todo.updated_at),
                };
                (Place::Todos, todo.id, fields)
            }
            // Where the lists stand is said by the state; schedules are written as they lie.
            _ => return Ok(()),
        };
        let mut all = doc! { "user": user.to_string(), "number": number };
        all.extend(fields);
        self.put(place, key(user, number), all);
        Ok(())
    }

    /// Stages a schedule that was another person's, as it lies.
    pub(super) fn put_schedule(&mut self, number: i64, mut document: Document) {
        let user = self.user_id;
        document.remove("_id");
        document.remove(crate::store::mongodb::staged::VERSION);
        document.insert("user", user.to_string());
        document.insert("number", number);
        self.put(Place::Schedules, key(user, number), document);
    }
}
