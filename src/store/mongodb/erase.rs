//! Erasing people: nobody at once, and then gone bit by bit.
//!
//! One unit makes a person nobody: their head becomes a stone without a number, a name or any work, which no unit finds, and which says
//! what is still to be erased. Whoever finds a stone goes on from there; with the last document it goes as well.

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};

use super::MongoStore;
use super::fault;
use super::fields::{Fields, object_id};
use super::names::Place;
use super::state::words::JsonText;
use super::state::{Draft, Lane, Person, State};
use crate::domain::ids::UserId;
use crate::domain::user::Preferences;
use crate::store::{StoreError, StoreResult};

/// Who made an account, where it was a text.
const OUR_MARK: &str = "sms-system";

/// What lies in collections of our own, but for receipts: those outlive people.
const OURS: [Place; 8] =
    [Place::Turns, Place::Outbox, Place::Summaries, Place::Memory, Place::Todos, Place::Schedules, Place::Tokens, Place::Units];

impl Draft {
    /// Makes the person nobody.
    fn erase(&mut self) {
        let now = self.now;
        let phone = self.state.person.phone.take();
        let fences = (self.state.turn_lane.fence + 1, self.state.delivery_lane.fence + 1);
        let nobody = Person {
            phone: None,
            email: String::new(),
            name: String::new(),
            username: format!("erased {}", self.user_id),
            provider: self.state.person.provider.clone(),
            role: self.state.person.role.clone(),
            email_verified: false,
            preferences: Preferences::default(),
            caller_metadata: JsonText::default(),
            blocked: true,
            first_contact: self.state.person.first_contact,
            created_at: self.state.person.created_at,
            updated_at: now,
        };
        self.state = State::of(nobody, now);
        self.state.erased_at = Some(now);
        self.state.turn_lane = Lane { fence: fences.0, ..Lane::default() };
        self.state.delivery_lane = Lane { fence: fences.1, ..Lane::default() };
        if let Some(phone) = phone {
            self.delete(Place::Consents, doc! { "_id": phone.as_str() });
        }
        // What a worker, an operator or a caller could still come across; there is little of it.
        for place in [Place::Tokens, Place::Schedules] {
            self.delete_all(place, Document::new());
        }
        for place in [Place::Turns, Place::Outbox] {
            self.delete_all(place, doc! { "state": "dead" });
        }
    }
}

impl MongoStore {
    /// Makes a person nobody.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such person, nor one who is being erased.
    pub(super) async fn begin_to_erase(&self, user: UserId) -> StoreResult<()> {
        let mut attempts = self.unit(user);
        loop {
            let mut unit = match attempts.begin().await {
                Err(StoreError::NotFound { .. }) if self.is_being_erased(user).await? => return Ok(()),
                begun => begun?,
            };
            let state = &unit.draft.state;
            if let Some(phone) = state.person.phone.clone() {
                let word = state.word;
                unit.store.hide_word(&phone, word).await?;
            }
            unit.draft.erase();
            if unit.commit().await? {
                break;
            }
        }
        // Where LibreChat has them: a number there would find them again.
        self.erase_account(user).await
    }

    /// Whether somebody is nobody any more, and something is left of them.
    pub(super) async fn is_being_erased(&self, user: UserId) -> StoreResult<bool> {
        let stone = doc! { "_id": object_id(user), "erasedAt": { "$exists": true } };
        let found = self.collection(Place::Heads).find_one(stone).projection(doc! { "_id": 1 }).await.map_err(fault::unavailable)?;
        Ok(found.is_some())
    }

    /// Erases up to about that many documents of people who are nobody any more; whether some are left.
    pub(super) async fn erase_some(&self, documents: usize) -> StoreResult<bool> {
        let heads = self.collection(Place::Heads);
        let stones = || doc! { "erasedAt": { "$exists": true } };
        let mut left = documents.max(1);
        while left > 0 {
            let found = heads.find_one(stones()).projection(doc! { "_id": 1 }).await.map_err(fault::unavailable)?;
            let Some(found) = found else { return Ok(false) };
            let user = Fields::new(heads.name(), &found).user("_id")?;
            left = self.erase_documents(user, left).await?;
        }
        Ok(heads.find_one(stones()).projection(doc! { "_id": 1 }).await.map_err(fault::unavailable)?.is_some())
    }

    /// Erases documents of one person, and the stone with the last of them. How many more may be erased in this step.
    async fn erase_documents(&self, user: UserId, documents: usize) -> StoreResult<usize> {
        self.settle(user).await?;
        let of_person = || doc! { "user": user.to_string() };
        let mut left = documents;
        // Conversations first, each with what LibreChat wrote into it.
        for id in self
            .some_ids(
                Place::Conversations,
                doc! { "user": user.to_string(), "metadata.lastMessage": { "$exists": true } },
                "conversationId",
                left,
            )
            .await?
        {
            let of_it = doc! { "user": user.to_string(), "conversationId": &id };
            let messages = self.some_ids(Place::Messages, of_it.clone(), "_id", left).await?;
            left = left.saturating_sub(self.delete_these(Place::Messages, messages).await?);
            if left == 0 {
                return Ok(0);
            }
            self.collection(Place::Conversations).delete_one(of_it).await.map_err(fault::unavailable)?;
            left -= 1;
            if left == 0 {
                return Ok(0);
            }
        }
        let mut lots = vec![(Place::Messages, doc! { "user": user.to_string(), "slot": { "$exists": true } })];
        lots.extend(OURS.map(|place| (place, of_person())));
        for (place, filter) in lots {
            let ids = self.some_ids(place, filter, "_id", left).await?;
            left = left.saturating_sub(self.delete_these(place, ids).await?);
            if left == 0 {
                return Ok(0);
            }
        }
        // By a receipt a repeat is recognised for ever; it says nothing of a person but for this hash of what was said.
        let said = doc! { "user": user.to_string(), "fingerprint": { "$ne": Bson::Null } };
        let receipts = self.some_ids(Place::Receipts, said, "_id", left).await?;
        if !receipts.is_empty() {
            left = left.saturating_sub(receipts.len());
            let silent = doc! { "$set": { "fingerprint": Bson::Null } };
            let these = doc! { "_id": { "$in": receipts } };
            self.collection(Place::Receipts).update_many(these, silent).await.map_err(fault::unavailable)?;
        }
        if left > 0 {
            self.erase_account(user).await?;
            let stone = doc! { "_id": object_id(user), "erasedAt": { "$exists": true } };
            self.collection(Place::Heads).delete_one(stone).await.map_err(fault::unavailable)?;
            left -= 1;
        }
        Ok(left)
    }

    /// Takes away the account that LibreChat's pages show. One that LibreChat made itself stays, without the number and what was added.
    async fn erase_account(&self, user: UserId) -> StoreResult<()> {
        let users = self.collection(Place::Users);
        let id = || doc! { "_id": object_id(user) };
        let Some(account) = users.find_one(id()).await.map_err(fault::unavailable)? else { return Ok(()) };
        let made_by = account.get_document("metadata").ok().and_then(|metadata| metadata.get_str("createdBy").ok());
        if made_by == Some(OUR_MARK) {
            users.delete_one(id()).await.map_err(fault::unavailable)?;
            let balance = doc! { "user": object_id(user) };
            self.collection(Place::Balances).delete_many(balance).await.map_err(fault::unavailable)?;
            return Ok(());
        }
        let ours = doc! { "phoneNumber": "", "metadata": "", super::staged::VERSION: "" };
        users.update_one(id(), doc! { "$unset": ours }).await.map_err(fault::unavailable)?;
        // Its credits are all LibreChat's then.
        let ours = doc! { super::credits::OWN: "", super::staged::VERSION: "" };
        let balances = self.collection(Place::Balances);
        balances.update_many(doc! { "user": object_id(user) }, doc! { "$unset": ours }).await.map_err(fault::unavailable)?;
        Ok(())
    }

    /// A field of some documents that have these values.
    async fn some_ids(&self, place: Place, filter: Document, field: &str, most: usize) -> StoreResult<Vec<Bson>> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let found = self.collection(place).find(filter).projection(doc! { field: 1 }).limit(most).await.map_err(fault::unavailable)?;
        let found: Vec<Document> = found.try_collect().await.map_err(fault::unavailable)?;
        Ok(found.into_iter().filter_map(|mut document| document.remove(field)).collect())
    }

    async fn delete_these(&self, place: Place, ids: Vec<Bson>) -> StoreResult<usize> {
        if ids.is_empty() {
            return Ok(0);
        }
        let number = ids.len();
        self.collection(place).delete_many(doc! { "_id": { "$in": ids } }).await.map_err(fault::unavailable)?;
        Ok(number)
    }
}
