//! From every backend into every backend: a store with every kind of record, archived, restored, and archived again.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use scrubjay::domain::delivery::{DeliveryStatus, StatusReport};
use scrubjay::domain::graph::NewEntity;
use scrubjay::domain::ids::UserId;
use scrubjay::domain::ledger::{Credits, Usage};
use scrubjay::domain::message::Attachment;
use scrubjay::domain::schedule::{Mode, When, Zone};
use scrubjay::domain::step::{CallPlace, CallResult, NewStep, ToolCall};
use scrubjay::domain::todo::{Priority, TodoChange, TodoState};
use scrubjay::domain::token::{Scope, Token, TokenKind};
use scrubjay::domain::turn::{LeasedTurn, Refusal};
use scrubjay::domain::user::{PreferenceChange, SHARED_ACCOUNT};
use scrubjay::service::archives;
use scrubjay::store::record::Kind;
use scrubjay::store::{
    Act, BACKENDS, Consent, DeliveryOutcome, Firing, NewAccount, NewInbound, NewPerson, NewSchedule, NewSummary, NewTodo, Notice, Plan,
    Run, RunKind, TurnOutcome, TurnRelease, Whose,
};
use serde_json::json;

use super::archives::written;
use super::fixture::{ANN, BOB, Fixture, limits, owner, phone};
use super::graph::{LIMITS, relation};
use super::keeping::records;
use crate::support::chance::Chance;

/// Characters of every length, and such as are easily broken on the way.
const UNICODE: &str = "été \" \\ 🙂 Zoe\u{308} 日本語 a\nb\tc\u{0}d\u{2028}e\u{7f} {\"kind\":\"turn\"}";

/// A text that is too long to be kept with its turn on some backends.
fn long() -> String {
    "é🙂 ".repeat(30_000)
}

async fn lease(f: &Fixture) -> LeasedTurn {
    let mut work = f.store.lease_turns(&owner(), 100, &limits(99, 999)).await.unwrap().work;
    assert_eq!(work.len(), 1, "one turn is due");
    work.remove(0)
}

async fn step(f: &Fixture, turn: &LeasedTurn, ended: bool) {
    let extra = Some(json!({ "signature": [1.5, null, 0.1 + 0.2, u64::MAX], "über.$": UNICODE }));
    let call = |id: &str| ToolCall { id: id.to_owned(), name: "add".to_owned(), arguments: UNICODE.to_owned(), extra: extra.clone() };
    let step = NewStep {
        number: 1,
        text: UNICODE.to_owned(),
        shown: true,
        model: "small".to_owned(),
        usage: Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
        charge: Credits(1),
        calls: vec![call("a"), call("b")],
    };
    f.store.record_step(&turn.lease, step).await.unwrap();
    f.store.begin_call(&turn.lease, CallPlace { step: 1, call: 0 }).await.unwrap();
    if ended {
        f.store.end_call(&turn.lease, CallPlace { step: 1, call: 0 }, CallResult { text: UNICODE.to_owned(), failed: true }).await.unwrap();
    }
}

fn token(f: &Fixture, user_id: Option<UserId>) -> Token {
    let mut hash = [7; 32];
    hash[..16].copy_from_slice(f.clock.uuid().as_bytes());
    let kind = if user_id.is_some() { TokenKind::User } else { TokenKind::Admin };
    let scopes = vec![Scope::Read.as_str().to_owned()];
    Token { id: f.clock.uuid(), hash, kind, user_id, scopes, expires_at: user_id.map(|_user| f.clock.now()), created_at: f.clock.now() }
}

/// What is nobody's, and what is left of somebody who was erased.
async fn of_nobody(f: &Fixture) {
    let eve = f.stored(f.call("+15550005555", "forget me", Some("eve"))).await.user_id;
    f.store.record_consent(&phone("+15550005555"), Consent::OptOut, f.clock.now()).await.unwrap();
    f.store.erase_person(eve).await.unwrap();
    while f.store.erase_left_over(100).await.unwrap() {}
    f.store.record_consent(&phone("+15559990001"), Consent::OptOut, f.clock.now()).await.unwrap();
    f.store.set_mark(UNICODE, f.clock.now()).await.unwrap();
    f.store.add_token(token(f, None)).await.unwrap();
    let report = StatusReport {
        gateway: "twilio".to_owned(),
        gateway_message_id: "SM-early".to_owned(),
        status: DeliveryStatus::Sent,
        error_code: Some("30003".to_owned()),
    };
    f.store.record_status(&report).await.unwrap();
    let person = NewPerson { id: SHARED_ACCOUNT, email_domain: "sms.librechat.ai".to_owned(), start_credits: None };
    f.store.open_account(NewAccount { phone: None, person }).await.unwrap();
}

/// Turns in every state, and what was said in them.
async fn talk(f: &Fixture) -> UserId {
    let mut first = f.call(ANN, UNICODE, Some("key-1"));
    first.person = NewPerson { start_credits: Some(Credits(10_000)), ..first.person };
    first.caller_metadata =
        serde_json::from_value(json!({ "float": 1.0 / 7.0, "tiny": 5e-324, "big": u64::MAX, "a.$b": UNICODE })).unwrap();
    first.attachments = vec![serde_json::from_value::<Attachment>(json!({ "name": "1.png", "url": "https://media.example/1" })).unwrap()];
    first.request.additional_instructions = Some(UNICODE.to_owned());
    first.request.choice.model = Some("large".to_owned());
    let ann = f.stored(first).await;
    let turn = lease(f).await;
    step(f, &turn, true).await;
    f.advance(7);
    f.store.complete_turn(&turn.lease, f.answered(UNICODE, &[])).await.unwrap();

    f.texted(ANN, "and in parts?").await;
    let turn = lease(f).await;
    let mut outgoing = f.outgoing(&["one", UNICODE, "three"]);
    outgoing[2].held = true;
    let outcome = TurnOutcome::Answered { reply: f.reply(&long()), outgoing, charge: Credits(12) };
    f.store.complete_turn(&turn.lease, outcome).await.unwrap();
    let accepted = |id: &str| DeliveryOutcome::Accepted { gateway_message_id: id.to_owned(), status: DeliveryStatus::Queued };
    let sent = f.delivery().await;
    f.store.record_delivery(&sent.lease, accepted("SM-1")).await.unwrap();
    let refused = f.delivery().await;
    f.store.record_delivery(&refused.lease, DeliveryOutcome::Dead { error: UNICODE.to_owned() }).await.unwrap();

    f.texted(ANN, "am I told?").await;
    let notice =
        Notice { key: "out-of-credit:2026-11-22".to_owned(), message_id: f.clock.message_id(), text: "no".to_owned(), outgoing: vec![] };
    let outcome = TurnOutcome::Refused { reason: Refusal::OutOfCredit, notice: Some(notice) };
    f.store.complete_turn(&lease(f).await.lease, outcome).await.unwrap();

    f.texted(ANN, "this one dies").await;
    let turn = lease(f).await;
    step(f, &turn, true).await;
    f.store.release_turn(&turn.lease, TurnRelease::Dead { error: UNICODE.to_owned() }).await.unwrap();

    // Left as they are: one that is tried again, one that gathers, one that is long.
    f.texted(ANN, "this one waits").await;
    let turn = lease(f).await;
    step(f, &turn, false).await;
    let due = f.clock.now().after(Duration::from_secs(30));
    f.store.release_turn(&turn.lease, TurnRelease::Retry { due, error: UNICODE.to_owned() }).await.unwrap();
    f.texted(ANN, &long()).await;
    f.stored(f.gathered(ANN, "this one gathers")).await;
    f.advance(100);
    f.stored(f.gathered(ANN, UNICODE)).await;
    ann.user_id
}

/// Somebody whose message is with the carrier, and who begins anew.
async fn of_bob(f: &Fixture) {
    let receipt = f.texted(BOB, "hello").await;
    let turn = f.store.lease_turns(&owner(), 100, &limits(99, 999)).await.unwrap().work.remove(0);
    f.store.complete_turn(&turn.lease, f.answered("hi", &["hi", "there"])).await.unwrap();
    assert_eq!(f.deliveries().await.len(), 2, "one of each is with the carrier");
    f.store.claim_summary(receipt.user_id, receipt.conversation_id, 0, f.clock.now().after(Duration::from_secs(9))).await.unwrap();
    f.store.close_conversation(receipt.user_id, receipt.conversation_id).await.unwrap();
    f.stored(NewInbound { source: "kiosk".to_owned(), ..f.call(BOB, "again", None) }).await;
    f.store.set_blocked(receipt.user_id, true).await.unwrap();
}

/// Memory, list, schedules, summary, preferences, token.
async fn lists(f: &Fixture, user: UserId, conversation: scrubjay::domain::ids::ConversationId) {
    let entity = |name: &str, observations: &[&str]| NewEntity {
        name: name.to_owned(),
        entity_type: "thing".to_owned(),
        observations: observations.iter().map(|&text| text.to_owned()).collect(),
    };
    let new = vec![entity(UNICODE, &["is green", UNICODE]), entity("Tea", &["is hot"]), entity("gone", &["soon"])];
    f.store.create_entities(user, new, Some(conversation), LIMITS).await.unwrap();
    f.store.create_relations(user, vec![relation(UNICODE, "likes", "Tea")], LIMITS).await.unwrap();
    f.store.delete_entities(user, vec!["gone".to_owned()]).await.unwrap();

    let due = Some("2026-12-24".parse().unwrap());
    let new = NewTodo { text: UNICODE.to_owned(), category: Some("über".to_owned()), priority: Some(Priority::High), due, parent: None };
    let whole = f.store.add_todo(user, new, 99).await.unwrap().todo.id;
    let due = Some("2026-12-24T18:00:00+01:00".parse().unwrap());
    let part = NewTodo { text: "part".to_owned(), category: None, priority: None, due, parent: Some(whole) };
    let part = f.store.add_todo(user, part, 99).await.unwrap().todo.id;
    f.store.change_todo(user, part, vec![TodoChange::State(TodoState::Completed)]).await.unwrap();

    for mode in [Mode::Remind, Mode::Ask] {
        let at = f.clock.now().after(Duration::from_millis(5));
        let new = NewSchedule {
            name: UNICODE.to_owned(),
            message: "water the plants".to_owned(),
            mode,
            when: When::Once(at),
            zone: Zone::parse("Europe/Berlin").unwrap(),
            anchor: f.clock.now(),
            next_run: at,
            conversation_id: Some(conversation),
            same_within: Duration::ZERO,
        };
        f.store.add_schedule(user, new, 50).await.unwrap();
    }
    f.advance(10);
    let due = f.store.list_due_schedules(1).await.unwrap().due.remove(0).schedule;
    let kind = RunKind::Remind { outgoing: f.outgoing(&["water"]), segment_price: Credits(1), balance: None, limits: limits(99, 999) };
    let run = Run {
        turn_id: f.clock.turn_id(),
        message_id: f.clock.message_id(),
        text: due.message.clone(),
        kind,
        new_conversation_id: f.clock.conversation_id(),
        not_before: None,
        default_route: None,
    };
    let plan = Plan::Due { due: due.next_run.unwrap(), revision: due.revision, then: None };
    f.store.fire_schedule(Firing { user_id: user, schedule_id: due.id, plan, act: Act::Run(run) }).await.unwrap();

    let summary = NewSummary { up_to_sequence: 2, text: UNICODE.to_owned(), charge: Credits(1) };
    f.store.set_summary(user, conversation, &summary).await.unwrap();
    let changes = vec![
        PreferenceChange::DefaultModel(Some("large".to_owned())),
        PreferenceChange::AgentId(Some("agent_birds".parse().unwrap())),
        PreferenceChange::TimeZone(Some("Europe/Berlin".to_owned())),
        PreferenceChange::QuietHours(Some("22:00-07:00".parse().unwrap())),
    ];
    f.store.change_preferences(user, changes).await.unwrap();
    f.store.add_token(token(f, Some(user))).await.unwrap();
}

/// A store in which something of every kind is.
async fn everything(backend: &str) -> Fixture {
    let f = Fixture::open(backend);
    of_nobody(&f).await;
    let ann = talk(&f).await;
    let conversation = f.store.list_conversations(ann, scrubjay::store::PageRequest::first(1)).await.unwrap().items.remove(0).id;
    lists(&f, ann, conversation).await;
    of_bob(&f).await;
    let kinds: BTreeSet<Kind> = records(&f.store, Whose::Everybodys).await.iter().map(scrubjay::store::record::Record::kind).collect();
    let missing: Vec<&Kind> = Kind::ALL.iter().filter(|kind| !kinds.contains(kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    f
}

/// What was open is worked on where it stands now, with everything that it had.
async fn goes_on(f: &Fixture, restored: &Fixture) {
    let ahead = f.clock.now().since(restored.clock.now()) + Duration::from_mins(2);
    restored.clock.advance(ahead);
    let waits = restored.lease_one().await;
    assert_eq!((waits.texts[0].text.as_str(), waits.attempts, waits.steps.len()), ("this one waits", 1, 1));
    let [ended, begun] = waits.steps[0].calls.as_slice() else { panic!("two calls were recorded") };
    assert!(ended.begun_at.is_some() && ended.ended_at.is_none() && begun.begun_at.is_none());
    assert_eq!(ended.call.arguments, UNICODE);
    restored.answer(&waits, "at last").await;
    let turn = restored.lease_one().await;
    assert!(turn.texts[0].text == long(), "the long text is whole");
    restored.answer(&turn, "long").await;
    let turn = restored.lease_one().await;
    assert_eq!(turn.texts.iter().map(|text| text.text.as_str()).collect::<Vec<_>>(), ["this one gathers", UNICODE]);
    assert_eq!(turn.user.preferences.quiet_hours.map(|hours| hours.to_string()), Some("22:00-07:00".to_owned()));
    restored.answer(&turn, "gathered").await;
    restored.assert_chain(turn.user.id, turn.conversation.id).await;
}

async fn into_each(from: &str) {
    let f = everything(from).await;
    let (folder, bytes, summary) = written(&f.store).await;
    let path = folder.path().join("archive.jsonl");
    flipped_bits_are_found(&bytes).await;
    for into in BACKENDS {
        let archive = std::fs::File::open(&path).unwrap();
        let verified = archives::verify(archive.try_clone().unwrap(), |_at| {}).await.unwrap();
        assert_eq!(verified.faults.count, 0, "{from}: {:?}", verified.faults);
        let restored = tokio::task::block_in_place(|| Fixture::open(into));
        archives::restore(Arc::clone(&restored.store), archive, summary.clone(), |_at| {}).await.unwrap();
        let (_folder, again, _summary) = written(&restored.store).await;
        if bytes != again {
            let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
            let differing = lines(&bytes).into_iter().zip(lines(&again)).find(|(before, after)| before != after);
            panic!("from {from} into {into}: {differing:#?}");
        }
        assert_eq!(restored.store.find_damage().await.unwrap(), [], "{from} into {into}");
        goes_on(&f, &restored).await;
    }
}

async fn flipped_bits_are_found(bytes: &[u8]) {
    let chance = Chance::new();
    for _ in 0..40 {
        let mut damaged = bytes.to_vec();
        let position = usize::try_from(chance.between(0, bytes.len() as u64)).unwrap();
        damaged[position] ^= 1 << chance.between(0, 8);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&damaged).unwrap();
        archives::verify(file, |_at| {}).await.unwrap_err();
    }
}

fn run(from: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(into_each(from));
}

#[test]
fn what_was_kept_in_sqlite_goes_into_every_backend() {
    run("sqlite");
}

#[test]
fn what_was_kept_in_json_goes_into_every_backend() {
    run("json");
}

#[cfg(feature = "mongodb")]
#[test]
fn what_was_kept_in_mongodb_goes_into_every_backend() {
    run("mongodb");
}
