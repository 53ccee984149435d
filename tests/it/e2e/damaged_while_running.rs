//! Data that is damaged under a running program: senders keep their texts until somebody has mended it, the host is told, and nothing
//! is begun anew in its place.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::books::{Books, assert_one_chain};
use super::full_disk::{acknowledged, readiness, until_ready_is};
use super::{SOON, Stage, number};
use crate::backends::Ground;
use crate::support::process::Product;
use crate::support::twilio::{Text, Twilio};

const PEOPLE: usize = 4;
const PAGE: u64 = 4096;

async fn running(backend: &'static str) -> (Stage, Product) {
    let stage = Stage::on(Ground::new(backend)).await;
    let product = stage.home.serve().await;
    for person in 0..PEOPLE {
        Twilio::new().text(product.address, &number(person), "before").await;
    }
    stage.no_job_left(SOON).await;
    assert!(readiness(&product).await.0);
    (stage, product)
}

/// Writes over a database that a program has open, all but its first page; what it was before.
fn write_over(file: &Path) -> Vec<u8> {
    let other = rusqlite::Connection::open(file).unwrap();
    // Whoever has pages in memory reads them again when another process has written.
    other.execute_batch("UPDATE meta SET value = value").unwrap();
    let is_busy = || other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0)).unwrap();
    while is_busy() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let good = std::fs::read(file).unwrap();
    let bad = vec![0x5a; good.len() - usize::try_from(PAGE).unwrap()];
    OpenOptions::new().write(true).open(file).unwrap().write_all_at(&bad, PAGE).unwrap();
    good
}

/// Texts are refused, each with the word to come again, and readiness is red; returns what it says.
async fn refused(stage: &Stage, product: &Product, texts: &[Text]) -> String {
    let twilio = Twilio::new();
    for text in texts {
        assert!(!acknowledged(&twilio, product, text).await, "a text was taken that could not be stored");
    }
    let why = until_ready_is(product, false, || ()).await;
    assert!(why.contains("damaged"), "{why}");
    // It stays red, for it does not pass.
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert!(!readiness(product).await.0);
    let log = stage.home.log();
    assert!(log.contains("the store is damaged") && log.contains("what is stored is damaged"), "{log}");
    why
}

/// Everything of before is there, and what was refused is taken.
async fn mended(stage: &Stage, texts: &[Text]) {
    let (product, twilio) = (stage.home.serve().await, Twilio::new());
    for text in texts {
        assert!(acknowledged(&twilio, &product, text).await);
    }
    stage.no_job_left(SOON).await;
    let books = Books::read(&stage.home).await;
    for person in 0..PEOPLE {
        assert_one_chain(books.only(&number(person)));
        assert_eq!(stage.carrier.bodies_to(&number(person)), ["you said: before", "you said: meanwhile"]);
    }
    product.stop().await;
    let (code, said, _) = stage.home.run(&["store", "check"]).await;
    assert_eq!(code, 0, "{said}");
}

fn texts() -> Vec<Text> {
    (0..PEOPLE).map(|person| Text::new(&number(person), "meanwhile")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_damaged_while_it_is_used_takes_nothing_in_and_says_so() {
    let (stage, product) = running("sqlite").await;
    let (file, texts) = (stage.home.data().join("scrubjay.db"), texts());
    let good = write_over(&file);
    let why = refused(&stage, &product, &texts).await;
    assert!(why.contains(file.to_str().unwrap()) && why.contains("restore a copy"), "{why}");
    product.kill();
    for ending in ["db-wal", "db-shm"] {
        let _ = std::fs::remove_file(file.with_extension(ending));
    }
    std::fs::write(&file, good).unwrap();
    mended(&stage, &texts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_json_files_that_is_damaged_while_it_is_used_is_made_again_from_them() {
    let (stage, product) = running("json").await;
    let (index, texts) = (stage.home.data().join("json/index"), texts());
    write_over(&index.join("scrubjay.db"));
    let why = refused(&stage, &product, &texts).await;
    assert!(why.contains(&format!("delete {}", index.display())), "{why}");
    product.kill();
    std::fs::remove_dir_all(&index).unwrap();
    mended(&stage, &texts).await;
}

/// A document is one person's: everybody else is served as before.
#[cfg(feature = "mongodb")]
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_document_keeps_out_the_texts_of_its_person_and_of_nobody_else() {
    use mongodb::bson::{Document, doc};

    let (stage, product) = running("mongodb").await;
    let heads = stage.ground.raw().await.collection::<Document>("scrubjay_heads");
    let whose = doc! { "phone": number(0) };
    let version = heads.find_one(whose.clone()).await.unwrap().unwrap().get_i64("version").unwrap();
    heads.update_one(whose.clone(), doc! { "$set": { "version": "seven" } }).await.unwrap();
    let (twilio, texts) = (Twilio::new(), texts());
    for (person, text) in texts.iter().enumerate() {
        assert_eq!(acknowledged(&twilio, &product, text).await, person != 0, "person {person}");
    }
    assert!(readiness(&product).await.0);
    assert!(stage.home.log().contains("MongoDB collection scrubjay_heads"), "the host is told where");
    heads.update_one(whose, doc! { "$set": { "version": version } }).await.unwrap();
    assert!(acknowledged(&twilio, &product, &texts[0]).await);
    product.stop().await;
    mended(&stage, &[]).await;
}
