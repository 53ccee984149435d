//! Finding the lanes that are due, of everybody.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};

use super::MongoStore;
use super::fault;
use super::fields::{Fields, date, object_id};
use super::head::Head;
use super::names::Place;
use super::state::State;
use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;
use crate::store::{LaneKind, StoreError, StoreResult};

/// How long a lane with damaged documents is left alone.
const PARKED: Duration = Duration::from_mins(1);

/// What is due, and when to ask again.
pub(super) struct Due {
    /// Heads whose lanes are due, the longest due first.
    pub(super) heads: Vec<Arc<Head>>,
    /// When the next lane that was not returned is due.
    pub(super) next: Option<Timestamp>,
}

/// The field of a head by which a lane's heads are found.
const fn next_field(lane: LaneKind) -> &'static str {
    match lane {
        LaneKind::Turns => "turnNext",
        LaneKind::Deliveries => "deliveryNext",
    }
}

impl MongoStore {
    /// Finds up to `limit` lanes that are due, among those with these values. One question finds them and the next one after them;
    /// heads that this process remembers as they are there are not read again.
    pub(super) async fn find_due(&self, lane: LaneKind, mut among: Document, limit: usize) -> StoreResult<Due> {
        let now = self.now();
        let field = next_field(lane);
        let collection = self.collection(Place::Heads);
        among.insert(field, doc! { "$exists": true });
        let most = i64::try_from(limit).unwrap_or(i64::MAX - 1).saturating_add(1);
        let found: Vec<Document> = collection
            .find(among)
            .sort(doc! { field: 1 })
            .limit(most)
            .projection(doc! { "version": 1, field: 1 })
            .await
            .map_err(fault::unavailable)?
            .try_collect()
            .await
            .map_err(fault::unavailable)?;
        let mut due: Vec<(UserId, i64)> = Vec::new();
        let mut next = None;
        for document in &found {
            let fields = Fields::new(collection.name(), document);
            let moment = fields.moment(field)?;
            if moment <= now && due.len() < limit {
                due.push((fields.user("_id")?, fields.number("version")?));
            } else {
                next = Some(moment);
                break;
            }
        }
        Ok(Due { heads: self.load_due(lane, &due).await?, next })
    }

    /// The same of the lanes that this process left due itself. Nobody is asked.
    pub(super) fn own_due(&self, lane: LaneKind, limit: usize, admits: impl Fn(&State) -> bool) -> Due {
        let (heads, next) = self.heads.due(lane, self.now(), limit, admits);
        Due { heads, next }
    }

    async fn load_due(&self, lane: LaneKind, due: &[(UserId, i64)]) -> StoreResult<Vec<Arc<Head>>> {
        let remembered = |(user_id, version): &(UserId, i64)| self.heads.find(*user_id).filter(|head| head.version >= *version);
        let mut heads: HashMap<UserId, Arc<Head>> = due.iter().filter_map(remembered).map(|head| (head.user_id, head)).collect();
        let missing: Vec<Bson> = due
            .iter()
            .filter(|(user_id, _version)| !heads.contains_key(user_id))
            .map(|(user_id, _version)| object_id(*user_id).into())
            .collect();
        if !missing.is_empty() {
            let collection = self.collection(Place::Heads);
            let mut found = collection.find(doc! { "_id": { "$in": missing } }).await.map_err(fault::unavailable)?;
            while let Some(document) = found.try_next().await.map_err(fault::unavailable)? {
                match Head::from_document(collection.name(), &document) {
                    Ok(head) => {
                        let head = Arc::new(head);
                        self.heads.remember(&head);
                        heads.insert(head.user_id, head);
                    }
                    Err(error) => self.park_damaged(lane, &document, &error).await?,
                }
            }
        }
        Ok(due.iter().filter_map(|(user_id, _version)| heads.remove(user_id)).collect())
    }

    async fn park_damaged(&self, lane: LaneKind, document: &Document, error: &StoreError) -> StoreResult<()> {
        let user_id = Fields::new("heads", document).user("_id")?;
        self.park(lane, user_id, error).await
    }

    /// Leaves a lane alone for a while: what is damaged of one person must not keep everybody else waiting.
    pub(super) async fn park(&self, lane: LaneKind, user_id: UserId, error: &StoreError) -> StoreResult<()> {
        tracing::error!(error = %error, user = %user_id, lane = ?lane, "a person's work cannot be read; it is left alone for a minute");
        let later = doc! { "$set": { next_field(lane): date(self.now().after(PARKED)) } };
        self.heads.forget(user_id);
        self.collection(Place::Heads).update_one(doc! { "_id": object_id(user_id) }, later).await.map_err(fault::unavailable)?;
        Ok(())
    }

    /// The newest of a head that was found and the one that is remembered meanwhile.
    pub(super) fn newest(&self, head: Arc<Head>) -> Arc<Head> {
        self.heads.find(head.user_id).filter(|other| other.version > head.version).unwrap_or(head)
    }
}
