//! Persons filled into a server's environment and headers, and never another's.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::join_all;
use scrubjay::service::people::AccountName;
use serde_json::json;

use super::{ADA, BEA, QUICK, Scene, context, exists, gone, new_person, small};
use scrubjay::clock::Clock;
use scrubjay::toolset::outside::Limits;

const PERSONAL: &str = "    env:\n      PERSON: \"{{USER_ID}}\"\n      PHONE: \"{{USER_PHONE}}\"\n";

#[tokio::test]
async fn each_person_has_a_process_of_their_own_however_calls_mix() {
    let scene = Scene::small(QUICK, "", PERSONAL).await;
    let calls = (0..60).map(|turn| {
        let (who, number) = if turn % 2 == 0 { (&scene.ada, ADA) } else { (&scene.bea, BEA) };
        let scene = &scene;
        async move {
            let seen = scene.who(who).await;
            assert_eq!(seen["id"], who.user_id.to_string());
            assert_eq!(seen["phone"], number);
            seen["pid"].as_u64().unwrap()
        }
    });
    let pids: BTreeSet<u64> = join_all(calls).await.into_iter().collect();
    assert_eq!((pids.len(), scene.starts("small")), (2, 2));
    scene.close().await;
    assert!(pids.into_iter().all(|pid| !exists(pid)));
}

#[tokio::test]
async fn a_server_that_is_told_nothing_of_people_is_one_for_all() {
    let scene = Scene::small(QUICK, "", "").await;
    assert_eq!(scene.who(&scene.ada).await["pid"], scene.who(&scene.bea).await["pid"]);
    scene.close().await;
}

#[tokio::test]
async fn who_has_no_number_is_not_given_somebody_s() {
    let scene = Scene::small(QUICK, "", PERSONAL).await;
    let shared = scene.people.get_or_open(&AccountName::Shared, new_person(&Clock::system())).await.unwrap();
    let shared = context(shared.id);
    assert!(scene.set("small").definitions(&shared).await.is_empty());
    let outcome = scene.call_as(&shared, "small_who", json!({})).await;
    assert!(outcome.is_error && outcome.text.contains("asks for a phone number"), "{outcome:?}");
    assert_eq!(scene.starts("small"), 0);
    scene.close().await;
}

#[tokio::test]
async fn what_nobody_uses_is_closed_and_the_longest_unused_makes_room() {
    let limits = Limits { places: 1, ..QUICK };
    let scene = Scene::small(limits, "", PERSONAL).await;
    let ada = scene.pid().await;
    let bea = scene.who(&scene.bea).await["pid"].as_u64().unwrap();
    gone(ada, Duration::from_secs(5)).await;
    assert!(exists(bea));
    let again = scene.pid().await;
    gone(bea, Duration::from_secs(5)).await;
    assert_ne!(ada, again);
    scene.close().await;

    let scene = Scene::small(Limits { idle: Duration::from_millis(300), ..QUICK }, "", "").await;
    let pid = scene.pid().await;
    gone(pid, Duration::from_secs(10)).await;
    assert_ne!(scene.pid().await, pid, "it is started again at once: ending it was our doing");
    scene.close().await;
}

/// A log of this thread, and what stands in it.
fn log() -> (impl tracing::Subscriber, Arc<Mutex<Vec<u8>>>) {
    #[derive(Clone)]
    struct Written(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let written = Arc::new(Mutex::default());
    let writer = Written(Arc::clone(&written));
    (tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish(), written)
}

#[tokio::test]
async fn a_place_in_use_is_not_taken_away() {
    let limits = Limits { places: 1, idle: Duration::ZERO, ..QUICK };
    let scene = Scene::open(limits, |folder| small("small", folder, "", PERSONAL).replace("timeout: 5000", "timeout: 1500")).await;
    let scene = Arc::new(scene);
    let slow = {
        let scene = Arc::clone(&scene);
        tokio::spawn(async move { scene.call("small_hang", json!({})).await })
    };
    let begun = Instant::now();
    while !scene.log("small").iter().any(|line| line.starts_with("call hang")) {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (log, logged) = log();
    let logging = tracing::subscriber::set_default(log);
    let refused = scene.call_as(&scene.bea, "small_who", json!({})).await;
    assert!(refused.text.contains("too many people"), "{refused:?}");
    assert!(scene.set("small").definitions(&scene.bea).await.is_empty());
    drop(logging);
    let told = String::from_utf8(logged.lock().unwrap().clone()).unwrap();
    assert_eq!(told.matches("its tools were missing for a person").count(), 1, "once: {told}");
    assert!(told.contains("WARN") && told.contains("server=\"small\"") && told.contains("places=1"), "{told}");
    assert!(slow.await.unwrap().text.contains("did not answer within"));
    Arc::into_inner(scene).unwrap().close().await;
}
