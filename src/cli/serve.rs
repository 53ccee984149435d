//! `serve`: everything, until a signal.

use std::process::ExitCode;

use super::DONE;
use super::context::{self, Context, LogReader};
use super::output::write_text;
use super::running::{Announce, Running};
use crate::lifecycle::Stop;

/// Arguments of `serve`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Where to listen, instead of server.listen; port 0 takes any free one
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
}

/// Serves. The first signal lets what runs finish, the second ends it.
pub(crate) fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let mut sources = context.sources();
    sources.listen = args.listen;
    let loaded = context::load(&sources, LogReader::Operator)?;
    context::runtime()?.block_on(async {
        let stop = Stop::on_signals()?;
        let running = Running::start(loaded.config, Announce::Yes, stop).await?;
        write_text(&format!("ready http://{}\n", running.address))?;
        running.until_stopped().await;
        Ok(ExitCode::from(DONE))
    })
}
