//! Tools without a protocol: each set is a name, definitions and `call(context, name, arguments)`, over the services.
//!
//! The trait is [`crate::service::tools::ToolSet`], since the agent loop works with it. Nothing here knows MCP; `mcp` serves the
//! same sets to outside clients. A tool takes the person from its context and never from its arguments.

pub mod arguments;
mod schema;
