//! A person's todo list in memory, and its rules: plain functions.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::time::Timestamp;
use crate::domain::todo::{Due, DueWithin, Todo, TodoChange, TodoFigures, TodoId, words};
use crate::store::cursor::{self, Listing, Place};
use crate::store::{AddedTodo, ChangedTodo, ImportedTodo, ImportedTodos, NewTodo, Page, PageRequest, StoreError, StoreResult, TodoFilter};

/// What is missing, when it is.
const ITEM: &str = "the todo item";

/// A list.
#[derive(Debug, Clone, Default)]
pub(super) struct TodoList {
    /// The last number that an item got.
    pub(super) last: i64,
    /// The items, by their numbers.
    pub(super) items: BTreeMap<i64, Todo>,
    /// Numbers of items that were written since it was read.
    pub(super) written: BTreeSet<i64>,
    /// Numbers of items that were deleted since.
    pub(super) deleted: BTreeSet<i64>,
}

fn is_due_within(due: Option<Due>, within: &DueWithin) -> bool {
    due.is_some_and(|due| within.contains(due))
}

impl TodoList {
    fn find(&self, id: TodoId) -> Option<&Todo> {
        self.items.get(&id.number())
    }

    fn get(&self, id: TodoId) -> StoreResult<&Todo> {
        self.find(id).ok_or(StoreError::NotFound { what: ITEM })
    }

    fn write(&mut self, todo: &Todo) {
        self.written.insert(todo.id.number());
        self.items.insert(todo.id.number(), todo.clone());
    }

    /// The next number, if the list has room for `added` items beside those that it holds.
    fn next(&mut self, added: usize, limit: usize) -> StoreResult<TodoId> {
        let holds = self.items.len() + added;
        if holds >= limit {
            let reason = format!("the todo list is full: it holds {holds} items, and {limit} are allowed; delete some first");
            return Err(StoreError::Conflict { reason });
        }
        self.last += 1;
        TodoId::new(self.last).ok_or_else(|| StoreError::Conflict { reason: "the todo list's last number is below zero".to_owned() })
    }

    /// Writes an item down, unless an equal one is open.
    pub(super) fn add(&mut self, new: &NewTodo, limit: usize, now: Timestamp) -> StoreResult<AddedTodo> {
        if new.parent.is_some_and(|parent| self.find(parent).is_none()) {
            return Err(StoreError::NotFound { what: "the parent item" });
        }
        let is_same = new.same();
        if let Some(todo) = self.items.values().find(|todo| is_same(todo)) {
            return Ok(AddedTodo { todo: todo.clone(), is_new: false });
        }
        let todo = new.numbered(self.next(0, limit)?, now);
        self.write(&todo);
        Ok(AddedTodo { todo, is_new: true })
    }

    /// Items, oldest number first.
    pub(super) fn list(&self, filter: &TodoFilter, request: &PageRequest) -> StoreResult<Page<Todo>> {
        let from = cursor::read(Listing::Todos, 0, request.cursor.as_deref())?;
        let [after] = from.map_or([0], |place: Place<1>| place.numbers);
        let meets = |todo: &&Todo| {
            let text = words(&todo.text);
            let category = todo.category.as_deref().map(words);
            let holds = |wanted: &String| text.contains(wanted) || category.as_deref().unwrap_or_default().contains(wanted);
            filter.category.as_ref().is_none_or(|wanted| category.as_ref() == Some(wanted))
                && filter.named.as_ref().is_none_or(|wanted| text == *wanted)
                && filter.holding.iter().all(holds)
        };
        let plain = |todo: &&Todo| {
            todo.id.number() > after
                && filter.state.is_none_or(|state| todo.state() == state)
                && filter.priority.is_none_or(|priority| todo.priority == priority)
                && filter.due.as_ref().is_none_or(|within| is_due_within(todo.due, within))
        };
        let most = request.limit.max(1).saturating_add(1);
        let found: Vec<Todo> = self.items.values().filter(plain).filter(meets).take(most).cloned().collect();
        let place = |todo: &Todo| Place { numbers: [todo.id.number()], id: Vec::new() };
        Ok(cursor::page(Listing::Todos, request.limit, found, place, |todo| todo))
    }

    /// Changes an item, each field on its own.
    pub(super) fn change(&mut self, id: TodoId, changes: &[TodoChange], now: Timestamp) -> StoreResult<ChangedTodo> {
        let mut todo = self.get(id)?.clone();
        let differs = todo.apply(changes, now);
        if differs {
            self.write(&todo);
        }
        Ok(ChangedTodo { todo, changed: differs })
    }

    /// Deletes an item with all that are a part of it; their numbers, its own first.
    pub(super) fn delete(&mut self, id: TodoId) -> StoreResult<Vec<TodoId>> {
        self.get(id)?;
        let mut ids = vec![id];
        let mut next = 0;
        while let Some(parent) = ids.get(next).copied() {
            next += 1;
            // Even damaged data that goes in a circle comes to an end.
            let parts = self.items.values().filter(|todo| todo.parent == Some(parent) && !ids.contains(&todo.id));
            let parts: Vec<TodoId> = parts.map(|todo| todo.id).collect();
            ids.extend(parts);
        }
        for id in &ids {
            self.items.remove(&id.number());
            self.written.remove(&id.number());
            self.deleted.insert(id.number());
        }
        Ok(ids)
    }

    /// The list in figures.
    pub(super) fn figures(&self, overdue: &DueWithin) -> TodoFigures {
        let mut figures = TodoFigures::default();
        let (mut seconds, mut done) = (0_i64, 0_i64);
        // A category goes by the spelling of its first item.
        let mut spelled: HashMap<Option<String>, Option<String>> = HashMap::new();
        for todo in self.items.values() {
            if let Some(took) = todo.seconds_to_complete() {
                figures.completed += 1;
                seconds = seconds.saturating_add(i64::try_from(took).unwrap_or(i64::MAX));
                done += 1;
            } else {
                figures.open += 1;
                figures.overdue += i64::from(is_due_within(todo.due, overdue));
            }
            let category = spelled.entry(todo.category.as_deref().map(words)).or_insert_with(|| todo.category.clone());
            *figures.by_category.entry(category.clone()).or_default() += 1;
            *figures.by_priority.entry(todo.priority).or_default() += 1;
        }
        figures.average_seconds_to_complete = seconds.checked_div(done);
        figures
    }

    /// For each imported item the one of the list that stands for it, each for one.
    fn standing(&self, items: &[ImportedTodo]) -> Vec<Option<TodoId>> {
        let mut by_words: HashMap<String, Vec<&Todo>> = HashMap::new();
        for todo in self.items.values() {
            by_words.entry(words(&todo.text)).or_default().push(todo);
        }
        let mut standing = vec![None; items.len()];
        // Those that bring a time first: they are choosier.
        for timed in [true, false] {
            for (item, standing) in items.iter().zip(&mut standing).filter(|(item, _)| item.created_at.is_some() == timed) {
                let Some(candidates) = by_words.get_mut(&words(&item.text)) else { continue };
                let stands = |todo: &&Todo| item.created_at.is_none_or(|created_at| created_at == todo.created_at);
                if let Some(place) = candidates.iter().position(stands) {
                    *standing = Some(candidates.remove(place).id);
                }
            }
        }
        standing
    }

    /// Adds items from elsewhere, all or none.
    pub(super) fn import(&mut self, items: &[ImportedTodo], limit: usize, now: Timestamp) -> StoreResult<ImportedTodos> {
        let standing = self.standing(items);
        let mut report = ImportedTodos::default();
        // Numbers first: an item may stand before the one that it is a part of.
        let mut ids = Vec::with_capacity(items.len());
        for known in &standing {
            ids.push(if let Some(id) = known {
                report.known += 1;
                *id
            } else {
                let id = self.next(report.added, limit)?;
                report.added += 1;
                id
            });
        }
        for ((item, id), _new) in items.iter().zip(&ids).zip(&standing).filter(|(_, known)| known.is_none()) {
            self.write(&item.numbered(*id, &ids, now));
        }
        Ok(report)
    }
}
