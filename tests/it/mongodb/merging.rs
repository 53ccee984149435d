//! Accounts that become one: those that an earlier program made twice, and where a process dies in the middle.

use mongodb::bson::{Document, doc, oid::ObjectId};
use scrubjay::domain::ids::UserId;
use scrubjay::domain::ledger::Credits;
use scrubjay::store::{MergeLimits, PageRequest, StoreError};

use super::{open, pymongo};
use crate::cli::offline_settings;
use crate::contract::fixture::{ANN, BOB, Fixture, phone};
use crate::contract::graph::LIMITS;
use crate::support::home::Home;
use crate::support::mongo::Database;

const PLENTY: MergeLimits = MergeLimits { graph: LIMITS, todos: 1_000, schedules: 1_000 };

fn findings(report: &serde_json::Value, part: &str) -> Vec<String> {
    let all = report["findings"].as_array().unwrap().iter();
    all.filter(|finding| finding["part"] == part).map(|finding| finding["found"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_makes_one_of_accounts_with_one_number_when_it_is_told_to() {
    let database = Database::new();
    let ids = pymongo("fill.py", &database, &[]).await;
    let (ann, again) = (ids["ann"].as_str().unwrap(), ids["again"].as_str().unwrap());
    let settings = offline_settings().set("storage.backend", "mongodb").set("storage.mongodb.timeout_seconds", 20);
    let mut home = Home::new(&settings);
    home.set_variable("MONGO_URI", &database.uri);
    home.set_variable("MONGODB_DATABASE", &database.name);
    // Taking over takes longer than the doctor waits for a store on a machine that has other things to do.
    open(&database).unwrap().close().await;
    let examined = async |arguments: &[&str]| {
        for _ in 0..10 {
            let (_, output, _) = home.run(arguments).await;
            let report: serde_json::Value = serde_json::from_str(&output).unwrap();
            if !findings(&report, "work").is_empty() {
                return report;
            }
        }
        panic!("the doctor could not look into the store");
    };

    // Without being told to it only says so.
    for _ in 0..2 {
        let report = examined(&["doctor", "--json"]).await;
        assert_eq!(findings(&report, "people"), ["1 accounts have a number that is another's, and are used by nobody"]);
        assert_eq!(findings(&report, "mending"), [""; 0]);
    }
    let (_, output, _) = home.run(&["doctor", "--fix", "--json"]).await;
    let mended: serde_json::Value = serde_json::from_str(&output).unwrap();
    let [kept, done] = findings(&mended, "mending").try_into().unwrap();
    assert_eq!(done, format!("{again} is part of {ann} now, with 1 conversations"));
    let (code, _, stderr) = home.run(&["archive", "verify", kept.strip_prefix("what was before is in ").unwrap()]).await;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(findings(&mended, "people"), [""; 0]);
    let again_mended = examined(&["doctor", "--fix", "--no-archive", "--json"]).await;
    assert_eq!(findings(&again_mended, "mending"), ["there was nothing to mend"]);

    let accounts = database.open().await.collection::<Document>("users");
    assert_eq!(accounts.count_documents(doc! { "phoneNumber": ANN }).await.unwrap(), 1);
    let store = open(&database).unwrap();
    let user = store.find_user_by_phone(&phone(ANN)).await.unwrap().unwrap();
    assert_eq!((user.id.to_string().as_str(), user.balance), (ann, Some(Credits(1300))));
    let talks = store.list_conversations(user.id, PageRequest::first(9)).await.unwrap().items;
    let second = ids["second"].as_str().unwrap();
    assert!(talks.len() == 3 && talks.iter().any(|talk| talk.id.to_string() == second), "{talks:?}");
    store.close().await;
}

/// A process that dies between its steps leaves what the same call finishes, and nobody in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_was_interrupted_is_finished_by_repeating_it() {
    let f = Fixture::on(Database::new());
    let (one, two) = (f.texted(ANN, "one").await, f.texted(BOB, "two").await);
    let (ann, bob) = (one.user_id, two.user_id);
    f.drain().await;
    let heads = f.database().open().await.collection::<Document>("scrubjay_heads");
    let key = |user: UserId| doc! { "_id": ObjectId::from_bytes(*user.as_bytes()) };
    // As it stands behind the mark.
    let marked = doc! { "$set": { "state.mergingInto": bob.to_string() }, "$inc": { "version": 1_i64 } };
    heads.update_one(key(ann), marked).await.unwrap();
    let refused = f.store.accept(f.text(ANN, "still there?")).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unavailable { reason, .. } if reason.contains("users merge")), "{refused}");
    let other = f.texted("+15550000003", "three").await.user_id;
    f.drain().await;
    assert!(matches!(f.store.merge_people(ann, other, PLENTY).await, Err(StoreError::Conflict { .. })), "it is becoming another's");
    let merged = f.store.merge_people(ann, bob, PLENTY).await.unwrap();
    assert_eq!((merged.conversations, merged.freed), (1, Some(phone(ANN))));
    assert_eq!(f.store.list_conversations(bob, PageRequest::first(9)).await.unwrap().items.len(), 2);

    // As it stands behind the commit of somebody who takes over a number.
    let (taken, freed) = (phone("+15550000007"), phone(BOB));
    let unset = doc! { "$unset": { "phone": "", "state.person.phone": "" }, "$set": { "state.taking": taken.as_str() }, "$inc": { "version": 1_i64 } };
    heads.update_one(key(bob), unset).await.unwrap();
    let merged = f.store.merge_people(ann, bob, PLENTY).await.unwrap();
    assert_eq!(merged.taken, Some(taken.clone()));
    assert_eq!(f.store.find_user_by_phone(&taken).await.unwrap().unwrap().id, bob);
    assert_eq!(f.store.find_user_by_phone(&freed).await.unwrap(), None);
    assert!(matches!(f.store.merge_people(ann, bob, PLENTY).await, Err(StoreError::NotFound { .. })));
}
