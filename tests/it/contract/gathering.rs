//! Several texts, one turn: what joins, what does not, and when it is due.

use scrubjay::domain::delivery::ReplyRoute;
use scrubjay::domain::turn::Refusal;
use scrubjay::store::{Action, Consent, ConversationTarget, NewInbound};

use super::fixture::{ANN, Fixture, no_limits, owner};

/// What each step does, at how many milliseconds, and whose turn it is expected to be in (turns numbered from 0).
struct Step {
    at: u64,
    what: What,
    turn: usize,
}

#[derive(Clone, Copy)]
enum What {
    Gathered,
    OtherRoute,
    Alone,
    Recorded,
    Begin,
}

const fn step(at: u64, what: What, turn: usize) -> Step {
    Step { at, what, turn }
}

pub(super) async fn texts_join_by_the_table(any: Fixture) {
    use What::{Alone, Begin, Gathered, OtherRoute, Recorded};
    // Each row: the steps, and when each turn is due.
    let table: &[(&str, &[Step], &[u128])] = &[
        ("one text waits for the next", &[step(0, Gathered, 0)], &[1_500]),
        ("within the wait", &[step(0, Gathered, 0), step(1_000, Gathered, 0), step(2_500, Gathered, 0)], &[4_000]),
        ("after the wait", &[step(0, Gathered, 0), step(1_501, Gathered, 1)], &[1_500, 3_001]),
        (
            "no longer than the longest wait",
            &[
                step(0, Gathered, 0),
                step(1_500, Gathered, 0),
                step(3_000, Gathered, 0),
                step(4_500, Gathered, 0),
                step(6_000, Gathered, 0),
                step(7_500, Gathered, 0),
                step(9_000, Gathered, 0),
                step(10_001, Gathered, 1),
            ],
            &[10_000, 11_501],
        ),
        ("another way back", &[step(0, Gathered, 0), step(100, OtherRoute, 1), step(200, Gathered, 2)], &[1_500, 1_600, 1_700]),
        ("alone ends the gathering", &[step(0, Gathered, 0), step(100, Alone, 1), step(200, Gathered, 2)], &[100, 100, 1_700]),
        ("a record ends it too", &[step(0, Gathered, 0), step(100, Recorded, 1)], &[100, 100]),
        ("a turn that has begun takes no more", &[step(0, Gathered, 0), step(1_500, Begin, 0), step(1_500, Gathered, 1)], &[1_500, 3_000]),
    ];
    for (name, steps, due) in table {
        let f = any.fresh();
        let mut turns = Vec::new();
        let mut now = 0;
        for step in *steps {
            f.advance(step.at - now);
            now = step.at;
            let mut text = f.gathered(ANN, "x");
            match step.what {
                Gathered => {}
                OtherRoute => text.route = Some(ReplyRoute { gateway: "twilio".to_owned(), from: "+15559990001".to_owned() }),
                Alone => text.action = Action::Reply { debounce: None },
                Recorded => text.action = Action::Record { reason: Refusal::TooOld },
                Begin => {
                    f.lease_one().await;
                    continue;
                }
            }
            let turn = f.stored(text).await.turn_id;
            if turns.len() == step.turn {
                turns.push(turn);
            }
            assert_eq!(turns.get(step.turn), Some(&turn), "{name}: the text at {} ms", step.at);
        }
        let jobs = f.store.list_jobs(scrubjay::store::JobFilter::All, scrubjay::store::PageRequest::first(20)).await.unwrap().items;
        let found: Vec<u128> = jobs.iter().map(|job| job.due.since(super::fixture::NOON).as_millis()).collect();
        assert_eq!(found, *due, "{name}: when the turns are due");
    }
}

pub(super) async fn gathered_texts_are_one_turn_in_their_order(f: Fixture) {
    for text in ["one", "two", "three"] {
        f.stored(f.gathered(ANN, text)).await;
        f.advance(500);
    }
    assert!(f.lease().await.is_empty(), "it still gathers");
    let waiting = f.store.lease_turns(&owner(), 10, &no_limits()).await.unwrap();
    assert_eq!(waiting.next_due, Some(f.clock.now().after(std::time::Duration::from_secs(1))));
    f.advance(1_000);
    let turn = f.lease_one().await;
    assert_eq!(turn.texts.iter().map(|text| text.text.as_str()).collect::<Vec<_>>(), ["one", "two", "three"]);
    assert_eq!(turn.texts.iter().map(|text| text.sequence).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
    f.answer(&turn, "all three").await;
    f.assert_chain(turn.user.id, turn.conversation.id).await;
}

pub(super) async fn a_text_of_another_conversation_does_not_join(f: Fixture) {
    let first = f.stored(f.gathered(ANN, "by phone")).await;
    let other = f.gathered(ANN, "of another source");
    let other = f.stored(NewInbound { source: "kiosk".to_owned(), ..other }).await;
    assert_ne!(first.conversation_id, other.conversation_id);
    assert_ne!(first.turn_id, other.turn_id);
    let mut back = f.gathered(ANN, "back");
    back.conversation = ConversationTarget::Exactly(first.conversation_id);
    assert_ne!(f.stored(back).await.turn_id, first.turn_id, "it would overtake what came between");
}

pub(super) async fn a_consent_word_does_not_wait_for_what_gathers(f: Fixture) {
    let receipt = f.stored(f.gathered(ANN, "tell me")).await;
    f.advance(200);
    let stop = f.text(ANN, "STOP");
    f.stored(NewInbound { action: Action::Consent { consent: Consent::OptOut, said_at: f.clock.now(), confirmation: None }, ..stop }).await;
    let turn = f.lease_one().await;
    assert_eq!(turn.lease.turn_id, receipt.turn_id, "the text before it is due at once");
    f.answer(&turn, "too late to send").await;
    f.drain().await;
    assert_eq!(f.said(receipt).await, ["tell me", "too late to send", "STOP"]);
    assert!(f.send_all().await.is_empty());
}
