//! [`Keeping`] over MongoDB: documents as portable records, and records as documents.
//!
//! [`person`] reads everything of one person as of one moment; [`mod@restore`] puts records where they belong; [`damage`] looks for what is
//! wrong beyond them. What a document of a kind looks like as a record is said in [`turns`], [`talk`], [`lists`] and [`shared`], both
//! ways.
//!
//! # What a snapshot is of
//!
//! Each person is of one moment; one person may be of a later moment than another, for the server is not asked to keep the past. What is
//! nobody's (words on being texted, marks, days, reports, tokens of the host) is of the beginning.

mod bulk;
mod damage;
pub(super) mod lists;
pub(super) mod person;
mod restore;
mod shared;
mod talk;
mod turns;

use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};
use tokio::sync::mpsc;

use self::bulk::Put;
use super::MongoStore;
use super::fault;
use super::fields::{Fields, object_id};
use super::head::Head;
use super::names::Place;
use super::presence::RESTORING;
use crate::domain::ids::UserId;
use crate::store::record::Record;
use crate::store::{Damage, Keeping, Purpose, Snapshot, StoreError, StoreResult, Whose};

/// Records of one batch of a snapshot at most, and of how many bytes of text about.
const RECORDS: usize = 256;
const BYTES: usize = 1 << 20;

/// People who are read together at most, and how many texts they have sent about: so much is held in memory.
const PEOPLE: usize = 64;
const MESSAGES: i64 = 4_000;

/// Where something lies that a record is made of, but for LibreChat's collections: those have documents of others as well.
const OURS: [Place; 13] = [
    Place::Heads,
    Place::Turns,
    Place::Outbox,
    Place::Receipts,
    Place::Reports,
    Place::Summaries,
    Place::Consents,
    Place::Days,
    Place::Marks,
    Place::Schedules,
    Place::Tokens,
    Place::HashKeys,
    Place::ErasedConsents,
];

#[async_trait]
impl Keeping for MongoStore {
    async fn snapshot(&self, whose: Whose) -> StoreResult<Snapshot> {
        let (batches, received) = mpsc::channel(1);
        let reader = self.sibling();
        // It ends when everything is read, or nobody wants more.
        drop(tokio::spawn(async move {
            let mut batches = Batches { out: batches, batch: Vec::new(), bytes: 0 };
            if let Err(error) = reader.read_out(whose, &mut batches).await {
                // Whoever asked may have gone.
                let _gone = batches.out.send(Err(error)).await;
            }
        }));
        Ok(Snapshot::new(received))
    }

    async fn begin_restore(&self, archive: &str) -> StoreResult<u64> {
        let meta = self.collection(Place::Meta);
        if let Some(found) = meta.find_one(doc! { "_id": RESTORING }).await.map_err(fault::unavailable)? {
            let fields = Fields::new(meta.name(), &found);
            let other = fields.text("archive")?;
            if other != archive {
                let reason = format!(
                    "another archive ({other}) is being restored into this store; go on with that one, or begin in an empty database"
                );
                return Err(StoreError::Conflict { reason });
            }
            let restored = u64::try_from(fields.number("restored")?).unwrap_or(0);
            self.presence.begin_alone(None).await?;
            return Ok(restored);
        }
        if !self.is_empty().await? {
            let reason = "the store holds something already; an archive is restored into an empty one".to_owned();
            return Err(StoreError::Conflict { reason });
        }
        let begun = doc! { "_id": RESTORING, "archive": archive, "restored": 0_i64 };
        self.presence.begin_alone(Some(begun)).await?;
        Ok(0)
    }

    async fn restore(&self, batch: Vec<Record>, restored: u64) -> StoreResult<()> {
        self.put_records(&batch, restored).await
    }

    async fn finish_restore(&self) -> StoreResult<()> {
        self.presence.end_alone().await
    }

    async fn find_damage(&self) -> StoreResult<Vec<Damage>> {
        self.look_for_damage().await
    }
}

/// Says why a database that is being restored is opened for nothing else.
///
/// # Errors
/// [`StoreError::Unsupported`], when it is.
pub(super) async fn check_purpose(database: &mongodb::Database, meta: &str, purpose: Purpose) -> StoreResult<()> {
    if purpose == Purpose::Restore {
        return Ok(());
    }
    let found = database.collection::<Document>(meta).find_one(doc! { "_id": RESTORING }).await.map_err(fault::unavailable)?;
    let Some(found) = found else { return Ok(()) };
    let reason = format!(
        "the database {:?} is being restored from an archive ({}) and holds a part of it so far; go on with `scrubjay archive read`",
        database.name(),
        Fields::new(meta, &found).text("archive")?
    );
    Err(StoreError::Unsupported { reason })
}

/// Batches of a snapshot that are handed out.
struct Batches {
    out: mpsc::Sender<StoreResult<Vec<Record>>>,
    batch: Vec<Record>,
    bytes: usize,
}

impl Batches {
    /// Adds a record; false when nobody wants more.
    async fn add(&mut self, record: Record) -> bool {
        self.bytes += record.weight();
        self.batch.push(record);
        if self.batch.len() < RECORDS && self.bytes < BYTES { true } else { self.hand_out().await }
    }

    async fn hand_out(&mut self) -> bool {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        batch.is_empty() || self.out.send(Ok(batch)).await.is_ok()
    }
}

/// People who are read together.
struct Group {
    heads: Vec<Head>,
    /// Of whom only receipts are left.
    gone: Vec<UserId>,
    last: Option<UserId>,
}

impl Group {
    /// All of each of them, in the order of their ids; none of whoever must be read again.
    async fn read(self, store: &MongoStore) -> StoreResult<Vec<(UserId, Option<Vec<Record>>)>> {
        for head in self.heads.iter().filter(|head| !head.pending.is_empty()) {
            store.apply(head.user_id, head.version, &head.pending).await?;
        }
        let mut all = store.records_of_all(self.heads).await?;
        all.extend(self.gone.into_iter().map(|user| (user, None)));
        all.sort_unstable_by_key(|(user, _records)| *user);
        Ok(all)
    }
}

impl MongoStore {
    /// The same database through the same client, for work that outlives a call.
    fn sibling(&self) -> Self {
        let (client, db, names, clock) = (self.client.clone(), self.db.clone(), self.names.clone(), self.clock.clone());
        let presence = Arc::clone(&self.presence);
        Self { ahead: Arc::clone(&self.ahead), ..Self::over(client, db, names, clock, self.writes_across, presence) }
    }

    /// Reads everything, person by person, until nobody wants more.
    async fn read_out(&self, whose: Whose, batches: &mut Batches) -> StoreResult<()> {
        if let Whose::Persons(user) = whose {
            for record in self.records_of(user).await? {
                if !batches.add(record).await {
                    return Ok(());
                }
            }
            batches.hand_out().await;
            return Ok(());
        }
        self.settle_everybody().await?;
        for record in self.nobodys().await? {
            if !batches.add(record).await {
                return Ok(());
            }
        }
        let mut last = None;
        while let Some(group) = self.next_group(last).await? {
            last = group.last;
            for (user, records) in group.read(self).await? {
                // Whoever was changed meanwhile is read once more, alone.
                let records = match records {
                    Some(records) => records,
                    None => self.records_of(user).await?,
                };
                for record in records {
                    if !batches.add(record).await {
                        return Ok(());
                    }
                }
            }
        }
        batches.hand_out().await;
        Ok(())
    }

    /// Applies what is staged of anybody: the word of a number that was said a moment ago stands with the others then.
    async fn settle_everybody(&self) -> StoreResult<()> {
        let collection = self.collection(Place::Heads);
        let staged = collection.find(doc! { "stagedSince": { "$exists": true } }).projection(doc! { "_id": 1 });
        let mut staged = staged.await.map_err(fault::unavailable)?;
        while let Some(document) = staged.try_next().await.map_err(fault::unavailable)? {
            self.settle(Fields::new(collection.name(), &document).user("_id")?).await?;
        }
        Ok(())
    }

    /// What is nobody's, in the order of records.
    async fn nobodys(&self) -> StoreResult<Vec<Record>> {
        let mut records = Vec::new();
        for place in shared::SHARED {
            let filter = if place == Place::Tokens {
                doc! { "user": Bson::Null }
            } else {
                Document::new()
            };
            let collection = self.collection(place);
            let mut found = collection.find(filter).await.map_err(fault::unavailable)?;
            while let Some(document) = found.try_next().await.map_err(fault::unavailable)? {
                records.push(shared::record(place, collection.name(), &document)?);
            }
        }
        records.sort_by_cached_key(Record::place);
        Ok(records)
    }

    /// The people who come after somebody, by their ids: as many as can be held together, and those of whom only receipts are left.
    async fn next_group(&self, after: Option<UserId>) -> StoreResult<Option<Group>> {
        let collection = self.collection(Place::Heads);
        let mut filter = doc! { "erasedAt": { "$exists": false } };
        if let Some(after) = after {
            filter.insert("_id", doc! { "$gt": object_id(after) });
        }
        let most = i64::try_from(PEOPLE).unwrap_or(i64::MAX);
        let found = collection.find(filter).sort(doc! { "_id": 1 }).limit(most).batch_size(8).await.map_err(fault::unavailable)?;
        let (mut found, mut heads, mut messages) = (found, Vec::new(), 0);
        while messages < MESSAGES
            && let Some(document) = found.try_next().await.map_err(fault::unavailable)?
        {
            let head = Head::from_document(collection.name(), &document)?;
            messages += head.state.message_count;
            heads.push(head);
        }
        let last = heads.last().map(|head| head.user_id);
        let gone = self.gone_between(after, last, &heads).await?;
        let last = last.or_else(|| gone.last().copied());
        Ok(last.is_some().then_some(Group { heads, gone, last }))
    }

    /// People of whom only receipts are left, from behind one person up to another, or to the end.
    async fn gone_between(&self, after: Option<UserId>, until: Option<UserId>, heads: &[Head]) -> StoreResult<Vec<UserId>> {
        let receipts = self.collection(Place::Receipts);
        let there: Vec<String> = heads.iter().map(|head| head.user_id.to_string()).collect();
        let (mut gone, mut behind) = (Vec::new(), after);
        loop {
            let mut range = doc! { "$nin": &there };
            if let Some(behind) = behind {
                range.insert("$gt", behind.to_string());
            }
            if let Some(until) = until {
                range.insert("$lt", until.to_string());
            }
            let found = receipts.find_one(doc! { "user": range }).sort(doc! { "user": 1 }).projection(doc! { "user": 1 });
            let Some(document) = found.await.map_err(fault::unavailable)? else { return Ok(gone) };
            let user = Fields::new(receipts.name(), &document).user("user")?;
            gone.push(user);
            behind = Some(user);
        }
    }

    /// Whether there is nothing of ours.
    async fn is_empty(&self) -> StoreResult<bool> {
        for place in OURS.into_iter().chain([Place::Memory, Place::Todos]) {
            // Beside graphs and lists lie documents of an earlier plan, which are left as they are.
            let filter = if OURS.contains(&place) {
                Document::new()
            } else {
                doc! { "user": { "$exists": true } }
            };
            let any = self.collection(place).find_one(filter).projection(doc! { "_id": 1 }).await.map_err(fault::unavailable)?;
            if any.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A count of a record as a count in memory.
fn count(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// Hexadecimal digits as bytes.
fn bytes(kind: &str, digits: &str) -> StoreResult<Vec<u8>> {
    hex::decode(digits).map_err(|_wrong| unfit(kind, "it holds what are no hexadecimal digits"))
}

/// A record that cannot be kept here, or contradicts another.
fn unfit(kind: &str, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Conflict { reason: format!("a record of the kind {kind:?} cannot be restored: {reason}") }
}

/// A value that cannot be written as JSON.
fn unwritten(error: serde_json::Error) -> StoreError {
    StoreError::unavailable("a value cannot be written as JSON", error)
}

/// Somebody who was changed whenever they were read.
fn moved(user: UserId) -> StoreError {
    let reason = format!("the person {user} was changed every time that they were read; try again in a quieter moment");
    StoreError::Unavailable { reason, source: None }
}
