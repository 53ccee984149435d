//! The YAML file: `env:` as variables, `mcpServers:` with their lines, everything else left alone.
//!
//! Values are taken from the parser's events as their source text, so `0123` and `+15550009999` stay what they are; a typed
//! reader would make numbers of them.

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle};

use super::variables::Variable;

/// What the file holds, as far as it could be read.
#[derive(Debug, Default)]
pub(super) struct YamlFile {
    /// The `env:` section.
    pub(super) env: Vec<Variable>,
    /// `mcpServers`, in the file's order.
    pub(super) servers: Vec<Server>,
    /// The other sections, which nobody here reads.
    pub(super) ignored: Vec<String>,
    /// Line, name where there is one, and what is wrong.
    pub(super) errors: Vec<(usize, String, String)>,
}

/// One entry of `mcpServers`, as it is written.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) line: usize,
    /// Its settings, those of a merged mapping below its own.
    pub(super) fields: Vec<(String, Node)>,
    pub(super) env: Vec<Variable>,
    pub(super) headers: Vec<Variable>,
}

/// Nodes that one file may hold, aliases counted each time: LibreChat's own example has under a thousand.
const MAX_NODES: usize = 100_000;
/// How deep collections may lie in each other.
const MAX_DEPTH: usize = 48;

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) line: usize,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Scalar { text: String, plain: bool },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> Option<&[Node]> {
        match &self.content {
            Content::List(items) => Some(items),
            _ => None,
        }
    }

    /// Whether it stands without quotes, so that `true` is no text.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.content, Content::Scalar { plain: true, .. })
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    fn size(&self) -> usize {
        match &self.content {
            Content::Scalar { .. } => 1,
            Content::List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Content::Map(fields) => 1 + fields.iter().map(|(name, value)| name.size() + value.size()).sum::<usize>(),
        }
    }

    fn depth(&self) -> usize {
        match &self.content {
            Content::Scalar { .. } => 1,
            Content::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Content::Map(fields) => 1 + fields.iter().map(|(name, value)| name.depth().max(value.depth())).max().unwrap_or(0),
        }
    }
}

/// Reads a file's text. A syntax error ends the reading; what stood before it still counts, so that other problems are
/// found in the same run.
pub(super) fn read(text: &str) -> YamlFile {
    let mut file = YamlFile::default();
    let root = match tree(text) {
        Ok(Some(root)) => root,
        Ok(None) => return file,
        Err((line, message)) => {
            file.errors.push((line, String::new(), message));
            return file;
        }
    };
    if root.is_null() {
        return file;
    }
    let Content::Map(sections) = root.content else {
        file.errors.push((root.line, String::new(), "the file must hold sections such as `env:`".to_owned()));
        return file;
    };
    for (name, section) in &sections {
        match name.text() {
            Some("env") => file.env = variables(section, "env", &mut file.errors),
            Some("mcpServers") => read_servers(section, &mut file),
            Some(other) => file.ignored.push(other.to_owned()),
            None => file.errors.push((name.line, String::new(), "a section's name must be text".to_owned())),
        }
    }
    file
}

fn read_servers(section: &Node, file: &mut YamlFile) {
    let Content::Map(servers) = &section.content else {
        if !section.is_null() {
            file.errors.push((section.line, "mcpServers".to_owned(), "must hold servers by name".to_owned()));
        }
        return;
    };
    for (name_node, server) in servers {
        let name_line = name_node.line;
        let Some(name) = name_node.text() else {
            file.errors.push((name_line, "mcpServers".to_owned(), "a server's name must be text".to_owned()));
            continue;
        };
        let Content::Map(_) = &server.content else {
            file.errors.push((server.line, format!("mcpServers.{name}"), "must hold the server's settings".to_owned()));
            continue;
        };
        let fields = fields(server);
        let section = |section: &str, errors: &mut Vec<(usize, String, String)>| {
            fields.iter().find(|(field, _)| field == section).map_or_else(Vec::new, |(_, value)| variables(value, section, errors))
        };
        let (env, headers) = (section("env", &mut file.errors), section("headers", &mut file.errors));
        file.servers.push(Server { name: name.to_owned(), line: name_line, fields, env, headers });
    }
}

/// The fields of a mapping whose names are text, those of merged mappings after its own.
fn fields(mapping: &Node) -> Vec<(String, Node)> {
    let Content::Map(written) = &mapping.content else { return Vec::new() };
    let mut own: Vec<(String, Node)> = Vec::new();
    let mut merged = Vec::new();
    for (name, value) in written {
        match (name.text(), &value.content) {
            (Some("<<"), Content::Map(_)) => merged.extend(fields(value)),
            (Some("<<"), Content::List(items)) => merged.extend(items.iter().flat_map(fields)),
            (Some(name), _) => own.push((name.to_owned(), value.clone())),
            (None, _) => {}
        }
    }
    for (name, value) in merged {
        if own.iter().all(|(known, _)| *known != name) {
            own.push((name, value));
        }
    }
    own
}

/// A section of variables. Nothing at all and a collection are no values: an empty text is written `""`.
fn variables(section: &Node, section_name: &str, errors: &mut Vec<(usize, String, String)>) -> Vec<Variable> {
    let mut own: Vec<Variable> = Vec::new();
    let Content::Map(fields) = &section.content else {
        if !section.is_null() {
            errors.push((section.line, section_name.to_owned(), "must hold names and values".to_owned()));
        }
        return own;
    };
    let mut merged = Vec::new();
    for (name_node, value) in fields {
        match (name_node.text(), &value.content) {
            (None, _) => errors.push((name_node.line, String::new(), "a variable's name must be text".to_owned())),
            (Some("<<"), Content::Map(_)) => merged.extend(variables(value, section_name, errors)),
            (Some(name), _) if value.is_null() => {
                let message = "has no value; write \"\" for an empty one, or remove the line";
                errors.push((name_node.line, name.to_owned(), message.to_owned()));
            }
            (Some(name), Content::Scalar { text, .. }) => {
                own.push(Variable { name: name.to_owned(), value: text.clone(), line: Some(name_node.line) });
            }
            (Some(name), _) => {
                let message = "must be one value, not a list or a mapping; lists are written as text with commas";
                errors.push((name_node.line, name.to_owned(), message.to_owned()));
            }
        }
    }
    // A merged mapping lies below what the section itself says.
    merged.retain(|below: &Variable| own.iter().all(|variable| variable.name != below.name));
    own.extend(merged);
    own
}

/// The first document's root.
fn tree(text: &str) -> Result<Option<Node>, (usize, String)> {
    let mut open: Vec<(Node, usize, Option<Node>)> = Vec::new();
    let mut anchors: BTreeMap<usize, Node> = BTreeMap::new();
    let mut root = None;
    let mut count = 0_usize;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| (error.marker().line(), error.info()))?;
        let line = span.start.line();
        let closed = match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = matches!(style, ScalarStyle::Plain);
                Some((Node { line, content: Content::Scalar { text: text.into_owned(), plain } }, anchor))
            }
            Event::SequenceStart(_, anchor, _) => {
                open.push((Node { line, content: Content::List(Vec::new()) }, anchor, None));
                None
            }
            Event::MappingStart(_, anchor, _) => {
                open.push((Node { line, content: Content::Map(Vec::new()) }, anchor, None));
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(|(node, anchor, _)| (node, anchor)),
            Event::Alias(anchor) => {
                // An alias inside its own anchor has nothing to stand for yet.
                let node = anchors.get(&anchor).ok_or_else(|| (line, "an alias stands inside what it names".to_owned()))?;
                count += node.size();
                if open.len() + node.depth() > MAX_DEPTH {
                    return Err((line, format!("collections lie more than {MAX_DEPTH} deep in each other")));
                }
                Some((Node { line, content: node.content.clone() }, 0))
            }
            Event::DocumentStart(..) if root.is_some() => {
                return Err((line, "a second document begins here; only one is read".to_owned()));
            }
            _ => None,
        };
        count += 1;
        if count > MAX_NODES {
            return Err((line, format!("the file holds more than {MAX_NODES} values")));
        }
        if open.len() > MAX_DEPTH {
            return Err((line, format!("collections lie more than {MAX_DEPTH} deep in each other")));
        }
        let Some((node, anchor)) = closed else { continue };
        if anchor != 0 {
            anchors.insert(anchor, node.clone());
        }
        match open.last_mut() {
            None => root = Some(node),
            Some((Node { content: Content::List(items), .. }, _, _)) => items.push(node),
            Some((Node { content: Content::Map(fields), .. }, _, name)) => match name.take() {
                None => *name = Some(node),
                Some(name) => {
                    if name.text().is_some() && fields.iter().any(|(other, _)| other.text() == name.text()) {
                        return Err((name.line, format!("{:?} stands twice in the same mapping", name.text().unwrap_or_default())));
                    }
                    fields.push((name, node));
                }
            },
            Some(_) => {}
        }
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::fmt::Write as _;

    use super::*;

    fn env(text: &str) -> Vec<(String, String, usize)> {
        let file = read(text);
        assert_eq!(file.errors, []);
        file.env.into_iter().map(|variable| (variable.name, variable.value, variable.line.unwrap())).collect()
    }

    #[test]
    fn values_are_their_source_text() {
        let found = env(
            "version: 1.2.1\nenv:\n  A: +15550009999\n  B: 007\n  C: 1.0\n  D: yes\n  E: \"\"\n  F: 'a # b'\n  G: |\n    two\n    lines\n  H: x # comment\n",
        );
        let expected = [
            ("A", "+15550009999", 3),
            ("B", "007", 4),
            ("C", "1.0", 5),
            ("D", "yes", 6),
            ("E", "", 7),
            ("F", "a # b", 8),
            ("G", "two\nlines\n", 9),
            ("H", "x", 12),
        ];
        let found: Vec<(&str, &str, usize)> = found.iter().map(|(name, value, line)| (name.as_str(), value.as_str(), *line)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn nothing_a_list_and_a_mapping_are_errors_with_their_lines() {
        let file = read("env:\n  A:\n  B: null\n  C: [1, 2]\n  D:\n    x: 1\n  E: ~\n  F: ok\n");
        let found: Vec<(usize, &str)> = file.errors.iter().map(|(line, name, _)| (*line, name.as_str())).collect();
        assert_eq!(found, [(2, "A"), (3, "B"), (4, "C"), (5, "D"), (7, "E")]);
        assert_eq!(file.env.len(), 1);
    }

    #[test]
    fn a_librechat_file_keeps_its_servers_and_loses_the_rest() {
        let file = read(
            "version: 1\ncache: true\nendpoints:\n  custom: [{name: x}]\nmcpServers:\n  memory:\n    command: npx\n    args: [-y, 007, 3]\n    timeout: 30000\n    chatMenu: false\n    env:\n      MCP_USER_ID: \"{{LIBRECHAT_USER_ID}}\"\n      NUMBER: 007\n    headers: {X-A: 1}\n",
        );
        assert_eq!(file.errors, []);
        assert_eq!(file.ignored, ["version", "cache", "endpoints"]);
        let [memory] = file.servers.as_slice() else { panic!("{:?}", file.servers) };
        assert_eq!((memory.name.as_str(), memory.line), ("memory", 6));
        let names: Vec<(&str, usize)> = memory.fields.iter().map(|(name, value)| (name.as_str(), value.line)).collect();
        assert_eq!(names, [("command", 7), ("args", 8), ("timeout", 9), ("chatMenu", 10), ("env", 12), ("headers", 14)]);
        let args: Vec<&str> = memory.fields[1].1.items().unwrap().iter().filter_map(Node::text).collect();
        assert_eq!(args, ["-y", "007", "3"]);
        let pairs = |variables: &[Variable]| -> Vec<(String, String, usize)> {
            variables.iter().map(|one| (one.name.clone(), one.value.clone(), one.line.unwrap())).collect()
        };
        let pair = |name: &str, value: &str, line| (name.to_owned(), value.to_owned(), line);
        assert_eq!(pairs(&memory.env), [pair("MCP_USER_ID", "{{LIBRECHAT_USER_ID}}", 12), pair("NUMBER", "007", 13)]);
        assert_eq!(pairs(&memory.headers), [pair("X-A", "1", 14)]);
    }

    #[test]
    fn a_server_merges_what_it_does_not_say_itself() {
        let file = read("base: &base\n  timeout: 5\n  command: a\nmcpServers:\n  x:\n    <<: *base\n    command: b\n");
        let fields: Vec<(&str, &str)> = file.servers[0].fields.iter().map(|(name, value)| (name.as_str(), value.text().unwrap())).collect();
        assert_eq!(fields, [("command", "b"), ("timeout", "5")]);
    }

    #[test]
    fn anchors_and_merges_are_followed() {
        let found = env("base: &base\n  A: 1\n  B: 2\nenv:\n  <<: *base\n  B: 3\n  C: &c 4\n  D: *c\n");
        let found: Vec<(&str, &str)> = found.iter().map(|(name, value, _)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, [("B", "3"), ("C", "4"), ("D", "4"), ("A", "1")]);
    }

    #[test]
    fn broken_doubled_and_exploding_files_are_refused_with_a_line() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = vec![format!("*a{}", level - 1); 10].join(", ");
            writeln!(bomb, "a{level}: &a{level} [{below}]").unwrap();
        }
        for (text, line) in [
            ("env:\n  A: 1\n  A: 2\n", 3),
            ("env:\n  A: [1\nB: 2\n", 3),
            ("env: {}\n---\nenv: {}\n", 2),
            ("env:\n  A: *none\n", 2),
            ("a: &a [*a]\n", 1),
            ("- env\n", 1),
            (bomb.as_str(), 5),
            (&format!("a: {}", "[".repeat(60)), 1),
        ] {
            let file = read(text);
            assert_eq!(file.errors.iter().map(|(line, ..)| *line).collect::<Vec<_>>(), [line], "{:.40} {:?}", text, file.errors);
        }
        for empty in ["", "# nothing\n", "---\n", "env:\n", "mcpServers:\n", "env: {}\n"] {
            assert_eq!(read(empty).errors, [], "{empty:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_an_end(text in "(?s).{0,200}") {
            let _read = read(&text);
        }

        #[test]
        fn text_like_yaml_is_read_to_an_end(text in "((  ){0,3}(- )?(env|mcpServers|A|<<)?:? ?[&*\\[\\]{}|>'\"#,~a-c0-9]{0,5}\n){0,8}") {
            let _read = read(&text);
        }

        #[test]
        fn quoted_text_comes_back(value in "[ -~\u{a1}-\u{2fff}]{0,40}") {
            let text = format!("env:\n  A: '{}'\n", value.replace('\'', "''"));
            prop_assert_eq!(&env(&text)[0].1, &value);
        }
    }
}
