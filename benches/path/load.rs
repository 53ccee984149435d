//! Loads: closed (each connection sends when its last answer is there) and open (requests leave by the clock).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::connection::Connection;

/// Prepared requests, whole, as bytes.
pub(crate) type Requests = Arc<Vec<Vec<u8>>>;

/// What came of a load.
pub(crate) struct Outcome {
    /// Answers by status.
    pub(crate) statuses: BTreeMap<u16, usize>,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// Microseconds an answer took; under an open load from the moment the request was due.
    pub(crate) latency: Histogram<u64>,
}

impl Outcome {
    /// Answers a second.
    #[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
    pub(crate) fn rate(&self) -> f64 {
        self.statuses.values().sum::<usize>() as f64 / self.elapsed.as_secs_f64()
    }

    /// Answers in all.
    pub(crate) fn count(&self) -> usize {
        self.statuses.values().sum()
    }

    /// That quantile of the latencies, in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a bench are far below 2^52")]
    pub(crate) fn millis(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// Fails unless each answer had this status: a fast refusal is no figure.
    pub(crate) fn expect_only(self, status: u16) -> Self {
        assert_eq!(self.statuses.keys().copied().collect::<Vec<_>>(), [status], "answers: {:?}", self.statuses);
        self
    }
}

/// A histogram of microseconds up to a minute.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("these bounds are valid")
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).clamp(1, 60_000_000)
}

/// Sends all requests over that many connections, as fast as answers come.
pub(crate) async fn closed(address: SocketAddr, connections: usize, requests: &Requests) -> Outcome {
    run(address, connections, requests, None).await
}

/// Sends all requests at `rate` a second over at most that many connections.
pub(crate) async fn open(address: SocketAddr, connections: usize, rate: f64, requests: &Requests) -> Outcome {
    run(address, connections, requests, Some(Duration::from_secs_f64(1.0 / rate))).await
}

async fn run(address: SocketAddr, connections: usize, requests: &Requests, step: Option<Duration>) -> Outcome {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(address).await.expect("the server listens"));
    }
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let workers: Vec<_> = open
        .into_iter()
        .map(|mut connection| {
            let (next, requests) = (Arc::clone(&next), Arc::clone(requests));
            tokio::spawn(async move {
                let (mut latency, mut statuses) = (histogram(), BTreeMap::new());
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(request) = requests.get(index) else { return (latency, statuses) };
                    let due = match step {
                        Some(step) => {
                            let due = begun + step.mul_f64(f64::from(u32::try_from(index).expect("fewer requests")));
                            sleep_until(due).await;
                            due
                        }
                        None => Instant::now(),
                    };
                    let answer = connection.exchange(request).await.expect("the server answers");
                    latency.record(micros(due.elapsed())).expect("within bounds");
                    *statuses.entry(answer.status).or_insert(0) += 1;
                }
            })
        })
        .collect();
    let mut outcome = Outcome { statuses: BTreeMap::new(), elapsed: Duration::ZERO, latency: histogram() };
    for worker in workers {
        let (latency, statuses) = worker.await.expect("a load worker ended well");
        outcome.latency.add(latency).expect("equal bounds");
        for (status, count) in statuses {
            *outcome.statuses.entry(status).or_insert(0) += count;
        }
    }
    outcome.elapsed = begun.elapsed();
    outcome
}

/// Tokio's timers tick in milliseconds; the last one is spent yielding, so that requests leave within microseconds of their due time.
async fn sleep_until(due: Instant) {
    let wait = due.saturating_duration_since(Instant::now());
    if wait > Duration::from_millis(2) {
        tokio::time::sleep(wait.saturating_sub(Duration::from_millis(1))).await;
    }
    while Instant::now() < due {
        tokio::task::yield_now().await;
    }
}
