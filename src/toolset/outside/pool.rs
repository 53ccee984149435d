//! The connections to one server: one for everybody, or one for each person whose placeholders it is given.
//!
//! A place holds a connection, or since when and how often there was none. Its lock is held while a connection is made, so
//! everybody who waits gets the same one; what could not be had is refused at once until its wait is over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Limits;
use super::connection::{Connection, Failure, Server};
use crate::domain::ids::UserId;

/// Whose a connection is: as much of a person as the server is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Key {
    pub(super) user_id: Option<UserId>,
    pub(super) phone: Option<String>,
}

/// Why nobody can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unavailable {
    /// It is down, or was a moment ago.
    Down,
    /// Every place is in use.
    Busy,
}

/// One server's places.
pub(super) struct Pool {
    pub(super) server: Arc<Server>,
    limits: Limits,
    places: Mutex<HashMap<Key, Arc<Place>>>,
    /// What is being opened or closed.
    tasks: TaskTracker,
    stop: CancellationToken,
    /// It was logged that there was no place.
    told_busy: AtomicBool,
}

struct Place {
    state: Arc<tokio::sync::Mutex<State>>,
    uses: AtomicUsize,
    used: Mutex<Instant>,
}

enum State {
    /// Nothing is known yet.
    New,
    Open {
        connection: Arc<Connection>,
        failures: u32,
    },
    Down {
        until: Instant,
        failures: u32,
    },
}

/// A connection in use: its place is not taken away meanwhile.
pub(super) struct Lease {
    pub(super) connection: Arc<Connection>,
    _held: Held,
}

struct Held(Arc<Place>);

impl Drop for Held {
    fn drop(&mut self) {
        *self.0.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.uses.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Pool {
    pub(super) fn new(server: Server, limits: Limits, stop: CancellationToken) -> Self {
        Self {
            server: Arc::new(server),
            limits,
            places: Mutex::default(),
            tasks: TaskTracker::new(),
            stop,
            told_busy: AtomicBool::new(false),
        }
    }

    /// The connection of that key, made if there is none. It takes at most the server's `initTimeout`. Who does not wait that long
    /// finds it made the next time: a program that is downloaded when it is first started would otherwise never be.
    pub(super) async fn lease(self: &Arc<Self>, key: Key, filled: Vec<(String, SecretString)>) -> Result<Lease, Unavailable> {
        let held = self.place(key)?;
        let mut state = Arc::clone(&held.0.state).lock_owned().await;
        if let State::Open { connection, failures } = &*state {
            let Some(broke) = connection.broke() else {
                return Ok(Lease { connection: Arc::clone(connection), _held: held });
            };
            // One that held for a while and then ended is started again at once; one that keeps ending waits longer each time.
            let failures = if connection.age() >= self.limits.steady { 0 } else { failures + 1 };
            let wait = self.limits.backoff(failures);
            tracing::warn!(server = self.server.name, wait_ms = wait.as_millis(), "the connection to an outside server ended");
            self.close_later(Arc::clone(connection));
            *state = State::Down { until: broke + wait, failures };
        }
        let failures = match &*state {
            State::Down { until, .. } if Instant::now() < *until => return Err(Unavailable::Down),
            State::Down { failures, .. } => *failures,
            State::New | State::Open { .. } => 0,
        };
        let pool = Arc::clone(self);
        let opening = self.tasks.spawn(async move { pool.open(held, state, failures, &filled).await });
        opening.await.unwrap_or(Err(Unavailable::Down))
    }

    async fn open(
        &self,
        held: Held,
        mut state: OwnedMutexGuard<State>,
        failures: u32,
        filled: &[(String, SecretString)],
    ) -> Result<Lease, Unavailable> {
        let opened = tokio::select! {
            opened = Connection::open(&self.server, filled) => opened,
            () = self.stop.cancelled() => Err(Failure::Stopping),
        };
        match opened {
            Ok(connection) => {
                if failures > 0 {
                    tracing::info!(server = self.server.name, "an outside server answers again");
                }
                let connection = Arc::new(connection);
                *state = State::Open { connection: Arc::clone(&connection), failures };
                Ok(Lease { connection, _held: held })
            }
            Err(failure) => {
                let wait = self.limits.backoff(failures + 1);
                // Once for each time that it goes down: what follows is the same news.
                if failures == 0 && !self.stop.is_cancelled() {
                    tracing::warn!(server = self.server.name, %failure, "an outside server cannot be used; its tools are missing");
                } else {
                    tracing::debug!(server = self.server.name, %failure, failures, "an outside server still cannot be used");
                }
                *state = State::Down { until: Instant::now() + wait, failures: failures + 1 };
                Err(Unavailable::Down)
            }
        }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<Key, Arc<Place>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of that key, held. For a new one the longest unused goes, where there are too many.
    fn place(&self, key: Key) -> Result<Held, Unavailable> {
        let mut places = self.places();
        if self.stop.is_cancelled() {
            return Err(Unavailable::Down);
        }
        if let Some(place) = places.get(&key) {
            return Ok(Held::first(place));
        }
        if places.len() >= self.limits.places {
            let unused = places.iter().filter(|(_, place)| place.uses.load(Ordering::Acquire) == 0);
            let oldest = unused.min_by_key(|(_, place)| place.used_at()).map(|(key, _)| key.clone());
            let Some(place) = oldest.and_then(|key| places.remove(&key)) else {
                if !self.told_busy.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        server = self.server.name,
                        places = self.limits.places,
                        "every connection to an outside server is in use, so its tools were missing for a person; this is told once. \
                         There are as many places as worker.turns"
                    );
                }
                return Err(Unavailable::Busy);
            };
            self.empty(&place);
        }
        let place = Arc::new(Place {
            state: Arc::new(tokio::sync::Mutex::new(State::New)),
            uses: AtomicUsize::new(0),
            used: Mutex::new(Instant::now()),
        });
        let held = Held::first(&place);
        places.insert(key, place);
        Ok(held)
    }

    /// Closes what nobody has used for a while.
    pub(super) fn sweep(&self) {
        let mut places = self.places();
        let unused: Vec<Key> = places
            .iter()
            .filter(|(_, place)| place.uses.load(Ordering::Acquire) == 0 && place.used_at().elapsed() >= self.limits.idle)
            .map(|(key, _)| key.clone())
            .collect();
        for key in unused {
            if let Some(place) = places.remove(&key) {
                self.empty(&place);
            }
        }
    }

    /// Closes what is open at a place that nobody can reach any more.
    fn empty(&self, place: &Place) {
        // Nobody uses it, so nobody holds its lock.
        if let Ok(mut state) = place.state.try_lock()
            && let State::Open { connection, .. } = std::mem::replace(&mut *state, State::New)
        {
            self.close_later(connection);
        }
    }

    fn close_later(&self, connection: Arc<Connection>) {
        self.tasks.spawn(async move { connection.close().await });
    }

    /// Closes everything and waits until it is closed. `stop` was cancelled before, so nothing is opened meanwhile.
    pub(super) async fn close(&self) {
        let places: Vec<Arc<Place>> = self.places().drain().map(|(_, place)| place).collect();
        for place in places {
            if let State::Open { connection, .. } = std::mem::replace(&mut *place.state.lock().await, State::New) {
                self.close_later(connection);
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Place {
    fn used_at(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Called under the lock of all places, so that a place in use is never taken for an unused one.
    fn first(place: &Arc<Place>) -> Self {
        place.uses.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(place))
    }
}

impl Limits {
    /// The wait after that many failures in a row.
    fn backoff(&self, failures: u32) -> Duration {
        match failures {
            0 => Duration::ZERO,
            _ => self.first_wait.saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX)).min(self.longest_wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_bound() {
        let limits = Limits::of(64);
        assert_eq!((limits.places, Limits::of(0).places), (64, 1));
        let waits: Vec<u64> = [0, 1, 2, 3, 6, 7, 40].into_iter().map(|failures| limits.backoff(failures).as_secs()).collect();
        assert_eq!(waits, [0, 1, 2, 4, 32, 60, 60]);
    }
}
