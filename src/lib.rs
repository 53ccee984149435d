//! Scrubjay: text a phone number, talk to an assistant that remembers you.
//!
//! Read the modules in this order: [`domain`] says what things are and which rules hold among them; [`store`], [`gateway`]
//! and [`model`] are the three ports; `service` holds the use cases.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod gateway;
pub mod http;
pub mod http_client;
pub mod lifecycle;
pub mod model;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod worker;
