//! Everything out of a store as records, and into another.

use scrubjay::config::sections::Backend;
use scrubjay::domain::ids::UserId;
use scrubjay::store::record::{Kind, Record};
use scrubjay::store::{Accepted, Action, Consent, JobFilter, NewInbound, PageRequest, SharedStore, StoreError, Whose};

use super::contents::fill;
use super::fixture::{ANN, BOB, Fixture, no_limits, owner, phone};
use crate::support::chance::Chance;

/// Every record of a store, as an archive has them.
pub(super) async fn records(store: &SharedStore, whose: Whose) -> Vec<Record> {
    let mut snapshot = store.snapshot(whose).await.unwrap();
    let mut records = Vec::new();
    while let Some(batch) = snapshot.next().await {
        records.extend(batch.unwrap());
    }
    records
}

/// The same as lines.
pub(super) async fn lines(store: &SharedStore) -> Vec<String> {
    records(store, Whose::Everybodys).await.iter().map(|record| record.to_json().unwrap()).collect()
}

/// Restores records in batches of that size.
async fn restore(store: &SharedStore, records: &[Record], batch: usize) {
    assert_eq!(store.begin_restore("archive").await.unwrap(), 0);
    let mut restored = 0;
    for batch in records.chunks(batch) {
        restored += batch.len() as u64;
        store.restore(batch.to_vec(), restored).await.unwrap();
    }
    store.finish_restore().await.unwrap();
}

pub(super) async fn whatever_a_store_holds_comes_out_and_goes_into_another(f: Fixture) {
    for round in 0..f.times(6) {
        let chance = Chance::new();
        let full = f.fresh();
        fill(&full, &chance, full.times(20 + round * 40)).await;
        let kept = records(&full.store, Whose::Everybodys).await;
        assert!(kept.is_sorted_by_key(Record::place), "in their order");
        let written: Vec<String> = kept.iter().map(|record| record.to_json().unwrap()).collect();
        let read: Vec<Record> = written.iter().map(|line| Record::from_json(line).unwrap()).collect();
        assert_eq!(read, kept, "a line is the record");

        let other = full.fresh();
        restore(&other.store, &read, usize::try_from(chance.between(1, 90)).unwrap()).await;
        let again = lines(&other.store).await;
        for (before, after) in written.iter().zip(&again) {
            assert_eq!(before, after);
        }
        assert_eq!(written.len(), again.len());
        same_work(&full, &other, &chance).await;
    }
}

/// What is open in one is open in the other, and can be worked on.
async fn same_work(full: &Fixture, other: &Fixture, chance: &Chance) {
    // The other clock stands where it began, and leases do not move.
    full.advance(60_000);
    other.clock.advance(full.clock.now().since(other.clock.now()));
    assert_eq!(full.store.figures().await.unwrap(), other.store.figures().await.unwrap());
    for f in [full, other] {
        let mut leased: Vec<_> =
            f.store.lease_turns(&owner(), 100, &no_limits()).await.unwrap().work.into_iter().map(|turn| turn.lease.user_id).collect();
        leased.sort_unstable();
        let mut waiting: Vec<_> = f
            .store
            .list_jobs(JobFilter::Unfinished, PageRequest::first(1_000))
            .await
            .unwrap()
            .items
            .into_iter()
            .filter(|job| job.kind == scrubjay::domain::job::JobKind::Reply && job.state != scrubjay::domain::job::JobState::Dead)
            .map(|job| job.user)
            .collect();
        waiting.sort_unstable();
        waiting.dedup();
        assert_eq!(leased, waiting, "whoever waits for an answer is found");
    }
    goes_on(other, chance).await;
}

async fn goes_on(other: &Fixture, chance: &Chance) {
    fill(other, chance, 10).await;
    let user = other.stored(other.call("+15550007777", "still there?", None)).await.user_id;
    assert!(other.store.find_user(user).await.unwrap().is_some());
}

pub(super) async fn one_persons_records_are_those_of_the_whole(f: Fixture) {
    fill(&f, &Chance::new(), f.times(120)).await;
    let all = records(&f.store, Whose::Everybodys).await;
    let people: Vec<UserId> = f.store.list_users(PageRequest::first(100)).await.unwrap().items.into_iter().map(|user| user.id).collect();
    for user in people {
        let of_one: Vec<Record> = all.iter().filter(|record| record.user_id() == Some(user)).cloned().collect();
        assert_eq!(records(&f.store, Whose::Persons(user)).await, of_one);
    }
    assert_eq!(records(&f.store, Whose::Persons(f.clock.user_id())).await, []);
}

pub(super) async fn a_snapshot_is_of_one_moment(f: Fixture) {
    // So many that some of them are not read ahead.
    let many = if f.settings.backend == Backend::MongoDb { 80 } else { 40 };
    for person in 0..many {
        f.texted(&format!("+1555100{person:04}"), &"x".repeat(60_000)).await;
    }
    let mut snapshot = f.store.snapshot(Whose::Everybodys).await.unwrap();
    let mut kept = snapshot.next().await.unwrap().unwrap();
    // It is being read, and as far as it was read nobody waits for it.
    f.texted("+15551009999", "late").await;
    f.drain().await;
    while let Some(batch) = snapshot.next().await {
        kept.extend(batch.unwrap());
    }
    let other = f.fresh();
    restore(&other.store, &kept, 50).await;
    let people = other.store.list_users(PageRequest::first(100)).await.unwrap().items;
    let open = other.store.figures().await.unwrap().open_turns;
    if f.settings.backend == Backend::MongoDb {
        // There each person is of one moment: as they were before they were answered, or after.
        assert!((80..=81).contains(&people.len()) && (1..80).contains(&open), "{} people, {open} open turns", people.len());
        for person in &people {
            let of_one: Vec<&Record> = kept.iter().filter(|record| record.user_id() == Some(person.id)).collect();
            let messages = of_one.iter().filter(|record| matches!(record, Record::Message(_))).count();
            let done = of_one.iter().any(|record| record.kind() == Kind::Turn && record.to_json().unwrap().contains(r#""state":"done""#));
            assert_eq!(messages, 1 + usize::from(done), "an answer is there with the end of its turn");
        }
    } else {
        assert_eq!((people.len(), open), (40, 40));
    }
    // Nobody has to read to the end.
    let mut left = f.store.snapshot(Whose::Everybodys).await.unwrap();
    left.next().await.unwrap().unwrap();
    drop(left);
    f.texted(ANN, "hello").await;
}

pub(super) async fn a_word_that_was_just_said_is_kept(f: Fixture) {
    let said = Action::Consent { consent: Consent::OptOut, said_at: f.clock.now(), confirmation: None };
    f.stored(NewInbound { action: said, ..f.text(ANN, "STOP") }).await;
    let kept = records(&f.store, Whose::Everybodys).await;
    let other = f.fresh();
    restore(&other.store, &kept, 100).await;
    assert!(other.store.is_opted_out(&phone(ANN)).await.unwrap());
}

pub(super) async fn restoring_goes_on_where_it_was_interrupted(f: Fixture) {
    let chance = Chance::new();
    let full = f.fresh();
    fill(&full, &chance, full.times(120)).await;
    // From somebody whom nothing blocks by chance.
    full.texted("+15550005555", "at least this").await;
    let kept = records(&full.store, Whose::Everybodys).await;
    let half = kept.len() / 2;
    assert_eq!(f.store.begin_restore("archive").await.unwrap(), 0);
    f.store.restore(kept[..half].to_vec(), half as u64).await.unwrap();
    f.store.close().await;

    let refused = scrubjay::store::open(&f.settings, f.clock.clone()).map(|_store| ()).unwrap_err();
    assert!(matches!(&refused, StoreError::Unsupported { reason } if reason.contains("archive read")), "{refused}");
    let again = scrubjay::store::open_to_restore(&f.settings, f.clock.clone()).unwrap();
    assert!(matches!(again.begin_restore("another").await, Err(StoreError::Conflict { .. })));
    assert_eq!(again.begin_restore("archive").await.unwrap(), half as u64);
    // A batch whose answer was lost is put once more.
    let repeated = half.saturating_sub(7);
    again.restore(kept[repeated..half].to_vec(), half as u64).await.unwrap();
    again.restore(kept[half..].to_vec(), kept.len() as u64).await.unwrap();
    again.finish_restore().await.unwrap();
    assert_eq!(records(&again, Whose::Everybodys).await, kept);
    again.close().await;
    let usual = f.open_again();
    assert_eq!(records(&usual, Whose::Everybodys).await, kept);
    usual.close().await;
}

pub(super) async fn only_an_empty_store_is_restored_into_and_what_contradicts_is_refused(f: Fixture) {
    let receipt = f.texted(BOB, "mine").await;
    assert!(matches!(f.store.begin_restore("archive").await, Err(StoreError::Conflict { .. })));
    assert!(matches!(f.store.restore(Vec::new(), 0).await, Err(StoreError::Conflict { .. })));
    let kept = records(&f.store, Whose::Everybodys).await;
    let other = f.fresh();
    other.store.begin_restore("archive").await.unwrap();
    // A turn before its person, or two people of one number.
    let activity = kept.iter().find(|record| matches!(record, Record::Activity(_))).unwrap();
    assert!(matches!(other.store.restore(vec![activity.clone()], 1).await, Err(StoreError::Conflict { .. })));
    let person = kept.iter().find(|record| matches!(record, Record::Person(_))).unwrap().to_json().unwrap();
    let twin = Record::from_json(&person.replace(&receipt.user_id.to_string(), "0000000000000000000000aa")).unwrap();
    let person = Record::from_json(&person).unwrap();
    assert!(matches!(other.store.restore(vec![person, twin], 2).await, Err(StoreError::Conflict { .. })));
    assert_eq!(records(&other.store, Whose::Everybodys).await, [], "nothing of a refused batch is there");
    other.store.restore(kept.clone(), kept.len() as u64).await.unwrap();
    other.store.finish_restore().await.unwrap();
    assert_eq!(records(&other.store, Whose::Everybodys).await, kept);
}

pub(super) async fn nobody_restores_into_a_store_that_another_has_open_and_nobody_opens_one_that_is_restored(f: Fixture) {
    let open = || scrubjay::store::open(&f.settings, f.clock.clone());
    let other = open().unwrap();
    let refused = f.store.begin_restore("archive").await.unwrap_err();
    assert!(matches!(&refused, StoreError::Conflict { reason } if reason.contains("another process has")), "{refused}");
    // Who was refused has left no mark, and the other one works on.
    open().unwrap().close().await;
    assert!(matches!(other.accept(f.text(ANN, "hello")).await.unwrap(), Accepted::Stored(_)));
    other.close().await;

    let empty = f.fresh();
    assert_eq!(empty.store.begin_restore("archive").await.unwrap(), 0);
    let refused = scrubjay::store::open(&empty.settings, f.clock.clone()).map(|_store| ()).unwrap_err();
    assert!(matches!(&refused, StoreError::Unsupported { reason } if reason.contains("archive read")), "{refused}");
    // Nor does another restore into it meanwhile, be it the same archive.
    match scrubjay::store::open_to_restore(&empty.settings, f.clock.clone()) {
        Err(refused) => assert!(matches!(refused, StoreError::Unsupported { .. }), "{refused}"),
        Ok(second) => {
            let refused = second.begin_restore("archive").await.unwrap_err();
            assert!(matches!(refused, StoreError::Conflict { .. }), "{refused}");
            second.close().await;
        }
    }
    empty.store.finish_restore().await.unwrap();
    let usual = scrubjay::store::open(&empty.settings, f.clock.clone()).unwrap();
    assert!(matches!(usual.accept(f.text(BOB, "hello")).await.unwrap(), Accepted::Stored(_)));
    usual.close().await;
}
