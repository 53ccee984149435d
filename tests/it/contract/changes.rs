//! Changes that a person makes by a word: in the step that stores it, once, and told as they went.

use scrubjay::domain::ids::UserId;
use scrubjay::domain::todo::{Todo, TodoId};
use scrubjay::domain::turn::TurnEnd;
use scrubjay::store::{
    Accepted, Action, Change, Effect, FixedAnswer, NewInbound, NewTodo, PageRequest, Receipt, ScheduleFilter, TodoFilter,
};

use super::fixture::{ANN, BOB, Fixture};
use super::graph;

/// A word that is answered "done", or "otherwise" where there was nothing to change.
fn word(f: &Fixture, from: &str, change: Change) -> NewInbound {
    let otherwise = FixedAnswer { text: "otherwise".to_owned(), outgoing: f.outgoing(&["otherwise"]) };
    let effect = Effect::Change { change, otherwise };
    let action = Action::Answer { text: "done".to_owned(), reply_id: f.clock.message_id(), outgoing: f.outgoing(&["done"]), effect };
    NewInbound { action, ..f.text(from, "/word") }
}

fn add(text: &str, limit: usize) -> Change {
    Change::AddTodo { new: NewTodo { text: text.to_owned(), category: None, priority: None, due: None, parent: None }, limit }
}

async fn list(f: &Fixture, user: UserId) -> Vec<Todo> {
    f.store.list_todos(user, TodoFilter::default(), PageRequest::first(100)).await.unwrap().items
}

async fn answer(f: &Fixture, of: Receipt) -> String {
    assert!(f.lease().await.is_empty(), "a word needs no model");
    match f.store.find_turn(of.user_id, of.turn_id).await.unwrap().unwrap().end {
        Some(TurnEnd::Answered(Some(reply))) => reply.text,
        other => panic!("not answered: {other:?}"),
    }
}

pub(super) async fn a_change_is_made_with_its_word_and_only_once(f: Fixture) {
    // The very first message of somebody: the person is made in the same step.
    let first = word(&f, ANN, add("milk", 2));
    let of = f.stored(first.clone()).await;
    assert_eq!(answer(&f, of).await, "done");
    assert_eq!(f.send_all().await, ["done"]);
    for _ in 0..3 {
        assert_eq!(f.store.accept(first.clone()).await.unwrap(), Accepted::Repeat(of));
    }
    let listed = list(&f, of.user_id).await;
    assert_eq!(listed.iter().map(|todo| todo.text.as_str()).collect::<Vec<_>>(), ["milk"]);
    // What is done is not done again by a repeat, even when it was undone meanwhile.
    let done = word(&f, ANN, Change::CompleteTodo(listed[0].id));
    let receipt = f.stored(done.clone()).await;
    assert_eq!(answer(&f, receipt).await, "done");
    f.store.delete_todo(of.user_id, listed[0].id).await.unwrap();
    f.store
        .add_todo(of.user_id, NewTodo { text: "bread".to_owned(), category: None, priority: None, due: None, parent: None }, 9)
        .await
        .unwrap();
    assert_eq!(f.store.accept(done).await.unwrap(), Accepted::Repeat(receipt));
    assert!(list(&f, of.user_id).await.iter().all(|todo| todo.completed_at.is_none()), "a later item took the number");
}

pub(super) async fn where_there_is_nothing_to_change_the_answer_says_so(f: Fixture) {
    let of = f.stored(word(&f, ANN, add("milk", 1))).await;
    f.send_all().await;
    let id = list(&f, of.user_id).await[0].id;
    for change in [add("milk", 1), add("bread", 1), Change::CompleteTodo(TodoId::new(id.number() + 1).unwrap())] {
        let receipt = f.stored(word(&f, ANN, change)).await;
        assert_eq!(answer(&f, receipt).await, "otherwise");
        assert_eq!(f.send_all().await, ["otherwise"]);
    }
    assert_eq!(list(&f, of.user_id).await.len(), 1);
    // Another's number is nobody's.
    let bob = f.stored(word(&f, BOB, Change::CompleteTodo(id))).await;
    assert_eq!(answer(&f, bob).await, "otherwise");
    assert_eq!(list(&f, of.user_id).await[0].completed_at, None);
}

pub(super) async fn who_is_refused_changes_nothing(f: Fixture) {
    let of = f.texted(ANN, "hello").await;
    f.drain().await;
    f.store.set_blocked(of.user_id, true).await.unwrap();
    assert_eq!(f.store.accept(word(&f, ANN, add("milk", 9))).await.unwrap(), Accepted::Blocked { user_id: of.user_id });
    f.store.set_blocked(of.user_id, false).await.unwrap();
    f.store.record_consent(&super::fixture::phone(ANN), scrubjay::store::Consent::OptOut, f.clock.now()).await.unwrap();
    f.stored(word(&f, ANN, add("milk", 9))).await;
    assert!(f.lease().await.is_empty());
    assert!(f.send_all().await.is_empty());
    assert_eq!(list(&f, of.user_id).await, []);
}

pub(super) async fn a_fact_is_forgotten_by_a_number_that_never_means_another(f: Fixture) {
    let ann = f.texted(ANN, "hello").await;
    let bob = f.texted(BOB, "hello").await;
    f.drain().await;
    let learn = async |user: UserId, texts: &[&str]| {
        graph::create(&f.store, user, &[graph::new("sister", "", texts)]).await;
        f.store.list_facts(user, PageRequest::first(10)).await.unwrap().items
    };
    let facts = learn(ann.user_id, &["lives in Oslo", "likes tea"]).await;
    let tea = facts[0].observation.id;
    assert_eq!(f.store.find_fact(ann.user_id, tea).await.unwrap().unwrap().observation.text, "likes tea");
    assert_eq!(f.store.find_fact(bob.user_id, tea).await.unwrap(), None);
    learn(bob.user_id, &["lives in Oslo", "likes tea"]).await;

    let forget = word(&f, ANN, Change::Forget(tea));
    let receipt = f.stored(forget.clone()).await;
    assert_eq!(answer(&f, receipt).await, "done");
    assert_eq!(f.store.find_fact(ann.user_id, tea).await.unwrap(), None);
    let again = f.stored(word(&f, ANN, Change::Forget(tea))).await;
    assert_eq!(answer(&f, again).await, "otherwise");

    let everything = f.stored(word(&f, ANN, Change::ForgetEverything)).await;
    assert_eq!(answer(&f, everything).await, "done");
    let nothing = f.stored(word(&f, ANN, Change::ForgetEverything)).await;
    assert_eq!(answer(&f, nothing).await, "otherwise");
    let later = learn(ann.user_id, &["has a cat", "has a dog"]).await;
    assert!(later.iter().all(|fact| facts.iter().all(|old| old.observation.id != fact.observation.id)), "a number came back");
    assert_eq!(f.store.accept(forget).await.unwrap(), Accepted::Repeat(receipt));
    assert_eq!(f.store.list_facts(ann.user_id, PageRequest::first(10)).await.unwrap().items.len(), 2);
    assert_eq!(f.store.list_facts(bob.user_id, PageRequest::first(10)).await.unwrap().items.len(), 2, "another's facts");
}

pub(super) async fn a_schedule_is_made_and_removed_with_its_word(f: Fixture) {
    let new = super::schedules::new("stretch", 20);
    let add = || Change::AddSchedule { new: Box::new(new.clone()), limit: 1 };
    let first = word(&f, ANN, add());
    let of = f.stored(first.clone()).await;
    assert_eq!(answer(&f, of).await, "done");
    assert_eq!(f.store.accept(first).await.unwrap(), Accepted::Repeat(of));
    let listed = f.store.list_schedules(of.user_id, ScheduleFilter::All).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].conversation_id, Some(of.conversation_id), "it speaks where it was asked for");
    let equal = f.stored(word(&f, ANN, add())).await;
    assert_eq!(answer(&f, equal).await, "otherwise");

    let id = listed[0].id;
    let bob = f.stored(word(&f, BOB, Change::DeleteSchedule(id))).await;
    assert_eq!(answer(&f, bob).await, "otherwise", "another's number is nobody's");
    for expected in ["done", "otherwise"] {
        let removed = f.stored(word(&f, ANN, Change::DeleteSchedule(id))).await;
        assert_eq!(answer(&f, removed).await, expected);
    }
    assert!(f.store.list_schedules(of.user_id, ScheduleFilter::All).await.unwrap().is_empty());
}
