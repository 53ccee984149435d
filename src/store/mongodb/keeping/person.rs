//! Everything of one person as records, as of one moment.
//!
//! A person's head has a version that grows with every unit. It is read first, with everything applied that was staged for it, and once
//! more at the end: the same version twice means that no unit came between, so that what was read is what stood there at one
//! moment. Else it is read again. What is changed without a unit is one field of one document (a carrier's word on a message, a title that
//! LibreChat gives), which is as it was at some moment meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::TryStreamExt as _;
use futures::future::try_join_all;
use mongodb::bson::{Bson, Document, doc};

use super::lists::{graph_records, schedule_records, todo_records};
use super::shared::token_record;
use super::talk::{Turns, conversation_record, message_record, receipt_record, summary_record};
use super::turns::{Past, open, outbound_record, records};
use super::{count, moved, unwritten};
use crate::domain::delivery::ReplyRoute;
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::ledger::Credits;
use crate::domain::user::Preferences;
use crate::store::StoreResult;
use crate::store::mongodb::MongoStore;
use crate::store::mongodb::fault;
use crate::store::mongodb::fields::{Fields, object_id};
use crate::store::mongodb::head::Head;
use crate::store::mongodb::names::Place;
use crate::store::mongodb::shapes;
use crate::store::mongodb::state::{Given, Outgoing, State};
use crate::store::record::words::Raw;
use crate::store::record::{self, Record};

/// How often somebody is read again who was changed meanwhile.
const ATTEMPTS: u32 = 30;

/// Where something of a person lies.
const PLACES: [Place; 10] = [
    Place::Turns,
    Place::Conversations,
    Place::Messages,
    Place::Summaries,
    Place::Outbox,
    Place::Receipts,
    Place::Memory,
    Place::Todos,
    Place::Schedules,
    Place::Tokens,
];

/// What lies in the collections of a group of people: a row of documents for each of [`PLACES`], by person.
type Found = HashMap<UserId, [Vec<Document>; PLACES.len()]>;

impl MongoStore {
    /// All of a person, in the order of records. Of somebody who is nobody (any more) there may be receipts.
    pub(super) async fn records_of(&self, user: UserId) -> StoreResult<Vec<Record>> {
        let mut made = 0;
        while made < ATTEMPTS {
            self.wait_before(made).await?;
            made += 1;
            let Some(head) = self.load_settled(user).await? else { return self.receipts_of(user).await };
            if let Some(records) = self.records_of_all(vec![head]).await?.pop().and_then(|(_user, records)| records) {
                return Ok(records);
            }
        }
        Err(moved(user))
    }

    /// All of each of these people, whose heads have nothing staged; none of whoever was changed meanwhile.
    pub(super) async fn records_of_all(&self, heads: Vec<Head>) -> StoreResult<Vec<(UserId, Option<Vec<Record>>)>> {
        let users: Vec<UserId> = heads.iter().map(|head| head.user_id).collect();
        let mut found = self.documents_of(&users).await?;
        let versions = self.versions(&users).await?;
        let mut all = Vec::with_capacity(heads.len());
        let credits = self.credits_of(&users).await?;
        for mut head in heads {
            let user = head.user_id;
            // What nobody counts is not told of either.
            if head.state.balance.is_some() {
                Arc::make_mut(&mut head.state).see_credits(credits.get(&user), self.now());
            }
            let records = if versions.get(&user) == Some(&head.version) {
                let mut records = self.read_person(&head, &found.remove(&user).unwrap_or_default())?;
                records.sort_by_cached_key(Record::place);
                Some(records)
            } else {
                None
            };
            all.push((user, records));
        }
        Ok(all)
    }

    /// The versions of heads.
    async fn versions(&self, users: &[UserId]) -> StoreResult<HashMap<UserId, i64>> {
        let ids: Vec<Bson> = users.iter().map(|user| object_id(*user).into()).collect();
        let heads = self.collection(Place::Heads);
        let found = heads.find(doc! { "_id": { "$in": ids } }).projection(doc! { "version": 1 }).await.map_err(fault::unavailable)?;
        let found: Vec<Document> = found.try_collect().await.map_err(fault::unavailable)?;
        let version = |document: &Document| {
            let fields = Fields::new(heads.name(), document);
            Ok((fields.user("_id")?, fields.number("version")?))
        };
        found.iter().map(version).collect()
    }

    async fn receipts_of(&self, user: UserId) -> StoreResult<Vec<Record>> {
        let found = self.all_of(Place::Receipts, &[user]).await?;
        let name = self.names.of(Place::Receipts);
        let mut records = found.iter().map(|document| receipt_record(&name, document)).collect::<StoreResult<Vec<_>>>()?;
        records.sort_by_cached_key(Record::place);
        Ok(records)
    }

    /// The documents of people in a collection; of LibreChat's collections those that are ours.
    async fn all_of(&self, place: Place, users: &[UserId]) -> StoreResult<Vec<Document>> {
        let users: Vec<String> = users.iter().map(ToString::to_string).collect();
        let mut filter = doc! { "user": { "$in": users } };
        match place {
            Place::Conversations => drop(filter.insert("metadata.lastMessage", doc! { "$exists": true })),
            Place::Messages => drop(filter.insert("slot", doc! { "$exists": true })),
            _ => {}
        }
        let found = self.collection(place).find(filter).await.map_err(fault::unavailable)?;
        found.try_collect().await.map_err(fault::unavailable)
    }

    async fn documents_of(&self, users: &[UserId]) -> StoreResult<Found> {
        let mut found = Found::new();
        let all = try_join_all(PLACES.map(|place| self.all_of(place, users))).await?;
        for (number, (place, documents)) in PLACES.into_iter().zip(all).enumerate() {
            let name = self.names.of(place);
            for document in documents {
                let user = Fields::new(&name, &document).user("user")?;
                if let Some(of_place) = found.entry(user).or_default().get_mut(number) {
                    of_place.push(document);
                }
            }
        }
        Ok(found)
    }

    fn read_person(&self, head: &Head, found: &[Vec<Document>; PLACES.len()]) -> StoreResult<Vec<Record>> {
        let (user, state) = (head.user_id, &head.state);
        let [past, threads, messages, summaries, outbox, receipts, graph, todos, schedules, tokens] = found;
        let name = |place: Place| self.names.of(place);
        let mut out = vec![Record::Person(Box::new(person_record(user, state)?)), Record::Activity(Box::new(activity_record(user, state)))];

        let known = turns(user, state, &name(Place::Turns), past, &mut out)?;
        let mut conversations: HashSet<ConversationId> = HashSet::new();
        for document in threads {
            let thread = shapes::thread_from(&name(Place::Conversations), document)?;
            conversations.insert(thread.id);
            out.push(conversation_record(&known, user, thread));
        }
        // What is left of a conversation that LibreChat deleted is in none.
        for document in messages {
            let record = message_record(&known, &name(Place::Messages), document)?;
            if matches!(&record, Record::Message(message) if conversations.contains(&message.conversation_id)) {
                out.push(record);
            }
        }
        for document in summaries {
            let summary = summary_record(&name(Place::Summaries), document)?;
            if conversations.contains(&summary.conversation_id) {
                out.push(Record::Summary(Box::new(summary)));
            }
        }
        outgoing(user, state, &name(Place::Outbox), outbox, &mut out)?;
        for document in receipts {
            out.push(receipt_record(&name(Place::Receipts), document)?);
        }
        out.extend(notice_records(user, state).map(|notice| Record::Notice(Box::new(notice))));
        let lists = state.lists;
        if lists.graph.revision > 0 {
            graph_records(user, lists.graph, &name(Place::Memory), graph, &mut out)?;
        }
        if lists.todos.revision > 0 {
            todo_records(user, lists.todos, &name(Place::Todos), todos, &mut out)?;
        }
        if lists.schedules.revision > 0 {
            schedule_records(user, lists.schedules, &name(Place::Schedules), schedules, &mut out)?;
        }
        for document in tokens {
            out.push(token_record(&name(Place::Tokens), document)?);
        }
        Ok(out)
    }
}

/// All turns, each with its own count; and what places in conversations are told by.
fn turns(user: UserId, state: &State, collection: &str, past: &[Document], out: &mut Vec<Record>) -> StoreResult<Turns> {
    let mut all: Vec<Past> = state.turns.iter().cloned().map(open).collect();
    for document in past {
        let (_owner, turn) = Past::from_document(collection, document)?;
        if !all.iter().any(|other| other.turn.id == turn.turn.id) {
            all.push(turn);
        }
    }
    all.sort_by_key(|past| past.turn.number);
    let mut known = Turns::default();
    for (number, past) in (1..).zip(&all) {
        known.ids.insert(past.turn.number, past.turn.id);
        known.replies.extend(past.reply.map(|reply| (past.turn.id, reply)));
        records(user, number, past, out)?;
    }
    Ok(known)
}

fn outgoing(user: UserId, state: &State, collection: &str, past: &[Document], out: &mut Vec<Record>) -> StoreResult<()> {
    let mut all: Vec<Outgoing> = state.outgoing.clone();
    let open: HashSet<_> = all.iter().map(|message| message.id).collect();
    for document in past {
        let (_owner, message) = shapes::outgoing_from(collection, document)?;
        if !open.contains(&message.id) {
            all.push(message);
        }
    }
    all.sort_by_key(|message| message.number);
    out.extend((1..).zip(&all).map(|(number, message)| outbound_record(user, number, message)));
    Ok(())
}

pub(in crate::store::mongodb) fn person_record(user_id: UserId, state: &State) -> StoreResult<record::Person> {
    let person = &state.person;
    let Preferences { endpoint, default_model, agent_id, time_zone, quiet_hours } = person.preferences.clone();
    Ok(record::Person {
        user_id,
        email: person.email.clone(),
        name: person.name.clone(),
        username: person.username.clone(),
        provider: person.provider.clone(),
        role: person.role.clone(),
        email_verified: person.email_verified,
        caller_metadata: Raw::parse(person.caller_metadata.text().to_owned()).map_err(unwritten)?,
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

pub(in crate::store::mongodb) fn activity_record(user_id: UserId, state: &State) -> record::Activity {
    let (route_gateway, route_from) = state.route.clone().map(|route| (route.gateway, route.from)).unzip();
    record::Activity {
        user_id,
        last_sms: state.last_sms,
        message_count: state.message_count,
        latest_event: state.latest_event,
        turns_today: state.turns_today.into(),
        balance: state.balance.map(|Credits(credits)| credits),
        refilled_at: state.refilled_at,
        turns_day: state.turns_day.clone(),
        route_gateway,
        route_from,
    }
}

pub(in crate::store::mongodb) fn notice_records(user_id: UserId, state: &State) -> impl Iterator<Item = record::Notice> {
    state.notices.iter().map(move |notice| record::Notice { user_id, key: notice.key.clone(), given_at: notice.at })
}

impl State {
    /// Takes over a person's figures.
    pub(in crate::store::mongodb) fn take_activity(&mut self, activity: &record::Activity) {
        self.last_sms = activity.last_sms;
        self.message_count = activity.message_count;
        self.latest_event = activity.latest_event;
        self.turns_today = count(activity.turns_today);
        self.turns_day.clone_from(&activity.turns_day);
        self.balance = activity.balance.map(Credits);
        self.refilled_at = activity.refilled_at;
        let route = activity.route_gateway.clone().zip(activity.route_from.clone());
        self.route = route.map(|(gateway, from)| ReplyRoute { gateway, from });
    }

    /// Takes over a notice; they stand in the order in which they were given.
    pub(in crate::store::mongodb) fn take_notice(&mut self, notice: &record::Notice) {
        self.notices.retain(|given| given.key != notice.key);
        let place = self.notices.partition_point(|given| given.at <= notice.given_at);
        self.notices.insert(place, Given { key: notice.key.clone(), at: notice.given_at });
    }
}
