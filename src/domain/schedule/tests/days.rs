//! Days on which clocks change.

use super::*;

fn check(when: &When, name: &str, after: &str, expected: &[&str]) {
    let zone = zone(name);
    let mut last = at(after);
    for run in expected {
        let next = when.next_after(&zone, last, last);
        assert_eq!(next.map(|next| zone.rfc3339(next)).as_deref(), Some(*run), "{when:?} in {name} after {last}");
        last = next.unwrap();
    }
}

/// The same daily time as a daily rule and as a pattern.
fn kinds(text: &str) -> [When; 2] {
    let (hour, minute) = text.split_once(':').unwrap();
    let pattern = format!("{} {} * * *", minute.trim_start_matches('0').parse::<u8>().unwrap_or(0), hour.parse::<u8>().unwrap());
    [daily(text), cron(&pattern)]
}

#[test]
fn a_time_that_is_left_out_runs_when_the_gap_ends() {
    for when in kinds("02:30") {
        check(&when, "America/New_York", "2026-03-07T12:00:00Z", &["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"]);
    }
    check(&daily("02:00"), "America/New_York", "2026-03-07T12:00:00Z", &["2026-03-08T03:00:00-04:00", "2026-03-09T02:00:00-04:00"]);
    check(
        &weekly(Weekday::Sunday, "02:30"),
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        &["2026-03-29T03:00:00+02:00", "2026-04-05T02:30:00+02:00"],
    );
    check(&monthly(29, "02:30"), "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-29T03:00:00+02:00", "2026-04-29T02:30:00+02:00"]);
    // Half an hour is left out there.
    check(&daily("02:15"), "Australia/Lord_Howe", "2026-10-03T00:00:00Z", &["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"]);
    check(&cron("15 2 * * *"), "Australia/Lord_Howe", "2026-10-03T00:00:00Z", &["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"]);
    // Midnight is left out there.
    check(&daily("00:00"), "America/Santiago", "2026-09-05T12:00:00Z", &["2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"]);
    // Two hours are left out there.
    check(&daily("02:30"), "Antarctica/Troll", "2026-03-28T12:00:00Z", &["2026-03-29T03:00:00+02:00"]);
    // Several times in one gap are one run.
    check(
        &cron("*/20 1-3 * * *"),
        "America/New_York",
        "2026-03-08T06:30:00Z",
        &["2026-03-08T01:40:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-08T03:20:00-04:00"],
    );
}

#[test]
fn a_day_that_never_was_runs_when_the_next_begins() {
    // Samoa crossed the date line: after Thursday 29 December 2011 came Saturday the 31st.
    check(
        &weekly(Weekday::Friday, "09:00"),
        "Pacific/Apia",
        "2011-12-29T12:00:00Z",
        &["2011-12-31T00:00:00+14:00", "2012-01-06T09:00:00+14:00"],
    );
    check(
        &daily("09:00"),
        "Pacific/Apia",
        "2011-12-29T12:00:00Z",
        &["2011-12-29T09:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T09:00:00+14:00"],
    );
    check(&monthly(30, "09:00"), "Pacific/Apia", "2011-12-01T12:00:00Z", &["2011-12-31T00:00:00+14:00", "2012-01-30T09:00:00+14:00"]);
    check(&cron("0 9 30 * *"), "Pacific/Apia", "2011-12-01T12:00:00Z", &["2011-12-31T00:00:00+14:00", "2012-01-30T09:00:00+14:00"]);
}

#[test]
fn a_time_that_comes_twice_runs_once() {
    for when in kinds("01:30") {
        check(&when, "America/New_York", "2026-10-31T12:00:00Z", &["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"]);
        // Asked in the second of the two hours, it has run already.
        check(&when, "America/New_York", "2026-11-01T06:10:00Z", &["2026-11-02T01:30:00-05:00"]);
    }
    check(
        &weekly(Weekday::Sunday, "02:30"),
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        &["2026-10-25T02:30:00+02:00", "2026-11-01T02:30:00+01:00"],
    );
    check(&daily("01:45"), "Australia/Lord_Howe", "2026-04-04T00:00:00Z", &["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"]);
    check(&cron("45 1 * * *"), "Australia/Lord_Howe", "2026-04-04T00:00:00Z", &["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"]);
    check(
        &cron("0,30 1 * * *"),
        "America/New_York",
        "2026-11-01T04:30:00Z",
        &["2026-11-01T01:00:00-04:00", "2026-11-01T01:30:00-04:00", "2026-11-02T01:00:00-05:00"],
    );
}

#[test]
fn a_pattern_for_every_hour_follows_time_as_it_goes_by() {
    check(
        &cron("30 * * * *"),
        "America/New_York",
        "2026-11-01T04:45:00Z",
        &["2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00", "2026-11-01T02:30:00-05:00"],
    );
    check(&cron("30 * * * *"), "America/New_York", "2026-03-08T06:00:00Z", &["2026-03-08T01:30:00-05:00", "2026-03-08T03:30:00-04:00"]);
    check(&cron("@hourly"), "Europe/Berlin", "2026-10-25T00:00:00Z", &["2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"]);
}
