//! What types cannot check: addresses, zones, templates, references between sections, and secrets that guard nothing.

use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::Config;
use super::draft::Draft;
use super::extract::inherited_setting;
use super::load::SecretStrength;
use super::problem::{Note, Problem};
use super::sections::{AgentSettings, ApiDelivery, Backend, EndpointKind, EndpointSettings, MongoDb};
use super::weakness::{is_no_key, weakness};
use crate::domain::ids::AgentId;
use crate::domain::phone::PhoneNumber;

/// The tool sets of our own.
const OWN_SETS: [&str; 3] = ["memory", "todo", "schedule"];

/// Checks typed settings and adds what it finds to the draft. Mends two things: a slash at the end
/// of the public URL, and an endpoint's URL that names the request.
pub(super) fn validate(config: &mut Config, draft: &mut Draft, strength: SecretStrength) {
    let mut check = Check { draft };
    check.server(config);
    check.this_release(config);
    check.words(config);
    check.numbers(config);
    check.endpoints(config);
    check.agents(config);
    check.twilio(config);
    if strength == SecretStrength::Required {
        check.strengths(config);
    }
}

struct Check<'a> {
    draft: &'a mut Draft,
}

impl Check<'_> {
    fn problem(&mut self, key: &str, message: impl Into<String>, remedy: &str) {
        // What was reported before it was typed is checked in a stand-in's place; what is inherited, at its own.
        let known = self.draft.problems.iter().any(|problem| problem.key.as_deref() == Some(key));
        if known || inherited_setting(&self.draft.provenance, key).is_some() {
            return;
        }
        let problem = Problem::new(message).key(key).remedy(remedy);
        let origin = self.draft.provenance.effective(key).map(|setting| setting.origin.clone());
        let origin = origin.or_else(|| key.rsplit_once('.').and_then(|(section, _)| self.draft.named.get(section).cloned()));
        self.draft.problems.push(match &origin {
            Some(origin) => problem.at(origin),
            None => problem,
        });
    }

    fn note(&mut self, key: &str, message: impl Into<String>) {
        let origin = self.draft.provenance.effective(key).map(|setting| setting.origin.clone());
        self.draft.notes.push(Note { origin, message: message.into() });
    }

    fn server(&mut self, config: &mut Config) {
        // Paths are appended, and they begin with a slash.
        let public_url = config.server.public_url.trim_end_matches('/').to_owned();
        config.server.public_url.clone_from(&public_url);
        if !public_url.is_empty()
            && let Err(reason) = origin_only(&public_url)
        {
            self.problem(
                "server.public_url",
                format!("{public_url:?} {reason}"),
                "write scheme and host only, such as https://sms.example.org",
            );
        }
        for proxy in &config.server.trusted_proxies {
            if !is_network(proxy) {
                let message = format!("{proxy:?} is neither an address nor a network");
                self.problem("server.trusted_proxies", message, "write an IP address or a network such as 10.0.0.0/8");
            }
        }
        if config.storage.path.as_os_str().is_empty() {
            self.problem("storage.path", "is empty", "name a folder, such as ./data");
        }
    }

    /// What can be written and what this release cannot do: better refused than left undone in silence.
    fn this_release(&mut self, config: &Config) {
        let backend = match config.storage.backend {
            Backend::Sqlite | Backend::Json => None,
            Backend::MongoDb => (!cfg!(feature = "mongodb")).then_some("mongodb"),
        };
        if let Some(name) = backend {
            let message = format!("is {name:?}, which this build does not have");
            self.problem("storage.backend", message, "write sqlite or json, or leave it out");
        }
        if config.storage.backend == Backend::MongoDb {
            self.names_on_mongodb(&config.storage.mongodb);
        }
        if config.external_api.deliver == ApiDelivery::Sms && !config.gateways.any_open() {
            self.problem(
                "external_api.deliver",
                "is \"sms\", but no gateway is open that could text",
                "set up gateways.twilio (account_sid and auth_token), or write none",
            );
        }
    }

    /// Names of collections: what the server does not take, and what would put two things into one.
    fn names_on_mongodb(&mut self, mongodb: &MongoDb) {
        let MongoDb { memory_collection, todo_collection, collection_prefix, .. } = mongodb;
        for (key, name) in [
            ("storage.mongodb.memory_collection", memory_collection),
            ("storage.mongodb.todo_collection", todo_collection),
            ("storage.mongodb.collection_prefix", collection_prefix),
        ] {
            let of_server = name.starts_with("system.") || name.contains(['$', '\0']) || name.is_empty();
            let of_librechat = ["users", "conversations", "messages", "balances"].contains(&name.as_str());
            if of_server || of_librechat {
                self.problem(key, format!("is {name:?}, which no collection of ours can be called"), "write a name such as scrubjay_");
            }
        }
        if memory_collection == todo_collection {
            self.problem("storage.mongodb.todo_collection", "is the same as memory_collection", "give each its own name");
        }
    }

    fn words(&mut self, config: &Config) {
        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&config.log.filter) {
            self.problem(
                "log.filter",
                format!("{:?} is no filter: {error}", config.log.filter),
                "write a level, or target=level with commas",
            );
        }
        match config.phone.rules() {
            Err(error) => self.problem("phone.default_region", error.to_string(), "write a code of two capital letters, such as US or DE"),
            Ok(rules) => {
                // The number itself stays out of the report: it is somebody's.
                for (at, _) in config.people.allow.iter().enumerate().filter(|(_, number)| PhoneNumber::parse(number, &rules).is_err()) {
                    let message = format!("entry {} of the list is no phone number that phone.validation accepts", at + 1);
                    self.problem("people.allow", message, "write numbers with their country code, such as +15551234567");
                }
            }
        }
        let zone = &config.people.time_zone;
        if jiff::tz::TimeZone::get(zone).is_err() {
            self.problem("people.time_zone", format!("{zone:?} is no time zone"), "write an IANA name, such as UTC or Europe/Berlin");
        }
        let domain = &config.people.email_domain;
        if !matches!(Host::parse(domain), Ok(Host::Domain(parsed)) if parsed.eq_ignore_ascii_case(domain)) {
            self.problem("people.email_domain", format!("{domain:?} is no domain"), "write one such as sms.example.org");
        }
        if let Err(error) = minijinja::Environment::new().template_from_str(&config.prompt.system) {
            let line = error.line().map_or(String::new(), |line| format!(" in line {line} of the text"));
            self.problem(
                "prompt.system",
                format!("is no template: {error}{line}"),
                "see minijinja's syntax; {% raw %} … {% endraw %} keeps braces",
            );
        }
    }

    fn numbers(&mut self, config: &Config) {
        let at_least_one: [(&str, u64); 30] = [
            ("server.acknowledge_seconds", config.server.acknowledge_seconds),
            ("server.body_limit_bytes", config.server.body_limit_bytes as u64),
            ("storage.sqlite.readers", config.storage.sqlite.readers as u64),
            ("storage.mongodb.timeout_seconds", config.storage.mongodb.timeout_seconds),
            ("storage.mongodb.connections", config.storage.mongodb.connections.into()),
            ("external_api.wait_seconds", config.external_api.wait_seconds),
            ("conversations.history_messages", config.conversations.history_messages as u64),
            ("recall.tokens", config.recall.tokens as u64),
            ("recall.facts", config.recall.facts as u64),
            ("summary.messages", config.summary.messages as u64),
            ("summary.tokens", config.summary.tokens as u64),
            ("summary.input_tokens", config.summary.input_tokens as u64),
            ("summary.seconds", config.summary.seconds),
            ("limits.text_characters", config.limits.text_characters as u64),
            ("sms.segments_per_message", config.sms.segments_per_message.into()),
            ("sms.max_messages", config.sms.max_messages.into()),
            ("worker.turns", config.worker.turns as u64),
            ("worker.deliveries", config.worker.deliveries as u64),
            ("worker.attempts", config.worker.attempts.into()),
            ("worker.poll_ms", config.worker.poll_ms),
            ("memory.name_characters", config.memory.name_characters as u64),
            ("memory.observation_characters", config.memory.observation_characters as u64),
            ("memory.entities", config.memory.entities),
            ("memory.observations_per_person", config.memory.observations_per_person),
            ("memory.relations_per_person", config.memory.relations_per_person),
            ("memory.items_per_call", config.memory.items_per_call as u64),
            ("memory.answer_bytes", config.memory.answer_bytes as u64),
            ("todos.items", config.todos.items as u64),
            ("todos.text_characters", config.todos.text_characters as u64),
            ("gateways.twilio.timeout_seconds", config.gateways.twilio.timeout_seconds),
        ];
        for (key, value) in at_least_one {
            if value == 0 {
                self.problem(key, "is 0", "write 1 or more");
            }
        }
        let balance = &config.balance;
        for (key, value) in [
            ("balance.start_credits", balance.start_credits),
            ("balance.refill_credits", balance.refill_credits),
            ("balance.segment_credits", balance.segment_credits),
        ] {
            if value < 0 {
                self.problem(key, format!("is {value}"), "write 0 or more");
            }
        }
        if balance.refill_credits > 0 && balance.refill_hours == 0 {
            self.problem("balance.refill_hours", "is 0 while credits are granted again", "write after how many hours");
        }
        for (low, high, below) in [
            (
                "conversations.debounce_ms",
                "conversations.debounce_max_ms",
                config.conversations.debounce_ms > config.conversations.debounce_max_ms,
            ),
            ("worker.backoff_ms", "worker.backoff_max_ms", config.worker.backoff_ms > config.worker.backoff_max_ms),
        ] {
            if below {
                self.problem(high, format!("is below {low}"), "raise it, or lower the other");
            }
        }
    }

    fn endpoints(&mut self, config: &mut Config) {
        let names: Vec<String> = config.endpoints.named.keys().cloned().collect();
        let default = config.endpoints.default.as_str();
        if config.endpoints.default.is_agents() {
            if config.agents.default.is_none() {
                self.problem("endpoints.default", "is \"agents\", but no agent is the default one", "set agents.default");
            }
        } else if !names.iter().any(|name| name == default) {
            let message = format!("{default:?} is not configured; there are {}", names.join(", "));
            self.problem("endpoints.default", message, "name one of these, or add its section");
        }
        for name in names {
            if let Some(endpoint) = config.endpoints.named.get_mut(&name) {
                self.endpoint(&format!("endpoints.{name}"), endpoint);
            }
        }
    }

    fn endpoint(&mut self, section: &str, endpoint: &mut EndpointSettings) {
        let key = |field: &str| format!("{section}.{field}");
        if endpoint.kind == EndpointKind::OpenAi {
            // LibreChat's OPENAI_REVERSE_PROXY may name the request itself.
            if let Some(base) = endpoint.base_url.trim_end_matches('/').strip_suffix("/chat/completions") {
                endpoint.base_url = base.to_owned();
                self.note(&key("base_url"), "names the request; what stands before /chat/completions is used");
            }
            if http_url(&endpoint.base_url).is_none() {
                self.problem(&key("base_url"), "is no http or https URL", "write one such as http://localhost:11434/v1");
            }
            if is_no_key(endpoint.api_key.expose_secret()) {
                self.problem(&key("api_key"), "is a placeholder and no key", "write the key, or an empty text to send none");
            } else if endpoint.api_key.expose_secret().chars().any(|character| !character.is_ascii_graphic()) {
                self.problem(&key("api_key"), "holds what no header can carry", "remove white space and what is not ASCII");
            }
        }
        if endpoint.default_model.trim().is_empty() {
            self.problem(&key("default_model"), "is empty", "name the model that answers when none was chosen");
        } else if !endpoint.models.is_empty() && !endpoint.models.contains(&endpoint.default_model) {
            // The one to change is the one that the host wrote.
            let field = if self.draft.provenance.is_set(&key("default_model")) { "default_model" } else { "models" };
            let message = format!("the default model {:?} is not among {section}.models", endpoint.default_model);
            self.problem(&key(field), message, &format!("add it there, or set {} to another", key("default_model")));
        }
        for (field, value) in [
            ("max_tokens", u64::from(endpoint.max_tokens)),
            ("connect_seconds", endpoint.connect_seconds),
            ("first_token_seconds", endpoint.first_token_seconds),
            ("idle_seconds", endpoint.idle_seconds),
            ("total_seconds", endpoint.total_seconds),
        ] {
            if value == 0 {
                self.problem(&key(field), "is 0", "write 1 or more");
            }
        }
        for (field, value) in
            [("prompt_token_credits", endpoint.prompt_token_credits), ("completion_token_credits", endpoint.completion_token_credits)]
        {
            if !value.is_finite() || value < 0.0 {
                self.problem(&key(field), format!("is {value}"), "write 0 or more");
            }
        }
    }

    fn agents(&mut self, config: &Config) {
        for (id, agent) in &config.agents.named {
            let endpoint = &agent.endpoint;
            if endpoint.is_agents() || !config.endpoints.named.contains_key(endpoint.as_str()) {
                let names: Vec<&str> = config.endpoints.named.keys().map(String::as_str).collect();
                let message = format!("{:?} cannot answer for an agent; there are {}", endpoint.as_str(), names.join(", "));
                self.problem(&format!("agents.{id}.endpoint"), message, "name one of these");
            }
            self.agents_tools(id, agent, config);
        }
        if let Some(default) = &config.agents.default
            && !config.agents.named.contains_key(default)
        {
            self.problem("agents.default", format!("\"{default}\" is not configured"), &format!("add [agents.{default}]"));
        }
    }

    /// What an agent may use, and its limits.
    fn agents_tools(&mut self, id: &AgentId, agent: &AgentSettings, config: &Config) {
        let key = |field: &str| format!("agents.{id}.{field}");
        for set in agent.tools.iter().filter(|set| !OWN_SETS.contains(&set.as_str())) {
            self.problem(&key("tools"), format!("{set:?} is no tool set"), &format!("name some of {}", OWN_SETS.join(", ")));
        }
        for server in agent.servers.iter().filter(|server| !config.mcp_servers.named.contains_key(*server)) {
            self.problem(&key("servers"), format!("{server:?} is not in mcpServers"), "add it to the YAML file, or take it out here");
        }
        for server in agent.servers.iter().filter(|server| OWN_SETS.contains(&server.as_str())) {
            let remedy = "give the server another name in the YAML file, or name the set in tools";
            self.problem(&key("servers"), format!("{server:?} is the name of a tool set of ours"), remedy);
        }
        for (field, zero) in [
            ("max_steps", agent.max_steps == 0),
            ("parallel", agent.parallel == 0),
            ("tool_seconds", agent.tool_seconds == 0),
            ("turn_seconds", agent.turn_seconds == 0),
            ("tool_output_characters", agent.tool_output_characters == 0),
        ] {
            if zero {
                self.problem(&key(field), "is 0", "write 1 or more; `tools = []` takes the tools away");
            }
        }
        for name in ["messages", "model", "user", "stream", "stream_options", "tools", "tool_choice", "parallel_tool_calls"] {
            if agent.parameters.contains_key(name) {
                self.problem(&key("parameters"), format!("cannot set {name}"), "take it out; the program sets it itself");
            }
        }
    }

    fn twilio(&mut self, config: &Config) {
        let twilio = &config.gateways.twilio;
        let given = |secret: &SecretString| !secret.expose_secret().is_empty();
        let (account, token) = (!twilio.account_sid.is_empty(), given(&twilio.auth_token));
        let started = [
            ("gateways.twilio.account_sid", account),
            ("gateways.twilio.auth_token", token),
            ("gateways.twilio.auth_token_secondary", given(&twilio.auth_token_secondary)),
            ("gateways.twilio.api_key", !twilio.api_key.is_empty()),
            ("gateways.twilio.api_secret", given(&twilio.api_secret)),
            ("gateways.twilio.phone_number", !twilio.phone_number.is_empty()),
            ("gateways.twilio.messaging_service_sid", !twilio.messaging_service_sid.is_empty()),
        ];
        if let Some((first, _)) = started.iter().find(|(_, given)| *given) {
            let missing: Vec<&str> =
                [(account, "gateways.twilio.account_sid (TWILIO_ACCOUNT_SID)"), (token, "gateways.twilio.auth_token (TWILIO_AUTH_TOKEN)")]
                    .into_iter()
                    .filter_map(|(given, name)| (!given).then_some(name))
                    .collect();
            if !missing.is_empty() {
                self.note(first, format!("Twilio stays closed: {} is missing", missing.join(" and ")));
            } else if config.server.public_url.is_empty() {
                let message = "server.public_url is empty, so Twilio's signatures are checked against the Host header; set it";
                self.note("server.public_url", message);
            }
        }
        for (whole, half, given, other) in [
            ("gateways.twilio.api_key", "gateways.twilio.api_secret", !twilio.api_key.is_empty(), given(&twilio.api_secret)),
            ("gateways.twilio.api_secret", "gateways.twilio.api_key", given(&twilio.api_secret), !twilio.api_key.is_empty()),
        ] {
            if given && !other {
                self.note(whole, format!("{half} is missing, so the auth token is used to send"));
            }
        }
        if account && !twilio.account_sid.starts_with("AC") {
            let remedy = "copy the Account SID from the Twilio console; SK… is an API key's";
            self.problem("gateways.twilio.account_sid", "does not begin with AC", remedy);
        }
        let number = twilio.phone_number.trim_start_matches('+');
        if !number.is_empty() && (!number.bytes().all(|byte| byte.is_ascii_digit()) || !(3..=15).contains(&number.len())) {
            self.problem(
                "gateways.twilio.phone_number",
                "is no number as Twilio writes it",
                "write + and digits only, such as +15551234567",
            );
        }
        if http_url(&twilio.api_base).is_none() {
            self.problem("gateways.twilio.api_base", "is no http or https URL", "leave it out to use Twilio's own");
        }
    }

    /// A secret that some layer sets opens a door, so it must be hard to guess; one that none sets keeps the door closed.
    fn strengths(&mut self, config: &Config) {
        const MAKE: &str = "make a good one with: openssl rand -hex 32 (or remove the setting to keep this door closed)";
        const COPY: &str = "copy it from the Twilio console, Account > API keys & tokens (or remove the setting to keep this door closed)";
        let twilio = &config.gateways.twilio;
        for (key, secret, remedy) in [
            ("external_api.key", &config.external_api.key, MAKE),
            ("auth.jwt_secret", &config.auth.jwt_secret, MAKE),
            ("gateways.twilio.auth_token", &twilio.auth_token, COPY),
            ("gateways.twilio.auth_token_secondary", &twilio.auth_token_secondary, COPY),
            ("gateways.twilio.api_secret", &twilio.api_secret, COPY),
        ] {
            if self.draft.provenance.is_set(key)
                && let Some(weakness) = weakness(secret.expose_secret())
            {
                self.problem(key, weakness, remedy);
            }
        }
    }
}

/// Whether text is scheme, host and port, and nothing after: paths are ours to add.
fn origin_only(text: &str) -> Result<(), &'static str> {
    let url = http_url(text).ok_or("is no http or https URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or password");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("has a path or a query");
    }
    Ok(())
}

fn http_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && text.trim() == text)
}

/// An address, or an address and the number of its bits that count.
fn is_network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    match (address.parse::<IpAddr>(), bits) {
        (Ok(_), None) => true,
        (Ok(address), Some(bits)) => bits.parse::<u8>().is_ok_and(|bits| bits <= if address.is_ipv4() { 32 } else { 128 }),
        (Err(_), _) => false,
    }
}
