//! `archive`: everything that a store holds, as a file, and back. It is also the way from one backend to another.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::context::{Context, Missing};
use super::output::{Output, complain, fields};
use super::{DONE, FAILED, Misuse, files};
use crate::clock::Clock;
use crate::service::archives::{self, Faults, Found, KeepError, Progress, Target, Verified};
use crate::store::archive::{ArchiveError, Existing, Summary};
use crate::store::{self, StoreError};

/// Arguments of `archive`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write everything that the store holds at this moment, also while a server runs
    Write {
        /// The file, which takes its name when it is whole; `-` is standard output
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Write over a file of that name
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Restore an archive into an empty store; interrupted, the same command goes on
    Read {
        /// The file; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Tell whether an archive is as it was written, and whether its records fit together
    Verify {
        /// The file; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
}

/// What an archive holds, as it is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    summary: Option<&'a Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    people: Option<u64>,
    /// Records that were in the store from an earlier try.
    #[serde(skip_serializing_if = "Option::is_none")]
    restored_before: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    faults: &'a [Found],
    fault_count: u64,
}

impl<'a> Told<'a> {
    const fn of(summary: &'a Summary) -> Self {
        Self { ok: true, error: None, summary: Some(summary), people: None, restored_before: None, faults: &[], fault_count: 0 }
    }

    fn with_faults(mut self, faults: &'a Faults) -> Self {
        self.ok = faults.count == 0;
        self.faults = &faults.told;
        self.fault_count = faults.count;
        self
    }

    fn text(&self, headline: &str) -> String {
        let Some(summary) = self.summary else { return format!("{headline}\n") };
        let mut pairs = vec![("records", summary.records.to_string())];
        pairs.extend(self.people.map(|people| ("people", people.to_string())));
        pairs.extend(self.restored_before.filter(|before| *before > 0).map(|before| ("there before", before.to_string())));
        pairs.push(("bytes", summary.bytes.to_string()));
        pairs.push(("sha256", summary.sha256.clone()));
        let mut text = format!("{headline}\n{}", fields(&pairs));
        for found in self.faults {
            text.push_str(&line_of(found));
        }
        let more = self.fault_count.saturating_sub(self.faults.len() as u64);
        if more > 0 {
            let _infallible = writeln!(text, "and {more} more");
        }
        text
    }
}

fn line_of(found: &Found) -> String {
    match found.line {
        Some(line) => format!("line {line}: {}\n", found.fault),
        None => format!("{}\n", found.fault),
    }
}

/// Does what was asked.
pub(crate) fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Write { file, force, output } => {
            let existing = if force { Existing::Replaced } else { Existing::Kept };
            context.with_app(Missing::Refuse, async |app| write(&file, existing, output, app.archive_store()).await)
        }
        Command::Read { file, output } => {
            let storage = context.settings()?.config.storage;
            let runtime = Builder::new_current_thread().enable_all().build().context("the system gave no runtime")?;
            runtime.block_on(read(&file, output, &storage))
        }
        Command::Verify { file, output } => {
            // The log begins, as it does for every command; an archive needs no store.
            context.settings()?;
            let runtime = Builder::new_current_thread().enable_all().build().context("the system gave no runtime")?;
            runtime.block_on(verify(&file, output))
        }
    }
}

async fn write(file: &Path, existing: Existing, output: Output, store: store::SharedStore) -> anyhow::Result<ExitCode> {
    let stream = files::is_stream(file);
    if stream && output.is_json() {
        return Err(Misuse("--json and the archive cannot both go to standard output; give a file".to_owned()).into());
    }
    let target = if stream {
        Target::Stream(Box::new(BufWriter::with_capacity(1 << 18, std::io::stdout())))
    } else {
        Target::File { path: file.to_owned(), existing }
    };
    let bar = bar(None, "written");
    let shown = bar.clone();
    let written = archives::write(store, target, CancellationToken::new(), move |at: Progress| {
        shown.set_position(at.bytes);
        shown.set_message(format!("{} records", at.records));
    })
    .await;
    bar.finish_and_clear();
    let summary = written.map_err(|error| explain(error, file))?;
    let told = Told::of(&summary);
    if stream {
        complain(told.text("written").trim_end());
        return Ok(ExitCode::from(DONE));
    }
    output.print(&told, |told| told.text(&format!("{} is written", file.display())))?;
    Ok(ExitCode::from(DONE))
}

async fn verify(file: &Path, output: Output) -> anyhow::Result<ExitCode> {
    let archive = open(file)?;
    let verified = match look(&archive).await {
        Ok(verified) => verified,
        Err(KeepError::Archive(error @ (ArchiveError::Damaged { .. } | ArchiveError::Unsupported(_)))) => {
            let told = Told {
                ok: false,
                error: Some(error.to_string()),
                summary: None,
                people: None,
                restored_before: None,
                faults: &[],
                fault_count: 0,
            };
            output.print(&told, |_told| error.to_string())?;
            return Ok(ExitCode::from(FAILED));
        }
        Err(error) => return Err(explain(error, file)),
    };
    let mut told = Told::of(&verified.summary).with_faults(&verified.faults);
    told.people = Some(verified.people);
    let ok = told.ok;
    let headline = if ok { "the archive is as it was written" } else { "the archive is as it was written, but does not fit together" };
    output.print(&told, |told| told.text(headline))?;
    Ok(ExitCode::from(if ok { DONE } else { FAILED }))
}

async fn read(file: &Path, output: Output, storage: &crate::config::sections::Storage) -> anyhow::Result<ExitCode> {
    let archive = open(file)?;
    let Verified { summary, people, faults } = look(&archive).await.map_err(|error| explain(error, file))?;
    if let Some(first) = faults.told.first() {
        anyhow::bail!(
            "the records of {} do not fit together ({} faults, the first: {}); nothing was restored. `scrubjay archive verify` lists them",
            file.display(),
            faults.count,
            line_of(first).trim_end()
        );
    }
    let store = store::open_to_restore(storage, Clock::system())?;
    let bar = bar(Some(summary.bytes), "restored");
    let shown = bar.clone();
    let restored = archives::restore(std::sync::Arc::clone(&store), archive, summary.clone(), move |at: Progress| {
        shown.set_position(at.bytes);
        shown.set_message(format!("{} records", at.records));
    })
    .await;
    bar.finish_and_clear();
    store.close().await;
    let before = restored.map_err(|error| explain(error, file))?;
    let told = Told { people: Some(people), restored_before: Some(before), ..Told::of(&summary) };
    output.print(&told, |told| told.text(&format!("{} is restored", file.display())))?;
    Ok(ExitCode::from(DONE))
}

async fn look(archive: &File) -> Result<Verified, KeepError> {
    let bar = bar(archive.metadata().ok().map(|metadata| metadata.len()), "verified");
    let shown = bar.clone();
    let verified = archives::verify(archive.try_clone()?, move |at: Progress| {
        shown.set_position(at.bytes);
        shown.set_message(format!("{} records", at.records));
    })
    .await;
    bar.finish_and_clear();
    verified
}

/// The archive as a file that can be read twice: what comes through a pipe is kept in one without a name.
fn open(file: &Path) -> anyhow::Result<File> {
    if !files::is_stream(file) {
        return File::open(file).with_context(|| format!("{} could not be read", file.display()));
    }
    let spool = || -> std::io::Result<File> {
        let mut spool = files::nameless()?;
        std::io::copy(&mut std::io::stdin().lock(), &mut spool)?;
        spool.flush()?;
        spool.rewind()?;
        Ok(spool)
    };
    spool().context("what comes from standard input could not be kept in the folder for temporary files (TMPDIR)")
}

/// A bar on a terminal, and nothing elsewhere.
fn bar(bytes: Option<u64>, word: &str) -> ProgressBar {
    let bar = bytes.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let template = match bytes {
        Some(_known) => format!("{{bar:30}} {{bytes}} of {{total_bytes}} {word}, {{msg}}"),
        None => format!("{{spinner}} {{bytes}} {word}, {{msg}}"),
    };
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}

/// An error with the file, and with what to do about it.
fn explain(error: KeepError, file: &Path) -> anyhow::Error {
    match error {
        // Elsewhere a reader that left is how pipes end; here it means that there is no archive.
        KeepError::Archive(ArchiveError::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            anyhow::anyhow!("whoever read the archive from standard output left before its end ({error}); what was taken is no archive")
        }
        KeepError::Archive(ArchiveError::Io(error)) => {
            let exists = error.kind() == std::io::ErrorKind::AlreadyExists;
            let what = anyhow::Error::from(error).context(file.display().to_string());
            if exists { what.context("nothing was written; --force writes over it") } else { what }
        }
        KeepError::Archive(error) => anyhow::Error::from(error).context(file.display().to_string()),
        KeepError::Store(error @ StoreError::Conflict { .. }) => anyhow::Error::from(error).context("nothing was restored"),
        other => other.into(),
    }
}
