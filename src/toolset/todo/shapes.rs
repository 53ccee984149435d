//! Arguments and results of the todo tools. Field comments are what a model reads.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::todo::{Priority, Todo, TodoFigures, TodoId};
use crate::service::todos::DueFilter;
use crate::service::tools::JsonObject;

/// Categories that figures name at most; the rest is counted together.
const CATEGORIES: usize = 100;

/// Items of an answer unless the caller asks for fewer or more.
pub(super) const LIMIT: usize = 50;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AddArguments {
    /// What is to be done
    #[schemars(extend("aliases" = ["title", "task", "item", "todo", "content", "name"]))]
    pub(super) text: String,
    pub(super) category: Option<String>,
    /// Default: medium
    pub(super) priority: Option<PriorityWord>,
    /// YYYY-MM-DD, or RFC 3339 with offset
    #[schemars(extend("aliases" = ["due", "deadline"]))]
    pub(super) due_date: Option<String>,
    /// Id of the item that this is a part of
    #[schemars(extend("aliases" = ["parent"]))]
    pub(super) parent_id: Option<i64>,
}

/// Which item.
#[derive(Deserialize, JsonSchema)]
pub(super) struct NameArguments {
    #[schemars(extend("aliases" = ["todoId", "itemId"]))]
    pub(super) id: Option<i64>,
    /// Instead of id: its text or words in it, if only one item fits
    #[schemars(extend("aliases" = ["title", "task", "item", "todo", "content", "name"]))]
    pub(super) text: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::option_option, reason = "absent, null and a value are three things")]
pub(super) struct UpdateArguments {
    #[schemars(extend("aliases" = ["todoId", "itemId"]))]
    pub(super) id: i64,
    /// The new text
    #[schemars(extend("aliases" = ["title", "task", "content", "name"]))]
    pub(super) text: Option<String>,
    /// null or empty clears it
    #[schemars(extend("keepNull" = true))]
    #[serde(default, deserialize_with = "given")]
    pub(super) category: Option<Option<String>>,
    pub(super) priority: Option<PriorityWord>,
    /// YYYY-MM-DD, or RFC 3339 with offset; null or empty clears it
    #[schemars(extend("keepNull" = true, "aliases" = ["due", "deadline"]))]
    #[serde(default, deserialize_with = "given")]
    pub(super) due_date: Option<Option<String>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListArguments {
    /// Default: open
    #[schemars(extend("aliases" = ["state"]))]
    pub(super) status: Option<StatusWord>,
    pub(super) category: Option<String>,
    pub(super) priority: Option<PriorityWord>,
    /// In the person's time zone; week: today and the next six days; overdue: open items only
    #[schemars(extend("aliases" = ["dueDate"]))]
    pub(super) due: Option<DueWord>,
    /// Default: 50
    #[schemars(range(min = 1, max = 200), extend("aliases" = ["per_page", "page_size", "count"]))]
    pub(super) limit: Option<usize>,
    /// nextCursor of the answer before
    pub(super) cursor: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct SearchArguments {
    /// Words that all have to be in its text or category, in any case
    #[schemars(extend("aliases" = ["q", "text", "search"]))]
    pub(super) query: String,
    /// Default: 50
    #[schemars(range(min = 1, max = 200), extend("aliases" = ["per_page", "page_size", "count"]))]
    pub(super) limit: Option<usize>,
    /// nextCursor of the answer before
    pub(super) cursor: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct NoArguments {}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum PriorityWord {
    Low,
    Medium,
    High,
    Urgent,
}

impl From<PriorityWord> for Priority {
    fn from(word: PriorityWord) -> Self {
        match word {
            PriorityWord::Low => Self::Low,
            PriorityWord::Medium => Self::Medium,
            PriorityWord::High => Self::High,
            PriorityWord::Urgent => Self::Urgent,
        }
    }
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum StatusWord {
    #[default]
    Open,
    Completed,
    All,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum DueWord {
    Today,
    Week,
    Overdue,
}

impl From<DueWord> for DueFilter {
    fn from(word: DueWord) -> Self {
        match word {
            DueWord::Today => Self::Today,
            DueWord::Week => Self::Week,
            DueWord::Overdue => Self::Overdue,
        }
    }
}

/// `null` as a value, apart from nothing at all.
#[expect(clippy::option_option, reason = "absent, null and a value are three things")]
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// An item, as tools, resources and commands show it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "a doc comment would stand in the schema that models read; the fields are those of `Todo`")]
pub struct TodoShape {
    pub id: i64,
    pub text: String,
    pub created_at: String,
    pub updated_at: String,
    pub completed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_to_complete: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    pub priority: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<i64>,
}

impl From<&Todo> for TodoShape {
    fn from(todo: &Todo) -> Self {
        Self {
            id: todo.id.number(),
            text: todo.text.clone(),
            created_at: todo.created_at.to_string(),
            updated_at: todo.updated_at.to_string(),
            completed: todo.completed_at.is_some(),
            completed_at: todo.completed_at.map(|moment| moment.to_string()),
            seconds_to_complete: todo.seconds_to_complete().and_then(|seconds| i64::try_from(seconds).ok()),
            category: todo.category.clone(),
            priority: todo.priority.as_str(),
            due_date: todo.due.map(|due| due.to_string()),
            parent_id: todo.parent.map(TodoId::number),
        }
    }
}

// Where an answer is one item its schema says only that: the item's own stands in the listings, and eight copies of it
// would be half of what a model has to read.

#[derive(Serialize, JsonSchema)]
pub(super) struct Added {
    #[schemars(with = "JsonObject")]
    pub(super) todo: TodoShape,
    /// false: an equal open item was there and is returned unchanged
    pub(super) created: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Changed {
    #[schemars(with = "JsonObject")]
    pub(super) todo: TodoShape,
    /// false: it was so already
    pub(super) changed: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Deleted {
    /// Ids that are gone: the item's and those of its parts
    pub(super) deleted: Vec<i64>,
    #[schemars(with = "JsonObject")]
    pub(super) todo: TodoShape,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Items {
    pub(super) todos: Vec<TodoShape>,
    /// There are more; call again with it as cursor
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Figures {
    total: i64,
    open: i64,
    completed: i64,
    overdue: i64,
    by_category: BTreeMap<String, i64>,
    uncategorized: i64,
    /// Items of further categories
    #[serde(skip_serializing_if = "Option::is_none")]
    other_categories: Option<i64>,
    by_priority: BTreeMap<&'static str, i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    average_seconds_to_complete: Option<i64>,
}

impl From<TodoFigures> for Figures {
    fn from(mut figures: TodoFigures) -> Self {
        let uncategorized = figures.by_category.remove(&None).unwrap_or(0);
        let mut categories: Vec<(String, i64)> =
            figures.by_category.into_iter().filter_map(|(name, items)| name.map(|name| (name, items))).collect();
        categories.sort_by_key(|(_, items)| std::cmp::Reverse(*items));
        let others = categories.split_off(CATEGORIES.min(categories.len()));
        Self {
            total: figures.open + figures.completed,
            open: figures.open,
            completed: figures.completed,
            overdue: figures.overdue,
            by_category: categories.into_iter().collect(),
            uncategorized,
            other_categories: (!others.is_empty()).then(|| others.iter().map(|(_, items)| items).sum()),
            by_priority: Priority::ALL
                .into_iter()
                .map(|priority| (priority.as_str(), figures.by_priority.get(&priority).copied().unwrap_or(0)))
                .collect(),
            average_seconds_to_complete: figures.average_seconds_to_complete,
        }
    }
}
