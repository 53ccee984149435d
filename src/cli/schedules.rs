//! `schedules`: what is planned to be texted to a person.

use std::process::ExitCode;

use super::context::{Context, Missing};
use super::output::Output;
use super::{DONE, person};
use crate::app::App;
use crate::store::ScheduleFilter;
use crate::toolset::schedule::ScheduleShape;

/// Arguments of `schedules`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List a person's schedules
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Whose, by id or number
    #[arg(long, value_name = "USER")]
    user: String,
    /// Also those that have run for the last time
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: Output,
}

/// A schedule, and its rule in words for the table.
#[derive(serde::Serialize)]
struct Row {
    #[serde(flatten)]
    shape: ScheduleShape,
    #[serde(skip)]
    rule: String,
}

/// Does what was asked.
pub(crate) fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let Command::List(list) = args.command;
    context.with_app(Missing::Refuse, async |app| self::list(&list, app).await)?;
    Ok(ExitCode::from(DONE))
}

async fn list(args: &ListArgs, app: &App) -> anyhow::Result<()> {
    let user = person::get(&args.user, app).await?;
    let mut schedules = app.remind.list(user.id, ScheduleFilter::All).await?;
    schedules.retain(|schedule| args.all || !schedule.finished);
    let rows: Vec<Row> =
        schedules.iter().map(|schedule| Row { shape: ScheduleShape::from(schedule), rule: schedule.when.to_string() }).collect();
    let headings = ["ID", "NEXT RUN", "RULE", "ZONE", "MODE", "RUNS", "FAILED", "LAST RESULT", "NAME"];
    args.output.print_list(&rows, None, &headings, |Row { shape, rule }| {
        let off = if shape.enabled { String::new() } else { "off".to_owned() };
        vec![
            shape.id.to_string(),
            shape.next_run.clone().unwrap_or(off),
            rule.clone(),
            shape.timezone.clone(),
            shape.mode.to_owned(),
            shape.runs.to_string(),
            shape.failures.to_string(),
            shape.last_result.clone().unwrap_or_default(),
            shape.name.clone(),
        ]
    })
}
