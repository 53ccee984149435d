//! Handing out turns: beginning them, and ending on the way those that need no model.

use super::credits::Everybody;
use super::words::{OpenState, TurnKind};
use super::{Draft, Turn};
use crate::domain::turn::{LeasedTurn, TurnLease};
use crate::store::{DailyLimits, Owner, StoreError, StoreResult};

/// Turns of one lane that are ended on the way in one unit; a longer row of them goes on with the next.
const ENDED_AT_ONCE: usize = 64;

impl Draft {
    /// Leases the head of the turn lane, where there is one that is due and needs a model; turns that need none are ended on the
    /// way. `everybody` says whether a turn that begins now finds room in the day of all together.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when a turn's conversation is not among the state's.
    pub(in crate::store::mongodb) fn lease_turn(
        &mut self,
        owner: &Owner,
        limits: &DailyLimits,
        everybody: Everybody,
    ) -> StoreResult<Option<LeasedTurn>> {
        // The head of the lane is taken by somebody until then.
        if self.state.turn_lane.next.is_none_or(|next| next > self.now) {
            return Ok(None);
        }
        for _ in 0..ENDED_AT_ONCE {
            let head = self.state.first_turn().filter(|turn| turn.due <= self.now).map(|turn| (turn.number, turn.kind));
            let Some((number, kind)) = head else { break };
            let Some(turn) = self.take_turn(number) else { break };
            if kind == TurnKind::Reply {
                return self.lease(owner, turn, limits, everybody).map(Some);
            }
            self.end_without_model(turn)?;
        }
        // Nothing to be leased: whoever held the lane is long gone.
        self.free_turns();
        Ok(None)
    }

    fn lease(&mut self, owner: &Owner, mut turn: Turn, limits: &DailyLimits, everybody: Everybody) -> StoreResult<LeasedTurn> {
        if turn.state == OpenState::Open {
            self.begin(&mut turn)?;
            turn.over_limit = self.count_turn(limits, everybody);
        }
        let fence = self.state.turn_lane.take(owner, turn.number, self.now);
        let thread = self.state.thread(turn.conversation_id).ok_or(StoreError::NotFound { what: "the conversation" })?;
        let leased = LeasedTurn {
            lease: TurnLease { user_id: self.user_id, turn_id: turn.id, fence },
            user: self.state.user(self.user_id),
            conversation: thread.conversation(self.user_id),
            texts: turn.messages(self.user_id),
            request: turn.request.clone(),
            route: turn.route.clone(),
            attempts: turn.attempts,
            starts: turn.starts,
            answer_until: turn.answer_until,
            opened_at: turn.opened_at,
            over_limit: turn.over_limit,
            steps: turn.steps.iter().map(super::StepState::step).collect(),
        };
        turn.starts += 1;
        self.put_back(turn);
        Ok(leased)
    }
}
