//! `schedules`: what is planned to be texted to a person.

use std::process::ExitCode;

use super::DONE;
use super::context::{Context, Missing};
use super::output;
use super::person::{self, Whose};
use crate::app::App;
use crate::domain::schedule::Schedule;
use crate::store::{Page, PageRequest, ScheduleFilter, StoreError};
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
    List(Wanted),
}

#[derive(Debug, clap::Args)]
struct Wanted {
    #[command(flatten)]
    whose: Whose,
    /// Also those that have run for the last time
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    list: output::ListArgs,
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

async fn list(args: &Wanted, app: &App) -> anyhow::Result<()> {
    let mut schedules = match person::find_account(args.whose.user.as_deref(), app).await? {
        Some(user) => app.remind.list(user.id, ScheduleFilter::All).await?,
        None => Vec::new(),
    };
    schedules.retain(|schedule| args.all || !schedule.finished);
    let Page { items, next } = part(schedules, &args.list.page())?;
    let rows: Vec<Row> =
        items.iter().map(|schedule| Row { shape: ScheduleShape::from(schedule), rule: schedule.when.to_string() }).collect();
    let headings = ["ID", "NEXT RUN", "RULE", "ZONE", "MODE", "RUNS", "FAILED", "LAST RESULT", "NAME"];
    args.list.output.print_list(&rows, next.as_deref(), &headings, |Row { shape, rule }| {
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

/// A page of a person's schedules. There are few, so the store gives them at once, by their numbers; a cursor is the last one shown.
fn part(mut schedules: Vec<Schedule>, page: &PageRequest) -> Result<Page<Schedule>, StoreError> {
    if let Some(cursor) = &page.cursor {
        let after: i64 = cursor.parse().map_err(|_no_number| StoreError::InvalidCursor)?;
        schedules.retain(|schedule| schedule.id.0 > after);
    }
    let more = schedules.len() > page.limit;
    schedules.truncate(page.limit);
    let next = schedules.last().filter(|_last| more).map(|last| last.id.0.to_string());
    Ok(Page { items: schedules, next })
}
