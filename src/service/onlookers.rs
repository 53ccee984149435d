//! Who looks on at which person's turns, and how often they ask the store.
//!
//! Work of this process wakes them directly, that of others through the store's news, where it has some
//! ([`crate::store::Elsewhere`]). Neither is relied upon: an onlooker asks now and then in any case, seldom while there are news.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::domain::ids::UserId;

/// How often an onlooker asks the store about work that another process may be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Where nothing is told.
    pub alone: Duration,
    /// While the store tells its news.
    pub told: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { alone: Duration::from_secs(1), told: Duration::from_secs(15) }
    }
}

/// All who look on in this process.
#[derive(Debug)]
pub struct Onlookers {
    pace: Pace,
    told: AtomicBool,
    people: Mutex<HashMap<UserId, Weak<Notify>>>,
    count: watch::Sender<usize>,
}

impl Default for Onlookers {
    fn default() -> Self {
        Self::new(Pace::default())
    }
}

impl Onlookers {
    /// Nobody yet; those who come ask the store at this pace.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self { pace, told: AtomicBool::new(false), people: Mutex::default(), count: watch::Sender::new(0) }
    }

    fn people(&self) -> MutexGuard<'_, HashMap<UserId, Weak<Notify>>> {
        // A poisoned lock only means that a panic passed by; the data are plain values.
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to look on at a person's turns.
    #[must_use]
    pub fn join(self: &Arc<Self>, user_id: UserId) -> Onlooker {
        let mut people = self.people();
        let changed = people.get(&user_id).and_then(Weak::upgrade).unwrap_or_else(|| {
            people.retain(|_, weak| weak.strong_count() > 0);
            let changed = Arc::new(Notify::new());
            people.insert(user_id, Arc::downgrade(&changed));
            changed
        });
        drop(people);
        self.count.send_modify(|count| *count += 1);
        Onlooker { all: Arc::clone(self), changed }
    }

    /// How many there are, and whenever that changes.
    #[must_use]
    pub fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// Wakes whoever looks on at that person.
    pub fn person_changed(&self, user_id: UserId) {
        let changed = self.people().get(&user_id).and_then(Weak::upgrade);
        if let Some(changed) = changed {
            changed.notify_waiters();
        }
    }

    /// Says whether the store tells its news from now on.
    pub fn set_told(&self, told: bool) {
        self.told.store(told, Ordering::Relaxed);
    }

    /// Wakes everybody: each looks for what nobody told.
    pub fn all_changed(&self) {
        let all: Vec<Arc<Notify>> = self.people().values().filter_map(Weak::upgrade).collect();
        for changed in all {
            changed.notify_waiters();
        }
    }
}

/// Somebody who looks on at a person's turns, until dropped.
#[derive(Debug)]
pub struct Onlooker {
    all: Arc<Onlookers>,
    /// Notified when something may have changed.
    pub changed: Arc<Notify>,
}

impl Onlooker {
    /// After how long the store is to be asked, though nothing was heard.
    #[must_use]
    pub fn look_again(&self) -> Duration {
        if self.all.told.load(Ordering::Relaxed) { self.all.pace.told } else { self.all.pace.alone }
    }
}

impl Drop for Onlooker {
    fn drop(&mut self) {
        self.all.count.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: UserId = UserId::from_bytes([1; 12]);
    const BOB: UserId = UserId::from_bytes([2; 12]);

    #[tokio::test]
    async fn those_are_woken_who_look_on_at_that_person() {
        let all = Arc::new(Onlookers::default());
        let (ann, also_ann, bob) = (all.join(ANN), all.join(ANN), all.join(BOB));
        let woken = async |who: &Onlooker, by: &dyn Fn()| {
            let changed = who.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            by();
            tokio::time::timeout(Duration::from_millis(50), changed).await.is_ok()
        };
        let of_ann = || all.person_changed(ANN);
        assert!(woken(&ann, &of_ann).await && woken(&also_ann, &of_ann).await);
        assert!(!woken(&bob, &of_ann).await);
        assert!(woken(&ann, &|| all.all_changed()).await && woken(&bob, &|| all.all_changed()).await);
    }

    #[test]
    fn they_are_counted_until_they_go() {
        let all = Arc::new(Onlookers::default());
        let count = all.count();
        let (ann, bob) = (all.join(ANN), all.join(BOB));
        assert_eq!(*count.borrow(), 2);
        drop(ann);
        assert_eq!(*count.borrow(), 1);
        drop(bob);
        assert_eq!(*count.borrow(), 0);
        assert_eq!(all.people().len(), 2, "until somebody new comes");
        let _again = all.join(ANN);
        assert_eq!(all.people().len(), 1);
    }

    #[test]
    fn the_store_is_asked_seldom_while_it_tells_its_news() {
        let pace = Pace { alone: Duration::from_millis(3), told: Duration::from_millis(7) };
        let all = Arc::new(Onlookers::new(pace));
        let ann = all.join(ANN);
        assert_eq!(ann.look_again(), pace.alone);
        all.set_told(true);
        assert_eq!(ann.look_again(), pace.told);
        all.set_told(false);
        assert_eq!(ann.look_again(), pace.alone);
    }
}
