//! `store`: how much it holds and of whom, whether all of it fits together, and an empty one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde::Serialize;
use tokio::runtime::Builder;

use super::context::{Context, Missing, with_app};
use super::output::{Output, complain, table};
use super::{DONE, FAILED, store_import};
use crate::app::App;
use crate::clock::Clock;
use crate::config::sections::Storage;
use crate::service::archives::{self, Found};
use crate::store::record::Record;
use crate::store::{self, Whose};

/// Arguments of `store`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Count records and their bytes, by kind and by person
    Stats {
        /// People at most, those with the most bytes first
        #[arg(long, value_name = "N", default_value_t = 20)]
        people: usize,
        #[command(flatten)]
        output: Output,
    },
    /// Tell whether what the store holds fits together, and how to mend what does not; nothing is changed
    Check {
        /// First put the last good copy in place of each damaged file (JSON files; nothing may have the store open)
        #[arg(long)]
        use_previous: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Take in the files of the earlier memory and todo servers, users/ID/data.json; they stay as they are, and a repeat changes nothing
    Import {
        /// The folder that holds users
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Make an empty store where the settings say; refused where one holds something
    Init {
        #[command(flatten)]
        output: Output,
    },
}

/// Records, and how long they are as lines of an archive.
#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Amount {
    records: u64,
    bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.records += 1;
        self.bytes += bytes;
    }
}

/// Figures of a store.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    backend: &'static str,
    people: u64,
    all: Amount,
    kinds: BTreeMap<&'static str, Amount>,
    /// What is nobody's.
    shared: Amount,
    largest: Vec<OfPerson>,
}

/// Figures of one person.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct OfPerson {
    user: String,
    #[serde(flatten)]
    all: Amount,
    kinds: BTreeMap<&'static str, Amount>,
}

impl Stats {
    /// Keeps a person among the largest.
    fn keep(&mut self, person: Option<OfPerson>, at_most: usize) {
        let Some(person) = person else { return };
        self.people += 1;
        let place = self.largest.partition_point(|other| other.all.bytes >= person.all.bytes);
        self.largest.insert(place, person);
        self.largest.truncate(at_most);
    }

    fn text(&self) -> String {
        let row = |name: String, amount: Amount| vec![name, amount.records.to_string(), amount.bytes.to_string()];
        let kinds = self.kinds.iter().map(|(kind, amount)| row((*kind).to_owned(), *amount));
        let mut text = format!("{} people, backend {}\n\n", self.people, self.backend);
        text.push_str(&table(&["KIND", "RECORDS", "BYTES"], kinds.chain([row("all".to_owned(), self.all)])));
        if !self.largest.is_empty() {
            text.push('\n');
            let people = self.largest.iter().map(|person| row(person.user.clone(), person.all));
            text.push_str(&table(&["PERSON", "RECORDS", "BYTES"], people));
        }
        text
    }
}

/// What a check found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    ok: bool,
    records: u64,
    /// Records that do not fit together: the first of them.
    faults: Vec<Found>,
    fault_count: u64,
    /// What the backend says of its own files.
    damage: Vec<store::Damage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<&'static str>,
}

/// What to do about records that do not fit.
const MEND: &str = "keep the data as it is (`scrubjay archive write`), then restore the newest archive that `archive verify` finds whole \
                    into an empty store; what does not fit is named above";

/// Does what was asked.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Stats { people, output } => context.with_app(Missing::Refuse, async |app| stats(app, people, output).await),
        Command::Check { use_previous, output } => {
            let loaded = context.settings()?;
            if use_previous {
                mend(&loaded.config.storage)?;
            }
            with_app(loaded, Missing::Refuse, async |app| check(app, output).await)
        }
        Command::Import { ref folder, output } => {
            context.with_app(Missing::Make, async |app| store_import::import(folder, output, app).await)
        }
        Command::Init { output } => init(context, output),
    }
}

/// Goes back to the last good copies, and says which.
fn mend(storage: &Storage) -> anyhow::Result<()> {
    for mended in store::use_previous(storage, &Clock::system())? {
        complain(&format!("{}: {}", mended.file.display(), mended.what));
    }
    Ok(())
}

async fn stats(app: &App, people: usize, output: Output) -> anyhow::Result<ExitCode> {
    let mut stats = Stats { backend: app.config.storage.backend.name(), ..Stats::default() };
    let mut person: Option<OfPerson> = None;
    let mut snapshot = app.archive_store().snapshot(Whose::Everybodys).await?;
    while let Some(batch) = snapshot.next().await {
        for record in batch? {
            count(&mut stats, &mut person, &record, people)?;
        }
    }
    stats.keep(person, people);
    output.print(&stats, Stats::text)?;
    Ok(ExitCode::from(DONE))
}

fn count(stats: &mut Stats, person: &mut Option<OfPerson>, record: &Record, people: usize) -> anyhow::Result<()> {
    let bytes = u64::try_from(record.to_json()?.len())? + 1;
    let kind = record.kind().as_str();
    stats.all.add(bytes);
    stats.kinds.entry(kind).or_default().add(bytes);
    let Some(user) = record.user_id() else {
        stats.shared.add(bytes);
        return Ok(());
    };
    let user = user.to_string();
    if person.as_ref().is_none_or(|person| person.user != user) {
        stats.keep(person.take(), people);
    }
    let person = person.get_or_insert_with(|| OfPerson { user, ..OfPerson::default() });
    person.all.add(bytes);
    person.kinds.entry(kind).or_default().add(bytes);
    Ok(())
}

async fn check(app: &App, output: Output) -> anyhow::Result<ExitCode> {
    let store = app.archive_store();
    let damage = store.find_damage().await?;
    let mut records = 0;
    let faults = archives::look(&store, |_record| records += 1).await?;
    let ok = faults.count == 0 && damage.is_empty();
    let mend = (faults.count > 0).then_some(MEND);
    let checked = Checked { ok, records, faults: faults.told, fault_count: faults.count, damage, mend };
    output.print(&checked, |checked| {
        let mut lines: Vec<String> = checked.faults.iter().map(|found| found.fault.to_string()).collect();
        let more = checked.fault_count.saturating_sub(checked.faults.len() as u64);
        lines.extend((more > 0).then(|| format!("and {more} more")));
        lines.extend(checked.mend.map(str::to_owned));
        lines.extend(checked.damage.iter().map(|damage| format!("{}; {}", damage.what, damage.mend)));
        lines.push(format!("{} records {}", checked.records, if checked.ok { "fit together" } else { "were looked at" }));
        lines.join("\n")
    })?;
    Ok(ExitCode::from(if ok { DONE } else { FAILED }))
}

fn init(context: &Context, output: Output) -> anyhow::Result<ExitCode> {
    #[derive(Serialize)]
    struct Made {
        backend: &'static str,
    }
    let storage = context.settings()?.config.storage;
    let runtime = Builder::new_current_thread().enable_all().build().context("the system gave no runtime")?;
    runtime.block_on(async {
        let store = store::open(&storage, Clock::system())?;
        let mut snapshot = store.snapshot(Whose::Everybodys).await?;
        let first = snapshot.next().await.transpose();
        drop(snapshot);
        Arc::clone(&store).close().await;
        if first?.is_some_and(|batch| !batch.is_empty()) {
            bail!("there is a store already, and it holds something; nothing was changed");
        }
        anyhow::Ok(())
    })?;
    output.print(&Made { backend: storage.backend.name() }, |made| format!("there is an empty store, backend {}", made.backend))?;
    Ok(ExitCode::from(DONE))
}
