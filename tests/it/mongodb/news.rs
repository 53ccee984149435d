//! Change streams: what they tell, what becomes of them when the line or the server breaks, and what they cost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use scrubjay::domain::ids::UserId;
use scrubjay::service::onlookers::Pace;
use scrubjay::service::people::Live;
use scrubjay::store::{LaneKind, News, NewsStream, SharedStore, TurnRelease};

use crate::contract::elsewhere::Looking;
use crate::contract::fixture::{ANN, BOB, Fixture, NOON, owner};
use crate::support::eventually;
use crate::support::mongo::{Database, Kind, Server};
use crate::support::wire::Wire;

/// How long is waited for what must come.
const SOON: Duration = Duration::from_secs(30);

/// So long nothing must come.
const QUIET: Duration = Duration::from_millis(500);

async fn next(news: &mut NewsStream) -> News {
    tokio::time::timeout(SOON, news.next()).await.expect("something is told").expect("it goes on for ever")
}

/// What is told until nothing is for a while.
async fn all(news: &mut NewsStream) -> Vec<News> {
    let mut told = Vec::new();
    while let Ok(one) = tokio::time::timeout(QUIET, news.next()).await {
        told.push(one.unwrap());
    }
    told
}

/// News of that store, which have begun.
async fn news(store: &SharedStore) -> NewsStream {
    let mut news = store.news().await.unwrap().expect("it is a replica set");
    assert_eq!(next(&mut news).await, News::Begun);
    news
}

/// The same database as another process has it, over that line.
fn through(wire: &Wire, f: &Fixture) -> SharedStore {
    let mut settings = f.settings.clone();
    settings.mongodb.uri = wire.uri.clone().into();
    // So long the driver looks for a server before it says that there is none.
    settings.mongodb.timeout_seconds = 2;
    scrubjay::store::open(&settings, f.clock.clone()).unwrap()
}

/// A text of somebody and its answer.
async fn exchange(f: &Fixture, number: &str) -> UserId {
    let receipt = f.texted(number, "hello").await;
    f.drain().await;
    receipt.user_id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_told_and_work_that_was_given_back_and_nothing_else() {
    let f = Fixture::on(Database::new());
    let other = f.open_again();
    let mut news = news(&other).await;
    let ann = exchange(&f, ANN).await;
    let bob = exchange(&f, BOB).await;
    assert_eq!(all(&mut news).await, [News::Ended(ann), News::Ended(bob)], "not what came in, was leased, or waits for its delivery");
    // What a model does not answer is tried again later, by whoever is there then.
    f.texted(ANN, "again").await;
    let turn = f.lease_one().await;
    let later = TurnRelease::Retry { due: NOON.after(Duration::from_mins(1)), error: "away".to_owned() };
    f.store.release_turn(&turn.lease, later).await.unwrap();
    assert_eq!(all(&mut news).await, []);
    // What a process that stops had begun is somebody else's now.
    f.advance(60_000);
    let turn = f.lease_one().await;
    f.store.release_turn(&turn.lease, TurnRelease::Unchanged).await.unwrap();
    assert_eq!(all(&mut news).await, [News::Offered(LaneKind::Turns)]);
    let turn = f.lease_one().await;
    assert_eq!(f.store.release_owner(&owner()).await.unwrap(), 1);
    assert_eq!(all(&mut news).await, [News::Offered(LaneKind::Turns)]);
    drop(turn);
    let turn = f.lease_one().await;
    f.store.complete_turn(&turn.lease, f.answered("hi", &["hi"])).await.unwrap();
    f.delivery().await;
    f.store.release_owner(&owner()).await.unwrap();
    assert_eq!(all(&mut news).await, [News::Ended(ann), News::Offered(LaneKind::Deliveries)]);
    // It goes with a dead letter as with an answer.
    f.texted(BOB, "hello?").await;
    let turn = f.lease_one().await;
    f.store.release_turn(&turn.lease, TurnRelease::Dead { error: "refused".to_owned() }).await.unwrap();
    assert_eq!(all(&mut news).await, [News::Ended(bob)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks_is_resumed_and_what_happened_meanwhile_is_told() {
    let direct = Database::new();
    let wire = Wire::to(&direct.uri).await;
    let f = Fixture::on(direct);
    let ann = exchange(&f, ANN).await;
    let far = through(&wire, &f);
    let mut news = news(&far).await;
    exchange(&f, ANN).await;
    assert_eq!(next(&mut news).await, News::Ended(ann));
    wire.cut(true);
    let silence = async { assert_eq!(next(&mut news).await, News::Silent) };
    let meanwhile = async {
        for _ in 0..3 {
            exchange(&f, ANN).await;
        }
    };
    tokio::join!(silence, meanwhile);
    wire.cut(false);
    assert_eq!(next(&mut news).await, News::Resumed);
    assert_eq!(all(&mut news).await, [News::Ended(ann); 3], "each end in the silence is told, and none before it again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_is_gone_a_place_that_is_forgotten_and_a_server_that_is_killed() {
    let mut server = Server::start(Kind { durable: true, ..Kind::default() });
    let f = Fixture::on(Database::at(server.uri()));
    let ann = exchange(&f, ANN).await;
    let mut news = news(&f.open_again()).await;
    let fail = async |code: i32| {
        let fails = doc! { "failCommands": ["getMore"], "errorCode": code };
        let armed = doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": fails };
        let database = f.database().open().await;
        database.client().database("admin").run_command(armed).await.unwrap();
    };
    // The server forgot the cursor: the driver asks for another by itself.
    fail(43).await;
    exchange(&f, ANN).await;
    assert_eq!(all(&mut news).await, [News::Ended(ann)]);
    // It forgot what happened: then whoever looks on must look.
    fail(286).await;
    exchange(&f, ANN).await;
    let mut told = Vec::new();
    while told.last() != Some(&News::Begun) {
        told.push(next(&mut news).await);
    }
    let (last_two, before) = (told.split_off(told.len() - 2), told);
    assert_eq!(last_two, [News::Silent, News::Begun]);
    assert!(before.iter().all(|one| *one == News::Ended(ann)), "{before:?}");
    all(&mut news).await;
    // It was killed, and came back.
    let pace = Pace { alone: Duration::from_hours(1), told: Duration::from_hours(1) };
    let far = f.open_again();
    let here = Looking::on(&f, Arc::clone(&far), pace);
    let mut live = Live::open(Arc::clone(&far), &here.watch, ann, None).await.unwrap();
    let before = far.latest_event(ann).await.unwrap();
    let watching = async {
        let mut seen = Vec::new();
        while seen.len() < 2 {
            match live.next().await {
                Ok(turns) => seen.extend(turns.into_iter().map(|turn| turn.event)),
                Err(error) => {
                    eprintln!("{error}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
        seen
    };
    let meanwhile = async {
        exchange(&f, ANN).await;
        tokio::time::sleep(QUIET).await;
        server.kill();
        server.run();
        let again = || async { f.store.find_mark("any").await.ok() };
        eventually("a store that answers", SOON, again).await;
        exchange(&f, ANN).await;
    };
    let (seen, ()) = tokio::time::timeout(SOON * 2, async { tokio::join!(watching, meanwhile) }).await.unwrap();
    assert_eq!(seen, [before + 1, before + 2], "each once, though nobody asks for an hour");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_serves_all_who_look_on_and_none_runs_for_nobody() {
    let direct = Database::new();
    let wire = Wire::to(&direct.uri).await;
    let f = Fixture::on(direct);
    let (ann, bob) = (exchange(&f, ANN).await, exchange(&f, BOB).await);
    let far = through(&wire, &f);
    let here = Looking::on(&f, Arc::clone(&far), Pace::default());
    wire.take_commands();
    tokio::time::sleep(QUIET).await;
    assert!(wire.take_commands().is_empty(), "nobody looks on, so nothing is asked");

    let mut lives = Vec::new();
    for user in [ann, ann, bob, bob] {
        lives.push(Live::open(Arc::clone(&far), &here.watch, user, None).await.unwrap());
    }
    let lives = lives.into_iter().map(|mut live| tokio::spawn(async move { live.next().await.unwrap().len() }));
    let mut lives: Vec<_> = lives.collect();
    let (begun, mut opened) = (Instant::now(), BTreeMap::new());
    loop {
        tokio::time::sleep(QUIET).await;
        let passed = wire.take_commands();
        let is_quiet = !passed.contains_key("find");
        for (command, times) in passed {
            *opened.entry(command).or_insert(0) += times;
        }
        if is_quiet && opened.contains_key("getMore") {
            break;
        }
        assert!(begun.elapsed() < SOON, "{opened:?}");
    }
    assert_eq!(opened["aggregate"], 1, "one stream for all: {opened:?}");

    // Four who poll would ask a dozen times in three seconds.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let idle = wire.take_commands();
    assert_eq!(idle.get("find"), None, "{idle:?}");
    assert_eq!(idle.get("aggregate"), None, "{idle:?}");

    exchange(&f, ANN).await;
    for live in lives.drain(..2) {
        assert_eq!(tokio::time::timeout(SOON, live).await.unwrap().unwrap(), 1);
    }
    let woken = wire.take_commands();
    assert!(woken["find"] <= 12, "those who look on at Ann look, and nobody else: {woken:?}");
    assert!(lives.iter().all(|live| !live.is_finished()));
    lives.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_was_given_back_wakes_whoever_hears_of_it_within_a_moment() {
    let f = Fixture::on(Database::new());
    let receipt = f.texted(ANN, "hello").await;
    let far = f.open_again();
    let here = Looking::on(&f, Arc::clone(&far), Pace { alone: Duration::from_hours(1), told: Duration::from_hours(1) });
    let live = Live::open(far, &here.watch, receipt.user_id, None).await.unwrap();
    let turn = f.lease_one().await;
    // Until the stream stands there is nothing to hear.
    tokio::time::sleep(QUIET * 2).await;
    f.store.release_turn(&turn.lease, TurnRelease::Unchanged).await.unwrap();
    tokio::time::timeout(SOON, here.turns.announced()).await.expect("it is announced");
    let due = here.turns.take().unwrap();
    assert!(due >= NOON && due.since(NOON) <= Duration::from_millis(100), "spread over a tenth of a second");
    drop(live);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_tells_only_of_the_unit_that_wrote_it() {
    let f = Fixture::on(Database::new());
    let heads = f.database().open().await.collection::<Document>("scrubjay_heads");
    let told = async || heads.find_one(doc! {}).await.unwrap().unwrap().get_array("news").ok().cloned();
    f.texted(ANN, "one").await;
    assert_eq!(told().await, None);
    f.drain().await;
    assert_eq!(told().await, Some(vec!["ended".into()]));
    f.texted(ANN, "two").await;
    assert_eq!(told().await, None);
}
