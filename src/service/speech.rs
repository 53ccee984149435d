//! What of a model's text whoever looks on is shown, and when.
//!
//! The pieces that are shown, joined, are the reply. A model that may call tools often says beside its calls what it is about to do
//! ("Let me look."). Nobody wants to be texted that, and what was shown cannot be taken back; so as long as a step's text is short it
//! is held back, and dropped when a call follows. Text that has grown longer than [`HELD`] is an answer in all likelihood: it is
//! shown from then on as it comes, and should a call follow after all, it is part of the reply.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::watch::Show;
use crate::model::estimate_tokens;

/// Characters that are held back at most: a text message.
pub(super) const HELD: usize = 160;

/// Stands between what was shown in one step and in the next.
const BETWEEN: &str = "\n\n";

/// A reply that was ended in the middle.
pub(super) struct CutOff {
    /// The whole reply, all of which has been shown.
    pub(super) reply: String,
    /// Tokens of what the last step said of it, as estimated.
    pub(super) said_tokens: i64,
}

/// The reply of a turn on its way.
pub(super) struct Speech<'a> {
    show: &'a Show,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was shown: the reply so far.
    told: String,
    /// What is held back.
    held: String,
    holding: bool,
    /// Something of this step was shown.
    step_told: bool,
    /// Where in `told` that begins.
    step_from: usize,
}

impl State {
    fn tell(&mut self, show: &Show, text: &str) {
        if text.is_empty() {
            return;
        }
        if !self.step_told && !self.told.is_empty() {
            self.told.push_str(BETWEEN);
            show.delta(BETWEEN);
        }
        if !self.step_told {
            self.step_from = self.told.len();
        }
        self.step_told = true;
        self.told.push_str(text);
        show.delta(text);
    }

    fn release(&mut self, show: &Show) {
        self.holding = false;
        let held = std::mem::take(&mut self.held);
        self.tell(show, &held);
    }
}

impl<'a> Speech<'a> {
    pub(super) fn new(show: &'a Show) -> Self {
        Self { show, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step begins whose text is the answer: it is shown as it comes.
    pub(super) fn begin_answer(&self) {
        self.begin(false);
    }

    /// A step begins in which tools may be called.
    pub(super) fn begin_step(&self) {
        self.begin(true);
    }

    fn begin(&self, holding: bool) {
        let mut state = self.state();
        state.held.clear();
        state.holding = holding;
        state.step_told = false;
    }

    /// More of the step's text.
    pub(super) fn piece(&self, text: &str) {
        let mut state = self.state();
        if !state.holding {
            state.tell(self.show, text);
            return;
        }
        state.held.push_str(text);
        if state.held.chars().count() > HELD {
            state.release(self.show);
        }
    }

    /// The step ended with calls: what is held back is dropped. Whether its text was shown.
    pub(super) fn end_step(&self) -> bool {
        let mut state = self.state();
        state.held.clear();
        state.step_told
    }

    /// The step was the answer: the whole reply, all of which has been shown.
    pub(super) fn end_answer(&self) -> String {
        let mut state = self.state();
        state.release(self.show);
        std::mem::take(&mut state.told)
    }

    /// The step was ended before its time. What it said is the end of the reply where it was shown, and else dropped.
    pub(super) fn cut_off(&self) -> Option<CutOff> {
        let mut state = self.state();
        state.held.clear();
        if !state.step_told {
            return None;
        }
        let said_tokens = estimate_tokens(state.told.get(state.step_from..).unwrap_or_default());
        Some(CutOff { reply: std::mem::take(&mut state.told), said_tokens })
    }

    /// Shows again what an earlier attempt had shown of a step that is not repeated.
    pub(super) fn again(&self, text: &str) {
        let mut state = self.state();
        state.step_told = false;
        state.tell(self.show, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::TurnId;
    use crate::service::watch::Watch;

    #[test]
    fn short_words_beside_calls_are_dropped_and_long_ones_belong_to_the_reply() {
        let watch = Watch::default();
        let show = watch.show(TurnId::from_uuid(uuid::Uuid::nil()));
        let speech = Speech::new(&show);
        speech.begin_step();
        speech.piece("Let me ");
        speech.piece("look.");
        assert!(!speech.end_step());
        speech.begin_step();
        let long = "é".repeat(HELD + 1);
        speech.piece(&long);
        speech.piece("!");
        assert!(speech.end_step());
        speech.begin_step();
        speech.piece("Done");
        speech.piece(".");
        assert_eq!(speech.end_answer(), format!("{long}!\n\nDone."));
    }

    #[test]
    fn a_later_attempt_shows_what_was_shown_and_goes_on() {
        let watch = Watch::default();
        let show = watch.show(TurnId::from_uuid(uuid::Uuid::nil()));
        let speech = Speech::new(&show);
        speech.again("First.");
        speech.again("Second.");
        speech.begin_answer();
        speech.piece("Th");
        speech.piece("ird.");
        assert_eq!(speech.end_answer(), "First.\n\nSecond.\n\nThird.");
    }
}
