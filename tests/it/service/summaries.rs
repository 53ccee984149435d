//! A long conversation with the offline model, whose window holds little.

use scrubjay::domain::ledger::Credits;
use scrubjay::service::people::UserName;
use scrubjay::store::{PageRequest, Summary};

use super::bench::{ADA, BEA, Bench, bench, number};

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
