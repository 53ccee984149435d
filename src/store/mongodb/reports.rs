//! What carriers say later of a message, and what they said before its sending was recorded.

use mongodb::bson::{Document, doc};

use super::MongoStore;
use super::fault;
use super::fields::{Fields, date};
use super::names::Place;
use super::shapes::{carrier_key, report_key};
use super::state::deliveries::carrier_error;
use crate::domain::delivery::{DeliveryStatus, StatusReport};
use crate::store::{StatusRecorded, StoreResult};

/// How long a report that nobody waits for is kept.
const EARLY_REPORTS: std::time::Duration = std::time::Duration::from_hours(24);

impl MongoStore {
    /// Records a carrier's later word. A report finds the message, or is kept where the message finds it: whoever records the
    /// sending looks there behind it, and so does this look once more for the message.
    pub(super) async fn record_report(&self, report: &StatusReport) -> StoreResult<StatusRecorded> {
        if let Some(recorded) = self.record_on_message(report).await? {
            return Ok(recorded);
        }
        if self.apply_what_waits().await
            && let Some(recorded) = self.record_on_message(report).await?
        {
            return Ok(recorded);
        }
        self.keep_early(report).await?;
        let Some(recorded) = self.record_on_message(report).await? else { return Ok(StatusRecorded::Early) };
        self.forget_early(report).await?;
        Ok(recorded)
    }

    /// Records a report on its message; `None` when there is none yet.
    async fn record_on_message(&self, report: &StatusReport) -> StoreResult<Option<StatusRecorded>> {
        let collection = self.collection(Place::Outbox);
        let key = carrier_key(&report.gateway, &report.gateway_message_id);
        loop {
            let found = collection.find_one(doc! { "carrierKey": &key }).await.map_err(fault::unavailable)?;
            let Some(document) = found else { return Ok(None) };
            let fields = Fields::new(collection.name(), &document);
            let status = fields.find_word("status", DeliveryStatus::parse)?;
            if status.is_some_and(|status| status.advanced_by(report.status) == status) {
                return Ok(Some(StatusRecorded::Unchanged));
            }
            let mut set = doc! { "status": report.status.as_str() };
            if let Some(code) = &report.error_code {
                set.insert("error", carrier_error(code));
            }
            let was = doc! { "_id": fields.text("_id")?, "status": status.map(DeliveryStatus::as_str) };
            let changed = collection.update_one(was, doc! { "$set": set }).await.map_err(fault::unavailable)?;
            if changed.matched_count > 0 {
                return Ok(Some(StatusRecorded::Advanced));
            }
            // Another report came between; a status only goes forward, so this ends.
        }
    }

    async fn keep_early(&self, report: &StatusReport) -> StoreResult<()> {
        let collection = self.collection(Place::Reports);
        let now = self.now();
        let old = doc! { "receivedAt": { "$lt": date(now.before(EARLY_REPORTS)) } };
        collection.delete_many(old).await.map_err(fault::unavailable)?;
        let key = report_key(&report.gateway, &report.gateway_message_id);
        let set = doc! {
            "gateway": &report.gateway,
            "gatewayMessageId": &report.gateway_message_id,
            "status": report.status.as_str(),
            "errorCode": &report.error_code,
            "receivedAt": date(now),
        };
        loop {
            let mut filter = key.clone();
            let before = collection.find_one(key.clone()).await.map_err(fault::unavailable)?;
            if let Some(before) = &before {
                let status = Fields::new(collection.name(), before).find_word("status", DeliveryStatus::parse)?;
                if status.is_some_and(|status| status.advanced_by(report.status) == status) {
                    return Ok(());
                }
                filter.insert("status", status.map(DeliveryStatus::as_str));
            }
            match collection.update_one(filter, doc! { "$set": set.clone() }).upsert(before.is_none()).await {
                Ok(changed) if changed.matched_count > 0 || changed.upserted_id.is_some() => return Ok(()),
                Ok(_another) => {}
                Err(error) if fault::is_duplicate(&error) => {}
                Err(error) => return Err(fault::unavailable(error)),
            }
        }
    }

    async fn forget_early(&self, report: &StatusReport) -> StoreResult<()> {
        let key = report_key(&report.gateway, &report.gateway_message_id);
        self.collection(Place::Reports).delete_one(key).await.map_err(fault::unavailable)?;
        Ok(())
    }

    /// Records a report that was kept early on its message, which is known now.
    pub(super) async fn take_report(&self, key: &str) -> StoreResult<()> {
        let collection = self.collection(Place::Reports);
        let found: Option<Document> = collection.find_one(doc! { "_id": key }).await.map_err(fault::unavailable)?;
        let Some(document) = found else { return Ok(()) };
        let fields = Fields::new(collection.name(), &document);
        let report = StatusReport {
            gateway: fields.text("gateway")?.to_owned(),
            gateway_message_id: fields.text("gatewayMessageId")?.to_owned(),
            status: fields.find_word("status", DeliveryStatus::parse)?.ok_or_else(|| fields.damaged("status", "it is missing"))?,
            error_code: fields.find_text("errorCode")?.map(str::to_owned),
        };
        if self.record_on_message(&report).await?.is_some() {
            self.forget_early(&report).await?;
        }
        Ok(())
    }
}
