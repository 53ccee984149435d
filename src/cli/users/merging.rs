//! `users merge`: one person of two.

use anyhow::bail;
use serde::Serialize;

use super::leaving;
use crate::app::App;
use crate::cli::output::Output;
use crate::cli::{Misuse, keeping, person};
use crate::domain::phone::PhoneNumber;
use crate::domain::user::User;
use crate::store::StoreError;

/// Arguments of `users merge`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The account that goes, by id or number
    from: String,
    /// The account that stays, by id or number
    into: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Do not write an archive of the store first
    #[arg(long)]
    no_archive: bool,
    #[command(flatten)]
    output: Output,
}

/// What was done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    user: String,
    merged: String,
    /// The archive of before.
    #[serde(skip_serializing_if = "Option::is_none")]
    archive: Option<String>,
    /// The number of the account that went, which is nobody's now.
    #[serde(skip_serializing_if = "Option::is_none")]
    freed_number: Option<String>,
    /// The number that the account that stays took over.
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_number: Option<String>,
    /// The account that stays is opted out now, as the other was.
    opted_out: bool,
    conversations: u64,
    entities: u64,
    observations: u64,
    relations: u64,
    todos: u64,
    schedules: u64,
}

impl Shown {
    fn text(&self) -> String {
        let mut lines = vec![format!("{} is part of {} now", self.merged, self.user)];
        let counts = [
            (self.conversations, "conversations"),
            (self.entities, "entities"),
            (self.observations, "observations"),
            (self.relations, "relations"),
            (self.todos, "todo items"),
            (self.schedules, "schedules"),
        ];
        let added: Vec<String> = counts.iter().filter(|(count, _what)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        if !added.is_empty() {
            lines.push(format!("added: {}", added.join(", ")));
        }
        if let Some(number) = &self.taken_number {
            lines.push(format!("its number is {number} now"));
        }
        if let Some(number) = &self.freed_number {
            lines.push(format!("{number} is nobody's now: a text from it makes a new person"));
        }
        if self.opted_out {
            lines.push("it is opted out now, as the other was: START undoes that".to_owned());
        }
        if let Some(archive) = &self.archive {
            lines.push(format!("what was before is in {archive}"));
        }
        lines.join("\n")
    }
}

/// Makes one person of two.
pub(super) async fn merge(args: &Args, app: &App) -> anyhow::Result<()> {
    let into = person::get(&args.into, app).await?;
    let from = match person::get(&args.from, app).await {
        Ok(from) => from,
        // A merge that was interrupted behind its commit is over, but for a number that was still to be taken over.
        Err(gone) => return finish(args, &into, app).await.unwrap_or(Err(gone)),
    };
    if from.id == into.id {
        return Err(Misuse("both are the same person".to_owned()).into());
    }
    if !args.yes {
        let question = format!(
            "everything of {} becomes {}'s, and the account {} goes for good. Type yes to merge them:",
            named(&from),
            named(&into),
            from.id
        );
        leaving::confirm(&question, "merging cannot be undone; --yes says that it is meant", "nothing was merged")?;
    }
    let archive = if args.no_archive {
        None
    } else {
        match keeping::archive_before("merge", app.archive_store(), &app.config, &app.clock).await {
            Ok(path) => Some(path.display().to_string()),
            Err(error) => {
                bail!("nothing was merged, because no archive could be written first: {error:#}; --no-archive merges without one")
            }
        }
    };
    let merged = app.people.merge(from.id, into.id, keeping::merge_limits(&app.config)).await?;
    let number = |phone: &PhoneNumber| phone.as_str().to_owned();
    let shown = Shown {
        user: into.id.to_string(),
        merged: from.id.to_string(),
        archive,
        freed_number: merged.freed.as_ref().map(number),
        taken_number: merged.taken.as_ref().map(number),
        opted_out: merged.opted_out,
        conversations: merged.conversations,
        entities: merged.entities,
        observations: merged.observations,
        relations: merged.relations,
        todos: merged.todos,
        schedules: merged.schedules,
    };
    args.output.print(&shown, Shown::text)
}

/// Finishes what is left of an interrupted merge, where FROM was named by its id; `None` where there is nothing of that kind.
async fn finish(args: &Args, into: &User, app: &App) -> Option<anyhow::Result<()>> {
    let from = args.from.parse().ok()?;
    match app.people.merge(from, into.id, keeping::merge_limits(&app.config)).await {
        Ok(merged) => Some(args.output.print(&merged.taken.map(|phone| phone.as_str().to_owned()), |taken| match taken {
            Some(number) => format!("the merge is finished; its number is {number} now\n"),
            None => "the merge is finished\n".to_owned(),
        })),
        Err(StoreError::NotFound { .. }) => None,
        Err(error) => Some(Err(error.into())),
    }
}

fn named(user: &User) -> String {
    user.phone.as_ref().map_or_else(|| user.id.to_string(), |phone| phone.as_str().to_owned())
}
