//! Names of the collections.

use serde::{Deserialize, Serialize};

/// A collection that units write to. LibreChat's have LibreChat's names, ours begin with a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Place {
    /// People, as LibreChat has them.
    Users,
    /// Conversations, as LibreChat has them.
    Conversations,
    /// Messages, as LibreChat has them.
    Messages,
    /// Credits, as LibreChat has them.
    Balances,
    /// A document a person, with everything that a unit decides by.
    Heads,
    /// Staged writes that are too large for a head.
    Units,
    /// Turns that are over or dead.
    Turns,
    /// Outgoing messages that a carrier has, or that are withdrawn or dead.
    Outbox,
    /// By what a repeat is recognised.
    Receipts,
    /// What a carrier said of messages that it had not answered for yet.
    Reports,
    /// Summaries of long conversations.
    Summaries,
    /// The word of each number on being texted.
    Consents,
    /// Turns that began on a day, for everybody together.
    Days,
    /// Moments kept under a name.
    Marks,
    /// What says that this is our data, and of which version.
    Meta,
}

/// The names of a database's collections.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    /// Names that begin with that prefix, LibreChat's excepted.
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The name of a collection.
    pub(super) fn of(&self, place: Place) -> String {
        let own = match place {
            Place::Users => return "users".to_owned(),
            Place::Conversations => return "conversations".to_owned(),
            Place::Messages => return "messages".to_owned(),
            Place::Balances => return "balances".to_owned(),
            Place::Heads => "heads",
            Place::Units => "units",
            Place::Turns => "turns",
            Place::Outbox => "outbox",
            Place::Receipts => "receipts",
            Place::Reports => "reports",
            Place::Summaries => "summaries",
            Place::Consents => "consents",
            Place::Days => "days",
            Place::Marks => "marks",
            Place::Meta => "meta",
        };
        format!("{}{own}", self.prefix)
    }
}
