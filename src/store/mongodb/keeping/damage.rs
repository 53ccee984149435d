//! What is wrong beyond the records: indexes that somebody dropped, lanes that say that nothing is to be done, people whom LibreChat does
//! not have, documents of nobody.

use std::collections::HashSet;

use futures::TryStreamExt as _;
use mongodb::bson::{Document, doc};

use crate::domain::ids::UserId;
use crate::store::mongodb::MongoStore;
use crate::store::mongodb::fault;
use crate::store::mongodb::fields::Fields;
use crate::store::mongodb::head::Head;
use crate::store::mongodb::indexes;
use crate::store::mongodb::names::Place;
use crate::store::{Damage, StoreResult};

/// Damages that are told one by one at most.
const TOLD: usize = 20;

const START: &str = "start the program once: it makes what is missing, or says what is in the way";
const RESTORE: &str = "stop the program, and restore the newest archive into an empty database (`scrubjay archive read`)";
const NEXT_TEXT: &str =
    "somebody else deleted them; their next text brings the account back, and `scrubjay users erase` takes them away for good";
const ORPHANS: &str = "they belong to nobody and do no harm; delete them with mongosh if you like";
const LANES: &str = "write an archive and restore it into an empty database: the lanes are made anew";

/// The collections whose documents say whose they are, and what those of ours have.
const OF_PEOPLE: [(Place, Option<&str>); 9] = [
    (Place::Turns, None),
    (Place::Outbox, None),
    (Place::Summaries, None),
    (Place::Schedules, None),
    (Place::Memory, Some("number")),
    (Place::Todos, Some("number")),
    (Place::Conversations, Some("metadata.lastMessage")),
    (Place::Messages, Some("slot")),
    (Place::Tokens, None),
];

/// What a look at the heads found.
#[derive(Default)]
struct Looked {
    people: HashSet<UserId>,
    /// Those of whom everything stands where it belongs: nothing is staged any more, and they are not being erased.
    settled: HashSet<UserId>,
    unreadable: Vec<String>,
    turns: u64,
    deliveries: u64,
}

impl MongoStore {
    /// Looks through the database, changing nothing.
    pub(super) async fn look_for_damage(&self) -> StoreResult<Vec<Damage>> {
        let mut damages: Vec<Damage> =
            indexes::missing(&self.db, &self.names).await?.into_iter().map(|what| Damage { what, mend: START }).collect();
        let looked = self.look_at_heads().await?;
        damages.extend(looked.unreadable.iter().take(TOLD).map(|what| Damage { what: what.clone(), mend: RESTORE }));
        let mut counted = |number: u64, what: &str, mend: &'static str| {
            if number > 0 {
                damages.push(Damage { what: format!("{number} {what}"), mend });
            }
        };
        counted(looked.turns, "people wait for an answer, but their lanes say that nothing is to be done", LANES);
        counted(looked.deliveries, "people wait for messages, but their lanes say that nothing is to be sent", LANES);
        counted(self.missing_users(&looked.settled).await?, "people are not among LibreChat's users", NEXT_TEXT);
        for (place, field) in OF_PEOPLE {
            let orphans = self.documents_of_nobody(place, field, &looked.people).await?;
            counted(orphans, &format!("documents of {:?} are of people who are not there", self.names.of(place)), ORPHANS);
        }
        Ok(damages)
    }

    async fn look_at_heads(&self) -> StoreResult<Looked> {
        let collection = self.collection(Place::Heads);
        let mut looked = Looked::default();
        let mut heads = collection.find(Document::new()).await.map_err(fault::unavailable)?;
        while let Some(document) = heads.try_next().await.map_err(fault::unavailable)? {
            match Head::from_document(collection.name(), &document) {
                Ok(head) => {
                    looked.people.insert(head.user_id);
                    let state = &head.state;
                    if head.pending.is_empty() && state.erased_at.is_none() {
                        looked.settled.insert(head.user_id);
                    }
                    let waits = |next: &str, open: bool| {
                        open && Fields::new(collection.name(), &document).find_moment(next).ok().flatten().is_none()
                    };
                    looked.turns += u64::from(waits("turnNext", !state.turns.is_empty()));
                    looked.deliveries +=
                        u64::from(waits("deliveryNext", state.outgoing.iter().any(super::super::state::Outgoing::is_open)));
                }
                Err(error) => looked.unreadable.push(error.to_string()),
            }
        }
        Ok(looked)
    }

    /// How many people LibreChat does not have.
    async fn missing_users(&self, people: &HashSet<UserId>) -> StoreResult<u64> {
        let users = self.collection(Place::Users);
        let mut there = HashSet::new();
        let mut found = users.find(Document::new()).projection(doc! { "_id": 1 }).await.map_err(fault::unavailable)?;
        while let Some(document) = found.try_next().await.map_err(fault::unavailable)? {
            // An account whose id is not LibreChat's is nobody's of ours.
            there.extend(Fields::new(users.name(), &document).user("_id"));
        }
        Ok(u64::try_from(people.difference(&there).count()).unwrap_or(u64::MAX))
    }

    /// How many documents of a collection name somebody who is not there.
    async fn documents_of_nobody(&self, place: Place, field: Option<&str>, people: &HashSet<UserId>) -> StoreResult<u64> {
        let collection = self.collection(place);
        let mut ours = doc! { "user": { "$type": "string" } };
        if let Some(field) = field {
            ours.insert(field, doc! { "$exists": true });
        }
        let stages = [doc! { "$match": ours }, doc! { "$group": { "_id": "$user", "documents": { "$sum": 1 } } }];
        let mut groups = collection.aggregate(stages).await.map_err(fault::unavailable)?;
        let mut orphans = 0;
        while let Some(group) = groups.try_next().await.map_err(fault::unavailable)? {
            let fields = Fields::new(collection.name(), &group);
            if !fields.user("_id").is_ok_and(|user| people.contains(&user)) {
                orphans += u64::try_from(fields.number("documents")?).unwrap_or(0);
            }
        }
        Ok(orphans)
    }
}
