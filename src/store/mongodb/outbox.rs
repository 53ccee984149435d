//! Handing out deliveries, recording how they went, and outgoing messages as they are looked at.

use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;
use futures::future::join_all;
use mongodb::bson::{Document, doc};

use super::MongoStore;
use super::fault;
use super::fields::date;
use super::head::Head;
use super::lanes::Due;
use super::names::Place;
use super::shapes;
use super::state::{Outgoing, State};
use super::unit::Apply;
use crate::domain::delivery::{OutboundMessage, StatusReport};
use crate::domain::ids::{OutboundId, UserId};
use crate::domain::time::Timestamp;
use crate::store::{
    DeliveryLease, DeliveryOutcome, LaneKind, Leased, LeasedDelivery, Outbox, Owner, StatusRecorded, StoreError, StoreResult,
};

#[async_trait]
impl Outbox for MongoStore {
    async fn lease_deliveries(&self, owner: &Owner, gateways: &[String], limit: usize) -> StoreResult<Leased<LeasedDelivery>> {
        let due = self.find_due(LaneKind::Deliveries, doc! { "deliveryGateway": { "$in": gateways } }, limit).await?;
        self.lease_due_deliveries(owner, gateways, due).await
    }

    async fn lease_own_deliveries(&self, owner: &Owner, gateways: &[String], limit: usize) -> StoreResult<Leased<LeasedDelivery>> {
        let leaves = |state: &State| state.delivery_lane.gateway.as_ref().is_some_and(|gateway| gateways.contains(gateway));
        let due = self.own_due(LaneKind::Deliveries, limit, leaves);
        self.lease_due_deliveries(owner, gateways, due).await
    }

    async fn record_delivery(&self, lease: &DeliveryLease, outcome: DeliveryOutcome) -> StoreResult<()> {
        lost(self.change(lease.user_id, Apply::Soon, |draft| draft.record_delivery(lease, &outcome)).await)
    }

    async fn release_delivery(&self, lease: &DeliveryLease) -> StoreResult<()> {
        lost(self.change(lease.user_id, Apply::Now, |draft| draft.release_delivery(lease)).await)
    }

    async fn record_status(&self, report: &StatusReport) -> StoreResult<StatusRecorded> {
        self.record_report(report).await
    }

    async fn list_known_ids(&self, user_id: UserId, since: Timestamp) -> StoreResult<Vec<String>> {
        self.settle(user_id).await?;
        let wanted = doc! { "user": user_id.to_string(), "attemptedAt": { "$gte": date(since) }, "carrierKey": { "$exists": true } };
        let collection = self.collection(Place::Outbox);
        let found = collection.find(wanted).sort(doc! { "number": 1 }).await.map_err(fault::unavailable)?;
        let found: Vec<Document> = found.try_collect().await.map_err(fault::unavailable)?;
        let mut ids = Vec::with_capacity(found.len());
        for document in &found {
            ids.extend(shapes::outbound_from(collection.name(), document)?.gateway_message_id);
        }
        Ok(ids)
    }

    async fn find_outbound(&self, user_id: UserId, id: OutboundId) -> StoreResult<Option<OutboundMessage>> {
        let Some(head) = self.load_settled(user_id).await? else { return Ok(None) };
        if let Some(message) = head.state.outgoing.iter().find(|message| message.id == id) {
            return Ok(Some(message.message(user_id)));
        }
        let found = self.find_past_outgoing(id).await?.filter(|(owner, _message)| *owner == user_id);
        Ok(found.map(|(_owner, message)| message.message(user_id)))
    }

    async fn list_outbound(&self, user_id: UserId, limit: usize) -> StoreResult<Vec<OutboundMessage>> {
        let Some(head) = self.load_settled(user_id).await? else { return Ok(Vec::new()) };
        let collection = self.collection(Place::Outbox);
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = collection.find(doc! { "user": user_id.to_string() }).sort(doc! { "number": -1 }).limit(most);
        let found: Vec<Document> = found.await.map_err(fault::unavailable)?.try_collect().await.map_err(fault::unavailable)?;
        let mut all: Vec<Outgoing> = head.state.outgoing.clone();
        for document in &found {
            let (_owner, message) = shapes::outgoing_from(collection.name(), document)?;
            if !all.iter().any(|other| other.id == message.id) {
                all.push(message);
            }
        }
        all.sort_by_key(|message| std::cmp::Reverse(message.number));
        Ok(all.iter().take(limit).map(|message| message.message(user_id)).collect())
    }
}

/// A person who is gone has no leases.
fn lost<T>(outcome: StoreResult<T>) -> StoreResult<T> {
    outcome.map_err(|error| match error {
        StoreError::NotFound { what: "the person" } => StoreError::LeaseLost,
        other => other,
    })
}

impl MongoStore {
    async fn lease_due_deliveries(&self, owner: &Owner, gateways: &[String], due: Due) -> StoreResult<Leased<LeasedDelivery>> {
        let mut next_due = due.next;
        let mut work = Vec::with_capacity(due.heads.len());
        for leased in join_all(due.heads.into_iter().map(|head| self.lease_delivery_lane(owner, gateways, head))).await {
            let (delivery, next) = leased?;
            work.extend(delivery);
            next_due = [next_due, next].into_iter().flatten().min();
        }
        Ok(Leased { work, next_due })
    }

    /// Leases the head of one lane; also says when the lane may be looked at again, where it leaves by one of `gateways`.
    async fn lease_delivery_lane(
        &self,
        owner: &Owner,
        gateways: &[String],
        head: Arc<Head>,
    ) -> StoreResult<(Option<LeasedDelivery>, Option<Timestamp>)> {
        let user_id = head.user_id;
        let _queue = self.queue_of(user_id).await?;
        let mut head = self.newest(head);
        let mut made = 0;
        loop {
            let mut unit = self.unit_on(head);
            let leased = unit.draft.lease_delivery(owner, gateways);
            let lane = &unit.draft.state.delivery_lane;
            let next = lane.next.filter(|_next| lane.gateway.as_ref().is_some_and(|gateway| gateways.contains(gateway)));
            let when = if leased.is_some() { Apply::Later } else { Apply::Now };
            if unit.commit_and(when).await? {
                return Ok((leased, next));
            }
            made += 1;
            self.wait_before(made).await?;
            let Some(found) = self.load(user_id).await? else { return Ok((None, None)) };
            head = Arc::new(found);
        }
    }

    /// Reads a person's head, with everything applied that was staged for it.
    pub(super) async fn load_settled(&self, user_id: UserId) -> StoreResult<Option<Head>> {
        let Some(head) = self.load(user_id).await? else { return Ok(None) };
        if !head.pending.is_empty() {
            self.apply(user_id, head.version, &head.pending).await?;
        }
        Ok(Some(head))
    }

    /// An outgoing message that has gone its way, and whose it is.
    pub(super) async fn find_past_outgoing(&self, id: OutboundId) -> StoreResult<Option<(UserId, Outgoing)>> {
        let collection = self.collection(Place::Outbox);
        let found = collection.find_one(shapes::outbox_key(id)).await.map_err(fault::unavailable)?;
        found.map(|document| shapes::outgoing_from(collection.name(), &document)).transpose()
    }
}
