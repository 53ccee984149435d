//! The hours in which a person wants no reminders.

use std::fmt;
use std::str::FromStr;

use super::schedule::{TimeOfDay, Zone};
use super::text::beginning;
use super::time::Timestamp;

/// From a time of day until another, over midnight where the second is the earlier: `22:00-07:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    from: TimeOfDay,
    until: TimeOfDay,
}

/// Text that names no hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} are no quiet hours; write two different times of day, such as 22:00-07:00")]
pub struct InvalidQuietHours(String);

impl QuietHours {
    /// When the quiet hours end in which that moment falls, on the clocks of that zone; `None` when it falls in none.
    #[must_use]
    pub fn end_after(&self, moment: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let local = zone.local(moment);
        let (time, from, until) = (local.time(), self.from.to_jiff(), self.until.to_jiff());
        let ends_on = match from < until {
            true if from <= time && time < until => local.date(),
            false if time >= from => local.date().tomorrow().ok()?,
            false if time < until => local.date(),
            _ => return None,
        };
        let end = ends_on.to_datetime(until);
        // Where clocks went back meanwhile, the end comes a second time.
        zone.moment(end).filter(|end| *end > moment).or_else(|| zone.second_moment(end)).filter(|end| *end > moment)
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from, self.until)
    }
}

impl FromStr for QuietHours {
    type Err = InvalidQuietHours;

    fn from_str(text: &str) -> Result<Self, InvalidQuietHours> {
        let invalid = || InvalidQuietHours(beginning(text, 60).to_owned());
        let (from, until) = text.split_once(['-', '–']).ok_or_else(invalid)?;
        let read = |time: &str| time.parse::<TimeOfDay>().map_err(|_no_time| invalid());
        let (from, until) = (read(from)?, read(until)?);
        if from == until { Err(invalid()) } else { Ok(Self { from, until }) }
    }
}

impl serde::Serialize for QuietHours {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for QuietHours {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse::<jiff::Timestamp>().unwrap().into()
    }

    #[test]
    fn they_hold_until_their_end_over_midnight_and_within_a_day() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        let night: QuietHours = "22:00-07:00".parse().unwrap();
        assert_eq!(night.end_after(at("2026-11-22T20:59:59Z"), &berlin), None);
        assert_eq!(night.end_after(at("2026-11-22T21:00:00Z"), &berlin), Some(at("2026-11-23T06:00:00Z")));
        assert_eq!(night.end_after(at("2026-11-23T05:59:59Z"), &berlin), Some(at("2026-11-23T06:00:00Z")));
        assert_eq!(night.end_after(at("2026-11-23T06:00:00Z"), &berlin), None);
        let nap: QuietHours = " 1pm - 14:30 ".parse().unwrap();
        assert_eq!(nap.to_string(), "13:00-14:30");
        assert_eq!(nap.end_after(at("2026-11-22T12:00:00Z"), &berlin), Some(at("2026-11-22T13:30:00Z")));
        assert_eq!(nap.end_after(at("2026-11-22T13:30:00Z"), &berlin), None);
    }

    #[test]
    fn they_end_after_the_moment_on_days_when_clocks_change() {
        let new_york = Zone::parse("America/New_York").unwrap();
        let hours: QuietHours = "22:00-02:30".parse().unwrap();
        // 02:30 is left out on 8 March: they end when the gap does.
        assert_eq!(hours.end_after(at("2026-03-08T06:30:00Z"), &new_york), Some(at("2026-03-08T07:00:00Z")));
        // 01:20 comes twice on 1 November; in the second hour the first 01:30 is over.
        let hours: QuietHours = "22:00-01:30".parse().unwrap();
        assert_eq!(hours.end_after(at("2026-11-01T05:20:00Z"), &new_york), Some(at("2026-11-01T05:30:00Z")));
        assert_eq!(hours.end_after(at("2026-11-01T06:20:00Z"), &new_york), Some(at("2026-11-01T06:30:00Z")));
    }

    #[test]
    fn what_names_no_hours_is_refused() {
        for wrong in ["", "22:00", "22:00-22:00", "25:00-07:00", "22-7", "night"] {
            assert!(wrong.parse::<QuietHours>().is_err(), "{wrong:?}");
        }
    }
}
