//! `users export` and `users erase`: what somebody may ask for who wants to know, or to go.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;

use anyhow::bail;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::app::App;
use crate::cli::output::{Output, complain};
use crate::cli::{Misuse, files, person};
use crate::service::erase::Eraser;
use crate::store::Whose;

/// Whether somebody has been asked whether they mean it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Already,
    NotYet,
}

/// All that is stored of a person.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Exported {
    user_id: String,
    #[serde(rename = "exportedAt")]
    at: String,
    opted_out: bool,
    records: BTreeMap<&'static str, Vec<Map<String, Value>>>,
}

/// Writes all that is stored of a person.
pub(super) async fn export(user: &str, file: Option<&Path>, app: &App) -> anyhow::Result<()> {
    let user = person::get(user, app).await?;
    let store = app.archive_store();
    let mut records: BTreeMap<&'static str, Vec<Map<String, Value>>> = BTreeMap::new();
    let mut snapshot = store.snapshot(Whose::Persons(user.id)).await?;
    while let Some(batch) = snapshot.next().await {
        for record in batch? {
            let mut fields: Map<String, Value> = serde_json::from_str(&record.to_json()?)?;
            // What the document says once, and what would open a door.
            for left_out in ["kind", "userId", "hash"] {
                fields.remove(left_out);
            }
            records.entry(record.kind().as_str()).or_default().push(fields);
        }
    }
    let opted_out = match &user.phone {
        Some(phone) => store.is_opted_out(phone).await?,
        None => false,
    };
    let exported = Exported { user_id: user.id.to_string(), at: app.clock.now().to_string(), opted_out, records };
    let mut text = serde_json::to_string_pretty(&exported)?;
    text.push('\n');
    files::write(file, &text)
}

/// Erases a person, to the last row.
pub(super) async fn erase(user: &str, asked: Asked, output: Output, app: &App) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Erased {
        erased: String,
    }
    let user = person::get(user, app).await?;
    let shown = user.phone.as_ref().map_or_else(|| user.id.to_string(), |phone| phone.as_str().to_owned());
    if asked == Asked::NotYet {
        ask(&shown)?;
    }
    app.people.erase(user.id).await?;
    Eraser::new(app.archive_store()).erase_all().await?;
    output.print(&Erased { erased: user.id.to_string() }, |_erased| {
        format!("{shown} is erased; archives that were written before still hold them, until they are replaced or deleted")
    })
}

fn ask(shown: &str) -> anyhow::Result<()> {
    let question = format!("{shown}: account, conversations, memory, todos and schedules go for good. Type yes to erase them:");
    confirm(&question, "erasing cannot be undone; --yes says that it is meant", "nothing was erased")
}

/// Waits for a `yes` at the terminal. Without one there is nobody to ask, and with another answer nothing is done.
pub(super) fn confirm(question: &str, without_terminal: &str, refused: &'static str) -> anyhow::Result<()> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Misuse(without_terminal.to_owned()).into());
    }
    complain(question);
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    if line.trim() != "yes" {
        bail!(refused);
    }
    Ok(())
}
