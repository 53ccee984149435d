//! Planned messages from the tool call to the text: at a clock that tests move, with runs that are missed, held back and asked.

use std::time::Duration;

use scrubjay::domain::ids::UserId;
use scrubjay::domain::schedule::ScheduleId;
use scrubjay::domain::time::Timestamp;
use scrubjay::domain::user::PreferenceChange;
use scrubjay::service::people::UserName;
use scrubjay::service::tools::{ToolContext, ToolOutcome};
use scrubjay::store::PageRequest;
use serde_json::{Value, json};

use super::bench::{ADA, BEA, Bench, bench, number};

impl Bench {
    async fn who(&self, from: &str) -> UserId {
        self.app.people.get(&UserName::Phone(number(from))).await.unwrap().id
    }

    /// Somebody who has texted and been answered.
    async fn somebody(&self, from: &str) -> UserId {
        self.exchange(from, "hello").await;
        self.who(from).await
    }

    async fn tool(&self, user_id: UserId, name: &str, arguments: Value) -> ToolOutcome {
        let context = ToolContext { user_id, conversation_id: None };
        let set = self.app.tools.iter().find(|set| set.name() == "schedule").unwrap();
        set.call(&context, name, arguments.as_object().unwrap().clone()).await
    }

    /// The result of a call that must succeed.
    async fn done(&self, user: UserId, name: &str, arguments: Value) -> Value {
        let outcome = self.tool(user, name, arguments).await;
        assert!(!outcome.is_error, "{}", outcome.text);
        outcome.structured.unwrap()
    }

    /// The words of a call that must fail.
    async fn refused(&self, user: UserId, name: &str, arguments: Value) -> String {
        let outcome = self.tool(user, name, arguments).await;
        assert!(outcome.is_error, "{}", outcome.text);
        outcome.text
    }

    /// Moves the clock to a moment.
    fn move_to(&self, moment: &str) {
        let moment: Timestamp = moment.parse::<jiff::Timestamp>().unwrap().into();
        let now = self.clock.now();
        assert!(moment >= now, "the clock only goes forward");
        self.clock.advance(moment.since(now));
    }

    /// Lets the workers run, and returns what was sent meanwhile.
    async fn worked(&self) -> Vec<String> {
        let before = self.sent().len();
        self.app.drain().await.unwrap();
        self.sent().split_off(before).into_iter().map(|(_, body)| body).collect()
    }

    async fn shown(&self, user: UserId, id: i64) -> Value {
        self.done(user, "schedule_get", json!({"id": id})).await["schedule"].clone()
    }
}

#[tokio::test]
async fn a_reminder_is_texted_at_its_time_once_and_never_before() {
    let bench = bench(|_| {}).await;
    let ada = bench.somebody(ADA).await;
    let made = bench.done(ada, "schedule_create", json!({"message": "stretch", "when": {"once": "in 20 minutes"}})).await;
    assert_eq!((&made["created"], &made["schedule"]["id"], &made["schedule"]["mode"]), (&json!(true), &json!(1), &json!("remind")));
    // Said again a minute later, as after a crash, it is the same.
    bench.clock.advance(Duration::from_mins(1));
    let again = bench.done(ada, "schedule_create", json!({"text": "stretch", "at": "in 20 minutes"})).await;
    assert_eq!((&again["created"], &again["schedule"]["id"]), (&json!(false), &json!(1)));
    bench.clock.advance(Duration::from_mins(19) - Duration::from_millis(1));
    assert!(bench.worked().await.is_empty());
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.worked().await, ["stretch"]);
    bench.clock.advance(Duration::from_hours(48));
    assert!(bench.worked().await.is_empty());
    let shown = bench.shown(ada, 1).await;
    assert_eq!(
        (&shown["enabled"], &shown["runs"], &shown["failures"], &shown["lastResult"]),
        (&json!(false), &json!(1), &json!(0), &json!("sent"))
    );
    assert_eq!(bench.done(ada, "schedule_list", json!({})).await, json!({"schedules": []}));
    assert_eq!(bench.done(ada, "schedule_list", json!({"status": "all"})).await["schedules"][0]["id"], json!(1));
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn a_question_is_answered_at_its_time_within_the_persons_limits() {
    let bench = bench(|config| config.limits.turns_per_day = 2).await;
    let ada = bench.somebody(ADA).await;
    let before = bench.app.people.get(&UserName::Id(ada)).await.unwrap().message_count;
    bench.done(ada, "schedule_create", json!({"message": "2+2?", "mode": "ask", "when": {"every": {"n": 5, "unit": "minutes"}}})).await;
    bench.clock.advance(Duration::from_mins(5));
    let sent = bench.worked().await;
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(bench.shown(ada, 1).await["lastResult"], json!("answered"));
    assert_eq!(bench.app.people.get(&UserName::Id(ada)).await.unwrap().message_count, before);
    // The third turn of the day is one too many; the person is told so, as of any turn.
    bench.clock.advance(Duration::from_mins(5));
    let sent = bench.worked().await;
    assert!(sent.len() == 1 && sent[0].contains("limit"), "{sent:?}");
    let shown = bench.shown(ada, 1).await;
    assert_eq!((&shown["lastResult"], &shown["runs"], &shown["failures"]), (&json!("refused: person-limit"), &json!(2), &json!(1)));
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn what_was_missed_is_made_up_for_once_while_it_is_young() {
    let bench = bench(|config| config.schedules.catch_up_minutes = 60).await;
    let ada = bench.somebody(ADA).await;
    let start = bench.clock.now();
    let in_minutes = |minutes| json!({"message": format!("at {minutes}"), "when": {"once": format!("in {minutes} minutes")}});
    for minutes in [10, 59, 61] {
        bench.done(ada, "schedule_create", in_minutes(minutes)).await;
    }
    bench.done(ada, "schedule_create", json!({"message": "often", "when": {"every": {"n": 5, "unit": "minutes"}}})).await;
    // Two hours in which nothing ran.
    bench.clock.advance(Duration::from_hours(2));
    let mut sent = bench.worked().await;
    sent.sort();
    assert_eq!(sent, ["at 61", "often"], "of many missed runs one is made up for");
    for (id, result) in
        [(1, "missed: nobody was there to run it in time"), (2, "missed: nobody was there to run it in time"), (3, "sent"), (4, "sent")]
    {
        assert_eq!(bench.shown(ada, id).await["lastResult"], json!(result), "schedule {id}");
    }
    let missed = bench.shown(ada, 1).await;
    assert_eq!((&missed["runs"], &missed["failures"], missed.get("nextRun"), missed.get("lastRun")), (&json!(0), &json!(1), None, None));
    // It kept its beat.
    let next = bench.app.remind.get(ada, ScheduleId(4)).await.unwrap().next_run.unwrap();
    assert_eq!(next, start.after(Duration::from_mins(125)));
    // A daily one whose last time is young runs, however many were missed before; one whose last is old does not.
    bench.move_to("2026-11-22T08:00:00Z");
    bench.worked().await;
    bench.done(ada, "schedule_disable", json!({"id": 4})).await;
    bench.done(ada, "schedule_create", json!({"message": "young", "when": {"daily": "09:30"}})).await;
    bench.done(ada, "schedule_create", json!({"message": "old", "when": {"daily": "08:30"}})).await;
    bench.move_to("2026-11-25T10:00:00Z");
    assert_eq!(bench.worked().await, ["young"]);
    let old = bench.shown(ada, 6).await;
    assert_eq!(
        (&old["lastResult"], &old["nextRun"]),
        (&json!("missed: nobody was there to run it in time"), &json!("2026-11-26T08:30:00+00:00"))
    );
}

#[tokio::test]
async fn quiet_hours_hold_reminders_back_until_they_end_and_questions_not() {
    let bench = bench(|_| {}).await;
    let ada = bench.somebody(ADA).await;
    let hours = "22:00-07:00".parse().unwrap();
    let zone = "America/New_York".to_owned();
    bench.app.people.prefer(ada, vec![PreferenceChange::QuietHours(Some(hours)), PreferenceChange::TimeZone(Some(zone))]).await.unwrap();
    bench.move_to("2026-11-22T12:00:00Z");
    bench.done(ada, "schedule_create", json!({"message": "often", "when": "every 30 minutes"})).await;
    bench.done(ada, "schedule_create", json!({"message": "late", "when": {"daily": "23:15"}})).await;
    bench.done(ada, "schedule_create", json!({"message": "3+4?", "mode": "ask", "when": {"daily": "23:30"}})).await;
    // 21:30 there.
    bench.move_to("2026-11-23T02:30:00Z");
    assert_eq!(bench.worked().await, ["often"]);
    let mut night = Vec::new();
    for _ in 0..18 {
        bench.clock.advance(Duration::from_mins(30));
        night.extend(bench.worked().await);
    }
    assert_eq!(night.len(), 1, "only the question: {night:?}");
    assert_eq!(bench.shown(ada, 1).await["nextRun"], json!("2026-11-23T07:00:00-05:00"));
    bench.move_to("2026-11-23T12:00:00Z");
    let mut morning = bench.worked().await;
    morning.sort();
    assert_eq!(morning, ["late", "often"], "each is texted once when they end");
    assert_eq!(bench.shown(ada, 2).await["nextRun"], json!("2026-11-23T23:15:00-05:00"));
    // Held back over a night in which nothing ran, it is as old as the end of the quiet hours.
    bench.done(ada, "schedule_disable", json!({"id": 1})).await;
    bench.done(ada, "schedule_disable", json!({"id": 3})).await;
    bench.move_to("2026-11-26T12:20:00Z");
    assert_eq!(bench.worked().await, ["late"]);
    // Whoever asks for a run now gets it now.
    bench.move_to("2026-11-27T06:00:00Z");
    bench.done(ada, "schedule_run_now", json!({"id": 1})).await;
    assert_eq!(bench.worked().await, ["often"]);
}

#[tokio::test]
async fn days_when_clocks_change_have_one_run_each() {
    let bench = bench(|config| config.people.time_zone = "America/New_York".to_owned()).await;
    bench.move_to("2026-10-30T12:00:00Z");
    let ada = bench.somebody(ADA).await;
    bench.done(ada, "schedule_create", json!({"message": "daily", "when": {"daily": "01:30"}})).await;
    bench.done(ada, "schedule_create", json!({"message": "line", "when": {"cron": "30 1 * * *"}})).await;
    let mut sent = Vec::new();
    // Three nights in steps of ten minutes; the second has the hour from one to two twice.
    for _ in 0..(3 * 25 * 6) {
        bench.clock.advance(Duration::from_mins(10));
        let before = sent.len();
        sent.extend(bench.worked().await);
        assert!(sent.len() == before || sent.len() == before + 2, "both at the same time");
    }
    assert_eq!(sent.len(), 6, "{sent:?}");
}

#[tokio::test]
async fn whoever_opted_out_gets_nothing_and_what_follows_when_they_are_back() {
    let bench = bench(|_| {}).await;
    let ada = bench.somebody(ADA).await;
    bench.done(ada, "schedule_create", json!({"message": "water the plants", "when": {"every": {"n": 1, "unit": "hours"}}})).await;
    bench.exchange(ADA, "STOP").await;
    bench.clock.advance(Duration::from_hours(1));
    assert!(bench.worked().await.is_empty());
    assert_eq!(bench.shown(ada, 1).await["lastResult"], json!("not run: the person has opted out of texts"));
    bench.exchange(ADA, "START").await;
    bench.clock.advance(Duration::from_hours(1));
    assert_eq!(bench.worked().await, ["water the plants"]);
}

#[tokio::test]
async fn whoever_only_uses_the_api_is_texted_by_the_open_gateway() {
    let bench = bench(|_| {}).await;
    bench.api(BEA, "hello").await;
    bench.app.drain().await.unwrap();
    let bea = bench.who(BEA).await;
    bench.done(bea, "schedule_create", json!({"message": "stretch", "when": "in 5 minutes"})).await;
    bench.clock.advance(Duration::from_mins(5));
    assert_eq!(bench.worked().await, ["stretch"]);
}

#[tokio::test]
async fn the_tools_change_what_they_are_told_and_say_what_is_wrong() {
    let bench = bench(|config| config.schedules.per_person = 3).await;
    bench.move_to("2026-11-22T12:00:00Z");
    let ada = bench.somebody(ADA).await;
    for (arguments, told) in [
        (json!({}), "message is missing"),
        (json!({"message": "x"}), "when is missing"),
        (json!({"message": " ", "when": "in 5 minutes"}), "the message is empty"),
        (json!({"message": "x".repeat(4001), "when": "in 5 minutes"}), "at most 4000"),
        (json!({"message": "x", "when": {}}), "exactly one of once, daily"),
        (json!({"message": "x", "when": {"daily": "09:00", "cron": "0 9 * * *"}}), "exactly one of once, daily"),
        (json!({"message": "x", "when": {"daily": "25:00"}}), "HH:MM"),
        (json!({"message": "x", "when": {"weekly": {"day": "someday", "time": "09:00"}}}), "monday to sunday"),
        (json!({"message": "x", "when": {"monthly": {"day": 32, "time": "09:00"}}}), "1 to 31"),
        (json!({"message": "x", "when": {"every": {"n": 4, "unit": "minutes"}}}), "at least 5 minutes"),
        (json!({"message": "x", "when": {"cron": "* * * * *"}}), "at least 5 minutes"),
        (json!({"message": "x", "when": {"cron": "0 0 30 2 *"}}), "never comes"),
        (json!({"message": "x", "when": {"cron": "every day"}}), "five fields"),
        (json!({"message": "x", "when": {"once": "2020-01-01T00:00:00Z"}}), "is over"),
        (json!({"message": "x", "when": {"once": "every day at 9"}}), "no single moment"),
        (json!({"message": "x", "when": "whenever"}), "is not understood"),
        (json!({"message": "x", "when": "in 5 minutes", "mode": "shout"}), "one of remind, ask"),
        (json!({"message": "x", "when": "in 5 minutes", "timezone": "Europe/Berln"}), "did you mean Europe/Berlin"),
    ] {
        let text = bench.refused(ada, "schedule_create", arguments.clone()).await;
        assert!(text.contains(told), "{arguments}: {text}");
    }
    assert!(bench.app.remind.list(ada, scrubjay::store::ScheduleFilter::All).await.unwrap().is_empty(), "a refusal leaves nothing");
    let rules = [
        json!({"weekly": {"day": "Mon", "time": "9:00"}}),
        json!({"monthly": {"dayOfMonth": 31, "time": "18:30"}}),
        json!({"daily": "8:30", "weekdaysOnly": true}),
    ];
    for when in &rules {
        bench.done(ada, "schedule_create", json!({"message": "x", "when": when, "timezone": "Europe/Berlin", "mode": "ask"})).await;
    }
    let told = bench.refused(ada, "schedule_create", json!({"message": "x", "when": "in 5 minutes"})).await;
    assert!(told.contains("3 schedules") && told.contains("delete"), "{told}");
    let listed = bench.done(ada, "schedule_list", json!({})).await;
    let whens: Vec<&Value> = listed["schedules"].as_array().unwrap().iter().map(|schedule| &schedule["when"]).collect();
    assert_eq!(
        whens,
        [
            &json!({"weekly": {"day": "monday", "time": "09:00"}}),
            &json!({"monthly": {"day": 31, "time": "18:30"}}),
            &json!({"daily": "08:30", "weekdaysOnly": true})
        ],
        "what is shown can be given back"
    );
    assert_eq!(listed["schedules"][1]["nextRun"], json!("2026-11-30T18:30:00+01:00"));
    let changed = bench.done(ada, "schedule_update", json!({"id": 2, "timezone": "Asia/Tokyo", "message": "y"})).await;
    assert_eq!((&changed["schedule"]["nextRun"], &changed["schedule"]["message"]), (&json!("2026-11-30T18:30:00+09:00"), &json!("y")));
    assert!(bench.refused(ada, "schedule_update", json!({"id": 2})).await.contains("nothing to change"));
    assert!(bench.refused(ada, "schedule_update", json!({"id": 9, "message": "z"})).await.contains("no schedule 9"));
    let off = bench.done(ada, "schedule_disable", json!({"id": 1})).await;
    assert_eq!((&off["schedule"]["enabled"], off["schedule"].get("nextRun")), (&json!(false), None));
    let on = bench.done(ada, "schedule_enable", json!({"id": 1})).await;
    assert_eq!(on["schedule"]["nextRun"], json!("2026-11-23T09:00:00+01:00"));
    assert_eq!(bench.done(ada, "schedule_delete", json!({"id": 3})).await, json!({"deleted": 3}));
    assert!(bench.refused(ada, "schedule_delete", json!({"id": 3})).await.contains("schedule_list"));
    // One that is over is turned on again by giving it a time.
    bench.done(ada, "schedule_create", json!({"message": "soon", "when": "in 5 minutes", "name": "once only"})).await;
    bench.clock.advance(Duration::from_mins(5));
    bench.worked().await;
    assert!(bench.refused(ada, "schedule_enable", json!({"id": 4})).await.contains("its time is over"));
    let again = bench.done(ada, "schedule_update", json!({"id": 4, "when": "in 10 minutes"})).await;
    assert_eq!((&again["schedule"]["enabled"], &again["schedule"]["name"]), (&json!(true), &json!("once only")));
    bench.clock.advance(Duration::from_mins(10));
    assert_eq!(bench.worked().await, ["soon"]);
}

#[tokio::test]
async fn nobody_reaches_anothers_schedules_by_any_tool_or_resource() {
    let bench = bench(|_| {}).await;
    let (ada, bea) = (bench.somebody(ADA).await, bench.somebody(BEA).await);
    bench.done(ada, "schedule_create", json!({"message": "a secret", "when": "in 5 minutes"})).await;
    for name in ["schedule_get", "schedule_update", "schedule_enable", "schedule_disable", "schedule_delete", "schedule_run_now"] {
        let told = bench.refused(bea, name, json!({"id": 1, "message": "x", "user": ada.to_string(), "to": ADA})).await;
        assert!(told.contains("no schedule 1") && !told.contains("secret"), "{name}: {told}");
    }
    let set = bench.app.tools.iter().find(|set| set.name() == "schedule").unwrap();
    let read =
        async |user_id| set.read_resource(&ToolContext { user_id, conversation_id: None }, "schedule://upcoming").await.unwrap().unwrap();
    assert_eq!(read(bea).await, json!({"schedules": []}));
    assert_eq!(read(ada).await["schedules"][0]["message"], json!("a secret"));
    assert_eq!(bench.done(bea, "schedule_list", json!({"status": "all"})).await, json!({"schedules": []}));
    let definitions = set.definitions(&ToolContext { user_id: ada, conversation_id: None }).await;
    assert_eq!(definitions.len(), 8);
    let bytes: usize = definitions
        .iter()
        .map(|tool| {
            let input = serde_json::to_string(&*tool.input_schema).unwrap();
            for wrong in ["\"user", "phone", "recipient"] {
                assert!(!input.contains(wrong), "{} takes {wrong}", tool.name);
            }
            let output = tool.output_schema.as_ref().map_or(0, |schema| serde_json::to_string(&**schema).unwrap().len());
            // Names, hints and braces take about 220 bytes a tool.
            input.len() + output + tool.name.len() + tool.title.len() + tool.description.len() + 220
        })
        .sum();
    assert!(bytes < 8 * 1024, "the set takes {bytes} bytes of tools/list");
}

#[tokio::test]
async fn a_reminder_is_made_of_one_sentence() {
    let bench = bench(|_| {}).await;
    let ada = bench.somebody(ADA).await;
    let added = bench.app.remind.create_from_words(ada, None, "in 2 minutes to stretch").await.unwrap();
    assert_eq!((added.is_new, added.schedule.message.as_str()), (true, "stretch"));
    assert!(!bench.app.remind.create_from_words(ada, None, "to stretch in 2 minutes").await.unwrap().is_new);
    assert!(bench.app.remind.create_from_words(ada, None, "stretch").await.unwrap_err().to_string().contains("no time"));
    bench.clock.advance(Duration::from_mins(2));
    assert_eq!(bench.worked().await, ["stretch"]);
    assert_eq!(bench.app.people.list(PageRequest::first(10)).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn reminders_are_within_the_persons_turns_and_credits() {
    let bench = bench(|config| {
        config.balance.enabled = true;
        config.balance.start_credits = 25;
        config.balance.segment_credits = 10;
        config.limits.turns_per_day = 4;
    })
    .await;
    // Their first text is a word of ours, which is no turn and costs nothing.
    bench.exchange(ADA, "/remind every 30 minutes to stretch").await;
    let ada = bench.who(ADA).await;
    let mut sent = Vec::new();
    for _ in 0..3 {
        bench.clock.advance(Duration::from_mins(30));
        sent.extend(bench.worked().await);
    }
    assert_eq!(sent, ["stretch", "stretch"]);
    assert_eq!(bench.balance(ADA).await.map(|credits| credits.0), Some(5), "it never falls below zero");
    let shown = bench.done(ada, "schedule_run_now", json!({"id": 1})).await;
    assert_eq!(shown["schedule"]["lastResult"], json!("refused: out-of-credit"));
    assert!(bench.worked().await.is_empty());

    let bench = self::bench(|config| config.limits.turns_per_day = 2).await;
    bench.exchange(ADA, "/remind every 30 minutes to stretch").await;
    let ada = bench.who(ADA).await;
    for result in ["being sent", "being sent", "refused: person-limit"] {
        let shown = bench.done(ada, "schedule_run_now", json!({"id": 1})).await;
        assert_eq!(shown["schedule"]["lastResult"], json!(result));
    }
    assert_eq!(bench.worked().await.len(), 2);
}

#[tokio::test]
async fn times_of_the_clock_two_minutes_apart_are_two_reminders() {
    let bench = bench(|_| {}).await;
    let ada = bench.somebody(ADA).await;
    for sentence in ["tomorrow at 9:00 drink", "tomorrow at 9:02 drink", "tomorrow at 9:01 to drink"] {
        assert!(bench.app.remind.create_from_words(ada, None, sentence).await.unwrap().is_new, "{sentence}");
    }
    assert!(!bench.app.remind.create_from_words(ada, None, "drink tomorrow at 9:01").await.unwrap().is_new);
}

#[tokio::test]
async fn one_that_is_put_off_can_be_turned_off_and_on_until_it_runs() {
    let bench = bench(|_| {}).await;
    let ada = bench.somebody(ADA).await;
    bench.move_to("2026-11-22T20:00:00Z");
    let hours = "22:00-07:00".parse().unwrap();
    bench.app.people.prefer(ada, vec![PreferenceChange::QuietHours(Some(hours))]).await.unwrap();
    bench.done(ada, "schedule_create", json!({"message": "late", "when": {"once": "2026-11-22T23:00:00Z"}})).await;
    bench.done(ada, "schedule_create", json!({"message": "lost", "when": {"once": "2026-11-22T23:00:00Z"}})).await;
    bench.move_to("2026-11-22T23:30:00Z");
    assert!(bench.worked().await.is_empty());
    let moved = bench.done(ada, "schedule_update", json!({"id": 1, "timezone": "Europe/Berlin"})).await;
    assert_eq!(moved["schedule"]["nextRun"], json!("2026-11-23T08:00:00+01:00"));
    for id in [1, 2] {
        bench.done(ada, "schedule_disable", json!({"id": id})).await;
    }
    let on = bench.done(ada, "schedule_enable", json!({"id": 1})).await;
    assert_eq!(on["schedule"]["nextRun"], json!("2026-11-23T08:00:00+01:00"));
    bench.move_to("2026-11-23T07:00:00Z");
    assert_eq!(bench.worked().await, ["late"]);
    assert!(bench.refused(ada, "schedule_enable", json!({"id": 1})).await.contains("its time is over"), "it ran");
    assert!(bench.refused(ada, "schedule_enable", json!({"id": 2})).await.contains("its time is over"), "nothing holds it back now");
}

#[tokio::test]
async fn what_is_over_begins_again_only_where_there_is_room() {
    let bench = bench(|config| config.schedules.per_person = 1).await;
    let ada = bench.somebody(ADA).await;
    bench.done(ada, "schedule_create", json!({"message": "one", "when": "in 5 minutes"})).await;
    bench.clock.advance(Duration::from_mins(5));
    bench.worked().await;
    bench.done(ada, "schedule_create", json!({"message": "two", "when": "in 5 minutes"})).await;
    let told = bench.refused(ada, "schedule_update", json!({"id": 1, "when": "in 10 minutes"})).await;
    assert!(told.contains("1 schedules already"), "{told}");
}
