//! What others rely on: the help of every command, the settings that there are, completions, the manual page.

use std::fmt::Write as _;
use std::io::Read as _;
use std::process::Stdio;

use clap::CommandFactory as _;
use scrubjay::cli::Cli;

use super::offline;

/// The help of a command and of all below it, depth first.
fn help_of(command: &mut clap::Command, text: &mut String) {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).replace('-', " ");
    let help = command.render_help();
    writeln!(text, "=== {name}\n{help}").unwrap();
    for below in command.get_subcommands_mut().filter(|below| below.get_name() != "help") {
        help_of(below, text);
    }
}

#[test]
fn the_help_of_every_command_is_that_of_the_snapshot() {
    let mut command = Cli::command().term_width(110);
    command.build();
    let mut text = String::new();
    help_of(&mut command, &mut text);
    insta::assert_snapshot!("help", text);
}

#[tokio::test]
async fn every_setting_with_its_default_is_that_of_the_snapshot() {
    let home = crate::support::home::Home::new(&crate::support::home::Settings::default());
    // Not the folder's own `--data-dir`, which is a layer of its own.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_scrubjay"));
    let output = command.env_clear().current_dir(home.path()).args(["config", "show", "--json"]).output().unwrap();
    let settings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let mut text = String::new();
    for setting in &settings {
        assert!(matches!(setting["layer"].as_str(), None | Some("embedded")), "{setting} is of another layer");
        writeln!(text, "{} = {}", setting["key"].as_str().unwrap(), setting["value"]).unwrap();
    }
    insta::assert_snapshot!("settings", text);
}

#[tokio::test]
async fn completions_and_the_manual_page_name_every_command() {
    let home = offline();
    let (code, page, _) = home.run(&["man"]).await;
    assert_eq!(code, 0);
    for command in Cli::command().get_subcommands() {
        let name = command.get_name().to_uppercase();
        assert!(page.contains(&format!(".SH \"SCRUBJAY {name}\"")), "the manual page lacks {name}");
    }
    assert!(page.contains(".SH \"SCRUBJAY JOBS REPLAY\""), "the manual page lacks nested commands");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, stderr) = home.run(&["completions", shell]).await;
        assert_eq!(code, 0, "{stderr}");
        assert!(script.contains("conversations") && script.contains("data-dir"), "the script for {shell} lacks names");
    }
}

#[test]
fn whoever_stops_reading_ends_a_command_quietly() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_scrubjay"));
    let mut child = command.arg("man").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(said, "");
}
