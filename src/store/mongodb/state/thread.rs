//! Conversations as a unit needs them: what the next message is put behind.

use serde::{Deserialize, Serialize};

use super::{Draft, State};
use crate::domain::conversation::{Choice, Conversation};
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{ConversationId, MessageId, UserId};
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::store::mongodb::names::Place;
use crate::store::mongodb::shapes;

/// Conversations that a head keeps beside those of open turns.
const KEPT: usize = 6;

/// A conversation, with the place of its last entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::store::mongodb) struct Thread {
    pub(in crate::store::mongodb) id: ConversationId,
    pub(in crate::store::mongodb) title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store::mongodb) endpoint: Option<Endpoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store::mongodb) model: Option<String>,
    #[serde(default)]
    pub(in crate::store::mongodb) choice: Choice,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store::mongodb) phone: Option<PhoneNumber>,
    pub(in crate::store::mongodb) source: String,
    pub(in crate::store::mongodb) last_message: Timestamp,
    pub(in crate::store::mongodb) message_count: i64,
    #[serde(default)]
    pub(in crate::store::mongodb) closed: bool,
    pub(in crate::store::mongodb) created_at: Timestamp,
    pub(in crate::store::mongodb) updated_at: Timestamp,
    /// The place of the last entry, its id, and where it lies.
    #[serde(default)]
    pub(in crate::store::mongodb) last_sequence: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store::mongodb) last_id: Option<MessageId>,
    #[serde(default)]
    pub(in crate::store::mongodb) last_slot: i64,
    #[serde(default)]
    pub(in crate::store::mongodb) last_entry: i64,
    /// It never had a summary, nor a claim on one: then nobody need look for it.
    #[serde(default)]
    pub(in crate::store::mongodb) unsummarised: bool,
}

impl Thread {
    /// A conversation that begins now.
    pub(in crate::store::mongodb) const fn new(
        id: ConversationId,
        title: String,
        source: String,
        phone: Option<PhoneNumber>,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            title,
            endpoint: None,
            model: None,
            choice: Choice { endpoint: None, model: None, agent_id: None },
            phone,
            source,
            last_message: now,
            message_count: 0,
            closed: false,
            created_at: now,
            updated_at: now,
            last_sequence: 0,
            last_id: None,
            last_slot: 0,
            last_entry: 0,
            unsummarised: true,
        }
    }

    /// The conversation as the port has it.
    pub(in crate::store::mongodb) fn conversation(&self, user_id: UserId) -> Conversation {
        Conversation {
            id: self.id,
            user_id,
            title: self.title.clone(),
            endpoint: self.endpoint.clone(),
            model: self.model.clone(),
            choice: self.choice.clone(),
            phone: self.phone.clone(),
            source: self.source.clone(),
            last_message: self.last_message,
            message_count: self.message_count,
            closed: self.closed,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    /// One message more.
    pub(in crate::store::mongodb) fn touch(&mut self, now: Timestamp) {
        self.last_message = self.last_message.max(now);
        self.message_count += 1;
        self.updated_at = now;
    }
}

impl State {
    /// The newest open conversation of that source whose last activity is not older; of equally new ones the one made last.
    pub(in crate::store::mongodb) fn newest_thread(&self, source: &str, not_before: Option<Timestamp>) -> Option<&Thread> {
        let fits = |thread: &&Thread| {
            !thread.closed && thread.source == source && not_before.is_none_or(|not_before| thread.last_message >= not_before)
        };
        self.threads.iter().filter(fits).max_by_key(|thread| (thread.last_message, thread.id))
    }

    /// Keeps a conversation that was read.
    pub(in crate::store::mongodb) fn keep_thread(&mut self, thread: Thread) {
        if self.thread(thread.id).is_none() {
            self.threads.push(thread);
        }
    }

    /// Lets the conversations go that were not used for long; they are read when they are needed again.
    pub(in crate::store::mongodb) fn forget_old_threads(&mut self) {
        if self.threads.len() <= KEPT {
            return;
        }
        self.threads.sort_by_key(|thread| std::cmp::Reverse((thread.last_message, thread.id)));
        let turns = &self.turns;
        let mut place = 0;
        self.threads.retain(|thread| {
            place += 1;
            place <= KEPT || turns.iter().any(|turn| turn.conversation_id == thread.id)
        });
        self.more_threads = true;
    }
}

impl Draft {
    /// Writes a conversation as it is now, which is there already.
    pub(in crate::store::mongodb) fn show_thread(&mut self, id: ConversationId) {
        if let Some(thread) = self.state.thread(id) {
            let (key, set, _insert) = shapes::conversation_document(self.user_id, thread);
            self.change(Place::Conversations, key, set);
        }
    }

    /// Begins a conversation.
    pub(in crate::store::mongodb) fn add_thread(&mut self, thread: Thread) {
        let (key, set, insert) = shapes::conversation_document(self.user_id, &thread);
        self.put_new(Place::Conversations, key, set, insert);
        self.state.threads.push(thread);
    }
}

impl Draft {
    /// Lets go what is unfinished of a conversation that is gone: its turns, and what was held for them. Returns whether the lane
    /// of turns was taken for one of them.
    pub(in crate::store::mongodb) fn drop_conversation(&mut self, id: ConversationId) {
        let (gone, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.state.turns).into_iter().partition(|turn| turn.conversation_id == id);
        self.state.turns = left;
        self.state.threads.retain(|thread| thread.id != id);
        let leased = self.state.turn_lane.leased;
        let was_leased = gone.iter().any(|turn| leased == Some(turn.number));
        for mut turn in gone {
            self.settle_unanswered(&mut turn);
        }
        if was_leased {
            self.free_turns();
        } else {
            self.refresh_turns();
        }
    }
}
