//! Whether records fit together.
//!
//! Records come person by person, so only one person's ids are held at a time. What must be unique among all people is held as
//! short digests.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::domain::ids::{ConversationId, TurnId, UserId};
use crate::store::record::{Kind, Record, StoredGraph};

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// The record's kind.
    pub kind: &'static str,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What is wrong, without texts of people.
    pub fault: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) => write!(f, "{} of {user}: {}", self.kind, self.fault),
            None => write!(f, "{}: {}", self.kind, self.fault),
        }
    }
}

/// What one person's records said so far.
#[derive(Default)]
struct Held {
    person: bool,
    turns: HashSet<TurnId>,
    steps: HashSet<(TurnId, i64)>,
    conversations: HashSet<ConversationId>,
    sequences: HashSet<(ConversationId, i64)>,
    graph: Option<StoredGraph>,
    entities: HashSet<i64>,
    observations: i64,
    relations: i64,
    items: Option<i64>,
    last_item: i64,
    todos: HashSet<i64>,
    parents: Vec<(i64, i64)>,
    last_schedule: Option<i64>,
}

/// Takes records in their order and tells what does not fit.
#[derive(Default)]
pub struct References {
    of: Option<UserId>,
    held: Held,
    unique: HashSet<[u8; 16]>,
    people: u64,
}

impl References {
    /// People so far.
    #[must_use]
    pub const fn people(&self) -> u64 {
        self.people
    }

    /// Takes a record; `tell` hears what is wrong with it, or with those before it.
    pub fn take(&mut self, record: &Record, tell: &mut impl FnMut(Fault)) {
        let of = record.user_id();
        if of != self.of {
            self.end(tell);
            self.of = of;
        }
        let kind = record.kind();
        // A receipt outlives its person: by it a repeat is recognised for ever.
        if of.is_some() && !self.held.person && !matches!(kind, Kind::Person | Kind::Receipt) {
            self.tell(kind, "its person is missing", tell);
        }
        self.unique(record, tell);
        self.refer(record, tell);
    }

    /// After the last record: what can be said only when all of a person's are there.
    pub fn end(&mut self, tell: &mut impl FnMut(Fault)) {
        let held = std::mem::take(&mut self.held);
        if let Some(graph) = &held.graph {
            let there = (i64::try_from(held.entities.len()).unwrap_or(i64::MAX), held.observations, held.relations);
            let counted = (graph.entities, graph.observations, graph.relations);
            if there != counted {
                self.tell(
                    Kind::Graph,
                    &format!("it counts {counted:?} entities, observations and relations, but there are {there:?}"),
                    tell,
                );
            }
        }
        if let Some(items) = held.items {
            let there = i64::try_from(held.todos.len()).unwrap_or(i64::MAX);
            if there != items {
                self.tell(Kind::TodoList, &format!("it counts {items} items, but there are {there}"), tell);
            }
        }
        for (item, parent) in held.parents {
            if !held.todos.contains(&parent) {
                self.tell(Kind::Todo, &format!("item {item} is part of item {parent}, which is not there"), tell);
            }
        }
    }

    fn refer(&mut self, record: &Record, tell: &mut impl FnMut(Fault)) {
        let kind = record.kind();
        match record {
            Record::Person(_) => {
                self.held.person = true;
                self.people += 1;
            }
            Record::Turn(turn) => {
                self.held.turns.insert(turn.id);
            }
            Record::Step(step) => {
                if !self.held.turns.contains(&step.turn) {
                    self.tell(kind, &format!("turn {} is not there", step.turn), tell);
                }
                self.held.steps.insert((step.turn, step.number));
            }
            Record::Call(call) if !self.held.steps.contains(&(call.turn, call.step)) => {
                self.tell(kind, &format!("step {} of turn {} is not there", call.step, call.turn), tell);
            }
            Record::Conversation(conversation) => {
                self.held.conversations.insert(conversation.id);
            }
            Record::Message(message) => {
                self.needs_conversation(kind, message.conversation_id, tell);
                if let Some(slot) = message.slot
                    && !self.held.turns.contains(&slot)
                {
                    self.tell(kind, &format!("turn {slot}, behind which it stands, is not there"), tell);
                }
                if let Some(sequence) = message.sequence
                    && !self.held.sequences.insert((message.conversation_id, sequence))
                {
                    self.tell(kind, &format!("two have the place {sequence} in conversation {}", message.conversation_id), tell);
                }
            }
            Record::Summary(summary) => self.needs_conversation(kind, summary.conversation_id, tell),
            Record::Graph(graph) => self.held.graph = Some((**graph).clone()),
            Record::Entity(entity) => {
                self.in_graph(kind, entity.number, tell);
                self.held.entities.insert(entity.number);
            }
            Record::Observation(observation) => {
                self.in_graph(kind, observation.number, tell);
                self.held.observations += 1;
                self.needs_entity(kind, observation.entity, tell);
            }
            Record::Relation(relation) => {
                self.in_graph(kind, relation.number, tell);
                self.held.relations += 1;
                self.needs_entity(kind, relation.source, tell);
                self.needs_entity(kind, relation.target, tell);
            }
            Record::TodoList(list) => {
                self.held.items = Some(list.items);
                self.held.last_item = list.last_id;
            }
            Record::Todo(todo) => {
                if self.held.items.is_none() {
                    self.tell(kind, "its list is missing", tell);
                } else if todo.id > self.held.last_item {
                    self.tell(kind, &format!("item {} has a number that the list has not given out yet", todo.id), tell);
                }
                self.held.todos.insert(todo.id);
                self.held.parents.extend(todo.parent_id.map(|parent| (todo.id, parent)));
            }
            Record::ScheduleList(list) => self.held.last_schedule = Some(list.last_id),
            Record::Schedule(schedule) => match self.held.last_schedule {
                None => self.tell(kind, "its list is missing", tell),
                Some(last) if schedule.id > last => {
                    self.tell(kind, &format!("schedule {} has a number that was not given out yet", schedule.id), tell);
                }
                Some(_last) => {}
            },
            _ => {}
        }
    }

    fn needs_conversation(&self, kind: Kind, id: ConversationId, tell: &mut impl FnMut(Fault)) {
        if !self.held.conversations.contains(&id) {
            self.tell(kind, &format!("conversation {id} is not there"), tell);
        }
    }

    fn needs_entity(&self, kind: Kind, number: i64, tell: &mut impl FnMut(Fault)) {
        if !self.held.entities.contains(&number) {
            self.tell(kind, &format!("entity {number} is not there"), tell);
        }
    }

    fn in_graph(&self, kind: Kind, number: i64, tell: &mut impl FnMut(Fault)) {
        match &self.held.graph {
            None => self.tell(kind, "its graph is missing", tell),
            Some(graph) if number > graph.last_item => {
                self.tell(kind, &format!("number {number} was not given out by the graph yet"), tell);
            }
            Some(_graph) => {}
        }
    }

    /// What no two people may have.
    fn unique(&mut self, record: &Record, tell: &mut impl FnMut(Fault)) {
        let kind = record.kind();
        match record {
            Record::Person(person) => {
                if let Some(phone) = &person.phone {
                    self.alone(kind, "phone", phone.as_str(), "another person has the same number", tell);
                }
                self.alone(kind, "username", &person.username, "another person has the same user name", tell);
            }
            Record::Token(token) => self.alone(kind, "token", &token.hash, "another token is the same", tell),
            Record::Turn(turn) => self.alone(kind, "turn", &turn.id.to_string(), "another turn has the same id", tell),
            Record::Outbound(outbound) => {
                self.alone(kind, "outbound", &outbound.id.to_string(), "another message has the same id", tell);
            }
            Record::Receipt(receipt) => {
                let key = format!("{}\0{}", receipt.door, receipt.key);
                self.alone(kind, "receipt", &key, "another person has one for the same message", tell);
            }
            _ => {}
        }
    }

    fn alone(&mut self, kind: Kind, namespace: &str, value: &str, otherwise: &str, tell: &mut impl FnMut(Fault)) {
        let mut digest = Sha256::new();
        digest.update(namespace.as_bytes());
        digest.update([0]);
        digest.update(value.as_bytes());
        let mut short = [0; 16];
        for (to, from) in short.iter_mut().zip(digest.finalize()) {
            *to = from;
        }
        if !self.unique.insert(short) {
            self.tell(kind, otherwise, tell);
        }
    }

    fn tell(&self, kind: Kind, fault: &str, tell: &mut impl FnMut(Fault)) {
        tell(Fault { kind: kind.as_str(), user: self.of.map(|user| user.to_string()), fault: fault.to_owned() });
    }
}
