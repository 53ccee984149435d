//! A process that stood still for longer than its leases hold: stopped, or on a machine that slept.

use std::sync::Arc;

use futures::FutureExt as _;
use scrubjay::domain::delivery::DeliveryStatus;
use scrubjay::store::{DeliveryOutcome, DeliveryWork, LEASE, LeasedDelivery, SharedStore};

use super::bench::{ADA, BEA, bench};
use crate::contract::fixture::{other_owner, twilio};

async fn lease(store: &SharedStore) -> Vec<LeasedDelivery> {
    store.lease_deliveries(&other_owner(), &twilio(), 10).await.unwrap().work
}

/// Two messages are leased; while the carrier takes the first, everything stands still, and another process sends the second.
#[tokio::test]
async fn what_another_process_sent_meanwhile_is_not_sent_again() {
    let bench = bench(|_| {}).await;
    bench.text(ADA, "hello").await;
    bench.text(BEA, "hello").await;
    let (store, clock, carrier) = (Arc::clone(&bench.store), bench.clock.clone(), Arc::clone(&bench.carrier));
    let elsewhere = |on_its_way: String| async move {
        clock.advance(LEASE);
        // First it looks whether the carrier has them, twice; the one whose request is still on its way is found there.
        let found = DeliveryOutcome::Accepted { gateway_message_id: "SM-found".to_owned(), status: DeliveryStatus::Queued };
        let looked_up = lease(&store).await;
        assert_eq!(looked_up.len(), 2);
        for delivery in looked_up {
            assert_eq!(delivery.work, DeliveryWork::LookUp);
            let outcome = if delivery.message.to.as_str() == on_its_way { found.clone() } else { DeliveryOutcome::SendAgain };
            store.record_delivery(&delivery.lease, outcome).await.unwrap();
        }
        for delivery in lease(&store).await {
            assert_eq!(delivery.work, DeliveryWork::Send);
            assert_ne!(delivery.message.to.as_str(), on_its_way);
            carrier.sent.lock().unwrap().push((delivery.message.to.as_str().to_owned(), delivery.message.body.clone()));
            let taken = DeliveryOutcome::Accepted { gateway_message_id: "SM-elsewhere".to_owned(), status: DeliveryStatus::Queued };
            store.record_delivery(&delivery.lease, taken).await.unwrap();
        }
    };
    *bench.carrier.meanwhile.lock().unwrap() = Some(Box::new(|on_its_way| elsewhere(on_its_way).boxed()));
    bench.app.drain().await.unwrap();
    let to = |number: &str| bench.sent().iter().filter(|(to, _)| to == number).count();
    assert_eq!((to(ADA), to(BEA)), (1, 1), "{:?}", bench.sent());
    bench.assert_no_job_left().await;
}

/// Nobody else was there: what was not begun is given back and sent under a new lease, and does not count as an attempt.
#[tokio::test]
async fn what_nobody_took_over_is_sent_under_a_new_lease() {
    let bench = bench(|_| {}).await;
    bench.text(ADA, "hello").await;
    bench.text(BEA, "hello").await;
    let clock = bench.clock.clone();
    *bench.carrier.meanwhile.lock().unwrap() = Some(Box::new(move |_on_its_way| async move { clock.advance(LEASE) }.boxed()));
    bench.app.drain().await.unwrap();
    assert_eq!(bench.sent().len(), 2, "{:?}", bench.sent());
    for number in [ADA, BEA] {
        let user = bench.store.find_user_by_phone(&super::number(number)).await.unwrap().unwrap();
        let sent = bench.store.list_outbound(user.id, 10).await.unwrap();
        assert_eq!(sent.iter().map(|message| message.attempts).collect::<Vec<_>>(), [1]);
    }
    bench.assert_no_job_left().await;
}
