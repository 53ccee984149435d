//! The built-in `config.toml` is the reference: complete, commented and true.

use std::collections::BTreeSet;

use super::super::{EMBEDDED, keys};
use super::*;

/// Every `field: Type` of sections.rs, by name. What the file lacks is a missing field at start, so names suffice here.
fn fields() -> BTreeSet<String> {
    let source = include_str!("../sections.rs");
    let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let sections = code.split("section!(").skip(1).filter_map(|text| text.split_once(");")).map(|(body, _)| body);
    let config = code.split_once("pub struct Config {").and_then(|(_, text)| text.split_once('}')).map(|(body, _)| body).unwrap();
    sections
        .filter_map(|body| body.split_once('{').map(|(_, fields)| fields))
        .chain([config])
        .flat_map(|body| body.split(','))
        .filter_map(|field| field.split_once(':').map(|(name, _)| name))
        .filter_map(|name| name.split([' ', '\n', ']', '(', ')']).rfind(|word| !word.is_empty()).map(str::to_owned))
        .collect()
}

#[test]
fn every_key_of_the_file_is_a_field_and_every_field_a_key() {
    // Alone it loads: no field is missing and no key is unknown.
    World::default().config();
    let mut named: BTreeSet<String> = keys::all().flat_map(|(key, _)| key.split('.').map(str::to_owned).collect::<Vec<_>>()).collect();
    // Sections of the host's own names.
    for own in ["openAI", "demo", "default", "agent_scrubjay"] {
        assert!(named.remove(own), "{own}");
    }
    let mut fields = fields();
    // The YAML file's own section.
    assert!(fields.remove("mcp_servers"));
    assert_eq!(fields, named);
}

#[test]
fn every_key_has_a_comment() {
    let lines: Vec<&str> = EMBEDDED.lines().collect();
    let is_key =
        |line: &str| line.split_once(" = ").is_some_and(|(name, _)| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    let mut keys = 0;
    for (at, line) in lines.iter().enumerate() {
        if !is_key(line) {
            continue;
        }
        keys += 1;
        // A comment may stand above a group; a section or an empty line ends the group.
        let commented = lines[..at].iter().rev().take_while(|above| !above.is_empty()).any(|above| above.starts_with("# "));
        assert!(commented, "line {}: {line}", at + 1);
    }
    assert!(keys > 80, "{keys}");
}

#[test]
fn secrets_without_a_default_stand_in_the_file_as_comments() {
    for key in [
        "auth.jwt_secret",
        "external_api.key",
        "gateways.twilio.auth_token",
        "gateways.twilio.auth_token_secondary",
        "gateways.twilio.api_secret",
    ] {
        let (section, field) = key.rsplit_once('.').unwrap();
        let body = EMBEDDED.split_once(&format!("[{section}]\n")).unwrap().1.split("\n[").next().unwrap();
        assert!(body.contains(&format!("\n# {field} = \"…\"")), "{key}");
        let loaded = World::default().load().unwrap();
        assert!(!loaded.provenance.is_set(key));
        assert!(loaded.provenance.effective(key).is_none());
    }
}

#[test]
fn a_copy_of_the_file_can_be_used_as_it_is() {
    let loaded = World::toml(EMBEDDED).load().unwrap();
    let server = loaded.provenance.effective("server.listen").unwrap();
    assert_eq!(server.origin.to_string(), format!("config.toml:{}: server.listen", server.origin.line.unwrap()));
    let line = EMBEDDED.lines().nth(server.origin.line.unwrap() - 1).unwrap();
    assert!(line.starts_with("listen = "), "{line}");
    assert_eq!(loaded.notes, []);
}

#[test]
fn what_is_shown_has_every_key_once() {
    let loaded = World::default().load().unwrap();
    let shown: Vec<String> = loaded.provenance.shown().into_iter().map(|shown| shown.key).collect();
    let unique: BTreeSet<&String> = shown.iter().collect();
    assert_eq!(unique.len(), shown.len());
    for (key, _) in keys::all() {
        assert!(unique.contains(&key.to_owned()), "{key}");
    }
    assert!(unique.contains(&"endpoints.demo.max_tokens".to_owned()));
}

#[test]
fn the_guide_names_every_alias_and_its_examples_load() {
    let guide = include_str!("../../../docs/configuration.md");
    let (_, table) = guide.split_once("### Names that others use").unwrap();
    for (alias, _) in super::super::variables::ALIASES {
        assert!(table.contains(&format!("`{alias}`")), "{alias}");
    }
    let examples = |language: &str| {
        let fence = format!("```{language}\n");
        guide.split(&fence).skip(1).map(|text| text.split_once("```").unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    let toml = examples("toml");
    assert_eq!(toml.len(), 4);
    for example in toml {
        World::toml(&example).config();
    }
    World::dotenv(&examples("sh")[0].replace("sk-…", "sk-0")).config();
    World::yaml(&examples("yaml")[0]).config();
}

#[test]
fn the_guide_shows_a_report_as_it_is() {
    let guide = include_str!("../../../docs/configuration.md");
    let (_, report) = guide.split_once("\nerror: ").unwrap();
    let world = World::toml("# x\n[server]\nlistn = \"x\"\n\n[limits]\nturns_per_day = \"many\"\n")
        .with_dotenv("#\nMONGO_URI=a\nJWT_SECRET=short\nMONGODB_URI=b\n");
    assert_eq!(report.split_once("\n```").unwrap().0, world.load().unwrap_err().to_string());
}
