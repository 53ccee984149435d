//! `mcp`: the MCP server over standard input and output, for one person. Standard output belongs to the protocol.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::context::{self, Context, LogReader};
use super::output::complain;
use super::{DONE, FAILED, person};
use crate::app::{self, Toolbox};
use crate::clock::Clock;
use crate::config::Config;
use crate::lifecycle::Stop;
use crate::mcp::Catalogue;
use crate::mcp::stdio::{self, Opened, Opener};
use crate::service::people::AccountName;
use crate::store::{StoreError, StoreResult};

/// Arguments of `mcp`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The person it speaks for, by id or number, in place of the configured one; a new number makes the person
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Take this server's `env` in the YAML file's mcpServers as the topmost layer of settings
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
}

/// Serves until its input ends or a signal comes.
pub(crate) fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let mut sources = context.sources();
    sources.server = args.server;
    let loaded = context::load(&sources, LogReader::Bystander)?;
    let config = Arc::new(loaded.config);
    let account = person::account(args.user.as_deref(), &config)?;
    // One client is served. What its calls set off would wake other threads only to find that it was done already.
    let runtime = context::small_runtime()?;
    let outcome = runtime.block_on(serve(&config, account));
    // A thread may still wait for input that nobody will send.
    runtime.shutdown_background();
    outcome
}

/// How long a store that another process keeps locked is tried again. Each try waits some seconds by itself; clients give up after
/// a minute or so.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(250);

async fn serve(config: &Arc<Config>, account: AccountName) -> anyhow::Result<ExitCode> {
    let stop = Stop::on_signals()?;
    stop.cut_short_after(Duration::from_secs(config.server.stop_seconds));
    // The client is answered from now on; what is stored is opened beside that.
    let (opener, opening) = stdio::opening();
    let serving = async {
        let served = stdio::serve(opening, stop.clone()).await;
        // Nobody waits for the store any more.
        stop.drain.cancel();
        served
    };
    let (toolbox, served) = tokio::join!(open(config, account, opener, &stop), serving);
    if let Some(toolbox) = &toolbox {
        toolbox.close().await;
    }
    served?;
    Ok(ExitCode::from(if toolbox.is_some() { DONE } else { FAILED }))
}

/// Opens the store, finds the person, and tells whoever waits for it. What went wrong is told to the host at once, and to the client
/// with each call; where it cannot mend while we run, the process ends.
async fn open(config: &Arc<Config>, account: AccountName, opener: Opener, stop: &Stop) -> Option<Toolbox> {
    let clock = Clock::system();
    let failed = |reason: String| {
        complain(&format!("error: {reason}"));
        reason
    };
    let trying = while_locked(stop, async || {
        let (config, clock) = (Arc::clone(config), clock.clone());
        let opening = tokio::task::spawn_blocking(move || Toolbox::open(&config, &clock));
        opening.await.unwrap_or_else(|panic| Err(StoreError::unavailable("opening it broke; the lines above say where", panic)))
    });
    let toolbox = match trying.await {
        Ok(toolbox) => toolbox,
        Err(error) => {
            opener.done(Err(failed(format!("the store could not be opened: {error}"))));
            return None;
        }
    };
    let found = while_locked(stop, async || toolbox.people.get_or_open(&account, app::new_person(config, &clock)).await);
    match found.await {
        Ok(user) if user.blocked => {
            opener.done(Err(failed("this person is blocked; `scrubjay users unblock` lets them in again".to_owned())));
        }
        Ok(user) => {
            let catalogue = Arc::new(Catalogue::new(toolbox.tools.clone()));
            opener.done(Ok(Opened { catalogue, user_id: user.id }));
            return Some(toolbox);
        }
        Err(StoreError::NotFound { .. }) => {
            opener.done(Err(failed(
                "nobody has that id here; `scrubjay users list` shows who there is, and a number makes a person".to_owned(),
            )));
        }
        Err(error) => opener.done(Err(failed(format!("the person could not be found: {error}")))),
    }
    toolbox.close().await;
    // Nothing will change that; what was asked until now is answered.
    stop.drain.cancel();
    None
}

/// Does something again as long as another process keeps the store locked, for [`PATIENCE`] at most or until it is to stop.
async fn while_locked<T>(stop: &Stop, attempt: impl AsyncFn() -> StoreResult<T>) -> StoreResult<T> {
    let begun = Instant::now();
    loop {
        let outcome = attempt().await;
        let locked = outcome.as_ref().is_err_and(StoreError::is_locked);
        if !locked || begun.elapsed() >= PATIENCE || tokio::time::timeout(PAUSE, stop.drain.cancelled()).await.is_ok() {
            return outcome;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::store::Locked;

    #[tokio::test(start_paused = true)]
    async fn a_locked_store_is_tried_again_for_a_while_and_nothing_else_is() {
        let stop = Stop::default();
        let tries = Cell::new(0);
        let after = |locked: u32| {
            let tries = &tries;
            tries.set(0);
            async move || {
                tries.set(tries.get() + 1);
                tokio::time::sleep(Duration::from_secs(5)).await;
                if tries.get() > locked { Ok(tries.get()) } else { Err(StoreError::unavailable("kept locked", Locked)) }
            }
        };
        assert_eq!(while_locked(&stop, after(2)).await.unwrap(), 3);
        assert!(while_locked(&stop, after(u32::MAX)).await.unwrap_err().is_locked());
        assert_eq!(tries.get(), 6, "for half a minute");
        let gone = || Err::<(), _>(StoreError::Unavailable { reason: "no disk".to_owned(), source: None });
        let begun = Instant::now();
        assert!(while_locked(&stop, async || gone()).await.is_err());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        stop.drain.cancel();
        assert!(while_locked(&stop, after(1)).await.is_err(), "nobody waits for it any more");
    }
}
