//! Planned messages with the real executable: a stop over the time of a run, and two programs on one store.

use std::collections::BTreeMap;
use std::time::Duration;

use scrubjay::clock::Clock;
use scrubjay::domain::ids::UserId;
use scrubjay::domain::schedule::{Interval, Mode, Schedule, Unit, When, Zone};
use scrubjay::domain::time::Timestamp;
use scrubjay::store::{NewSchedule, ScheduleChange, ScheduleFilter, SharedStore};
use serde_json::json;

use super::{SOON, Stage, number};
use crate::backends::Ground;
use crate::mcp::stdio::Talk;
use crate::support::eventually;
use crate::support::process::Product;
use crate::support::twilio::Twilio;

/// More schedules than anybody has here.
const ANY: usize = 1000;

async fn id(stage: &Stage, from: &str) -> UserId {
    let shown = stage.home.json(&["users", "show", from]).await;
    shown["_id"].as_str().unwrap().parse().unwrap()
}

/// A reminder that runs at that moment, once or also each hour after it.
async fn plan(store: &SharedStore, user: UserId, message: &str, (when, anchor): (When, Timestamp), next_run: Timestamp) -> Schedule {
    let (name, message, zone) = (message.to_owned(), message.to_owned(), Zone::utc());
    let (mode, conversation_id, same_within) = (Mode::Remind, None, Duration::ZERO);
    let new = NewSchedule { name, message, mode, when, zone, anchor, next_run, conversation_id, same_within };
    let added = store.add_schedule(user, new, ANY).await.unwrap();
    assert!(added.is_new, "{}", added.schedule.name);
    added.schedule
}

on_every_backend! {
    a_run_whose_time_passes_while_the_program_is_stopped_happens_once_after_the_start,
    two_programs_on_one_store_fire_each_of_many_runs_once,
}

async fn a_run_whose_time_passes_while_the_program_is_stopped_happens_once_after_the_start(ground: Ground) {
    let stage = Stage::on(ground).await;
    let anna = number(1);
    let mut product = stage.home.serve().await;
    Twilio::new().text(product.address, &anna, "hello").await;
    stage.bodies_to(&anna, 1).await;
    product.terminate();
    assert!(product.ended(SOON).await.success());

    let store = stage.open();
    let at = Clock::system().now().after(Duration::from_millis(1500));
    plan(&store, id(&stage, &anna).await, "plan 0", (When::Once(at), at), at).await;
    store.close().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.carrier.bodies_to(&anna).len(), 1, "nothing runs it");
    let product = stage.home.serve().await;
    assert_eq!(stage.bodies_to(&anna, 2).await[1..], ["plan 0"]);
    product.stop().await;
    let _again = stage.home.serve().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.carrier.bodies_to(&anna).len(), 2, "it ran once");
    let listed = stage.home.json(&["schedules", "list", "--user", &anna, "--all"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!((listed[0]["runs"].as_u64(), listed[0]["lastResult"].as_str()), (Some(1), Some("sent")));
    stage.no_job_left(SOON).await;
}

/// Runs of a person: single ones, and rules that come round in waves.
#[derive(Debug, Clone, Copy)]
struct Plans {
    people: usize,
    once: usize,
    rules: usize,
    waves: usize,
}

impl Plans {
    /// A thousand runs in files, a hundred in MongoDB.
    fn on(ground: &Ground) -> Self {
        Self { people: ground.size(25, 5), once: ground.size(28, 14), rules: ground.size(3, 2), waves: ground.size(4, 3) }
    }

    const fn runs(self) -> usize {
        self.people * (self.once + self.rules * self.waves)
    }
}

/// A rule by the hour that is due at that moment.
fn hourly(due: Timestamp) -> (When, Timestamp) {
    (When::Every(Interval::new(1, Unit::Hours).unwrap()), due.before(Duration::from_hours(1)))
}

fn runs(schedule: &Schedule) -> usize {
    usize::try_from(schedule.runs).unwrap()
}

/// How many schedules a process fired, by its own figures.
async fn fired(product: &Product) -> usize {
    let figures = crate::support::http_client().get(product.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let line = figures.lines().find_map(|line| line.strip_prefix("schedules_fired_total{outcome=\"run\"} "));
    line.map_or(0, |count| count.parse().unwrap())
}

async fn two_programs_on_one_store_fire_each_of_many_runs_once(ground: Ground) {
    let plans = Plans::on(&ground);
    let stage = Stage::on_with(ground, |settings| settings.set("worker.deliveries", 64)).await;
    let (one, two) = (stage.home.serve().await, stage.home.serve().await);
    let (store, twilio) = (stage.open(), Twilio::new());
    let phones: Vec<String> = (0..plans.people).map(number).collect();
    let mut people = Vec::new();
    for (person, phone) in phones.iter().enumerate() {
        twilio.text(if person % 2 == 0 { one.address } else { two.address }, phone, "hello").await;
        stage.bodies_to(phone, 1).await;
        people.push(id(&stage, phone).await);
    }
    let begun = Clock::system().now().after(Duration::from_millis(1500));
    let mut expected: Vec<BTreeMap<String, usize>> = Vec::new();
    let mut rules: Vec<Schedule> = Vec::new();
    for user in &people {
        let mut texts = BTreeMap::new();
        for index in 0..plans.once {
            // Half of them in one moment, the others one after the other.
            let at = begun.after(Duration::from_millis(if index % 2 == 0 { 1_000 } else { 100 * index as u64 }));
            let text = format!("once {index}");
            plan(&store, *user, &text, (When::Once(at), begun), at).await;
            texts.insert(text, 1);
        }
        for index in 0..plans.rules {
            let text = format!("each hour {index}");
            rules.push(plan(&store, *user, &text, hourly(begun), begun).await);
            texts.insert(text, plans.waves);
        }
        expected.push(texts);
    }
    // Each rule runs; then its hour is over, as it were, and it runs again.
    for wave in 1..=plans.waves {
        for rule in &mut rules {
            *rule = eventually("a rule that ran", SOON, || async {
                let schedule = store.find_schedule(rule.user_id, rule.id).await.unwrap().unwrap();
                assert!(runs(&schedule) <= wave, "it ran twice: {schedule:?}");
                (runs(&schedule) == wave).then_some(schedule)
            })
            .await;
        }
        if wave < plans.waves {
            let due = Clock::system().now().after(Duration::from_millis(300));
            for rule in &rules {
                let (when, anchor) = hourly(due);
                let change = ScheduleChange::Rule { when, zone: Zone::utc(), anchor, next_run: due };
                store.change_schedule(rule.user_id, rule.id, rule.revision, vec![change], ANY).await.unwrap();
            }
        }
    }
    for (phone, texts) in phones.iter().zip(&expected) {
        let mut told: BTreeMap<String, usize> = BTreeMap::new();
        for body in stage.bodies_to(phone, 1 + texts.values().sum::<usize>()).await.split_off(1) {
            *told.entry(body).or_default() += 1;
        }
        assert_eq!(&told, texts, "a run was lost, or happened twice");
    }
    stage.no_job_left(SOON).await;
    let shares = [fired(&one).await, fired(&two).await];
    eprintln!("fired by each process: {shares:?}");
    assert_eq!(shares.iter().sum::<usize>(), plans.runs());
    assert!(shares.iter().all(|share| *share > 0), "one process fired everything: {shares:?}");
    for user in people {
        for schedule in store.list_schedules(user, ScheduleFilter::All).await.unwrap() {
            let (expected, goes_on) = if schedule.when.is_once() { (1, false) } else { (plans.waves, true) };
            let next_is_later = schedule.next_run.is_some_and(|next| next > Clock::system().now());
            assert_eq!((runs(&schedule), schedule.failures), (expected, 0), "{schedule:?}");
            assert_eq!((schedule.enabled, schedule.finished, next_is_later), (goes_on, !goes_on, goes_on), "{schedule:?}");
        }
    }
    store.close().await;
    assert_eq!(stage.carrier.sent().len(), plans.runs() + plans.people);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_run_now_over_stdio_is_texted_to_somebody_who_never_texted() {
    let stage = Stage::new().await;
    let (nora, _product) = (number(7), stage.home.serve().await);
    let (home, of) = (&stage.home, nora.clone());
    let ran = tokio::task::block_in_place(|| {
        let mut talk = Talk::start(home, &["--user", &of], &[]);
        talk.hello();
        let plan = json!({"message": "drink", "when": {"daily": "08:00"}});
        let made = talk.call("schedule_create", &plan)["structuredContent"].clone();
        talk.call("schedule_run_now", &json!({"id": made["schedule"]["id"]}))
    });
    assert_eq!(ran["isError"], false, "{ran}");
    assert_eq!(stage.bodies_to(&nora, 1).await, ["drink"]);
    stage.no_job_left(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_listed_in_pages() {
    let stage = Stage::new().await;
    let (anna, product) = (number(1), stage.home.serve().await);
    Twilio::new().text(product.address, &anna, "hello").await;
    stage.bodies_to(&anna, 1).await;
    let (store, user, later) = (stage.open(), id(&stage, &anna).await, Clock::system().now().after(Duration::from_hours(1)));
    for number in 0..5 {
        plan(&store, user, &format!("plan {number}"), (When::Once(later), later), later).await;
    }
    store.close().await;
    let list = ["schedules", "list", "--user", anna.as_str()];
    let whole = stage.home.list(&list).await;
    assert_eq!(whole.len(), 5);
    let (mut paged, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut page = [list.as_slice(), &["--json", "--limit", "2"]].concat();
        page.extend(cursor.iter().flat_map(|cursor| ["--cursor", cursor]));
        let (code, listed, told) = stage.home.run(&page).await;
        assert_eq!(code, 0, "{told}");
        let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
        assert!(listed.len() <= 2);
        paged.extend(listed);
        let Some((_, next)) = told.split_once("--cursor ") else { break };
        cursor = Some(next.trim().to_owned());
    }
    assert_eq!(paged, whole);
    let (code, _, told) = stage.home.run(&[list.as_slice(), &["--cursor", "nowhere"]].concat()).await;
    assert!(code != 0 && told.contains("cursor"), "{told}");
    // A number that nobody has is somebody who has nothing yet, as with the other commands on what is a person's own.
    assert!(stage.home.list(&["schedules", "list", "--user", &number(9)]).await.is_empty());
}
