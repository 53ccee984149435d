//! `jobs`: durable work that is not done yet, and what to do about what was given up.

use std::process::ExitCode;

use super::context::{Context, Missing};
use super::output::{ListArgs, Output, fields};
use super::{DONE, Misuse};
use crate::domain::job::{Job, JobId};
use crate::store::JobFilter;

/// Arguments of `jobs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List what is not done yet, given-up jobs included, oldest first
    List {
        /// Done ones too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show one job
    Show(OneArgs),
    /// Make a given-up job due now, with its attempts counted anew
    Replay(OneArgs),
    /// End a given-up or waiting job without doing it
    Discard(OneArgs),
}

#[derive(Debug, clap::Args)]
struct OneArgs {
    /// The job's id: reply-… or deliver-…
    #[arg(value_name = "JOB")]
    id: String,
    #[command(flatten)]
    output: Output,
}

impl OneArgs {
    fn id(&self) -> Result<JobId, Misuse> {
        self.id.parse().map_err(|_not_an_id| {
            Misuse(format!("{:?} is not a job's id (reply-… or deliver-…); `scrubjay jobs list` shows them", self.id))
        })
    }
}

/// Does what was asked.
pub(crate) fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    context.with_app(Missing::Refuse, async |app| match args.command {
        Command::List { all, list } => {
            let filter = if all { JobFilter::All } else { JobFilter::Unfinished };
            let page = app.jobs.list(filter, list.page()).await?;
            let headings = ["ID", "STATE", "USER", "ATTEMPTS", "DUE", "ERROR"];
            list.output.print_list(&page.items, page.next.as_deref(), &headings, |job| {
                let error = job.error.clone().unwrap_or_default();
                vec![job.id.to_string(), state(job), job.user.to_string(), job.attempts.to_string(), job.due.to_string(), error]
            })
        }
        Command::Show(one) => one.output.print(&app.jobs.get(one.id()?).await?, describe),
        Command::Replay(one) => one.output.print(&app.jobs.replay(one.id()?).await?, describe),
        Command::Discard(one) => one.output.print(&app.jobs.discard(one.id()?).await?, describe),
    })?;
    Ok(ExitCode::from(DONE))
}

fn state(job: &Job) -> String {
    word(&job.state)
}

/// The word that JSON has for a value.
fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn describe(job: &Job) -> String {
    fields(&[
        ("id", job.id.to_string()),
        ("kind", word(&job.kind)),
        ("state", state(job)),
        ("user", job.user.to_string()),
        ("attempts", job.attempts.to_string()),
        ("due", job.due.to_string()),
        ("error", job.error.clone().unwrap_or_default()),
    ])
}
