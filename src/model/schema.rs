//! JSON Schemas as the pickiest servers read them.
//!
//! Servers translate a tool's schema into a grammar or another vendor's dialect, and many refuse what they do not know: references,
//! `null` as one of several types, `const`, `oneOf`, formats of numbers. What they refuse is written otherwise here or, where it
//! only describes, left out. What a tool accepts is checked by the tool itself.

use serde_json::{Map, Value, json};

/// How deep schemas go. What lies deeper, a type that holds itself above all, is any value.
const DEEPEST: usize = 24;

/// Words that say nothing about which arguments are right, or that some server refuses.
const LEFT_OUT: [&str; 14] = [
    "$schema",
    "$id",
    "$defs",
    "definitions",
    "$comment",
    "$anchor",
    "title",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentMediaType",
    "contentEncoding",
    "unevaluatedProperties",
];

/// The schema of a tool's arguments in the common part of the dialects.
pub(super) fn portable(schema: &Map<String, Value>) -> Map<String, Value> {
    let whole = Value::Object(schema.clone());
    let mut portable = object(schema, &whole, DEEPEST);
    portable.insert("type".to_owned(), json!("object"));
    portable.entry("properties").or_insert_with(|| json!({}));
    portable
}

/// A schema anywhere in the whole.
fn value(schema: &Value, whole: &Value, deeper: usize) -> Value {
    match schema {
        Value::Object(schema) if deeper > 0 => Value::Object(object(schema, whole, deeper - 1)),
        // `true` is any value; what is too deep is too.
        _ => json!({}),
    }
}

fn object(schema: &Map<String, Value>, whole: &Value, deeper: usize) -> Map<String, Value> {
    let resolved = resolved(schema, whole);
    let mut portable = Map::new();
    for (word, content) in resolved {
        match (word.as_str(), content) {
            ("properties" | "patternProperties", Value::Object(properties)) => {
                let properties = properties.iter().map(|(name, schema)| (name.clone(), value(schema, whole, deeper))).collect();
                portable.insert(word, Value::Object(properties));
            }
            // A yes or no here, or nothing, says nothing that a model needs.
            ("items" | "additionalProperties", Value::Bool(_)) | ("const" | "default", Value::Null) => {}
            ("items", schema @ Value::Object(_)) | ("additionalProperties", schema) => {
                portable.insert(word, value(&schema, whole, deeper));
            }
            ("anyOf" | "oneOf", Value::Array(choices)) => one_of(&mut portable, &choices, whole, deeper),
            ("allOf", Value::Array(parts)) => {
                for part in &parts {
                    merge(&mut portable, value(part, whole, deeper));
                }
            }
            ("type", Value::Array(types)) => several_types(&mut portable, types),
            ("const", constant) => {
                portable.insert("enum".to_owned(), json!([constant]));
            }
            ("enum", Value::Array(choices)) => {
                portable.insert(word, choices.into_iter().filter(|choice| !choice.is_null()).collect());
            }
            // Only these two are known everywhere; others are refused by some.
            ("format", Value::String(format)) if format != "date-time" && format != "date" => {}
            (other, _) if LEFT_OUT.contains(&other) => {}
            (_, content) => {
                portable.insert(word, content);
            }
        }
    }
    if portable.get("type").is_some_and(|kind| kind == "array") {
        portable.entry("items").or_insert_with(|| json!({}));
    }
    portable
}

/// The schema with what it refers to in the place of the reference; words beside the reference win.
fn resolved(schema: &Map<String, Value>, whole: &Value) -> Map<String, Value> {
    let mut schema = schema.clone();
    // One reference may lead to another; a circle of nothing but references ends here.
    for _ in 0..8 {
        let Some(reference) = schema.remove("$ref") else { break };
        let found = reference.as_str().and_then(|reference| reference.strip_prefix('#')).and_then(|pointer| whole.pointer(pointer));
        if let Some(Value::Object(found)) = found {
            for (word, content) in found {
                schema.entry(word.clone()).or_insert_with(|| content.clone());
            }
        }
    }
    schema.remove("$ref");
    schema
}

/// One of several schemas, of which null is none: what may be null may be left out as well.
fn one_of(portable: &mut Map<String, Value>, choices: &[Value], whole: &Value, deeper: usize) {
    let is_null = |choice: &&Value| choice.get("type").is_some_and(|kind| kind == "null");
    let mut left: Vec<Value> = choices.iter().filter(|choice| !is_null(choice)).map(|choice| value(choice, whole, deeper)).collect();
    match (left.pop(), left.is_empty()) {
        (Some(only), true) => merge(portable, only),
        (Some(last), false) => {
            left.push(last);
            portable.insert("anyOf".to_owned(), Value::Array(left));
        }
        (None, _) => {}
    }
}

/// One of several types, of which null is none.
fn several_types(portable: &mut Map<String, Value>, mut types: Vec<Value>) {
    types.retain(|kind| kind != "null");
    match (types.pop(), types.is_empty()) {
        (Some(only), true) => {
            portable.insert("type".to_owned(), only);
        }
        (Some(last), false) => {
            types.push(last);
            portable.insert("anyOf".to_owned(), types.into_iter().map(|kind| json!({ "type": kind })).collect());
        }
        (None, _) => {}
    }
}

/// Adds what a schema says to another; what stands there stays, and properties and required names are united.
fn merge(into: &mut Map<String, Value>, schema: Value) {
    let Value::Object(schema) = schema else { return };
    for (word, content) in schema {
        match (into.get_mut(&word), content) {
            (Some(Value::Object(there)), Value::Object(more)) => {
                for (name, content) in more {
                    there.entry(name).or_insert(content);
                }
            }
            (Some(Value::Array(there)), Value::Array(more)) if word == "required" => {
                let new: Vec<Value> = more.into_iter().filter(|name| !there.contains(name)).collect();
                there.extend(new);
            }
            (Some(_), _) => {}
            (None, content) => {
                into.insert(word, content);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(schema: Value) -> Value {
        let Value::Object(schema) = schema else { panic!("a schema is an object") };
        Value::Object(portable(&schema))
    }

    #[test]
    fn what_picky_servers_refuse_is_written_otherwise() {
        for (from, to) in [
            (json!({}), json!({ "type": "object", "properties": {} })),
            (
                json!({ "$schema": "x", "title": "T", "type": "object", "properties": { "n": { "type": ["integer", "null"], "format": "uint32", "minimum": 0, "default": null } } }),
                json!({ "type": "object", "properties": { "n": { "type": "integer", "minimum": 0 } } }),
            ),
            (
                json!({ "properties": { "p": { "description": "how urgent", "anyOf": [{ "$ref": "#/$defs/P" }, { "type": "null" }] } }, "$defs": { "P": { "type": "string", "description": "a priority", "enum": ["low", "high", null] } } }),
                json!({ "type": "object", "properties": { "p": { "type": "string", "description": "how urgent", "enum": ["low", "high"] } } }),
            ),
            (
                json!({ "properties": { "w": { "oneOf": [{ "const": "now" }, { "type": ["string", "integer"] }] } } }),
                json!({ "type": "object", "properties": { "w": { "anyOf": [{ "enum": ["now"] }, { "anyOf": [{ "type": "string" }, { "type": "integer" }] }] } } }),
            ),
            (
                json!({ "allOf": [{ "properties": { "a": true }, "required": ["a"] }, { "properties": { "b": { "type": "array" } }, "required": ["a", "b"] }], "additionalProperties": false }),
                json!({ "type": "object", "properties": { "a": {}, "b": { "type": "array", "items": {} } }, "required": ["a", "b"] }),
            ),
            (
                json!({ "properties": { "due": { "type": "string", "format": "date-time" } } }),
                json!({ "type": "object", "properties": { "due": { "type": "string", "format": "date-time" } } }),
            ),
            // A property may be called like a word of the language.
            (
                json!({ "properties": { "title": { "type": "string" }, "format": { "type": "string" } } }),
                json!({ "type": "object", "properties": { "title": { "type": "string" }, "format": { "type": "string" } } }),
            ),
        ] {
            assert_eq!(made(from.clone()), to, "{from}");
        }
    }

    #[test]
    fn a_type_that_holds_itself_and_a_reference_to_nothing_end() {
        let tree = json!({ "properties": { "root": { "$ref": "#/definitions/Node" } }, "definitions": { "Node": { "type": "object", "properties": { "child": { "$ref": "#/definitions/Node" } } } } });
        let text = made(tree).to_string();
        assert!(text.len() < 4_000 && text.contains("child") && !text.contains("$ref"), "{text}");
        let circle = json!({ "properties": { "a": { "$ref": "#/$defs/A" }, "b": { "$ref": "elsewhere" } }, "$defs": { "A": { "$ref": "#/$defs/A" } } });
        assert_eq!(made(circle), json!({ "type": "object", "properties": { "a": {}, "b": {} } }));
    }
}
