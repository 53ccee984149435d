//! Looking on: at one turn as it is answered, and at one person's finished turns.
//!
//! What is seen here is never the truth, only a quicker view of it: the store is asked at once where this process did not do the
//! work itself, and every [`LOOK_AGAIN`] in any case, because another process may have done it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::domain::ids::{TurnId, UserId};
use crate::domain::turn::{TurnEnd, TurnState};
use crate::store::{SharedStore, StoreResult};

/// How often the store is asked about work that another process may be doing.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What somebody who follows a turn sees next.
#[derive(Debug, Clone, PartialEq)]
pub enum TurnEvent {
    /// More of the reply.
    Delta(String),
    /// It is over, or this attempt at it failed.
    End(TurnEnd),
}

/// The turns being answered in this process, and who looks on.
#[derive(Default)]
pub struct Watch {
    turns: Mutex<HashMap<TurnId, Weak<Progress>>>,
    people: Mutex<HashMap<UserId, Weak<Notify>>>,
}

/// One turn's answer as far as it has come.
#[derive(Default)]
struct Progress {
    state: Mutex<ProgressState>,
    changed: Notify,
}

#[derive(Default)]
struct ProgressState {
    text: String,
    /// Counts attempts: a follower that has seen text of an earlier one cannot take it back.
    attempt: u32,
    end: Option<TurnEnd>,
}

/// A poisoned lock only means that a panic passed by; the data are plain values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    fn progress(&self, turn_id: TurnId) -> Arc<Progress> {
        let mut turns = lock(&self.turns);
        if let Some(progress) = turns.get(&turn_id).and_then(Weak::upgrade) {
            return progress;
        }
        // Entries die with their last holder; the dead are swept when the table has doubled.
        if turns.len() >= 64 && turns.len().is_power_of_two() {
            turns.retain(|_, weak| weak.strong_count() > 0);
        }
        let progress = Arc::new(Progress::default());
        turns.insert(turn_id, Arc::downgrade(&progress));
        progress
    }

    /// Begins to look on. To miss nothing, begin before the turn is stored.
    #[must_use]
    pub fn follow(&self, turn_id: TurnId) -> Follower {
        Follower { progress: self.progress(turn_id), seen: 0, attempt: None, next_look: None }
    }

    /// Begins to show an attempt at a turn.
    #[must_use]
    pub fn show(&self, turn_id: TurnId) -> Show {
        let progress = self.progress(turn_id);
        {
            let mut state = lock(&progress.state);
            state.attempt += 1;
            state.text.clear();
            state.end = None;
        }
        Show { progress }
    }

    /// Wakes whoever looks at that person's finished turns.
    pub fn person_changed(&self, user_id: UserId) {
        if let Some(notify) = lock(&self.people).get(&user_id).and_then(Weak::upgrade) {
            notify.notify_waiters();
        }
    }

    /// Something to wait on for [`Watch::person_changed`].
    #[must_use]
    pub fn person(&self, user_id: UserId) -> Arc<Notify> {
        let mut people = lock(&self.people);
        if let Some(notify) = people.get(&user_id).and_then(Weak::upgrade) {
            return notify;
        }
        people.retain(|_, weak| weak.strong_count() > 0);
        let notify = Arc::new(Notify::new());
        people.insert(user_id, Arc::downgrade(&notify));
        notify
    }
}

/// Shows one attempt at a turn.
pub struct Show {
    progress: Arc<Progress>,
}

impl Show {
    /// More of the reply.
    pub fn delta(&self, text: &str) {
        lock(&self.progress.state).text.push_str(text);
        self.progress.changed.notify_waiters();
    }

    /// It is over, or this attempt failed.
    pub fn end(&self, end: TurnEnd) {
        lock(&self.progress.state).end = Some(end);
        self.progress.changed.notify_waiters();
    }
}

/// Looks on at one turn.
pub struct Follower {
    progress: Arc<Progress>,
    /// Bytes of the text that were already handed out.
    seen: usize,
    /// The attempt they belong to.
    attempt: Option<u32>,
    /// When the store is asked again.
    next_look: Option<Instant>,
}

impl Follower {
    /// What comes next. After [`TurnEvent::End`] there is nothing more to ask for.
    ///
    /// The pieces join to the reply: where pieces of a failed attempt were handed out, what follows is its failure and not
    /// the next attempt's text.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Unavailable`] when the store had to be asked and could not be.
    pub async fn next(&mut self, store: &SharedStore, user_id: UserId, turn_id: TurnId) -> StoreResult<TurnEvent> {
        loop {
            let progress = Arc::clone(&self.progress);
            let changed = progress.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that nothing falls between.
            changed.as_mut().enable();
            if let Some(event) = self.look() {
                return Ok(event);
            }
            let next_look = *self.next_look.get_or_insert_with(|| Instant::now() + LOOK_AGAIN);
            if tokio::time::timeout_at(next_look, changed).await.is_err() {
                self.next_look = None;
                if let Some(event) = self.ask(store, user_id, turn_id).await? {
                    return Ok(event);
                }
            }
        }
    }

    /// Asks the store whether the turn is over: for a turn that may have ended before anybody looked on.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Unavailable`].
    pub async fn ask(&mut self, store: &SharedStore, user_id: UserId, turn_id: TurnId) -> StoreResult<Option<TurnEvent>> {
        let Some(turn) = store.find_turn(user_id, turn_id).await? else {
            // Deleted with its conversation while somebody waited.
            return Ok(Some(TurnEvent::End(TurnEnd::Failed { error: "the conversation was deleted".to_owned(), will_retry: false })));
        };
        let (TurnState::Done | TurnState::Dead, Some(end)) = (turn.state, turn.end) else { return Ok(None) };
        let mut state = lock(&self.progress.state);
        if let TurnEnd::Answered(Some(reply)) = &end
            && self.seen == 0
        {
            state.text.clone_from(&reply.text);
        }
        state.end = Some(end);
        drop(state);
        Ok(self.look())
    }

    fn look(&mut self) -> Option<TurnEvent> {
        let state = lock(&self.progress.state);
        if self.seen > 0 && self.attempt != Some(state.attempt) {
            let error = "the attempt whose text was being shown failed".to_owned();
            return Some(TurnEvent::End(TurnEnd::Failed { error, will_retry: true }));
        }
        self.attempt = Some(state.attempt);
        if let Some(more) = state.text.get(self.seen..).filter(|more| !more.is_empty()) {
            self.seen = state.text.len();
            return Some(TurnEvent::Delta(more.to_owned()));
        }
        state.end.clone().map(TurnEvent::End)
    }
}

/// Tells the workers that there is work, and when.
#[derive(Default)]
pub struct Wake {
    due: Mutex<Option<i64>>,
    notify: Notify,
}

impl Wake {
    /// There is work at that moment. Wakes the worker only when that is sooner than what it knows of.
    pub fn at(&self, due: crate::domain::time::Timestamp) {
        let mut known = lock(&self.due);
        if known.is_none_or(|known| due.as_millis() < known) {
            *known = Some(due.as_millis());
            drop(known);
            self.notify.notify_one();
        }
    }

    /// What has been announced since it was last taken.
    #[must_use]
    pub fn take(&self) -> Option<crate::domain::time::Timestamp> {
        lock(&self.due).take().map(crate::domain::time::Timestamp::from_millis)
    }

    /// Waits for an announcement.
    pub async fn announced(&self) {
        self.notify.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::TurnId;

    fn id() -> TurnId {
        TurnId::from_uuid(uuid::Uuid::nil())
    }

    #[test]
    fn a_follower_sees_every_piece_once_and_then_the_end() {
        let watch = Watch::default();
        let mut follower = watch.follow(id());
        let show = watch.show(id());
        assert_eq!(follower.look(), None);
        show.delta("Hel");
        show.delta("lo");
        assert_eq!(follower.look(), Some(TurnEvent::Delta("Hello".to_owned())));
        assert_eq!(follower.look(), None);
        show.end(TurnEnd::Answered(None));
        assert_eq!(follower.look(), Some(TurnEvent::End(TurnEnd::Answered(None))));
    }

    #[test]
    fn pieces_of_a_failed_attempt_are_never_joined_with_the_next() {
        let watch = Watch::default();
        let (mut early, mut late) = (watch.follow(id()), watch.follow(id()));
        let show = watch.show(id());
        show.delta("first");
        assert_eq!(early.look(), Some(TurnEvent::Delta("first".to_owned())));
        let show = watch.show(id());
        show.delta("second");
        assert!(matches!(early.look(), Some(TurnEvent::End(TurnEnd::Failed { will_retry: true, .. }))));
        assert_eq!(late.look(), Some(TurnEvent::Delta("second".to_owned())));
    }

    #[test]
    fn only_a_sooner_moment_wakes() {
        let wake = Wake::default();
        wake.at(crate::domain::time::Timestamp::from_millis(10));
        wake.at(crate::domain::time::Timestamp::from_millis(20));
        wake.at(crate::domain::time::Timestamp::from_millis(5));
        assert_eq!(wake.take(), Some(crate::domain::time::Timestamp::from_millis(5)));
        assert_eq!(wake.take(), None);
    }
}
