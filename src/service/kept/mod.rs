//! The words by which a person sees and changes what is kept of them: `/memory`, `/forget`, `/todo`, `/remind`.
//!
//! They need no model. An answer is worked out here from what the store shows, and nothing is changed here: a change goes along
//! with the answer and is made in the step that stores the message ([`Effect::Change`](crate::store::Effect::Change)), so it is
//! made once, however often the message is delivered and whatever is killed meanwhile. What is changed is named by a number that
//! is never used again, so what others change between a listing and the word that refers to it cannot turn it on something else.

mod memory;
mod reminders;
mod todo;

use std::sync::Arc;

use super::prompt::data::tame_line;
use super::remind::Remind;
use super::todos::Todos;
use crate::domain::consent::KeptCommand;
use crate::domain::phone::PhoneNumber;
use crate::domain::text::beginning;
use crate::store::{Change, SharedStore, StoreResult};

/// Characters of a fact, an item or a reminder in a listing.
const BRIEF: usize = 160;

/// What is answered, and what is changed with it.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// The answer; with a change, for when that was made.
    pub(super) text: String,
    /// The change, and the answer for when there was nothing to change any more.
    pub(super) change: Option<(Change, String)>,
}

impl Plan {
    fn say(text: impl Into<String>) -> Self {
        Self { text: text.into(), change: None }
    }

    fn change(change: Change, done: impl Into<String>, otherwise: impl Into<String>) -> Self {
        Self { text: done.into(), change: Some((change, otherwise.into())) }
    }
}

/// Answers the words.
pub struct Kept {
    store: SharedStore,
    todos: Todos,
    remind: Arc<Remind>,
}

impl Kept {
    /// Over these services.
    #[must_use]
    pub fn new(store: SharedStore, todos: Todos, remind: Arc<Remind>) -> Self {
        Self { store, todos, remind }
    }

    /// The answer to a command with what stands behind its name.
    pub(super) async fn plan(&self, command: KeptCommand, rest: &str, phone: &PhoneNumber) -> StoreResult<Plan> {
        let user = self.store.find_user_by_phone(phone).await?;
        match command {
            KeptCommand::Memory => self.memory(user.as_ref(), rest).await,
            KeptCommand::Forget => self.forget(user.as_ref(), rest).await,
            KeptCommand::Todo => self.todo(user.as_ref(), rest).await,
            KeptCommand::Remind => self.reminder(user.as_ref(), rest).await,
        }
    }
}

/// A text on one line, of at most [`BRIEF`] characters.
fn brief(text: &str) -> String {
    let line = tame_line(text);
    // Three dots, for the alphabet of a text has no ellipsis.
    if line.chars().count() <= BRIEF { line } else { format!("{}...", beginning(&line, BRIEF - 3)) }
}

/// A number as people write it: `12`, `12.`, `#12`.
fn number(text: &str) -> Option<i64> {
    text.trim().trim_start_matches('#').trim_end_matches(['.', '!', ')']).parse().ok()
}

/// An error's words as a sentence.
fn sentence(words: &str) -> String {
    let mut characters = words.chars();
    let first: String = characters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", characters.as_str().trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, read) in [("12", Some(12)), ("#12", Some(12)), (" 3. ", Some(3)), ("twelve", None), ("", None), ("1 2", None)] {
            assert_eq!(number(text), read, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_is_short_and_on_one_line() {
        assert_eq!(brief("two\nlines"), "two lines");
        assert_eq!(brief(&"x".repeat(500)).chars().count(), BRIEF);
        assert_eq!(sentence("no time was found in it"), "No time was found in it.");
    }
}
