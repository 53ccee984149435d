//! The upstream memory server's file: JSON Lines, an entity or a relation a line.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Graph, PlainEntity, RelationShape};
use crate::domain::graph::{GraphLimits, NewEntity, Relation};
use crate::domain::text::beginning;

/// Problems that are told at most.
const TOLD: usize = 20;

/// A line.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Entity(PlainEntity),
    Relation(RelationShape),
}

/// A line as it is written.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum LineRef<'a> {
    Entity(&'a PlainEntity),
    Relation(&'a RelationShape),
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) entities: Vec<NewEntity>,
    pub(super) relations: Vec<Relation>,
    /// The line of each relation.
    places: Vec<usize>,
}

/// What is wrong with a file, by line.
#[derive(Debug, thiserror::Error)]
#[error("nothing was imported: {}", told(.0))]
pub(super) struct InvalidLines(Vec<(usize, String)>);

fn told(problems: &[(usize, String)]) -> String {
    let mut text = String::new();
    for (line, problem) in problems.iter().take(TOLD) {
        let _infallible = write!(text, "\n  line {line}: {problem}");
    }
    if problems.len() > TOLD {
        let _infallible = write!(text, "\n  and {} more", problems.len() - TOLD);
    }
    text
}

impl Lines {
    /// Reads a file. Every line that is torn, of another kind or beyond a limit is told; any of them refuses the whole.
    pub(super) fn read(text: &str, limits: &GraphLimits) -> Result<Self, InvalidLines> {
        let mut lines = Self::default();
        let mut problems = Vec::new();
        let text = text.trim_start_matches('\u{feff}');
        for (at, line) in text.split('\n').enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            match read_line(line, limits) {
                Ok(Line::Entity(entity)) => lines.entities.push(entity.into()),
                Ok(Line::Relation(relation)) => {
                    lines.relations.push(relation.into());
                    lines.places.push(at + 1);
                }
                Err(problem) => problems.push((at + 1, problem)),
            }
        }
        if problems.is_empty() { Ok(lines) } else { Err(InvalidLines(problems)) }
    }

    /// How many observations the file holds.
    pub(super) fn observations(&self) -> usize {
        self.entities.iter().map(|entity| entity.observations.len()).sum()
    }

    /// The lines of relations like these.
    pub(super) fn places_of(&self, relations: &[Relation]) -> Vec<usize> {
        let wanted: HashSet<Relation> = relations.iter().map(Relation::composed).collect();
        self.relations
            .iter()
            .zip(&self.places)
            .filter(|(relation, _)| wanted.contains(&relation.composed()))
            .map(|(_, place)| *place)
            .collect()
    }
}

fn read_line(line: &str, limits: &GraphLimits) -> Result<Line, String> {
    let value: Value = serde_json::from_str(line)
        .map_err(|error| if error.is_eof() { "it is torn: it ends in the middle".to_owned() } else { format!("it is no JSON: {error}") })?;
    match value.get("type").and_then(Value::as_str) {
        Some("entity" | "relation") => {}
        Some(other) => {
            let other = beginning(other, 40);
            return Err(format!("it is of the type {other:?}; expected are \"entity\" and \"relation\""));
        }
        None => return Err("it says no \"type\"; expected are \"entity\" and \"relation\"".to_owned()),
    }
    let line = serde_json::from_value::<Line>(value).map_err(|error| error.to_string())?;
    let within = match &line {
        Line::Entity(entity) => limits.entity(&entity.clone().into()),
        Line::Relation(relation) => limits.relation(&relation.clone().into()),
    };
    within.map_err(|refusal| refusal.to_string())?;
    Ok(line)
}

/// Writes a graph as such a file.
pub(super) fn write(graph: &Graph) -> anyhow::Result<String> {
    let mut text = String::new();
    let entities = graph.entities.iter().map(LineRef::Entity);
    for line in entities.chain(graph.relations.iter().map(LineRef::Relation)) {
        text.push_str(&serde_json::to_string(&line)?);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{entity, relation};
    use super::*;

    const LIMITS: GraphLimits =
        GraphLimits { name_characters: 20, observation_characters: 20, items: 10, entities: 100, observations: 100, relations: 100 };

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let graph = Graph {
            entities: vec![entity("Ada", "person", &["likes \"tea\"\n", "日本"]), entity("Acme", "", &[])],
            relations: vec![relation("Ada", "Acme", "works at")],
        };
        let text = write(&graph).unwrap();
        assert_eq!(
            text.lines().next().unwrap(),
            r#"{"type":"entity","name":"Ada","entityType":"person","observations":["likes \"tea\"\n","日本"]}"#
        );
        assert_eq!(text.lines().last().unwrap(), r#"{"type":"relation","from":"Ada","to":"Acme","relationType":"works at"}"#);
        // The upstream server writes no end of line behind the last one; Windows another; some editors begin with a mark.
        for same in [text.clone(), text.trim_end().to_owned(), text.replace('\n', "\r\n"), format!("\u{feff}\n{text}\n\n")] {
            let lines = Lines::read(&same, &LIMITS).unwrap();
            assert_eq!((lines.entities.len(), lines.observations(), lines.relations.len()), (2, 2, 1));
            assert_eq!(lines.entities[0].observations, ["likes \"tea\"\n", "日本"]);
        }
        assert_eq!(Lines::read("", &LIMITS).unwrap().entities.len(), 0);
    }

    #[test]
    fn each_line_that_cannot_be_taken_is_told_by_number() {
        let text = [
            r#"{"type":"entity","name":"fine","entityType":"t","observations":[]}"#,
            r#"{"type":"entity","name":"torn","enti"#,
            "",
            "hello",
            r#"{"type":"note","text":"x"}"#,
            r#"{"name":"x"}"#,
            "[]",
            r#"{"type":"entity","name":5,"entityType":"t","observations":[]}"#,
            r#"{"type":"entity","name":"x","entityType":"t"}"#,
            r#"{"type":"entity","name":"","entityType":"t","observations":[]}"#,
            r#"{"type":"entity","name":"x","entityType":"t","observations":["123456789012345678901"]}"#,
            r#"{"type":"relation","from":"a","to":"b"}"#,
        ]
        .join("\n");
        let InvalidLines(problems) = Lines::read(&text, &LIMITS).unwrap_err();
        let lines: Vec<usize> = problems.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 4, 5, 6, 7, 8, 9, 10, 11, 12], "{problems:?}");
        assert!(problems[0].1.contains("torn") && problems[2].1.contains("note") && problems[8].1.contains("at most 20"), "{problems:?}");
    }

    #[test]
    fn relations_are_found_by_their_lines() {
        let text = "\n{\"type\":\"relation\",\"from\":\"e\u{301}\",\"to\":\"b\",\"relationType\":\"r\"}\n{\"type\":\"relation\",\"from\":\"c\",\"to\":\"b\",\"relationType\":\"r\"}";
        let lines = Lines::read(text, &LIMITS).unwrap();
        assert_eq!(lines.places_of(&[relation("é", "b", "r").into()]), [2]);
    }
}
