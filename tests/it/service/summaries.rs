//! A long conversation with the offline model, whose window holds little.

use std::time::Duration;

use scrubjay::domain::endpoint::Endpoint;
use scrubjay::domain::ledger::Credits;
use scrubjay::lifecycle::Stop;
use scrubjay::service::people::UserName;
use scrubjay::store::{PageRequest, Summary};

use super::bench::{ADA, BEA, Bench, bench, number};
use crate::support::eventually;
use crate::support::model::{Asked, ModelServer, Reaction};

const SOON: Duration = Duration::from_secs(30);

async fn summary(bench: &Bench, of: &str) -> Option<Summary> {
    let user = bench.app.people.get(&UserName::Phone(number(of))).await.unwrap();
    let conversation = bench.app.conversations.list(user.id, PageRequest::first(1)).await.unwrap().items.remove(0);
    bench.store.recent_messages(user.id, conversation.id, i64::MAX, 1).await.unwrap().summary
}

#[tokio::test]
async fn what_left_the_window_comes_back_in_the_summary() {
    let bench = bench(|config| {
        config.conversations.history_messages = 6;
        config.summary.messages = 4;
    })
    .await;
    bench.exchange(ADA, "my name is Ada").await;
    bench.exchange(BEA, "my name is Bea").await;
    for count in 0..4 {
        bench.exchange(ADA, &format!("say {count}")).await;
    }
    let made = summary(&bench, ADA).await.expect("a summary");
    assert!(made.text.contains("- my name is Ada") && !made.text.contains("Bea"), "{made:?}");
    assert!(made.up_to_sequence >= 4, "{made:?}");
    for count in 4..12 {
        bench.exchange(ADA, &format!("say {count}")).await;
    }
    let later = summary(&bench, ADA).await.unwrap();
    assert!(later.up_to_sequence > made.up_to_sequence, "{later:?}");
    assert_eq!(bench.exchange(ADA, "what is my name?").await, ["Your name is Ada."], "from the summary: the text is long gone");
    assert_eq!(summary(&bench, BEA).await, None);
    // A new conversation knows nothing of it.
    bench.exchange(ADA, "/new").await;
    assert!(bench.exchange(ADA, "what is my name?").await[0].contains("not told me"));
}

#[tokio::test]
async fn switched_off_nothing_is_made_and_nothing_shown() {
    let bench = bench(|config| {
        config.conversations.history_messages = 4;
        config.summary.messages = 2;
        config.summary.enabled = false;
    })
    .await;
    bench.exchange(ADA, "my name is Ada").await;
    for count in 0..6 {
        bench.exchange(ADA, &format!("say {count}")).await;
    }
    assert_eq!(summary(&bench, ADA).await, None);
    assert!(bench.exchange(ADA, "what is my name?").await[0].contains("not told me"));
}

#[tokio::test]
async fn a_summary_is_paid_for_by_whom_it_serves_and_not_made_on_credit() {
    let talk = async |summaries: bool, tokens: usize| {
        let bench = bench(|config| {
            config.conversations.history_messages = 4;
            config.summary.messages = 4;
            config.summary.enabled = summaries;
            config.summary.tokens = tokens;
            config.balance.enabled = true;
            config.balance.start_credits = 10_000;
            config.prompt.system = "Be brief.".to_owned();
            let demo = config.endpoints.named.get_mut("demo").unwrap();
            demo.prompt_token_credits = 1.0;
            demo.completion_token_credits = 1.0;
        })
        .await;
        for count in 0..4 {
            bench.exchange(ADA, &format!("say {count}")).await;
        }
        (bench.balance(ADA).await.unwrap(), summary(&bench, ADA).await, bench)
    };
    let (Credits(with), made, bench) = talk(true, 400).await;
    let (Credits(without), none, _) = talk(false, 400).await;
    assert_eq!(none, None);
    assert!(with < without, "{with} credits are left with a summary, {without} without");
    assert!(!made.unwrap().text.is_empty());
    bench.exchange(ADA, "/status").await;
    assert_eq!(bench.balance(ADA).await, Some(Credits(with)), "once");
    // More than there is, though the turns themselves can be paid for.
    let (_, poor, _) = talk(true, 10_000).await;
    assert_eq!(poor, None, "a summary was made on credit");
}

/// More people than summaries are made at the same time.
const TALKERS: usize = 6;

#[tokio::test]
async fn what_is_begun_or_waits_at_a_stop_is_made_by_the_next_run_and_once() {
    let model = ModelServer::start().await;
    let bench = bench(|config| {
        config.conversations.history_messages = 4;
        config.summary.messages = 4;
        config.endpoints.default = Endpoint::parse("openAI").unwrap();
        let endpoint = config.endpoints.named.get_mut("openAI").unwrap();
        (endpoint.base_url, endpoint.default_model) = (model.base_url(), "test-model".to_owned());
    })
    .await;
    let is_summary = |asked: &Asked| asked.messages[0].content.starts_with("You summarise");
    model.script(move |asked| if is_summary(asked) { Reaction::Stall } else { Reaction::Echo });
    let people: Vec<String> = (0..TALKERS).map(|person| format!("+1555010{:04}", 100 + person)).collect();

    // The model is asked for some summaries and does not answer; others wait for that.
    let stop = Stop::default();
    let talk = async {
        for round in 1..=4 {
            for person in &people {
                bench.text(person, &format!("text {round}")).await;
            }
            eventually("every answer", SOON, || async { (bench.sent().len() == round * TALKERS).then_some(()) }).await;
        }
        eventually("summaries in the making", SOON, || async { (model.held() > 0).then_some(()) }).await;
        assert!(model.held() < TALKERS, "none of them waits");
        stop.drain.cancel();
    };
    tokio::join!(bench.app.run_workers(&stop), talk);
    let begun = model.asked().iter().filter(|asked| is_summary(asked)).count();
    let left = bench.store.list_lapsed_summaries(1, 100).await.unwrap();
    assert_eq!(left.len(), TALKERS, "each is left to others, and none of these attempts counts: {left:?}");

    // Nobody texts: the next run finds them.
    model.script(move |asked| if is_summary(asked) { Reaction::Say("SUMMARY".to_owned()) } else { Reaction::Echo });
    let (stop, all) = (Stop::default(), || async {
        for person in &people {
            summary(&bench, person).await.filter(|summary| summary.text == "SUMMARY")?;
        }
        Some(())
    });
    let wait = async {
        eventually("all summaries", SOON, all).await;
        stop.drain.cancel();
    };
    tokio::join!(bench.app.run_workers(&stop), wait);
    assert_eq!(model.asked().iter().filter(|asked| is_summary(asked)).count(), begun + TALKERS, "each was asked for once more");
    assert_eq!(bench.store.list_lapsed_summaries(u32::MAX, 100).await.unwrap(), []);
}
