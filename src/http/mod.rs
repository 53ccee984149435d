//! The doors: carriers' webhooks, the external message API, the live stream, people's own data, health and figures.
//!
//! Nothing here decides anything about people or turns, and nothing reads or writes data but through `service`. What comes in
//! is checked and turned into domain types here; what goes out is turned into [`shapes`]. Start with [`routes`], the one list
//! of doors, from which both the router and the `OpenAPI` document are made.

mod address;
mod auth;
mod body;
mod health;
mod in_time;
mod live;
mod me;
mod messages;
mod openapi;
mod owner;
mod problem;
mod progress;
mod query;
mod refused;
mod routes;
mod segment;
mod serve;
pub mod shapes;
pub mod simulator;
mod state;
mod threads;
mod webhook;

pub use address::InvalidProxy;
pub use health::describe_metrics;
pub use openapi::document;
pub use problem::ProblemKind;
pub use routes::{RouteName, list_routes, router};
pub use serve::serve;
pub use state::{HttpParts, HttpState};
