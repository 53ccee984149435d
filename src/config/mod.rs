//! Settings: typed, with a source for each value.
//!
//! [`sections`] says what there is; [`load()`] lays the layers over each other and reports everything that is wrong at once.
//! Nothing outside this module reads the environment or a file of settings, and nothing in it changes either. A secret's
//! value never leaves the typed settings: not in a message, not in `Debug`, not in what is shown.
//!
//! The way of a value: a reader (`toml_file`, `dotenv`, `yaml`) finds it with its line; `variables` tells which key
//! a name means; `draft` lays it on the values below; `extract` makes it typed; `validate` checks what types cannot.

mod dotenv;
mod draft;
mod extract;
mod keys;
mod load;
pub mod mcp_servers;
mod problem;
mod provenance;
pub mod robustness;
pub mod sections;
mod text;
mod toml_file;
mod validate;
mod variables;
mod weakness;
mod yaml;

#[cfg(test)]
mod tests;

pub use keys::EMBEDDED;
pub use load::{Files, Loaded, Override, SecretStrength, Shown, Sources, load, load_files};
pub use problem::{LoadError, Note, Problem};
pub use provenance::{Layer, Origin, Provenance, Setting};
pub use sections::Config;
pub use variables::variable_name;
