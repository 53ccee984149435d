//! `doctor`: looks at every part outside the program, each for at most [`LIMIT`], and says how to mend what is wrong.
//!
//! It changes nothing but what opening the store changes, unless it is told to mend ([`fix`]), and sends no message.

mod fix;
mod local;
mod outside;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use self::report::{Finding, Report};
use super::context::{self, Context, LogReader};
use super::output::Output;
use super::{DONE, FAILED, MISUSED};
use crate::clock::Clock;
use crate::config::{self, LoadError, Loaded, SecretStrength, Sources};

/// How long one part may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Mend what can be mended in the store: accounts that have somebody else's number become a part of theirs, and conversations that
    /// were begun while another went on a part of that one
    #[arg(long)]
    fix: bool,
    /// With --fix: do not write an archive of the store first
    #[arg(long, requires = "fix")]
    no_archive: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check a webhook's signature under the configured secret
    Signature(super::doctor_signature::Args),
}

/// Examines, or checks a signature.
pub(crate) fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    if let Some(Command::Signature(signature)) = args.command {
        // Nothing is opened with it, so a weak secret will do.
        let sources = Sources { secrets: SecretStrength::Any, ..context.sources() };
        let loaded = context::load(&sources, LogReader::Bystander)?;
        return super::doctor_signature::run(&signature, &loaded.config.gateways);
    }
    let loaded = match config::load(&context.sources()) {
        Ok(loaded) => loaded,
        Err(error) => {
            args.output.print(&Report::new(misconfigured(&error)), Report::to_text)?;
            return Ok(ExitCode::from(MISUSED));
        }
    };
    context::begin_log(&loaded, LogReader::Bystander)?;
    let runtime = context::runtime()?;
    let mended = if args.fix {
        let before = if args.no_archive { fix::Before::Nothing } else { fix::Before::Archive };
        runtime.block_on(fix::fix(&loaded.config, before))
    } else {
        Vec::new()
    };
    let mut findings = runtime.block_on(examine(loaded));
    findings.extend(mended);
    let report = Report::new(findings);
    // A part that hangs is reported, not waited for.
    runtime.shutdown_background();
    args.output.print(&report, Report::to_text)?;
    Ok(ExitCode::from(if report.healthy { DONE } else { FAILED }))
}

/// Nothing else can be looked at without settings.
fn misconfigured(error: &LoadError) -> Vec<Finding> {
    error.problems.iter().map(|problem| Finding::failed("configuration", problem.to_string(), "mend it, then look again")).collect()
}

async fn examine(loaded: Loaded) -> Vec<Finding> {
    let mut findings = vec![local::configuration(&loaded)];
    let (config, clock) = (loaded.config, Clock::system());
    findings.extend(local::data_folder(&config));
    // The store, the models and the carriers are asked at the same time: the whole examination takes as long as its slowest part.
    let (store, server, models, gateways) =
        tokio::join!(local::store(&config, &clock), local::server(&config), outside::models(&config), outside::gateways(&config, &clock),);
    findings.extend(store);
    findings.extend(server);
    findings.extend(models);
    findings.extend(gateways);
    findings.extend(outside::doors(&config));
    findings
}
