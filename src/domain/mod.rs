//! What the system is about: valid values and the rules among them.
//!
//! Everything here is pure: no I/O, no clock, no randomness, no other module of ours. A value that exists is valid;
//! text from outside becomes one of these types at the edge or is refused there. Start with [`phone`], [`message`]
//! and [`turn`].

pub mod consent;
pub mod conversation;
pub mod delivery;
pub mod endpoint;
pub mod graph;
pub mod graph_rank;
pub mod graph_text;
pub mod ids;
pub mod job;
pub mod ledger;
pub mod message;
pub mod phone;
pub mod quiet_hours;
pub mod schedule;
pub mod segment;
pub mod step;
pub mod text;
pub mod time;
pub mod todo;
pub mod token;
pub mod turn;
pub mod user;
