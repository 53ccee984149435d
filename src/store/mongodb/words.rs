//! A number's word on being texted, with and without an account, and accounts that numbers have elsewhere.

use mongodb::bson::doc;

use super::MongoStore;
use super::fault;
use super::fields::date;
use super::names::Place;
use super::shapes;
use super::state::Word;
use super::state::consent::word_after;
use super::unit::Apply;
use crate::domain::ids::UserId;
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::store::{Consent, StoreResult};

impl MongoStore {
    /// Whether that number has opted out: as its person's head says, else as is kept of the number alone.
    pub(super) async fn has_opted_out(&self, phone: &PhoneNumber) -> StoreResult<bool> {
        if let Some(head) = self.load_by_phone(phone).await? {
            return Ok(head.state.opted_out());
        }
        let word = match self.find_word(phone).await? {
            None => self.find_hidden_word(phone).await?,
            word => word,
        };
        Ok(word.is_some_and(|word| word.opted_out))
    }

    /// Records the word of a number, whoever has it.
    pub(super) async fn record_word(&self, phone: &PhoneNumber, consent: Consent, said_at: Timestamp) -> StoreResult<()> {
        if self.record_persons_word(phone, consent, said_at).await? {
            return Ok(());
        }
        self.recall_word(phone).await?;
        let Some(word) = word_after(self.find_word(phone).await?, consent, said_at, self.now()) else { return Ok(()) };
        let (key, set) = shapes::consent_document(phone, word);
        let mut earlier = key;
        earlier.insert("saidAt", doc! { "$not": { "$gt": date(word.said_at) } });
        match self.collection(Place::Consents).update_one(earlier, doc! { "$set": set }).upsert(true).await {
            Ok(_written) => {}
            // A later word came between.
            Err(error) if fault::is_duplicate(&error) => return Ok(()),
            Err(error) => return Err(fault::unavailable(error)),
        }
        // Their first text may have come between, and not have seen it.
        self.record_persons_word(phone, consent, said_at).await?;
        Ok(())
    }

    /// Records a word with the person who has that number; false when nobody has.
    async fn record_persons_word(&self, phone: &PhoneNumber, consent: Consent, said_at: Timestamp) -> StoreResult<bool> {
        let Some(head) = self.load_by_phone(phone).await? else { return Ok(false) };
        self.change(head.user_id, Apply::Now, |draft| {
            draft.record_word(phone, consent, said_at);
            Ok(())
        })
        .await?;
        Ok(true)
    }

    /// The newest word of a number, as kept by number.
    pub(super) async fn find_word(&self, phone: &PhoneNumber) -> StoreResult<Option<Word>> {
        let collection = self.collection(Place::Consents);
        let found = collection.find_one(doc! { "_id": phone.as_str() }).await.map_err(fault::unavailable)?;
        found.map(|document| shapes::word_from(collection.name(), &document)).transpose()
    }

    /// A word that was recorded for a number while its person was being made.
    pub(super) async fn hear_strangers_word(&self, phone: &PhoneNumber, user_id: UserId) -> StoreResult<()> {
        let Some(word) = self.find_word(phone).await? else { return Ok(()) };
        let consent = if word.opted_out { Consent::OptOut } else { Consent::OptIn };
        self.change(user_id, Apply::Later, |draft| {
            if draft.state.word.is_none_or(|known| known.said_at < word.said_at) {
                draft.record_word(phone, consent, word.said_at);
            }
            Ok(())
        })
        .await
    }

    /// A user name that nobody has, LibreChat's people included.
    pub(super) async fn free_username(&self, wanted: &str) -> StoreResult<String> {
        let collection = self.collection(Place::Users);
        let mut username = wanted.to_owned();
        for suffix in 1_u32.. {
            let taken = collection.find_one(doc! { "username": &username }).projection(doc! { "_id": 1 }).await;
            if taken.map_err(fault::unavailable)?.is_none() {
                break;
            }
            username = format!("{wanted}_{suffix}");
        }
        Ok(username)
    }
}
