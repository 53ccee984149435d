//! Archives that the program writes by itself: one a period however many programs there are, the oldest go, and the newest brings
//! everything back.

use std::path::PathBuf;

use super::books::{Books, assert_one_chain, said};
use super::{SOON, Stage, number};
use crate::backends::Ground;
use crate::support::eventually;
use crate::support::home::{Home, Settings};
use crate::support::twilio::Twilio;

const PEOPLE: usize = 3;
const KEEP: i64 = 2;

on_every_backend!(what_the_program_keeps_by_itself_brings_everything_back_and_the_oldest_go);

/// The archives of a folder, the oldest first.
fn archives(stage: &Stage) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(stage.home.data().join("backups")) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    found.sort();
    found
}

/// Makes the archives as old as if the program had been off for years: their names tell when they are of.
fn age(stage: &Stage, year: usize) {
    for (place, path) in archives(stage).into_iter().enumerate() {
        std::fs::rename(&path, path.with_file_name(format!("scrubjay-{year}-01-0{}T00-00-00Z.jsonl", place + 1))).unwrap();
    }
}

/// Waits until there is an archive of now.
async fn newest(stage: &Stage) -> PathBuf {
    let year = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap()["scrubjay-".len()..][..4].parse::<u32>().unwrap();
    eventually("an archive", SOON, || async { archives(stage).pop().filter(|path| year(path) > 2020) }).await
}

async fn what_the_program_keeps_by_itself_brings_everything_back_and_the_oldest_go(ground: Ground) {
    let stage = Stage::on_with(ground, |settings| settings.set("backup.every", 1).set("backup.keep", KEEP)).await;
    let product = stage.home.serve().await;
    newest(&stage).await;
    for person in 0..PEOPLE {
        Twilio::new().text(product.address, &number(person), "remember the milk").await;
    }
    stage.no_job_left(SOON).await;
    product.stop().await;

    age(&stage, 2001);
    let (one, two) = tokio::join!(stage.home.serve(), stage.home.serve());
    let archive = newest(&stage).await;
    // Each looks when it starts, and one that came late would be seen when it stops.
    one.stop().await;
    two.stop().await;
    assert_eq!(archives(&stage).len(), 2, "two programs of one folder wrote one: {:?}", archives(&stage));
    let (code, printed, said_of_it) = stage.home.run(&["archive", "verify", archive.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{printed}{said_of_it}");

    let other = Home::new(&Settings::new(&stage.carrier, &stage.model));
    let (code, printed, said_of_it) = other.run(&["archive", "read", archive.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{printed}{said_of_it}");
    let books = Books::read(&other).await;
    for person in 0..PEOPLE {
        let entries = books.only(&number(person));
        assert_one_chain(entries);
        assert_eq!(said(entries), [("external", "remember the milk"), ("assistant", "you said: remember the milk")]);
    }

    age(&stage, 2002);
    let oldest = archives(&stage).remove(0);
    let product = stage.home.serve().await;
    newest(&stage).await;
    eventually("the oldest to go", SOON, || async { (!oldest.exists()).then_some(()) }).await;
    product.stop().await;
    assert_eq!(i64::try_from(archives(&stage).len()).unwrap(), KEEP);
}
