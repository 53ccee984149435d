//! Writing many documents at once, each in place of what has its key, so that repeating it changes nothing.

use mongodb::bson::{Document, RawDocumentBuf, doc};

use crate::store::mongodb::MongoStore;
use crate::store::mongodb::names::Place;
use crate::store::mongodb::rows::{Row, Updated};
use crate::store::mongodb::staged::{VERSION, unwritable};
use crate::store::{StoreError, StoreResult};

/// A document that is to be there.
#[derive(Debug, Clone)]
pub(super) struct Put {
    pub(super) place: Place,
    key: Document,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// With these values, whatever others it has; a new one with the second ones too.
    Fields(Document, Document),
    /// With these values in its lists, where it is there.
    Added(Document),
    /// As it stands here.
    Whole(Document),
}

impl Put {
    /// A document with these values. No unit has written it yet, so whichever comes next may.
    pub(super) fn set(place: Place, key: Document, fields: Document) -> Self {
        Self::set_new(place, key, fields, Document::new())
    }

    /// The same, with values that only a new one gets.
    pub(super) fn set_new(place: Place, key: Document, mut fields: Document, insert: Document) -> Self {
        fields.insert(VERSION, 0_i64);
        Self { place, key, what: What::Fields(fields, insert) }
    }

    /// Values in the lists of a document.
    pub(super) const fn add(place: Place, key: Document, values: Document) -> Self {
        Self { place, key, what: What::Added(values) }
    }

    /// A document as it stands here.
    pub(super) const fn whole(place: Place, key: Document, document: Document) -> Self {
        Self { place, key, what: What::Whole(document) }
    }

    fn statement(&self) -> StoreResult<RawDocumentBuf> {
        let change = match &self.what {
            What::Fields(fields, insert) if insert.is_empty() => doc! { "$set": fields.clone() },
            What::Fields(fields, insert) => doc! { "$set": fields.clone(), "$setOnInsert": insert.clone() },
            What::Added(values) => doc! { "$addToSet": values.clone() },
            What::Whole(document) => document.clone(),
        };
        let statement = doc! { "q": self.key.clone(), "u": change, "upsert": !matches!(self.what, What::Added(_)) };
        RawDocumentBuf::try_from(&statement).map_err(unwritable)
    }
}

impl MongoStore {
    /// Writes documents, collection by collection.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when one has what only one may have, and another has it; [`StoreError::Unavailable`].
    pub(super) async fn put_all(&self, puts: &[Put]) -> StoreResult<()> {
        let mut places: Vec<Place> = Vec::new();
        for put in puts {
            if !places.contains(&put.place) {
                places.push(put.place);
            }
        }
        for place in places {
            let mut row = Row::default();
            for put in puts.iter().filter(|put| put.place == place) {
                row.push(&put.statement()?);
                if row.is_full() {
                    self.put_row(place, std::mem::take(&mut row)).await?;
                }
            }
            if !row.is_empty() {
                self.put_row(place, row).await?;
            }
        }
        Ok(())
    }

    async fn put_row(&self, place: Place, row: Row) -> StoreResult<()> {
        let collection = self.names.of(place);
        match self.update_row(&collection, row).await? {
            Updated::All(_found) => Ok(()),
            Updated::Until(_place) => Err(contradiction(&collection)),
        }
    }
}

fn contradiction(collection: &str) -> StoreError {
    let reason = format!("a record contradicts another: a document of {collection:?} has what only one of them may have");
    StoreError::Conflict { reason }
}
