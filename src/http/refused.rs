//! What the log says of refused webhooks: each of the first, then a count. Whoever floods the door must not flood the disk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long a count runs.
const WINDOW: Duration = Duration::from_mins(1);

/// Refusals of a window that are written in full.
const IN_FULL: u32 = 10;

/// The refusals of the last minute.
#[derive(Clone, Default)]
pub(super) struct RefusedWebhooks(Arc<Mutex<Window>>);

#[derive(Default)]
struct Window {
    ends: Option<Instant>,
    in_full: u32,
    untold: u64,
}

/// What becomes of one refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    InFull,
    /// The first that is only counted; the count is to be told at that moment.
    CountedUntil(Instant),
    Counted,
}

impl Window {
    fn note(&mut self, now: Instant) -> Told {
        let ends = match self.ends {
            Some(ends) if now < ends => ends,
            _ => {
                self.in_full = 0;
                *self.ends.insert(now + WINDOW)
            }
        };
        if self.in_full < IN_FULL {
            self.in_full += 1;
            return Told::InFull;
        }
        self.untold += 1;
        if self.untold == 1 { Told::CountedUntil(ends) } else { Told::Counted }
    }
}

impl RefusedWebhooks {
    /// Logs a refusal now, or counts it towards one line at the end of its minute, at the latest at `drain`.
    pub(super) fn log(&self, gateway: &'static str, reason: &str, drain: &CancellationToken) {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner).note(Instant::now());
        match told {
            Told::InFull => tracing::warn!(gateway, reason, "a webhook was refused: it is not proven to be the carrier's"),
            Told::Counted => {}
            Told::CountedUntil(end) => {
                let (refused, drain) = (self.clone(), drain.clone());
                tokio::spawn(async move {
                    let _sooner = drain.run_until_cancelled(sleep_until(end)).await;
                    let count = std::mem::take(&mut refused.0.lock().unwrap_or_else(PoisonError::into_inner).untold);
                    tracing::warn!(count, "more webhooks were refused within a minute than are told one by one");
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_minute_are_told_the_rest_is_counted() {
        let (mut window, start) = (Window::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(window.note(start), Told::InFull);
        }
        let end = start + WINDOW;
        assert_eq!(window.note(start + Duration::from_secs(1)), Told::CountedUntil(end));
        assert_eq!(window.note(start + Duration::from_secs(59)), Told::Counted);
        assert_eq!(window.untold, 2);
        // The next minute begins with the next refusal, and loses nothing that was counted before.
        assert_eq!(window.note(end), Told::InFull);
        assert_eq!((window.in_full, window.untold), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_is_told_once_and_then_begins_anew() {
        let (refused, drain) = (RefusedWebhooks::default(), CancellationToken::new());
        let untold = || refused.0.lock().unwrap().untold;
        for _ in 0..25 {
            refused.log("twilio", "no form of the URL matches", &drain);
        }
        assert_eq!(untold(), 15);
        tokio::time::sleep(WINDOW + Duration::from_secs(1)).await;
        assert_eq!(untold(), 0);
        for _ in 0..11 {
            refused.log("twilio", "no form of the URL matches", &drain);
        }
        assert_eq!(untold(), 1);
        drain.cancel();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(untold(), 0, "a stop tells what was counted");
    }
}
