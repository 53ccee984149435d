//! What people say, at noon UTC on Sunday 22 November 2026, which is one in the afternoon in Berlin.

use super::super::words::{is_from_now, read_moment, read_reminder, read_when};
use super::*;

const NOW: &str = "2026-11-22T12:00:00Z";

fn said(text: &str) -> Result<When, InvalidWhen> {
    read_when(text, at(NOW), &zone("Europe/Berlin"))
}

fn moment(text: &str) -> String {
    match said(text) {
        Ok(When::Once(moment)) => zone("Europe/Berlin").rfc3339(moment),
        other => format!("{other:?}"),
    }
}

#[test]
fn moments() {
    for (text, expected) in [
        ("in 20 minutes", "2026-11-22T13:20:00+01:00"),
        ("In 20 Minutes.", "2026-11-22T13:20:00+01:00"),
        ("in 2 min", "2026-11-22T13:02:00+01:00"),
        ("in 20m", "2026-11-22T13:20:00+01:00"),
        ("in 1h30m", "2026-11-22T14:30:00+01:00"),
        ("in 90 seconds", "2026-11-22T13:01:30+01:00"),
        ("in an hour", "2026-11-22T14:00:00+01:00"),
        ("in half an hour", "2026-11-22T13:30:00+01:00"),
        ("in an hour and a half", "2026-11-22T14:30:00+01:00"),
        ("in 2 hours and 15 minutes", "2026-11-22T15:15:00+01:00"),
        ("in 2 hours 15 minutes", "2026-11-22T15:15:00+01:00"),
        ("in a couple of hours", "2026-11-22T15:00:00+01:00"),
        ("20 minutes from now", "2026-11-22T13:20:00+01:00"),
        ("in 3 days", "2026-11-25T13:00:00+01:00"),
        ("in two weeks", "2026-12-06T13:00:00+01:00"),
        ("in 3 months", "2027-02-22T13:00:00+01:00"),
        ("tomorrow", "2026-11-23T09:00:00+01:00"),
        ("tomorrow 9:00", "2026-11-23T09:00:00+01:00"),
        ("tomorrow at 9", "2026-11-23T09:00:00+01:00"),
        ("tomorrow at 9pm", "2026-11-23T21:00:00+01:00"),
        ("at 9 pm tomorrow", "2026-11-23T21:00:00+01:00"),
        ("the day after tomorrow at noon", "2026-11-24T12:00:00+01:00"),
        ("at 14:00", "2026-11-22T14:00:00+01:00"),
        ("at 9", "2026-11-23T09:00:00+01:00"),
        ("today at 5 p.m.", "2026-11-22T17:00:00+01:00"),
        ("tonight", "2026-11-22T20:00:00+01:00"),
        ("tonight at 8", "2026-11-22T20:00:00+01:00"),
        ("midnight", "2026-11-23T00:00:00+01:00"),
        ("monday at 8:30", "2026-11-23T08:30:00+01:00"),
        ("on friday", "2026-11-27T09:00:00+01:00"),
        ("sunday at 18:00", "2026-11-22T18:00:00+01:00"),
        ("sunday at 12:00", "2026-11-29T12:00:00+01:00"),
        ("next sunday at 18:00", "2026-11-29T18:00:00+01:00"),
        ("next week", "2026-11-29T09:00:00+01:00"),
        ("on december 24 at 18:00", "2026-12-24T18:00:00+01:00"),
        ("24th of December", "2026-12-24T09:00:00+01:00"),
        ("March 1st 2028", "2028-03-01T09:00:00+01:00"),
        ("february 29", "2028-02-29T09:00:00+01:00"),
        ("november 22 at 12:00", "2027-11-22T12:00:00+01:00"),
        ("on the 5th", "2026-12-05T09:00:00+01:00"),
        ("2026-12-24", "2026-12-24T09:00:00+01:00"),
        ("2026-12-24 18:00", "2026-12-24T18:00:00+01:00"),
        ("2026-12-24T18:00:00", "2026-12-24T18:00:00+01:00"),
        ("2026-12-24T18:00:00Z", "2026-12-24T19:00:00+01:00"),
        ("2026-12-24T18:00:00-05:00", "2026-12-25T00:00:00+01:00"),
        ("9999-12-30T00:00:00Z", "9999-12-30T01:00:00+01:00"),
    ] {
        assert_eq!(moment(text), expected, "{text:?}");
    }
}

#[test]
fn rules() {
    for (text, expected) in [
        ("every day at 9", daily("09:00")),
        ("daily at 21:30", daily("21:30")),
        ("every morning", daily("09:00")),
        ("every morning at 7", daily("07:00")),
        ("every evening", daily("18:00")),
        ("at 9 every day", daily("09:00")),
        ("every weekday at 8:30", weekdays("08:30")),
        ("weekdays at 8am", weekdays("08:00")),
        ("every monday", weekly(Weekday::Monday, "09:00")),
        ("on mondays at 18:00", weekly(Weekday::Monday, "18:00")),
        ("every week on fri at noon", weekly(Weekday::Friday, "12:00")),
        ("weekly on sunday at 20:00", weekly(Weekday::Sunday, "20:00")),
        ("every month on the 31st at 8:00", monthly(31, "08:00")),
        ("monthly on 1", monthly(1, "09:00")),
        ("every 2 hours", every(2, Unit::Hours)),
        ("every hour", every(1, Unit::Hours)),
        ("every 30 min", every(30, Unit::Minutes)),
        ("every other day", every(2, Unit::Days)),
        ("every two weeks", every(14, Unit::Days)),
        ("every week", every(7, Unit::Days)),
        ("30 9 * * 1-5", cron("30 9 * * 1-5")),
        ("@daily", cron("@daily")),
    ] {
        assert_eq!(said(text), Ok(expected), "{text:?}");
    }
}

#[test]
fn what_is_over_or_not_understood_is_refused_in_words() {
    for over in ["today at 9", "2026-11-22T12:00:00Z", "2020-01-01T00:00:00Z", "in 0 minutes"] {
        let error = said(over).unwrap_err().to_string();
        assert!(error.contains("is over"), "{over:?}: {error}");
    }
    for wrong in [
        "",
        "soon",
        "in a while",
        "in 5",
        "at 25",
        "at 9:75",
        "every 2 days at 9",
        "february 30",
        "in 99999999999 minutes",
        "milk",
        "2026-13-01T00:00:00Z",
    ] {
        assert!(said(wrong).is_err(), "{wrong:?}: {:?}", said(wrong));
    }
    assert!(said("in 9000 years").is_err());
    let error = read_moment("every day at 9", at(NOW), &zone("UTC")).unwrap_err().to_string();
    assert!(error.contains("no single moment"), "{error}");
    assert!(is_from_now("in 20 minutes") && !is_from_now("tomorrow at 9") && !is_from_now("every 2 hours"));
}

#[test]
fn a_wish_is_taken_apart() {
    for (text, when, message) in [
        ("in 2 minutes to stretch", "2026-11-22T13:02:00+01:00", "stretch"),
        ("remind me in 2 minutes to stretch", "2026-11-22T13:02:00+01:00", "stretch"),
        ("Remind me to stretch in 2 minutes.", "2026-11-22T13:02:00+01:00", "stretch"),
        ("tomorrow at 9 call mum", "2026-11-23T09:00:00+01:00", "call mum"),
        ("call Mum, tomorrow at 9", "2026-11-23T09:00:00+01:00", "call Mum"),
        ("at 18:30: take the bread out of the oven!", "2026-11-22T18:30:00+01:00", "take the bread out of the oven!"),
        ("me on friday that the rent is due", "2026-11-27T09:00:00+01:00", "the rent is due"),
        ("buy 3 eggs at 5pm", "2026-11-22T17:00:00+01:00", "buy 3 eggs"),
        ("meet Ada at the station in 2 hours", "2026-11-22T15:00:00+01:00", "meet Ada at the station"),
        ("in 5 minutes in 10 words say hello", "2026-11-22T13:05:00+01:00", "in 10 words say hello"),
    ] {
        let wish = read_reminder(text, at(NOW), &zone("Europe/Berlin")).unwrap();
        let When::Once(moment) = wish.when else { panic!("{text:?}: {wish:?}") };
        assert_eq!((zone("Europe/Berlin").rfc3339(moment).as_str(), wish.message.as_str()), (when, message), "{text:?}");
    }
    let wish = read_reminder("every weekday at 8:30 take the pills", at(NOW), &zone("UTC")).unwrap();
    assert_eq!(wish, super::super::words::Reminder { when: weekdays("08:30"), is_from_now: false, message: "take the pills".to_owned() });
    for (wrong, hint) in [("stretch", "no time"), ("in 2 minutes", "of what"), ("", "no time"), ("today at 9 to wake up", "is over")] {
        let error = read_reminder(wrong, at(NOW), &zone("Europe/Berlin")).unwrap_err().to_string();
        assert!(error.contains(hint), "{wrong:?}: {error}");
    }
}

proptest::proptest! {
    #[test]
    fn no_words_break_the_reader(text in "(in|at|every|tomorrow|monday|the|5th|of|may|9|9:30|am|99999|half|an|hour|and|a|minutes|2026-02-30|[ -~]{1,6}|é)( (in|at|on|every|tomorrow|monday|the|5th|of|may|9|9:30|pm|half|an|hour|and|a|minutes|1h30m|[ -~]{1,6})){0,7}") {
        let zone = zone("America/New_York");
        let _any = read_when(&text, at(NOW), &zone);
        if let Ok(wish) = read_reminder(&text, at(NOW), &zone) {
            proptest::prop_assert!(!wish.message.is_empty());
        }
    }
}
