//! Loads: closed (each connection sends when its last answer is there) and open (requests leave by the clock).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Semaphore;

use crate::connection::{Answer, Connection};

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
    run(address, connections, requests, None, accept_all).await
}

/// The same; it fails at the first answer that `is_good` does not take.
pub(crate) async fn closed_of(address: SocketAddr, connections: usize, requests: &Requests, is_good: fn(&Answer) -> bool) -> Outcome {
    run(address, connections, requests, None, is_good).await
}

const fn accept_all(_answer: &Answer) -> bool {
    true
}

/// Sends all requests at `rate` a second over at most that many connections.
pub(crate) async fn open(address: SocketAddr, connections: usize, rate: f64, requests: &Requests) -> Outcome {
    run(address, connections, requests, Some(Duration::from_secs_f64(1.0 / rate)), accept_all).await
}

async fn run(
    address: SocketAddr,
    connections: usize,
    requests: &Requests,
    step: Option<Duration>,
    is_good: fn(&Answer) -> bool,
) -> Outcome {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(address).await.expect("the server listens"));
    }
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let pace = step.map(|step| Pace::start(begun, step, requests.len()));
    let workers: Vec<_> = open
        .into_iter()
        .map(|mut connection| {
            let (next, requests, pace) = (Arc::clone(&next), Arc::clone(requests), pace.clone());
            tokio::spawn(async move {
                let (mut latency, mut statuses) = (histogram(), BTreeMap::new());
                loop {
                    if let Some(pace) = &pace {
                        pace.next().await;
                    }
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(request) = requests.get(index) else { return (latency, statuses) };
                    let due = pace.as_ref().map_or_else(Instant::now, |pace| pace.due(index));
                    let answer = connection.exchange(request).await.expect("the server answers");
                    latency.record(micros(due.elapsed())).expect("within bounds");
                    assert!(is_good(&answer), "request {index}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
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

/// When requests leave, by the clock. Tokio's timers tick in milliseconds and spinning would take the processor from the program
/// that is measured, so a thread of its own sleeps from one to the next.
#[derive(Clone)]
struct Pace {
    begun: Instant,
    step: Duration,
    released: Arc<Semaphore>,
}

impl Pace {
    fn start(begun: Instant, step: Duration, count: usize) -> Self {
        let pace = Self { begun, step, released: Arc::new(Semaphore::new(0)) };
        let clock = pace.clone();
        std::thread::spawn(move || {
            for index in 0..count {
                std::thread::sleep(clock.due(index).saturating_duration_since(Instant::now()));
                clock.released.add_permits(1);
            }
            // Whoever waits now finds that there is none left.
            clock.released.close();
        });
        pace
    }

    fn due(&self, index: usize) -> Instant {
        self.begun + self.step.mul_f64(f64::from(u32::try_from(index).expect("fewer requests")))
    }

    /// Waits until one more request may leave, or all have left.
    async fn next(&self) {
        if let Ok(permit) = self.released.acquire().await {
            permit.forget();
        }
    }
}
