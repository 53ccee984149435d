//! What every command begins with: the settings, the log, and everything opened over the store.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use tokio::runtime::{Builder, Runtime};

use super::output::complain;
use super::{GlobalArgs, Misuse};
use crate::app::App;
use crate::clock::Clock;
use crate::config::sections::ApiDelivery;
use crate::config::{self, Loaded, Sources};
use crate::gateway::{Gateways, Opened};
use crate::{store, telemetry};

/// `storage.path` where nobody set it.
const DEFAULT_DATA: &str = "./data";

/// What a command can ask for.
#[derive(Debug)]
pub(crate) struct Context {
    global: GlobalArgs,
}

/// Who reads the log of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogReader {
    /// The operator of a server: everything that `log.filter` asks for.
    Operator,
    /// Somebody at a terminal who asked for something else: warnings, unless a filter was set on purpose.
    Bystander,
}

/// What becomes of a command whose store does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It ends: there is nothing to show or to change.
    Refuse,
    /// The store is made: what the command writes may be its first entry.
    Make,
}

impl Context {
    /// With these flags above every layer.
    pub(crate) fn new(global: GlobalArgs) -> Self {
        Self { global }
    }

    /// Where settings come from: the process, and the flags of every command. A command adds its own.
    pub(crate) fn sources(&self) -> Sources {
        let GlobalArgs { config, yaml, env_file, profile, data_dir } = self.global.clone();
        Sources { config, yaml, env_file, profile, data_dir, ..Sources::of_process() }
    }

    /// The settings of a one-shot command. Its log begins here.
    pub(crate) fn settings(&self) -> anyhow::Result<Loaded> {
        load(&self.sources(), LogReader::Bystander)
    }

    /// The flags that bring another command to the same settings and this data folder, as a shell reads them.
    pub(crate) fn flags(&self, data: &Path) -> String {
        let GlobalArgs { config, yaml, env_file, profile, data_dir: _ } = &self.global;
        let mut flags = String::new();
        let paths = [("--config", config.as_deref()), ("--yaml", yaml.as_deref()), ("--env-file", env_file.as_deref())];
        let data = (data != Path::new(DEFAULT_DATA)).then_some(data);
        for (flag, path) in paths.into_iter().chain([("--data-dir", data)]) {
            if let Some(path) = path {
                let _infallible = write!(flags, " {flag} {}", quoted(&path.to_string_lossy()));
            }
        }
        if let Some(profile) = profile {
            let _infallible = write!(flags, " --profile {}", quoted(profile));
        }
        flags
    }

    /// Does something with everything open over the store, beside a running server or without one, and closes it again. No
    /// carrier is open: such a command sends nothing. Where no store is, the folder is more likely mistyped than empty.
    pub(crate) fn with_app<T>(&self, missing: Missing, work: impl AsyncFnOnce(&App) -> anyhow::Result<T>) -> anyhow::Result<T> {
        with_app(self.settings()?, missing, work)
    }
}

/// The same for settings that are there already.
pub(crate) fn with_app<T>(loaded: Loaded, missing: Missing, work: impl AsyncFnOnce(&App) -> anyhow::Result<T>) -> anyhow::Result<T> {
    if missing == Missing::Refuse && !store::exists(&loaded.config.storage) {
        bail!(
            "there is no store in {}; is storage.path (--data-dir) right? `scrubjay serve` and `scrubjay demo` make one",
            loaded.config.storage.path.display()
        );
    }
    // A command does one thing; starting threads for it would take longer than the thing.
    let runtime = small_runtime()?;
    runtime.block_on(async {
        let closed = Opened { gateways: Gateways::default(), simulator: None };
        let mut config = loaded.config;
        // Replies that are to be texted are the server's affair; a command without a carrier is no reason to refuse.
        config.external_api.deliver = ApiDelivery::None;
        let app = App::open_with(config, Clock::system(), closed).await?;
        let outcome = work(&app).await;
        app.close().await;
        outcome
    })
}

/// A runtime for what goes on behind the threads that answer. They are as many as there are processors, so half as many do here: with more
/// these wake each other, and look for work that is done already, for a seventh of what a turn costs on two processors.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    let threads = std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2));
    Builder::new_multi_thread().worker_threads(threads).enable_all().build().context("the system gave no threads for the runtime")
}

/// A runtime on this thread alone.
pub(crate) fn small_runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("the system gave no runtime")
}

/// Loads settings and begins the log.
pub(crate) fn load(sources: &Sources, reader: LogReader) -> anyhow::Result<Loaded> {
    let loaded = config::load(sources)?;
    begin_log(&loaded, reader)?;
    for note in &loaded.notes {
        match reader {
            LogReader::Operator => tracing::warn!("{note}"),
            LogReader::Bystander => complain(&format!("note: {note}")),
        }
    }
    Ok(loaded)
}

/// Begins the log, for whoever reads it. What a command prints is no log; it does not wait for this.
pub(crate) fn begin_log(loaded: &Loaded, reader: LogReader) -> anyhow::Result<()> {
    let on_purpose = reader == LogReader::Operator || loaded.provenance.is_set("log.filter");
    let filter = if on_purpose { loaded.config.log.filter.as_str() } else { "warn" };
    telemetry::init_logs(filter, loaded.config.log.format).map_err(|error| Misuse(error.to_string()).into())
}

/// A word as a shell reads it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:+=@,".contains(&byte));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_change_it() {
        assert_eq!(quoted("/srv/data-1"), "/srv/data-1");
        assert_eq!(quoted("my data"), "'my data'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
