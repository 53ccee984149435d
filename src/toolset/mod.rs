//! Tools without a protocol: each set is a name, definitions and `call(context, name, arguments)`, over the services.
//!
//! The trait is [`crate::service::tools::ToolSet`], since the agent loop works with it. Nothing here knows MCP; `mcp` serves the
//! same sets to outside clients. A tool takes the person from its context and never from its arguments.

mod answers;
pub mod arguments;
pub mod memory;
pub mod outside;
pub mod schedule;
mod schema;
pub mod todo;

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Config;
use crate::service::remember::Memory;
use crate::service::remind::Remind;
use crate::service::todos::Todos;
use crate::service::tools::ToolSet;
use crate::store::SharedStore;

/// What our own sets stand on.
pub struct Parts<'a> {
    /// Where everything rests.
    pub store: &'a SharedStore,
    /// Time and ids.
    pub clock: &'a Clock,
    /// Settings.
    pub config: &'a Arc<Config>,
    /// Planned messages.
    pub remind: &'a Arc<Remind>,
}

/// Our own sets, the same for agents and for MCP clients.
#[must_use]
pub fn all(parts: &Parts<'_>) -> Vec<Arc<dyn ToolSet>> {
    vec![
        Arc::new(memory::MemoryTools::new(Memory::new(Arc::clone(parts.store), &parts.config.memory))),
        Arc::new(todo::TodoTools::new(Todos::configured(Arc::clone(parts.store), parts.clock.clone(), parts.config))),
        Arc::new(schedule::ScheduleTools::new(Arc::clone(parts.remind))),
    ]
}
