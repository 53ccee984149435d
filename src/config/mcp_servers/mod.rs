//! `mcpServers` of the YAML file: other people's MCP servers whose tools agents may use, in LibreChat's shape.
//!
//! `${NAME}` is filled in here, once, from the layers that hold variables. `{{USER_ID}}`, `{{USER_PHONE}}` and
//! `{{LIBRECHAT_USER_ID}}` stay: a [`Template`] is filled for one person, when a tool is called for them.

mod read;
mod shown;
mod template;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use secrecy::SecretString;

pub(super) use read::read;
pub use template::{Person, Template};

/// The servers, and what their processes may know of this one's environment.
#[derive(Debug, Clone, Default)]
pub struct McpServers {
    /// Each by its name.
    pub named: BTreeMap<String, McpServer>,
    /// `PATH`, `HOME`, `LANG` and `TMPDIR` as this process has them: all that a child process gets unasked.
    pub inherited: Vec<(OsString, OsString)>,
}

/// One server.
#[derive(Debug, Clone)]
pub struct McpServer {
    /// How it is reached.
    pub reach: Reach,
    /// How long one call may take.
    pub timeout: Duration,
    /// How long it may take to start, to greet and to list its tools.
    pub init_timeout: Duration,
    /// What a model is told of it.
    pub instructions: Instructions,
}

impl McpServer {
    /// Everything that is filled for a person.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let (Reach::Stdio { env: pairs, .. } | Reach::Http { headers: pairs, .. }) = &self.reach;
        pairs.iter().map(|(_, template)| template)
    }
}

/// How a server is reached.
#[derive(Debug, Clone)]
pub enum Reach {
    /// As a child process that speaks over its standard input and output.
    Stdio {
        /// The program, looked for in `PATH` unless it is a path.
        command: String,
        /// Its arguments. They may hold secrets.
        args: Vec<SecretString>,
        /// Variables beside the inherited ones.
        env: Vec<(String, Template)>,
    },
    /// Over streamable HTTP.
    Http {
        /// An `http` or `https` URL. It may hold a secret.
        url: SecretString,
        /// Headers of every request.
        headers: Vec<(String, Template)>,
    },
}

/// What a model is told of a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Instructions {
    /// Nothing.
    #[default]
    None,
    /// What the server itself says.
    Own,
    /// This.
    Text(String),
}
