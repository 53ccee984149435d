//! `.env` files: names and texts, and nothing else.
//!
//! The crates for this substitute `$NAME` from the process environment, also in secrets, so `pa$$word` would become `pa`;
//! therefore a parser of our own. It changes no environment and expands nothing.
//!
//! A line is `NAME=VALUE`, after an optional `export `. White space around either is dropped. In an unquoted value ` #`
//! begins a comment. Single quotes and back-ticks hold text as it stands, over several lines if need be; in double quotes
//! `\n`, `\r`, `\t`, `\"`, `\\` and `\$` are escapes and every other backslash is itself.

use super::text::Lines;
use super::variables::Variable;

/// What a file holds: variables in its order, and the lines that cannot be read, with the reason.
#[derive(Debug, Default)]
pub(super) struct DotEnv {
    pub(super) variables: Vec<Variable>,
    pub(super) errors: Vec<(usize, &'static str)>,
}

/// Reads a file's text. A line that cannot be read is reported and the next one is read. No report quotes the file.
pub(super) fn read(text: &str) -> DotEnv {
    let lines = Lines::of(text);
    let mut file = DotEnv::default();
    let mut rest = text;
    while !rest.is_empty() {
        let line = lines.at(text.len() - rest.len());
        let (end_of_line, after_line) = end_of_line(rest);
        let statement = end_of_line.trim_start();
        if statement.trim_end().is_empty() || statement.starts_with('#') {
            rest = after_line;
            continue;
        }
        match assignment(statement, rest.get(end_of_line.len() - statement.len()..).unwrap_or_default()) {
            Ok((name, value, after)) => {
                file.variables.push(Variable { name: name.to_owned(), value, line: Some(line) });
                rest = after;
            }
            Err(reason) => {
                file.errors.push((line, reason));
                rest = after_line;
            }
        }
    }
    file
}

/// The line without its end, and what follows the end.
fn end_of_line(text: &str) -> (&str, &str) {
    match text.split_once('\n') {
        Some((line, after)) => (line.strip_suffix('\r').unwrap_or(line), after),
        None => (text.strip_suffix('\r').unwrap_or(text), ""),
    }
}

/// Reads one assignment. `line` is its line and `text` the same up to the file's end, for quotes that span lines.
fn assignment<'a>(line: &'a str, text: &'a str) -> Result<(&'a str, String, &'a str), &'static str> {
    let (before, _) = line.split_once('=').ok_or("a line is NAME=VALUE; there is no = in this one")?;
    let name = before.trim();
    let name = name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).map_or(name, str::trim_start);
    if !is_name(name) {
        return Err("what stands before = is no name: use letters, digits, _ and start with a letter or _");
    }
    let value = text.get(before.len() + 1..).unwrap_or_default();
    let value = value.trim_start_matches([' ', '\t']);
    let Some(quote @ ('\'' | '"' | '`')) = value.chars().next() else {
        let (value, after) = end_of_line(value);
        return Ok((name, without_comment(value).trim().to_owned(), after));
    };
    let (value, after) = quoted(value.get(1..).unwrap_or_default(), quote).ok_or("the quote that begins here does not end")?;
    let (remainder, after) = end_of_line(after);
    let remainder = remainder.trim();
    if !remainder.is_empty() && !remainder.starts_with('#') {
        return Err("only a comment can follow the closing quote");
    }
    Ok((name, value, after))
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// A value up to the closing quote, and what follows it.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        if character == quote {
            // A line end inside is one character on every system.
            return Some((value.replace("\r\n", "\n"), text.get(at + 1..)?));
        }
        if character != '\\' || quote != '"' {
            value.push(character);
            continue;
        }
        match characters.next()?.1 {
            'n' => value.push('\n'),
            'r' => value.push('\r'),
            't' => value.push('\t'),
            escaped @ ('"' | '\\' | '$') => value.push(escaped),
            other => value.extend(['\\', other]),
        }
    }
    None
}

/// A comment begins with `#` at the value's start or after white space: a secret may hold a `#`.
fn without_comment(value: &str) -> &str {
    let mut before = ' ';
    for (at, character) in value.char_indices() {
        if character == '#' && before.is_whitespace() {
            return value.get(..at).unwrap_or(value);
        }
        before = character;
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String, usize)> {
        let file = read(text);
        assert_eq!(file.errors, [], "{text:?}");
        file.variables.into_iter().map(|variable| (variable.name, variable.value, variable.line.unwrap())).collect()
    }

    #[test]
    fn values_are_read_as_written() {
        for (text, value) in [
            ("A=1", "1"),
            ("A = 1 ", "1"),
            ("\t export A=1", "1"),
            ("export\tA=1", "1"),
            ("A=", ""),
            ("A=  # nothing", ""),
            ("A=#nothing", ""),
            ("A=pa$$word", "pa$$word"),
            ("A=${HOME}x", "${HOME}x"),
            ("A=x#y # z", "x#y"),
            ("A='x # y' # z", "x # y"),
            ("A=\"a\\nb\\t\\\"c\\\" \\\\ \\$d \\e\"", "a\nb\t\"c\" \\ $d \\e"),
            ("A='a\\nb'", "a\\nb"),
            ("A=`it's \"so\"`", "it's \"so\""),
            ("A='one\ntwo'", "one\ntwo"),
            ("A=\"one\r\ntwo\"", "one\ntwo"),
            ("A=b=c==", "b=c=="),
            ("A=+15550009999", "+15550009999"),
            ("A=007\r\n", "007"),
            ("A=it's", "it's"),
            ("A=\u{e9}\u{1f600}", "\u{e9}\u{1f600}"),
        ] {
            let read = pairs(text);
            assert_eq!(read.len(), 1, "{text:?}");
            assert_eq!((read[0].0.as_str(), read[0].1.as_str()), ("A", value), "{text:?}");
        }
    }

    #[test]
    fn lines_are_counted_through_comments_blank_lines_and_quotes() {
        let found = pairs("# first\r\n\r\nA=1\r\nB='x\ny\nz'\nC=3");
        assert_eq!(found.iter().map(|(name, _, line)| (name.as_str(), *line)).collect::<Vec<_>>(), [("A", 3), ("B", 4), ("C", 7)]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_and_the_next_is_read() {
        let file = read("A\n=x\n1A=x\nA B=x\nB='open\nC=\"x\" y\nD=\"it\"\"\nE=5\n");
        assert_eq!(file.errors.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(file.variables.iter().map(|variable| variable.name.as_str()).collect::<Vec<_>>(), ["E"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "(?s).{0,200}") {
            let file = read(&text);
            let last = text.split('\n').count();
            prop_assert!(file.variables.iter().filter_map(|variable| variable.line).chain(file.errors.iter().map(|error| error.0)).all(|line| (1..=last).contains(&line)));
        }

        #[test]
        fn text_like_a_file_never_yields_a_name_that_is_none(text in "((export )?[A-Z=a ]{0,4}=?['\"`#$\\\\{} a-z\r]{0,9}\n){0,6}") {
            for variable in read(&text).variables {
                prop_assert!(is_name(&variable.name));
            }
        }

        #[test]
        fn what_single_quotes_hold_comes_back(values in proptest::collection::vec("[^'\r]{0,40}", 1..5)) {
            let text: String = values.iter().map(|value| ["V='", value, "' # x\n"].concat()).collect();
            let found: Vec<String> = pairs(&text).into_iter().map(|(_, value, _)| value).collect();
            prop_assert_eq!(found, values);
        }

        #[test]
        fn what_double_quotes_escape_comes_back(value in "(?s)[^\r]{0,60}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            prop_assert_eq!(&pairs(&format!("A=\"{escaped}\""))[0].1, &value);
        }

        #[test]
        fn an_unquoted_value_is_itself(value in "[!$%&(-_a-~]([ -\"$-~]{0,40}[!\"$-~])?") {
            // No `#`, no quote at the start and no white space at the ends: nothing to interpret.
            prop_assert_eq!(&pairs(&format!("A={value}\r\nB=1\r\n"))[0].1, &value);
        }
    }
}
