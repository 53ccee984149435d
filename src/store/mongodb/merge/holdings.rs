//! What rules decide about when two people become one, out of documents and back into them.

use mongodb::bson::{Document, doc};

use crate::domain::ids::UserId;
use crate::domain::user::Preferences;
use crate::store::merging::Holdings;
use crate::store::mongodb::MongoStore;
use crate::store::mongodb::fields::Fields;
use crate::store::mongodb::keeping::lists::{
    entity_fields, graph_record, observation_fields, relation_fields, schedule_record, todo_fields, todo_record,
};
use crate::store::mongodb::keeping::person::{activity_record, notice_records, person_record};
use crate::store::mongodb::lists::key;
use crate::store::mongodb::names::Place;
use crate::store::mongodb::state::words::JsonText;
use crate::store::mongodb::state::{Draft, State};
use crate::store::record::{Person, Record, ScheduleList, StoredGraph, TodoList};
use crate::store::{StoreError, StoreResult};

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
        holdings.person = Some(person_record(user, state)?);
        holdings.activity = Some(activity_record(user, state));
        holdings.notices = notice_records(user, state).collect();
        let lists = state.lists;
        let of_person = || doc! { "user": user.to_string() };
        let memory = self.collection(Place::Memory);
        let each = |document: &Document| {
            holdings.take(graph_record(user, &Fields::new(memory.name(), document))?);
            Ok(())
        };
        self.each(&memory, of_person(), each).await?;
        holdings.graph = Some(StoredGraph {
            user_id: user,
            last_item: lists.graph.last,
            entities: count(holdings.entities.len()),
            observations: count(holdings.observations.len()),
            relations: count(holdings.relations.len()),
        });
        let todos = self.collection(Place::Todos);
        let each = |document: &Document| {
            holdings.todos.push(todo_record(user, &Fields::new(todos.name(), document))?);
            Ok(())
        };
        self.each(&todos, of_person(), each).await?;
        holdings.todo_list = Some(TodoList { user_id: user, last_id: lists.todos.last, items: count(holdings.todos.len()) });
        let schedules = self.collection(Place::Schedules);
        let documents = &mut found.schedules;
        let each = |document: &Document| {
            let stored = schedule_record(user, &Fields::new(schedules.name(), document))?;
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

impl Draft {
    /// Stages a record of this person's graph, list or account. `name_of` tells an entity's name.
    pub(super) fn put_record(&mut self, record: &Record, name_of: &dyn Fn(i64) -> String) -> StoreResult<()> {
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
            Record::Entity(entity) => (Place::Memory, entity.number, entity_fields(entity)),
            Record::Observation(observation) => (Place::Memory, observation.number, observation_fields(observation)),
            Record::Relation(relation) => {
                let fields = relation_fields(relation, &name_of(relation.source), &name_of(relation.target));
                (Place::Memory, relation.number, fields)
            }
            Record::Todo(todo) => (Place::Todos, todo.id, todo_fields(todo)),
            // Where the lists stand is said by the state; schedules are written as they lie.
            _ => return Ok(()),
        };
        self.put(place, key(self.user_id, number), fields);
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
