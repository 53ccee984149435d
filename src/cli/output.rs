//! The only way to standard output and, beside the log, to standard error.
//!
//! Every command writes whole pieces through one lock, so that threads cannot mix their lines, and hands a broken pipe up as an
//! error, where it ends the program quietly.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// How data is printed.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Output {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Part of a listing.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ListArgs {
    /// Entries at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Where the listing before ended, as it said
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl ListArgs {
    /// What to ask a store for.
    pub(crate) fn page(&self) -> crate::store::PageRequest {
        crate::store::PageRequest { cursor: self.cursor.clone(), limit: usize::try_from(self.limit).unwrap_or(usize::MAX) }
    }
}

impl Output {
    /// Whether a document was asked for.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// One document, or what `human` makes of it.
    pub(crate) fn print<T: Serialize>(self, data: &T, human: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        let mut text = if self.json { serde_json::to_string_pretty(data)? } else { human(data) };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        write_text(&text)
    }

    /// A bare array, or a table with these headings, a row made of each entry; where to go on is told beside the data.
    pub(crate) fn print_list<T: Serialize>(
        self,
        items: &[T],
        next: Option<&str>,
        headings: &[&str],
        row: impl Fn(&T) -> Vec<String>,
    ) -> anyhow::Result<()> {
        self.print(&items, |items| if items.is_empty() { "none\n".to_owned() } else { table(headings, items.iter().map(row)) })?;
        if let Some(next) = next {
            complain(&format!("there is more: --cursor {next}"));
        }
        Ok(())
    }
}

/// Rows under headings, as wide as they need to be: cells are never cut, so that ids can be copied.
pub(crate) fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(headings.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Names and values, one pair a line.
pub(crate) fn fields(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in pairs {
        let _infallible = writeln!(text, "{name:width$}  {value}");
    }
    text
}

/// Text to standard output.
pub(crate) fn write_text(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// A finished document to standard output; the command is done.
pub(crate) fn write_bytes(bytes: &[u8]) -> anyhow::Result<ExitCode> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()?;
    Ok(ExitCode::from(super::DONE))
}

/// A line to standard error. Nothing can be done when nobody reads it.
pub(crate) fn complain(line: &str) {
    let _unread = writeln!(io::stderr().lock(), "{line}");
}

/// Whether somebody stopped reading our output.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
