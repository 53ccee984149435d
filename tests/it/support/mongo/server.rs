//! Servers: those that test processes share, and such as a test has for itself to stop, or to ask for a password or TLS.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::environment::{python, secantusd};

/// How long a server may take to start. A busy machine with cold disks needs a while.
const START: Duration = Duration::from_secs(90);

/// Said with each address: the test server's errors of a changing topology lack what lets the driver recover at once.
const OPTIONS: &str = "serverMonitoringMode=poll&heartbeatFrequencyMS=500";

/// Servers at most that tests share. One is a Python program that does one thing at a time, so tests side by side would wait for each other.
const SHARED: usize = 4;

/// Which of the servers this process shares: `cargo nextest` tells each test which of its places it has; `cargo test` runs all in one.
#[expect(clippy::disallowed_methods, reason = "it is the runner's own variable")]
fn which() -> usize {
    let place = std::env::var("NEXTEST_TEST_GLOBAL_SLOT").ok().and_then(|slot| slot.parse::<usize>().ok());
    place.unwrap_or_default() % SHARED
}

/// The shared server's address; it is started when none runs, and runs as long as a process holds its lock of users.
pub(super) fn shared() -> String {
    static URI: OnceLock<(String, File)> = OnceLock::new();
    let (uri, _users) = URI.get_or_init(|| {
        let python = python();
        let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("secantusdb-{}", which()));
        std::fs::create_dir_all(&home).unwrap();
        // The order matters: who holds `users` knows that the server which it finds afterwards stays.
        let users = File::create(home.join("users.lock")).unwrap();
        users.lock_shared().unwrap();
        let starting = File::create(home.join("start.lock")).unwrap();
        starting.lock().unwrap();
        let port = running(&home).unwrap_or_else(|| start(&python, &home));
        (format!("mongodb://127.0.0.1:{port}/?{OPTIONS}"), users)
    });
    uri.clone()
}

/// The port of a server that answers.
fn running(home: &Path) -> Option<u16> {
    let notice: Value = serde_json::from_slice(&std::fs::read(home.join("server.json")).ok()?).ok()?;
    let port = u16::try_from(notice["port"].as_u64()?).ok()?;
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Duration::from_secs(5)).is_ok().then_some(port)
}

#[expect(clippy::zombie_processes, reason = "the keeper lives on and ends by itself")]
/// Starts a keeper, which starts a server; in a process group of its own, for a test runner ends a test's group.
fn start(python: &Path, home: &Path) -> u16 {
    let _ = std::fs::remove_file(home.join("server.json"));
    let log = File::create(home.join("keeper.log")).unwrap();
    let mut keeper = Command::new(python);
    keeper.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/mongo/keeper.py")).arg(home).args(secantusd());
    keeper.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
    let mut keeper = keeper.spawn().unwrap();
    let begun = Instant::now();
    loop {
        if let Some(port) = running(home) {
            return port;
        }
        let ended = keeper.try_wait().unwrap();
        let said = || std::fs::read_to_string(home.join("keeper.log")).unwrap_or_default();
        assert!(ended.is_none(), "the MongoDB test server did not start: {}", said());
        assert!(begun.elapsed() < START, "the MongoDB test server did not start within {START:?}: {}", said());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How a server of one test is run.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the server, and any of them go together")]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kind {
    /// It is no replica set: no transactions, no change streams.
    pub(crate) standalone: bool,
    /// It asks for a user and a password.
    pub(crate) auth: bool,
    /// It speaks TLS, with a certificate for `localhost` of an authority of its own.
    pub(crate) tls: bool,
    /// It writes through to the disk before it acknowledges, so that it may be killed.
    pub(crate) durable: bool,
}

/// A server of one test, killed with this value.
pub(crate) struct Server {
    kind: Kind,
    port: u16,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Server {
    /// The user and the password of a server that asks for them.
    pub(crate) const USER: &str = "keeper";
    pub(crate) const PASSWORD: &str = "p@ss/w:rd";

    /// Starts one.
    pub(crate) fn start(kind: Kind) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut server = Self { kind, port, folder: tempfile::tempdir().unwrap(), child: None };
        if kind.tls {
            let made = Command::new(python())
                .args(["-m", "trustme", "--quiet", "-i", "localhost", "127.0.0.1", "-d"])
                .arg(server.folder.path())
                .output();
            let made = made.unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        if kind.auth {
            // Its users are made while it asks for none.
            server.kind = Kind { auth: false, tls: false, ..kind };
            server.run();
            let script = "import pymongo, sys; pymongo.MongoClient(sys.argv[1]).admin.command('createUser', sys.argv[2], pwd=sys.argv[3], roles=['root'])";
            let uri = format!("mongodb://127.0.0.1:{port}/?directConnection=true");
            let made = Command::new(python()).args(["-c", script, &uri, Self::USER, Self::PASSWORD]).output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            server.stop();
            server.kind = kind;
        }
        server.run();
        server
    }

    /// Where it is, with all that is needed to be let in.
    pub(crate) fn uri(&self) -> String {
        let login = if self.kind.auth { format!("{}:p%40ss%2Fw%3Ard@", Self::USER) } else { String::new() };
        let tls = if self.kind.tls { format!("&tls=true&tlsCAFile={}", self.authority().display()) } else { String::new() };
        format!("mongodb://{login}localhost:{}/?{OPTIONS}{tls}", self.port)
    }

    /// Where it is, without user, password and certificate.
    pub(crate) fn bare_uri(&self) -> String {
        format!("mongodb://localhost:{}/?{OPTIONS}", self.port)
    }

    /// The certificate of the authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("client.pem")
    }

    /// Starts it again on the same port with the same data.
    pub(crate) fn run(&mut self) {
        let data = self.folder.path().join("data");
        let program = secantusd();
        let mut command = Command::new(&program[0]);
        command.args(&program[1..]).args(["--host", "127.0.0.1", "--cache-size", "128M", "--log-level", "WARNING", "--port"]);
        command.arg(self.port.to_string()).arg("--storage-path").arg(data);
        for (wanted, flag) in [(self.kind.standalone, "--standalone"), (self.kind.auth, "--auth"), (self.kind.durable, "--sync-on-commit")]
        {
            if wanted {
                command.arg(flag);
            }
        }
        if self.kind.tls {
            command.arg("--tls-cert-file").arg(self.folder.path().join("server.pem"));
            command.arg("--tls-key-file").arg(self.folder.path().join("server.key"));
        }
        let log = File::create(self.folder.path().join("server.log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = self.child.insert(command.spawn().unwrap());
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let said = || std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "it did not start: {}", said());
            assert!(begun.elapsed() < START, "it did not start within {START:?}: {}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it in order. Its data stay.
    pub(crate) fn stop(&mut self) {
        self.send(Signal::TERM);
        self.wait();
    }

    /// SIGSTOP: connections stay open and nothing is answered, until [`Server::go_on`].
    pub(crate) fn stand_still(&self) {
        self.send(Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn go_on(&self) {
        self.send(Signal::CONT);
    }

    fn send(&self, signal: Signal) {
        if let Some(child) = &self.child {
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    /// Kills it. What it acknowledged stays if it is a durable one.
    pub(crate) fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
        }
        self.wait();
    }

    fn wait(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
