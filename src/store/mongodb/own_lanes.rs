//! The lanes that this process left due itself: it need not ask the server for them.
//!
//! Nothing is decided by this. A lane that somebody else has taken meanwhile is found out by the head's version, and one that is
//! missing here is found by the next question that goes to the server.

use std::collections::{BTreeSet, HashMap};

use super::head::Head;
use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;
use crate::store::LaneKind;

/// Lanes of both kinds.
#[derive(Debug, Default)]
pub(super) struct OwnLanes {
    turns: Lanes,
    deliveries: Lanes,
}

/// People, by when their lane may be looked at.
#[derive(Debug, Default)]
struct Lanes {
    by_time: BTreeSet<(Timestamp, UserId)>,
    times: HashMap<UserId, Timestamp>,
}

impl OwnLanes {
    /// Notes when the person's lanes may be looked at.
    pub(super) fn note(&mut self, head: &Head) {
        self.turns.set(head.user_id, head.state.turn_lane.next);
        self.deliveries.set(head.user_id, head.state.delivery_lane.next);
    }

    /// What is known of the person's lanes is no longer so.
    pub(super) fn forget(&mut self, user_id: UserId) {
        self.turns.set(user_id, None);
        self.deliveries.set(user_id, None);
    }

    /// The lanes of a kind, by when they may be looked at.
    pub(super) fn in_order(&self, lane: LaneKind) -> impl Iterator<Item = (Timestamp, UserId)> {
        let lanes = match lane {
            LaneKind::Turns => &self.turns,
            LaneKind::Deliveries => &self.deliveries,
        };
        lanes.by_time.iter().copied()
    }
}

impl Lanes {
    fn set(&mut self, user_id: UserId, next: Option<Timestamp>) {
        let before = match next {
            Some(next) => self.times.insert(user_id, next),
            None => self.times.remove(&user_id),
        };
        if let Some(before) = before {
            self.by_time.remove(&(before, user_id));
        }
        if let Some(next) = next {
            self.by_time.insert((next, user_id));
        }
    }
}
