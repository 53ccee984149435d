//! Turns and outgoing messages as jobs: replayed and discarded.

use super::words::{OpenState, TurnKind};
use super::{Draft, Outgoing, Turn};
use crate::domain::delivery::OutboundState;
use crate::domain::ids::{OutboundId, TurnId, UserId};
use crate::domain::job::{Job, JobId, JobKind, JobState};
use crate::domain::time::Timestamp;
use crate::domain::turn::Refusal;
use crate::store::mongodb::names::Place;
use crate::store::mongodb::shapes;
use crate::store::mongodb::state::{Lane, State};
use crate::store::{StoreError, StoreResult};

impl Lane {
    fn works_on(&self, number: i64, now: Timestamp) -> bool {
        self.leased == Some(number) && self.next.is_some_and(|next| next > now)
    }
}

/// A turn that is not over, as a job.
pub(in crate::store::mongodb) fn turn_job(user: UserId, lane: &Lane, turn: &Turn, now: Timestamp) -> Job {
    Job {
        id: JobId::Reply(turn.id),
        kind: JobKind::Reply,
        state: JobState::waiting_for(lane.works_on(turn.number, now), turn.due, now),
        user,
        attempts: turn.attempts,
        due: turn.due,
        error: turn.error.clone(),
    }
}

/// An outgoing message as a job.
pub(in crate::store::mongodb) fn delivery_job(user: UserId, lane: &Lane, message: &Outgoing, now: Timestamp) -> Job {
    let state = match message.state {
        OutboundState::Accepted | OutboundState::Canceled => JobState::Done,
        OutboundState::Dead => JobState::Dead,
        OutboundState::Held => JobState::Waiting,
        OutboundState::Ready | OutboundState::Sending | OutboundState::Checking => {
            JobState::waiting_for(lane.works_on(message.number, now), message.due, now)
        }
    };
    Job {
        id: JobId::Deliver(message.id),
        kind: JobKind::Deliver,
        state,
        user,
        attempts: message.attempts,
        due: message.due,
        error: message.error.clone(),
    }
}

impl State {
    /// A job that is not over.
    pub(in crate::store::mongodb) fn job(&self, user: UserId, id: JobId, now: Timestamp) -> Option<Job> {
        match id {
            JobId::Reply(id) => self.turns.iter().find(|turn| turn.id == id).map(|turn| turn_job(user, &self.turn_lane, turn, now)),
            JobId::Deliver(id) => {
                let found = self.outgoing.iter().find(|message| message.id == id);
                found.map(|message| delivery_job(user, &self.delivery_lane, message, now))
            }
        }
    }
}

impl Draft {
    /// Makes a dead turn due now, with its attempts counted anew.
    pub(in crate::store::mongodb) fn replay_turn(&mut self, mut turn: Turn, answer_until: Timestamp) -> Job {
        turn.state = OpenState::Begun;
        turn.attempts = 0;
        turn.starts = 0;
        turn.due = self.now;
        turn.answer_until = Some(answer_until);
        self.delete(Place::Turns, shapes::turn_key(turn.id));
        let job = turn_job(self.user_id, &self.state.turn_lane, &turn, self.now);
        self.put_back(turn);
        self.refresh_turns();
        job
    }

    /// Makes a dead message due now, with its attempts counted anew.
    pub(in crate::store::mongodb) fn replay_message(&mut self, mut message: Outgoing, expires_at: Timestamp) -> Job {
        message.state = OutboundState::Ready;
        message.attempts = 0;
        message.checks = 0;
        message.due = self.now;
        message.expires_at = expires_at;
        self.delete(Place::Outbox, shapes::outbox_key(message.id));
        let job = delivery_job(self.user_id, &self.state.delivery_lane, &message, self.now);
        let place = self.state.outgoing.iter().position(|other| other.number > message.number).unwrap_or(self.state.outgoing.len());
        self.state.outgoing.insert(place, message);
        self.refresh_deliveries();
        job
    }

    /// Ends a turn that is waiting, without answering it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it, or its conversation, is not among the state's.
    pub(in crate::store::mongodb) fn discard_waiting_turn(&mut self, id: TurnId) -> StoreResult<()> {
        let missing = StoreError::NotFound { what: "the job" };
        let first = self.state.first_turn().map(|turn| turn.number);
        let now = self.now;
        let turn = self.state.turns.iter_mut().find(|turn| turn.id == id).ok_or(missing)?;
        let is_head = first == Some(turn.number);
        if turn.state == OpenState::Open && !is_head {
            // Its texts come after those of the turns before it, so it is ended when it is its turn.
            turn.kind = TurnKind::Record;
            turn.refusal = Some(Refusal::Discarded);
            turn.due = turn.due.min(now);
            turn.gather_until = None;
            return Ok(());
        }
        let number = turn.number;
        if let Some(turn) = self.take_turn(number) {
            self.discard_turn(turn)?;
        }
        if is_head {
            self.free_turns();
        }
        Ok(())
    }

    /// Ends a message that is waiting, without sending it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not among the state's.
    pub(in crate::store::mongodb) fn discard_waiting_message(&mut self, id: OutboundId) -> StoreResult<()> {
        let now = self.now;
        let message = self.outgoing_by_id(id).ok_or(StoreError::NotFound { what: "the job" })?;
        message.state = OutboundState::Canceled;
        message.error = Some("discarded by an operator".to_owned());
        message.due = now;
        let number = message.number;
        // A dead holder's lane, or one that waits behind this message, goes on.
        let lane = &self.state.delivery_lane;
        if lane.owner.is_some() && lane.leased == Some(number) {
            self.free_deliveries();
        } else {
            self.refresh_deliveries();
        }
        Ok(())
    }
}
