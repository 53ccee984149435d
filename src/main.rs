//! The executable: reads the command line, does what it says, and ends with the code that tells how it went.

use std::process::ExitCode;

use clap::Parser as _;
use scrubjay::cli::{self, Cli};

/// A turn makes and drops some thousand small values, on threads that change.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Wrong usage and `--help` end here, with clap's own words and exit code (2 and 0).
    let cli = Cli::parse();
    match cli::run(cli) {
        Ok(code) => code,
        Err(error) => cli::report(&error),
    }
}
