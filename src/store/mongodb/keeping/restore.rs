//! Putting records where they belong.
//!
//! A batch is looked at whole before anything of it is written: what would contradict is refused, and nothing of it is there. Then its
//! documents are written, then the heads, and last how far the archive has come. A process that dies between two of these
//! has the same batch given once more, and everything in it stands under a key of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::TryStreamExt as _;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};

use super::bulk::Put;
use super::turns::Past;
use super::{lists, shared, talk, turns, unfit};
use crate::domain::ids::{ConversationId, TurnId, UserId};
use crate::domain::message::Role;
use crate::domain::phone::PhoneNumber;
use crate::domain::turn::TurnState;
use crate::domain::user::Preferences;
use crate::store::mongodb::MongoStore;
use crate::store::mongodb::fault;
use crate::store::mongodb::fields::{Fields, object_id};
use crate::store::mongodb::head::{Head, Pending};
use crate::store::mongodb::lists::{ListHead, key};
use crate::store::mongodb::names::Place;
use crate::store::mongodb::presence::RESTORING;
use crate::store::mongodb::shapes;
use crate::store::mongodb::staged::{Writes, unwritable};
use crate::store::mongodb::state::outgoing::Outgoing;
use crate::store::mongodb::state::words::JsonText;
use crate::store::mongodb::state::{Draft, Person, State, Text, Word};
use crate::store::mongodb::trail::Trail;
use crate::store::record::words::Word as RecordWord;
use crate::store::record::{self, Record};
use crate::store::{StoreError, StoreResult};

/// A person while records are put into their head.
struct Restored {
    /// The head's version; zero: there is none yet.
    version: i64,
    draft: Draft,
}

/// What a batch is put together in.
#[derive(Default)]
struct Bench {
    people: BTreeMap<UserId, Restored>,
    /// Turns that are over, or dead.
    past: HashMap<TurnId, (UserId, Past)>,
    words: HashMap<PhoneNumber, Word>,
    conversations: HashSet<(UserId, ConversationId)>,
    /// Names of entities.
    entities: HashMap<(UserId, i64), String>,
    puts: Vec<Put>,
    /// Rows of messages, by the conversations that list them.
    listed: BTreeMap<(UserId, ConversationId), Vec<ObjectId>>,
    /// Turns that got a text.
    with_texts: BTreeSet<(UserId, TurnId)>,
    /// Turns whose documents are to be written.
    changed: BTreeSet<TurnId>,
}

fn too_early(kind: &str) -> StoreError {
    unfit(kind, "it comes before what it belongs to")
}

impl MongoStore {
    /// Puts a batch where it belongs.
    pub(super) async fn put_records(&self, batch: &[Record], restored: u64) -> StoreResult<()> {
        let meta = self.collection(Place::Meta);
        if meta.find_one(doc! { "_id": RESTORING }).await.map_err(fault::unavailable)?.is_none() {
            return Err(StoreError::Conflict { reason: "no archive is being restored into this store".to_owned() });
        }
        let mut bench = self.bench_for(batch).await?;
        for record in batch {
            bench.put(record, self)?;
        }
        let listed = std::mem::take(&mut bench.listed);
        bench.puts.extend(listed.into_iter().map(|((user, conversation), rows)| talk::listed_put(user, conversation, rows)));
        self.put_all(&bench.puts).await?;
        self.collect_texts(&mut bench).await?;
        self.put_all(&bench.late_puts()?).await?;
        let heads = bench.heads(self)?;
        self.put_all(&heads).await?;
        for user in bench.people.keys() {
            self.heads.forget(*user);
        }
        let reached = doc! { "$set": { "restored": i64::try_from(restored).unwrap_or(i64::MAX) } };
        meta.update_one(doc! { "_id": RESTORING }, reached).await.map_err(fault::unavailable)?;
        Ok(())
    }

    async fn find_in(&self, place: Place, field: &str, values: Vec<Bson>) -> StoreResult<Vec<Document>> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.collection(place).find(doc! { field: { "$in": values } }).await.map_err(fault::unavailable)?;
        found.try_collect().await.map_err(fault::unavailable)
    }

    /// What is there already of all that a batch is about.
    async fn bench_for(&self, batch: &[Record]) -> StoreResult<Bench> {
        let asked = Asked::of(batch);
        let mut bench = Bench::default();
        let now = self.now();
        let heads = self.names.of(Place::Heads);
        for document in self.find_in(Place::Heads, "_id", asked.people.iter().map(|user| object_id(*user).into()).collect()).await? {
            let head = Head::from_document(&heads, &document)?;
            let (user_id, version) = (head.user_id, head.version);
            let draft = Draft::of(&head, now);
            bench.people.insert(user_id, Restored { version, draft });
        }
        let numbers = || asked.phones.iter().map(|phone| Bson::from(phone.as_str())).collect::<Vec<_>>();
        for document in self.find_in(Place::Heads, "phone", numbers()).await? {
            let fields = Fields::new(&heads, &document);
            let (owner, phone) = (fields.user("_id")?, fields.parsed("phone", PhoneNumber::from_stored)?);
            if batch
                .iter()
                .any(|record| matches!(record, Record::Person(person) if person.phone.as_ref() == Some(&phone) && person.user_id != owner))
            {
                return Err(twin());
            }
        }
        let consents = self.names.of(Place::Consents);
        for document in self.find_in(Place::Consents, "_id", numbers()).await? {
            let phone = Fields::new(&consents, &document).parsed("_id", PhoneNumber::from_stored)?;
            bench.words.insert(phone, shapes::word_from(&consents, &document)?);
        }
        let turns = self.names.of(Place::Turns);
        for document in self.find_in(Place::Turns, "_id", texts(&asked.turns)).await? {
            let (user, past) = Past::from_document(&turns, &document)?;
            bench.past.insert(past.turn.id, (user, past));
        }
        let threads = self.names.of(Place::Conversations);
        for document in self.find_in(Place::Conversations, "conversationId", texts(&asked.conversations)).await? {
            let fields = Fields::new(&threads, &document);
            bench.conversations.insert((fields.user("user")?, fields.id("conversationId", ConversationId::from_uuid)?));
        }
        let memory = self.names.of(Place::Memory);
        let keys = asked.entities.iter().map(|(user, number)| format!("{user}/{number}").into()).collect();
        for document in self.find_in(Place::Memory, "_id", keys).await? {
            let fields = Fields::new(&memory, &document);
            if let Some(name) = fields.find_text("name")? {
                bench.entities.insert((fields.user("user")?, fields.number("number")?), name.to_owned());
            }
        }
        Ok(bench)
    }

    /// Gives turns the texts that are stored of them, those of earlier batches as well.
    async fn collect_texts(&self, bench: &mut Bench) -> StoreResult<()> {
        let ids: Vec<TurnId> = bench.with_texts.iter().map(|(_user, turn)| *turn).collect();
        let name = self.names.of(Place::Messages);
        let mut found: HashMap<(UserId, TurnId), Vec<Text>> = HashMap::new();
        for document in self.find_in(Place::Messages, "turnId", texts(&ids)).await? {
            let (message, place) = shapes::message_from(&name, &document)?;
            let of = (message.user_id, message.turn_id);
            if bench.with_texts.contains(&of) {
                found.entry(of).or_default().extend(talk::text(message, &place));
            }
        }
        for ((user, turn), mut texts) in found {
            texts.sort_by_key(|text| text.entry);
            if let Some(open) = bench.open_turn(user, turn) {
                open.texts = texts;
            } else if let Some((_owner, past)) = bench.past.get_mut(&turn).filter(|(owner, _past)| *owner == user) {
                turns::put_texts(past, texts);
                bench.changed.insert(turn);
            }
        }
        Ok(())
    }
}

fn twin() -> StoreError {
    unfit("person", "another person has the same number")
}

fn texts(ids: &[impl ToString]) -> Vec<Bson> {
    ids.iter().map(|id| id.to_string().into()).collect()
}

/// What a batch names.
#[derive(Default)]
struct Asked {
    people: BTreeSet<UserId>,
    phones: Vec<PhoneNumber>,
    turns: Vec<TurnId>,
    conversations: Vec<ConversationId>,
    entities: BTreeSet<(UserId, i64)>,
}

impl Asked {
    fn of(batch: &[Record]) -> Self {
        let mut asked = Self::default();
        for record in batch {
            asked.people.extend(record.user_id());
            match record {
                Record::Person(person) => asked.phones.extend(person.phone.clone()),
                Record::Turn(turn) => asked.turns.push(turn.id),
                Record::Step(step) => asked.turns.push(step.turn),
                Record::Call(call) => asked.turns.push(call.turn),
                Record::Conversation(conversation) => asked.turns.extend(conversation.last_slot),
                Record::Message(message) => {
                    asked.turns.push(message.turn_id);
                    asked.turns.extend(message.slot);
                    asked.conversations.push(message.conversation_id);
                }
                Record::Summary(summary) => asked.conversations.push(summary.conversation_id),
                Record::Observation(observation) => drop(asked.entities.insert((observation.user_id, observation.entity))),
                Record::Relation(relation) => {
                    asked.entities.extend([(relation.user_id, relation.source), (relation.user_id, relation.target)]);
                }
                Record::Schedule(schedule) => asked.turns.extend(schedule.last_turn),
                _ => {}
            }
        }
        asked.turns.sort_unstable();
        asked.turns.dedup();
        asked.conversations.sort_unstable();
        asked.conversations.dedup();
        asked
    }
}

impl Bench {
    fn person(&mut self, kind: &str, user: UserId) -> StoreResult<&mut Draft> {
        self.people.get_mut(&user).map(|restored| &mut restored.draft).ok_or_else(|| too_early(kind))
    }

    fn open_turn(&mut self, user: UserId, id: TurnId) -> Option<&mut crate::store::mongodb::state::Turn> {
        self.people.get_mut(&user)?.draft.state.turns.iter_mut().find(|turn| turn.id == id)
    }

    /// The number of a person's turn.
    fn number(&self, user: UserId, id: TurnId) -> Option<i64> {
        let open = self.people.get(&user).and_then(|person| person.draft.state.turns.iter().find(|turn| turn.id == id));
        open.map(|turn| turn.number)
            .or_else(|| self.past.get(&id).filter(|(owner, _past)| *owner == user).map(|(_owner, past)| past.turn.number))
    }

    /// The number of the turn behind which something lies; zero for none.
    fn slot(&self, kind: &str, user: UserId, turn: Option<TurnId>) -> StoreResult<i64> {
        turn.map_or(Ok(0), |turn| self.number(user, turn).ok_or_else(|| too_early(kind)))
    }

    /// Puts a record where it belongs, as far as that is no document yet.
    fn put(&mut self, record: &Record, store: &MongoStore) -> StoreResult<()> {
        if let Record::Consent(consent) = record {
            // Words come before the people whose heads hold them, maybe in the same batch.
            self.words.insert(consent.phone.clone(), Word { opted_out: consent.opted_out, said_at: consent.said_at });
        }
        match record {
            Record::Person(person) => self.put_person(person, store),
            Record::Activity(activity) => {
                self.person("activity", activity.user_id)?.state.take_activity(activity);
                Ok(())
            }
            Record::Turn(turn) => self.put_turn(turn),
            Record::Step(step) => self.in_turn("step", step.user_id, step.turn, |turn| {
                turns::put_step(turn, step);
                Ok(())
            }),
            Record::Call(call) => self.in_turn("call", call.user_id, call.turn, |turn| turns::put_call(turn, call)),
            Record::Outbound(outbound) => self.put_outbound(outbound),
            Record::Notice(notice) => {
                self.person("notice", notice.user_id)?.state.take_notice(notice);
                Ok(())
            }
            Record::Graph(graph) => {
                self.person("graph", graph.user_id)?.state.lists.graph = ListHead { revision: 1, last: graph.last_item };
                Ok(())
            }
            Record::TodoList(list) => {
                self.person("todoList", list.user_id)?.state.lists.todos = ListHead { revision: 1, last: list.last_id };
                Ok(())
            }
            Record::ScheduleList(list) => {
                self.person("scheduleList", list.user_id)?.state.lists.schedules = ListHead { revision: 1, last: list.last_id };
                Ok(())
            }
            _ => {
                let put = self.document(record)?;
                self.puts.extend(put);
                Ok(())
            }
        }
    }

    /// The document that a record is.
    fn document(&mut self, record: &Record) -> StoreResult<Option<Put>> {
        let kind = record.kind().as_str();
        // A receipt outlives its person.
        if let Some(user) = record.user_id().filter(|_user| !matches!(record, Record::Receipt(_))) {
            self.person(kind, user)?;
        }
        Ok(Some(match record {
            Record::Conversation(conversation) => {
                let (user, slot) = (conversation.user_id, self.slot(kind, conversation.user_id, conversation.last_slot)?);
                self.conversations.insert((user, conversation.id));
                let thread = talk::thread(conversation, slot)?;
                let (key, mut set, insert) = shapes::conversation_document(user, &thread);
                set.extend(insert);
                Put::set(Place::Conversations, key, set)
            }
            Record::Message(message) => {
                let user = message.user_id;
                let slot = self.slot(kind, user, message.slot)?;
                self.in_conversation(kind, user, message.conversation_id)?;
                if message.role == RecordWord(Role::External) {
                    self.with_texts.insert((user, message.turn_id));
                }
                if message.reply
                    && let Some((_owner, past)) = self.past.get_mut(&message.turn_id).filter(|(owner, _past)| *owner == user)
                {
                    past.reply = Some(message.id);
                    self.changed.insert(message.turn_id);
                }
                let (put, row) = talk::message_put(message, slot)?;
                self.listed.entry((user, message.conversation_id)).or_default().push(row);
                put
            }
            Record::Summary(summary) => {
                self.in_conversation(kind, summary.user_id, summary.conversation_id)?;
                talk::summary_put(summary)
            }
            Record::Receipt(receipt) => talk::receipt_put(receipt)?,
            Record::Entity(entity) => {
                self.entities.insert((entity.user_id, entity.number), entity.name.clone());
                self.in_list(kind, entity.user_id, |state| state.lists.graph)?;
                Put::set(Place::Memory, key(entity.user_id, entity.number), lists::entity_fields(entity))
            }
            Record::Observation(observation) => {
                self.entity(kind, observation.user_id, observation.entity)?;
                let key = key(observation.user_id, observation.number);
                Put::set(Place::Memory, key, lists::observation_fields(observation))
            }
            Record::Relation(relation) => {
                let from = self.entity(kind, relation.user_id, relation.source)?;
                let to = self.entity(kind, relation.user_id, relation.target)?;
                let key = key(relation.user_id, relation.number);
                Put::set(Place::Memory, key, lists::relation_fields(relation, &from, &to))
            }
            Record::Todo(todo) => {
                self.in_list(kind, todo.user_id, |state| state.lists.todos)?;
                Put::set(Place::Todos, key(todo.user_id, todo.id), lists::todo_fields(todo))
            }
            Record::Schedule(schedule) => {
                self.in_list(kind, schedule.user_id, |state| state.lists.schedules)?;
                let routed = schedule.last_turn.is_some_and(|turn| self.is_routed(schedule.user_id, turn));
                lists::schedule_put(schedule, routed)?
            }
            other => return shared::put(other),
        }))
    }

    fn is_routed(&self, user: UserId, id: TurnId) -> bool {
        let open = self.people.get(&user).and_then(|person| person.draft.state.turns.iter().find(|turn| turn.id == id));
        open.or_else(|| self.past.get(&id).map(|(_owner, past)| &past.turn)).is_some_and(|turn| turn.route.is_some())
    }

    fn in_conversation(&self, kind: &str, user: UserId, id: ConversationId) -> StoreResult<()> {
        if self.conversations.contains(&(user, id)) { Ok(()) } else { Err(too_early(kind)) }
    }

    fn in_list(&mut self, kind: &str, user: UserId, list: impl Fn(&State) -> ListHead) -> StoreResult<()> {
        if list(&self.person(kind, user)?.state).revision > 0 { Ok(()) } else { Err(too_early(kind)) }
    }

    fn entity(&self, kind: &str, user: UserId, number: i64) -> StoreResult<String> {
        self.entities.get(&(user, number)).cloned().ok_or_else(|| too_early(kind))
    }

    fn put_person(&mut self, record: &record::Person, store: &MongoStore) -> StoreResult<()> {
        let user_id = record.user_id;
        let same_number = |restored: &Restored| restored.draft.state.person.phone == record.phone && record.phone.is_some();
        if self.people.iter().any(|(user, restored)| *user != user_id && same_number(restored)) {
            return Err(twin());
        }
        if record.erased_at.is_some() {
            return Err(unfit("person", "it is being erased"));
        }
        let wrong = |error: &dyn std::fmt::Display| unfit("person", error);
        let agent_id = record.preferred_agent.as_deref().map(str::parse).transpose().map_err(|error| wrong(&error))?;
        let quiet_hours = record.quiet_hours.as_deref().map(str::parse).transpose().map_err(|error| wrong(&error))?;
        let person = Person {
            phone: record.phone.clone(),
            email: record.email.clone(),
            name: record.name.clone(),
            username: record.username.clone(),
            provider: record.provider.clone(),
            role: record.role.clone(),
            email_verified: record.email_verified,
            preferences: Preferences {
                endpoint: record.preferred_endpoint.clone(),
                default_model: record.preferred_model.clone(),
                agent_id,
                time_zone: record.time_zone.clone(),
                quiet_hours,
            },
            caller_metadata: JsonText::parse(record.caller_metadata.get().to_owned()).map_err(|error| wrong(&error))?,
            blocked: record.blocked,
            first_contact: record.first_contact,
            created_at: record.created_at,
            updated_at: record.updated_at,
        };
        let word = record.phone.as_ref().and_then(|phone| self.words.get(phone)).copied();
        let now = store.now();
        let restored = self.people.entry(user_id).or_insert_with(|| Restored {
            version: 0,
            draft: Draft { user_id, now, state: State::of(person.clone(), record.created_at), writes: Writes::default(), least_version: 0 },
        });
        restored.draft.state.person = person;
        restored.draft.state.word = word;
        // Their conversations are read when they are needed.
        restored.draft.state.more_threads = true;
        Ok(())
    }

    fn put_turn(&mut self, record: &record::Turn) -> StoreResult<()> {
        let user = record.user_id;
        if self.past.get(&record.id).is_some_and(|(owner, _past)| *owner != user) {
            return Err(unfit("turn", "another person has one of the same id"));
        }
        let mut restored = turns::turn(record)?;
        let state = &mut self.person("turn", user)?.state;
        state.last_number = state.last_number.max(record.number);
        let place = state.turns.iter().position(|turn| turn.id == record.id);
        // Repeated, it keeps what has come since: its steps, texts and reply.
        if matches!(restored.state, TurnState::Open | TurnState::Begun) {
            if let Some(before) = place.map(|place| state.turns.remove(place)) {
                restored.turn.steps = before.steps;
                restored.turn.texts = before.texts;
            }
            let place = state.turns.partition_point(|turn| turn.number < record.number);
            state.turns.insert(place, restored.turn);
            return Ok(());
        }
        if let Some((_owner, before)) = self.past.remove(&record.id) {
            restored.turn.steps = before.turn.steps;
            restored.turn.texts = before.turn.texts;
            restored.reply = before.reply;
            restored.text_ids = before.text_ids;
        }
        self.changed.insert(record.id);
        self.past.insert(record.id, (user, restored));
        Ok(())
    }

    fn in_turn(
        &mut self,
        kind: &str,
        user: UserId,
        id: TurnId,
        put: impl FnOnce(&mut crate::store::mongodb::state::Turn) -> StoreResult<()>,
    ) -> StoreResult<()> {
        if let Some(turn) = self.open_turn(user, id) {
            return put(turn);
        }
        let (_owner, past) = self.past.get_mut(&id).filter(|(owner, _past)| *owner == user).ok_or_else(|| too_early(kind))?;
        self.changed.insert(id);
        put(&mut past.turn)
    }

    fn put_outbound(&mut self, record: &record::Outbound) -> StoreResult<()> {
        let message: Outgoing = turns::outgoing(record);
        let state = &mut self.person("outbound", record.user_id)?.state;
        state.last_number = state.last_number.max(record.number);
        if message.is_over() {
            let (key, set) = shapes::outbox_document(record.user_id, &message);
            self.puts.push(Put::set(Place::Outbox, key, set));
            return Ok(());
        }
        state.outgoing.retain(|other| other.id != message.id);
        let place = state.outgoing.partition_point(|other| other.number < message.number);
        state.outgoing.insert(place, message);
        Ok(())
    }

    /// What is written behind the other documents: turns, and people as LibreChat has them.
    fn late_puts(&self) -> StoreResult<Vec<Put>> {
        let mut puts = Vec::new();
        for id in &self.changed {
            if let Some((user, past)) = self.past.get(id) {
                let (key, set) = past.document(*user)?;
                puts.push(Put::set(Place::Turns, key, set));
            }
        }
        for (user, restored) in &self.people {
            let state = &restored.draft.state;
            let (key, mut set, insert) = shapes::user_document(*user, state);
            set.extend(insert);
            puts.push(Put::set(Place::Users, key, set));
            if let Some(balance) = state.balance {
                let (key, set) = shapes::balance_document(*user, balance);
                puts.push(Put::set(Place::Balances, key, set));
            }
        }
        Ok(puts)
    }

    /// The people's heads, each with its lanes as they are when nobody holds them.
    fn heads(&mut self, store: &MongoStore) -> StoreResult<Vec<Put>> {
        let mut puts = Vec::new();
        for (user_id, restored) in &mut self.people {
            let draft = &mut restored.draft;
            draft.refresh_turns();
            draft.refresh_deliveries();
            let (version, unit) = (restored.version + 1, store.clock.uuid());
            let (trail, pending) = (Trail::default(), Pending::default());
            let head = Head { user_id: *user_id, version, unit, trail, state: Arc::new(draft.state.clone()), pending };
            let document = Document::try_from(head.document(None, Vec::new())?).map_err(unwritable)?;
            puts.push(Put::whole(Place::Heads, doc! { "_id": object_id(*user_id) }, document));
        }
        Ok(puts)
    }
}
