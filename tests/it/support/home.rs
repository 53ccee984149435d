//! A folder that the program lives in: its `config.toml`, its data, its log; and the commands run beside it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::carrier::Carrier;
use super::model::ModelServer;
use super::process::Product;
use super::twilio::{ACCOUNT_SID, AUTH_TOKEN, OUR_NUMBER, PUBLIC_URL};

/// The key of the external message API in tests.
pub(crate) const API_KEY: &str = "e2e-external-key-5f1d8a2b9c3e4f60718293a4b5c6d7e8";
/// The key sent to the model in tests.
pub(crate) const MODEL_KEY: &str = "sk-e2e-model-key-0a1b2c3d4e5f60718293a4b5c6d7e8f9";

/// Settings to write into `config.toml`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    table: toml::Table,
}

impl Settings {
    /// Twilio at `carrier`, the model at `model`, everybody let in, no daily limits, each text its own turn, and waits
    /// short enough for a test.
    pub(crate) fn new(carrier: &Carrier, model: &ModelServer) -> Self {
        Self::default()
            .set("server.public_url", PUBLIC_URL)
            .set("external_api.key", API_KEY)
            .set("people.admission", "open")
            .set("conversations.debounce_ms", 0)
            .set("limits.turns_per_day", 0)
            .set("limits.turns_per_day_all", 0)
            .set("worker.backoff_ms", 50)
            .set("worker.backoff_max_ms", 400)
            .set("worker.attempts", 40)
            .set("worker.poll_ms", 100)
            .set("catch_up.minutes", 0)
            .set("endpoints.openAI.base_url", model.base_url())
            .set("endpoints.openAI.api_key", MODEL_KEY)
            .set("endpoints.openAI.default_model", "test-model")
            .set("gateways.twilio.account_sid", ACCOUNT_SID)
            .set("gateways.twilio.auth_token", AUTH_TOKEN)
            .set("gateways.twilio.phone_number", OUR_NUMBER)
            .set("gateways.twilio.api_base", carrier.api_base())
            .set("gateways.twilio.lookup_ms", vec![100, 300])
    }

    /// Sets one key, written with dots.
    pub(crate) fn set(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        let mut names: Vec<&str> = key.split('.').collect();
        let last = names.pop().unwrap();
        let mut table = &mut self.table;
        for name in names {
            table = table.entry(name).or_insert_with(|| toml::Table::new().into()).as_table_mut().unwrap();
        }
        table.insert(last.to_owned(), value.into());
        self
    }

    /// As a file.
    pub(crate) fn to_text(&self) -> String {
        toml::to_string(&self.table).unwrap()
    }
}

/// The program's folder; removed when dropped.
pub(crate) struct Home {
    folder: TempDir,
    environment: Vec<(String, String)>,
    program: PathBuf,
    /// The user that the program runs as, where that is another than the tests'.
    user: Option<u32>,
    /// A program that starts the program.
    through: Vec<String>,
}

impl Home {
    /// A fresh folder with these settings.
    pub(crate) fn new(settings: &Settings) -> Self {
        let folder = TempDir::with_prefix("scrubjay-e2e-").unwrap();
        std::fs::write(folder.path().join("config.toml"), settings.to_text()).unwrap();
        Self { folder, environment: Vec::new(), program: env!("CARGO_BIN_EXE_scrubjay").into(), user: None, through: Vec::new() }
    }

    /// Gives the program a variable.
    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Lets the program run as another user, who gets the folder. Only the superuser can.
    pub(crate) fn run_as(&mut self, user: u32) {
        // Where the program was built that user may not look.
        let program = self.path().join("scrubjay");
        std::fs::copy(env!("CARGO_BIN_EXE_scrubjay"), &program).unwrap();
        self.program = program;
        self.user = Some(user);
        std::os::unix::fs::chown(self.path(), Some(user), Some(user)).unwrap();
    }

    /// Lets another program start the program, whose name and arguments come behind these words.
    pub(crate) fn run_through(&mut self, words: &[&str]) {
        self.through = words.iter().map(|word| (*word).to_owned()).collect();
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where data lives.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The file that every start of the program appends its standard error to.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.folder.path().join("stderr.log")
    }

    /// What was logged so far by every start.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// The executable with this folder's configuration and data, and an environment that holds nothing but `PATH`.
    #[expect(clippy::disallowed_methods, reason = "the program's environment is set here, not read for a setting")]
    pub(crate) fn executable(&self) -> Command {
        let mut command = match self.through.split_first() {
            Some((first, words)) => {
                let mut command = Command::new(first);
                command.args(words).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command.env_clear().env("PATH", std::env::var("PATH").unwrap_or_default());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.path()).arg("--config").arg(self.path().join("config.toml"));
        command.arg("--data-dir").arg(self.data()).stdin(Stdio::null());
        command
    }

    /// Starts `serve` on a free port and waits until it is ready.
    pub(crate) async fn serve(&self) -> Product {
        Product::start(self).await
    }

    /// Runs a command to its end: exit code, standard output, standard error.
    pub(crate) async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = self.executable();
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let task = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
        let output = tokio::time::timeout(Duration::from_mins(1), task)
            .await
            .unwrap_or_else(|_| panic!("scrubjay {arguments:?} did not end within 60 s"))
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    /// Runs a command with `--json` and reads its one document; standard error tells where a listing goes on.
    async fn json_and_remarks(&self, arguments: &[&str]) -> (Value, String) {
        let mut all = arguments.to_vec();
        all.push("--json");
        let (code, stdout, stderr) = self.run(&all).await;
        assert_eq!(code, 0, "scrubjay {all:?} failed: {stderr}");
        let document = serde_json::from_str(&stdout);
        (document.unwrap_or_else(|error| panic!("scrubjay {all:?} printed no JSON ({error}): {stdout}")), stderr)
    }

    /// Runs a command with `--json` and reads its one document.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        self.json_and_remarks(arguments).await.0
    }

    /// Every entry of a `list` command, page by page.
    pub(crate) async fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let (mut entries, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut page = arguments.to_vec();
            page.extend(["--limit", "1000"]);
            if let Some(cursor) = &cursor {
                page.extend(["--cursor", cursor]);
            }
            let (document, remarks) = self.json_and_remarks(&page).await;
            entries.extend(document.as_array().unwrap_or_else(|| panic!("{arguments:?} printed no array: {document}")).clone());
            let next = remarks.lines().find_map(|line| line.split_once("--cursor ")).map(|(_, next)| next.trim().to_owned());
            if next.is_none() {
                return entries;
            }
            assert_ne!(next, cursor, "{arguments:?} goes in circles");
            cursor = next;
        }
    }
}
