//! Planned messages: what is said to a person, in which way, and when.
//!
//! A [`Schedule`] carries a rule ([`When`]) and the zone in which its times are meant. Which moment comes next is computed here
//! ([`When::next_after`]), purely: the present moment is always an argument. [`words`] reads what people say.

mod next;
mod pattern;
mod run;
#[cfg(test)]
mod tests;
mod when;
pub mod words;
mod zone;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use pattern::CronPattern;
pub use run::{OutboundProgress, RunOutcome, RunProgress, TurnProgress};
pub use when::{Days, Interval, InvalidWhen, TimeOfDay, Unit, Weekday, When};
pub use zone::{UnknownZone, Zone};

use super::ids::{ConversationId, UserId};
use super::time::Timestamp;
use super::turn::Refusal;

/// Longest name of a schedule, in characters.
pub const NAME_CHARACTERS: usize = 256;

/// Longest message of a schedule, in characters.
pub const MESSAGE_CHARACTERS: usize = 4000;

/// A person's schedule: 1, 2, 3 … in the order in which they were made. A number is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScheduleId(pub i64);

impl fmt::Display for ScheduleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ScheduleId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim().trim_start_matches('#').parse().map(Self)
    }
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Texts the message as it stands; needs no model.
    Remind,
    /// Gives the message to whoever answers the person, and texts the answer.
    Ask,
}

impl Mode {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Remind => "remind",
            Self::Ask => "ask",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Remind, Self::Ask].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// A planned message, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Its number.
    pub id: ScheduleId,
    /// Whose it is, and whom it texts.
    pub user_id: UserId,
    /// What it is called.
    pub name: String,
    /// What it says or asks.
    pub message: String,
    /// What a run does with the message.
    pub mode: Mode,
    /// Its rule.
    pub when: When,
    /// The zone of the rule's times.
    pub zone: Zone,
    /// From when an interval counts: the moment at which the rule was given.
    pub anchor: Timestamp,
    /// Whether it runs at all.
    pub enabled: bool,
    /// It has run for the last time; kept to be looked at.
    pub finished: bool,
    /// When it runs next; `None` when it is off or finished.
    pub next_run: Option<Timestamp>,
    /// When it last ran.
    pub last_run: Option<Timestamp>,
    /// What came of that, or of a run that was missed since.
    pub last_result: Option<RunResult>,
    /// How often it ran.
    pub runs: u32,
    /// Runs that came to nothing: missed, refused, given up.
    pub failures: u32,
    /// The conversation in which it was made.
    pub conversation_id: Option<ConversationId>,
    /// Grows with each change of its row, so that a change made in ignorance of another is refused.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunResult {
    /// The text waits for the carrier.
    Sending,
    /// The carrier has the text.
    Sent,
    /// There is no way to the person's phone: it stands in the conversation and was shown on the live stream.
    Stored,
    /// It is being answered, or waits for its turn.
    Answering,
    /// It was answered; the answer left like any other.
    Answered,
    /// It was answered; there is no way to the person's phone, so the answer stands in the conversation.
    AnsweredStored,
    /// The turn was refused before a model was asked.
    Refused(Refusal),
    /// The turn or the delivery was given up.
    Failed(String),
    /// Its time passed while nobody was there to run it.
    Missed,
    /// The person has opted out of texts: nothing was done.
    OptedOut,
    /// The person is blocked: nothing was done.
    Blocked,
    /// The conversation with its answer was deleted.
    Deleted,
}

impl RunResult {
    /// Whether it counts as a failure.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Failed(_) | Self::Missed | Self::OptedOut | Self::Blocked)
    }
}

impl fmt::Display for RunResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sending => "being sent",
            Self::Sent => "sent",
            Self::Stored => "stored, not texted: no way to a phone is known",
            Self::Answering => "being answered",
            Self::Answered => "answered",
            Self::AnsweredStored => "answered, not texted: no way to a phone is known",
            Self::Refused(refusal) => return write!(f, "refused: {}", refusal.as_str()),
            Self::Failed(error) => return write!(f, "failed: {error}"),
            Self::Missed => "missed: nobody was there to run it in time",
            Self::OptedOut => "not run: the person has opted out of texts",
            Self::Blocked => "not run: the person is blocked",
            Self::Deleted => "unknown: its conversation was deleted",
        })
    }
}
