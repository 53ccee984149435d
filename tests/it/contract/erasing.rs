//! Erasing people.

use scrubjay::domain::ids::UserId;
use scrubjay::domain::turn::{Refusal, TurnEnd};
use scrubjay::service::archives;
use scrubjay::store::record::{Kind, Record};
use scrubjay::store::{
    Accepted, Consent, DeliveryOutcome, Door, JobFilter, NewInbound, PageRequest, SharedStore, StoreError, StoreFigures, Whose,
};

use super::contents::fill;
use super::fixture::{ANN, BOB, Fixture, phone};
use super::graph::{LIMITS, new as entity};
use super::keeping::records;
use crate::support::chance::Chance;

/// Somebody to whom nothing happens by chance.
const EVE: &str = "+15550005555";

/// Everybody's records but those of one.
async fn of_others(store: &SharedStore, user: UserId) -> Vec<Record> {
    let mut all = records(store, Whose::Everybodys).await;
    all.retain(|record| record.user_id() != Some(user) && !matches!(record.kind(), Kind::HashKey | Kind::Consent | Kind::ErasedConsent));
    all
}

/// Erases what is left, in small steps; how many there were.
async fn to_the_end(store: &SharedStore) -> usize {
    let mut steps = 1;
    while store.erase_left_over(10).await.unwrap() {
        steps += 1;
        assert!(steps < 10_000, "erasing does not end");
    }
    steps
}

pub(super) async fn whoever_is_erased_is_nobody_at_once_and_gone_bit_by_bit(f: Fixture) {
    let chance = Chance::new();
    fill(&f, &chance, f.times(60)).await;
    let said = f.text(EVE, "my secret is marzipan");
    let receipt = f.stored(said.clone()).await;
    let ann = receipt.user_id;
    f.store.create_entities(ann, vec![entity("Marzipan", "secret", &["is made of marzipan"])], None, LIMITS).await.unwrap();
    for number in 0..40 {
        f.texted(EVE, &format!("marzipan {number}")).await;
    }
    f.drain().await;
    f.texted(EVE, "more marzipan").await;
    let others = of_others(&f.store, ann).await;
    assert!(records(&f.store, Whose::Persons(ann)).await.len() > 100);

    f.store.erase_person(ann).await.unwrap();
    f.store.erase_person(ann).await.unwrap();
    assert!(f.store.find_user(ann).await.unwrap().is_none());
    assert!(f.store.find_user_by_phone(&phone(EVE)).await.unwrap().is_none());
    let listed = f.store.list_users(PageRequest::first(100)).await.unwrap().items;
    assert!(listed.iter().all(|user| user.id != ann));
    assert!(f.store.list_jobs(JobFilter::Unfinished, PageRequest::first(1_000)).await.unwrap().items.iter().all(|job| job.user != ann));
    assert!(records(&f.store, Whose::Persons(ann)).await.iter().all(|record| record.kind() == Kind::Receipt));
    assert!(matches!(f.store.set_blocked(ann, false).await, Err(StoreError::NotFound { .. })));

    // Their number is free: who texts now is somebody else.
    let again = f.texted(EVE, "hello, I am new").await;
    assert!(again.is_new_user && again.user_id != ann);
    // What was said before is recognised for ever.
    match f.store.accept(said).await.unwrap() {
        Accepted::Repeat(known) => assert_eq!(known, receipt),
        other => panic!("a repeat was not recognised: {other:?}"),
    }

    let steps = to_the_end(&f.store).await;
    assert!((8..100).contains(&steps), "{steps} steps");
    let left = records(&f.store, Whose::Persons(ann)).await;
    assert!(!left.is_empty() && left.iter().all(|record| record.kind() == Kind::Receipt), "{left:?}");
    let all: Vec<String> = records(&f.store, Whose::Everybodys).await.iter().map(|record| record.to_json().unwrap()).collect();
    assert!(all.iter().all(|line| !line.to_lowercase().contains("marzipan")), "something of them is left");
    let mut after = of_others(&f.store, ann).await;
    after.retain(|record| record.user_id() != Some(again.user_id));
    assert_eq!(after, others, "others have lost something");
    assert_eq!(archives::look(&f.store, |_record| {}).await.unwrap().count, 0);
    assert_eq!(f.store.find_damage().await.unwrap(), []);
    assert!(matches!(f.store.erase_person(ann).await, Err(StoreError::NotFound { .. })));

    // Whatever else people had goes as well.
    for user in listed {
        f.store.erase_person(user.id).await.unwrap();
    }
    f.store.erase_person(again.user_id).await.unwrap();
    to_the_end(&f.store).await;
    let left = records(&f.store, Whose::Everybodys).await;
    assert!(left.iter().all(|record| record.user_id().is_none() || record.kind() == Kind::Receipt), "{left:?}");
    assert_eq!(f.store.figures().await.unwrap(), StoreFigures::default());
    assert_eq!(f.store.find_damage().await.unwrap(), []);
}

pub(super) async fn who_works_for_somebody_who_is_erased_has_lost_the_lease(f: Fixture) {
    let ann = f.texted(ANN, "one").await.user_id;
    let turn = f.lease_one().await;
    f.texted(BOB, "two").await;
    f.store.complete_turn(&f.lease_one().await.lease, f.answered("to bob", &["to bob"])).await.unwrap();
    let delivery = f.delivery().await;
    let bob = delivery.lease.user_id;
    for user in [ann, bob] {
        f.store.erase_person(user).await.unwrap();
    }
    assert!(matches!(f.store.complete_turn(&turn.lease, f.answered("late", &["late"])).await, Err(StoreError::LeaseLost)));
    let outcome =
        DeliveryOutcome::Accepted { gateway_message_id: "OUT1".to_owned(), status: scrubjay::domain::delivery::DeliveryStatus::Queued };
    assert!(matches!(f.store.record_delivery(&delivery.lease, outcome).await, Err(StoreError::LeaseLost)));
    f.advance(60_000);
    assert_eq!((f.lease().await.len(), f.deliveries().await.len()), (0, 0));
    to_the_end(&f.store).await;
    f.advance(60_000);
    assert_eq!((f.lease().await.len(), f.deliveries().await.len()), (0, 0));
    assert_eq!(f.store.figures().await.unwrap(), StoreFigures::default());
}

pub(super) async fn an_opt_out_outlives_its_person_without_the_number(f: Fixture) {
    let (ann, bob) = (f.texted(ANN, "one").await.user_id, f.texted(BOB, "two").await.user_id);
    f.store.record_consent(&phone(ANN), Consent::OptOut, f.clock.now()).await.unwrap();
    f.advance(1_000);
    for user in [ann, bob] {
        f.store.erase_person(user).await.unwrap();
    }
    to_the_end(&f.store).await;
    let kept = records(&f.store, Whose::Everybodys).await;
    assert!(kept.iter().all(|record| !record.to_json().unwrap().contains("+1555")), "a number is left");

    // Also in a store that was made of an archive of this one.
    let other = f.fresh();
    other.store.begin_restore("archive").await.unwrap();
    other.store.restore(kept.clone(), kept.len() as u64).await.unwrap();
    other.store.finish_restore().await.unwrap();
    for f in [&f, &other] {
        assert!(f.store.is_opted_out(&phone(ANN)).await.unwrap());
        assert!(!f.store.is_opted_out(&phone(BOB)).await.unwrap());
        // Receipts came along as well, so this one needs a name that no text had before.
        let door = Door::Gateway { name: "twilio".to_owned(), message_id: format!("SM{}", f.clock.message_id()) };
        let receipt = f.stored(NewInbound { door, ..f.text(ANN, "hello?") }).await;
        assert!(receipt.is_new_user);
        assert!(f.lease().await.is_empty(), "it is not for a model");
        let turn = f.store.find_turn(receipt.user_id, receipt.turn_id).await.unwrap().unwrap();
        assert_eq!(turn.end, Some(TurnEnd::Refused(Refusal::OptedOut)));
        assert!(f.store.is_opted_out(&phone(ANN)).await.unwrap());
        // An older word, found late, changes nothing; a newer one does.
        f.store.record_consent(&phone(ANN), Consent::OptIn, f.clock.now().before(std::time::Duration::from_hours(1))).await.unwrap();
        assert!(f.store.is_opted_out(&phone(ANN)).await.unwrap());
        f.store.record_consent(&phone(ANN), Consent::OptIn, f.clock.now()).await.unwrap();
        assert!(!f.store.is_opted_out(&phone(ANN)).await.unwrap());
        assert!(records(&f.store, Whose::Everybodys).await.iter().all(|record| record.kind() != Kind::ErasedConsent));
    }
}
