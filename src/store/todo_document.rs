//! Todo lists from elsewhere, as JSON.
//!
//! Taken are what `todos export` writes; a bare array of items; a stored document of one person's, with its items under `data`
//! (a file of the JSON backend, a document of a MongoDB collection); and JSON Lines with an item a line. What an item
//! brings beside the known fields is left out. Every problem is told, with the item's place, and any of them refuses the whole.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::domain::text::shortened;
use crate::domain::time::Timestamp;
use crate::domain::todo::{Priority, TodoState};
use crate::store::ImportedTodo;

/// Problems that are told at most.
const TOLD: usize = 20;

/// A list that was read: items, and where each stood.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) items: Vec<ImportedTodo>,
    places: Vec<String>,
}

/// What is wrong with a document, item by item.
#[derive(Debug, thiserror::Error)]
#[error("nothing was imported: {}", told(.0))]
pub(crate) struct InvalidDocument(Vec<String>);

fn told(problems: &[String]) -> String {
    let mut text = String::new();
    for problem in problems.iter().take(TOLD) {
        let _infallible = write!(text, "\n  {problem}");
    }
    if problems.len() > TOLD {
        let _infallible = write!(text, "\n  and {} more", problems.len() - TOLD);
    }
    text
}

impl Document {
    /// Reads a list. `now` stands in where an item is completed and no time is known.
    pub(crate) fn read(text: &str, now: Timestamp) -> Result<Self, InvalidDocument> {
        let found = items(text.trim_start_matches('\u{feff}'))?;
        let mut problems = Vec::new();
        let (mut items, mut places, mut numbers, mut parents) = (Vec::new(), Vec::new(), HashMap::new(), Vec::new());
        for (at, (place, value)) in found.into_iter().enumerate() {
            match read_item(&value, now) {
                Ok(item) => {
                    if let Some(id) = item.id
                        && let Some(first) = numbers.insert(id.clone(), at)
                    {
                        let first = places.get(first).cloned().unwrap_or_default();
                        problems.push(format!("{place}: its id {id} is that of {first} too"));
                    }
                    parents.push(item.parent);
                    items.push(item.todo);
                }
                Err(reason) => {
                    problems.push(format!("{place}: {reason}"));
                    // Its place is kept, so that parents are found.
                    if let Some(id) = value.get("id").and_then(key) {
                        numbers.insert(id, at);
                    }
                    parents.push(None);
                    items.push(stand_in());
                }
            }
            places.push(place);
        }
        let mut parts = vec![None; items.len()];
        for ((parent, part), place) in parents.iter().zip(&mut parts).zip(&places) {
            if let Some(parent) = parent {
                match numbers.get(parent) {
                    Some(at) => *part = Some(*at),
                    None => problems.push(format!("{place}: its parentId {parent} is no item's id in this document")),
                }
            }
        }
        for (at, place) in places.iter().enumerate() {
            if is_part_of_itself(at, &parts) {
                problems.push(format!("{place}: by its parentId it is a part of itself"));
            }
        }
        if !problems.is_empty() {
            return Err(InvalidDocument(problems));
        }
        for (item, parent) in items.iter_mut().zip(parts) {
            item.parent = parent;
        }
        Ok(Self { items, places })
    }

    /// The places, for what is found wrong later.
    pub(crate) fn into_parts(self) -> (Vec<ImportedTodo>, Places) {
        (self.items, Places(self.places))
    }
}

/// Where each item stood.
pub(crate) struct Places(Vec<String>);

impl Places {
    /// Problems found later, by the items' order.
    pub(crate) fn problems(&self, wrong: &[(usize, String)]) -> InvalidDocument {
        let place = |at: &usize| self.0.get(*at).cloned().unwrap_or_default();
        InvalidDocument(wrong.iter().map(|(at, reason)| format!("{}: {reason}", place(at))).collect())
    }
}

/// Whether going from parent to parent leads back. What only leads into such a circle is not in it.
fn is_part_of_itself(start: usize, parents: &[Option<usize>]) -> bool {
    let mut at = start;
    for _step in parents {
        match parents.get(at).copied().flatten() {
            Some(next) if next == start => return true,
            Some(next) => at = next,
            None => return false,
        }
    }
    false
}

/// The items of a document with their places.
fn items(text: &str) -> Result<Vec<(String, Value)>, InvalidDocument> {
    let whole = match serde_json::from_str::<Value>(text) {
        Ok(whole) => whole,
        Err(error) => return lines(text).ok_or_else(|| InvalidDocument(vec![format!("this is no JSON: {error}")]))?,
    };
    let numbered = |items: Vec<Value>| items.into_iter().enumerate().map(|(at, item)| (format!("item {}", at + 1), item)).collect();
    match list_in(whole) {
        Ok(items) => Ok(numbered(items)),
        Err(whole) if whole.get("text").is_some() => Ok(numbered(vec![whole])),
        Err(_other) => {
            let reason = "no list of items is in it; expected are an array, or an object with \"todos\"";
            Err(InvalidDocument(vec![reason.to_owned()]))
        }
    }
}

/// The array of items in a document, or the document as it was.
fn list_in(whole: Value) -> Result<Vec<Value>, Value> {
    match whole {
        Value::Array(items) => {
            // A MongoDB export is an array of stored documents, one a person: one of them is a list, several are several people's.
            match items.as_slice() {
                [one] if one.get("text").is_none() && one.get("data").is_some() => list_in(one.clone()),
                _items => Ok(items),
            }
        }
        Value::Object(mut object) => {
            let inner = ["todos", "items", "data"].into_iter().find_map(|name| object.remove(name).filter(|value| !value.is_null()));
            match inner {
                Some(inner) => list_in(inner),
                None => Err(Value::Object(object)),
            }
        }
        other => Err(other),
    }
}

/// The items of JSON Lines; nothing when the first line is no JSON object either.
fn lines(text: &str) -> Option<Result<Vec<(String, Value)>, InvalidDocument>> {
    let (mut items, mut problems) = (Vec::new(), Vec::new());
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("line {}", at + 1);
        match serde_json::from_str::<Value>(line) {
            Ok(item) if item.is_object() => items.push((place, item)),
            _ if items.is_empty() && problems.is_empty() => return None,
            Ok(_other) => problems.push(format!("{place}: this is no item")),
            Err(error) => problems.push(format!("{place}: this is no JSON ({error}); is the line torn?")),
        }
    }
    if items.is_empty() {
        return None;
    }
    Some(if problems.is_empty() { Ok(items) } else { Err(InvalidDocument(problems)) })
}

/// An item of a document.
struct Item {
    id: Option<String>,
    parent: Option<String>,
    todo: ImportedTodo,
}

fn stand_in() -> ImportedTodo {
    ImportedTodo {
        text: String::new(),
        category: None,
        priority: Priority::default(),
        due: None,
        parent: None,
        completed_at: None,
        created_at: None,
        updated_at: None,
    }
}

fn read_item(value: &Value, now: Timestamp) -> Result<Item, String> {
    let Value::Object(item) = value else { return Err("this is no item, which is a JSON object".to_owned()) };
    let text = text(item, &["text", "title", "task", "content", "description"])?.ok_or("it has no text")?;
    let created_at = moment(item, &["createdAt", "created_at", "created"])?;
    let updated_at = moment(item, &["updatedAt", "updated_at", "updated"])?;
    let completed_at = moment(item, &["completedAt", "completed_at"])?;
    let state = match field(item, &["completed", "done"]) {
        None if completed_at.is_some() => TodoState::Completed,
        None | Some((_, Value::Bool(false))) => TodoState::Open,
        Some((_, Value::Bool(true))) => TodoState::Completed,
        Some((name, other)) => return Err(format!("its {name} is {}, expected true or false", brief(other))),
    };
    let took = match field(item, &["secondsToComplete", "seconds_to_complete"]) {
        None => None,
        Some((name, seconds)) => {
            let seconds = seconds.as_f64().and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
            Some(seconds.ok_or_else(|| format!("its {name} is no number of seconds"))?)
        }
    };
    let finished = created_at.zip(took).map(|(created, took)| created.after(took));
    let completed_at = match state {
        TodoState::Open => None,
        TodoState::Completed => Some(completed_at.or(finished).or(updated_at).or(created_at).unwrap_or(now)),
    };
    let priority = match self::text(item, &["priority"])? {
        None => Priority::default(),
        Some(word) => Priority::parse(&word)
            .ok_or_else(|| format!("its priority is {}, expected low, medium, high or urgent", brief(&word.into())))?,
    };
    let due = match self::text(item, &["dueDate", "due_date", "due"])? {
        None => None,
        Some(due) => Some(due.parse().map_err(|error| format!("its dueDate is {}: {error}", brief(&due.into())))?),
    };
    let number = |names: &[&'static str]| match field(item, names) {
        None => Ok(None),
        Some((name, value)) => key(value).map(Some).ok_or_else(|| format!("its {name} is {}, expected a number or text", brief(value))),
    };
    Ok(Item {
        id: number(&["id", "_id"])?,
        parent: number(&["parentId", "parent_id", "parent"])?,
        todo: ImportedTodo {
            text,
            category: self::text(item, &["category"])?,
            priority,
            due,
            parent: None,
            completed_at,
            created_at,
            updated_at,
        },
    })
}

/// The first of these fields that says something.
fn field<'a>(item: &'a Map<String, Value>, names: &[&'static str]) -> Option<(&'static str, &'a Value)> {
    names.iter().find_map(|name| item.get(*name).filter(|value| !value.is_null()).map(|value| (*name, value)))
}

/// An id as a key: `7` and `"7"` are one.
fn key(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Object(extended) => extended.get("$oid").and_then(Value::as_str).map(str::to_owned),
        _other => None,
    }
}

/// A text; an empty one is none.
fn text(item: &Map<String, Value>, names: &[&'static str]) -> Result<Option<String>, String> {
    match field(item, names) {
        None => Ok(None),
        Some((_, Value::String(text))) => Ok(Some(text.clone()).filter(|text| !text.trim().is_empty())),
        Some((name, other)) => Err(format!("its {name} is {}, expected text", brief(other))),
    }
}

/// A moment: RFC 3339, milliseconds since 1970, or MongoDB's `{"$date": …}` with either.
fn moment(item: &Map<String, Value>, names: &[&'static str]) -> Result<Option<Timestamp>, String> {
    let Some((name, value)) = field(item, names) else { return Ok(None) };
    let inner = value.get("$date").unwrap_or(value);
    let read = match inner.get("$numberLong").unwrap_or(inner) {
        Value::String(text) => match text.parse::<i64>() {
            Ok(millis) if inner.is_object() => Some(Timestamp::from_millis(millis)),
            _ => text.parse::<jiff::Timestamp>().ok().map(Timestamp::from),
        },
        Value::Number(millis) => millis.as_i64().map(Timestamp::from_millis),
        _other => None,
    };
    // What is kept can be written again.
    let read = read.filter(|moment| (0..253_402_300_800_000).contains(&moment.as_millis()));
    read.map(Some).ok_or_else(|| format!("its {name} is {}, expected a moment (RFC 3339)", brief(value)))
}

/// The beginning of a value, as JSON.
fn brief(value: &Value) -> String {
    shortened(&value.to_string(), 40).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_348_800_000);

    fn read(text: &str) -> Document {
        Document::read(text, NOW).unwrap_or_else(|error| panic!("{error}"))
    }

    fn problems(text: &str) -> Vec<String> {
        Document::read(text, NOW).unwrap_err().0
    }

    #[test]
    fn a_list_is_read_from_every_shape_that_it_comes_in() {
        let item = r#"{"id": 1, "text": "milk", "completed": false, "createdAt": "2026-01-02T03:04:05.678Z"}"#;
        for shape in [
            format!("[{item}]"),
            format!("\u{feff}{{\"todos\": [{item}]}}"),
            format!(r#"{{"userId": "u", "data": {{"todos": [{item}]}}, "updatedAt": "x"}}"#),
            format!(r#"[{{"_id": {{"$oid": "0"}}, "userId": "u", "data": [{item}]}}]"#),
            format!("{item}\n"),
            item.replace("\"2026-01-02T03:04:05.678Z\"", r#"{"$date": {"$numberLong": "1767323045678"}}"#),
            item.replace("\"2026-01-02T03:04:05.678Z\"", r#"{"$date": "2026-01-02T03:04:05.678Z"}"#),
            item.replace("\"2026-01-02T03:04:05.678Z\"", "1767323045678"),
        ] {
            let found = read(&shape).items;
            assert_eq!(found.len(), 1, "{shape}");
            assert_eq!((found[0].text.as_str(), found[0].completed_at), ("milk", None), "{shape}");
            assert_eq!(found[0].created_at.map(Timestamp::as_millis), Some(1_767_323_045_678), "{shape}");
        }
        assert_eq!(read("[]").items.len(), 0);
        assert_eq!(read(r#"{"userId": "u", "data": {"todos": []}}"#).items.len(), 0);
        assert_eq!(read(&format!("{item}\n\n{}\n", item.replace('1', "2"))).items.len(), 2);
    }

    #[test]
    fn an_item_that_is_done_gets_the_best_time_that_is_known() {
        let done = |fields: &str| {
            let text = format!(r#"[{{"text": "x", "completed": true, {fields} "id": "a"}}]"#);
            read(&text).items.remove(0).completed_at.unwrap().to_string()
        };
        let created = r#""createdAt": "2026-01-01T00:00:00Z","#;
        assert_eq!(done(""), NOW.to_string());
        assert_eq!(done(created), "2026-01-01T00:00:00.000Z");
        assert_eq!(done(&format!(r#"{created} "secondsToComplete": 90,"#)), "2026-01-01T00:01:30.000Z");
        assert_eq!(done(&format!(r#"{created} "updatedAt": "2026-01-03T00:00:00Z","#)), "2026-01-03T00:00:00.000Z");
        assert_eq!(done(&format!(r#"{created} "completedAt": "2026-01-02T00:00:00Z","#)), "2026-01-02T00:00:00.000Z");
    }

    #[test]
    fn parts_are_found_wherever_they_stand() {
        let found = read(
            r#"[{"id": "b", "text": "part", "parentId": 7}, {"id": 7, "text": "whole"}, {"id": 8, "text": "other", "parentId": "7"}]"#,
        );
        assert_eq!(found.items.iter().map(|item| item.parent).collect::<Vec<_>>(), [Some(1), None, Some(1)]);
    }

    #[test]
    fn each_problem_is_told_with_its_place() {
        let told = problems(
            r#"[{"text": "fine", "id": 1}, {"text": ""}, 5, {"text": "x", "priority": "asap"}, {"text": "x", "dueDate": "tomorrow"},
                {"text": "x", "completed": "yes"}, {"text": "x", "createdAt": "then"}, {"text": 5}, {"text": "x", "parentId": 99},
                {"text": "x", "id": 1}, {"text": "x", "id": 20, "parentId": 21}, {"text": "x", "id": 21, "parentId": 20},
                {"text": "x", "parentId": 20}, {"text": "x", "secondsToComplete": -1}]"#,
        );
        let expected = [
            "item 2: it has no text",
            "item 3: this is no item",
            "item 4: its priority is \"asap\"",
            "item 5: its dueDate is \"tomorrow\"",
            "item 6: its completed is \"yes\"",
            "item 7: its createdAt is \"then\"",
            "item 8: its text is 5",
            "item 10: its id 1 is that of item 1 too",
            "item 14: its secondsToComplete",
            "item 9: its parentId 99",
            "item 11: by its parentId it is a part of itself",
            "item 12: by its parentId it is a part of itself",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told:?} instead of {expected:?}");
        }
    }

    #[test]
    fn a_torn_line_refuses_the_whole_and_is_named() {
        let told = problems("{\"text\": \"one\"}\n{\"text\": \"two\"}\n\n{\"text\": \"thr");
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("line 4: this is no JSON"), "{told:?}");
        assert!(problems("not json")[0].starts_with("this is no JSON"));
        assert!(problems("{\"entities\": []}")[0].starts_with("no list of items"));
        assert!(problems("5")[0].starts_with("no list of items"));
        assert!(problems("")[0].starts_with("this is no JSON"));
    }
}
