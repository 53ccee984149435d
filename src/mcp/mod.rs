//! The protocol: tool sets, their resources and two prompts as an MCP server, over HTTP and over standard input and output.
//!
//! What is served is a list of [`crate::service::tools::ToolSet`], the same objects that agents call. Nothing here knows what a tool
//! does, nothing here opens a store, and the person is never read from a message: over HTTP they come from the bearer token
//! ([`identity`]), over stdio from whoever started the process. Start with [`server`].
//!
//! Over HTTP every request stands alone: no session is made, since one would not be bound to a person.

mod catalogue;
mod hosts;
pub mod http;
mod identity;
mod lines;
mod messages;
mod pace;
mod prompts;
mod server;
pub mod stdio;

pub use catalogue::Catalogue;
