//! What the machine can do at most: a bare handler that group-commits one row, and the disk's own `fdatasync`.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use hdrhistogram::Histogram;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::load::histogram;

/// A row, and whom to tell that it is on the disk.
type Write = (Bytes, oneshot::Sender<()>);

/// Rows of one commit at most, as many as the recipe of a group commit takes.
const GROUP: usize = 256;

/// Serves the bare handler on a free port and prints where; ends with the process.
pub(crate) fn serve(folder: &Path) {
    let (rows, received) = sync_channel(4096);
    let file = folder.join("yardstick.db");
    std::thread::spawn(move || write(&file, &received));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let router = Router::new().route("/webhooks/twilio", post(take)).with_state(rows);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("ready http://{}", listener.local_addr().expect("an address"));
        axum::serve(listener, router).await.expect("served");
    });
}

async fn take(State(rows): State<SyncSender<Write>>, body: Bytes) -> StatusCode {
    let (tell, told) = oneshot::channel();
    if rows.try_send((body, tell)).is_err() || told.await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    StatusCode::OK
}

fn write(file: &Path, rows: &Receiver<Write>) {
    let mut database = Connection::open(file).expect("a database");
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE row (id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
        )
        .expect("a table");
    while let Ok(first) = rows.recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(next) = rows.try_recv()
        {
            group.push(next);
        }
        let transaction = database.transaction().expect("a transaction");
        for (body, _) in &group {
            transaction.prepare_cached("INSERT INTO row (body) VALUES (?1)").expect("SQL").execute([&body[..]]).expect("a row");
        }
        transaction.commit().expect("a commit");
        for (_, tell) in group {
            let _ = tell.send(());
        }
    }
}

/// How long the disk takes to make 4 KiB appended to a file durable, in microseconds.
pub(crate) fn fdatasync(folder: &Path, count: usize) -> Histogram<u64> {
    let mut file = File::create(folder.join("fdatasync.probe")).expect("a file");
    let page = [b'x'; 4096];
    let mut took = histogram();
    for _ in 0..count {
        file.write_all(&page).expect("written");
        let begun = Instant::now();
        file.sync_data().expect("durable");
        record(&mut took, begun);
        std::thread::sleep(Duration::from_micros(200));
    }
    took
}

/// How long it takes to keep a step of some records of a person durably by one line at the end of a journal.
pub(crate) fn kept_in_journal(folder: &Path, steps: usize) -> Histogram<u64> {
    let mut file = File::create(folder.join("journal")).expect("a file");
    let mut took = histogram();
    for _ in 0..steps {
        let begun = Instant::now();
        file.write_all(&STEP).expect("written");
        file.sync_data().expect("durable");
        record(&mut took, begun);
    }
    took
}

/// The same by the person's files, so many bytes each, written whole beside those that are there and put in their places.
pub(crate) fn kept_in_files(folder: &Path, steps: usize, bytes: usize) -> Histogram<u64> {
    let content = vec![b'x'; bytes];
    let mut took = histogram();
    for _ in 0..steps {
        let begun = Instant::now();
        for name in CHANGED {
            let (path, part) = (folder.join(name), folder.join(format!("{name}.part")));
            let mut file = File::create(&part).expect("a file");
            file.write_all(&content).expect("written");
            file.sync_all().expect("durable");
            std::fs::rename(part, path).expect("put in its place");
        }
        File::open(folder).and_then(|folder| folder.sync_all()).expect("durable");
        record(&mut took, begun);
    }
    took
}

/// What a text changes of a person: the message, the turn, and when they texted.
const CHANGED: [&str; 3] = ["messages.jsonl", "turns.jsonl", "person.jsonl"];

/// As many bytes as a text's line in the journal has.
const STEP: [u8; 2048] = [b'x'; 2048];

fn record(took: &mut Histogram<u64>, begun: Instant) {
    took.record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX).clamp(1, 60_000_000)).expect("within bounds");
}
