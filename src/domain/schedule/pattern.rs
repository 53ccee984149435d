//! Lines of a crontab.

use std::fmt;
use std::str::FromStr;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use super::when::{InvalidWhen, shown};
use super::zone::Zone;
use crate::domain::time::Timestamp;

/// Times that are looked at when the shortest time between two runs is sought: two days of the densest that is usual.
const LOOKED_AT: usize = 600;

/// Times of one repeated stretch that are passed over, at most: a whole day of minutes.
const PASSED_OVER: usize = 1500;

/// Five fields (minute, hour, day of month, month, day of week), or `@daily` and its like.
///
/// A pattern names times on the clock, so the rules for days when clocks change are those of the other kinds: a time that is
/// left out runs when the gap ends, one that comes twice runs once. A pattern for every hour (`*/15 * * * *`) names none: it
/// runs in each hour that goes by, the repeated one too, and leaves out the one that is left out.
#[derive(Clone, PartialEq, Eq)]
pub struct CronPattern {
    text: String,
    /// Boxed: it is many times the size of every other rule.
    cron: Box<Cron>,
    every_hour: bool,
}

impl CronPattern {
    /// The next time after a moment; `None` when none comes in the years that can be reckoned with.
    pub(super) fn next_after(&self, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
        if self.every_hour {
            let found = self.cron.find_next_occurrence(&zone.zoned(after), false).ok()?;
            return Some(found.timestamp().into());
        }
        let mut local = zone.local(after);
        for _ in 0..PASSED_OVER {
            local = self.cron.find_next_occurrence(&local, false).ok()?;
            // In the second of two equal stretches the first one's times are over already.
            if let Some(moment) = zone.moment(local).filter(|moment| *moment > after) {
                return Some(moment);
            }
        }
        None
    }

    /// The fewest minutes between two of its times, as far as two days show it; `None` when it never runs twice.
    #[must_use]
    pub fn shortest_gap_minutes(&self) -> Option<i64> {
        let mut last: DateTime = jiff::civil::datetime(2024, 1, 1, 0, 0, 0, 0);
        let mut shortest: Option<i64> = None;
        for looked_at in 0..LOOKED_AT {
            let Ok(next) = self.cron.find_next_occurrence(&last, looked_at == 0) else { break };
            if looked_at > 0 {
                let minutes = next.duration_since(last).as_mins();
                shortest = Some(shortest.map_or(minutes, |shortest| shortest.min(minutes)));
            }
            last = next;
        }
        shortest
    }
}

impl FromStr for CronPattern {
    type Err = InvalidWhen;

    fn from_str(text: &str) -> Result<Self, InvalidWhen> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let invalid = |reason: &dyn fmt::Display| {
            let text = shown(&text);
            InvalidWhen(format!(
                "{text:?} is no cron pattern of five fields (minute hour day month weekday), such as \"30 9 * * 1-5\": {reason}"
            ))
        };
        if text.len() > 200 || !text.is_ascii() {
            return Err(invalid(&"it is too long, or not plain ASCII"));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(&text).map_err(|error| invalid(&error))?;
        let every_hour = text.eq_ignore_ascii_case("@hourly") || text.split(' ').nth(1).is_some_and(|hours| hours == "*" || hours == "*/1");
        Ok(Self { text, cron: Box::new(cron), every_hour })
    }
}

impl fmt::Display for CronPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for CronPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CronPattern({})", self.text)
    }
}

impl Serialize for CronPattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for CronPattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
