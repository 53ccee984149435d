//! What a caller holds while its unit of work waits: the right to the answer, and to take the work back until it is begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::store::{StoreError, StoreResult};

const QUEUED: u8 = 0;
const BEGUN: u8 = 1;
const TAKEN_BACK: u8 = 2;

/// Who decides about a unit of work: its caller, until the thread begins it; then the thread.
#[derive(Clone, Default)]
pub(super) struct Claim(Arc<AtomicU8>);

impl Claim {
    /// The thread begins the work; false when its caller has taken it back.
    pub(super) fn begin(&self) -> bool {
        let before = self.0.compare_exchange(QUEUED, BEGUN, Ordering::AcqRel, Ordering::Acquire);
        before != Err(TAKEN_BACK)
    }

    /// The caller takes the work back; false when it is too late for that.
    fn take_back(&self) -> bool {
        self.0.compare_exchange(QUEUED, TAKEN_BACK, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// The caller's end. Dropping it takes the work back, where that is still possible.
pub(super) struct Ticket<T> {
    claim: Claim,
    answer: oneshot::Receiver<StoreResult<T>>,
}

impl<T> Ticket<T> {
    pub(super) fn new(claim: Claim, answer: oneshot::Receiver<StoreResult<T>>) -> Self {
        Self { claim, answer }
    }

    /// Waits for the answer: `in_queue` at most until the work is begun, then for as long as it takes. So "no answer in time"
    /// always means that nothing was stored; giving up on a transaction that runs would leave open what becomes of it.
    pub(super) async fn answered(mut self, in_queue: Duration) -> StoreResult<T> {
        if let Ok(answer) = tokio::time::timeout(in_queue, &mut self.answer).await {
            return answer.unwrap_or_else(|_dropped| Err(if self.claim.take_back() { broken() } else { broken_within() }));
        }
        if self.claim.take_back() {
            let reason = format!(
                "it was not the turn of this write within {} s, so nothing was stored; the disk or another process holds it up",
                in_queue.as_secs_f32()
            );
            return Err(StoreError::Unavailable { reason, source: None });
        }
        (&mut self.answer).await.unwrap_or_else(|_dropped| Err(broken_within()))
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        self.claim.take_back();
    }
}

const BROKEN: &str = "the thread that writes to it has broken down, which the log tells more of; restart this program";

/// What is answered when the thread is gone without having been told to end, and had not begun the work.
pub(super) fn broken() -> StoreError {
    StoreError::Unavailable { reason: BROKEN.to_owned(), source: None }
}

/// The same where it had begun: it may have broken down behind the commit.
fn broken_within() -> StoreError {
    StoreError::unknown_outcome(BROKEN, None)
}
