//! Servers that crash, hang, flood, or never start: each costs its own tools and a bounded time.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{QUICK, Scene, exists, gone, small};

#[tokio::test]
async fn a_crashed_server_comes_back_after_its_wait() {
    let scene = Scene::small(QUICK, "", "").await;
    let pid = scene.pid().await;
    let outcome = scene.call("small_crash", json!({})).await;
    assert!(outcome.is_error && outcome.text.contains("whether the call took effect is not known"), "{outcome:?}");
    gone(pid, Duration::from_secs(5)).await;
    let begun = Instant::now();
    let down = scene.call("small_who", json!({})).await;
    assert!(down.is_error && down.text.contains("cannot be reached"), "{down:?}");
    assert!(scene.names("small").await.is_empty());
    assert!(begun.elapsed() < Duration::from_millis(200), "refused at once: {:?}", begun.elapsed());
    assert_eq!(scene.starts("small"), 1, "not started while it waits");
    tokio::time::sleep(QUICK.first_wait).await;
    assert_ne!(scene.pid().await, pid);
    scene.close().await;
}

#[tokio::test]
async fn a_server_that_cannot_start_is_not_tried_at_every_turn() {
    let scene = Scene::open(QUICK, |folder| {
        let blocker = folder.join("blocker");
        std::fs::write(&blocker, "").unwrap();
        small("small", folder, &format!("--die-while, {blocker:?}"), "") + "  missing:\n    command: /nowhere/at/all\n"
    })
    .await;
    assert!(scene.names("missing").await.is_empty());
    assert!(scene.names("small").await.is_empty());
    let begun = Instant::now();
    for _turn in 0..50 {
        assert!(scene.names("small").await.is_empty());
    }
    assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());
    assert_eq!(scene.starts("small"), 1);
    std::fs::remove_file(scene.folder.path().join("blocker")).unwrap();
    tokio::time::sleep(QUICK.first_wait).await;
    assert_eq!(scene.names("small").await.len(), 17, "it is found again");
    scene.close().await;
}

#[tokio::test]
async fn a_server_that_never_greets_costs_its_limit_once_and_leaves_no_process() {
    let scene = Scene::small(QUICK, "--silent, --stubborn", "    initTimeout: 700\n").await;
    let begun = Instant::now();
    let (one, other) = tokio::join!(scene.names("small"), scene.names("small"));
    assert!(one.is_empty() && other.is_empty());
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(650) && took < Duration::from_millis(1_300), "{took:?}");
    let pid = scene.log("small")[0].strip_prefix("start ").unwrap().parse().unwrap();
    gone(pid, Duration::from_secs(3)).await;
    scene.close().await;
}

#[tokio::test]
async fn a_call_that_hangs_ends_in_time_and_the_rest_goes_on() {
    let scene = Scene::open(QUICK, |folder| {
        small("hangs", folder, "", "").replace("timeout: 5000", "timeout: 500") + &small("small", folder, "", "")
    })
    .await;
    scene.names("hangs").await;
    let begun = Instant::now();
    let (hung, other) = tokio::join!(scene.call("hangs_hang", json!({})), scene.call("small_echo", json!({"text": "meanwhile"})));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(hung.is_error && hung.text.contains("did not answer within 0.5 s"), "{hung:?}");
    assert_eq!(other.text, "meanwhile");
    // The process still sleeps, so the next call is not answered either. Then it is given up, and another is started after the wait.
    assert!(scene.call("hangs_echo", json!({})).await.is_error);
    let pid = scene.log("hangs")[0].strip_prefix("start ").unwrap().parse().unwrap();
    assert!(scene.call("hangs_echo", json!({})).await.text.contains("cannot be reached"));
    gone(pid, Duration::from_secs(8)).await;
    tokio::time::sleep(QUICK.first_wait).await;
    assert_eq!(scene.call("hangs_echo", json!({"text": "again"})).await.text, "again");
    assert_eq!(scene.starts("hangs"), 2);
    scene.close().await;
}

#[tokio::test]
async fn a_call_that_is_given_up_is_cancelled_at_the_server() {
    let scene = Scene::open(QUICK, |folder| small("small", folder, "", "").replace("timeout: 5000", "timeout: 300")).await;
    let cancelled = async |count: usize| {
        let begun = Instant::now();
        loop {
            let log = scene.log("small");
            let of = |what: &str| -> Vec<String> { log.iter().filter_map(|line| line.strip_prefix(what)).map(str::to_owned).collect() };
            let (called, cancelled) = (of("call never "), of("notifications/cancelled "));
            if cancelled.len() == count {
                assert_eq!(called, cancelled);
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{log:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(scene.call("small_never", json!({})).await.text.contains("did not answer within 0.3 s"));
    cancelled(1).await;
    let gave_up = tokio::time::timeout(Duration::from_millis(100), scene.call("small_never", json!({}))).await;
    assert!(gave_up.is_err());
    cancelled(2).await;
    assert_eq!(scene.call("small_echo", json!({"text": "well"})).await.text, "well");
    assert_eq!(scene.starts("small"), 1);
    scene.close().await;
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_is_finished_all_the_same() {
    let scene = Scene::small(QUICK, "--slow-start", "").await;
    let gave_up = tokio::time::timeout(Duration::from_millis(100), scene.names("small")).await;
    assert!(gave_up.is_err());
    tokio::time::sleep(Duration::from_millis(900)).await;
    let begun = Instant::now();
    assert_eq!(scene.names("small").await.len(), 17);
    assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());
    assert_eq!(scene.starts("small"), 1);
    scene.close().await;
}

#[tokio::test]
async fn a_caller_who_goes_away_takes_nothing_with_them() {
    let scene = Scene::small(QUICK, "", "").await;
    let pid = scene.pid().await;
    let gave_up = tokio::time::timeout(Duration::from_millis(200), scene.call("small_hang", json!({}))).await;
    assert!(gave_up.is_err());
    assert!(exists(pid));
    scene.close().await;
    assert!(!exists(pid));
}

#[tokio::test]
async fn output_without_end_ends_the_connection_and_not_us() {
    let scene = Scene::small(QUICK, "", "").await;
    let pid = scene.pid().await;
    let outcome = scene.call("small_endless", json!({})).await;
    assert!(outcome.is_error && outcome.text.contains("was lost"), "{outcome:?}");
    gone(pid, Duration::from_secs(8)).await;
    tokio::time::sleep(QUICK.first_wait).await;
    assert_eq!(scene.call("small_echo", json!({"text": "again"})).await.text, "again");
    scene.close().await;
}
