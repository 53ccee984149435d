//! The database is away for a while, with people texting: senders are told to come back, readiness is red and then green again,
//! nothing is lost, and what was acknowledged is answered once.
//!
//! `SCRUBJAY_TEST_OUTAGE_SECONDS` says for how long.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mongodb::bson::doc;
use reqwest::StatusCode;

use super::{Balancer, assert_each_reply_once_and_in_order, assert_stored_once, settled, words};
use crate::backends::Ground;
use crate::e2e::{SOON, Stage, number};
use crate::support::chance::Chance;
use crate::support::knobs::knob;
use crate::support::mongo::{Kind, Server};
use crate::support::process::Product;
use crate::support::twilio::{Text, Twilio};
use crate::support::{eventually, http_client_with};

/// People who text all the time, each about once a second.
const PEOPLE: usize = 8;
/// `storage.mongodb.timeout_seconds`: how long a program looks for a server.
const TIMEOUT: u64 = 2;
/// The longest that a sender may have to wait for its answer: then Twilio gives up. `server.acknowledge_seconds` is 10.
const LONGEST: Duration = Duration::from_secs(15);
/// An answer of before may still be on its way that long.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// What is wrong with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Its process is killed, and started again.
    Gone,
    /// Its process stands still: connections are open and nothing is answered.
    Silent,
    /// It closes connections in the middle of commands, some a second.
    HangingUp,
}

/// One attempt of a sender.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    begun: Instant,
    ended: Instant,
    answer: Option<StatusCode>,
}

#[derive(Default)]
struct Log {
    attempts: Mutex<Vec<Attempt>>,
    /// Nobody begins another text.
    over: AtomicBool,
}

/// One person's phone: texts until it is over, each repeated until it is acknowledged. Returns how many.
async fn phone(person: usize, balancer: Arc<Balancer>, log: Arc<Log>, chance: Chance) -> usize {
    let twilio = Twilio::with_patience(2 * LONGEST);
    let mut sent = 0;
    while !log.over.load(Ordering::SeqCst) {
        let text = Text::new(&number(person), &words(person, sent));
        loop {
            let begun = Instant::now();
            let answer = balancer.post(&twilio, &text).await;
            log.attempts.lock().unwrap().push(Attempt { begun, ended: Instant::now(), answer });
            if answer == Some(StatusCode::OK) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        sent += 1;
        tokio::time::sleep(Duration::from_millis(chance.between(700, 1_300))).await;
    }
    sent
}

async fn is_ready(program: &Product) -> bool {
    let answer = http_client_with(LONGEST).get(program.url("/health/ready")).send().await.unwrap();
    answer.status() == StatusCode::OK
}

/// Closes connections for so long: each time the next two of such commands.
async fn hang_up(uri: &str, duration: Duration) {
    const COMMANDS: [&str; 6] = ["find", "update", "insert", "bulkWrite", "aggregate", "delete"];
    let admin = mongodb::Client::with_uri_str(uri).await.unwrap().database("admin");
    let begun = Instant::now();
    let mut turn = 0;
    while begun.elapsed() < duration {
        let data = doc! { "failCommands": [COMMANDS[turn % COMMANDS.len()]], "closeConnection": true };
        admin.run_command(doc! { "configureFailPoint": "failCommand", "mode": { "times": 2 }, "data": data }).await.unwrap();
        turn += 1;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    admin.run_command(doc! { "configureFailPoint": "failCommand", "mode": "off" }).await.unwrap();
}

async fn go_through(trouble: Trouble) {
    let away = Duration::from_secs(u64::try_from(knob("SCRUBJAY_TEST_OUTAGE_SECONDS", 6)).unwrap());
    let mut server = Server::start(Kind { durable: true, ..Kind::default() });
    let stage = Stage::on_with(Ground::at(server.uri()), |settings| {
        settings.set("storage.mongodb.timeout_seconds", i64::try_from(TIMEOUT).unwrap())
    })
    .await;
    let (one, two, chance) = (stage.home.serve().await, stage.home.serve().await, Chance::new());
    let (balancer, log) = (Arc::new(Balancer::new([one.address, two.address], &chance)), Arc::new(Log::default()));
    let phones: Vec<_> =
        (0..PEOPLE).map(|person| tokio::spawn(phone(person, Arc::clone(&balancer), Arc::clone(&log), chance.clone()))).collect();
    eventually("some replies", SOON, || async { (stage.carrier.sent().len() >= PEOPLE).then_some(()) }).await;
    assert!(is_ready(&one).await && is_ready(&two).await);

    let from = Instant::now();
    let mut was_red = false;
    match trouble {
        Trouble::Gone => tokio::task::block_in_place(|| server.kill()),
        Trouble::Silent => server.stand_still(),
        Trouble::HangingUp => hang_up(&server.uri(), away).await,
    }
    while from.elapsed() < away {
        was_red |= !is_ready(&one).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let to = Instant::now();
    match trouble {
        Trouble::Gone => tokio::task::block_in_place(|| server.run()),
        Trouble::Silent => server.go_on(),
        Trouble::HangingUp => {}
    }
    let back = Instant::now();
    eventually("readiness to turn green again", SOON, || async { (is_ready(&one).await && is_ready(&two).await).then_some(()) }).await;
    let green = back.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    log.over.store(true, Ordering::SeqCst);
    let mut texts = Vec::new();
    for phone in phones {
        texts.push(phone.await.unwrap());
    }
    let store = stage.open();
    settled(&store, Duration::from_mins(1)).await;

    let attempts = std::mem::take(&mut *log.attempts.lock().unwrap());
    let slowest = attempts.iter().map(|attempt| attempt.ended - attempt.begun).max().unwrap();
    let count = |answer: Option<StatusCode>| attempts.iter().filter(|attempt| attempt.answer == answer).count();
    let (taken, refused) = (count(Some(StatusCode::OK)), count(Some(StatusCode::SERVICE_UNAVAILABLE)));
    eprintln!(
        "{trouble:?} for {away:?}: {taken} texts taken, {refused} answers of 503, {} without; the slowest answer took {slowest:?}; green \
         again after {green:?}",
        attempts.len() - taken - refused
    );
    assert_eq!(taken, texts.iter().sum::<usize>());
    assert!(slowest < LONGEST, "a sender waited {slowest:?}");
    if trouble != Trouble::HangingUp {
        assert!(was_red, "readiness stayed green without a database");
        assert!(refused > 0, "nobody was told to come back");
        let meanwhile = |attempt: &&Attempt| attempt.ended > from + ON_ITS_WAY && attempt.ended < to;
        let lie = attempts.iter().filter(meanwhile).find(|attempt| attempt.answer == Some(StatusCode::OK));
        assert!(lie.is_none(), "a text was acknowledged that could not be stored: {lie:?}");
    }
    assert_eq!(assert_each_reply_once_and_in_order(&stage, &store, &texts, &[]).await, 0);
    assert_stored_once(&store, &texts).await;
    store.close().await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_for_a_while_loses_nothing() {
    go_through(Trouble::Gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_says_nothing_for_a_while_loses_nothing() {
    go_through(Trouble::Silent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_up_loses_nothing() {
    go_through(Trouble::HangingUp).await;
}
