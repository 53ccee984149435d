//! The offline model's use of tools: a few sentences that it understands, and the call that each of them is.
//!
//! It is offered tools like any model, by name; a tool that is not offered it does not have, and it says so. What a call gave it
//! reads from the call's result, and it never says that something is done when the result does not.

use serde_json::{Value, json};

use super::{Plain, shortened, strip_prefix_any_case};
use crate::domain::step::ToolCall;
use crate::model::{ToolSpec, ToolStep};

/// Where facts go that are about nothing by name.
const NOTES: &str = "things to remember";

/// What somebody wants that takes a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wish {
    /// "remember that my sister is Ada"
    Remember(String),
    /// "what do you know about my sister"; nothing for all
    Recall(Option<String>),
    /// "add milk to my list"
    Add(String),
    /// "what is on my list"
    List,
    /// "tick off milk"
    Complete(String),
    /// "remind me in 2 minutes to stretch"
    Remind { when: String, message: String },
}

/// What it does about a text that takes a tool: asks for the call, or says that it has no such tool. `None` for any other text.
pub(super) fn call_for(text: &str, offered: &[ToolSpec]) -> Option<Result<ToolCall, String>> {
    let wish = wish(text)?;
    let (name, arguments, what) = match &wish {
        Wish::Remember(fact) => ("create_entities", json!({ "entities": [entity(fact)] }), "memory"),
        Wish::Recall(Some(subject)) => ("search_nodes", json!({ "query": subject }), "memory"),
        Wish::Recall(None) => ("read_graph", json!({}), "memory"),
        Wish::Add(item) => ("todo_add", json!({ "text": item }), "todo list"),
        Wish::List => ("todo_list", json!({}), "todo list"),
        Wish::Complete(item) => ("todo_complete", json!({ "text": item }), "todo list"),
        Wish::Remind { when, message } => {
            let arguments = json!({ "name": shortened(message, 60), "message": message, "mode": "remind", "when": { "once": when } });
            ("schedule_create", arguments, "schedules")
        }
    };
    if !offered.iter().any(|tool| tool.name == name) {
        return Some(Err(format!("I was not given the tool {name}, so I have no {what} here and cannot do that.")));
    }
    Some(Ok(ToolCall { id: String::new(), name: name.to_owned(), arguments: arguments.to_string(), extra: None }))
}

/// What it says about what came of a step that it asked for.
pub(super) fn report(step: &ToolStep) -> String {
    step.calls.iter().map(|(call, result)| report_call(call, result)).collect::<Vec<_>>().join("\n")
}

fn report_call(call: &ToolCall, result: &str) -> String {
    if let Some(reason) = result.strip_prefix("Error: ") {
        return format!("That did not work: {}", shortened(reason, 200));
    }
    let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
    let given: Value = serde_json::from_str(result).unwrap_or_default();
    let argument = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
    match call.name.as_str() {
        "create_entities" => {
            let fact = arguments.pointer("/entities/0/observations/0").and_then(Value::as_str).unwrap_or_default();
            format!("I will remember that {}.", to_them(fact))
        }
        "search_nodes" => known(&given).unwrap_or_else(|| format!("I know nothing about {}.", argument("query"))),
        "read_graph" => known(&given).unwrap_or_else(|| "I know nothing about you yet.".to_owned()),
        "todo_add" => format!("\"{}\" is on your list.", argument("text")),
        "todo_complete" => format!("\"{}\" is ticked off.", argument("text")),
        "todo_list" => {
            let items: Vec<&str> = texts(&given, "todos", "text");
            if items.is_empty() { "Your list is empty.".to_owned() } else { format!("On your list: {}.", items.join(", ")) }
        }
        "schedule_create" => {
            let when = arguments.pointer("/when/once").and_then(Value::as_str).unwrap_or_default();
            format!("I will remind you {when}: {}", argument("message"))
        }
        other => format!("{other} says: {}", shortened(result, 200)),
    }
}

/// The facts in an answer of the memory, as they were told.
fn known(given: &Value) -> Option<String> {
    let entities = given.get("entities")?.as_array()?;
    let mut facts = Vec::new();
    for entity in entities.iter().take(10) {
        for fact in entity.get("observations").and_then(Value::as_array).into_iter().flatten().take(5) {
            let text = fact.as_str().or_else(|| fact.get("text").and_then(Value::as_str));
            facts.extend(text.map(to_them));
        }
    }
    (!facts.is_empty()).then(|| format!("This I know: {}.", facts.join("; ")))
}

fn texts<'a>(given: &'a Value, list: &str, field: &str) -> Vec<&'a str> {
    let items = given.get(list).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(|item| item.get(field).and_then(Value::as_str)).collect()
}

/// What a text asks for.
fn wish(text: &str) -> Option<Wish> {
    let text = text.trim().trim_end_matches(['.', '!', '?']);
    let after =
        |prefixes: &[&str]| prefixes.iter().find_map(|prefix| strip_prefix_any_case(text, prefix)).map(|rest| rest.trim().to_owned());
    if let Some(rest) = after(&["please remind me ", "remind me "]) {
        return reminder(&rest);
    }
    if let Some(item) = after(&["please add ", "add ", "put "]) {
        let lower = item.to_ascii_lowercase();
        let ends = [" to my list", " on my list", " to my todo list", " to the list", " on the list", " to my shopping list"];
        let end = ends.iter().find_map(|end| lower.strip_suffix(end)).map(str::len)?;
        return item.get(..end).map(|item| Wish::Add(item.trim().to_owned()));
    }
    if let Some(item) = after(&["tick off ", "check off ", "complete "]) {
        return Some(Wish::Complete(item));
    }
    let plain = Plain::new(text);
    if plain.has(&[
        "what is on my list",
        "what is on my todo list",
        "show my list",
        "show me my list",
        "my todo list",
        "my todos",
        "what do i have to do",
    ]) {
        return Some(Wish::List);
    }
    if let Some(subject) =
        after(&["what do you know about ", "what do you remember about ", "do you know about ", "who is my ", "what is my "])
    {
        // Names told within a conversation are its own business.
        let subject = strip_prefix_any_case(&subject, "my ").unwrap_or(&subject).trim().to_owned();
        return match subject.to_ascii_lowercase().as_str() {
            "name" => None,
            "me" | "myself" => Some(Wish::Recall(None)),
            _ => Some(Wish::Recall(Some(subject))),
        };
    }
    let fact = after(&["please remember that ", "remember that ", "please remember ", "remember "])?;
    // "Remember my name?" asks.
    (fact.split_whitespace().count() > 2).then_some(Wish::Remember(fact))
}

/// "in 2 minutes to stretch", "to stretch in 2 minutes".
fn reminder(rest: &str) -> Option<Wish> {
    let (when, message) = if let Some(rest) = strip_prefix_any_case(rest, "to ") {
        let lower = rest.to_ascii_lowercase();
        rest.split_at_checked(lower.rfind(" in ")?).map(|(message, when)| (when, message))?
    } else {
        let lower = rest.to_ascii_lowercase();
        rest.split_at_checked(lower.find(" to ")?).map(|(when, message)| (when, message.get(4..).unwrap_or_default()))?
    };
    let (when, message) = (when.trim().to_owned(), message.trim().to_owned());
    let said = !message.is_empty() && when.to_ascii_lowercase().starts_with("in ");
    said.then_some(Wish::Remind { when, message })
}

/// A fact as an entity: "my sister is Ada" is about Ada, anything else is a note.
fn entity(fact: &str) -> Value {
    let named = strip_prefix_any_case(fact, "my ").and_then(|rest| rest.split_once(" is "));
    match named.map(|(kind, name)| (kind.trim(), name.trim())).filter(|(kind, name)| !kind.is_empty() && is_name(name)) {
        Some((kind, name)) => json!({ "name": shortened(name, 100), "entityType": shortened(kind, 60), "observations": [fact] }),
        None => json!({ "name": NOTES, "entityType": "note", "observations": [fact] }),
    }
}

/// Whether it reads like a name: "Ada" and "Ada Lovelace" do, "in Zürich" and "fond of tea" do not.
fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_uppercase()) && text.split_whitespace().count() <= 4
}

/// What they said of themselves, said to them.
fn to_them(fact: &str) -> String {
    let word = |word: &str| match word.to_ascii_lowercase().as_str() {
        "my" => "your".to_owned(),
        "i" | "me" => "you".to_owned(),
        "am" => "are".to_owned(),
        "i'm" => "you are".to_owned(),
        _ => word.to_owned(),
    };
    fact.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered() -> Vec<ToolSpec> {
        let schema = serde_json::Map::new();
        let names = ["create_entities", "search_nodes", "read_graph", "todo_add", "todo_list", "todo_complete", "schedule_create"];
        names.map(|name| ToolSpec::new(name, "", &schema)).into()
    }

    #[test]
    fn sentences_become_calls() {
        for (text, name, arguments) in [
            (
                "remember that my sister is Ada",
                "create_entities",
                json!({ "entities": [{ "name": "Ada", "entityType": "sister", "observations": ["my sister is Ada"] }] }),
            ),
            (
                "Remember that I like tea.",
                "create_entities",
                json!({ "entities": [{ "name": NOTES, "entityType": "note", "observations": ["I like tea"] }] }),
            ),
            (
                "remember that my brother's farm is in Zürich",
                "create_entities",
                json!({ "entities": [{ "name": NOTES, "entityType": "note", "observations": ["my brother's farm is in Zürich"] }] }),
            ),
            ("What do you know about my sister?", "search_nodes", json!({ "query": "sister" })),
            ("who is my sister", "search_nodes", json!({ "query": "sister" })),
            ("what do you know about me", "read_graph", json!({})),
            ("add milk to my list", "todo_add", json!({ "text": "milk" })),
            ("Put Brot und Käse on my list!", "todo_add", json!({ "text": "Brot und Käse" })),
            ("What's on my list?", "todo_list", json!({})),
            ("tick off milk", "todo_complete", json!({ "text": "milk" })),
            (
                "remind me in 2 minutes to stretch",
                "schedule_create",
                json!({ "name": "stretch", "message": "stretch", "mode": "remind", "when": { "once": "in 2 minutes" } }),
            ),
            (
                "Remind me to call Bob in 3 hours",
                "schedule_create",
                json!({ "name": "call Bob", "message": "call Bob", "mode": "remind", "when": { "once": "in 3 hours" } }),
            ),
        ] {
            let call = call_for(text, &offered()).unwrap_or_else(|| panic!("{text}")).unwrap();
            let given: Value = serde_json::from_str(&call.arguments).unwrap();
            assert_eq!((call.name.as_str(), given), (name, arguments), "{text}");
            let refusal = call_for(text, &[]).unwrap().unwrap_err();
            assert!(refusal.contains("was not given the tool") && refusal.contains(name), "{refusal}");
        }
    }

    #[test]
    fn other_sentences_take_no_tool() {
        for text in
            ["hello", "what is my name", "remember my name?", "add 2 and 2", "remind me", "remind me to", "what time is it", "é", ""]
        {
            assert_eq!(call_for(text, &offered()), None, "{text}");
        }
    }

    #[test]
    fn what_came_of_a_call_is_told_and_a_failure_is_no_success() {
        for (text, result, told) in [
            ("remember that my sister is Ada", r#"{"entities":[]}"#, "I will remember that your sister is Ada."),
            ("remember that my sister is Ada", "Error: the memory is full", "That did not work: the memory is full"),
            (
                "who is my sister",
                r#"{"entities":[{"name":"Ada","observations":["my sister is Ada"]}],"relations":[]}"#,
                "This I know: your sister is Ada.",
            ),
            ("who is my sister", r#"{"entities":[],"relations":[]}"#, "I know nothing about sister."),
            ("add milk to my list", r#"{"id":1}"#, "\"milk\" is on your list."),
            ("what is on my list", r#"{"todos":[{"id":1,"text":"milk"},{"id":2,"text":"eggs"}]}"#, "On your list: milk, eggs."),
            ("what is on my list", r#"{"todos":[]}"#, "Your list is empty."),
            ("remind me in 2 minutes to stretch", r#"{"id":1}"#, "I will remind you in 2 minutes: stretch"),
        ] {
            let call = call_for(text, &offered()).unwrap().unwrap();
            let step = ToolStep { text: String::new(), calls: vec![(call, result.to_owned())] };
            assert_eq!(report(&step), told, "{text}");
        }
    }
}
