//! A person: one isolated account a phone number.

use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::ids::{AgentId, UserId};
use super::ledger::Credits;
use super::message::CallerMetadata;
use super::phone::PhoneNumber;
use super::quiet_hours::QuietHours;
use super::time::Timestamp;

/// The account that hosts of one person share over stdio, when they ask for it. It has no phone, and is an account like any other.
pub const SHARED_ACCOUNT: UserId = UserId::from_bytes(*b"default\0\0\0\0\0");

/// A person as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// Its id, part of every key of what is theirs.
    pub id: UserId,
    /// Their number; one person a number. `None` for accounts without a phone (the shared `default` of one-person hosts).
    pub phone: Option<PhoneNumber>,
    /// `<number>@<people.email_domain>` unless the account came from elsewhere.
    pub email: String,
    /// `SMS User <number>` unless changed.
    pub name: String,
    /// `sms_<digits>`, with `_1`, `_2` … when that is taken.
    pub username: String,
    /// Who made the account: `sms` for ours.
    pub provider: String,
    /// `USER` or `ADMIN`.
    pub role: String,
    /// Whether the address counts as verified; true for ours, which have no mailbox.
    pub email_verified: bool,
    /// When their first message was stored.
    pub first_contact: Timestamp,
    /// When their newest message was stored.
    pub last_sms: Timestamp,
    /// Stored inbound messages, duplicates not counted.
    pub message_count: i64,
    /// Explicit choices only.
    pub preferences: Preferences,
    /// What callers sent as metadata, newest value of each key; it overwrites nothing of ours.
    pub caller_metadata: CallerMetadata,
    /// Refused until unblocked.
    pub blocked: bool,
    /// Credits left, where a balance has been granted.
    pub balance: Option<Credits>,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What a person chose. An empty field means "as configured".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preferences {
    /// Where their messages are answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// The model there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_model: Option<String>,
    /// The agent of the `agents` endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// An IANA time zone name, such as `Europe/Berlin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// When they want no reminders, on the clocks of their time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
}

/// One field of [`Preferences`] set, or cleared with `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreferenceChange {
    /// Where their messages are answered.
    Endpoint(Option<Endpoint>),
    /// The model there.
    DefaultModel(Option<String>),
    /// The agent.
    AgentId(Option<AgentId>),
    /// The time zone; the caller has checked that it exists.
    TimeZone(Option<String>),
    /// The hours without reminders.
    QuietHours(Option<QuietHours>),
}

impl Preferences {
    /// Applies one change.
    pub fn apply(&mut self, change: PreferenceChange) {
        match change {
            PreferenceChange::Endpoint(value) => self.endpoint = value,
            PreferenceChange::DefaultModel(value) => self.default_model = value,
            PreferenceChange::AgentId(value) => self.agent_id = value,
            PreferenceChange::TimeZone(value) => self.time_zone = value,
            PreferenceChange::QuietHours(value) => self.quiet_hours = value,
        }
    }
}
