//! Firing what is due: whether it runs, waits or was missed, and what it makes.

use std::time::Duration;

use futures::StreamExt as _;

use super::{Remind, RemindError};
use crate::domain::conversation::reuse_horizon;
use crate::domain::delivery::ReplyRoute;
use crate::domain::ids::UserId;
use crate::domain::ledger::Credits;
use crate::domain::schedule::{Mode, Schedule, ScheduleId};
use crate::domain::time::Timestamp;
use crate::domain::user::User;
use crate::model::estimate_tokens;
use crate::service::outgoing::outgoing;
use crate::service::wallet::{balance_rules, daily_limits};
use crate::store::{Act, DueSchedule, Fired, Firing, Plan, Run, RunKind, StoreError, StoreResult};

/// Firings that wait for the disk at the same time; they share its commits.
const AT_ONCE: usize = 32;

/// However little is to be made up for, a run that is this late is not missed: polling and the disk take their time.
const PUNCTUAL: Duration = Duration::from_mins(1);

/// Runs of one schedule that are looked at for one that quiet hours held back: a day of the most frequent.
const LOOKED_AT: usize = 1500;

/// What a look at what is due found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Schedules that this process fired: run, put off or recorded as missed.
    pub fired: usize,
    /// When to look again; `None` when nothing is planned.
    pub next_due: Option<Timestamp>,
}

/// Who asks for a run beside the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunBy {
    /// A person, with a program of theirs.
    Person,
    /// An agent in a turn. The turn may be the answer to that very schedule, which would then run for ever: a question that an agent
    /// runs keeps the distance of planned runs, `schedules.minimum_minutes`.
    Agent,
}

impl Remind {
    /// Fires up to `limit` schedules whose time has come. Of several processes that do so, one fires each.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; what was not fired stays due.
    pub async fn fire_due(&self, limit: usize) -> StoreResult<Look> {
        let found = self.store.list_due_schedules(limit).await?;
        let more = found.due.len() >= limit;
        let firings: Vec<_> = found.due.into_iter().map(|due| self.fire(due)).collect();
        let mut firings = futures::stream::iter(firings).buffer_unordered(AT_ONCE);
        let (mut fired, mut failed) = (0, None);
        while let Some(outcome) = firings.next().await {
            match outcome {
                Ok(true) => fired += 1,
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(Look { fired, next_due: if more { Some(self.clock.now()) } else { found.next_due } }),
        }
    }

    /// Runs a schedule once more, now, whatever its plan, which stays.
    ///
    /// # Errors
    /// [`RemindError::Refused`] to an agent when it is too soon; [`StoreError::NotFound`]; [`StoreError::Unavailable`].
    pub async fn run_now(&self, user_id: UserId, id: ScheduleId, by: RunBy) -> Result<Schedule, RemindError> {
        let schedule = self.get(user_id, id).await?;
        let now = self.clock.now();
        if by == RunBy::Agent && schedule.mode == Mode::Ask {
            let minutes = self.config.schedules.minimum_minutes.max(1);
            let least = Duration::from_secs(u64::from(minutes) * 60);
            if schedule.last_run.is_some_and(|last| now.since(last) < least) {
                let reason = format!("it ran less than {minutes} minutes ago, and a question does not run itself again within that time");
                return Err(RemindError::Refused(reason));
            }
        }
        let act = Act::Run(self.run(&schedule, now));
        match self.store.fire_schedule(Firing { user_id, schedule_id: id, plan: Plan::Extra, act }).await? {
            Fired::Done { schedule, .. } => {
                self.wake_all(now);
                Ok(*schedule)
            }
            Fired::Lost => Err(StoreError::Conflict { reason: "the schedule was changed meanwhile; try again".to_owned() }.into()),
        }
    }

    /// Fires one; false when somebody else did.
    async fn fire(&self, due: DueSchedule) -> StoreResult<bool> {
        let now = self.clock.now();
        let Some(firing) = self.decide(&due, now) else { return Ok(false) };
        let act = match &firing.act {
            Act::Run(_) => "run",
            Act::Miss => "missed",
            Act::Hold => "held",
        };
        match self.store.fire_schedule(firing).await? {
            Fired::Done { .. } => {
                metrics::counter!("schedules_fired_total", "outcome" => act).increment(1);
                tracing::debug!(user = %due.user.id, schedule = %due.schedule.id, act, "a schedule was fired");
                if act == "run" {
                    self.wake_all(now);
                }
                Ok(true)
            }
            Fired::Lost => Ok(false),
        }
    }

    fn wake_all(&self, now: Timestamp) {
        self.wakes.turns.at(now);
        self.wakes.deliveries.at(now);
    }

    /// What becomes of a schedule whose time has come. `None` when it has none.
    fn decide(&self, due: &DueSchedule, now: Timestamp) -> Option<Firing> {
        let schedule = &due.schedule;
        let planned = schedule.next_run?;
        let next = schedule.when.next_after(&schedule.zone, schedule.anchor, now.max(planned));
        let (act, then) = if self.is_missed(due, planned, now) {
            (Act::Miss, next)
        } else if let Some(end) = self.quiet_until(schedule.mode, &due.user, now) {
            (Act::Hold, Some(end))
        } else {
            (Act::Run(self.run(schedule, now)), next)
        };
        let plan = Plan::Due { due: planned, revision: schedule.revision, then };
        Some(Firing { user_id: schedule.user_id, schedule_id: schedule.id, plan, act })
    }

    /// Whether every run up to now is too old to be made up for. A run that quiet hours held back is as old as their end.
    fn is_missed(&self, due: &DueSchedule, planned: Timestamp, now: Timestamp) -> bool {
        let schedule = &due.schedule;
        let catch_up = Duration::from_secs(u64::from(self.config.schedules.catch_up_minutes) * 60).max(PUNCTUAL);
        let horizon = now.before(catch_up);
        let is_young = |run: Timestamp| self.quiet_until(schedule.mode, &due.user, run).unwrap_or(run) >= horizon;
        if is_young(planned) {
            return false;
        }
        // Quiet hours are shorter than a day.
        let mut run = planned.max(horizon.before(Duration::from_hours(24)));
        for _ in 0..LOOKED_AT {
            match schedule.when.next_after(&schedule.zone, schedule.anchor, run).filter(|run| *run <= now) {
                Some(next) if is_young(next) => return false,
                Some(next) => run = next,
                None => return true,
            }
        }
        true
    }

    /// When the quiet hours end that hold such a run back at that moment.
    pub(super) fn quiet_until(&self, mode: Mode, user: &User, moment: Timestamp) -> Option<Timestamp> {
        let hours = user.preferences.quiet_hours.filter(|_hours| mode == Mode::Remind)?;
        hours.end_after(moment, &self.zone_of(user))
    }

    /// The run to be made of a schedule.
    fn run(&self, schedule: &Schedule, now: Timestamp) -> Run {
        let kind = match schedule.mode {
            Mode::Remind => {
                let expires_at = now.after(Duration::from_secs(u64::from(self.config.worker.reply_max_age_hours) * 3600));
                RunKind::Remind {
                    outgoing: outgoing(&schedule.message, &self.config.sms, &self.clock, expires_at),
                    segment_price: Credits(self.config.balance.segment_credits),
                    balance: balance_rules(&self.config),
                    limits: daily_limits(&self.config, now),
                }
            }
            Mode::Ask => RunKind::Ask {
                token_count: estimate_tokens(&schedule.message),
                instructions: format!(
                    "The person planned this message earlier (schedule {}); it was sent by itself just now, and they are not writing at \
                     this moment. Answer it now, in one message that stands for itself.",
                    schedule.id
                ),
            },
        };
        Run {
            turn_id: self.clock.turn_id(),
            message_id: self.clock.message_id(),
            text: schedule.message.clone(),
            kind,
            new_conversation_id: self.clock.conversation_id(),
            not_before: reuse_horizon(now, self.config.conversations.reuse_days),
            default_route: self.default_gateway.clone().map(|gateway| ReplyRoute { gateway, from: String::new() }),
        }
    }
}
