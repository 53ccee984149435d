//! From the file's servers to [`McpServers`], with every mistake in its line.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use figment::value::Value;
use secrecy::ExposeSecret as _;
use url::Url;

use super::super::draft::Draft;
use super::super::problem::{Note, Problem};
use super::super::provenance::{Layer, Origin, Setting};
use super::super::variables::Variable;
use super::super::yaml::{Node, Server};
use super::template::{Template, Unfillable};
use super::{Instructions, McpServer, McpServers, Reach, shown};

/// What a child process inherits: where programs and files are, and which language they speak. Nothing of ours.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

/// The keys that mean something here.
const KEYS: [&str; 9] = ["type", "command", "args", "env", "url", "headers", "timeout", "initTimeout", "serverInstructions"];

/// LibreChat's other keys: its interface, and ways to log in that need a browser.
const OTHERS: [&str; 14] = [
    "title",
    "description",
    "startup",
    "iconPath",
    "sseReadTimeout",
    "chatMenu",
    "requiresOAuth",
    "oauth",
    "oauth_headers",
    "apiKey",
    "obo",
    "customUserVars",
    "stderr",
    "proxy",
];

/// Those of them that say how a server is to be asked, so that leaving them out changes what it answers.
const CREDENTIALS: [&str; 5] = ["requiresOAuth", "oauth", "oauth_headers", "apiKey", "obo"];

/// Headers that the protocol itself sets.
const PROTOCOL_HEADERS: [&str; 6] = ["accept", "content-type", "content-length", "mcp-session-id", "mcp-protocol-version", "last-event-id"];

/// Both limits where the file gives none, as in LibreChat.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest limit, in milliseconds: a turn would be over long before.
const LONGEST_MS: u64 = 3_600_000;
/// Characters of a server's name.
const LONGEST_NAME: usize = 64;

/// Reads the servers. What is wrong is put into the draft, where `config show` finds the rest as well.
pub(in super::super) fn read(
    servers: &[Server],
    file: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    environment: &[(OsString, OsString)],
    draft: &mut Draft,
) -> McpServers {
    let mut read = McpServers {
        inherited: environment.iter().filter(|(name, _)| INHERITED.iter().any(|known| name == known)).cloned().collect(),
        ..McpServers::default()
    };
    for server in servers {
        let mut reader = Reader { server, file, variable, draft };
        if let Some(settings) = reader.read() {
            read.named.insert(server.name.clone(), settings);
        }
    }
    read
}

struct Reader<'a> {
    server: &'a Server,
    file: &'a Path,
    variable: &'a dyn Fn(&str) -> Option<String>,
    draft: &'a mut Draft,
}

impl Reader<'_> {
    fn read(&mut self) -> Option<McpServer> {
        let before = self.draft.problems.len();
        self.name();
        self.unknown_keys();
        let reach = self.reach();
        let timeout = self.limit("timeout");
        let init_timeout = self.limit("initTimeout");
        let instructions = self.instructions();
        let reach = reach.filter(|_| self.draft.problems.len() == before)?;
        Some(McpServer { reach, timeout, init_timeout, instructions })
    }

    fn field(&self, name: &str) -> Option<&Node> {
        self.server.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value).filter(|value| !value.is_null())
    }

    fn origin(&self, line: usize, name: &str) -> Origin {
        let dot = if name.is_empty() { "" } else { "." };
        let name = format!("mcpServers.{}{dot}{name}", self.server.name);
        Origin { layer: Layer::Yaml, file: Some(self.file.to_owned()), line: Some(line), name }
    }

    fn problem(&mut self, line: usize, name: &str, message: impl Into<String>, remedy: &str) {
        let problem = Problem::new(message).at(&self.origin(line, name)).remedy(remedy);
        self.draft.problems.push(problem);
    }

    fn note(&mut self, line: usize, name: &str, message: impl Into<String>) {
        let origin = Some(self.origin(line, name));
        self.draft.notes.push(Note { origin, message: message.into() });
    }

    fn show(&mut self, line: usize, name: &str, value: Value) {
        let origin = self.origin(line, name);
        self.draft.provenance.push_server(origin.name.clone(), Setting { origin, secret_file: None, value, secret: false });
    }

    fn name(&mut self) {
        let name = &self.server.name;
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(|c| c == ',' || c.is_control()) {
            let line = self.server.line;
            self.problem(line, "", "is no name for a server", "use up to 64 characters without commas");
        }
    }

    /// A key that nearly is one of ours was meant to be it; any other may be a coming LibreChat's.
    fn unknown_keys(&mut self) {
        let mut ignored = Vec::new();
        let mut credentials = Vec::new();
        for (name, value) in &self.server.fields {
            if KEYS.contains(&name.as_str()) {
                continue;
            }
            if CREDENTIALS.contains(&name.as_str()) {
                credentials.push(name.as_str());
            } else if OTHERS.contains(&name.as_str()) {
                ignored.push(name.as_str());
            } else {
                let folded = |name: &str| name.to_lowercase().replace(['_', '-'], "");
                let near = KEYS
                    .iter()
                    .map(|known| (strsim::damerau_levenshtein(&folded(name), &folded(known)), *known))
                    .min()
                    .filter(|(distance, known)| distance * 3 <= known.len());
                match near {
                    Some((_, known)) => {
                        let problem = Problem::new("is not a setting of a server").at(&self.origin(value.line, name));
                        self.draft.problems.push(problem.nearest(Some(known.to_owned())));
                    }
                    None => ignored.push(name.as_str()),
                }
            }
        }
        if !ignored.is_empty() {
            let message = format!("has no effect here: {}", ignored.join(", "));
            self.note(self.server.line, "", message);
        }
        if !credentials.is_empty() {
            let message =
                format!("nobody logs in for it here ({}); what a server wants to see must stand in headers", credentials.join(", "));
            self.note(self.server.line, "", message);
        }
    }

    fn reach(&mut self) -> Option<Reach> {
        let line = self.server.line;
        let text = |field: Option<&Node>| field.and_then(|node| Some((node.line, node.text()?.to_owned())));
        let kind = text(self.field("type"));
        let command = text(self.field("command"));
        let url = text(self.field("url"));
        for name in ["type", "command", "url"] {
            if let Some(at) = self.field(name).filter(|node| node.text().is_none()).map(|node| node.line) {
                self.problem(at, name, "must be text", "write one value");
                return None;
            }
        }
        if let Some((at, kind)) = &kind {
            self.show(*at, "type", Value::from(kind.as_str()));
        }
        match (kind.as_ref().map(|(at, kind)| (*at, kind.as_str())), command, url) {
            (Some((_, "stdio")) | None, Some((at, command)), None) => self.stdio(at, &command),
            (Some((_, "streamable-http" | "http")) | None, None, Some((at, url))) => self.http(at, &url),
            (Some((at, "sse")), ..) => {
                let remedy = "write streamable-http, with the URL at which the server speaks it (often /mcp in place of /sse)";
                self.problem(at, "type", "is \"sse\", a transport that the protocol has replaced and that is not spoken here", remedy);
                None
            }
            (Some((at, "websocket")), ..) => {
                self.problem(at, "type", "is \"websocket\", which is not spoken here", "write streamable-http or stdio");
                None
            }
            (Some((at, "stdio")), None, _) => {
                self.problem(at, "type", "is \"stdio\", but there is no command", "add command, or write streamable-http");
                None
            }
            (Some((at, "streamable-http" | "http")), _, None) => {
                self.problem(at, "type", "speaks HTTP, but there is no url", "add url, or write stdio");
                None
            }
            (None | Some((_, "stdio" | "streamable-http" | "http")), Some(_), Some(_)) => {
                self.problem(line, "", "has a command and a url", "keep command for a program of this machine, url for a server elsewhere");
                None
            }
            (None, None, None) => {
                self.problem(line, "", "has neither a command nor a url", "add one of them");
                None
            }
            (Some((at, other)), ..) => {
                let message = format!("{other:?} is no way to reach a server");
                self.problem(at, "type", message, "write stdio or streamable-http");
                None
            }
        }
    }

    fn stdio(&mut self, line: usize, command: &str) -> Option<Reach> {
        self.show(line, "command", Value::from(command));
        let command = self.filled(line, "command", command);
        if let Some(headers) = self.server.headers.first() {
            self.note(headers.line.unwrap_or(line), "headers", "a child process gets no headers; they have no effect");
        }
        let args = self.args();
        let env = self.server.env.iter().map(|variable| self.pair("env", variable)).collect::<Vec<_>>();
        if let Some(bad) = self.server.env.iter().find(|v| v.name.is_empty() || v.name.contains(['=', '\0']) || v.value.contains('\0')) {
            self.problem(bad.line.unwrap_or(line), "env", "no process can have a variable of that name or value", "remove it");
        }
        let command = command?.expose_secret().to_owned();
        if command.trim().is_empty() {
            self.problem(line, "command", "is empty", "name a program");
            return None;
        }
        Some(Reach::Stdio { command, args: args?, env: env.into_iter().collect::<Option<_>>()? })
    }

    fn args(&mut self) -> Option<Vec<secrecy::SecretString>> {
        let Some(node) = self.field("args") else { return Some(Vec::new()) };
        let line = node.line;
        let items: Option<Vec<(usize, String)>> =
            node.items().and_then(|items| items.iter().map(|item| Some((item.line, item.text()?.to_owned()))).collect());
        let Some(items) = items else {
            self.problem(line, "args", "must be a list of texts", "write [\"first\", \"second\"]");
            return None;
        };
        let written: Vec<&str> = items.iter().map(|(_, text)| text.as_str()).collect();
        self.show(line, "args", Value::from(shown::arguments(&written)));
        let filled: Vec<_> = items.iter().map(|(line, text)| self.filled(*line, "args", text)).collect();
        filled.into_iter().collect()
    }

    fn http(&mut self, line: usize, url: &str) -> Option<Reach> {
        self.show(line, "url", Value::from(shown::url(url)));
        for name in ["args", "env"] {
            if let Some((_, value)) = self.server.fields.iter().find(|(field, _)| field == name) {
                self.note(value.line, name, "only a child process has this; it has no effect");
            }
        }
        let url = self.filled(line, "url", url);
        let (own, kept): (Vec<&Variable>, Vec<&Variable>) =
            self.server.headers.iter().partition(|header| PROTOCOL_HEADERS.iter().any(|own| header.name.eq_ignore_ascii_case(own)));
        for header in own {
            self.note(header.line.unwrap_or(line), &format!("headers.{}", header.name), "the protocol sets this header; it has no effect");
        }
        let headers: Vec<_> = kept.into_iter().map(|header| self.header(header)).collect();
        let url = url?;
        match Url::parse(url.expose_secret()) {
            Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() => {}
            Ok(parsed) if matches!(parsed.scheme(), "ws" | "wss") => {
                self.problem(line, "url", "is a websocket's, which is not spoken here", "give the URL of the server's streamable HTTP");
                return None;
            }
            _ => {
                self.problem(line, "url", "is no http or https URL", "write one such as https://mcp.example.org/mcp");
                return None;
            }
        }
        Some(Reach::Http { url, headers: headers.into_iter().collect::<Option<_>>()? })
    }

    fn header(&mut self, header: &Variable) -> Option<(String, Template)> {
        let (line, name) = (header.line.unwrap_or(self.server.line), format!("headers.{}", header.name));
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if header.name.is_empty() || !header.name.chars().all(token) {
            self.problem(line, &name, "is no name of a header", "use letters, digits and hyphens");
            return None;
        }
        let pair = self.pair("headers", header)?;
        // What a person fills in is an id or a number, which every header can carry.
        let sample = super::Person { id: "0", phone: Some("+1") };
        let carried = pair.1.fill(sample).is_some_and(|value| value.expose_secret().chars().all(|c| c == '\t' || matches!(c, ' '..='~')));
        if !carried {
            self.problem(line, &name, "holds what no header can carry", "remove line ends and what is not ASCII");
            return None;
        }
        Some(pair)
    }

    /// A variable or header with its template.
    fn pair(&mut self, section: &str, variable: &Variable) -> Option<(String, Template)> {
        let (line, name) = (variable.line.unwrap_or(self.server.line), format!("{section}.{}", variable.name));
        self.show(line, &name, Value::from(shown::value(&variable.value)));
        let template = self.template(line, &name, &variable.value)?;
        Some((variable.name.clone(), template))
    }

    fn template(&mut self, line: usize, name: &str, written: &str) -> Option<Template> {
        match Template::parse(written, self.variable) {
            Ok(template) => Some(template),
            Err(Unfillable::Variable(variable)) => {
                let message = format!("holds ${{{variable}}}, and no layer has a variable {variable}");
                self.problem(line, name, message, "set it in the environment or in .env, or write the value");
                None
            }
            Err(Unfillable::NoName(text)) => {
                let message = format!("holds ${{{text}}}, which names no variable");
                self.problem(line, name, message, "write ${NAME}, without a default in it");
                None
            }
            Err(Unfillable::Placeholder(placeholder)) => {
                let message = format!("holds the placeholder {{{{{placeholder}}}}}, which nothing here fills in");
                self.problem(line, name, message, "{{USER_ID}}, {{LIBRECHAT_USER_ID}} and {{USER_PHONE}} are filled in for each person");
                None
            }
        }
    }

    /// A value that is the same for everybody.
    fn filled(&mut self, line: usize, name: &str, written: &str) -> Option<secrecy::SecretString> {
        let template = self.template(line, name, written)?;
        let plain = template.plain();
        if plain.is_none() {
            self.problem(line, name, "holds a person's placeholder", "persons are filled into env and headers only");
        }
        plain
    }

    fn limit(&mut self, name: &str) -> Duration {
        let Some((line, text)) = self.field(name).map(|node| (node.line, node.text().map(str::to_owned))) else { return TIMEOUT };
        match text.as_deref().and_then(|text| text.trim().replace('_', "").parse::<u64>().ok()) {
            Some(milliseconds) if (1..=LONGEST_MS).contains(&milliseconds) => {
                self.show(line, name, Value::from(milliseconds));
                Duration::from_millis(milliseconds)
            }
            _ => {
                self.problem(line, name, "is no limit in milliseconds", "write a whole number from 1 to 3600000, such as 30000");
                TIMEOUT
            }
        }
    }

    fn instructions(&mut self) -> Instructions {
        let Some((line, plain, text)) =
            self.field("serverInstructions").map(|node| (node.line, node.is_plain(), node.text().map(str::to_owned)))
        else {
            return Instructions::None;
        };
        match text {
            Some(text) if plain && text.eq_ignore_ascii_case("true") => {
                self.show(line, "serverInstructions", Value::from(true));
                Instructions::Own
            }
            Some(text) if (plain && text.eq_ignore_ascii_case("false")) || text.trim().is_empty() => Instructions::None,
            Some(text) => {
                self.show(line, "serverInstructions", Value::from(text.as_str()));
                Instructions::Text(text)
            }
            None => {
                self.problem(line, "serverInstructions", "must be true, false or a text", "write true for the server's own");
                Instructions::None
            }
        }
    }
}
