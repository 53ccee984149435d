//! The union of two todo lists, and of two lists of schedules.

use std::collections::{BTreeMap, BTreeSet};

use super::holdings::Holdings;
use super::{United, too_much};
use crate::domain::ids::UserId;
use crate::domain::todo::words;
use crate::store::StoreResult;
use crate::store::record::{Record, ScheduleList, StoredSchedule, StoredTodo, TodoList};

/// Whether two items that are parts of the same are one: both open and about the same, or one thing that was done once.
fn is_one(one: &StoredTodo, other: &StoredTodo) -> bool {
    let category = |todo: &StoredTodo| todo.category.as_deref().map(words);
    let about = words(&one.text) == words(&other.text) && category(one) == category(other);
    let when = one.due_on == other.due_on && one.due_at == other.due_at;
    let open = one.completed_at.is_none() && other.completed_at.is_none();
    about && ((open && when) || (one.completed_at == other.completed_at && one.created_at == other.created_at))
}

/// Which items of the one list are in the other already. An item that is a part of another is looked for among the parts of what
/// stands for that.
fn standing(from: &[StoredTodo], into: &[StoredTodo]) -> BTreeMap<i64, i64> {
    let mut known: BTreeMap<i64, i64> = BTreeMap::new();
    let mut taken: BTreeSet<i64> = BTreeSet::new();
    let mut looked: BTreeSet<i64> = BTreeSet::new();
    loop {
        let mut found = Vec::new();
        for item in from.iter().filter(|item| !looked.contains(&item.id)) {
            let parent = match item.parent_id {
                None => None,
                // What a new item has as its parts is new as well.
                Some(parent) => match known.get(&parent) {
                    Some(parent) => Some(*parent),
                    None => continue,
                },
            };
            found.push((item, parent));
        }
        if found.is_empty() {
            return known;
        }
        for (item, parent) in found {
            looked.insert(item.id);
            let same = |other: &&StoredTodo| other.parent_id == parent && !taken.contains(&other.id) && is_one(item, other);
            if let Some(other) = into.iter().find(same) {
                known.insert(item.id, other.id);
                taken.insert(other.id);
            }
        }
    }
}

/// Adds the items of the one list that the other has not, under new numbers.
pub(super) fn todos(user: UserId, from: &Holdings, into: &Holdings, allowed: usize, united: &mut United) -> StoreResult<()> {
    if from.todos.is_empty() {
        return Ok(());
    }
    let mut numbers = standing(&from.todos, &into.todos);
    let new: Vec<&StoredTodo> = from.todos.iter().filter(|item| !numbers.contains_key(&item.id)).collect();
    let both = into.todos.len() + new.len();
    if both > allowed && !new.is_empty() {
        return Err(too_much("todo items", both, allowed));
    }
    let mut last = into.todo_list.as_ref().map_or(0, |list| list.last_id);
    for item in &new {
        last += 1;
        numbers.insert(item.id, last);
    }
    united.merged.todos = u64::try_from(new.len()).unwrap_or(u64::MAX);
    let items = i64::try_from(both).unwrap_or(i64::MAX);
    united.put.push(Record::TodoList(Box::new(TodoList { user_id: user, last_id: last, items })));
    for item in new {
        let id = numbers.get(&item.id).copied().unwrap_or_default();
        let parent_id = item.parent_id.and_then(|parent| numbers.get(&parent).copied());
        united.put.push(Record::Todo(Box::new(StoredTodo { user_id: user, id, parent_id, ..item.clone() })));
    }
    Ok(())
}

/// Whether two schedules are one.
fn is_same(one: &StoredSchedule, other: &StoredSchedule) -> bool {
    let what = |schedule: &StoredSchedule| (schedule.name.clone(), schedule.message.clone(), schedule.zone.clone());
    what(one) == what(other)
        && one.mode == other.mode
        && one.rule == other.rule
        && one.finished == other.finished
        && one.enabled == other.enabled
        && one.next_run == other.next_run
}

/// Adds the schedules of the one list that the other has not, under new numbers.
pub(super) fn schedules(user: UserId, from: &Holdings, into: &Holdings, allowed: usize, united: &mut United) -> StoreResult<()> {
    let is_new = |schedule: &&StoredSchedule| !into.schedules.iter().any(|other| is_same(schedule, other));
    let new: Vec<&StoredSchedule> = from.schedules.iter().filter(is_new).collect();
    if new.is_empty() {
        return Ok(());
    }
    let unfinished = |schedule: &&StoredSchedule| !schedule.finished;
    let added = new.iter().filter(|schedule| unfinished(schedule)).count();
    let both = into.schedules.iter().filter(unfinished).count() + added;
    if both > allowed && added > 0 {
        return Err(too_much("schedules", both, allowed));
    }
    let mut last = into.schedule_list.as_ref().map_or(0, |list| list.last_id);
    let first = last;
    last += i64::try_from(new.len()).unwrap_or(i64::MAX);
    united.merged.schedules = u64::try_from(new.len()).unwrap_or(u64::MAX);
    united.put.push(Record::ScheduleList(Box::new(ScheduleList { user_id: user, last_id: last })));
    for (id, schedule) in (first + 1..).zip(new) {
        united.schedules.push((schedule.id, id));
        united.put.push(Record::Schedule(Box::new(StoredSchedule { user_id: user, id, ..schedule.clone() })));
    }
    Ok(())
}
