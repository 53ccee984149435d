//! People, as the host and they themselves see them.

use super::onlookers::Onlooker;
use super::watch::Watch;
use crate::domain::ids::UserId;
use crate::domain::phone::PhoneNumber;
use crate::domain::user::{PreferenceChange, SHARED_ACCOUNT, User};
use crate::store::{MergeLimits, Merged, NewAccount, NewPerson, Page, PageRequest, SharedStore, StoreError, StoreResult};

/// How somebody is named from outside: by id or by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserName {
    /// By id.
    Id(UserId),
    /// By number.
    Phone(PhoneNumber),
}

/// Whose account a process of one person works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountName {
    /// That person's.
    Person(UserName),
    /// The one without a phone that hosts of one person share.
    Shared,
}

/// People.
#[derive(Clone)]
pub struct People {
    store: SharedStore,
}

impl People {
    /// Over this store.
    #[must_use]
    pub fn new(store: SharedStore) -> Self {
        Self { store }
    }

    /// The person of that name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Unavailable`].
    pub async fn get(&self, name: &UserName) -> StoreResult<User> {
        let found = match name {
            UserName::Id(id) => self.store.find_user(*id).await?,
            UserName::Phone(phone) => self.store.find_user_by_phone(phone).await?,
        };
        found.ok_or(StoreError::NotFound { what: "that person" })
    }

    /// The person of that name. A number that is new gets an account, as does the shared one; an id names who is there already.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an id; [`StoreError::Unavailable`].
    pub async fn get_or_open(&self, name: &AccountName, new: NewPerson) -> StoreResult<User> {
        match name {
            AccountName::Person(UserName::Id(id)) => self.get(&UserName::Id(*id)).await,
            AccountName::Person(UserName::Phone(phone)) => {
                self.store.open_account(NewAccount { phone: Some(phone.clone()), person: new }).await
            }
            AccountName::Shared => {
                let person = NewPerson { id: SHARED_ACCOUNT, ..new };
                self.store.open_account(NewAccount { phone: None, person }).await
            }
        }
    }

    /// The account of that name, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn find_account(&self, name: &AccountName) -> StoreResult<Option<User>> {
        match name {
            AccountName::Person(UserName::Id(id)) => self.store.find_user(*id).await,
            AccountName::Person(UserName::Phone(phone)) => self.store.find_user_by_phone(phone).await,
            AccountName::Shared => self.store.find_user(SHARED_ACCOUNT).await,
        }
    }

    /// Everybody, oldest first.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`]; [`StoreError::Unavailable`].
    pub async fn list(&self, page: PageRequest) -> StoreResult<Page<User>> {
        self.store.list_users(page).await
    }

    /// Changes preferences. The caller has checked that what they name exists.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Unavailable`].
    pub async fn prefer(&self, user_id: UserId, changes: Vec<PreferenceChange>) -> StoreResult<User> {
        self.store.change_preferences(user_id, changes).await
    }

    /// Erases a person: they are nobody at once, and what is left goes bit by bit.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Unavailable`].
    pub async fn erase(&self, user_id: UserId) -> StoreResult<()> {
        self.store.erase_person(user_id).await
    }

    /// Makes one person of two: everything of `from` becomes that of `into`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] says why not, and nothing was changed; [`StoreError::Unavailable`].
    pub async fn merge(&self, from: UserId, into: UserId, limits: MergeLimits) -> StoreResult<Merged> {
        self.store.merge_people(from, into, limits).await
    }

    /// Blocks or unblocks.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Unavailable`].
    pub async fn set_blocked(&self, user_id: UserId, blocked: bool) -> StoreResult<User> {
        self.store.set_blocked(user_id, blocked).await
    }
}

/// One person's finished turns, for the live stream.
pub struct Live {
    store: SharedStore,
    user_id: UserId,
    after: i64,
    onlooker: Onlooker,
}

impl Live {
    /// From that event on, or from now when there is none to resume from.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn open(store: SharedStore, watch: &Watch, user_id: UserId, after: Option<i64>) -> StoreResult<Self> {
        let onlooker = watch.person(user_id);
        let latest = store.latest_event(user_id).await?;
        // An id from the future (another store's) would wait for ever: it counts as "now".
        let after = after.map_or(latest, |after| after.clamp(0, latest));
        Ok(Self { store, user_id, after, onlooker })
    }

    /// The next finished turns; waits until there are some. Turns done by other processes are seen at once where the store tells its
    /// news, within a second where it does not.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; asking again later is fine.
    pub async fn next(&mut self) -> StoreResult<Vec<crate::domain::turn::FinishedTurn>> {
        loop {
            let changed = std::sync::Arc::clone(&self.onlooker.changed);
            let notified = changed.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let turns = self.store.list_finished_turns(self.user_id, self.after, 50).await?;
            if let Some(last) = turns.last() {
                self.after = last.event;
                return Ok(turns);
            }
            let _woken_or_time_to_look = tokio::time::timeout(self.onlooker.look_again(), notified).await;
        }
    }
}
