//! From the layers to [`Config`]: text is read as its key's type asks, sections are completed, each wrong value is reported.

use std::collections::BTreeSet;

use figment::error::{Actual, Kind as ErrorKind};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::Config;
use super::draft::Draft;
use super::keys::{self, Kind, MODEL_ENDPOINT};
use super::problem::Problem;
use super::provenance::{Provenance, Setting};

/// The settings, or nothing when problems were found; those are in the draft then.
pub(super) fn extract(draft: &mut Draft) -> Option<Config> {
    let mut values = effective(draft);
    for (key, _) in keys::all().filter(|(key, _)| keys::is_secret(key)) {
        if find(&values, key).is_none() {
            insert(&mut values, key, Value::from(""));
        }
    }
    complete_endpoints(draft, &mut values);
    complete_agents(draft, &mut values);
    // serde ends at the first value that it cannot read. Each such value is reported and replaced by the built-in one, so
    // that the next is found as well; a key that fails twice would mean a built-in value of the wrong type.
    let mut failed = BTreeSet::new();
    loop {
        let figment = Figment::from(Layered(&values));
        let error = match figment.extract_lossy::<Config>() {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        let key = key_of(&error.path, &error.kind);
        let problem = problem(&key, &error.kind);
        let built_in = default(&key);
        let again = !failed.insert(key.clone());
        let origin = draft.provenance.effective(&key).map(|setting| setting.origin.clone());
        let origin = origin.or_else(|| draft.named.get(&section(&key)).cloned());
        draft.problems.push(match &origin {
            Some(origin) => problem.at(origin),
            None => problem,
        });
        match built_in {
            Some(value) if !again => insert(&mut values, &key, value),
            _ => return None,
        }
    }
}

/// `endpoints.local` of `endpoints.local.base_url`.
fn section(key: &str) -> String {
    key.rsplit_once('.').map_or(key, |(section, _)| section).to_owned()
}

/// The merged values as figment's lowest and only layer. The order of the layers is settled before: in figment a profile's
/// value would win over every environment.
struct Layered<'a>(&'a Dict);

impl Provider for Layered<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named("settings")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}

/// The value in effect of every key that a layer sets.
fn effective(draft: &mut Draft) -> Dict {
    let mut values = Dict::new();
    let mut problems = Vec::new();
    for (key, stack) in draft.provenance.iter() {
        let Some(setting) = stack.last() else { continue };
        match read(key, setting) {
            Ok(value) => insert(&mut values, key, value),
            Err(problem) => {
                problems.push(problem.at(&setting.origin));
                if let Some(value) = default(key) {
                    insert(&mut values, key, value);
                }
            }
        }
    }
    draft.problems.extend(problems);
    values
}

/// A value as its key's kind asks. Only lists and tables need this; numbers and truths are read by their types.
fn read(key: &str, setting: &Setting) -> Result<Value, Box<Problem>> {
    let (Some(kind), Some(text), true) = (keys::kind(key), setting.text(), setting.origin.layer.holds_text()) else {
        return Ok(setting.value.clone());
    };
    let json = || serde_json::from_str::<serde_json::Value>(text).ok().and_then(|json| Value::serialize(json).ok());
    match kind {
        Kind::List if text.trim_start().starts_with('[') => {
            let problem =
                || Problem::new("begins with [ and is not a JSON list").key(key).remedy("separate values with commas, without brackets");
            json().ok_or_else(|| Box::new(problem()))
        }
        Kind::List => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(Value::from(items.map(Value::from).collect::<Vec<_>>()))
        }
        Kind::Table if text.trim().is_empty() => Ok(Value::from(Dict::new())),
        Kind::Table => {
            let problem = || Problem::new("is not a JSON object").key(key).remedy("write {\"name\": value, …}");
            json().filter(|value| matches!(value, Value::Dict(..))).ok_or_else(|| Box::new(problem()))
        }
        Kind::Integer | Kind::Float | Kind::Boolean => Ok(Value::from(text.trim())),
        Kind::Text => Ok(setting.value.clone()),
    }
}

/// The value in effect, typed as far as its kind tells, for showing.
pub(super) fn shown(key: &str, setting: &Setting) -> serde_json::Value {
    if setting.secret {
        return setting.shown();
    }
    let Ok(value) = read(key, setting) else { return setting.shown() };
    let typed = match keys::kind(key) {
        Some(Kind::Integer | Kind::Float) => value.to_num_lossy().map(|number| Setting { value: number.into(), ..setting.clone() }),
        Some(Kind::Boolean) => value.to_bool_lossy().map(|truth| Setting { value: truth.into(), ..setting.clone() }),
        _ => Some(Setting { value, ..setting.clone() }),
    };
    typed.as_ref().unwrap_or(setting).shown()
}

/// What a section of an endpoint leaves out has `openAI`'s value, except what belongs to one server.
fn complete_endpoints(draft: &mut Draft, values: &mut Dict) {
    for (section, origin) in draft.named.clone() {
        let Some(name) = section.strip_prefix("endpoints.") else { continue };
        let own: BTreeSet<&str> = keys::endpoint_fields().filter(|field| find(values, &format!("{section}.{field}")).is_some()).collect();
        let kind = find(values, &format!("{section}.kind")).or_else(|| find(values, &format!("endpoints.{MODEL_ENDPOINT}.kind")));
        let offline = kind.and_then(|kind| kind.as_str().map(|kind| kind.eq_ignore_ascii_case("demo"))).unwrap_or(false);
        for field in keys::endpoint_fields().filter(|field| !own.contains(field)) {
            let key = format!("{section}.{field}");
            let value = match field {
                "base_url" | "default_model" if name == MODEL_ENDPOINT => default(&key),
                "base_url" | "default_model" if !offline => {
                    let problem = Problem::new(format!("the endpoint {name:?} has no {field}")).key(&key).at(&origin);
                    draft.problems.push(problem.remedy(format!("set {key}; an endpoint does not inherit it")));
                    Some(Value::from("-"))
                }
                "default_model" => Some(Value::from("demo")),
                "base_url" | "api_key" => Some(Value::from("")),
                "models" => Some(Value::from(Vec::<String>::new())),
                _ => find(values, &inherited(field)).cloned(),
            };
            if let Some(value) = value {
                insert(values, &key, value);
            }
        }
    }
}

/// The key whose value an endpoint has for a field that it leaves out.
fn inherited(field: &str) -> String {
    format!("endpoints.{MODEL_ENDPOINT}.{field}")
}

/// The key whose value an agent has for a field that it leaves out.
fn inherited_by_agents(field: &str) -> String {
    format!("agents.{}.{field}", keys::MODEL_AGENT)
}

/// The setting that gives an endpoint's or an agent's key its value although its section leaves it out.
pub(super) fn inherited_setting<'a>(provenance: &'a Provenance, key: &str) -> Option<(String, &'a Setting)> {
    let (section, field) = key.rsplit_once('.')?;
    let from = match section.split_once('.')?.0 {
        "endpoints" if !keys::OWN.contains(&field) => inherited(field),
        "agents" if !keys::AGENTS_OWN.contains(&field) => inherited_by_agents(field),
        _ => return None,
    };
    if provenance.effective(key).is_some() {
        return None;
    }
    provenance.effective(&from).map(|setting| (from, setting))
}

/// An agent's name is its id unless it says another, it answers through `openAI` unless it says otherwise, with that
/// endpoint's model; its tools and limits are those of the agent that comes with the program.
fn complete_agents(draft: &mut Draft, values: &mut Dict) {
    for (section, origin) in draft.named.clone() {
        let Some(id) = section.strip_prefix("agents.") else { continue };
        if find(values, &format!("{section}.instructions")).is_none() {
            let key = format!("{section}.instructions");
            let problem = Problem::new(format!("the agent {id:?} has no instructions")).key(&key).at(&origin);
            draft.problems.push(problem.remedy(format!("set {key}")));
            insert(values, &key, Value::from("-"));
        }
        if find(values, &format!("{section}.name")).is_none() {
            insert(values, &format!("{section}.name"), Value::from(id));
        }
        if find(values, &format!("{section}.endpoint")).is_none() {
            insert(values, &format!("{section}.endpoint"), Value::from(MODEL_ENDPOINT));
        }
        if find(values, &format!("{section}.model")).is_none() {
            let endpoint = find(values, &format!("{section}.endpoint")).and_then(Value::as_str).unwrap_or(MODEL_ENDPOINT);
            let model = find(values, &format!("endpoints.{endpoint}.default_model")).cloned();
            insert(values, &format!("{section}.model"), model.unwrap_or_else(|| Value::from("")));
        }
        for field in keys::agent_fields() {
            let key = format!("{section}.{field}");
            if find(values, &key).is_some() {
                continue;
            }
            let value = match field {
                "parameters" => Some(Value::from(Dict::new())),
                "servers" => Some(Value::from(Vec::<String>::new())),
                _ => find(values, &inherited_by_agents(field)).cloned(),
            };
            if let Some(value) = value {
                insert(values, &key, value);
            }
        }
    }
}

/// The built-in value of a key, which is valid by a test; that of the same field for what hosts named.
fn default(key: &str) -> Option<Value> {
    static EMBEDDED: std::sync::LazyLock<Dict> = std::sync::LazyLock::new(|| {
        let mut values = Dict::new();
        for (path, value) in super::toml_file::leaves(keys::EMBEDDED) {
            insert(&mut values, &path.join("."), value);
        }
        values
    });
    if let Some(value) = find(&EMBEDDED, key) {
        return Some(value.clone());
    }
    match *key.split('.').collect::<Vec<_>>() {
        ["endpoints", _, field] => find(&EMBEDDED, &inherited(field)).cloned(),
        ["agents", _, field] => find(&EMBEDDED, &inherited_by_agents(field)).cloned(),
        _ => keys::is_secret(key).then(|| Value::from("")),
    }
}

fn find<'a>(values: &'a Dict, key: &str) -> Option<&'a Value> {
    let mut names = key.split('.');
    let mut value = values.get(names.next()?)?;
    for name in names {
        value = value.as_dict()?.get(name)?;
    }
    Some(value)
}

/// Puts a value at its place; a section on the way that is no table becomes one.
fn insert(values: &mut Dict, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            values.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = values.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new()));
            if !matches!(inner, Value::Dict(..)) {
                *inner = Value::from(Dict::new());
            }
            if let Value::Dict(_, inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// The key that an error is about: its path as far as it is one of a key, without an index in a list.
fn key_of(path: &[String], kind: &ErrorKind) -> String {
    let mut key = String::new();
    for name in path {
        let longer = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        if keys::kind(&key).is_some() {
            break;
        }
        key = longer;
    }
    match kind {
        ErrorKind::MissingField(field) if key.is_empty() => field.to_string(),
        ErrorKind::MissingField(field) => format!("{key}.{field}"),
        _ => key,
    }
}

/// A wrong value in words. Of a secret only what kind of thing it is, never the thing.
fn problem(key: &str, kind: &ErrorKind) -> Problem {
    let secret = keys::is_secret(key);
    let found = |actual: &Actual| match actual {
        _ if secret => "a value of another kind".to_owned(),
        Actual::Str(text) => format!("{text:?}"),
        Actual::Bool(truth) => truth.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        other => other.to_string(),
    };
    let mut nearest = None;
    let message = match kind {
        ErrorKind::InvalidType(actual, expected) | ErrorKind::InvalidValue(actual, expected) => {
            format!("is {}, expected {}", found(actual), plain(key, expected))
        }
        ErrorKind::UnknownVariant(written, known) => {
            nearest = known.iter().map(|word| (strsim::damerau_levenshtein(&written.to_lowercase(), word), word)).min();
            format!("is {written:?}, expected one of {}", known.join(", "))
        }
        ErrorKind::MissingField(_) => "is missing".to_owned(),
        ErrorKind::Message(_) if secret => "cannot be read".to_owned(),
        ErrorKind::Message(message) => message.clone(),
        other => figment::Error::from(other.clone()).to_string(),
    };
    let nearest = nearest.filter(|(distance, _)| *distance <= 2).map(|(_, word)| format!("{word:?}"));
    let mut problem = Problem::new(message).key(key).nearest(nearest);
    if key == "server.listen" {
        problem = problem.remedy("write ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080");
    } else if matches!(kind, ErrorKind::InvalidType(..)) && keys::kind(key) == Some(Kind::Text) {
        problem = problem.remedy("put it in quotes");
    }
    problem
}

/// What was expected, in words of those who write settings and not of Rust.
fn plain(key: &str, expected: &str) -> String {
    let numbers = |low: &str, high: &str| format!("a whole number from {low} to {high}");
    match expected {
        "u8" => numbers("0", "255"),
        "u16" => numbers("0", "65535"),
        "u32" => numbers("0", "4294967295"),
        "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i64" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        "a string" | "path string" => "text".to_owned(),
        other if other.starts_with("struct ") => format!("the settings of {key}"),
        other => other.to_owned(),
    }
}
