//! A disk without room: whoever texts is told so and tries again, nothing that was acknowledged is lost, and with room again it goes
//! on by itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;

use super::books::{Books, assert_one_chain, said};
use super::{SOON, Stage, number};
use crate::support::disk::Disk;
use crate::support::eventually;
use crate::support::model::Reaction;
use crate::support::process::Product;
use crate::support::twilio::{Text, Twilio};

const PEOPLE: usize = 12;
/// Of the disk.
const MIB: usize = 24;

/// What readiness says: whether it is green, and of storage.
pub(super) async fn readiness(product: &Product) -> (bool, String) {
    let answer = crate::support::http_client().get(product.url("/health/ready")).send().await.unwrap();
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(status, if body["ready"] == true { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE });
    (body["ready"] == true, body["parts"]["storage"].as_str().unwrap().to_owned())
}

/// Waits until readiness is green, or red; says what storage said.
pub(super) async fn until_ready_is(product: &Product, green: bool, meanwhile: impl Fn()) -> String {
    let what = if green { "green readiness" } else { "red readiness" };
    eventually(what, SOON, || async {
        meanwhile();
        let (ready, storage) = readiness(product).await;
        (ready == green).then_some(storage)
    })
    .await
}

/// Posts a text once: whether it was acknowledged. A refusal must say when to try again.
pub(super) async fn acknowledged(twilio: &Twilio, product: &Product, text: &Text) -> bool {
    let answer = twilio.answer_to(product.address, "/webhooks/twilio", &text.form()).await.unwrap();
    match answer.status() {
        StatusCode::OK => true,
        StatusCode::SERVICE_UNAVAILABLE => {
            let seconds: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=60).contains(&seconds));
            let problem: Value = answer.json().await.unwrap();
            assert_eq!(problem["type"], "/problems/storage-unavailable");
            false
        }
        other => panic!("the webhook answered {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_room_stops_nothing() {
    let stage = Stage::new().await;
    std::os::unix::fs::symlink("/dev/full", stage.home.log_file()).unwrap();
    let product = stage.home.serve().await;
    // Each of these has something to say.
    let unsigned = crate::support::http_client().post(product.url("/webhooks/twilio")).body("Body=nobody");
    let unsigned = unsigned.header("Content-Type", "application/x-www-form-urlencoded").send().await.unwrap();
    assert_eq!(unsigned.status(), StatusCode::FORBIDDEN);
    Twilio::new().text(product.address, &number(0), "hello").await;
    assert_eq!(stage.bodies_to(&number(0), 1).await, ["you said: hello"]);
    assert!(readiness(&product).await.0);
    product.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_and_passes_in_sqlite() {
    a_full_disk_loses_nothing_and_passes("sqlite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_and_passes_in_json_files() {
    a_full_disk_loses_nothing_and_passes("json").await;
}

async fn a_full_disk_loses_nothing_and_passes(backend: &'static str) {
    let mut stage = Stage::with(|settings| settings.set("storage.backend", backend)).await;
    let disk = Disk::at(&mut stage.home, MIB);
    let product = stage.home.serve().await;
    let twilio = Twilio::new();
    for person in 0..PEOPLE {
        twilio.text(product.address, &number(person), "before").await;
    }
    stage.no_job_left(SOON).await;
    assert!(readiness(&product).await.0);

    // Answers are on their way when the room ends.
    stage.model.script(|asked| Reaction::Slowly(format!("you said: {}", asked.newest().join(" + ")), Duration::from_millis(200)));
    for person in 0..PEOPLE {
        twilio.text(product.address, &number(person), "on the way").await;
    }
    disk.fill(&product);
    let texts: Vec<Text> = (0..PEOPLE).map(|person| Text::new(&number(person), "while it was full")).collect();
    let mut refused: BTreeMap<usize, &Text> = texts.iter().enumerate().collect();
    let mut refusals = 0;
    let begun = Instant::now();
    let mut red = String::new();
    // What little room the store has of its own is used up first.
    while refusals < 20 || red.is_empty() {
        assert!(begun.elapsed() < SOON, "{refusals} refusals; readiness says {:?}", readiness(&product).await);
        disk.fill(&product);
        let waiting: Vec<usize> = refused.keys().copied().collect();
        assert!(!waiting.is_empty(), "every text found room");
        for person in waiting {
            if acknowledged(&twilio, &product, refused[&person]).await {
                refused.remove(&person);
            } else {
                refusals += 1;
            }
        }
        if let (false, why) = readiness(&product).await {
            red = why;
        }
    }
    eprintln!("{} texts of {PEOPLE} found room; readiness: {red}", PEOPLE - refused.len());
    assert!(!disk.is_mounted() || red.contains("room"), "{red}");
    // Without anybody who texts it is red as well, for as long as there is no room.
    tokio::time::sleep(Duration::from_secs(6)).await;
    disk.fill(&product);
    until_ready_is(&product, false, || disk.fill(&product)).await;

    disk.free(Some(&product));
    until_ready_is(&product, true, || ()).await;
    for text in refused.values() {
        twilio.text_until_acknowledged(|| product.address, text, SOON).await;
    }
    let expected: Vec<String> = ["before", "on the way", "while it was full"].iter().map(|text| format!("you said: {text}")).collect();
    for person in 0..PEOPLE {
        assert_eq!(stage.bodies_to(&number(person), expected.len()).await, expected, "person {person}");
    }
    stage.no_job_left(SOON).await;

    if disk.is_mounted() {
        start_on_a_full_disk(&stage, &disk, product).await;
    } else {
        product.kill();
    }
    // What was stored is the same, also for the next one who reads it from the disk.
    let product = stage.home.serve().await;
    let books = Books::read(&stage.home).await;
    for person in 0..PEOPLE {
        let entries = books.only(&number(person));
        assert_one_chain(entries);
        let wanted = [("external", "before"), ("external", "on the way"), ("external", "while it was full")];
        let texts: Vec<_> = said(entries).into_iter().filter(|(role, _text)| *role == "external").collect();
        assert_eq!(texts, wanted, "person {person}");
    }
    let (code, said, _) = stage.home.run(&["store", "check"]).await;
    assert_eq!(code, 0, "{said}");
    product.stop().await;
}

/// A killed program does not start where there is no room, and says why; what it had stored is as it was.
async fn start_on_a_full_disk(stage: &Stage, disk: &Disk, product: Product) {
    disk.fill(&product);
    product.kill();
    let (code, _, said) = stage.home.run(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(code, 1, "{said}");
    let data = stage.home.data();
    assert!(said.contains(data.to_str().unwrap()) && (said.contains("room") || said.contains("No space")), "{said}");
    disk.free(None);
}
