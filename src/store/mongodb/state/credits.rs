//! Credits: what is granted, held and taken, and turns of a day.

use super::{Draft, Turn};
use crate::domain::ledger::Credits;
use crate::domain::turn::{Refusal, TurnLease};
use crate::store::{BalanceRules, DailyLimits, Reservation, StoreResult};

/// Whether a turn of everybody's may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::mongodb) enum Everybody {
    /// There is room, and this one is counted.
    Counted,
    /// The day is full.
    Full,
}

impl Draft {
    /// Grants the person what is due; returns what they have then.
    pub(in crate::store::mongodb) fn grant_due(&mut self, rules: BalanceRules) -> Credits {
        let (balance, refilled_at) = rules.granted(self.state.balance, self.state.refilled_at, self.now);
        self.state.balance = Some(balance);
        self.state.refilled_at = Some(refilled_at);
        self.show_balance();
        balance
    }

    /// Takes credits, where there is a balance; whether there is.
    pub(in crate::store::mongodb) fn charge(&mut self, credits: Credits) -> bool {
        let Some(balance) = self.state.balance else { return false };
        self.state.balance = Some(balance.minus(credits));
        self.show_balance();
        true
    }

    /// Holds credits for a turn.
    pub(in crate::store::mongodb) fn reserve(
        &mut self,
        lease: &TurnLease,
        rules: BalanceRules,
        credits: Credits,
    ) -> StoreResult<Reservation> {
        let turn = self.held_turn(lease)?;
        let (number, before) = (turn.number, turn.reserved);
        // They are for the whole turn: what it has been charged already is not held again.
        let credits = credits.minus(turn.charge).max(Credits::ZERO);
        let balance = self.grant_due(rules).plus(before);
        let enough = balance >= credits;
        let held = if enough { credits } else { before };
        self.state.balance = Some(balance.minus(held));
        self.show_balance();
        if let Some(turn) = self.turn_mut(number) {
            turn.reserved = held;
        }
        Ok(if enough { Reservation::Held } else { Reservation::Insufficient { balance } })
    }

    /// Gives back what was held for a turn and takes what it has cost in all, less what was taken before: so it is paid for once,
    /// however often it is settled. What was taken is not given back.
    pub(in crate::store::mongodb) fn settle(&mut self, turn: &mut Turn, cost: Credits) {
        let charge = cost.max(turn.charge).minus(turn.charge);
        let back = turn.reserved.minus(charge);
        if back != Credits::ZERO {
            self.charge(Credits::ZERO.minus(back));
        }
        turn.reserved = Credits::ZERO;
        turn.charge = turn.charge.plus(charge);
    }

    /// The same for a turn that ends without an answer, or may: its recorded steps were paid for by the host. A turn without any
    /// has cost what it was charged.
    pub(in crate::store::mongodb) fn settle_unanswered(&mut self, turn: &mut Turn) {
        let spent = turn.steps.last().map_or(turn.charge, |step| step.charge);
        self.settle(turn, spent);
    }

    /// Whether the person has begun as many turns of that day as they may.
    pub(in crate::store::mongodb) fn is_over_own_limit(&self, limits: &DailyLimits) -> bool {
        limits.per_person > 0 && self.turns_of(limits) >= limits.per_person
    }

    /// Counts a turn that begins, unless it is over a limit. `everybody` is asked when the person's own limit lets it begin.
    pub(in crate::store::mongodb) fn count_turn(&mut self, limits: &DailyLimits, everybody: Everybody) -> Option<Refusal> {
        if limits.per_person == 0 && limits.all == 0 {
            return None;
        }
        if self.is_over_own_limit(limits) {
            return Some(Refusal::PersonLimit);
        }
        if everybody == Everybody::Full {
            return Some(Refusal::TotalLimit);
        }
        self.state.turns_today = self.turns_of(limits) + 1;
        self.state.turns_day = Some(limits.day.clone());
        None
    }

    fn turns_of(&self, limits: &DailyLimits) -> u32 {
        if self.state.turns_day.as_deref() == Some(limits.day.as_str()) { self.state.turns_today } else { 0 }
    }
}
