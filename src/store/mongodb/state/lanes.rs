//! The two lanes of a person: when their heads may be looked at, and who holds them.

use super::{Draft, Lane, Outgoing, State, Turn};
use crate::domain::time::Timestamp;
use crate::store::{LEASE, Owner, StoreError, StoreResult};

impl Lane {
    /// Takes the lane for what has that number; returns the fence.
    pub(in crate::store::mongodb) fn take(&mut self, owner: &Owner, number: i64, now: Timestamp) -> i64 {
        self.owner = Some(owner.0.clone());
        self.leased = Some(number);
        self.fence += 1;
        self.next = Some(now.after(LEASE));
        self.fence
    }

    /// Extends a lease that its owner still has; false when it is another's.
    pub(in crate::store::mongodb) fn renew(&mut self, owner: &Owner, fence: i64, now: Timestamp) -> bool {
        let holds = self.owner.as_deref() == Some(owner.0.as_str()) && self.fence == fence;
        if holds {
            self.next = Some(now.after(LEASE));
        }
        holds
    }

    /// The number of what is held under that fence.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    pub(in crate::store::mongodb) fn held(&self, fence: i64) -> StoreResult<i64> {
        self.leased.filter(|_number| self.owner.is_some() && self.fence == fence).ok_or(StoreError::LeaseLost)
    }
}

impl State {
    /// The first turn that is not over.
    pub(in crate::store::mongodb) fn first_turn(&self) -> Option<&Turn> {
        self.turns.iter().min_by_key(|turn| turn.number)
    }

    /// The first outgoing message that is to leave.
    pub(in crate::store::mongodb) fn first_outgoing(&self) -> Option<&Outgoing> {
        self.outgoing.iter().filter(|message| message.is_open()).min_by_key(|message| message.number)
    }
}

impl Draft {
    /// Sets when the turn lane may be looked at, unless somebody holds it.
    pub(in crate::store::mongodb) fn refresh_turns(&mut self) {
        if self.state.turn_lane.owner.is_none() {
            self.state.turn_lane.next = self.state.first_turn().map(|turn| turn.due);
        }
    }

    /// Takes the turn lane from whoever holds it, whose lease ends by that, and sets when it may be looked at.
    pub(in crate::store::mongodb) fn free_turns(&mut self) {
        let lane = &mut self.state.turn_lane;
        lane.owner = None;
        lane.leased = None;
        lane.fence += 1;
        self.refresh_turns();
    }

    /// Sets when the delivery lane may be looked at, unless somebody holds it.
    pub(in crate::store::mongodb) fn refresh_deliveries(&mut self) {
        if self.state.delivery_lane.owner.is_none() {
            let head = self.state.first_outgoing().map(|message| (message.due, message.route.gateway.clone()));
            let (next, gateway) = head.unzip();
            self.state.delivery_lane.next = next;
            self.state.delivery_lane.gateway = gateway;
        }
    }

    /// Gives the delivery lane back, whoever held it.
    pub(in crate::store::mongodb) fn free_deliveries(&mut self) {
        self.state.delivery_lane.owner = None;
        self.state.delivery_lane.leased = None;
        self.refresh_deliveries();
    }
}
