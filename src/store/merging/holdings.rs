//! What rules decide about when two people become one.

use crate::store::record::{
    Activity, Kind, Notice, Person, Record, ScheduleList, StoredEntity, StoredGraph, StoredObservation, StoredRelation, StoredSchedule,
    StoredTodo, TodoList,
};

/// A person's records of the kinds that a merge decides about.
#[derive(Debug, Default, Clone, PartialEq)]
pub(in crate::store) struct Holdings {
    pub(in crate::store) person: Option<Person>,
    pub(in crate::store) activity: Option<Activity>,
    pub(in crate::store) notices: Vec<Notice>,
    pub(in crate::store) graph: Option<StoredGraph>,
    pub(in crate::store) entities: Vec<StoredEntity>,
    pub(in crate::store) observations: Vec<StoredObservation>,
    pub(in crate::store) relations: Vec<StoredRelation>,
    pub(in crate::store) todo_list: Option<TodoList>,
    pub(in crate::store) todos: Vec<StoredTodo>,
    pub(in crate::store) schedule_list: Option<ScheduleList>,
    pub(in crate::store) schedules: Vec<StoredSchedule>,
}

impl Holdings {
    /// The kinds.
    pub(in crate::store) const KINDS: &[Kind] = &[
        Kind::Person,
        Kind::Activity,
        Kind::Notice,
        Kind::Graph,
        Kind::Entity,
        Kind::Observation,
        Kind::Relation,
        Kind::TodoList,
        Kind::Todo,
        Kind::ScheduleList,
        Kind::Schedule,
    ];

    /// Takes in a record; one of another kind is nothing that is decided here.
    pub(in crate::store) fn take(&mut self, record: Record) {
        match record {
            Record::Person(person) => self.person = Some(*person),
            Record::Activity(activity) => self.activity = Some(*activity),
            Record::Notice(notice) => self.notices.push(*notice),
            Record::Graph(graph) => self.graph = Some(*graph),
            Record::Entity(entity) => self.entities.push(*entity),
            Record::Observation(observation) => self.observations.push(*observation),
            Record::Relation(relation) => self.relations.push(*relation),
            Record::TodoList(list) => self.todo_list = Some(*list),
            Record::Todo(todo) => self.todos.push(*todo),
            Record::ScheduleList(list) => self.schedule_list = Some(*list),
            Record::Schedule(schedule) => self.schedules.push(*schedule),
            _ => {}
        }
    }
}
