//! Todo lists: a document an item. A list is bounded, so a unit reads all of it, and its rules ([`list`]) are plain functions.

mod list;

use std::collections::BTreeMap;

use async_trait::async_trait;
use mongodb::bson::{Bson, Document, doc};

use self::list::TodoList;
use super::MongoStore;
use super::fault;
use super::fields::{Fields, date, maybe_date};
use super::lists::{List, ListHead, key};
use super::names::Place;
use super::state::Draft;
use super::unit::Unit;
use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;
use crate::domain::todo::{Due, DueWithin, Priority, Todo, TodoChange, TodoFigures, TodoId, TodoState};
use crate::store::{
    AddedTodo, ChangedTodo, ImportedTodo, ImportedTodos, NewTodo, Page, PageRequest, StoreError, StoreResult, TodoFilter, Todos,
};

fn todo_document(user: UserId, todo: &Todo) -> Document {
    let (day, moment) = match todo.due {
        Some(Due::On(day)) => (Bson::String(day.to_string()), None),
        Some(Due::At(moment)) => (Bson::Null, Some(moment)),
        None => (Bson::Null, None),
    };
    doc! {
        "user": user.to_string(),
        "number": todo.id.number(),
        "text": &todo.text,
        "category": todo.category.clone(),
        "priority": todo.priority.as_str(),
        "dueOn": day,
        "dueAt": maybe_date(moment),
        "parent": todo.parent.map(TodoId::number),
        "completedAt": maybe_date(todo.completed_at),
        "createdAt": date(todo.created_at),
        "updatedAt": date(todo.updated_at),
    }
}

fn todo_from(collection: &str, document: &Document) -> StoreResult<Todo> {
    let fields = Fields::new(collection, document);
    let number = |path: &str, number: i64| TodoId::new(number).ok_or_else(|| fields.damaged(path, "it is below 1"));
    let day = fields.find_parsed("dueOn", str::parse)?.map(Due::On);
    Ok(Todo {
        id: number("number", fields.number("number")?)?,
        text: fields.text("text")?.to_owned(),
        category: fields.find_text("category")?.map(str::to_owned),
        priority: fields.find_word("priority", Priority::parse)?.unwrap_or_default(),
        due: day.or(fields.find_moment("dueAt")?.map(Due::At)),
        parent: fields.find_number("parent")?.map(|parent| number("parent", parent)).transpose()?,
        completed_at: fields.find_moment("completedAt")?,
        created_at: fields.moment("createdAt")?,
        updated_at: fields.moment("updatedAt")?,
    })
}

/// Stages what was changed.
fn stage(draft: &mut Draft, list: &TodoList) {
    let user = draft.user_id;
    for number in &list.deleted {
        draft.delete(Place::Todos, key(user, *number));
    }
    for todo in list.written.iter().filter_map(|number| list.items.get(number)) {
        draft.put(Place::Todos, key(user, todo.id.number()), todo_document(user, todo));
    }
}

impl Unit<'_> {
    /// Changes the person's list in this unit; a rule that refuses changes nothing.
    async fn change_todos<T>(&mut self, rule: impl FnOnce(&mut TodoList, Timestamp) -> StoreResult<T>) -> StoreResult<T> {
        let head = self.draft.state.lists.todos;
        self.apply_staged().await?;
        let mut list = self.store.load_todos(self.draft.user_id, head).await?;
        let answer = rule(&mut list, self.draft.now)?;
        if !list.written.is_empty() || !list.deleted.is_empty() {
            stage(&mut self.draft, &list);
            self.draft.state.list_changed(List::Todos, list.last);
        }
        Ok(answer)
    }

    /// Writes an item down, unless an equal one is open.
    pub(super) async fn add_todo(&mut self, new: &NewTodo, limit: usize) -> StoreResult<AddedTodo> {
        self.change_todos(|list, now| list.add(new, limit, now)).await
    }

    /// Marks an item as done.
    pub(super) async fn complete_todo(&mut self, id: TodoId) -> StoreResult<ChangedTodo> {
        self.change_todos(|list, now| list.change(id, &[TodoChange::State(TodoState::Completed)], now)).await
    }
}

impl MongoStore {
    /// Reads a list whole.
    async fn load_todos(&self, user: UserId, head: ListHead) -> StoreResult<TodoList> {
        let mut items = BTreeMap::new();
        if head.revision > 0 {
            let collection = self.collection(Place::Todos);
            let add = |document: &Document| {
                let todo = todo_from(collection.name(), document)?;
                items.insert(todo.id.number(), todo);
                Ok(())
            };
            self.each(&collection, doc! { "user": user.to_string() }, add).await?;
        }
        Ok(TodoList { last: head.last, items, ..TodoList::default() })
    }

    /// A list as of one moment.
    async fn todos(&self, user: UserId) -> StoreResult<TodoList> {
        Ok(self.read_list(user, List::Todos, |head| self.load_todos(user, head)).await?.1)
    }

    async fn change_todos<T: Send>(
        &self,
        user: UserId,
        rule: impl Fn(&mut TodoList, Timestamp) -> StoreResult<T> + Send + Sync,
    ) -> StoreResult<T> {
        let mut attempts = self.unit(user);
        loop {
            let mut unit = attempts.begin().await?;
            let answer = unit.change_todos(&rule).await?;
            if unit.commit().await? {
                return Ok(answer);
            }
        }
    }

    /// The same for an item of somebody who may not exist, and has no items then.
    async fn change_item<T: Send>(
        &self,
        user: UserId,
        rule: impl Fn(&mut TodoList, Timestamp) -> StoreResult<T> + Send + Sync,
    ) -> StoreResult<T> {
        match self.change_todos(user, &rule).await {
            Err(StoreError::NotFound { what: "the person" }) => rule(&mut TodoList::default(), self.now()),
            other => other,
        }
    }
}

#[async_trait]
impl Todos for MongoStore {
    async fn add_todo(&self, user_id: UserId, new: NewTodo, limit: usize) -> StoreResult<AddedTodo> {
        self.change_todos(user_id, |list, now| list.add(&new, limit, now)).await
    }

    async fn find_todo(&self, user_id: UserId, id: TodoId) -> StoreResult<Option<Todo>> {
        self.settle(user_id).await?;
        let collection = self.collection(Place::Todos);
        let found = collection.find_one(key(user_id, id.number())).await.map_err(fault::unavailable)?;
        found.map(|document| todo_from(collection.name(), &document)).transpose()
    }

    async fn list_todos(&self, user_id: UserId, filter: TodoFilter, page: PageRequest) -> StoreResult<Page<Todo>> {
        self.todos(user_id).await?.list(&filter, &page)
    }

    async fn change_todo(&self, user_id: UserId, id: TodoId, changes: Vec<TodoChange>) -> StoreResult<ChangedTodo> {
        self.change_item(user_id, |list, now| list.change(id, &changes, now)).await
    }

    async fn delete_todo(&self, user_id: UserId, id: TodoId) -> StoreResult<Vec<TodoId>> {
        self.change_item(user_id, |list, _now| list.delete(id)).await
    }

    async fn todo_figures(&self, user_id: UserId, overdue: DueWithin) -> StoreResult<TodoFigures> {
        Ok(self.todos(user_id).await?.figures(&overdue))
    }

    async fn import_todos(&self, user_id: UserId, items: Vec<ImportedTodo>, limit: usize) -> StoreResult<ImportedTodos> {
        self.change_todos(user_id, |list, now| list.import(&items, limit, now)).await
    }
}
