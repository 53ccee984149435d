//! A graph as text: what belongs together stands together, the most connected first, within 80 columns.

use std::collections::{HashMap, HashSet, VecDeque};

use super::Graph;

/// Columns of a line.
const COLUMNS: usize = 80;

/// Draws a graph: its figures, then an entity a block, with what is known of it, where it leads (→) and what leads to it (←).
pub(super) fn draw(graph: &Graph) -> String {
    let observations: usize = graph.entities.iter().map(|entity| entity.observations.len()).sum();
    let mut text = format!(
        "{}, {}, {}\n",
        counted(graph.entities.len(), "entity", "entities"),
        counted(observations, "observation", "observations"),
        counted(graph.relations.len(), "relation", "relations")
    );
    let (mut leading, mut led_to) = (HashMap::<&str, Vec<(&str, &str)>>::new(), HashMap::<&str, Vec<(&str, &str)>>::new());
    for relation in &graph.relations {
        leading.entry(&relation.from).or_default().push((&relation.relation_type, &relation.to));
        led_to.entry(&relation.to).or_default().push((&relation.relation_type, &relation.from));
    }
    for (number, group) in groups(graph).into_iter().enumerate() {
        // A rule between groups, where there are relations that make any.
        text.push_str(if number > 0 && group.len() > 1 { "\n────\n\n" } else { "\n" });
        for (at, entity) in group.iter().filter_map(|at| graph.entities.get(*at)).enumerate() {
            if at > 0 {
                text.push('\n');
            }
            let kind = if entity.entity_type.is_empty() { String::new() } else { format!(" ({})", entity.entity_type) };
            wrap(&mut text, "", "    ", &format!("{}{kind}", entity.name));
            for observation in &entity.observations {
                wrap(&mut text, "  - ", "    ", observation);
            }
            for (what, whom) in leading.get(entity.name.as_str()).into_iter().flatten() {
                wrap(&mut text, "  → ", "    ", &format!("{what}: {whom}"));
            }
            for (what, whom) in led_to.get(entity.name.as_str()).into_iter().flatten() {
                wrap(&mut text, "  ← ", "    ", &format!("{what}: {whom}"));
            }
        }
    }
    text
}

pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Entities that are connected, the largest group first; each begins at its most connected entity and goes outwards.
fn groups(graph: &Graph) -> Vec<Vec<usize>> {
    let neighbours = graph.neighbours();
    let degree = |at: &usize| neighbours.get(*at).map_or(0, Vec::len);
    let mut seen = HashSet::new();
    let mut starts: Vec<usize> = (0..graph.entities.len()).collect();
    starts.sort_by_key(|at| std::cmp::Reverse(degree(at)));
    let mut groups = Vec::new();
    for start in starts {
        let mut group = Vec::new();
        let mut waiting = VecDeque::from([start]);
        while let Some(at) = waiting.pop_front() {
            if seen.insert(at) {
                group.push(at);
                waiting.extend(neighbours.get(at).into_iter().flatten());
            }
        }
        if !group.is_empty() {
            groups.push(group);
        }
    }
    groups.sort_by_key(|group: &Vec<usize>| std::cmp::Reverse(group.len()));
    groups
}

/// Writes a text in lines: the first begins with `first`, the others with `next`. Long words are broken.
fn wrap(out: &mut String, first: &str, next: &str, text: &str) {
    let mut line = first.to_owned();
    let mut width = columns(first);
    let mut is_empty = true;
    for word in text.split(|character: char| character.is_whitespace()).filter(|word| !word.is_empty()) {
        let space = usize::from(!is_empty);
        if !is_empty && width + space + columns(word) > COLUMNS {
            finish(out, &mut line, next, &mut width);
        } else if !is_empty {
            line.push(' ');
            width += 1;
        }
        for character in word.chars() {
            let character = shown(character);
            if width + wide(character) > COLUMNS {
                finish(out, &mut line, next, &mut width);
            }
            line.push(character);
            width += wide(character);
        }
        is_empty = false;
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

fn finish(out: &mut String, line: &mut String, next: &str, width: &mut usize) {
    out.push_str(line.trim_end());
    out.push('\n');
    line.clear();
    line.push_str(next);
    *width = columns(next);
}

/// A character as a terminal may be given it: none that moves the cursor, changes colours or turns the direction of writing.
fn shown(character: char) -> char {
    let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if character.is_control() || turns { '\u{fffd}' } else { character }
}

fn columns(text: &str) -> usize {
    text.chars().map(wide).sum()
}

/// Columns of a character, about: East Asian letters and pictures take two, marks none.
fn wide(character: char) -> usize {
    match u32::from(character) {
        0x300..=0x36f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _narrow => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{entity, relation};
    use super::*;

    #[test]
    fn what_belongs_together_stands_together() {
        let graph = Graph {
            entities: vec![
                entity("Lonely", "thing", &[]),
                entity(
                    "Ada",
                    "person",
                    &["likes tea", "was born in 1815 in London, where she lived for the most of her life among books and machines"],
                ),
                entity("Acme", "", &[]),
                entity("Bob", "person", &["line\none"]),
            ],
            relations: vec![relation("Ada", "Acme", "works at"), relation("Bob", "Ada", "knows"), relation("Ada", "Ada", "knows")],
        };
        insta::assert_snapshot!(draw(&graph), @r"
        4 entities, 3 observations, 3 relations

        Ada (person)
          - likes tea
          - was born in 1815 in London, where she lived for the most of her life among
            books and machines
          → works at: Acme
          → knows: Ada
          ← knows: Bob
          ← knows: Ada

        Acme
          ← works at: Ada

        Bob (person)
          - line one
          → knows: Ada

        Lonely (thing)
        ");
    }

    #[test]
    fn whatever_is_stored_no_line_is_longer_and_nothing_reaches_the_terminal_but_text() {
        let graph = Graph {
            entities: vec![
                entity(
                    &"x".repeat(200),
                    &"日本語".repeat(60),
                    &["\u{1b}[31mred\u{1b}[0m \u{202e}turned\u{7}", &"word ".repeat(100), &"e\u{301}".repeat(300)],
                ),
                entity("b", "t", &[""]),
            ],
            relations: vec![relation("b", &"x".repeat(200), &"r ".repeat(100))],
        };
        let text = draw(&graph);
        for line in text.lines() {
            assert!(columns(line) <= COLUMNS, "{line:?} takes {} columns", columns(line));
            assert!(!line.chars().any(|character| character.is_control() || character == '\u{202e}'), "{line:?}");
        }
        let joined: String = text.lines().map(str::trim).collect();
        assert!(joined.contains(&"x".repeat(200)) && joined.contains(&"日本語".repeat(60)), "{text}");
    }

    #[test]
    fn an_empty_graph_says_so() {
        assert_eq!(draw(&Graph::default()), "0 entities, 0 observations, 0 relations\n");
    }
}
