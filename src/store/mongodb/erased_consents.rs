//! The word of a number that is in the store no more: under a keyed hash of the number, as long as nobody has it.
//!
//! The key is this store's own, made when the first person is erased. When the number comes again, the word is taken back to it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use mongodb::bson::{Bson, doc};
use sha2::Sha256;

use super::MongoStore;
use super::fault;
use super::fields::{Fields, date};
use super::names::Place;
use super::shapes;
use super::staged::binary;
use super::state::Word;
use crate::domain::phone::PhoneNumber;
use crate::store::{StoreError, StoreResult};

/// The name of the key.
const KEY: &str = "phone";

impl MongoStore {
    /// What the word of a number is kept under; `None` when nobody was erased yet.
    async fn hash_of(&self, phone: &PhoneNumber) -> StoreResult<Option<String>> {
        let collection = self.collection(Place::HashKeys);
        let found = collection.find_one(doc! { "_id": KEY }).await.map_err(fault::unavailable)?;
        let Some(document) = found else { return Ok(None) };
        let fields = Fields::new(collection.name(), &document);
        let key = fields.find_bytes("bytes")?.ok_or_else(|| fields.damaged("bytes", "they are missing"))?;
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_length| fields.damaged("bytes", "a key has some length"))?;
        mac.update(phone.as_str().as_bytes());
        let hash: [u8; 32] = mac.finalize().into_bytes().into();
        Ok(Some(hex::encode(hash)))
    }

    /// Puts a number's opt-out under its hash; a number that has not opted out leaves nothing. The number's own word is for the caller
    /// to take away.
    pub(super) async fn hide_word(&self, phone: &PhoneNumber, word: Option<Word>) -> StoreResult<()> {
        let first: [u8; 32] =
            self.clock.secret_bytes().map_err(|error| StoreError::unavailable("the system gave no random bytes", error))?;
        let made = doc! { "$setOnInsert": { "bytes": binary(first.to_vec()) } };
        match self.collection(Place::HashKeys).update_one(doc! { "_id": KEY }, made).upsert(true).await {
            Ok(_made) => {}
            // Another process made it at this moment.
            Err(error) if fault::is_duplicate(&error) => {}
            Err(error) => return Err(fault::unavailable(error)),
        }
        let Some(hash) = self.hash_of(phone).await? else { return Ok(()) };
        let words = self.collection(Place::ErasedConsents);
        match word.filter(|word| word.opted_out) {
            Some(word) => {
                let kept = doc! { "$set": { "optedOut": true, "saidAt": date(word.said_at) } };
                words.update_one(doc! { "_id": hash }, kept).upsert(true).await.map_err(fault::unavailable)?;
            }
            None => {
                words.delete_one(doc! { "_id": hash }).await.map_err(fault::unavailable)?;
            }
        }
        Ok(())
    }

    /// The word that is kept under a number's hash.
    pub(super) async fn find_hidden_word(&self, phone: &PhoneNumber) -> StoreResult<Option<Word>> {
        let Some(hash) = self.hash_of(phone).await? else { return Ok(None) };
        let collection = self.collection(Place::ErasedConsents);
        let found = collection.find_one(doc! { "_id": hash }).await.map_err(fault::unavailable)?;
        found.map(|document| shapes::word_from(collection.name(), &document)).transpose()
    }

    /// Gives a number that came again its word back: it is in the store again.
    pub(super) async fn recall_word(&self, phone: &PhoneNumber) -> StoreResult<()> {
        let Some(word) = self.find_hidden_word(phone).await? else { return Ok(()) };
        let (key, set) = shapes::consent_document(phone, word);
        // A word that the number has itself is newer.
        match self.collection(Place::Consents).update_one(key, doc! { "$setOnInsert": set }).upsert(true).await {
            Ok(_recalled) => {}
            Err(error) if fault::is_duplicate(&error) => {}
            Err(error) => return Err(fault::unavailable(error)),
        }
        let hash = self.hash_of(phone).await?.map_or(Bson::Null, Bson::String);
        self.collection(Place::ErasedConsents).delete_one(doc! { "_id": hash }).await.map_err(fault::unavailable)?;
        Ok(())
    }
}
