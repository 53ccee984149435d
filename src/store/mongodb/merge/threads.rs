//! Conversations that an earlier program began beside one that went on: they become one, in the order in which things were said.
//!
//! One unit does it, so it happens whole or not at all; whoever finds it staged applies it.

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};

use crate::domain::ids::{ConversationId, MessageId, UserId};
use crate::domain::time::Timestamp;
use crate::store::mongodb::MongoStore;
use crate::store::mongodb::fault;
use crate::store::mongodb::fields::Fields;
use crate::store::mongodb::names::Place;
use crate::store::mongodb::shapes;
use crate::store::mongodb::staged::{SEARCHED, What, Write};
use crate::store::mongodb::state::Draft;
use crate::store::mongodb::unit::Unit;
use crate::store::{DoubleConversation, StoreError, StoreResult};

/// How an earlier program, and this one, say that a conversation is by phone.
const SOURCE: &str = "sms";

const CONVERSATION: &str = "the conversation";

/// An open conversation, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    id: ConversationId,
    begun: Timestamp,
    last: Timestamp,
}

/// A message of one of the two.
#[derive(Debug)]
struct Entry {
    row: Bson,
    message: String,
    /// Its own id, where that is one that others can hang from; it has a place then.
    id: Option<MessageId>,
    said: (Timestamp, i64, i64),
}

/// Of one person's open conversations those that were begun while another went on, each with the one of its time that was used last.
fn doubles(user_id: UserId, mut open: Vec<Open>, reuse_millis: Option<i64>) -> Vec<DoubleConversation> {
    open.sort_by_key(|conversation| (conversation.begun, conversation.id));
    let mut found = Vec::new();
    let mut group: Vec<Open> = Vec::new();
    let mut end = |group: &mut Vec<Open>| {
        let kept = group.iter().max_by_key(|conversation| (conversation.last, conversation.id)).map(|conversation| conversation.id);
        for other in group.drain(..) {
            if let Some(into) = kept.filter(|kept| *kept != other.id) {
                found.push(DoubleConversation { user_id, conversation: other.id, into });
            }
        }
    };
    for conversation in open {
        let goes_on = group.iter().map(|other| other.last.as_millis()).max().is_some_and(|last| {
            let fresh_until = reuse_millis.map_or(i64::MAX, |millis| last.saturating_add(millis));
            conversation.begun.as_millis() <= fresh_until
        });
        if !goes_on {
            end(&mut group);
        }
        group.push(conversation);
    }
    end(&mut group);
    found
}

impl MongoStore {
    /// Conversations that were begun while another of the same person went on.
    pub(super) async fn find_double_conversations(&self, reuse_millis: Option<i64>) -> StoreResult<Vec<DoubleConversation>> {
        let collection = self.collection(Place::Conversations);
        let open = doc! { "metadata.source": SOURCE, "closed": false, "metadata.lastMessage": { "$exists": true } };
        let wanted = doc! { "user": 1, "conversationId": 1, "createdAt": 1, "metadata.lastMessage": 1 };
        let by_person = doc! { "user": 1, "metadata.lastMessage": -1, "conversationId": -1 };
        let mut rows = collection.find(open).projection(wanted).sort(by_person).await.map_err(fault::unavailable)?;
        let mut found = Vec::new();
        let mut person: Option<(UserId, Vec<Open>)> = None;
        while let Some(row) = rows.try_next().await.map_err(fault::unavailable)? {
            let fields = Fields::new(collection.name(), &row);
            // One that is not written as ours are is LibreChat's alone.
            let (Ok(user), Ok(id)) = (fields.user("user"), fields.id("conversationId", ConversationId::from_uuid)) else { continue };
            let last = fields.moment("metadata.lastMessage")?;
            let conversation = Open { id, begun: fields.find_moment("createdAt")?.unwrap_or(last), last };
            match &mut person {
                Some((same, open)) if *same == user => open.push(conversation),
                _ => {
                    if let Some((user, open)) = person.replace((user, vec![conversation])) {
                        found.extend(doubles(user, open, reuse_millis));
                    }
                }
            }
        }
        if let Some((user, open)) = person {
            found.extend(doubles(user, open, reuse_millis));
        }
        Ok(found)
    }

    /// Makes one conversation a part of another of the same person.
    pub(super) async fn join_conversations(&self, user: UserId, from: ConversationId, into: ConversationId) -> StoreResult<()> {
        if from == into {
            return Err(StoreError::Conflict { reason: "both are the same conversation".to_owned() });
        }
        let mut attempts = self.unit(user);
        loop {
            let mut unit = attempts.begin().await?;
            unit.join(from, into).await?;
            if unit.commit().await? {
                return Ok(());
            }
        }
    }

    /// The messages of both, in the order in which they were said.
    async fn entries_of(&self, user: UserId, both: [ConversationId; 2]) -> StoreResult<Vec<Entry>> {
        let collection = self.collection(Place::Messages);
        let of_both = doc! { "user": user.to_string(), "conversationId": { "$in": both.map(|id| id.to_string()).to_vec() } };
        let wanted = doc! { "messageId": 1, "createdAt": 1, "slot": 1, "entry": 1 };
        let mut rows = collection.find(of_both).projection(wanted).await.map_err(fault::unavailable)?;
        let mut entries = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(fault::unavailable)? {
            let fields = Fields::new(collection.name(), &row);
            let slot = fields.find_number("slot")?;
            let message = fields.text("messageId")?.to_owned();
            let said = fields.find_moment("createdAt")?.unwrap_or(Timestamp::from_millis(0));
            entries.push(Entry {
                row: row.get("_id").cloned().unwrap_or(Bson::Null),
                id: slot.and_then(|_placed| message.parse().ok()),
                message,
                said: (said, slot.unwrap_or(0), fields.find_number("entry")?.unwrap_or(0)),
            });
        }
        entries.sort_by_key(|entry| entry.said);
        Ok(entries)
    }
}

impl Unit<'_> {
    async fn join(&mut self, from: ConversationId, into: ConversationId) -> StoreResult<()> {
        let user = self.draft.user_id;
        let missing = || StoreError::NotFound { what: CONVERSATION };
        if self.draft.state.turns.iter().any(|turn| [from, into].contains(&turn.conversation_id)) {
            let reason = "a text in one of the conversations waits for its answer; try again when it has it".to_owned();
            return Err(StoreError::Conflict { reason });
        }
        let gone = self.store.find_thread(user, from).await?.ok_or_else(missing)?;
        let kept = self.store.find_thread(user, into).await?.ok_or_else(missing)?;
        let entries = self.store.entries_of(user, [from, into]).await?;
        self.draft.state.keep_thread(kept);
        self.draft.join_entries(into, &entries);
        self.move_to(from, into).await?;
        let draft = &mut self.draft;
        for message in draft.state.outgoing.iter_mut().filter(|message| message.conversation_id == from) {
            message.conversation_id = into;
        }
        draft.state.threads.retain(|thread| thread.id != from);
        let now = draft.now;
        if let Some(thread) = draft.state.thread_mut(into) {
            thread.message_count += gone.message_count;
            thread.last_message = thread.last_message.max(gone.last_message);
            thread.updated_at = now;
            thread.unsummarised = false;
            let (own, other) = (std::mem::take(&mut thread.choice), gone.choice);
            thread.choice = if own == crate::domain::conversation::Choice::default() { other } else { own };
        }
        draft.show_thread(into);
        for id in [from, into] {
            // A summary is of places that are others' now; it is made anew.
            draft.delete_all(Place::Summaries, doc! { "conversationId": id.to_string() });
        }
        draft.delete(Place::Conversations, shapes::conversation_key(user, from));
        Ok(())
    }

    /// Lets what names the one conversation name the other.
    async fn move_to(&mut self, from: ConversationId, into: ConversationId) -> StoreResult<()> {
        let of_it = || doc! { "user": self.draft.user_id.to_string(), "conversationId": from.to_string() };
        let mut moved = Vec::new();
        for place in [Place::Turns, Place::Outbox, Place::Receipts, Place::Schedules] {
            let collection = self.store.collection(place);
            let mut rows = collection.find(of_it()).projection(doc! { "_id": 1 }).await.map_err(fault::unavailable)?;
            while let Some(row) = rows.try_next().await.map_err(fault::unavailable)? {
                moved.push((place, row));
            }
        }
        for (place, key) in moved {
            self.draft.change(place, key, doc! { "conversationId": into.to_string() });
        }
        Ok(())
    }
}

impl Draft {
    /// Gives the messages of both places in one line. The places are numbers of no turn, as when a database is taken over.
    fn join_entries(&mut self, into: ConversationId, entries: &[Entry]) {
        let user = self.user_id.to_string();
        let (mut sequence, mut last, mut slot) = (0_i64, MessageId::ROOT, 0);
        let mut rows = Vec::new();
        for entry in entries {
            let mut set = doc! { "conversationId": into.to_string(), SEARCHED: false };
            if let Some(id) = entry.id {
                sequence += 1;
                slot = self.next_number();
                let parent = std::mem::replace(&mut last, id);
                set.extend(doc! { "sequence": sequence, "slot": slot, "entry": 0_i64, "parentMessageId": parent.to_string() });
            }
            self.change(Place::Messages, doc! { "messageId": &entry.message, "user": &user }, set);
            rows.push(entry.row.clone());
        }
        if let Some(thread) = self.state.thread_mut(into) {
            thread.last_sequence = sequence;
            thread.last_id = (sequence > 0).then_some(last);
            thread.last_slot = slot;
            thread.last_entry = 0;
        }
        let key = shapes::conversation_key(self.user_id, into);
        let what = What::Change { set: Document::new(), add: doc! { shapes::LISTED: rows } };
        self.writes.add(Write { place: Place::Conversations, key, what });
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1_000;

    /// Conversations as (id, first day, last day); which of them is found to be a part of which.
    fn found(days: &[(u128, i64, i64)], reuse_days: Option<i64>) -> Vec<(u128, u128)> {
        let at = |day: i64| Timestamp::from_millis(day * DAY);
        let open = |(id, begun, last): &(u128, i64, i64)| Open {
            id: ConversationId::from_uuid(Uuid::from_u128(*id)),
            begun: at(*begun),
            last: at(*last),
        };
        let number = |id: ConversationId| id.as_uuid().as_u128();
        let found = doubles(UserId::from_bytes([7; 12]), days.iter().map(open).collect(), reuse_days.map(|days| days * DAY));
        found.into_iter().map(|double| (number(double.conversation), number(double.into))).collect()
    }

    #[test]
    fn what_was_begun_while_another_went_on_is_double_and_the_one_used_last_is_kept() {
        assert_eq!(found(&[(1, 0, 3), (2, 5, 6)], Some(7)), [(1, 2)]);
        assert_eq!(found(&[(2, 5, 6), (1, 0, 9)], Some(7)), [(2, 1)], "in whatever order they come");
        assert_eq!(found(&[(1, 0, 3), (2, 11, 12)], Some(7)), [], "the first was over");
        assert_eq!(found(&[(1, 0, 3), (2, 11, 12)], None), [(1, 2)], "where none is ever over");
        assert_eq!(found(&[(1, 0, 3), (2, 10, 10), (3, 17, 17), (4, 40, 41), (5, 41, 41)], Some(7)), [(1, 3), (2, 3), (4, 5)]);
        assert_eq!(found(&[], Some(7)), []);
    }
}
