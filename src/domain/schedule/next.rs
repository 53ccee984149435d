//! Which moment comes next.

use jiff::ToSpan as _;
use jiff::civil::{Date, Time};

use super::when::{Days, Interval, Unit, When};
use super::zone::Zone;
use crate::domain::time::Timestamp;

/// Days looked at for one of a given weekday: the one before (its time may lie behind a gap), a week, and one more for a time
/// of today that is over.
const DAYS_AHEAD: usize = 10;

impl When {
    /// The first moment after `after` at which the rule says to run, in that zone; `anchor` is when the rule was given. `None`
    /// when there is none: a single time that is over, or nothing before the year 10000.
    ///
    /// A time of day that is left out when clocks go forward runs at the first moment after the gap; one that comes twice runs
    /// the first time only.
    #[must_use]
    pub fn next_after(&self, zone: &Zone, anchor: Timestamp, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Once(at) => Some(*at).filter(|at| *at > after),
            Self::Daily { time, days } => {
                let weekend = |date: Date| date.weekday().to_monday_zero_offset() >= 5;
                on_days(zone, after, time.to_jiff(), |date| *days == Days::All || !weekend(date))
            }
            Self::Weekly { day, time } => on_days(zone, after, time.to_jiff(), |date| date.weekday() == day.to_jiff()),
            Self::Monthly { day, time } => each_month(zone, after, *day, time.to_jiff()),
            Self::Every(interval) => every(*interval, zone, anchor, after),
            Self::Cron(pattern) => pattern.next_after(zone, after),
        }
    }

    /// The fewest minutes between two runs, a day counted as 24 hours; `None` for a single run.
    #[must_use]
    pub fn shortest_gap_minutes(&self) -> Option<i64> {
        match self {
            Self::Once(_) => None,
            Self::Daily { .. } => Some(24 * 60),
            Self::Weekly { .. } => Some(7 * 24 * 60),
            Self::Monthly { .. } => Some(28 * 24 * 60),
            Self::Every(interval) => Some(interval.minutes()),
            Self::Cron(pattern) => pattern.shortest_gap_minutes(),
        }
    }
}

/// The next of the days that are meant.
fn on_days(zone: &Zone, after: Timestamp, time: Time, is_meant: impl Fn(Date) -> bool) -> Option<Timestamp> {
    let today = zone.local(after).date();
    let first = today.yesterday().unwrap_or(today);
    first
        .series(1.day())
        .take(DAYS_AHEAD)
        .filter(|date| is_meant(*date))
        .filter_map(|date| zone.moment(date.to_datetime(time)))
        .find(|moment| *moment > after)
}

/// That day of the months to come, or their last.
fn each_month(zone: &Zone, after: Timestamp, day: i8, time: Time) -> Option<Timestamp> {
    let this_month = zone.local(after).date().first_of_month();
    let first = this_month.checked_sub(1.month()).unwrap_or(this_month);
    first
        .series(1.month())
        .take(4)
        .filter_map(|month| month.with().day(day.min(month.days_in_month())).build().ok())
        .filter_map(|date| zone.moment(date.to_datetime(time)))
        .find(|moment| *moment > after)
}

/// The next whole number of intervals after the anchor.
fn every(interval: Interval, zone: &Zone, anchor: Timestamp, after: Timestamp) -> Option<Timestamp> {
    let after = after.max(anchor);
    if interval.unit() != Unit::Days {
        let step = interval.minutes().checked_mul(60_000)?;
        let gone_by = after.as_millis().checked_sub(anchor.as_millis())?.checked_div(step)?;
        let next = gone_by.checked_add(1)?.checked_mul(step)?.checked_add(anchor.as_millis())?;
        return Some(Timestamp::from_millis(next)).filter(|next| next.as_millis() <= jiff::Timestamp::MAX.as_millisecond());
    }
    let begin = zone.local(anchor);
    let days = i64::from(interval.n());
    let gone_by = zone.local(after).date().since(begin.date()).ok()?.get_days();
    // One earlier than reckoned: the time of day of today's may not have come yet.
    let first = (i64::from(gone_by).checked_div(days)? - 1).max(1);
    (first..first.checked_add(4)?)
        .filter_map(|count| begin.checked_add(count.checked_mul(days)?.days()).ok())
        .filter_map(|local| zone.moment(local))
        .find(|moment| *moment > after)
}
