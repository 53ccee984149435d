//! One person of two.

use scrubjay::domain::delivery::OutboundState;
use scrubjay::domain::ids::UserId;
use scrubjay::domain::ledger::Credits;
use scrubjay::domain::token::{Token, TokenKind};
use scrubjay::domain::user::{PreferenceChange, SHARED_ACCOUNT};
use scrubjay::service::archives;
use scrubjay::store::{
    Accepted, Consent, MergeLimits, NewAccount, NewInbound, NewPerson, NewTodo, PageRequest, Receipt, ScheduleFilter, StoreError,
    TodoFilter, Whose,
};

use super::contents::fill;
use super::fixture::{ANN, BOB, Fixture, phone};
use super::graph::{LIMITS, create, names, new as entity, relate, relation, texts, whole};
use super::keeping::records;
use super::schedules;
use crate::support::chance::Chance;

const PLENTY: MergeLimits = MergeLimits { graph: LIMITS, todos: 1_000, schedules: 1_000 };

fn todo(text: &str) -> NewTodo {
    NewTodo { text: text.to_owned(), category: None, priority: None, due: None, parent: None }
}

/// A text of somebody with credits, answered.
async fn answered(f: &Fixture, from: &str, text: &str, credits: i64) -> (NewInbound, Receipt) {
    let new = f.text(from, text);
    let new = NewInbound { person: NewPerson { start_credits: Some(Credits(credits)), ..new.person }, ..new };
    let receipt = f.stored(new.clone()).await;
    let turn = f.lease_one().await;
    f.answer(&turn, &format!("re: {text}")).await;
    (new, receipt)
}

pub(super) async fn two_accounts_become_one_person(f: Fixture) {
    let (said, ann) = answered(&f, ANN, "I moved", 100).await;
    let ann_talked = ann.conversation_id;
    let ann = ann.user_id;
    let (_, bob_talked) = answered(&f, BOB, "hello", 50).await;
    let bob = bob_talked.user_id;
    create(&f.store, ann, &[entity("Tiger", "cat", &["is orange", "sleeps"]), entity("Oslo", "city", &["is cold"])]).await;
    relate(&f.store, ann, &[relation("Tiger", "lives in", "Oslo")]).await;
    create(&f.store, bob, &[entity("Tiger", "pet", &["is orange"])]).await;
    for (user, text) in [(ann, "Buy milk"), (ann, "call mum"), (bob, "buy milk")] {
        f.store.add_todo(user, todo(text), 10).await.unwrap();
    }
    f.store.add_schedule(ann, schedules::new("stretch", 60), 9).await.unwrap();
    f.store.change_preferences(ann, vec![PreferenceChange::TimeZone(Some("Europe/Oslo".to_owned()))]).await.unwrap();
    let token = Token {
        id: f.clock.uuid(),
        hash: [7; 32],
        kind: TokenKind::User,
        user_id: Some(ann),
        scopes: Vec::new(),
        expires_at: None,
        created_at: f.clock.now(),
    };
    f.store.add_token(token.clone()).await.unwrap();

    let merged = f.store.merge_people(ann, bob, PLENTY).await.unwrap();
    assert_eq!((merged.conversations, merged.entities, merged.observations, merged.relations), (1, 1, 2, 1));
    assert_eq!((merged.todos, merged.schedules, merged.freed.as_ref(), merged.taken.as_ref()), (1, 1, Some(&phone(ANN)), None));
    assert_eq!(f.store.find_user(ann).await.unwrap(), None);
    assert!(matches!(f.store.merge_people(ann, bob, PLENTY).await, Err(StoreError::NotFound { .. })));

    let one = f.store.find_user(bob).await.unwrap().unwrap();
    assert_eq!((one.phone.clone(), one.balance, one.message_count), (Some(phone(BOB)), Some(Credits(150)), 2));
    assert_eq!(one.preferences.time_zone.as_deref(), Some("Europe/Oslo"));
    let talks = f.store.list_conversations(bob, PageRequest::first(9)).await.unwrap().items;
    assert_eq!(talks.len(), 2);
    f.assert_chain(bob, ann_talked).await;
    let said_then = f.messages(bob, ann_talked).await;
    assert_eq!(said_then.iter().map(|message| message.text.as_str()).collect::<Vec<_>>(), ["I moved", "re: I moved"]);
    assert!(said_then.iter().all(|message| message.user_id == bob));
    // Whoever followed the one sees what the other finished, once.
    let events: Vec<i64> = f.store.list_finished_turns(bob, 0, 9).await.unwrap().iter().map(|turn| turn.event).collect();
    assert_eq!((events, f.store.latest_event(bob).await.unwrap()), (vec![1, 2], 2));

    let (mut entities, relations) = whole(&f.store, bob).await;
    entities.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(names(&entities), ["Oslo", "Tiger"]);
    assert_eq!((entities[1].entity_type.as_str(), texts(&entities[1])), ("pet", vec!["is orange", "sleeps"]));
    assert_eq!(relations, [relation("Tiger", "lives in", "Oslo")]);
    create(&f.store, bob, &[entity("Rex", "dog", &["barks"])]).await;
    assert_eq!(whole(&f.store, bob).await.0.len(), 3, "numbers go on behind those of both");
    let items = f.store.list_todos(bob, TodoFilter::default(), PageRequest::first(9)).await.unwrap().items;
    assert_eq!(items.iter().map(|item| item.text.as_str()).collect::<Vec<_>>(), ["buy milk", "call mum"]);
    assert_eq!(f.store.add_todo(bob, todo("more"), 10).await.unwrap().todo.id.number(), 3);
    let planned = f.store.list_schedules(bob, ScheduleFilter::All).await.unwrap();
    assert_eq!(planned.iter().map(|schedule| (schedule.message.as_str(), schedule.user_id)).collect::<Vec<_>>(), [("stretch", bob)]);
    assert_eq!(f.store.find_token([7; 32], None).await.unwrap().unwrap().token, Token { user_id: Some(bob), ..token });

    // Nothing is answered twice, and the number of whoever went is nobody's.
    match f.store.accept(said).await.unwrap() {
        Accepted::Repeat(known) => assert_eq!(known.user_id, bob),
        other => panic!("a repeat was not recognised: {other:?}"),
    }
    let (_, again) = answered(&f, BOB, "still me", 0).await;
    assert_eq!((again.user_id, again.is_new_user), (bob, false));
    f.assert_chain(bob, again.conversation_id).await;
    let stranger = f.texted(ANN, "who is there?").await;
    assert!(stranger.is_new_user && stranger.user_id != ann && stranger.user_id != bob);
    assert!(whole(&f.store, stranger.user_id).await.0.is_empty());
}

pub(super) async fn who_is_worked_for_or_has_too_much_is_not_merged(f: Fixture) {
    let (_, one) = answered(&f, BOB, "hello", 0).await;
    let bob = one.user_id;
    let ann = f.texted(ANN, "one").await.user_id;
    let refused = |error: StoreError| match error {
        StoreError::Conflict { reason } => reason,
        other => panic!("{other:?}"),
    };
    let reason = refused(f.store.merge_people(ann, bob, PLENTY).await.unwrap_err());
    assert!(reason.contains("1 turns") && reason.contains("jobs discard"), "{reason}");
    let turn = f.lease_one().await;
    f.store.complete_turn(&turn.lease, f.answered("long", &["long"])).await.unwrap();
    let reason = refused(f.store.merge_people(ann, bob, PLENTY).await.unwrap_err());
    assert!(reason.contains("1 messages"), "{reason}");
    f.send_all().await;

    for user in [ann, bob] {
        for number in 0..3 {
            f.store.add_todo(user, todo(&format!("{user} {number}")), 9).await.unwrap();
        }
    }
    let reason = refused(f.store.merge_people(ann, bob, MergeLimits { todos: 5, ..PLENTY }).await.unwrap_err());
    assert!(reason.contains("6 todo items, and 5 are allowed"), "{reason}");
    refused(f.store.merge_people(bob, bob, PLENTY).await.unwrap_err());
    let nobody = UserId::from_bytes([9; 12]);
    for (from, into) in [(nobody, bob), (bob, nobody)] {
        assert!(matches!(f.store.merge_people(from, into, PLENTY).await, Err(StoreError::NotFound { .. })));
    }
    // Nothing was changed, and both go on.
    for (from, user) in [(ANN, ann), (BOB, bob)] {
        assert_eq!(f.store.list_todos(user, TodoFilter::default(), PageRequest::first(9)).await.unwrap().items.len(), 3);
        assert_eq!(f.store.list_conversations(user, PageRequest::first(9)).await.unwrap().items.len(), 1);
        assert_eq!(answered(&f, from, "still here", 0).await.1.user_id, user);
    }
}

pub(super) async fn a_number_is_taken_over_where_there_was_none_and_the_more_careful_word_holds(f: Fixture) {
    let person = NewPerson { id: SHARED_ACCOUNT, email_domain: "sms.librechat.ai".to_owned(), start_credits: None };
    let account = f.store.open_account(NewAccount { phone: None, person }).await.unwrap();
    let (_, ann) = answered(&f, ANN, "hello", 7).await;
    let merged = f.store.merge_people(ann.user_id, account.id, PLENTY).await.unwrap();
    assert_eq!((merged.taken, merged.freed, merged.opted_out), (Some(phone(ANN)), None, false));
    assert_eq!(f.store.find_user_by_phone(&phone(ANN)).await.unwrap().unwrap().id, account.id);
    let (_, again) = answered(&f, ANN, "and on", 7).await;
    assert_eq!((again.user_id, again.conversation_id, again.is_new_user), (account.id, ann.conversation_id, false));
    f.assert_chain(account.id, again.conversation_id).await;

    // Somebody who does not want to be texted does not get texts at another number.
    let (_, bob) = answered(&f, BOB, "hello", 7).await;
    f.store.record_consent(&phone(BOB), Consent::OptOut, f.clock.now()).await.unwrap();
    f.advance(1_000);
    f.store.record_consent(&phone(ANN), Consent::OptIn, f.clock.now()).await.unwrap();
    let merged = f.store.merge_people(bob.user_id, account.id, PLENTY).await.unwrap();
    assert!(merged.opted_out);
    assert!(f.store.is_opted_out(&phone(ANN)).await.unwrap() && f.store.is_opted_out(&phone(BOB)).await.unwrap());
    f.advance(1_000);
    f.store.record_consent(&phone(ANN), Consent::OptIn, f.clock.now()).await.unwrap();
    assert!(!f.store.is_opted_out(&phone(ANN)).await.unwrap());
    let sent = f.store.list_outbound(account.id, 9).await.unwrap();
    assert!(sent.iter().all(|message| message.state != OutboundState::Ready), "{sent:?}");
}

/// Whatever two people have, what they have together fits together, and another process or a restart sees the same.
pub(super) async fn what_was_merged_is_whole_and_stays_so(f: Fixture) {
    fill(&f, &Chance::new(), 80).await;
    f.advance(60_000);
    f.drain().await;
    f.send_all().await;
    let mut people = f.store.list_users(PageRequest::first(100)).await.unwrap().items.into_iter().map(|user| user.id);
    let (Some(into), all) = (people.next(), people.collect::<Vec<_>>()) else { panic!("nobody came") };
    let before = records(&f.store, Whose::Everybodys).await;
    let mut merged = 0;
    for from in all {
        match f.store.merge_people(from, into, PLENTY).await {
            Ok(_done) => merged += 1,
            // Somebody whose turn nobody may answer today.
            Err(StoreError::Conflict { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    while f.store.erase_left_over(1_000).await.unwrap() {}
    let after = records(&f.store, Whose::Everybodys).await;
    for kind in [scrubjay::store::record::Kind::Message, scrubjay::store::record::Kind::Turn, scrubjay::store::record::Kind::Receipt] {
        let count = |records: &[scrubjay::store::record::Record]| records.iter().filter(|record| record.kind() == kind).count();
        assert_eq!(count(&after), count(&before), "{kind:?}");
    }
    assert!(merged > 0, "nobody could be merged");
    assert_eq!(archives::look(&f.store, |_record| {}).await.unwrap().count, 0);
    assert_eq!(f.store.find_damage().await.unwrap(), []);
    f.store.close().await;
    // The JSON backend makes its index anew from the journal then.
    let index = f.settings.path.join("json").join("index");
    if index.exists() {
        std::fs::remove_dir_all(index).unwrap();
    }
    let again = f.open_again();
    assert_eq!(records(&again, Whose::Everybodys).await, after);
    assert_eq!(again.find_damage().await.unwrap(), []);
    again.close().await;
}
