//! A program that stops writes JSON files for everybody who has something new; it is killed in the middle of that, again and again.

use std::time::{Duration, Instant};

use super::books::{Books, assert_one_chain};
use super::{SOON, Stage, number};
use crate::support::chance::Chance;
use crate::support::twilio::Twilio;

const PEOPLE: usize = 10;
const KILLS: usize = 12;

/// The newest part's number.
fn parts_of_the_journal(stage: &Stage) -> Option<std::ffi::OsString> {
    let parts = std::fs::read_dir(stage.home.data().join("json/journal")).unwrap();
    parts.map(|entry| entry.unwrap().file_name()).filter(|name| name.to_string_lossy().ends_with(".jsonl")).max()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_while_writing_json_files_loses_nothing() {
    let stage = Stage::with(|settings| settings.set("storage.backend", "json")).await;
    let (twilio, chance) = (Twilio::new(), Chance::new());
    eprintln!("seed {}", chance.seed());
    let generation = || {
        let manifest = std::fs::read_to_string(stage.home.data().join("json/checkpoint.json")).unwrap();
        let (_, rest) = manifest.split_once("\"generation\":").unwrap();
        rest.split(',').next().unwrap().parse::<u64>().unwrap()
    };
    let mut whole = 0;
    for round in 0..KILLS {
        let product = stage.home.serve().await;
        let before = generation();
        for person in 0..PEOPLE {
            twilio.text(product.address, &number(person), &format!("text {round}")).await;
        }
        stage.no_job_left(SOON).await;
        let journal = parts_of_the_journal(&stage);
        product.terminate();
        // Writing files begins with a new part of the journal.
        let begun = Instant::now();
        while parts_of_the_journal(&stage) == journal {
            assert!(begun.elapsed() < SOON, "it does not write its files");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(chance.between(0, 60))).await;
        product.kill();
        whole += usize::from(generation() > before);
        // Each second time the files alone must do, with the journal.
        if round % 2 == 0 {
            std::fs::remove_dir_all(stage.home.data().join("json/index")).unwrap();
        }
    }
    eprintln!("of {KILLS} kills {whole} came after the files had been written");
    let product = stage.home.serve().await;
    let books = Books::read(&stage.home).await;
    for person in 0..PEOPLE {
        let entries = books.only(&number(person));
        assert_eq!(entries.len(), 2 * KILLS, "person {person}");
        assert_one_chain(entries);
        let expected: Vec<String> = (0..KILLS).map(|round| format!("you said: text {round}")).collect();
        assert_eq!(stage.carrier.bodies_to(&number(person)), expected);
    }
    product.stop().await;
    let (code, said, _) = stage.home.run(&["store", "check"]).await;
    assert_eq!(code, 0, "{said}");
}
