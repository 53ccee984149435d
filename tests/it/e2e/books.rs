//! What the program has stored, as its own commands show it.

use std::collections::BTreeMap;

#[cfg(feature = "mongodb")]
use scrubjay::domain::message::Message;
#[cfg(feature = "mongodb")]
use scrubjay::store::{MessageFilter, PageRequest, SharedStore};
use serde_json::Value;

use crate::support::home::Home;

/// The parent of a conversation's first message.
const ROOT: &str = "00000000-0000-0000-0000-000000000000";

/// One stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) role: String,
    pub(super) text: String,
}

/// Every person's conversations, by number.
#[derive(Debug)]
pub(super) struct Books {
    /// Number -> conversations, each with its messages in order.
    pub(super) people: BTreeMap<String, Vec<Vec<Entry>>>,
    /// Number -> `metadata.messageCount`.
    pub(super) counts: BTreeMap<String, i64>,
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

impl Books {
    /// Reads everything through `users list`, `conversations list` and `conversations show`.
    pub(super) async fn read(home: &Home) -> Self {
        let mut numbers = BTreeMap::new();
        let (mut people, mut counts) = (BTreeMap::new(), BTreeMap::new());
        for user in home.list(&["users", "list"]).await {
            let number = text(&user, "phoneNumber").to_owned();
            assert!(numbers.insert(text(&user, "_id").to_owned(), number.clone()).is_none(), "a person is listed twice");
            assert!(people.insert(number.clone(), Vec::new()).is_none(), "two people have the number {number}");
            counts.insert(number, user["metadata"]["messageCount"].as_i64().unwrap());
        }
        for conversation in home.list(&["conversations", "list"]).await {
            let owner = &numbers[text(&conversation, "user")];
            let shown = home.json(&["conversations", "show", text(&conversation, "conversationId")]).await;
            let messages = shown["messages"].as_array().unwrap_or_else(|| panic!("no messages in {shown}"));
            let entry = |message: &Value| Entry {
                id: text(message, "messageId").to_owned(),
                parent: message["parentMessageId"].as_str().unwrap_or_default().to_owned(),
                role: text(message, "role").to_owned(),
                text: text(message, "text").to_owned(),
            };
            people.get_mut(owner).unwrap().push(messages.iter().map(entry).collect());
        }
        Self { people, counts }
    }

    /// The same, read through the port by a process beside the programs.
    #[cfg(feature = "mongodb")]
    pub(super) async fn of(store: &SharedStore) -> Self {
        const ALL: usize = 1_000;
        let (mut people, mut counts) = (BTreeMap::new(), BTreeMap::new());
        for user in store.list_users(PageRequest::first(ALL)).await.unwrap().items {
            let number = user.phone.as_ref().unwrap().as_str().to_owned();
            let mut conversations = Vec::new();
            for conversation in store.list_conversations(user.id, PageRequest::first(ALL)).await.unwrap().items {
                let filter = MessageFilter { conversation_id: Some(conversation.id), search: None };
                let messages = store.list_messages(user.id, filter, PageRequest::first(ALL)).await.unwrap().items;
                let entry = |message: Message| Entry {
                    id: message.id.to_string(),
                    parent: message.parent_id.map(|id| id.to_string()).unwrap_or_default(),
                    role: message.role.as_str().to_owned(),
                    text: message.text,
                };
                conversations.push(messages.into_iter().map(entry).collect());
            }
            assert!(people.insert(number.clone(), conversations).is_none(), "two people have the number {number}");
            counts.insert(number, user.message_count);
        }
        Self { people, counts }
    }

    /// Number -> `metadata.messageCount`, without reading any conversation.
    pub(super) async fn read_people(home: &Home) -> BTreeMap<String, i64> {
        let users = home.list(&["users", "list"]).await;
        users.iter().map(|user| (text(user, "phoneNumber").to_owned(), user["metadata"]["messageCount"].as_i64().unwrap())).collect()
    }

    /// The only conversation of a number.
    pub(super) fn only(&self, number: &str) -> &[Entry] {
        let conversations = &self.people[number];
        assert_eq!(conversations.len(), 1, "{number} has {} conversations", conversations.len());
        &conversations[0]
    }
}

/// What was said, in order: role and text.
pub(super) fn said(entries: &[Entry]) -> Vec<(&str, &str)> {
    entries.iter().map(|entry| (entry.role.as_str(), entry.text.as_str())).collect()
}

/// Checks that each message's parent is the one before it, and the first one's the root.
pub(super) fn assert_one_chain(entries: &[Entry]) {
    let mut parent = ROOT;
    for entry in entries {
        assert_eq!(entry.parent, parent, "the chain breaks at {:?}", entry.text);
        parent = &entry.id;
    }
}
