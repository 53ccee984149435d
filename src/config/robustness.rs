//! What must hold whatever the files contain; the fuzz target and a property test of the ordinary suite both run it.

use std::path::PathBuf;

use super::load::{Files, Sources, load_files};

/// Stands in each case as a secret that must appear nowhere.
const MARKED: &str = "marked-5f1d8a2b9c3e4f60";

/// Loads three files, separated by zero bytes: `config.toml`, `.env` and the YAML file.
///
/// # Panics
/// When the files are refused without a reason, a reason names a line that its file does not have, or a secret can be read
/// in a message, in `Debug` or in what is shown.
pub fn check(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let mut part = |name: &str| (PathBuf::from(name), parts.next().unwrap_or_default().to_vec());
    let config = part("config.toml");
    let (env_name, mut env_file) = part(".env");
    let yaml = part("scrubjay.yaml");
    let secret = !contains(data, MARKED.as_bytes());
    if secret {
        // First, so that a quote left open further up cannot swallow it.
        env_file = [format!("EXTERNAL_MESSAGE_API_KEY={MARKED}\n").as_bytes(), &env_file].concat();
    }
    let lines = |content: &[u8]| content.split(|byte| *byte == b'\n').count();
    let longest = lines(&config.1).max(lines(&env_file)).max(lines(&yaml.1)).max(lines(super::EMBEDDED.as_bytes()));
    let files = Files { config: Some(config), env_file: Some((env_name, env_file)), yaml: Some(yaml) };
    let told = match load_files(&Sources::default(), &files) {
        Ok(loaded) => {
            let notes: String = loaded.notes.iter().map(ToString::to_string).collect();
            format!("{:?}{:?}{:?}{notes}", loaded.config, loaded.provenance, loaded.provenance.shown())
        }
        Err(error) => {
            assert!(!error.problems.is_empty(), "refused without a reason");
            for problem in &error.problems {
                assert!(!problem.message.is_empty());
                assert!(
                    problem.origin.as_ref().and_then(|origin| origin.line).is_none_or(|line| (1..=longest).contains(&line)),
                    "{problem}"
                );
            }
            format!("{error}{error:?}{:?}", error.provenance.shown())
        }
    };
    assert!(!secret || !told.contains(MARKED), "a secret was told");
}

fn contains(data: &[u8], text: &[u8]) -> bool {
    data.windows(text.len()).any(|window| window == text)
}
