//! What concerns the store as a whole: whether it answers, figures, marks, and the leases of a process.

use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use futures::future::join_all;
use mongodb::bson::{Bson, Document, doc};
use tokio::sync::Mutex;

use super::MongoStore;
use super::fault;
use super::fields::{Fields, date};
use super::names::Place;
use super::unit::Apply;
use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;
use crate::store::{HeldLease, LaneKind, Owner, StoreError, StoreFigures, StoreResult, Upkeep};

/// For how long a check's result is shared.
const SHARED: Duration = Duration::from_secs(1);

/// The newest check: when it ended, and what was wrong.
#[derive(Debug, Default)]
pub(super) struct Checks(Mutex<Option<(Timestamp, Option<String>)>>);

#[async_trait]
impl Upkeep for MongoStore {
    async fn check(&self) -> StoreResult<()> {
        // Whoever asks while a check runs waits for it, and shares its result.
        let mut newest = self.checks.0.lock().await;
        let now = self.clock.now();
        // A clock that was set back makes a result worthless, not everlasting.
        let fresh = newest.as_ref().filter(|(at, _wrong)| *at <= now && now.since(*at) < SHARED);
        let wrong = if let Some((_at, wrong)) = fresh {
            wrong.clone()
        } else {
            let wrong = self.write_check().await.err().map(|error| error.to_string());
            *newest = Some((self.clock.now(), wrong.clone()));
            wrong
        };
        match wrong {
            None => Ok(()),
            Some(reason) => Err(StoreError::Unavailable { reason, source: None }),
        }
    }

    async fn figures(&self) -> StoreResult<StoreFigures> {
        self.apply_what_waits().await;
        let count = |field: &str| doc! { "$sum": format!("${field}") };
        let all = doc! { "_id": Bson::Null, "turns": count("openTurns"), "deliveries": count("openDeliveries"), "oldest": { "$min": "$oldestDue" } };
        let stages = [doc! { "$match": { "oldestDue": { "$exists": true } } }, doc! { "$group": all }];
        let collection = self.collection(Place::Heads);
        let mut found = collection.aggregate(stages).await.map_err(fault::unavailable)?;
        let document = found.try_next().await.map_err(fault::unavailable)?.unwrap_or_default();
        let fields = Fields::new(collection.name(), &document);
        let dead = |place: Place| async move {
            let dead = self.collection(place).count_documents(doc! { "state": "dead" }).await.map_err(fault::unavailable)?;
            Ok::<_, StoreError>(i64::try_from(dead).unwrap_or(i64::MAX))
        };
        Ok(StoreFigures {
            open_turns: fields.find_number("turns")?.unwrap_or(0),
            dead_turns: dead(Place::Turns).await?,
            open_deliveries: fields.find_number("deliveries")?.unwrap_or(0),
            dead_deliveries: dead(Place::Outbox).await?,
            oldest_due: fields.find_moment("oldest")?.filter(|oldest| *oldest <= self.now()),
        })
    }

    async fn find_mark(&self, name: &str) -> StoreResult<Option<Timestamp>> {
        let collection = self.collection(Place::Marks);
        let found = collection.find_one(doc! { "_id": name }).await.map_err(fault::unavailable)?;
        found.map(|document| Fields::new(collection.name(), &document).moment("moment")).transpose()
    }

    async fn set_mark(&self, name: &str, moment: Timestamp) -> StoreResult<()> {
        let later = doc! { "$max": { "moment": date(moment) } };
        let collection = self.collection(Place::Marks);
        let mark = || collection.update_one(doc! { "_id": name }, later.clone()).upsert(true);
        match mark().await {
            // Two made it at once; now it is there.
            Err(error) if fault::is_duplicate(&error) => mark().await.map_err(fault::unavailable)?,
            other => other.map_err(fault::unavailable)?,
        };
        Ok(())
    }

    async fn list_owners(&self) -> StoreResult<Vec<Owner>> {
        let mut owners = Vec::new();
        for field in ["turnOwner", "deliveryOwner"] {
            let found = self.collection(Place::Heads).distinct(field, doc! { field: { "$exists": true } }).await;
            owners.extend(found.map_err(fault::unavailable)?.iter().filter_map(Bson::as_str).map(str::to_owned));
        }
        owners.sort_unstable();
        owners.dedup();
        Ok(owners.into_iter().map(Owner).collect())
    }

    async fn release_owner(&self, owner: &Owner) -> StoreResult<usize> {
        let turns = self.held_by("turnOwner", owner).await?;
        let deliveries = self.held_by("deliveryOwner", owner).await?;
        let mut released = 0;
        for user_id in turns {
            released += self.release_lane(user_id, LaneKind::Turns, owner).await?;
        }
        for user_id in deliveries {
            released += self.release_lane(user_id, LaneKind::Deliveries, owner).await?;
        }
        Ok(released)
    }

    async fn renew_leases(&self, owner: &Owner, held: &[HeldLease]) -> StoreResult<usize> {
        self.compare_clocks_again().await;
        // Each on its own: one that fails must not let the others run out.
        let mut renewed = 0;
        let mut failed = None;
        for outcome in join_all(held.iter().map(|lease| self.renew_lease(owner, *lease))).await {
            match outcome {
                Ok(holds) => renewed += usize::from(holds),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(renewed), Err)
    }

    async fn erase_left_over(&self, rows: usize) -> StoreResult<bool> {
        // A graph or a conversation is deleted by the unit that deletes it; what a process left of that is applied with the person's next.
        self.erase_some(rows).await
    }

    async fn close(&self) {
        drop(self.beats.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.apply_what_waits().await;
        self.presence.leave().await;
        self.client.clone().shutdown().await;
    }
}

impl MongoStore {
    async fn write_check(&self) -> StoreResult<()> {
        self.compare_clocks().await?;
        let checked = doc! { "$set": { "checkedAt": date(self.clock.now()) } };
        let written = self.collection(Place::Meta).update_one(doc! { "_id": "checked" }, checked).upsert(true).await;
        written.map_err(fault::unavailable)?;
        Ok(())
    }

    /// Whose lanes a process holds.
    async fn held_by(&self, field: &str, owner: &Owner) -> StoreResult<Vec<UserId>> {
        let collection = self.collection(Place::Heads);
        let found = collection.find(doc! { field: &owner.0 }).projection(doc! { "_id": 1 }).await.map_err(fault::unavailable)?;
        let found: Vec<Document> = found.try_collect().await.map_err(fault::unavailable)?;
        found.iter().map(|document| Fields::new(collection.name(), document).user("_id")).collect()
    }

    async fn release_lane(&self, user_id: UserId, lane: LaneKind, owner: &Owner) -> StoreResult<usize> {
        self.change(user_id, Apply::Later, |draft| {
            let held = match lane {
                LaneKind::Turns => &draft.state.turn_lane,
                LaneKind::Deliveries => &draft.state.delivery_lane,
            };
            if held.owner.as_deref() != Some(owner.0.as_str()) {
                return Ok(0);
            }
            match lane {
                LaneKind::Turns => draft.free_turns(),
                LaneKind::Deliveries => draft.free_deliveries(),
            }
            Ok(1)
        })
        .await
    }

    async fn renew_lease(&self, owner: &Owner, lease: HeldLease) -> StoreResult<bool> {
        let renewed = self.change(lease.user_id, Apply::Later, |draft| {
            let now = draft.now;
            let lane = match lease.lane {
                LaneKind::Turns => &mut draft.state.turn_lane,
                LaneKind::Deliveries => &mut draft.state.delivery_lane,
            };
            Ok(lane.renew(owner, lease.fence, now))
        });
        match renewed.await {
            Err(StoreError::NotFound { .. }) => Ok(false),
            other => other,
        }
    }
}
