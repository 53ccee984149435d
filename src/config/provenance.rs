//! Where each value came from: its layer, file, line and written name, and what it lies above.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use figment::value::Value;

/// A layer of the settings; a later one wins. The order of the variants is the order of the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The `config.toml` built into the program.
    Embedded,
    /// The plain keys of the `config.toml` that was given or found.
    File,
    /// The chosen `[profiles.NAME]` of that file.
    Profile,
    /// The `.env` file.
    DotEnv,
    /// The process environment.
    Environment,
    /// The `env:` section of the YAML file.
    Yaml,
    /// `mcpServers.NAME.env` of the YAML file, when the program runs as that server.
    Server,
    /// What a command sets for itself; the text is the command's name.
    Command(&'static str),
    /// A flag of the command line.
    Flag,
}

impl Layer {
    /// The word that `config show` and messages use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::File => "file",
            Self::Profile => "profile",
            Self::DotEnv => ".env",
            Self::Environment => "environment",
            Self::Yaml => "yaml",
            Self::Server => "mcpServers",
            Self::Command(name) => name,
            Self::Flag => "flag",
        }
    }

    /// Whether values are written as text there, so that lists are separated by commas and numbers are read from text.
    #[must_use]
    pub(super) fn holds_text(self) -> bool {
        self >= Self::DotEnv
    }
}

/// The place of one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its layer.
    pub layer: Layer,
    /// The file, where the layer is one.
    pub file: Option<PathBuf>,
    /// The line in that file, from 1.
    pub line: Option<usize>,
    /// The name as written there: a dotted key, a variable or a flag.
    pub name: String,
}

impl fmt::Display for Origin {
    /// `FILE:LINE: NAME`, or `process environment: NAME`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_place(f)?;
        if self.name.is_empty() { Ok(()) } else { write!(f, ": {}", self.name) }
    }
}

impl Origin {
    /// The place without the name.
    #[must_use]
    pub fn place(&self) -> String {
        struct Place<'a>(&'a Origin);
        impl fmt::Display for Place<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write_place(f)
            }
        }
        Place(self).to_string()
    }

    fn write_place(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}:{line}", file.display()),
            (Some(file), None) => write!(f, "{}", file.display()),
            (None, Some(line)) => write!(f, "built-in config.toml:{line}"),
            (None, None) => f.write_str(match self.layer {
                Layer::Environment => "process environment",
                Layer::Flag => "command line",
                other => other.name(),
            }),
        }
    }
}

/// One value that one layer gives to one key.
#[derive(Clone)]
pub struct Setting {
    /// Where it stands.
    pub origin: Origin,
    /// The file that a secret was read from, when its name ended in `_FILE` or `_file`.
    pub secret_file: Option<PathBuf>,
    pub(super) value: Value,
    pub(super) secret: bool,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting").field("origin", &self.origin).field("value", &self.shown()).finish_non_exhaustive()
    }
}

impl Setting {
    /// The value as it may be shown: a secret is masked, wherever it came from.
    #[must_use]
    pub fn shown(&self) -> serde_json::Value {
        if self.secret {
            return match self.value.as_str() {
                // That nothing is set is no secret, and whoever looks for a mistake needs to see it.
                Some("") => "".into(),
                _ => MASK.into(),
            };
        }
        match serde_json::to_value(&self.value) {
            Ok(serde_json::Value::String(text)) => without_password(&text).into(),
            Ok(value) => value,
            Err(_unreadable) => serde_json::Value::Null,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        self.value.as_str()
    }
}

/// What stands in place of a secret.
pub(super) const MASK: &str = "********";

/// The text with the password of a URL in it masked: a proxy's or server's URL is no secret setting, but may carry one.
fn without_password(text: &str) -> String {
    match url::Url::parse(text) {
        Ok(mut url) if url.password().is_some() => match url.set_password(Some(MASK)) {
            Ok(()) => url.into(),
            Err(()) => MASK.to_owned(),
        },
        _ => text.to_owned(),
    }
}

/// Every key's values, by layer.
#[derive(Debug, Clone, Default)]
pub struct Provenance {
    settings: BTreeMap<String, Vec<Setting>>,
    servers: Vec<(String, Setting)>,
}

impl Provenance {
    /// Each key with its values, the lowest layer first; the last one is in effect.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Setting])> {
        self.settings.iter().map(|(key, stack)| (key.as_str(), stack.as_slice()))
    }

    /// The value in effect and its place.
    #[must_use]
    pub fn effective(&self, key: &str) -> Option<&Setting> {
        self.settings.get(key)?.last()
    }

    /// Whether a layer above the built-in one sets this key, be it to nothing.
    #[must_use]
    pub fn is_set(&self, key: &str) -> bool {
        self.effective(key).is_some_and(|setting| setting.origin.layer > Layer::Embedded)
    }

    pub(super) fn below(&self, key: &str, layer: Layer) -> Option<&Setting> {
        self.settings.get(key)?.iter().rev().find(|setting| setting.origin.layer < layer)
    }

    /// What is shown of `mcpServers`, without their secrets.
    pub(super) fn servers(&self) -> &[(String, Setting)] {
        &self.servers
    }

    pub(super) fn push_server(&mut self, key: String, setting: Setting) {
        self.servers.push((key, setting));
    }

    pub(super) fn push(&mut self, key: String, setting: Setting) {
        self.settings.entry(key).or_default().push(setting);
    }
}
