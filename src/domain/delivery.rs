//! Outgoing messages and what a carrier says of them.

use serde::{Deserialize, Serialize};

use super::ids::{OutboundId, TurnId, UserId};
use super::phone::PhoneNumber;
use super::time::Timestamp;

/// The carrier's word on an outgoing message, in Twilio's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// Taken, no sender chosen yet.
    Accepted,
    /// Taken, to be sent later.
    Scheduled,
    /// Waiting to be sent.
    Queued,
    /// On its way to the next carrier.
    Sending,
    /// The next carrier has it.
    Sent,
    /// The phone has it.
    Delivered,
    /// The phone does not have it.
    Undelivered,
    /// It could not be sent.
    Failed,
    /// Withdrawn before it was sent.
    Canceled,
    /// Read by the person.
    Read,
}

impl DeliveryStatus {
    /// How far along it is. A status never goes back; of equal rank the first stays.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::Accepted | Self::Scheduled => 0,
            Self::Queued => 1,
            Self::Sending => 2,
            Self::Sent => 3,
            Self::Delivered | Self::Undelivered | Self::Failed | Self::Canceled => 4,
            Self::Read => 5,
        }
    }

    /// The status after `report` arrived.
    #[must_use]
    pub const fn advanced_by(self, report: Self) -> Self {
        if report.rank() > self.rank() { report } else { self }
    }

    /// As the carrier and our rows write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Read => "read",
        }
    }

    /// Reads the carrier's word; `None` for one that is not known.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Accepted,
            Self::Scheduled,
            Self::Queued,
            Self::Sending,
            Self::Sent,
            Self::Delivered,
            Self::Undelivered,
            Self::Failed,
            Self::Canceled,
            Self::Read,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
    }
}

/// The way back to a phone: the gateway and the number of ours that was texted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyRoute {
    /// The gateway's name.
    pub gateway: String,
    /// Our number, as the carrier writes it; empty leaves the choice to the gateway's configuration.
    pub from: String,
}

/// Where an outgoing message stands with us (the carrier's word is its [`DeliveryStatus`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutboundState {
    /// Kept back until the person asks for `MORE`.
    Held,
    /// To be sent when due.
    Ready,
    /// Handed to the carrier by somebody; the answer is not recorded yet. Found so without a live lease, it is ambiguous.
    Sending,
    /// Perhaps sent: to be looked up at the carrier before another attempt.
    Checking,
    /// The carrier took it.
    Accepted,
    /// Given up; the error says why.
    Dead,
    /// Withdrawn by us: an opt-out, too old, or discarded by an operator.
    Canceled,
}

impl OutboundState {
    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Ready => "ready",
            Self::Sending => "sending",
            Self::Checking => "checking",
            Self::Accepted => "accepted",
            Self::Dead => "dead",
            Self::Canceled => "canceled",
        }
    }

    /// Reads a stored word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Held, Self::Ready, Self::Sending, Self::Checking, Self::Accepted, Self::Dead, Self::Canceled]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// A message to a phone, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboundMessage {
    /// Its id.
    pub id: OutboundId,
    /// Whom it is for.
    pub user_id: UserId,
    /// The turn it answers.
    pub turn_id: TurnId,
    /// Its place among the parts of one reply, from 0.
    pub part: u32,
    /// The person's number.
    pub to: PhoneNumber,
    /// The gateway and the number of ours it leaves by.
    pub route: ReplyRoute,
    /// The text, final: transliterated and split.
    pub body: String,
    /// Segments that the body takes.
    pub segments: u32,
    /// Where it stands with us.
    pub state: OutboundState,
    /// The carrier's word.
    pub status: Option<DeliveryStatus>,
    /// The carrier's id, once it took it.
    pub gateway_message_id: Option<String>,
    /// Requests made to send it.
    pub attempts: u32,
    /// Look-ups made since the last ambiguous attempt.
    pub checks: u32,
    /// When the last attempt began; look-ups search from here.
    pub attempted_at: Option<Timestamp>,
    /// Not sent after this moment.
    pub expires_at: Timestamp,
    /// Why it is dead, canceled, or being retried.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A carrier's later word on an outgoing message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReport {
    /// The gateway's name.
    pub gateway: String,
    /// The carrier's id of the message.
    pub gateway_message_id: String,
    /// Its word.
    pub status: DeliveryStatus,
    /// The carrier's error code, where there is one.
    pub error_code: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_never_goes_back_and_of_equal_rank_the_first_stays() {
        use DeliveryStatus::{Accepted, Delivered, Failed, Queued, Read, Scheduled, Sending, Sent, Undelivered};
        assert_eq!(Sent.advanced_by(Queued), Sent);
        assert_eq!(Queued.advanced_by(Sending), Sending);
        assert_eq!(Delivered.advanced_by(Failed), Delivered);
        assert_eq!(Undelivered.advanced_by(Delivered), Undelivered);
        assert_eq!(Accepted.advanced_by(Scheduled), Accepted);
        assert_eq!(Delivered.advanced_by(Read), Read);
    }
}
