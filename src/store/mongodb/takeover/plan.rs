//! Documents of the plan's own servers, one a person: `{userId, data, createdAt, updatedAt}` in the collections of memory and list.
//!
//! They become graphs and lists of the same people. The documents themselves stay as they are, so whoever goes back finds them.

use mongodb::bson::{Bson, Document, doc};

use super::{Report, lenient_text};
use crate::domain::graph::GraphLimits;
use crate::domain::ids::UserId;
use crate::domain::phone::PhoneNumber;
use crate::domain::user::SHARED_ACCOUNT;
use crate::store::mongodb::MongoStore;
use crate::store::mongodb::fault;
use crate::store::mongodb::fields::date;
use crate::store::mongodb::names::Place;
use crate::store::{Graph as _, NewAccount, NewPerson, People as _, StoreError, StoreResult, Todos as _};
use crate::store::{graph_document, todo_document};

impl MongoStore {
    /// Makes graphs and lists of the plan's documents.
    pub(super) async fn take_over_documents(&self, report: &mut Report) -> StoreResult<()> {
        for place in [Place::Memory, Place::Todos] {
            let collection = self.collection(place);
            let of_plan = doc! { "userId": { "$exists": true }, "data": { "$exists": true } };
            let mut found = collection.find(of_plan).sort(doc! { "_id": 1 }).await.map_err(fault::unavailable)?;
            while found.advance().await.map_err(fault::unavailable)? {
                let document = found.deserialize_current().map_err(fault::unavailable)?;
                let id = document.get("_id").map(ToString::to_string).unwrap_or_default();
                match self.take_over_document(place, &id, &document).await {
                    Ok(true) => report.documents += 1,
                    Ok(false) => {}
                    // One that cannot be read must not keep everybody else out.
                    Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => {
                        tracing::warn!(
                            collection = collection.name(),
                            document = id,
                            "a stored document is not what the memory or todo server wrote, and is left as it is"
                        );
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Makes a graph or a list of a document; false when that was done before.
    async fn take_over_document(&self, place: Place, id: &str, document: &Document) -> StoreResult<bool> {
        let meta = self.collection(Place::Meta);
        let done = doc! { "_id": format!("{}/{id}", self.names.of(place)) };
        if meta.find_one(done.clone()).await.map_err(fault::unavailable)?.is_some() {
            return Ok(false);
        }
        let user = self.person_of_plan(document).await?;
        let unreadable = |reason: String| StoreError::Conflict { reason };
        let data = document.get("data").cloned().unwrap_or(Bson::Null);
        if place == Place::Memory {
            let graph: graph_document::Document =
                mongodb::bson::deserialize_from_bson(data).map_err(|error| unreadable(error.to_string()))?;
            let (entities, relations) = graph.into_parts();
            // What was stored once is taken, however much it is: limits hold for what comes next.
            self.import_graph(user, entities, relations, GraphLimits::NONE).await?;
        } else {
            let text = serde_json::to_string(&data).map_err(|error| unreadable(error.to_string()))?;
            let read = todo_document::Document::read(&text, self.now()).map_err(|error| unreadable(error.to_string()))?;
            let (items, _places) = read.into_parts();
            self.import_todos(user, items, usize::MAX).await?;
        }
        meta.update_one(done, doc! { "$set": { "at": date(self.now()) } }).upsert(true).await.map_err(fault::unavailable)?;
        Ok(true)
    }

    /// Whose document it is: LibreChat's id, the shared account, or a number.
    async fn person_of_plan(&self, document: &Document) -> StoreResult<UserId> {
        let missing = StoreError::NotFound { what: "the person" };
        if let Some(Bson::ObjectId(id)) = document.get("userId") {
            let user = UserId::from_bytes(id.bytes());
            return if self.person_of_account(user).await? { Ok(user) } else { Err(missing) };
        }
        let Some(written) = lenient_text(document, "userId") else { return Err(missing) };
        if let Ok(user) = written.parse::<UserId>() {
            return if self.person_of_account(user).await? { Ok(user) } else { Err(missing) };
        }
        let phone = match written {
            "default" => None,
            number => Some(PhoneNumber::from_stored(number).map_err(|_no_number| missing)?),
        };
        let id = if phone.is_some() { self.clock.user_id() } else { SHARED_ACCOUNT };
        let person = NewPerson { id, email_domain: "sms.librechat.ai".to_owned(), start_credits: None };
        Ok(self.open_account(NewAccount { phone, person }).await?.id)
    }
}
