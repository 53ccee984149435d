//! The parts on this machine: settings, data folder, store, a running server.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::LIMIT;
use super::report::Finding;
use crate::cli::chat::phone;
use crate::cli::server_file::ServerFile;
use crate::clock::Clock;
use crate::config::{Config, Loaded};
use crate::store::{self, StoreError, StoreFigures, StoreResult};

/// Less free space than this is trouble soon.
const SPACE_WARNING: u64 = 1024 * 1024 * 1024;
/// Less than this is trouble now: a store's write-ahead log and the copy before a migration need room.
const SPACE_FAILURE: u64 = 64 * 1024 * 1024;

/// The settings, which could be read.
pub(super) fn configuration(loaded: &Loaded) -> Finding {
    match loaded.notes.as_slice() {
        [] => Finding::ok("configuration", "read; `scrubjay config show` tells where each value comes from"),
        notes => {
            let notes: Vec<String> = notes.iter().map(ToString::to_string).collect();
            Finding::warning("configuration", notes.join("; "), "`scrubjay config show` tells where each value comes from")
        }
    }
}

/// The folder of the data and the room that is left there.
pub(super) fn data_folder(config: &Config) -> Vec<Finding> {
    let folder = &config.storage.path;
    let shown = folder.display();
    if !folder.exists() {
        let parent = folder.ancestors().skip(1).find(|parent| parent.as_os_str().is_empty() || parent.exists());
        let place = parent.filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut findings = vec![Finding::ok("data folder", format!("{shown} does not exist yet; the first start makes it"))];
        findings.extend(space(place));
        return findings;
    }
    let mut findings = vec![match writable(folder) {
        Ok(()) => match fs::metadata(folder).map(|metadata| metadata.permissions().mode()) {
            Ok(mode) if mode & 0o007 != 0 => {
                let mend = format!("chmod 700 {shown}: it holds people's numbers and messages");
                Finding::warning("data folder", format!("{shown} can be read by every user of this machine"), mend)
            }
            _ => Finding::ok("data folder", format!("{shown} can be written")),
        },
        Err(error) => {
            let mend = "run this as the server's user, or give that user the folder";
            Finding::failed("data folder", format!("{shown} cannot be written: {error}"), mend)
        }
    }];
    findings.extend(space(folder));
    findings
}

fn writable(folder: &Path) -> std::io::Result<()> {
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe)?;
    fs::remove_file(&probe)
}

fn space(place: &Path) -> Option<Finding> {
    let found = rustix::fs::statvfs(place).ok()?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let shown = format!("{} MiB free", free / (1024 * 1024));
    let mend = "make room: when the disk is full, texts are refused until there is some (carriers try again)";
    Some(match free {
        free if free < SPACE_FAILURE => Finding::failed("disk", shown, mend),
        free if free < SPACE_WARNING => Finding::warning("disk", shown, mend),
        _ => Finding::ok("disk", shown),
    })
}

/// What another program made twice.
struct Doubles {
    accounts: usize,
    conversations: usize,
}

/// The store: whether it opens, answers, and holds work that was given up.
pub(super) async fn store(config: &Config, clock: &Clock) -> Vec<Finding> {
    let shown = format!("{} in {}", backend(config), config.storage.path.display());
    if !store::exists(&config.storage) {
        return vec![Finding::ok("store", format!("there is no {shown} yet; the first start makes it"))];
    }
    // Opening blocks, and the limit must hold all the same.
    let (storage, time) = (config.storage.clone(), clock.clone());
    let opening = tokio::task::spawn_blocking(move || store::open(&storage, time));
    let looked = async {
        let store = opening.await.map_err(|error| StoreError::unavailable("opening it broke off", error))??;
        let looked: StoreResult<(StoreFigures, Doubles)> = async {
            store.check().await?;
            let accounts = store.list_doubles().await?.len();
            let conversations = store.list_double_conversations(config.conversations.reuse_days).await?.len();
            Ok((store.figures().await?, Doubles { accounts, conversations }))
        }
        .await;
        store.close().await;
        looked
    };
    match tokio::time::timeout(LIMIT, looked).await {
        Ok(Ok((figures, doubles))) => {
            let mut findings = vec![Finding::ok("store", shown), work(&figures, clock)];
            if doubles.accounts > 0 {
                let found = format!("{} accounts have a number that is another's, and are used by nobody", doubles.accounts);
                findings.push(Finding::warning("people", found, "`scrubjay doctor --fix` makes each a part of that other one"));
            }
            if doubles.conversations > 0 {
                let found = format!("{} conversations were begun while another of the same person went on", doubles.conversations);
                findings.push(Finding::warning("conversations", found, "`scrubjay doctor --fix` makes each a part of that other one"));
            }
            findings
        }
        Ok(Err(error)) => vec![Finding::failed("store", format!("{shown}: {error}"), "docs/troubleshoot.md has the ways out")],
        Err(_elapsed) => {
            let mend = "the disk is overloaded or another program holds the store";
            vec![Finding::failed("store", format!("{shown} did not answer within {} s", LIMIT.as_secs()), mend)]
        }
    }
}

fn backend(config: &Config) -> String {
    format!("{:?}", config.storage.backend).to_lowercase()
}

fn work(figures: &StoreFigures, clock: &Clock) -> Finding {
    let open = format!("{} turns and {} deliveries to do", figures.open_turns, figures.open_deliveries);
    let dead = figures.dead_turns + figures.dead_deliveries;
    let late = figures.oldest_due.map(|due| clock.now().since(due)).filter(|late| late.as_secs() >= 60);
    if dead > 0 {
        let mend = "`scrubjay jobs list` shows why; `jobs replay` or `jobs discard` each";
        return Finding::warning("work", format!("{open}; {dead} given up"), mend);
    }
    match late {
        Some(late) => {
            let mend = "is the server running, and does its model answer?";
            Finding::warning("work", format!("{open}; the oldest has been due for {} s", late.as_secs()), mend)
        }
        None => Finding::ok("work", open),
    }
}

/// A server on the same data, where one left its address.
pub(super) async fn server(config: &Config) -> Option<Finding> {
    let file = match ServerFile::read(&config.storage.path) {
        Ok(file) => file?,
        Err(error) => return Some(Finding::warning("server", format!("{error:#}"), "start it anew, as the user of the data folder")),
    };
    let answers = match phone::local_client() {
        Ok(client) => phone::answers(&client, &file.address).await,
        Err(error) => return Some(Finding::failed("server", format!("{error:#}"), "this installation is damaged")),
    };
    Some(if answers {
        Finding::ok("server", format!("process {} answers on {}", file.process_id, file.address))
    } else {
        let found = format!("process {} left {} in server.json and does not answer there", file.process_id, file.address);
        Finding::warning("server", found, "it crashed or hangs; its log says more. A start overwrites the file")
    })
}
