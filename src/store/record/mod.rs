//! What is stored, in one portable shape.
//!
//! A [`Record`] is one thing that a store keeps, written the same on every backend: as one JSON object, with ids as text, moments as
//! RFC 3339, references by ids that mean the same everywhere. Archives are records, one a line; so are the files and the journal
//! of the JSON backend. What a store can work out again (search indexes, lanes) and what lasts only while processes run (leases,
//! fences) is in no record.
//!
//! Records have one order ([`Record::place`]): first what belongs to nobody, then person by person, so that two stores that hold
//! the same are written the same, byte for byte.

mod key;
mod kinds;
pub(crate) mod words;

use std::fmt::Write as _;

use serde::Deserialize;

pub(crate) use self::kinds::*;
use crate::domain::ids::UserId;

/// A part of a record's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPart {
    /// A number that counts.
    Number(i64),
    /// A text; ids are texts.
    Text(String),
}

impl From<i64> for KeyPart {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for KeyPart {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Where a record stands among all records.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Whose it is; nobody's come first.
    pub user_id: Option<UserId>,
    /// Its kind, in the order of [`Kind`].
    pub kind: Kind,
    /// Its place among those of its kind.
    pub key: Vec<KeyPart>,
}

/// Defines [`Kind`] and [`Record`]. A kind is `shared`, of a `person`, or `either`; its place is made of the parts named.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($struct:ident) $word:literal $owner:ident [$($part:ident),*],)*) => {
        /// The kinds of records, in the order in which they are written.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// Each of them.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Its word, the value of `kind` in a record.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)*
                }
            }
        }

        /// One thing that is stored.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Record {
            $($(#[$doc])* $kind(Box<$struct>),)*
        }

        impl Record {
            /// Its kind.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)*
                }
            }

            /// Whose it is; `None` for what belongs to nobody.
            #[must_use]
            pub fn user_id(&self) -> Option<UserId> {
                match self {
                    $(Self::$kind(record) => kinds!(@owner $owner record),)*
                }
            }

            /// Where it stands.
            #[must_use]
            pub fn place(&self) -> Place {
                match self {
                    $(Self::$kind(record) => Place {
                        user_id: kinds!(@owner $owner record),
                        kind: Kind::$kind,
                        key: {
                            let _unused = record;
                            vec![$(kinds!(@part record $part)),*]
                        },
                    },)*
                }
            }

            fn fields(&self) -> serde_json::Result<String> {
                match self {
                    $(Self::$kind(record) => serde_json::to_string(record),)*
                }
            }

            fn of_fields(kind: Kind, text: &str) -> serde_json::Result<Self> {
                Ok(match kind {
                    $(Kind::$kind => Self::$kind(serde_json::from_str(text)?),)*
                })
            }
        }
    };
    (@owner shared $record:ident) => {{ let _shared = $record; None }};
    (@owner person $record:ident) => { Some($record.user_id) };
    (@owner either $record:ident) => { $record.user_id };
    (@part $record:ident created_at) => { KeyPart::Number($record.created_at.as_millis()) };
    (@part $record:ident number) => { KeyPart::Number($record.number) };
    (@part $record:ident step) => { KeyPart::Number($record.step) };
    (@part $record:ident item) => { KeyPart::Number($record.id) };
    (@part $record:ident phone) => { KeyPart::Text($record.phone.as_str().to_owned()) };
    (@part $record:ident $part:ident) => { KeyPart::Text($record.$part.to_string()) };
}

kinds! {
    /// A moment kept under a name.
    Mark(Mark) "mark" shared [name],
    /// A day's turns of everybody.
    DailyTurns(DailyTurns) "dailyTurns" shared [day],
    /// A number's word on being texted.
    Consent(StoredConsent) "consent" shared [phone],
    /// An early report of a carrier.
    StatusReport(StatusReport) "statusReport" shared [gateway, gateway_message_id],
    /// A key under which numbers are hashed.
    HashKey(HashKey) "hashKey" shared [name],
    /// The word of a number whose person was erased.
    ErasedConsent(StoredErasedConsent) "erasedConsent" shared [hash],
    /// A person.
    Person(Person) "person" person [],
    /// A person's figures.
    Activity(Activity) "activity" person [],
    /// A turn.
    Turn(Turn) "turn" person [number],
    /// An agent's step.
    Step(Step) "step" person [turn, number],
    /// A call of a step.
    Call(Call) "call" person [turn, step, number],
    /// A conversation.
    Conversation(StoredConversation) "conversation" person [id],
    /// An entry of a conversation.
    Message(StoredMessage) "message" person [conversation_id, created_at, id],
    /// A conversation's summary.
    Summary(StoredSummary) "summary" person [conversation_id],
    /// An outgoing message.
    Outbound(Outbound) "outbound" person [number],
    /// A receipt.
    Receipt(StoredReceipt) "receipt" person [door, key],
    /// A notice given.
    Notice(Notice) "notice" person [key],
    /// A graph.
    Graph(StoredGraph) "graph" person [],
    /// An entity.
    Entity(StoredEntity) "entity" person [number],
    /// An observation.
    Observation(StoredObservation) "observation" person [number],
    /// A relation.
    Relation(StoredRelation) "relation" person [number],
    /// A todo list.
    TodoList(TodoList) "todoList" person [],
    /// An item of one.
    Todo(StoredTodo) "todo" person [item],
    /// A list of schedules.
    ScheduleList(ScheduleList) "scheduleList" person [],
    /// A schedule.
    Schedule(StoredSchedule) "schedule" person [item],
    /// A token.
    Token(StoredToken) "token" either [id],
}

impl Kind {
    /// The kind of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }
}

/// A line that is no record of this release.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRecord {
    /// Not the JSON of its kind.
    #[error("it is not a record: {0}")]
    Json(#[from] serde_json::Error),
    /// Of a kind that this release does not know.
    #[error("it is a record of the kind {0:?}, which this release does not know")]
    Kind(String),
}

impl Record {
    /// About how many bytes it takes: its texts that can be long. Whoever hands records out in batches bounds those by it.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Message(message) => message.text.len() + message.attachments.as_ref().map_or(0, |raw| raw.get().len()),
            Self::Turn(turn) => turn.request.as_ref().map_or(0, |raw| raw.get().len()) + turn.answer.as_ref().map_or(0, String::len),
            Self::Call(call) => call.arguments.len() + call.result.as_ref().map_or(0, String::len),
            Self::Step(step) => step.said.len(),
            Self::Outbound(outbound) => outbound.body.len(),
            Self::Summary(summary) => summary.text.len(),
            Self::Observation(observation) => observation.text.len(),
            _ => 256,
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`InvalidRecord`] says what is wrong with it, without its content.
    pub fn from_json(text: &str) -> Result<Self, InvalidRecord> {
        #[derive(Deserialize)]
        struct Head {
            kind: String,
        }
        let head: Head = serde_json::from_str(text)?;
        let kind = Kind::parse(&head.kind).ok_or(InvalidRecord::Kind(head.kind))?;
        Ok(Self::of_fields(kind, text)?)
    }

    /// Writes it on one line, without the line's end. Equal records are written equally.
    ///
    /// # Errors
    /// When a value in it cannot be written as JSON.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let fields = self.fields()?;
        let mut line = String::with_capacity(fields.len() + 24);
        // Writing to a String cannot fail.
        let _written = write!(line, "{{\"kind\":\"{}\",{}", self.kind().as_str(), fields.get(1..).unwrap_or("}"));
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = r#"{"kind":"notice","userId":"000102030405060708090aff","key":"balance","givenAt":"2026-11-22T12:00:00.007Z"}"#;

    #[test]
    fn a_record_is_written_as_it_was_read() {
        let record = Record::from_json(NOTE).unwrap();
        assert_eq!(record.to_json().unwrap(), NOTE);
        assert_eq!(record.place().kind, Kind::Notice);
        assert_eq!(record.place().key, [KeyPart::Text("balance".to_owned())]);
        let token = r#"{"kind":"token","id":"00000000-0000-0000-0000-000000000001","hash":"ab","tokenKind":"admin","scopes":[1.10e2,"ü"],"createdAt":"1970-01-01T00:00:00.000Z"}"#;
        let record = Record::from_json(token).unwrap();
        assert_eq!(record.to_json().unwrap(), token, "numbers stay as they were written");
        assert_eq!(record.user_id(), None);
    }

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(*kind));
        }
        assert!(matches!(Record::from_json(r#"{"kind":"dream"}"#), Err(InvalidRecord::Kind(word)) if word == "dream"));
        assert!(matches!(Record::from_json("{"), Err(InvalidRecord::Json(_))));
        assert!(matches!(Record::from_json(&NOTE.replace("balance\",", "balance\",\"x\":\"")), Err(InvalidRecord::Json(_))));
    }

    #[test]
    fn an_endpoint_that_is_a_role_is_none() {
        let line = r#"{"kind":"person","userId":"000102030405060708090aff","email":"e","name":"n","username":"u","provider":"sms","role":"USER","emailVerified":true,"callerMetadata":{},"blocked":false,"firstContact":"1970-01-01T00:00:00.000Z","createdAt":"1970-01-01T00:00:00.000Z","updatedAt":"1970-01-01T00:00:00.000Z","preferredEndpoint":"External"}"#;
        let Record::Person(person) = Record::from_json(line).unwrap() else { panic!("another kind") };
        assert_eq!(person.preferred_endpoint, None);
        assert!(Record::from_json(&line.replace("External", "no name!")).is_err());
    }
}
