//! What a run of a schedule began, and how that ended as far as it is known.

use super::RunResult;
use crate::domain::delivery::OutboundState;
use crate::domain::turn::{Refusal, TurnState};

/// What a run began, or why it did not. Where what it began ended is read from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// A text for the carrier.
    Texted,
    /// An entry alone.
    Stored,
    /// A turn.
    Asked,
    /// Nothing: its time passed while nobody was there to run it.
    Missed,
    /// Nothing: the person has opted out of texts.
    OptedOut,
    /// Nothing: the person is blocked.
    Blocked,
    /// Nothing: a limit, or the balance.
    Refused(Refusal),
}

/// How far a turn has come that a run made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnProgress {
    /// Where it stands.
    pub state: TurnState,
    /// Why it was refused.
    pub refusal: Option<Refusal>,
    /// What went wrong.
    pub error: Option<String>,
}

/// How far an outgoing message has come that a run made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundProgress {
    /// Where it stands.
    pub state: OutboundState,
    /// What went wrong.
    pub error: Option<String>,
}

/// How far what a run made has come. What is `None` was not made, or has been deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunProgress {
    /// The turn.
    pub turn: Option<TurnProgress>,
    /// Whether there was a way to the person's phone.
    pub routed: bool,
    /// The first of its outgoing messages.
    pub outbound: Option<OutboundProgress>,
}

impl RunOutcome {
    const PLAIN: [Self; 6] = [Self::Texted, Self::Stored, Self::Asked, Self::Missed, Self::OptedOut, Self::Blocked];

    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Texted => "texted",
            Self::Stored => "stored",
            Self::Asked => "asked",
            Self::Missed => "missed",
            Self::OptedOut => "opted-out",
            Self::Blocked => "blocked",
            Self::Refused(refusal) => refusal.as_str(),
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let plain = Self::PLAIN.into_iter().find(|outcome| outcome.as_str() == word);
        plain.or_else(|| Refusal::parse(word).map(Self::Refused))
    }

    /// Whether it is known at once that it came to nothing.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Missed | Self::OptedOut | Self::Blocked | Self::Refused(_))
    }

    /// Whether it began something that then came to nothing. What was known at once is counted when the run is recorded; this is not,
    /// until the next run begins.
    #[must_use]
    pub const fn failed_later(self, result: &RunResult) -> bool {
        !self.is_failure() && result.is_failure()
    }

    /// How the run ended, as far as its turn or its outgoing message knows.
    #[must_use]
    pub fn result(self, progress: &RunProgress) -> RunResult {
        match self {
            Self::Stored => RunResult::Stored,
            Self::Missed => RunResult::Missed,
            Self::OptedOut => RunResult::OptedOut,
            Self::Blocked => RunResult::Blocked,
            Self::Refused(refusal) => RunResult::Refused(refusal),
            Self::Texted => progress.outbound.as_ref().map_or(RunResult::Deleted, texted),
            Self::Asked => progress.turn.as_ref().map_or(RunResult::Deleted, |turn| asked(turn, progress.routed)),
        }
    }
}

fn texted(outbound: &OutboundProgress) -> RunResult {
    match outbound.state {
        OutboundState::Accepted => RunResult::Sent,
        OutboundState::Dead | OutboundState::Canceled => RunResult::Failed(outbound.error.clone().unwrap_or_default()),
        OutboundState::Held | OutboundState::Ready | OutboundState::Sending | OutboundState::Checking => RunResult::Sending,
    }
}

fn asked(turn: &TurnProgress, routed: bool) -> RunResult {
    match (turn.state, turn.refusal) {
        (TurnState::Open | TurnState::Begun, _) => RunResult::Answering,
        (TurnState::Dead, _) => RunResult::Failed(turn.error.clone().unwrap_or_default()),
        (TurnState::Done, Some(refusal)) => RunResult::Refused(refusal),
        (TurnState::Done, None) if routed => RunResult::Answered,
        (TurnState::Done, None) => RunResult::AnsweredStored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_read_as_it_is_written() {
        for outcome in RunOutcome::PLAIN.into_iter().chain([RunOutcome::Refused(Refusal::OutOfCredit)]) {
            assert_eq!(RunOutcome::parse(outcome.as_str()), Some(outcome));
        }
        assert_eq!(RunOutcome::parse("never"), None);
    }

    #[test]
    fn what_was_deleted_is_no_failure_and_what_died_is_one() {
        let none = RunProgress::default();
        assert_eq!((RunOutcome::Texted.result(&none), RunOutcome::Asked.result(&none)), (RunResult::Deleted, RunResult::Deleted));
        assert!(!RunOutcome::Asked.failed_later(&RunResult::Deleted));
        let turn = TurnProgress { state: TurnState::Dead, refusal: None, error: Some("no model".to_owned()) };
        let dead = RunOutcome::Asked.result(&RunProgress { turn: Some(turn), ..none });
        assert_eq!(dead, RunResult::Failed("no model".to_owned()));
        assert!(RunOutcome::Asked.failed_later(&dead) && !RunOutcome::Missed.failed_later(&RunResult::Missed));
    }
}
