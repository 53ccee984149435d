//! What a unit writes outside its head: staged with the head, applied after it, as often as need be with the same result.
//!
//! A document that a unit wrote carries the version of the head that said so (`unitVersion`), and a write that comes late, from a
//! process that was paused between its commit and this, finds a higher one there and changes nothing. So writes can be repeated
//! by whoever finds them staged, in whatever order that happens.

use std::borrow::Borrow;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use mongodb::bson::raw::{CStr, RawArrayBuf};
use mongodb::bson::{Binary, Bson, Document, RawDocumentBuf, cstr, doc, rawdoc, spec::BinarySubtype};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};

use super::names::{Names, Place};
use crate::store::{StoreError, StoreResult};

/// The field of a written document that holds the version of the head that wrote it last.
pub(super) const VERSION: &str = "unitVersion";
const VERSION_KEY: &CStr = cstr!("unitVersion");

/// LibreChat's own mark of what its search has seen as it is.
pub(super) const SEARCHED: &str = "_meiliIndex";

/// Staged bytes beyond which they are not kept in the head itself. A document holds 16 MB at most, and a head holds more than
/// this.
pub(super) const IN_HEAD: usize = 2 * 1024 * 1024;

/// Bytes of one part of what is too large for the head.
const PART: usize = 8 * 1024 * 1024;

/// Writes below which two units' lists are made one; longer ones are applied one after the other.
const MERGED: usize = 256;

/// One write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Write {
    /// Where.
    pub(super) place: Place,
    /// Which document: fields and the values that they have.
    #[serde(serialize_with = "as_bytes")]
    pub(super) key: Document,
    /// What.
    pub(super) what: What,
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum What {
    /// Sets fields, of a document that is made where it is missing.
    Put {
        /// Fields that have these values then.
        #[serde(serialize_with = "as_bytes")]
        set: Document,
        /// Fields that only a document made by this gets.
        #[serde(serialize_with = "as_bytes")]
        insert: Document,
        /// Lists that hold these values then as well, whatever others added to them.
        #[serde(default, serialize_with = "as_bytes")]
        add: Document,
    },
    /// Sets fields of a document, if it is there: what somebody else deleted meanwhile stays deleted.
    Change {
        /// Fields that have these values then.
        #[serde(serialize_with = "as_bytes")]
        set: Document,
        /// Lists that hold these values then as well.
        #[serde(default, serialize_with = "as_bytes")]
        add: Document,
    },
    /// Deletes the document.
    Delete,
    /// Deletes every document that has these values.
    DeleteAll,
    /// Makes every document that has these values another person's.
    Hand {
        /// Whose they are then.
        to: String,
        /// Numbers in them that grow, and by how much: theirs come behind those of the new owner.
        grow: Document,
    },
    /// Marks a document, so that whoever applies this learns whether it is there.
    Claim,
    /// Changes a balance by what our total is ahead of what the document has of it; [`super::credits`] says why.
    Credit {
        /// Our total.
        own: i64,
        /// What a document gets that says nothing of credits.
        whole: i64,
    },
}

/// Writes, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Writes(pub(super) Vec<Arc<Staged>>);

/// A write as heads hold it, one after the other until it is applied: its bytes are made once.
#[derive(Debug)]
pub(super) struct Staged {
    write: Write,
    bytes: OnceLock<RawDocumentBuf>,
}

impl Staged {
    fn new(write: Write) -> Arc<Self> {
        Arc::new(Self { write, bytes: OnceLock::new() })
    }

    fn bytes(&self) -> StoreResult<&RawDocumentBuf> {
        if let Some(bytes) = self.bytes.get() {
            return Ok(bytes);
        }
        let bytes = mongodb::bson::serialize_to_raw_document_buf(&self.write).map_err(unwritable)?;
        Ok(self.bytes.get_or_init(|| bytes))
    }
}

impl Deref for Staged {
    type Target = Write;

    fn deref(&self) -> &Write {
        &self.write
    }
}

impl PartialEq for Staged {
    fn eq(&self, other: &Self) -> bool {
        self.write == other.write
    }
}

impl Writes {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a prompt of what stands before that place is the same with and without these.
    pub(super) fn are_behind(&self, sequence: i64) -> bool {
        self.0.iter().all(|write| match (write.place, &write.what) {
            // A text that has no place yet is in no prompt.
            (Place::Messages, What::Put { set, .. }) => set.get_i64("sequence").map_or(true, |place| place >= sequence),
            (Place::Messages, What::Change { set, .. }) => set.get_i64("sequence").is_ok_and(|place| place >= sequence),
            (Place::Messages | Place::Summaries, _) => false,
            _ => true,
        })
    }

    /// These and those after them, where few writes to one document become one.
    pub(super) fn followed_by(&self, later: Self) -> Self {
        let mut all = self.clone();
        if self.0.len() + later.0.len() > MERGED {
            all.0.extend(later.0);
            return all;
        }
        for write in later.0 {
            all.add_shared(write);
        }
        all
    }

    /// Adds a write, into an earlier one of the same document where that gives the same.
    pub(super) fn add(&mut self, write: Write) {
        self.add_shared(Staged::new(write));
    }

    fn add_shared(&mut self, write: Arc<Staged>) {
        if self.0.len() < MERGED {
            let same =
                |earlier: &&mut Arc<Staged>| earlier.place == write.place && (earlier.what == What::DeleteAll || earlier.key == write.key);
            if let Some(earlier) = self.0.iter_mut().rev().find(same)
                && let Some(merged) = earlier.what.followed_by(&write.what)
            {
                *earlier = Staged::new(Write { place: write.place, key: earlier.key.clone(), what: merged });
                return;
            }
        }
        self.0.push(write);
    }

    /// As stored in a head: one opaque value, since field names in here may be paths.
    pub(super) fn to_bytes(&self) -> StoreResult<Vec<u8>> {
        let mut writes = RawArrayBuf::new();
        for staged in &self.0 {
            writes.push(staged.bytes()?);
        }
        Ok(rawdoc! { "writes": writes }.into_bytes())
    }

    /// Reads [`Self::to_bytes`].
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, mongodb::bson::error::Error> {
        let held: Held = mongodb::bson::deserialize_from_slice(bytes)?;
        Ok(Self(held.writes.into_iter().map(Staged::new).collect()))
    }

    /// The writes as parts that fit a document each.
    pub(super) fn in_parts(&self) -> StoreResult<Vec<Vec<u8>>> {
        let mut parts = Vec::new();
        let mut part = Self::default();
        let mut size = 0;
        for write in &self.0 {
            let bytes = Self(vec![Arc::clone(write)]).to_bytes()?.len();
            if size + bytes > PART && !part.is_empty() {
                parts.push(part.to_bytes()?);
                part = Self::default();
                size = 0;
            }
            size += bytes;
            part.0.push(Arc::clone(write));
        }
        if !part.is_empty() {
            parts.push(part.to_bytes()?);
        }
        Ok(parts)
    }
}

/// Writes as a head holds them.
#[derive(Deserialize)]
struct Held {
    writes: Vec<Write>,
}

impl What {
    /// The two as one; `None` where the order must stay visible.
    fn followed_by(&self, later: &Self) -> Option<Self> {
        Some(match (self, later) {
            (Self::Put { set, insert, add }, Self::Put { set: more, insert: rest, add: others }) => {
                Self::put(joined(set, more), joined(insert, rest)).adding(listed(add, others))
            }
            (Self::Put { set, insert, add }, Self::Change { set: more, add: others }) => {
                Self::put(joined(set, more), insert.clone()).adding(listed(add, others))
            }
            (Self::Change { set, add }, Self::Change { set: more, add: others }) => {
                Self::Change { set: joined(set, more), add: listed(add, others) }
            }
            (Self::Put { .. } | Self::Change { .. } | Self::Delete | Self::Credit { .. }, Self::Delete) => Self::Delete,
            (Self::Claim, Self::Claim) => Self::Claim,
            (Self::Credit { .. }, Self::Credit { .. }) => later.clone(),
            _ => return None,
        })
    }

    /// A put in which no field is both set and given at the beginning: the server refuses that.
    pub(super) fn put(set: Document, mut insert: Document) -> Self {
        let holds = |path: &str, other: &str| path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let meets = |path: &str| set.keys().any(|other| holds(path, other) || holds(other, path));
        let twice: Vec<String> = insert.keys().filter(|key| meets(key)).cloned().collect();
        for key in twice {
            insert.remove(&key);
        }
        Self::Put { set, insert, add: Document::new() }
    }

    /// Whether it adds to lists.
    pub(super) fn adds(&self) -> bool {
        matches!(self, Self::Put { add, .. } | Self::Change { add, .. } if !add.is_empty())
    }

    /// The same with values for lists.
    fn adding(mut self, values: Document) -> Self {
        if let Self::Put { add, .. } | Self::Change { add, .. } = &mut self {
            *add = values;
        }
        self
    }
}

fn joined(earlier: &Document, later: &Document) -> Document {
    let mut all = earlier.clone();
    all.extend(later.clone());
    all
}

/// Values for lists, with more of them: each once.
fn listed(earlier: &Document, later: &Document) -> Document {
    let mut all = earlier.clone();
    for (name, values) in later {
        match (all.get_array_mut(name), values) {
            (Ok(there), Bson::Array(values)) => {
                for value in values {
                    if !there.contains(value) {
                        there.push(value.clone());
                    }
                }
            }
            _ => drop(all.insert(name, values.clone())),
        }
    }
    all
}

/// An update that sets fields, and adds values to lists that do not have them.
fn setting(set: &Document, version: i64, add: &Document) -> StoreResult<RawDocumentBuf> {
    let mut set = raw(set)?;
    set.append(VERSION_KEY, version);
    let mut update = rawdoc! { "$set": set };
    if !add.is_empty() {
        let each: Document = add.iter().map(|(name, values)| (name.clone(), doc! { "$each": values.clone() }.into())).collect();
        update.append(cstr!("$addToSet"), raw(&each)?);
    }
    Ok(update)
}

fn raw(document: &Document) -> StoreResult<RawDocumentBuf> {
    RawDocumentBuf::try_from(document).map_err(unwritable)
}

/// A write as the server's commands say it: the filter, and what is done to what it finds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Command {
    pub(super) collection: String,
    pub(super) filter: RawDocumentBuf,
    pub(super) change: Change,
}

/// What a command does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Update {
        update: RawDocumentBuf,
        upsert: bool,
    },
    /// Stages that compute.
    Compute {
        stages: Vec<Document>,
    },
    UpdateMany {
        update: RawDocumentBuf,
    },
    Delete {
        many: bool,
    },
}

impl Command {
    /// What an `update` command says of it; `None` for what is not about one document, and for a deletion.
    pub(super) fn statement(&self) -> StoreResult<Option<RawDocumentBuf>> {
        let mut statement = RawDocumentBuf::new();
        statement.append(cstr!("q"), &self.filter);
        let upsert = match &self.change {
            Change::Update { update, upsert } => {
                statement.append(cstr!("u"), update);
                *upsert
            }
            Change::Compute { stages } => {
                let mut all = RawArrayBuf::new();
                for stage in stages {
                    all.push(raw(stage)?);
                }
                statement.append(cstr!("u"), all);
                false
            }
            Change::UpdateMany { .. } | Change::Delete { .. } => return Ok(None),
        };
        statement.append(cstr!("upsert"), upsert);
        Ok(Some(statement))
    }
}

impl Write {
    /// The write as a command, guarded by the version that it is of.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: a value cannot be written.
    pub(super) fn command(&self, names: &Names, version: i64) -> StoreResult<Command> {
        let mut filter = raw(&self.key)?;
        // Whoever was applying a handing-over already has left nothing of it to be found, and a claim is the same whoever makes it.
        if !matches!(self.what, What::Hand { .. } | What::Claim) {
            filter.append(VERSION_KEY, rawdoc! { "$not": { "$gt": version } });
        }
        let change = match &self.what {
            What::Put { set, insert, add } => {
                let mut update = setting(set, version, add)?;
                if !insert.is_empty() {
                    update.append(cstr!("$setOnInsert"), raw(insert)?);
                }
                Change::Update { update, upsert: true }
            }
            What::Change { set, add } => Change::Update { update: setting(set, version, add)?, upsert: false },
            What::Delete | What::DeleteAll => Change::Delete { many: self.what == What::DeleteAll },
            What::Hand { to, grow } => {
                let mut set = doc! { "user": to, VERSION: version };
                if matches!(self.place, Place::Conversations | Place::Messages) {
                    // LibreChat's search knows it as somebody else's.
                    set.insert(SEARCHED, false);
                }
                let mut update = doc! { "$set": set };
                if !grow.is_empty() {
                    update.insert("$inc", grow.clone());
                }
                Change::UpdateMany { update: raw(&update)? }
            }
            What::Claim => Change::Update { update: rawdoc! { "$set": { "claimed": true } }, upsert: false },
            What::Credit { own, whole } => Change::Compute { stages: super::credits::stages(*own, *whole, version) },
        };
        Ok(Command { collection: names.of(self.place), filter, change })
    }
}

/// A document as the bytes that it is: value by value takes several times as long.
fn as_bytes<S: Serializer>(document: &impl Borrow<Document>, serializer: S) -> Result<S::Ok, S::Error> {
    RawDocumentBuf::try_from(document.borrow()).map_err(S::Error::custom)?.serialize(serializer)
}

/// Bytes as a value.
pub(super) fn binary(bytes: Vec<u8>) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes })
}

/// What cannot be written as BSON: a text with a NUL in a field's name, say, or a document that is too large.
pub(super) fn unwritable(error: mongodb::bson::error::Error) -> StoreError {
    StoreError::unavailable("a value cannot be written as BSON", error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::mongodb::fields::document_of;

    fn write(key: i32, what: What) -> Write {
        Write { place: Place::Turns, key: doc! { "_id": key }, what }
    }

    fn change(set: Document) -> What {
        What::Change { set, add: Document::new() }
    }

    /// The server refuses (error 40) an update that sets and removes what meets; none of ours removes anything.
    #[test]
    fn no_write_sets_and_removes() {
        let all = [
            What::put(doc! { "a.b": 1 }, doc! { "a": {}, "c": 2 }),
            change(doc! { "a.b": 1 }),
            What::Delete,
            What::DeleteAll,
            What::Hand { to: "another".to_owned(), grow: doc! { "sequence": 3 } },
            What::Claim,
            What::Credit { own: 1, whole: 2 },
        ];
        let names = Names::with_prefix("");
        for earlier in &all {
            for later in &all {
                let mut writes = Writes::default();
                writes.add(write(1, earlier.clone()));
                writes.add(write(1, later.clone()));
                for write in &writes.0 {
                    if let Change::Update { update, .. } | Change::UpdateMany { update } = write.command(&names, 3).unwrap().change {
                        let update = document_of(&update).unwrap();
                        assert!(!update.contains_key("$unset"), "{update}");
                        let mut paths: Vec<&str> = update
                            .iter()
                            .filter_map(|(_operator, fields)| fields.as_document())
                            .flat_map(Document::keys)
                            .map(String::as_str)
                            .collect();
                        paths.sort_unstable();
                        let meets = |pair: &[&str]| pair[0] == pair[1] || pair[1].starts_with(&format!("{}.", pair[0]));
                        assert!(!paths.windows(2).any(meets), "{update}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_added_to_a_list_stays_added_whatever_comes_with_it() {
        let mut writes = Writes::default();
        writes.add(write(1, What::put(doc! { "a": 1 }, doc! {})));
        for value in [1, 2, 1] {
            writes.add(write(1, What::Change { set: doc! {}, add: doc! { "list": [value] } }));
        }
        writes.add(write(1, change(doc! { "a": 2 })));
        let [only] = writes.0.as_slice() else { panic!("{writes:?}") };
        let Change::Update { update, upsert } = only.command(&Names::with_prefix(""), 3).unwrap().change else { panic!("{only:?}") };
        let expected = doc! { "$set": { "a": 2, "unitVersion": 3_i64 }, "$addToSet": { "list": { "$each": [1, 2] } } };
        assert_eq!((document_of(&update).unwrap(), upsert), (expected, true));
    }

    #[test]
    fn of_two_totals_of_credits_the_later_counts() {
        let mut writes = Writes::default();
        writes.add(write(1, What::Credit { own: 5, whole: 9 }));
        writes.add(write(1, What::Credit { own: 3, whole: 7 }));
        assert_eq!(writes.0, [Staged::new(write(1, What::Credit { own: 3, whole: 7 }))]);
    }

    #[test]
    fn writes_to_one_document_become_one() {
        let mut writes = Writes::default();
        writes.add(write(1, What::put(doc! { "a": 1 }, doc! { "b": 1, "c": 1 })));
        writes.add(write(2, change(doc! { "a": 2 })));
        writes.add(write(1, change(doc! { "b": 3 })));
        assert_eq!(writes.0.len(), 2);
        let expected = What::put(doc! { "a": 1, "b": 3 }, doc! { "c": 1 });
        assert_eq!(writes.0.first().unwrap().what, expected, "no field is set and given at the beginning");
        writes.add(write(1, What::Delete));
        writes.add(write(1, What::put(doc! { "a": 4 }, doc! {})));
        assert_eq!(writes.0.len(), 3, "what comes after a deletion stays after it");
    }

    #[test]
    fn a_path_and_what_it_lies_in_are_not_written_both() {
        let what = What::put(doc! { "metadata.count": 2 }, doc! { "metadata": { "source": "sms" }, "metadata.first": 1, "user": "x" });
        let What::Put { set, insert, .. } = what else { panic!("{what:?}") };
        assert_eq!((set, insert), (doc! { "metadata.count": 2 }, doc! { "metadata.first": 1, "user": "x" }));
    }

    #[test]
    fn nothing_is_moved_across_the_deletion_of_many() {
        let mut writes = Writes::default();
        writes.add(write(1, What::put(doc! { "a": 1 }, doc! {})));
        writes.add(Write { place: Place::Turns, key: doc! { "user": "x" }, what: What::DeleteAll });
        writes.add(write(1, What::put(doc! { "a": 2 }, doc! {})));
        assert_eq!(writes.0.len(), 3);
    }

    #[test]
    fn writes_come_back_as_they_were_and_in_parts() {
        let mut writes = Writes::default();
        for key in 0..5 {
            writes.0.push(Staged::new(write(key, What::put(doc! { "text.of": "x".repeat(PART / 2) }, doc! {}))));
        }
        assert_eq!(Writes::from_bytes(&writes.to_bytes().unwrap()).unwrap(), writes);
        let parts = writes.in_parts().unwrap();
        assert_eq!(parts.len(), 5);
        let back: Vec<Arc<Staged>> = parts.iter().flat_map(|part| Writes::from_bytes(part).unwrap().0).collect();
        assert_eq!(back, writes.0);
    }

    #[test]
    fn a_late_write_is_refused_by_what_is_there() {
        let names = Names::with_prefix("p_");
        let put = write(1, What::put(doc! { "a": 1 }, doc! { "b": 2 })).command(&names, 7).unwrap();
        assert_eq!(document_of(&put.filter).unwrap(), doc! { "_id": 1, "unitVersion": { "$not": { "$gt": 7_i64 } } });
        let update = doc! { "$set": { "a": 1, "unitVersion": 7_i64 }, "$setOnInsert": { "b": 2 } };
        assert_eq!(put.change, Change::Update { update: raw(&update).unwrap(), upsert: true });
        assert_eq!(put.collection, "p_turns");
    }
}
