//! Beginning turns: their texts get their places at the end of the conversation.

use super::words::OpenState;
use super::{Draft, Turn};
use crate::domain::ids::{MessageId, TurnId};
use crate::store::mongodb::names::Place;
use crate::store::mongodb::shapes;
use crate::store::{StoreError, StoreResult};

impl Draft {
    /// Whether a turn has a text that is too long for a head, and stands with the messages.
    pub(in crate::store::mongodb) fn has_long_text(&self, id: TurnId) -> bool {
        self.state.turns.iter().any(|turn| turn.id == id && turn.texts.iter().any(|text| text.text.is_none()))
    }

    /// Gives a turn's texts their places and parents at the end of its conversation.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the conversation is not among the state's.
    pub(in crate::store::mongodb) fn begin(&mut self, turn: &mut Turn) -> StoreResult<()> {
        let (user_id, now) = (self.user_id, self.now);
        let thread = self.state.thread_mut(turn.conversation_id).ok_or(StoreError::NotFound { what: "the conversation" })?;
        turn.began_conversation = thread.last_sequence == 0;
        let mut placed = Vec::new();
        let mut last_entry = 0;
        for text in &mut turn.texts {
            thread.last_sequence += 1;
            text.sequence = Some(thread.last_sequence);
            text.parent = Some(thread.last_id.unwrap_or(MessageId::ROOT));
            text.updated_at = now;
            thread.last_id = Some(text.id);
            last_entry = text.entry;
            placed.push(shapes::message_place(user_id, text));
        }
        thread.last_slot = turn.number;
        thread.last_entry = last_entry;
        turn.state = OpenState::Begun;
        turn.gather_until = None;
        for (key, set) in placed {
            self.change(Place::Messages, key, set);
        }
        self.show_thread(turn.conversation_id);
        Ok(())
    }
}
