//! Looking on: at one turn as it is answered, and at one person's finished turns.
//!
//! What is seen here is never the truth, only a quicker view of it: the store is asked at once where this process did not do the
//! work itself, and now and then in any case ([`LOOK_AGAIN`], [`Pace`](super::onlookers::Pace)), because another process may have
//! done it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::onlookers::{Onlooker, Onlookers};
use crate::domain::ids::{TurnId, UserId};
use crate::domain::turn::{TurnEnd, TurnState};
use crate::store::{SharedStore, StoreResult};

/// How often the store is asked about a turn that this process shows, or does not yet know another to answer.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What somebody who follows a turn sees next.
#[derive(Debug, Clone, PartialEq)]
pub enum TurnEvent {
    /// More of the reply.
    Delta(String),
    /// A tool is being called, or was.
    Tool {
        /// Its name.
        name: String,
        /// How far it has come.
        state: ToolState,
    },
    /// It is over, or this attempt at it failed.
    End(TurnEnd),
}

/// How far a call of a tool has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolState {
    /// It has begun.
    Started,
    /// It gave a result.
    Done,
    /// It failed, and the model was told why.
    Failed,
}

impl ToolState {
    /// As it is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// The turns being answered in this process, and who looks on.
#[derive(Default)]
pub struct Watch {
    turns: Mutex<HashMap<TurnId, Weak<Progress>>>,
    onlookers: Arc<Onlookers>,
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
    /// What tools did, each with how much of the text had been shown by then.
    tools: Vec<(usize, String, ToolState)>,
    /// Counts attempts: a follower that has seen text of an earlier one cannot take it back.
    attempt: u32,
    end: Option<TurnEnd>,
}

/// A poisoned lock only means that a panic passed by; the data are plain values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// With those who look on at people.
    #[must_use]
    pub fn new(onlookers: Arc<Onlookers>) -> Self {
        Self { turns: Mutex::default(), onlookers }
    }

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
        let (progress, onlookers) = (self.progress(turn_id), Arc::clone(&self.onlookers));
        Follower { progress, onlookers, onlooker: None, seen: 0, tools_seen: 0, attempt: None, next_look: None }
    }

    /// Begins to show an attempt at a turn.
    #[must_use]
    pub fn show(&self, turn_id: TurnId) -> Show {
        let progress = self.progress(turn_id);
        {
            let mut state = lock(&progress.state);
            state.attempt += 1;
            state.text.clear();
            state.tools.clear();
            state.end = None;
        }
        Show { progress }
    }

    /// Wakes whoever looks at that person's finished turns.
    pub fn person_changed(&self, user_id: UserId) {
        self.onlookers.person_changed(user_id);
    }

    /// Begins to look on at a person's turns.
    #[must_use]
    pub fn person(&self, user_id: UserId) -> Onlooker {
        self.onlookers.join(user_id)
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

    /// A tool is being called, or was.
    pub fn tool(&self, name: &str, tool: ToolState) {
        let mut state = lock(&self.progress.state);
        let shown = state.text.len();
        state.tools.push((shown, name.to_owned(), tool));
        drop(state);
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
    onlookers: Arc<Onlookers>,
    /// Where another process seems to answer the turn.
    onlooker: Option<Onlooker>,
    /// Bytes of the text that were already handed out.
    seen: usize,
    /// Of what tools did, how much was handed out.
    tools_seen: usize,
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
            let shown = progress.changed.notified();
            let elsewhere = self.onlooker.as_ref().map(|onlooker| Arc::clone(&onlooker.changed));
            let heard = elsewhere.as_ref().map(|elsewhere| elsewhere.notified());
            tokio::pin!(shown);
            let mut heard = std::pin::pin!(heard);
            // Registered before looking, so that nothing falls between.
            shown.as_mut().enable();
            if let Some(heard) = heard.as_mut().as_pin_mut() {
                heard.enable();
            }
            if let Some(event) = self.look() {
                return Ok(event);
            }
            let mut next_look = *self.next_look.get_or_insert_with(|| Instant::now() + LOOK_AGAIN);
            if next_look <= Instant::now() {
                if self.begins_to_hear(user_id) {
                    continue;
                }
                next_look = Instant::now() + self.pause();
                self.next_look = Some(next_look);
                if let Some(event) = self.ask(store, user_id, turn_id).await? {
                    return Ok(event);
                }
            }
            let heard = async {
                match heard.as_mut().as_pin_mut() {
                    Some(heard) => heard.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shown => {}
                () = heard => self.next_look = Some(Instant::now()),
                () = tokio::time::sleep_until(next_look) => {}
            }
        }
    }

    /// Of a turn that nothing was shown of here, another process's news count from now on. False where they did already, or never will.
    fn begins_to_hear(&mut self, user_id: UserId) -> bool {
        let begins = self.onlooker.is_none() && !self.is_shown_here();
        if begins {
            self.onlooker = Some(self.onlookers.join(user_id));
        }
        begins
    }

    fn is_shown_here(&self) -> bool {
        lock(&self.progress.state).attempt > 0
    }

    /// Until the store is asked again. Of a turn that this process shows no news are waited for: they may come between two calls.
    fn pause(&self) -> Duration {
        self.onlooker.as_ref().filter(|_onlooker| !self.is_shown_here()).map_or(LOOK_AGAIN, Onlooker::look_again)
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
        if self.attempt != Some(state.attempt) {
            self.attempt = Some(state.attempt);
            self.tools_seen = 0;
        }
        // In the order in which they came: what a tool did stands behind the text that was there before.
        let tool = state.tools.get(self.tools_seen);
        let until = tool.map_or(state.text.len(), |(shown, _, _)| *shown);
        if let Some(more) = state.text.get(self.seen..until).filter(|more| !more.is_empty()) {
            self.seen = until;
            return Some(TurnEvent::Delta(more.to_owned()));
        }
        if let Some((_, name, tool)) = tool {
            self.tools_seen += 1;
            return Some(TurnEvent::Tool { name: name.clone(), state: *tool });
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
    fn tools_are_seen_in_their_place_among_the_text() {
        let watch = Watch::default();
        let mut follower = watch.follow(id());
        let show = watch.show(id());
        let tool = |name: &str, state| Some(TurnEvent::Tool { name: name.to_owned(), state });
        show.delta("One");
        show.tool("add", ToolState::Started);
        show.tool("add", ToolState::Done);
        show.delta("Two");
        assert_eq!(follower.look(), Some(TurnEvent::Delta("One".to_owned())));
        assert_eq!(follower.look(), tool("add", ToolState::Started));
        assert_eq!(follower.look(), tool("add", ToolState::Done));
        assert_eq!(follower.look(), Some(TurnEvent::Delta("Two".to_owned())));
        // Whoever has seen tools only goes on with the next attempt.
        let mut early = watch.follow(id());
        let show = watch.show(id());
        show.tool("list", ToolState::Failed);
        assert_eq!(early.look(), tool("list", ToolState::Failed));
        let show = watch.show(id());
        show.tool("list", ToolState::Started);
        assert_eq!(early.look(), tool("list", ToolState::Started));
        assert_eq!(early.look(), None);
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
