//! The commands, one file each: its arguments and `run`.
//!
//! A command reads what it needs through [`Context`], does its work through the services of [`crate::app::App`], and prints
//! through [`output::Output`]: data to standard output, one document with `--json`; everything else to standard error.
//! Numbers are printed whole here: whoever may run these commands may read the store itself. They never reach a log.
//!
//! Adding one: a file with `Args` and `run`, and a line in [`Command`] and in [`run`].

mod archive;
mod chat;
mod completions;
mod config;
mod context;
mod conversations;
mod demo;
mod doctor;
mod doctor_signature;
mod files;
mod jobs;
mod keeping;
mod man;
mod mcp;
mod memory;
mod output;
mod person;
mod phone;
mod running;
mod schedules;
mod serve;
mod server_file;
mod sms;
mod store;
mod store_import;
mod todos;
mod token;
mod users;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::context::Context;
use crate::config::LoadError;

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
    /// Serve: webhooks, API and workers, until a signal
    Serve(serve::Args),
    /// Try everything on this machine alone, with no account and no key
    Demo(demo::Args),
    /// Text the system as a phone, in a terminal
    Chat(chat::Args),
    /// People: list, show, preferences, block
    Users(users::Args),
    /// Conversations: list, show, close
    Conversations(conversations::Args),
    /// Durable work: list, show, replay, discard
    Jobs(jobs::Args),
    /// Planned messages: list
    Schedules(schedules::Args),
    /// Serve one person's memory, todos and schedules to an MCP client, over stdin and stdout
    Mcp(mcp::Args),
    /// Memory: show, import, export
    Memory(memory::Args),
    /// Todo lists: list, import, export
    Todos(todos::Args),
    /// Everything that the store holds, as a file: write, read, verify. Also the way from one backend to another
    Archive(archive::Args),
    /// The store itself: figures, a check, an empty one
    Store(store::Args),
    /// Bearer tokens: create, list, revoke
    Token(token::Args),
    /// Tell how a phone number is read, or why it is refused
    Phone(phone::Args),
    /// Tell what would be sent for a text, and how many segments it takes
    Sms(sms::Args),
    /// Settings: what is in effect, where it came from, what is wrong with it
    Config(config::Args),
    /// Look at every part and say how to mend what is wrong
    Doctor(doctor::Args),
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
    let context = Context::new(cli.global);
    match cli.command.unwrap_or_else(|| Command::Serve(serve::Args::default())) {
        Command::Serve(args) => serve::run(args, &context),
        Command::Demo(args) => demo::run(args, &context),
        Command::Chat(args) => chat::run(&args, &context),
        Command::Users(args) => users::run(args, &context),
        Command::Conversations(args) => conversations::run(args, &context),
        Command::Jobs(args) => jobs::run(args, &context),
        Command::Memory(args) => memory::run(args, &context),
        Command::Todos(args) => todos::run(args, &context),
        Command::Schedules(args) => schedules::run(args, &context),
        Command::Archive(args) => archive::run(args, &context),
        Command::Store(args) => store::run(&args, &context),
        Command::Token(args) => token::run(args, &context),
        Command::Mcp(args) => mcp::run(args, &context),
        Command::Phone(args) => phone::run(&args, &context.settings()?.config.phone),
        Command::Sms(args) => sms::run(&args, &context.settings()?.config.sms),
        Command::Config(args) => config::run(args, &context.sources()),
        Command::Doctor(args) => doctor::run(args, &context),
        Command::Completions(args) => completions::run(&args),
        Command::Man => man::run(),
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
    let misused = error.chain().any(|cause| cause.is::<Misuse>() || cause.is::<LoadError>());
    if misused { MISUSED } else { FAILED }
}
