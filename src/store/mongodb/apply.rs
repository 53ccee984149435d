//! Applying what units staged.
//!
//! Every write names the version of the head that it is of, and gives way to a later one's. So two processes may apply the same at
//! once, one may stop in the middle, and a late one changes nothing: what stands in the end is what was staged last. The last
//! command of the row marks the head as written, so that on a server that takes writes of many collections at once this is one
//! round trip.

use std::collections::HashSet;
use std::sync::Arc;

use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use mongodb::Namespace;
use mongodb::bson::{Bson, Document, doc, rawdoc};
use mongodb::error::ErrorKind;
use mongodb::options::{DeleteManyModel, DeleteOneModel, UpdateManyModel, UpdateOneModel, WriteModel};
use uuid::Uuid;

use super::MongoStore;
use super::fault::{self, DUPLICATE};
use super::fields::{Fields, document_of, object_id};
use super::head::{Head, Pending};
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
        let due = [Due { user_id, version, unit: pending.unit, writes: &writes.0 }];
        let mut applied = self.apply_all(&due).await;
        if applied.is_err() && writes.0.iter().any(|write| write.what.adds()) {
            // Whether there was anything to heal says nothing: others may have done it since.
            self.heal_lists(user_id).await?;
            applied = self.apply_all(&due).await;
        }
        applied?;
        self.forget_parts(&pending.parts).await;
        Ok(())
    }

    /// Applies what these heads have staged, in as few commands as they fit into. Where it fails all may be tried again, one head by itself too.
    pub(super) async fn apply_all(&self, heads: &[Due<'_>]) -> StoreResult<()> {
        if heads.is_empty() {
            return Ok(());
        }
        let mut writes: Vec<(&Due<'_>, &Staged)> =
            heads.iter().flat_map(|due| due.writes.iter().map(move |write| (due, write.as_ref()))).collect();
        // An early report is looked for behind the message that it is about.
        writes.sort_by_key(|(_due, write)| write.what == What::Claim);
        let commands: StoreResult<Vec<Command>> = writes.iter().map(|(due, write)| write.command(&self.names, due.version)).collect();
        let mut commands = commands?;
        commands.extend(heads.iter().map(|due| mark(&self.names, due)));
        let tells = |write: &Staged| matches!(write.what, What::Claim | What::Credit { .. }) || conversation_of(write).is_some();
        let found = if self.writes_across {
            self.run_across(&commands, writes.iter().any(|(_due, write)| tells(write))).await?
        } else {
            self.run_by_collection(&commands, heads.len()).await?
        };
        for due in heads {
            self.heads.applied(due.user_id, due.unit);
        }
        // All of it is written, whatever becomes of what follows.
        let was_marked = found.last().is_some_and(|mark| mark.all);
        let mut changed = Vec::new();
        for ((due, write), found) in writes.into_iter().zip(found) {
            if let Err(error) = self.follow(due, write, found, was_marked).await {
                tracing::warn!(error = %error, "a balance could not be made, or a carrier's early report not be put on its message");
            }
            changed.extend(conversation_of(write).filter(|_id| !found.all).map(|id| (due.user_id, id)));
        }
        if let Err(error) = self.forget_those_gone(changed).await {
            tracing::debug!(error = %error, "what is left of deleted conversations is left to the next");
        }
        Ok(())
    }

    /// Does what follows from what a write found.
    async fn follow(&self, due: &Due<'_>, write: &Write, found: Found, was_marked: bool) -> StoreResult<()> {
        // Where it was not marked a later unit has all of this staged, or it was applied by somebody else.
        if was_marked && !found.all {
            self.make_balance(due.user_id, write, due.version).await?;
        }
        if write.what == What::Claim && found.any {
            self.take_report(claimed_key(write)?).await?;
        }
        Ok(())
    }

    /// Of conversations that were to be changed, perhaps not there: LibreChat deleted those that are not, and what is left of them goes.
    async fn forget_those_gone(&self, changed: Vec<(UserId, ConversationId)>) -> StoreResult<()> {
        if changed.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = changed.iter().map(|(_user_id, id)| id.to_string()).collect();
        let collection = self.collection(Place::Conversations);
        let wanted = collection.find(doc! { "conversationId": { "$in": ids } }).projection(doc! { "conversationId": 1, "user": 1 });
        let there: Vec<Document> = wanted.await.map_err(fault::unavailable)?.try_collect().await.map_err(fault::unavailable)?;
        let text = |document: &Document, name: &str| document.get_str(name).unwrap_or_default().to_owned();
        let there: HashSet<(String, String)> =
            there.iter().map(|document| (text(document, "user"), text(document, "conversationId"))).collect();
        for (user_id, id) in changed {
            if !there.contains(&(user_id.to_string(), id.to_string())) {
                self.forget_if_gone(user_id, id).await?;
            }
        }
        Ok(())
    }

    /// Makes lists of what LibreChat left as null where a person's conversations list their messages: to that the server adds nothing.
    async fn heal_lists(&self, user_id: UserId) -> StoreResult<()> {
        let wrong = doc! { "user": user_id.to_string(), "$and": [{ "messages": { "$exists": true } }, { "messages": Bson::Null }] };
        let right = doc! { "$set": { "messages": [] } };
        self.collection(Place::Conversations).update_many(wrong, right).await.map_err(fault::unavailable)?;
        Ok(())
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

    /// Runs commands in one, for servers from 8.0 on: all in order, on behind one that gives way to what is there. Tells of each what it
    /// found, where that is asked.
    async fn run_across(&self, commands: &[Command], asks: bool) -> StoreResult<Vec<Found>> {
        let models: StoreResult<Vec<WriteModel>> = commands.iter().map(|command| self.model(command)).collect();
        let mut models = models?;
        let mut told = vec![Found::default(); commands.len()];
        let mut done = 0;
        while !models.is_empty() {
            let failure = if asks {
                let outcome = self.client.bulk_write(models.clone()).verbose_results().await;
                let found = match &outcome {
                    Ok(results) => Some(results),
                    Err(error) => verbose_part(error),
                };
                for (number, result) in found.iter().flat_map(|results| &results.update_results) {
                    if let Some(told) = told.get_mut(done + number) {
                        *told = Found::of(result.matched_count > 0);
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
        Ok(told)
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

    /// The same for servers before 8.0, which take the writes of one collection at a time; the last commands, the marks, go behind all
    /// others. Tells of each what those found that went with it.
    async fn run_by_collection(&self, commands: &[Command], marks: usize) -> StoreResult<Vec<Found>> {
        let mut told = vec![Found::default(); commands.len()];
        for group in groups(commands, marks) {
            let found = match group.as_slice() {
                [place] => Found::of(self.run_one(commands.get(*place)).await?),
                places => {
                    let found = self.run_group(commands, places).await?;
                    Found { all: found == places.len(), any: found > 0 }
                }
            };
            for place in group {
                if let Some(told) = told.get_mut(place) {
                    *told = found;
                }
            }
        }
        Ok(told)
    }

    /// Runs updates of one collection, in as few commands as they fit into. Returns how many found or made their document.
    async fn run_group(&self, commands: &[Command], places: &[usize]) -> StoreResult<usize> {
        let mut found = 0;
        let mut left: Vec<&Command> = places.iter().filter_map(|place| commands.get(*place)).collect();
        while let Some(first) = left.first() {
            let mut row = Row::default();
            let mut taken = 0;
            for command in &left {
                let Some(statement) = command.statement()? else {
                    let reason = "a deletion, or a change of many documents, stands among updates that are made together".to_owned();
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

/// What a version of a head has staged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due<'a> {
    pub(super) user_id: UserId,
    pub(super) version: i64,
    pub(super) unit: Uuid,
    pub(super) writes: &'a [Arc<Staged>],
}

impl<'a> From<&'a Head> for Due<'a> {
    fn from(head: &'a Head) -> Self {
        Self { user_id: head.user_id, version: head.version, unit: head.unit, writes: &head.pending.writes.0 }
    }
}

/// What commands found that went together.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    /// Each its document, or made it.
    all: bool,
    /// One of them did.
    any: bool,
}

impl Found {
    /// Of one command.
    const fn of(found: bool) -> Self {
        Self { all: found, any: found }
    }
}

/// Commands, by their places, in groups that one command each can carry. The order of those of one collection stays; what is about many
/// documents stands alone, and so does a deletion; the last ones, the marks, which say that all others are done, stand by themselves at the end.
fn groups(commands: &[Command], marks: usize) -> Vec<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Update,
        Alone,
        Mark,
    }
    let first_mark = commands.len().saturating_sub(marks);
    let mut groups: Vec<(&str, Kind, Vec<usize>)> = Vec::new();
    for (place, command) in commands.iter().enumerate() {
        let kind = match command.change {
            _ if place >= first_mark => Kind::Mark,
            Change::Update { .. } | Change::Compute { .. } => Kind::Update,
            Change::UpdateMany { .. } | Change::Delete { .. } => Kind::Alone,
        };
        let of_collection = groups.iter_mut().rev().find(|(collection, ..)| *collection == command.collection);
        match of_collection {
            Some((_collection, before, places)) if *before == kind && kind != Kind::Alone => places.push(place),
            _ => groups.push((&command.collection, kind, vec![place])),
        }
    }
    groups.into_iter().map(|(_collection, _kind, places)| places).collect()
}

/// The last command of what a head has staged: all others are done.
fn mark(names: &Names, due: &Due<'_>) -> Command {
    let filter = rawdoc! { "_id": object_id(due.user_id), "version": due.version, "unit": due.unit.to_string() };
    let update = rawdoc! { "$unset": { "pending": "", "parts": "", "stagedSince": "" } };
    Command { collection: names.of(Place::Heads), filter, change: Change::Update { update, upsert: false } }
}

/// The conversation that a write changes if it is there: LibreChat may have deleted it.
fn conversation_of(write: &Write) -> Option<ConversationId> {
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
fn claimed_key(write: &Write) -> StoreResult<&str> {
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
        let commands = [
            update("a"),
            update("b"),
            update("a"),
            delete("a"),
            delete("a"),
            update("a"),
            update("b"),
            update("c"),
            update("b"),
            update("b"),
        ];
        let together = groups(&commands, 2);
        assert_eq!(
            together,
            [vec![0, 2], vec![1, 6], vec![3], vec![4], vec![5], vec![7], vec![8, 9]],
            "deletions stand alone, marks at the end"
        );
    }
}
