//! Hands on what the store tells of other processes: to those who look on, and to this process's workers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::service::onlookers::Onlookers;
use crate::service::watch::Wake;
use crate::store::{LaneKind, News, NewsStream, SharedStore};

/// How long the news go on when nobody looks on any more: somebody often comes back at once.
const LINGER: Duration = Duration::from_secs(30);

/// The pause after a store that could not be asked for its news.
const STORE_REST: Duration = Duration::from_secs(5);

/// Within this time after somebody's work was given back each process looks for it, no two at the same moment: the first takes it, and the
/// others' look is a short one.
const SPREAD: Duration = Duration::from_millis(100);

/// Who hears what the store tells.
pub struct Hearers {
    /// The store.
    pub store: SharedStore,
    /// Chance and time.
    pub clock: Clock,
    /// Those who look on.
    pub onlookers: Arc<Onlookers>,
    /// Wakes the worker of turns.
    pub turns: Arc<Wake>,
    /// Wakes the worker of deliveries.
    pub deliveries: Arc<Wake>,
}

/// Hands on news until `stop`, while somebody looks on. It ends at once where the store has none to tell.
pub async fn run(hearers: Hearers, stop: CancellationToken) {
    let _stopped = stop.run_until_cancelled(hearers.hear()).await;
    hearers.onlookers.set_told(false);
}

impl Hearers {
    async fn hear(&self) {
        let mut count = self.onlookers.count();
        while count.wait_for(|count| *count > 0).await.is_ok() {
            match self.store.news().await {
                Ok(None) => return,
                Ok(Some(news)) => {
                    self.hand_on(news, &mut count).await;
                    // Whoever waits must not take the silence for news that nothing happens.
                    self.fall_silent();
                }
                Err(error) => {
                    tracing::debug!(%error, "the store's news cannot be heard yet");
                    tokio::time::sleep(STORE_REST).await;
                }
            }
        }
    }

    /// Until they end, or nobody has looked on for a while.
    async fn hand_on(&self, mut news: NewsStream, count: &mut watch::Receiver<usize>) {
        let nobody = async {
            while count.wait_for(|count| *count == 0).await.is_ok() {
                if tokio::time::timeout(LINGER, count.wait_for(|count| *count > 0)).await.is_err() {
                    return;
                }
            }
        };
        tokio::pin!(nobody);
        loop {
            tokio::select! {
                heard = news.next() => match heard {
                    Some(heard) => self.tell(heard),
                    None => return,
                },
                () = &mut nobody => return,
            }
        }
    }

    fn tell(&self, news: News) {
        match news {
            News::Begun => {
                self.onlookers.set_told(true);
                self.onlookers.all_changed();
            }
            News::Resumed => self.onlookers.set_told(true),
            News::Silent => self.fall_silent(),
            News::Ended(user_id) => self.onlookers.person_changed(user_id),
            News::Offered(lane) => {
                let wake = if lane == LaneKind::Turns { &self.turns } else { &self.deliveries };
                wake.at(self.clock.now().after(self.spread()));
            }
        }
    }

    /// Those who are in the middle of a long wait begin a short one.
    fn fall_silent(&self) {
        self.onlookers.set_told(false);
        self.onlookers.all_changed();
    }

    fn spread(&self) -> Duration {
        let share = u32::from(self.clock.uuid().as_bytes().last().copied().unwrap_or(0)) + 1;
        SPREAD * share / 256
    }
}
