//! The layers over each other, every kind of mistake, and the reference file, through the public surface.

mod layers;
mod mistakes;
mod reference;
mod robustness;
mod servers;

use std::path::PathBuf;

use super::{Config, Files, LoadError, Loaded, Override, Problem, Sources, load_files};

/// Files and sources of one case, none of them on disk.
#[derive(Default)]
struct World {
    toml: String,
    dotenv: String,
    yaml: String,
    sources: Sources,
}

impl World {
    fn toml(text: &str) -> Self {
        Self::default().with_toml(text)
    }

    fn dotenv(text: &str) -> Self {
        Self::default().with_dotenv(text)
    }

    fn yaml(text: &str) -> Self {
        Self::default().with_yaml(text)
    }

    fn environment(pairs: &[(&str, &str)]) -> Self {
        Self::default().with_environment(pairs)
    }

    fn with_toml(mut self, text: &str) -> Self {
        self.toml.push_str(text);
        self
    }

    fn with_dotenv(mut self, text: &str) -> Self {
        self.dotenv.push_str(text);
        self
    }

    fn with_yaml(mut self, text: &str) -> Self {
        self.yaml.push_str(text);
        self
    }

    fn with_environment(mut self, pairs: &[(&str, &str)]) -> Self {
        self.sources.environment.extend(pairs.iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    fn with_override(mut self, key: &str, value: &str) -> Self {
        self.sources.overrides.push(Override { key: key.to_owned(), value: value.to_owned(), command: "demo" });
        self
    }

    fn load(&self) -> Result<Loaded, LoadError> {
        let file = |name: &str, text: &str| (!text.is_empty()).then(|| (PathBuf::from(name), text.as_bytes().to_vec()));
        let files = Files {
            config: file("config.toml", &self.toml),
            env_file: file(".env", &self.dotenv),
            yaml: file("scrubjay.yaml", &self.yaml),
        };
        load_files(&self.sources, &files)
    }

    #[track_caller]
    fn config(&self) -> Config {
        self.load().unwrap_or_else(|error| panic!("{error}")).config
    }

    #[track_caller]
    fn problems(&self) -> Vec<Problem> {
        match self.load() {
            Ok(_) => panic!("no problem was found"),
            Err(error) => error.problems,
        }
    }

    /// The only problem, as people read it.
    #[track_caller]
    fn problem(&self) -> String {
        let problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems[0].to_string()
    }
}
