//! `mcp`: the MCP server over standard input and output, for one person. Standard output belongs to the protocol.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

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
use crate::store::StoreError;

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
    let runtime = context::runtime()?;
    let outcome = runtime.block_on(serve(&config, account));
    // A thread may still wait for input that nobody will send.
    runtime.shutdown_background();
    outcome
}

async fn serve(config: &Arc<Config>, account: AccountName) -> anyhow::Result<ExitCode> {
    let stop = Stop::on_signals()?;
    stop.cut_short_after(std::time::Duration::from_secs(config.server.stop_seconds));
    // The client is answered from now on; what is stored is opened beside that.
    let (opener, opening) = stdio::opening();
    let store = tokio::spawn(open(Arc::clone(config), account, opener, stop.clone()));
    let served = stdio::serve(opening, stop).await;
    let toolbox = store.await.context("opening the store broke")?;
    if let Some(toolbox) = &toolbox {
        toolbox.close().await;
    }
    served?;
    Ok(ExitCode::from(if toolbox.is_some() { DONE } else { FAILED }))
}

/// Opens the store, finds the person, and tells whoever waits for it. What went wrong is told to the host at once, and to the client
/// with each call; where it cannot mend while we run, the process ends.
async fn open(config: Arc<Config>, account: AccountName, opener: Opener, stop: Stop) -> Option<Toolbox> {
    let clock = Clock::system();
    let opening = tokio::task::spawn_blocking({
        let (config, clock) = (Arc::clone(&config), clock.clone());
        move || Toolbox::open(&config, &clock)
    });
    let failed = |reason: String| {
        complain(&format!("error: {reason}"));
        reason
    };
    let toolbox = match opening.await {
        Ok(Ok(toolbox)) => toolbox,
        Ok(Err(error)) => {
            opener.done(Err(failed(format!("the store could not be opened: {error}"))));
            return None;
        }
        Err(_panic) => {
            opener.done(Err(failed("the store could not be opened".to_owned())));
            return None;
        }
    };
    match toolbox.people.get_or_open(&account, app::new_person(&config, &clock)).await {
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
