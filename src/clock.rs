//! The only source of time, of new ids and of chance.
//!
//! Everything that needs the present moment or a fresh id is given a [`Clock`], so that tests decide both.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use uuid::Uuid;

use crate::domain::ids::{ConversationId, MessageId, OutboundId, TurnId, UserId};
use crate::domain::time::Timestamp;

/// Time and ids.
#[derive(Clone, Default)]
pub struct Clock {
    set: Option<std::sync::Arc<AtomicI64>>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.set.is_some() { "Clock(set)" } else { "Clock(system)" })
    }
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self { set: None }
    }

    /// A clock that stands still until [`Clock::advance`] is called.
    #[must_use]
    pub fn set_to(moment: Timestamp) -> Self {
        Self { set: Some(std::sync::Arc::new(AtomicI64::new(moment.as_millis()))) }
    }

    /// Moves a clock that stands still; the machine's clock is not moved.
    pub fn advance(&self, by: Duration) {
        if let Some(set) = &self.set {
            set.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// Whether this clock stands still: then no other is to be compared with it.
    #[must_use]
    pub const fn stands_still(&self) -> bool {
        self.set.is_some()
    }

    /// The present moment.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    pub fn now(&self) -> Timestamp {
        match &self.set {
            Some(set) => Timestamp::from_millis(set.load(Ordering::SeqCst)),
            None => jiff::Timestamp::now().into(),
        }
    }

    /// A new person's id: four bytes of seconds, eight of chance, so ids sort roughly by age.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        let seconds = u32::try_from(self.now().as_millis() / 1000).unwrap_or(0);
        let random = Uuid::now_v7();
        let mut bytes = [0_u8; 12];
        let (time, chance) = bytes.split_at_mut(4);
        time.copy_from_slice(&seconds.to_be_bytes());
        if let Some(tail) = random.as_bytes().get(8..) {
            chance.copy_from_slice(tail);
        }
        UserId::from_bytes(bytes)
    }

    /// A new id that sorts by age.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }

    /// A new conversation's id.
    #[must_use]
    pub fn conversation_id(&self) -> ConversationId {
        ConversationId::from_uuid(self.uuid())
    }

    /// A new message's id.
    #[must_use]
    pub fn message_id(&self) -> MessageId {
        MessageId::from_uuid(self.uuid())
    }

    /// A new turn's id.
    #[must_use]
    pub fn turn_id(&self) -> TurnId {
        TurnId::from_uuid(self.uuid())
    }

    /// A new outgoing message's id.
    #[must_use]
    pub fn outbound_id(&self) -> OutboundId {
        OutboundId::from_uuid(self.uuid())
    }

    /// Bytes that nobody can guess, from the operating system.
    ///
    /// # Errors
    /// When the operating system has none to give.
    pub fn secret_bytes<const N: usize>(&self) -> std::io::Result<[u8; N]> {
        let mut bytes = [0_u8; N];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        Ok(bytes)
    }
}
