//! `/remind`.

use std::fmt::Write as _;

use super::{Kept, Plan, brief, number, sentence};
use crate::domain::schedule::{Schedule, ScheduleId, Zone};
use crate::domain::time::Timestamp;
use crate::domain::user::User;
use crate::service::remind::RemindError;
use crate::store::{Change, ScheduleFilter, StoreResult};

impl Kept {
    pub(super) async fn reminder(&self, user: Option<&User>, rest: &str) -> StoreResult<Plan> {
        let (first, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        match first.to_ascii_lowercase().as_str() {
            "" => self.reminders(user).await,
            "list" if behind.is_empty() => self.reminders(user).await,
            "off" => self.reminder_off(user, behind.trim()).await,
            _ => self.remind_of(user, rest),
        }
    }

    async fn reminders(&self, user: Option<&User>) -> StoreResult<Plan> {
        const NONE: &str =
            "You have no reminders. For one, text such as \"/remind in 20 minutes to stretch\" or \"/remind tomorrow 9:00 call mum\".";
        let Some(user) = user else { return Ok(Plan::say(NONE)) };
        let planned = self.store.list_schedules(user.id, ScheduleFilter::Upcoming).await?;
        if planned.is_empty() {
            return Ok(Plan::say(NONE));
        }
        let mut text = "Your reminders, the next one first:".to_owned();
        for schedule in &planned {
            let next = schedule.next_run.map(|next| moment(next, &schedule.zone)).unwrap_or_default();
            let rule = if schedule.when.is_once() { String::new() } else { format!(" ({})", schedule.when) };
            let _infallible = write!(text, "\n{}. {next}{rule}: {}", schedule.id, brief(&schedule.message));
        }
        text.push_str("\n/remind off and a number removes one.");
        Ok(Plan::say(text))
    }

    async fn reminder_off(&self, user: Option<&User>, name: &str) -> StoreResult<Plan> {
        let Some(id) = number(name).map(ScheduleId) else {
            return Ok(Plan::say("Which one? /remind shows your reminders, with numbers; /remind off and a number removes one."));
        };
        let found = match user {
            Some(user) => self.store.find_schedule(user.id, id).await?,
            None => None,
        };
        Ok(match found {
            Some(Schedule { message, .. }) => {
                let done = format!("That reminder is off: {}", brief(&message));
                Plan::change(Change::DeleteSchedule(id), done, format!("Reminder {id} was off already."))
            }
            None => Plan::say(format!("You have no reminder {id}. /remind shows those that you have.")),
        })
    }

    fn remind_of(&self, user: Option<&User>, wish: &str) -> StoreResult<Plan> {
        let zone = user.map_or_else(|| self.remind.zone_of_strangers(), |user| self.remind.zone_of(user));
        let limit = self.remind.most();
        let new = match self.remind.reminder(zone, wish) {
            Ok(new) => new,
            Err(RemindError::Store(error)) => return Err(error),
            Err(error) => return Ok(Plan::say(sentence(&error.to_string()))),
        };
        let rule = if new.when.is_once() { String::new() } else { format!(", {}", new.when) };
        let done = format!("I will remind you {}{rule}: {}", moment(new.next_run, &new.zone), brief(&new.message));
        let otherwise = format!("Nothing was added: that reminder is there already, or you have {limit}, which is the most.");
        Ok(Plan::change(Change::AddSchedule { new: Box::new(new), limit }, done, otherwise))
    }
}

/// A moment as the person's clock and calendar show it.
fn moment(at: Timestamp, zone: &Zone) -> String {
    zone.zoned(at).strftime("%a %-d %b %H:%M").to_string()
}
