//! What the words do that are obeyed before anything else.

use std::sync::Arc;

use super::kept::{Kept, Plan};
use super::outgoing::outgoing;
use super::receive::CarrierConfirms;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::consent::{Command, Word, argument};
use crate::domain::delivery::ReplyRoute;
use crate::domain::ledger::{Credits, Usage};
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::domain::turn::{Refusal, StoredReply, TurnEnd};
use crate::store::{Action, Change, Consent, Effect, FixedAnswer, NewOutbound, SharedStore, StoreError};

/// Where a person stands, for `/status` and `users show`.
pub type Effective = dyn Fn(&crate::domain::user::User) -> (String, String) + Send + Sync;

/// Who said a word, when, and how an answer reaches them.
#[derive(Clone, Copy)]
pub(super) struct Said<'a> {
    /// Who.
    pub(super) phone: &'a PhoneNumber,
    /// All that they said.
    pub(super) text: &'a str,
    /// How an answer reaches them; without a route nothing is sent.
    pub(super) route: Option<&'a ReplyRoute>,
    /// Whether the carrier answers consent and help words itself.
    pub(super) confirms: CarrierConfirms,
    /// When, by the carrier's word where there is one.
    pub(super) at: Timestamp,
    /// The present moment.
    pub(super) now: Timestamp,
}

/// Turns a word into what is stored with its message.
pub struct Words {
    store: SharedStore,
    clock: Clock,
    config: Arc<Config>,
    effective: Arc<Effective>,
    kept: Kept,
}

impl Words {
    /// `effective` tells the endpoint and the model that apply to a person now.
    #[must_use]
    pub fn new(store: SharedStore, clock: Clock, config: Arc<Config>, effective: Arc<Effective>, kept: Kept) -> Self {
        Self { store, clock, config, effective, kept }
    }

    /// What is to be done about a word. Without a route nothing is sent.
    pub(super) async fn act(&self, word: Word, said: &Said<'_>) -> Result<Action, StoreError> {
        let Said { phone, route, confirms, now, .. } = *said;
        let sms = &self.config.sms;
        Ok(match word {
            Word::Stop => self.consent(Consent::OptOut, &sms.stop_text, said),
            Word::Start => self.consent(Consent::OptIn, &sms.start_text, said),
            Word::Help if confirms == CarrierConfirms::Yes => Action::Record { reason: Refusal::AnsweredByCarrier },
            Word::Help | Word::Command(Command::Help) => self.answer(sms.help_text.clone(), Effect::None, route, now),
            Word::More => {
                let effect = Effect::ReleaseHeld {
                    parts: sms.max_messages,
                    expires_at: self.expiry(now),
                    segment_price: if self.config.balance.enabled { Credits(self.config.balance.segment_credits) } else { Credits::ZERO },
                };
                self.answer("There is nothing more to send.".to_owned(), effect, route, now)
            }
            Word::Command(Command::New) => {
                self.answer("A new conversation begins with your next message.".to_owned(), Effect::NewConversation, route, now)
            }
            Word::Command(Command::Balance) => self.answer(self.balance(phone).await?, Effect::None, route, now),
            Word::Command(Command::Status) => self.answer(self.status(phone).await?, Effect::None, route, now),
            Word::Command(Command::Kept(command)) => {
                let Plan { text, change } = self.kept.plan(command, argument(said.text), phone).await?;
                let effect = change.map_or(Effect::None, |(change, otherwise)| Effect::Change {
                    change,
                    otherwise: FixedAnswer { outgoing: self.outgoing(&otherwise, route, now), text: otherwise },
                });
                self.answer(text, effect, route, now)
            }
            Word::Command(Command::Unknown) => self.answer(
                "That is not a command. There are /help, /new, /balance, /status, /memory, /forget, /todo and /remind.".to_owned(),
                Effect::None,
                route,
                now,
            ),
        })
    }

    async fn balance(&self, phone: &PhoneNumber) -> Result<String, StoreError> {
        let balance = &self.config.balance;
        if !balance.enabled {
            return Ok("Credits are not counted here.".to_owned());
        }
        let held = self.store.find_user_by_phone(phone).await?.and_then(|user| user.balance);
        let credits = held.unwrap_or(Credits(balance.start_credits));
        let mut text = format!("You have {} credits.", credits.0);
        if balance.refill_credits > 0 {
            use std::fmt::Write as _;
            let _infallible = write!(text, " {} more come every {} hours.", balance.refill_credits, balance.refill_hours);
        }
        Ok(text)
    }

    async fn status(&self, phone: &PhoneNumber) -> Result<String, StoreError> {
        let Some(user) = self.store.find_user_by_phone(phone).await? else {
            return Ok("All is well. This is your first message.".to_owned());
        };
        let (endpoint, model) = (self.effective)(&user);
        Ok(format!(
            "All is well. You are answered by {model} at {endpoint}. You have sent {} messages before this one.",
            user.message_count
        ))
    }

    fn consent(&self, consent: Consent, text: &str, said: &Said<'_>) -> Action {
        let confirmation =
            if said.confirms == CarrierConfirms::Yes { None } else { self.outgoing(text, said.route, said.now).into_iter().next() };
        Action::Consent { consent, said_at: said.at, confirmation }
    }

    /// What is said to a text that is too long to be answered.
    pub(super) fn too_long(&self, route: Option<&ReplyRoute>, now: Timestamp) -> Action {
        let text = format!("That was too long to be answered: at most {} characters, please.", self.config.limits.text_characters);
        self.answer(text, Effect::None, route, now)
    }

    /// What is said once to whoever has had too many answers of ours.
    pub(super) fn too_many(&self, route: Option<&ReplyRoute>, now: Timestamp) -> Action {
        let text = "That was more than can be answered within an hour, so it was not done. Please try again later.".to_owned();
        self.answer(text, Effect::None, route, now)
    }

    fn answer(&self, text: String, effect: Effect, route: Option<&ReplyRoute>, now: Timestamp) -> Action {
        let outgoing = self.outgoing(&text, route, now);
        Action::Answer { text, reply_id: self.clock.message_id(), outgoing, effect }
    }

    fn outgoing(&self, text: &str, route: Option<&ReplyRoute>, now: Timestamp) -> Vec<NewOutbound> {
        if route.is_none() {
            return Vec::new();
        }
        outgoing(text, &self.config.sms, &self.clock, self.expiry(now))
    }

    fn expiry(&self, now: Timestamp) -> Timestamp {
        now.after(std::time::Duration::from_secs(u64::from(self.config.worker.reply_max_age_hours) * 3600))
    }
}

/// When what a message plans runs first, if it plans something.
pub(super) fn planned_by(action: &Action) -> Option<Timestamp> {
    match action {
        Action::Answer { effect: Effect::Change { change: Change::AddSchedule { new, .. }, .. }, .. } => Some(new.next_run),
        _ => None,
    }
}

/// How the turn of a message ends whose answer is decided on the spot.
pub(super) fn end_of(action: &Action) -> Option<TurnEnd> {
    match action {
        Action::Consent { .. } => Some(TurnEnd::Answered(None)),
        // Whether there was something to send or to change is known when it is stored.
        Action::Answer { effect: Effect::ReleaseHeld { .. } | Effect::Change { .. }, .. } | Action::Reply { .. } => None,
        Action::Answer { text, reply_id, .. } => {
            let reply = StoredReply { message_id: *reply_id, text: text.clone(), endpoint: None, model: None, usage: Usage::default() };
            Some(TurnEnd::Answered(Some(reply)))
        }
        Action::Record { reason } => Some(TurnEnd::Refused(*reason)),
    }
}
