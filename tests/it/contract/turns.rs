//! Handing out turns and ending them.

use std::collections::HashSet;

use scrubjay::domain::ids::MessageId;
use scrubjay::domain::job::JobId;
use scrubjay::domain::message::Role;
use scrubjay::domain::turn::{Refusal, TurnEnd, TurnState};
use scrubjay::store::{
    Action, Consent, DailyLimits, Effect, HeldLease, LaneKind, NewInbound, Notice, Owner, SharedStore, StoreError, TurnOutcome, TurnRelease,
};

use super::fixture::{ANN, BOB, Fixture, held, limits, no_limits, other_owner, owner, phone};

pub(super) async fn a_turn_is_leased_answered_and_over(f: Fixture) {
    let receipt = f.texted(ANN, "hello").await;
    let turn = f.lease_one().await;
    assert_eq!((turn.lease.user_id, turn.lease.turn_id, turn.attempts), (receipt.user_id, receipt.turn_id, 0));
    assert_eq!((turn.texts.len(), turn.texts[0].sequence, turn.texts[0].parent_id), (1, Some(1), Some(MessageId::ROOT)));
    assert_eq!((turn.user.id, turn.conversation.id), (receipt.user_id, receipt.conversation_id));
    assert!(f.lease().await.is_empty(), "a leased lane is nobody else's");

    let done = f.store.complete_turn(&turn.lease, f.answered("hi there", &["hi there"])).await.unwrap();
    assert_eq!(done.outgoing, 1);
    let record = f.store.find_turn(receipt.user_id, receipt.turn_id).await.unwrap().unwrap();
    assert_eq!((record.state, record.end.as_ref()), (TurnState::Done, Some(&done.end)));
    let TurnEnd::Answered(Some(reply)) = done.end else { panic!("it has a reply") };
    assert_eq!((reply.text.as_str(), reply.usage.total_tokens), ("hi there", 10));

    let messages = f.messages(receipt.user_id, receipt.conversation_id).await;
    assert_eq!(messages.iter().map(|message| message.role).collect::<Vec<_>>(), [Role::External, Role::Assistant]);
    assert_eq!((messages[1].parent_id, messages[1].sequence, messages[1].token_count), (Some(receipt.message_id), Some(2), 3));
    assert!(messages.iter().all(|message| message.endpoint.as_ref().is_some_and(|endpoint| endpoint.as_str() == "openAI")));
    assert_eq!(f.send_all().await, ["hi there"]);
    assert!(f.lease().await.is_empty());
    assert_eq!(f.store.latest_event(receipt.user_id).await.unwrap(), 1);
}

pub(super) async fn a_lease_that_ran_out_is_taken_over_and_its_holder_writes_nothing(f: Fixture) {
    f.texted(ANN, "hello").await;
    let lost = f.lease_one().await;
    f.advance(14_999);
    assert!(f.store.lease_turns(&other_owner(), 10, &no_limits()).await.unwrap().work.is_empty());
    f.advance(1);
    let work = f.store.lease_turns(&other_owner(), 10, &no_limits()).await.unwrap().work;
    assert_eq!((work.len(), work[0].attempts, work[0].starts), (1, 0, 1), "the dead said nothing of its attempt");
    assert_eq!(work[0].texts, lost.texts);
    let late = f.store.complete_turn(&lost.lease, f.answered("late", &["late"])).await;
    assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
    f.answer(&work[0], "in time").await;
    let again = f.store.complete_turn(&work[0].lease, f.answered("twice", &[])).await;
    assert!(matches!(again, Err(StoreError::LeaseLost)), "{again:?}");
    let texts: Vec<_> = f.messages(lost.lease.user_id, lost.conversation.id).await.into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["hello", "in time"]);
}

pub(super) async fn one_person_is_answered_in_order_and_people_in_parallel(f: Fixture) {
    let ann = f.texted(ANN, "a1").await;
    f.texted(ANN, "a2").await;
    f.advance(1);
    f.texted(BOB, "b1").await;
    let work = f.lease().await;
    let texts: Vec<_> = work.iter().map(|turn| turn.texts[0].text.as_str()).collect();
    assert_eq!(texts, ["a1", "b1"]);
    f.texted(ANN, "a3").await;
    assert!(f.lease().await.is_empty());
    f.answer(&work[0], "r1").await;
    let second = f.lease_one().await;
    assert_eq!(second.texts[0].text, "a2");
    f.answer(&second, "r2").await;
    f.drain().await;
    assert_eq!(f.said(ann).await, ["a1", "r1", "a2", "r2", "a3", "re: a3"]);
    f.assert_chain(ann.user_id, ann.conversation_id).await;
}

pub(super) async fn two_processes_lease_each_turn_once(f: Fixture) {
    let other = f.open_again();
    for number in 0..40 {
        let store = if number % 2 == 0 { &f.store } else { &other };
        store.accept(f.text(&format!("+155500001{number:02}"), "hello")).await.unwrap();
    }
    let lease = |store: SharedStore, owner: Owner| async move {
        let mut mine = Vec::new();
        loop {
            let work = store.lease_turns(&owner, 3, &no_limits()).await.unwrap().work;
            if work.is_empty() {
                return mine;
            }
            mine.extend(work);
        }
    };
    let one = tokio::spawn(lease(f.store.clone(), owner()));
    let two = tokio::spawn(lease(other.clone(), other_owner()));
    let (one, two) = (one.await.unwrap(), two.await.unwrap());
    let all: HashSet<_> = one.iter().chain(&two).map(|turn| turn.lease.turn_id).collect();
    assert_eq!((one.len() + two.len(), all.len()), (40, 40));
    for (turn, store) in one.iter().map(|turn| (turn, &other)).chain(two.iter().map(|turn| (turn, &f.store))) {
        store.complete_turn(&turn.lease, f.answered("done elsewhere", &[])).await.unwrap();
    }
    assert_eq!(f.store.figures().await.unwrap().open_turns, 0);
}

pub(super) async fn what_a_process_left_due_itself_is_leased_by_it_once(f: Fixture) {
    let other = f.open_again();
    for number in [ANN, BOB] {
        f.texted(number, "hello").await;
    }
    let own = async |store: &SharedStore, owner: Owner, limit: usize| store.lease_own_turns(&owner, limit, &no_limits()).await.unwrap();
    let first = own(&f.store, owner(), 1).await;
    assert_eq!(first.work.len(), 1);
    assert!(first.next_due.is_some_and(|due| due <= f.clock.now()), "there is another at once: {:?}", first.next_due);
    let taken = other.lease_turns(&other_owner(), 10, &no_limits()).await.unwrap().work;
    assert_eq!(taken.len(), 1, "whoever looks at all finds it too");
    assert!(own(&f.store, owner(), 10).await.work.is_empty(), "somebody else has it");
    f.answer(&first.work[0], "one").await;
    f.texted(ANN, "and then?").await;
    f.texted(BOB, "and then?").await;
    let again = own(&f.store, owner(), 10).await.work;
    assert_eq!(again.len(), 1, "who is first in a lane that somebody else holds waits");
    assert_eq!(again[0].lease.user_id, first.work[0].lease.user_id);
    f.advance(16_000);
    assert!(!f.lease().await.is_empty(), "a lease that ran out is found by who looks at all");
}

pub(super) async fn a_turn_that_waits_for_another_attempt_holds_up_those_behind_it(f: Fixture) {
    let receipt = f.texted(ANN, "first").await;
    f.texted(ANN, "second").await;
    let turn = f.lease_one().await;
    let due = f.clock.now().after(std::time::Duration::from_secs(2));
    f.store.release_turn(&turn.lease, TurnRelease::Retry { due, error: "429".to_owned() }).await.unwrap();
    let record = f.store.find_turn(receipt.user_id, receipt.turn_id).await.unwrap().unwrap();
    assert_eq!(record.end, Some(TurnEnd::Failed { error: "429".to_owned(), will_retry: true }));
    assert!(f.lease().await.is_empty());
    f.advance(2_000);
    let again = f.lease_one().await;
    assert_eq!((again.lease.turn_id, again.attempts, again.starts), (receipt.turn_id, 1, 0));
    f.store.release_turn(&again.lease, TurnRelease::Unchanged).await.unwrap();
    let again = f.lease_one().await;
    assert_eq!((again.attempts, again.starts), (1, 0), "a stop is no attempt");
    f.store.release_turn(&again.lease, TurnRelease::Dead { error: "gave up".to_owned() }).await.unwrap();
    let record = f.store.find_turn(receipt.user_id, receipt.turn_id).await.unwrap().unwrap();
    assert_eq!((record.state, record.end), (TurnState::Dead, Some(TurnEnd::Failed { error: "gave up".to_owned(), will_retry: false })));
    assert_eq!(f.lease_one().await.texts[0].text, "second", "a dead letter lets the next one go");
}

pub(super) async fn a_renewed_lease_holds_and_a_released_owner_has_none(f: Fixture) {
    f.stored(f.text(ANN, "hello")).await;
    f.stored(f.text(BOB, "hello")).await;
    let ann = f.lease().await;
    let both: Vec<_> = ann.iter().map(held).collect();
    f.advance(10_000);
    assert_eq!(f.store.renew_leases(&owner(), &both).await.unwrap(), 2);
    assert_eq!(f.store.renew_leases(&other_owner(), &both).await.unwrap(), 0);
    f.advance(10_000);
    assert!(f.store.lease_turns(&other_owner(), 10, &no_limits()).await.unwrap().work.is_empty());
    assert_eq!(f.store.list_owners().await.unwrap(), [owner()]);
    assert_eq!(f.store.release_owner(&owner()).await.unwrap(), 2);
    assert!(f.store.list_owners().await.unwrap().is_empty());
    let lost = f.store.complete_turn(&ann[0].lease, f.answered("late", &[])).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
    assert_eq!(f.store.lease_turns(&other_owner(), 10, &no_limits()).await.unwrap().work.len(), 2);
}

pub(super) async fn only_what_is_worked_on_is_renewed(f: Fixture) {
    for number in [ANN, BOB] {
        f.texted(number, "hello").await;
    }
    let work = f.lease().await;
    f.advance(10_000);
    let of_deliveries = HeldLease { lane: LaneKind::Deliveries, ..held(&work[1]) };
    let lost = HeldLease { fence: work[1].lease.fence - 1, ..held(&work[1]) };
    assert_eq!(f.store.renew_leases(&owner(), &[held(&work[0]), of_deliveries, lost]).await.unwrap(), 1);
    f.advance(5_000);
    let forgotten = f.lease_one().await;
    assert_eq!((forgotten.lease.turn_id, forgotten.starts), (work[1].lease.turn_id, 1), "what nobody works on runs out");
    assert_eq!(f.store.renew_leases(&owner(), &[held(&work[1])]).await.unwrap(), 0, "its old fence holds nothing");
    f.answer(&work[0], "still mine").await;
    assert_eq!(f.store.renew_leases(&owner(), &[held(&work[0])]).await.unwrap(), 0, "neither does one that is over");
}

pub(super) async fn failures_and_silent_ends_are_counted_apart(f: Fixture) {
    let receipt = f.texted(ANN, "poison").await;
    let listed = || async { f.store.find_job(JobId::Reply(receipt.turn_id)).await.unwrap().unwrap().attempts };
    for starts in 0..3 {
        let turn = f.lease_one().await;
        assert_eq!((turn.attempts, turn.starts), (0, starts), "each process that took it up died");
        f.advance(15_000);
    }
    let turn = f.lease_one().await;
    assert_eq!((turn.attempts, turn.starts, listed().await), (0, 3, 0));
    f.store.release_turn(&turn.lease, TurnRelease::Unchanged).await.unwrap();
    let turn = f.lease_one().await;
    assert_eq!((turn.attempts, turn.starts), (0, 3), "a stop counts neither");
    let retry = TurnRelease::Retry { due: f.clock.now(), error: "busy".to_owned() };
    f.store.release_turn(&turn.lease, retry.clone()).await.unwrap();
    let turn = f.lease_one().await;
    assert_eq!((turn.attempts, turn.starts, listed().await), (1, 3, 1), "a failure is no silent end");
    f.store.release_turn(&turn.lease, retry).await.unwrap();
    let turn = f.lease_one().await;
    f.store.release_owner(&owner()).await.unwrap();
    let again = f.lease_one().await;
    assert_eq!((turn.starts, again.starts, again.attempts), (3, 4, 2), "a process that is known to be dead ended in silence too");
    f.answer(&again, "at last").await;
    assert_eq!(listed().await, 3, "the one that ended it is one more");
}

pub(super) async fn turns_without_a_model_are_ended_on_the_way(f: Fixture) {
    let old = f.text(ANN, "from yesterday");
    let receipt = f.stored(NewInbound { action: Action::Record { reason: Refusal::TooOld }, ..old }).await;
    let help = f.text(ANN, "HELP");
    let reply_id = f.clock.message_id();
    let action = Action::Answer { text: "I am a bot".to_owned(), reply_id, outgoing: f.outgoing(&["I am a bot"]), effect: Effect::None };
    let helped = f.stored(NewInbound { action, ..help }).await;
    assert_eq!(f.send_all().await, ["I am a bot"], "what is fixed leaves at once");
    f.texted(ANN, "now answer me").await;
    let turn = f.lease_one().await;
    assert_eq!((turn.texts[0].text.as_str(), turn.texts[0].sequence), ("now answer me", Some(4)));
    assert_eq!(f.said(receipt).await, ["from yesterday", "HELP", "I am a bot", "now answer me"]);
    f.assert_chain(receipt.user_id, receipt.conversation_id).await;
    let record = f.store.find_turn(receipt.user_id, receipt.turn_id).await.unwrap().unwrap();
    assert_eq!(record.end, Some(TurnEnd::Refused(Refusal::TooOld)));
    let record = f.store.find_turn(helped.user_id, helped.turn_id).await.unwrap().unwrap();
    let Some(TurnEnd::Answered(Some(reply))) = record.end else { panic!("it has a reply") };
    assert_eq!((reply.message_id, reply.endpoint, reply.model), (reply_id, None, None));

    f.answer(&turn, "answered").await;
    let finished = f.store.list_finished_turns(receipt.user_id, 0, 10).await.unwrap();
    assert_eq!(finished.iter().map(|turn| turn.event).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(finished.iter().map(|turn| turn.messages.len()).collect::<Vec<_>>(), [1, 2, 2]);
    assert_eq!(finished.iter().map(|turn| turn.began_conversation).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(f.store.list_finished_turns(receipt.user_id, 2, 10).await.unwrap(), finished[2..]);
}

pub(super) async fn what_a_prompt_recalls_stands_before_the_turn(f: Fixture) {
    let receipt = f.texted(ANN, "one").await;
    f.drain().await;
    f.texted(ANN, "two").await;
    f.texted(ANN, "three").await;
    let turn = f.lease_one().await;
    let before = turn.texts[0].sequence.unwrap();
    let recall = |limit| f.store.recent_messages(receipt.user_id, receipt.conversation_id, before, limit);
    let texts: Vec<_> = recall(10).await.unwrap().messages.into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["one", "re: one"], "never its own texts, never later ones");
    assert_eq!(recall(1).await.unwrap().messages[0].text, "re: one");
}

pub(super) async fn a_prompt_recalls_only_what_was_for_a_model(f: Fixture) {
    let receipt = f.texted(ANN, "one").await;
    let turn = f.lease_one().await;
    f.answer(&turn, "re: one").await;
    let help = Action::Answer { text: "I am a bot".to_owned(), reply_id: f.clock.message_id(), outgoing: Vec::new(), effect: Effect::None };
    let stop = |consent| Action::Consent { consent, said_at: f.clock.now(), confirmation: None };
    for (text, action) in [
        ("HELP", help),
        ("yesterday's", Action::Record { reason: Refusal::TooOld }),
        ("STOP", stop(Consent::OptOut)),
        ("while out", Action::Reply { debounce: None }),
        ("START", stop(Consent::OptIn)),
    ] {
        f.stored(NewInbound { action, ..f.text(ANN, text) }).await;
    }
    f.texted(ANN, "refused").await;
    let turn = f.lease_one().await;
    let notice = Notice { key: "k".to_owned(), message_id: f.clock.message_id(), text: "no credit".to_owned(), outgoing: Vec::new() };
    let refused = TurnOutcome::Refused { reason: Refusal::OutOfCredit, notice: Some(notice) };
    f.store.complete_turn(&turn.lease, refused).await.unwrap();
    f.texted(ANN, "failed").await;
    let turn = f.lease_one().await;
    f.store.release_turn(&turn.lease, TurnRelease::Dead { error: "no model".to_owned() }).await.unwrap();
    f.texted(ANN, "now").await;
    let turn = f.lease_one().await;
    let before = turn.texts[0].sequence.unwrap();
    let store = &f.store;
    let recall = |limit| async move {
        let found = store.recent_messages(receipt.user_id, receipt.conversation_id, before, limit).await.unwrap().messages;
        found.into_iter().map(|message| message.text).collect::<Vec<_>>()
    };
    assert_eq!(recall(100).await, ["one", "re: one", "refused", "failed"]);
    assert_eq!(recall(3).await, ["re: one", "refused", "failed"], "what is left out takes no room");
    let all =
        ["one", "re: one", "HELP", "I am a bot", "yesterday's", "STOP", "while out", "START", "refused", "no credit", "failed", "now"];
    assert_eq!(f.said(receipt).await, all, "a listing shows everything");
}

pub(super) async fn daily_limits_count_turns_that_begin(f: Fixture) {
    for text in ["one", "two", "three"] {
        f.texted(ANN, text).await;
    }
    f.texted(BOB, "hello").await;
    let next = |number: &'static str| {
        let f = &f;
        async move {
            let work = f.store.lease_turns(&owner(), 10, &limits(2, 3)).await.unwrap().work;
            let turn = work.into_iter().find(|turn| turn.user.phone == Some(phone(number))).unwrap();
            let over = turn.over_limit;
            match over {
                None => f.answer(&turn, "ok").await,
                Some(reason) => {
                    let outcome = TurnOutcome::Refused { reason, notice: None };
                    f.store.complete_turn(&turn.lease, outcome).await.unwrap()
                }
            };
            f.store.release_owner(&owner()).await.unwrap();
            over
        }
    };
    assert_eq!(next(ANN).await, None);
    assert_eq!(next(BOB).await, None, "a turn that was given back is counted once");
    assert_eq!(next(ANN).await, None);
    assert_eq!(next(ANN).await, Some(Refusal::PersonLimit));
    f.texted(BOB, "again").await;
    assert_eq!(next(BOB).await, Some(Refusal::TotalLimit));
    f.texted(BOB, "tomorrow").await;
    let tomorrow = DailyLimits { day: "2026-11-23".to_owned(), ..limits(2, 3) };
    let work = f.store.lease_turns(&owner(), 10, &tomorrow).await.unwrap().work;
    assert_eq!(work[0].over_limit, None);
}
