//! Schedules and their runs.

use std::time::Duration;

use async_trait::async_trait;

use super::outbox::NewOutbound;
use super::turns::{BalanceRules, DailyLimits};
use super::{StoreError, StoreResult, Timestamp};
use crate::domain::delivery::ReplyRoute;
use crate::domain::ids::{ConversationId, MessageId, TurnId, UserId};
use crate::domain::ledger::Credits;
use crate::domain::schedule::{Mode, Schedule, ScheduleId, When, Zone};
use crate::domain::user::User;

/// Finished schedules that a person keeps; older ones make room.
pub(in crate::store) const FINISHED_KEPT: u16 = 50;

/// A schedule to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSchedule {
    /// What it is called.
    pub name: String,
    /// What it says or asks.
    pub message: String,
    /// What a run does with the message.
    pub mode: Mode,
    /// Its rule.
    pub when: When,
    /// The zone of the rule's times.
    pub zone: Zone,
    /// From when an interval counts.
    pub anchor: Timestamp,
    /// When it runs first.
    pub next_run: Timestamp,
    /// The conversation in which it is made.
    pub conversation_id: Option<ConversationId>,
    /// How far apart two single times may lie and count as one: "in 20 minutes" said again is another moment.
    pub same_within: Duration,
}

impl NewSchedule {
    /// Whether a schedule that is on is this one already.
    pub(in crate::store) fn is_same_as(&self, schedule: &Schedule) -> bool {
        let same_rule = match (&schedule.when, &self.when) {
            (When::Once(one), When::Once(other)) => one.since(*other).max(other.since(*one)) <= self.same_within,
            (one, other) => one == other,
        };
        let is_on = schedule.enabled && !schedule.finished;
        is_on && same_rule && schedule.message == self.message && schedule.mode == self.mode && schedule.zone.name() == self.zone.name()
    }
}

/// Whether there is room for one more that has not finished.
///
/// # Errors
/// [`StoreError::Conflict`] when there is none.
pub(in crate::store) fn check_room<'a>(held: impl IntoIterator<Item = &'a Schedule>, limit: usize) -> StoreResult<()> {
    if held.into_iter().filter(|schedule| !schedule.finished).count() >= limit {
        let reason = format!("there are {limit} schedules already, which is the most; delete one that is no longer needed");
        return Err(StoreError::Conflict { reason });
    }
    Ok(())
}

/// Makes changes of a schedule that is as it was read; whether it begins again, which takes room.
///
/// # Errors
/// [`StoreError::Conflict`] when it has changed since.
pub(in crate::store) fn change(schedule: &mut Schedule, revision: i64, changes: &[ScheduleChange]) -> StoreResult<Again> {
    if schedule.revision != revision {
        return Err(StoreError::Conflict { reason: "the schedule was changed meanwhile; read it again".to_owned() });
    }
    let was_finished = schedule.finished;
    for change in changes {
        change.apply(schedule);
    }
    Ok(if was_finished && !schedule.finished { Again::Begins } else { Again::Stays })
}

/// Whether a change makes one run again that had finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Again {
    Begins,
    Stays,
}

/// A schedule that was made, or stood there before.
#[derive(Debug, Clone, PartialEq)]
pub struct AddedSchedule {
    /// As stored.
    pub schedule: Schedule,
    /// Whether this call made it.
    pub is_new: bool,
}

/// One change of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub enum ScheduleChange {
    /// What it is called.
    Name(String),
    /// What it says or asks.
    Message(String),
    /// What a run does with the message.
    Mode(Mode),
    /// When it runs. One that had finished begins again; one that is off stays off.
    Rule {
        /// The rule.
        when: When,
        /// The zone of its times.
        zone: Zone,
        /// From when an interval counts.
        anchor: Timestamp,
        /// When it runs next, if it is on.
        next_run: Timestamp,
    },
    /// On, and when it runs next.
    Enable {
        /// The moment.
        next_run: Timestamp,
    },
    /// Off.
    Disable,
}

impl ScheduleChange {
    fn apply(&self, schedule: &mut Schedule) {
        match self {
            Self::Name(name) => schedule.name.clone_from(name),
            Self::Message(message) => schedule.message.clone_from(message),
            Self::Mode(mode) => schedule.mode = *mode,
            Self::Rule { when, zone, anchor, next_run } => {
                schedule.when.clone_from(when);
                schedule.zone.clone_from(zone);
                schedule.anchor = *anchor;
                // What had finished begins again.
                schedule.enabled |= schedule.finished;
                schedule.finished = false;
                schedule.next_run = schedule.enabled.then_some(*next_run);
            }
            Self::Enable { next_run } => {
                schedule.enabled = true;
                schedule.finished = false;
                schedule.next_run = Some(*next_run);
            }
            Self::Disable => {
                schedule.enabled = false;
                schedule.next_run = None;
            }
        }
    }
}

/// Which schedules are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleFilter {
    /// Those that will run, the next one first.
    Upcoming,
    /// All, oldest number first, with those that are off and the newest that have finished.
    All,
}

/// A schedule whose time has come, and its person.
#[derive(Debug, Clone, PartialEq)]
pub struct DueSchedule {
    /// The schedule.
    pub schedule: Schedule,
    /// Whose it is.
    pub user: User,
}

/// What is due, and when to ask again.
#[derive(Debug)]
pub struct DueSchedules {
    /// The longest due first.
    pub due: Vec<DueSchedule>,
    /// When the next is due of those that are not returned here.
    pub next_due: Option<Timestamp>,
}

/// One firing of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Firing {
    /// Whose.
    pub user_id: UserId,
    /// Which.
    pub schedule_id: ScheduleId,
    /// By what plan.
    pub plan: Plan,
    /// What is done.
    pub act: Act,
}

/// Whether a firing is the one that was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// It is the one that is due at that moment. It happens only while the schedule is as it was read: of any number of
    /// processes that try, one succeeds.
    Due {
        /// The moment, as read.
        due: Timestamp,
        /// The revision, as read.
        revision: i64,
        /// When it runs next; `None` ends it.
        then: Option<Timestamp>,
    },
    /// It is one more, and the plan stays.
    Extra,
}

/// What a firing does.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each firing, and most of them run")]
pub enum Act {
    /// It runs.
    Run(Run),
    /// It is recorded as missed.
    Miss,
    /// It is put off; nothing is recorded but the later moment.
    Hold,
}

/// A run to be made, with everything that one atomic step needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The turn that it makes.
    pub turn_id: TurnId,
    /// The entry of its text.
    pub message_id: MessageId,
    /// What it says or asks.
    pub text: String,
    /// What becomes of the text.
    pub kind: RunKind,
    /// The conversation to begin where none is continued.
    pub new_conversation_id: ConversationId,
    /// The oldest last activity of a conversation that is continued where the schedule's own is closed or gone (`None`: any).
    pub not_before: Option<Timestamp>,
    /// The way to a phone for whoever never texted.
    pub default_route: Option<ReplyRoute>,
}

/// What becomes of a run's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunKind {
    /// It is an entry of ours, and is texted.
    Remind {
        /// The text as sent.
        outgoing: Vec<NewOutbound>,
        /// What the carrier charges for one segment.
        segment_price: Credits,
        /// How balances are granted, where people pay: the segments are taken from the person's. `None`: nobody pays.
        balance: Option<BalanceRules>,
        /// Turns that may begin today; the run is one of them.
        limits: DailyLimits,
    },
    /// It is a turn of the person, to be answered like any other.
    Ask {
        /// Tokens of the text, as estimated.
        token_count: i64,
        /// What the model is told about it, for this turn alone.
        instructions: String,
    },
}

/// What came of a firing.
#[derive(Debug, Clone, PartialEq)]
pub enum Fired {
    /// It is done.
    Done {
        /// The schedule afterwards.
        schedule: Box<Schedule>,
        /// Outgoing messages that were made.
        outgoing: usize,
    },
    /// Somebody else fired it, or it was changed since it was read. Nothing was written.
    Lost,
}

/// Schedules.
#[async_trait]
pub trait Schedules {
    /// Makes a schedule, unless the person has an equal one that is on: that one is returned as it is. Equal are those of one
    /// message, mode, zone and rule. A person has at most `limit` that have not finished.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`] when the person does not exist; [`super::StoreError::Conflict`] when there are too many;
    /// [`super::StoreError::Unavailable`].
    async fn add_schedule(&self, user_id: UserId, new: NewSchedule, limit: usize) -> StoreResult<AddedSchedule>;

    /// One schedule.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn find_schedule(&self, user_id: UserId, id: ScheduleId) -> StoreResult<Option<Schedule>>;

    /// A person's schedules. Their number is bounded, so there are no pages.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn list_schedules(&self, user_id: UserId, filter: ScheduleFilter) -> StoreResult<Vec<Schedule>>;

    /// Changes a schedule that is as it was read: of that `revision`. What it said before is forgotten. One that had finished begins
    /// again only where the person has fewer than `limit` others that have not finished.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`]; [`super::StoreError::Conflict`] when it has changed (read it again), or when there are too
    /// many; [`super::StoreError::Unavailable`].
    async fn change_schedule(
        &self,
        user_id: UserId,
        id: ScheduleId,
        revision: i64,
        changes: Vec<ScheduleChange>,
        limit: usize,
    ) -> StoreResult<Schedule>;

    /// Deletes a schedule, and forgets every copy of its text. What its runs said stays where they said it.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`]; [`super::StoreError::Unavailable`].
    async fn delete_schedule(&self, user_id: UserId, id: ScheduleId) -> StoreResult<()>;

    /// Up to `limit` schedules of everybody whose time has come. Nothing is leased: [`Schedules::fire_schedule`] decides who
    /// runs one.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn list_due_schedules(&self, limit: usize) -> StoreResult<DueSchedules>;

    /// Fires a schedule: its next moment, the record of the run, and what the run makes (an entry and outgoing messages, or a
    /// turn), all or nothing. A person who is blocked or has opted out gets nothing, and that is recorded;
    /// so it is with a reminder that is over a daily limit, or costs more than the person has. A question meets those limits when
    /// its turn begins.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`] for an extra run of a schedule that does not exist; [`super::StoreError::Unavailable`].
    async fn fire_schedule(&self, firing: Firing) -> StoreResult<Fired>;
}
