//! `memory`: a person's knowledge graph, drawn, taken in and given out.

mod drawing;
mod jsonl;
mod svg;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use self::jsonl::Lines;
use super::context::{Context, Missing, with_app};
use super::output::{Output, complain};
use super::person::{self, Whose};
use super::{DONE, files};
use crate::app::App;
use crate::domain::graph::{Detail, Relation, composed};
use crate::domain::ids::UserId;
use crate::store::{self, GraphRead};
use crate::toolset::memory::plain::{PlainEntity, RelationShape};

/// Entities and relations that one read asks for, and bytes.
const PART: (usize, usize) = (2000, 4 * 1024 * 1024);

/// Arguments of `memory`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Draw what is remembered of a person: as text, or as a picture
    Show {
        #[command(flatten)]
        whose: Whose,
        /// Write a picture (SVG) into this file instead; `-` is standard output
        #[arg(long, value_name = "FILE", conflicts_with = "json")]
        svg: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Merge a `memory.jsonl` file, all or nothing; a repeat changes nothing. A new number makes the person
    Import {
        #[command(flatten)]
        whose: Whose,
        /// The file; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Only tell what is in the file and what is wrong with it
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Write a person's graph as a `memory.jsonl`
    Export {
        #[command(flatten)]
        whose: Whose,
        /// Where to; standard output when it is left out or `-`
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// A whole graph, in the order in which it was made.
#[derive(Debug, Default, Serialize)]
struct Graph {
    entities: Vec<PlainEntity>,
    relations: Vec<RelationShape>,
}

impl Graph {
    /// Each entity's place.
    fn by_name(&self) -> HashMap<&str, usize> {
        self.entities.iter().enumerate().map(|(at, entity)| (entity.name.as_str(), at)).collect()
    }

    /// The places of those that each entity is related to, in either direction.
    fn neighbours(&self) -> Vec<Vec<usize>> {
        let by_name = self.by_name();
        let mut neighbours = vec![BTreeSet::new(); self.entities.len()];
        for relation in &self.relations {
            if let (Some(from), Some(to)) = (by_name.get(relation.from.as_str()), by_name.get(relation.to.as_str()))
                && from != to
            {
                for (one, other) in [(*from, *to), (*to, *from)] {
                    if let Some(of_one) = neighbours.get_mut(one) {
                        of_one.insert(other);
                    }
                }
            }
        }
        neighbours.into_iter().map(|of_one| of_one.into_iter().collect()).collect()
    }
}

/// What an import did.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    entities: i64,
    changed: i64,
    observations: i64,
    relations: i64,
    /// Lines of relations that were left out, because an end of theirs is nowhere.
    dangling: Vec<usize>,
}

/// What a file holds.
#[derive(Serialize)]
struct Contents {
    entities: usize,
    observations: usize,
    /// Those that would be imported.
    relations: usize,
    /// Lines of relations that would be left out, because an end of theirs is neither in the file nor stored.
    dangling: Vec<usize>,
}

/// Does what was asked.
pub(crate) fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Show { whose, svg, output } => {
            context.with_app(Missing::Refuse, async |app| show(&whose, svg.as_deref(), output, app).await)
        }
        Command::Import { whose, file, dry_run: true, output } => check(&whose, &file, output, context),
        Command::Import { whose, file, dry_run: false, output } => {
            let text = files::read(&file)?;
            context.with_app(Missing::Make, async |app| import(&whose, &text, output, app).await)
        }
        Command::Export { whose, file } => context.with_app(Missing::Refuse, async |app| {
            let text = jsonl::write(&graph_of(&whose, app).await?)?;
            give(file.as_deref(), &text)
        }),
    }?;
    Ok(ExitCode::from(DONE))
}

async fn show(whose: &Whose, svg: Option<&Path>, output: Output, app: &App) -> anyhow::Result<()> {
    let graph = graph_of(whose, app).await?;
    match svg {
        Some(file) => give(Some(file), &svg::draw(&graph)),
        None => output.print(&graph, drawing::draw),
    }
}

/// Text into a file or to standard output.
fn give(file: Option<&Path>, text: &str) -> anyhow::Result<()> {
    files::write(file, text)?;
    if let Some(file) = file.filter(|file| !files::is_stream(file)) {
        complain(&format!("written to {}", file.display()));
    }
    Ok(())
}

/// Reads a file as an import would, and stores nothing; no store is needed for it. Where there is one, what the person has counts.
fn check(whose: &Whose, file: &Path, output: Output, context: &Context) -> anyhow::Result<()> {
    let loaded = context.settings()?;
    person::account(whose.user.as_deref(), &loaded.config)?;
    let lines = Lines::read(&files::read(file)?, &loaded.config.memory.limits())?;
    let in_file = lines.entities.iter().map(|entity| composed(&entity.name)).collect();
    let mut dangling = without_ends(lines.relations.iter().map(Relation::composed), &in_file);
    if !dangling.is_empty() && store::exists(&loaded.config.storage) {
        let graph = with_app(loaded, Missing::Refuse, async |app| graph_of(whose, app).await)?;
        let there = graph.entities.into_iter().map(|entity| entity.name).chain(in_file).collect();
        dangling = without_ends(dangling.into_iter(), &there);
    }
    let places = lines.places_of(&dangling);
    let contents = Contents {
        entities: lines.entities.len(),
        observations: lines.observations(),
        relations: lines.relations.len() - places.len(),
        dangling: places,
    };
    for line in &contents.dangling {
        complain(&format!("note: line {line}: its relation would be left out, because an entity that it names is nowhere"));
    }
    output.print(&contents, |contents| {
        format!(
            "it can be imported: {} entities with {} observations, {} relations",
            contents.entities, contents.observations, contents.relations
        )
    })
}

/// Relations of which an end is not among these names.
fn without_ends(relations: impl Iterator<Item = Relation>, names: &HashSet<String>) -> Vec<Relation> {
    relations.filter(|relation| !names.contains(&relation.from) || !names.contains(&relation.to)).collect()
}

async fn import(whose: &Whose, text: &str, output: Output, app: &App) -> anyhow::Result<()> {
    let limits = app.config.memory.limits();
    let lines = Lines::read(text, &limits)?;
    let user = person::open_account(whose.user.as_deref(), app).await?;
    let done = app.memory.import(user.id, lines.entities.clone(), lines.relations.clone()).await?;
    let report = Report {
        entities: done.entities,
        changed: done.changed,
        observations: done.observations,
        relations: done.relations,
        dangling: lines.places_of(&done.dangling),
    };
    for line in &report.dangling {
        complain(&format!("note: line {line}: its relation was left out, because an entity that it names is nowhere"));
    }
    output.print(&report, |report| {
        format!(
            "{} entities and {} relations are new, {} entities changed, {} observations were added",
            report.entities, report.relations, report.changed, report.observations
        )
    })
}

/// The graph of whom the arguments name; an empty one of a number that nobody has.
async fn graph_of(whose: &Whose, app: &App) -> anyhow::Result<Graph> {
    match person::find_account(whose.user.as_deref(), app).await? {
        Some(user) => whole(user.id, app).await,
        None => Ok(Graph::default()),
    }
}

/// A whole graph, read in parts.
async fn whole(user: UserId, app: &App) -> anyhow::Result<Graph> {
    let mut graph = Graph::default();
    let mut cursor = None;
    loop {
        let (limit, bytes) = PART;
        let part = app.memory.read(user, GraphRead { cursor, limit, bytes, detail: Detail::Plain, whole: true }).await?;
        graph.entities.extend(part.entities.into_iter().map(PlainEntity::from));
        graph.relations.extend(part.relations.into_iter().map(RelationShape::from));
        cursor = part.next;
        if cursor.is_none() {
            return Ok(graph);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PlainEntity, RelationShape};

    pub(super) fn entity(name: &str, entity_type: &str, observations: &[&str]) -> PlainEntity {
        let observations = observations.iter().map(|text| (*text).to_owned()).collect();
        PlainEntity { name: name.to_owned(), entity_type: entity_type.to_owned(), observations }
    }

    pub(super) fn relation(from: &str, to: &str, relation_type: &str) -> RelationShape {
        RelationShape { from: from.to_owned(), to: to.to_owned(), relation_type: relation_type.to_owned() }
    }
}
