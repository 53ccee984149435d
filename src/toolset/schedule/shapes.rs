//! Arguments and results of the schedule tools. Field comments are what a model reads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::schedule::{Days, Interval, InvalidWhen, Mode, Schedule, TimeOfDay, Unit, When, Zone};
use crate::service::remind::WhenAsked;

#[derive(Deserialize, JsonSchema)]
pub(super) struct CreateArguments {
    /// What is texted, or what is asked
    #[schemars(extend("aliases" = ["text", "content", "prompt", "reminder", "body"]))]
    pub(super) message: String,
    #[schemars(extend("aliases" = ["schedule", "at", "time", "date"]))]
    pub(super) when: WhenArgument,
    /// Default: remind
    pub(super) mode: Option<ModeWord>,
    #[schemars(extend("aliases" = ["title"]))]
    pub(super) name: Option<String>,
    /// IANA name; default: the person's own
    #[schemars(extend("aliases" = ["zone", "tz"]))]
    pub(super) timezone: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct UpdateArguments {
    #[schemars(extend("aliases" = ["scheduleId"]))]
    pub(super) id: i64,
    #[schemars(extend("aliases" = ["text", "content", "prompt", "reminder", "body"]))]
    pub(super) message: Option<String>,
    #[schemars(extend("aliases" = ["schedule", "at", "time", "date"]))]
    pub(super) when: Option<WhenArgument>,
    pub(super) mode: Option<ModeWord>,
    #[schemars(extend("aliases" = ["title"]))]
    pub(super) name: Option<String>,
    #[schemars(extend("aliases" = ["zone", "tz"]))]
    pub(super) timezone: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct IdArguments {
    #[schemars(extend("aliases" = ["scheduleId"]))]
    pub(super) id: i64,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListArguments {
    /// current (default): on or off; all: also those that have run for the last time
    pub(super) status: Option<StatusWord>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum StatusWord {
    Current,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(description = "remind: the message is texted as it stands; ask: the assistant answers it and the answer is texted")]
pub(super) enum ModeWord {
    Remind,
    Ask,
}

impl From<ModeWord> for Mode {
    fn from(word: ModeWord) -> Self {
        match word {
            ModeWord::Remind => Self::Remind,
            ModeWord::Ask => Self::Ask,
        }
    }
}

/// Words, or a rule.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(description = "Exactly one rule, or plain words such as \"in 20 minutes\", \"tomorrow at 9:00\", \"every monday at 8:30\"")]
pub(super) enum WhenArgument {
    Rule(Box<RuleArgument>),
    Words(String),
}

/// A rule: one of its fields.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(description = "")]
pub(super) struct RuleArgument {
    /// RFC 3339, or words such as "in 20 minutes"
    once: Option<String>,
    /// HH:MM
    #[schemars(extend("aliases" = ["everyDay"]))]
    daily: Option<String>,
    /// With daily: Monday to Friday only
    weekdays_only: Option<bool>,
    weekly: Option<WeeklyArgument>,
    monthly: Option<MonthlyArgument>,
    every: Option<EveryArgument>,
    /// Five fields: minute hour day month weekday
    cron: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(description = "")]
struct WeeklyArgument {
    /// monday to sunday
    #[schemars(extend("aliases" = ["weekday", "dayOfWeek"]))]
    day: String,
    /// HH:MM
    time: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(description = "")]
struct MonthlyArgument {
    /// Short months: their last day
    #[schemars(range(min = 1, max = 31), extend("aliases" = ["dayOfMonth"]))]
    day: i64,
    /// HH:MM
    time: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(description = "")]
struct EveryArgument {
    #[schemars(range(min = 1), extend("aliases" = ["count", "interval", "amount", "value"]))]
    n: i64,
    unit: UnitWord,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum UnitWord {
    Minutes,
    Hours,
    Days,
}

impl WhenArgument {
    /// What was asked for.
    pub(super) fn asked(self) -> Result<WhenAsked, String> {
        match self {
            Self::Words(words) => Ok(WhenAsked::Words(words)),
            Self::Rule(rule) => rule.asked(),
        }
    }
}

impl RuleArgument {
    fn asked(self) -> Result<WhenAsked, String> {
        let Self { once, daily, weekdays_only, weekly, monthly, every, cron } = self;
        let given = [once.is_some(), daily.is_some(), weekly.is_some(), monthly.is_some(), every.is_some(), cron.is_some()];
        if given.into_iter().filter(|given| *given).count() != 1 {
            return Err("`when` takes exactly one of once, daily, weekly, monthly, every, cron".to_owned());
        }
        if weekdays_only.is_some() && daily.is_none() {
            return Err("`weekdaysOnly` goes with daily only".to_owned());
        }
        let time = |text: &str| text.parse::<TimeOfDay>();
        let rule = || -> Result<Option<When>, InvalidWhen> {
            if let Some(text) = &daily {
                let days = if weekdays_only == Some(true) { Days::Weekdays } else { Days::All };
                return Ok(Some(When::Daily { time: time(text)?, days }));
            }
            if let Some(WeeklyArgument { day, time: at }) = &weekly {
                return Ok(Some(When::Weekly { day: day.parse()?, time: time(at)? }));
            }
            if let Some(MonthlyArgument { day, time: at }) = &monthly {
                return When::monthly(*day, time(at)?).map(Some);
            }
            if let Some(EveryArgument { n, unit }) = &every {
                let unit = match unit {
                    UnitWord::Minutes => Unit::Minutes,
                    UnitWord::Hours => Unit::Hours,
                    UnitWord::Days => Unit::Days,
                };
                return Interval::new(*n, unit).map(|interval| Some(When::Every(interval)));
            }
            cron.as_deref().map(|pattern| pattern.parse().map(When::Cron)).transpose()
        };
        match (rule().map_err(|error| error.to_string())?, once) {
            (Some(rule), _) => Ok(WhenAsked::Rule(rule)),
            (None, once) => Ok(WhenAsked::Moment(once.unwrap_or_default())),
        }
    }
}

/// A schedule, as tools and commands show it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleShape {
    /// Its number.
    #[schemars(description = "")]
    pub id: i64,
    /// What it is called.
    #[schemars(description = "")]
    pub name: String,
    /// What it says or asks.
    #[schemars(description = "")]
    pub message: String,
    /// `remind` or `ask`.
    #[schemars(description = "")]
    pub mode: &'static str,
    /// Its rule.
    #[schemars(description = "", with = "serde_json::Map<String, serde_json::Value>")]
    pub when: WhenShape,
    /// The zone of its times, an IANA name.
    #[schemars(description = "")]
    pub timezone: String,
    /// Whether it runs.
    #[schemars(description = "")]
    pub enabled: bool,
    /// When it runs next, RFC 3339 with its zone's offset; absent when it does not.
    #[schemars(description = "")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<String>,
    /// When it last ran.
    #[schemars(description = "")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<String>,
    /// What came of it.
    #[schemars(description = "")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_result: Option<String>,
    /// How often it ran.
    #[schemars(description = "")]
    pub runs: u32,
    /// Runs that came to nothing.
    #[schemars(description = "")]
    pub failures: u32,
}

/// A rule as it is written in arguments.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhenShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    once: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    daily: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weekdays_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weekly: Option<WeeklyShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    monthly: Option<MonthlyShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<EveryShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct WeeklyShape {
    day: &'static str,
    time: String,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct MonthlyShape {
    day: i8,
    time: String,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct EveryShape {
    n: u32,
    unit: &'static str,
}

impl WhenShape {
    fn of(when: &When, zone: &Zone) -> Self {
        let shape = Self::default();
        match when {
            When::Once(at) => Self { once: Some(zone.rfc3339(*at)), ..shape },
            When::Daily { time, days } => {
                Self { daily: Some(time.to_string()), weekdays_only: (*days == Days::Weekdays).then_some(true), ..shape }
            }
            When::Weekly { day, time } => Self { weekly: Some(WeeklyShape { day: day.as_str(), time: time.to_string() }), ..shape },
            When::Monthly { day, time } => Self { monthly: Some(MonthlyShape { day: *day, time: time.to_string() }), ..shape },
            When::Every(interval) => Self { every: Some(EveryShape { n: interval.n(), unit: interval.unit().as_str() }), ..shape },
            When::Cron(pattern) => Self { cron: Some(pattern.to_string()), ..shape },
        }
    }
}

impl From<&Schedule> for ScheduleShape {
    fn from(schedule: &Schedule) -> Self {
        let moment = |moment| schedule.zone.rfc3339(moment);
        Self {
            id: schedule.id.0,
            name: schedule.name.clone(),
            message: schedule.message.clone(),
            mode: schedule.mode.as_str(),
            when: WhenShape::of(&schedule.when, &schedule.zone),
            timezone: schedule.zone.name().to_owned(),
            enabled: schedule.enabled,
            next_run: schedule.next_run.map(moment),
            last_run: schedule.last_run.map(moment),
            last_result: schedule.last_result.as_ref().map(ToString::to_string),
            runs: schedule.runs,
            failures: schedule.failures,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Created {
    pub(super) schedule: ScheduleShape,
    /// false: an equal one was there
    pub(super) created: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct One {
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub(super) schedule: ScheduleShape,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Ran {
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub(super) schedule: ScheduleShape,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<&'static str>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Listed {
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub(super) schedules: Vec<ScheduleShape>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Deleted {
    pub(super) deleted: i64,
}
