//! A person's word on being texted.

use super::{Draft, Word};
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::store::Consent;
use crate::store::mongodb::names::Place;
use crate::store::mongodb::shapes;

/// What a consent word did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::mongodb) enum Said {
    /// It is the number's newest, and the number stands otherwise than before.
    Changed,
    /// It says what was so already, or a later word is known.
    Unchanged,
}

/// The word that holds after `consent` was said then; `None` when a later one is known. One that was said in the future, by a
/// clock that is ahead, counts as said now: it must not outdo what is said next.
pub(in crate::store::mongodb) fn word_after(before: Option<Word>, consent: Consent, said_at: Timestamp, now: Timestamp) -> Option<Word> {
    let said_at = said_at.min(now);
    let newest = before.is_none_or(|before| before.said_at <= said_at);
    newest.then_some(Word { opted_out: consent == Consent::OptOut, said_at })
}

impl Draft {
    /// Records the person's word, unless a later one is known. With [`Consent::OptOut`] that holds, what is still to be sent to
    /// them is withdrawn.
    pub(in crate::store::mongodb) fn record_word(&mut self, phone: &PhoneNumber, consent: Consent, said_at: Timestamp) -> Said {
        let before = self.state.opted_out();
        let Some(word) = word_after(self.state.word, consent, said_at, self.now) else { return Said::Unchanged };
        self.state.word = Some(word);
        let (key, set) = shapes::consent_document(phone, word);
        self.put(Place::Consents, key, set);
        if word.opted_out {
            self.withdraw("the person opted out");
        }
        if before == word.opted_out { Said::Unchanged } else { Said::Changed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_word_holds_and_none_is_of_the_future() {
        let at = Timestamp::from_millis;
        let first = word_after(None, Consent::OptOut, at(900), at(500)).unwrap();
        assert_eq!(first, Word { opted_out: true, said_at: at(500) }, "a clock that is ahead");
        assert_eq!(word_after(Some(first), Consent::OptIn, at(499), at(600)), None, "found late");
        assert_eq!(word_after(Some(first), Consent::OptIn, at(500), at(600)), Some(Word { opted_out: false, said_at: at(500) }));
    }
}
