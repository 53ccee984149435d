//! The knowledge graph that a person has: entities, what was observed of them, and relations among them.
//!
//! Names are keys: exact, with their case, in Unicode's composed form (NFC). Two observations of one entity are equal when they
//! are so in that form. Search compares texts as [`fold`] writes them.

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use super::ids::ConversationId;
use super::text::beginning;
use super::time::Timestamp;

/// A text as it is stored: in Unicode's composed form.
#[must_use]
pub fn composed(text: &str) -> String {
    if text.is_ascii() { text.to_owned() } else { text.nfc().collect() }
}

/// A text as search compares it: without case and without accents, every blank and control character a space.
///
/// It is made character by character, so whatever stands in a text stands in its folded form as well: what a search for the
/// lower-cased text would find, this finds.
#[must_use]
pub fn fold(text: &str) -> String {
    let plain = |character: char| if character.is_whitespace() || character.is_control() { ' ' } else { character };
    if text.is_ascii() {
        return text.chars().map(|character| plain(character.to_ascii_lowercase())).collect();
    }
    text.nfd()
        .flat_map(char::to_lowercase)
        .nfd()
        .filter(|character| canonical_combining_class(*character) == 0)
        // The small sigma at the end of a word.
        .map(|character| if character == 'ς' { 'σ' } else { plain(character) })
        .collect()
}

/// An entity to be made, or to be merged into the one of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntity {
    /// Its key.
    pub name: String,
    /// What it is: `person`, `place` …
    pub entity_type: String,
    /// What is known of it.
    pub observations: Vec<String>,
}

/// Observations for an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObservations {
    /// The entity's name.
    pub entity: String,
    /// Makes the entity with this type where there is none.
    pub entity_type: Option<String>,
    /// What is known of it.
    pub contents: Vec<String>,
}

/// A relation from one entity to another, in active voice. These three together are its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Relation {
    /// The name of the entity where it begins.
    pub from: String,
    /// The name of the entity where it ends.
    pub to: String,
    /// What it is: `lives in` …
    pub relation_type: String,
}

/// An observation's number in its person's graph: it grows, and is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObservationId(pub u32);

impl fmt::Display for ObservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something known of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Its number.
    pub id: ObservationId,
    /// What is known.
    pub text: String,
    /// When it was stored.
    pub created_at: Timestamp,
    /// The conversation that it came from.
    pub conversation_id: Option<ConversationId>,
}

/// An entity as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// Its key.
    pub name: String,
    /// What it is.
    pub entity_type: String,
    /// What is known of it, in the order in which it was added; fewer than there are where [`Detail`] asks for less; the newest where
    /// there was no room for all.
    pub observations: Vec<Observation>,
    /// How many observations there are.
    pub observation_count: usize,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its type or its observations were last changed.
    pub updated_at: Timestamp,
}

/// An observation with the entity that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The entity's name.
    pub entity: String,
    /// What the entity is.
    pub entity_type: String,
    /// What is known.
    pub observation: Observation,
}

/// How much of each entity is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Detail {
    /// Its name and type.
    Names,
    /// And its newest [`SUMMARY`] observations.
    Summary,
    /// All observations.
    #[default]
    Plain,
    /// And when and from where each came.
    Full,
}

/// Observations of a [`Detail::Summary`].
pub const SUMMARY: usize = 3;

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GraphCounts {
    /// Entities.
    pub entities: i64,
    /// Observations of all of them.
    pub observations: i64,
    /// Relations.
    pub relations: i64,
}

/// How large a graph and its parts may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphLimits {
    /// Characters of a name or a type.
    pub name_characters: usize,
    /// Characters of an observation.
    pub observation_characters: usize,
    /// Items of one call: entities, relations or names, and observations of each.
    pub items: usize,
    /// Entities of one person.
    pub entities: i64,
    /// Observations of one person, of all entities together.
    pub observations: i64,
    /// Relations of one person.
    pub relations: i64,
}

impl GraphLimits {
    /// No limits.
    pub const NONE: Self = Self {
        name_characters: usize::MAX,
        observation_characters: usize::MAX,
        items: usize::MAX,
        entities: i64::MAX,
        observations: i64::MAX,
        relations: i64::MAX,
    };
}

/// What a limit forbids, with what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphRefusal {
    /// A text is longer than it may be.
    #[error("the {what} {beginning:?} has {has} characters; at most {limit} are allowed")]
    TooLong {
        /// What the text is.
        what: &'static str,
        /// How it begins.
        beginning: String,
        /// Its characters.
        has: usize,
        /// Characters that it may have.
        limit: usize,
    },
    /// A name or a type of relation is empty.
    #[error("the {0} is empty; give at least one character that can be seen")]
    Empty(&'static str),
    /// A call has more items than it may have.
    #[error("{has} {what} in one call; at most {limit} are allowed, so make several calls")]
    TooMany {
        /// What the items are.
        what: &'static str,
        /// Items.
        has: usize,
        /// Items that one call may have.
        limit: usize,
    },
    /// The person's graph is full.
    #[error("the graph would have more than {limit} {what}, which is the most it may have; delete some first")]
    Full {
        /// What there would be too many of.
        what: &'static str,
        /// How many it may have.
        limit: i64,
    },
}

impl GraphLimits {
    /// Checks a name.
    ///
    /// # Errors
    /// It is empty or too long.
    pub fn name(&self, what: &'static str, name: &str) -> Result<(), GraphRefusal> {
        if name.trim().is_empty() {
            return Err(GraphRefusal::Empty(what));
        }
        length(what, name, self.name_characters)
    }

    /// Checks what an entity is; it may be empty.
    ///
    /// # Errors
    /// It is too long.
    pub fn entity_type(&self, entity_type: &str) -> Result<(), GraphRefusal> {
        length("entity type", entity_type, self.name_characters)
    }

    /// Checks an observation.
    ///
    /// # Errors
    /// It is too long.
    pub fn observation(&self, text: &str) -> Result<(), GraphRefusal> {
        length("observation", text, self.observation_characters)
    }

    /// Checks how many items there are.
    ///
    /// # Errors
    /// Too many.
    pub const fn count(&self, what: &'static str, has: usize) -> Result<(), GraphRefusal> {
        if has > self.items { Err(GraphRefusal::TooMany { what, has, limit: self.items }) } else { Ok(()) }
    }

    /// Checks an entity with its observations.
    ///
    /// # Errors
    /// The first thing that is not allowed.
    pub fn entity(&self, entity: &NewEntity) -> Result<(), GraphRefusal> {
        self.name("entity name", &entity.name)?;
        self.entity_type(&entity.entity_type)?;
        entity.observations.iter().try_for_each(|text| self.observation(text))
    }

    /// Checks a relation.
    ///
    /// # Errors
    /// The first thing that is not allowed.
    pub fn relation(&self, relation: &Relation) -> Result<(), GraphRefusal> {
        self.name("relation's entity name", &relation.from)?;
        self.name("relation's entity name", &relation.to)?;
        self.name("relation type", &relation.relation_type)
    }
}

fn length(what: &'static str, text: &str, limit: usize) -> Result<(), GraphRefusal> {
    // A text of no more bytes has no more characters.
    if text.len() <= limit {
        return Ok(());
    }
    let has = text.chars().count();
    let beginning = || format!("{}…", beginning(text, 40));
    if has > limit { Err(GraphRefusal::TooLong { what, beginning: beginning(), has, limit }) } else { Ok(()) }
}

impl Relation {
    /// In composed form.
    #[must_use]
    pub fn composed(&self) -> Self {
        Self { from: composed(&self.from), to: composed(&self.to), relation_type: composed(&self.relation_type) }
    }
}

impl Observation {
    /// Bytes that it takes as compact JSON, about.
    #[must_use]
    pub fn json_size(&self, detail: Detail) -> usize {
        let rest = if detail == Detail::Full { 96 } else { 1 };
        json_size(&self.text) + rest
    }
}

impl Entity {
    /// Whether observations are left out that were asked for.
    #[must_use]
    pub fn is_cut(&self, detail: Detail) -> bool {
        let wanted = match detail {
            Detail::Names => 0,
            Detail::Summary => SUMMARY.min(self.observation_count),
            Detail::Plain | Detail::Full => self.observation_count,
        };
        self.observations.len() < wanted
    }

    /// Bytes that it takes as compact JSON, about.
    #[must_use]
    pub fn json_size(&self, detail: Detail) -> usize {
        let observations: usize = self.observations.iter().map(|observation| observation.json_size(detail)).sum();
        let rest = match detail {
            Detail::Plain => 45,
            Detail::Names | Detail::Summary => 70,
            Detail::Full => 150,
        };
        json_size(&self.name) + json_size(&self.entity_type) + observations + rest
    }
}

impl Relation {
    /// Bytes that it takes as compact JSON, about.
    #[must_use]
    pub fn json_size(&self) -> usize {
        json_size(&self.from) + json_size(&self.to) + json_size(&self.relation_type) + 33
    }
}

/// Bytes that a text takes as JSON.
fn json_size(text: &str) -> usize {
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 1,
        0..=31 => 5,
        _plain => 0,
    });
    text.len() + 2 + escaped.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_in_both_forms_and_keep_their_case() {
        assert_eq!(composed("Zoe\u{308}"), "Zoë");
        assert_eq!(composed("ZOË"), "ZOË");
    }

    #[test]
    fn folding_forgets_case_accents_and_blanks() {
        for (text, folded) in [
            ("ADA", "ada"),
            ("Zoë", "zoe"),
            ("Zoe\u{308}", "zoe"),
            ("İstanbul", "istanbul"),
            ("ΟΔΟΣ", "οδοσ"),
            ("οδος", "οδοσ"),
            ("a\tb\u{a0}c\0d", "a b c d"),
            ("日本", "日本"),
            ("Straße", "straße"),
        ] {
            assert_eq!(fold(text), folded, "{text:?}");
        }
    }

    /// What makes every hit of a search in lower-cased text a hit in folded text: folding is done character by character, and does
    /// not tell a text from its lower case.
    #[test]
    fn folding_does_not_tell_a_character_from_its_lower_case() {
        for character in ('\u{0}'..=char::MAX).filter(|character| character.is_alphabetic()) {
            let lower: String = character.to_lowercase().collect();
            assert_eq!(fold(&character.to_string()), fold(&lower), "{character:?}");
        }
    }

    #[test]
    fn a_text_of_many_bytes_may_have_few_characters() {
        let limits = GraphLimits { name_characters: 3, observation_characters: 5, items: 2, entities: 1, observations: 1, relations: 1 };
        assert_eq!(limits.name("entity name", "日本国"), Ok(()));
        assert_eq!(limits.name("entity name", " \n"), Err(GraphRefusal::Empty("entity name")));
        let error = limits.name("entity name", "日本国人").unwrap_err().to_string();
        assert!(error.contains("has 4 characters") && error.contains("at most 3"), "{error}");
        assert!(limits.count("entities", 3).unwrap_err().to_string().contains("at most 2"));
    }

    #[test]
    fn sizes_are_those_of_json() {
        for text in ["", "plain", "\"quoted\" \\ \n \u{1}", "日本"] {
            assert_eq!(json_size(text), serde_json::to_string(text).unwrap().len(), "{text:?}");
        }
    }
}
