//! Next runs and human words, by table.

mod days;
mod next;
mod words;

use super::*;

/// A moment.
fn at(text: &str) -> Timestamp {
    text.parse::<jiff::Timestamp>().unwrap().into()
}

fn zone(name: &str) -> Zone {
    Zone::parse(name).unwrap()
}

fn time(text: &str) -> TimeOfDay {
    text.parse().unwrap()
}

fn daily(text: &str) -> When {
    When::Daily { time: time(text), days: Days::All }
}

fn weekdays(text: &str) -> When {
    When::Daily { time: time(text), days: Days::Weekdays }
}

fn weekly(day: Weekday, text: &str) -> When {
    When::Weekly { day, time: time(text) }
}

fn monthly(day: i64, text: &str) -> When {
    When::monthly(day, time(text)).unwrap()
}

fn every(n: i64, unit: Unit) -> When {
    When::Every(Interval::new(n, unit).unwrap())
}

fn cron(text: &str) -> When {
    When::Cron(text.parse().unwrap())
}
