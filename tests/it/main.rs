//! The one integration-test binary: whatever is checked from outside a module stands here, because each further binary
//! would link the whole program again. `house` fails when a file below this folder is listed nowhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and what it measured is printed"
)]

#[macro_use]
mod backends;
mod cli;
mod contract;
mod e2e;
mod house;
mod http_bad_input;
mod http_binary;
mod http_document;
mod http_home;
mod http_isolation;
mod http_messages;
mod http_owner;
mod http_routes;
mod http_scopes;
mod http_webhook;
mod mcp;
mod memory_tools;
#[cfg(feature = "mongodb")]
mod mongodb;
#[cfg(feature = "mongodb")]
mod mongodb_units;
mod outside;
mod papers;
mod schedule_tools;
mod service;
mod support;
mod todo_tools;
