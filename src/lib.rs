//! Scrubjay: text a phone number, talk to an assistant that remembers you.
//!
//! A tour, in reading order; `ARCHITECTURE.md` has the rules among the modules and three walkthroughs.
//!
//! 1. [`domain`] says what things are and which rules hold among them: numbers, turns, deliveries, credits. It does no I/O.
//! 2. [`store`], [`gateway`] and [`model`] are the three ports: where data rests, carriers, language models. Their adapters are
//!    private.
//! 3. [`service`] holds the use cases, in the order in which a text meets them: it is received, replied to, delivered.
//! 4. [`toolset`] offers the services as tools, to our agents and to MCP clients.
//! 5. [`worker`] leases what is due and hands it to a service; [`http`] is the doors, [`mcp`] those of MCP clients.
//! 6. [`app`] joins all of it, and is the only module that does.
//! 7. [`cli`] is the commands, one file each; the executable calls [`cli::run`] and nothing else.
//!
//! Around them: [`config`] (settings, with the place of each value), [`clock`] (the only source of time and ids), [`lifecycle`]
//! (signals), [`telemetry`] (logs and figures), [`http_client`] (how outgoing requests begin),
//! `http_body` (how incoming ones are read).

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod gateway;
pub mod http;
mod http_body;
pub mod http_client;
pub mod lifecycle;
pub mod mcp;
pub mod model;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod toolset;
pub mod worker;
