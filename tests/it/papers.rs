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

/// Quoted code in the first column of the tables that tell what the program says.
fn messages_quoted(text: &str) -> Vec<String> {
    let mut said = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("| it says |") || line.starts_with("| error |") {
            said = true;
        } else if !line.starts_with('|') {
            said = false;
        } else if said && let Some(column) = line.split('|').nth(1) {
            found.extend(column.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// The sources as one text, with lines joined where a text goes on behind a backslash, and what is filled in as `…`.
fn sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn the_messages_that_troubleshooting_quotes_are_printed_somewhere() {
    let mut code = String::new();
    sources(&root().join("src"), &mut code);
    let code = code.replace("\\\"", "\"");
    let code: String = code.split("\\\n").enumerate().map(|(at, part)| if at == 0 { part } else { part.trim_start() }).collect();
    let quoted = messages_quoted(&fs::read_to_string(root().join("docs/troubleshoot.md")).unwrap());
    assert!(quoted.len() >= 12, "{quoted:?}");
    // Names, addresses and numbers are filled in; what stands between them is the program's own.
    let filled_in = |word: &str| word.bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    let mut unknown = Vec::new();
    for message in &quoted {
        for part in message.split('…') {
            let words: Vec<&str> = part.split_whitespace().collect();
            let own = words.split(|word| filled_in(word)).map(|words| words.join(" ")).filter(|own| own.len() > 2);
            unknown.extend(own.filter(|own| !code.contains(own.as_str())).map(|own| format!("{message:?}: nothing in src says {own:?}")));
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
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
