//! People.

use async_trait::async_trait;

use super::{NewPerson, Page, PageRequest, StoreResult, Timestamp};
use crate::domain::ids::UserId;
use crate::domain::phone::PhoneNumber;
use crate::domain::user::{PreferenceChange, User};

/// An account that somebody asks for before its first message.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its number; `None` for an account without a phone, which is found by its id.
    pub phone: Option<PhoneNumber>,
    /// What it begins with.
    pub person: NewPerson,
}

/// People. They are made by [`super::Inbox::accept`] and, before their first message, by [`People::open_account`].
#[async_trait]
pub trait People {
    /// One person.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn find_user(&self, user_id: UserId) -> StoreResult<Option<User>>;

    /// The person of a number.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn find_user_by_phone(&self, phone: &PhoneNumber) -> StoreResult<Option<User>>;

    /// The account of that number, or of that id where there is no number; made now if there is none.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn open_account(&self, account: NewAccount) -> StoreResult<User>;

    /// Everybody, oldest first: for the host.
    ///
    /// # Errors
    /// [`super::StoreError::InvalidCursor`]; [`super::StoreError::Unavailable`].
    async fn list_users(&self, page: PageRequest) -> StoreResult<Page<User>>;

    /// Changes preferences, each field on its own, and returns the person as changed.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`]; [`super::StoreError::Unavailable`].
    async fn change_preferences(&self, user_id: UserId, changes: Vec<PreferenceChange>) -> StoreResult<User>;

    /// Blocks or unblocks a person. Blocking ends their open turns and withdraws what is still to be sent to them.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`]; [`super::StoreError::Unavailable`].
    async fn set_blocked(&self, user_id: UserId, blocked: bool) -> StoreResult<User>;

    /// Erases a person: from now on they are nobody, and whoever works on something of theirs has lost the lease. What is left goes bit by
    /// bit ([`super::Upkeep::erase_left_over`]), search index included. Two things stay, of which neither says who it was: the receipts by which
    /// repeats of their messages are recognised, and that the number opted out, as a keyed hash of it. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`]; [`super::StoreError::Unavailable`].
    async fn erase_person(&self, user_id: UserId) -> StoreResult<()>;

    /// Whether that number has opted out. Kept by number, not by person: it outlives the account.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn is_opted_out(&self, phone: &PhoneNumber) -> StoreResult<bool>;

    /// Records the word of a number that has no account and is not to get one (a stranger under an allowlist), unless a later
    /// one is known.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn record_consent(&self, phone: &PhoneNumber, consent: super::Consent, said_at: Timestamp) -> StoreResult<()>;
}
