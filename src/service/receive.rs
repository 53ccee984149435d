//! Taking in a message: who sent it, what it asks for, and one step that stores all of it.
//!
//! Nothing is answered here and nothing is sent: what is to happen is stored with the message, and the workers are told.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::fixed_answers::FixedAnswers;
use super::watch::Wake;
use super::words::{Said, Words};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::sections::{Admission, ApiDelivery};
use crate::domain::consent::{Command, Word, read_word};
use crate::domain::conversation::reuse_horizon;
use crate::domain::delivery::{ReplyRoute, StatusReport};
use crate::domain::ids::{ConversationId, TurnId};
use crate::domain::ledger::Credits;
use crate::domain::message::{Attachment, CallerMetadata, CarrierConsent, InboundMessage};
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::domain::turn::{Refusal, TurnEnd, TurnRequest};
use crate::model::estimate_tokens;
use crate::store::{
    Accepted, Action, ApiRepeat, Consent, ConversationTarget, Debounce, Door, NewInbound, NewPerson, Receipt, SharedStore, StatusRecorded,
    StoreError,
};

/// The source of conversations that begin by phone.
pub const SMS: &str = "sms";

/// A message from the external message API, parsed.
#[derive(Debug, Clone)]
pub struct ApiMessage {
    /// Who sent it.
    pub phone: PhoneNumber,
    /// What it says.
    pub text: String,
    /// What came with it.
    pub attachments: Vec<Attachment>,
    /// The conversation that was named; `None` finds it by phone.
    pub conversation_id: Option<ConversationId>,
    /// Where the caller says it comes from; `sms` when it does not say.
    pub source: Option<String>,
    /// The title of a conversation that it begins.
    pub title: Option<String>,
    /// What it asks of its turn.
    pub request: TurnRequest,
    /// What the caller sent along.
    pub metadata: CallerMetadata,
    /// By what a repeat is recognised.
    pub repeat: Option<ApiRepeat>,
    /// The id of the turn that it begins: whoever wants to miss nothing looks on before the message is stored.
    pub turn_id: TurnId,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// Stored, now or before.
    Stored {
        /// What was stored.
        receipt: Receipt,
        /// It had been stored before.
        repeat: bool,
        /// How its turn ended, where that was decided on the spot (consent words, commands).
        end: Option<TurnEnd>,
    },
    /// The number is not on the list of those who are answered. Nothing was stored.
    NotAdmitted,
    /// The person is blocked. Nothing was stored.
    Blocked,
    /// The conversation that was named is not that person's. Nothing was stored.
    UnknownConversation,
    /// The key of a repeat with another body. Nothing was stored.
    OtherBody,
    /// Too many messages in a minute. Nothing was stored.
    TooMany,
    /// Longer than `limits.text_characters`. Nothing was stored.
    TooLong,
}

/// Takes in messages.
pub struct Receiver {
    store: SharedStore,
    clock: Clock,
    config: Arc<Config>,
    allowed: HashSet<PhoneNumber>,
    words: Words,
    wake: Arc<Wake>,
    wake_deliveries: Arc<Wake>,
    wake_schedules: Arc<Wake>,
    rate: Option<DefaultKeyedRateLimiter<PhoneNumber>>,
    answers: Option<FixedAnswers>,
    checks: AtomicU64,
    default_gateway: Option<String>,
}

impl Receiver {
    /// A receiver. `allowed` are the numbers of `people.allow`, parsed; `wake` and `wake_deliveries` tell the workers.
    #[must_use]
    pub fn new(
        store: SharedStore,
        clock: Clock,
        config: Arc<Config>,
        allowed: HashSet<PhoneNumber>,
        words: Words,
        wake: Arc<Wake>,
        wake_deliveries: Arc<Wake>,
    ) -> Self {
        let rate =
            std::num::NonZeroU32::new(config.external_api.messages_per_minute).map(|limit| RateLimiter::keyed(Quota::per_minute(limit)));
        let answers = FixedAnswers::new(config.limits.answers_per_hour);
        Self {
            store,
            clock,
            config,
            allowed,
            words,
            wake,
            wake_deliveries,
            wake_schedules: Arc::default(),
            rate,
            answers,
            checks: AtomicU64::new(0),
            default_gateway: None,
        }
    }

    /// Whom a schedule wakes that is made by a word.
    #[must_use]
    pub fn with_schedules(mut self, wake: Arc<Wake>) -> Self {
        self.wake_schedules = wake;
        self
    }

    /// The gateway by which replies to the API are texted, where they are.
    #[must_use]
    pub fn with_default_gateway(mut self, gateway: Option<String>) -> Self {
        self.default_gateway = gateway;
        self
    }

    /// Takes in a text that a gateway received. `confirmed` says that the carrier itself confirms consent words.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing was stored; the carrier must try again.
    pub async fn receive_sms(&self, message: InboundMessage, confirmed: CarrierConfirms) -> Result<Received, StoreError> {
        let word = match message.opt_out {
            Some(CarrierConsent::Stop) => Some(Word::Stop),
            Some(CarrierConsent::Start) => Some(Word::Start),
            Some(CarrierConsent::Help) => Some(Word::Help),
            None => self.read(&message.text, &message.from).await?,
        };
        if !self.is_admitted(&message.from) {
            self.record_strangers_consent(word, &message.from, message.sent_at).await?;
            return Ok(Received::NotAdmitted);
        }
        let now = self.clock.now();
        let silent = if message.opt_out.is_some() { CarrierConfirms::Yes } else { confirmed };
        let route = Some(ReplyRoute { gateway: message.gateway.clone(), from: message.to.clone() });
        let horizon = now.before(std::time::Duration::from_secs(u64::from(self.config.catch_up.max_age_hours) * 3600));
        let said = Said {
            phone: &message.from,
            text: &message.text,
            route: route.as_ref(),
            confirms: silent,
            at: message.sent_at.map_or(now, |sent| sent.min(now)),
            now,
        };
        let too_old = message.sent_at.is_some_and(|sent| sent < horizon);
        let action = match word {
            // A word on being texted holds however late it is found; the store keeps the newest.
            Some(word @ (Word::Stop | Word::Start)) => self.words.act(word, &said).await?,
            _ if too_old => Action::Record { reason: Refusal::TooOld },
            Some(word) => self.words.act(word, &said).await?,
            None if self.is_too_long(&message.text) => self.words.too_long(route.as_ref(), now),
            None if message.text.trim().is_empty() && message.attachments.is_empty() => Action::Record { reason: Refusal::Empty },
            None => Action::Reply { debounce: self.debounce() },
        };
        let door = Door::Gateway { name: message.gateway, message_id: message.gateway_message_id };
        let action = self.within_answers(action, word, &said, &door).await?;
        let new = NewInbound {
            token_count: estimate_tokens(&message.text),
            text: message.text,
            attachments: message.attachments,
            caller_metadata: CallerMetadata::new(),
            conversation: self.by_phone(now),
            title: None,
            source: SMS.to_owned(),
            request: TurnRequest::default(),
            route,
            ..self.new_inbound(door, message.from, now, action)
        };
        self.accept(new).await
    }

    /// Takes in a message of the external message API.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing was stored; the caller must try again.
    pub async fn receive_api(&self, message: ApiMessage) -> Result<Received, StoreError> {
        let word = self.read(&message.text, &message.phone).await?;
        if !self.is_admitted(&message.phone) {
            self.record_strangers_consent(word, &message.phone, None).await?;
            return Ok(Received::NotAdmitted);
        }
        if self.is_too_long(&message.text) {
            return Ok(Received::TooLong);
        }
        let door = Door::Api { repeat: message.repeat };
        if word.is_none() && self.is_over_rate(&message.phone, &door).await? {
            return Ok(Received::TooMany);
        }
        let now = self.clock.now();
        let route = self.api_route();
        let action = match word {
            Some(word) => {
                let confirms = CarrierConfirms::No;
                let said = Said { phone: &message.phone, text: &message.text, route: route.as_ref(), confirms, at: now, now };
                let action = self.words.act(word, &said).await?;
                self.within_answers(action, Some(word), &said, &door).await?
            }
            None => Action::Reply { debounce: None },
        };
        let conversation = message.conversation_id.map_or_else(|| self.by_phone(now), ConversationTarget::Exactly);
        let new = NewInbound {
            token_count: estimate_tokens(&message.text),
            text: message.text,
            attachments: message.attachments,
            caller_metadata: message.metadata,
            conversation,
            title: message.title,
            source: message.source.unwrap_or_else(|| SMS.to_owned()),
            request: message.request,
            turn_id: message.turn_id,
            route,
            ..self.new_inbound(door, message.phone, now, action)
        };
        self.accept(new).await
    }

    /// Records a carrier's word on an outgoing message.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the carrier must try again.
    pub async fn receive_status(&self, report: &StatusReport) -> Result<StatusRecorded, StoreError> {
        let recorded = self.store.record_status(report).await?;
        metrics::counter!("deliveries_total", "gateway" => report.gateway.clone(), "status" => report.status.as_str()).increment(1);
        Ok(recorded)
    }

    /// `YES` means something only to whoever has opted out, so only then the store is asked.
    async fn read(&self, text: &str, phone: &PhoneNumber) -> Result<Option<Word>, StoreError> {
        match read_word(text, true) {
            Some(Word::Start) if read_word(text, false).is_none() => Ok(self.store.is_opted_out(phone).await?.then_some(Word::Start)),
            word => Ok(word),
        }
    }

    fn is_admitted(&self, phone: &PhoneNumber) -> bool {
        match self.config.people.admission {
            Admission::Open => true,
            Admission::Allowlist => self.allowed.contains(phone),
        }
    }

    /// A stranger gets no account, but a word against being texted holds all the same.
    async fn record_strangers_consent(&self, word: Option<Word>, phone: &PhoneNumber, sent: Option<Timestamp>) -> Result<(), StoreError> {
        let now = self.clock.now();
        let said_at = sent.map_or(now, |sent| sent.min(now));
        match word {
            Some(Word::Stop) => self.store.record_consent(phone, Consent::OptOut, said_at).await,
            Some(Word::Start) => self.store.record_consent(phone, Consent::OptIn, said_at).await,
            _ => Ok(()),
        }
    }

    fn is_too_long(&self, text: &str) -> bool {
        let most = self.config.limits.text_characters;
        text.len() > most && text.chars().count() > most
    }

    /// Whether a number has sent too much through the API in the last minute. A repeat costs nothing: it gets its first answer.
    async fn is_over_rate(&self, phone: &PhoneNumber, door: &Door) -> Result<bool, StoreError> {
        let Some(rate) = &self.rate else { return Ok(false) };
        if self.store.find_receipt(door).await?.is_some() {
            return Ok(false);
        }
        // Numbers that have been silent for a minute are forgotten, a few thousand checks apart.
        if self.checks.fetch_add(1, Ordering::Relaxed) % 4096 == 4095 {
            rate.retain_recent();
        }
        Ok(rate.check_key(phone).is_err())
    }

    /// An answer without a model costs its segments and nobody is charged, so a number gets so many an hour. Beyond them nothing is
    /// done, which it is told once. Words that must hold always do.
    async fn within_answers(&self, action: Action, word: Option<Word>, said: &Said<'_>, door: &Door) -> Result<Action, StoreError> {
        let Some(answers) = &self.answers else { return Ok(action) };
        let counts = matches!(action, Action::Answer { .. })
            && said.route.is_some()
            && !matches!(word, Some(Word::Stop | Word::Start | Word::Help | Word::Command(Command::Help)));
        if !counts || self.store.find_receipt(door).await?.is_some() || answers.may_answer(said.phone) {
            return Ok(action);
        }
        metrics::counter!("answers_refused_total").increment(1);
        Ok(if answers.may_tell(said.phone) {
            self.words.too_many(said.route, said.now)
        } else {
            Action::Record { reason: Refusal::PersonLimit }
        })
    }

    fn debounce(&self) -> Option<Debounce> {
        let settings = &self.config.conversations;
        (settings.debounce_ms > 0).then(|| Debounce {
            wait_millis: i64::try_from(settings.debounce_ms).unwrap_or(i64::MAX),
            max_millis: i64::try_from(settings.debounce_max_ms).unwrap_or(i64::MAX),
        })
    }

    fn by_phone(&self, now: Timestamp) -> ConversationTarget {
        ConversationTarget::ByPhone { not_before: reuse_horizon(now, self.config.conversations.reuse_days) }
    }

    /// With `external_api.deliver = "sms"` replies leave by the first open gateway and its own sender.
    fn api_route(&self) -> Option<ReplyRoute> {
        if self.config.external_api.deliver == ApiDelivery::None {
            return None;
        }
        self.default_gateway.clone().map(|gateway| ReplyRoute { gateway, from: String::new() })
    }

    /// What every message has in common; the caller fills in the rest.
    fn new_inbound(&self, door: Door, phone: PhoneNumber, now: Timestamp, action: Action) -> NewInbound {
        let balance = &self.config.balance;
        NewInbound {
            door,
            phone,
            text: String::new(),
            token_count: 0,
            attachments: Vec::new(),
            caller_metadata: CallerMetadata::new(),
            received_at: now,
            person: NewPerson {
                id: self.clock.user_id(),
                email_domain: self.config.people.email_domain.clone(),
                start_credits: balance.enabled.then_some(Credits(balance.start_credits)),
            },
            conversation: ConversationTarget::ByPhone { not_before: None },
            new_conversation_id: self.clock.conversation_id(),
            title: None,
            source: String::new(),
            message_id: self.clock.message_id(),
            turn_id: self.clock.turn_id(),
            request: TurnRequest::default(),
            route: None,
            action,
        }
    }

    async fn accept(&self, new: NewInbound) -> Result<Received, StoreError> {
        let (door, due) = (door_name(&new.door), new.received_at);
        let due = match &new.action {
            Action::Reply { debounce: Some(debounce) } => Timestamp::from_millis(due.as_millis().saturating_add(debounce.wait_millis)),
            _ => due,
        };
        let end = super::words::end_of(&new.action);
        let planned = super::words::planned_by(&new.action);
        let accepted = self.store.accept(new).await?;
        let outcome = match &accepted {
            Accepted::Stored(_) => "stored",
            Accepted::Repeat(_) => "repeat",
            Accepted::OtherBody | Accepted::UnknownConversation => "refused",
            Accepted::Blocked { .. } => "blocked",
        };
        metrics::counter!("inbound_total", "door" => door.clone(), "outcome" => outcome).increment(1);
        Ok(match accepted {
            Accepted::Stored(receipt) => {
                self.wake.at(due);
                if let Some(planned) = planned {
                    self.wake_schedules.at(planned);
                }
                if end.is_some() {
                    self.wake_deliveries.at(due);
                }
                Received::Stored { receipt, repeat: false, end }
            }
            Accepted::Repeat(receipt) => {
                metrics::counter!("duplicates_total", "door" => door).increment(1);
                Received::Stored { receipt, repeat: true, end: None }
            }
            Accepted::OtherBody => Received::OtherBody,
            Accepted::UnknownConversation => Received::UnknownConversation,
            Accepted::Blocked { .. } => Received::Blocked,
        })
    }
}

/// Whether the carrier confirms consent words itself, so that we must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CarrierConfirms {
    /// It does.
    Yes,
    /// It does not.
    No,
}

fn door_name(door: &Door) -> String {
    match door {
        Door::Gateway { name, .. } => name.clone(),
        Door::Api { .. } => "api".to_owned(),
    }
}
