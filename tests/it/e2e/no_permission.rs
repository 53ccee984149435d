//! Files and folders that cannot be written to: a clear error at the start, red readiness while the program runs, nothing lost.

use std::path::Path;

use super::full_disk::{acknowledged, readiness, until_ready_is};
use super::{SOON, Stage, number};
use crate::support::disk::{Disk, set_mode, somebody_else};
use crate::support::twilio::{Text, Twilio};

/// What refuses to start must say where, and what to do.
async fn assert_start_is_refused(stage: &Stage) {
    let (code, _, said) = stage.home.run(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(stage.home.data().to_str().unwrap()), "{said}");
    assert!(["own the", "can be written", "cannot be written"].iter().any(|advice| said.contains(advice)), "{said}");
}

/// Takes a folder and what is in it from the program's user, or gives it back.
fn take(path: &Path, user: Option<u32>, taken: bool) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            take(&entry.unwrap().path(), user, taken);
        }
    }
    if let Some(user) = user {
        let owner = if taken { 0 } else { user };
        std::os::unix::fs::chown(path, Some(owner), Some(owner)).unwrap();
    }
    let mode = match (path.is_dir(), taken) {
        (true, true) => 0o555,
        (true, false) => 0o700,
        (false, true) => 0o444,
        (false, false) => 0o600,
    };
    set_mode(path, mode);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_somebody_else_are_not_opened_in_sqlite() {
    files_of_somebody_else_are_not_opened("sqlite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_somebody_else_are_not_opened_in_json_files() {
    files_of_somebody_else_are_not_opened("json").await;
}

async fn files_of_somebody_else_are_not_opened(backend: &'static str) {
    let mut stage = Stage::with(|settings| settings.set("storage.backend", backend)).await;
    let user = somebody_else();
    if let Some(user) = user {
        stage.home.run_as(user);
    }
    let (twilio, anna) = (Twilio::new(), number(1));
    let product = stage.home.serve().await;
    twilio.text(product.address, &anna, "one").await;
    stage.no_job_left(SOON).await;
    product.stop().await;

    let data = stage.home.data();
    take(&data, user, true);
    assert_start_is_refused(&stage).await;
    take(&data, user, false);
    let product = stage.home.serve().await;
    twilio.text(product.address, &anna, "two").await;
    assert_eq!(stage.bodies_to(&anna, 2).await, ["you said: one", "you said: two"]);
    stage.no_job_left(SOON).await;

    // Taken while it runs. What is open stays open, so SQLite goes on as it did; JSON files are made anew, and cannot be.
    take(&data, user, true);
    let text = Text::new(&anna, "three");
    let is_red = if backend == "json" {
        let why = until_ready_is(&product, false, || ()).await;
        assert!(why.contains("own the folder"), "{why}");
        true
    } else {
        !readiness(&product).await.0
    };
    let is_acknowledged = acknowledged(&twilio, &product, &text).await;
    eprintln!("{backend}: red {is_red}, acknowledged {is_acknowledged}");
    take(&data, user, false);
    until_ready_is(&product, true, || ()).await;
    twilio.text_until_acknowledged(|| product.address, &text, SOON).await;
    assert_eq!(stage.bodies_to(&anna, 3).await.last().unwrap(), "you said: three");
    stage.no_job_left(SOON).await;
    product.kill();
    let product = stage.home.serve().await;
    assert_eq!(super::books::Books::read(&stage.home).await.only(&anna).len(), 6);
    product.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_is_said_at_the_start_in_sqlite() {
    a_read_only_disk_is_said_at_the_start("sqlite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_is_said_at_the_start_in_json_files() {
    a_read_only_disk_is_said_at_the_start("json").await;
}

async fn a_read_only_disk_is_said_at_the_start(backend: &'static str) {
    let mut stage = Stage::with(|settings| settings.set("storage.backend", backend)).await;
    let disk = Disk::at(&mut stage.home, 24);
    if !disk.is_mounted() {
        // It has been said; folders without permission have a test of their own.
        return;
    }
    // An empty one first.
    assert!(disk.set_read_only(true));
    assert_start_is_refused(&stage).await;
    assert!(disk.set_read_only(false));
    let (twilio, anna) = (Twilio::new(), number(1));
    let product = stage.home.serve().await;
    twilio.text(product.address, &anna, "one").await;
    stage.no_job_left(SOON).await;
    product.stop().await;
    assert!(disk.set_read_only(true));
    assert_start_is_refused(&stage).await;
    assert!(disk.set_read_only(false));
    let product = stage.home.serve().await;
    twilio.text(product.address, &anna, "two").await;
    assert_eq!(stage.bodies_to(&anna, 2).await, ["you said: one", "you said: two"]);
    stage.no_job_left(SOON).await;
    product.stop().await;
}
