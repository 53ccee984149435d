//! What processes staged and did not live to apply. Whoever works on the person again applies it; this is for people of whom nothing
//! is heard again: a reminder that was just made must be found all the same.

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, DateTime, Document, doc};
use uuid::Uuid;

use super::MongoStore;
use super::fault;
use super::fields::Fields;
use super::names::Place;
use crate::store::StoreResult;

/// After so many milliseconds nobody is about to apply it.
const LEFT: i64 = 10_000;

/// Heads that are looked at in one go.
const MOST: i64 = 50;

/// When a unit was made, by its id: an id tells the machine's own time, whatever clock the store was given.
pub(super) fn made_at(unit: Uuid) -> Option<i64> {
    let (seconds, nanos) = unit.get_timestamp()?.to_unix();
    i64::try_from(seconds).ok()?.checked_mul(1_000)?.checked_add(i64::from(nanos / 1_000_000))
}

/// The field of a head that has something staged.
pub(super) fn staged_since(unit: Uuid) -> Option<Bson> {
    made_at(unit).map(|millis| Bson::DateTime(DateTime::from_millis(millis)))
}

impl MongoStore {
    /// Applies what lies staged for long.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Unavailable`].
    pub(super) async fn apply_left_over(&self) -> StoreResult<()> {
        let Some(now) = made_at(self.clock.uuid()) else { return Ok(()) };
        let collection = self.collection(Place::Heads);
        let for_long = doc! { "stagedSince": { "$lt": DateTime::from_millis(now - LEFT) } };
        let found = collection.find(for_long).projection(doc! { "_id": 1 }).limit(MOST);
        let found: Vec<Document> = found.await.map_err(fault::unavailable)?.try_collect().await.map_err(fault::unavailable)?;
        for document in &found {
            self.settle(Fields::new(collection.name(), document).user("_id")?).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn an_id_tells_when_it_was_made() {
        let clock = Clock::system();
        let (before, made, after) = (clock.now().as_millis(), made_at(clock.uuid()).unwrap(), clock.now().as_millis());
        assert!((before..=after).contains(&made), "{made} is not between {before} and {after}");
        assert_eq!(made_at(Uuid::nil()), None);
    }
}
