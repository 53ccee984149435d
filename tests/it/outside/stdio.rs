//! A process that behaves: what a model sees of it, what it sees of us, and that it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use scrubjay::app::Toolbox;
use scrubjay::clock::Clock;
use scrubjay::config::Config;
use scrubjay::service::tools::ToolHints;
use scrubjay::toolset::outside::OWN_WORDS;
use serde_json::{Value, json};

use super::{QUICK, Scene, context, exists, gone, small};

#[tokio::test]
async fn tools_have_the_server_s_prefix_and_its_word_for_what_they_do() {
    let scene = Scene::small(QUICK, "", "    serverInstructions: true\n").await;
    let tools = scene.set("small").definitions(&scene.ada).await;
    assert_eq!(tools.len(), 17, "both pages");
    let tool = |name: &str| tools.iter().find(|tool| tool.name == name).unwrap_or_else(|| panic!("{name}: {tools:#?}"));
    assert_eq!((tool("small_echo").hints, tool("small_echo").description.as_str()), (ToolHints::READ, "Says it again."));
    let worst = ToolHints { read_only: false, destructive: true, idempotent: false, open_world: true };
    assert_eq!(tool("small_who").hints, worst);
    let dotted = tools.iter().find(|tool| tool.name.starts_with("small_dotted_name_x_")).unwrap();
    assert_eq!(scene.call(&dotted.name, json!({})).await.text, "dotted");
    assert_eq!(scene.set("small").instructions(&scene.ada).await.as_deref(), Some("Ask politely."));
    assert_eq!(scene.starts("small"), 1);
    scene.close().await;
}

#[tokio::test]
async fn results_are_given_back_in_words() {
    let scene = Scene::small(QUICK, "--chatty", "").await;
    for (tool, text, is_error) in [
        ("small_picture", "look\n[image, image/png, 3 bytes, not shown]", false),
        ("small_structured", "{\"answer\":42}", false),
        ("small_fails", "no such file", true),
        ("small_refused", "the server \"small\" refused the call: that is not known here", true),
        ("small_wrong_shape", "the server \"small\" answered something that is no result", true),
    ] {
        let outcome = scene.call(tool, json!({})).await;
        assert_eq!((outcome.text.as_str(), outcome.is_error), (text, is_error), "{tool}");
    }
    assert_eq!(scene.call("small_structured", json!({})).await.structured, Some(json!({"answer": 42})));
    assert_eq!(scene.call("small_echo", json!({"text": "h\u{e9}\nllo"})).await.text, "h\u{e9}\nllo");
    let large = scene.call("small_large", json!({})).await.text;
    assert!(large.len() < 140_000 && large.ends_with("more bytes]"), "{}", large.len());
    assert!(scene.call("small_none", json!({})).await.text.contains("has no tool"));
    assert_eq!(scene.call("small_complains", json!({})).await.text, "complained", "standard error never blocks it");
    assert_eq!(scene.starts("small"), 1, "one process did all of it");
    scene.close().await;
}

#[tokio::test]
async fn a_process_gets_nothing_of_our_environment() {
    let scene = Scene::small(QUICK, "", "    env:\n      NAMED: \"${GIVEN} it\"\n").await;
    let text = scene.call("small_environment", json!({})).await.text;
    let environment: BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
    let names: Vec<&str> = environment.keys().map(String::as_str).collect();
    // This test's own process has dozens, CARGO_MANIFEST_DIR among them.
    assert_eq!(names, ["HOME", "LANG", "NAMED", "PATH"]);
    assert_eq!(environment["NAMED"], "given it");
    scene.close().await;
}

#[tokio::test]
async fn a_changed_list_is_asked_for_again() {
    let scene = Scene::small(QUICK, "", "").await;
    assert!(!scene.names("small").await.contains(&"small_grown".to_owned()));
    scene.call("small_grows", json!({})).await;
    let begun = Instant::now();
    while !scene.names("small").await.contains(&"small_grown".to_owned()) {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", scene.names("small").await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scene.close().await;
}

#[tokio::test]
async fn nothing_is_started_before_somebody_asks_and_everything_ends_with_us() {
    let scene = Scene::open(QUICK, |folder| small("small", folder, "", "") + &small("stubborn", folder, "--stubborn", "")).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((scene.starts("small"), scene.starts("stubborn")), (0, 0));
    let pid = scene.pid().await;
    let stubborn: Value = serde_json::from_str(&scene.call("stubborn_who", json!({})).await.text).unwrap();
    let stubborn = stubborn["pid"].as_u64().unwrap();
    let grandchild: u64 = scene.call("stubborn_spawns", json!({})).await.text.parse().unwrap();
    assert!(exists(pid) && exists(stubborn) && exists(grandchild));
    let begun = Instant::now();
    scene.outside.close().await;
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    assert!(!exists(pid) && !exists(stubborn), "no process, and no zombie");
    gone(grandchild, Duration::from_secs(2)).await;
    assert_eq!(scene.log("small").last().unwrap(), "left", "it was given the time to leave");
    assert!(scene.names("small").await.is_empty(), "nothing is started again");
    assert_eq!(scene.starts("small"), 1);
}

#[tokio::test]
async fn a_process_ends_when_nobody_closes_its_server() {
    let scene = Scene::small(QUICK, "--stubborn", "").await;
    let pid = scene.pid().await;
    let Scene { outside, sets, .. } = scene;
    drop((outside, sets));
    gone(pid, Duration::from_secs(10)).await;
}

#[tokio::test]
async fn no_outside_tool_can_have_the_name_of_one_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, mut config) = (Clock::system(), Config::from_toml("").unwrap());
    config.storage.path = folder.path().to_owned();
    let ours = Toolbox::open(&Arc::new(config), &clock).unwrap();
    let nobody = context(clock.user_id());
    for set in &ours.tools {
        for tool in set.definitions(&nobody).await.iter() {
            let word = tool.name.split('_').next().unwrap();
            assert!(OWN_WORDS.contains(&word), "add {word:?}, of {}, to OWN_WORDS", tool.name);
        }
    }
    ours.close().await;
}
