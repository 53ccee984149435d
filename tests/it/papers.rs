//! The papers keep up with the code: what they link to exists, and the settings and commands that they name do too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every paper of ours.
fn papers() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in [root(), root().join("docs")] {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        found.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    found.sort();
    assert!(found.len() >= 10, "{found:?}");
    found
}

/// The targets of `[text](target)` in a Markdown text, code left out.
fn links(text: &str) -> Vec<String> {
    let mut code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        for (start, _) in line.match_indices("](") {
            let rest = &line[start + 2..];
            found.extend(rest.split(')').next().map(str::to_owned));
        }
    }
    found
}

#[test]
fn what_the_papers_link_to_exists() {
    let mut missing = Vec::new();
    for paper in papers() {
        let folder = paper.parent().unwrap();
        for link in links(&fs::read_to_string(&paper).unwrap()) {
            let target = link.split('#').next().unwrap();
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                missing.push(format!("{} links to {link}", paper.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Words after `scrubjay` in code of the papers, up to what is no command.
fn commands_named(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("scrubjay ") {
        let before = text[..start].chars().next_back();
        if before.is_some_and(|character| !matches!(character, '`' | '\n' | '/' | ' ')) {
            continue;
        }
        let rest = text[start + "scrubjay ".len()..].lines().next().unwrap_or_default();
        let words = rest.split([' ', '`']).map(str::to_owned).take_while(|word| !word.is_empty()).collect();
        found.push(words);
    }
    found
}

#[test]
fn the_commands_that_the_papers_show_exist() {
    let mut root_command = scrubjay::cli::Cli::command();
    root_command.build();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for paper in papers() {
        let text = fs::read_to_string(&paper).unwrap();
        for words in commands_named(&text) {
            // Flags of the configuration may stand first, each with a value.
            let mut words = words.as_slice();
            while let [flag, _value, rest @ ..] = words
                && flag.starts_with("--")
                && !matches!(flag.as_str(), "--help" | "--version")
            {
                words = rest;
            }
            let mut command = &root_command;
            for word in words {
                if !word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
                    || word.starts_with('-')
                    || !command.has_subcommands()
                {
                    break;
                }
                let Some(below) = command.find_subcommand(word) else {
                    wrong.push(format!("{} shows `scrubjay {}`, and there is no {word:?}", paper.display(), words.join(" ")));
                    break;
                };
                seen.insert(word.clone());
                command = below;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(["serve", "demo", "doctor", "jobs", "replay", "users"].iter().all(|word| seen.contains(*word)), "{seen:?}");
}

#[test]
fn what_the_unit_starts_is_a_command() {
    let unit = fs::read_to_string(root().join("deploy/scrubjay.service")).unwrap();
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words = start.split_whitespace().map(|word| word.replace("%S", "/var/lib"));
    assert!(scrubjay::cli::Cli::command().try_get_matches_from(words).is_ok(), "{start}");
    assert!(Path::new(start.split_whitespace().next().unwrap()).is_absolute());
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let reasons = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let words: BTreeSet<&str> = reasons.split(|character: char| !(character.is_alphanumeric() || matches!(character, '-' | '_'))).collect();
    let named = ["dependencies", "dev-dependencies"].into_iter().filter_map(|section| manifest.get(section)?.as_table());
    let missing: Vec<&String> = named.flat_map(|table| table.keys()).filter(|name| !words.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "docs/dependencies.md does not say what these are for: {missing:?}");
}

#[test]
fn links_and_commands_are_read() {
    assert_eq!(links("see [a](b.md) and [c](d/e.md#f)\n```\n[no](link)\n```\n"), ["b.md", "d/e.md#f"]);
    assert_eq!(commands_named("`scrubjay jobs list` or\nscrubjay users show X"), [vec!["jobs", "list"], vec!["users", "show", "X"]]);
}
