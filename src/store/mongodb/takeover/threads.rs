//! Conversations by phone that an earlier program kept in LibreChat's collections: they get places as ours have them, so that listings
//! show them and prompts go on from them. What somebody wrote stays as it is.

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};
use uuid::Uuid;

use super::{either_id, lenient, lenient_moment, lenient_text};
use crate::domain::ids::{MessageId, UserId};
use crate::domain::time::Timestamp;
use crate::store::StoreResult;
use crate::store::mongodb::MongoStore;
use crate::store::mongodb::fault;
use crate::store::mongodb::fields::date;
use crate::store::mongodb::names::Place;
use crate::store::mongodb::shapes;

/// What was found of one person.
#[derive(Debug, Default)]
pub(super) struct Adopted {
    /// The last number that was used for a place.
    pub(super) last_number: i64,
    /// Messages that the person wrote.
    pub(super) texts: i64,
    /// When they wrote the last of them.
    pub(super) last_text: Option<Timestamp>,
    /// Conversations that are open.
    pub(super) open: u64,
}

/// A conversation while its messages get their places.
#[derive(Debug)]
struct Line {
    sequence: i64,
    last: MessageId,
    /// The turn of the person's last message: what answers it is of the same.
    turn: Option<Uuid>,
    last_slot: i64,
    last_message: Timestamp,
}

/// Whether a person wrote it.
pub(in crate::store::mongodb) fn is_from_person(message: &Document) -> bool {
    match message.get("isCreatedByUser") {
        Some(Bson::Boolean(from_person)) => *from_person,
        _ => matches!(lenient_text(message, "role"), Some("external" | "user")) || lenient_text(message, "sender") == Some("User"),
    }
}

impl MongoStore {
    /// Gives the conversations of somebody their places. Doing it again gives the same ones.
    pub(super) async fn adopt_threads(&self, user: UserId) -> StoreResult<Adopted> {
        let collection = self.collection(Place::Conversations);
        let by_phone = vec![
            doc! { "metadata.source": "sms" },
            doc! { "metadata.phoneNumber": { "$exists": true } },
            doc! { "title": { "$regex": "^SMS Chat " } },
        ];
        let filter = doc! { "user": { "$in": either_id(user) }, "$or": by_phone };
        let mut found = collection.find(filter).sort(doc! { "createdAt": 1, "_id": 1 }).await.map_err(fault::unavailable)?;
        let mut adopted = Adopted::default();
        while found.advance().await.map_err(fault::unavailable)? {
            let thread = found.deserialize_current().map_err(fault::unavailable)?;
            // One whose id is no UUID stays LibreChat's alone.
            let Some(id) = lenient_text(&thread, "conversationId").filter(|id| Uuid::try_parse(id).is_ok() && id.len() == 36) else {
                continue;
            };
            self.adopt_thread(user, id, &thread, &mut adopted).await?;
        }
        Ok(adopted)
    }

    async fn adopt_thread(&self, user: UserId, id: &str, thread: &Document, adopted: &mut Adopted) -> StoreResult<()> {
        let begun = lenient_moment(thread.get("createdAt")).unwrap_or(Timestamp::from_millis(0));
        let mut line = Line { sequence: 0, last: MessageId::ROOT, turn: None, last_slot: 0, last_message: begun };
        let collection = self.collection(Place::Messages);
        let of_thread = doc! { "conversationId": id, "user": { "$in": either_id(user) } };
        let found = collection.find(of_thread).sort(doc! { "_id": 1 }).await.map_err(fault::unavailable)?;
        let mut messages: Vec<Document> = found.try_collect().await.map_err(fault::unavailable)?;
        // Not sorted by the server: a moment that was written as text would stand before all others.
        messages.sort_by_key(|message| lenient_moment(message.get("createdAt")));
        let mut placed = Vec::new();
        for message in &messages {
            placed.extend(place(user, message, &mut line, adopted).map(|set| (message.get("_id").cloned(), set)));
        }
        for (id, set) in placed {
            collection.update_one(doc! { "_id": id }, doc! { "$set": set }).await.map_err(fault::unavailable)?;
        }
        let closed = thread.get_bool("closed").unwrap_or(false);
        adopted.open += u64::from(!closed);
        let last = lenient_moment(lenient(thread, "metadata.lastMessage"));
        let last = last.or_else(|| lenient_moment(thread.get("updatedAt"))).unwrap_or(begun).max(line.last_message);
        let mut set = doc! {
            "user": user.to_string(),
            "metadata.source": "sms",
            "metadata.lastMessage": date(last),
            "metadata.messageCount": line.sequence,
            "closed": closed,
            "lastSequence": line.sequence,
            "lastMessageId": line.last.to_string(),
            "lastSlot": line.last_slot,
            "lastEntry": 0_i64,
            "createdAt": date(begun),
            "updatedAt": date(lenient_moment(thread.get("updatedAt")).unwrap_or(last)),
        };
        if line.sequence == 0 {
            set.insert("lastMessageId", Bson::Null);
        }
        // A document where none may stand would take the whole change with it.
        let unplain = matches!(thread.get("metadata"), Some(value) if value.as_document().is_none());
        let conversations = self.collection(Place::Conversations);
        let which = doc! { "_id": thread.get("_id").cloned() };
        if unplain {
            let clear = doc! { "$set": { "metadata": {} } };
            conversations.update_one(which.clone(), clear).await.map_err(fault::unavailable)?;
        }
        conversations.update_one(which, doc! { "$set": set }).await.map_err(fault::unavailable)?;
        Ok(())
    }
}

/// The fields that give a message its place at the end of a line; none for one whose id is no UUID.
fn place(user: UserId, message: &Document, line: &mut Line, adopted: &mut Adopted) -> Option<Document> {
    let id = lenient_text(message, "messageId").filter(|id| id.len() == 36).and_then(|id| Uuid::try_parse(id).ok())?;
    let from_person = is_from_person(message);
    let created_at = lenient_moment(message.get("createdAt")).unwrap_or(line.last_message);
    let turn = if from_person { id } else { line.turn.unwrap_or(id) };
    let parent = std::mem::replace(&mut line.last, MessageId::from_uuid(id));
    line.turn = Some(turn);
    line.sequence += 1;
    line.last_message = line.last_message.max(created_at);
    adopted.last_number += 1;
    line.last_slot = adopted.last_number;
    if from_person {
        adopted.texts += 1;
        adopted.last_text = adopted.last_text.max(Some(created_at));
    }
    let mut set = doc! {
        "user": user.to_string(),
        "isCreatedByUser": from_person,
        "role": if from_person { "external" } else { "assistant" },
        "createdAt": date(created_at),
        "updatedAt": date(lenient_moment(message.get("updatedAt")).unwrap_or(created_at)),
        "turnId": turn.to_string(),
        "slot": line.last_slot,
        "entry": 0_i64,
        "recalled": true,
        "receivedAt": date(created_at),
        "sequence": line.sequence,
        "parentMessageId": parent.to_string(),
    };
    if lenient_text(message, "text").is_none() {
        set.insert("text", shapes::content_text(message).unwrap_or_default());
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_of_the_turn_that_it_answers() {
        let user = UserId::from_bytes([1; 12]);
        let mut line = Line { sequence: 0, last: MessageId::ROOT, turn: None, last_slot: 0, last_message: Timestamp::from_millis(5) };
        let mut adopted = Adopted::default();
        let id = |last: char| format!("018f0000-0000-7000-8000-00000000000{last}");
        let said = doc! { "messageId": id('1'), "sender": "User", "text": "hi", "createdAt": "1970-01-01T00:00:01.000Z" };
        let answered = doc! { "messageId": id('2'), "isCreatedByUser": false, "content": [{ "type": "text", "text": { "value": "ho" } }] };
        let first = place(user, &said, &mut line, &mut adopted).unwrap();
        let second = place(user, &answered, &mut line, &mut adopted).unwrap();
        let text = |set: &Document, name: &str| set.get_str(name).unwrap().to_owned();
        assert_eq!(text(&first, "parentMessageId"), "00000000-0000-0000-0000-000000000000");
        assert_eq!(text(&second, "parentMessageId"), id('1'));
        assert_eq!((text(&second, "turnId"), text(&second, "text")), (text(&first, "turnId"), "ho".to_owned()));
        assert_eq!((second.get_i64("sequence").unwrap(), second.get_i64("slot").unwrap()), (2, 2));
        assert_eq!((adopted.texts, adopted.last_text), (1, Some(Timestamp::from_millis(1_000))));
        assert!(place(user, &doc! { "messageId": "not-a-uuid" }, &mut line, &mut adopted).is_none());
    }
}
