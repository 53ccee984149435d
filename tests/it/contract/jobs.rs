//! Durable work, as the host sees it.

use std::time::Duration;

use scrubjay::domain::job::{JobId, JobState};
use scrubjay::domain::turn::{Refusal, TurnEnd};
use scrubjay::store::{DeliveryOutcome, JobFilter, PageRequest, StoreError, TurnRelease};

use super::fixture::{ANN, BOB, Fixture, owner};

async fn states(f: &Fixture, filter: JobFilter) -> Vec<(String, JobState)> {
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let page = f.store.list_jobs(filter, PageRequest { cursor, limit: 2 }).await.unwrap();
        assert!(page.items.len() <= 2);
        found.extend(page.items.into_iter().map(|job| (format!("{:?}", job.kind), job.state)));
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

pub(super) async fn jobs_are_listed_replies_first(f: Fixture) {
    for (number, text) in [(ANN, "a1"), (ANN, "a2"), (ANN, "a3"), (BOB, "b1")] {
        f.texted(number, text).await;
        f.advance(1);
    }
    f.stored(f.gathered("+15550000003", "gathers")).await;
    let work = f.lease().await;
    f.store.complete_turn(&work[0].lease, f.answered("r", &["one", "two"])).await.unwrap();
    let name = |kind: &str, state| (kind.to_owned(), state);
    let unfinished = [
        name("Reply", JobState::Ready),
        name("Reply", JobState::Ready),
        name("Reply", JobState::Leased),
        name("Reply", JobState::Waiting),
        name("Deliver", JobState::Ready),
        name("Deliver", JobState::Ready),
    ];
    assert_eq!(states(&f, JobFilter::Unfinished).await, unfinished);
    let all = states(&f, JobFilter::All).await;
    assert_eq!((all.len(), all[0].1), (7, JobState::Done));
    assert_eq!(f.store.figures().await.unwrap().open_turns, 4);
}

pub(super) async fn a_dead_turn_is_replayed_behind_what_was_said_since(f: Fixture) {
    let receipt = f.texted(ANN, "one").await;
    f.lease_one().await;
    f.store.release_owner(&owner()).await.unwrap();
    let turn = f.lease_one().await;
    assert_eq!((turn.answer_until, turn.starts), (None, 1));
    f.store.release_turn(&turn.lease, TurnRelease::Dead { error: "no model".to_owned() }).await.unwrap();
    f.texted(ANN, "two").await;
    f.drain().await;
    let id = JobId::Reply(receipt.turn_id);
    let dead = f.store.find_job(id).await.unwrap().unwrap();
    assert_eq!((dead.state, dead.attempts, dead.error.as_deref()), (JobState::Dead, 1, Some("no model")));

    let expires = f.clock.now().after(Duration::from_mins(1));
    let replayed = f.store.replay_job(receipt.user_id, id, expires).await.unwrap();
    assert_eq!((replayed.state, replayed.attempts, replayed.due), (JobState::Ready, 0, f.clock.now()));
    let again = f.lease_one().await;
    assert_eq!((again.lease.turn_id, again.answer_until), (receipt.turn_id, Some(expires)), "an old text is answered all the same");
    assert_eq!((again.attempts, again.starts), (0, 0));
    f.store.release_turn(&again.lease, TurnRelease::Unchanged).await.unwrap();
    assert!(matches!(f.store.replay_job(receipt.user_id, id, expires).await, Err(StoreError::Conflict { .. })));
    f.texted(ANN, "three").await;
    f.drain().await;
    assert_eq!(f.said(receipt).await, ["one", "two", "re: two", "re: one", "three", "re: three"]);
    f.assert_chain(receipt.user_id, receipt.conversation_id).await;
    let finished = f.store.list_finished_turns(receipt.user_id, 0, 10).await.unwrap();
    let texts: Vec<Vec<_>> = finished.iter().map(|turn| turn.messages.iter().map(|message| message.text.as_str()).collect()).collect();
    assert_eq!(texts, [["two", "re: two"], ["one", "re: one"], ["three", "re: three"]]);
}

pub(super) async fn a_job_is_discarded_unless_it_runs_or_is_done(f: Fixture) {
    let one = f.texted(ANN, "one").await;
    let two = f.texted(ANN, "two").await;
    let turn = f.lease_one().await;
    let discard = |turn_id| f.store.discard_job(one.user_id, JobId::Reply(turn_id));
    assert!(matches!(discard(one.turn_id).await, Err(StoreError::Conflict { .. })), "it is being worked on");
    discard(two.turn_id).await.unwrap();
    let due = f.clock.now().after(Duration::from_mins(1));
    f.store.release_turn(&turn.lease, TurnRelease::Retry { due, error: "busy".to_owned() }).await.unwrap();
    assert_eq!(discard(one.turn_id).await.unwrap().state, JobState::Done);
    f.texted(ANN, "three").await;
    f.drain().await;
    assert_eq!(f.said(one).await, ["one", "two", "three", "re: three"]);
    f.assert_chain(one.user_id, one.conversation_id).await;
    for turn_id in [one.turn_id, two.turn_id] {
        let record = f.store.find_turn(one.user_id, turn_id).await.unwrap().unwrap();
        assert_eq!(record.end, Some(TurnEnd::Refused(Refusal::Discarded)));
        assert!(matches!(discard(turn_id).await, Err(StoreError::Conflict { .. })), "it is done");
    }
}

pub(super) async fn deliveries_are_replayed_and_discarded(f: Fixture) {
    let receipt = f.texted(ANN, "hello").await;
    let turn = f.lease_one().await;
    f.store.complete_turn(&turn.lease, f.answered("r", &["one", "two", "three"])).await.unwrap();
    let first = f.delivery().await;
    f.store.record_delivery(&first.lease, DeliveryOutcome::Dead { error: "30008".to_owned() }).await.unwrap();
    let second = f.delivery().await;
    let discard = |id| f.store.discard_job(receipt.user_id, JobId::Deliver(id));
    assert!(matches!(discard(second.message.id).await, Err(StoreError::Conflict { .. })));
    f.store.release_delivery(&second.lease).await.unwrap();
    assert_eq!(discard(second.message.id).await.unwrap().state, JobState::Done);

    f.advance(5 * 3_600_000);
    let expires = f.clock.now().after(Duration::from_mins(1));
    let id = JobId::Deliver(first.message.id);
    assert_eq!(f.store.replay_job(receipt.user_id, id, expires).await.unwrap().state, JobState::Ready);
    assert_eq!(f.send_all().await, ["one"], "the third is too old by now");
    assert!(states(&f, JobFilter::Unfinished).await.is_empty());
}
