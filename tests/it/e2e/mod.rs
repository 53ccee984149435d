//! The whole program from outside: the real executable between a fake carrier and a fake model.

mod agent_turns;
mod agents;
mod backups;
mod books;
mod catch_up;
#[cfg(feature = "mongodb")]
mod changed_setting;
mod chaos;
mod conversation;
mod damaged_files;
mod damaged_while_running;
mod elsewhere;
mod full_disk;
mod in_time;
mod killed_while_stopping;
#[cfg(feature = "mongodb")]
mod many;
mod memory;
mod memory_dropin;
mod no_permission;
mod obeying;
mod outside;
mod privacy;
mod races;
mod schedules;
mod slow_model;
mod stopping;
mod summaries;
mod twilio_library;
mod two_processes;

use std::time::Duration;

use scrubjay::store::SharedStore;

use crate::backends::Ground;
use crate::support::carrier::Carrier;
use crate::support::eventually;
use crate::support::home::{Home, Settings};
use crate::support::model::ModelServer;

/// How long a test waits for something that should take milliseconds; long, because builds and other tests share the machine.
const SOON: Duration = Duration::from_secs(30);

/// A carrier and a model, and the program's folder between them.
struct Stage {
    carrier: Carrier,
    model: ModelServer,
    home: Home,
    /// Goes away last.
    ground: Ground,
}

impl Stage {
    /// With the settings of [`Settings::new`].
    async fn new() -> Self {
        Self::with(|settings| settings).await
    }

    /// With settings changed by `change`.
    async fn with(change: impl FnOnce(Settings) -> Settings) -> Self {
        Self::on_with(Ground::new("sqlite"), change).await
    }

    /// On a backend.
    async fn on(ground: Ground) -> Self {
        Self::on_with(ground, |settings| settings).await
    }

    /// On a backend, with settings changed by `change`.
    async fn on_with(ground: Ground, change: impl FnOnce(Settings) -> Settings) -> Self {
        let (carrier, model) = (Carrier::start().await, ModelServer::start().await);
        let settings = ground.keys().into_iter().fold(Settings::new(&carrier, &model), |settings, (key, value)| settings.set(key, value));
        let home = Home::new(&change(settings));
        Self { carrier, model, home, ground }
    }

    /// The programs' store, as a process beside them has it.
    fn open(&self) -> SharedStore {
        self.ground.open(&self.home.data())
    }

    /// Waits until the carrier was given that many messages for `number`, and says which.
    async fn bodies_to(&self, number: &str, count: usize) -> Vec<String> {
        let what = format!("{count} messages to {number}");
        eventually(&what, SOON, || async { Some(self.carrier.bodies_to(number)).filter(|bodies| bodies.len() >= count) }).await
    }

    /// Waits until no job is left, neither unfinished nor dead.
    async fn no_job_left(&self, limit: Duration) {
        let what = "an empty list of jobs";
        eventually(what, limit, || async { self.home.list(&["jobs", "list"]).await.is_empty().then_some(()) }).await;
    }
}

/// A number of a made-up person.
fn number(person: usize) -> String {
    format!("+1555{:07}", 100_000 + person)
}
