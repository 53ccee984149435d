//! `store import`: the files of the earlier memory and todo servers.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::output::Output;
use super::{DONE, FAILED};
use crate::app::App;
use crate::config::sections::Backend;
use crate::service::plan_files::{self, Outcome, PlanFile};
use crate::store;

/// Takes in what a folder holds, and tells of each file what became of it.
pub(super) async fn import(folder: &Path, output: Output, app: &App) -> anyhow::Result<ExitCode> {
    let files = plan_files::list(folder).with_context(|| format!("{} could not be read", folder.display()))?;
    if files.is_empty() {
        anyhow::bail!("there is no users/<id>/data.json in {}", folder.display());
    }
    let taken = take_in(files, app).await?;
    let refused = taken.iter().any(|file| matches!(file.outcome, Outcome::Refused { .. }));
    output.print(&taken, |taken| taken.iter().map(line).collect())?;
    Ok(ExitCode::from(if refused { FAILED } else { DONE }))
}

/// With the JSON backend, takes in what lies beside its own files. What cannot be taken in stops nobody.
pub(super) async fn at_start(app: &App) -> anyhow::Result<()> {
    if app.config.storage.backend != Backend::Json {
        return Ok(());
    }
    let folder = store::json_folder(&app.config.storage);
    if !folder.join("users").is_dir() {
        return Ok(());
    }
    let files = plan_files::list(&folder).with_context(|| format!("{} could not be read", folder.display()))?;
    for file in take_in(files, app).await? {
        match &file.outcome {
            Outcome::Known => {}
            Outcome::Refused { .. } => {
                tracing::warn!(
                    file = %file.file.display(),
                    "a file of an earlier server is not taken in and stays as it is; `scrubjay store import` says why"
                );
            }
            Outcome::Graph { .. } | Outcome::Todos { .. } => {
                tracing::info!(file = %file.file.display(), "a file of an earlier server was taken in, and stays as it is");
            }
        }
    }
    Ok(())
}

async fn take_in(files: Vec<PathBuf>, app: &App) -> anyhow::Result<Vec<PlanFile>> {
    let store = app.archive_store();
    let mut taken = Vec::with_capacity(files.len());
    for file in files {
        taken.push(plan_files::take_in(&store, &app.clock, &app.config.people.email_domain, &file).await?);
    }
    Ok(taken)
}

fn line(file: &PlanFile) -> String {
    let shown = file.file.display();
    match &file.outcome {
        Outcome::Graph { entities } => format!("{shown}: {entities} entities added\n"),
        Outcome::Todos { added, known } => format!("{shown}: {added} items added, {known} were there already\n"),
        Outcome::Known => format!("{shown}: taken in before\n"),
        Outcome::Refused { reason } => format!("{shown}: not taken in: {reason}\n"),
    }
}
