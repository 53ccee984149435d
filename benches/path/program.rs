//! The released program as a process: its folder, its start, its memory and its CPU.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::requests::{ACCOUNT_SID, API_KEY, AUTH_TOKEN, OUR_NUMBER, PUBLIC_URL};

/// A process that printed its ready line; killed when dropped.
pub(crate) struct Program {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// From the start of the process to its ready line.
    pub(crate) start_took: Duration,
}

/// Another executable that is measured in place of this build's.
static OTHER: OnceLock<PathBuf> = OnceLock::new();

/// Measures another executable from now on.
pub(crate) fn measure(other: PathBuf) {
    OTHER.set(other).expect("said once");
}

/// The executable that is measured.
pub(crate) fn executable() -> &'static Path {
    OTHER.get().map_or(Path::new(env!("CARGO_BIN_EXE_scrubjay")), PathBuf::as_path)
}

/// The folder of that name below `target/`.
pub(crate) fn folder_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench").join(name)
}

/// The same, empty now.
pub(crate) fn fresh_folder(name: &str) -> PathBuf {
    let folder = folder_of(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// The settings of every bench, written into `folder`: the fakes as model and carrier, everybody let in, no daily limits, no pace, and
/// each text its own turn, which is the costliest way. All else is as shipped.
pub(crate) fn configure(folder: &Path, fakes: SocketAddr) {
    let text = format!(
        "[server]\npublic_url = \"{PUBLIC_URL}\"\n\
         [external_api]\nkey = \"{API_KEY}\"\n\
         [people]\nadmission = \"open\"\n\
         [conversations]\ndebounce_ms = 0\n\
         [limits]\nturns_per_day = 0\nturns_per_day_all = 0\n\
         [mcp]\ncalls_per_minute = 0\n\
         [catch_up]\nminutes = 0\n\
         [endpoints.openAI]\nbase_url = \"http://{fakes}/v1\"\napi_key = \"sk-bench-0123456789abcdef0123456789abcdef\"\n\
         default_model = \"bench-model\"\n\
         [gateways.twilio]\naccount_sid = \"{ACCOUNT_SID}\"\nauth_token = \"{AUTH_TOKEN}\"\nphone_number = \"{OUR_NUMBER}\"\n\
         api_base = \"http://{fakes}\"\n"
    );
    fs::write(folder.join("config.toml"), text).expect("a settings file");
}

/// Adds to the settings in `folder` where data lies.
pub(crate) fn store_in(folder: &Path, storage: &str) {
    let file = folder.join("config.toml");
    let text = fs::read_to_string(&file).expect("the settings");
    fs::write(file, text + storage).expect("a settings file");
}

impl Program {
    /// Starts `scrubjay serve` on the data in `folder`, which was configured.
    pub(crate) fn serve(folder: &Path) -> Self {
        let mut command = Command::new(executable());
        command.env_clear().current_dir(folder).arg("--config").arg(folder.join("config.toml"));
        command.arg("--data-dir").arg(folder.join("data")).args(["serve", "--listen", "127.0.0.1:0"]);
        Self::start(command, folder)
    }

    /// Starts the bare handler, which is this very executable.
    pub(crate) fn yardstick(folder: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this executable"));
        command.arg("--yardstick").arg(folder);
        Self::start(command, folder)
    }

    /// Starts the bare tool, which is this very executable too.
    pub(crate) fn bare_tool(folder: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this executable"));
        command.arg("--bare-tool");
        Self::start(command, folder)
    }

    fn start(mut command: Command, folder: &Path) -> Self {
        let log = fs::File::create(folder.join("stderr.log")).expect("a log file");
        let begun = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("its ready line");
        let start_took = begun.elapsed();
        let address = line.trim().strip_prefix("ready http://").and_then(|rest| rest.parse().ok());
        let Some(address) = address else {
            let _ = child.kill();
            panic!("{line:?} is no ready line; see {}", folder.join("stderr.log").display());
        };
        std::thread::spawn(move || stdout.lines().for_each(drop));
        Self { child, address, start_took }
    }

    /// A figure of `/proc/PID/status` in MiB: `VmRSS` now, `VmHWM` at most so far.
    pub(crate) fn memory_mib(&self, name: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(name)).expect("a known name");
        let kib: f64 = line.split_whitespace().nth(1).and_then(|value| value.parse().ok()).expect("a number");
        kib / 1024.0
    }

    /// CPU that it has used, user and system.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(self.child.id())
    }
}

/// CPU that a process has used, user and system.
pub(crate) fn cpu_of(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name in brackets").1.split(' ').collect();
    // Fields 14 and 15 of proc(5), in ticks, of which Linux shows a hundred a second.
    let ticks = |index: usize| fields[index].parse::<u64>().expect("a number");
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
