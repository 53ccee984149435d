//! Making one person of two, on a server that may have no transactions.
//!
//! 1. Whether it is allowed is found out first, and nothing changed where it is not.
//! 2. The head of who goes is **marked**: from then on every unit of theirs is refused, so what they have stands still.
//! 3. One unit of who stays takes over everything: what was decided about stands in the head and what it stages, the rest changes its
//!    owner ([`What::Hand`]), and the last that is staged is that the other head goes. This is the commit.
//! 4. A number that is taken over is taken when the other head is gone, for no two heads may have it.
//!
//! A process that dies behind 2 is made up for by the same call again. One that dies behind 3 has done it; whoever comes next applies
//! what is staged, and the same call again finishes 4.

mod holdings;
mod threads;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};

use self::holdings::Found;
use super::MongoStore;
use super::fault;
use super::fields::object_id;
use super::head::Head;
use super::lists::List;
use super::names::Place;
use super::shapes;
use super::staged::{What, Write};
use super::state::{Draft, State, Thread, Word};
use super::unit::Apply;
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::phone::PhoneNumber;
use crate::store::merging::{more_careful, refuse_open_work, unite};
use crate::store::record::Record;
use crate::store::{Double, DoubleConversation, MergeLimits, Merged, Merging, StoreError, StoreResult};

/// Why what waited for the word `MORE` does not come.
const MERGED: &str = "the account became part of another";

#[async_trait]
impl Merging for MongoStore {
    async fn list_doubles(&self) -> StoreResult<Vec<Double>> {
        self.find_doubles().await
    }

    async fn adopt_double(&self, account: UserId) -> StoreResult<()> {
        if self.person_of_account(account).await? { Ok(()) } else { Err(StoreError::NotFound { what: "the account" }) }
    }

    async fn list_double_conversations(&self, reuse_days: u32) -> StoreResult<Vec<DoubleConversation>> {
        self.find_double_conversations((reuse_days > 0).then(|| i64::from(reuse_days) * 86_400_000)).await
    }

    async fn merge_conversations(&self, user_id: UserId, from: ConversationId, into: ConversationId) -> StoreResult<()> {
        self.join_conversations(user_id, from, into).await
    }

    async fn merge_people(&self, from: UserId, into: UserId, limits: MergeLimits) -> StoreResult<Merged> {
        let missing = || StoreError::NotFound { what: "the person" };
        let taken = self.finish_taking(into).await?;
        if from != into && taken.is_some() && self.load(from).await?.is_none() {
            return Ok(Merged { taken, ..Merged::default() });
        }
        self.settle(from).await?;
        self.settle(into).await?;
        let one = self.load(from).await?.ok_or_else(missing)?;
        let other = self.load(into).await?.ok_or_else(missing)?;
        if one.state.merging_into.is_some_and(|other| other != into) {
            let reason = "a merge of that account into another one was begun; finish that first".to_owned();
            return Err(StoreError::Conflict { reason });
        }
        self.check_merge(&one, &other, &limits).await?;
        self.mark_as_merging(from, into).await?;
        let merged = match self.take_over_from(from, into, &limits).await {
            // What was allowed a moment ago is no more.
            Err(error @ StoreError::Conflict { .. }) => {
                self.change(from, Apply::Now, |draft| {
                    draft.state.merging_into = None;
                    Ok(())
                })
                .await?;
                return Err(error);
            }
            other => other?,
        };
        self.heads.forget(from);
        let taken = self.finish_taking(into).await?;
        Ok(Merged { taken, ..merged })
    }
}

impl MongoStore {
    /// Whether two may become one, as they are now.
    async fn check_merge(&self, one: &Head, other: &Head, limits: &MergeLimits) -> StoreResult<()> {
        let from = self.holdings(one.user_id, &one.state).await?;
        let into = self.holdings(other.user_id, &other.state).await?;
        unite(&from.holdings, &into.holdings, limits)?;
        refuse_open(&one.state)?;
        let of_both = self.conversations_of(other.user_id, Some(&self.conversations_of(one.user_id, None).await?)).await?;
        if of_both.is_empty() {
            return Ok(());
        }
        let reason = "both accounts have a conversation of the same id; delete it from one of them first".to_owned();
        Err(StoreError::Conflict { reason })
    }

    /// The ids of a person's conversations, or of those among `of`.
    async fn conversations_of(&self, user: UserId, of: Option<&[String]>) -> StoreResult<Vec<String>> {
        let mut filter = doc! { "user": { "$in": either(user) } };
        if let Some(of) = of {
            filter.insert("conversationId", doc! { "$in": of });
        }
        let collection = self.collection(Place::Conversations);
        let found = collection.find(filter).projection(doc! { "conversationId": 1 });
        let found: Vec<Document> = found.await.map_err(fault::unavailable)?.try_collect().await.map_err(fault::unavailable)?;
        Ok(found.iter().filter_map(|document| document.get_str("conversationId").ok().map(str::to_owned)).collect())
    }

    /// Marks a head, so that nothing changes what its person has.
    async fn mark_as_merging(&self, from: UserId, into: UserId) -> StoreResult<()> {
        let marked = self.load(from).await?.is_some_and(|head| head.state.merging_into == Some(into));
        if !marked {
            self.change(from, Apply::Now, |draft| {
                refuse_open(&draft.state)?;
                draft.withdraw(MERGED);
                draft.state.merging_into = Some(into);
                Ok(())
            })
            .await?;
        }
        self.settle(from).await
    }

    /// The unit of who stays.
    async fn take_over_from(&self, from: UserId, into: UserId, limits: &MergeLimits) -> StoreResult<Merged> {
        let missing = || StoreError::NotFound { what: "the person" };
        let mut one = self.load(from).await?.ok_or_else(missing)?;
        Arc::make_mut(&mut one.state).see_credits(self.find_credits(from).await?.as_ref(), self.now());
        let given = self.holdings(from, &one.state).await?;
        let word = match &one.state.person.phone {
            Some(phone) => self.find_word(phone).await?,
            None => None,
        };
        let threads = self.threads_of(from, &one.state).await?;
        let conversations = u64::try_from(self.conversations_of(from, None).await?.len()).unwrap_or(u64::MAX);
        let mut attempts = self.unit(into);
        loop {
            let mut unit = attempts.begin().await?;
            unit.see_credits().await?;
            let kept = self.holdings(into, &unit.draft.state).await?;
            let numbers = unit.draft.state.last_number;
            let mut merged = unit.draft.take_over(&one, &given, &kept, limits)?;
            merged.conversations = conversations;
            merged.opted_out = unit.draft.hear_word_of(&one.state, word);
            for thread in &threads {
                let last_slot = if thread.last_slot > 0 { thread.last_slot + numbers } else { 0 };
                unit.draft.state.keep_thread(Thread { last_slot, ..thread.clone() });
            }
            unit.draft.show_person();
            unit.draft.show_balance();
            unit.draft.hand_over(from, kept.holdings.activity.as_ref().map_or(0, |activity| activity.latest_event), numbers);
            if unit.commit().await? {
                return Ok(merged);
            }
        }
    }

    /// The conversations that somebody used last, as they stand.
    async fn threads_of(&self, user: UserId, state: &State) -> StoreResult<Vec<Thread>> {
        let mut threads = Vec::new();
        for thread in &state.threads {
            threads.extend(self.find_thread(user, thread.id).await?);
        }
        Ok(threads)
    }

    /// Gives somebody the number that they took over, once nobody has it.
    async fn finish_taking(&self, into: UserId) -> StoreResult<Option<PhoneNumber>> {
        let Some(head) = self.load(into).await? else { return Ok(None) };
        let Some(phone) = head.state.taking.clone() else { return Ok(None) };
        self.settle(into).await?;
        let _queue = self.queue_of_phone(&phone).await?;
        // Whoever texted between the two steps is somebody new, and the number theirs.
        let lost = self.load_by_phone(&phone).await?.is_some();
        let word = self.find_word(&phone).await?;
        self.change(into, Apply::Now, |draft| {
            if draft.state.taking.take().is_none() || lost {
                return Ok(());
            }
            draft.state.person.phone = Some(phone.clone());
            draft.state.word = word;
            let set = doc! { "phoneNumber": phone.as_str(), "metadata.phoneNumber": phone.as_str() };
            draft.change(Place::Users, doc! { "_id": object_id(into) }, set);
            Ok(())
        })
        .await?;
        Ok((!lost).then_some(phone))
    }
}

fn refuse_open(state: &State) -> StoreResult<()> {
    refuse_open_work(state.turns.len(), state.outgoing.iter().filter(|message| message.is_open()).count())
}

/// A person's id in every form in which LibreChat's collections may have it.
fn either(user: UserId) -> Bson {
    Bson::Array(vec![user.to_string().into(), object_id(user).into()])
}

impl Draft {
    /// Takes over what is decided about.
    fn take_over(&mut self, one: &Head, given: &Found, kept: &Found, limits: &MergeLimits) -> StoreResult<Merged> {
        let united = unite(&given.holdings, &kept.holdings, limits)?;
        let mut names: HashMap<i64, String> = kept.holdings.entities.iter().map(|entity| (entity.number, entity.name.clone())).collect();
        let mut counted = self.state.lists;
        for record in &united.put {
            match record {
                Record::Entity(entity) => drop(names.insert(entity.number, entity.name.clone())),
                Record::Graph(graph) => counted.graph.last = graph.last_item,
                Record::TodoList(list) => counted.todos.last = list.last_id,
                Record::ScheduleList(list) => counted.schedules.last = list.last_id,
                _ => {}
            }
        }
        let name_of = |number: i64| names.get(&number).cloned().unwrap_or_default();
        for record in &united.put {
            self.put_record(record, &name_of)?;
        }
        for (was, is) in &united.schedules {
            if let Some((_number, document)) = given.schedules.iter().find(|(number, _document)| number == was) {
                self.put_schedule(*is, document.clone());
            }
        }
        for (list, last) in
            [(List::Graph, counted.graph.last), (List::Todos, counted.todos.last), (List::Schedules, counted.schedules.last)]
        {
            self.state.list_changed(list, last);
        }
        self.state.last_number += one.state.last_number;
        self.state.more_threads = true;
        if united.merged.taken.is_some() {
            self.state.taking.clone_from(&united.merged.taken);
        }
        // What they have lies there with versions of their own head: nothing of this one's may seem older.
        self.least_version = one.version + 1;
        Ok(Merged { taken: None, ..united.merged })
    }

    /// Lets this person's number say what the other's said, where that is more careful.
    fn hear_word_of(&mut self, from: &State, word: Option<Word>) -> bool {
        let plain = |word: Option<Word>| word.map(|word| (word.opted_out, word.said_at));
        let said = later(from.word, word);
        let Some(phone) = self.state.person.phone.clone() else { return false };
        let Some((opted_out, said_at)) = more_careful(plain(said), plain(self.state.word)) else { return false };
        let word = Word { opted_out, said_at };
        self.state.word = Some(word);
        let (key, set) = shapes::consent_document(&phone, word);
        self.put(Place::Consents, key, set);
        self.withdraw("the person opted out");
        true
    }

    /// Stages that everything of the other becomes this person's, and that their account goes, the head last. Their events and the
    /// numbers of their turns and messages, by which entries find their places, come behind this person's.
    fn hand_over(&mut self, from: UserId, events: i64, numbers: i64) {
        let into = self.user_id.to_string();
        let mut hand = |place: Place, key: Document, grow: Document| {
            self.writes.add(Write { place, key, what: What::Hand { to: into.clone(), grow } });
        };
        let of_other = || doc! { "user": from.to_string() };
        let there = || doc! { "$exists": true };
        // Whoever has been handed over is not found any more by what comes next.
        for (place, slot) in [(Place::Conversations, "lastSlot"), (Place::Messages, "slot")] {
            let of_other = || doc! { "user": { "$in": either(from) } };
            let mut placed = of_other();
            placed.insert(slot, doc! { "$gt": 0_i64 });
            hand(place, placed, doc! { slot: numbers });
            hand(place, of_other(), Document::new());
        }
        let turns = [
            (doc! { "event": there(), "turn.number": there() }, doc! { "number": numbers, "event": events, "turn.number": numbers }),
            (doc! { "event": there() }, doc! { "number": numbers, "event": events }),
            (doc! { "turn.number": there() }, doc! { "number": numbers, "turn.number": numbers }),
            (Document::new(), doc! { "number": numbers }),
        ];
        for (having, grow) in turns {
            let mut key = of_other();
            key.extend(having);
            hand(Place::Turns, key, grow);
        }
        hand(Place::Outbox, of_other(), doc! { "number": numbers });
        for place in [Place::Receipts, Place::Summaries, Place::Tokens] {
            hand(place, of_other(), Document::new());
        }
        for place in [Place::Memory, Place::Todos, Place::Schedules] {
            self.writes.add(Write { place, key: of_other(), what: What::DeleteAll });
        }
        self.delete(Place::Balances, doc! { "user": object_id(from) });
        self.delete(Place::Users, doc! { "_id": object_id(from) });
        self.delete(Place::Heads, doc! { "_id": object_id(from) });
    }
}

/// Of two words the one that was said later.
fn later(one: Option<Word>, other: Option<Word>) -> Option<Word> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if one.said_at >= other.said_at { one } else { other }),
        (one, other) => one.or(other),
    }
}
