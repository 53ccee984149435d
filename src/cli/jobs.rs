//! `jobs`: durable work that is not done yet, and what to do about what was given up.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::context::{Context, Missing};
use super::output::{ListArgs, Output, fields};
use super::{DONE, Misuse};
use crate::domain::job::{Job, JobId};
use crate::domain::step::{RecordedCall, Step};
use crate::domain::time::Timestamp;
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
        Command::Show(one) => {
            let job = app.jobs.get(one.id()?).await?;
            let calls = app.jobs.steps(&job).await?.iter().flat_map(Called::of).collect();
            one.output.print(&Shown { job, calls }, describe_with_calls)
        }
        Command::Replay(one) => one.output.print(&app.jobs.replay(one.id()?).await?, describe),
        Command::Discard(one) => one.output.print(&app.jobs.discard(one.id()?).await?, describe),
    })?;
    Ok(ExitCode::from(DONE))
}

/// A job with the tools that were called for it.
#[derive(Debug, serde::Serialize)]
struct Shown {
    #[serde(flatten)]
    job: Job,
    /// In the model's order; absent where none was called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calls: Vec<Called>,
}

/// A call of a tool.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Called {
    /// Which of the model's answers asked for it, from 1.
    step: u32,
    /// The tool.
    name: String,
    /// As the model wrote them.
    arguments: String,
    /// asked, started, done or failed.
    state: &'static str,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    /// What the model was told.
    result: Option<String>,
}

impl Called {
    fn of(step: &Step) -> Vec<Self> {
        let called = |recorded: &RecordedCall| Self {
            step: step.number,
            name: recorded.call.name.clone(),
            arguments: recorded.call.arguments.clone(),
            state: match (&recorded.result, recorded.begun_at) {
                (Some(result), _) if result.failed => "failed",
                (Some(_), _) => "done",
                (None, Some(_)) => "started",
                (None, None) => "asked",
            },
            started_at: recorded.begun_at,
            ended_at: recorded.ended_at,
            result: recorded.result.as_ref().map(|result| result.text.clone()),
        };
        step.calls.iter().map(called).collect()
    }
}

fn describe_with_calls(shown: &Shown) -> String {
    let mut text = describe(&shown.job);
    for Called { step, name, state, .. } in &shown.calls {
        let _infallible = writeln!(text, "step {step}    {name} {state}");
    }
    text
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
