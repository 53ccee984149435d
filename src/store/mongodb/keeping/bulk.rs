//! Writing many documents at once, each in place of what has its key, so that repeating it changes nothing.

use mongodb::bson::{Bson, Document, doc};

use crate::store::mongodb::MongoStore;
use crate::store::mongodb::fault::{self, DUPLICATE};
use crate::store::mongodb::fields::Fields;
use crate::store::mongodb::names::Place;
use crate::store::mongodb::staged::{VERSION, unwritable};
use crate::store::{StoreError, StoreResult};

/// Documents of one command at most, and of how many bytes about: the server takes 48 MB.
const DOCUMENTS: usize = 500;
const BYTES: usize = 12 * 1024 * 1024;

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

    fn statement(&self) -> Document {
        let change = match &self.what {
            What::Fields(fields, insert) if insert.is_empty() => doc! { "$set": fields.clone() },
            What::Fields(fields, insert) => doc! { "$set": fields.clone(), "$setOnInsert": insert.clone() },
            What::Added(values) => doc! { "$addToSet": values.clone() },
            What::Whole(document) => document.clone(),
        };
        doc! { "q": self.key.clone(), "u": change, "upsert": !matches!(self.what, What::Added(_)) }
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
            let (mut statements, mut bytes) = (Vec::new(), 0);
            for put in puts.iter().filter(|put| put.place == place) {
                let statement = put.statement();
                bytes += mongodb::bson::serialize_to_vec(&statement).map_err(unwritable)?.len();
                statements.push(Bson::Document(statement));
                if statements.len() >= DOCUMENTS || bytes >= BYTES {
                    bytes = 0;
                    self.update(place, std::mem::take(&mut statements)).await?;
                }
            }
            if !statements.is_empty() {
                self.update(place, statements).await?;
            }
        }
        Ok(())
    }

    async fn update(&self, place: Place, statements: Vec<Bson>) -> StoreResult<()> {
        let collection = self.names.of(place);
        // A command that is run as it is has none of what the client says of writes.
        let safely = doc! { "w": "majority", "j": true };
        let command = doc! { "update": &collection, "updates": statements, "ordered": true, "writeConcern": safely };
        let answer = match self.db.run_command(command).await {
            Ok(answer) => answer,
            Err(error) if fault::is_duplicate(&error) => return Err(contradiction(&collection)),
            Err(error) => return Err(fault::unavailable(error)),
        };
        if let Ok(failed) = answer.get_array("writeErrors")
            && let Some(Bson::Document(failure)) = failed.first()
        {
            let code = Fields::new(&collection, failure).find_number("code")?;
            if code == Some(i64::from(DUPLICATE)) {
                return Err(contradiction(&collection));
            }
            let reason = format!("MongoDB refused to write into {collection:?} (code {})", code.unwrap_or_default());
            return Err(StoreError::Unavailable { reason, source: None });
        }
        if answer.contains_key("writeConcernError") {
            let reason = "MongoDB could not write safely enough; is most of the replica set there?".to_owned();
            return Err(StoreError::Unavailable { reason, source: None });
        }
        Ok(())
    }
}

fn contradiction(collection: &str) -> StoreError {
    let reason = format!("a record contradicts another: a document of {collection:?} has what only one of them may have");
    StoreError::Conflict { reason }
}
