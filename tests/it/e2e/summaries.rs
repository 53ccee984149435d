//! Long conversations: summarised once a threshold, by whichever program comes first, and whatever is killed meanwhile.

use std::time::Duration;

use super::{SOON, Stage, number};
use crate::support::chance::Chance;
use crate::support::eventually;
use crate::support::home::Settings;
use crate::support::model::{Asked, Reaction};
use crate::support::twilio::Twilio;

/// Messages that a prompt holds, and that one summary covers.
const WINDOW: usize = 8;
const THRESHOLD: usize = 4;

fn settings(settings: Settings) -> Settings {
    let window = i64::try_from(WINDOW).unwrap();
    settings
        .set("conversations.history_messages", window)
        .set("summary.messages", i64::try_from(THRESHOLD).unwrap())
        .set("summary.seconds", 1)
}

fn is_summary(asked: &Asked) -> bool {
    asked.messages[0].content.starts_with("You summarise")
}

/// Every request for a summary so far.
fn summaries(stage: &Stage) -> Vec<Asked> {
    stage.model.asked().into_iter().filter(is_summary).collect()
}

/// The texts that a person is shown to have written, in a request for a summary.
fn covered(asked: &Asked) -> Vec<String> {
    asked.messages[1].content.lines().filter_map(|line| line.strip_prefix("Person: ")).map(str::to_owned).collect()
}

/// Summaries are numbered, and what else is asked is echoed.
fn number_summaries(stage: &Stage) {
    let mut made = 0;
    stage.model.script(move |asked| {
        if is_summary(asked) {
            made += 1;
            Reaction::Say(format!("SUMMARY-{made}"))
        } else {
            Reaction::Echo
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_summarise_each_text_once_and_no_prompt_misses_one() {
    let stage = Stage::with(settings).await;
    number_summaries(&stage);
    let (one, two) = (stage.home.serve().await, stage.home.serve().await);
    let (twilio, chance, anna) = (Twilio::new(), Chance::new(), number(1));
    let texts: Vec<String> = (0..20).map(|index| format!("text {index}")).collect();
    for (index, text) in texts.iter().enumerate() {
        let program = if chance.percent(50) { &one } else { &two };
        twilio.text(program.address, &anna, text).await;
        stage.bodies_to(&anna, index + 1).await;
        // The summary of a turn may still be in the making when the next text comes; mostly it is not.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    // A turn is two messages, so one of four covers six: of 40 messages the first 32 and more are summarised.
    let made = eventually("the last summary", SOON, || async {
        let made = summaries(&stage);
        (made.iter().map(|asked| covered(asked).len()).sum::<usize>() >= (40 - WINDOW) / 2).then_some(made)
    })
    .await;
    assert!(made.iter().all(|asked| asked.body["max_tokens"] == 400), "each is limited to summary.tokens");
    assert!(made.len() <= 40 / THRESHOLD, "asked {} times for 40 messages", made.len());
    let in_summaries: Vec<String> = made.iter().flat_map(covered).collect();
    assert_eq!(in_summaries, texts[..in_summaries.len()], "each text is summarised once and in its order");
    for (index, asked) in made.iter().enumerate().skip(1) {
        assert!(asked.messages[1].content.contains(&format!("SUMMARY-{index}")), "each stands on the one before");
    }
    // The last prompt: the summary that was the newest then, and every text behind those that it covers.
    let last = stage.model.asked().into_iter().rfind(|asked| !is_summary(asked)).unwrap();
    let shown = (1..=made.len()).rfind(|made| last.messages[0].content.contains(&format!("SUMMARY-{made}\n"))).expect("a summary is shown");
    let known: usize = made.iter().take(shown).map(|asked| covered(asked).len()).sum();
    for text in &texts[known..] {
        assert!(last.messages[1..].iter().any(|entry| entry.content == *text), "{text} is neither summarised nor shown");
    }
    // Nobody else's prompt knows of it.
    twilio.text(one.address, &number(2), "who am I?").await;
    stage.bodies_to(&number(2), 1).await;
    let other = stage.model.asked().pop().unwrap();
    assert!(!other.messages.iter().any(|entry| entry.content.contains("SUMMARY")), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_whose_program_died_is_made_by_the_next_one() {
    let stage = Stage::with(settings).await;
    stage.model.script(|asked| if is_summary(asked) { Reaction::Stall } else { Reaction::Echo });
    let product = stage.home.serve().await;
    let (twilio, anna) = (Twilio::new(), number(1));
    for index in 0..6 {
        twilio.text(product.address, &anna, &format!("text {index}")).await;
        stage.bodies_to(&anna, index + 1).await;
    }
    eventually("a request for a summary", SOON, || async { (summaries(&stage).len() == 1).then_some(()) }).await;
    product.kill();
    number_summaries(&stage);
    // Nobody texts: what was begun is taken up again by itself.
    let product = stage.home.serve().await;
    eventually("a second request", SOON, || async { (summaries(&stage).len() == 2).then_some(()) }).await;
    let made = summaries(&stage);
    let (first, second) = (covered(&made[0]), covered(&made[1]));
    assert!(!first.is_empty() && second.starts_with(&first), "{first:?}, then {second:?}");
    twilio.text(product.address, &anna, "and now?").await;
    stage.bodies_to(&anna, 7).await;
    let last = stage.model.asked().into_iter().rfind(|asked| !is_summary(asked)).unwrap();
    assert!(last.messages[0].content.contains("SUMMARY-1"), "{}", last.messages[0].content);
    product.stop().await;
}

/// The store's write lock, as another process would hold it.
fn lock_store(stage: &Stage) -> rusqlite::Connection {
    let db = rusqlite::Connection::open(stage.home.data().join("scrubjay.db")).unwrap();
    db.busy_timeout(SOON).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    db
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_answer_and_the_store_a_summary_is_asked_for_again_and_stored_once() {
    let stage = Stage::with(settings).await;
    stage.model.script(|asked| if is_summary(asked) { Reaction::Stall } else { Reaction::Echo });
    let product = stage.home.serve().await;
    let (twilio, anna) = (Twilio::new(), number(1));
    for index in 0..5 {
        twilio.text(product.address, &anna, &format!("text {index}")).await;
        stage.bodies_to(&anna, index + 1).await;
    }
    eventually("a request for a summary", SOON, || async { (stage.model.held() == 1).then_some(()) }).await;
    // Nothing can be stored while the model answers; then the program is killed.
    let locked = lock_store(&stage);
    stage.model.release();
    eventually("the model's answer", SOON, || async { (stage.model.held() == 0).then_some(()) }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    product.kill();
    drop(locked);
    number_summaries(&stage);
    let (one, two) = (stage.home.serve().await, stage.home.serve().await);
    eventually("a second request", SOON, || async { (summaries(&stage).len() == 2).then_some(()) }).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let made = summaries(&stage);
    assert_eq!(made.len(), 2, "one of two programs takes it up");
    assert_eq!(covered(&made[0]), covered(&made[1]));
    twilio.text(one.address, &anna, "and now?").await;
    stage.bodies_to(&anna, 6).await;
    let last = stage.model.asked().into_iter().rfind(|asked| !is_summary(asked)).unwrap();
    assert!(last.messages[0].content.contains("SUMMARY-1\n"), "{}", last.messages[0].content);
    drop(two);
}
