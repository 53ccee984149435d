//! The six kinds of rules.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::pattern::CronPattern;
use crate::domain::text::beginning;
use crate::domain::time::Timestamp;

/// When a schedule runs. Times of day are meant in the schedule's zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// One time.
    Once(Timestamp),
    /// Each day, or Monday to Friday.
    Daily {
        /// At this time.
        time: TimeOfDay,
        /// On these days.
        days: Days,
    },
    /// One day each week.
    Weekly {
        /// On this day.
        day: Weekday,
        /// At this time.
        time: TimeOfDay,
    },
    /// One day each month.
    Monthly {
        /// On this day, 1 to 31; months without it have it on their last day.
        day: i8,
        /// At this time.
        time: TimeOfDay,
    },
    /// Again and again, counted from when the rule was given.
    Every(Interval),
    /// As a line of a crontab says.
    Cron(CronPattern),
}

/// A rule that cannot be, and what would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidWhen(pub(super) String);

impl When {
    /// Once each month on a day of 1 to 31.
    ///
    /// # Errors
    /// [`InvalidWhen`] for another day.
    pub fn monthly(day: i64, time: TimeOfDay) -> Result<Self, InvalidWhen> {
        match i8::try_from(day) {
            Ok(day @ 1..=31) => Ok(Self::Monthly { day, time }),
            _ => Err(InvalidWhen(format!("{day} is no day of a month; give 1 to 31 (months without it run on their last day)"))),
        }
    }

    /// Whether it ends by itself after one run.
    #[must_use]
    pub const fn is_once(&self) -> bool {
        matches!(self, Self::Once(_))
    }
}

/// Which days a daily rule means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Days {
    /// Every day.
    All,
    /// Monday to Friday.
    Weekdays,
}

/// A time of day in whole minutes, `00:00` to `23:59`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(jiff::civil::Time);

impl TimeOfDay {
    /// That hour (0 to 23) and minute (0 to 59), if there is such a time.
    #[must_use]
    pub fn new(hour: i8, minute: i8) -> Option<Self> {
        jiff::civil::Time::new(hour, minute, 0, 0).ok().map(Self)
    }

    /// For calendar arithmetic.
    #[must_use]
    pub const fn to_jiff(self) -> jiff::civil::Time {
        self.0
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0.hour(), self.0.minute())
    }
}

impl FromStr for TimeOfDay {
    type Err = InvalidWhen;

    /// Reads `9:00`, `09:00`, `21:30`; also `09:00:00`, `9am`, `9:30 pm`, `noon` and `midnight`.
    fn from_str(text: &str) -> Result<Self, InvalidWhen> {
        let invalid = || InvalidWhen(format!("{:?} is no time of day; write HH:MM, such as 09:00 or 21:30", shown(text)));
        let folded = text.trim().to_ascii_lowercase();
        match folded.as_str() {
            "noon" | "midday" => return Self::new(12, 0).ok_or_else(invalid),
            "midnight" => return Self::new(0, 0).ok_or_else(invalid),
            _ => {}
        }
        let half = [("a.m.", 0), ("p.m.", 12), ("am", 0), ("pm", 12)];
        let (clock, half) = half
            .into_iter()
            .find_map(|(mark, hours)| folded.strip_suffix(mark).map(|clock| (clock.trim_end(), Some(hours))))
            .unwrap_or((folded.as_str(), None));
        let mut parts = clock.split(':');
        let number = |part: Option<&str>| -> Option<i8> {
            let part = part?;
            ((1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok())?
        };
        let hour = number(parts.next()).ok_or_else(invalid)?;
        let minute = match (parts.next(), half) {
            (Some(part), _) => number(Some(part)).filter(|_| part.len() == 2).ok_or_else(invalid)?,
            (None, Some(_)) => 0,
            (None, None) => return Err(invalid()),
        };
        if parts.next().is_some_and(|seconds| seconds != "00") || parts.next().is_some() {
            return Err(invalid());
        }
        let hour = match half {
            None => hour,
            Some(hours) if (1..=12).contains(&hour) => hour % 12 + hours,
            Some(_) => return Err(invalid()),
        };
        Self::new(hour, minute).ok_or_else(invalid)
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "they are the days")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    /// All of them, Monday first.
    pub const ALL: [Self; 7] = [Self::Monday, Self::Tuesday, Self::Wednesday, Self::Thursday, Self::Friday, Self::Saturday, Self::Sunday];

    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Monday => "monday",
            Self::Tuesday => "tuesday",
            Self::Wednesday => "wednesday",
            Self::Thursday => "thursday",
            Self::Friday => "friday",
            Self::Saturday => "saturday",
            Self::Sunday => "sunday",
        }
    }

    /// For calendar arithmetic.
    #[must_use]
    pub const fn to_jiff(self) -> jiff::civil::Weekday {
        match self {
            Self::Monday => jiff::civil::Weekday::Monday,
            Self::Tuesday => jiff::civil::Weekday::Tuesday,
            Self::Wednesday => jiff::civil::Weekday::Wednesday,
            Self::Thursday => jiff::civil::Weekday::Thursday,
            Self::Friday => jiff::civil::Weekday::Friday,
            Self::Saturday => jiff::civil::Weekday::Saturday,
            Self::Sunday => jiff::civil::Weekday::Sunday,
        }
    }
}

impl FromStr for Weekday {
    type Err = InvalidWhen;

    /// Reads a day's English name, whole or shortened to three letters or more, in any case.
    fn from_str(text: &str) -> Result<Self, InvalidWhen> {
        let folded = text.trim().trim_end_matches('.').to_ascii_lowercase();
        let named = |day: &Self| folded.len() >= 3 && day.as_str().starts_with(&folded);
        let invalid = || InvalidWhen(format!("{:?} is no day of the week; write monday to sunday", shown(text)));
        Self::ALL.into_iter().find(named).ok_or_else(invalid)
    }
}

/// So many minutes, hours or days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    n: u32,
    unit: Unit,
}

/// What an interval counts. Minutes and hours are time that goes by; a day later is the same time of the next day, however
/// many hours that takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "they say it")]
pub enum Unit {
    Minutes,
    Hours,
    Days,
}

impl Unit {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minutes => "minutes",
            Self::Hours => "hours",
            Self::Days => "days",
        }
    }

    /// Minutes in one.
    pub(super) const fn minutes(self) -> i64 {
        match self {
            Self::Minutes => 1,
            Self::Hours => 60,
            Self::Days => 24 * 60,
        }
    }
}

impl FromStr for Unit {
    type Err = InvalidWhen;

    fn from_str(text: &str) -> Result<Self, InvalidWhen> {
        match text.trim().to_ascii_lowercase().as_str() {
            "minutes" | "minute" | "mins" | "min" => Ok(Self::Minutes),
            "hours" | "hour" | "hrs" | "hr" => Ok(Self::Hours),
            "days" | "day" => Ok(Self::Days),
            _ => Err(InvalidWhen(format!("{:?} is no unit; write minutes, hours or days", shown(text)))),
        }
    }
}

/// The longest interval, in minutes: ten years of days.
const LONGEST: i64 = 3660 * 24 * 60;

impl Interval {
    /// That many, from 1.
    ///
    /// # Errors
    /// [`InvalidWhen`] for nothing, and for more than ten years.
    pub fn new(n: i64, unit: Unit) -> Result<Self, InvalidWhen> {
        let invalid = || InvalidWhen(format!("every {n} {} cannot be; give 1 or more, and at most 3660 days", unit.as_str()));
        match u32::try_from(n) {
            Ok(count) if count > 0 && n.checked_mul(unit.minutes()).is_some_and(|minutes| minutes <= LONGEST) => {
                Ok(Self { n: count, unit })
            }
            _ => Err(invalid()),
        }
    }

    /// How many.
    #[must_use]
    pub const fn n(self) -> u32 {
        self.n
    }

    /// Of what.
    #[must_use]
    pub const fn unit(self) -> Unit {
        self.unit
    }

    /// Minutes in it, a day counted as 24 hours.
    #[must_use]
    pub fn minutes(self) -> i64 {
        i64::from(self.n).saturating_mul(self.unit.minutes())
    }
}

/// As much of what was written as an error repeats.
pub(super) fn shown(text: &str) -> String {
    beginning(text.trim(), 60).to_owned()
}

impl fmt::Display for When {
    /// For people: `every day at 09:00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once(at) => write!(f, "once at {}", at.to_jiff().strftime("%Y-%m-%d %H:%M UTC")),
            Self::Daily { time, days: Days::All } => write!(f, "every day at {time}"),
            Self::Daily { time, days: Days::Weekdays } => write!(f, "Monday to Friday at {time}"),
            Self::Weekly { day, time } => write!(f, "every {} at {time}", day.as_str()),
            Self::Monthly { day, time } => write!(f, "every month on day {day} at {time}"),
            Self::Every(interval) => write!(f, "every {} {}", interval.n, interval.unit.as_str()),
            Self::Cron(pattern) => write!(f, "cron {pattern}"),
        }
    }
}
