//! Credits: what a person may spend.
//!
//! One credit is a millionth of the currency unit that the host thinks in, as in LibreChat, so a model at 2.50 a million
//! tokens costs 2.5 credits a token, and a carrier's segment at 0.0079 costs 7,900.

use serde::{Deserialize, Serialize};

/// An amount of credits; a balance may fall below zero by what one answer cost more than was reserved for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Credits(pub i64);

impl Credits {
    /// None.
    pub const ZERO: Self = Self(0);

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// Tokens that a completion took, as the model reports them or as estimated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    #[serde(default)]
    pub prompt_tokens: i64,
    /// Tokens of the answer.
    #[serde(default)]
    pub completion_tokens: i64,
    /// Both.
    #[serde(default)]
    pub total_tokens: i64,
}

/// What things cost, in credits.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Prices {
    /// A token of a prompt.
    pub prompt_token: f64,
    /// A token of an answer.
    pub completion_token: f64,
    /// One segment handed to the carrier.
    pub segment: i64,
}

impl Prices {
    /// The cost of a completion and the segments that carry it, rounded up to a whole credit.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "token counts stay far below 2^52, and `as` saturates"
    )]
    pub fn cost(&self, usage: Usage, segments: u32) -> Credits {
        let tokens = self.prompt_token * usage.prompt_tokens.max(0) as f64 + self.completion_token * usage.completion_tokens.max(0) as f64;
        Credits(tokens.ceil() as i64).plus(self.segments(segments))
    }

    /// The cost of handing segments to the carrier.
    #[must_use]
    pub const fn segments(&self, segments: u32) -> Credits {
        Credits(self.segment.saturating_mul(segments as i64))
    }
}

/// A repeated grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refill {
    /// Credits a time.
    pub credits: Credits,
    /// Milliseconds between two.
    pub every_millis: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_costs_its_tokens_and_its_segments_rounded_up() {
        let prices = Prices { prompt_token: 0.15, completion_token: 0.6, segment: 7_900 };
        let usage = Usage { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 };
        assert_eq!(prices.cost(usage, 2), Credits(21 + 15_800));
        assert_eq!(Prices::default().cost(usage, 2), Credits::ZERO);
    }
}
