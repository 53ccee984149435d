//! Todo lists.

use async_trait::async_trait;

use super::{Page, PageRequest, StoreResult, Timestamp};
use crate::domain::ids::UserId;
use crate::domain::todo::{Due, DueWithin, Priority, Todo, TodoChange, TodoFigures, TodoId, TodoState, words};

/// An item to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTodo {
    /// What is to be done; the caller has checked it.
    pub text: String,
    /// What it belongs to.
    pub category: Option<String>,
    /// How pressing it is, where that was said.
    pub priority: Option<Priority>,
    /// When it is due.
    pub due: Option<Due>,
    /// The item that it is a part of.
    pub parent: Option<TodoId>,
}

impl NewTodo {
    /// Tells whether an item of the list is this one already.
    pub(in crate::store) fn same(&self) -> impl Fn(&Todo) -> bool {
        let (text, category) = (words(&self.text), self.category.as_deref().map(words));
        move |todo| {
            todo.completed_at.is_none()
                && todo.parent == self.parent
                && (self.due.is_none() || todo.due == self.due)
                && words(&todo.text) == text
                && (category.is_none() || todo.category.as_deref().map(words) == category)
        }
    }

    /// The item as it is stored.
    pub(in crate::store) fn numbered(&self, id: TodoId, now: Timestamp) -> Todo {
        Todo {
            id,
            text: self.text.clone(),
            category: self.category.clone(),
            priority: self.priority.unwrap_or_default(),
            due: self.due,
            parent: self.parent,
            completed_at: None,
            created_at: now,
            updated_at: now,
        }
    }
}

/// An item that was written down, or stood there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedTodo {
    /// As stored.
    pub todo: Todo,
    /// Whether this call made it.
    pub is_new: bool,
}

/// An item after changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedTodo {
    /// As stored.
    pub todo: Todo,
    /// Whether anything changed.
    pub changed: bool,
}

/// Which items are listed: those that meet all that is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TodoFilter {
    /// In this state.
    pub state: Option<TodoState>,
    /// Of the category with these [words].
    pub category: Option<String>,
    /// Of this priority.
    pub priority: Option<Priority>,
    /// Due then.
    pub due: Option<DueWithin>,
    /// Whose text has exactly these [words].
    pub named: Option<String>,
    /// Whose text or category holds each of these, anywhere in its [words].
    pub holding: Vec<String>,
}

/// An item from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedTodo {
    /// What is to be done; the caller has checked it.
    pub text: String,
    /// What it belongs to.
    pub category: Option<String>,
    /// How pressing it is.
    pub priority: Priority,
    /// When it is due.
    pub due: Option<Due>,
    /// The place in the list of the item that it is a part of; the caller has checked that no item is a part of itself.
    pub parent: Option<usize>,
    /// When it was done.
    pub completed_at: Option<Timestamp>,
    /// When it was written down, where that is known.
    pub created_at: Option<Timestamp>,
    /// When it last changed, where that is known.
    pub updated_at: Option<Timestamp>,
}

impl ImportedTodo {
    /// The item as it is stored, under the numbers that the items of its import have got.
    pub(in crate::store) fn numbered(&self, id: TodoId, ids: &[TodoId], now: Timestamp) -> Todo {
        let created_at = self.created_at.unwrap_or_else(|| self.completed_at.map_or(now, |completed| completed.min(now)));
        Todo {
            id,
            text: self.text.clone(),
            category: self.category.clone(),
            priority: self.priority,
            due: self.due,
            parent: self.parent.and_then(|place| ids.get(place).copied()),
            completed_at: self.completed_at,
            created_at,
            updated_at: self.updated_at.or(self.completed_at).unwrap_or(created_at),
        }
    }
}

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportedTodos {
    /// Items added.
    pub added: usize,
    /// Items that stood there already.
    pub known: usize,
}

/// Todo lists, one a person.
#[async_trait]
pub trait Todos {
    /// Writes an item down, unless the person has an open one with the same words under the same parent, whose category and
    /// due date are the new one's where the new one has any: that one is returned as it is. The list holds at most `limit` items.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`] when the person or the parent does not exist; [`super::StoreError::Conflict`] when the list
    /// is full; [`super::StoreError::Unavailable`].
    async fn add_todo(&self, user_id: UserId, new: NewTodo, limit: usize) -> StoreResult<AddedTodo>;

    /// One item.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn find_todo(&self, user_id: UserId, id: TodoId) -> StoreResult<Option<Todo>>;

    /// Items, oldest number first.
    ///
    /// # Errors
    /// [`super::StoreError::InvalidCursor`]; [`super::StoreError::Unavailable`].
    async fn list_todos(&self, user_id: UserId, filter: TodoFilter, page: PageRequest) -> StoreResult<Page<Todo>>;

    /// Changes an item, each field on its own.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`]; [`super::StoreError::Unavailable`].
    async fn change_todo(&self, user_id: UserId, id: TodoId, changes: Vec<TodoChange>) -> StoreResult<ChangedTodo>;

    /// Deletes an item with all that are a part of it, and forgets every copy of their texts. Returns their numbers, its own first.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`]; [`super::StoreError::Unavailable`].
    async fn delete_todo(&self, user_id: UserId, id: TodoId) -> StoreResult<Vec<TodoId>>;

    /// A list in figures; `overdue` says what has passed.
    ///
    /// # Errors
    /// [`super::StoreError::Unavailable`].
    async fn todo_figures(&self, user_id: UserId, overdue: DueWithin) -> StoreResult<TodoFigures>;

    /// Adds items from elsewhere under new numbers, all or none. An item with the same words and the same time of writing (or of
    /// any time, where none is given) stands for the imported one, each for one; so a repeat adds nothing.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`] when the person does not exist; [`super::StoreError::Conflict`] when the list would hold more
    /// than `limit` items; [`super::StoreError::Unavailable`].
    async fn import_todos(&self, user_id: UserId, items: Vec<ImportedTodo>, limit: usize) -> StoreResult<ImportedTodos>;
}
