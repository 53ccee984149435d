//! A model that says nothing for a minute must not slow the webhook, nor fill the memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::books::Books;
use super::{SOON, Stage, number};
use crate::support::eventually;
use crate::support::model::Reaction;
use crate::support::twilio::Twilio;

const TEXTS: usize = 1000;
const PEOPLE: usize = 250;
const SENDERS: usize = 8;
/// A waiting text costs a stored row, not memory; what is left is page cache, buffers, and 64 turns in flight.
const GROWTH_LIMIT_KIB: u64 = 48 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn with_the_model_stalled_a_thousand_texts_are_stored_and_memory_stays_flat() {
    let stage = Stage::new().await;
    stage.model.always(Reaction::Stall);
    let product = stage.home.serve().await;
    let address = product.address;
    let warm = Twilio::new();
    for person in 0..PEOPLE {
        warm.text(address, &number(person), "the first").await;
    }
    eventually("turns at the model", SOON, || async { (stage.model.held() >= 60).then_some(()) }).await;
    let before = product.resident_kib();

    let next = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (next, twilio) = (Arc::clone(&next), Twilio::new());
            tokio::spawn(async move {
                let mut took = Histogram::<u64>::new(3).unwrap();
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    if index >= TEXTS {
                        return took;
                    }
                    let begun = Instant::now();
                    twilio.text(address, &number(index % PEOPLE), &format!("text {index}")).await;
                    took.record(u64::try_from(begun.elapsed().as_micros()).unwrap()).unwrap();
                }
            })
        })
        .collect();
    let mut took = Histogram::<u64>::new(3).unwrap();
    for sender in senders {
        took.add(sender.await.unwrap()).unwrap();
    }
    let after = product.resident_kib();
    let millis = |quantile: f64| Duration::from_micros(took.value_at_quantile(quantile));
    eprintln!("model stalled, {TEXTS} texts: p50 {:?}, p99 {:?}; resident {before} -> {after} KiB", millis(0.5), millis(0.99));

    assert!(after < before + GROWTH_LIMIT_KIB, "memory grew from {before} to {after} KiB");
    assert!(stage.carrier.sent().is_empty());
    assert!(stage.model.held() <= 64, "more turns at once than worker.turns");
    let books = Books::read_people(&stage.home).await;
    assert_eq!(books.len(), PEOPLE);
    assert_eq!(books.values().sum::<i64>(), i64::try_from(TEXTS + PEOPLE).unwrap(), "an acknowledged text is not stored");
}
