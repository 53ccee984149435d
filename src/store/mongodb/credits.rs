//! Credits beside LibreChat, which spends from, and refills, the same documents in `balances`.
//!
//! Nobody overwrites what the other did: what this program grants and charges is written as a difference. The document keeps how much
//! of this program's total it has (`ownCredits`), so a change is made once, however often it is repeated or what it was staged with; what
//! the document holds beyond that total is others' doing. A head knows how much of that it has taken into account
//! ([`State::others`](super::state::State)), and looks again before anybody is asked to pay.

use std::collections::HashMap;
use std::sync::Arc;

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};

use super::MongoStore;
use super::fault::{self, Wrote};
use super::fields::{Fields, moment, object_id};
use super::head::Head;
use super::names::Place;
use super::staged::{VERSION, What, Write};
use super::state::State;
use super::unit::Unit;
use crate::domain::ids::UserId;
use crate::domain::ledger::Credits;
use crate::domain::time::Timestamp;
use crate::domain::user::User;
use crate::store::StoreResult;

/// The field of a balance that says how much of our total it has.
pub(super) const OWN: &str = "ownCredits";

/// LibreChat's own field.
const CREDITS: &str = "tokenCredits";

/// What stands in LibreChat's collection for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SeenCredits {
    /// All that there is, in whole credits.
    credits: Credits,
    /// What is of others' doing in it.
    others: Credits,
    /// When LibreChat refilled it.
    refilled_at: Option<Timestamp>,
}

/// The stages by which a balance gets what our total is ahead of what it has. One that says nothing of credits gets `whole`; one
/// whose credits are no number is left as it is, for whoever reads it to complain about.
pub(super) fn stages(own: i64, whole: i64, version: i64) -> Vec<Document> {
    let number_or = |field: &str, other: Bson| doc! { "$cond": [{ "$isNumber": field }, field, other] };
    let ahead = doc! { "$subtract": [own, number_or("$ownCredits", Bson::Int64(0))] };
    let moved = doc! { "$add": ["$tokenCredits", ahead] };
    let credits = doc! { "$cond": [{ "$isNumber": "$tokenCredits" }, moved, { "$ifNull": ["$tokenCredits", whole] }] };
    vec![doc! { "$set": { CREDITS: credits, OWN: own, VERSION: version } }]
}

/// Reads a balance.
fn seen(collection: &str, document: &Document) -> StoreResult<Option<SeenCredits>> {
    let fields = Fields::new(collection, document);
    let Some(credits) = fields.find_amount(CREDITS)? else { return Ok(None) };
    let own = Credits(fields.find_number(OWN)?.unwrap_or(0));
    let refilled_at = match document.get("lastRefill") {
        Some(Bson::DateTime(date)) => Some(moment(*date)),
        _ => None,
    };
    Ok(Some(SeenCredits { credits: Credits(credits), others: Credits(credits).minus(own), refilled_at }))
}

impl State {
    /// Takes into account what others did to the credits.
    pub(super) fn see_credits(&mut self, seen: Option<&SeenCredits>, now: Timestamp) {
        let Some(seen) = seen else { return };
        if let Some(balance) = self.balance {
            self.balance = Some(balance.plus(seen.others.minus(self.others)));
        } else {
            self.balance = Some(seen.credits);
            self.refilled_at = seen.refilled_at.or(Some(now));
        }
        self.others = seen.others;
    }

    /// What this program granted less what it charged, in all.
    pub(super) fn own_credits(&self) -> Credits {
        self.balance.unwrap_or_default().minus(self.others)
    }
}

impl MongoStore {
    /// What LibreChat's collection says of somebody's credits now. What is staged for them makes no difference to what others did.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Corrupt`] when it is no number; [`crate::store::StoreError::Unavailable`].
    pub(super) async fn find_credits(&self, user: UserId) -> StoreResult<Option<SeenCredits>> {
        let collection = self.collection(Place::Balances);
        let found = collection.find_one(key(user)).await.map_err(fault::unavailable)?;
        Ok(found.map(|document| seen(collection.name(), &document)).transpose()?.flatten())
    }

    /// The same of several people.
    pub(super) async fn credits_of(&self, users: &[UserId]) -> StoreResult<HashMap<UserId, SeenCredits>> {
        let mut all = HashMap::new();
        if users.is_empty() {
            return Ok(all);
        }
        let collection = self.collection(Place::Balances);
        let ids: Vec<Bson> = users.iter().map(|user| object_id(*user).into()).collect();
        let mut found = collection.find(doc! { "user": { "$in": ids } }).await.map_err(fault::unavailable)?;
        while let Some(document) = found.try_next().await.map_err(fault::unavailable)? {
            if let Some(seen) = seen(collection.name(), &document)? {
                // Of several of one person the first is LibreChat's.
                all.entry(Fields::new(collection.name(), &document).user("user")?).or_insert(seen);
            }
        }
        Ok(all)
    }

    /// People as the port has them, with the credits that they have now.
    pub(super) async fn users_of(&self, heads: Vec<Head>) -> StoreResult<Vec<User>> {
        // Whoever never had any is asked about by nobody.
        let with_credits: Vec<UserId> = heads.iter().filter(|head| head.state.balance.is_some()).map(|head| head.user_id).collect();
        let credits = self.credits_of(&with_credits).await?;
        let now = self.now();
        let user = |mut head: Head| {
            Arc::make_mut(&mut head.state).see_credits(credits.get(&head.user_id), now);
            head.state.user(head.user_id)
        };
        Ok(heads.into_iter().map(user).collect())
    }

    /// The same of one.
    pub(super) async fn user_of(&self, head: Option<Head>) -> StoreResult<Option<User>> {
        Ok(self.users_of(head.into_iter().collect()).await?.pop())
    }

    /// Makes the balance of somebody for whom there is none: a new person's, or one that was deleted. Not with the command that changes
    /// one, for LibreChat lets there be several of one person, and whoever comes late must not make a second.
    pub(super) async fn make_balance(&self, user: UserId, write: &Write, version: i64) -> StoreResult<()> {
        let What::Credit { own, whole } = write.what else { return Ok(()) };
        let collection = self.collection(Place::Balances);
        if collection.find_one(key(user)).projection(doc! { "_id": 1 }).await.map_err(fault::unavailable)?.is_some() {
            return Ok(());
        }
        let new = doc! { "_id": object_id(user), "user": object_id(user), CREDITS: whole, OWN: own, VERSION: version };
        match fault::wrote(collection.insert_one(new).await.map(|_inserted| true)) {
            Wrote::Done => Ok(()),
            // Another process made it at this moment, perhaps of an earlier total; or it was this, and the answer was lost.
            Wrote::Refused => {
                let mut not_later = key(user);
                not_later.insert(VERSION, doc! { "$not": { "$gt": version } });
                collection.update_one(not_later, stages(own, whole, version)).await.map_err(fault::unavailable)?;
                Ok(())
            }
            Wrote::Unknown(error) => Err(fault::unavailable(error)),
        }
    }
}

impl Unit<'_> {
    /// Takes into account what others did to the person's credits, before somebody is asked to pay.
    pub(super) async fn see_credits(&mut self) -> StoreResult<()> {
        let seen = self.store.find_credits(self.draft.user_id).await?;
        self.draft.state.see_credits(seen.as_ref(), self.draft.now);
        Ok(())
    }
}

/// What a balance is found by.
fn key(user: UserId) -> Document {
    doc! { "user": object_id(user) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::NewPerson;

    fn read(document: &Document) -> Option<SeenCredits> {
        seen("balances", document).unwrap()
    }

    #[test]
    fn credits_are_read_as_any_kind_of_number_and_as_nothing_else() {
        let of = |value: Bson| read(&doc! { "tokenCredits": value, "ownCredits": -10_i64 }).map(|seen| (seen.credits.0, seen.others.0));
        assert_eq!(of(Bson::Int32(5)), Some((5, 15)));
        assert_eq!(of(Bson::Int64(1 << 40)), Some((1 << 40, (1 << 40) + 10)));
        assert_eq!(of(Bson::Double(5.75)), Some((5, 15)), "parts of a credit are nobody's");
        assert_eq!(of(Bson::Double(-0.5)), Some((-1, 9)));
        assert_eq!(of(Bson::Null), None);
        assert_eq!(read(&doc! { "user": 1 }), None);
        for wrong in [Bson::String("5".to_owned()), Bson::Double(f64::NAN), Bson::Double(f64::INFINITY)] {
            assert!(seen("balances", &doc! { "tokenCredits": wrong.clone() }).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_others_did_is_seen_once_and_what_is_our_own_is_not_taken_for_it() {
        let now = Timestamp::from_millis(1_000);
        let person = NewPerson { id: UserId::from_bytes([7; 12]), email_domain: "example.org".to_owned(), start_credits: None };
        let mut state = State::new(&person, None, "somebody".to_owned(), now);
        state.balance = Some(Credits(500));
        let look = |credits: i64, own: i64| read(&doc! { "tokenCredits": credits, "ownCredits": own });
        // They took 30; of our total the document has 500, or, where something is staged, less.
        state.see_credits(look(470, 500).as_ref(), now);
        state.see_credits(look(370, 400).as_ref(), now);
        assert_eq!((state.balance, state.own_credits()), (Some(Credits(470)), Credits(500)));
        state.balance = Some(Credits(400));
        state.see_credits(look(1_470, 500).as_ref(), now);
        assert_eq!((state.balance, state.own_credits()), (Some(Credits(1_400)), Credits(430)), "a refill of theirs");
        state.see_credits(None, now);
        assert_eq!(state.balance, Some(Credits(1_400)), "a document that is gone says nothing");
        state.balance = None;
        state.see_credits(look(9, 2).as_ref(), now);
        assert_eq!((state.balance, state.own_credits(), state.refilled_at), (Some(Credits(9)), Credits(2), Some(now)));
    }
}
