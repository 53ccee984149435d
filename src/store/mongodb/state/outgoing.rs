//! Outgoing messages on their way to a carrier, and what becomes of them when they have gone it.

use serde::{Deserialize, Serialize};

use super::Draft;
use super::words::outbound_state;
use crate::domain::delivery::{DeliveryStatus, OutboundMessage, OutboundState, ReplyRoute};
use crate::domain::ids::{ConversationId, OutboundId, TurnId, UserId};
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::store::NewOutbound;
use crate::store::mongodb::names::Place;
use crate::store::mongodb::shapes;

/// An outgoing message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::store::mongodb) struct Outgoing {
    pub(in crate::store::mongodb) number: i64,
    pub(in crate::store::mongodb) id: OutboundId,
    pub(in crate::store::mongodb) turn_id: TurnId,
    pub(in crate::store::mongodb) conversation_id: ConversationId,
    pub(in crate::store::mongodb) part: u32,
    pub(in crate::store::mongodb) to: PhoneNumber,
    pub(in crate::store::mongodb) route: ReplyRoute,
    pub(in crate::store::mongodb) body: String,
    pub(in crate::store::mongodb) segments: u32,
    #[serde(with = "outbound_state")]
    pub(in crate::store::mongodb) state: OutboundState,
    /// It confirms a consent word and may be sent to somebody who opted out.
    #[serde(default)]
    pub(in crate::store::mongodb) confirmation: bool,
    /// When it may be sent or looked up, and when it ended.
    pub(in crate::store::mongodb) due: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store::mongodb) status: Option<DeliveryStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store::mongodb) gateway_message_id: Option<String>,
    #[serde(default)]
    pub(in crate::store::mongodb) attempts: u32,
    #[serde(default)]
    pub(in crate::store::mongodb) checks: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store::mongodb) attempted_at: Option<Timestamp>,
    pub(in crate::store::mongodb) expires_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store::mongodb) error: Option<String>,
    pub(in crate::store::mongodb) created_at: Timestamp,
}

/// As part of what, and by which way, outgoing messages are made.
pub(in crate::store::mongodb) struct Recipient<'a> {
    pub(in crate::store::mongodb) phone: &'a PhoneNumber,
    pub(in crate::store::mongodb) conversation_id: ConversationId,
    pub(in crate::store::mongodb) turn_id: TurnId,
    pub(in crate::store::mongodb) route: &'a ReplyRoute,
    /// It confirms a consent word and may be sent to somebody who opted out.
    pub(in crate::store::mongodb) confirmation: bool,
}

impl Outgoing {
    /// It is to be sent or looked up.
    pub(in crate::store::mongodb) const fn is_open(&self) -> bool {
        matches!(self.state, OutboundState::Ready | OutboundState::Sending | OutboundState::Checking)
    }

    /// Nothing more is to be done about it.
    pub(in crate::store::mongodb) const fn is_over(&self) -> bool {
        matches!(self.state, OutboundState::Accepted | OutboundState::Dead | OutboundState::Canceled)
    }

    /// The message as the port has it.
    pub(in crate::store::mongodb) fn message(&self, user_id: UserId) -> OutboundMessage {
        OutboundMessage {
            id: self.id,
            user_id,
            turn_id: self.turn_id,
            part: self.part,
            to: self.to.clone(),
            route: self.route.clone(),
            body: self.body.clone(),
            segments: self.segments,
            state: self.state,
            status: self.status,
            gateway_message_id: self.gateway_message_id.clone(),
            attempts: self.attempts,
            checks: self.checks,
            attempted_at: self.attempted_at,
            expires_at: self.expires_at,
            error: self.error.clone(),
            created_at: self.created_at,
        }
    }
}

impl Draft {
    /// Adds outgoing messages, in order. Parts kept back for an earlier reply give way to those kept back for this one: the word
    /// `MORE` asks for the rest of what was read last.
    pub(in crate::store::mongodb) fn add_outgoing(&mut self, to: &Recipient<'_>, outgoing: &[NewOutbound]) {
        if outgoing.is_empty() {
            return;
        }
        let now = self.now;
        if outgoing.iter().any(|part| part.held) {
            for message in self.state.outgoing.iter_mut().filter(|message| message.state == OutboundState::Held) {
                message.state = OutboundState::Canceled;
                message.error = Some("a later reply took its place".to_owned());
                message.due = now;
            }
        }
        for (part, new) in (0_u32..).zip(outgoing) {
            let number = self.next_number();
            self.state.outgoing.push(Outgoing {
                number,
                id: new.id,
                turn_id: to.turn_id,
                conversation_id: to.conversation_id,
                part,
                to: to.phone.clone(),
                route: to.route.clone(),
                body: new.body.clone(),
                segments: new.segments,
                state: if new.held { OutboundState::Held } else { OutboundState::Ready },
                confirmation: to.confirmation,
                due: now,
                status: None,
                gateway_message_id: None,
                attempts: 0,
                checks: 0,
                attempted_at: None,
                expires_at: new.expires_at,
                error: None,
                created_at: now,
            });
        }
        self.refresh_deliveries();
    }

    /// Withdraws what is still to be sent to the person, confirmations of consent words excepted. What is being handed to a
    /// carrier at this moment is not ours to stop.
    pub(in crate::store::mongodb) fn withdraw(&mut self, reason: &str) {
        let now = self.now;
        let ours = |state| matches!(state, OutboundState::Ready | OutboundState::Checking | OutboundState::Held);
        for message in self.state.outgoing.iter_mut().filter(|message| ours(message.state) && !message.confirmation) {
            message.state = OutboundState::Canceled;
            message.error = Some(reason.to_owned());
            message.due = now;
        }
        self.refresh_deliveries();
    }

    /// Moves what is over out of the state, to where it stays. What somebody holds stays until they give it back.
    pub(in crate::store::mongodb) fn put_away_outgoing(&mut self) {
        let leased = self.state.delivery_lane.leased;
        let over = |message: &Outgoing| message.is_over() && leased != Some(message.number);
        if !self.state.outgoing.iter().any(over) {
            return;
        }
        let (gone, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.state.outgoing).into_iter().partition(over);
        self.state.outgoing = left;
        for message in gone {
            let (key, insert) = shapes::outbox_document(self.user_id, &message);
            // Given once: what a carrier says of it later is written there alone, and a repeat of this must not undo it.
            self.put_new(Place::Outbox, key, mongodb::bson::Document::new(), insert);
        }
    }
}
