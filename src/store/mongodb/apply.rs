//! Applying what units staged.
//!
//! Every write names the version of the head that it is of, and gives way to a later one's. So two processes may apply the same at
//! once, one may stop in the middle, and a late one changes nothing: what stands in the end is what was staged last. The last
//! command of the row marks the head as written, so that on a server that takes writes of many collections at once this is one
//! round trip.

use std::sync::Arc;

use futures::future::BoxFuture;
use mongodb::Namespace;
use mongodb::bson::{Bson, Document, doc, rawdoc};
use mongodb::error::ErrorKind;
use mongodb::options::{DeleteManyModel, DeleteOneModel, UpdateManyModel, UpdateOneModel, WriteModel};
use uuid::Uuid;

use super::MongoStore;
use super::fault::{self, DUPLICATE};
use super::fields::{Fields, document_of, object_id};
use super::head::Pending;
use super::names::{Names, Place};
use super::rows::{Row, Updated};
use super::staged::{Change, Command, Staged, VERSION, What, Write, Writes};
use crate::domain::ids::{ConversationId, UserId};
use crate::store::{StoreError, StoreResult};

impl MongoStore {
    /// Applies what that version of a head has staged, and marks it as applied.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: some of it may be written, and the rest is still staged.
    pub(super) fn apply<'a>(&'a self, user_id: UserId, version: i64, pending: &'a Pending) -> BoxFuture<'a, StoreResult<()>> {
        // Boxed, because what follows from it may be a unit, which applies what it staged.
        Box::pin(self.apply_and_follow(user_id, version, pending))
    }

    async fn apply_and_follow(&self, user_id: UserId, version: i64, pending: &Pending) -> StoreResult<()> {
        let Some(writes) = self.whole(pending).await? else {
            // Whoever applied it removed its parts.
            self.heads.forget(user_id);
            return Ok(());
        };
        let commands: StoreResult<Vec<Command>> = writes.0.iter().map(|write| write.command(&self.names, version)).collect();
        let mut commands = commands?;
        commands.push(mark(&self.names, user_id, version, pending.unit));
        let tells = |write: &Arc<Staged>| matches!(write.what, What::Claim | What::Credit { .. }) || conversation_of(write).is_some();
        let mut asks: Vec<bool> = writes.0.iter().map(tells).collect();
        // Of the mark too, where anything is asked.
        asks.push(asks.contains(&true));
        let matched = match self.run(&commands, &asks).await {
            Err(_refused) if writes.0.iter().any(|write| write.what.adds()) && self.heal_lists(user_id).await? => {
                self.run(&commands, &asks).await?
            }
            ran => ran?,
        };
        self.heads.applied(user_id, pending.unit);
        self.forget_parts(&pending.parts).await;
        // Else a later unit has all of this staged, or it was applied by somebody else.
        let was_marked = matched.last().copied().unwrap_or_default();
        for (write, matched) in writes.0.iter().zip(matched) {
            if was_marked && !matched {
                self.make_balance(user_id, write, version).await?;
            }
            if write.what == What::Claim && matched {
                self.take_report(claimed_key(write)?).await?;
            }
            if let Some(id) = conversation_of(write).filter(|_id| !matched) {
                self.forget_if_gone(user_id, id).await?;
            }
        }
        Ok(())
    }

    /// Makes lists of what LibreChat left as null where a person's conversations list their messages: to that the server adds nothing. False:
    /// there was none.
    async fn heal_lists(&self, user_id: UserId) -> StoreResult<bool> {
        let wrong = doc! { "user": user_id.to_string(), "$and": [{ "messages": { "$exists": true } }, { "messages": Bson::Null }] };
        let right = doc! { "$set": { "messages": [] } };
        let healed = self.collection(Place::Conversations).update_many(wrong, right).await.map_err(fault::unavailable)?;
        Ok(healed.modified_count > 0)
    }

    /// The staged writes, with those that are kept in parts; `None` when a part is gone.
    async fn whole(&self, pending: &Pending) -> StoreResult<Option<Writes>> {
        let mut writes = Vec::new();
        let collection = self.collection(Place::Units);
        for part in &pending.parts {
            let found = collection.find_one(doc! { "_id": part }).await.map_err(fault::unavailable)?;
            let Some(document) = found else { return Ok(None) };
            let fields = Fields::new(collection.name(), &document);
            let bytes = fields.find_bytes("part")?.ok_or_else(|| fields.damaged("part", "it is missing"))?;
            writes.extend(Writes::from_bytes(bytes).map_err(|error| fields.damaged("part", error))?.0);
        }
        writes.extend(pending.writes.0.iter().cloned());
        Ok(Some(Writes(writes)))
    }

    /// Runs commands, those of one collection in order and the last of all at the end, and goes on behind one that gives way to what
    /// is there. Tells of each of which that is asked whether it found its document.
    async fn run(&self, commands: &[Command], asks: &[bool]) -> StoreResult<Vec<bool>> {
        if self.writes_across { self.run_across(commands, asks).await } else { self.run_by_collection(commands, asks).await }
    }

    /// In one command, for servers from 8.0 on.
    pub(super) async fn run_across(&self, commands: &[Command], asks: &[bool]) -> StoreResult<Vec<bool>> {
        let asks = asks.contains(&true);
        let models: StoreResult<Vec<WriteModel>> = commands.iter().map(|command| self.model(command)).collect();
        let mut models = models?;
        let mut matched = vec![false; commands.len()];
        let mut done = 0;
        while !models.is_empty() {
            let failure = if asks {
                let outcome = self.client.bulk_write(models.clone()).verbose_results().await;
                let found = match &outcome {
                    Ok(results) => Some(results),
                    Err(error) => verbose_part(error),
                };
                for (number, result) in found.iter().flat_map(|results| &results.update_results) {
                    if let Some(matched) = matched.get_mut(done + number) {
                        *matched = result.matched_count > 0;
                    }
                }
                outcome.err()
            } else {
                self.client.bulk_write(models.clone()).await.err()
            };
            let Some(error) = failure else { break };
            let Some(given_way) = gave_way(&error) else { return Err(fault::unavailable(error)) };
            if let Some(command) = commands.get(done + given_way) {
                self.tell_of_stranger(command).await?;
            }
            done += given_way + 1;
            models.drain(..=given_way.min(models.len() - 1));
        }
        Ok(matched)
    }

    /// A write met a document that has what may be there once. That is a later write of the same document, to which it gives way;
    /// or else, in LibreChat's collections, a document of somebody else, and then the host is told.
    async fn tell_of_stranger(&self, command: &Command) -> StoreResult<()> {
        let mut key = document_of(&command.filter)?;
        key.remove(VERSION);
        let collection = self.db.collection::<Document>(&command.collection);
        let found = collection.find_one(key).projection(doc! { "_id": 1 }).await.map_err(fault::unavailable)?;
        if found.is_none() {
            tracing::error!(
                collection = command.collection,
                "another document has what only one may have there, so a document of ours is missing; look at the collection's unique indexes"
            );
        }
        Ok(())
    }

    fn model(&self, command: &Command) -> StoreResult<WriteModel> {
        let namespace = Namespace { db: self.db.name().to_owned(), coll: command.collection.clone() };
        let filter = document_of(&command.filter)?;
        Ok(match &command.change {
            Change::Update { update, upsert } => {
                let update = document_of(update)?;
                UpdateOneModel::builder().namespace(namespace).filter(filter).update(update).upsert(*upsert).build().into()
            }
            Change::Compute { stages } => {
                UpdateOneModel::builder().namespace(namespace).filter(filter).update(stages.clone()).build().into()
            }
            Change::UpdateMany { update } => {
                UpdateManyModel::builder().namespace(namespace).filter(filter).update(document_of(update)?).build().into()
            }
            Change::Delete { many: false } => DeleteOneModel::builder().namespace(namespace).filter(filter).build().into(),
            Change::Delete { many: true } => DeleteManyModel::builder().namespace(namespace).filter(filter).build().into(),
        })
    }

    /// For servers before 8.0, which take the writes of one collection at a time.
    async fn run_by_collection(&self, commands: &[Command], asks: &[bool]) -> StoreResult<Vec<bool>> {
        let mut matched = vec![false; commands.len()];
        for group in groups(commands, asks) {
            let found = match group.as_slice() {
                [place] => self.run_one(commands.get(*place)).await?,
                places => self.run_group(commands, places).await? == places.len(),
            };
            for place in group {
                if let Some(matched) = matched.get_mut(place) {
                    *matched = found;
                }
            }
        }
        Ok(matched)
    }

    /// Runs updates of one collection, in as few commands as they fit into. Returns how many found or made their document.
    pub(super) async fn run_group(&self, commands: &[Command], places: &[usize]) -> StoreResult<usize> {
        let mut found = 0;
        let mut left: Vec<&Command> = places.iter().filter_map(|place| commands.get(*place)).collect();
        while let Some(first) = left.first() {
            let mut row = Row::default();
            let mut taken = 0;
            for command in &left {
                let Some(statement) = command.statement()? else {
                    let reason = "a deletion stands among updates that are made together".to_owned();
                    return Err(StoreError::Unavailable { reason, source: None });
                };
                row.push(&statement);
                taken += 1;
                if row.is_full() {
                    break;
                }
            }
            let done = match self.update_row(&first.collection, row).await? {
                Updated::All(matched) => {
                    found += usize::try_from(matched).unwrap_or(0);
                    taken
                }
                Updated::Until(place) => {
                    if let Some(command) = left.get(place) {
                        self.tell_of_stranger(command).await?;
                    }
                    place + 1
                }
            };
            left.drain(..done.clamp(1, left.len()));
        }
        Ok(found)
    }

    /// Runs one command by itself; true when it found its document.
    async fn run_one(&self, command: Option<&Command>) -> StoreResult<bool> {
        let Some(command) = command else { return Ok(false) };
        let collection = self.db.collection::<Document>(&command.collection);
        let filter = document_of(&command.filter)?;
        let outcome = match &command.change {
            Change::Update { update, upsert } => {
                collection.update_one(filter, document_of(update)?).upsert(*upsert).await.map(|result| result.matched_count > 0)
            }
            Change::Compute { stages } => collection.update_one(filter, stages.clone()).await.map(|result| result.matched_count > 0),
            Change::UpdateMany { update } => {
                collection.update_many(filter, document_of(update)?).await.map(|result| result.matched_count > 0)
            }
            Change::Delete { many: false } => collection.delete_one(filter).await.map(|result| result.deleted_count > 0),
            Change::Delete { many: true } => collection.delete_many(filter).await.map(|result| result.deleted_count > 0),
        };
        match outcome {
            Ok(found) => Ok(found),
            Err(error) if fault::is_duplicate(&error) => {
                self.tell_of_stranger(command).await?;
                Ok(false)
            }
            Err(error) => Err(fault::unavailable(error)),
        }
    }
}

/// Commands, by their places, in groups that one command each can carry. The order of those of one collection stays; a deletion, one
/// of which an answer is asked, and the last, which says that all others are done, stand alone.
fn groups(commands: &[Command], asks: &[bool]) -> Vec<Vec<usize>> {
    let mut groups: Vec<(&str, bool, Vec<usize>)> = Vec::new();
    for (place, command) in commands.iter().enumerate() {
        let is_update = !matches!(command.change, Change::Delete { .. });
        let alone = !is_update || asks.get(place).copied().unwrap_or(false) || place + 1 == commands.len();
        let of_collection = groups.iter_mut().rev().find(|(collection, ..)| *collection == command.collection);
        match of_collection {
            Some((_collection, false, places)) if !alone => places.push(place),
            _ => groups.push((&command.collection, alone, vec![place])),
        }
    }
    groups.into_iter().map(|(_collection, _alone, places)| places).collect()
}

/// The last command of what a head has staged: all others are done.
pub(super) fn mark(names: &Names, user_id: UserId, version: i64, unit: Uuid) -> Command {
    let filter = rawdoc! { "_id": object_id(user_id), "version": version, "unit": unit.to_string() };
    let update = rawdoc! { "$unset": { "pending": "", "parts": "", "stagedSince": "" } };
    Command { collection: names.of(Place::Heads), filter, change: Change::Update { update, upsert: false } }
}

/// The conversation that a write changes if it is there: LibreChat may have deleted it.
pub(super) fn conversation_of(write: &Write) -> Option<ConversationId> {
    if write.place != Place::Conversations || !matches!(write.what, What::Change { .. }) {
        return None;
    }
    write.key.get_str("conversationId").ok()?.parse().ok()
}

/// The place of the write that gave way, where that is all that is wrong.
fn gave_way(error: &mongodb::error::Error) -> Option<usize> {
    let ErrorKind::BulkWrite(bulk) = error.kind.as_ref() else { return None };
    if !bulk.write_concern_errors.is_empty() || std::error::Error::source(error).is_some() {
        return None;
    }
    let mut failed = bulk.write_errors.iter();
    match (failed.next(), failed.next()) {
        (Some((place, failure)), None) if failure.code == DUPLICATE => Some(*place),
        _ => None,
    }
}

fn verbose_part(error: &mongodb::error::Error) -> Option<&mongodb::results::VerboseBulkWriteResult> {
    let ErrorKind::BulkWrite(bulk) = error.kind.as_ref() else { return None };
    match bulk.partial_result.as_ref()? {
        mongodb::error::PartialBulkWriteResult::Verbose(results) => Some(results),
        mongodb::error::PartialBulkWriteResult::Summary(_) => None,
    }
}

/// The carrier's key in a claim's key.
pub(super) fn claimed_key(write: &Write) -> StoreResult<&str> {
    match write.key.get("_id") {
        Some(Bson::String(key)) => Ok(key),
        other => Err(StoreError::Unavailable { reason: format!("a claim has no key but {other:?}"), source: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(collection: &str) -> Command {
        let change = Change::Update { update: rawdoc! { "$set": { "a": 1 } }, upsert: true };
        Command { collection: collection.to_owned(), filter: rawdoc! {}, change }
    }

    #[test]
    fn writes_of_one_collection_go_together_in_their_order() {
        let delete = |collection: &str| Command { change: Change::Delete { many: true }, ..update(collection) };
        let commands =
            [update("a"), update("b"), update("a"), delete("a"), update("a"), update("b"), update("a"), update("c"), update("b")];
        let mut asks = [false; 9];
        let together = groups(&commands, &asks);
        assert_eq!(together, [vec![0, 2], vec![1, 5], vec![3], vec![4, 6], vec![7], vec![8]], "a deletion and the last stand alone");
        asks[5] = true;
        assert_eq!(groups(&commands, &asks), [vec![0, 2], vec![1], vec![3], vec![4, 6], vec![5], vec![7], vec![8]]);
    }
}
