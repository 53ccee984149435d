//! A server as a child process: what it is given, how it is talked to, and that it ends.
//!
//! It leads a process group of its own, so a terminal's interrupt reaches us alone and what it starts can be ended with it.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::framing::Frames;

/// How long a process that was told to end may take, before and after it is told in earnest.
const TO_LEAVE: Duration = Duration::from_secs(2);
const TO_OBEY: Duration = Duration::from_secs(1);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes of a process's standard error that are logged, at debug. The rest is read and dropped, so that it never blocks.
const LOGGED: usize = 16 * 1024;

/// A running process, and the way to it. Dropping it kills the whole group.
pub(super) struct ChildTransport {
    process: Process,
    stdin: Arc<Mutex<Option<ChildStdin>>>,
    frames: Frames<ChildStdout>,
    since_request: Arc<AtomicUsize>,
    server: String,
}

/// What is started.
pub(super) struct Program<'a> {
    pub(super) server: &'a str,
    pub(super) command: &'a str,
    pub(super) args: &'a [SecretString],
    pub(super) inherited: &'a [(OsString, OsString)],
    pub(super) env: &'a [(String, SecretString)],
}

/// Starts it. Of our environment it gets what is inherited, and nothing else.
pub(super) fn start(program: &Program<'_>) -> io::Result<ChildTransport> {
    let mut command = Command::new(program.command);
    command
        .args(program.args.iter().map(secrecy::ExposeSecret::expose_secret))
        .env_clear()
        .envs(program.inherited.iter().map(|(name, value)| (name, value)))
        .envs(program.env.iter().map(|(name, value)| (name, value.expose_secret())))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    let missing = || io::Error::other("the process has no standard streams");
    let (stdin, stdout, stderr) =
        (child.stdin.take().ok_or_else(missing)?, child.stdout.take().ok_or_else(missing)?, child.stderr.take().ok_or_else(missing)?);
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).ok_or_else(missing)?;
    tracing::debug!(server = program.server, pid = group.as_raw_nonzero().get(), "the process of an outside server was started");
    let since_request = Arc::new(AtomicUsize::new(0));
    let stderr = AbortOnDropHandle::new(tokio::spawn(log_stderr(program.server.to_owned(), stderr)));
    Ok(ChildTransport {
        process: Process { child, group, is_reaped: false, _stderr: stderr },
        stdin: Arc::new(Mutex::new(Some(stdin))),
        frames: Frames::new(stdout, Arc::clone(&since_request)),
        since_request,
        server: program.server.to_owned(),
    })
}

impl Transport<RoleClient> for ChildTransport {
    type Error = io::Error;

    fn send(&mut self, message: TxJsonRpcMessage<RoleClient>) -> impl Future<Output = io::Result<()>> + Send + 'static {
        self.since_request.store(0, Ordering::Relaxed);
        let stdin = Arc::clone(&self.stdin);
        async move {
            let mut line = serde_json::to_vec(&message)?;
            line.push(b'\n');
            let mut stdin = stdin.lock().await;
            let stdin = stdin.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            stdin.write_all(&line).await?;
            stdin.flush().await
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        match self.frames.next().await {
            Ok(message) => Some(message),
            Err(end) => {
                tracing::debug!(server = self.server, reason = %end, "an outside server is not read any more");
                None
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        // A message that the process does not read keeps the lock; then there is nothing to wait for.
        let is_told = match timeout(LOOK, self.stdin.lock()).await {
            Ok(mut stdin) => stdin.take().is_some(),
            Err(_elapsed) => false,
        };
        self.process.end(if is_told { TO_LEAVE } else { Duration::ZERO }).await
    }
}

struct Process {
    child: Child,
    group: Pid,
    is_reaped: bool,
    _stderr: AbortOnDropHandle<()>,
}

impl Process {
    /// Waits for it to leave, tells it to, kills it and whatever it started, and takes note of its end.
    async fn end(&mut self, to_leave: Duration) -> io::Result<()> {
        if self.is_reaped {
            return Ok(());
        }
        if !self.has_ended_within(to_leave).await {
            self.signal(Signal::TERM);
            self.has_ended_within(TO_OBEY).await;
        }
        // While its end is not taken note of, its number is nobody else's, so the signal reaches its group and no other.
        self.signal(Signal::KILL);
        let ended = timeout(TO_LEAVE, self.child.wait()).await.map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?;
        self.is_reaped = true;
        ended.map(|_status| ())
    }

    async fn has_ended_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
            match rustix::process::waitid(WaitId::Pid(self.group), look) {
                Ok(None) if Instant::now() < deadline => sleep(LOOK).await,
                Ok(None) => return false,
                Ok(Some(_)) | Err(_) => return true,
            }
        }
    }

    fn signal(&self, signal: Signal) {
        // A group whose members are gone is what is wanted.
        let _gone = rustix::process::kill_process_group(self.group, signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.signal(Signal::KILL);
        }
    }
}

/// Reads what a process says on standard error to its end: somebody who looks for a mistake may want its first lines, and nobody
/// else may see them.
async fn log_stderr(server: String, mut stderr: ChildStderr) {
    let mut left = LOGGED;
    let mut chunk = vec![0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        if left == 0 || !tracing::enabled!(tracing::Level::DEBUG) {
            continue;
        }
        let said = chunk.get(..count.min(left)).unwrap_or_default();
        left -= said.len();
        for line in String::from_utf8_lossy(said).lines().filter(|line| !line.trim().is_empty()) {
            tracing::debug!(server, said = line, "standard error of an outside server");
        }
        if left == 0 {
            tracing::debug!(server, "the rest of its standard error is not logged");
        }
    }
}
