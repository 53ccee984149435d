//! The program as a running process.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::home::Home;

/// A start takes far less; on a busy machine a debug build may need some seconds.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running `scrubjay serve`, killed when dropped.
pub(crate) struct Product {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    log_file: PathBuf,
}

/// `serve` on a free port; its standard error goes to the home's log.
fn spawn(home: &Home, stdout: Stdio) -> Child {
    let log = OpenOptions::new().create(true).append(true).open(home.log_file()).unwrap();
    home.executable().args(["serve", "--listen", "127.0.0.1:0"]).stdout(stdout).stderr(log).spawn().unwrap()
}

impl Product {
    /// Starts `serve` and waits for its ready line.
    pub(crate) async fn start(home: &Home) -> Self {
        let mut child = spawn(home, Stdio::piped());
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).map(|_| (line, stdout))
        });
        let read = tokio::time::timeout(START_LIMIT, reading).await;
        let Ok(Ok(Ok((line, stdout)))) = read else {
            let _ = child.kill();
            panic!("no ready line within {START_LIMIT:?}; the log says:\n{}", home.log());
        };
        let Some(address) = line.trim().strip_prefix("ready http://").and_then(|rest| rest.parse().ok()) else {
            let _ = child.kill();
            panic!("{line:?} is no ready line; the log says:\n{}", home.log());
        };
        // Whoever writes to a closed pipe is killed: the rest of standard output is read to its end, and holds nothing.
        std::thread::spawn(move || stdout.lines().for_each(drop));
        Self { child, address, log_file: home.log_file() }
    }

    /// Starts `serve` and kills it after `life`, ready or not.
    pub(crate) async fn start_and_kill_within(home: &Home, life: Duration) {
        let mut child = spawn(home, Stdio::null());
        tokio::time::sleep(life).await;
        let _ = child.kill();
        child.wait().unwrap();
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// A URL of this process.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its process id.
    #[cfg(feature = "mongodb")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.send(Signal::TERM);
    }

    /// SIGSTOP: it stands still, with everything that it holds, until [`Product::go_on`].
    #[cfg(feature = "mongodb")]
    pub(crate) fn stand_still(&self) {
        self.send(Signal::STOP);
    }

    /// SIGCONT.
    #[cfg(feature = "mongodb")]
    pub(crate) fn go_on(&self) {
        self.send(Signal::CONT);
    }

    /// The standard library sends SIGKILL only.
    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let child = &mut self.child;
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < limit, "process {} did not end within {limit:?}", child.id());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGTERM, and waits for a clean end.
    pub(crate) async fn stop(mut self) {
        self.terminate();
        let status = self.ended(Duration::from_secs(30)).await;
        assert!(status.success(), "a graceful stop ended with {status}");
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log_file).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the end of the program's log:\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}
