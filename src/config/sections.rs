//! What can be set, a struct a section. Units, meanings and defaults stand in `config.toml`, the lowest layer.
//!
//! No field has a default here: a key missing from `config.toml` is an error at start, so the file stays complete. Only
//! secrets without which a door stays closed may be absent: they stand in the file as comments, and are empty text here.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::mcp_servers::McpServers;
use crate::domain::endpoint::Endpoint;
use crate::domain::graph::GraphLimits;
use crate::domain::ids::AgentId;
use crate::domain::phone::{NumberCheck, PhoneRules, UnknownRegion};

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key, and a test holds the two together")]
pub struct Config {
    pub server: Server,
    pub storage: Storage,
    pub backup: Backup,
    pub log: Log,
    pub auth: Auth,
    pub external_api: ExternalApi,
    pub phone: Phone,
    pub people: People,
    pub conversations: Conversations,
    pub prompt: Prompt,
    pub recall: Recall,
    pub summary: Summary,
    pub endpoints: Endpoints,
    pub agents: Agents,
    pub balance: Balance,
    pub limits: Limits,
    pub schedules: Schedules,
    pub sms: Sms,
    pub worker: Worker,
    pub catch_up: CatchUp,
    pub gateways: Gateways,
    pub memory: Memory,
    pub todos: Todos,
    pub mcp: Mcp,
    /// `mcpServers` of the YAML file.
    #[serde(skip)]
    pub mcp_servers: McpServers,
}

/// Declares plain sections: every field public, unknown keys refused.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($field:ident : $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "config.toml documents every key, and a test holds the two together")]
        pub struct $name { $(pub $field: $kind),* }
    };
}

section!(/// `server`: the listening socket and what stands before it.
Server { listen: SocketAddr, public_url: String, trusted_proxies: Vec<String>, acknowledge_seconds: u64, stop_seconds: u64, body_limit_bytes: usize });
section!(/// `storage`: which backend, and where.
Storage { backend: Backend, path: PathBuf, sqlite: Sqlite, json: Json, mongodb: MongoDb });
section!(/// `storage.sqlite`.
Sqlite { readers: usize, cache_mib: u32 });
section!(/// `storage.json`.
Json { path: String });
section!(/// `storage.mongodb`.
MongoDb { uri: SecretString, database: String, memory_collection: String, todo_collection: String, collection_prefix: String, timeout_seconds: u64, connections: u32 });
section!(/// `log`: standard error.
Log { filter: String, format: LogFormat });
section!(/// `auth`: logins of others.
Auth { jwt_secret: SecretString });
section!(/// `external_api`: the JSON door.
ExternalApi { key: SecretString, wait_seconds: u64, deliver: ApiDelivery, messages_per_minute: u32 });
section!(/// `phone`: how numbers are read.
Phone { default_region: String, validation: PhoneValidation });
section!(/// `people`: who is let in, and as whom.
People { email_domain: String, admission: Admission, allow: Vec<String>, time_zone: String });
section!(/// `conversations`: when one is continued, what makes a turn, what a prompt recalls.
Conversations { reuse_days: u32, debounce_ms: u64, debounce_max_ms: u64, history_tokens: usize, history_messages: usize });
section!(/// `prompt`: what a model is told first.
Prompt { system: String });
section!(/// `recall`: what of a person's memory a prompt holds.
Recall { enabled: bool, tokens: usize, facts: usize });
section!(/// `summary`: what is kept of a long conversation's older part.
Summary { enabled: bool, messages: usize, tokens: usize, input_tokens: usize, seconds: u64 });
section!(/// `balance`: credits.
Balance { enabled: bool, start_credits: i64, refill_credits: i64, refill_hours: u32, segment_credits: i64 });
section!(/// `limits`: what holds with and without balance.
Limits { turns_per_day: u32, turns_per_day_all: u32, answers_per_hour: u32, text_characters: usize });
section!(/// `schedules`: planned messages.
Schedules { per_person: u32, minimum_minutes: u32, catch_up_minutes: u32 });
section!(/// `sms`: how a reply is written for a phone.
Sms { segments_per_message: u32, max_messages: u32, transliterate: bool, help_text: String, stop_text: String, start_text: String });
section!(/// `worker`: how much at once, how often again.
Worker { turns: usize, deliveries: usize, attempts: u32, backoff_ms: u64, backoff_max_ms: u64, reply_max_age_hours: u32, poll_ms: u64 });
section!(/// `backup`: archives that the server writes by itself.
Backup { every: u32, keep: usize, path: PathBuf });
section!(/// `catch_up`: texts that never reached us.
CatchUp { minutes: u32, max_age_hours: u32 });
section!(/// `gateways`: the carriers.
Gateways { twilio: Twilio, simulator: Simulator });
section!(/// `gateways.twilio`.
Twilio {
    account_sid: String,
    auth_token: SecretString,
    auth_token_secondary: SecretString,
    api_key: String,
    api_secret: SecretString,
    phone_number: String,
    messaging_service_sid: String,
    api_base: String,
    timeout_seconds: u64,
    lookup_ms: Vec<u64>,
    confirms_consent: bool,
});
section!(/// `gateways.simulator`.
Simulator { enabled: bool });
section!(/// `memory`: what a person's knowledge graph may hold, and how long an answer is.
Memory { name_characters: usize, observation_characters: usize, items_per_call: usize, entities: u64, observations_per_person: u64, relations_per_person: u64, answer_bytes: usize });
section!(/// `todos`: what a list may hold.
Todos { items: usize, text_characters: usize });
section!(/// `mcp`: under which names it is called, and whom the stdio server speaks for.
Mcp { allowed_hosts: Vec<String>, calls_per_minute: u32, user_based: bool, user_id: String });

impl Backup {
    /// The folder of the archives.
    #[must_use]
    pub fn folder(&self, storage: &Storage) -> PathBuf {
        if self.path.as_os_str().is_empty() { storage.path.join("backups") } else { self.path.clone() }
    }
}

impl Memory {
    /// The same as the domain reads it.
    #[must_use]
    pub fn limits(&self) -> GraphLimits {
        GraphLimits {
            name_characters: self.name_characters,
            observation_characters: self.observation_characters,
            items: self.items_per_call,
            entities: i64::try_from(self.entities).unwrap_or(i64::MAX),
            observations: i64::try_from(self.observations_per_person).unwrap_or(i64::MAX),
            relations: i64::try_from(self.relations_per_person).unwrap_or(i64::MAX),
        }
    }
}

impl Twilio {
    /// Whether the settings open it: with an account and its token.
    #[must_use]
    pub fn opens(&self) -> bool {
        !self.account_sid.is_empty() && !self.auth_token.expose_secret().is_empty()
    }
}

impl Gateways {
    /// Whether the settings open a gateway.
    #[must_use]
    pub fn any_open(&self) -> bool {
        self.twilio.opens() || self.simulator.enabled
    }

    /// Takes away what opens a real carrier, so that only the simulator is left.
    pub fn close_carriers(&mut self) {
        self.twilio.account_sid.clear();
        self.twilio.auth_token = SecretString::default();
        self.twilio.auth_token_secondary = SecretString::default();
    }
}

/// `endpoints`: the default, and each endpoint by name.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// Where messages are answered unless something chose another.
    pub default: Endpoint,
    /// Each configured endpoint.
    pub named: BTreeMap<String, EndpointSettings>,
}

section!(/// `endpoints.NAME`.
EndpointSettings {
    kind: EndpointKind,
    base_url: String,
    api_key: SecretString,
    models: Vec<String>,
    default_model: String,
    add_params: Map<String, Value>,
    drop_params: Vec<String>,
    tools: bool,
    max_tokens: u32,
    connect_seconds: u64,
    first_token_seconds: u64,
    idle_seconds: u64,
    total_seconds: u64,
    retries: u32,
    prompt_token_credits: f64,
    completion_token_credits: f64,
});

/// `agents`: the default, and each agent by its id.
#[derive(Debug, Clone)]
pub struct Agents {
    /// The agent when none was chosen.
    pub default: Option<AgentId>,
    /// Each configured agent.
    pub named: BTreeMap<AgentId, AgentSettings>,
}

section!(/// `agents.AGENT_ID`.
AgentSettings {
    name: String,
    instructions: String,
    endpoint: Endpoint,
    model: String,
    parameters: Map<String, Value>,
    tools: Vec<String>,
    servers: Vec<String>,
    max_steps: u32,
    parallel: usize,
    tool_seconds: u64,
    turn_seconds: u64,
    tool_output_characters: usize,
});

/// Declares a setting that is one of a few words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$variant_doc])* $variant),* }
    };
}

words!(/// Where data rests.
Backend {
    /// One file.
    Sqlite,
    /// A folder of readable files.
    Json,
    /// A MongoDB server.
    MongoDb,
});
impl Backend {
    /// Its name, as it is set.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Json => "json",
            Self::MongoDb => "mongodb",
        }
    }
}

words!(/// How log lines are written.
LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
});
words!(/// Whether an API reply is texted as well.
ApiDelivery {
    /// In the answer only.
    None,
    /// Texted too.
    Sms,
});
words!(/// Which numbers are numbers.
PhoneValidation {
    /// Any of the right length.
    E164,
    /// Those that a number plan gives out.
    Valid,
});
words!(/// Who is answered.
Admission {
    /// Whoever texts.
    Open,
    /// The listed numbers.
    Allowlist,
});
words!(/// What answers at an endpoint.
EndpointKind {
    /// A server that speaks OpenAI's protocol.
    OpenAi,
    /// The built-in offline model.
    Demo,
});

impl Phone {
    /// The same as the domain reads it.
    ///
    /// # Errors
    /// When `default_region` is no region.
    pub fn rules(&self) -> Result<PhoneRules, UnknownRegion> {
        let check = match self.validation {
            PhoneValidation::E164 => NumberCheck::E164,
            PhoneValidation::Valid => NumberCheck::Valid,
        };
        PhoneRules::new(&self.default_region, check)
    }
}

/// Reads a section of one `default` and any number of named sections. `#[serde(flatten)]` would do it in a line, but it
/// reads values before it knows their types: text from a variable would be no number, and an error would have no key.
fn default_and_named<'de, D, T, N, S>(deserializer: D, expected: &'static str) -> Result<(T, BTreeMap<N, S>), D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
    N: Ord + std::str::FromStr<Err: fmt::Display>,
    S: Deserialize<'de>,
{
    struct Section<T, N, S>(&'static str, std::marker::PhantomData<(T, N, S)>);

    impl<'de, T, N, S> Visitor<'de> for Section<T, N, S>
    where
        T: Deserialize<'de>,
        N: Ord + std::str::FromStr<Err: fmt::Display>,
        S: Deserialize<'de>,
    {
        type Value = (T, BTreeMap<N, S>);

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut default = None;
            let mut named = BTreeMap::new();
            while let Some(name) = map.next_key::<String>()? {
                if name == "default" {
                    default = Some(map.next_value()?);
                } else {
                    named.insert(name.parse().map_err(A::Error::custom)?, map.next_value()?);
                }
            }
            Ok((default.ok_or_else(|| A::Error::missing_field("default"))?, named))
        }
    }

    deserializer.deserialize_map(Section(expected, std::marker::PhantomData))
}

impl<'de> Deserialize<'de> for Endpoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (default, named) = default_and_named(deserializer, "endpoints by name")?;
        Ok(Self { default, named })
    }
}

impl<'de> Deserialize<'de> for Agents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (MaybeAgent(default), named) = default_and_named(deserializer, "agents by id")?;
        Ok(Self { default, named })
    }
}

/// An agent's id, where empty text means none.
struct MaybeAgent(Option<AgentId>);

impl<'de> Deserialize<'de> for MaybeAgent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() { Ok(Self(None)) } else { text.parse().map(|id| Self(Some(id))).map_err(D::Error::custom) }
    }
}
