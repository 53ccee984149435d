//! JSON Schemas of arguments and results, from the structs that read and write them, as small as models and clients like them.
//!
//! What schemars writes is valid but long, and some clients refuse parts of it: `["string", "null"]` for an argument that may be
//! left out, number formats of its own, titles. Here an optional argument is simply not required; `null` stays only where a
//! field says that it means something. Two marks on a field are read by [`crate::toolset::arguments`] and not shown to anybody:
//!
//! - `#[schemars(extend("aliases" = ["q", "text"]))]`: other names by which it is taken;
//! - `#[schemars(extend("keepNull" = true))]`: `null` is a value of its own and not the same as absent.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::service::tools::JsonObject;

/// The mark with other names of a property.
pub(super) const ALIASES: &str = "aliases";
/// The mark of a property whose `null` means something.
const KEEP_NULL: &str = "keepNull";

/// The schema of a tool's arguments, with the marks in it.
pub(super) fn of_arguments<T: JsonSchema>() -> JsonObject {
    of::<T>(SchemaSettings::draft2020_12().for_deserialize())
}

/// The schema of a tool's result. A field that is left out when it is empty is not required.
pub(super) fn of_result<T: JsonSchema>() -> JsonObject {
    published(&of::<T>(SchemaSettings::draft2020_12().for_serialize()))
}

/// The schema as others see it: without our marks.
pub(super) fn published(schema: &JsonObject) -> JsonObject {
    let mut schema = schema.clone();
    each_schema(&mut schema, &mut |schema| {
        schema.remove(ALIASES);
        schema.remove(KEEP_NULL);
        one_type_each(schema);
    });
    schema
}

/// Several types as several branches of one type each: clients that translate schemas into a language without lists of types refuse a
/// tool for them, or drop what they say.
fn one_type_each(schema: &mut JsonObject) {
    let Some(Value::Array(kinds)) = schema.get("type") else { return };
    let branches: Vec<Value> = kinds.iter().map(|kind| Value::Object(Map::from_iter([("type".to_owned(), kind.clone())]))).collect();
    schema.remove("type");
    schema.insert("anyOf".to_owned(), branches.into());
}

fn of<T: JsonSchema>(settings: SchemaSettings) -> JsonObject {
    let settings = settings.with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let mut schema = match settings.into_generator().into_root_schema_for::<T>().to_value() {
        Value::Object(schema) => schema,
        _anything => Map::new(),
    };
    each_schema(&mut schema, &mut tidy);
    // The tool's own description says it.
    schema.remove("description");
    if schema.get("type").is_some_and(|kind| kind == "object") {
        schema.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    }
    schema
}

/// Calls `change` for a schema and every schema in it, the inner ones first.
fn each_schema(schema: &mut JsonObject, change: &mut impl FnMut(&mut JsonObject)) {
    for (keyword, value) in schema.iter_mut() {
        match (keyword.as_str(), value) {
            ("properties" | "patternProperties" | "$defs", Value::Object(schemas)) => {
                schemas.values_mut().filter_map(Value::as_object_mut).for_each(|schema| each_schema(schema, change));
            }
            ("items" | "additionalProperties" | "not" | "contains", Value::Object(schema)) => each_schema(schema, change),
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(schemas)) => {
                schemas.iter_mut().filter_map(Value::as_object_mut).for_each(|schema| each_schema(schema, change));
            }
            _others => {}
        }
    }
    change(schema);
}

fn tidy(schema: &mut JsonObject) {
    schema.remove("title");
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    if let Some(Value::String(format)) = schema.get("format")
        && (format.contains("int") || matches!(format.as_str(), "float" | "double"))
    {
        schema.remove("format");
    }
    if !schema.contains_key(KEEP_NULL) {
        without_null(schema);
    }
    as_enum(schema);
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

/// `Option<T>` without its `null`.
fn without_null(schema: &mut JsonObject) {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = choices.as_mut_slice() {
            let only = std::mem::take(only);
            schema.remove("anyOf");
            for (keyword, value) in only {
                schema.entry(keyword).or_insert(value);
            }
        }
    }
}

/// Words that are documented one by one, as one list of words.
fn as_enum(schema: &mut JsonObject) {
    let Some(Value::Array(choices)) = schema.get("oneOf") else { return };
    let mut words = Vec::new();
    for choice in choices {
        match (choice.get("const"), choice.get("enum")) {
            (Some(word @ Value::String(_)), _) => words.push(word.clone()),
            (None, Some(Value::Array(several))) if several.iter().all(Value::is_string) => words.extend(several.iter().cloned()),
            _anything_else => return,
        }
    }
    schema.remove("oneOf");
    schema.insert("type".to_owned(), "string".into());
    schema.insert("enum".to_owned(), words.into());
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;

    /// What a tool takes.
    #[derive(Deserialize, Serialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    struct Sample {
        /// Which,
        /// exactly.
        #[schemars(extend("aliases" = ["q"]))]
        query: String,
        /// At most.
        #[schemars(range(min = 1, max = 5))]
        max_results: Option<u32>,
        #[schemars(extend("keepNull" = true))]
        #[serde(default)]
        due: Option<String>,
        kind: Option<Kind>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        inner: Vec<Inner>,
    }

    #[derive(Deserialize, Serialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        /// One.
        First,
        /// Two.
        Second,
    }

    #[derive(Deserialize, Serialize, JsonSchema)]
    struct Inner {
        title: Option<String>,
    }

    #[test]
    fn a_schema_is_short_and_optional_arguments_are_not_null() {
        let schema = Value::Object(published(&of_arguments::<Sample>()));
        assert_eq!(
            schema,
            json!({
                "type": "object",
                "properties": {
                    "query": {"type": "string", "description": "Which, exactly."},
                    "maxResults": {"type": "integer", "minimum": 1, "maximum": 5, "description": "At most."},
                    "due": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "kind": {"type": "string", "enum": ["first", "second"]},
                    "inner": {"type": "array", "items": {"type": "object", "properties": {"title": {"type": "string"}}}},
                },
                "required": ["query"],
            })
        );
    }

    #[test]
    fn a_result_requires_what_is_always_there() {
        let schema = Value::Object(of_result::<Sample>());
        assert_eq!(schema["properties"]["query"], json!({"type": "string", "description": "Which, exactly."}));
        assert!(!schema["required"].as_array().unwrap().contains(&json!("inner")));
        assert!(schema["required"].as_array().unwrap().contains(&json!("query")));
    }
}
