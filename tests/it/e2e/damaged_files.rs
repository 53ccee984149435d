//! Files that were cut off or changed: the program names them and does not go on with less, and there is a way back.

use std::path::{Path, PathBuf};

use super::books::Books;
use super::{SOON, Stage, number};
use crate::support::twilio::Twilio;

const PEOPLE: usize = 5;

/// A store that some people have texted to, closed.
async fn filled(backend: &'static str) -> Stage {
    let stage = Stage::with(|settings| settings.set("storage.backend", backend)).await;
    let product = stage.home.serve().await;
    for person in 0..PEOPLE {
        Twilio::new().text(product.address, &number(person), &"tell me a story ".repeat(50)).await;
    }
    stage.no_job_left(SOON).await;
    product.stop().await;
    stage
}

async fn assert_start_is_refused(stage: &Stage, file: &Path) -> String {
    let (code, _, said) = stage.home.run(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(file.to_str().unwrap()) && said.contains("damaged"), "{said}");
    said
}

async fn assert_everything_is_there(stage: &Stage) {
    let product = stage.home.serve().await;
    let books = Books::read(&stage.home).await;
    for person in 0..PEOPLE {
        assert_eq!(books.only(&number(person)).len(), 2, "person {person}");
    }
    product.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_cut_off_or_changed_is_named_and_left_as_it_is() {
    let stage = filled("sqlite").await;
    let file = stage.home.data().join("scrubjay.db");
    let good = std::fs::read(&file).unwrap();
    let middle = good.len() / 2 / 4096 * 4096;
    let mut changed = good.clone();
    changed[middle..middle + 8 * 4096].fill(0x5a);
    let mut head = good.clone();
    head[..64].fill(0x5a);
    for (what, bad) in [("half of it", &good[..middle]), ("nothing of it", &[][..]), ("another head", &head)] {
        std::fs::write(&file, bad).unwrap();
        let said = assert_start_is_refused(&stage, &file).await;
        assert!(said.contains("restore a copy"), "{what}: {said}");
        assert_eq!(std::fs::read(&file).unwrap(), bad, "{what}");
    }
    // What is in the middle is found by whoever needs it, and by who checks everything.
    std::fs::write(&file, &changed).unwrap();
    let (code, printed, said) = stage.home.run(&["store", "check"]).await;
    assert_eq!(code, 1, "{printed}{said}");
    std::fs::write(&file, &good).unwrap();
    let _ = std::fs::remove_file(file.with_extension("db-wal"));
    let _ = std::fs::remove_file(file.with_extension("db-shm"));
    assert_everything_is_there(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_file_that_was_cut_off_or_changed_is_named_and_its_copy_brings_everything_back() {
    let stage = filled("json").await;
    let folder = stage.home.data().join("json");
    let person: PathBuf = std::fs::read_dir(folder.join("people")).unwrap().next().unwrap().unwrap().path();
    for (name, without_index) in [("messages.jsonl", false), ("person.jsonl", true), ("turns.jsonl", true)] {
        let file = person.join(name);
        let good = std::fs::read(&file).unwrap();
        let bad = match name {
            "messages.jsonl" => {
                let mut changed = good.clone();
                changed[good.len() / 2] ^= 0x01;
                changed
            }
            "person.jsonl" => good[..good.len() - 7].to_vec(),
            _ => Vec::new(),
        };
        std::fs::write(&file, &bad).unwrap();
        if without_index {
            std::fs::remove_dir_all(folder.join("index")).unwrap();
        }
        let said = assert_start_is_refused(&stage, &file).await;
        assert!(said.contains("store check --use-previous"), "{said}");
        assert_eq!(std::fs::read(&file).unwrap(), bad);
        let (code, printed, said) = stage.home.run(&["store", "check", "--use-previous"]).await;
        assert_eq!(code, 0, "{printed}{said}");
        assert!(said.contains(file.to_str().unwrap()), "{said}");
        assert_everything_is_there(&stage).await;
    }
}

/// What a power cut leaves of a line that was being written, of which nobody was told that it is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_journal_that_was_half_written_is_cut_off_and_told_of() {
    let stage = filled("json").await;
    let journal = stage.home.data().join("json/journal");
    let segments = std::fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path());
    let newest = segments.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")).max().unwrap();
    let whole = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, [&whole[..], b"{\"half\": \"of a li"].concat()).unwrap();
    assert!(!stage.home.log().contains("was not written whole"));
    assert_everything_is_there(&stage).await;
    let log = stage.home.log();
    assert!(log.contains("WARN") && log.contains("the journal's last line was not written whole"), "{log}");
    assert!(log.contains(newest.to_str().unwrap()), "it names the file: {log}");
}
