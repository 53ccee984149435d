//! A MongoDB server for the table of backends, what counts the round trips to it, and another program that uses it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::program::fresh_folder;
use crate::requests::API_KEY;

/// How long a server may take until it listens.
const START: Duration = Duration::from_mins(1);

/// A child that is killed with this value.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port").local_addr().expect("an address").port()
}

fn wait_for(port: u16, what: &str) {
    let begun = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(begun.elapsed() < START, "{what} does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The server: a given one, or one of its own that is gone with this value.
pub(crate) struct Server {
    /// Its host and port.
    pub(crate) host: String,
    /// What it is, for the report.
    pub(crate) what: String,
    _child: Option<Killed>,
}

impl Server {
    /// The server at `host:port`, or one of the tests' environment below `target/`.
    pub(crate) fn start(given: Option<&str>) -> Self {
        if let Some(host) = given {
            return Self { host: host.to_owned(), what: format!("the server at {host}"), _child: None };
        }
        let program = of_the_tests();
        let (folder, port) = (fresh_folder("mongodb"), free_port());
        let log = File::create(folder.join("server.log")).expect("a log file");
        let mut command = Command::new(program);
        command.args(["--host", "127.0.0.1", "--cache-size", "1G", "--log-level", "WARNING", "--port", &port.to_string()]);
        command
            .arg("--storage-path")
            .arg(folder.join("data"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log);
        let child = Killed(command.spawn().expect("the server starts"));
        wait_for(port, "the MongoDB test server");
        Self { host: format!("127.0.0.1:{port}"), what: "SecantusDB of the tests".to_owned(), _child: Some(child) }
    }
}

/// The executable that the tests of the MongoDB backend installed.
fn of_the_tests() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let environments = std::fs::read_dir(folder).expect("the folder of the tests");
    let mut found: Vec<PathBuf> = environments
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("installed").exists())
        .map(|path| path.join("bin/secantusd-py"))
        .filter(|program| program.exists())
        .collect();
    found.sort();
    found.pop().expect("a MongoDB server: give one with --mongodb HOST:PORT, or run `cargo test --test it mongo` first, which installs one")
}

/// Counts what goes to a server.
pub(crate) struct Counter {
    /// Where to connect to.
    pub(crate) host: String,
    count: Arc<AtomicUsize>,
}

impl Counter {
    /// Before the server at `host:port`.
    pub(crate) fn before(host: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (count, server) = (Arc::new(AtomicUsize::new(0)), host.to_owned());
        let counted = Arc::clone(&count);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(&server) else { continue };
                for stream in [&client, &upstream] {
                    let _ = stream.set_nodelay(true);
                }
                let (Ok(answers), Ok(back)) = (upstream.try_clone(), client.try_clone()) else { continue };
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || count_messages(client, upstream, &counted));
                std::thread::spawn(move || copy(answers, back));
            }
        });
        Self { host: address.to_string(), count }
    }

    /// Requests so far, the driver's own questions after the server's health left out.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// A message begins with its length; a request's first section names the command.
fn count_messages(mut from: TcpStream, mut to: TcpStream, count: &AtomicUsize) {
    loop {
        let mut head = [0; 4];
        if from.read_exact(&mut head).is_err() {
            return;
        }
        let length = usize::try_from(u32::from_le_bytes(head)).expect("a length");
        let mut message = head.to_vec();
        message.resize(length, 0);
        if from.read_exact(&mut message[4..]).is_err() || to.write_all(&message).is_err() {
            return;
        }
        let begin = &message[..message.len().min(64)];
        let health = [&b"hello\0"[..], b"isMaster\0", b"ismaster\0"];
        if !health.iter().any(|name| begin.windows(name.len()).any(|window| window == *name)) {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A Node service that does the same work on the same server.
pub(crate) struct Peer {
    child: Killed,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Peer {
    /// `seed_server.js` of a folder with its dependencies installed, on a database of its own.
    pub(crate) fn start(folder: &Path, host: &str, database: &str, model: SocketAddr) -> Self {
        let port = free_port();
        let log = File::create(fresh_folder("peer").join("peer.log")).expect("a log file");
        let mut command = Command::new("node");
        command.arg("seed_server.js").current_dir(folder).env("PORT", port.to_string()).env("LOG", "0");
        command.env("MONGO_URI", format!("mongodb://{host}/{database}")).env("EXTERNAL_MESSAGE_API_KEY", API_KEY);
        command.env("LLM_URL", format!("http://{model}/v1/chat/completions"));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log file")).stderr(log);
        let child = Killed(command.spawn().expect("node starts"));
        wait_for(port, "the Node service");
        Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) }
    }

    /// CPU that it has used.
    pub(crate) fn cpu(&self) -> Duration {
        crate::program::cpu_of(self.child.0.id())
    }
}
