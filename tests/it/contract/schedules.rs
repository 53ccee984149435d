//! Schedules: kept as they were made, fired once by whoever is first, and what a run leaves behind.

use std::time::Duration;

use scrubjay::domain::delivery::ReplyRoute;
use scrubjay::domain::ids::{ConversationId, UserId};
use scrubjay::domain::ledger::{Credits, Refill};
use scrubjay::domain::message::Role;
use scrubjay::domain::schedule::{Days, Interval, Mode, RunResult, Schedule, ScheduleId, Unit, Weekday, When, Zone};
use scrubjay::domain::time::Timestamp;
use scrubjay::domain::turn::Refusal;
use scrubjay::domain::user::PreferenceChange;
use scrubjay::store::{
    Act, Action, BalanceRules, Consent, DailyLimits, DeliveryOutcome, Fired, Firing, NewSchedule, Plan, Run, RunKind, ScheduleChange,
    ScheduleFilter, StoreError, TurnOutcome, TurnRelease,
};

use super::fixture::{ANN, BOB, Fixture, NOON, limits, no_limits, other_owner};

const MINUTE: Duration = Duration::from_mins(1);

fn zone(name: &str) -> Zone {
    Zone::parse(name).unwrap()
}

/// A reminder at noon and so many minutes.
pub(crate) fn new(message: &str, minutes: u32) -> NewSchedule {
    let at = NOON.after(MINUTE * minutes);
    NewSchedule {
        name: message.to_owned(),
        message: message.to_owned(),
        mode: Mode::Remind,
        when: When::Once(at),
        zone: zone("Europe/Berlin"),
        anchor: NOON,
        next_run: at,
        conversation_id: None,
        same_within: Duration::ZERO,
    }
}

async fn added(f: &Fixture, user: UserId, new: NewSchedule) -> Schedule {
    let added = f.store.add_schedule(user, new, 50).await.unwrap();
    assert!(added.is_new);
    added.schedule
}

/// What a run of a schedule makes.
fn run(f: &Fixture, schedule: &Schedule) -> Run {
    let kind = match schedule.mode {
        Mode::Remind => {
            RunKind::Remind { outgoing: f.outgoing(&[&schedule.message]), segment_price: Credits(5), balance: None, limits: no_limits() }
        }
        Mode::Ask => RunKind::Ask { token_count: 3, instructions: "planned".to_owned() },
    };
    Run {
        turn_id: f.clock.turn_id(),
        message_id: f.clock.message_id(),
        text: schedule.message.clone(),
        kind,
        new_conversation_id: f.clock.conversation_id(),
        not_before: None,
        default_route: None,
    }
}

/// The planned firing of a schedule as it was read.
fn planned(f: &Fixture, schedule: &Schedule, then: Option<Timestamp>) -> Firing {
    let plan = Plan::Due { due: schedule.next_run.unwrap(), revision: schedule.revision, then };
    Firing { user_id: schedule.user_id, schedule_id: schedule.id, plan, act: Act::Run(run(f, schedule)) }
}

/// Fires it, which must succeed.
async fn fired(f: &Fixture, firing: Firing) -> Schedule {
    match f.store.fire_schedule(firing).await.unwrap() {
        Fired::Done { schedule, .. } => *schedule,
        Fired::Lost => panic!("nobody else fired it"),
    }
}

async fn find(f: &Fixture, schedule: &Schedule) -> Schedule {
    f.store.find_schedule(schedule.user_id, schedule.id).await.unwrap().unwrap()
}

/// Somebody whose first text was answered and who has nothing waiting.
async fn somebody(f: &Fixture, number: &str) -> (UserId, ConversationId) {
    let receipt = f.texted(number, "hello").await;
    f.drain().await;
    (receipt.user_id, receipt.conversation_id)
}

pub(super) async fn a_schedule_comes_back_as_it_was_made(f: Fixture) {
    let (ann, conversation) = somebody(&f, ANN).await;
    let nine = "09:00".parse().unwrap();
    let rules = [
        When::Once(NOON.after(MINUTE)),
        When::Daily { time: nine, days: Days::All },
        When::Daily { time: nine, days: Days::Weekdays },
        When::Weekly { day: Weekday::Thursday, time: nine },
        When::monthly(31, nine).unwrap(),
        When::Every(Interval::new(90, Unit::Minutes).unwrap()),
        When::Cron("30 9 * * MON-FRI".parse().unwrap()),
    ];
    for (place, when) in (1..).zip(rules) {
        let wanted =
            NewSchedule { when: when.clone(), mode: Mode::Ask, conversation_id: Some(conversation), ..new("péché \u{1F980}\n'x'", 1) };
        let made = added(&f, ann, wanted).await;
        assert_eq!(made, find(&f, &made).await);
        assert_eq!((made.id, &made.when, made.zone.name(), made.mode), (ScheduleId(place), &when, "Europe/Berlin", Mode::Ask));
        assert_eq!((made.message.as_str(), made.anchor, made.next_run), ("péché \u{1F980}\n'x'", NOON, Some(NOON.after(MINUTE))));
        assert_eq!((made.enabled, made.finished, made.runs, made.failures, made.last_result.as_ref()), (true, false, 0, 0, None));
        assert_eq!((made.conversation_id, made.created_at), (Some(conversation), NOON));
    }
    assert_eq!(f.store.list_schedules(ann, ScheduleFilter::All).await.unwrap().len(), 7);
    let nobody = f.store.add_schedule(UserId::from_bytes([9; 12]), new("x", 1), 50).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })), "{nobody:?}");
}

pub(super) async fn an_equal_schedule_is_not_doubled(f: Fixture) {
    let (ann, _) = somebody(&f, ANN).await;
    let first = added(&f, ann, NewSchedule { same_within: MINUTE * 2, ..new("stretch", 20) }).await;
    // Said again a minute later, "in 20 minutes" is another moment.
    let again = f.store.add_schedule(ann, NewSchedule { same_within: MINUTE * 2, ..new("stretch", 21) }, 50).await.unwrap();
    assert_eq!((again.is_new, again.schedule), (false, first.clone()));
    let daily = |message: &str| NewSchedule { when: When::Daily { time: "09:00".parse().unwrap(), days: Days::All }, ..new(message, 9) };
    let pills = added(&f, ann, daily("pills")).await;
    assert_eq!(f.store.add_schedule(ann, NewSchedule { anchor: NOON.after(MINUTE), ..daily("pills") }, 50).await.unwrap().schedule, pills);
    // What differs in anything that matters is another one, and so is one whose like is off.
    added(&f, ann, new("stretch", 21)).await;
    added(&f, ann, NewSchedule { same_within: MINUTE, ..new("stretch", 25) }).await;
    added(&f, ann, daily("Pills")).await;
    added(&f, ann, NewSchedule { zone: zone("UTC"), ..daily("pills") }).await;
    added(&f, ann, NewSchedule { mode: Mode::Ask, ..daily("pills") }).await;
    f.store.change_schedule(ann, pills.id, pills.revision, vec![ScheduleChange::Disable], 50).await.unwrap();
    added(&f, ann, daily("pills")).await;
    // Another person's is their own.
    let (bob, _) = somebody(&f, BOB).await;
    assert_eq!(added(&f, bob, daily("pills")).await.id, ScheduleId(1));
}

pub(super) async fn a_person_has_so_many_at_most_and_numbers_are_never_used_again(f: Fixture) {
    let (ann, _) = somebody(&f, ANN).await;
    for minutes in 1..=3 {
        f.store.add_schedule(ann, new("x", minutes), 3).await.unwrap();
    }
    let full = f.store.add_schedule(ann, new("x", 4), 3).await;
    assert!(matches!(&full, Err(StoreError::Conflict { reason }) if reason.contains("3 schedules")), "{full:?}");
    assert!(!f.store.add_schedule(ann, new("x", 3), 3).await.unwrap().is_new, "an equal one is found all the same");
    // One that has run for the last time makes room; one that is deleted does not give its number away.
    let first = f.store.find_schedule(ann, ScheduleId(1)).await.unwrap().unwrap();
    assert!(fired(&f, planned(&f, &first, None)).await.finished);
    assert_eq!(f.store.add_schedule(ann, new("x", 4), 3).await.unwrap().schedule.id, ScheduleId(4));
    f.store.delete_schedule(ann, ScheduleId(4)).await.unwrap();
    assert!(matches!(f.store.delete_schedule(ann, ScheduleId(4)).await, Err(StoreError::NotFound { .. })));
    assert_eq!(f.store.add_schedule(ann, new("x", 5), 3).await.unwrap().schedule.id, ScheduleId(5));
    // Of those that have finished the newest are kept.
    for minutes in 10..70 {
        let schedule = f.store.add_schedule(ann, new("short", minutes), 5).await.unwrap().schedule;
        fired(&f, planned(&f, &schedule, None)).await;
        f.advance(1);
    }
    let all = f.store.list_schedules(ann, ScheduleFilter::All).await.unwrap();
    assert_eq!(all.iter().filter(|schedule| schedule.finished).count(), 51, "the last one was not yet there when room was made");
    assert_eq!(f.store.list_schedules(ann, ScheduleFilter::Upcoming).await.unwrap().len(), 3);
}

pub(super) async fn changes_are_partial_and_made_to_what_was_read(f: Fixture) {
    let (ann, _) = somebody(&f, ANN).await;
    let made = added(&f, ann, new("stretch", 20)).await;
    let wanted = vec![ScheduleChange::Name("legs".to_owned()), ScheduleChange::Mode(Mode::Ask)];
    let changed = f.store.change_schedule(ann, made.id, made.revision, wanted, 50).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.mode, changed.message.as_str()), ("legs", Mode::Ask, "stretch"));
    assert_eq!((changed.next_run, &changed.when), (made.next_run, &made.when));
    let stale = f.store.change_schedule(ann, made.id, made.revision, vec![ScheduleChange::Disable], 50).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");
    // A firing of what was read before the change does not happen.
    assert_eq!(f.store.fire_schedule(planned(&f, &made, None)).await.unwrap(), Fired::Lost);

    let off = f.store.change_schedule(ann, made.id, changed.revision, vec![ScheduleChange::Disable], 50).await.unwrap();
    assert_eq!((off.enabled, off.next_run, off.finished), (false, None, false));
    let rule = |minutes| ScheduleChange::Rule {
        when: When::Every(Interval::new(5, Unit::Minutes).unwrap()),
        zone: zone("UTC"),
        anchor: NOON,
        next_run: NOON.after(MINUTE * minutes),
    };
    let off = f.store.change_schedule(ann, made.id, off.revision, vec![rule(5)], 50).await.unwrap();
    assert_eq!((off.enabled, off.next_run, off.zone.name()), (false, None, "UTC"), "what is off stays off");
    let on = f
        .store
        .change_schedule(ann, made.id, off.revision, vec![ScheduleChange::Enable { next_run: NOON.after(MINUTE) }], 50)
        .await
        .unwrap();
    assert_eq!((on.enabled, on.next_run), (true, Some(NOON.after(MINUTE))));
    let over = fired(&f, planned(&f, &on, None)).await;
    assert_eq!((over.enabled, over.finished, over.next_run), (false, true, None));
    let again = f.store.change_schedule(ann, made.id, over.revision, vec![rule(10)], 50).await.unwrap();
    assert_eq!((again.enabled, again.finished, again.next_run), (true, false, Some(NOON.after(MINUTE * 10))), "what was over begins again");
}

pub(super) async fn what_is_due_is_found_for_everybody_the_longest_due_first(f: Fixture) {
    let (ann, _) = somebody(&f, ANN).await;
    let (bob, _) = somebody(&f, BOB).await;
    let hours = "22:00-07:00".parse().unwrap();
    f.store.change_preferences(bob, vec![PreferenceChange::QuietHours(Some(hours))]).await.unwrap();
    added(&f, ann, new("second", 2)).await;
    added(&f, bob, new("first", 1)).await;
    let off = added(&f, bob, new("off", 1)).await;
    f.store.change_schedule(bob, off.id, off.revision, vec![ScheduleChange::Disable], 50).await.unwrap();
    added(&f, ann, new("third", 30)).await;
    let due = f.store.list_due_schedules(10).await.unwrap();
    assert_eq!((due.due.len(), due.next_due), (0, Some(NOON.after(MINUTE))));
    f.advance(120_000);
    let due = f.store.list_due_schedules(10).await.unwrap();
    let messages: Vec<_> = due.due.iter().map(|due| (due.schedule.message.as_str(), due.user.id)).collect();
    assert_eq!(messages, [("first", bob), ("second", ann)]);
    assert_eq!(due.due[0].user.preferences.quiet_hours, Some(hours));
    assert_eq!(due.next_due, Some(NOON.after(MINUTE * 30)));
    assert_eq!(f.store.list_due_schedules(1).await.unwrap().due.len(), 1);
}

pub(super) async fn a_reminder_is_an_entry_and_a_text(f: Fixture) {
    let (ann, conversation) = somebody(&f, ANN).await;
    let before = f.store.find_user(ann).await.unwrap().unwrap();
    let made = added(&f, ann, NewSchedule { conversation_id: Some(conversation), ..new("stretch", 20) }).await;
    f.advance(1_200_000);
    let then = NOON.after(MINUTE * 1000);
    let ran = fired(&f, planned(&f, &made, Some(then))).await;
    assert_eq!((ran.next_run, ran.runs, ran.last_run, ran.enabled), (Some(then), 1, Some(f.clock.now()), true));
    assert_eq!((ran.last_result, ran.failures), (Some(RunResult::Sending), 0));
    assert!(f.lease().await.is_empty(), "no model is asked");
    assert_eq!(f.send_all().await, ["stretch"]);
    assert_eq!(find(&f, &made).await.last_result, Some(RunResult::Sent));
    let entries = f.messages(ann, conversation).await;
    assert_eq!(entries.iter().map(|entry| entry.text.as_str()).collect::<Vec<_>>(), ["hello", "re: hello", "stretch"]);
    assert_eq!(entries[2].role, Role::Assistant);
    f.assert_chain(ann, conversation).await;
    // What the person says next may be about it, so a prompt recalls it; it is no text of theirs, so it does not count.
    let recalled = f.store.recent_messages(ann, conversation, i64::MAX, 10).await.unwrap();
    assert_eq!(recalled.messages.last().map(|entry| entry.text.as_str()), Some("stretch"));
    let after = f.store.find_user(ann).await.unwrap().unwrap();
    assert_eq!((after.message_count, after.last_sms), (before.message_count, before.last_sms));
    // The live stream shows it.
    let finished = f.store.list_finished_turns(ann, 1, 10).await.unwrap();
    assert_eq!(finished.len(), 1);
    assert_eq!(finished[0].messages.iter().map(|entry| entry.text.as_str()).collect::<Vec<_>>(), ["stretch"]);
}

pub(super) async fn a_reminder_takes_its_place_behind_a_turn_that_runs_and_is_texted_at_once(f: Fixture) {
    let (ann, conversation) = somebody(&f, ANN).await;
    let made = added(&f, ann, new("stretch", 1)).await;
    f.texted(ANN, "a long question").await;
    let running = f.lease_one().await;
    fired(&f, planned(&f, &made, None)).await;
    assert_eq!(f.send_all().await, ["stretch"]);
    f.answer(&running, "a long answer").await;
    f.drain().await;
    let said: Vec<_> = f.messages(ann, conversation).await.into_iter().map(|entry| entry.text).collect();
    assert_eq!(said, ["hello", "re: hello", "a long question", "a long answer", "stretch"]);
    f.assert_chain(ann, conversation).await;
}

pub(super) async fn a_question_is_a_turn_like_any_other(f: Fixture) {
    let (ann, conversation) = somebody(&f, ANN).await;
    let before = f.store.find_user(ann).await.unwrap().unwrap();
    let wanted = NewSchedule { mode: Mode::Ask, conversation_id: Some(conversation), ..new("what is the weather?", 1) };
    let made = added(&f, ann, wanted).await;
    // A text that still gathers stands before it and is not joined to it.
    f.stored(f.gathered(ANN, "wait")).await;
    fired(&f, planned(&f, &made, None)).await;
    f.stored(f.gathered(ANN, "for me")).await;
    f.advance(20_000);
    let first = f.lease_one().await;
    assert_eq!(first.texts[0].text, "wait");
    f.answer(&first, "waiting").await;
    let turn = f.lease_one().await;
    assert_eq!(turn.texts.iter().map(|text| text.text.as_str()).collect::<Vec<_>>(), ["what is the weather?"]);
    assert_eq!(turn.texts[0].role, Role::External);
    assert_eq!(turn.request.additional_instructions.as_deref(), Some("planned"));
    assert_eq!(turn.route, Some(ReplyRoute { gateway: "twilio".to_owned(), from: "+15559990000".to_owned() }));
    assert_eq!(find(&f, &made).await.last_result, Some(RunResult::Answering));
    f.store.complete_turn(&turn.lease, f.answered("fine", &["fine"])).await.unwrap();
    let answered = find(&f, &made).await;
    assert_eq!((answered.last_result, answered.runs, answered.failures, answered.finished), (Some(RunResult::Answered), 1, 0, true));
    f.drain().await;
    assert_eq!(f.send_all().await, ["fine"]);
    f.assert_chain(ann, conversation).await;
    let after = f.store.find_user(ann).await.unwrap().unwrap();
    assert_eq!(after.message_count, before.message_count + 2, "only what the person sent counts");
}

pub(super) async fn of_many_processes_one_fires(f: Fixture) {
    let (ann, _) = somebody(&f, ANN).await;
    let other = f.open_again();
    for round in 0..20 {
        let made = added(&f, ann, new(&format!("round {round}"), round + 1)).await;
        let tries: Vec<_> = (0..8)
            .map(|place| {
                let (store, firing) = (if place % 2 == 0 { f.store.clone() } else { other.clone() }, planned(&f, &made, None));
                tokio::spawn(async move { store.fire_schedule(firing).await.unwrap() != Fired::Lost })
            })
            .collect();
        let mut won = 0;
        for one in tries {
            won += u32::from(one.await.unwrap());
        }
        assert_eq!(won, 1);
        assert_eq!(find(&f, &made).await.runs, 1);
    }
    f.drain().await;
    assert_eq!(f.send_all().await.len(), 20);
    other.close().await;
}

pub(super) async fn whoever_opted_out_or_is_blocked_gets_nothing(f: Fixture) {
    let (ann, conversation) = somebody(&f, ANN).await;
    let stop = Action::Consent { consent: Consent::OptOut, said_at: NOON, confirmation: None };
    let mut text = f.text(ANN, "STOP");
    text.action = stop;
    f.stored(text).await;
    f.drain().await;
    for (place, mode) in (1..).zip([Mode::Remind, Mode::Ask]) {
        let made = added(&f, ann, NewSchedule { mode, ..new("quiet please", place) }).await;
        let ran = fired(&f, planned(&f, &made, Some(NOON.after(MINUTE * 60)))).await;
        assert_eq!((ran.last_result, ran.runs, ran.failures), (Some(RunResult::OptedOut), 1, 1));
        assert_eq!(ran.next_run, Some(NOON.after(MINUTE * 60)), "the plan goes on: they may come back");
    }
    let (bob, _) = somebody(&f, BOB).await;
    let made = added(&f, bob, new("hello?", 1)).await;
    f.store.set_blocked(bob, true).await.unwrap();
    assert_eq!(fired(&f, planned(&f, &made, None)).await.last_result, Some(RunResult::Blocked));
    assert!(f.lease().await.is_empty() && f.send_all().await.is_empty());
    assert_eq!(f.messages(ann, conversation).await.len(), 3, "hello, its answer and STOP");
}

pub(super) async fn how_a_run_ended_is_read_from_what_it_made(f: Fixture) {
    let (ann, _) = somebody(&f, ANN).await;
    let ask = |minutes| NewSchedule { mode: Mode::Ask, when: When::Every(Interval::new(5, Unit::Minutes).unwrap()), ..new("ask", minutes) };
    let made = added(&f, ann, ask(1)).await;
    let at = |minutes: u32| Some(NOON.after(MINUTE * minutes));
    let first = fired(&f, planned(&f, &made, at(2))).await;
    let turn = f.lease_one().await;
    f.store.release_turn(&turn.lease, TurnRelease::Dead { error: "no model".to_owned() }).await.unwrap();
    let dead = find(&f, &made).await;
    assert_eq!((dead.last_result.clone(), dead.failures), (Some(RunResult::Failed("no model".to_owned())), 1));
    assert_eq!(dead.revision, first.revision);
    let second = fired(&f, planned(&f, &dead, at(3))).await;
    assert_eq!((second.last_result.clone(), second.runs, second.failures), (Some(RunResult::Answering), 2, 1), "counted once, for good");
    let turn = f.lease_one().await;
    let refused = TurnOutcome::Refused { reason: Refusal::OutOfCredit, notice: None };
    f.store.complete_turn(&turn.lease, refused).await.unwrap();
    let refused = find(&f, &made).await;
    assert_eq!((refused.last_result.clone(), refused.failures), (Some(RunResult::Refused(Refusal::OutOfCredit)), 2));
    let miss = Firing { act: Act::Miss, ..planned(&f, &refused, at(4)) };
    let missed = fired(&f, miss).await;
    assert_eq!((missed.last_result.clone(), missed.runs, missed.failures), (Some(RunResult::Missed), 2, 3));
    assert_eq!(missed.last_run, second.last_run, "a missed run is no run");
    let held = fired(&f, Firing { act: Act::Hold, ..planned(&f, &missed, at(9)) }).await;
    assert_eq!(
        (held.last_result.clone(), held.failures, held.next_run),
        (Some(RunResult::Missed), 3, at(9)),
        "a run put off records nothing"
    );
    let third = fired(&f, planned(&f, &held, at(10))).await;
    let turn = f.lease_one().await;
    f.answer(&turn, "at last").await;
    assert_eq!((find(&f, &made).await.last_result, third.runs, third.failures), (Some(RunResult::Answered), 3, 3));
    // A text that the carrier refuses for good.
    let made = added(&f, ann, new("stretch", 1)).await;
    fired(&f, planned(&f, &made, None)).await;
    let delivery = f.delivery().await;
    f.store.record_delivery(&delivery.lease, DeliveryOutcome::Dead { error: "no such number".to_owned() }).await.unwrap();
    let failed = find(&f, &made).await;
    assert_eq!((failed.last_result, failed.failures), (Some(RunResult::Failed("no such number".to_owned())), 1));
}

pub(super) async fn without_a_way_to_a_phone_the_run_is_stored(f: Fixture) {
    let receipt = f.stored(f.call(ANN, "hello", None)).await;
    f.drain().await;
    let ann = receipt.user_id;
    let made = added(&f, ann, new("stretch", 1)).await;
    assert_eq!(fired(&f, planned(&f, &made, None)).await.last_result, Some(RunResult::Stored));
    let asked = added(&f, ann, NewSchedule { mode: Mode::Ask, ..new("and now?", 2) }).await;
    fired(&f, planned(&f, &asked, None)).await;
    f.drain().await;
    assert_eq!(find(&f, &asked).await.last_result, Some(RunResult::AnsweredStored));
    assert!(f.send_all().await.is_empty());
    assert_eq!(f.said(receipt).await, ["hello", "re: hello", "stretch", "and now?", "re: and now?"]);
    // With a gateway to text by, the same person is texted.
    let made = added(&f, ann, new("stretch", 3)).await;
    let mut firing = planned(&f, &made, None);
    if let Act::Run(run) = &mut firing.act {
        run.default_route = Some(ReplyRoute { gateway: "twilio".to_owned(), from: String::new() });
    }
    assert_eq!(fired(&f, firing).await.last_result, Some(RunResult::Sending));
    assert_eq!(f.send_all().await, ["stretch"]);
}

pub(super) async fn an_extra_run_leaves_the_plan_as_it_is(f: Fixture) {
    let (ann, _) = somebody(&f, ANN).await;
    let made = added(&f, ann, new("stretch", 20)).await;
    let extra = Firing { plan: Plan::Extra, ..planned(&f, &made, None) };
    let ran = fired(&f, Firing { act: Act::Run(run(&f, &made)), ..extra.clone() }).await;
    assert_eq!((ran.next_run, ran.revision, ran.runs), (made.next_run, made.revision, 1));
    fired(&f, Firing { act: Act::Run(run(&f, &made)), ..extra.clone() }).await;
    assert_eq!(f.send_all().await, ["stretch", "stretch"]);
    f.store.delete_schedule(ann, made.id).await.unwrap();
    assert!(matches!(f.store.fire_schedule(extra).await, Err(StoreError::NotFound { .. })));
    assert_eq!(f.store.fire_schedule(planned(&f, &made, None)).await.unwrap(), Fired::Lost);
}

pub(super) async fn a_run_finds_its_conversation(f: Fixture) {
    let (ann, first) = somebody(&f, ANN).await;
    let own = || NewSchedule { conversation_id: Some(first), ..new("stretch", 1) };
    let where_it_stands = async |schedule: &Schedule| {
        let before = f.store.list_finished_turns(ann, 0, 100).await.unwrap().len();
        fired(&f, planned(&f, schedule, None)).await;
        f.drain().await;
        let finished = f.store.list_finished_turns(ann, 0, 100).await.unwrap();
        assert_eq!(finished.len(), before + 1);
        finished.last().unwrap().conversation.id
    };
    assert_eq!(where_it_stands(&added(&f, ann, own()).await).await, first);
    // Closed: the one that the person would continue by texting.
    f.store.close_conversation(ann, first).await.unwrap();
    let second = f.texted(ANN, "anew").await.conversation_id;
    f.drain().await;
    assert_eq!(where_it_stands(&added(&f, ann, own()).await).await, second);
    // Deleted while the entry waits for its place: the entry goes along, and nothing is in the way of what follows.
    let made = added(&f, ann, NewSchedule { conversation_id: Some(second), ..new("gone", 1) }).await;
    f.texted(ANN, "a question").await;
    let running = f.lease_one().await;
    fired(&f, planned(&f, &made, None)).await;
    f.store.delete_conversation(ann, second).await.unwrap();
    assert!(matches!(f.store.complete_turn(&running.lease, f.answered("late", &[])).await, Err(StoreError::LeaseLost)));
    assert!(f.lease().await.is_empty());
    assert!(matches!(find(&f, &made).await.last_result, Some(RunResult::Failed(_))), "its text was withdrawn");
    // None left: a new one.
    let third = where_it_stands(&added(&f, ann, own()).await).await;
    assert!(third != first && third != second);
    f.assert_chain(ann, third).await;
}

pub(super) async fn another_persons_schedules_are_out_of_reach(f: Fixture) {
    let (ann, _) = somebody(&f, ANN).await;
    let (bob, _) = somebody(&f, BOB).await;
    let made = added(&f, ann, new("a secret", 1)).await;
    assert!(f.store.find_schedule(bob, made.id).await.unwrap().is_none());
    assert!(f.store.list_schedules(bob, ScheduleFilter::All).await.unwrap().is_empty());
    let changed = f.store.change_schedule(bob, made.id, made.revision, vec![ScheduleChange::Disable], 50).await;
    assert!(matches!(changed, Err(StoreError::NotFound { .. })));
    assert!(matches!(f.store.delete_schedule(bob, made.id).await, Err(StoreError::NotFound { .. })));
    let forged = Firing { user_id: bob, ..planned(&f, &made, None) };
    assert_eq!(f.store.fire_schedule(forged.clone()).await.unwrap(), Fired::Lost);
    assert!(matches!(f.store.fire_schedule(Firing { plan: Plan::Extra, ..forged }).await, Err(StoreError::NotFound { .. })));
    assert_eq!(find(&f, &made).await, made);
    let idle = f.store.lease_turns(&other_owner(), 10, &no_limits()).await.unwrap();
    assert!(idle.work.is_empty() && f.send_all().await.is_empty());
}

pub(super) async fn what_reminders_cost_is_taken_from_the_balance(f: Fixture) {
    let mut first = f.text(ANN, "hello");
    first.person.start_credits = Some(Credits(100));
    let ann = f.stored(first).await.user_id;
    f.drain().await;
    let made = added(&f, ann, new("stretch", 1)).await;
    let mut firing = planned(&f, &made, None);
    if let Act::Run(Run { kind: RunKind::Remind { outgoing, balance, .. }, .. }) = &mut firing.act {
        *outgoing = f.outgoing(&["one", "two", "three"]);
        outgoing[2].held = true;
        *balance = Some(BalanceRules { start: Credits(0), refill: None });
    }
    fired(&f, firing).await;
    assert_eq!(
        f.store.find_user(ann).await.unwrap().unwrap().balance,
        Some(Credits(90)),
        "two segments of 5; what is held costs when it goes"
    );
}

/// One more run of a reminder of one segment, which costs 5.
async fn extra(f: &Fixture, made: &Schedule, rules: Option<BalanceRules>, today: DailyLimits) -> Option<RunResult> {
    let mut run = run(f, made);
    if let RunKind::Remind { balance, limits, .. } = &mut run.kind {
        (*balance, *limits) = (rules, today);
    }
    let firing = Firing { user_id: made.user_id, schedule_id: made.id, plan: Plan::Extra, act: Act::Run(run) };
    fired(f, firing).await.last_result
}

pub(super) async fn a_reminder_that_cannot_be_paid_is_not_sent(f: Fixture) {
    let mut first = f.text(ANN, "hello");
    first.person.start_credits = Some(Credits(7));
    let receipt = f.stored(first).await;
    let ann = receipt.user_id;
    f.drain().await;
    f.send_all().await;
    let made = added(&f, ann, new("stretch", 20)).await;
    let rules = BalanceRules { start: Credits(100), refill: Some(Refill { credits: Credits(4), every_millis: 60_000 }) };
    let balance = async || f.store.find_user(ann).await.unwrap().unwrap().balance;
    assert_eq!(extra(&f, &made, Some(rules), no_limits()).await, Some(RunResult::Sending));
    assert_eq!((f.send_all().await, balance().await), (vec!["stretch".to_owned()], Some(Credits(2))));
    let before = f.said(receipt).await;
    assert_eq!(extra(&f, &made, Some(rules), no_limits()).await, Some(RunResult::Refused(Refusal::OutOfCredit)));
    let refused = find(&f, &made).await;
    assert_eq!((refused.runs, refused.failures, refused.last_result), (2, 1, Some(RunResult::Refused(Refusal::OutOfCredit))));
    assert_eq!((f.send_all().await.len(), balance().await), (0, Some(Credits(2))), "nothing is sent and nothing taken");
    assert_eq!(f.said(receipt).await, before, "nor is it said anywhere");
    // What is due is granted first, as for any turn.
    f.advance(60_000);
    assert_eq!(extra(&f, &made, Some(rules), no_limits()).await, Some(RunResult::Sending));
    assert_eq!(balance().await, Some(Credits(1)));
    // Where nobody pays, it is sent.
    assert_eq!(extra(&f, &made, None, no_limits()).await, Some(RunResult::Sending));
    assert_eq!(balance().await, Some(Credits(1)));
}

pub(super) async fn reminders_are_turns_of_the_day(f: Fixture) {
    let (ann, _) = somebody(&f, ANN).await;
    let (bob, _) = somebody(&f, BOB).await;
    f.send_all().await;
    let made = added(&f, ann, new("stretch", 20)).await;
    let his = added(&f, bob, new("drink", 20)).await;
    for expected in [RunResult::Sending, RunResult::Sending, RunResult::Refused(Refusal::PersonLimit)] {
        assert_eq!(extra(&f, &made, None, limits(2, 3)).await, Some(expected));
    }
    assert_eq!(extra(&f, &his, None, limits(2, 3)).await, Some(RunResult::Sending));
    assert_eq!(extra(&f, &his, None, limits(2, 3)).await, Some(RunResult::Refused(Refusal::TotalLimit)));
    assert_eq!(f.send_all().await.len(), 3);
    assert_eq!((find(&f, &made).await.failures, find(&f, &his).await.failures), (1, 1));
    let tomorrow = DailyLimits { day: "2026-11-23".to_owned(), ..limits(2, 3) };
    assert_eq!(extra(&f, &made, None, tomorrow).await, Some(RunResult::Sending));
}

pub(super) async fn what_had_finished_begins_again_only_where_there_is_room(f: Fixture) {
    let (ann, _) = somebody(&f, ANN).await;
    let over = added(&f, ann, new("over", 1)).await;
    let over = fired(&f, planned(&f, &over, None)).await;
    let off = added(&f, ann, new("off", 2)).await;
    let off = f.store.change_schedule(ann, off.id, off.revision, vec![ScheduleChange::Disable], 1).await.unwrap();
    let at = NOON.after(MINUTE * 9);
    let rule = ScheduleChange::Rule { when: When::Once(at), zone: zone("UTC"), anchor: NOON, next_run: at };
    for change in [rule, ScheduleChange::Enable { next_run: at }] {
        let full = f.store.change_schedule(ann, over.id, over.revision, vec![change.clone()], 1).await;
        assert!(matches!(&full, Err(StoreError::Conflict { reason }) if reason.contains("1 schedules")), "{full:?}");
        assert_eq!(find(&f, &over).await, over);
    }
    // What is only off has its room; so has a change of words.
    f.store.change_schedule(ann, off.id, off.revision, vec![ScheduleChange::Enable { next_run: at }], 1).await.unwrap();
    let named = vec![ScheduleChange::Name("past".to_owned())];
    let over = f.store.change_schedule(ann, over.id, over.revision, named, 1).await.unwrap();
    let again = f.store.change_schedule(ann, over.id, over.revision, vec![ScheduleChange::Enable { next_run: at }], 2).await.unwrap();
    assert_eq!((again.finished, again.next_run), (false, Some(at)));
}
