//! Which models there are, and which of them answers a turn.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::config::sections::{Agents, EndpointKind, EndpointSettings, Endpoints};
use crate::domain::conversation::Choice;
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::AgentId;
use crate::domain::ledger::Prices;
use crate::domain::text::beginning;
use crate::domain::user::Preferences;

use super::Model;
use super::demo::Demo;
use super::openai::OpenAi;

/// The configured endpoints and agents, opened once at start.
pub struct Models {
    default: Endpoint,
    endpoints: BTreeMap<Endpoint, Opened>,
    agents: BTreeMap<AgentId, Agent>,
    default_agent: Option<AgentId>,
}

struct Opened {
    model: Arc<dyn Model>,
    /// Names that may be chosen; empty allows any.
    allowed: Vec<String>,
    default_model: String,
    prices: Prices,
    max_tokens: u32,
    takes_tools: bool,
}

struct Agent {
    name: Arc<str>,
    instructions: Arc<str>,
    endpoint: Endpoint,
    model: String,
    parameters: Arc<Map<String, Value>>,
    tools: Arc<AgentTools>,
}

/// Settings that no model can be opened with; names the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ModelsError(String);

/// A choice that cannot be met. The text says what is configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No such endpoint.
    #[error("endpoint {name} is not configured; configured are {configured}")]
    UnknownEndpoint {
        /// What was asked for.
        name: Endpoint,
        /// What there is, joined.
        configured: String,
    },
    /// The endpoint does not offer that model.
    #[error("endpoint {endpoint} does not offer the model {model:?}; it offers {configured}")]
    UnknownModel {
        /// The endpoint that would answer.
        endpoint: Endpoint,
        /// What was asked for, at most 100 characters of it.
        model: String,
        /// What there is, joined.
        configured: String,
    },
    /// No such agent.
    #[error("agent {id} is not configured; configured are {configured}")]
    UnknownAgent {
        /// What was asked for.
        id: AgentId,
        /// What there is, joined.
        configured: String,
    },
    /// The endpoint `agents` was chosen, and nobody said which agent.
    #[error("agent_id required for agent endpoint; configured are {configured}")]
    AgentRequired {
        /// What there is, joined.
        configured: String,
    },
}

/// An agent as a turn needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedAgent {
    /// Its id.
    pub id: AgentId,
    /// Its name, for people.
    pub name: Arc<str>,
    /// What it is told after the system text; may be empty.
    pub instructions: Arc<str>,
    /// Parameters of its requests.
    pub parameters: Arc<Map<String, Value>>,
    /// What it may use; `None` where its endpoint takes no tools.
    pub tools: Option<Arc<AgentTools>>,
}

/// What an agent may use, and within which limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentTools {
    /// Tool sets by name, our own first, then outside servers.
    pub sets: Vec<String>,
    /// Answers of the model that ask for tools, at most, in one turn.
    pub max_steps: u32,
    /// Calls of one step that are made at the same time, at most; from 1.
    pub parallel: usize,
    /// How long one call may take.
    pub call: Duration,
    /// How long an attempt may have taken when another step begins.
    pub turn: Duration,
    /// Characters of a result that the model gets.
    pub output_characters: usize,
}

/// Where and with what a turn is answered.
#[derive(Clone)]
pub struct Resolved {
    /// The endpoint as it is stored with the message: `agents` for an agent's turn.
    pub endpoint: Endpoint,
    /// The endpoint whose server answers: the agent's own, else the same as `endpoint`.
    pub served_by: Endpoint,
    /// The model's name there.
    pub model: String,
    /// The agent, when `endpoint` is `agents`.
    pub agent: Option<ResolvedAgent>,
    /// The service at `served_by`.
    pub service: Arc<dyn Model>,
    /// What its tokens and a segment cost.
    pub prices: Prices,
    /// Tokens that an answer may take, for a reservation.
    pub max_tokens: u32,
    /// Stored choices that can no longer be met and were passed over. Worth a warning: somebody changed the configuration.
    pub passed_over: Vec<ResolveError>,
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved")
            .field("endpoint", &self.endpoint)
            .field("served_by", &self.served_by)
            .field("model", &self.model)
            .field("agent", &self.agent.as_ref().map(|agent| &agent.id))
            .field("passed_over", &self.passed_over)
            .finish_non_exhaustive()
    }
}

impl Models {
    /// Opens each configured endpoint. Nothing is connected to yet.
    ///
    /// # Errors
    /// The first setting that cannot be used, by key.
    pub fn open(endpoints: &Endpoints, agents: &Agents, segment_credits: i64) -> Result<Self, ModelsError> {
        let mut opened = BTreeMap::new();
        for (name, settings) in &endpoints.named {
            let name = Endpoint::parse(name).map_err(|error| ModelsError(format!("endpoints.{name}: {error}")))?;
            if name.is_agents() {
                return Err(ModelsError(
                    "endpoints.agents cannot be configured: it is where agents answer; write [agents.agent_NAME]".to_owned(),
                ));
            }
            let entry = Opened::open(&name, settings, segment_credits)?;
            if opened.insert(name.clone(), entry).is_some() {
                return Err(ModelsError(format!("endpoints.{name} is configured twice; names that differ in case only are one")));
            }
        }
        let mut models =
            Self { default: endpoints.default.clone(), endpoints: opened, agents: BTreeMap::new(), default_agent: agents.default.clone() };
        for (id, settings) in &agents.named {
            let Some(entry) = models.endpoints.get(&settings.endpoint) else {
                let configured = models.endpoint_names();
                return Err(ModelsError(format!(
                    "agents.{id}.endpoint {:?} is not configured; configured are {configured}",
                    settings.endpoint.as_str()
                )));
            };
            let model = if settings.model.is_empty() { &entry.default_model } else { &settings.model };
            if !entry.allows(model) {
                let offered = entry.allowed.join(", ");
                return Err(ModelsError(format!(
                    "agents.{id}.model {model:?} is not offered by endpoints.{}; it offers {offered}",
                    settings.endpoint
                )));
            }
            let agent = Agent {
                name: settings.name.as_str().into(),
                instructions: settings.instructions.as_str().into(),
                endpoint: settings.endpoint.clone(),
                model: model.clone(),
                parameters: Arc::new(settings.parameters.clone()),
                tools: Arc::new(AgentTools {
                    sets: settings.tools.iter().chain(&settings.servers).cloned().collect(),
                    max_steps: settings.max_steps.max(1),
                    parallel: settings.parallel.max(1),
                    call: Duration::from_secs(settings.tool_seconds.max(1)),
                    turn: Duration::from_secs(settings.turn_seconds.max(1)),
                    output_characters: settings.tool_output_characters,
                }),
            };
            models.agents.insert(id.clone(), agent);
        }
        if let Some(id) = &models.default_agent
            && !models.agents.contains_key(id)
        {
            return Err(ModelsError(format!(
                "agents.default {:?} is not configured; configured are {}",
                id.as_str(),
                models.agent_names()
            )));
        }
        if !models.default.is_agents() && !models.endpoints.contains_key(&models.default) {
            let configured = models.endpoint_names();
            return Err(ModelsError(format!(
                "endpoints.default {:?} is not configured; configured are {configured}",
                models.default.as_str()
            )));
        }
        Ok(models)
    }

    /// The service of a configured endpoint; `agents` has none of its own.
    #[must_use]
    pub fn get(&self, endpoint: &Endpoint) -> Option<Arc<dyn Model>> {
        self.endpoints.get(endpoint).map(|entry| Arc::clone(&entry.model))
    }

    /// Each configured endpoint with its service, for `doctor`.
    pub fn iter(&self) -> impl Iterator<Item = (&Endpoint, &Arc<dyn Model>)> {
        self.endpoints.iter().map(|(name, entry)| (name, &entry.model))
    }

    /// Whether a name can be chosen as an endpoint: a configured one, or `agents` when there is an agent.
    #[must_use]
    pub fn offers(&self, endpoint: &Endpoint) -> bool {
        if endpoint.is_agents() { !self.agents.is_empty() } else { self.endpoints.contains_key(endpoint) }
    }

    /// Whether an agent is configured.
    #[must_use]
    pub fn has_agent(&self, agent: &AgentId) -> bool {
        self.agents.contains_key(agent)
    }

    /// Decides anew where and with what a turn is answered: what the request says, else the person's preference, else what
    /// was explicitly chosen for the conversation, else the configuration. A model that was chosen for another endpoint is
    /// not carried over to one that does not list it. An agent runs at its own endpoint with its own model.
    ///
    /// A stored choice that the configuration no longer offers is passed over and reported in [`Resolved::passed_over`]: a
    /// person must not lose their answers because an operator renamed an endpoint.
    ///
    /// # Errors
    /// What the request itself asked for and nobody can give; [`ResolveError::AgentRequired`] when `agents` is the default
    /// and no agent is.
    pub fn resolve(&self, request: &Choice, person: &Preferences, conversation: &Choice) -> Result<Resolved, ResolveError> {
        let levels = [
            Level { endpoint: request.endpoint.as_ref(), model: request.model.as_deref(), agent: request.agent_id.as_ref() },
            Level { endpoint: person.endpoint.as_ref(), model: person.default_model.as_deref(), agent: person.agent_id.as_ref() },
            Level { endpoint: conversation.endpoint.as_ref(), model: conversation.model.as_deref(), agent: conversation.agent_id.as_ref() },
        ];
        let mut passed_over = Vec::new();
        for (depth, level) in levels.iter().enumerate() {
            let Some(endpoint) = level.endpoint else { continue };
            match self.at(endpoint, &levels, &mut passed_over) {
                Ok(resolved) => return Ok(Resolved { passed_over, ..resolved }),
                // An unknown model or agent comes as an error only when the request named it.
                Err(error @ (ResolveError::UnknownModel { .. } | ResolveError::UnknownAgent { .. })) => return Err(error),
                Err(error) if depth == 0 => return Err(error),
                Err(error) => passed_over.push(error),
            }
        }
        let resolved = self.at(&self.default, &levels, &mut passed_over)?;
        Ok(Resolved { passed_over, ..resolved })
    }

    fn at(&self, endpoint: &Endpoint, levels: &[Level<'_>; 3], passed_over: &mut Vec<ResolveError>) -> Result<Resolved, ResolveError> {
        if endpoint.is_agents() {
            return self.at_agent(endpoint, levels, passed_over);
        }
        let Some(entry) = self.endpoints.get(endpoint) else {
            return Err(ResolveError::UnknownEndpoint { name: endpoint.clone(), configured: self.endpoint_names() });
        };
        let model = self.model_at(endpoint, entry, levels, passed_over)?;
        Ok(entry.resolved(endpoint.clone(), endpoint.clone(), model, None))
    }

    fn model_at(
        &self,
        endpoint: &Endpoint,
        entry: &Opened,
        levels: &[Level<'_>; 3],
        passed_over: &mut Vec<ResolveError>,
    ) -> Result<String, ResolveError> {
        for (depth, level) in levels.iter().enumerate() {
            let Some(model) = level.model.filter(|model| !model.is_empty()) else { continue };
            // The endpoint that the choice of this model had in mind: the one chosen with it, or that which applied without.
            let meant = levels.iter().skip(depth).find_map(|level| level.endpoint).unwrap_or(&self.default);
            let listed = entry.allowed.iter().any(|allowed| allowed == model);
            if listed || ((depth == 0 || meant == endpoint) && entry.allows(model)) {
                return Ok(model.to_owned());
            }
            if depth == 0 || meant == endpoint {
                let model = beginning(model, 100).to_owned();
                let error = ResolveError::UnknownModel { endpoint: endpoint.clone(), model, configured: entry.allowed.join(", ") };
                if depth == 0 {
                    return Err(error);
                }
                passed_over.push(error);
            }
        }
        Ok(entry.default_model.clone())
    }

    fn at_agent(
        &self,
        endpoint: &Endpoint,
        levels: &[Level<'_>; 3],
        passed_over: &mut Vec<ResolveError>,
    ) -> Result<Resolved, ResolveError> {
        let chosen = levels.iter().map(|level| level.agent).chain([self.default_agent.as_ref()]).enumerate();
        for (depth, id) in chosen.filter_map(|(depth, id)| Some((depth, id?))) {
            let found = self.agents.get(id).and_then(|agent| Some((agent, self.endpoints.get(&agent.endpoint)?)));
            if let Some((agent, entry)) = found {
                let resolved = ResolvedAgent {
                    id: id.clone(),
                    name: Arc::clone(&agent.name),
                    instructions: Arc::clone(&agent.instructions),
                    parameters: Arc::clone(&agent.parameters),
                    tools: Some(Arc::clone(&agent.tools)).filter(|tools| entry.takes_tools && !tools.sets.is_empty()),
                };
                return Ok(entry.resolved(endpoint.clone(), agent.endpoint.clone(), agent.model.clone(), Some(resolved)));
            }
            let error = ResolveError::UnknownAgent { id: id.clone(), configured: self.agent_names() };
            if depth == 0 {
                return Err(error);
            }
            passed_over.push(error);
        }
        Err(ResolveError::AgentRequired { configured: self.agent_names() })
    }

    fn endpoint_names(&self) -> String {
        let agents = (!self.agents.is_empty()).then_some("agents");
        joined(self.endpoints.keys().map(Endpoint::as_str).chain(agents))
    }

    fn agent_names(&self) -> String {
        joined(self.agents.keys().map(AgentId::as_str))
    }
}

/// What one of those in line has chosen.
#[derive(Clone, Copy)]
struct Level<'a> {
    endpoint: Option<&'a Endpoint>,
    model: Option<&'a str>,
    agent: Option<&'a AgentId>,
}

impl Opened {
    fn open(name: &Endpoint, settings: &EndpointSettings, segment_credits: i64) -> Result<Self, ModelsError> {
        if settings.default_model.is_empty() {
            return Err(ModelsError(format!("endpoints.{name}.default_model is empty; name the model that answers there")));
        }
        let mut allowed = settings.models.clone();
        // The default is offered whether or not the list repeats it.
        if !allowed.is_empty() && !allowed.contains(&settings.default_model) {
            allowed.push(settings.default_model.clone());
        }
        let model: Arc<dyn Model> = match settings.kind {
            EndpointKind::OpenAi => Arc::new(OpenAi::open(name, settings).map_err(ModelsError)?),
            EndpointKind::Demo => Arc::new(Demo),
        };
        let prices = Prices {
            prompt_token: settings.prompt_token_credits,
            completion_token: settings.completion_token_credits,
            segment: segment_credits,
        };
        Ok(Self {
            model,
            allowed,
            default_model: settings.default_model.clone(),
            prices,
            max_tokens: settings.max_tokens,
            takes_tools: settings.tools,
        })
    }

    fn allows(&self, model: &str) -> bool {
        self.allowed.is_empty() || self.allowed.iter().any(|allowed| allowed == model)
    }

    fn resolved(&self, endpoint: Endpoint, served_by: Endpoint, model: String, agent: Option<ResolvedAgent>) -> Resolved {
        let service = Arc::clone(&self.model);
        // Where an agent says how long its answers may be, that is what they can cost.
        let given = ["max_completion_tokens", "max_tokens"];
        let parameters = agent.as_ref().map(|agent| &agent.parameters);
        let max_tokens = parameters.and_then(|parameters| given.iter().find_map(|name| parameters.get(*name)?.as_u64()));
        let max_tokens = max_tokens.and_then(|tokens| u32::try_from(tokens).ok()).unwrap_or(self.max_tokens);
        Resolved { endpoint, served_by, model, agent, service, prices: self.prices, max_tokens, passed_over: Vec::new() }
    }
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
