//! Names of the collections.

use serde::{Deserialize, Serialize};

use crate::config::sections::MongoDb;

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
    /// Processes that have the database open.
    Processes,
    /// Knowledge graphs; beside them lie the documents of an earlier plan, which have other fields.
    Memory,
    /// Todo lists; likewise.
    Todos,
    /// Schedules.
    Schedules,
    /// Bearer tokens.
    Tokens,
    /// Keys under which numbers are hashed.
    HashKeys,
    /// The words of numbers whose people were erased, by the numbers' hashes.
    ErasedConsents,
}

/// The names of a database's collections.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
    memory: String,
    todos: String,
}

impl Names {
    /// Names as the settings have them: those of memory and list, and the prefix of our others.
    pub(super) fn new(settings: &MongoDb) -> Self {
        Self {
            prefix: settings.collection_prefix.clone(),
            memory: settings.memory_collection.clone(),
            todos: settings.todo_collection.clone(),
        }
    }

    /// Names that begin with that prefix.
    #[cfg(test)]
    pub(super) fn with_prefix(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), memory: "mcp_memory".to_owned(), todos: "mcp_todoodles".to_owned() }
    }

    /// The name of a collection.
    pub(super) fn of(&self, place: Place) -> String {
        let own = match place {
            Place::Users => return "users".to_owned(),
            Place::Conversations => return "conversations".to_owned(),
            Place::Messages => return "messages".to_owned(),
            Place::Balances => return "balances".to_owned(),
            Place::Memory => return self.memory.clone(),
            Place::Todos => return self.todos.clone(),
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
            Place::Processes => "processes",
            Place::Schedules => "schedules",
            Place::Tokens => "tokens",
            Place::HashKeys => "hash_keys",
            Place::ErasedConsents => "erased_consents",
        };
        format!("{}{own}", self.prefix)
    }
}
