//! The rules of the house that a compiler does not check: every test file is listed, and modules import downwards only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers, lowest first. A module may name modules of lower layers only; `clock` and `config` stand on `domain`.
const LAYERS: &[&[&str]] = &[
    &["domain"],
    &["clock", "config", "http_body", "http_client"],
    &["telemetry"],
    &["store", "gateway", "model"],
    &["service", "lifecycle"],
    &["toolset", "console"],
    &["worker", "mcp", "http"],
    &["app"],
    &["cli"],
    &["main"],
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folder`, sorted.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The module file that has to list `file`: `mod.rs` of its folder or, for a `mod.rs`, of the folder above; `main.rs` at the top.
fn listing_file(file: &Path, top: &Path) -> (PathBuf, String) {
    let stem = file.file_stem().unwrap().to_str().unwrap();
    let folder = file.parent().unwrap();
    let (holder, name) =
        if stem == "mod" { (folder.parent().unwrap(), folder.file_name().unwrap().to_str().unwrap()) } else { (folder, stem) };
    (holder.join(if holder == top { "main.rs" } else { "mod.rs" }), name.to_owned())
}

#[test]
fn every_test_file_is_listed() {
    let top = root().join("tests/it");
    let mut unlisted = Vec::new();
    for file in rust_files(&top) {
        if file == top.join("main.rs") {
            continue;
        }
        let (listing, name) = listing_file(&file, &top);
        let text = fs::read_to_string(&listing).unwrap_or_default();
        let declared = text.lines().any(|line| {
            let line = line.trim();
            line == format!("mod {name};") || line == format!("pub(crate) mod {name};")
        });
        if !declared {
            unlisted.push(format!("{} is not declared in {}", file.display(), listing.display()));
        }
    }
    assert!(unlisted.is_empty(), "files that no test run sees:\n{}", unlisted.join("\n"));
}

/// Names of our own modules that one line of code refers to by `crate::…` or, in the executable, `scrubjay::…`.
fn modules_named(line: &str, prefix: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or_default();
    let mut named = Vec::new();
    for (start, _) in code.match_indices(prefix) {
        let before = code[..start].chars().next_back();
        if before.is_some_and(|character| character.is_alphanumeric() || character == '_') {
            continue;
        }
        let rest = &code[start + prefix.len()..];
        // `crate::{a::X, b}` names several; one line a `use` is rustfmt's habit, so the group ends on this line or is one name a line.
        let group: Vec<&str> = match rest.strip_prefix('{') {
            Some(inner) => inner.split(',').map(str::trim).collect(),
            None => vec![rest],
        };
        for name in group {
            let name: String = name.chars().take_while(|character| character.is_ascii_lowercase() || *character == '_').collect();
            if !name.is_empty() {
                named.push(name);
            }
        }
    }
    named
}

/// Which top module of ours names which others, unit tests left out.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let source = root().join("src");
    let modules: BTreeSet<String> = fs::read_to_string(source.join("lib.rs"))
        .unwrap()
        .lines()
        .filter_map(|line| {
            line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("pub(crate) mod ")).or_else(|| line.strip_prefix("mod "))
        })
        .filter_map(|line| line.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in rust_files(&source) {
        let relative = file.strip_prefix(&source).unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = first.trim_end_matches(".rs").to_owned();
        if module == "lib" {
            continue;
        }
        let prefix = if module == "main" { "scrubjay::" } else { "crate::" };
        let text = fs::read_to_string(&file).unwrap();
        let named = edges.entry(module.clone()).or_default();
        for line in text.lines().take_while(|line| line.trim() != "#[cfg(test)]") {
            named.extend(modules_named(line, prefix).into_iter().filter(|name| *name != module && modules.contains(name)));
        }
    }
    edges
}

#[test]
fn modules_import_downwards_only() {
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let mut wrong = Vec::new();
    for (module, named) in edges() {
        let Some(own) = layer(&module) else {
            wrong.push(format!("`{module}` has no layer: add it to LAYERS in this file and to ARCHITECTURE.md"));
            continue;
        };
        for name in named {
            if layer(&name).is_none_or(|other| other >= own) {
                wrong.push(format!("`{module}` names `{name}`, which does not lie below it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A new edge is one line in review. `INSTA_UPDATE=always cargo test --test it house` writes the snapshot anew.
#[test]
fn edges_between_modules_are_those_of_the_snapshot() {
    let mut text = String::new();
    for (module, named) in edges() {
        writeln!(text, "{module} -> {}", named.into_iter().collect::<Vec<_>>().join(", ")).unwrap();
    }
    insta::assert_snapshot!("module_edges", text);
}

#[test]
fn lines_that_name_modules_are_read() {
    assert_eq!(modules_named("use crate::domain::ids::UserId;", "crate::"), ["domain"]);
    assert_eq!(modules_named("    fn x(&self, a: crate::store::Page) -> crate::model::Y {", "crate::"), ["store", "model"]);
    assert_eq!(modules_named("use crate::{clock::Clock, domain};", "crate::"), ["clock", "domain"]);
    assert_eq!(modules_named("// as in crate::http", "crate::"), Vec::<String>::new());
    assert_eq!(modules_named("use mycrate::http;", "crate::"), Vec::<String>::new());
}
