//! What a person may have: turns a day, and what one may cost, held before a model is asked.

use crate::config::Config;
use crate::domain::ledger::{Credits, Prices, Refill, Usage};
use crate::domain::time::Timestamp;
use crate::domain::turn::LeasedTurn;
use crate::store::{BalanceRules, DailyLimits, Reservation, SharedStore, StoreError};

/// How balances are granted; `None` where nobody pays.
pub(super) fn balance_rules(config: &Config) -> Option<BalanceRules> {
    let settings = &config.balance;
    let refill = (settings.refill_credits > 0)
        .then(|| Refill { credits: Credits(settings.refill_credits), every_millis: i64::from(settings.refill_hours) * 3_600_000 });
    settings.enabled.then_some(BalanceRules { start: Credits(settings.start_credits), refill })
}

/// The turns that may begin on the day of that moment.
pub(super) fn daily_limits(config: &Config, now: Timestamp) -> DailyLimits {
    DailyLimits { day: now.utc_day(), per_person: config.limits.turns_per_day, all: config.limits.turns_per_day_all }
}

/// The credits of a turn's person, as far as this turn is concerned.
pub(super) struct Wallet<'a> {
    store: &'a SharedStore,
    turn: &'a LeasedTurn,
    prices: Prices,
    /// Segments that the reply may take.
    segments: u32,
    /// `None` where nobody pays.
    rules: Option<BalanceRules>,
}

impl<'a> Wallet<'a> {
    pub(super) fn new(store: &'a SharedStore, config: &Config, turn: &'a LeasedTurn, prices: Prices) -> Self {
        let sms = &config.sms;
        let segments = if turn.route.is_some() { sms.segments_per_message.saturating_mul(sms.max_messages) } else { 0 };
        Self { store, turn, prices, segments, rules: balance_rules(config) }
    }

    /// Holds what that many tokens and the segments of a reply cost, in place of what was held before. False when the person has
    /// not as much; then nothing is held.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]; [`StoreError::Unavailable`].
    pub(super) async fn hold(&self, tokens: Usage) -> Result<bool, StoreError> {
        let Some(rules) = self.rules else { return Ok(true) };
        let reservation = self.store.reserve(&self.turn.lease, rules, self.prices.cost(tokens, self.segments)).await?;
        Ok(reservation == Reservation::Held)
    }

    /// What the tokens and the segments that really leave are charged.
    pub(super) fn charge(&self, tokens: Usage, segments: u32) -> Credits {
        if self.rules.is_some() { self.prices.cost(tokens, segments) } else { Credits::ZERO }
    }
}
