//! Planned messages with the real executable: a stop over the time of a run, and two programs on one file.

use std::time::Duration;

use scrubjay::clock::Clock;
use scrubjay::domain::ids::UserId;
use scrubjay::domain::schedule::{Mode, When, Zone};
use scrubjay::store::NewSchedule;

use super::{SOON, Stage, number};
use crate::support::twilio::Twilio;

/// Writes reminders into the program's store, as an MCP client beside it does: the first after `wait`, one each `apart`.
async fn plan(stage: &Stage, from: &str, count: u64, wait: Duration, apart: Duration) {
    let shown = stage.home.json(&["users", "show", from]).await;
    let user: UserId = shown["_id"].as_str().unwrap().parse().unwrap();
    let data = toml::Value::from(stage.home.data().to_str().unwrap()).to_string();
    let config = scrubjay::config::Config::from_toml(&format!("storage.path = {data}")).unwrap();
    let store = scrubjay::store::open(&config.storage, Clock::system()).unwrap();
    let now = Clock::system().now();
    for number in 0..count {
        let next_run = now.after(wait + apart * u32::try_from(number).unwrap());
        let new = NewSchedule {
            name: format!("plan {number}"),
            message: format!("plan {number}"),
            mode: Mode::Remind,
            when: When::Once(next_run),
            zone: Zone::utc(),
            anchor: now,
            next_run,
            conversation_id: None,
            same_within: Duration::ZERO,
        };
        assert!(store.add_schedule(user, new, 50).await.unwrap().is_new);
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_time_passes_while_the_program_is_stopped_happens_once_after_the_start() {
    let stage = Stage::new().await;
    let anna = number(1);
    let mut product = stage.home.serve().await;
    Twilio::new().text(product.address, &anna, "hello").await;
    stage.bodies_to(&anna, 1).await;
    product.terminate();
    assert!(product.ended(SOON).await.success());

    plan(&stage, &anna, 1, Duration::from_millis(1500), Duration::ZERO).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_share_one_file_and_each_run_happens_once() {
    let stage = Stage::new().await;
    let anna = number(1);
    let (one, _two) = (stage.home.serve().await, stage.home.serve().await);
    Twilio::new().text(one.address, &anna, "hello").await;
    stage.bodies_to(&anna, 1).await;
    plan(&stage, &anna, 30, Duration::from_millis(1500), Duration::from_millis(50)).await;
    stage.bodies_to(&anna, 31).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut bodies = stage.carrier.bodies_to(&anna).split_off(1);
    bodies.sort();
    let mut expected: Vec<String> = (0..30).map(|number| format!("plan {number}")).collect();
    expected.sort();
    assert_eq!(bodies, expected);
    stage.no_job_left(SOON).await;
}
