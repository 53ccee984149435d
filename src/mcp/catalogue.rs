//! Which tools and resources there are, over all sets, in MCP's shapes.

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::model::{Resource, ResourceTemplate, Tool, ToolAnnotations};
use serde_json::Value;

use crate::domain::token::{Grants, Scope};
use crate::service::tools::{ResourceDefinition, ToolContext, ToolDefinition, ToolHints, ToolSet};
use crate::store::StoreResult;

/// What a resource's text is.
pub(super) const JSON: &str = "application/json";

/// Tool sets that are served together.
pub struct Catalogue {
    sets: Vec<Listed>,
}

/// A set, and its tools as they were last listed. Definitions are shared, so whether they changed is one comparison of addresses.
struct Listed {
    set: Arc<dyn ToolSet>,
    shapes: Mutex<Option<Shapes>>,
}

struct Shapes {
    of: Arc<Vec<ToolDefinition>>,
    tools: Arc<Vec<Tool>>,
}

/// A tool that was found by its name.
pub(super) struct Found {
    pub(super) set: Arc<dyn ToolSet>,
    pub(super) hints: ToolHints,
}

impl Catalogue {
    /// Over these sets. Where two had a tool of one name, the first would be called: names are unique, and a test holds that.
    #[must_use]
    pub fn new(sets: Vec<Arc<dyn ToolSet>>) -> Self {
        Self { sets: sets.into_iter().map(|set| Listed { set, shapes: Mutex::default() }).collect() }
    }

    /// The sets of that name alone.
    #[must_use]
    pub fn only(&self, name: &str) -> Self {
        let named = self.sets.iter().map(|listed| &listed.set).filter(|set| set.name() == name);
        Self::new(named.cloned().collect())
    }

    /// Whether a set of that name is among them.
    pub(super) fn has(&self, name: &str) -> bool {
        self.sets.iter().any(|listed| listed.set.name() == name)
    }

    /// Whether anything can be read by URI.
    pub(super) fn has_resources(&self) -> bool {
        self.sets.iter().any(|listed| !listed.set.resources().is_empty())
    }

    /// The tools that these grants allow.
    pub(super) async fn tools(&self, context: &ToolContext, grants: &Grants) -> Vec<Tool> {
        let mut tools = Vec::new();
        for listed in &self.sets {
            let definitions = listed.set.definitions(context).await;
            let shapes = listed.shapes(&definitions);
            let allowed = definitions.iter().zip(shapes.iter()).filter(|(definition, _)| grants.include(scope_of(definition.hints)));
            tools.extend(allowed.map(|(_, tool)| tool.clone()));
        }
        tools
    }

    /// The tool of that name.
    pub(super) async fn find(&self, context: &ToolContext, name: &str) -> Option<Found> {
        for listed in &self.sets {
            let definitions = listed.set.definitions(context).await;
            if let Some(definition) = definitions.iter().find(|definition| definition.name == name) {
                return Some(Found { set: Arc::clone(&listed.set), hints: definition.hints });
            }
        }
        None
    }

    /// What can be read as it stands.
    pub(super) fn resources(&self) -> Vec<Resource> {
        let plain = self.definitions().filter(|definition| !is_template(definition.uri));
        plain
            .map(|definition| Resource::new(definition.uri, definition.name).with_description(definition.description).with_mime_type(JSON))
            .collect()
    }

    /// What can be read once its name is filled in.
    pub(super) fn templates(&self) -> Vec<ResourceTemplate> {
        let templates = self.definitions().filter(|definition| is_template(definition.uri));
        templates
            .map(|definition| {
                ResourceTemplate::new(definition.uri, definition.name).with_description(definition.description).with_mime_type(JSON)
            })
            .collect()
    }

    /// Reads a resource of that person; `None` when there is none of that URI.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Unavailable`].
    pub(super) async fn read(&self, context: &ToolContext, uri: &str) -> StoreResult<Option<Value>> {
        for listed in &self.sets {
            if listed.set.resources().iter().any(|definition| fits(definition.uri, uri))
                && let Some(value) = listed.set.read_resource(context, uri).await?
            {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn definitions(&self) -> impl Iterator<Item = &'static ResourceDefinition> {
        self.sets.iter().flat_map(|listed| listed.set.resources())
    }
}

impl Listed {
    fn shapes(&self, definitions: &Arc<Vec<ToolDefinition>>) -> Arc<Vec<Tool>> {
        let mut kept = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.as_ref() {
            Some(shapes) if Arc::ptr_eq(&shapes.of, definitions) => Arc::clone(&shapes.tools),
            _ => {
                let tools = Arc::new(definitions.iter().map(shape).collect());
                *kept = Some(Shapes { of: Arc::clone(definitions), tools: Arc::clone(&tools) });
                tools
            }
        }
    }
}

/// What a token must include for a tool to be called with it.
pub(super) const fn scope_of(hints: ToolHints) -> Scope {
    if hints.read_only { Scope::Read } else { Scope::Write }
}

fn shape(definition: &ToolDefinition) -> Tool {
    let ToolHints { read_only, destructive, idempotent, open_world } = definition.hints;
    let annotations = ToolAnnotations::new().read_only(read_only).open_world(open_world);
    // The other two say something of tools that change things only.
    let annotations = if read_only { annotations } else { annotations.destructive(destructive).idempotent(idempotent) };
    let mut tool = Tool::new(definition.name.clone(), definition.description.clone(), Arc::clone(&definition.input_schema));
    tool.title = Some(definition.title.clone());
    tool.output_schema.clone_from(&definition.output_schema);
    tool.annotations = Some(annotations);
    tool
}

fn is_template(uri: &str) -> bool {
    uri.contains('{')
}

/// Whether a URI is the one defined, or what is defined with something filled in for the name at its end.
fn fits(defined: &str, uri: &str) -> bool {
    match defined.split_once('{') {
        None => defined == uri,
        Some((beginning, _name)) => uri.strip_prefix(beginning).is_some_and(|name| !name.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_fits_with_its_name_filled_in_and_a_plain_uri_only_itself() {
        assert!(fits("memory://graph", "memory://graph"));
        assert!(fits("memory://entity/{name}", "memory://entity/Ada%20Lovelace"));
        for (defined, uri) in [
            ("memory://graph", "memory://graph/"),
            ("memory://graph", "memory://graphs"),
            ("memory://entity/{name}", "memory://entity/"),
            ("memory://entity/{name}", "memory://entity"),
            ("memory://entity/{name}", "todo://entity/x"),
        ] {
            assert!(!fits(defined, uri), "{uri} was taken for {defined}");
        }
    }
}
