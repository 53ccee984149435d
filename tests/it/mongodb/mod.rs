//! MongoDB apart from the contract: whose database it is, how it is reached, and what LibreChat and other programs find there.

mod archives;
mod credits;
mod librechat;
mod merging;
mod news;
mod opening;
mod servers;
mod takeover;
mod web;

use std::path::Path;
use std::process::{Command, Stdio};

use scrubjay::clock::Clock;
use scrubjay::config::sections::Storage;
use scrubjay::domain::time::Timestamp;
use scrubjay::store::{SharedStore, StoreError};
use serde_json::Value;

use crate::contract::fixture::{NOON, settings};
use crate::support::mongo::{Database, python};

/// Settings that name a database.
fn settings_of(database: &Database, folder: &Path) -> Storage {
    let mut settings = settings("mongodb", folder);
    settings.mongodb.uri = database.uri.clone().into();
    settings.mongodb.database.clone_from(&database.name);
    settings
}

/// Opens a database as another process would, at the contract's noon.
fn open(database: &Database) -> Result<SharedStore, StoreError> {
    open_at(database, NOON)
}

fn open_at(database: &Database, moment: Timestamp) -> Result<SharedStore, StoreError> {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings_of(database, folder.path());
    settings.mongodb.timeout_seconds = 5;
    scrubjay::store::open(&settings, Clock::set_to(moment))
}

/// Runs one of the scripts beside this file, which speaks to the database through `pymongo`; what it prints is JSON.
async fn pymongo(script: &str, database: &Database, arguments: &[&str]) -> Value {
    let script = format!("{}/tests/it/mongodb/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(python());
    command.arg(script).arg(&database.uri).arg(&database.name).args(arguments).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
