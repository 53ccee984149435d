//! One table over the backends: the same loads on each, in one run, by turns. On MongoDB a service of another make on the same server
//! can be put beside us, given by its folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::load;
use crate::mongo::{Counter, Peer, Server};
use crate::program::{Program, configure, fresh_folder, store_in};
use crate::report::{Bounds, median};
use crate::requests;
use crate::rows::{Bench, per};
use crate::tools::{TIMED, call, fill, scrubjay, token};

/// What the command line says of this row.
pub(crate) struct Wanted {
    /// Backends.
    pub(crate) names: Vec<String>,
    /// The MongoDB server, `host:port`; none: that of the tests.
    pub(crate) server: Option<String>,
    /// The folder of another service.
    pub(crate) peer: Option<PathBuf>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { names: ["sqlite", "json", "mongodb"].map(str::to_owned).to_vec(), server: None, peer: None }
    }
}

/// The other service's column.
const PEER: &str = "other service, MongoDB";

/// The figures of all rounds, by whose and what.
type Figures = BTreeMap<(String, &'static str), Vec<f64>>;

/// Figures by what and by whose, in the order in which they came.
#[derive(Default)]
struct Table {
    rows: Vec<(String, &'static str)>,
    cells: BTreeMap<(String, String), f64>,
}

impl Table {
    fn set(&mut self, what: &str, unit: &'static str, whose: &str, value: f64) {
        println!("  {whose}: {what}: {value:.2} {unit} (load average {:.1})", load_average());
        if !self.rows.iter().any(|(known, _unit)| known == what) {
            self.rows.push((what.to_owned(), unit));
        }
        self.cells.insert((what.to_owned(), whose.to_owned()), value);
    }

    fn get(&self, what: &str, whose: &str) -> Option<f64> {
        self.cells.get(&(what.to_owned(), whose.to_owned())).copied()
    }

    fn print(&self, columns: &[String]) {
        println!("\n| what | {} |\n|---|{}", columns.join(" | "), "---|".repeat(columns.len()));
        for (what, unit) in &self.rows {
            let cell = |whose: &String| self.get(what, whose).map_or_else(|| "–".to_owned(), |value| format!("{value:.2} {unit}"));
            println!("| {what} | {} |", columns.iter().map(cell).collect::<Vec<_>>().join(" | "));
        }
    }
}

/// Of the last minute: whatever else runs on this machine counts.
fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

/// How much is asked of a backend: the test server for MongoDB takes some hundred writes a second, whoever writes.
struct Size {
    people: usize,
    turns: usize,
    texts: usize,
    calls: usize,
    start: usize,
}

fn size(backend: &str, scale: usize) -> Size {
    if backend == "mongodb" || backend == PEER {
        let start = if scale > 1 { 10_000 } else { 500 };
        Size { people: 50 * scale, turns: 120 * scale, texts: 120 * scale, calls: 40 * scale, start }
    } else {
        let start = if scale > 1 { 100_000 } else { 2_000 };
        Size { people: crate::rows::PEOPLE, turns: 2_000 * scale, texts: 4_000 * scale, calls: 100 * scale, start }
    }
}

/// The settings that say where data lies.
fn storage(backend: &str, server: Option<&Server>, database: &str) -> String {
    match (backend, server) {
        ("mongodb", Some(server)) => mongodb(&server.host, database),
        ("sqlite", _) => String::new(),
        _ => format!("[storage]\nbackend = \"{backend}\"\n"),
    }
}

fn mongodb(host: &str, database: &str) -> String {
    format!(
        "[storage]\nbackend = \"mongodb\"\n[storage.mongodb]\n\
         uri = \"mongodb://{host}/?directConnection=true&serverMonitoringMode=poll&heartbeatFrequencyMS=500\"\ndatabase = \"{database}\"\ntimeout_seconds = 60\n"
    )
}

/// A database that no other run has.
fn database(name: &str) -> String {
    format!("bench_{}_{}", name.replace('-', "_"), std::process::id())
}

impl Bench {
    fn store_at(&self, backend: &str, name: &str, server: Option<&Server>) -> PathBuf {
        let folder = fresh_folder(&format!("{name}-{backend}"));
        configure(&folder, self.fakes);
        store_in(&folder, &storage(backend, server, &database(name)));
        folder
    }

    /// All backends that were asked for.
    pub(crate) async fn compare_backends(&mut self) {
        let names = self.backends.names.clone();
        let server = names.iter().any(|name| name == "mongodb").then(|| Server::start(self.backends.server.as_deref()));
        if let Some(server) = &server {
            println!("backends: MongoDB is {}", server.what);
        }
        let mut table = Table::default();
        let mut columns = names.clone();
        if self.backends.peer.is_some() && server.is_some() {
            columns.push(PEER.to_owned());
        }
        self.turns_on(&names, server.as_ref(), &mut table).await;
        if let Some(server) = &server {
            self.round_trips(server, &mut table).await;
        }
        for backend in &names {
            self.graph_on(backend, server.as_ref(), &mut table).await;
        }
        for backend in &names {
            self.start_on(backend, server.as_ref(), &mut table).await;
        }
        table.print(&columns);
        self.judge(&table);
    }

    async fn turns_on(&self, names: &[String], server: Option<&Server>, table: &mut Table) {
        let mut figures = Figures::new();
        for round in 0..self.rounds {
            for backend in names {
                self.turns_once(backend, server, round, &mut figures).await;
            }
            if let (Some(folder), Some(server)) = (&self.backends.peer, server) {
                self.peer_once(folder, server, round, &mut figures).await;
            }
        }
        tell(&figures, table);
    }

    async fn turns_once(&self, backend: &str, server: Option<&Server>, round: usize, figures: &mut Figures) {
        let size = size(backend, self.scale);
        let folder = self.store_at(backend, &format!("turns-{round}"), server);
        let program = Program::serve(&folder);
        let mut add = |what: &'static str, value: f64| figures.entry((backend.to_owned(), what)).or_default().push(value);
        load::closed(program.address, 32, &requests::messages(size.people, 0, size.people)).await.expect_only(200);
        for (connections, what) in [(8, TURNS_8), (32, TURNS_32)] {
            let before = program.cpu();
            let messages = requests::messages(size.turns, 0, size.people);
            let outcome = load::closed(program.address, connections, &messages).await.expect_only(200);
            add(what, outcome.rate());
            if connections == 8 {
                add(CPU, per(program.cpu().saturating_sub(before), outcome.count()));
                add(P95, outcome.millis(0.95));
            }
        }
        self.model.stall();
        let texts = requests::texts(3_000 + round, size.texts, 0, size.people);
        add(TEXTS, load::closed(program.address, 64, &texts).await.expect_only(200).rate());
        add(MEMORY, program.memory_mib("VmHWM"));
        drop(program);
        self.model.release();
    }

    async fn peer_once(&self, folder: &Path, server: &Server, round: usize, figures: &mut Figures) {
        let size = size(PEER, self.scale);
        let peer = Peer::start(folder, &server.host, &database(&format!("peer-{round}")), self.fakes);
        let mut add = |what: &'static str, value: f64| figures.entry((PEER.to_owned(), what)).or_default().push(value);
        // Of one number's texts at once it makes several conversations: nobody texts twice at once.
        load::closed(peer.address, 8, &requests::messages(size.people, 0, size.people)).await.expect_only(200);
        for (connections, what) in [(8, TURNS_8), (32, TURNS_32)] {
            let before = peer.cpu();
            let messages = requests::messages(size.turns, 0, size.people);
            let outcome = load::closed(peer.address, connections, &messages).await.expect_only(200);
            add(what, outcome.rate());
            if connections == 8 {
                add(CPU, per(peer.cpu().saturating_sub(before), outcome.count()));
                add(P95, outcome.millis(0.95));
            }
        }
    }

    /// What goes to the server for a turn, the looking for work included.
    async fn round_trips(&self, server: &Server, table: &mut Table) {
        let counter = Counter::before(&server.host);
        let folder = fresh_folder("round-trips");
        configure(&folder, self.fakes);
        store_in(&folder, &mongodb(&counter.host, &database("round-trips")));
        let program = Program::serve(&folder);
        let turns = 40;
        load::closed(program.address, 1, &requests::messages(turns, 0, 10)).await.expect_only(200);
        let before = counter.count();
        load::closed(program.address, 1, &requests::messages(turns, 0, 10)).await.expect_only(200);
        let trips = u32::try_from(counter.count() - before).expect("few");
        assert!(trips > 0, "the program did not go by the relay that counts");
        table.set(TRIPS, "", "mongodb", f64::from(trips) / f64::from(u32::try_from(turns).expect("few")));
    }

    /// Calls of tools, one at a time, in a small and a large graph.
    async fn graph_on(&self, backend: &str, server: Option<&Server>, table: &mut Table) {
        let folder = self.store_at(backend, "graph", server);
        let program = Program::serve(&folder);
        load::closed(program.address, 1, &requests::messages(1, 0, 1)).await.expect_only(200);
        let token = token(&folder);
        let calls = size(backend, self.scale).calls;
        let mut stored = 0;
        for entities in [100, 10_000] {
            fill(&program, &token, stored, entities).await;
            stored = entities;
            let mut connection = Connection::open(program.address).await.expect("it listens");
            for timed in &TIMED {
                let mut took = load::histogram();
                for index in 0..calls {
                    let (arguments, name) = timed.call(entities, index);
                    let request = call(program.address, &token, timed.tool, &arguments);
                    let begun = Instant::now();
                    let answer = connection.exchange(&request).await.expect("an answer");
                    took.record(u64::try_from(begun.elapsed().as_micros()).expect("short").max(1)).expect("within bounds");
                    timed.expect_one(&answer, &name);
                }
                for (quantile, named) in [(0.5, "p50"), (0.95, "p95")] {
                    #[expect(clippy::cast_precision_loss, reason = "microseconds of a bench are far below 2^52")]
                    let millis = took.value_at_quantile(quantile) as f64 / 1000.0;
                    table.set(&format!("{}, {entities} entities, {named}", timed.what), "ms", backend, millis);
                }
            }
        }
    }

    /// From the start of the process to its ready line, with many people in the store, who came from an archive.
    async fn start_on(&self, backend: &str, server: Option<&Server>, table: &mut Table) {
        let people = size(backend, self.scale).start;
        let seed = self.large_store(&format!("start-{people}"), people, 1).await;
        let folder = if backend == "sqlite" {
            seed
        } else {
            let folder = self.store_at(backend, "start", server);
            let archive = folder.join("archive.jsonl");
            let file = archive.to_str().expect("a path");
            let begun = Instant::now();
            if let Err(said) = cli(&seed, &["archive", "write", file]).and_then(|()| cli(&folder, &["archive", "read", file])) {
                println!("  {backend}: a start with many people was not measured: {said}");
                return;
            }
            println!("  {people} people brought to {backend} in {:.0} s", begun.elapsed().as_secs_f64());
            std::fs::remove_file(archive).expect("it was there");
            folder
        };
        let start = || Program::serve(&folder).start_took.as_secs_f64() * 1000.0;
        // The first after the restoring has something to put in order.
        let first = start();
        std::thread::sleep(Duration::from_secs(15));
        let took = (0..3).map(|_| start()).collect();
        table.set("start to ready, many people, the first", "ms", backend, first);
        table.set("start to ready, many people", "ms", backend, median(took));
        let people = u32::try_from(people).expect("fewer");
        table.set("… how many", "", backend, f64::from(people));
        if backend == "json" {
            std::fs::remove_dir_all(folder.join("data/json/index")).expect("it was there");
            table.set("start to ready, many people, the index deleted", "ms", backend, start());
        }
    }

    /// The figures that have bounds.
    fn judge(&mut self, table: &Table) {
        if let Some(turns) = table.get(TURNS_8, "json") {
            self.report.bounded("JSON: turns, 1,000 people", turns, "/s", Bounds::AtLeast { floor: 200.0, aim: 200.0 });
        }
        if let Some(write) = table.get("create one entity, 10000 entities, p95", "json") {
            self.report.bounded("JSON: a write into 10,000 entities, p95", write, "ms", Bounds::AtMost { floor: 10.0, aim: 10.0 });
        }
        for what in [TURNS_8, TURNS_32] {
            if let (Some(ours), Some(theirs)) = (table.get(what, "mongodb"), table.get(what, PEER)) {
                let bounds = Bounds::AtLeast { floor: 1.0, aim: 2.0 };
                self.report.bounded(&format!("MongoDB: {what}, against the other service"), ours / theirs, "times", bounds);
            }
        }
        if let Some(trips) = table.get(TRIPS, "mongodb") {
            self.report.bounded("MongoDB: round trips a turn", trips, "", Bounds::AtMost { floor: 12.0, aim: 8.0 });
        }
        if let Some(cpu) = table.get(CPU, "mongodb") {
            self.report.bounded("MongoDB: CPU of ours a turn", cpu, "ms", Bounds::AtMost { floor: 1.0, aim: 0.5 });
        }
    }
}

const TEXTS: &str = "texts stored, 64 connections";
const TURNS_8: &str = "turns, 8 connections";
const TURNS_32: &str = "turns, 32 connections";
const CPU: &str = "CPU a turn";
const P95: &str = "answer p95, 8 connections";
const MEMORY: &str = "memory at most";
const TRIPS: &str = "round trips a turn";

fn tell(figures: &Figures, table: &mut Table) {
    for (what, unit) in [(TEXTS, "/s"), (TURNS_8, "/s"), (TURNS_32, "/s"), (P95, "ms"), (CPU, "ms"), (MEMORY, "MiB")] {
        for ((whose, named), values) in figures {
            if *named == what {
                table.set(what, unit, whose, median(values.clone()));
            }
        }
    }
}

/// A command on the settings in a folder; what it said when it failed.
fn cli(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = scrubjay(folder).args(arguments).output().expect("it runs");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}
