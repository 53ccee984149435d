//! Durable work: a turn to answer, an outgoing message to deliver.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ids::{InvalidId, OutboundId, TurnId, UserId};
use super::time::Timestamp;

/// What kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// Answer a turn.
    Reply,
    /// Deliver an outgoing message.
    Deliver,
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Due, or behind another of the same person.
    Ready,
    /// Being worked on.
    Leased,
    /// Not due yet: gathering texts, backing off, or kept for `MORE`.
    Waiting,
    /// Given up; an operator replays or discards it.
    Dead,
    /// Finished, discarded and canceled ones included.
    Done,
}

impl JobState {
    /// Of work that is not over: whether somebody has leased it, and when it is due.
    #[must_use]
    pub fn waiting_for(leased: bool, due: Timestamp, now: Timestamp) -> Self {
        if leased {
            Self::Leased
        } else if due > now {
            Self::Waiting
        } else {
            Self::Ready
        }
    }
}

/// A piece of work: a turn's reply or an outgoing message, by its own id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobId {
    /// The reply to this turn; written `reply-<uuid>`.
    Reply(TurnId),
    /// The delivery of this message; written `deliver-<uuid>`.
    Deliver(OutboundId),
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(id) => write!(f, "reply-{id}"),
            Self::Deliver(id) => write!(f, "deliver-{id}"),
        }
    }
}

impl FromStr for JobId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if let Some(id) = text.strip_prefix("deliver-") {
            return id.parse().map(Self::Deliver);
        }
        text.strip_prefix("reply-").unwrap_or(text).parse().map(Self::Reply)
    }
}

impl Serialize for JobId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A job as listed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What kind of work.
    pub kind: JobKind,
    /// Where it stands.
    pub state: JobState,
    /// Whose it is.
    pub user: UserId,
    /// Tries whose end was recorded: those that failed, and the one that ended it.
    pub attempts: u32,
    /// When it is due; for a done or dead one, when it ended.
    pub due: Timestamp,
    /// What went wrong last.
    pub error: Option<String>,
}
