//! Credits that LibreChat spends and refills in the same documents.

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc, oid::ObjectId};
use scrubjay::domain::ids::UserId;
use scrubjay::domain::ledger::Credits;
use scrubjay::domain::turn::LeasedTurn;
use scrubjay::store::{BalanceRules, MessageFilter, NewInbound, NewPerson, PageRequest, Reservation, SharedStore, StoreError, TurnOutcome};

use super::{open, pymongo};
use crate::contract::fixture::{ANN, Fixture, phone};
use crate::support::mongo::Database;

/// Nobody is given more than they begin with.
const RULES: BalanceRules = BalanceRules { start: Credits(500), refill: None };

/// Somebody who begins with 500.
async fn begin(f: &Fixture) -> (UserId, LeasedTurn) {
    let new = f.text(ANN, "hello");
    let person = NewPerson { start_credits: Some(Credits(500)), ..new.person.clone() };
    let receipt = f.stored(NewInbound { person, ..new }).await;
    (receipt.user_id, f.lease_one().await)
}

/// Ends a turn that cost so much, with its answer.
async fn pay(f: &Fixture, turn: &LeasedTurn, cost: i64) {
    let mut outcome = f.answered("done", &[]);
    if let TurnOutcome::Answered { charge, .. } = &mut outcome {
        *charge = Credits(cost);
    }
    f.store.complete_turn(&turn.lease, outcome).await.unwrap();
}

async fn spend(f: &Fixture, user: UserId, credits: f64, times: u32) {
    pymongo("spend.py", f.database(), &[&user.to_string(), &credits.to_string(), &times.to_string()]).await;
}

fn key(user: UserId) -> Document {
    doc! { "user": ObjectId::from_bytes(*user.as_bytes()) }
}

/// What LibreChat finds of somebody; there must never be two of them.
async fn balances(f: &Fixture, user: UserId) -> Vec<Bson> {
    let balances = f.database().open().await.collection::<Document>("balances");
    let found: Vec<Document> = balances.find(key(user)).await.unwrap().try_collect().await.unwrap();
    found.iter().map(|document| document.get("tokenCredits").cloned().unwrap_or(Bson::Null)).collect()
}

async fn shown(store: &SharedStore, user: UserId) -> Option<i64> {
    store.find_user(user).await.unwrap().unwrap().balance.map(|Credits(credits)| credits)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_either_spends_is_gone_for_both_and_a_refill_is_there_for_both() {
    let f = Fixture::on(Database::new());
    let (user, turn) = begin(&f).await;
    assert_eq!(f.store.reserve(&turn.lease, RULES, Credits(100)).await.unwrap(), Reservation::Held);
    pay(&f, &turn, 40).await;
    assert_eq!(balances(&f, user).await, [Bson::Int64(460)]);

    // On the web they spend nearly everything: what is left does not pay for an answer here.
    spend(&f, user, -430.5, 1).await;
    assert_eq!(shown(&f.store, user).await, Some(29), "parts of a credit pay for nothing");
    assert_eq!(f.store.find_user_by_phone(&phone(ANN)).await.unwrap().unwrap().balance, Some(Credits(29)));
    assert_eq!(f.store.list_users(PageRequest::first(9)).await.unwrap().items[0].balance, Some(Credits(29)));
    f.texted(ANN, "again").await;
    let turn = f.lease_one().await;
    let refused = f.store.reserve(&turn.lease, RULES, Credits(100)).await.unwrap();
    assert_eq!(refused, Reservation::Insufficient { balance: Credits(29) });

    // LibreChat refills, and the answer is paid for.
    spend(&f, user, 1_000.0, 1).await;
    assert_eq!(f.store.reserve(&turn.lease, RULES, Credits(100)).await.unwrap(), Reservation::Held);
    spend(&f, user, -10.0, 1).await;
    pay(&f, &turn, 60).await;
    assert_eq!(balances(&f, user).await, [Bson::Double(959.5)]);
    assert_eq!(shown(&f.store, user).await, Some(959));
    // Another process knows the same.
    assert_eq!(shown(&open(f.database()).unwrap(), user).await, Some(959));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_spend_at_the_same_time_and_nothing_is_lost() {
    let f = Fixture::on(Database::new());
    let (user, turn) = begin(&f).await;
    pay(&f, &turn, 0).await;
    let turns = 12;
    let who = user.to_string();
    let arguments = [who.as_str(), "-1", "40"];
    let ours = async {
        for number in 0..turns {
            f.texted(ANN, &format!("number {number}")).await;
            let turn = f.lease_one().await;
            f.store.reserve(&turn.lease, RULES, Credits(20)).await.unwrap();
            pay(&f, &turn, 3).await;
        }
    };
    let (web, ()) = tokio::join!(pymongo("spend.py", f.database(), &arguments), ours);
    assert_eq!(web, serde_json::json!({}));
    let left = 500 - 40 - 3 * turns;
    assert_eq!(balances(&f, user).await, [Bson::Int64(left)]);
    assert_eq!(shown(&f.store, user).await, Some(left));
}

/// A process dies when a unit is committed; whoever applies it may die as well, or be late.
#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_is_applied_again_is_taken_once() {
    let f = Fixture::on(Database::new());
    let (user, turn) = begin(&f).await;
    f.store.reserve(&turn.lease, RULES, Credits(100)).await.unwrap();
    let heads = f.database().open().await.collection::<Document>("scrubjay_heads");
    let by_id = doc! { "_id": ObjectId::from_bytes(*user.as_bytes()) };
    let reserved = heads.find_one(by_id.clone()).await.unwrap().unwrap();
    assert!(reserved.contains_key("pending"), "it is staged, and not yet applied: {reserved}");
    assert_eq!(balances(&f, user).await, [Bson::Null; 0]);

    let look = async |store: &SharedStore| {
        let all = MessageFilter { conversation_id: None, search: None };
        store.list_messages(user, all, PageRequest::first(1)).await.unwrap();
    };
    let other = open(f.database()).unwrap();
    for _ in 0..2 {
        // As it was before anybody applied it, or marked it as applied.
        heads.replace_one(by_id.clone(), reserved.clone()).await.unwrap();
        look(&other).await;
        assert_eq!(balances(&f, user).await, [Bson::Int64(400)]);
    }
    spend(&f, user, -50.0, 1).await;
    heads.replace_one(by_id.clone(), reserved.clone()).await.unwrap();
    look(&other).await;
    assert_eq!(balances(&f, user).await, [Bson::Int64(350)], "nor is what they spent meanwhile undone");

    // The next unit is applied while an earlier one is still staged with it.
    pay(&f, &turn, 30).await;
    look(&other).await;
    assert_eq!((balances(&f, user).await, shown(&other, user).await), (vec![Bson::Int64(420)], Some(420)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_may_be_missing_or_any_kind_of_number_and_nothing_else() {
    let f = Fixture::on(Database::new());
    let (user, turn) = begin(&f).await;
    pay(&f, &turn, 0).await;
    let collection = f.database().open().await.collection::<Document>("balances");
    let given = [
        (None, Bson::Int64(490), 490),
        (Some(Bson::Int32(80)), Bson::Int64(70), 70),
        (Some(Bson::Int64(1 << 40)), Bson::Int64((1 << 40) - 10), (1 << 40) - 10),
        (Some(Bson::Double(90.75)), Bson::Double(80.75), 80),
        (Some(Bson::Null), Bson::Int64(70), 70),
    ];
    for (there, left, whole) in given {
        match &there {
            // Whoever deletes it takes nothing from anybody.
            None => drop(collection.delete_many(key(user)).await.unwrap()),
            Some(value) => drop(collection.update_one(key(user), doc! { "$set": { "tokenCredits": value.clone() } }).await.unwrap()),
        }
        f.texted(ANN, "hello").await;
        let turn = f.lease_one().await;
        f.store.reserve(&turn.lease, RULES, Credits(20)).await.unwrap();
        pay(&f, &turn, 10).await;
        assert_eq!(balances(&f, user).await, [left], "{there:?}");
        assert_eq!(shown(&f.store, user).await, Some(whole), "{there:?}");
    }

    // What is no number is nobody's credits: it is said, and nothing is made of it.
    collection.update_one(key(user), doc! { "$set": { "tokenCredits": "many" } }).await.unwrap();
    f.texted(ANN, "hello").await;
    let turn = f.lease_one().await;
    let refused = f.store.reserve(&turn.lease, RULES, Credits(20)).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Corrupt { reason, .. } if reason.contains("tokenCredits")), "{refused}");
    assert_eq!(balances(&f, user).await, [Bson::String("many".to_owned())]);
}

/// An account of LibreChat's own whose person was erased here is LibreChat's alone; if they text again they have what is there then.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_librechats_is_taken_with_what_it_has_as_often_as_need_be() {
    let f = Fixture::on(Database::new());
    let database = f.database().open().await;
    let id = ObjectId::new();
    let user = UserId::from_bytes(id.bytes());
    let account = doc! { "_id": id, "email": "ann@example.org", "username": "ann", "name": "Ann", "provider": "local", "role": "USER",
    "emailVerified": true, "phoneNumber": ANN, "createdAt": mongodb::bson::DateTime::now() };
    database.collection::<Document>("users").insert_one(&account).await.unwrap();
    database
        .collection::<Document>("balances")
        .insert_one(doc! { "user": id, "tokenCredits": 100.5, "autoRefillEnabled": false })
        .await
        .unwrap();
    for (before, after) in [(100.5, 93.5), (93.5, 86.5)] {
        assert_eq!(f.texted(ANN, "hello").await.user_id, user);
        let turn = f.lease_one().await;
        assert_eq!(f.store.reserve(&turn.lease, RULES, Credits(50)).await.unwrap(), Reservation::Held, "{before}");
        pay(&f, &turn, 7).await;
        assert_eq!(balances(&f, user).await, [Bson::Double(after)]);
        f.store.erase_person(user).await.unwrap();
        while f.store.erase_left_over(100).await.unwrap() {}
        let users = database.collection::<Document>("users");
        users.update_one(doc! { "_id": id }, doc! { "$set": { "phoneNumber": ANN } }).await.unwrap();
    }
    let left = database.collection::<Document>("balances").find_one(doc! { "user": id }).await.unwrap().unwrap();
    assert!(!left.contains_key("ownCredits") && !left.contains_key("unitVersion"), "{left}");
}
