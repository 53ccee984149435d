//! Answering a turn: from its texts and what came before, through a model, to one step that stores the reply, the bill and the
//! outgoing messages.
//!
//! The turn is leased by the worker and given back here in every case: completed, to be tried again, or given up.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::agent::{Agent, Ran};
use super::backoff::Backoff;
use super::compose::max_characters;
use super::outgoing::outgoing;
use super::prompt::{self, Budget, Channel, Facts, PromptInput, PromptTemplate};
use super::recall::Recall;
use super::summarise::Summariser;
use super::toolbox::Toolbox;
use super::wallet::{Wallet, daily_limits};
use super::watch::{Show, Wake, Watch};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::time::Timestamp;
use crate::domain::turn::{LeasedTurn, NewReply, Refusal, TurnEnd};
use crate::model::{Completion, ModelError, Models, PromptMessage, Resolved};
use crate::store::{DailyLimits, Notice, Recent, SharedStore, StoreError, TurnOutcome, TurnRelease};

/// How often a turn is begun that never ends, neither well nor badly: it may be what ends the process.
const MOST_STARTS: u32 = 20;

/// Answers turns.
pub struct Replier {
    store: SharedStore,
    clock: Clock,
    config: Arc<Config>,
    models: Arc<Models>,
    template: PromptTemplate,
    watch: Arc<Watch>,
    wake_deliveries: Arc<Wake>,
    summariser: Arc<Summariser>,
    toolbox: Arc<Toolbox>,
    recall: Recall,
    backoff: Backoff,
}

/// How an attempt went, before it is stored.
enum Attempt {
    Outcome(TurnOutcome),
    Release(TurnRelease),
}

impl Replier {
    /// A replier over these ports.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "they are its parts, each once, and the composition root alone joins them")]
    pub fn new(
        store: SharedStore,
        clock: Clock,
        config: Arc<Config>,
        models: Arc<Models>,
        template: PromptTemplate,
        watch: Arc<Watch>,
        wake_deliveries: Arc<Wake>,
        summariser: Arc<Summariser>,
        toolbox: Arc<Toolbox>,
    ) -> Self {
        let backoff = Backoff::new(&config.worker);
        let recall = Recall::new(Arc::clone(&store), Arc::clone(&config));
        Self { store, clock, config, models, template, watch, wake_deliveries, summariser, toolbox, recall, backoff }
    }

    /// The limits that hold today.
    #[must_use]
    pub fn daily_limits(&self) -> DailyLimits {
        daily_limits(&self.config, self.clock.now())
    }

    /// Answers a turn. `stop` ends it early: the turn is given back as if it had not been leased.
    pub async fn reply(&self, turn: LeasedTurn, stop: &CancellationToken) {
        let began = std::time::Instant::now();
        let show = self.watch.show(turn.lease.turn_id);
        let attempt = tokio::select! {
            biased;
            () = stop.cancelled() => Ok(Attempt::Release(TurnRelease::Unchanged)),
            attempt = self.attempt(&turn, &show) => attempt,
        };
        let attempt = match attempt {
            Ok(attempt) => attempt,
            // Whoever has the turn now goes on from what is recorded; it is not ours to give back.
            Err(StoreError::LeaseLost) => {
                tracing::warn!(turn = %turn.lease.turn_id, "the lease was lost while the turn was answered; this attempt ends");
                return;
            }
            Err(error) => self.after_store_error(&turn, &error),
        };
        match attempt {
            Attempt::Outcome(outcome) => self.complete(&turn, outcome, &show, began.elapsed()).await,
            Attempt::Release(release) => self.release(&turn, release, &show).await,
        }
        self.summariser.turn_ended(turn.lease.turn_id);
        self.watch.person_changed(turn.user.id);
    }

    async fn attempt(&self, turn: &LeasedTurn, show: &Show) -> Result<Attempt, StoreError> {
        let now = self.clock.now();
        if turn.starts >= MOST_STARTS {
            let error = format!("answering it ended {} times without a word, perhaps with the process", turn.starts);
            return Ok(Attempt::Release(TurnRelease::Dead { error }));
        }
        if let Some(limit) = turn.over_limit {
            return Ok(Attempt::Outcome(self.refuse(turn, limit, now)));
        }
        // A reply that would be too old to be sent is not worth a bill.
        if turn.route.is_some() && now >= self.answer_until(turn) {
            return Ok(Attempt::Outcome(TurnOutcome::Refused { reason: Refusal::TooOld, notice: None }));
        }
        let resolved = match self.models.resolve(&turn.request.choice, &turn.user.preferences, &turn.conversation.choice) {
            Ok(resolved) => resolved,
            Err(error) => return Ok(Attempt::Release(TurnRelease::Dead { error: error.to_string() })),
        };
        for passed_over in &resolved.passed_over {
            tracing::warn!(turn = %turn.lease.turn_id, reason = %passed_over, "a stored choice is no longer configured and was passed over");
        }
        let messages = match self.prompt(turn, &resolved, now).await? {
            Ok(messages) => messages,
            Err(error) => return Ok(Attempt::Release(TurnRelease::Dead { error })),
        };
        let wallet = Wallet::new(&self.store, &self.config, turn, resolved.prices);
        let agent = Agent { store: &self.store, toolbox: &self.toolbox, turn, resolved: &resolved, wallet: &wallet, show };
        Ok(match agent.answer(messages).await? {
            Ran::Answered(completion) => Attempt::Outcome(self.answer(turn, &resolved, &wallet, completion)),
            Ran::Failed(error) => Attempt::Release(self.after_model_error(turn, &error)),
            Ran::OutOfCredit => {
                metrics::counter!("budget_refusals_total", "reason" => Refusal::OutOfCredit.as_str()).increment(1);
                Attempt::Outcome(self.refuse(turn, Refusal::OutOfCredit, now))
            }
        })
    }

    async fn prompt(
        &self,
        turn: &LeasedTurn,
        resolved: &Resolved,
        now: Timestamp,
    ) -> Result<Result<Vec<PromptMessage>, String>, StoreError> {
        let settings = &self.config.conversations;
        let first = turn.texts.iter().filter_map(|text| text.sequence).min().unwrap_or(1);
        let recent = if first > 1 && settings.history_messages > 0 {
            self.store.recent_messages(turn.user.id, turn.conversation.id, first, settings.history_messages).await?
        } else {
            Recent::default()
        };
        self.summariser.look(turn, &recent);
        let remembered = self.recall.remembered(&turn.user, &turn.texts).await;
        let zone = turn.user.preferences.time_zone.as_deref().unwrap_or(&self.config.people.time_zone);
        let facts = Facts {
            name: &turn.user.name,
            phone: turn.user.phone.as_ref(),
            now,
            time_zone: zone,
            channel: if turn.route.is_some() { Channel::Sms } else { Channel::Api },
            max_characters: max_characters(&self.config.sms),
            endpoint: resolved.endpoint.as_str(),
            model: &resolved.model,
        };
        let input = PromptInput {
            facts,
            agent_instructions: resolved.agent.as_ref().map(|agent| &*agent.instructions),
            additional_instructions: turn.request.additional_instructions.as_deref(),
            remembered: Some(remembered.as_str()),
            summary: self.summariser.shown(&recent),
            history: &recent.messages,
            texts: &turn.texts,
            budget: Budget { tokens: settings.history_tokens, messages: settings.history_messages },
        };
        Ok(prompt::build(&self.template, &input).map_err(|error| error.to_string()))
    }

    fn answer(&self, turn: &LeasedTurn, resolved: &Resolved, wallet: &Wallet<'_>, completion: Completion) -> TurnOutcome {
        let outgoing = match &turn.route {
            Some(_) => outgoing(&completion.text, &self.config.sms, &self.clock, self.answer_until(turn)),
            None => Vec::new(),
        };
        // What is kept back for MORE is paid for when it is asked for.
        let segments: u32 = outgoing.iter().filter(|message| !message.held).map(|message| message.segments).sum();
        let charge = wallet.charge(completion.usage, segments);
        let reply = NewReply {
            message_id: self.clock.message_id(),
            text: completion.text,
            endpoint: resolved.endpoint.clone(),
            model: completion.model,
            usage: completion.usage,
            unfinished: completion.cut_short,
        };
        TurnOutcome::Answered { reply, outgoing, charge }
    }

    fn refuse(&self, turn: &LeasedTurn, reason: Refusal, now: Timestamp) -> TurnOutcome {
        let text = match reason {
            Refusal::OutOfCredit => "You are out of credit, so this was not answered. /balance tells what you have.",
            Refusal::PersonLimit => "You have reached today's limit of messages, so this was not answered. Please try again tomorrow.",
            _ => "This assistant has reached its limit for today, so this was not answered. Please try again tomorrow.",
        };
        if reason != Refusal::OutOfCredit {
            metrics::counter!("budget_refusals_total", "reason" => reason.as_str()).increment(1);
        }
        let outgoing = match &turn.route {
            Some(_) => outgoing(text, &self.config.sms, &self.clock, now.after(self.reply_max_age())),
            None => Vec::new(),
        };
        // Who was told in an answer of the API has not been told by text.
        let channel = if turn.route.is_some() { "sms" } else { "api" };
        let key = format!("{}:{}:{channel}", reason.as_str(), now.utc_day());
        let notice = Notice { key, message_id: self.clock.message_id(), text: text.to_owned(), outgoing };
        TurnOutcome::Refused { reason, notice: Some(notice) }
    }

    fn after_model_error(&self, turn: &LeasedTurn, error: &ModelError) -> TurnRelease {
        let attempt = turn.attempts + 1;
        match error {
            ModelError::Unavailable { reason, after } if attempt < self.config.worker.attempts => {
                let due = self.clock.now().after(self.backoff.wait(attempt, *after));
                tracing::warn!(turn = %turn.lease.turn_id, attempt, %reason, "the model did not answer; another attempt follows");
                TurnRelease::Retry { due, error: reason.clone() }
            }
            ModelError::Unavailable { reason, .. } | ModelError::Refused { reason } => {
                tracing::error!(turn = %turn.lease.turn_id, attempt, %reason, "the turn is a dead letter: `scrubjay jobs replay` tries it again");
                TurnRelease::Dead { error: reason.clone() }
            }
        }
    }

    fn after_store_error(&self, turn: &LeasedTurn, cause: &StoreError) -> Attempt {
        let attempt = turn.attempts + 1;
        let error = cause.to_string();
        tracing::error!(turn = %turn.lease.turn_id, attempt, reason = %error, "the store failed while a turn was answered");
        if matches!(cause, StoreError::Corrupt { .. }) || attempt >= self.config.worker.attempts {
            return Attempt::Release(TurnRelease::Dead { error });
        }
        let due = self.clock.now().after(self.backoff.wait(attempt, None));
        Attempt::Release(TurnRelease::Retry { due, error })
    }

    async fn complete(&self, turn: &LeasedTurn, outcome: TurnOutcome, show: &Show, took: Duration) {
        match self.store.complete_turn(&turn.lease, outcome).await {
            Ok(completed) => {
                if completed.outgoing > 0 {
                    self.wake_deliveries.at(self.clock.now());
                }
                show.end(completed.end);
                metrics::histogram!("turn_seconds").record(took.as_secs_f64());
                tracing::debug!(turn = %turn.lease.turn_id, duration_ms = took.as_millis(), "turn done");
            }
            // Somebody else has the turn now, or it is gone; whoever waits sees what they make of it.
            Err(StoreError::LeaseLost) => {
                tracing::warn!(turn = %turn.lease.turn_id, "the lease was lost before the reply could be stored; the reply is dropped");
            }
            // The lease runs out and the turn is taken up again.
            Err(error) => {
                tracing::error!(turn = %turn.lease.turn_id, %error, "the reply could not be stored; the turn will be answered again");
                show.end(TurnEnd::Failed { error: "the reply could not be stored".to_owned(), will_retry: true });
            }
        }
    }

    async fn release(&self, turn: &LeasedTurn, release: TurnRelease, show: &Show) {
        let end = match &release {
            TurnRelease::Retry { error, .. } => Some(TurnEnd::Failed { error: error.clone(), will_retry: true }),
            TurnRelease::Dead { error } => Some(TurnEnd::Failed { error: error.clone(), will_retry: false }),
            TurnRelease::Unchanged => Some(TurnEnd::Failed { error: "the server is stopping".to_owned(), will_retry: true }),
        };
        if let Err(error) = self.store.release_turn(&turn.lease, release).await {
            tracing::warn!(turn = %turn.lease.turn_id, %error, "the turn could not be given back; it is taken up again when its lease runs out");
        }
        if let Some(end) = end {
            show.end(end);
        }
    }

    /// Until when a reply is sent: for some hours after the first text, or as long as a replay said.
    fn answer_until(&self, turn: &LeasedTurn) -> Timestamp {
        turn.answer_until.unwrap_or_else(|| turn.opened_at.after(self.reply_max_age()))
    }

    fn reply_max_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.config.worker.reply_max_age_hours) * 3600)
    }
}
