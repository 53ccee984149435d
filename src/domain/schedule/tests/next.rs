//! A row a rule: the zone, the moment after which, and the next runs one after the other.

use super::*;

/// The next runs, as the zone's own clocks show them.
fn runs(when: &When, zone: &Zone, anchor: Timestamp, after: Timestamp, count: usize) -> Vec<String> {
    let mut runs = Vec::new();
    let mut last = after;
    while runs.len() < count {
        let Some(next) = when.next_after(zone, anchor, last) else { break };
        assert!(next > last, "time goes on: {when:?} after {last}");
        runs.push(zone.rfc3339(next));
        last = next;
    }
    runs
}

/// Checks rows of rule, zone, after and the runs expected.
fn check(rows: &[(When, &str, &str, &[&str])]) {
    for (when, name, after, expected) in rows {
        let zone = zone(name);
        let after = at(after);
        let found = runs(when, &zone, after, after, expected.len());
        assert_eq!(found, *expected, "{when:?} in {name} after {after}");
    }
}

#[test]
fn ordinary_days() {
    check(&[
        (daily("09:00"), "UTC", "2026-11-22T08:59:59.999Z", &["2026-11-22T09:00:00+00:00", "2026-11-23T09:00:00+00:00"]),
        (daily("09:00"), "UTC", "2026-11-22T09:00:00Z", &["2026-11-23T09:00:00+00:00"]),
        (daily("00:00"), "UTC", "2026-12-31T12:00:00Z", &["2027-01-01T00:00:00+00:00"]),
        (daily("23:59"), "Asia/Tokyo", "2026-11-22T14:58:00Z", &["2026-11-22T23:59:00+09:00", "2026-11-23T23:59:00+09:00"]),
        // Evening there is the next day here.
        (daily("18:00"), "America/Los_Angeles", "2026-11-22T23:00:00Z", &["2026-11-22T18:00:00-08:00"]),
        (daily("07:15"), "Asia/Kathmandu", "2026-11-22T12:00:00Z", &["2026-11-23T07:15:00+05:45"]),
        (daily("12:00"), "Pacific/Kiritimati", "2026-11-22T12:00:00Z", &["2026-11-23T12:00:00+14:00"]),
        // A Friday evening: the weekend is left out.
        (weekdays("09:00"), "Europe/Berlin", "2026-11-20T09:00:00Z", &["2026-11-23T09:00:00+01:00", "2026-11-24T09:00:00+01:00"]),
        (weekdays("09:00"), "Europe/Berlin", "2026-11-20T07:00:00Z", &["2026-11-20T09:00:00+01:00", "2026-11-23T09:00:00+01:00"]),
        (weekly(Weekday::Sunday, "20:00"), "UTC", "2026-11-22T19:00:00Z", &["2026-11-22T20:00:00+00:00", "2026-11-29T20:00:00+00:00"]),
        (weekly(Weekday::Sunday, "20:00"), "UTC", "2026-11-22T20:00:00Z", &["2026-11-29T20:00:00+00:00"]),
        (weekly(Weekday::Monday, "06:00"), "Australia/Sydney", "2026-11-22T12:00:00Z", &["2026-11-23T06:00:00+11:00"]),
        (When::Once(at("2026-11-22T12:00:00Z")), "UTC", "2026-11-22T11:59:59.999Z", &["2026-11-22T12:00:00+00:00"]),
    ]);
    assert_eq!(
        When::Once(at("2026-11-22T12:00:00Z")).next_after(&zone("UTC"), at("2026-01-01T00:00:00Z"), at("2026-11-22T12:00:00Z")),
        None
    );
}

#[test]
fn months_that_are_short_run_on_their_last_day() {
    check(&[
        (
            monthly(31, "08:00"),
            "UTC",
            "2026-01-01T00:00:00Z",
            &[
                "2026-01-31T08:00:00+00:00",
                "2026-02-28T08:00:00+00:00",
                "2026-03-31T08:00:00+00:00",
                "2026-04-30T08:00:00+00:00",
                "2026-05-31T08:00:00+00:00",
                "2026-06-30T08:00:00+00:00",
            ],
        ),
        (monthly(31, "08:00"), "UTC", "2028-02-01T00:00:00Z", &["2028-02-29T08:00:00+00:00", "2028-03-31T08:00:00+00:00"]),
        (monthly(29, "08:00"), "UTC", "2027-02-01T00:00:00Z", &["2027-02-28T08:00:00+00:00", "2027-03-29T08:00:00+00:00"]),
        (monthly(29, "08:00"), "UTC", "2028-02-01T00:00:00Z", &["2028-02-29T08:00:00+00:00"]),
        // 2100 is no leap year, 2000 was one.
        (monthly(30, "08:00"), "UTC", "2100-02-01T00:00:00Z", &["2100-02-28T08:00:00+00:00"]),
        (monthly(30, "08:00"), "UTC", "2000-02-01T00:00:00Z", &["2000-02-29T08:00:00+00:00"]),
        (monthly(30, "08:00"), "Europe/Berlin", "2026-02-28T07:00:00Z", &["2026-03-30T08:00:00+02:00"]),
        (monthly(1, "00:00"), "America/New_York", "2026-12-15T00:00:00Z", &["2027-01-01T00:00:00-05:00", "2027-02-01T00:00:00-05:00"]),
        (monthly(31, "23:30"), "Asia/Tokyo", "2026-11-30T14:30:00Z", &["2026-12-31T23:30:00+09:00"]),
    ]);
}

#[test]
fn intervals_count_from_when_they_were_given() {
    let given = at("2026-11-22T12:07:30Z");
    let rows: &[(When, &str, &str, &[&str])] = &[
        (every(5, Unit::Minutes), "UTC", "2026-11-22T12:07:30Z", &["2026-11-22T12:12:30+00:00", "2026-11-22T12:17:30+00:00"]),
        (every(5, Unit::Minutes), "UTC", "2026-11-22T12:12:30Z", &["2026-11-22T12:17:30+00:00"]),
        // Before it was given it does not run, and a year later it has kept its beat.
        (every(90, Unit::Minutes), "UTC", "2020-01-01T00:00:00Z", &["2026-11-22T13:37:30+00:00"]),
        (every(7, Unit::Hours), "UTC", "2027-11-22T12:00:00Z", &["2027-11-22T16:07:30+00:00", "2027-11-22T23:07:30+00:00"]),
        (every(2, Unit::Days), "UTC", "2026-11-22T12:07:30Z", &["2026-11-24T12:07:30+00:00", "2026-11-26T12:07:30+00:00"]),
        (every(2, Unit::Days), "UTC", "2026-11-25T00:00:00Z", &["2026-11-26T12:07:30+00:00"]),
        (every(30, Unit::Days), "UTC", "2046-11-22T12:00:00Z", &["2046-12-07T12:07:30+00:00"]),
    ];
    for (when, name, after, expected) in rows {
        assert_eq!(runs(when, &zone(name), given, at(after), expected.len()), *expected, "{when:?} after {after}");
    }
    // A day later is the same time of day, however long that day was; hours are hours.
    let given = at("2026-03-07T14:00:00Z");
    let new_york = zone("America/New_York");
    assert_eq!(runs(&every(1, Unit::Days), &new_york, given, given, 2), ["2026-03-08T09:00:00-04:00", "2026-03-09T09:00:00-04:00"]);
    assert_eq!(runs(&every(24, Unit::Hours), &new_york, given, given, 2), ["2026-03-08T10:00:00-04:00", "2026-03-09T10:00:00-04:00"]);
}

#[test]
fn patterns_of_a_crontab() {
    check(&[
        (cron("30 9 * * 1-5"), "Europe/Berlin", "2026-11-20T09:00:00Z", &["2026-11-23T09:30:00+01:00", "2026-11-24T09:30:00+01:00"]),
        (cron("0 0 29 2 *"), "UTC", "2026-11-22T00:00:00Z", &["2028-02-29T00:00:00+00:00", "2032-02-29T00:00:00+00:00"]),
        (cron("0 0 29 2 *"), "UTC", "2096-03-01T00:00:00Z", &["2104-02-29T00:00:00+00:00"]),
        (cron("0 12 L * *"), "UTC", "2026-02-01T00:00:00Z", &["2026-02-28T12:00:00+00:00", "2026-03-31T12:00:00+00:00"]),
        (cron("0 12 31 * *"), "UTC", "2026-03-31T12:00:00Z", &["2026-05-31T12:00:00+00:00"]),
        (cron("0 9 * * MON#1"), "UTC", "2026-11-22T00:00:00Z", &["2026-12-07T09:00:00+00:00"]),
        (cron("@daily"), "Asia/Tokyo", "2026-11-22T00:00:00Z", &["2026-11-23T00:00:00+09:00"]),
        (cron("*/15 * * * *"), "UTC", "2026-11-22T12:07:30.5Z", &["2026-11-22T12:15:00+00:00", "2026-11-22T12:30:00+00:00"]),
        (cron("0 8,20 * * *"), "UTC", "2026-11-22T09:00:00Z", &["2026-11-22T20:00:00+00:00", "2026-11-23T08:00:00+00:00"]),
    ]);
}

#[test]
fn rules_that_cannot_be_are_refused_in_words() {
    for wrong in
        ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 32 * *", "0 0 9 * * *", "every day", "@reboot", "* * * * * * *", "а * * * *"]
    {
        let error = wrong.parse::<CronPattern>().unwrap_err().to_string();
        assert!(error.contains("five fields"), "{wrong:?}: {error}");
    }
    assert!(When::monthly(0, time("09:00")).is_err() && When::monthly(32, time("09:00")).is_err());
    for (n, unit) in [(0, Unit::Minutes), (-5, Unit::Hours), (3661, Unit::Days), (i64::MAX, Unit::Days)] {
        assert!(Interval::new(n, unit).is_err(), "{n} {unit:?}");
    }
    let error = Zone::parse("Europe/Berln").unwrap_err().to_string();
    assert!(error.contains("did you mean Europe/Berlin"), "{error}");
    assert!(Zone::parse("berlin").unwrap_err().to_string().contains("Europe/Berlin"));
    assert!(Zone::parse("").is_err());
    assert_eq!(Zone::parse("europe/berlin").unwrap().name(), "Europe/Berlin");
}

#[test]
fn the_shortest_time_between_two_runs_is_known() {
    for (pattern, minutes) in [
        ("* * * * *", 1),
        ("0 9 * * *", 1440),
        ("0,57 1,2 * * *", 3),
        ("*/5 * * * *", 5),
        ("58 23 * * *", 1440),
        ("1,59 0,23 * * *", 2),
        ("0 0 1 1 *", 365 * 1440),
    ] {
        assert_eq!(cron(pattern).shortest_gap_minutes(), Some(minutes), "{pattern}");
    }
    assert_eq!(every(7, Unit::Minutes).shortest_gap_minutes(), Some(7));
}

#[test]
fn at_the_end_of_the_calendar_nothing_breaks() {
    let utc = zone("UTC");
    let end = Timestamp::from_millis(jiff::Timestamp::MAX.as_millisecond());
    let rules = [
        daily("23:59"),
        weekdays("09:00"),
        weekly(Weekday::Monday, "09:00"),
        monthly(31, "09:00"),
        every(5, Unit::Minutes),
        every(3660, Unit::Days),
        cron("0 0 1 1 *"),
        cron("* * * * *"),
        When::Once(end),
    ];
    for rule in rules {
        for after in [
            end,
            Timestamp::from_millis(i64::MAX),
            Timestamp::from_millis(i64::MIN),
            at("9999-12-30T12:00:00Z"),
            at("9998-01-01T00:00:00Z"),
        ] {
            for name in ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "America/Los_Angeles"] {
                let next = rule.next_after(&zone(name), after, after);
                assert!(next.is_none_or(|next| next > after), "{rule:?} {name} {after:?}");
            }
        }
    }
    assert_eq!(daily("09:00").next_after(&utc, end, at("9999-12-30T08:00:00Z")), Some(at("9999-12-30T09:00:00Z")));
    assert_eq!(daily("09:00").next_after(&utc, end, at("9999-12-30T09:00:00Z")), None);
    // What never comes is found out in reasonable time.
    let began = std::time::Instant::now();
    assert_eq!(cron("0 0 30 2 *").next_after(&utc, end, at("2026-11-22T00:00:00Z")), None);
    assert_eq!(cron("0 0 31 2,4,6 *").next_after(&zone("Europe/Berlin"), end, at("2026-11-22T00:00:00Z")), None);
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_century_of_runs_is_one_a_day() {
    // Every zone that has rules, over the years in which they change most: no day without its run, none with two.
    for name in [
        "America/New_York",
        "Europe/London",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
        "Africa/Casablanca",
        "Asia/Tehran",
        "Antarctica/Troll",
    ] {
        let zone = zone(name);
        let mut last = at("1999-12-31T12:00:00Z");
        let mut day = zone.local(daily("02:30").next_after(&zone, last, last).unwrap()).date();
        for _ in 0..12_000 {
            let next = daily("02:30").next_after(&zone, last, last).unwrap();
            assert_eq!(zone.local(next).date(), day, "{name} after {last}");
            day = day.tomorrow().unwrap();
            last = next;
        }
    }
}
