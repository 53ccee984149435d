//! Random orders of everything that happens to turns, and what holds in all of them.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use scrubjay::domain::message::Role;
use scrubjay::domain::turn::LeasedTurn;
use scrubjay::store::{JobFilter, NewInbound, PageRequest, StoreError, TurnRelease};

use super::fixture::{ANN, BOB, Fixture, no_limits, other_owner, owner};

#[derive(Debug, Clone)]
enum Step {
    Text {
        bob: bool,
        gathered: bool,
        kiosk: bool,
    },
    Lease {
        other: bool,
        limit: usize,
    },
    Answer,
    Retry,
    Dead,
    GiveBack,
    /// The process dies with what it holds.
    Crash,
    Wait(u16),
    Repeat,
    Replay,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(bob, gathered, kiosk)| Step::Text { bob, gathered, kiosk }),
        5 => (any::<bool>(), 1_usize..4).prop_map(|(other, limit)| Step::Lease { other, limit }),
        5 => Just(Step::Answer),
        1 => Just(Step::Retry),
        1 => Just(Step::Dead),
        1 => Just(Step::GiveBack),
        1 => Just(Step::Crash),
        3 => (1_u16..16_000).prop_map(Step::Wait),
        1 => Just(Step::Repeat),
        1 => Just(Step::Replay),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What the test knows: who holds what by its own reckoning.
#[derive(Default)]
struct Known {
    held: Vec<(LeasedTurn, u64)>,
    stored: Vec<NewInbound>,
    answered: HashSet<scrubjay::domain::ids::TurnId>,
    now: u64,
}

async fn take(f: &Fixture, known: &mut Known, step: Step) {
    match step {
        Step::Text { bob, gathered, kiosk } => {
            let from = if bob { BOB } else { ANN };
            let mut text = if gathered { f.gathered(from, "x") } else { f.text(from, "x") };
            text.text = known.stored.len().to_string();
            if kiosk {
                "kiosk".clone_into(&mut text.source);
            }
            f.stored(text.clone()).await;
            known.stored.push(text);
        }
        Step::Lease { other, limit } => {
            let owner = if other { other_owner() } else { owner() };
            for turn in f.store.lease_turns(&owner, limit, &no_limits()).await.unwrap().work {
                let live = known.held.iter().any(|(held, until)| held.user.id == turn.user.id && known.now < *until);
                assert!(!live, "a lane has one holder");
                assert!(!known.answered.contains(&turn.lease.turn_id), "an answered turn does not come back");
                known.held.retain(|(held, _until)| held.user.id != turn.user.id);
                known.held.push((turn, known.now + 15_000));
            }
        }
        Step::Answer => {
            if let Some((turn, until)) = known.held.pop() {
                match f.store.complete_turn(&turn.lease, f.answered("reply", &[])).await {
                    Ok(_) => assert!(known.answered.insert(turn.lease.turn_id), "answered twice"),
                    Err(StoreError::LeaseLost) => assert!(known.now >= until, "a live lease was lost"),
                    Err(error) => panic!("{error}"),
                }
            }
        }
        Step::Retry | Step::Dead | Step::GiveBack => {
            if let Some((turn, until)) = known.held.pop() {
                let due = f.clock.now().after(std::time::Duration::from_millis(700));
                let release = match step {
                    Step::Retry => TurnRelease::Retry { due, error: "busy".to_owned() },
                    Step::Dead => TurnRelease::Dead { error: "gave up".to_owned() },
                    _ => TurnRelease::Unchanged,
                };
                match f.store.release_turn(&turn.lease, release).await {
                    Ok(()) => {}
                    Err(StoreError::LeaseLost) => assert!(known.now >= until, "a live lease was lost"),
                    Err(error) => panic!("{error}"),
                }
            }
        }
        Step::Crash => {
            known.held.pop();
        }
        Step::Wait(millis) => {
            f.advance(u64::from(millis));
            known.now += u64::from(millis);
        }
        Step::Repeat => {
            if let Some(text) = known.stored.first() {
                let repeat = NewInbound { message_id: f.clock.message_id(), turn_id: f.clock.turn_id(), ..text.clone() };
                assert!(matches!(f.store.accept(repeat).await.unwrap(), scrubjay::store::Accepted::Repeat(_)));
            }
        }
        Step::Replay => replay_dead(f).await,
    }
}

async fn replay_dead(f: &Fixture) {
    for job in f.store.list_jobs(JobFilter::Unfinished, PageRequest::first(1_000)).await.unwrap().items {
        if job.state == scrubjay::domain::job::JobState::Dead {
            f.store.replay_job(job.user, job.id, f.clock.now()).await.unwrap();
        }
    }
}

/// Lets every lease run out, answers what is left, and looks at what came of it.
async fn settle_and_check(f: &Fixture, known: &Known) {
    f.advance(60_000);
    replay_dead(f).await;
    f.drain().await;
    assert!(f.store.list_jobs(JobFilter::Unfinished, PageRequest::first(1)).await.unwrap().items.is_empty(), "no job is left");
    let mut seen: HashMap<String, usize> = HashMap::new();
    for user in f.store.list_users(PageRequest::first(10)).await.unwrap().items {
        let mut stored = 0;
        for conversation in f.store.list_conversations(user.id, PageRequest::first(10)).await.unwrap().items {
            f.assert_chain(user.id, conversation.id).await;
            let messages = f.messages(user.id, conversation.id).await;
            assert_eq!(usize::try_from(conversation.message_count).unwrap(), messages.len());
            let replies: Vec<_> =
                messages.iter().filter(|message| message.role == Role::Assistant).map(|message| message.turn_id).collect();
            let turns: HashSet<_> = messages.iter().map(|message| message.turn_id).collect();
            assert_eq!(replies.len(), turns.len(), "each turn is answered once");
            assert_eq!(replies.iter().collect::<HashSet<_>>().len(), replies.len());
            let texts: Vec<u32> =
                messages.iter().filter(|message| message.role == Role::External).map(|message| message.text.parse().unwrap()).collect();
            assert!(texts.is_sorted(), "in the order in which they came: {texts:?}");
            for text in texts {
                *seen.entry(text.to_string()).or_default() += 1;
                stored += 1;
            }
        }
        assert_eq!(user.message_count, stored);
        let events: Vec<_> = f.store.list_finished_turns(user.id, 0, 1_000).await.unwrap().iter().map(|turn| turn.event).collect();
        assert!(events.iter().copied().eq((1_i64..).take(events.len())), "numbered without a gap: {events:?}");
    }
    assert_eq!(seen.len(), known.stored.len(), "every text is stored");
    assert!(seen.values().all(|count| *count == 1), "and in one turn alone");
}

pub(super) async fn whatever_the_order_nothing_is_lost_or_done_twice(f: Fixture) {
    let cases = f.times(48);
    let mut runner = TestRunner::new(Config { cases, max_shrink_iters: 200, failure_persistence: None, ..Config::default() });
    let handle = tokio::runtime::Handle::current();
    let outcome = tokio::task::block_in_place(|| {
        runner.run(&steps(), |steps| {
            handle.block_on(async {
                let fresh = f.fresh();
                let mut known = Known::default();
                for step in steps {
                    take(&fresh, &mut known, step).await;
                }
                settle_and_check(&fresh, &known).await;
            });
            Ok(())
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
