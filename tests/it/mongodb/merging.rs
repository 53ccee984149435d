//! Accounts that become one: those that an earlier program made twice, and where a process dies in the middle.

use mongodb::bson::{Document, doc, oid::ObjectId};
use scrubjay::domain::ids::UserId;
use scrubjay::domain::ledger::Credits;
use scrubjay::store::{DoubleConversation, MergeLimits, MessageFilter, PageRequest, Receipt, StoreError};

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
        assert_eq!(findings(&report, "conversations"), ["1 conversations were begun while another of the same person went on"]);
        assert_eq!(findings(&report, "mending"), [""; 0]);
    }
    let (_, output, _) = home.run(&["doctor", "--fix", "--json"]).await;
    let mended: serde_json::Value = serde_json::from_str(&output).unwrap();
    let [kept, done, joined] = findings(&mended, "mending").try_into().unwrap();
    assert_eq!(done, format!("{again} is part of {ann} now, with 1 conversations"));
    assert_eq!(joined, "2 conversations are part of another of the same person now", "one that came with the account, too");
    let (code, _, stderr) = home.run(&["archive", "verify", kept.strip_prefix("what was before is in ").unwrap()]).await;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!((findings(&mended, "people"), findings(&mended, "conversations")), (Vec::new(), Vec::new()));
    let again_mended = examined(&["doctor", "--fix", "--no-archive", "--json"]).await;
    assert_eq!(findings(&again_mended, "mending"), ["there was nothing to mend"]);

    let accounts = database.open().await.collection::<Document>("users");
    assert_eq!(accounts.count_documents(doc! { "phoneNumber": ANN }).await.unwrap(), 1);
    let store = open(&database).unwrap();
    let user = store.find_user_by_phone(&phone(ANN)).await.unwrap().unwrap();
    assert_eq!((user.id.to_string().as_str(), user.balance), (ann, Some(Credits(1300))));
    let talks = store.list_conversations(user.id, PageRequest::first(9)).await.unwrap().items;
    assert_eq!(talks.iter().map(|talk| talk.id.to_string()).collect::<Vec<_>>(), [ids["second"].as_str().unwrap()]);
    let all = MessageFilter { conversation_id: Some(talks[0].id), search: None };
    let said = store.list_messages(user.id, all, PageRequest::first(9)).await.unwrap().items;
    let said: Vec<&str> = said.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(said, ["my cat is called Tiger", "A fine name.", "feed it at noon", "do you know me?"]);
    store.close().await;
}

/// Two open conversations of one person, and what was said in the older on LibreChat's pages meanwhile.
async fn two_conversations(f: &Fixture) -> [Receipt; 2] {
    let one = f.texted(ANN, "one").await;
    f.drain().await;
    f.store.close_conversation(one.user_id, one.conversation_id).await.unwrap();
    f.advance(60_000);
    let two = f.texted(ANN, "two").await;
    f.drain().await;
    let conversations = f.database().open().await.collection::<Document>("conversations");
    conversations.update_many(doc! {}, doc! { "$set": { "closed": false } }).await.unwrap();
    [one, two]
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_that_went_on_at_the_same_time_become_one_in_the_order_of_what_was_said() {
    let f = Fixture::on(Database::new());
    let [one, two] = two_conversations(&f).await;
    let user = one.user_id;
    pymongo("change.py", f.database(), &["say", &one.conversation_id.to_string(), "and on the web?", "There too."]).await;
    f.advance(120_000);
    let double = DoubleConversation { user_id: user, conversation: one.conversation_id, into: two.conversation_id };
    assert_eq!(f.store.list_double_conversations(7).await.unwrap(), [double]);
    let merge = async || f.store.merge_conversations(user, double.conversation, double.into).await;

    f.texted(ANN, "three").await;
    assert!(matches!(merge().await, Err(StoreError::Conflict { .. })), "it waits for its answer");
    f.drain().await;
    merge().await.unwrap();
    let so_far = ["one", "re: one", "two", "re: two", "three", "re: three"];
    assert_eq!(f.said(two).await, so_far);
    f.assert_chain(user, two.conversation_id).await;
    assert!(f.said(one).await.is_empty());
    let talks = f.store.list_conversations(user, PageRequest::first(9)).await.unwrap().items;
    assert_eq!(talks.iter().map(|talk| (talk.id, talk.message_count)).collect::<Vec<_>>(), [(two.conversation_id, 6)]);
    let turns = f.store.list_finished_turns(user, 0, 9).await.unwrap();
    assert_eq!(turns.iter().map(|turn| turn.conversation.id).collect::<Vec<_>>(), [two.conversation_id; 3]);
    assert_eq!(f.store.find_damage().await.unwrap(), []);

    // There is nothing left to do, and it goes on.
    assert_eq!(f.store.list_double_conversations(7).await.unwrap(), []);
    assert!(matches!(merge().await, Err(StoreError::NotFound { .. })));
    assert_eq!(f.texted(ANN, "four").await.conversation_id, two.conversation_id);
    f.drain().await;
    let all = [&so_far[..], &["and on the web?", "There too.", "four", "re: four"]].concat();
    assert_eq!(f.said(two).await, all);
    let rows = pymongo("change.py", f.database(), &["list", &two.conversation_id.to_string()]).await;
    let listed = |name: &str| rows[name].as_array().unwrap().len();
    assert_eq!((listed("listed"), listed("there")), (10, 10), "{rows}");
    let copy = Fixture::on(Database::new());
    super::archives::copy(&f.store, &copy.store).await;
    assert_eq!(copy.said(two).await, all, "and is archived like that");
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
