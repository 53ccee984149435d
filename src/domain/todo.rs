//! A person's todo list: items, when they are due, and when two are the same.
//!
//! What somebody wrote is kept as it is. Beside it stand its *words* ([`words`]), by which items are compared and searched:
//! the same text in another case, with other spaces or composed otherwise is the same.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use unicode_normalization::UnicodeNormalization as _;

use super::time::Timestamp;

/// An item's number on its person's list: from 1, growing, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TodoId(i64);

impl TodoId {
    /// The id with this number; `None` below 1.
    #[must_use]
    pub const fn new(number: i64) -> Option<Self> {
        if number < 1 { None } else { Some(Self(number)) }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for TodoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How pressing an item is, least first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// It can wait.
    Low,
    /// What is said of nothing else.
    #[default]
    Medium,
    /// Soon.
    High,
    /// Now.
    Urgent,
}

impl Priority {
    /// All of them, least first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Urgent];

    /// As written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }

    /// Reads [`Priority::as_str`], in any case.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.as_str().eq_ignore_ascii_case(word))
    }
}

/// When an item is due: on a day, wherever the person is, or at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Some time on that day, in the person's time zone.
    On(Date),
    /// At that moment.
    At(Timestamp),
}

/// Text that is no due date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a due date is a day (YYYY-MM-DD) or a moment with its offset (RFC 3339, such as 2026-11-22T09:30:00+01:00)")]
pub struct InvalidDue;

impl FromStr for Due {
    type Err = InvalidDue;

    fn from_str(text: &str) -> Result<Self, InvalidDue> {
        // Exactly ten characters: jiff also reads other spellings of a day.
        if text.len() == 10 {
            return Date::strptime("%Y-%m-%d", text).map(Self::On).map_err(|_invalid| InvalidDue);
        }
        let moment: jiff::Timestamp = text.parse().map_err(|_invalid| InvalidDue)?;
        // What is stored can be written again as RFC 3339, which knows four digits of a year.
        let moment = Timestamp::from(moment);
        let written = (Timestamp::from_millis(-62_135_596_800_000)..Timestamp::from_millis(253_402_300_800_000)).contains(&moment);
        if written { Ok(Self::At(moment)) } else { Err(InvalidDue) }
    }
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(date) => fmt::Display::fmt(date, f),
            Self::At(moment) => fmt::Display::fmt(moment, f),
        }
    }
}

/// A stretch of time in both of [`Due`]'s terms; each end is the first that is no longer in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueWithin {
    /// For what is due on a day.
    pub days: Range<Date>,
    /// For what is due at a moment.
    pub moments: Range<Timestamp>,
}

impl DueWithin {
    /// What has passed: earlier days, and earlier moments.
    #[must_use]
    pub fn overdue(now: Timestamp, zone: &TimeZone) -> Self {
        Self { days: Date::MIN..today(now, zone), moments: Timestamp::from_millis(i64::MIN)..now }
    }

    /// Today and what follows, so many days in all, as they begin and end in that zone. A day of a clock change is as long as it is.
    #[must_use]
    pub fn from_today(days: i32, now: Timestamp, zone: &TimeZone) -> Self {
        let first = today(now, zone);
        let last = first.saturating_add(jiff::Span::new().days(days));
        let begin = |day: Date| day.to_zoned(zone.clone()).map_or_else(|_beyond| now, |moment| moment.timestamp().into());
        Self { moments: begin(first)..begin(last), days: first..last }
    }

    /// Whether that is in it.
    #[must_use]
    pub fn contains(&self, due: Due) -> bool {
        match due {
            Due::On(day) => self.days.contains(&day),
            Due::At(moment) => self.moments.contains(&moment),
        }
    }
}

/// The day that it is, there.
fn today(now: Timestamp, zone: &TimeZone) -> Date {
    now.to_jiff().to_zoned(zone.clone()).date()
}

/// An item of a person's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Todo {
    /// Its number.
    pub id: TodoId,
    /// What is to be done, as written; never empty.
    pub text: String,
    /// What it belongs to, as written.
    pub category: Option<String>,
    /// How pressing it is.
    pub priority: Priority,
    /// When it is due.
    pub due: Option<Due>,
    /// The item that it is a part of.
    pub parent: Option<TodoId>,
    /// When it was done; `None` while it is open.
    pub completed_at: Option<Timestamp>,
    /// When it was written down.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Todo {
    /// Whole seconds from being written down to being done; `None` while it is open.
    #[must_use]
    pub fn seconds_to_complete(&self) -> Option<u64> {
        self.completed_at.map(|done| done.since(self.created_at).as_secs())
    }

    /// Open or done.
    #[must_use]
    pub const fn state(&self) -> TodoState {
        if self.completed_at.is_some() { TodoState::Completed } else { TodoState::Open }
    }
}

/// Whether an item is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TodoState {
    /// To be done.
    Open,
    /// Done.
    Completed,
}

/// One field of an item set, or cleared with `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TodoChange {
    /// What is to be done; the caller has checked it.
    Text(String),
    /// What it belongs to.
    Category(Option<String>),
    /// How pressing it is.
    Priority(Priority),
    /// When it is due.
    Due(Option<Due>),
    /// Done, or to be done again. Done twice keeps the first time.
    State(TodoState),
}

impl Todo {
    /// Applies changes; returns whether any of them changed something, and then when.
    pub fn apply(&mut self, changes: &[TodoChange], now: Timestamp) -> bool {
        let before = self.clone();
        for change in changes {
            match change {
                TodoChange::Text(text) => self.text.clone_from(text),
                TodoChange::Category(category) => self.category.clone_from(category),
                TodoChange::Priority(priority) => self.priority = *priority,
                TodoChange::Due(due) => self.due = *due,
                TodoChange::State(TodoState::Open) => self.completed_at = None,
                TodoChange::State(TodoState::Completed) => self.completed_at = self.completed_at.or(Some(now)),
            }
        }
        let differs = *self != before;
        if differs {
            self.updated_at = now;
        }
        differs
    }
}

/// A list in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TodoFigures {
    /// Items to be done.
    pub open: i64,
    /// Items done.
    pub completed: i64,
    /// Open items whose time has passed.
    pub overdue: i64,
    /// Items of each category, by name; those without one under `None`.
    pub by_category: BTreeMap<Option<String>, i64>,
    /// Items of each priority that has any.
    pub by_priority: BTreeMap<Priority, i64>,
    /// Mean of [`Todo::seconds_to_complete`] over the items done, in whole seconds.
    pub average_seconds_to_complete: Option<i64>,
}

/// What a text is compared and searched by: compatibility forms made one, case folded, runs of blanks made one space.
#[must_use]
pub fn words(text: &str) -> String {
    // By way of the capitals, so that ß meets SS and both small sigmas are one.
    let folded: String = text.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().collect();
    let mut words = String::with_capacity(folded.len());
    for word in folded.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse::<jiff::Timestamp>().unwrap().into()
    }

    fn due(text: &str) -> Due {
        text.parse().unwrap()
    }

    #[test]
    fn the_same_words_in_another_dress_are_equal() {
        for (one, other) in [
            ("Buy  milk", "buy milk"),
            ("STRASSE fegen", "Straße fegen"),
            ("ΟΔΟΣ", "οδος"),
            ("e\u{301}cole", "École"),
            (" a\tb\n", "A B"),
            ("ﬁnish", "FINISH"),
            ("１２３", "123"),
        ] {
            assert_eq!(words(one), words(other), "{one:?} and {other:?}");
        }
        assert_ne!(words("resume"), words("résumé"));
        assert_eq!(words(" \u{3000} "), "");
    }

    #[test]
    fn a_due_date_is_a_day_or_a_moment_with_its_offset() {
        assert_eq!(due("2028-02-29").to_string(), "2028-02-29");
        assert_eq!(due("2026-11-22T09:30:00+01:00").to_string(), "2026-11-22T08:30:00.000Z");
        for wrong in [
            "",
            "tomorrow",
            "2026-02-30",
            "2026-2-03",
            "20261122",
            "2026-11-22T09:30:00",
            "2026-13-01",
            "١٢٣٤-01-01",
            "-000001-01-01T00:00:00Z",
        ] {
            assert_eq!(wrong.parse::<Due>(), Err(InvalidDue), "{wrong:?}");
        }
    }

    #[test]
    fn a_day_is_as_long_as_it_is_where_the_person_is() {
        // 2026-03-29 has 23 hours in Berlin, 2026-10-25 has 25.
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (now, first, last, hours) in [
            ("2026-03-29T10:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 23),
            ("2026-10-25T10:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25),
        ] {
            let today = DueWithin::from_today(1, at(now), &berlin);
            assert_eq!(today.moments, at(first)..at(last), "{now}");
            assert_eq!(today.moments.end.since(today.moments.start).as_secs(), hours * 3600);
            assert!(today.contains(due(first)) && !today.contains(due(last)));
        }
        // Half past eleven in the evening in Honolulu is the next day in Berlin.
        let (late, honolulu) = (at("2026-11-22T09:30:00Z"), TimeZone::get("Pacific/Honolulu").unwrap());
        assert!(DueWithin::from_today(1, late, &honolulu).contains(due("2026-11-21")));
        assert!(DueWithin::from_today(1, late, &berlin).contains(due("2026-11-22")));
        assert!(DueWithin::overdue(late, &berlin).contains(due("2026-11-21")));
        assert!(!DueWithin::overdue(late, &honolulu).contains(due("2026-11-21")));
        let week = DueWithin::from_today(7, late, &berlin);
        assert!(week.contains(due("2026-11-28")) && !week.contains(due("2026-11-29")) && !week.contains(due("2026-11-21")));
    }

    #[test]
    fn a_day_whose_midnight_does_not_exist_begins_when_it_begins() {
        // Clocks in Cairo went from 00:00 to 01:00 on 2026-04-24.
        let cairo = TimeZone::get("Africa/Cairo").unwrap();
        let today = DueWithin::from_today(1, at("2026-04-24T10:00:00Z"), &cairo);
        assert_eq!(today.moments, at("2026-04-23T22:00:00Z")..at("2026-04-24T21:00:00Z"));
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"] {
            let zone = TimeZone::get(zone).unwrap();
            for now in [i64::MIN, 0, i64::MAX] {
                let now = Timestamp::from_millis(now);
                let _week = (DueWithin::from_today(7, now, &zone), DueWithin::overdue(now, &zone));
            }
        }
    }

    #[test]
    fn a_change_that_changes_nothing_leaves_the_time_as_it_was() {
        let (then, now) = (at("2026-11-22T09:00:00Z"), at("2026-11-22T09:01:30.900Z"));
        let mut todo = Todo {
            id: TodoId::new(1).unwrap(),
            text: "milk".to_owned(),
            category: None,
            priority: Priority::Medium,
            due: None,
            parent: None,
            completed_at: None,
            created_at: then,
            updated_at: then,
        };
        assert!(!todo.apply(&[TodoChange::Priority(Priority::Medium), TodoChange::State(TodoState::Open)], now));
        assert_eq!(todo.updated_at, then);
        assert!(todo.apply(&[TodoChange::State(TodoState::Completed)], now));
        assert_eq!((todo.completed_at, todo.seconds_to_complete(), todo.updated_at), (Some(now), Some(90), now));
        assert!(!todo.apply(&[TodoChange::State(TodoState::Completed)], at("2027-01-01T00:00:00Z")));
        assert_eq!(todo.completed_at, Some(now));
    }
}
