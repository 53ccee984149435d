//! `config.toml`: every value with its line, and the tables of profiles apart.

use std::collections::BTreeMap;

use figment::value::{Dict, Num, Value};
use toml::de::{DeTable, DeValue};

use super::keys;
use super::text::Lines;

/// One value of the file.
#[derive(Debug)]
pub(super) struct Entry {
    /// The names of its tables and its own, as written.
    pub(super) path: Vec<String>,
    pub(super) value: Value,
    /// From 1.
    pub(super) line: usize,
}

/// What the file holds, as far as it could be read.
#[derive(Debug, Default)]
pub(super) struct TomlFile {
    /// The plain keys, in the order of the file's tables.
    pub(super) entries: Vec<Entry>,
    /// The values of `[profiles.NAME]`, paths without these two names.
    pub(super) profiles: BTreeMap<String, Vec<Entry>>,
    /// Syntax errors: line and message, which never quotes the file.
    pub(super) errors: Vec<(usize, String)>,
}

/// Reads a file's text; all of its errors are reported, and what stands around them is still read.
pub(super) fn read(text: &str) -> TomlFile {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut file = TomlFile::default();
    for error in errors {
        let line = lines.at(error.span().map_or(0, |span| span.start));
        file.errors.push((line, error.message().to_owned()));
    }
    let mut entries = Vec::new();
    walk(table.get_ref(), &mut Vec::new(), &lines, &is_value, &mut entries);
    for mut entry in entries {
        match entry.path.as_slice() {
            [first, name, _, ..] if first == "profiles" => {
                let name = name.clone();
                entry.path.drain(..2);
                file.profiles.entry(name).or_default().push(entry);
            }
            // An empty profile exists all the same.
            [first, name] if first == "profiles" && matches!(entry.value, Value::Dict(..)) => {
                file.profiles.entry(name.clone()).or_default();
            }
            _ => file.entries.push(entry),
        }
    }
    file
}

/// The values of the built-in file. It is a part of the program, so a test holds it free of errors.
pub(super) fn leaves(text: &str) -> Vec<(Vec<String>, Value)> {
    let mut entries = Vec::new();
    if let Ok(table) = DeTable::parse(text) {
        walk(table.get_ref(), &mut Vec::new(), &Lines::of(text), &|_| false, &mut entries);
    }
    entries.into_iter().map(|entry| (entry.path, entry.value)).collect()
}

/// No key of ours lies deeper than this, `profiles.NAME` included.
const DEEPEST: usize = 8;

/// Collects values in the order of the file. A table is a section, unless it is empty or `is_value` knows its key.
fn walk(table: &DeTable<'_>, path: &mut Vec<String>, lines: &Lines, is_value: &dyn Fn(&[String]) -> bool, entries: &mut Vec<Entry>) {
    let mut fields: Vec<_> = table.iter().collect();
    fields.sort_by_key(|(name, _)| name.span().start);
    for (name, value) in fields {
        path.push(name.get_ref().to_string());
        let line = lines.at(name.span().start);
        match value.get_ref() {
            DeValue::Table(_) if path.len() > DEEPEST => entries.push(Entry { path: path.clone(), value: Value::from(""), line }),
            DeValue::Table(inner) if !inner.is_empty() && !is_value(path) => walk(inner, path, lines, is_value, entries),
            other => entries.push(Entry { path: path.clone(), value: converted(other), line }),
        }
        path.pop();
    }
}

fn is_value(path: &[String]) -> bool {
    let key = match path {
        [first, _, key @ ..] if first == "profiles" => key,
        key => key,
    };
    keys::kind(&key.join(".")).is_some()
}

fn converted(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(truth) => Value::from(*truth),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(|number| Value::from(Num::I64(number)))
            .or_else(|_larger| u64::from_str_radix(number.as_str(), number.radix()).map(|number| Value::from(Num::U64(number))))
            .unwrap_or_else(|_larger| Value::from(number.as_str())),
        DeValue::Float(number) => {
            number.as_str().parse::<f64>().map_or_else(|_strange| Value::from(number.as_str()), |number| Value::from(Num::F64(number)))
        }
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(items) => Value::from(items.iter().map(|item| converted(item.get_ref())).collect::<Vec<_>>()),
        DeValue::Table(table) => {
            let fields: Dict = table.iter().map(|(name, value)| (name.get_ref().to_string(), converted(value.get_ref()))).collect();
            Value::from(fields)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys_and_lines(entries: &[Entry]) -> Vec<(String, usize)> {
        entries.iter().map(|entry| (entry.path.join("."), entry.line)).collect()
    }

    #[test]
    fn every_value_has_its_line_and_profiles_stand_apart() {
        let file = read(
            "[server]\nlisten = \"[::1]:1\"\n\n[endpoints.openAI]\nmodels = [\n  \"a\",\n]\nadd_params.seed = 1\n[profiles.prod.log]\nfilter = \"warn\"\n[profiles.empty]\n",
        );
        assert_eq!(
            keys_and_lines(&file.entries),
            [("server.listen".to_owned(), 2), ("endpoints.openAI.models".to_owned(), 5), ("endpoints.openAI.add_params".to_owned(), 8)]
        );
        assert_eq!(keys_and_lines(&file.profiles["prod"]), [("log.filter".to_owned(), 10)]);
        assert!(file.profiles["empty"].is_empty());
        assert!(file.errors.is_empty());
    }

    #[test]
    fn a_syntax_error_has_its_line_quotes_nothing_and_hides_no_other() {
        let file = read("[auth]\njwt_secret = hunter2hunter2\n[log\nfilter = \"warn\"\n");
        let lines: Vec<usize> = file.errors.iter().map(|(line, _)| *line).collect();
        assert!(lines.contains(&2) && lines.contains(&3), "{lines:?}");
        assert!(file.errors.iter().all(|(_, message)| !message.contains("hunter2")), "{:?}", file.errors);
    }

    #[test]
    fn the_built_in_file_has_no_errors() {
        let file = read(keys::EMBEDDED);
        assert!(file.errors.is_empty(), "{:?}", file.errors);
        assert!(file.profiles.is_empty());
    }

    #[test]
    fn depth_has_an_end() {
        let deep = format!("{} = 1", vec!["a"; 5_000].join("."));
        let file = read(&deep);
        assert!(!file.entries.is_empty() || !file.errors.is_empty());
    }
}
