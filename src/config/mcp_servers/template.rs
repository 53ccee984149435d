//! Text with placeholders, and what fills them.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

/// The person for whom a template is filled.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    /// The id, as everywhere.
    pub id: &'a str,
    /// The number in E.164, where the person has one.
    pub phone: Option<&'a str>,
}

/// A value with the places in it that a person fills. Its `Debug` shows no text: it may be a secret.
#[derive(Clone)]
pub struct Template(Vec<Piece>);

#[derive(Clone)]
enum Piece {
    Text(SecretString),
    UserId,
    UserPhone,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(_) => "text",
            Piece::UserId => "{{USER_ID}}",
            Piece::UserPhone => "{{USER_PHONE}}",
        });
        f.debug_list().entries(pieces).finish()
    }
}

/// Why a value is no template.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfillable {
    /// No layer holds this variable.
    Variable(String),
    /// Nothing of this name can be filled in.
    Placeholder(String),
    /// What stands in `${…}` is no name.
    NoName(String),
}

impl Template {
    /// Reads what the file holds and fills in the variables. What a variable holds is text: nothing in it is filled in again.
    pub(super) fn parse(written: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Unfillable> {
        let mut pieces = Vec::new();
        for part in parts(written) {
            pieces.push(match part {
                Part::Text(text) => Piece::Text(text.into()),
                Part::Variable(name) if is_name(name) => {
                    Piece::Text(variable(name).ok_or_else(|| Unfillable::Variable(name.to_owned()))?.into())
                }
                Part::Variable(name) => return Err(Unfillable::NoName(name.to_owned())),
                Part::Placeholder("USER_ID" | "LIBRECHAT_USER_ID") => Piece::UserId,
                Part::Placeholder("USER_PHONE") => Piece::UserPhone,
                Part::Placeholder(name) => return Err(Unfillable::Placeholder(name.to_owned())),
            });
        }
        Ok(Self(pieces))
    }

    /// The value for that person; nothing when it needs a number and the person has none.
    #[must_use]
    pub fn fill(&self, person: Person<'_>) -> Option<SecretString> {
        let mut filled = String::new();
        for piece in &self.0 {
            filled.push_str(match piece {
                Piece::Text(text) => text.expose_secret(),
                Piece::UserId => person.id,
                Piece::UserPhone => person.phone?,
            });
        }
        Some(filled.into())
    }

    /// The value, when it is everybody's.
    pub(super) fn plain(&self) -> Option<SecretString> {
        let personal = self.needs_id() || self.needs_phone();
        (!personal).then(|| self.fill(Person { id: "", phone: None })).flatten()
    }

    /// Whether the person's id stands in it.
    #[must_use]
    pub fn needs_id(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::UserId))
    }

    /// Whether the person's number stands in it.
    #[must_use]
    pub fn needs_phone(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::UserPhone))
    }
}

/// A part of a written value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// As it stands.
    Text(&'a str),
    /// `${NAME}`.
    Variable(&'a str),
    /// `{{NAME}}`, without the white space around the name.
    Placeholder(&'a str),
}

/// Takes a value apart. What opens and does not close is text.
pub(super) fn parts(mut text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    while let Some((start, part, end)) = first_part(text) {
        let (before, rest) = text.split_at(start);
        if !before.is_empty() {
            parts.push(Part::Text(before));
        }
        parts.push(part);
        text = rest.get(end - start..).unwrap_or_default();
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    parts
}

/// The first part that is no text, with its beginning and end.
fn first_part(text: &str) -> Option<(usize, Part<'_>, usize)> {
    let between = |open: &str, close: &str| {
        let start = text.find(open)?;
        let inner = text.get(start + open.len()..)?;
        let length = inner.find(close)?;
        Some((start, inner.get(..length)?, start + open.len() + length + close.len()))
    };
    let variable = between("${", "}").map(|(start, name, end)| (start, Part::Variable(name), end));
    let placeholder = between("{{", "}}").map(|(start, name, end)| (start, Part::Placeholder(name.trim()), end));
    variable.into_iter().chain(placeholder).min_by_key(|(start, ..)| *start)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(written: &str) -> Result<Template, Unfillable> {
        Template::parse(written, &|name| (name == "TOKEN").then(|| "{{USER_ID}}${TOKEN}".to_owned()))
    }

    fn filled(written: &str, phone: Option<&str>) -> Option<String> {
        let template = parse(written).unwrap();
        template.fill(Person { id: "ada", phone }).map(|text| text.expose_secret().to_owned())
    }

    #[test]
    fn a_template_is_filled_for_one_person() {
        assert_eq!(filled("a {{USER_ID}} b {{ LIBRECHAT_USER_ID }}", None).as_deref(), Some("a ada b ada"));
        assert_eq!(filled("{{USER_PHONE}}", Some("+15551234567")).as_deref(), Some("+15551234567"));
        assert_eq!(filled("{{USER_PHONE}}", None), None);
        assert_eq!(filled("", None).as_deref(), Some(""));
    }

    #[test]
    fn what_a_variable_holds_is_text() {
        assert_eq!(filled("Bearer ${TOKEN}", None).as_deref(), Some("Bearer {{USER_ID}}${TOKEN}"));
        assert!(parse("${TOKEN}").unwrap().plain().is_some());
        assert!(parse("{{USER_ID}}").unwrap().plain().is_none());
    }

    #[test]
    fn what_nothing_fills_in_is_named() {
        assert_eq!(parse("x ${NONE}").unwrap_err(), Unfillable::Variable("NONE".to_owned()));
        assert_eq!(parse("${TOKEN:-x}").unwrap_err(), Unfillable::NoName("TOKEN:-x".to_owned()));
        assert_eq!(parse("{{LIBRECHAT_USER_EMAIL}}").unwrap_err(), Unfillable::Placeholder("LIBRECHAT_USER_EMAIL".to_owned()));
        for plain in ["$TOKEN", "${", "{{x", "}}{{", "a{b}c", "pa$$word"] {
            assert_eq!(filled(plain, None).as_deref(), Some(plain));
        }
    }

    #[test]
    fn a_template_shows_no_text() {
        let shown = format!("{:?}", Template::parse("Bearer MARKED {{USER_ID}}", &|_| None).unwrap());
        assert!(!shown.contains("MARKED") && shown.contains("USER_ID"), "{shown}");
    }

    proptest! {
        #[test]
        fn parts_are_the_text_again(text in "([a-z ]|[$][{]|[}]{1,2}|[{]{1,2}|[A-Z]{1,2}|\u{e9}){0,20}") {
            let mut length = 0;
            for part in parts(&text) {
                match part {
                    Part::Text(inner) => { length += inner.len(); prop_assert!(text.contains(inner)); }
                    Part::Variable(inner) => { length += inner.len() + 3; let whole = format!("${{{inner}}}"); prop_assert!(text.contains(&whole)); }
                    Part::Placeholder(inner) => { length += inner.len() + 4; prop_assert!(text.contains(inner)); }
                }
            }
            // White space inside a placeholder is dropped.
            prop_assert!(length <= text.len());
            if !text.contains(' ') {
                prop_assert_eq!(length, text.len());
            }
        }
    }
}
