//! Random contents of every kind: what the cases on keeping and restoring fill a store with.

use std::time::Duration;

use scrubjay::domain::delivery::{DeliveryStatus, StatusReport};
use scrubjay::domain::endpoint::Endpoint;
use scrubjay::domain::graph::{NewEntity, NewObservations};
use scrubjay::domain::ids::UserId;
use scrubjay::domain::ledger::{Credits, Usage};
use scrubjay::domain::message::Attachment;
use scrubjay::domain::schedule::{Mode, When, Zone};
use scrubjay::domain::step::{CallPlace, CallResult, NewStep, ToolCall};
use scrubjay::domain::todo::{Priority, TodoChange, TodoState};
use scrubjay::domain::token::{Token, TokenKind};
use scrubjay::domain::user::PreferenceChange;
use scrubjay::store::{
    Act, Action, Consent, DeliveryOutcome, Firing, NewInbound, NewPerson, NewSchedule, NewSummary, NewTodo, PageRequest, Plan, Run,
    RunKind, ScheduleFilter, StoreError, TodoFilter, TurnOutcome, TurnRelease,
};
use serde_json::json;

use super::fixture::{Fixture, limits, owner, phone};
use super::graph::{LIMITS, new as entity, relation};
use crate::support::chance::Chance;

/// Texts that are easily broken on the way.
const TEXTS: &[&str] =
    &["hello", "", "été \" \\ 🙂", "Zoe\u{308}", "a\nb\tc\u{0}d\u{2028}e\u{7f}", "日本語", "{\"kind\":\"turn\"}", "re: +15550000001"];

fn text(chance: &Chance) -> String {
    format!("{} {}", TEXTS[usize::try_from(chance.between(0, TEXTS.len() as u64)).unwrap()], chance.between(0, 1_000))
}

fn number(chance: &Chance) -> String {
    format!("+1555000{:04}", chance.between(1, 6))
}

/// Does `steps` random things to a store.
pub(super) async fn fill(f: &Fixture, chance: &Chance, steps: u32) {
    for _ in 0..steps {
        step(f, chance).await;
        f.advance(chance.between(0, 3_000));
    }
}

/// One random thing.
pub(super) async fn step(f: &Fixture, chance: &Chance) {
    let people = f.store.list_users(PageRequest::first(100)).await.unwrap().items;
    if people.is_empty() || chance.percent(25) {
        return receive(f, chance).await;
    }
    let person = people[usize::try_from(chance.between(0, people.len() as u64)).unwrap()].id;
    match chance.between(0, 10) {
        0 => some_turns(f, chance).await,
        1 | 2 => answer(f, chance).await,
        3 => deliver(f, chance).await,
        4 => graph(f, chance, person).await,
        5 => todos(f, chance, person).await,
        6 => schedules(f, chance, person).await,
        7 => conversations(f, chance, person).await,
        8 => account(f, chance, person).await,
        _ => shared(f, chance).await,
    }
}

async fn receive(f: &Fixture, chance: &Chance) {
    let from = number(chance);
    let mut new = if chance.percent(30) { f.gathered(&from, &text(chance)) } else { f.text(&from, &text(chance)) };
    new.person = NewPerson { start_credits: chance.percent(50).then_some(Credits(10_000)), ..new.person };
    if chance.percent(30) {
        let key = chance.between(0, 1_000_000).to_string();
        new = NewInbound { person: new.person, ..f.call(&from, &text(chance), Some(&key)) };
        new.request.choice.endpoint = chance.percent(50).then(Endpoint::agents);
        let metadata = json!({ "float": 0.1 + f64::from(u32::try_from(chance.between(0, 1_000_000)).unwrap()) / 7.0, "tiny": 5e-324, "big": u64::MAX, "text": text(chance) });
        new.caller_metadata = serde_json::from_value(metadata).unwrap();
        new.attachments = vec![serde_json::from_value::<Attachment>(json!({ "name": "1.png", "url": "https://media.example/1" })).unwrap()];
    }
    if chance.percent(20) {
        "kiosk".clone_into(&mut new.source);
    }
    new.action = match chance.between(0, 12) {
        0 => Action::Consent { consent: Consent::OptOut, said_at: f.clock.now(), confirmation: f.outgoing(&["bye"]).pop() },
        1 | 2 => Action::Consent { consent: Consent::OptIn, said_at: f.clock.now(), confirmation: None },
        _ => new.action,
    };
    // A blocked person's is refused.
    f.store.accept(new).await.unwrap();
}

/// Begins turns and leaves them, or gives them back in every way.
async fn some_turns(f: &Fixture, chance: &Chance) {
    let work = f.store.lease_turns(&owner(), 3, &limits(9, 99)).await.unwrap().work;
    for turn in work {
        let due = f.clock.now().after(Duration::from_millis(chance.between(0, 5_000)));
        let release = match chance.between(0, 4) {
            0 => TurnRelease::Retry { due, error: text(chance) },
            1 => TurnRelease::Dead { error: text(chance) },
            2 => TurnRelease::Unchanged,
            _ => continue,
        };
        f.store.release_turn(&turn.lease, release).await.unwrap();
    }
    for job in f.store.list_jobs(scrubjay::store::JobFilter::Unfinished, PageRequest::first(50)).await.unwrap().items {
        if job.state == scrubjay::domain::job::JobState::Dead && chance.percent(50) {
            f.store.replay_job(job.user, job.id, f.clock.now().after(Duration::from_hours(1))).await.unwrap();
        }
    }
}

async fn answer(f: &Fixture, chance: &Chance) {
    for turn in f.store.lease_turns(&owner(), 4, &limits(9, 99)).await.unwrap().work {
        if chance.percent(40) {
            let call = ToolCall {
                id: "a".to_owned(),
                name: "add".to_owned(),
                arguments: text(chance),
                extra: Some(json!({ "signature": [1.5, null] })),
            };
            let usage = Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };
            let step = NewStep {
                number: 1,
                text: text(chance),
                shown: chance.percent(50),
                model: "small".to_owned(),
                usage,
                charge: Credits(1),
                calls: vec![call],
            };
            f.store.record_step(&turn.lease, step).await.unwrap();
            let place = CallPlace { step: 1, call: 0 };
            f.store.begin_call(&turn.lease, place).await.unwrap();
            if chance.percent(70) {
                f.store.end_call(&turn.lease, place, CallResult { text: text(chance), failed: chance.percent(20) }).await.unwrap();
            }
        }
        if chance.percent(15) {
            continue;
        }
        let (first, second) = (text(chance), text(chance));
        let mut outgoing = f.outgoing(&[&first, &second]);
        outgoing[1].held = chance.percent(30);
        let outcome =
            TurnOutcome::Answered { reply: f.reply(&text(chance)), outgoing, charge: Credits(chance.between(0, 50).cast_signed()) };
        f.store.complete_turn(&turn.lease, outcome).await.unwrap();
    }
}

async fn deliver(f: &Fixture, chance: &Chance) {
    for delivery in f.deliveries().await {
        let due = f.clock.now().after(Duration::from_millis(chance.between(0, 5_000)));
        let outcome = match chance.between(0, 6) {
            0 => DeliveryOutcome::Retry { due, error: text(chance) },
            1 => DeliveryOutcome::Dead { error: text(chance) },
            2 => continue,
            _ => DeliveryOutcome::Accepted {
                gateway_message_id: format!("OUT{}", chance.between(0, 1_000_000)),
                status: DeliveryStatus::Queued,
            },
        };
        f.store.record_delivery(&delivery.lease, outcome).await.unwrap();
    }
}

async fn graph(f: &Fixture, chance: &Chance, user: UserId) {
    let (one, other, observed) = (text(chance), text(chance), text(chance));
    let entities: Vec<NewEntity> = vec![entity(&one, "person", &[&observed, &other]), entity(&other, &observed, &[])];
    let source = f.store.list_conversations(user, PageRequest::first(1)).await.unwrap().items.first().map(|conversation| conversation.id);
    f.store.create_entities(user, entities, source, LIMITS).await.unwrap();
    f.store.create_relations(user, vec![relation(&one, &text(chance), &other)], LIMITS).await.unwrap();
    let more = NewObservations { entity: one.clone(), entity_type: None, contents: vec![text(chance)] };
    f.store.add_observations(user, vec![more], None, LIMITS).await.unwrap();
    match chance.between(0, 8) {
        0 => drop(f.store.delete_entities(user, vec![one]).await.unwrap()),
        1 => drop(f.store.delete_relations(user, vec![relation(&one, "x", &other)]).await.unwrap()),
        2 => {
            let facts = f.store.list_facts(user, PageRequest::first(1)).await.unwrap().items;
            f.store.delete_observation(user, facts[0].observation.id).await.unwrap();
        }
        3 if chance.percent(30) => drop(f.store.delete_graph(user).await.unwrap()),
        _ => {}
    }
}

async fn todos(f: &Fixture, chance: &Chance, user: UserId) {
    let category = chance.percent(50).then(|| text(chance));
    let due = chance.percent(50).then(|| if chance.percent(50) { "2026-12-24" } else { "2026-12-24T18:00:00+01:00" }.parse().unwrap());
    let list = f.store.list_todos(user, TodoFilter::default(), PageRequest::first(50)).await.unwrap().items;
    let parent = list.first().filter(|todo| todo.parent.is_none() && chance.percent(30)).map(|todo| todo.id);
    let new = NewTodo { text: text(chance), category, priority: chance.percent(50).then_some(Priority::High), due, parent };
    f.store.add_todo(user, new, 500).await.unwrap();
    if let Some(todo) = list.last() {
        if chance.percent(30) {
            f.store.delete_todo(user, todo.id).await.unwrap();
        } else {
            f.store.change_todo(user, todo.id, vec![TodoChange::State(TodoState::Completed)]).await.unwrap();
        }
    }
}

async fn schedules(f: &Fixture, chance: &Chance, user: UserId) {
    let at = f.clock.now().after(Duration::from_millis(chance.between(1, 10_000)));
    let mode = if chance.percent(50) { Mode::Remind } else { Mode::Ask };
    let new = NewSchedule {
        name: text(chance),
        message: text(chance),
        mode,
        when: When::Once(at),
        zone: Zone::parse("Europe/Berlin").unwrap(),
        anchor: f.clock.now(),
        next_run: at,
        conversation_id: None,
        same_within: Duration::ZERO,
    };
    match f.store.add_schedule(user, new, 50).await {
        Ok(_added) => {}
        Err(StoreError::Conflict { .. }) => return,
        Err(error) => panic!("{error}"),
    }
    for due in f.store.list_due_schedules(2).await.unwrap().due {
        let schedule = due.schedule;
        let kind = match schedule.mode {
            Mode::Remind => RunKind::Remind {
                outgoing: f.outgoing(&[&schedule.message]),
                segment_price: Credits(1),
                balance: None,
                limits: limits(9, 99),
            },
            Mode::Ask => RunKind::Ask { token_count: 3, instructions: "planned".to_owned() },
        };
        let run = Run {
            turn_id: f.clock.turn_id(),
            message_id: f.clock.message_id(),
            text: schedule.message.clone(),
            kind,
            new_conversation_id: f.clock.conversation_id(),
            not_before: None,
            default_route: None,
        };
        let plan = Plan::Due { due: schedule.next_run.unwrap(), revision: schedule.revision, then: None };
        let act = if chance.percent(80) { Act::Run(run) } else { Act::Miss };
        f.store.fire_schedule(Firing { user_id: schedule.user_id, schedule_id: schedule.id, plan, act }).await.unwrap();
    }
    let mine = f.store.list_schedules(user, ScheduleFilter::All).await.unwrap();
    if let Some(schedule) = mine.first().filter(|_schedule| chance.percent(20)) {
        f.store.delete_schedule(user, schedule.id).await.unwrap();
    }
}

async fn conversations(f: &Fixture, chance: &Chance, user: UserId) {
    let Some(conversation) = f.store.list_conversations(user, PageRequest::first(1)).await.unwrap().items.into_iter().next() else {
        return;
    };
    match chance.between(0, 5) {
        0 => f.store.delete_conversation(user, conversation.id).await.unwrap(),
        1 => drop(f.store.close_conversation(user, conversation.id).await.unwrap()),
        2 => drop(f.store.claim_summary(user, conversation.id, 0, f.clock.now().after(Duration::from_secs(9))).await.unwrap()),
        _ => {
            let new = NewSummary { up_to_sequence: chance.between(1, 9).cast_signed(), text: text(chance), charge: Credits(1) };
            f.store.set_summary(user, conversation.id, &new).await.unwrap();
        }
    }
}

async fn account(f: &Fixture, chance: &Chance, user: UserId) {
    match chance.between(0, 4) {
        0 => drop(f.store.set_blocked(user, chance.percent(30)).await.unwrap()),
        1 => {
            let changes = vec![
                PreferenceChange::Endpoint(Some(Endpoint::parse("openAI").unwrap())),
                PreferenceChange::DefaultModel(chance.percent(50).then(|| text(chance))),
            ];
            f.store.change_preferences(user, changes).await.unwrap();
        }
        _ => token(f, chance, Some(user)).await,
    }
}

async fn token(f: &Fixture, chance: &Chance, user_id: Option<UserId>) {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&chance.next().to_le_bytes());
    let kind = if user_id.is_some() { TokenKind::User } else { TokenKind::Admin };
    let expires_at = chance.percent(50).then(|| f.clock.now());
    let scopes = scrubjay::domain::token::Scope::ALL.map(|scope| scope.as_str().to_owned()).to_vec();
    let token = Token { id: f.clock.uuid(), hash, kind, user_id, scopes, expires_at, created_at: f.clock.now() };
    f.store.add_token(token).await.unwrap();
}

async fn shared(f: &Fixture, chance: &Chance) {
    match chance.between(0, 4) {
        0 => f.store.set_mark(&text(chance), f.clock.now()).await.unwrap(),
        1 => f.store.record_consent(&phone("+15559990001"), Consent::OptOut, f.clock.now()).await.unwrap(),
        2 => token(f, chance, None).await,
        _ => {
            let report = StatusReport {
                gateway: "twilio".to_owned(),
                gateway_message_id: format!("OUT{}", chance.between(0, 1_000_000)),
                status: DeliveryStatus::Sent,
                error_code: chance.percent(50).then(|| "30003".to_owned()),
            };
            f.store.record_status(&report).await.unwrap();
        }
    }
}
