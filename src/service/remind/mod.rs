//! Planned messages: making them, changing them, and firing those whose time has come.
//!
//! Which moment comes next is reckoned here, from the rule, and stored by a step that only one of several processes wins. No
//! lease is needed for that: what a run makes is stored in the same step, and from there on it is a turn or an outgoing message
//! like any other.

mod due;

use std::sync::Arc;
use std::time::Duration;

pub use self::due::RunBy;
use super::watch::Wake;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::schedule::words::{self, Reminder};
use crate::domain::schedule::{InvalidWhen, MESSAGE_CHARACTERS, Mode, NAME_CHARACTERS, Schedule, ScheduleId, UnknownZone, When, Zone};
use crate::domain::time::Timestamp;
use crate::domain::user::User;
use crate::store::{AddedSchedule, NewSchedule, ScheduleChange, ScheduleFilter, SharedStore, StoreError};

/// How far apart two moments may lie that were said as a span from now, and be one: whoever got no answer asks again within that.
const SAME_WITHIN: Duration = Duration::from_mins(2);

/// How often a change is tried again that met another.
const TRIES: usize = 5;

/// Characters of the message that name a schedule without a name.
const NAMED_BY: usize = 40;

/// When something is to run, as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum WhenAsked {
    /// A rule.
    Rule(When),
    /// One moment, written out or in words.
    Moment(String),
    /// Words for a moment or a rule.
    Words(String),
}

/// A schedule as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleAsked {
    /// What it is called; `None` names it by its message.
    pub name: Option<String>,
    /// What it says or asks.
    pub message: String,
    /// What a run does with the message.
    pub mode: Mode,
    /// When.
    pub when: WhenAsked,
    /// The zone of its times; `None` is the person's.
    pub zone: Option<String>,
}

/// A change as it was asked for: what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChangeAsked {
    /// What it is called.
    pub name: Option<String>,
    /// What it says or asks.
    pub message: Option<String>,
    /// What a run does with the message.
    pub mode: Option<Mode>,
    /// When.
    pub when: Option<WhenAsked>,
    /// The zone of its times.
    pub zone: Option<String>,
}

/// Why it was not done, in words for whoever asked.
#[derive(Debug, thiserror::Error)]
pub enum RemindError {
    /// The time is none, or over.
    #[error(transparent)]
    When(#[from] InvalidWhen),
    /// The zone is none.
    #[error(transparent)]
    Zone(#[from] UnknownZone),
    /// Something else about it cannot be.
    #[error("{0}")]
    Refused(String),
    /// The store: the schedule does not exist, there are too many, or it does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whom a change wakes.
#[derive(Clone, Default)]
pub struct Wakes {
    /// The poller of schedules.
    pub schedules: Arc<Wake>,
    /// The runner of turns.
    pub turns: Arc<Wake>,
    /// The runner of deliveries.
    pub deliveries: Arc<Wake>,
}

/// Who sends and answers what a run makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// This process.
    Here,
    /// Another one on the same store, if one runs.
    Elsewhere,
}

/// Planned messages.
pub struct Remind {
    store: SharedStore,
    clock: Clock,
    config: Arc<Config>,
    wakes: Wakes,
    default_gateway: Option<String>,
    workers: Workers,
}

impl Remind {
    /// Over this store.
    #[must_use]
    pub fn new(store: SharedStore, clock: Clock, config: Arc<Config>, wakes: Wakes) -> Self {
        Self { store, clock, config, wakes, default_gateway: None, workers: Workers::Here }
    }

    /// The gateway by which people are texted who have never texted themselves.
    #[must_use]
    pub fn with_default_gateway(mut self, gateway: Option<String>) -> Self {
        self.default_gateway = gateway;
        self
    }

    /// In a process that runs no workers.
    #[must_use]
    pub fn without_workers(mut self) -> Self {
        self.workers = Workers::Elsewhere;
        self
    }

    /// Who sends and answers what a run makes.
    #[must_use]
    pub const fn workers(&self) -> Workers {
        self.workers
    }

    /// Makes a schedule; an equal one that is on is given back instead.
    ///
    /// # Errors
    /// [`RemindError`], in words that say what is valid.
    pub async fn create(
        &self,
        user_id: UserId,
        conversation_id: Option<ConversationId>,
        asked: ScheduleAsked,
    ) -> Result<AddedSchedule, RemindError> {
        let zone = self.zone_asked(user_id, asked.zone.as_deref()).await?;
        let now = self.clock.now();
        let (when, same_within) = read(&asked.when, now, &zone)?;
        self.add(user_id, conversation_id, asked.name, asked.message, asked.mode, (when, zone, same_within), now).await
    }

    /// Makes a reminder of one sentence: "in 20 minutes to turn off the oven", "call mum tomorrow at 9".
    ///
    /// # Errors
    /// [`RemindError`], in words that say what is valid.
    pub async fn create_from_words(
        &self,
        user_id: UserId,
        conversation_id: Option<ConversationId>,
        text: &str,
    ) -> Result<AddedSchedule, RemindError> {
        let zone = self.zone_asked(user_id, None).await?;
        let new = NewSchedule { conversation_id, ..self.reminder(zone, text)? };
        let added = self.store.add_schedule(user_id, new, self.most()).await?;
        self.announce(&added.schedule);
        Ok(added)
    }

    /// A reminder of one sentence, as it would be made.
    pub(super) fn reminder(&self, zone: Zone, text: &str) -> Result<NewSchedule, RemindError> {
        let now = self.clock.now();
        let Reminder { when, is_from_now, message } = words::read_reminder(text, now, &zone)?;
        let same_within = if is_from_now { SAME_WITHIN } else { Duration::ZERO };
        self.checked(None, None, &message, Mode::Remind, (when, zone, same_within), now)
    }

    /// Schedules that one person may have.
    pub(super) fn most(&self) -> usize {
        usize::try_from(self.config.schedules.per_person).unwrap_or(usize::MAX)
    }

    #[expect(clippy::too_many_arguments, reason = "what was asked for, read, in the one place that checks it")]
    async fn add(
        &self,
        user_id: UserId,
        conversation_id: Option<ConversationId>,
        name: Option<String>,
        message: String,
        mode: Mode,
        rule: (When, Zone, Duration),
        now: Timestamp,
    ) -> Result<AddedSchedule, RemindError> {
        let new = self.checked(conversation_id, name, &message, mode, rule, now)?;
        let added = self.store.add_schedule(user_id, new, self.most()).await?;
        self.announce(&added.schedule);
        Ok(added)
    }

    /// A schedule as it is stored, if it can be.
    fn checked(
        &self,
        conversation_id: Option<ConversationId>,
        name: Option<String>,
        message: &str,
        mode: Mode,
        (when, zone, same_within): (When, Zone, Duration),
        now: Timestamp,
    ) -> Result<NewSchedule, RemindError> {
        let message = checked_message(message)?;
        let name = match name {
            Some(name) if !name.trim().is_empty() => checked_name(&name)?,
            _ => named_by(&message),
        };
        let next_run = self.first_run(&when, &zone, now)?;
        Ok(NewSchedule { name, message, mode, when, zone, anchor: now, next_run, conversation_id, same_within })
    }

    /// One schedule.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Unavailable`].
    pub async fn get(&self, user_id: UserId, id: ScheduleId) -> Result<Schedule, RemindError> {
        Ok(self.store.find_schedule(user_id, id).await?.ok_or(StoreError::NotFound { what: "the schedule" })?)
    }

    /// A person's schedules.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn list(&self, user_id: UserId, filter: ScheduleFilter) -> Result<Vec<Schedule>, StoreError> {
        self.store.list_schedules(user_id, filter).await
    }

    /// Changes a schedule. One that had finished begins again when it is given a time; one that is off stays off.
    ///
    /// # Errors
    /// [`RemindError`], in words that say what is valid.
    pub async fn change(&self, user_id: UserId, id: ScheduleId, asked: ChangeAsked) -> Result<Schedule, RemindError> {
        let message = asked.message.as_deref().map(checked_message).transpose()?;
        let name = asked.name.as_deref().map(checked_name).transpose()?;
        let zone = asked.zone.as_deref().map(Zone::parse).transpose()?;
        let plain: Vec<ScheduleChange> =
            [name.map(ScheduleChange::Name), message.map(ScheduleChange::Message), asked.mode.map(ScheduleChange::Mode)]
                .into_iter()
                .flatten()
                .collect();
        if plain.is_empty() && zone.is_none() && asked.when.is_none() {
            return Err(RemindError::Refused("nothing to change; give name, message, mode, when or timezone".to_owned()));
        }
        // Only of one that is put off is it asked when the person wants no reminders.
        let user = if zone.is_some() { self.store.find_user(user_id).await? } else { None };
        self.change_as_read(user_id, id, |schedule, now| {
            let mut changes = plain.clone();
            if zone.is_some() || asked.when.is_some() {
                let zone = zone.clone().unwrap_or_else(|| schedule.zone.clone());
                let (when, anchor) = match &asked.when {
                    Some(when) => (read(when, now, &zone)?.0, now),
                    None => (schedule.when.clone(), schedule.anchor),
                };
                let put_off = if asked.when.is_none() { self.put_off(schedule, user.as_ref(), now) } else { None };
                let next_run = match put_off {
                    Some(end) => end,
                    None => self.first_run_from(&when, &zone, anchor, now)?,
                };
                changes.push(ScheduleChange::Rule { when, zone, anchor, next_run });
            }
            Ok(changes)
        })
        .await
    }

    /// Turns a schedule on.
    ///
    /// # Errors
    /// [`RemindError`]: its only time is over; it does not exist.
    pub async fn enable(&self, user_id: UserId, id: ScheduleId) -> Result<Schedule, RemindError> {
        let user = self.store.find_user(user_id).await?;
        self.change_as_read(user_id, id, |schedule, now| {
            if schedule.next_run.is_some() {
                return Ok(Vec::new());
            }
            let next_run = schedule
                .when
                .next_after(&schedule.zone, schedule.anchor, now)
                .or_else(|| self.put_off(schedule, user.as_ref(), now))
                .ok_or_else(|| RemindError::Refused("its time is over; give it a new one with schedule_update and `when`".to_owned()))?;
            Ok(vec![ScheduleChange::Enable { next_run }])
        })
        .await
    }

    /// When a single reminder runs whose time has come, but in quiet hours that still last.
    fn put_off(&self, schedule: &Schedule, user: Option<&User>, now: Timestamp) -> Option<Timestamp> {
        let When::Once(at) = schedule.when else { return None };
        if schedule.finished || schedule.runs > 0 || at > now {
            return None;
        }
        schedule.next_run.or_else(|| self.quiet_until(schedule.mode, user?, at).filter(|end| *end > now))
    }

    /// Turns a schedule off.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Unavailable`].
    pub async fn disable(&self, user_id: UserId, id: ScheduleId) -> Result<Schedule, RemindError> {
        self.change_as_read(user_id, id, |schedule, _now| Ok(if schedule.enabled { vec![ScheduleChange::Disable] } else { Vec::new() }))
            .await
    }

    /// Deletes a schedule.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Unavailable`].
    pub async fn delete(&self, user_id: UserId, id: ScheduleId) -> Result<(), RemindError> {
        Ok(self.store.delete_schedule(user_id, id).await?)
    }

    /// The zone in which a person's times are meant.
    #[must_use]
    pub fn zone_of(&self, user: &User) -> Zone {
        let own = user.preferences.time_zone.as_deref().and_then(|name| Zone::parse(name).ok());
        own.unwrap_or_else(|| self.zone_of_strangers())
    }

    /// The zone of people who have not set one.
    pub(super) fn zone_of_strangers(&self) -> Zone {
        Zone::parse(&self.config.people.time_zone).unwrap_or_else(|_checked_at_start| Zone::utc())
    }

    async fn zone_asked(&self, user_id: UserId, name: Option<&str>) -> Result<Zone, RemindError> {
        if let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) {
            return Ok(Zone::parse(name)?);
        }
        let user = self.store.find_user(user_id).await?.ok_or(StoreError::NotFound { what: "the person" })?;
        Ok(self.zone_of(&user))
    }

    /// Reads a schedule, works out changes and makes them, again when somebody else changed it meanwhile.
    async fn change_as_read(
        &self,
        user_id: UserId,
        id: ScheduleId,
        changes: impl Fn(&Schedule, Timestamp) -> Result<Vec<ScheduleChange>, RemindError> + Send,
    ) -> Result<Schedule, RemindError> {
        let mut refused: Option<(i64, StoreError)> = None;
        for _ in 1..TRIES {
            let schedule = self.get(user_id, id).await?;
            if let Some((revision, error)) = refused.take()
                && revision == schedule.revision
            {
                // Nobody changed it: it is something else that stands against it.
                return Err(error.into());
            }
            let changes = changes(&schedule, self.clock.now())?;
            if changes.is_empty() {
                return Ok(schedule);
            }
            match self.store.change_schedule(user_id, id, schedule.revision, changes, self.most()).await {
                Ok(schedule) => {
                    self.announce(&schedule);
                    return Ok(schedule);
                }
                Err(error @ StoreError::Conflict { .. }) => refused = Some((schedule.revision, error)),
                Err(error) => return Err(error.into()),
            }
        }
        let reason = "the schedule is being changed by others at this moment; try again".to_owned();
        Err(StoreError::Conflict { reason }.into())
    }

    fn first_run(&self, when: &When, zone: &Zone, now: Timestamp) -> Result<Timestamp, RemindError> {
        self.first_run_from(when, zone, now, now)
    }

    /// When a rule runs next, if it is one that is allowed and ever does.
    fn first_run_from(&self, when: &When, zone: &Zone, anchor: Timestamp, now: Timestamp) -> Result<Timestamp, RemindError> {
        let least = i64::from(self.config.schedules.minimum_minutes);
        if let Some(minutes) = when.shortest_gap_minutes().filter(|minutes| *minutes < least) {
            let reason = format!("it would run {minutes} minutes after the run before; at least {least} minutes must lie between two runs");
            return Err(RemindError::Refused(reason));
        }
        when.next_after(zone, anchor, now).ok_or_else(|| match when {
            When::Once(at) => RemindError::Refused(format!("{} is over; it is {} now", zone.rfc3339(*at), zone.rfc3339(now))),
            _ => RemindError::Refused(format!("{when} never comes")),
        })
    }

    fn announce(&self, schedule: &Schedule) {
        if let Some(next_run) = schedule.next_run {
            self.wakes.schedules.at(next_run);
        }
    }
}

/// Reads when it is to run, and how far apart two such moments may lie and be one.
fn read(asked: &WhenAsked, now: Timestamp, zone: &Zone) -> Result<(When, Duration), InvalidWhen> {
    let same_within = |text: &str| if words::is_from_now(text) { SAME_WITHIN } else { Duration::ZERO };
    Ok(match asked {
        WhenAsked::Rule(when) => (when.clone(), Duration::ZERO),
        WhenAsked::Moment(text) => (When::Once(words::read_moment(text, now, zone)?), same_within(text)),
        WhenAsked::Words(text) => (words::read_when(text, now, zone)?, same_within(text)),
    })
}

fn checked_message(message: &str) -> Result<String, RemindError> {
    checked(message, "message", MESSAGE_CHARACTERS)
}

fn checked_name(name: &str) -> Result<String, RemindError> {
    checked(name, "name", NAME_CHARACTERS)
}

fn checked(text: &str, what: &str, most: usize) -> Result<String, RemindError> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(RemindError::Refused(format!("the {what} is empty"))),
        length if length > most => Err(RemindError::Refused(format!("the {what} has {length} characters; at most {most} are allowed"))),
        _ => Ok(text.to_owned()),
    }
}

/// The beginning of a message, to the end of a word.
fn named_by(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim();
    let Some((end, _)) = line.char_indices().nth(NAMED_BY) else { return line.to_owned() };
    let beginning = line.get(..end).unwrap_or_default();
    let whole_words = beginning.rsplit_once(' ').map_or(beginning, |(words, _part)| words);
    format!("{whole_words}…")
}
