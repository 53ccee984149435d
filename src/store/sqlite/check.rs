//! Whether the store can be written to: one check at a time, at most one a second, however many ask.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use super::fault::same;
use super::ticket::Ticket;
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::store::{StoreError, StoreResult};

/// For how long a result is shared.
const SHARED: Duration = Duration::from_secs(1);

/// A check, which any number of callers wait for together.
type Check = Shared<BoxFuture<'static, Checked>>;

/// How a check ended, and when.
#[derive(Clone)]
struct Checked {
    at: Timestamp,
    result: Result<(), Arc<StoreError>>,
}

/// The newest check.
#[derive(Default)]
pub(super) struct Checks(Mutex<Option<Check>>);

impl Checks {
    /// Joins the check that runs or has just ended, or begins one.
    pub(super) async fn check(&self, clock: &Clock, begin: impl FnOnce() -> StoreResult<Ticket<()>>) -> StoreResult<()> {
        let check = self.join(clock, begin);
        check.await.result.map_err(|error| same(&error))
    }

    fn join(&self, clock: &Clock, begin: impl FnOnce() -> StoreResult<Ticket<()>>) -> Check {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.now();
        // A clock that was set back makes a result worthless, not everlasting.
        let fresh = |checked: &Checked| checked.at <= now && now.since(checked.at) < SHARED;
        if let Some(check) = newest.as_ref().filter(|check| check.peek().is_none_or(fresh)) {
            return check.clone();
        }
        let (ticket, clock) = (begin(), clock.clone());
        let check = async move {
            let result = match ticket {
                Ok(ticket) => ticket.answered(super::IN_QUEUE).await,
                Err(error) => Err(error),
            };
            Checked { at: clock.now(), result: result.map_err(Arc::new) }
        };
        let check = check.boxed().shared();
        // It goes on by itself when whoever asked has lost patience, so that the next one sees its end and not an old beginning.
        drop(tokio::spawn(check.clone()));
        *newest = Some(check.clone());
        check
    }
}
