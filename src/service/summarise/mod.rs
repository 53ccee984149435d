//! Summaries of long conversations.
//!
//! A prompt holds the newest messages only ([`prompt::window`]). What has left it would be forgotten, so the model that answers
//! in a conversation is also asked, once for every `summary.messages` messages, to say in a few words what was said; that stands
//! in later prompts, as data.
//!
//! No turn waits for it and none fails by it: it is made after a turn is over. That one is due is nowhere written down, it
//! follows from the conversation. Whoever makes it claims it first, so several processes ask once; a claim that ran out (the
//! process died, the model failed) is taken up again by [`Summariser::lapsed`] or after the person's next turn. So is what a process
//! that stops leaves unmade ([`Summariser::leave_waiting`]). A summary that was asked for twice is stored and paid for once, because it only moves forward.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::prompt::data::Data;
use super::prompt::{self, Budget};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::conversation::Choice;
use crate::domain::ids::{ConversationId, TurnId, UserId};
use crate::domain::ledger::{Credits, Usage};
use crate::domain::message::{Message, Role};
use crate::domain::turn::LeasedTurn;
use crate::domain::user::User;
use crate::model::{Completion, CompletionRequest, ModelError, Models, PromptMessage, Resolved, Speaker, estimate_tokens};
use crate::store::{NewSummary, Recent, SharedStore, StoreError, Summary};

/// Conversations that may wait here; one more is dropped and comes again with its next turn.
const QUEUE: usize = 1024;
/// Messages read for one summary at most; what is beyond comes with the next.
const MOST_MESSAGES: usize = 500;
/// What a reply is taken to need of the window before it is known.
const REPLY_TOKENS: usize = 300;
/// How much longer a claim holds than the model may take: for the store, before and after.
const AROUND_THE_MODEL: Duration = Duration::from_secs(5);
/// A claim is made longer with each that led to nothing, at most so many times.
const MOST_DOUBLINGS: u32 = 8;
/// Claims that lead to nothing before a conversation is left alone until the person's next turn there.
const MOST_ATTEMPTS: u32 = 6;

/// What the model is told first. The demo model knows it by its first words.
const TASK: &str = "You summarise a conversation between a person and an assistant, so that the assistant can go on with it later. Keep what \
    matters later: names, facts, numbers, dates, wishes, decisions, promises, open questions. Leave out small talk. Where there is a \
    summary so far, yours takes its place: keep what still matters of it. Write nothing but the summary, as plain text in the language \
    of the conversation";

/// A conversation and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whose.
    pub user_id: UserId,
    /// Which.
    pub conversation_id: ConversationId,
}

/// What became of a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It is stored.
    Stored,
    /// None is due, or the conversation is gone.
    NotDue,
    /// Another process makes it, or has just made it.
    Elsewhere,
    /// The person cannot pay for it.
    OutOfCredit,
    /// The model failed; it is tried again later.
    Failed,
    /// This process stops; another or the next takes it up.
    Stopped,
}

/// Makes summaries.
pub struct Summariser {
    store: SharedStore,
    clock: Clock,
    config: Arc<Config>,
    models: Arc<Models>,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    /// Found due while the prompt of a turn was made that is not over yet.
    noted: HashMap<TurnId, Place>,
    queue: VecDeque<Place>,
}

impl Summariser {
    /// A summariser over these ports.
    #[must_use]
    pub fn new(store: SharedStore, clock: Clock, config: Arc<Config>, models: Arc<Models>) -> Self {
        Self { store, clock, config, models, waiting: Mutex::default(), arrived: Notify::new() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Plain values, whole between any two calls.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The summary as prompts show it; `None` when they show none.
    #[must_use]
    pub fn shown<'a>(&self, recent: &'a Recent) -> Option<&'a str> {
        let summary = recent.summary.as_ref().filter(|_summary| self.config.summary.enabled)?;
        Some(summary.text.as_str()).filter(|text| !text.is_empty())
    }

    /// Notes that a summary will be due when a turn is over, when it will, as seen from what its prompt is made of. Nothing
    /// is read for it.
    pub fn look(&self, turn: &LeasedTurn, recent: &Recent) {
        let Budget { tokens, messages } = self.window();
        let texts: usize = turn.texts.iter().map(|text| text.text.len() / 4 + 5).sum();
        let left = Budget { tokens: tokens.saturating_sub(texts + REPLY_TOKENS), messages: messages.saturating_sub(turn.texts.len() + 1) };
        if self.due(recent, left).is_some() {
            let place = Place { user_id: turn.user.id, conversation_id: turn.conversation.id };
            self.waiting().noted.insert(turn.lease.turn_id, place);
        }
    }

    /// A turn is over: what was noted for it can be made.
    pub fn turn_ended(&self, turn: TurnId) {
        let mut waiting = self.waiting();
        if let Some(place) = waiting.noted.remove(&turn)
            && waiting.queue.len() < QUEUE
            && !waiting.queue.contains(&place)
        {
            waiting.queue.push_back(place);
            drop(waiting);
            self.arrived.notify_one();
        }
    }

    /// A conversation that waits for its summary.
    #[must_use]
    pub fn take(&self) -> Option<Place> {
        self.waiting().queue.pop_front()
    }

    /// Waits for a conversation that is due.
    pub async fn next(&self) -> Place {
        loop {
            let arrived = self.arrived.notified();
            if let Some(place) = self.take() {
                return place;
            }
            arrived.await;
        }
    }

    /// Conversations whose summary was begun and never stored.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn lapsed(&self, limit: usize) -> Result<Vec<Place>, StoreError> {
        if !self.config.summary.enabled {
            return Ok(Vec::new());
        }
        let found = self.store.list_lapsed_summaries(MOST_ATTEMPTS, limit).await?;
        Ok(found.into_iter().map(|(user_id, conversation_id)| Place { user_id, conversation_id }).collect())
    }

    /// Leaves what waits here to other processes, or to the next, because this one stops.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the rest comes with the next turns of its conversations.
    pub async fn leave_waiting(&self) -> Result<(), StoreError> {
        while let Some(place) = self.take() {
            self.store.leave_summary(place.user_id, place.conversation_id).await?;
        }
        Ok(())
    }

    /// A claim that ran out and that nothing comes of now need not be looked at again before the conversation goes on.
    async fn give_back(&self, place: Place, before: Option<&Summary>) -> Result<(), StoreError> {
        if before.is_some() {
            self.store.end_lapsed_summary(place.user_id, place.conversation_id).await?;
        }
        Ok(())
    }

    /// Makes the summary that is due in a conversation, if one is. `stop` ends it early and gives the claim back.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: it is due still.
    pub async fn summarise(&self, place: Place, stop: &CancellationToken) -> Result<Made, StoreError> {
        let Place { user_id, conversation_id } = place;
        let history = self.config.conversations.history_messages;
        let recent = self.store.recent_messages(user_id, conversation_id, i64::MAX, history).await?;
        let before = recent.summary.clone().unwrap_or_default();
        let Some(until) = self.due(&recent, self.window()) else {
            // The settings changed.
            self.give_back(place, recent.summary.as_ref()).await?;
            return Ok(Made::NotDue);
        };
        let user = self.store.find_user(user_id).await?;
        let conversation = self.store.find_conversation(user_id, conversation_id).await?;
        let Some((user, conversation)) = user.zip(conversation) else { return Ok(Made::NotDue) };
        let messages = self.store.messages_between(user_id, conversation_id, before.up_to_sequence, until, MOST_MESSAGES).await?;
        let (input, up_to_sequence) = self.input(&before, &messages, until);
        let Some(input) = input else {
            // Nothing that a model was to answer: words and notices only.
            let new = NewSummary { up_to_sequence, text: before.text, charge: Credits::ZERO };
            return Ok(if self.store.set_summary(user_id, conversation_id, &new).await? { Made::Stored } else { Made::Elsewhere });
        };
        let resolved = match self.models.resolve(&Choice::default(), &user.preferences, &conversation.choice) {
            Ok(resolved) => resolved,
            Err(error) => {
                tracing::warn!(conversation = %conversation_id, reason = %error, "nobody can summarise this conversation");
                self.give_back(place, recent.summary.as_ref()).await?;
                return Ok(Made::Failed);
            }
        };
        if !self.can_pay(&user, &resolved, &input) {
            self.give_back(place, recent.summary.as_ref()).await?;
            return Ok(Made::OutOfCredit);
        }
        let limit = Duration::from_secs(self.config.summary.seconds);
        let until = self.clock.now().after((limit + AROUND_THE_MODEL) * 2_u32.pow(before.attempts.min(MOST_DOUBLINGS)));
        let claim = self.store.claim_summary(user_id, conversation_id, before.up_to_sequence, until).await?;
        let Some(claim) = claim else { return Ok(Made::Elsewhere) };
        let completion = tokio::select! {
            biased;
            () = stop.cancelled() => {
                self.store.release_summary(user_id, conversation_id, claim).await?;
                return Ok(Made::Stopped);
            }
            completion = tokio::time::timeout(limit, self.ask(&user, &resolved, input)) => completion,
        };
        let completion = match completion {
            Ok(Ok(completion)) if !completion.text.trim().is_empty() => completion,
            failed => {
                let reason = match failed {
                    Ok(Ok(_empty)) => "the model said nothing".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(_elapsed) => format!("no summary within {} s (summary.seconds)", limit.as_secs()),
                };
                metrics::counter!("summaries_total", "outcome" => "failed").increment(1);
                tracing::warn!(conversation = %conversation_id, %reason, "a long conversation was not summarised; it is tried again later");
                return Ok(Made::Failed);
            }
        };
        for (kind, tokens) in [("prompt", completion.usage.prompt_tokens), ("completion", completion.usage.completion_tokens)] {
            metrics::counter!("tokens_total", "endpoint" => resolved.served_by.as_str().to_owned(), "kind" => kind)
                .increment(u64::try_from(tokens).unwrap_or(0));
        }
        let charge = if self.config.balance.enabled { resolved.prices.cost(completion.usage, 0) } else { Credits::ZERO };
        let new = NewSummary { up_to_sequence, text: cut(completion.text.trim(), self.config.summary.tokens), charge };
        let stored = self.store.set_summary(user_id, conversation_id, &new).await?;
        metrics::counter!("summaries_total", "outcome" => if stored { "stored" } else { "late" }).increment(1);
        Ok(if stored { Made::Stored } else { Made::Elsewhere })
    }

    /// The last place that the next summary covers, where one is due.
    ///
    /// It is due when a message has left the window that no summary covers, and then covers `summary.messages` messages of the
    /// window as well: so nothing is missing from a prompt while they leave it in their turn, and the model is asked once for so
    /// many. Where that is more than half of the window, it waits for the rest to leave first.
    fn due(&self, recent: &Recent, window: Budget) -> Option<i64> {
        let settings = &self.config.summary;
        settings.enabled.then(|| due(recent, window, settings.messages)).flatten()
    }

    /// What of the history a prompt holds.
    fn window(&self) -> Budget {
        let settings = &self.config.conversations;
        Budget { tokens: settings.history_tokens, messages: settings.history_messages }
    }

    /// What the model is asked to summarise and up to where that goes; `None` when there is nothing.
    fn input(&self, before: &Summary, messages: &[Message], until: i64) -> (Option<Vec<PromptMessage>>, i64) {
        let budget = i64::try_from(self.config.summary.input_tokens).unwrap_or(i64::MAX);
        let mut left = budget - estimate_tokens(&before.text);
        let mut said = String::new();
        let mut up_to = until;
        for (index, message) in messages.iter().enumerate() {
            let who = match message.role {
                Role::External => "Person",
                Role::Assistant => "Assistant",
            };
            // A line that somebody wrote does not pass for another's.
            let text = prompt::content(message).lines().collect::<Vec<_>>().join("\n  ");
            let line = format!("{who}: {text}\n");
            left -= estimate_tokens(&line);
            if left < 0 && index > 0 {
                up_to = index.checked_sub(1).and_then(|last| messages.get(last)?.sequence).unwrap_or(until);
                break;
            }
            // One message alone is cut rather than never passed.
            said.push_str(&cut(&line, self.config.summary.input_tokens));
        }
        if messages.len() == MOST_MESSAGES && up_to == until {
            up_to = messages.last().and_then(|message| message.sequence).unwrap_or(until);
        }
        if said.trim().is_empty() {
            return (None, up_to);
        }
        let words = self.config.summary.tokens.saturating_mul(3) / 4;
        let sections = [("summary so far", before.text.as_str()), ("what was said since", said.as_str())];
        let sections: Vec<String> = sections.into_iter().filter_map(|(title, text)| Data { title, text }.section()).collect();
        let system = PromptMessage { role: Speaker::System, content: format!("{TASK}, in at most {words} words.") };
        let user = PromptMessage { role: Speaker::User, content: format!("{}\n\nWrite the summary.", sections.join("\n\n")) };
        (Some(vec![system, user]), up_to)
    }

    async fn ask(&self, user: &User, resolved: &Resolved, messages: Vec<PromptMessage>) -> Result<Completion, ModelError> {
        let most_tokens = u32::try_from(self.config.summary.tokens).ok();
        let request = CompletionRequest { most_tokens, ..CompletionRequest::new(resolved.model.clone(), messages, user.id.to_string()) };
        resolved.service.complete(&request, &|_piece| {}).await
    }

    fn can_pay(&self, user: &User, resolved: &Resolved, prompt: &[PromptMessage]) -> bool {
        let settings = &self.config.balance;
        let prompt_tokens = prompt.iter().map(|message| estimate_tokens(&message.content)).sum();
        let completion_tokens = i64::try_from(self.config.summary.tokens).unwrap_or(i64::MAX);
        let usage = Usage { prompt_tokens, completion_tokens, total_tokens: 0 };
        !settings.enabled || user.balance.unwrap_or(Credits(settings.start_credits)) >= resolved.prices.cost(usage, 0)
    }
}

fn due(recent: &Recent, budget: Budget, messages: usize) -> Option<i64> {
    let last = recent.messages.last()?.sequence?;
    let covered = recent.summary.as_ref().map_or(0, |summary| summary.up_to_sequence);
    let window: Vec<i64> = prompt::window(&recent.messages, budget).filter_map(|message| message.sequence).collect();
    let ahead = messages.min(window.len() / 2);
    let left = window.first().map_or(last, |first| first - 1);
    let beyond = usize::try_from(left - covered).unwrap_or(0);
    let due = beyond > 0 && beyond.saturating_add(ahead) >= messages;
    due.then(|| ahead.checked_sub(1).and_then(|index| window.get(index).copied()).unwrap_or(left))
}

/// The beginning of a text, of at most so many tokens as they are estimated.
fn cut(text: &str, tokens: usize) -> String {
    let bytes = tokens.saturating_mul(4);
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes.saturating_sub('…'.len_utf8()));
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests;
