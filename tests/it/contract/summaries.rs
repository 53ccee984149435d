//! Summaries of long conversations: claimed by one, moving forward only, gone with their conversation.

use scrubjay::domain::ids::ConversationId;
use scrubjay::domain::ledger::Credits;
use scrubjay::store::{NewInbound, NewPerson, NewSummary, Receipt, Summary, SummaryClaim};

use super::fixture::{ANN, BOB, Fixture};

/// How long a claim of these cases holds, in milliseconds.
const CLAIM: u64 = 60_000;

fn summary(up_to_sequence: i64, text: &str) -> NewSummary {
    NewSummary { up_to_sequence, text: text.to_owned(), charge: Credits::ZERO }
}

async fn stored(f: &Fixture, of: Receipt) -> Option<Summary> {
    f.store.recent_messages(of.user_id, of.conversation_id, i64::MAX, 1).await.unwrap().summary
}

async fn claim(f: &Fixture, of: Receipt, from: i64) -> bool {
    claimed(f, of, from).await.is_some()
}

async fn claimed(f: &Fixture, of: Receipt, from: i64) -> Option<SummaryClaim> {
    let until = f.clock.now().after(std::time::Duration::from_millis(CLAIM));
    f.store.claim_summary(of.user_id, of.conversation_id, from, until).await.unwrap()
}

pub(super) async fn a_summary_only_moves_forward_and_is_paid_for_once(f: Fixture) {
    let new = f.text(ANN, "one");
    let of = f.stored(NewInbound { person: NewPerson { start_credits: Some(Credits(100)), ..new.person.clone() }, ..new }).await;
    f.drain().await;
    assert_eq!(stored(&f, of).await, None);
    let set = |new: NewSummary| {
        let store = &f.store;
        async move { store.set_summary(of.user_id, of.conversation_id, &new).await.unwrap() }
    };
    let paid = NewSummary { charge: Credits(7), ..summary(4, "about one") };
    assert!(set(paid.clone()).await);
    assert!(!set(paid).await, "a repeat");
    assert!(!set(NewSummary { charge: Credits(7), ..summary(3, "older") }).await);
    assert_eq!(stored(&f, of).await, Some(Summary { up_to_sequence: 4, text: "about one".to_owned(), attempts: 0 }));
    assert!(set(NewSummary { charge: Credits(3), ..summary(6, "about more") }).await);
    assert_eq!(stored(&f, of).await.unwrap().text, "about more");
    assert_eq!(f.store.find_user(of.user_id).await.unwrap().unwrap().balance, Some(Credits(90)));
}

pub(super) async fn one_of_several_makes_a_summary(f: Fixture) {
    let of = f.texted(ANN, "one").await;
    assert!(claim(&f, of, 0).await);
    assert!(!claim(&f, of, 0).await, "somebody is at it");
    assert_eq!(f.store.list_lapsed_summaries(6, 10).await.unwrap(), []);
    f.advance(CLAIM);
    let place = (of.user_id, of.conversation_id);
    assert_eq!(f.store.list_lapsed_summaries(6, 10).await.unwrap(), [place], "whoever was at it is gone");
    assert!(claim(&f, of, 0).await);
    assert_eq!(stored(&f, of).await, Some(Summary { up_to_sequence: 0, text: String::new(), attempts: 2 }));
    f.advance(CLAIM);
    assert_eq!(f.store.list_lapsed_summaries(2, 10).await.unwrap(), [], "tried often enough");
    assert!(f.store.set_summary(of.user_id, of.conversation_id, &summary(4, "late, and good all the same")).await.unwrap());
    assert_eq!(f.store.list_lapsed_summaries(6, 10).await.unwrap(), []);
    assert!(!claim(&f, of, 0).await, "that one is made");
}

pub(super) async fn what_a_process_that_stops_leaves_unmade_is_taken_up_again(f: Fixture) {
    let of = f.texted(ANN, "one").await;
    let place = (of.user_id, of.conversation_id);
    let lapsed = async || f.store.list_lapsed_summaries(6, 10).await.unwrap();
    // In the making: at once, and it was no attempt.
    let mine = claimed(&f, of, 0).await.unwrap();
    f.store.release_summary(of.user_id, of.conversation_id, mine).await.unwrap();
    assert_eq!(lapsed().await, [place]);
    assert_eq!(stored(&f, of).await.unwrap().attempts, 0);
    assert!(claim(&f, of, 0).await, "given back");
    // Somebody makes it: nothing is left to others.
    f.store.leave_summary(of.user_id, of.conversation_id).await.unwrap();
    assert_eq!(lapsed().await, []);
    assert!(!claim(&f, of, 0).await);
    assert!(f.store.set_summary(of.user_id, of.conversation_id, &summary(4, "made")).await.unwrap());
    // A claim that has ended in a summary is not given back any more.
    let made = claimed(&f, of, 4).await.unwrap();
    assert!(f.store.set_summary(of.user_id, of.conversation_id, &summary(6, "made")).await.unwrap());
    f.store.release_summary(of.user_id, of.conversation_id, made).await.unwrap();
    assert_eq!(lapsed().await, []);
    // It waited: with a summary before, and without.
    let other = f.texted(BOB, "one").await;
    for of in [of, other] {
        f.store.leave_summary(of.user_id, of.conversation_id).await.unwrap();
        f.advance(1);
    }
    assert_eq!(lapsed().await, [place, (other.user_id, other.conversation_id)]);
    assert_eq!(stored(&f, of).await.unwrap(), Summary { up_to_sequence: 6, text: "made".to_owned(), attempts: 0 });
    f.store.leave_summary(other.user_id, of.conversation_id).await.unwrap();
    assert_eq!(lapsed().await.len(), 2, "another's conversation");
    assert!(claim(&f, other, 0).await);
    f.store.end_lapsed_summary(of.user_id, of.conversation_id).await.unwrap();
    assert_eq!(lapsed().await, []);
}

pub(super) async fn summaries_never_take_more_than_there_is(f: Fixture) {
    let person = |credits: i64, new: NewInbound| {
        let person = NewPerson { start_credits: Some(Credits(credits)), ..new.person.clone() };
        NewInbound { person, ..new }
    };
    let balance = async |user| f.store.find_user(user).await.unwrap().unwrap().balance;
    // Each could be paid for when the model was asked; both cannot.
    let one = f.stored(person(10, f.text(ANN, "one"))).await;
    let two = f.stored(NewInbound { source: "kiosk".to_owned(), ..f.text(ANN, "elsewhere") }).await;
    assert_ne!(one.conversation_id, two.conversation_id);
    for (of, left) in [(one, 3), (two, 0), (one, 0)] {
        let covered = stored(&f, of).await.map_or(2, |summary| summary.up_to_sequence + 2);
        let new = NewSummary { charge: Credits(7), ..summary(covered, "paid") };
        assert!(f.store.set_summary(of.user_id, of.conversation_id, &new).await.unwrap());
        assert_eq!(balance(of.user_id).await, Some(Credits(left)));
    }
    // What is below zero already stays as it is.
    let poor = f.stored(person(-5, f.text(BOB, "one"))).await;
    let new = NewSummary { charge: Credits(7), ..summary(2, "paid") };
    assert!(f.store.set_summary(poor.user_id, poor.conversation_id, &new).await.unwrap());
    assert_eq!(balance(poor.user_id).await, Some(Credits(-5)));
}

pub(super) async fn who_lost_a_summarys_claim_gives_nothing_back(f: Fixture) {
    let of = f.texted(ANN, "one").await;
    let lost = claimed(&f, of, 0).await.unwrap();
    f.advance(CLAIM);
    let holder = claimed(&f, of, 0).await.unwrap();
    // The earlier holder wakes up and stops; and somebody looks who took the claim to have run out.
    f.store.release_summary(of.user_id, of.conversation_id, lost).await.unwrap();
    f.store.end_lapsed_summary(of.user_id, of.conversation_id).await.unwrap();
    assert!(!claim(&f, of, 0).await, "the later holder is at it");
    f.store.release_summary(of.user_id, of.conversation_id, holder).await.unwrap();
    assert!(claim(&f, of, 0).await);
    f.advance(CLAIM);
    f.store.end_lapsed_summary(of.user_id, of.conversation_id).await.unwrap();
    assert_eq!(f.store.list_lapsed_summaries(6, 10).await.unwrap(), [], "it is not taken up again by itself");
    let again = claimed(&f, of, 0).await.unwrap();
    assert!(again.0 > holder.0 && holder.0 > lost.0);
}

pub(super) async fn what_a_summary_is_made_of_is_what_a_prompt_recalls(f: Fixture) {
    let of = f.texted(ANN, "one").await;
    f.drain().await;
    for text in ["two", "three"] {
        f.texted(ANN, text).await;
        f.drain().await;
    }
    let between = async |after, until, limit| {
        let found = f.store.messages_between(of.user_id, of.conversation_id, after, until, limit).await.unwrap();
        found.into_iter().map(|message| message.text).collect::<Vec<_>>()
    };
    assert_eq!(between(0, 100, 100).await, ["one", "re: one", "two", "re: two", "three", "re: three"]);
    assert_eq!(between(2, 5, 100).await, ["two", "re: two", "three"]);
    assert_eq!(between(2, 5, 2).await, ["two", "re: two"]);
}

pub(super) async fn a_summary_belongs_to_one_conversation_of_one_person_and_goes_with_it(f: Fixture) {
    let (ann, bob) = (f.texted(ANN, "one").await, f.texted(BOB, "one").await);
    let other = f.stored(NewInbound { source: "kiosk".to_owned(), ..f.text(ANN, "elsewhere") }).await;
    assert!(f.store.set_summary(ann.user_id, ann.conversation_id, &summary(2, "Ann's")).await.unwrap());
    for of in [bob, other, Receipt { conversation_id: ann.conversation_id, ..bob }] {
        assert_eq!(stored(&f, of).await, None);
    }
    // Another's conversation, and none.
    let nowhere = ConversationId::from_uuid(f.clock.uuid());
    for id in [ann.conversation_id, nowhere] {
        let until = f.clock.now().after(std::time::Duration::from_secs(1));
        assert_eq!(f.store.claim_summary(bob.user_id, id, 0, until).await.unwrap(), None);
        assert!(!f.store.set_summary(bob.user_id, id, &summary(9, "forged")).await.unwrap());
        assert!(f.store.messages_between(bob.user_id, id, 0, 100, 10).await.unwrap().is_empty());
        f.store.release_summary(bob.user_id, id, SummaryClaim(1)).await.unwrap();
        f.store.end_lapsed_summary(bob.user_id, id).await.unwrap();
    }
    assert_eq!(stored(&f, ann).await.unwrap().text, "Ann's");
    f.store.delete_conversation(ann.user_id, ann.conversation_id).await.unwrap();
    assert_eq!(stored(&f, ann).await, None);
    assert!(!f.store.set_summary(ann.user_id, ann.conversation_id, &summary(9, "too late")).await.unwrap());
    assert_eq!(stored(&f, ann).await, None);
}
