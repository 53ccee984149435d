//! Where the figures of `docs/performance.md` come from: loads on the released program, between an instant model and an
//! instant carrier that share the machine with it. Ratios are taken within one run.
//!
//! `cargo bench --bench path -- [--quick] [--only ROW[,ROW]] [--json FILE] [--program FILE]`; rows: idle, intake, stalled, turns, first-token,
//! start, large, tools, graph, backends, journal. For backends there are `--backends NAME[,NAME]`, `--mongodb HOST:PORT` and `--peer FOLDER` too.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints, and fails by panicking"
)]

mod backends;
mod connection;
mod fakes;
mod load;
mod mongo;
mod program;
mod report;
mod requests;
mod rows;
mod seed;
mod tools;
mod yardstick;

use std::path::Path;

use rows::Bench;

/// Every row, in the order in which they run.
const ROWS: &[&str] = &["idle", "intake", "stalled", "turns", "first-token", "start", "large", "tools", "graph", "backends", "journal"];

struct Arguments {
    rows: Vec<String>,
    quick: bool,
    json: Option<String>,
    backends: backends::Wanted,
}

fn arguments() -> Option<Arguments> {
    let mut read = Arguments {
        rows: ROWS.iter().map(|row| (*row).to_owned()).collect(),
        quick: false,
        json: None,
        backends: backends::Wanted::default(),
    };
    let mut given = std::env::args().skip(1);
    let mut asked = false;
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--quick" => read.quick = true,
            "--only" => read.rows = given.next()?.split(',').map(str::to_owned).collect(),
            "--json" => read.json = Some(given.next()?),
            "--program" => program::measure(given.next()?.into()),
            "--backends" => read.backends.names = given.next()?.split(',').map(str::to_owned).collect(),
            "--mongodb" => read.backends.server = Some(given.next()?),
            "--peer" => read.backends.peer = Some(given.next()?.into()),
            // `cargo bench` says so; `cargo test --all-targets` does not, and must not start a load.
            "--bench" => asked = true,
            "--yardstick" => {
                yardstick::serve(Path::new(&given.next()?));
                return None;
            }
            "--bare-tool" => {
                tools::serve_bare();
                return None;
            }
            _ => return None,
        }
    }
    (asked && read.rows.iter().all(|row| ROWS.contains(&row.as_str()))).then_some(read)
}

fn main() {
    let Some(arguments) = arguments() else {
        println!(
            "cargo bench --bench path -- [--quick] [--only ROW[,ROW]] [--json FILE] [--program FILE]\n  \
             [--backends NAME[,NAME]] [--mongodb HOST:PORT] [--peer FOLDER]\nrows: {}",
            ROWS.join(", ")
        );
        return;
    };
    if cfg!(debug_assertions) {
        println!("This is a debug build: the figures mean nothing.");
    }
    let (fakes, model) = fakes::start();
    let (rounds, scale) = if arguments.quick { (1, 1) } else { (3, 5) };
    let mut bench = Bench { fakes, model, rounds, scale, backends: arguments.backends, report: report::Report::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for row in &arguments.rows {
            match row.as_str() {
                "idle" => bench.idle(),
                "intake" => bench.intake().await,
                "stalled" => bench.stalled().await,
                "turns" => bench.turns().await,
                "first-token" => bench.first_token().await,
                "start" => bench.start().await,
                "large" => bench.large().await,
                "tools" => bench.tools().await,
                "graph" => bench.graph().await,
                "backends" => bench.compare_backends().await,
                "journal" => bench.journal(),
                other => panic!("no row {other:?}"),
            }
        }
    });
    bench.report.print();
    if let Some(file) = arguments.json {
        std::fs::write(&file, format!("{:#}\n", bench.report.to_json())).expect("the file can be written");
    }
}
