//! The tool sets of this process, and what of them an agent is offered in a turn.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::prompt::data::tame;
use super::tools::{ToolContext, ToolDefinition, ToolSet};
use crate::model::{PromptMessage, Speaker, ToolSpec};

/// A set's definitions, and the same as models are told.
type Told = (Arc<Vec<ToolDefinition>>, Arc<Vec<ToolSpec>>);

/// Every tool set there is: our own, and outside servers.
pub struct Toolbox {
    sets: Vec<Arc<dyn ToolSet>>,
    /// By set: what was told last. Definitions seldom change, and their schemas take time to rewrite.
    told: Mutex<HashMap<String, Told>>,
}

/// What an agent may call in a turn.
pub(super) struct Offer {
    tools: Vec<OfferedTool>,
    /// The same as the model is told.
    pub(super) specs: Arc<[ToolSpec]>,
    /// What sets say of themselves, by their names.
    instructions: Vec<(String, String)>,
}

/// A tool that may be called.
pub(super) struct OfferedTool {
    pub(super) set: Arc<dyn ToolSet>,
    definitions: Arc<Vec<ToolDefinition>>,
    at: usize,
}

impl OfferedTool {
    pub(super) fn definition(&self) -> Option<&ToolDefinition> {
        self.definitions.get(self.at)
    }
}

impl Offer {
    /// Nothing.
    pub(super) fn none() -> Self {
        Self { tools: Vec::new(), specs: Arc::default(), instructions: Vec::new() }
    }

    /// The tool of that name.
    pub(super) fn find(&self, name: &str) -> Option<(&OfferedTool, &ToolDefinition)> {
        self.tools
            .iter()
            .find_map(|tool| tool.definition().filter(|definition| definition.name == name).map(|definition| (tool, definition)))
    }

    /// Tells the model what sets say of themselves, behind the rest of the system text. The words are an outside server's, so they
    /// stand between marks that they cannot write.
    pub(super) fn tell(&self, messages: &mut Vec<PromptMessage>) {
        let mut told = String::new();
        for (set, text) in &self.instructions {
            let (set, text) = (tame(set), tame(text));
            let _infallible =
                write!(told, "--- what the tool server {set} says of its tools ---\n{}\n--- end of {set} ---\n\n", text.trim());
        }
        let told = told.trim_end();
        match messages.first_mut().filter(|first| first.role == Speaker::System) {
            _ if told.is_empty() => {}
            Some(system) => {
                system.content.push_str("\n\n");
                system.content.push_str(told);
            }
            None => messages.insert(0, PromptMessage { role: Speaker::System, content: told.to_owned() }),
        }
    }

    /// The names of all, joined; for a model that asked for another.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.tools.iter().filter_map(|tool| tool.definition()).map(|definition| definition.name.as_str()).collect();
        names.join(", ")
    }
}

impl Toolbox {
    /// Over these sets. Where two have one name, the first counts.
    #[must_use]
    pub fn new(sets: Vec<Arc<dyn ToolSet>>) -> Self {
        Self { sets, told: Mutex::default() }
    }

    /// The names of the sets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sets.iter().map(|set| set.name())
    }

    /// What the sets of these names offer a person, asked all at once. A set that does not say so within `limit` offers nothing.
    pub(super) async fn offer(&self, names: &[String], context: &ToolContext, limit: Duration) -> Offer {
        let chosen = names.iter().filter_map(|name| self.sets.iter().find(|set| set.name() == name));
        let asked = chosen.map(|set| async move {
            let says = async { (set.definitions(context).await, set.instructions(context).await) };
            let said = tokio::time::timeout(limit, says).await;
            if said.is_err() {
                tracing::warn!(set = set.name(), "a tool set did not say what it offers in time; this turn goes on without it");
            }
            Some((set, said.ok()?))
        });
        let mut offer = (Vec::new(), Vec::new());
        let (mut known, mut says) = (HashSet::new(), Vec::new());
        for (set, (definitions, instructions)) in futures::future::join_all(asked).await.into_iter().flatten() {
            says.extend(instructions.map(|text| (set.name().to_owned(), text)));
            let specs = self.specs(set.name(), &definitions);
            for (at, (definition, spec)) in definitions.iter().zip(specs.iter()).enumerate() {
                if !is_name(&definition.name) || !known.insert(definition.name.clone()) {
                    tracing::warn!(set = set.name(), "a tool whose name is taken or cannot be told to a model is not offered");
                    continue;
                }
                offer.0.push(OfferedTool { set: Arc::clone(set), definitions: Arc::clone(&definitions), at });
                offer.1.push(spec.clone());
            }
        }
        Offer { tools: offer.0, specs: offer.1.into(), instructions: says }
    }

    fn specs(&self, set: &str, definitions: &Arc<Vec<ToolDefinition>>) -> Arc<Vec<ToolSpec>> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, specs)) = told.get(set).filter(|(known, _)| Arc::ptr_eq(known, definitions)) {
            return Arc::clone(specs);
        }
        let spec = |tool: &ToolDefinition| ToolSpec::new(tool.name.as_str(), tool.description.as_str(), &tool.input_schema);
        let specs = Arc::new(definitions.iter().map(spec).collect::<Vec<_>>());
        told.insert(set.to_owned(), (Arc::clone(definitions), Arc::clone(&specs)));
        specs
    }
}

/// Whether every server takes it as a tool's name.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
