//! Handing out deliveries and recording how they went.

use super::{Draft, Outgoing};
use crate::domain::delivery::OutboundState;
use crate::domain::ids::OutboundId;
use crate::store::mongodb::names::Place;
use crate::store::mongodb::shapes;
use crate::store::mongodb::staged::{What, Write};
use crate::store::{Consent, DeliveryLease, DeliveryOutcome, DeliveryWork, LeasedDelivery, Looked, Owner, StoreError, StoreResult};

/// Messages of one lane that are withdrawn on the way in one unit.
const WITHDRAWN_AT_ONCE: usize = 64;

/// A carrier's error as kept with a message.
pub(in crate::store::mongodb) fn carrier_error(code: &str) -> String {
    format!("the carrier reports error {code}")
}

impl Draft {
    fn outgoing_mut(&mut self, number: i64) -> Option<&mut Outgoing> {
        self.state.outgoing.iter_mut().find(|message| message.number == number)
    }

    /// Leases the head of the delivery lane, if it is due and leaves by one of `gateways`.
    pub(in crate::store::mongodb) fn lease_delivery(&mut self, owner: &Owner, gateways: &[String]) -> Option<LeasedDelivery> {
        // Taken by somebody until then.
        if self.state.delivery_lane.next.is_none_or(|next| next > self.now) {
            return None;
        }
        let now = self.now;
        for _ in 0..WITHDRAWN_AT_ONCE {
            // Another gateway's message may have come to the head since the lane was found; it waits for who has that open.
            let head = self.state.first_outgoing().filter(|head| head.due <= now && gateways.contains(&head.route.gateway));
            let Some(head) = head else { break };
            let number = head.number;
            let reason = if head.state != OutboundState::Ready {
                // Perhaps sent: the carrier is asked, whatever else.
                None
            } else if head.expires_at < now {
                Some("too old to be sent")
            } else if !head.confirmation && self.state.opted_out() {
                Some("the person opted out")
            } else {
                None
            };
            let Some(reason) = reason else { return self.lease_message(owner, number) };
            if let Some(message) = self.outgoing_mut(number) {
                message.state = OutboundState::Canceled;
                message.error = Some(reason.to_owned());
                message.due = now;
            }
        }
        self.free_deliveries();
        None
    }

    fn lease_message(&mut self, owner: &Owner, number: i64) -> Option<LeasedDelivery> {
        let (user_id, now) = (self.user_id, self.now);
        let fence = self.state.delivery_lane.take(owner, number, now);
        let message = self.outgoing_mut(number)?;
        let work = if message.state == OutboundState::Ready {
            message.state = OutboundState::Sending;
            message.attempts += 1;
            message.checks = 0;
            message.attempted_at = Some(now);
            DeliveryWork::Send
        } else {
            message.state = OutboundState::Checking;
            DeliveryWork::LookUp
        };
        let message = message.message(user_id);
        Some(LeasedDelivery { lease: DeliveryLease { user_id, outbound_id: message.id, fence }, message, work })
    }

    /// The number of the message of a lease that still holds.
    fn held_message(&self, lease: &DeliveryLease) -> StoreResult<i64> {
        let number = self.state.delivery_lane.held(lease.fence)?;
        let held = self.state.outgoing.iter().any(|message| message.number == number && message.id == lease.outbound_id);
        if held { Ok(number) } else { Err(StoreError::LeaseLost) }
    }

    /// Records how an attempt or a look-up went.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    pub(in crate::store::mongodb) fn record_delivery(&mut self, lease: &DeliveryLease, outcome: &DeliveryOutcome) -> StoreResult<()> {
        let number = self.held_message(lease)?;
        let now = self.now;
        let message = self.outgoing_mut(number).ok_or(StoreError::LeaseLost)?;
        // Withdrawn while it was being looked up: only that it was sent after all changes anything.
        let withdrawn = message.state == OutboundState::Canceled;
        let mut claim = None;
        match outcome {
            DeliveryOutcome::Accepted { gateway_message_id, status } => {
                message.state = OutboundState::Accepted;
                message.due = now;
                message.status = Some(*status);
                message.gateway_message_id = Some(gateway_message_id.clone());
                message.error = None;
                claim = Some(shapes::report_key(&message.route.gateway, gateway_message_id));
            }
            DeliveryOutcome::OptedOut { error } => {
                message.state = OutboundState::Canceled;
                message.due = now;
                message.error = Some(error.clone());
                let to = message.to.clone();
                self.record_word(&to, Consent::OptOut, now);
            }
            _ if withdrawn => {}
            DeliveryOutcome::Retry { due, error } => {
                message.state = OutboundState::Ready;
                message.due = *due;
                message.error = Some(error.clone());
            }
            DeliveryOutcome::LookUp { due, error, looked } => {
                message.state = OutboundState::Checking;
                message.due = *due;
                message.error = Some(error.clone());
                message.checks += u32::from(*looked == Looked::Yes);
            }
            DeliveryOutcome::SendAgain => {
                message.state = OutboundState::Ready;
                message.due = now;
                message.checks = 0;
            }
            DeliveryOutcome::Stopped { due, error } => {
                message.undo_lease();
                message.due = *due;
                message.error = Some(error.clone());
            }
            DeliveryOutcome::Dead { error } => {
                message.state = OutboundState::Dead;
                message.due = now;
                message.error = Some(error.clone());
            }
        }
        self.free_deliveries();
        if let Some(key) = claim {
            // A report that came before the carrier's answer counts now. Whoever applies this learns of it, behind the message
            // itself: so a report finds the message, or the message finds the report.
            self.put_away_outgoing();
            self.writes.add(Write { place: Place::Reports, key, what: What::Claim });
        }
        Ok(())
    }

    /// Gives a delivery back as if it had not been leased.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    pub(in crate::store::mongodb) fn release_delivery(&mut self, lease: &DeliveryLease) -> StoreResult<()> {
        let number = self.held_message(lease)?;
        let now = self.now;
        if let Some(message) = self.outgoing_mut(number).filter(|message| message.state != OutboundState::Canceled) {
            message.undo_lease();
            message.due = now;
        }
        self.free_deliveries();
        Ok(())
    }

    /// The message with that id, where it is on its way.
    pub(in crate::store::mongodb) fn outgoing_by_id(&mut self, id: OutboundId) -> Option<&mut Outgoing> {
        self.state.outgoing.iter_mut().find(|message| message.id == id)
    }
}

impl Outgoing {
    /// What the lease did is undone: an attempt to send does not count, a look-up stays one.
    fn undo_lease(&mut self) {
        if self.state == OutboundState::Sending {
            self.state = OutboundState::Ready;
            self.attempts = self.attempts.saturating_sub(1);
        }
    }
}
