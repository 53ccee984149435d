//! The indexes that are needed: made where they are missing, checked where they are there.
//!
//! An index is known by what it sorts, not by its name, for LibreChat gives its own names. In LibreChat's collections the names are
//! those that LibreChat itself would give, so that it finds its own.

use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::IndexOptions;
use mongodb::{Database, IndexModel};

use super::fault::{self, DUPLICATE};
use super::names::{Names, Place};
use crate::store::{StoreError, StoreResult};

/// The collection is not there.
const NO_COLLECTION: i32 = 26;
/// An index of that name, or of those fields, is there and is another.
const OTHER_OPTIONS: [i32; 2] = [85, 86];

/// What becomes of an index that cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Nothing works without it.
    Ours,
    /// It keeps LibreChat's data as LibreChat wants them; ours do not depend on it.
    LibreChats,
}

/// An index.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    place: Place,
    keys: &'static [(&'static str, i32)],
    unique: bool,
    /// Only documents that have this field.
    having: Option<&'static str>,
    need: Need,
}

const fn plain(place: Place, keys: &'static [(&'static str, i32)]) -> Wanted {
    Wanted { place, keys, unique: false, having: None, need: Need::Ours }
}

impl Wanted {
    const fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    const fn having(self, field: &'static str) -> Self {
        Self { having: Some(field), ..self }
    }

    const fn of_librechat(self) -> Self {
        Self { need: Need::LibreChats, ..self }
    }

    /// As the driver and mongoose name it.
    fn name(&self) -> String {
        self.keys.iter().map(|(field, order)| format!("{field}_{order}")).collect::<Vec<_>>().join("_")
    }

    fn keys(&self) -> Document {
        self.keys.iter().map(|(field, order)| ((*field).to_owned(), Bson::Int32(*order))).collect()
    }

    fn partial(&self) -> Option<Document> {
        self.having.map(|field| doc! { field: { "$exists": true } })
    }

    fn model(&self) -> IndexModel {
        let options =
            IndexOptions::builder().name(self.name()).unique(self.unique.then_some(true)).partial_filter_expression(self.partial()).build();
        IndexModel::builder().keys(self.keys()).options(options).build()
    }
}

/// All of them. Whoever asks the database for something adds here what finds it.
const WANTED: &[Wanted] = &[
    // One person a number; one effect of a message, wherever it is repeated.
    plain(Place::Heads, &[("phone", 1)]).unique().having("phone"),
    plain(Place::Heads, &[("receipts", 1)]).unique().having("receipts"),
    plain(Place::Heads, &[("carrierKeys", 1)]).having("carrierKeys"),
    // Work that is due, and who holds some.
    plain(Place::Heads, &[("turnNext", 1)]).having("turnNext"),
    plain(Place::Heads, &[("deliveryGateway", 1), ("deliveryNext", 1)]).having("deliveryNext"),
    plain(Place::Heads, &[("turnOwner", 1)]).having("turnOwner"),
    plain(Place::Heads, &[("deliveryOwner", 1)]).having("deliveryOwner"),
    plain(Place::Heads, &[("oldestDue", 1)]).having("oldestDue"),
    plain(Place::Heads, &[("jobs", 1)]).having("jobs"),
    plain(Place::Heads, &[("state.turns.id", 1)]),
    plain(Place::Heads, &[("state.outgoing.id", 1)]),
    plain(Place::Heads, &[("stagedSince", 1)]).having("stagedSince"),
    plain(Place::Heads, &[("erasedAt", 1)]).having("erasedAt"),
    plain(Place::Heads, &[("state.person.createdAt", 1), ("_id", 1)]),
    plain(Place::Turns, &[("user", 1), ("number", 1)]),
    plain(Place::Turns, &[("user", 1), ("event", 1)]).having("event"),
    plain(Place::Turns, &[("user", 1), ("conversationId", 1)]),
    plain(Place::Turns, &[("state", 1), ("openedAt", 1), ("_id", 1)]),
    plain(Place::Turns, &[("openedAt", 1), ("_id", 1)]),
    plain(Place::Outbox, &[("carrierKey", 1)]).having("carrierKey"),
    plain(Place::Outbox, &[("user", 1), ("number", 1)]),
    plain(Place::Outbox, &[("user", 1), ("conversationId", 1)]),
    plain(Place::Outbox, &[("turnId", 1)]),
    plain(Place::Outbox, &[("state", 1), ("createdAt", 1), ("_id", 1)]),
    plain(Place::Outbox, &[("createdAt", 1), ("_id", 1)]),
    plain(Place::Receipts, &[("user", 1)]),
    plain(Place::Units, &[("user", 1)]),
    plain(Place::Summaries, &[("user", 1), ("conversationId", 1)]),
    plain(Place::Summaries, &[("claimedUntil", 1)]),
    plain(Place::Reports, &[("receivedAt", 1)]),
    plain(Place::Memory, &[("user", 1), ("number", 1)]),
    plain(Place::Todos, &[("user", 1), ("number", 1)]),
    plain(Place::Schedules, &[("user", 1), ("number", 1)]),
    plain(Place::Schedules, &[("nextRun", 1)]),
    plain(Place::Tokens, &[("hash", 1)]).unique(),
    plain(Place::Tokens, &[("createdAt", 1), ("_id", 1)]),
    // In LibreChat's collections.
    plain(Place::Users, &[("phoneNumber", 1)]).having("phoneNumber"),
    plain(Place::Users, &[("metadata.phoneNumber", 1)]).having("metadata.phoneNumber"),
    plain(Place::Users, &[("username", 1)]),
    plain(Place::Users, &[("email", 1), ("tenantId", 1)]).unique().of_librechat(),
    plain(Place::Conversations, &[("conversationId", 1), ("user", 1), ("tenantId", 1)]).unique().of_librechat(),
    plain(Place::Conversations, &[("user", 1), ("metadata.lastMessage", -1), ("conversationId", -1)]),
    plain(Place::Messages, &[("messageId", 1), ("user", 1), ("tenantId", 1)]).unique().of_librechat(),
    plain(Place::Messages, &[("conversationId", 1), ("user", 1), ("createdAt", 1), ("_id", 1)]).of_librechat(),
    plain(Place::Messages, &[("user", 1), ("conversationId", 1), ("slot", 1), ("entry", 1)]),
    plain(Place::Messages, &[("user", 1), ("createdAt", -1), ("slot", -1), ("entry", -1)]),
    plain(Place::Messages, &[("turnId", 1)]).having("turnId"),
    plain(Place::Balances, &[("user", 1)]),
];

/// Checks the indexes that are there and makes those that are missing.
///
/// # Errors
/// [`StoreError::Unsupported`] naming an index that is in the way, or whose documents are; [`StoreError::Unavailable`].
pub(super) async fn ensure(database: &Database, names: &Names) -> StoreResult<()> {
    let mut places: Vec<Place> = Vec::new();
    for wanted in WANTED {
        if !places.contains(&wanted.place) {
            places.push(wanted.place);
        }
    }
    // Each collection on its own, all at once: on a new database this is the longest part of a start.
    let work = places.into_iter().map(|place| ensure_of(database, names, place));
    futures::future::try_join_all(work).await?;
    Ok(())
}

/// What is wrong with the indexes that are there: of those that nothing works without, each that is missing or another.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub(super) async fn missing(database: &Database, names: &Names) -> StoreResult<Vec<String>> {
    let mut found: Vec<(Place, Vec<Document>)> = Vec::new();
    let mut wrong = Vec::new();
    for wanted in WANTED.iter().filter(|wanted| wanted.need == Need::Ours) {
        let name = names.of(wanted.place);
        if !found.iter().any(|(place, _indexes)| *place == wanted.place) {
            found.push((wanted.place, existing(database, &name).await?));
        }
        let there = found.iter().find(|(place, _indexes)| *place == wanted.place).map_or(&[][..], |(_place, indexes)| indexes.as_slice());
        match verdict(wanted, there) {
            Verdict::There => {}
            Verdict::Missing => wrong.push(format!("the index {:?} of the collection {name:?} is missing", wanted.name())),
            Verdict::InTheWay(other) => wrong.push(in_the_way(wanted, &name, &other).to_string()),
        }
    }
    Ok(wrong)
}

async fn ensure_of(database: &Database, names: &Names, place: Place) -> StoreResult<()> {
    let name = names.of(place);
    let there = existing(database, &name).await?;
    let collection = database.collection::<Document>(&name);
    let mut missing = Vec::new();
    for wanted in WANTED.iter().filter(|wanted| wanted.place == place) {
        match verdict(wanted, &there) {
            Verdict::There => {}
            Verdict::Missing => missing.push(*wanted),
            Verdict::InTheWay(other) => refuse(wanted, in_the_way(wanted, &name, &other))?,
        }
    }
    if missing.is_empty() || collection.create_indexes(missing.iter().map(Wanted::model)).await.is_ok() {
        return Ok(());
    }
    // One of them cannot be made: which?
    for wanted in missing {
        if let Err(error) = collection.create_index(wanted.model()).await {
            refuse(&wanted, not_made(&wanted, &name, error))?;
        }
    }
    Ok(())
}

/// What LibreChat would like is not worth refusing to start.
fn refuse(wanted: &Wanted, error: StoreError) -> StoreResult<()> {
    if wanted.need == Need::Ours {
        return Err(error);
    }
    tracing::warn!(error = %error, "an index of LibreChat's is missing");
    Ok(())
}

/// The indexes of a collection as the server tells them.
async fn existing(database: &Database, collection: &str) -> StoreResult<Vec<Document>> {
    let mut answer = match database.run_cursor_command(doc! { "listIndexes": collection }).await {
        Ok(answer) => answer,
        Err(error) if code(&error) == Some(NO_COLLECTION) => return Ok(Vec::new()),
        Err(error) => return Err(fault::unavailable(error)),
    };
    let mut found = Vec::new();
    while answer.advance().await.map_err(fault::unavailable)? {
        found.push(answer.deserialize_current().map_err(fault::unavailable)?);
    }
    Ok(found)
}

#[derive(Debug, PartialEq)]
enum Verdict {
    There,
    Missing,
    /// The name of one that has the fields or the name, and is another.
    InTheWay(String),
}

fn verdict(wanted: &Wanted, there: &[Document]) -> Verdict {
    let name_of = |index: &Document| index.get_str("name").unwrap_or_default().to_owned();
    let sorts_the_same = |index: &&Document| index.get_document("key").is_ok_and(|keys| same_keys(keys, &wanted.keys()));
    let mut same = there.iter().filter(sorts_the_same).peekable();
    if let Some(first) = same.peek().map(|index| name_of(index)) {
        let serves = |index: &Document| {
            let unique = index.get_bool("unique").unwrap_or(false);
            let partial = index.get_document("partialFilterExpression").ok();
            let is_whole = partial.is_none() && !index.get_bool("sparse").unwrap_or(false);
            // One that holds every document finds what a partial one finds; as a unique one it would forbid a second without the field.
            let holds_enough = partial == wanted.partial().as_ref() || (is_whole && !wanted.unique);
            holds_enough && unique == wanted.unique
        };
        return if same.any(serves) { Verdict::There } else { Verdict::InTheWay(first) };
    }
    match there.iter().find(|index| name_of(index) == wanted.name()) {
        Some(other) => Verdict::InTheWay(name_of(other)),
        None => Verdict::Missing,
    }
}

/// Whether two indexes sort by the same fields in the same order. The server tells the order as any kind of number.
fn same_keys(one: &Document, other: &Document) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "an order is 1 or -1")]
    let order = |value: &Bson| match value {
        Bson::Int32(order) => Some(i64::from(*order)),
        Bson::Int64(order) => Some(*order),
        Bson::Double(order) => Some(*order as i64),
        _ => None,
    };
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| one.0 == other.0 && order(one.1).is_some() && order(one.1) == order(other.1))
}

fn in_the_way(wanted: &Wanted, collection: &str, other: &str) -> StoreError {
    let kind = if wanted.unique { "a unique index" } else { "an index" };
    let fields = wanted.keys.iter().map(|(field, _order)| *field).collect::<Vec<_>>().join(", ");
    let reason = format!(
        "the collection {collection:?} needs {kind} {:?} over {fields}, and has one named {other:?} in its place that is another; drop it in \
         mongosh with db.getCollection({collection:?}).dropIndex({other:?}) and start again",
        wanted.name()
    );
    StoreError::Unsupported { reason }
}

fn not_made(wanted: &Wanted, collection: &str, error: Error) -> StoreError {
    let fields = wanted.keys.iter().map(|(field, _order)| *field).collect::<Vec<_>>().join(", ");
    match code(&error) {
        Some(DUPLICATE) => {
            let reason = format!(
                "the unique index {:?} of the collection {collection:?} cannot be made, for several documents have the same {fields}; merge or \
                 delete all but one of them",
                wanted.name()
            );
            StoreError::Unsupported { reason }
        }
        Some(code) if OTHER_OPTIONS.contains(&code) => in_the_way(wanted, collection, &wanted.name()),
        _ => {
            let reason = format!("the index {:?} of the collection {collection:?} is missing and cannot be made", wanted.name());
            StoreError::unavailable(reason, error)
        }
    }
}

fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(failure) => Some(failure.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone() -> Wanted {
        plain(Place::Heads, &[("phone", 1)]).unique().having("phone")
    }

    #[test]
    fn an_index_is_known_by_what_it_does() {
        let right =
            doc! { "name": "any", "key": { "phone": 1.0 }, "unique": true, "partialFilterExpression": { "phone": { "$exists": true } } };
        assert_eq!(verdict(&phone(), std::slice::from_ref(&right)), Verdict::There);
        let not_unique = doc! { "name": "mine", "key": { "phone": 1_i64 } };
        assert_eq!(verdict(&phone(), std::slice::from_ref(&not_unique)), Verdict::InTheWay("mine".to_owned()));
        assert_eq!(verdict(&phone(), &[not_unique.clone(), right]), Verdict::There);
        let whole = plain(Place::Heads, &[("phone", 1)]).having("phone");
        assert_eq!(verdict(&whole, &[not_unique]), Verdict::There, "one that holds more finds as much");
        let other_way = doc! { "name": "phone_-1", "key": { "phone": -1 } };
        assert_eq!(verdict(&phone(), &[other_way]), Verdict::Missing);
        let other_fields = doc! { "name": "phone_1", "key": { "number": 1 } };
        assert_eq!(verdict(&phone(), &[other_fields]), Verdict::InTheWay("phone_1".to_owned()));
    }

    #[test]
    fn what_is_in_the_way_is_named_with_the_way_out() {
        let said = in_the_way(&phone(), "scrubjay_heads", "mine").to_string();
        assert!(said.contains("\"phone_1\" over phone") && said.contains("dropIndex(\"mine\")"), "{said}");
    }

    #[test]
    fn no_index_is_wanted_twice_and_each_begins_with_who_or_what_is_looked_for() {
        for (number, one) in WANTED.iter().enumerate() {
            assert!(!WANTED.iter().skip(number + 1).any(|other| other.place == one.place && other.keys == one.keys), "{one:?}");
            assert!(one.name().len() < 120, "the server bounds names");
        }
    }
}
