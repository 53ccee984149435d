//! What LibreChat, or any other program, finds in its collections: read by `pymongo`.

use scrubjay::domain::ledger::Credits;
use scrubjay::store::{BalanceRules, NewPerson};
use serde_json::json;

use super::pymongo;
use crate::contract::fixture::{ANN, Fixture};
use crate::support::mongo::Database;

#[tokio::test(flavor = "multi_thread")]
async fn what_we_write_has_librechats_shapes() {
    let f = Fixture::on(Database::new());
    let new = f.text(ANN, "hello \u{1F980}");
    let new = scrubjay::store::NewInbound { person: NewPerson { start_credits: Some(Credits(500)), ..new.person.clone() }, ..new };
    let receipt = f.stored(new).await;
    let turn = f.lease_one().await;
    f.store.reserve(&turn.lease, BalanceRules { start: Credits(500), refill: None }, Credits(20)).await.unwrap();
    let mut outcome = f.answered("hi there", &[]);
    if let scrubjay::store::TurnOutcome::Answered { charge, .. } = &mut outcome {
        *charge = Credits(7);
    }
    f.store.complete_turn(&turn.lease, outcome).await.unwrap();

    let seen = pymongo("look.py", f.database(), &[]).await;
    let user = receipt.user_id.to_string();
    assert_eq!(
        seen["user"],
        json!({
            "_id": {"ObjectId": user}, "email": "+15550000001@sms.librechat.ai", "name": "SMS User +15550000001", "username": "sms_15550000001",
            "provider": "sms", "phoneNumber": "+15550000001", "emailVerified": true, "role": "USER", "createdAt": "datetime", "updatedAt": "datetime",
            "metadata": {
                "phoneNumber": "+15550000001", "source": "sms", "createdBy": "sms-system", "firstContact": "datetime", "lastSMS": "datetime",
                "messageCount": 1, "preferences": {},
            },
        })
    );
    assert_eq!(seen["balance"], json!({"user": {"ObjectId": user}, "tokenCredits": 493}));
    let conversation = receipt.conversation_id.to_string();
    let thread = &seen["conversation"];
    assert_eq!(
        (&thread["conversationId"], &thread["title"], &thread["user"], &thread["endpoint"], &thread["model"]),
        (&json!(conversation), &json!("SMS Chat +15550000001"), &json!(user), &json!("openAI"), &json!("small"))
    );
    assert_eq!(
        (&thread["metadata"]["messageCount"], &thread["updatedAt"], &thread["_id"]),
        (&json!(2), &json!("datetime"), &json!("ObjectId"))
    );
    let [text, answer] = seen["messages"].as_array().unwrap().as_slice() else { panic!("{seen}") };
    assert_eq!(
        (&text["messageId"], &text["parentMessageId"]),
        (&json!(receipt.message_id.to_string()), &json!("00000000-0000-0000-0000-000000000000"))
    );
    assert_eq!((&text["sender"], &text["isCreatedByUser"], &text["text"]), (&json!("User"), &json!(true), &json!("hello \u{1F980}")));
    assert_eq!(
        (&answer["parentMessageId"], &answer["isCreatedByUser"], &answer["text"]),
        (&text["messageId"], &json!(false), &json!("hi there"))
    );
    for message in [text, answer] {
        assert_eq!((&message["conversationId"], &message["user"]), (&json!(conversation), &json!(user)));
        assert_eq!(
            (&message["_id"], &message["createdAt"], &message["tokenCount"].is_number()),
            (&json!("ObjectId"), &json!("datetime"), &true)
        );
        assert_eq!((&message["unfinished"], &message["error"], &message["endpoint"]), (&json!(false), &json!(false), &json!("openAI")));
    }
}

/// Another program renames a conversation and deletes another: that stands.
#[tokio::test(flavor = "multi_thread")]
async fn what_librechat_changes_meanwhile_stands() {
    let f = Fixture::on(Database::new());
    let receipt = f.texted(ANN, "hello").await;
    f.drain().await;
    let conversation = receipt.conversation_id.to_string();
    pymongo("change.py", f.database(), &["rename", &conversation, "My birds"]).await;
    f.texted(ANN, "again").await;
    f.drain().await;
    let found = f.store.find_conversation(receipt.user_id, receipt.conversation_id).await.unwrap().unwrap();
    assert_eq!((found.title.as_str(), found.message_count), ("My birds", 4));
    let seen = pymongo("look.py", f.database(), &[]).await;
    assert_eq!(seen["conversation"]["title"], "My birds");
}
