//! An answer in time: whoever hands something over waits so long for it to be stored, and no longer.
//!
//! Carriers give up after some seconds, and an answer that comes later is none. What is being stored is not broken off then: it
//! goes on as a task of its own, which ends within the limits that the store sets to its waits. So no unit is left in the middle
//! (MongoDB's driver asks that its calls be waited for), and the repeat that the answer asks for finds what was stored.

use std::panic::resume_unwind;
use std::time::Duration;

use super::problem::ApiError;
use super::state::HttpState;
use crate::store::{StoreError, StoreResult};

/// Waits `server.acknowledge_seconds` for something to be stored. It is stored also when whoever asked hangs up before.
///
/// # Errors
/// What the store says; 503 when the time is over, and it may be stored all the same.
pub(super) async fn in_time<T: Send + 'static>(
    state: &HttpState,
    storing: impl Future<Output = StoreResult<T>> + Send + 'static,
) -> Result<T, ApiError> {
    let seconds = state.config.server.acknowledge_seconds;
    Ok(within(Duration::from_secs(seconds), storing).await?)
}

async fn within<T: Send + 'static>(limit: Duration, storing: impl Future<Output = StoreResult<T>> + Send + 'static) -> StoreResult<T> {
    match tokio::time::timeout(limit, tokio::spawn(storing)).await {
        Ok(Ok(stored)) => stored,
        Ok(Err(ended)) => match ended.try_into_panic() {
            // It is this request's alone, as if it had not had a task of its own.
            Ok(panic) => resume_unwind(panic),
            Err(_ended) => Err(StoreError::unknown_outcome("this program is stopping", None)),
        },
        Err(elapsed) => {
            let reason = format!("it was not stored within {} s (server.acknowledge_seconds)", limit.as_secs_f32());
            Err(StoreError::unknown_outcome(reason, Some(elapsed.into())))
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn what_takes_too_long_is_told_as_perhaps_stored_and_goes_on() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let storing = async move {
            gone.await.unwrap();
            done.send("stored").unwrap();
            Ok(())
        };
        let error = within(SOON, storing).await.unwrap_err();
        assert!(error.outcome_is_unknown(), "{error:?}");
        go.send(()).unwrap();
        assert_eq!(is_done.await.unwrap(), "stored");
    }

    #[tokio::test]
    async fn what_is_stored_in_time_is_told_as_it_is() {
        assert_eq!(within(LONG, async { Ok(7) }).await.unwrap(), 7);
        let refused = async { Err::<(), _>(StoreError::InvalidCursor) };
        assert!(matches!(within(LONG, refused).await, Err(StoreError::InvalidCursor)));
    }

    #[tokio::test]
    async fn whoever_hangs_up_ends_nothing() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let storing = async move {
            gone.await.unwrap();
            done.send(()).unwrap();
            Ok(())
        };
        assert!(tokio::time::timeout(SOON, within(LONG, storing)).await.is_err());
        go.send(()).unwrap();
        is_done.await.unwrap();
    }

    #[tokio::test]
    #[should_panic(expected = "a fault of ours")]
    async fn a_panic_is_the_requests() {
        let _never = within(LONG, async { if true { panic!("a fault of ours") } else { Ok(()) } }).await;
    }
}
