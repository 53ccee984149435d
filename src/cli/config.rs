//! `config show` and `config check`: the settings in effect and where each came from; what is wrong with them.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;

use super::output::{self, Output};
use super::{DONE, MISUSED};
use crate::config::{LoadError, Note, Origin, Problem, Setting, Shown, Sources, load};

/// Arguments of `config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show each setting, the layer, file and line it came from, and what it overrode
    Show {
        /// Only this key, or the keys of this section
        key: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Find unknown keys, wrong values, unresolved placeholders and weak secrets
    Check {
        #[command(flatten)]
        output: Output,
    },
}

/// A setting as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownSetting {
    key: String,
    value: Option<Value>,
    #[serde(flatten)]
    place: Place,
    #[serde(skip_serializing_if = "Option::is_none")]
    inherited_from: Option<String>,
    overrode: Vec<Overridden>,
}

#[derive(Serialize)]
struct Overridden {
    value: Value,
    #[serde(flatten)]
    place: Place,
}

/// Where something is written; all empty when nothing is.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    layer: Option<&'static str>,
    file: Option<String>,
    line: Option<usize>,
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_file: Option<String>,
    #[serde(skip)]
    text: String,
}

impl Place {
    fn of(origin: &Origin) -> Self {
        Self {
            layer: Some(origin.layer.name()),
            file: origin.file.as_ref().map(|file| file.display().to_string()),
            line: origin.line,
            name: Some(origin.name.clone()).filter(|name| !name.is_empty()),
            secret_file: None,
            text: origin.to_string(),
        }
    }

    fn of_setting(setting: &Setting) -> Self {
        let mut place = Self::of(&setting.origin);
        if let Some(file) = &setting.secret_file {
            place.text = format!("{} (read from {})", place.text, file.display());
            place.secret_file = Some(file.display().to_string());
        }
        place
    }
}

impl From<Shown<'_>> for ShownSetting {
    fn from(shown: Shown<'_>) -> Self {
        let overrode = shown.overrode.into_iter();
        Self {
            key: shown.key,
            value: shown.value,
            place: shown.setting.map(Place::of_setting).unwrap_or_default(),
            inherited_from: shown.inherited_from,
            overrode: overrode.map(|(value, setting)| Overridden { value, place: Place::of_setting(setting) }).collect(),
        }
    }
}

/// What `config check` found.
#[derive(Serialize)]
struct Report {
    ok: bool,
    problems: Vec<Finding>,
    notes: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    message: String,
    key: Option<String>,
    #[serde(flatten)]
    place: Place,
    nearest: Option<String>,
    remedy: Option<String>,
    #[serde(skip)]
    text: String,
}

impl From<&Problem> for Finding {
    fn from(problem: &Problem) -> Self {
        Self {
            message: problem.message.clone(),
            key: problem.key.clone(),
            place: problem.origin.as_ref().map(Place::of).unwrap_or_default(),
            nearest: problem.nearest.clone(),
            remedy: problem.remedy.clone(),
            text: problem.to_string(),
        }
    }
}

impl From<&Note> for Finding {
    fn from(note: &Note) -> Self {
        Self {
            message: note.message.clone(),
            key: None,
            place: note.origin.as_ref().map(Place::of).unwrap_or_default(),
            nearest: None,
            remedy: None,
            text: note.to_string(),
        }
    }
}

/// Shows or checks the settings of `sources`. Exit code 2 when they could not be used.
pub(crate) fn run(args: Args, sources: &Sources) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Show { key, output } => show(key.as_deref(), output, sources),
        Command::Check { output } => check(output, sources),
    }
}

/// Shows settings with mistakes in them too: who looks for a mistake needs to see where values come from.
fn show(key: Option<&str>, output: Output, sources: &Sources) -> anyhow::Result<ExitCode> {
    let loaded = load(sources);
    let (provenance, failed) = match &loaded {
        Ok(loaded) => (&loaded.provenance, None),
        Err(error) => (&error.provenance, Some(error)),
    };
    let wanted =
        |shown: &Shown<'_>| key.is_none_or(|key| shown.key.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')));
    let settings: Vec<ShownSetting> = provenance.shown().into_iter().filter(wanted).map(ShownSetting::from).collect();
    output.print(&settings, |settings| settings.iter().map(as_text).collect())?;
    if let Some(key) = key.filter(|_| settings.is_empty()) {
        return Err(super::Misuse(format!("{key:?} is neither a setting nor a section; `scrubjay config show` lists them")).into());
    }
    Ok(code(failed))
}

fn as_text(setting: &ShownSetting) -> String {
    let mut text = match &setting.value {
        Some(value) => format!("{} = {value}  <- {}", setting.key, setting.place.text),
        None => format!("{} is not set", setting.key),
    };
    if let Some(from) = &setting.inherited_from {
        let _infallible = write!(text, " (inherited from {from})");
    }
    text.push('\n');
    for below in &setting.overrode {
        let _infallible = writeln!(text, "    over {}  <- {}", below.value, below.place.text);
    }
    text
}

fn check(output: Output, sources: &Sources) -> anyhow::Result<ExitCode> {
    let loaded = load(sources);
    let (problems, notes, failed) = match &loaded {
        Ok(loaded) => (&[][..], &loaded.notes, None),
        Err(error) => (error.problems.as_slice(), &error.notes, Some(error)),
    };
    let report = Report {
        ok: failed.is_none(),
        problems: problems.iter().map(Finding::from).collect(),
        notes: notes.iter().map(Finding::from).collect(),
    };
    output.print(&report, |report| {
        let mut text = if report.ok { "the configuration has no problems\n".to_owned() } else { String::new() };
        for note in &report.notes {
            let _infallible = writeln!(text, "note: {}", note.text);
        }
        text
    })?;
    Ok(code(failed))
}

/// Tells what keeps the settings from being used, and gives the exit code.
fn code(failed: Option<&LoadError>) -> ExitCode {
    match failed {
        None => ExitCode::from(DONE),
        Some(error) => {
            output::complain(&format!("error: {error}"));
            ExitCode::from(MISUSED)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::{Files, load_files};

    fn settings(toml: &str, environment: &[(&str, &str)]) -> Vec<ShownSetting> {
        let files = Files { config: Some((PathBuf::from("config.toml"), toml.into())), ..Files::default() };
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let loaded = load_files(&Sources { environment, ..Sources::default() }, &files).unwrap();
        loaded.provenance.shown().into_iter().map(ShownSetting::from).collect()
    }

    #[test]
    fn a_setting_is_shown_with_its_place_and_what_lies_below() {
        let settings = settings("[server]\nlisten = \"127.0.0.1:1\"\n", &[("PORT", "2"), ("EXTERNAL_MESSAGE_API_KEY", "0123456789abcdef")]);
        let text: String = settings.iter().map(as_text).collect();
        let built_in = crate::config::EMBEDDED.lines().position(|line| line.starts_with("listen = ")).unwrap() + 1;
        let listen = format!(
            "server.listen = \"127.0.0.1:2\"  <- process environment: PORT\n    over \"127.0.0.1:1\"  <- config.toml:2: server.listen\n    over \"127.0.0.1:8080\"  <- built-in config.toml:{built_in}: server.listen\n"
        );
        assert!(text.contains(&listen), "{text}");
        assert!(text.contains("external_api.key = \"********\"  <- process environment: EXTERNAL_MESSAGE_API_KEY\n"), "{text}");
        assert!(text.contains("\nauth.jwt_secret is not set\n"), "{text}");
        assert!(text.contains("(inherited from endpoints.openAI.max_tokens)"), "{text}");
    }

    #[test]
    fn the_json_of_a_setting_has_its_layer_file_and_line() {
        let settings =
            settings("[server]\nlisten = \"127.0.0.1:1\"\n[limits]\nturns_per_day = 5\n", &[("SCRUBJAY_LIMITS__TURNS_PER_DAY", "6")]);
        let json = |key: &str| serde_json::to_value(settings.iter().find(|setting| setting.key == key)).unwrap();
        let limit = json("limits.turns_per_day");
        assert_eq!(
            (&limit["value"], &limit["layer"], &limit["name"]),
            (&6.into(), &"environment".into(), &"SCRUBJAY_LIMITS__TURNS_PER_DAY".into())
        );
        let below = &limit["overrode"][0];
        assert_eq!(
            (&below["value"], &below["layer"], &below["file"], &below["line"]),
            (&5.into(), &"file".into(), &"config.toml".into(), &4.into())
        );
        assert_eq!(limit["overrode"][1]["layer"], "embedded");
        let absent = json("auth.jwt_secret");
        assert!(absent["value"].is_null() && absent["layer"].is_null(), "{absent}");
    }
}
