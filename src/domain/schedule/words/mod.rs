//! What people say instead of a rule: "in 20 minutes", "tomorrow at 9", "every monday at 8:30".
//!
//! English words, read purely: the present moment and the person's zone are arguments. [`read_reminder`] also takes a whole
//! wish apart, "in 2 minutes to stretch" or "call mum tomorrow at 9", into when and what.

mod reader;

use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, ToSpan as _};

use self::reader::{Day, Spoken};
use super::when::{Days, InvalidWhen, TimeOfDay, When, shown};
use super::zone::Zone;
use crate::domain::time::Timestamp;

/// What was asked for in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reminder {
    /// When.
    pub when: When,
    /// Whether that was said as a span from now on, which means another moment each time it is said.
    pub is_from_now: bool,
    /// What.
    pub message: String,
}

/// Reads when something is to happen: a moment (RFC 3339, or a date with a time, meant in `zone`), words for one, words for a
/// rule ("every weekday at 9"), or a cron pattern.
///
/// # Errors
/// [`InvalidWhen`] with forms that are understood; also for a moment that is over.
pub fn read_when(text: &str, now: Timestamp, zone: &Zone) -> Result<When, InvalidWhen> {
    if let Some(at) = written_moment(text, zone) {
        return once(at, now, zone);
    }
    let words: Vec<String> = text.split_whitespace().map(folded).collect();
    if let Some(spoken) = reader::whole(&words) {
        return meant(&spoken, now, zone);
    }
    let fields = text.split_whitespace().count();
    let is_pattern = fields == 5 && text.bytes().any(|byte| byte.is_ascii_digit() || byte == b'*');
    if is_pattern || text.trim_start().starts_with('@') {
        return text.parse().map(When::Cron);
    }
    Err(InvalidWhen(format!(
        "{:?} is not understood; write a moment such as \"in 20 minutes\", \"tomorrow at 9:00\" or 2026-12-24T18:00:00+01:00, or a rule \
         such as \"every weekday at 8:30\"",
        shown(text)
    )))
}

/// Reads one moment: RFC 3339, a date with a time meant in `zone`, or words for one.
///
/// # Errors
/// [`InvalidWhen`]; also for a rule, and for a moment that is over.
pub fn read_moment(text: &str, now: Timestamp, zone: &Zone) -> Result<Timestamp, InvalidWhen> {
    match read_when(text, now, zone)? {
        When::Once(at) => Ok(at),
        rule => Err(InvalidWhen(format!(
            "{:?} is a rule ({rule}) and no single moment; give it as daily, weekly, monthly, every or cron",
            shown(text)
        ))),
    }
}

/// Whether words name a span from now on ("in 20 minutes") and no point on the clock, so that they mean another moment each
/// time they are said.
#[must_use]
pub fn is_from_now(text: &str) -> bool {
    let words: Vec<String> = text.split_whitespace().map(folded).collect();
    matches!(reader::whole(&words), Some(Spoken::In(_)))
}

/// Takes a wish apart: the words for when stand at its beginning or at its end, with or without "remind me" before and "to"
/// between.
///
/// # Errors
/// [`InvalidWhen`] when no time is found in it, or nothing but a time.
pub fn read_reminder(text: &str, now: Timestamp, zone: &Zone) -> Result<Reminder, InvalidWhen> {
    let raw: Vec<&str> = text.split_whitespace().collect();
    let words: Vec<String> = raw.iter().copied().map(folded).collect();
    let skip = lead(&words);
    let (raw, words) = (raw.get(skip..).unwrap_or_default(), words.get(skip..).unwrap_or_default());
    let wish = |spoken: &Spoken, what: &[&str]| -> Result<Reminder, InvalidWhen> {
        let message = tidy(what);
        if message.is_empty() {
            return Err(InvalidWhen("it says when, but not of what; such as \"in 20 minutes to turn off the oven\"".to_owned()));
        }
        Ok(Reminder { when: meant(spoken, now, zone)?, is_from_now: matches!(spoken, Spoken::In(_)), message })
    };
    if let Some((spoken, taken)) = reader::beginning(words) {
        return wish(&spoken, raw.get(taken..).unwrap_or_default());
    }
    for start in 1..words.len() {
        if let Some(spoken) = reader::whole(words.get(start..).unwrap_or_default()) {
            return wish(&spoken, raw.get(..start).unwrap_or_default());
        }
    }
    Err(InvalidWhen(
        "no time was found in it; write \"in 20 minutes to …\", \"tomorrow at 9 to …\" or \"every monday at 8:30 to …\"".to_owned(),
    ))
}

/// How many words only lead up to the wish: "remind me", "please".
fn lead(words: &[String]) -> usize {
    words.iter().take_while(|word| matches!(word.as_str(), "please" | "remind" | "/remind" | "me")).count()
}

/// What is to be said, without the word that joined it to the time.
fn tidy(what: &[&str]) -> String {
    let mut what = what;
    while let [first, rest @ ..] = what {
        match folded(first).as_str() {
            "to" | "that" | "about" | "" => what = rest,
            _ => break,
        }
    }
    what.join(" ").trim_end_matches([',', ';', ':', '-']).trim().to_owned()
}

/// A word as it is compared: small letters, without the marks around it.
fn folded(word: &str) -> String {
    word.trim_matches([',', ';', '!', '?', '"', '(', ')']).trim_end_matches(':').to_lowercase().trim_end_matches('.').to_owned()
}

/// A moment that was written out.
fn written_moment(text: &str, zone: &Zone) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Some(moment.into());
    }
    if text.parse::<jiff::Zoned>().is_ok() || text.ends_with(['Z', 'z']) {
        return text.parse::<jiff::Zoned>().ok().map(|zoned| zoned.timestamp().into());
    }
    // A date alone has no time of day; that is for the words.
    let local: DateTime = if text.len() > 10 { text.parse().ok()? } else { return None };
    zone.moment(local)
}

fn once(at: Timestamp, now: Timestamp, zone: &Zone) -> Result<When, InvalidWhen> {
    if at <= now {
        return Err(InvalidWhen(format!("{} is over; it is {} now", zone.rfc3339(at), zone.rfc3339(now))));
    }
    Ok(When::Once(at))
}

/// The time of day when only a day was said.
fn morning() -> Time {
    jiff::civil::time(9, 0, 0, 0)
}

fn meant(spoken: &Spoken, now: Timestamp, zone: &Zone) -> Result<When, InvalidWhen> {
    let too_far = || InvalidWhen("that is too far away; choose a moment before the year 9999".to_owned());
    match spoken {
        Spoken::In(span) => once(later(now, *span, zone).ok_or_else(too_far)?, now, zone),
        Spoken::At { day, time } => {
            let at = on_day(*day, time.map(TimeOfDay::to_jiff), now, zone).ok_or_else(too_far)?;
            once(at, now, zone)
        }
        Spoken::Rule(when) => Ok(when.clone()),
    }
}

/// That much later: days and longer by the calendar, the rest as time goes by.
fn later(now: Timestamp, span: Span, zone: &Zone) -> Option<Timestamp> {
    zone.zoned(now).checked_add(span).ok().map(|zoned| zoned.timestamp().into())
}

/// The next moment that fits.
fn on_day(day: Option<Day>, time: Option<Time>, now: Timestamp, zone: &Zone) -> Option<Timestamp> {
    let today = zone.local(now).date();
    let at = |date: Date, time: Time| zone.moment(date.to_datetime(time));
    let from_tomorrow =
        |fits: &dyn Fn(Date) -> bool| -> Option<Date> { today.tomorrow().ok()?.series(1.day()).take(366 * 9).find(|date| fits(*date)) };
    match day {
        None => {
            let time = time?;
            at(today, time).filter(|moment| *moment > now).or_else(|| at(today.tomorrow().ok()?, time))
        }
        Some(Day::Today) => at(today, time.unwrap_or_else(morning)),
        Some(Day::Tonight) => {
            // "tonight at 8" is in the evening.
            let time = time.unwrap_or_else(|| jiff::civil::time(20, 0, 0, 0));
            let time = if (1..12).contains(&time.hour()) { jiff::civil::time(time.hour() + 12, time.minute(), 0, 0) } else { time };
            if time.hour() == 0 { at(today.tomorrow().ok()?, time) } else { at(today, time) }
        }
        Some(Day::Tomorrow) => at(today.tomorrow().ok()?, time.unwrap_or_else(morning)),
        Some(Day::After(days)) => at(today.checked_add(i64::from(days).days()).ok()?, time.unwrap_or_else(morning)),
        Some(Day::Weekday { day, next }) => {
            let time = time.unwrap_or_else(morning);
            let is_it = |date: Date| date.weekday() == day.to_jiff();
            let still_today = at(today, time).filter(|moment| !next && is_it(today) && *moment > now);
            still_today.or_else(|| at(from_tomorrow(&is_it)?, time))
        }
        Some(Day::OfMonth(number)) => {
            let time = time.unwrap_or_else(morning);
            let still_today = at(today, time).filter(|moment| today.day() == number && *moment > now);
            still_today.or_else(|| at(from_tomorrow(&|date| date.day() == number)?, time))
        }
        Some(Day::OfYear { month, day }) => {
            let time = time.unwrap_or_else(morning);
            let is_it = |date: Date| date.month() == month && date.day() == day;
            let still_today = at(today, time).filter(|moment| is_it(today) && *moment > now);
            still_today.or_else(|| at(from_tomorrow(&is_it)?, time))
        }
        Some(Day::Date(date)) => at(date, time.unwrap_or_else(morning)),
    }
}

/// A daily rule.
fn daily(time: TimeOfDay, days: Days) -> When {
    When::Daily { time, days }
}
