//! People.

use async_trait::async_trait;

use super::{Page, PageRequest, StoreResult, Timestamp};
use crate::domain::ids::UserId;
use crate::domain::phone::PhoneNumber;
use crate::domain::user::{PreferenceChange, User};

/// People. They are made by [`super::Inbox::accept`].
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
