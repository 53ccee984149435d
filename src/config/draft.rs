//! The layers while they are laid over each other: each value is put under its key, each mistake is kept for the report.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use figment::value::Value;

use super::keys;
use super::problem::{Note, Problem};
use super::provenance::{Layer, Origin, Provenance, Setting};
use super::toml_file::Entry;
use super::variables::{Target, Variable, target, variable_name};
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::AgentId;

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) provenance: Provenance,
    pub(super) problems: Vec<Problem>,
    pub(super) notes: Vec<Note>,
    /// Sections whose names hosts chose (`endpoints.local`, `agents.agent_x`), and where each stands first.
    pub(super) named: BTreeMap<String, Origin>,
    /// What relative paths start from where the layer is no file.
    pub(super) working_dir: PathBuf,
    /// Whether only names matter, as in a profile that is not chosen: its secrets may lie on another machine.
    pub(super) names_only: bool,
}

/// A secret is a line or a PEM block; more is the wrong file.
const SECRET_FILE_BYTES: u64 = 64 * 1024;

impl Draft {
    /// Lays a TOML layer over the others. `prefix` is what stands before its keys in the file.
    pub(super) fn lay_toml(&mut self, entries: Vec<Entry>, layer: Layer, file: Option<&Path>, prefix: &str) {
        for Entry { mut path, value, line } in entries {
            let written = format!("{prefix}{}", path.join("."));
            let origin = Origin { layer, file: file.map(Path::to_owned), line: Some(line), name: written };
            if path.iter().any(|name| name.contains('.')) {
                self.problems.push(Problem::new("a name must hold no dot").at(&origin));
                continue;
            }
            // An endpoint has one name in any case. Agents' ids are LibreChat's, which tells cases apart.
            if let [section, name, ..] = path.as_mut_slice()
                && section == "endpoints"
                && let Some(known) = self.known_name(&format!("endpoints.{name}"))
            {
                *name = known;
            }
            self.lay_entry(path.join("."), value, origin);
        }
    }

    fn lay_entry(&mut self, key: String, value: Value, origin: Origin) {
        if let Some(kind) = keys::kind(&key) {
            if matches!(value, Value::Dict(..)) && kind != keys::Kind::Table {
                self.problems.push(Problem::new("must be one value, not a table").at(&origin).key(key));
            } else {
                self.set(key, value, None, origin);
            }
        } else if let Some(secret) = key.strip_suffix("_file").filter(|secret| keys::is_secret(secret)) {
            match value.as_str() {
                Some(path) => self.set_from_file(secret.to_owned(), path, origin),
                None => self.problems.push(Problem::new("must be the path of a file, as text").at(&origin).key(secret)),
            }
        } else if !keys::is_section(&key) {
            let nearest = keys::nearest(&key);
            self.problems.push(Problem::new("is not a setting").at(&origin).key(key).nearest(nearest));
        } else if !matches!(value, Value::Dict(..)) {
            self.problems.push(Problem::new("is a section of settings, not one value").at(&origin).key(key));
        } else {
            self.allow_name(&key, &origin);
        }
    }

    /// Lays a layer of variables over the others.
    pub(super) fn lay_variables(&mut self, variables: Vec<Variable>, layer: Layer, file: Option<&Path>) {
        let (mut host, mut port) = (None, None);
        for Variable { name, value, line } in variables {
            let origin = Origin { layer, file: file.map(Path::to_owned), line, name };
            match target(&origin.name, &|name| self.known_name(name)) {
                // Files of other programs list many names without a value; that says nothing, unless a door would stand open.
                Target::Alias(key) if value.is_empty() && !keys::is_secret(&key) => {}
                Target::Key(key) | Target::Alias(key) => self.set(key, Value::from(value), None, origin),
                Target::SecretFile(key) => self.set_from_file(key, &value, origin),
                Target::Host if !value.is_empty() => self.take_part(&mut host, value, origin),
                Target::Port if !value.is_empty() => self.take_part(&mut port, value, origin),
                Target::Host | Target::Port | Target::Foreign | Target::Profile => {}
                Target::Unknown(key) => {
                    let plain = key.strip_suffix("_file").unwrap_or_default();
                    let plain = keys::all().map(|(known, _)| known).find(|known| known.eq_ignore_ascii_case(plain));
                    let nearest = plain.map(str::to_owned).or_else(|| keys::nearest(&key));
                    let nearest = nearest.map(|near| format!("{} ({near})", variable_name(&near)));
                    let mut problem = Problem::new("is not a setting").at(&origin).nearest(nearest);
                    if plain.is_some() {
                        problem = problem.remedy("only secrets can be given as files");
                    }
                    self.problems.push(problem.key(key));
                }
            }
        }
        self.lay_host_and_port(host.as_ref(), port.as_ref(), layer);
    }

    /// Keeps `HOST` or `PORT`; the same twice with different values is a mistake.
    fn take_part(&mut self, part: &mut Option<(String, Origin)>, value: String, origin: Origin) {
        match part {
            Some((before, at)) if *before != value => self.problems.push(disagreement(at, &origin, "server.listen")),
            _ => *part = Some((value, origin)),
        }
    }

    /// `HOST` and `PORT` are two halves of `server.listen`; a half that is not given stays as the layers below have it.
    fn lay_host_and_port(&mut self, host: Option<&(String, Origin)>, port: Option<&(String, Origin)>, layer: Layer) {
        let Some(mut origin) = port.or(host).map(|(_, origin)| origin.clone()) else { return };
        if host.is_some() && port.is_some() {
            "HOST and PORT".clone_into(&mut origin.name);
        }
        let parsed = |setting: &Setting| setting.text().and_then(|text| text.trim().parse::<SocketAddr>().ok());
        let below = self.provenance.below("server.listen", layer).and_then(parsed);
        let mut listen = below.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
        if let Some((host, origin)) = host {
            let Some(address) = address(host) else {
                let problem = Problem::new(format!("{host:?} is no address to listen on")).at(origin).key("server.listen");
                self.problems.push(problem.remedy("write an IP address, such as 127.0.0.1 or 0.0.0.0, or localhost"));
                return;
            };
            listen.set_ip(address);
        }
        if let Some((port, origin)) = port {
            let Ok(port) = port.trim().parse() else {
                let problem = Problem::new(format!("{port:?} is no port")).at(origin).key("server.listen");
                self.problems.push(problem.remedy("write a number from 0 to 65535"));
                return;
            };
            listen.set_port(port);
        }
        let same_layer = self.provenance.effective("server.listen").filter(|setting| setting.origin.layer == layer);
        match same_layer.map(|setting| (parsed(setting), setting.origin.clone())) {
            Some((Some(whole), at)) => {
                let agrees = (host.is_none() || whole.ip() == listen.ip()) && (port.is_none() || whole.port() == listen.port());
                if !agrees {
                    self.problems.push(disagreement(&at, &origin, "server.listen"));
                }
            }
            // What stands there is no address, and is reported as that.
            Some((None, _)) => {}
            None => self.set("server.listen".to_owned(), Value::from(listen.to_string()), None, origin),
        }
    }

    /// Sets a key to the content of a file, without the line end that editors leave.
    fn set_from_file(&mut self, key: String, path: &str, origin: Origin) {
        if self.names_only {
            return;
        }
        let base = origin.file.as_deref().and_then(Path::parent).unwrap_or(&self.working_dir);
        let full = base.join(path);
        match secret_in(path, &full) {
            Ok(secret) => self.set(key, Value::from(secret), Some(full), origin),
            Err(reason) => self.problems.push(Problem::new(reason).at(&origin).key(key)),
        }
    }

    /// Puts a value on top of its key. A second one of the same layer must say the same.
    pub(super) fn set(&mut self, key: String, value: Value, secret_file: Option<PathBuf>, origin: Origin) {
        if let [section @ ("endpoints" | "agents"), name, _] = *key.split('.').collect::<Vec<_>>()
            && !self.allow_name(&format!("{section}.{name}"), &origin)
        {
            return;
        }
        match self.provenance.effective(&key) {
            Some(before) if before.origin.layer == origin.layer => {
                if before.value != value {
                    self.problems.push(disagreement(&before.origin, &origin, &key));
                }
            }
            _ => {
                let secret = keys::is_secret(&key);
                self.provenance.push(key, Setting { origin, secret_file, value, secret });
            }
        }
    }

    /// The spelling under which a section of the host's own is already known.
    fn known_name(&self, written: &str) -> Option<String> {
        let known = self.named.keys().find(|known| known.eq_ignore_ascii_case(written))?;
        known.split_once('.').map(|(_, name)| name.to_owned())
    }

    /// Whether a section may have this name; if not, that is reported, once.
    fn allow_name(&mut self, section: &str, origin: &Origin) -> bool {
        if self.named.contains_key(section) {
            return true;
        }
        let refusal = match section.split_once('.') {
            Some(("endpoints", name)) => match Endpoint::parse(name) {
                Ok(endpoint) if endpoint.is_agents() => {
                    Some("the endpoint \"agents\" is built in and takes its settings from [agents.agent_NAME]".to_owned())
                }
                Ok(_) => None,
                Err(error) => Some(error.to_string()),
            },
            Some(("agents", name)) => name.parse::<AgentId>().err().map(|error| error.to_string()),
            _ => return true,
        };
        match refusal {
            None => {
                self.named.insert(section.to_owned(), origin.clone());
                true
            }
            Some(reason) => {
                let problem = Problem::new(reason).key(section);
                if !self.problems.iter().any(|known| known.key == problem.key && known.message == problem.message) {
                    self.problems.push(problem.at(origin));
                }
                false
            }
        }
    }
}

/// Two names of one key in one layer that do not say the same. The values stay out of it: the key may be a secret.
fn disagreement(first: &Origin, second: &Origin, key: &str) -> Problem {
    let message = format!("disagrees with {first}: both set {key} in the same layer, to different values");
    Problem::new(message).at(second).key(key).remedy("remove one of them")
}

fn address(host: &str) -> Option<IpAddr> {
    let host = host.trim();
    if host.eq_ignore_ascii_case("localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

fn secret_in(written: &str, path: &Path) -> Result<String, String> {
    if written.is_empty() {
        return Err("names no file".to_owned());
    }
    let reason = |error: std::io::Error| format!("the file {written:?} cannot be read: {error}");
    let metadata = fs::metadata(path).map_err(reason)?;
    if !metadata.is_file() {
        return Err(format!("{written:?} is not a file"));
    }
    if metadata.len() > SECRET_FILE_BYTES {
        return Err(format!("the file {written:?} is larger than 64 KiB, which is no secret"));
    }
    let content = fs::read(path).map_err(reason)?;
    let text = super::text::decoded(&content).map_err(|line| format!("the file {written:?} is not UTF-8 in its line {line}"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
