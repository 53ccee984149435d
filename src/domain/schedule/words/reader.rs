//! The grammar: folded words in, what was said out.

use jiff::civil::Date;
use jiff::{Span, ToSpan as _};

use super::daily;
use crate::domain::schedule::when::{Days, Interval, TimeOfDay, Unit, Weekday, When};

/// What was said, before it is laid on the calendar.
#[derive(Debug, Clone)]
pub(super) enum Spoken {
    /// So long from now.
    In(Span),
    /// At a time, on a day, or both.
    At { day: Option<Day>, time: Option<TimeOfDay> },
    /// Again and again.
    Rule(When),
}

/// A day as it is said.
#[derive(Debug, Clone, Copy)]
pub(super) enum Day {
    Today,
    Tonight,
    Tomorrow,
    /// So many days from today.
    After(i8),
    /// The next of its name; `next` is never today.
    Weekday {
        day: Weekday,
        next: bool,
    },
    OfMonth(i8),
    OfYear {
        month: i8,
        day: i8,
    },
    Date(Date),
}

const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];

/// What all of the words say.
pub(super) fn whole(words: &[String]) -> Option<Spoken> {
    beginning(words).filter(|(_, taken)| *taken == words.len()).map(|(spoken, _)| spoken)
}

/// What the first words say, and how many those are: as many as have a meaning together.
pub(super) fn beginning(words: &[String]) -> Option<(Spoken, usize)> {
    let mut reader = Reader { words, at: 0 };
    let spoken = reader.spoken()?;
    Some((spoken, reader.at))
}

struct Reader<'a> {
    words: &'a [String],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> &str {
        self.words.get(self.at).map_or("", String::as_str)
    }

    /// Takes the next word when it is one of these.
    fn take(&mut self, any: &[&str]) -> bool {
        let taken = any.contains(&self.peek());
        self.at += usize::from(taken);
        taken
    }

    /// Takes the next word when it means something.
    fn take_if<T>(&mut self, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let found = read(self.peek())?;
        self.at += 1;
        Some(found)
    }

    /// Reads, or gives back every word that was taken.
    fn attempt<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let before = self.at;
        let found = read(self);
        if found.is_none() {
            self.at = before;
        }
        found
    }

    fn spoken(&mut self) -> Option<Spoken> {
        self.attempt(Self::span_from_now)
            .map(Spoken::In)
            .or_else(|| self.attempt(Self::rule).map(Spoken::Rule))
            .or_else(|| self.attempt(Self::day_then_time))
            .or_else(|| self.attempt(Self::time_then_day))
    }

    /// "in 20 minutes", "20 minutes from now".
    fn span_from_now(&mut self) -> Option<Span> {
        if self.take(&["in", "after"]) {
            self.take(&["about"]);
            return self.span();
        }
        let span = self.span()?;
        (self.take(&["from"]) && self.take(&["now"])).then_some(span)
    }

    fn span(&mut self) -> Option<Span> {
        let mut whole = self.part()?;
        loop {
            let more = self.attempt(|reader| {
                let joined = reader.take(&["and"]);
                if joined && reader.take(&["a"]) && reader.take(&["half"]) {
                    return reader.half_of_last();
                }
                reader.part()
            });
            match more {
                Some(more) => whole = joined(whole, more)?,
                None => return Some(whole),
            }
        }
    }

    /// "an hour and a half": half of the unit that was said before.
    fn half_of_last(&self) -> Option<Span> {
        let unit = self.words.get(self.at.checked_sub(4)?)?;
        half_of(unit)
    }

    /// One number with its unit: "20 minutes", "an hour", "half an hour", "1h30m".
    fn part(&mut self) -> Option<Span> {
        if let Some(span) = self.take_if(compact) {
            return Some(span);
        }
        if self.take(&["half"]) {
            self.take(&["a", "an"]);
            return self.take_if(half_of);
        }
        if self.take(&["couple"]) {
            self.take(&["of"]);
            return self.take_if(|unit| span_of(2, unit));
        }
        let n = self.take_if(number)?;
        if n == 1 && self.take(&["couple"]) {
            self.take(&["of"]);
            return self.take_if(|unit| span_of(2, unit));
        }
        self.take_if(|unit| span_of(n, unit))
    }

    /// "every day at 9", "weekdays at 9", "every 2 hours", "at 9 every day".
    fn rule(&mut self) -> Option<When> {
        if let Some(time) = self.attempt(Self::time) {
            let rule = self.repeated()?;
            return rule.at(Some(time));
        }
        let rule = self.repeated()?;
        let time = self.attempt(Self::time);
        rule.at(time)
    }

    fn repeated(&mut self) -> Option<Repeated> {
        if self.take(&["daily"]) {
            return Some(Repeated::Daily(Days::All, None));
        }
        if self.take(&["hourly"]) {
            return Interval::new(1, Unit::Hours).ok().map(Repeated::Every);
        }
        if self.take(&["weekly"]) {
            self.take(&["on"]);
            return self.take_if(weekday).map(Repeated::Weekly);
        }
        if self.take(&["monthly"]) {
            return self.day_of_month().map(Repeated::Monthly);
        }
        if self.attempt(|reader| {
            reader.take(&["on"]);
            reader.take(&["weekdays", "workdays"]).then_some(())
        }) == Some(())
        {
            return Some(Repeated::Daily(Days::Weekdays, None));
        }
        if let Some(day) = self.attempt(|reader| {
            reader.take(&["on"]);
            reader.take_if(|word| word.strip_suffix('s').filter(|name| name.ends_with("day")).and_then(weekday))
        }) {
            return Some(Repeated::Weekly(day));
        }
        if !self.take(&["every", "each"]) {
            return None;
        }
        if self.take(&["day"]) {
            return Some(Repeated::Daily(Days::All, None));
        }
        if self.take(&["weekday", "workday"]) {
            return Some(Repeated::Daily(Days::Weekdays, None));
        }
        for (word, hour) in [("morning", 9), ("noon", 12), ("afternoon", 15), ("evening", 18), ("night", 21)] {
            if self.take(&[word]) {
                return Some(Repeated::Daily(Days::All, TimeOfDay::new(hour, 0)));
            }
        }
        if let Some(day) = self.take_if(weekday) {
            return Some(Repeated::Weekly(day));
        }
        if self.take(&["month"]) {
            return self.day_of_month().map(Repeated::Monthly);
        }
        if self.take(&["week"]) {
            let day = self.attempt(|reader| {
                reader.take(&["on"]);
                reader.take_if(weekday)
            });
            return day.map(Repeated::Weekly).or_else(|| Interval::new(7, Unit::Days).ok().map(Repeated::Every));
        }
        let n = if self.take(&["other", "second"]) { 2 } else { self.take_if(number).unwrap_or(1) };
        let (unit, times) = self.take_if(|word| match word {
            "week" | "weeks" => Some((Unit::Days, 7)),
            _ => word.parse().ok().map(|unit| (unit, 1)),
        })?;
        Interval::new(n.checked_mul(times)?, unit).ok().map(Repeated::Every)
    }

    fn day_of_month(&mut self) -> Option<i8> {
        self.take(&["on"]);
        self.take(&["the"]);
        self.take(&["day"]);
        self.take_if(ordinal)
    }

    fn day_then_time(&mut self) -> Option<Spoken> {
        let day = self.day()?;
        let time = self.attempt(Self::time);
        Some(Spoken::At { day: Some(day), time })
    }

    fn time_then_day(&mut self) -> Option<Spoken> {
        let time = self.time()?;
        let day = self.attempt(Self::day);
        Some(Spoken::At { day, time: Some(time) })
    }

    fn day(&mut self) -> Option<Day> {
        self.take(&["on", "this"]);
        if self.take(&["today"]) {
            return Some(Day::Today);
        }
        if self.take(&["tonight", "evening"]) {
            return Some(Day::Tonight);
        }
        if self.take(&["tomorrow", "tmrw", "tomorow", "tommorow"]) {
            self.take(&["morning"]);
            return Some(Day::Tomorrow);
        }
        if self
            .attempt(|reader| {
                (reader.take(&["the"]) && reader.take(&["day"]) && reader.take(&["after"]) && reader.take(&["tomorrow"])).then_some(())
            })
            .is_some()
        {
            return Some(Day::After(2));
        }
        let next = self.take(&["next"]);
        if next && self.take(&["week"]) {
            return Some(Day::After(7));
        }
        if let Some(day) = self.take_if(weekday) {
            return Some(Day::Weekday { day, next });
        }
        if next {
            return None;
        }
        if let Some(date) = self.take_if(|word| word.parse::<Date>().ok().filter(|_| word.contains('-'))) {
            return Some(Day::Date(date));
        }
        self.attempt(Self::date).or_else(|| {
            let before = self.words.get(self.at.checked_sub(1)?)?.clone();
            // "on the 5th", and never a bare number.
            (before == "on" && self.take(&["the"])).then(|| self.take_if(ordinal)).flatten().map(Day::OfMonth)
        })
    }

    /// "december 24", "24th of december 2026".
    fn date(&mut self) -> Option<Day> {
        let (month, day) = if let Some(month) = self.take_if(month) {
            self.take(&["the"]);
            (month, self.take_if(ordinal)?)
        } else {
            self.take(&["the"]);
            let day = self.take_if(ordinal)?;
            self.take(&["of"]);
            (self.take_if(month)?, day)
        };
        let year = self.take_if(|word| word.parse::<i16>().ok().filter(|year| word.len() == 4 && *year >= 2000));
        match year {
            Some(year) => Date::new(year, month, day).ok().map(Day::Date),
            // 2024 has a 29 February.
            None => Date::new(2024, month, day).ok().map(|_| Day::OfYear { month, day }),
        }
    }

    /// "at 9", "9:30", "9 am", "noon". A bare number counts as a time behind "at" only.
    fn time(&mut self) -> Option<TimeOfDay> {
        let at = self.take(&["at"]);
        let first = self.peek().to_owned();
        let halves = self.words.get(self.at + 1).map(String::as_str).filter(|word| matches!(*word, "am" | "pm" | "a.m" | "p.m"));
        if let Some(half) = halves {
            let time = format!("{first}{}", half.replace('.', "")).parse().ok()?;
            self.at += 2;
            return Some(time);
        }
        if let Ok(time) = first.parse::<TimeOfDay>() {
            self.at += 1;
            self.take(&["o'clock"]);
            return Some(time);
        }
        let hour = at.then(|| first.parse::<i8>().ok()).flatten()?;
        let time = TimeOfDay::new(hour, 0)?;
        self.at += 1;
        self.take(&["o'clock", "oclock"]);
        Some(time)
    }
}

/// A rule that may still be told its time of day.
enum Repeated {
    Daily(Days, Option<TimeOfDay>),
    Weekly(Weekday),
    Monthly(i8),
    Every(Interval),
}

impl Repeated {
    /// At that time of day, else at its own, else in the morning. An interval has none, but "every 2 days at 9" is no interval
    /// that could be told from when it counts: it is refused.
    fn at(self, time: Option<TimeOfDay>) -> Option<When> {
        let or = |own: Option<TimeOfDay>| time.or(own).or_else(|| TimeOfDay::new(9, 0));
        match self {
            Self::Daily(days, own) => Some(daily(or(own)?, days)),
            Self::Weekly(day) => Some(When::Weekly { day, time: or(None)? }),
            Self::Monthly(day) => Some(When::Monthly { day, time: or(None)? }),
            Self::Every(interval) => time.is_none().then_some(When::Every(interval)),
        }
    }
}

fn weekday(word: &str) -> Option<Weekday> {
    // "sun" and "wed" shine and marry too, but hardly behind "on" or at the end of a wish.
    word.parse().ok()
}

fn month(word: &str) -> Option<i8> {
    let place = MONTHS.iter().position(|month| word.len() >= 3 && month.starts_with(word))?;
    i8::try_from(place + 1).ok()
}

/// 1 to 31, with or without "st", "nd", "rd", "th".
fn ordinal(word: &str) -> Option<i8> {
    let digits = word.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let ending = word.get(digits.len()..)?;
    if !matches!(ending, "" | "st" | "nd" | "rd" | "th") {
        return None;
    }
    digits.parse().ok().filter(|day| (1..=31).contains(day))
}

fn number(word: &str) -> Option<i64> {
    const SMALL: [&str; 13] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    match word {
        "a" | "an" => Some(1),
        "fifteen" => Some(15),
        "twenty" => Some(20),
        "thirty" => Some(30),
        "forty-five" | "fortyfive" => Some(45),
        "sixty" => Some(60),
        "ninety" => Some(90),
        _ => match SMALL.iter().position(|small| *small == word) {
            Some(place) => i64::try_from(place).ok(),
            None => word.parse().ok().filter(|n| (0..=100_000).contains(n) && !word.starts_with('+')),
        },
    }
}

fn span_of(n: i64, unit: &str) -> Option<Span> {
    let span = Span::new();
    match unit {
        "s" | "sec" | "secs" | "second" | "seconds" => span.try_seconds(n).ok(),
        "m" | "min" | "mins" | "minute" | "minutes" => span.try_minutes(n).ok(),
        "h" | "hr" | "hrs" | "hour" | "hours" => span.try_hours(n).ok(),
        "d" | "day" | "days" => span.try_days(n).ok(),
        "w" | "week" | "weeks" => span.try_weeks(n).ok(),
        "month" | "months" => span.try_months(n).ok(),
        "year" | "years" => span.try_years(n).ok(),
        _ => None,
    }
}

fn half_of(unit: &str) -> Option<Span> {
    match unit {
        "minute" => Some(30.seconds()),
        "hour" => Some(30.minutes()),
        "day" => Some(12.hours()),
        _ => None,
    }
}

/// "20m", "1h30m", "90min".
fn compact(word: &str) -> Option<Span> {
    let mut rest = word;
    let mut whole: Option<Span> = None;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).filter(|end| *end > 0)?;
        let (n, behind) = rest.split_at(digits);
        let letters = behind.find(|letter: char| letter.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let span = span_of(n.parse().ok().filter(|n| *n <= 100_000)?, unit)?;
        whole = match whole {
            None => Some(span),
            Some(whole) => Some(joined(whole, span)?),
        };
        rest = behind;
    }
    whole
}

/// Both spans, unit by unit.
fn joined(one: Span, other: Span) -> Option<Span> {
    Span::new()
        .try_years(i64::from(one.get_years()) + i64::from(other.get_years()))
        .and_then(|span| span.try_months(i64::from(one.get_months()) + i64::from(other.get_months())))
        .and_then(|span| span.try_weeks(i64::from(one.get_weeks()) + i64::from(other.get_weeks())))
        .and_then(|span| span.try_days(i64::from(one.get_days()) + i64::from(other.get_days())))
        .and_then(|span| span.try_hours(i64::from(one.get_hours()) + i64::from(other.get_hours())))
        .and_then(|span| span.try_minutes(one.get_minutes().checked_add(other.get_minutes()).unwrap_or(i64::MAX)))
        .and_then(|span| span.try_seconds(one.get_seconds().checked_add(other.get_seconds()).unwrap_or(i64::MAX)))
        .ok()
}
