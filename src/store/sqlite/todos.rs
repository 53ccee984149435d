//! Todo lists.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::cursor::{self, Listing, Place};
use super::fault::{Fault, Outcome};
use super::people;
use super::values::Json;
use super::writer::Unit;
use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;
use crate::domain::todo::{Due, DueWithin, Priority, Todo, TodoChange, TodoFigures, TodoId, TodoState, words};
use crate::store::{AddedTodo, ChangedTodo, ImportedTodo, ImportedTodos, NewTodo, Page, PageRequest, StoreError, TodoFilter};

/// What is missing, when it is.
const ITEM: &str = "the todo item";

/// A day in its column.
struct Day(Date);

impl ToSql for Day {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.to_string().into())
    }
}

impl FromSql for Day {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(|error: jiff::Error| rusqlite::types::FromSqlError::Other(error.into()))
    }
}

macro_rules! select_todo {
    ($($rest:expr),*) => {
        concat!(
            "SELECT id, text, category, priority, due_on, due_at, parent_id, completed_at, created_at, updated_at FROM todos WHERE user_id = ?1 ",
            $($rest),*
        )
    };
}

fn todo(row: &Row<'_>) -> rusqlite::Result<Todo> {
    let due = match (row.get::<_, Option<Day>>(4)?, row.get::<_, Option<Timestamp>>(5)?) {
        (Some(Day(day)), _) => Some(Due::On(day)),
        (None, moment) => moment.map(Due::At),
    };
    Ok(Todo {
        id: row.get(0)?,
        text: row.get(1)?,
        category: row.get(2)?,
        priority: row.get(3)?,
        due,
        parent: row.get(6)?,
        completed_at: row.get(7)?,
        created_at: row.get(8)?,
        updated_at: row.get(9)?,
    })
}

/// One item.
pub(super) fn find(db: &Connection, user: UserId, id: TodoId) -> Outcome<Option<Todo>> {
    Ok(db.prepare_cached(select_todo!("AND id = ?2"))?.query_row(params![user, id], todo).optional()?)
}

fn get(db: &Connection, user: UserId, id: TodoId) -> Outcome<Todo> {
    find(db, user, id)?.ok_or_else(|| StoreError::NotFound { what: ITEM }.into())
}

/// A list's last number and how many items it holds.
#[derive(Default)]
struct Head {
    last_id: i64,
    items: i64,
}

impl Head {
    /// The list's, which is made where it is missing.
    fn take(unit: &Unit<'_>, user: UserId) -> Outcome<Self> {
        let find = |row: &Row<'_>| Ok(Self { last_id: row.get(0)?, items: row.get(1)? });
        let found =
            unit.db.prepare_cached("SELECT last_id, items FROM todo_lists WHERE user_id = ?1")?.query_row([user], find).optional()?;
        if let Some(head) = found {
            return Ok(head);
        }
        if people::find(unit.db, user)?.is_none() {
            return Err(StoreError::NotFound { what: "the person" }.into());
        }
        unit.db.prepare_cached("INSERT INTO todo_lists (user_id, last_id, items) VALUES (?1, 0, 0)")?.execute([user])?;
        Ok(Self::default())
    }

    /// The next number, if the list has room for it.
    fn next(&mut self, limit: usize) -> Outcome<TodoId> {
        if self.items >= i64::try_from(limit).unwrap_or(i64::MAX) {
            let reason = format!("the todo list is full: it holds {} items, and {limit} are allowed; delete some first", self.items);
            return Err(StoreError::Conflict { reason }.into());
        }
        self.items += 1;
        self.last_id += 1;
        TodoId::new(self.last_id).ok_or_else(|| Fault::contradiction("a todo list's last number is below zero"))
    }

    fn keep(&self, unit: &Unit<'_>, user: UserId) -> Outcome<()> {
        unit.db.prepare_cached("UPDATE todo_lists SET last_id = ?2, items = ?3 WHERE user_id = ?1")?.execute(params![
            user,
            self.last_id,
            self.items
        ])?;
        Ok(())
    }
}

/// Writes an item as it is; one with its number is replaced.
fn write(unit: &Unit<'_>, user: UserId, todo: &Todo) -> Outcome<()> {
    let (day, moment) = match todo.due {
        Some(Due::On(day)) => (Some(Day(day)), None),
        Some(Due::At(moment)) => (None, Some(moment)),
        None => (None, None),
    };
    unit.db
        .prepare_cached(
            "INSERT INTO todos (user_id, id, text, words, category, category_words, priority, due_on, due_at, parent_id, completed_at,
                 created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT DO UPDATE SET text = ?3, words = ?4, category = ?5, category_words = ?6, priority = ?7, due_on = ?8, due_at = ?9,
                 completed_at = ?11, updated_at = ?13",
        )?
        .execute(params![
            user,
            todo.id,
            todo.text,
            words(&todo.text),
            todo.category,
            todo.category.as_deref().map(words),
            todo.priority,
            day,
            moment,
            todo.parent,
            todo.completed_at,
            todo.created_at,
            todo.updated_at,
        ])?;
    Ok(())
}

/// Writes an item down, unless an equal one is open.
pub(super) fn add(unit: &Unit<'_>, user: UserId, new: &NewTodo, limit: usize) -> Outcome<AddedTodo> {
    let mut head = Head::take(unit, user)?;
    if let Some(parent) = new.parent
        && find(unit.db, user, parent)?.is_none()
    {
        return Err(StoreError::NotFound { what: "the parent item" }.into());
    }
    let is_same = new.same();
    let equal = unit
        .db
        .prepare_cached(select_todo!("AND words = ?2 ORDER BY id"))?
        .query_map(params![user, words(&new.text)], todo)?
        .find(|found| found.as_ref().map_or(true, &is_same))
        .transpose()?;
    if let Some(todo) = equal {
        return Ok(AddedTodo { todo, is_new: false });
    }
    let todo = new.numbered(head.next(limit)?, unit.now);
    write(unit, user, &todo)?;
    head.keep(unit, user)?;
    Ok(AddedTodo { todo, is_new: true })
}

/// Which items, apart from their state, which decides by which index they are found.
macro_rules! filtered {
    ($state:literal) => {
        select_todo!(
            $state,
            " AND id > ?2
              AND (?3 IS NULL OR category_words = ?3)
              AND (?4 IS NULL OR priority = ?4)
              AND (?5 IS NULL OR (due_on >= ?5 AND due_on < ?6) OR (due_at >= ?7 AND due_at < ?8))
              AND (?9 IS NULL OR words = ?9)
              AND NOT EXISTS (SELECT 1 FROM json_each(?10) wanted
                              WHERE instr(words, wanted.value) = 0 AND instr(ifnull(category_words, ''), wanted.value) = 0)
              ORDER BY id LIMIT ?11"
        )
    };
}

/// Items, oldest number first.
pub(super) fn list(db: &Connection, user: UserId, filter: &TodoFilter, request: &PageRequest) -> Outcome<Page<Todo>> {
    let from = cursor::read(Listing::Todos, 0, request.cursor.as_deref())?;
    let [after] = from.map_or([0], |place: Place<1>| place.numbers);
    let statement = match filter.state {
        None => filtered!(""),
        Some(TodoState::Open) => filtered!("AND completed_at IS NULL"),
        Some(TodoState::Completed) => filtered!("AND completed_at IS NOT NULL"),
    };
    let days = filter.due.as_ref().map(|due| (Day(due.days.start), Day(due.days.end)));
    let moments = filter.due.as_ref().map(|due| (due.moments.start, due.moments.end));
    let found = db
        .prepare_cached(statement)?
        .query_map(
            params![
                user,
                after,
                filter.category,
                filter.priority,
                days.as_ref().map(|days| &days.0),
                days.as_ref().map(|days| &days.1),
                moments.map(|moments| moments.0),
                moments.map(|moments| moments.1),
                filter.named,
                Json(&filter.holding),
                cursor::ask_for(request.limit),
            ],
            todo,
        )?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let place = |todo: &Todo| Place { numbers: [todo.id.number()], id: Vec::new() };
    Ok(cursor::page(Listing::Todos, request.limit, found, place, |todo| todo))
}

/// Changes an item, each field on its own.
pub(super) fn change(unit: &Unit<'_>, user: UserId, id: TodoId, changes: &[TodoChange]) -> Outcome<ChangedTodo> {
    let mut todo = get(unit.db, user, id)?;
    let differs = todo.apply(changes, unit.now);
    if differs {
        write(unit, user, &todo)?;
    }
    Ok(ChangedTodo { todo, changed: differs })
}

/// Deletes an item with all that are a part of it.
pub(super) fn delete(unit: &Unit<'_>, user: UserId, id: TodoId) -> Outcome<Vec<TodoId>> {
    get(unit.db, user, id)?;
    // UNION drops what was found before: even damaged data that goes in a circle comes to an end.
    let ids: Vec<TodoId> = unit
        .db
        .prepare_cached(
            "WITH RECURSIVE gone (id) AS (
                 VALUES (?2) UNION SELECT todos.id FROM gone JOIN todos ON todos.user_id = ?1 AND todos.parent_id = gone.id)
             SELECT id FROM gone",
        )?
        .query_map(params![user, id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut gone = unit.db.prepare_cached("DELETE FROM todos WHERE user_id = ?1 AND id = ?2")?;
    for id in &ids {
        gone.execute(params![user, id])?;
    }
    let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    unit.db.prepare_cached("UPDATE todo_lists SET items = items - ?2 WHERE user_id = ?1")?.execute(params![user, count])?;
    Ok(ids)
}

/// A list in figures.
pub(super) fn figures(db: &Connection, user: UserId, overdue: &DueWithin) -> Outcome<TodoFigures> {
    let mut figures = db
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE completed_at IS NULL), count(completed_at),
                 count(*) FILTER (WHERE completed_at IS NULL
                     AND ((due_on >= ?2 AND due_on < ?3) OR (due_at >= ?4 AND due_at < ?5))),
                 CAST(avg(max(completed_at - created_at, 0) / 1000) AS INTEGER)
             FROM todos WHERE user_id = ?1",
        )?
        .query_row(params![user, Day(overdue.days.start), Day(overdue.days.end), overdue.moments.start, overdue.moments.end], |row| {
            Ok(TodoFigures {
                open: row.get(0)?,
                completed: row.get(1)?,
                overdue: row.get(2)?,
                average_seconds_to_complete: row.get(3)?,
                ..TodoFigures::default()
            })
        })?;
    // A category goes by the spelling of its first item.
    figures.by_category = db
        .prepare_cached("SELECT category, count(*), min(id) FROM todos WHERE user_id = ?1 GROUP BY category_words")?
        .query_map([user], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<BTreeMap<_, _>>>()?;
    figures.by_priority = db
        .prepare_cached("SELECT priority, count(*) FROM todos WHERE user_id = ?1 GROUP BY priority")?
        .query_map([user], |row| Ok((row.get::<_, Priority>(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<BTreeMap<_, _>>>()?;
    Ok(figures)
}

/// For each imported item the one of the list that stands for it, each for one.
fn standing(db: &Connection, user: UserId, items: &[ImportedTodo]) -> Outcome<Vec<Option<TodoId>>> {
    let mut by_words: HashMap<String, Vec<Todo>> = HashMap::new();
    let mut find = db.prepare_cached(select_todo!("AND words = ?2 ORDER BY id"))?;
    let mut standing = vec![None; items.len()];
    // Those that bring a time first: they are choosier.
    for timed in [true, false] {
        for (item, standing) in items.iter().zip(&mut standing).filter(|(item, _)| item.created_at.is_some() == timed) {
            let words = words(&item.text);
            let candidates = match by_words.entry(words.clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(find.query_map(params![user, words], todo)?.collect::<rusqlite::Result<_>>()?),
            };
            let stands = |todo: &Todo| item.created_at.is_none_or(|created_at| created_at == todo.created_at);
            if let Some(place) = candidates.iter().position(stands) {
                *standing = Some(candidates.remove(place).id);
            }
        }
    }
    Ok(standing)
}

/// Adds items from elsewhere, all or none.
pub(super) fn import(unit: &Unit<'_>, user: UserId, items: &[ImportedTodo], limit: usize) -> Outcome<ImportedTodos> {
    let mut head = Head::take(unit, user)?;
    let standing = standing(unit.db, user, items)?;
    // Numbers first: an item may stand before the one that it is a part of.
    let ids = standing.iter().map(|known| known.map_or_else(|| head.next(limit), Ok)).collect::<Outcome<Vec<TodoId>>>()?;
    let mut report = ImportedTodos::default();
    for ((item, id), known) in items.iter().zip(&ids).zip(&standing) {
        if known.is_some() {
            report.known += 1;
            continue;
        }
        report.added += 1;
        write(unit, user, &item.numbered(*id, &ids, unit.now))?;
    }
    head.keep(unit, user)?;
    Ok(report)
}
