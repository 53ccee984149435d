//! Use cases in this process: the real store, the offline model, a gateway that only remembers, and a clock that tests move.

mod agents;
mod backups;
mod bench;
mod schedules;
mod stood_still;
mod summaries;
mod words;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use scrubjay::config::sections::{Admission, ApiDelivery};
use scrubjay::domain::delivery::{DeliveryStatus, OutboundState};
use scrubjay::domain::ledger::Credits;
use scrubjay::domain::message::{CallerMetadata, CarrierConsent, InboundMessage};
use scrubjay::domain::turn::{Refusal, TurnEnd, TurnRequest};
use scrubjay::gateway::{Gateway, SendError, Sent};
use scrubjay::service::people::UserName;
use scrubjay::service::receive::{ApiMessage, CarrierConfirms, Received};
use scrubjay::store::{ApiRepeat, JobFilter, MessageFilter, PageRequest};

use bench::{ADA, BEA, Bench, bench, number};

#[tokio::test]
async fn a_text_is_answered_once_and_a_repeat_changes_nothing() {
    let bench = bench(|_| {}).await;
    let sms = bench.sms(ADA, "hello");
    let Received::Stored { receipt, repeat: false, .. } = bench.app.receiver.receive_sms(sms.clone(), CarrierConfirms::No).await.unwrap()
    else {
        panic!("not stored")
    };
    assert!(receipt.is_new_user);
    let again = bench.app.receiver.receive_sms(sms, CarrierConfirms::No).await.unwrap();
    assert_eq!(again, Received::Stored { receipt, repeat: true, end: None });
    bench.app.drain().await.unwrap();
    assert_eq!(bench.sent().len(), 1);
    assert_eq!(bench.sent()[0].0, ADA);
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn a_stranger_under_an_allowlist_leaves_no_trace_but_their_stop_holds() {
    let bench = bench(|config| {
        config.people.admission = Admission::Allowlist;
        config.people.allow = vec!["(555) 010-0001".to_owned()];
    })
    .await;
    assert_eq!(bench.text(BEA, "hello").await, Received::NotAdmitted);
    assert_eq!(bench.text(BEA, "stop").await, Received::NotAdmitted);
    assert!(bench.app.people.list(PageRequest::first(10)).await.unwrap().items.is_empty());
    assert!(matches!(bench.text(ADA, "hello").await, Received::Stored { .. }));
    bench.app.drain().await.unwrap();
    assert_eq!(bench.sent().len(), 1);
}

#[tokio::test]
async fn whoever_cannot_pay_is_told_once_a_day_and_the_model_is_not_asked() {
    let bench = bench(|config| {
        config.balance.enabled = true;
        config.balance.start_credits = 10;
        config.balance.refill_credits = 0;
        let demo = config.endpoints.named.get_mut("demo").unwrap();
        demo.prompt_token_credits = 1.0;
        demo.completion_token_credits = 1.0;
    })
    .await;
    let first = bench.exchange(ADA, "hello").await;
    assert_eq!(first.len(), 1);
    assert!(first[0].contains("out of credit"), "{first:?}");
    assert!(bench.exchange(ADA, "hello again").await.is_empty());
    assert_eq!(bench.balance(ADA).await, Some(Credits(10)));
    bench.clock.advance(Duration::from_hours(24));
    assert_eq!(bench.exchange(ADA, "and today?").await.len(), 1);
    // Words are obeyed without credit.
    assert_eq!(bench.exchange(ADA, "/balance").await, ["You have 10 credits."]);
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn an_answer_is_charged_by_tokens_and_segments_and_a_refill_comes() {
    let bench = bench(|config| {
        config.balance.enabled = true;
        config.balance.start_credits = 100_000;
        config.balance.refill_credits = 500;
        config.balance.refill_hours = 1;
        config.balance.segment_credits = 1_000;
        let demo = config.endpoints.named.get_mut("demo").unwrap();
        demo.prompt_token_credits = 1.0;
        demo.completion_token_credits = 2.0;
    })
    .await;
    let replies = bench.exchange(ADA, "hello").await;
    assert_eq!(replies.len(), 1);
    let Credits(after) = bench.balance(ADA).await.unwrap();
    // One segment or more, some tokens, and nothing of the reservation left behind.
    assert!((90_000..=99_000).contains(&after), "{after}");
    bench.clock.advance(Duration::from_hours(1));
    bench.exchange(ADA, "hello").await;
    let Credits(later) = bench.balance(ADA).await.unwrap();
    assert!(later > after - 10_000 + 500 && later < after + 500, "{later} after {after}");
}

#[tokio::test]
async fn a_days_turns_are_limited_for_one_and_for_all() {
    let bench = bench(|config| {
        config.limits.turns_per_day = 2;
        config.limits.turns_per_day_all = 3;
    })
    .await;
    for _ in 0..2 {
        assert_eq!(bench.exchange(ADA, "hello").await.len(), 1);
    }
    let over = bench.exchange(ADA, "hello").await;
    assert!(over[0].contains("today's limit"), "{over:?}");
    assert!(bench.exchange(ADA, "hello").await.is_empty());
    assert_eq!(bench.exchange(BEA, "hello").await.len(), 1);
    let over = bench.exchange(BEA, "hello").await;
    assert!(over[0].contains("its limit for today"), "{over:?}");
    bench.clock.advance(Duration::from_hours(24));
    assert_eq!(bench.exchange(ADA, "hello").await.len(), 1);
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn stop_withdraws_what_was_to_be_sent_and_start_brings_the_answers_back() {
    let bench = bench(|_| {}).await;
    // The reply is made, and the carrier is busy: it is still to be sent when STOP arrives.
    bench.carrier.failures.lock().unwrap().push(SendError::Retry { reason: "busy".to_owned(), after: None });
    assert!(bench.exchange(ADA, "hello").await.is_empty());
    let confirmation = bench.exchange(ADA, "Stop").await;
    assert_eq!(confirmation.len(), 1);
    assert!(confirmation[0].contains("no more texts"));
    bench.clock.advance(Duration::from_mins(10));
    assert!(bench.exchange(ADA, "anybody there?").await.is_empty());
    assert!(bench.exchange(ADA, "help").await.is_empty());
    let back = bench.exchange(ADA, "yes").await;
    assert!(back[0].contains("Welcome back"), "{back:?}");
    assert_eq!(bench.exchange(ADA, "hello").await.len(), 1);
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn an_answer_that_was_being_made_when_stop_came_is_not_sent() {
    let bench = bench(|_| {}).await;
    bench.text(ADA, "hello").await;
    bench.text(ADA, "stop").await;
    bench.app.drain().await.unwrap();
    let sent = bench.sent();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].1.contains("no more texts"));
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn where_the_carrier_confirms_consent_we_do_not() {
    let bench = bench(|_| {}).await;
    for (text, consent) in
        [("stop", Some(CarrierConsent::Stop)), ("start", Some(CarrierConsent::Start)), ("help", Some(CarrierConsent::Help))]
    {
        let sms = InboundMessage { opt_out: consent, ..bench.sms(ADA, text) };
        bench.app.receiver.receive_sms(sms, CarrierConfirms::No).await.unwrap();
    }
    bench.app.receiver.receive_sms(bench.sms(ADA, "stop"), CarrierConfirms::Yes).await.unwrap();
    bench.app.drain().await.unwrap();
    assert!(bench.sent().is_empty());
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn a_long_reply_comes_in_parts_and_more_brings_the_rest() {
    let bench = bench(|config| {
        config.sms.segments_per_message = 1;
        config.sms.max_messages = 2;
    })
    .await;
    let first = bench.exchange(ADA, "Tell me a long story").await;
    assert_eq!(first.len(), 2, "{first:?}");
    assert!(first[1].contains("MORE"), "{first:?}");
    let rest = bench.exchange(ADA, "more").await;
    assert!(!rest.is_empty());
    for _ in 0..50 {
        if bench.exchange(ADA, "more").await == ["There is nothing more to send."] {
            bench.assert_no_job_left().await;
            return;
        }
    }
    panic!("the story has no end");
}

#[tokio::test]
async fn new_begins_a_new_conversation_and_days_of_silence_do_too() {
    let bench = bench(|_| {}).await;
    let conversation = |received: Received| match received {
        Received::Stored { receipt, .. } => receipt.conversation_id,
        other => panic!("{other:?}"),
    };
    let first = conversation(bench.text(ADA, "hello").await);
    assert_eq!(conversation(bench.text(ADA, "/new").await), first);
    let second = conversation(bench.text(ADA, "hello").await);
    assert_ne!(second, first);
    bench.clock.advance(Duration::from_hours(144));
    assert_eq!(conversation(bench.text(ADA, "still there?").await), second);
    bench.clock.advance(Duration::from_secs(7 * 86_400 + 1));
    assert_ne!(conversation(bench.text(ADA, "and now?").await), second);
    bench.app.drain().await.unwrap();
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn texts_found_too_late_are_stored_and_not_answered() {
    let bench = bench(|_| {}).await;
    let sent_at = Some(bench.clock.now().before(Duration::from_hours(25)));
    let sms = InboundMessage { sent_at, ..bench.sms(ADA, "yesterday") };
    let received = bench.app.receiver.receive_sms(sms, CarrierConfirms::No).await.unwrap();
    assert!(matches!(received, Received::Stored { end: Some(TurnEnd::Refused(Refusal::TooOld)), .. }), "{received:?}");
    bench.app.drain().await.unwrap();
    assert!(bench.sent().is_empty());
    let ada = bench.app.people.get(&UserName::Phone(number(ADA))).await.unwrap();
    assert_eq!(bench.app.conversations.messages(ada.id, MessageFilter::default(), PageRequest::first(10)).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_turn_left_lying_for_hours_is_not_paid_for() {
    let bench = bench(|_| {}).await;
    bench.text(ADA, "hello").await;
    bench.clock.advance(Duration::from_hours(4));
    bench.app.drain().await.unwrap();
    assert!(bench.sent().is_empty());
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn catch_up_takes_in_what_was_missed_once_and_nothing_from_before_the_first_look() {
    let bench = bench(|_| {}).await;
    let at = |bench: &Bench, text: &str| InboundMessage { sent_at: Some(bench.clock.now()), ..bench.sms(ADA, text) };
    bench.carrier.missed.lock().unwrap().push(at(&bench, "answered by the system before"));
    bench.clock.advance(Duration::from_mins(1));
    let catch_up =
        scrubjay::service::catch_up::CatchUp::new(Arc::clone(&bench.store), bench.clock.clone(), Arc::clone(&bench.app.receiver));
    let gateway = Arc::clone(&bench.carrier) as Arc<dyn Gateway>;
    assert_eq!(catch_up.look(&gateway).await.unwrap(), 0);
    bench.clock.advance(Duration::from_mins(5));
    bench.carrier.missed.lock().unwrap().push(at(&bench, "missed"));
    assert_eq!(catch_up.look(&gateway).await.unwrap(), 1);
    assert_eq!(catch_up.look(&gateway).await.unwrap(), 0);
    bench.app.drain().await.unwrap();
    assert_eq!(bench.sent().len(), 1);
}

#[tokio::test]
async fn a_message_that_was_perhaps_sent_is_looked_up_before_it_is_sent_again() {
    let bench = bench(|_| {}).await;
    let ambiguous = || SendError::Ambiguous { reason: "the connection broke".to_owned() };
    // Found at the first look: sent once, by the attempt that seemed to fail.
    bench.carrier.failures.lock().unwrap().push(ambiguous());
    bench.carrier.found.lock().unwrap().push(Some(Sent { gateway_message_id: "SMfound".to_owned(), status: DeliveryStatus::Sent }));
    assert!(bench.exchange(ADA, "hello").await.is_empty());
    bench.clock.advance(Duration::from_secs(5));
    bench.app.drain().await.unwrap();
    assert!(bench.sent().is_empty());
    let ada = bench.app.people.get(&UserName::Phone(number(ADA))).await.unwrap();
    let outbound = bench.store.list_outbound(ada.id, 10).await.unwrap();
    assert_eq!(outbound[0].state, OutboundState::Accepted);
    assert_eq!(outbound[0].gateway_message_id.as_deref(), Some("SMfound"));

    // Found by neither look: sent again.
    bench.carrier.failures.lock().unwrap().push(ambiguous());
    assert!(bench.exchange(ADA, "hello").await.is_empty());
    for seconds in [5, 24] {
        bench.clock.advance(Duration::from_secs(seconds));
        bench.app.drain().await.unwrap();
        assert!(bench.sent().is_empty());
    }
    bench.clock.advance(Duration::from_secs(2));
    bench.app.drain().await.unwrap();
    assert_eq!(bench.sent().len(), 1);
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn an_account_that_cannot_send_turns_readiness_red_until_it_can() {
    let bench = bench(|_| {}).await;
    bench.carrier.failures.lock().unwrap().push(SendError::Stopped { reason: "20003 authentication failed".to_owned() });
    assert!(bench.exchange(ADA, "hello").await.is_empty());
    assert!(!bench.app.health.readiness().await.ready);
    bench.clock.advance(Duration::from_secs(61));
    bench.app.drain().await.unwrap();
    assert_eq!(bench.sent().len(), 1);
    assert!(bench.app.health.readiness().await.ready);
}

#[tokio::test]
async fn a_refused_message_is_a_dead_letter_that_can_be_replayed() {
    let bench = bench(|_| {}).await;
    bench.carrier.failures.lock().unwrap().push(SendError::Refused { reason: "21211 not a number".to_owned() });
    assert!(bench.exchange(ADA, "hello").await.is_empty());
    let jobs = bench.app.jobs.list(JobFilter::Unfinished, PageRequest::first(10)).await.unwrap().items;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].state, scrubjay::domain::job::JobState::Dead);
    assert_eq!(jobs[0].error.as_deref(), Some("21211 not a number"));
    bench.app.jobs.replay(jobs[0].id).await.unwrap();
    bench.app.drain().await.unwrap();
    assert_eq!(bench.sent().len(), 1);
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn the_carriers_word_that_somebody_opted_out_is_recorded() {
    let bench = bench(|_| {}).await;
    bench.carrier.failures.lock().unwrap().push(SendError::OptedOut { reason: "21610".to_owned() });
    assert!(bench.exchange(ADA, "hello").await.is_empty());
    assert!(bench.exchange(ADA, "hello?").await.is_empty());
    assert_eq!(bench.exchange(ADA, "start").await.len(), 1);
}

#[tokio::test]
async fn the_api_is_answered_in_its_answer_and_texted_only_when_asked_to() {
    let silent = bench(|_| {}).await;
    let Received::Stored { receipt, .. } = silent.api(ADA, "hello").await else { panic!("not stored") };
    silent.app.drain().await.unwrap();
    assert!(silent.sent().is_empty());
    let turn = silent.store.find_turn(receipt.user_id, receipt.turn_id).await.unwrap().unwrap();
    assert!(matches!(turn.end, Some(TurnEnd::Answered(Some(_)))), "{turn:?}");
    // A consent word counts, and has no reply.
    assert!(matches!(silent.api(ADA, "stop").await, Received::Stored { end: Some(TurnEnd::Answered(None)), .. }));

    let texting = bench(|config| {
        config.external_api.deliver = ApiDelivery::Sms;
        config.gateways.twilio.account_sid = "AC0".to_owned();
        config.gateways.twilio.phone_number = "+15550009999".to_owned();
    })
    .await;
    texting.api(ADA, "hello").await;
    texting.app.drain().await.unwrap();
    assert_eq!(texting.sent().len(), 1);
}

#[tokio::test]
async fn rapid_texts_are_one_turn_and_a_command_does_not_wait_for_them() {
    let bench = bench(|config| {
        config.conversations.debounce_ms = 1_500;
        config.conversations.debounce_max_ms = 10_000;
    })
    .await;
    bench.text(ADA, "my name").await;
    bench.clock.advance(Duration::from_secs(1));
    bench.text(ADA, "is Ada").await;
    bench.app.drain().await.unwrap();
    assert!(bench.sent().is_empty());
    bench.text(ADA, "help").await;
    bench.app.drain().await.unwrap();
    let sent: Vec<String> = bench.sent().into_iter().map(|(_, body)| body).collect();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent.iter().any(|text| text.contains("AI assistant")), "{sent:?}");
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn a_carrier_that_refuses_the_account_is_tried_by_one_message_a_minute() {
    let bench = bench(|_| {}).await;
    bench.carrier.refuses.store(true, Ordering::SeqCst);
    for person in 1..=9 {
        bench.text(&format!("+1555010001{person}"), "hello").await;
    }
    let tries = || bench.carrier.tries.load(Ordering::SeqCst);
    // Those that were under way together when the first was refused.
    bench.app.drain().await.unwrap();
    for minute in 1..=3 {
        let before = tries();
        bench.clock.advance(Duration::from_secs(61));
        bench.app.drain().await.unwrap();
        assert_eq!(tries(), before + 1, "in minute {minute}");
    }
    bench.carrier.refuses.store(false, Ordering::SeqCst);
    for _ in 0..3 {
        bench.clock.advance(Duration::from_secs(61));
        bench.app.drain().await.unwrap();
    }
    assert_eq!(bench.sent().len(), 9);
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn a_word_found_late_does_not_undo_a_later_one() {
    let bench = bench(|_| {}).await;
    let at = |seconds_ago: u64, text: &str| {
        let sent_at = Some(bench.clock.now().before(Duration::from_secs(seconds_ago)));
        InboundMessage { sent_at, ..bench.sms(ADA, text) }
    };
    for text in [at(60, "stop"), at(120, "start"), at(0, "hello")] {
        bench.app.receiver.receive_sms(text, CarrierConfirms::Yes).await.unwrap();
    }
    bench.app.drain().await.unwrap();
    assert!(bench.sent().is_empty());
}

#[tokio::test]
async fn a_text_too_long_is_stored_and_its_sender_told() {
    let bench = bench(|config| config.limits.text_characters = 20).await;
    let told = bench.exchange(ADA, "this is longer than twenty characters").await;
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("at most 20 characters"), "{told:?}");
    assert_eq!(bench.api(ADA, "this is longer than twenty characters").await, Received::TooLong);
    assert_eq!(bench.app.people.get(&UserName::Phone(number(ADA))).await.unwrap().message_count, 1);
}

#[tokio::test]
async fn words_are_no_part_of_what_a_prompt_recalls() {
    let bench = bench(|_| {}).await;
    bench.exchange(ADA, "stop").await;
    bench.exchange(ADA, "start").await;
    bench.exchange(ADA, "help").await;
    bench.exchange(ADA, "my name is Ada").await;
    let ada = bench.app.people.get(&UserName::Phone(number(ADA))).await.unwrap();
    let conversation = bench.app.conversations.list(ada.id, PageRequest::first(1)).await.unwrap().items.remove(0);
    let recalled = bench.store.recent_messages(ada.id, conversation.id, i64::MAX, 10).await.unwrap().messages;
    let texts: Vec<&str> = recalled.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts.first(), Some(&"my name is Ada"), "{texts:?}");
    assert_eq!(texts.len(), 2);
}

#[tokio::test]
async fn a_repeat_costs_nothing_of_the_rate_and_gets_its_first_answer() {
    let bench = bench(|config| config.external_api.messages_per_minute = 1).await;
    let message = || ApiMessage {
        turn_id: bench.clock.turn_id(),
        phone: number(ADA),
        text: "hello".to_owned(),
        attachments: Vec::new(),
        conversation_id: None,
        source: None,
        title: None,
        request: TurnRequest::default(),
        metadata: CallerMetadata::new(),
        repeat: Some(ApiRepeat { key: "once".to_owned(), fingerprint: [7; 32] }),
    };
    assert!(matches!(bench.app.receiver.receive_api(message()).await.unwrap(), Received::Stored { repeat: false, .. }));
    for _ in 0..3 {
        assert!(matches!(bench.app.receiver.receive_api(message()).await.unwrap(), Received::Stored { repeat: true, .. }));
    }
    assert_eq!(bench.api(ADA, "another").await, Received::TooMany);
}

#[tokio::test]
async fn a_stop_still_sends_what_was_answered() {
    let bench = bench(|_| {}).await;
    bench.text(ADA, "hello").await;
    let stop = scrubjay::lifecycle::Stop::default();
    let workers = bench.app.run_workers(&stop);
    tokio::pin!(workers);
    // The turn begins, and the drain with it.
    while bench
        .app
        .jobs
        .list(JobFilter::Unfinished, PageRequest::first(1))
        .await
        .unwrap()
        .items
        .first()
        .is_some_and(|job| job.attempts == 0)
        && futures::poll!(&mut workers).is_pending()
    {
        tokio::task::yield_now().await;
        stop.drain.cancel();
    }
    tokio::time::timeout(Duration::from_secs(20), workers).await.unwrap();
    let left = bench.app.jobs.list(JobFilter::Unfinished, PageRequest::first(10)).await.unwrap().items;
    // Either it had not begun and waits whole, or it was answered and sent.
    let answered = left.is_empty();
    assert_eq!(bench.sent().len(), usize::from(answered), "{left:?}");
}
