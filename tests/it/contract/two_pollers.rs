//! A thousand runs and two processes on one store: each run happens once. On MongoDB there are fewer, as the server takes its time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use scrubjay::clock::Clock;
use scrubjay::config::Config;
use scrubjay::domain::schedule::{Mode, When, Zone};
use scrubjay::service::remind::{Remind, Wakes};
use scrubjay::store::{NewSchedule, ScheduleFilter, SharedStore};
use scrubjay::worker::schedules::SchedulePoller;
use tokio_util::sync::CancellationToken;

use super::fixture::{Fixture, no_limits, owner, twilio};

const PEOPLE: u32 = 20;
const EACH: u32 = 50;

/// A poller as a process of its own has it.
fn poller(store: &SharedStore, clock: &Clock) -> SchedulePoller {
    let config = Arc::new(Config::from_toml("").unwrap());
    let remind = Arc::new(Remind::new(Arc::clone(store), clock.clone(), config, Wakes::default()));
    SchedulePoller { remind, wake: Arc::default(), clock: clock.clone(), poll: Duration::from_millis(50) }
}

pub(super) async fn two_processes_fire_each_of_a_thousand_runs_once(f: Fixture) {
    let (begun, count, each) = (f.clock.now(), f.times(2 * PEOPLE).min(PEOPLE), f.times(EACH));
    let mut people = Vec::new();
    for person in 0..count {
        people.push(f.texted(&format!("+1555{:07}", 100_000 + person), "hello").await.user_id);
    }
    f.drain().await;
    for (person, user) in people.iter().enumerate() {
        for number in 0..each {
            // Half of them at the same moment, the others spread over the next minutes; each third is a question.
            let next_run = begun.after(Duration::from_secs(60 + u64::from(number % 2) * u64::from(number)));
            let new = NewSchedule {
                name: format!("{person}.{number}"),
                message: format!("{person}.{number}"),
                mode: if number % 3 == 0 { Mode::Ask } else { Mode::Remind },
                when: When::Once(next_run),
                zone: Zone::utc(),
                anchor: begun,
                next_run,
                conversation_id: None,
                same_within: Duration::ZERO,
            };
            assert!(f.store.add_schedule(*user, new, 50).await.unwrap().is_new);
        }
    }
    let other = f.open_again();
    let stop = CancellationToken::new();
    let running: Vec<_> = [&f.store, &other]
        .into_iter()
        .map(|store| {
            let (poller, stop) = (poller(store, &f.clock), stop.clone());
            tokio::spawn(async move { poller.run(stop).await })
        })
        .collect();
    for _ in 0..12 {
        f.advance(10_000);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // For what hangs: a slow database server takes some minutes.
    let deadline = std::time::Instant::now() + Duration::from_mins(5);
    // Who asks without a pause takes the time from those who work.
    loop {
        let left = f.store.list_due_schedules(1).await.unwrap();
        if left.due.is_empty() && left.next_due.is_none() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "they are not all fired");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.cancel();
    for poller in running {
        poller.await.unwrap();
    }
    // Questions are turns, to be answered once each; reminders are texts.
    let mut happened: BTreeMap<String, u32> = BTreeMap::new();
    loop {
        let work = f.store.lease_turns(&owner(), 100, &no_limits()).await.unwrap().work;
        if work.is_empty() {
            break;
        }
        for turn in work {
            for text in &turn.texts {
                *happened.entry(text.text.clone()).or_default() += 1;
            }
            f.answer(&turn, "fine").await;
        }
    }
    for body in f.send_all().await {
        *happened.entry(body).or_default() += 1;
    }
    assert_eq!(happened.len(), (count * each) as usize);
    assert!(happened.values().all(|times| *times == 1), "{:?}", happened.iter().filter(|(_, times)| **times != 1).collect::<Vec<_>>());
    for user in people {
        let schedules = f.store.list_schedules(user, ScheduleFilter::All).await.unwrap();
        assert!(schedules.iter().all(|schedule| schedule.runs == 1 && schedule.finished && schedule.failures == 0));
    }
    assert!(f.store.lease_deliveries(&owner(), &twilio(), 1).await.unwrap().work.is_empty());
    other.close().await;
}
