//! Listings, cursors, search, and texts of every kind.

use std::collections::HashSet;

use futures::{StreamExt as _, stream};
use scrubjay::config::sections::Backend;
use scrubjay::domain::endpoint::Endpoint;
use scrubjay::domain::message::{Attachment, CALLER_METADATA_BYTES};
use scrubjay::domain::token::{Token, TokenKind};
use scrubjay::domain::user::PreferenceChange;
use scrubjay::store::{JobFilter, MessageFilter, NewInbound, PageRequest, Standing, StoreError};
use serde_json::json;

use super::fixture::{ANN, BOB, Fixture, NOON, no_limits, owner, phone};

pub(super) async fn texts_of_every_kind_come_back_as_they_were(f: Fixture) {
    let long = "é👍🏽".repeat(1024 * 1024 / 10);
    let texts = [
        "",
        " ",
        "nul \0 inside",
        "tab\tnew\nline\r\u{7f}\u{1b}[31m",
        "👩‍👩‍👧 مرحبا שלום",
        "'; DROP TABLE people; --",
        "{\"$gt\":\"\"}",
        long.as_str(),
    ];
    let mut receipt = None;
    for text in texts {
        let attachments = vec![Attachment { name: text.chars().take(8).collect(), content_type: "image/png".to_owned(), url: None }];
        let stored = f.stored(NewInbound { attachments, ..f.text(ANN, text) }).await;
        receipt = Some(stored);
        let turn = f.lease_one().await;
        assert_eq!((turn.texts[0].text.as_str(), turn.texts[0].attachments.len()), (text, 1));
        f.answer(&turn, text).await;
    }
    let said = f.said(receipt.unwrap()).await;
    let expected: Vec<_> = texts.iter().flat_map(|text| [*text, *text]).collect();
    assert!(said == expected, "every text is as it was sent and answered");
}

pub(super) async fn messages_are_searched_for_exactly_what_was_written(f: Fixture) {
    let mut user = None;
    for text in ["100% sure", "100 sure", "under_score", "underXscore", "back\\slash", "Größe", "after \0 nul"] {
        user = Some(f.texted(ANN, text).await.user_id);
    }
    f.texted(BOB, "100% of somebody else").await;
    for (search, found) in [
        ("100%", vec!["100% sure"]),
        ("SURE", vec!["100 sure", "100% sure"]),
        ("r_s", vec!["under_score"]),
        ("\\", vec!["back\\slash"]),
        ("röß", vec!["Größe"]),
        ("nul", vec!["after \0 nul"]),
        ("nothing", vec![]),
    ] {
        let filter = MessageFilter { conversation_id: None, search: Some(search.to_owned()) };
        let page = f.store.list_messages(user.unwrap(), filter, PageRequest::first(10)).await.unwrap();
        assert_eq!(page.items.iter().map(|message| message.text.as_str()).collect::<Vec<_>>(), found, "{search:?}");
    }
    let long = MessageFilter { conversation_id: None, search: Some("x".repeat(100_000)) };
    assert!(f.store.list_messages(user.unwrap(), long, PageRequest::first(10)).await.unwrap().items.is_empty());
}

pub(super) async fn all_messages_are_listed_newest_first_page_by_page(f: Fixture) {
    let mut user = None;
    for number in 0..11 {
        // Two conversations by turns, some texts in the same millisecond.
        let text = f.text(ANN, &number.to_string());
        user = Some(f.stored(NewInbound { source: format!("s{}", number % 2), ..text }).await.user_id);
        f.advance(u64::from(number % 3 == 0));
    }
    let mut listed = Vec::new();
    let mut cursor = None;
    loop {
        let page = f.store.list_messages(user.unwrap(), MessageFilter::default(), PageRequest { cursor, limit: 4 }).await.unwrap();
        listed.extend(page.items.into_iter().map(|message| message.text.parse::<u32>().unwrap()));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(listed, (0..11).rev().collect::<Vec<_>>());
}

/// Ten thousand messages of one person, with their receipts and open turns; on MongoDB 100, for a person's head holds what is open and is
/// written whole.
pub(super) async fn ten_thousand_messages_are_listed_each_once_and_their_receipts_found(f: Fixture) {
    let (count, at_once) = if f.is_mongodb() { (100, 8) } else { (10_000, 64) };
    let first = f.text(ANN, "0");
    let receipt = f.stored(first.clone()).await;
    let texts: Vec<_> = (1..count).map(|number| f.text(ANN, &number.to_string())).collect();
    let last = texts.last().unwrap().clone();
    let stored: Vec<_> = stream::iter(texts).map(|text| f.stored(text)).buffered(at_once).collect().await;
    assert!(stored.iter().all(|other| other.conversation_id == receipt.conversation_id && !other.is_new_user));
    let (mut listed, mut seen, mut cursor) = (0, HashSet::new(), None);
    loop {
        let page = f.store.list_messages(receipt.user_id, MessageFilter::default(), PageRequest { cursor, limit: 999 }).await.unwrap();
        listed += page.items.len();
        seen.extend(page.items.into_iter().map(|message| message.text.parse::<usize>().unwrap()));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((listed, seen.len(), seen.into_iter().max()), (count, count, Some(count - 1)));
    let wanted = MessageFilter { conversation_id: None, search: Some((count - 1).to_string()) };
    assert_eq!(f.store.list_messages(receipt.user_id, wanted, PageRequest::first(10)).await.unwrap().items.len(), 1);
    assert_eq!(f.store.find_receipt(&first.door).await.unwrap(), Some(receipt));
    assert_eq!(f.store.find_receipt(&last.door).await.unwrap().map(|found| found.turn_id), stored.last().map(|last| last.turn_id));
    assert_eq!(f.store.figures().await.unwrap().open_turns, i64::try_from(count).unwrap());
    assert_eq!(f.lease_one().await.texts[0].text, "0", "the first of them is the first to be answered");
}

pub(super) async fn many_people_are_listed_each_once_and_found_by_their_numbers(f: Fixture) {
    // JSON files have a folder for each, MongoDB's test server a few hundred writes a second.
    let count = match f.settings.backend {
        Backend::Sqlite => 10_000,
        Backend::Json => 1_000,
        Backend::MongoDb => 200,
    };
    let number = |person: usize| format!("+1555{person:07}");
    let texts: Vec<_> = (0..count).map(|person| f.text(&number(person), "hello")).collect();
    let stored: Vec<_> = stream::iter(texts).map(|text| f.stored(text)).buffered(64).collect().await;
    let (mut listed, mut cursor) = (Vec::new(), None);
    loop {
        let page = f.store.list_users(PageRequest { cursor, limit: 999 }).await.unwrap();
        listed.extend(page.items.into_iter().map(|user| user.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let people: HashSet<_> = stored.iter().map(|receipt| receipt.user_id).collect();
    assert_eq!((listed.len(), people.len()), (count, count));
    assert_eq!(listed.into_iter().collect::<HashSet<_>>(), people);
    for person in [0, count / 2, count - 1] {
        let found = f.store.find_user_by_phone(&phone(&number(person))).await.unwrap();
        assert_eq!(found.map(|user| user.id), Some(stored[person].user_id));
    }
    let mut leased = HashSet::new();
    loop {
        let work = f.store.lease_turns(&owner(), 1_000, &no_limits()).await.unwrap().work;
        if work.is_empty() {
            break;
        }
        leased.extend(work.into_iter().map(|turn| turn.lease.user_id));
    }
    assert_eq!(leased, people, "each of them has a lane");
}

pub(super) async fn people_and_tokens_are_listed_oldest_first(f: Fixture) {
    let mut people = Vec::new();
    for number in 0..7 {
        people.push(f.texted(&format!("+1555000010{number}"), "x").await.user_id);
        f.advance(5);
    }
    let first = f.store.list_users(PageRequest::first(4)).await.unwrap();
    let second = f.store.list_users(PageRequest { cursor: first.next, limit: 4 }).await.unwrap();
    assert_eq!(second.next, None);
    let listed: Vec<_> = first.items.into_iter().chain(second.items).map(|user| user.id).collect();
    assert_eq!(listed, people);

    let mut tokens = Vec::new();
    for number in 0..5_u8 {
        let token = Token {
            id: f.clock.uuid(),
            hash: [number; 32],
            kind: [TokenKind::User, TokenKind::Service, TokenKind::Admin][usize::from(number % 3)],
            user_id: (number % 3 == 0).then(|| people[0]),
            scopes: vec!["read".to_owned()],
            expires_at: Some(NOON),
            created_at: f.clock.now(),
        };
        f.store.add_token(token.clone()).await.unwrap();
        let known = f.store.find_token([number; 32], None).await.unwrap().unwrap();
        assert_eq!((&known.token, known.standing), (&token, token.user_id.map(|_person| Standing::Welcome)));
        tokens.push(token);
    }
    let first = f.store.list_tokens(PageRequest::first(3)).await.unwrap();
    let second = f.store.list_tokens(PageRequest { cursor: first.next, limit: 3 }).await.unwrap();
    assert_eq!(first.items.into_iter().chain(second.items).collect::<Vec<_>>(), tokens);
    f.store.revoke_token(tokens[0].id).await.unwrap();
    assert!(f.store.find_token([0; 32], None).await.unwrap().is_none());
    assert!(matches!(f.store.revoke_token(tokens[0].id).await, Err(StoreError::NotFound { .. })));
    let stranger = Token { id: f.clock.uuid(), hash: [9; 32], user_id: Some(f.clock.user_id()), ..tokens[0].clone() };
    assert!(matches!(f.store.add_token(stranger).await, Err(StoreError::NotFound { .. })));
}

/// What another process revokes or blocks holds from its answer on: nothing of it is remembered.
pub(super) async fn what_is_revoked_or_blocked_elsewhere_is_known_at_once(f: Fixture) {
    let (ann, bob) = (f.texted(ANN, "x").await.user_id, f.texted(BOB, "x").await.user_id);
    let elsewhere = f.open_again();
    let token = |number: u8, kind, user_id| Token {
        id: f.clock.uuid(),
        hash: [number; 32],
        kind,
        user_id,
        scopes: Vec::new(),
        expires_at: None,
        created_at: f.clock.now(),
    };
    let service = token(200, TokenKind::Service, None);
    f.store.add_token(service.clone()).await.unwrap();
    let standing = async |named| f.store.find_token(service.hash, named).await.unwrap().unwrap().standing;
    assert_eq!(standing(None).await, None, "a service is nobody");
    assert_eq!(standing(Some(f.clock.user_id())).await, None, "nobody has that id");
    for number in 0..20 {
        let anns = token(number, TokenKind::User, Some(ann));
        elsewhere.add_token(anns.clone()).await.unwrap();
        let known = f.store.find_token(anns.hash, Some(bob)).await.unwrap().unwrap();
        assert_eq!((known.token, known.standing), (anns.clone(), Some(Standing::Welcome)), "whoever is named beside it");
        elsewhere.set_blocked(bob, true).await.unwrap();
        assert_eq!(standing(Some(bob)).await, Some(Standing::Blocked));
        assert_eq!(standing(Some(ann)).await, Some(Standing::Welcome));
        elsewhere.set_blocked(bob, false).await.unwrap();
        assert_eq!(standing(Some(bob)).await, Some(Standing::Welcome));
        elsewhere.revoke_token(anns.id).await.unwrap();
        assert_eq!(f.store.find_token(anns.hash, None).await.unwrap(), None);
    }
    elsewhere.close().await;
}

pub(super) async fn a_cursor_from_elsewhere_is_refused(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    f.texted(BOB, "x").await;
    let of_users = f.store.list_users(PageRequest::first(1)).await.unwrap().next.unwrap();
    for cursor in ["", "x", "../../etc/passwd", "' OR 1=1 --", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "é", of_users.as_str()] {
        let page = || PageRequest { cursor: Some(cursor.to_owned()), limit: 5 };
        let refused = [
            f.store.list_conversations(user, page()).await.err(),
            f.store.list_messages(user, MessageFilter::default(), page()).await.err(),
            f.store.list_jobs(JobFilter::All, page()).await.err(),
            f.store.list_tokens(page()).await.err(),
        ];
        for error in refused {
            assert!(matches!(error, Some(StoreError::InvalidCursor)), "{cursor:?}: {error:?}");
        }
    }
}

pub(super) async fn preferences_change_field_by_field(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    let endpoint = Endpoint::parse("local").unwrap();
    let changes = vec![PreferenceChange::Endpoint(Some(endpoint.clone())), PreferenceChange::TimeZone(Some("Europe/Berlin".to_owned()))];
    f.store.change_preferences(user, changes).await.unwrap();
    let preferred = f.store.change_preferences(user, vec![PreferenceChange::TimeZone(None)]).await.unwrap();
    assert_eq!((preferred.preferences.endpoint.clone(), preferred.preferences.time_zone.clone()), (Some(endpoint), None));
    assert_eq!(f.store.find_user(user).await.unwrap(), Some(preferred));
    let nobody = f.store.change_preferences(f.clock.user_id(), Vec::new()).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })));
}

pub(super) async fn what_callers_send_along_is_kept_apart_and_bounded(f: Fixture) {
    let send = |value: serde_json::Value| {
        let caller_metadata = value.as_object().unwrap().clone();
        NewInbound { caller_metadata, ..f.call(ANN, "x", None) }
    };
    let user = f.stored(send(json!({"campaign": "a", "role": "ADMIN", "messageCount": 99}))).await.user_id;
    f.stored(send(json!({"campaign": "b"}))).await;
    let stored = f.store.find_user(user).await.unwrap().unwrap();
    assert_eq!((stored.role.as_str(), stored.message_count), ("USER", 2));
    assert_eq!(serde_json::Value::from(stored.caller_metadata), json!({"campaign": "b", "role": "ADMIN", "messageCount": 99}));
    for number in 0..5 {
        f.stored(send(json!({format!("key{number}"): "x".repeat(5_000)}))).await;
    }
    let stored = f.store.find_user(user).await.unwrap().unwrap().caller_metadata;
    assert!(serde_json::to_string(&stored).unwrap().len() <= CALLER_METADATA_BYTES);
    assert!(stored.contains_key("key4"), "the newest is there");
}

pub(super) async fn marks_never_go_back(f: Fixture) {
    assert_eq!(f.store.find_mark("twilio").await.unwrap(), None);
    f.store.set_mark("twilio", NOON).await.unwrap();
    f.store.set_mark("twilio", NOON.before(std::time::Duration::from_secs(1))).await.unwrap();
    assert_eq!(f.store.find_mark("twilio").await.unwrap(), Some(NOON));
    assert_eq!(f.store.find_mark("other").await.unwrap(), None);
}
