//! Reading a tool's arguments: checked against the tool's own schema, so that what is advertised is what holds.
//!
//! A [`ToolList`] is made of the [`tool`]s of a set: a struct for the arguments, a struct for the result, and what a model is
//! told. [`ToolList::read`] gives the arguments as that struct or a [`ToolOutcome`] that says, for each wrong argument, where it
//! stands, what it was and what is valid, so that a model gets it right the next time. What a schema cannot say (a date, a limit
//! from the settings) is checked behind it.
//!
//! Taken as meant: another spelling of a name (`entity_type` for `entityType`) and the names that a field lists as `aliases`;
//! `null` for an optional argument that has no use for it; `5.0` for 5. Not taken: values of another type. What a struct does not
//! know is left out, unless it denies unknown fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::schema;
use crate::domain::text::shortened;
use crate::service::tools::{JsonObject, ToolDefinition, ToolHints, ToolOutcome};

/// Wrong arguments that one answer tells of at most.
const TOLD: usize = 5;

/// A tool, and by what its arguments are read.
pub struct Tool {
    definition: ToolDefinition,
    /// The schema with its marks.
    form: JsonObject,
}

/// A tool that takes `A` and gives `R`.
///
/// Fields' doc comments are their descriptions; `#[schemars(range(…))]` and the like are checked. See [`super::schema`] for the marks.
#[must_use]
pub fn tool<A: JsonSchema, R: JsonSchema>(name: &str, title: &str, description: &str, hints: ToolHints) -> Tool {
    let form = schema::of_arguments::<A>();
    let definition = ToolDefinition {
        name: name.to_owned(),
        title: title.to_owned(),
        description: description.to_owned(),
        input_schema: Arc::new(schema::published(&form)),
        output_schema: Some(Arc::new(schema::of_result::<R>())),
        hints,
    };
    Tool { definition, form }
}

/// The tools of a set.
pub struct ToolList {
    definitions: Arc<Vec<ToolDefinition>>,
    forms: BTreeMap<String, JsonObject>,
}

impl ToolList {
    /// Made once, with the set.
    #[must_use]
    pub fn new(tools: Vec<Tool>) -> Self {
        let forms = tools.iter().map(|tool| (tool.definition.name.clone(), tool.form.clone())).collect();
        Self { definitions: Arc::new(tools.into_iter().map(|tool| tool.definition).collect()), forms }
    }

    /// As models and clients see them.
    #[must_use]
    pub fn definitions(&self) -> Arc<Vec<ToolDefinition>> {
        Arc::clone(&self.definitions)
    }

    /// Reads the arguments of the tool `name`.
    ///
    /// # Errors
    /// What is wrong with them and what is valid, as the tool's outcome.
    pub fn read<A: DeserializeOwned>(&self, name: &str, arguments: JsonObject) -> Result<A, ToolOutcome> {
        let Some(form) = self.forms.get(name) else { return Err(self.unknown(name)) };
        let mut arguments = Value::Object(arguments);
        let mut problems = Vec::new();
        check(form, &mut arguments, "", &mut problems);
        if !problems.is_empty() {
            let more = problems.len().saturating_sub(TOLD);
            problems.truncate(TOLD);
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            return Err(ToolOutcome::error(format!("Wrong arguments: {}{more}.", problems.join("; "))));
        }
        serde_json::from_value(arguments).map_err(|error| ToolOutcome::error(format!("Wrong arguments: {error}.")))
    }

    /// What a call of a tool that is not here comes to.
    #[must_use]
    pub fn unknown(&self, name: &str) -> ToolOutcome {
        let names: Vec<_> = self.definitions.iter().map(|tool| tool.name.as_str()).collect();
        ToolOutcome::error(format!("There is no tool {:?}; there are: {}.", shortened(name, 64), names.join(", ")))
    }
}

/// Checks a value against a schema and writes it as its struct expects it.
fn check(schema: &JsonObject, value: &mut Value, place: &str, problems: &mut Vec<String>) {
    if let Some(Value::Array(choices)) = schema.get("oneOf").or_else(|| schema.get("anyOf")) {
        check_choices(choices, value, place, problems);
        return;
    }
    if let Some(number) = value.as_f64().filter(|_number| value.is_f64())
        && kinds(schema).any(|kind| kind == "integer")
        && let Some(whole) = whole(number)
    {
        *value = whole.into();
    }
    let fits = kinds(schema).next().is_none() || kinds(schema).any(|kind| is_kind(value, kind));
    let listed = schema.get("enum").and_then(Value::as_array).is_none_or(|words| words.contains(value));
    let expected = schema.get("const").is_none_or(|only| only == value);
    if !fits || !listed || !expected || !in_range(schema, value) {
        problems.push(format!("{} is {}, give {}", place_name(place), shown(value), valid(schema)));
        return;
    }
    match value {
        Value::Object(object) => check_object(schema, object, place, problems),
        Value::Array(items) => {
            if let Some(Value::Object(of_item)) = schema.get("items") {
                for (number, item) in items.iter_mut().enumerate() {
                    check(of_item, item, &format!("{place}[{number}]"), problems);
                }
            }
        }
        _scalar => {}
    }
}

fn check_object(schema: &JsonObject, object: &mut JsonObject, place: &str, problems: &mut Vec<String>) {
    let none = JsonObject::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    rename_aliases(properties, object);
    let inside = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    object.retain(|name, value| !value.is_null() || properties.get(name).is_none_or(takes_null));
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(name) {
            let wanted = properties.get(name).and_then(Value::as_object).map_or_else(|| "a value".to_owned(), valid);
            problems.push(format!("{} is missing, give {wanted}", inside(name)));
        }
    }
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    for (name, value) in object.iter_mut() {
        match properties.get(name) {
            Some(Value::Object(property)) => check(property, value, &inside(name), problems),
            None if closed => {
                let names: Vec<_> = properties.keys().map(String::as_str).collect();
                problems.push(format!("{} is not known, valid are: {}", shortened(&inside(name), 64), names.join(", ")));
            }
            _anything => {}
        }
    }
}

/// One of several shapes: the one that it is meant as tells what is wrong with it.
fn check_choices(choices: &[Value], value: &mut Value, place: &str, problems: &mut Vec<String>) {
    let mut meant = None;
    for choice in choices.iter().filter_map(Value::as_object) {
        let (mut tried, mut found) = (value.clone(), Vec::new());
        check(choice, &mut tried, place, &mut found);
        if found.is_empty() {
            *value = tried;
            return;
        }
        let names = choice.get("required").and_then(Value::as_array);
        let has_all =
            |object: &JsonObject| names.is_none_or(|names| names.iter().filter_map(Value::as_str).all(|n| object.contains_key(n)));
        // A choice without required names is meant by any object, if it takes one.
        if kinds(choice).any(|kind| kind == "object") && value.as_object().is_some_and(has_all) {
            meant = Some(found);
        }
    }
    if let Some(found) = meant {
        problems.extend(found);
    } else {
        let wanted: Vec<_> = choices.iter().filter_map(Value::as_object).map(valid).collect();
        problems.push(format!("{} is {}, give {}", place_name(place), shown(value), wanted.join(", or ")));
    }
}

/// Gives properties their own names, where another was used and the own one is free.
fn rename_aliases(properties: &JsonObject, object: &mut JsonObject) {
    let strangers: Vec<String> = object.keys().filter(|name| !properties.contains_key(*name)).cloned().collect();
    for stranger in strangers {
        let own = properties.iter().find(|(name, property)| {
            let aliases = property.get(schema::ALIASES).and_then(Value::as_array);
            let mut names = aliases.into_iter().flatten().filter_map(Value::as_str).chain([name.as_str()]);
            !object.contains_key(*name) && names.any(|known| same_name(known, &stranger))
        });
        if let Some((own, _property)) = own
            && let Some(value) = object.remove(&stranger)
        {
            object.insert(own.clone(), value);
        }
    }
}

/// Whether two names differ in their spelling only: case, `_` and `-`.
fn same_name(a: &str, b: &str) -> bool {
    let letters = |name: &str| -> Vec<u8> {
        name.bytes().filter(|byte| !matches!(byte, b'_' | b'-')).map(|byte| byte.to_ascii_lowercase()).collect()
    };
    letters(a) == letters(b)
}

fn kinds(schema: &JsonObject) -> impl Iterator<Item = &str> {
    let (one, several) = match schema.get("type") {
        Some(Value::String(kind)) => (Some(kind.as_str()), None),
        Some(Value::Array(kinds)) => (None, Some(kinds.iter().filter_map(Value::as_str))),
        _none => (None, None),
    };
    one.into_iter().chain(several.into_iter().flatten())
}

fn takes_null(schema: &Value) -> bool {
    schema.as_object().is_some_and(|schema| kinds(schema).any(|kind| kind == "null"))
        || schema.get("anyOf").and_then(Value::as_array).is_some_and(|choices| choices.iter().any(takes_null))
}

fn is_kind(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _unknown => true,
    }
}

/// A number without a fraction, as far as it can be exact.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is within the integers that a float holds exactly")]
    (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
}

fn in_range(schema: &JsonObject, value: &Value) -> bool {
    let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let within =
        |size: f64, least: &str, most: &str| bound(least).is_none_or(|least| size >= least) && bound(most).is_none_or(|most| size <= most);
    #[expect(clippy::cast_precision_loss, reason = "sizes of what is in memory")]
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| within(number, "minimum", "maximum")),
        Value::String(text) => within(text.chars().count() as f64, "minLength", "maxLength"),
        Value::Array(items) => within(items.len() as f64, "minItems", "maxItems"),
        _other => true,
    }
}

/// What a schema takes, in words.
fn valid(schema: &JsonObject) -> String {
    if let Some(Value::Array(words)) = schema.get("enum") {
        let words: Vec<_> = words.iter().map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned)).collect();
        return format!("one of {}", words.join(", "));
    }
    if let Some(only) = schema.get("const") {
        return only.to_string();
    }
    if let Some(Value::Array(choices)) = schema.get("oneOf").or_else(|| schema.get("anyOf")) {
        return choices.iter().filter_map(Value::as_object).map(valid).collect::<Vec<_>>().join(", or ");
    }
    let names = |keyword: &str| -> Vec<&str> {
        match schema.get(keyword) {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            Some(Value::Object(properties)) => properties.keys().map(String::as_str).collect(),
            _none => Vec::new(),
        }
    };
    let words: Vec<String> = kinds(schema)
        .map(|kind| match kind {
            "string" => format!("text{}", range(schema, "minLength", "maxLength", "characters")),
            "integer" => format!("an integer{}", range(schema, "minimum", "maximum", "")),
            "number" => format!("a number{}", range(schema, "minimum", "maximum", "")),
            "boolean" => "true or false".to_owned(),
            "array" => {
                let of = schema.get("items").and_then(Value::as_object).map_or_else(String::new, |item| format!(", each {}", valid(item)));
                format!("a list{}{of}", range(schema, "minItems", "maxItems", "items"))
            }
            "object" if !names("required").is_empty() => format!("an object with {}", names("required").join(", ")),
            "object" => format!("an object{}{}", if names("properties").is_empty() { "" } else { " of " }, names("properties").join(", ")),
            other => other.to_owned(),
        })
        .collect();
    if words.is_empty() { "another value".to_owned() } else { words.join(" or ") }
}

fn range(schema: &JsonObject, least: &str, most: &str, unit: &str) -> String {
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    match (schema.get(least), schema.get(most)) {
        (Some(least), Some(most)) => format!(" from {least} to {most}{unit}"),
        (Some(least), None) => format!(" from {least}{unit} on"),
        (None, Some(most)) => format!(" of at most {most}{unit}"),
        (None, None) => String::new(),
    }
}

fn place_name(place: &str) -> &str {
    if place.is_empty() { "the whole" } else { place }
}

/// A value as an error shows it: what it is, and its beginning.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.trim_start().starts_with(['[', '{']) => "JSON written as text".to_owned(),
        Value::String(text) => format!("the text {:?}", shortened(text, 40)),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;

    /// As an argument that may be absent, null or a text.
    type Due = Option<Option<String>>;

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    struct Find {
        #[schemars(extend("aliases" = ["q", "text"]))]
        query: String,
        #[schemars(range(min = 1, max = 100), extend("aliases" = ["per_page"]))]
        limit: Option<usize>,
        kind: Option<Kind>,
        #[serde(default)]
        items: Vec<Item>,
        when: Option<When>,
        #[schemars(extend("keepNull" = true))]
        #[serde(default, deserialize_with = "given")]
        due: Due,
    }

    fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Due, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Open,
        Done,
    }

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Item {
        entity_type: String,
    }

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum When {
        Once(String),
        Every { n: u32 },
    }

    #[derive(Serialize, JsonSchema)]
    struct Found {}

    fn read(arguments: &Value) -> Result<Find, String> {
        let list = ToolList::new(vec![tool::<Find, Found>("find", "Find", "Finds.", ToolHints::READ)]);
        list.read("find", arguments.as_object().unwrap().clone()).map_err(|outcome| {
            assert!(outcome.is_error);
            outcome.text
        })
    }

    #[test]
    fn arguments_are_read_by_the_names_that_models_use() {
        let plain = read(&json!({"query": "x", "limit": 5})).unwrap();
        for same in
            [json!({"q": "x", "limit": 5.0}), json!({"text": "x", "perPage": 5}), json!({"Query": "x", "per-page": 5, "kind": null})]
        {
            assert_eq!(read(&same).as_ref(), Ok(&plain), "{same}");
        }
        assert_eq!(read(&json!({"query": "own", "text": "other"})).unwrap().query, "own");
        assert_eq!(read(&json!({"query": "x", "items": [{"entity_type": "t"}]})).unwrap().items[0].entity_type, "t");
        assert_eq!(read(&json!({"query": "x", "unheard_of": 1})).unwrap().query, "x");
        assert_eq!(read(&json!({"query": "x", "when": {"every": {"n": 2}}})).unwrap().when, Some(When::Every { n: 2 }));
    }

    #[test]
    fn null_is_absent_unless_it_means_something() {
        assert_eq!(read(&json!({"query": "x", "limit": null})).unwrap().limit, None);
        assert_eq!(read(&json!({"query": "x"})).unwrap().due, None);
        assert_eq!(read(&json!({"query": "x", "due": null})).unwrap().due, Some(None));
        assert_eq!(read(&json!({"query": null})).unwrap_err(), "Wrong arguments: query is missing, give text.");
    }

    #[test]
    fn what_is_wrong_is_told_with_what_is_valid() {
        for (arguments, told) in [
            (json!({}), "query is missing, give text"),
            (json!({"query": 5}), "query is 5, give text"),
            (json!({"query": "x", "limit": "ten"}), "limit is the text \"ten\", give an integer from 1 to 100"),
            (json!({"query": "x", "limit": 0}), "limit is 0, give an integer from 1 to 100"),
            (json!({"query": "x", "limit": 1.5}), "limit is 1.5, give an integer from 1 to 100"),
            (json!({"query": "x", "kind": "closed"}), "kind is the text \"closed\", give one of open, done"),
            (json!({"query": "x", "items": "[]"}), "items is JSON written as text, give a list, each an object with entityType"),
            (
                json!({"query": "x", "items": [{}, 3]}),
                "items[0].entityType is missing, give text; items[1] is 3, give an object with entityType",
            ),
            (json!({"query": "x", "items": [{"entityType": "t", "x": 1}]}), "items[0].x is not known, valid are: entityType"),
            (json!({"query": "x", "when": {"every": {"n": "two"}}}), "when.every.n is the text \"two\", give an integer from 0 on"),
            (json!({"query": "x", "when": 3}), "when is 3, give an object with once, or an object with every"),
        ] {
            assert_eq!(read(&arguments).unwrap_err(), format!("Wrong arguments: {told}."), "{arguments}");
        }
        let many = json!({"query": "x", "items": vec![json!(1); 9]});
        assert!(read(&many).unwrap_err().ends_with("; and 4 more."));
    }

    #[test]
    fn a_tool_that_is_not_there_is_told_with_those_that_are() {
        let list = ToolList::new(vec![tool::<Find, Found>("find", "Find", "Finds.", ToolHints::READ)]);
        let outcome = list.read::<Find>("fnid", JsonObject::new()).unwrap_err();
        assert_eq!(outcome.text, "There is no tool \"fnid\"; there are: find.");
    }
}
