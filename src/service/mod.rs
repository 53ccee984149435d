//! Use cases, one file each, in the order in which a text meets them: it is [`receive`]d, [`reply`]ed to and [`deliver`]ed;
//! [`watch`] lets others look on. What nobody texted comes from [`remind`].
//!
//! Nothing here names a backend, a carrier, a web framework or a command line: only the ports.

pub mod access;
mod agent;
pub mod archives;
mod backoff;
pub mod backups;
pub mod catch_up;
pub mod compose;
pub mod conversations;
pub mod deliver;
pub mod erase;
mod fixed_answers;
pub mod health;
pub mod jobs;
pub mod kept;
pub mod onlookers;
mod outgoing;
pub mod people;
pub mod plan_files;
pub mod prompt;
pub mod recall;
pub mod receive;
pub mod remember;
pub mod remind;
pub mod reply;
mod speech;
mod steps;
pub mod summarise;
pub mod todos;
pub mod tokens;
pub mod toolbox;
pub mod tools;
mod wallet;
pub mod watch;
pub mod words;
