//! People: finding, listing, preferring, blocking, consent.

use async_trait::async_trait;
use futures::TryStreamExt as _;
use mongodb::bson::{Document, doc};

use super::MongoStore;
use super::fault;
use super::fields::object_id;
use super::head::Head;
use super::names::Place;
use super::state::State;
use super::unit::{Apply, Unit};
use crate::domain::ids::UserId;
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::domain::user::{PreferenceChange, User};
use crate::store::cursor::{self, Listing};
use crate::store::{Consent, NewAccount, NewPerson, Page, PageRequest, People, StoreError, StoreResult};

impl MongoStore {
    /// A unit for somebody who has no head yet: an account that LibreChat has for that number, or a new one.
    pub(super) async fn unit_of_stranger(&self, phone: Option<&PhoneNumber>, person: &NewPerson) -> StoreResult<Unit<'_>> {
        let mut word = None;
        if let Some(phone) = phone {
            self.recall_word(phone).await?;
            word = self.find_word(phone).await?;
            // Of somebody who is being erased the account is not gone yet.
            if let Some((user_id, mut state)) = self.find_in_librechat(phone).await?
                && !self.is_being_erased(user_id).await?
            {
                state.word = word;
                let mut unit = self.unit_of_new(user_id, state);
                unit.draft.show_person();
                return Ok(unit);
            }
        }
        let username = self.free_username(&State::username_for(phone)).await?;
        let mut state = State::new(person, phone, username, self.now());
        state.word = word;
        let mut unit = self.unit_of_new(person.id, state);
        unit.draft.show_person();
        unit.draft.show_balance();
        Ok(unit)
    }

    async fn load_account(&self, account: &NewAccount) -> StoreResult<Option<Head>> {
        match &account.phone {
            Some(phone) => self.load_by_phone(phone).await,
            None => self.load(account.person.id).await,
        }
    }
}

#[async_trait]
impl People for MongoStore {
    async fn find_user(&self, user_id: UserId) -> StoreResult<Option<User>> {
        self.user_of(self.load(user_id).await?).await
    }

    async fn find_user_by_phone(&self, phone: &PhoneNumber) -> StoreResult<Option<User>> {
        self.user_of(self.load_by_phone(phone).await?).await
    }

    async fn open_account(&self, account: NewAccount) -> StoreResult<User> {
        let _queue = match &account.phone {
            Some(phone) => self.queue_of_phone(phone).await?,
            None => self.queue_of(account.person.id).await?,
        };
        let mut made = 0;
        loop {
            self.wait_before(made).await?;
            made += 1;
            if let Some(head) = self.load_account(&account).await? {
                return Ok(head.state.user(head.user_id));
            }
            if self.is_being_erased(account.person.id).await? {
                let reason = "the account of that id is still being erased; try again in a moment".to_owned();
                return Err(StoreError::Conflict { reason });
            }
            let unit = self.unit_of_stranger(account.phone.as_ref(), &account.person).await?;
            let user = unit.draft.state.user(unit.draft.user_id);
            if unit.commit().await? {
                if let Some(phone) = &account.phone {
                    self.hear_strangers_word(phone, user.id).await?;
                }
                return Ok(user);
            }
        }
    }

    async fn list_users(&self, page: PageRequest) -> StoreResult<Page<User>> {
        let collection = self.collection(Place::Heads);
        let mut filter = doc! { "erasedAt": { "$exists": false } };
        if let Some(cursor::Place { numbers: [created], id }) = cursor::read(Listing::Users, 12, page.cursor.as_deref())? {
            let created = Timestamp::from_millis(created).to_string();
            let id = id.as_slice().try_into().map_or(UserId::from_bytes([0; 12]), UserId::from_bytes);
            let later = doc! { "state.person.createdAt": { "$gt": &created } };
            let same = doc! { "state.person.createdAt": &created, "_id": { "$gt": object_id(id) } };
            filter.insert("$or", [later, same]);
        }
        let found = collection.find(filter).sort(doc! { "state.person.createdAt": 1, "_id": 1 }).limit(cursor::ask_for(page.limit));
        let found: Vec<Document> = found.await.map_err(fault::unavailable)?.try_collect().await.map_err(fault::unavailable)?;
        let head = |document: &Document| Head::from_document(collection.name(), document);
        let users = self.users_of(found.iter().map(head).collect::<StoreResult<Vec<Head>>>()?).await?;
        let place = |user: &User| cursor::Place { numbers: [user.created_at.as_millis()], id: user.id.as_bytes().to_vec() };
        Ok(cursor::page(Listing::Users, page.limit, users, place, |user| user))
    }

    async fn change_preferences(&self, user_id: UserId, changes: Vec<PreferenceChange>) -> StoreResult<User> {
        self.change(user_id, Apply::Now, |draft| {
            for change in &changes {
                draft.state.person.preferences.apply(change.clone());
            }
            draft.state.person.updated_at = draft.now;
            draft.show_person();
            Ok(draft.state.user(user_id))
        })
        .await
    }

    async fn erase_person(&self, user_id: UserId) -> StoreResult<()> {
        self.begin_to_erase(user_id).await
    }

    async fn set_blocked(&self, user_id: UserId, blocked: bool) -> StoreResult<User> {
        self.change(user_id, Apply::Now, |draft| {
            draft.state.person.blocked = blocked;
            draft.state.person.updated_at = draft.now;
            draft.show_person();
            if blocked {
                while let Some(turn) = draft.state.first_turn().map(|turn| turn.number).and_then(|number| draft.take_turn(number)) {
                    draft.discard_turn(turn)?;
                }
                draft.free_turns();
                draft.withdraw("the person was blocked");
            }
            Ok(draft.state.user(user_id))
        })
        .await
    }

    async fn is_opted_out(&self, phone: &PhoneNumber) -> StoreResult<bool> {
        self.has_opted_out(phone).await
    }

    async fn record_consent(&self, phone: &PhoneNumber, consent: Consent, said_at: Timestamp) -> StoreResult<()> {
        self.record_word(phone, consent, said_at).await
    }
}
