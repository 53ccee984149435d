//! The port's methods of todo lists, each as one unit of work.

use async_trait::async_trait;

use super::writer::Urgency;
use super::{SqliteStore, todos};
use crate::domain::ids::UserId;
use crate::domain::todo::{DueWithin, Todo, TodoChange, TodoFigures, TodoId};
use crate::store::{AddedTodo, ChangedTodo, ImportedTodo, ImportedTodos, NewTodo, Page, PageRequest, StoreResult, TodoFilter, Todos};

#[async_trait]
impl Todos for SqliteStore {
    async fn add_todo(&self, user_id: UserId, new: NewTodo, limit: usize) -> StoreResult<AddedTodo> {
        self.write(Urgency::Other, move |unit| todos::add(unit, user_id, &new, limit)).await
    }

    async fn find_todo(&self, user_id: UserId, id: TodoId) -> StoreResult<Option<Todo>> {
        self.read(move |db| todos::find(db, user_id, id)).await
    }

    async fn list_todos(&self, user_id: UserId, filter: TodoFilter, page: PageRequest) -> StoreResult<Page<Todo>> {
        self.read(move |db| todos::list(db, user_id, &filter, &page)).await
    }

    async fn change_todo(&self, user_id: UserId, id: TodoId, changes: Vec<TodoChange>) -> StoreResult<ChangedTodo> {
        let replaces_text = changes.iter().any(|change| matches!(change, TodoChange::Text(_) | TodoChange::Category(_)));
        let stored = self.write(Urgency::Other, move |unit| todos::change(unit, user_id, id, &changes)).await?;
        if replaces_text {
            // The log still holds what it said before.
            self.progress.forget();
        }
        Ok(stored)
    }

    async fn delete_todo(&self, user_id: UserId, id: TodoId) -> StoreResult<Vec<TodoId>> {
        let deleted = self.write(Urgency::Other, move |unit| todos::delete(unit, user_id, id)).await?;
        // The log still holds what was deleted.
        self.progress.forget();
        Ok(deleted)
    }

    async fn todo_figures(&self, user_id: UserId, overdue: DueWithin) -> StoreResult<TodoFigures> {
        self.read(move |db| todos::figures(db, user_id, &overdue)).await
    }

    async fn import_todos(&self, user_id: UserId, items: Vec<ImportedTodo>, limit: usize) -> StoreResult<ImportedTodos> {
        self.write(Urgency::Other, move |unit| todos::import(unit, user_id, &items, limit)).await
    }
}
