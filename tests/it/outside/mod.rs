//! Other people's MCP servers, real ones: processes and HTTP on loopback, well-behaved and not.

mod people;
mod remote;
mod stdio;
mod troubles;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use scrubjay::clock::Clock;
use scrubjay::config::{Files, Sources, load_files};
use scrubjay::domain::phone::PhoneNumber;
use scrubjay::service::people::{AccountName, People, UserName};
use scrubjay::service::tools::{JsonObject, ToolContext, ToolOutcome, ToolSet};
use scrubjay::store::{self, NewPerson, SharedStore};
use scrubjay::toolset::outside::{self, Limits, Outside};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

const ADA: &str = "+15550100001";
const BEA: &str = "+15550100002";

/// Waits short enough for a test.
const QUICK: Limits = Limits {
    places: 8,
    idle: Duration::from_mins(10),
    sweep: Duration::from_millis(50),
    first_wait: Duration::from_millis(400),
    longest_wait: Duration::from_secs(2),
    steady: Duration::from_mins(10),
};

/// Servers of a YAML file over a store with two people.
struct Scene {
    outside: Outside,
    sets: Vec<Arc<dyn ToolSet>>,
    people: People,
    ada: ToolContext,
    bea: ToolContext,
    store: SharedStore,
    folder: tempfile::TempDir,
}

/// The Python itself: what `PATH` finds may be a script that adds to the environment.
static PYTHON: LazyLock<String> = LazyLock::new(|| {
    let asked = std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let asked = asked.expect("these tests need a Python 3 of the system, without packages");
    String::from_utf8(asked.stdout).unwrap().trim().to_owned()
});

/// The Python server, with its folder for logs and these further options and lines of settings.
pub(crate) fn small(name: &str, folder: &Path, options: &str, more: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/outside/server.py");
    let python = PYTHON.as_str();
    let log = folder.join(format!("{name}.log")).display().to_string();
    let options = if options.is_empty() { String::new() } else { format!(", {options}") };
    format!("  {name}:\n    command: {python:?}\n    args: [-u, {script:?}, --log, \"{log}\"{options}]\n    timeout: 5000\n{more}")
}

impl Scene {
    /// `servers` is given the scene's folder and says what stands below `mcpServers:`.
    async fn open(limits: Limits, servers: impl FnOnce(&Path) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let yaml = format!("mcpServers:\n{}", servers(folder.path()));
        let files = Files { yaml: Some((PathBuf::from("scrubjay.yaml"), yaml.into_bytes())), ..Files::default() };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let environment = vec![
            ("PATH".into(), path),
            ("HOME".into(), folder.path().into()),
            ("GIVEN".into(), "given".into()),
            ("LANG".into(), "C.UTF-8".into()),
        ];
        let data_dir = Some(folder.path().join("data"));
        let loaded = load_files(&Sources { environment, data_dir, ..Sources::default() }, &files).unwrap_or_else(|error| panic!("{error}"));
        let clock = Clock::system();
        let store = store::open(&loaded.config.storage, clock.clone()).unwrap();
        let people = People::new(Arc::clone(&store));
        let open = async |number: &str| {
            let name = AccountName::Person(UserName::Phone(PhoneNumber::from_stored(number).unwrap()));
            context(people.get_or_open(&name, new_person(&clock)).await.unwrap().id)
        };
        let (ada, bea) = (open(ADA).await, open(BEA).await);
        let outside = outside::open(&loaded.config.mcp_servers, &people, limits).unwrap();
        let sets = outside.sets();
        Self { outside, sets, people, ada, bea, store, folder }
    }

    /// One small server named `small`, with these options.
    async fn small(limits: Limits, options: &str, more: &str) -> Self {
        Self::open(limits, |folder| small("small", folder, options, more)).await
    }

    fn set(&self, name: &str) -> &Arc<dyn ToolSet> {
        self.sets.iter().find(|set| set.name() == name).unwrap()
    }

    async fn names(&self, set: &str) -> Vec<String> {
        self.set(set).definitions(&self.ada).await.iter().map(|tool| tool.name.clone()).collect()
    }

    async fn call_as(&self, who: &ToolContext, tool: &str, arguments: Value) -> ToolOutcome {
        let set = self.set(tool.split('_').next().unwrap());
        set.call(who, tool, object(arguments)).await
    }

    async fn call(&self, tool: &str, arguments: Value) -> ToolOutcome {
        self.call_as(&self.ada, tool, arguments).await
    }

    /// What `who` answers.
    async fn who(&self, who: &ToolContext) -> Value {
        let outcome = self.call_as(who, "small_who", json!({})).await;
        assert!(!outcome.is_error, "{outcome:?}");
        serde_json::from_str(&outcome.text).unwrap()
    }

    async fn pid(&self) -> u64 {
        self.who(&self.ada).await["pid"].as_u64().unwrap()
    }

    /// The lines that a small server has logged.
    fn log(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn starts(&self, name: &str) -> usize {
        self.log(name).iter().filter(|line| line.starts_with("start")).count()
    }

    async fn close(self) {
        self.outside.close().await;
        self.store.close().await;
    }
}

fn new_person(clock: &Clock) -> NewPerson {
    NewPerson { id: clock.user_id(), email_domain: "sms.librechat.ai".to_owned(), start_credits: None }
}

fn context(user_id: scrubjay::domain::ids::UserId) -> ToolContext {
    ToolContext { user_id, conversation_id: None }
}

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(fields) => fields,
        other => panic!("{other} is no object"),
    }
}

/// Whether a process has an entry, be it as a zombie.
fn exists(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Waits until a process is gone, zombie and all.
pub(crate) async fn gone(pid: u64, limit: Duration) {
    let begun = Instant::now();
    while exists(pid) {
        assert!(begun.elapsed() < limit, "process {pid} is still there after {limit:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
