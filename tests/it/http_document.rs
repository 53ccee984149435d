//! The `OpenAPI` document and the problem types: public surfaces, so a change of them shows in review.

use std::collections::BTreeSet;

use scrubjay::http::{ProblemKind, document, list_routes};
use serde_json::Value;

#[test]
fn the_document_is_that_of_the_snapshot() {
    let mut document = document();
    document["info"]["version"] = "VERSION".into();
    insta::assert_json_snapshot!("openapi", document);
}

#[test]
fn the_problem_types_are_those_of_the_snapshot() {
    let types: Vec<String> =
        ProblemKind::ALL.iter().map(|kind| format!("{} {} {}", kind.status().as_u16(), kind.uri(), kind.title())).collect();
    insta::assert_snapshot!("problem_types", types.join("\n"));
}

#[test]
fn no_two_problems_share_a_name() {
    let names: BTreeSet<&str> = ProblemKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), ProblemKind::ALL.len());
}

#[test]
fn the_document_has_every_route_and_no_other() {
    let document = document();
    let mut written = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        written.extend(methods.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let served: BTreeSet<String> = list_routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(written, served);
}

/// What a client generator needs: every reference leads somewhere, every operation has a name of its own and says how it ends.
#[test]
fn the_document_holds_together() {
    let document = document();
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let mut names = BTreeSet::new();
    for operation in document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values()) {
        let name = operation["operationId"].as_str().unwrap();
        assert!(!name.is_empty() && names.insert(name.to_owned()), "{name:?}");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{name}");
        assert!(operation["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2')), "{name}");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match (name.as_str(), value) {
                    ("$ref", Value::String(reference)) => found.push(reference.clone()),
                    _ => collect_references(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| collect_references(value, found)),
        _ => {}
    }
}
