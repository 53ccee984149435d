//! `todos`: a person's list, shown, taken in and given out.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::context::{Context, Missing};
use super::output::{ListArgs, Output, complain};
use super::person::{self, Whose};
use super::{DONE, files};
use crate::app::App;
use crate::domain::ids::UserId;
use crate::domain::todo::TodoState;
use crate::service::todos::{TodoError, Wanted};
use crate::store::todo_document::Document;
use crate::store::{Page, PageRequest};
use crate::toolset::todo::TodoShape;

/// Arguments of `todos`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List a person's items, oldest first
    List {
        #[command(flatten)]
        whose: Whose,
        /// Only those that are still to be done
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Add the items of a JSON file, all or none; a repeat adds nothing. A new number makes the person
    Import {
        #[command(flatten)]
        whose: Whose,
        /// The file: what `export` wrote, an array of items, or an item a line; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Write a person's items as JSON
    Export {
        #[command(flatten)]
        whose: Whose,
        /// Where to; standard output when it is left out or `-`
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// What an import did.
#[derive(Serialize)]
struct Report {
    added: usize,
    known: usize,
}

/// A list as it is given out.
#[derive(Serialize)]
struct Exported {
    todos: Vec<TodoShape>,
}

/// Does what was asked.
pub(crate) fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List { whose, open, list } => {
            context.with_app(Missing::Refuse, async |app| self::list(&whose, open.then_some(TodoState::Open), &list, app).await)
        }
        Command::Import { whose, file, output } => {
            let text = files::read(&file)?;
            context.with_app(Missing::Make, async |app| import(&whose, &text, output, app).await)
        }
        Command::Export { whose, file } => context.with_app(Missing::Refuse, async |app| export(&whose, file.as_deref(), app).await),
    }?;
    Ok(ExitCode::from(DONE))
}

async fn list(whose: &Whose, state: Option<TodoState>, list: &ListArgs, app: &App) -> anyhow::Result<()> {
    let page = match person::find_account(whose.user.as_deref(), app).await? {
        Some(user) => app.todos.list(user.id, Wanted { state, ..Wanted::default() }, list.page()).await?,
        None => Page { items: Vec::new(), next: None },
    };
    let headings = ["ID", "", "PRIORITY", "DUE", "CATEGORY", "TEXT"];
    let items: Vec<TodoShape> = page.items.iter().map(TodoShape::from).collect();
    list.output.print_list(&items, page.next.as_deref(), &headings, |item| {
        vec![
            item.id.to_string(),
            if item.completed { "done".to_owned() } else { String::new() },
            item.priority.to_owned(),
            item.due_date.clone().unwrap_or_default(),
            item.category.clone().unwrap_or_default(),
            // One item, one line.
            item.text.split_whitespace().collect::<Vec<_>>().join(" "),
        ]
    })
}

async fn import(whose: &Whose, text: &str, output: Output, app: &App) -> anyhow::Result<()> {
    let (items, places) = Document::read(text, app.clock.now())?.into_parts();
    let user = person::open_account(whose.user.as_deref(), app).await?;
    let report = app.todos.import(user.id, items).await.map_err(|error| match error {
        TodoError::InvalidItems(wrong) => anyhow::Error::from(places.problems(&wrong)),
        other => other.into(),
    })?;
    output.print(&Report { added: report.added, known: report.known }, |report| match report.known {
        0 => format!("{} items added", report.added),
        known => format!("{} items added, {known} were there already", report.added),
    })
}

async fn export(whose: &Whose, file: Option<&std::path::Path>, app: &App) -> anyhow::Result<()> {
    let todos = match person::find_account(whose.user.as_deref(), app).await? {
        Some(user) => all(user.id, app).await?,
        None => Vec::new(),
    };
    let mut text = serde_json::to_string_pretty(&Exported { todos })?;
    text.push('\n');
    files::write(file, &text)?;
    if let Some(file) = file.filter(|file| !files::is_stream(file)) {
        complain(&format!("written to {}", file.display()));
    }
    Ok(())
}

/// Every item, in pages.
async fn all(user: UserId, app: &App) -> anyhow::Result<Vec<TodoShape>> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = app.todos.list(user, Wanted::default(), PageRequest { cursor, limit: 1000 }).await?;
        found.extend(page.items.iter().map(TodoShape::from));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(found);
        }
    }
}
