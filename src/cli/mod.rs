//! The commands, one file each: its arguments and `run`.
//!
//! A command reads what it needs through [`Context`], does its work through the services of [`crate::app::App`], and prints
//! through [`output::Output`]: data to standard output, one document with `--json`; everything else to standard error.
//! Numbers are printed whole here: whoever may run these commands may read the store itself. They never reach a log.
//!
//! Adding one: a file with `Args` and `run`, and a line in [`Command`] and in [`run`].

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod doctor_signature;
pub(crate) mod man;
pub(crate) mod output;
pub(crate) mod phone;
pub(crate) mod sms;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::context::Context;

/// Done.
pub const DONE: u8 = 0;
/// Failed.
pub const FAILED: u8 = 1;
/// Wrong usage or wrong configuration.
pub const MISUSED: u8 = 2;

/// Text a phone number, talk to an assistant that remembers you.
#[derive(Debug, Parser)]
#[command(name = "scrubjay", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "\
Without a command it serves. To try it with no account and no key: `scrubjay demo`, then in another terminal `scrubjay chat`.
Exit code 0: done. 1: failed. 2: wrong usage or configuration.";

/// Flags that stand above every layer of the configuration, and may stand anywhere on the line.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct GlobalArgs {
    /// The configuration file [default: config.toml in the working directory, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The YAML file with `env:` and `mcpServers:` [default: scrubjay.yaml beside the configuration file]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) yaml: Option<PathBuf>,
    /// The .env file [default: beside the configuration file, else in the working directory]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// Which [profiles.NAME] of the configuration file applies
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The folder where data lives, instead of storage.path
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page
    Man,
}

/// Does what the command line says.
///
/// # Errors
/// What went wrong and what to do about it; [`report`] tells the host and gives the exit code.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let _context = Context::new(cli.global);
    match cli.command {
        Some(Command::Completions(args)) => completions::run(&args),
        Some(Command::Man) | None => man::run(),
    }
}

/// Wrong usage that clap cannot see, such as an argument that is neither an id nor a number.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misuse(pub(crate) String);

/// Tells the host what went wrong, each cause after its effect, and gives the exit code.
///
/// Somebody who stopped reading our output (`scrubjay users list | head -1`) is told nothing: that is how pipes end.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    if output::is_broken_pipe(error) {
        return ExitCode::from(DONE);
    }
    output::complain(&format!("error: {error:#}"));
    ExitCode::from(exit_code(error))
}

/// Whose fault it is: the command line's and the configuration's (2), or anything else's (1).
fn exit_code(error: &anyhow::Error) -> u8 {
    let misused = error.chain().any(|cause| cause.is::<Misuse>());
    if misused { MISUSED } else { FAILED }
}
