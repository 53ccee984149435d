//! Finding the files, and laying the layers over each other.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Config;
use super::draft::Draft;
use super::mcp_servers::McpServers;
use super::problem::{LoadError, Note, Problem};
use super::provenance::{Layer, Origin, Provenance, Setting};
use super::variables::{Target, Variable, target};
use super::{dotenv, extract, keys, mcp_servers, text, toml_file, validate, yaml};
use figment::value::Value;

/// Whether secrets must be good enough to guard a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretStrength {
    /// An empty, short or well-known secret is a problem.
    #[default]
    Required,
    /// Any secret will do: for `doctor signature`, which checks another's work and opens nothing.
    Any,
}

/// A value that a command sets for itself, above everything but flags.
#[derive(Clone)]
pub struct Override {
    /// The key `a.b.c`.
    pub key: String,
    /// The value as text, as in a variable.
    pub value: String,
    /// The command, as `config show` names the layer.
    pub command: &'static str,
}

/// What settings are read from. The default reads the built-in file and nothing else but what lies in the working directory.
#[derive(Clone, Default)]
pub struct Sources {
    /// `--config`: the configuration file; else `config.toml` in the working directory, if there is one.
    pub config: Option<PathBuf>,
    /// `--yaml`: else `scrubjay.yaml` beside the configuration file.
    pub yaml: Option<PathBuf>,
    /// `--env-file`: else `.env` beside the configuration file, else in the working directory.
    pub env_file: Option<PathBuf>,
    /// `--profile`: else the variable `SCRUBJAY_PROFILE`.
    pub profile: Option<String>,
    /// `--data-dir`, above every layer.
    pub data_dir: Option<PathBuf>,
    /// `--listen`, above every layer.
    pub listen: Option<String>,
    /// `--server`: the server of `mcpServers` whose `env` is a layer.
    pub server: Option<String>,
    /// What the running command sets for itself.
    pub overrides: Vec<Override>,
    /// The process environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Where relative paths begin. Empty is the process's own.
    pub working_dir: PathBuf,
    /// Whether weak secrets are problems.
    pub secrets: SecretStrength,
}

impl fmt::Debug for Sources {
    /// Without the environment and the overrides: they hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("config", &self.config)
            .field("yaml", &self.yaml)
            .field("env_file", &self.env_file)
            .field("profile", &self.profile)
            .field("working_dir", &self.working_dir)
            .finish_non_exhaustive()
    }
}

impl Sources {
    /// The environment and working directory of this process; flags are the caller's to add.
    #[must_use]
    pub fn of_process() -> Self {
        Self { environment: std::env::vars_os().collect(), ..Self::default() }
    }
}

/// The files' contents, each with the path that messages name.
#[derive(Default)]
pub struct Files {
    /// `config.toml`.
    pub config: Option<(PathBuf, Vec<u8>)>,
    /// `.env`.
    pub env_file: Option<(PathBuf, Vec<u8>)>,
    /// The YAML file.
    pub yaml: Option<(PathBuf, Vec<u8>)>,
}

/// Settings that can be used.
#[derive(Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where each came from.
    pub provenance: Provenance,
    /// What its owner should know.
    pub notes: Vec<Note>,
}

/// One line of `config show`.
#[derive(Debug)]
pub struct Shown<'a> {
    /// The key `a.b.c`.
    pub key: String,
    /// The value in effect, masked where it is secret; nothing when no layer sets it.
    pub value: Option<serde_json::Value>,
    /// Its place.
    pub setting: Option<&'a Setting>,
    /// The key that it was inherited from, where a section left it out.
    pub inherited_from: Option<String>,
    /// The values that it lies above, the nearest first.
    pub overrode: Vec<(serde_json::Value, &'a Setting)>,
}

impl Provenance {
    /// Every key with its value in effect, in alphabetical order; then the servers of the YAML file, in its order.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown<'_>> {
        let mut names: Vec<String> = keys::all().map(|(key, _)| key.to_owned()).collect();
        for (key, _) in self.iter() {
            names.push(key.to_owned());
            // What an endpoint leaves out is shown with where it comes from.
            if let ["endpoints", name, _] = *key.split('.').collect::<Vec<_>>() {
                names.extend(keys::endpoint_fields().map(|field| format!("endpoints.{name}.{field}")));
            }
        }
        names.sort_unstable();
        names.dedup();
        let mut shown: Vec<Shown<'_>> = names.into_iter().filter_map(|key| self.shown_key(key)).collect();
        shown.extend(self.servers().iter().map(|(key, setting)| Shown {
            key: key.clone(),
            value: Some(setting.shown()),
            setting: Some(setting),
            inherited_from: None,
            overrode: Vec::new(),
        }));
        shown
    }

    fn shown_key(&self, key: String) -> Option<Shown<'_>> {
        if let Some(setting) = self.effective(&key) {
            let below = self.iter().find(|(other, _)| *other == key).map_or(&[][..], |(_, stack)| stack);
            let overrode = below.iter().rev().skip(1).map(|setting| (extract::shown(&key, setting), setting)).collect();
            return Some(Shown { value: Some(extract::shown(&key, setting)), setting: Some(setting), inherited_from: None, overrode, key });
        }
        if let Some((from, setting)) = extract::inherited_setting(self, &key) {
            let value = Some(extract::shown(&from, setting));
            return Some(Shown { value, setting: Some(setting), inherited_from: Some(from), overrode: Vec::new(), key });
        }
        // Secrets without a default.
        keys::all().any(|(known, _)| known == key).then(|| Shown {
            key,
            value: None,
            setting: None,
            inherited_from: None,
            overrode: Vec::new(),
        })
    }
}

impl Config {
    /// The settings of one `config.toml` text above the built-in one, and of nothing else in the world.
    ///
    /// # Errors
    /// [`LoadError`] lists what is wrong with the text.
    pub fn from_toml(text: &str) -> Result<Self, LoadError> {
        let files = Files { config: Some((PathBuf::from("config.toml"), text.into())), ..Files::default() };
        load_files(&Sources::default(), &files).map(|loaded| loaded.config)
    }
}

/// Reads the settings.
///
/// # Errors
/// [`LoadError`] lists everything that is wrong; the program should show it and exit with 2.
pub fn load(sources: &Sources) -> Result<Loaded, LoadError> {
    let mut draft = Draft { working_dir: sources.working_dir.clone(), ..Draft::default() };
    let files = find(sources, &mut draft);
    lay(sources, &files, draft)
}

/// As [`load`], with the files' contents given by the caller; only files named by a secret's `…_FILE` are read.
///
/// # Errors
/// As [`load`].
pub fn load_files(sources: &Sources, files: &Files) -> Result<Loaded, LoadError> {
    lay(sources, files, Draft { working_dir: sources.working_dir.clone(), ..Draft::default() })
}

/// Reads the files that are named, and those that lie where they are looked for.
fn find(sources: &Sources, draft: &mut Draft) -> Files {
    let base = &sources.working_dir;
    let mut named = |given: &Option<PathBuf>, layer: Layer, flag: &str, places: &[PathBuf]| -> Option<(PathBuf, Vec<u8>)> {
        if let Some(path) = given {
            let path = base.join(path);
            return match fs::read(&path) {
                Ok(content) => Some((path, content)),
                Err(error) => {
                    let origin = Origin { layer: Layer::Flag, file: None, line: None, name: flag.to_owned() };
                    let problem = Problem::new(format!("the file {} cannot be read: {error}", path.display()));
                    draft.problems.push(problem.at(&origin));
                    None
                }
            };
        }
        for path in places {
            match fs::read(path) {
                Ok(content) => return Some((path.clone(), content)),
                // A folder of that name is somebody else's.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory) => {}
                Err(error) => {
                    let origin = Origin { layer, file: Some(path.clone()), line: None, name: String::new() };
                    draft.problems.push(Problem::new(format!("cannot be read: {error}")).at(&origin));
                    return None;
                }
            }
        }
        None
    };
    let config = named(&sources.config, Layer::File, "--config", &[base.join("config.toml")]);
    let beside = sources.config.as_deref().and_then(Path::parent).map_or_else(|| base.clone(), |folder| base.join(folder));
    let env_file = named(&sources.env_file, Layer::DotEnv, "--env-file", &[beside.join(".env"), base.join(".env")]);
    let yaml = named(&sources.yaml, Layer::Yaml, "--yaml", &[beside.join("scrubjay.yaml")]);
    Files { config, env_file, yaml }
}

fn lay(sources: &Sources, files: &Files, mut draft: Draft) -> Result<Loaded, LoadError> {
    let config = content(files.config.as_ref(), Layer::File, &mut draft).map(|(path, text)| (path, toml_file::read(text)));
    let env_file = content(files.env_file.as_ref(), Layer::DotEnv, &mut draft).map(|(path, text)| (path, dotenv::read(text)));
    let yaml = content(files.yaml.as_ref(), Layer::Yaml, &mut draft).map(|(path, text)| (path, yaml::read(text)));
    let environment = environment(&sources.environment, &mut draft);
    let server = server(sources, yaml.as_ref().map(|(path, file)| (*path, file)), &mut draft);
    let yaml_env = yaml.as_ref().map_or(&[][..], |(_, file)| &file.env);
    let dotenv = env_file.as_ref().map_or(&[][..], |(_, file)| &file.variables);
    let profile = profile(sources, &[&server, yaml_env, &environment, dotenv]);

    let servers = match &yaml {
        // A process that runs as one of the servers is nobody's client.
        Some((path, file)) if sources.server.is_none() => {
            let layers = [yaml_env, &environment, dotenv];
            let variable = |name: &str| {
                layers.iter().find_map(|layer| layer.iter().rev().find(|variable| variable.name == name)).map(|found| found.value.clone())
            };
            mcp_servers::read(&file.servers, path, &variable, &sources.environment, &mut draft)
        }
        _ => McpServers::default(),
    };

    draft.lay_toml(toml_file::read(keys::EMBEDDED).entries, Layer::Embedded, None, "");
    if let Some((path, mut file)) = config {
        for (line, message) in std::mem::take(&mut file.errors) {
            let origin = Origin { layer: Layer::File, file: Some(path.to_owned()), line: Some(line), name: String::new() };
            draft.problems.push(Problem::new(format!("TOML syntax: {message}")).at(&origin));
        }
        draft.lay_toml(std::mem::take(&mut file.entries), Layer::File, Some(path), "");
        lay_profiles(file, path, profile.as_deref(), &mut draft);
    } else if let Some(profile) = &profile {
        draft.problems.push(Problem::new(format!("there is no profile {profile:?}, because there is no config.toml")));
    }
    if let Some((path, file)) = env_file {
        for (line, message) in file.errors {
            let origin = Origin { layer: Layer::DotEnv, file: Some(path.to_owned()), line: Some(line), name: String::new() };
            draft.problems.push(Problem::new(message).at(&origin));
        }
        draft.lay_variables(file.variables, Layer::DotEnv, Some(path));
    }
    draft.lay_variables(environment, Layer::Environment, None);
    if let Some((path, file)) = yaml {
        for (line, name, message) in file.errors {
            let origin = Origin { layer: Layer::Yaml, file: Some(path.to_owned()), line: Some(line), name };
            draft.problems.push(Problem::new(message).at(&origin));
        }
        if !file.ignored.is_empty() {
            let origin = Origin { layer: Layer::Yaml, file: Some(path.to_owned()), line: None, name: String::new() };
            let message = format!("only env and mcpServers are read here; ignored: {}", file.ignored.join(", "));
            draft.notes.push(Note { origin: Some(origin), message });
        }
        draft.lay_variables(file.env, Layer::Yaml, Some(path));
        draft.lay_variables(server, Layer::Server, Some(path));
    }
    lay_own(sources, &mut draft);

    report_placeholders(&mut draft);
    let config = extract::extract(&mut draft).map(|mut config| {
        config.mcp_servers = servers;
        validate::validate(&mut config, &mut draft, sources.secrets);
        config
    });
    match config {
        Some(config) if draft.problems.is_empty() => Ok(Loaded { config, provenance: draft.provenance, notes: draft.notes }),
        _ => {
            draft.problems.sort_by_key(|problem| problem.origin.as_ref().map(|origin| (origin.layer, origin.line)));
            Err(LoadError { problems: draft.problems, notes: draft.notes, provenance: draft.provenance })
        }
    }
}

/// The text of a file that was read, if it is text.
fn content<'a>(file: Option<&'a (PathBuf, Vec<u8>)>, layer: Layer, draft: &mut Draft) -> Option<(&'a Path, &'a str)> {
    let (path, bytes) = file?;
    match text::decoded(bytes) {
        Ok(text) => Some((path, text)),
        Err(line) => {
            let origin = Origin { layer, file: Some(path.clone()), line: Some(line), name: String::new() };
            draft.problems.push(Problem::new("is not UTF-8 text").at(&origin).remedy("save the file as UTF-8"));
            None
        }
    }
}

/// The variables of the process that are text. Others' may be anything.
fn environment(pairs: &[(OsString, OsString)], draft: &mut Draft) -> Vec<Variable> {
    let mut variables = Vec::new();
    for (name, value) in pairs {
        let Some(name) = name.to_str() else { continue };
        match value.to_str() {
            Some(value) => variables.push(Variable { name: name.to_owned(), value: value.to_owned(), line: None }),
            None if target(name, &|_| None) != Target::Foreign => {
                let origin = Origin { layer: Layer::Environment, file: None, line: None, name: name.to_owned() };
                draft.problems.push(Problem::new("is not UTF-8 text").at(&origin));
            }
            None => {}
        }
    }
    // The order of an environment is nobody's choice; a report should not depend on it.
    variables.sort_by(|one, other| one.name.cmp(&other.name));
    variables
}

/// The `env` of the server that this program runs as.
fn server(sources: &Sources, yaml: Option<(&Path, &yaml::YamlFile)>, draft: &mut Draft) -> Vec<Variable> {
    let Some(name) = &sources.server else { return Vec::new() };
    let origin = Origin { layer: Layer::Flag, file: None, line: None, name: "--server".to_owned() };
    let Some((path, file)) = yaml else {
        draft.problems.push(Problem::new(format!("there is no server {name:?}, because there is no YAML file")).at(&origin));
        return Vec::new();
    };
    if let Some(server) = file.servers.iter().find(|server| server.name == *name) {
        return server.env.clone();
    }
    let nearest = nearest_of(name, file.servers.iter().map(|server| &server.name));
    let problem = Problem::new(format!("mcpServers of {} has no {name:?}", path.display())).at(&origin);
    draft.problems.push(problem.nearest(nearest));
    Vec::new()
}

/// The profile to use: the flag's, else the variable's of the highest layer.
fn profile(sources: &Sources, layers: &[&[Variable]]) -> Option<String> {
    let in_layers =
        || layers.iter().find_map(|variables| variables.iter().rev().find(|variable| target(&variable.name, &|_| None) == Target::Profile));
    sources.profile.clone().or_else(|| in_layers().map(|variable| variable.value.clone())).filter(|name| !name.is_empty())
}

/// Lays the chosen profile over the plain keys. The others are looked through for names that do not exist.
fn lay_profiles(file: toml_file::TomlFile, path: &Path, chosen: Option<&str>, draft: &mut Draft) {
    if let Some(chosen) = chosen.filter(|chosen| !file.profiles.contains_key(*chosen)) {
        let nearest = nearest_of(chosen, file.profiles.keys());
        let problem = Problem::new(format!("{} has no [profiles.{chosen}]", path.display())).nearest(nearest);
        draft.problems.push(problem.remedy("--profile and SCRUBJAY_PROFILE choose among the profiles of that file"));
    }
    for (name, entries) in file.profiles {
        let prefix = format!("profiles.{name}.");
        if chosen == Some(name.as_str()) {
            draft.lay_toml(entries, Layer::Profile, Some(path), &prefix);
        } else {
            let mut aside = Draft { names_only: true, named: draft.named.clone(), ..Draft::default() };
            aside.lay_toml(entries, Layer::Profile, Some(path), &prefix);
            draft.problems.append(&mut aside.problems);
        }
    }
}

/// Lays what the command itself says: its overrides, then the flags.
fn lay_own(sources: &Sources, draft: &mut Draft) {
    for Override { key, value, command } in &sources.overrides {
        let origin = Origin { layer: Layer::Command(command), file: None, line: None, name: key.clone() };
        if keys::kind(key).is_some() {
            draft.set(key.clone(), Value::from(value.as_str()), None, origin);
        } else {
            draft.problems.push(Problem::new("is not a setting").at(&origin).nearest(keys::nearest(key)));
        }
    }
    let data_dir = sources.data_dir.as_ref().map(|path| path.to_string_lossy().into_owned());
    for (flag, key, value) in
        [("--data-dir", "storage.path", data_dir.as_deref()), ("--listen", "server.listen", sources.listen.as_deref())]
    {
        if let Some(value) = value {
            let origin = Origin { layer: Layer::Flag, file: None, line: None, name: flag.to_owned() };
            draft.set(key.to_owned(), Value::from(value), None, origin);
        }
    }
}

/// A value that still holds another program's placeholder was meant to be something else. Only the system text is a
/// template of ours, and what a secret's file holds is taken as it is.
fn report_placeholders(draft: &mut Draft) {
    for (key, stack) in draft.provenance.iter().filter(|(key, _)| *key != "prompt.system") {
        for (at, setting) in stack.iter().rev().enumerate() {
            if setting.origin.layer == Layer::Embedded || setting.secret_file.is_some() {
                continue;
            }
            let Some(found) = first_placeholder(&setting.value) else { continue };
            let what = if setting.secret { "a placeholder".to_owned() } else { format!("the placeholder {found}") };
            if at == 0 {
                let problem = Problem::new(format!("holds {what}, which nothing has filled in")).at(&setting.origin).key(key);
                draft.problems.push(problem.remedy("write the value itself; nothing is expanded here"));
            } else {
                let message = format!("holds {what}, which nothing fills in; a higher layer sets {key}");
                draft.notes.push(Note { origin: Some(setting.origin.clone()), message });
            }
        }
    }
}

fn first_placeholder(value: &Value) -> Option<&str> {
    match value {
        Value::String(_, text) => text::placeholder(text),
        Value::Array(_, items) => items.iter().find_map(first_placeholder),
        Value::Dict(_, fields) => fields.values().find_map(first_placeholder),
        _ => None,
    }
}

fn nearest_of<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<String> {
    known
        .map(|known| (strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase()), known))
        .min()
        .filter(|(distance, known)| distance * 3 <= known.len())
        .map(|(_, known)| format!("{known:?}"))
}
