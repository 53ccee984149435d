//! The offline model with our own tool sets, as `demo` runs it.

use std::time::Duration;

use scrubjay::domain::endpoint::Endpoint;

use crate::service::bench::{ADA, BEA, Bench, bench};

async fn demo() -> Bench {
    bench(|config| {
        config.endpoints.default = Endpoint::parse("agents").unwrap();
        config.agents.default = Some("agent_scrubjay".parse().unwrap());
        let agent = config.agents.named.values_mut().next().unwrap();
        agent.endpoint = Endpoint::parse("demo").unwrap();
        agent.model.clear();
        config.sms.max_messages = 10;
    })
    .await
}

async fn holds(bench: &Bench, from: &str, text: &str, words: &str) {
    let told = bench.exchange(from, text).await.join(" ");
    assert!(told.contains(words), "{text:?} was answered {told:?}, without {words:?}");
}

#[tokio::test]
async fn the_demo_keeps_a_list_for_each_person() {
    let bench = demo().await;
    holds(&bench, ADA, "what is on my list", "Your list is empty.").await;
    holds(&bench, ADA, "add milk to my list", "\"milk\" is on your list.").await;
    holds(&bench, ADA, "Add eggs to my list!", "\"eggs\" is on your list.").await;
    holds(&bench, BEA, "what's on my list?", "Your list is empty.").await;
    holds(&bench, ADA, "What is on my list?", "On your list: milk, eggs.").await;
    holds(&bench, ADA, "tick off milk", "\"milk\" is ticked off.").await;
    holds(&bench, ADA, "tick off milk", "That did not work").await;
    holds(&bench, ADA, "what is on my list", "On your list: eggs.").await;
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn the_demo_remembers_and_plans_for_each_person() {
    let bench = demo().await;
    holds(&bench, ADA, "remember that my sister is Ada", "I will remember that your sister is Ada.").await;
    holds(&bench, BEA, "what do you know about my sister", "I know nothing about sister.").await;
    bench.exchange(ADA, "/new").await;
    holds(&bench, ADA, "What do you know about my sister?", "This I know: your sister is Ada.").await;
}

#[tokio::test]
async fn the_demo_reminds_when_it_said_it_would() {
    let bench = demo().await;
    holds(&bench, ADA, "hello", "").await;
    holds(&bench, BEA, "hello", "").await;
    holds(&bench, ADA, "remind me in 2 minutes to stretch", "I will remind you in 2 minutes: stretch").await;
    let before = bench.sent();
    bench.clock.advance(Duration::from_mins(2) - Duration::from_millis(1));
    bench.app.drain().await.unwrap();
    assert_eq!(bench.sent(), before, "it is not time yet");
    bench.clock.advance(Duration::from_millis(1));
    bench.app.drain().await.unwrap();
    assert_eq!(bench.sent()[before.len()..], [(ADA.to_owned(), "stretch".to_owned())]);
    // Once, and to whom it was promised.
    bench.clock.advance(Duration::from_hours(48));
    bench.app.drain().await.unwrap();
    assert_eq!(bench.sent().len(), before.len() + 1);
    bench.assert_no_job_left().await;
}
