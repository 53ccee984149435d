//! What others do to a conversation that this program continues: somebody goes on with it on LibreChat's pages, deletes a message, or
//! all of it.
//!
//! It is looked at when a text or a run of a schedule is put behind the conversation's last entry, with one question: is that entry
//! still there, and are there rows that have no place among ours? Such rows get places, so that the next prompt holds them and the
//! next text hangs from the last of them. What they say, and what they hang from, stays LibreChat's: a person may have gone several ways
//! there, and of those the newest is followed.

use std::collections::HashMap;
use std::sync::Arc;

use mongodb::bson::{Bson, Document, doc};
use uuid::Uuid;

use super::MongoStore;
use super::fault;
use super::fields::{Fields, document_of, moment};
use super::names::Place;
use super::shapes;
use super::staged::{Staged, What};
use super::state::Draft;
use super::takeover::threads::is_from_person;
use super::unit::Unit;
use crate::domain::ids::{ConversationId, MessageId, UserId};
use crate::domain::time::Timestamp;
use crate::store::StoreResult;

/// Rows that are looked at in one unit at most; the next text takes in more.
const ROWS: i64 = 1_000;

/// A message that somebody wrote on LibreChat's pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: MessageId,
    parent: Option<MessageId>,
    pub(super) from_person: bool,
    /// It tells of a failure, which is no part of what was said.
    failed: bool,
    pub(super) created_at: Timestamp,
}

impl Row {
    /// Reads one; none where its id is no UUID, for then it stays LibreChat's alone.
    fn read(document: &Document, otherwise: Timestamp) -> Option<Self> {
        let id = |name: &str| document.get_str(name).ok().and_then(|id| Uuid::try_parse(id).ok()).map(MessageId::from_uuid);
        let created_at = match document.get("createdAt") {
            Some(Bson::DateTime(date)) => moment(*date),
            _ => otherwise,
        };
        Some(Self {
            id: id("messageId")?,
            parent: id("parentMessageId"),
            from_person: is_from_person(document),
            failed: document.get_bool("error").unwrap_or(false),
            created_at,
        })
    }
}

/// What is there of a conversation's end.
#[derive(Debug, Default)]
struct End {
    /// When its last entry was made, where that is there.
    last: Option<Timestamp>,
    /// What others wrote, in order.
    rows: Vec<Row>,
}

impl MongoStore {
    /// One question of one index: what lies at the place of the last entry, and what has no place, which the server takes for null.
    async fn end_of(&self, user: UserId, id: ConversationId, (slot, entry): (i64, i64)) -> StoreResult<End> {
        let asked = doc! { "user": user.to_string(), "conversationId": id.to_string(), "slot": { "$in": [Bson::Null, Bson::Int64(slot)] } };
        let mut wanted = doc! { "messageId": 1, "parentMessageId": 1, "createdAt": 1, "slot": 1, "entry": 1 };
        wanted.extend(doc! { "isCreatedByUser": 1, "role": 1, "sender": 1, "error": 1 });
        let collection = self.collection(Place::Messages);
        let mut found = collection.find(asked).projection(wanted).limit(ROWS).await.map_err(fault::unavailable)?;
        let mut end = End::default();
        while found.advance().await.map_err(fault::unavailable)? {
            let document = document_of(found.current())?;
            let fields = Fields::new(collection.name(), &document);
            if fields.find_number("slot")?.is_none() {
                end.rows.extend(Row::read(&document, self.now()));
            } else if fields.find_number("entry")? == Some(entry) {
                end.last = Some(fields.find_moment("createdAt")?.unwrap_or(self.now()));
            }
        }
        end.rows.sort_by_key(|row| (row.created_at, row.id));
        Ok(end)
    }

    /// The last entry that is left of a conversation.
    async fn last_left(&self, user: UserId, id: ConversationId) -> StoreResult<Option<MessageId>> {
        let collection = self.collection(Place::Messages);
        let placed = doc! { "user": user.to_string(), "conversationId": id.to_string(), "sequence": { "$exists": true } };
        let found = collection.find_one(placed).sort(doc! { "slot": -1, "entry": -1 }).await.map_err(fault::unavailable)?;
        found.map(|document| Fields::new(collection.name(), &document).id("messageId", MessageId::from_uuid)).transpose()
    }
}

/// Whether a write makes what it is about, where that is missing.
const fn makes(what: &What) -> bool {
    matches!(what, What::Put { .. })
}

/// Whether a write gives a message its place.
fn gives_place(what: &What) -> bool {
    matches!(what, What::Put { set, .. } | What::Change { set, .. } if set.contains_key("slot"))
}

impl Unit<'_> {
    /// Takes in what others did to a conversation that is among the state's; false when they deleted it.
    pub(super) async fn catch_up_with(&mut self, id: ConversationId) -> StoreResult<bool> {
        if self.staged().is_some_and(|pending| !pending.parts.is_empty()) {
            self.apply_staged().await?;
        }
        let user = self.draft.user_id;
        let Some(thread) = self.draft.state.thread(id) else { return Ok(true) };
        let last = thread.last_id;
        let mut end = self.store.end_of(user, id, (thread.last_slot, thread.last_entry)).await?;
        // What is staged may not be there yet: entries of ours, and places for others'.
        let staged = self.staged().map(|pending| pending.writes.0.as_slice()).unwrap_or_default();
        let is_staged = |place: Place, name: &str, value: &str, how: fn(&What) -> bool| {
            let is_it =
                |write: &Arc<Staged>| write.place == place && how(&write.what) && write.key.get_str(name).is_ok_and(|found| found == value);
            staged.iter().any(is_it)
        };
        let has_place = |id: MessageId| is_staged(Place::Messages, "messageId", &id.to_string(), gives_place);
        end.rows.retain(|row| !has_place(row.id));
        let is_new = is_staged(Place::Conversations, "conversationId", &id.to_string(), makes);
        let is_last_new = last.is_none_or(has_place);
        if end.last.is_none() && !is_new {
            if self.store.find_thread(user, id).await?.is_none() {
                return Ok(false);
            }
            if !is_last_new {
                let left = self.store.last_left(user, id).await?;
                if let Some(thread) = self.draft.state.thread_mut(id) {
                    thread.last_id = left;
                }
                self.draft.show_thread(id);
            }
        }
        self.draft.take_in(id, &end);
        Ok(true)
    }
}

impl Draft {
    /// Gives what others wrote places at the end of a conversation.
    fn take_in(&mut self, id: ConversationId, end: &End) {
        let (Some(newest), user) = (end.rows.last(), self.user_id) else { return };
        let Some(thread) = self.state.thread_mut(id) else { return };
        let by_id: HashMap<MessageId, &Row> = end.rows.iter().map(|row| (row.id, row)).collect();
        // The way that leads to the newest of them; a model's other tries at an answer lie beside it.
        let mut way = vec![newest.id];
        let mut from = newest.parent;
        while let Some(row) = from.and_then(|parent| by_id.get(&parent)).filter(|row| !way.contains(&row.id)) {
            way.push(row.id);
            from = row.parent;
        }
        let mut placed = Vec::new();
        for row in &end.rows {
            thread.last_sequence += 1;
            thread.last_entry += 1;
            thread.message_count += 1;
            thread.last_message = thread.last_message.max(row.created_at);
            placed.push(shapes::taken_in(user, row, thread, way.contains(&row.id) && !row.failed));
        }
        // They went on from our last entry, or came back to an earlier one after it.
        if from == thread.last_id || thread.last_id.is_none() || end.last.is_none_or(|last| newest.created_at >= last) {
            thread.last_id = Some(newest.id);
        }
        for (key, set) in placed {
            self.change(Place::Messages, key, set);
        }
        self.show_thread(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::NewPerson;
    use crate::store::mongodb::staged::{Staged, Writes};
    use crate::store::mongodb::state::{State, Thread};

    fn id(number: u128) -> MessageId {
        MessageId::from_uuid(Uuid::from_u128(number))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn row(number: u128, parent: u128, seconds: i64) -> Row {
        Row { id: id(number), parent: Some(id(parent)), from_person: number % 2 == 1, failed: false, created_at: at(seconds) }
    }

    /// A conversation of ours whose last entry has the id 2 and was made in the tenth second; what becomes of it when that is found.
    fn taken(rows: &[Row]) -> (Thread, Vec<(i64, bool)>) {
        let person = NewPerson { id: UserId::from_bytes([7; 12]), email_domain: "example.org".to_owned(), start_credits: None };
        let state = State::new(&person, None, "somebody".to_owned(), at(1));
        let mut draft = Draft { user_id: person.id, now: at(20), state, writes: Writes::default(), least_version: 0 };
        let conversation = ConversationId::from_uuid(Uuid::from_u128(99));
        let mut thread = Thread::new(conversation, "x".to_owned(), "sms".to_owned(), None, at(1));
        (thread.last_sequence, thread.last_id, thread.last_slot, thread.last_entry) = (2, Some(id(2)), 1, 1);
        draft.state.threads.push(thread);
        draft.take_in(conversation, &End { last: Some(at(10)), rows: rows.to_vec() });
        let place = |write: &Arc<Staged>| {
            let What::Change { set, .. } = &write.what else { panic!("{write:?}") };
            assert_eq!(
                (set.get_i64("slot").unwrap(), set.contains_key("parentMessageId")),
                (1, false),
                "what it hangs from is not ours to say"
            );
            (set.get_i64("sequence").unwrap(), set.get_bool("recalled").unwrap())
        };
        let placed = draft.writes.0.iter().filter(|write| write.place == Place::Messages).map(place).collect();
        (draft.state.threads.remove(0), placed)
    }

    #[test]
    fn what_went_on_from_our_last_entry_is_gone_on_from() {
        let (thread, placed) = taken(&[row(3, 2, 11), row(4, 3, 12)]);
        assert_eq!(placed, [(3, true), (4, true)]);
        assert_eq!((thread.last_id, thread.last_sequence, thread.last_entry, thread.message_count), (Some(id(4)), 4, 3, 2));
        assert_eq!(taken(&[]).0.last_id, Some(id(2)));
    }

    #[test]
    fn of_several_tries_at_an_answer_the_newest_is_told_again() {
        let (thread, placed) = taken(&[row(3, 2, 11), row(4, 3, 12), row(6, 3, 13)]);
        assert_eq!(placed, [(3, true), (4, false), (5, true)]);
        assert_eq!(thread.last_id, Some(id(6)));
        let failed = Row { failed: true, ..row(4, 3, 12) };
        assert_eq!(taken(&[row(3, 2, 11), failed]).1, [(3, true), (4, false)]);
    }

    #[test]
    fn what_was_written_beside_our_last_entry_does_not_move_the_end_unless_it_came_later() {
        assert_eq!(taken(&[row(3, 1, 9)]).0.last_id, Some(id(2)), "while we answered");
        assert_eq!(taken(&[row(3, 1, 11)]).0.last_id, Some(id(3)), "they went back and asked anew");
        // A ring of parents ends.
        assert_eq!(taken(&[row(3, 4, 11), row(4, 3, 12)]).0.last_id, Some(id(4)));
    }

    #[test]
    fn a_row_is_read_however_it_was_written_and_only_by_an_id_of_ours() {
        let text = |number: u128| Uuid::from_u128(number).to_string();
        let read = |document: Document| Row::read(&document, at(5));
        let plain = doc! { "messageId": text(3), "parentMessageId": text(2), "isCreatedByUser": true, "createdAt": super::super::fields::date(at(7)) };
        assert_eq!(read(plain), Some(Row { failed: false, ..row(3, 2, 7) }));
        let bare = read(doc! { "messageId": text(4), "parentMessageId": "msg_1", "error": true, "isCreatedByUser": false }).unwrap();
        assert_eq!((bare.parent, bare.failed, bare.created_at), (None, true, at(5)));
        assert_eq!(read(doc! { "messageId": "msg_1" }), None);
    }
}
