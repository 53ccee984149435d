//! A program that stops writes JSON files for everybody who has something new; it is killed in the middle of that, again and again.

use std::time::{Duration, Instant};

use super::books::{Books, assert_one_chain};
use super::{SOON, Stage, number};
use crate::support::chance::Chance;
use crate::support::twilio::Twilio;

const PEOPLE: usize = 10;
const KILLS: u32 = 12;

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
    let (mut whole, mut at) = (0, Vec::new());
    // How long writing takes from its first step to the end of the program: the first round is not killed and tells it.
    let mut whole_time = Duration::ZERO;
    for round in 0..=KILLS {
        let product = stage.home.serve().await;
        let before = generation();
        for person in 0..PEOPLE {
            twilio.text(product.address, &number(person), &format!("text {round}")).await;
        }
        stage.no_job_left(SOON).await;
        let journal = parts_of_the_journal(&stage);
        let mut product = product;
        product.terminate();
        // Writing files begins with a new part of the journal.
        let begun = Instant::now();
        while parts_of_the_journal(&stage) == journal {
            assert!(begun.elapsed() < SOON, "it does not write its files");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if round == 0 {
            let begun = Instant::now();
            assert!(product.ended(SOON).await.success());
            whole_time = begun.elapsed();
            assert!(generation() > before);
            continue;
        }
        // Each kill has a share of the time for itself. Later rounds have more to write than the first: the last come behind its end.
        let share = (f64::from(round - 1) + f64::from(u32::try_from(chance.between(0, 1_000)).unwrap()) / 1_000.0) / f64::from(KILLS);
        tokio::time::sleep(whole_time.mul_f64(share * 1.5)).await;
        product.kill();
        let is_whole = generation() > before;
        whole += u32::from(is_whole);
        at.push(format!("{:.0} %{}", share * 150.0, if is_whole { " (written)" } else { "" }));
        // Each second time the files alone must do, with the journal.
        if round % 2 == 0 {
            std::fs::remove_dir_all(stage.home.data().join("json/index")).unwrap();
        }
    }
    eprintln!("of {KILLS} kills within {whole_time:?} {whole} came after the files had been written: {}", at.join(", "));
    assert!(whole < KILLS, "no kill came while files were written");
    let product = stage.home.serve().await;
    let books = Books::read(&stage.home).await;
    for person in 0..PEOPLE {
        let entries = books.only(&number(person));
        assert_eq!(entries.len(), 2 * (usize::try_from(KILLS).unwrap() + 1), "person {person}");
        assert_one_chain(entries);
        let expected: Vec<String> = (0..=KILLS).map(|round| format!("you said: text {round}")).collect();
        assert_eq!(stage.carrier.bodies_to(&number(person)), expected);
    }
    product.stop().await;
    let (code, said, _) = stage.home.run(&["store", "check"]).await;
    assert_eq!(code, 0, "{said}");
}
