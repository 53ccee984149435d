//! A server of this process: doors, workers, and its orderly end. `serve`, `demo` and `chat` run it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::server_file::{ServerFile, Written};
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::gateway::simulator::SimulatorCarrier;
use crate::lifecycle::Stop;
use crate::service::health::Health;
use crate::{http, store, telemetry};

/// How often figures are tidied; the exporter asks for it.
const FIGURES_UPKEEP: Duration = Duration::from_secs(5);

/// A server that accepts requests.
pub(crate) struct Running {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What `server.json` says of it.
    pub(crate) file: ServerFile,
    app: Arc<App>,
    stop: Stop,
    tasks: TaskTracker,
    upkeep: CancellationToken,
    written: Option<Written>,
}

/// Whether others on this machine are told of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announce {
    /// `server.json`, systemd, figures.
    Yes,
    /// It is this process's own affair.
    No,
}

impl Running {
    /// Opens everything and begins to listen. Workers and doors run on tasks of their own until `stop`.
    pub(crate) async fn start(config: Config, announce: Announce, stop: Stop) -> anyhow::Result<Self> {
        let listen = config.server.listen;
        // Taken first: whoever cannot have the port should not migrate a store.
        let listener = bind(listen).await?;
        let address = listener.local_addr()?;
        let figures = match announce {
            Announce::Yes => Some(telemetry::init_figures()?),
            Announce::No => None,
        };
        if figures.is_some() {
            http::describe_metrics();
        }
        let app = Arc::new(App::open(config, Clock::system()).await?);
        super::store_import::at_start(&app).await?;
        let router = app.router(figures.clone(), stop.clone())?;
        let (tasks, upkeep) = (TaskTracker::new(), CancellationToken::new());
        let grace = Duration::from_secs(app.config.server.stop_seconds);
        tasks.spawn(http::serve(listener, router, stop.clone(), grace));
        tasks.spawn({
            let (app, stop) = (Arc::clone(&app), stop.clone());
            async move { app.run_workers(&stop).await }
        });
        if let Some(figures) = figures {
            tokio::spawn(upkeep.clone().run_until_cancelled_owned(async move {
                loop {
                    tokio::time::sleep(FIGURES_UPKEEP).await;
                    figures.run_upkeep();
                }
            }));
        }
        let file = ServerFile::new(address, app.simulator.as_deref().map(secret_of));
        let written = match announce {
            Announce::Yes => {
                let written = file.write(&app.config.storage.path)?;
                if let Err(error) = store::note_backend(&app.config.storage) {
                    tracing::warn!(%error, "the data folder does not take a note of where the store is");
                }
                Some(written)
            }
            Announce::No => None,
        };
        if announce == Announce::Yes {
            tell_systemd(&[sd_notify::NotifyState::Ready]);
            if let Some(limit) = sd_notify::watchdog_enabled() {
                tokio::spawn(upkeep.clone().run_until_cancelled_owned(feed_watchdog(Arc::clone(&app.health), limit)));
            }
        }
        tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "ready");
        Ok(Self { address, file, app, stop, tasks, upkeep, written })
    }

    /// The settings it runs with.
    pub(crate) fn config(&self) -> &Config {
        &self.app.config
    }

    /// Waits until it is told to stop, lets what runs finish, and closes everything.
    pub(crate) async fn until_stopped(self) {
        self.stop.drain.cancelled().await;
        if self.written.is_some() {
            tell_systemd(&[sd_notify::NotifyState::Stopping]);
        }
        self.tasks.close();
        self.tasks.wait().await;
        self.app.close().await;
        self.upkeep.cancel();
        if let Some(written) = self.written {
            written.remove();
        }
        tracing::info!("stopped");
    }

    /// Stops it now, as the first signal would.
    pub(crate) async fn stop(self) {
        self.stop.drain.cancel();
        self.until_stopped().await;
    }
}

async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}; is another server running there? --listen 127.0.0.1:0 takes any free port"))
}

fn secret_of(carrier: &SimulatorCarrier) -> String {
    carrier.secret().expose().to_owned()
}

/// Where no systemd waits to be told, this does nothing.
fn tell_systemd(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

/// Tells systemd that this process still gets its work done, as often as the unit's `WatchdogSec` asks for, twice over. One whose
/// store takes no writes any more is not fed: a start anew may mend it. A carrier that refuses the account is no reason: a start
/// anew would not change its mind.
async fn feed_watchdog(health: Arc<Health>, limit: Duration) {
    let mut rounds = tokio::time::interval(limit / 2);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        match storage(&health).await {
            Ok(()) => tell_systemd(&[sd_notify::NotifyState::Watchdog]),
            Err(reason) => tracing::error!(%reason, "the store takes no writes; systemd's watchdog is not fed"),
        }
    }
}

/// Whether the store answers and takes writes, or why not.
async fn storage(health: &Health) -> Result<(), String> {
    match health.readiness().await.parts.remove("storage") {
        Some(state) if state == "ok" => Ok(()),
        state => Err(state.unwrap_or_default()),
    }
}
