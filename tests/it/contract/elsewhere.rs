//! Looking on at a person while another process does the work: what it does is seen, told by the store or found by asking.

use std::sync::Arc;
use std::time::Duration;

use scrubjay::domain::turn::TurnEnd;
use scrubjay::service::onlookers::{Onlookers, Pace};
use scrubjay::service::people::Live;
use scrubjay::service::watch::{TurnEvent, Wake, Watch};
use scrubjay::worker::elsewhere::{Hearers, run};
use tokio_util::sync::CancellationToken;

use super::fixture::{ANN, Fixture};

/// Longer than any case lasts.
const NEVER: Duration = Duration::from_hours(1);

/// How long is waited for what must come.
const SOON: Duration = Duration::from_secs(20);

/// A process that looks on, and hears what the store tells until this is dropped.
pub(crate) struct Looking {
    pub(crate) watch: Watch,
    pub(crate) turns: Arc<Wake>,
    _hearing: tokio_util::sync::DropGuard,
}

impl Looking {
    /// Through that store of the case's, at that pace.
    pub(crate) fn on(f: &Fixture, store: scrubjay::store::SharedStore, pace: Pace) -> Self {
        let (onlookers, turns, stop) = (Arc::new(Onlookers::new(pace)), Arc::new(Wake::default()), CancellationToken::new());
        let hearers = Hearers {
            store,
            clock: f.clock.clone(),
            onlookers: Arc::clone(&onlookers),
            turns: Arc::clone(&turns),
            deliveries: Arc::default(),
        };
        tokio::spawn(run(hearers, stop.clone()));
        Self { watch: Watch::new(onlookers), turns, _hearing: stop.drop_guard() }
    }
}

/// Where the store tells, nobody needs to ask: the next question would be an hour away. Where it does not, asking finds it.
pub(crate) async fn what_ends_in_another_process_is_seen_here(f: Fixture) {
    let tells = f.store.news().await.unwrap().is_some();
    assert!(!tells || f.is_mongodb(), "files tell nothing");
    let pace = if tells { Pace { alone: NEVER, told: NEVER } } else { Pace { alone: Duration::from_millis(10), told: NEVER } };
    let other = f.open_again();
    let here = Looking::on(&f, Arc::clone(&other), pace);
    let first = f.texted(ANN, "one").await;
    let mut live = Live::open(Arc::clone(&other), &here.watch, first.user_id, None).await.unwrap();
    let mut follower = here.watch.follow(first.turn_id);
    let following = follower.next(&other, first.user_id, first.turn_id);
    let answering = async {
        // Both have asked, in vain, and wait.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        f.answer(&f.lease_one().await, "re: one").await;
    };
    let (event, seen, ()) = tokio::time::timeout(SOON, async { tokio::join!(following, live.next(), answering) }).await.unwrap();
    let (event, seen) = (event.unwrap(), seen.unwrap());
    assert!(matches!(event, TurnEvent::Delta(text) if text == "re: one"));
    let end = follower.next(&other, first.user_id, first.turn_id).await.unwrap();
    assert!(matches!(end, TurnEvent::End(TurnEnd::Answered(Some(reply))) if reply.text == "re: one"));
    assert_eq!(seen.len(), 1);
    // And each of those that follow, once.
    for text in ["two", "three"] {
        f.texted(ANN, text).await;
        f.answer(&f.lease_one().await, &format!("re: {text}")).await;
        let seen = tokio::time::timeout(SOON, live.next()).await.unwrap().unwrap();
        let texts: Vec<&str> = seen.iter().flat_map(|turn| &turn.messages).map(|message| message.text.as_str()).collect();
        assert_eq!(texts, [text, &format!("re: {text}")]);
    }
}
