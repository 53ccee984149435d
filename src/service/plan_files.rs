//! Files of the earlier memory and todo servers: `users/<id>/data.json`, a person's graph or list each.
//!
//! A file holds the data as they are, or wrapped (`{"data": …}`, as a document of a database would). They are read and never
//! written; which were taken in is remembered by their content, so that what people deleted since does not come back.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::people::{AccountName, People, UserName};
use crate::clock::Clock;
use crate::domain::graph::{GraphLimits, NewEntity, Relation};
use crate::domain::ids::UserId;
use crate::domain::phone::PhoneNumber;
use crate::store::graph_document;
use crate::store::todo_document::Document;
use crate::store::{NewAccount, NewPerson, SharedStore, StoreError};

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum Outcome {
    /// A graph was taken in.
    Graph {
        /// Entities that are new.
        entities: i64,
    },
    /// A todo list was taken in.
    Todos {
        /// Items that are new.
        added: usize,
        /// Items that were there.
        known: usize,
    },
    /// The same content was taken in before.
    Known,
    /// It cannot be taken, and nothing of it was.
    Refused {
        /// Why.
        reason: String,
    },
}

/// A file.
#[derive(Debug, Serialize)]
pub struct PlanFile {
    /// Which.
    pub file: PathBuf,
    /// Whose, where that could be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What a file holds.
enum Content {
    Graph(Vec<NewEntity>, Vec<Relation>),
    Todos(Box<Document>),
}

/// The files in a folder: those of `users/<id>/data.json`, in the order of their names.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let users = if folder.join("users").is_dir() { folder.join("users") } else { folder.to_owned() };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(users)? {
        let file = entry?.path().join("data.json");
        if file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Takes in one file.
///
/// # Errors
/// [`StoreError::Unavailable`]; what is wrong with the file itself is its outcome.
pub async fn take_in(store: &SharedStore, clock: &Clock, email_domain: &str, file: &Path) -> Result<PlanFile, StoreError> {
    let refused = |user: Option<UserId>, reason: String| PlanFile {
        file: file.to_owned(),
        user: user.map(|user| user.to_string()),
        outcome: Outcome::Refused { reason },
    };
    let name = file.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return Ok(refused(None, format!("it could not be read: {error}"))),
    };
    let content = match read(&text, clock) {
        Ok(content) => content,
        Err(reason) => return Ok(refused(None, reason)),
    };
    let mark = mark_of(&name, &text);
    if store.find_mark(&mark).await?.is_some() {
        return Ok(PlanFile { file: file.to_owned(), user: None, outcome: Outcome::Known });
    }
    let Some(user) = person(store, clock, email_domain, &name).await? else {
        return Ok(refused(None, format!("{name:?} is neither an id, nor a number, nor \"default\"")));
    };
    let taken = match content {
        Content::Graph(entities, relations) => {
            // What was stored once is taken, however much it is: limits hold for what comes next.
            store
                .import_graph(user, entities, relations, GraphLimits::NONE)
                .await
                .map(|imported| Outcome::Graph { entities: imported.entities })
        }
        Content::Todos(document) => store
            .import_todos(user, document.items, usize::MAX)
            .await
            .map(|imported| Outcome::Todos { added: imported.added, known: imported.known }),
    };
    match taken {
        Ok(outcome) => {
            store.set_mark(&mark, clock.now()).await?;
            Ok(PlanFile { file: file.to_owned(), user: Some(user.to_string()), outcome })
        }
        Err(StoreError::Conflict { reason }) => Ok(refused(Some(user), reason)),
        Err(error) => Err(error),
    }
}

/// Under which name it is remembered that a content was taken in for somebody.
fn mark_of(name: &str, text: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(name.as_bytes());
    hash.update([0]);
    hash.update(text.as_bytes());
    // Half of it tells any two contents apart.
    format!("plan-file/{:.32}", hex::encode(hash.finalize()))
}

fn read(text: &str, clock: &Clock) -> Result<Content, String> {
    let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| format!("it is damaged: {error}"))?;
    let is_content = |value: &Value| value.is_array() || ["entities", "relations", "todos"].iter().any(|name| value.get(name).is_some());
    let value = match value {
        value if is_content(&value) => value,
        Value::Object(mut wrapped) => wrapped.remove("data").filter(is_content).ok_or("it holds neither a graph nor a todo list")?,
        _ => return Err("it holds neither a graph nor a todo list".to_owned()),
    };
    if value.is_array() || value.get("todos").is_some() {
        let document = Document::read(&value.to_string(), clock.now()).map_err(|error| error.to_string())?;
        return Ok(Content::Todos(Box::new(document)));
    }
    let graph: graph_document::Document = serde_json::from_value(value).map_err(|error| format!("it holds no graph: {error}"))?;
    let (entities, relations) = graph.into_parts();
    Ok(Content::Graph(entities, relations))
}

/// Whose a folder is: an account's, made now where that id or number is new.
async fn person(store: &SharedStore, clock: &Clock, email_domain: &str, name: &str) -> Result<Option<UserId>, StoreError> {
    let new = |id: UserId| NewPerson { id, email_domain: email_domain.to_owned(), start_credits: None };
    let people = People::new(SharedStore::clone(store));
    let account = if name == "default" {
        AccountName::Shared
    } else if let Ok(id) = name.parse::<UserId>() {
        return Ok(Some(store.open_account(NewAccount { phone: None, person: new(id) }).await?.id));
    } else if let Ok(phone) = PhoneNumber::from_stored(name) {
        AccountName::Person(UserName::Phone(phone))
    } else {
        return Ok(None);
    };
    Ok(Some(people.get_or_open(&account, new(clock.user_id())).await?.id))
}
