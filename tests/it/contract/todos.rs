//! Todo lists: numbers, equal items, filters, sub-items, figures, import, and whose they are.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use scrubjay::domain::ids::UserId;
use scrubjay::domain::time::Timestamp;
use scrubjay::domain::todo::{Due, DueWithin, Priority, Todo, TodoChange, TodoFigures, TodoId, TodoState, words};
use scrubjay::store::{ImportedTodo, ImportedTodos, NewTodo, PageRequest, SharedStore, StoreError, TodoFilter};

use super::fixture::{ANN, BOB, Fixture, NOON};

const PLENTY: usize = 1000;

fn new(text: &str) -> NewTodo {
    NewTodo { text: text.to_owned(), category: None, priority: None, due: None, parent: None }
}

fn id(number: i64) -> TodoId {
    TodoId::new(number).unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a field takes")]
fn due(text: &str) -> Option<Due> {
    Some(text.parse().unwrap())
}

fn at(text: &str) -> Timestamp {
    text.parse::<jiff::Timestamp>().unwrap().into()
}

fn imported(text: &str) -> ImportedTodo {
    ImportedTodo {
        text: text.to_owned(),
        category: None,
        priority: Priority::Medium,
        due: None,
        parent: None,
        completed_at: None,
        created_at: None,
        updated_at: None,
    }
}

async fn person(f: &Fixture, number: &str) -> UserId {
    f.texted(number, "hello").await.user_id
}

async fn add(f: &Fixture, user: UserId, new: NewTodo) -> Todo {
    let added = f.store.add_todo(user, new, PLENTY).await.unwrap();
    assert!(added.is_new, "{:?} stood there already", added.todo);
    added.todo
}

async fn finish(f: &Fixture, user: UserId, id: TodoId) -> Todo {
    f.store.change_todo(user, id, vec![TodoChange::State(TodoState::Completed)]).await.unwrap().todo
}

/// Everything that a filter finds, in pages of two.
async fn all(store: &SharedStore, user: UserId, filter: &TodoFilter) -> Vec<Todo> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.list_todos(user, filter.clone(), PageRequest { cursor, limit: 2 }).await.unwrap();
        assert!(page.items.len() <= 2);
        found.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

async fn texts(f: &Fixture, user: UserId, filter: TodoFilter) -> Vec<String> {
    all(&f.store, user, &filter).await.into_iter().map(|todo| todo.text).collect()
}

pub(super) async fn an_item_comes_back_as_it_was_written(f: Fixture) {
    let ann = person(&f, ANN).await;
    let parent = add(&f, ann, new("Plan the party")).await;
    let full = NewTodo {
        text: "Ca\u{308}fé ☕ 'quotes' \u{0} %_\n-- x".to_owned(),
        category: Some("Home & Garden".to_owned()),
        priority: Some(Priority::Urgent),
        due: due("2028-02-29"),
        parent: Some(parent.id),
    };
    let todo = add(&f, ann, full.clone()).await;
    assert_eq!((parent.id, todo.id), (id(1), id(2)));
    assert_eq!(f.store.find_todo(ann, todo.id).await.unwrap(), Some(todo.clone()));
    assert_eq!((todo.text, todo.category, todo.due, todo.parent), (full.text, full.category, full.due, full.parent));
    assert_eq!((todo.priority, todo.completed_at, todo.created_at, todo.updated_at), (Priority::Urgent, None, NOON, NOON));
    let timed = add(&f, ann, NewTodo { due: due("2026-11-22T09:30:00.007+01:00"), ..new("timed") }).await;
    assert_eq!(f.open_again().find_todo(ann, timed.id).await.unwrap(), Some(timed));
    assert_eq!(f.store.find_todo(ann, id(99)).await.unwrap(), None);
}

pub(super) async fn a_number_is_never_used_again(f: Fixture) {
    let (ann, bob) = (person(&f, ANN).await, person(&f, BOB).await);
    for number in 1..=3 {
        assert_eq!(add(&f, ann, new(&format!("item {number}"))).await.id, id(number));
    }
    assert_eq!(f.store.delete_todo(ann, id(3)).await.unwrap(), [id(3)]);
    assert_eq!(add(&f, ann, new("after the last was deleted")).await.id, id(4));
    for number in [1, 2, 4] {
        f.store.delete_todo(ann, id(number)).await.unwrap();
    }
    assert_eq!(f.open_again().add_todo(ann, new("after all were deleted"), PLENTY).await.unwrap().todo.id, id(5));
    assert_eq!(add(&f, bob, new("another's begin at one")).await.id, id(1));
}

pub(super) async fn an_equal_open_item_is_returned_and_not_doubled(f: Fixture) {
    let ann = person(&f, ANN).await;
    let milk = add(&f, ann, NewTodo { category: Some("Shopping".to_owned()), due: due("2026-11-23"), ..new("Buy milk") }).await;
    f.advance(1000);
    for equal in [
        new("buy  MILK "),
        NewTodo { category: Some("SHOPPING".to_owned()), ..new("Buy milk") },
        NewTodo { due: due("2026-11-23"), priority: Some(Priority::High), ..new("Buy milk") },
    ] {
        let again = f.store.add_todo(ann, equal, PLENTY).await.unwrap();
        assert_eq!((again.is_new, &again.todo), (false, &milk), "it was returned as it is");
    }
    // Another day, another category, a part of something: other items.
    add(&f, ann, NewTodo { due: due("2026-11-24"), ..new("Buy milk") }).await;
    add(&f, ann, NewTodo { category: Some("Office".to_owned()), ..new("Buy milk") }).await;
    add(&f, ann, NewTodo { parent: Some(milk.id), ..new("Buy milk") }).await;
    assert!(!f.store.add_todo(ann, NewTodo { parent: Some(milk.id), ..new("BUY MILK") }, PLENTY).await.unwrap().is_new);
    // What is done may be written down anew.
    let bread = add(&f, ann, new("Bread")).await;
    finish(&f, ann, bread.id).await;
    assert_ne!(add(&f, ann, new("Bread")).await.id, bread.id);
}

pub(super) async fn sixteen_at_once_write_an_equal_item_once_and_different_ones_each(f: Fixture) {
    let ann = person(&f, ANN).await;
    let other = f.open_again();
    let adding = (0..160_usize).map(|number| {
        let store = if number % 2 == 0 { &f.store } else { &other };
        let text = if number % 10 == 0 { "the same".to_owned() } else { format!("item {number}") };
        async move { store.add_todo(ann, new(&text), PLENTY).await.unwrap() }
    });
    let added: Vec<_> =
        futures::stream::StreamExt::collect(futures::stream::StreamExt::buffer_unordered(futures::stream::iter(adding), 16)).await;
    assert_eq!(added.iter().filter(|added| added.is_new).count(), 145);
    let mut numbers: Vec<i64> = all(&f.store, ann, &TodoFilter::default()).await.iter().map(|todo| todo.id.number()).collect();
    numbers.dedup();
    assert_eq!(numbers, (1..=145).collect::<Vec<_>>());
}

pub(super) async fn a_full_list_refuses_and_a_deletion_makes_room(f: Fixture) {
    let ann = person(&f, ANN).await;
    for number in 0..3 {
        f.store.add_todo(ann, new(&format!("item {number}")), 3).await.unwrap();
    }
    let refused = f.store.add_todo(ann, new("one too many"), 3).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Conflict { reason } if reason.contains('3')), "{refused}");
    // What stands there already needs no room.
    assert!(!f.store.add_todo(ann, new("ITEM 1"), 3).await.unwrap().is_new);
    let refused = f.store.import_todos(ann, vec![imported("item 1"), imported("from elsewhere")], 3).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })));
    assert_eq!(f.store.import_todos(ann, vec![imported("item 1")], 3).await.unwrap(), ImportedTodos { added: 0, known: 1 });
    f.store.delete_todo(ann, id(1)).await.unwrap();
    assert_eq!(f.store.add_todo(ann, new("one more"), 3).await.unwrap().todo.id, id(4), "a refusal uses up no number");
}

pub(super) async fn an_item_changes_field_by_field(f: Fixture) {
    let ann = person(&f, ANN).await;
    let before = add(&f, ann, NewTodo { category: Some("Home".to_owned()), due: due("2026-11-23"), ..new("Paint") }).await;
    f.advance(90_500);
    let change = async |changes: Vec<TodoChange>| f.store.change_todo(ann, before.id, changes).await.unwrap();
    let changed = change(vec![TodoChange::Priority(Priority::High), TodoChange::Due(None)]).await;
    let expected = Todo { priority: Priority::High, due: None, updated_at: f.clock.now(), ..before.clone() };
    assert_eq!((changed.changed, &changed.todo), (true, &expected));
    f.advance(1000);
    let again = change(vec![TodoChange::Priority(Priority::High), TodoChange::Due(None)]).await;
    assert_eq!((again.changed, &again.todo), (false, &expected), "a repeat changes nothing");
    let done = change(vec![TodoChange::State(TodoState::Completed)]).await.todo;
    assert_eq!(done.seconds_to_complete(), Some(91));
    let again = change(vec![TodoChange::State(TodoState::Completed), TodoChange::Text("Paint the fence".to_owned())]).await.todo;
    assert_eq!((again.completed_at, again.text.as_str()), (done.completed_at, "Paint the fence"));
    let reopened = change(vec![TodoChange::State(TodoState::Open), TodoChange::Category(None)]).await.todo;
    assert_eq!((reopened.completed_at, reopened.category), (None, None));
    // It is found by its new words alone.
    assert_eq!(texts(&f, ann, TodoFilter { named: Some(words("paint THE fence")), ..TodoFilter::default() }).await, ["Paint the fence"]);
    assert!(texts(&f, ann, TodoFilter { named: Some(words("paint")), ..TodoFilter::default() }).await.is_empty());
    assert!(texts(&f, ann, TodoFilter { category: Some(words("home")), ..TodoFilter::default() }).await.is_empty());
    let missing = f.store.change_todo(ann, id(99), vec![TodoChange::Due(None)]).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
}

pub(super) async fn an_item_takes_its_parts_along(f: Fixture) {
    let ann = person(&f, ANN).await;
    let part = |text: &str, parent: i64| NewTodo { parent: Some(id(parent)), ..new(text) };
    add(&f, ann, new("party")).await;
    add(&f, ann, part("guests", 1)).await;
    add(&f, ann, new("taxes")).await;
    add(&f, ann, part("write cards", 2)).await;
    add(&f, ann, part("cake", 1)).await;
    let orphan = f.store.add_todo(ann, part("orphan", 99), PLENTY).await;
    assert!(matches!(orphan, Err(StoreError::NotFound { what }) if what.contains("parent")));

    let mut gone = f.store.delete_todo(ann, id(1)).await.unwrap();
    assert_eq!(gone.remove(0), id(1));
    gone.sort_unstable();
    assert_eq!(gone, [id(2), id(4), id(5)]);
    assert_eq!(texts(&f, ann, TodoFilter::default()).await, ["taxes"]);
    assert!(matches!(f.store.delete_todo(ann, id(1)).await, Err(StoreError::NotFound { .. })));
    // The places of all four are free.
    for number in 0..4 {
        f.store.add_todo(ann, new(&format!("item {number}")), 5).await.unwrap();
    }
    assert!(f.store.add_todo(ann, new("sixth"), 5).await.is_err());
}

pub(super) async fn items_are_listed_by_all_that_is_asked(f: Fixture) {
    let ann = person(&f, ANN).await;
    let item = |text: &str, category: &str, priority, when: &str| NewTodo {
        text: text.to_owned(),
        category: (!category.is_empty()).then(|| category.to_owned()),
        priority: Some(priority),
        due: (!when.is_empty()).then(|| when.parse().unwrap()),
        parent: None,
    };
    add(&f, ann, item("Straße kehren", "Haus", Priority::Low, "2026-11-21")).await;
    add(&f, ann, item("call Ada", "Work", Priority::High, "2026-11-22T11:59:59Z")).await;
    add(&f, ann, item("call Bob", "work", Priority::High, "2026-11-22T12:00:00Z")).await;
    add(&f, ann, item("buy milk", "", Priority::Medium, "2026-11-22")).await;
    add(&f, ann, item("100% sure_thing", "Work", Priority::Medium, "")).await;
    finish(&f, ann, id(5)).await;
    let utc = TimeZone::UTC;
    let overdue = DueWithin::overdue(NOON, &utc);
    let none = TodoFilter::default;
    let holding = |words: &[&str]| TodoFilter { holding: words.iter().map(|word| (*word).to_owned()).collect(), ..none() };
    for (filter, expected) in [
        (none(), vec![1, 2, 3, 4, 5]),
        (TodoFilter { state: Some(TodoState::Open), ..none() }, vec![1, 2, 3, 4]),
        (TodoFilter { state: Some(TodoState::Completed), ..none() }, vec![5]),
        (TodoFilter { category: Some(words("WORK")), ..none() }, vec![2, 3, 5]),
        (TodoFilter { category: Some(words("WORK")), state: Some(TodoState::Open), ..none() }, vec![2, 3]),
        (TodoFilter { category: Some(words("nothing")), ..none() }, vec![]),
        (TodoFilter { priority: Some(Priority::High), ..none() }, vec![2, 3]),
        (TodoFilter { due: Some(overdue.clone()), ..none() }, vec![1, 2]),
        (TodoFilter { due: Some(DueWithin::from_today(1, NOON, &utc)), ..none() }, vec![2, 3, 4]),
        (TodoFilter { due: Some(DueWithin::from_today(7, NOON, &utc)), priority: Some(Priority::Medium), ..none() }, vec![4]),
        (holding(&["strasse"]), vec![1]),
        (holding(&["call", "work"]), vec![2, 3]),
        (holding(&["all", "b"]), vec![3]),
        (holding(&["%"]), vec![5]),
        (holding(&["_"]), vec![5]),
        (holding(&["call bob"]), vec![3]),
        (holding(&["call", "nothing"]), vec![]),
    ] {
        let found: Vec<i64> = all(&f.store, ann, &filter).await.iter().map(|todo| todo.id.number()).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    for wrong in ["", "x", "AAAA", "' OR 1=1"] {
        let page = PageRequest { cursor: Some(wrong.to_owned()), limit: 2 };
        assert!(matches!(f.store.list_todos(ann, none(), page).await, Err(StoreError::InvalidCursor)), "{wrong:?}");
    }
    let figures = f.store.todo_figures(ann, overdue).await.unwrap();
    let name = |name: &str| Some(name.to_owned());
    let expected = TodoFigures {
        open: 4,
        completed: 1,
        overdue: 2,
        by_category: BTreeMap::from([(None, 1), (name("Haus"), 1), (name("Work"), 3)]),
        by_priority: BTreeMap::from([(Priority::Low, 1), (Priority::Medium, 2), (Priority::High, 2)]),
        average_seconds_to_complete: Some(0),
    };
    assert_eq!(figures, expected);
}

pub(super) async fn the_mean_is_of_whole_seconds_of_what_is_done(f: Fixture) {
    let (ann, bob) = (person(&f, ANN).await, person(&f, BOB).await);
    for (text, millis) in [("one", 10_900), ("two", 21_000)] {
        let todo = add(&f, ann, new(text)).await;
        f.advance(millis);
        finish(&f, ann, todo.id).await;
    }
    add(&f, ann, new("three")).await;
    let overdue = DueWithin::overdue(f.clock.now(), &TimeZone::UTC);
    assert_eq!(f.store.todo_figures(ann, overdue.clone()).await.unwrap().average_seconds_to_complete, Some(15));
    assert_eq!(f.store.todo_figures(bob, overdue).await.unwrap(), TodoFigures::default());
}

pub(super) async fn an_import_keeps_times_and_parts_and_a_repeat_adds_nothing(f: Fixture) {
    let ann = person(&f, ANN).await;
    let own = add(&f, ann, new("Buy milk")).await;
    f.advance(60_000);
    let then = at("2024-02-29T08:00:00Z");
    let items = vec![
        ImportedTodo { parent: Some(2), ..imported("write cards") },
        ImportedTodo { created_at: Some(then), ..imported("buy milk") },
        ImportedTodo {
            created_at: Some(then),
            completed_at: Some(at("2024-03-01T08:00:00Z")),
            category: Some("Fun".to_owned()),
            priority: Priority::Urgent,
            due: due("2024-03-02"),
            ..imported("party")
        },
        imported("BUY MILK"),
        imported("twice"),
        imported("twice"),
    ];
    let report = f.store.import_todos(ann, items.clone(), PLENTY).await.unwrap();
    assert_eq!(report, ImportedTodos { added: 5, known: 1 });
    let found = all(&f.store, ann, &TodoFilter::default()).await;
    assert_eq!(
        found.iter().map(|todo| todo.text.as_str()).collect::<Vec<_>>(),
        ["Buy milk", "write cards", "buy milk", "party", "twice", "twice"]
    );
    assert_eq!(found[0], own, "what stood there is untouched");
    assert_eq!((found[1].parent, found[1].created_at), (Some(found[3].id), f.clock.now()));
    let party = &found[3];
    assert_eq!((party.created_at, party.seconds_to_complete(), party.priority), (then, Some(86_400), Priority::Urgent));
    assert_eq!((party.due, party.category.as_deref()), (due("2024-03-02"), Some("Fun")));

    f.advance(60_000);
    assert_eq!(f.store.import_todos(ann, items, PLENTY).await.unwrap(), ImportedTodos { added: 0, known: 6 });
    assert_eq!(all(&f.store, ann, &TodoFilter::default()).await, found);
    assert_eq!(add(&f, ann, new("next")).await.id, id(7));
    let nobody = UserId::from_bytes([7; 12]);
    assert!(matches!(f.store.import_todos(nobody, vec![imported("x")], PLENTY).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(f.store.add_todo(nobody, new("x"), PLENTY).await, Err(StoreError::NotFound { .. })));
}

/// Two people with the same numbers and texts for everything.
pub(super) async fn another_persons_numbers_give_nothing(f: Fixture) {
    let (ann, bob) = (person(&f, ANN).await, person(&f, BOB).await);
    let fill = async |user| {
        add(&f, user, NewTodo { category: Some("same".to_owned()), ..new("same") }).await;
        add(&f, user, NewTodo { parent: Some(id(1)), ..new("part") }).await;
    };
    fill(ann).await;
    fill(bob).await;
    let bobs = add(&f, bob, NewTodo { due: due("2020-01-01"), ..new("bob's own") }).await;
    let before = all(&f.store, bob, &TodoFilter::default()).await;

    assert_eq!(f.store.find_todo(ann, bobs.id).await.unwrap(), None);
    assert!(matches!(f.store.change_todo(ann, bobs.id, vec![TodoChange::Due(None)]).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(f.store.delete_todo(ann, bobs.id).await, Err(StoreError::NotFound { .. })));
    let below = NewTodo { parent: Some(bobs.id), ..new("below") };
    assert!(matches!(f.store.add_todo(ann, below, PLENTY).await, Err(StoreError::NotFound { .. })));
    assert_eq!(texts(&f, ann, TodoFilter { holding: vec!["bob".to_owned()], ..TodoFilter::default() }).await, [""; 0]);
    let overdue = DueWithin::overdue(NOON, &TimeZone::UTC);
    assert_eq!(f.store.todo_figures(ann, overdue).await.unwrap().overdue, 0);
    finish(&f, ann, id(2)).await;
    assert_eq!(f.store.import_todos(ann, vec![imported("bob's own")], PLENTY).await.unwrap(), ImportedTodos { added: 1, known: 0 });
    f.store.delete_todo(ann, id(1)).await.unwrap();
    assert_eq!(all(&f.store, bob, &TodoFilter::default()).await, before);
}

/// What one step of the property below does.
#[derive(Debug, Clone)]
enum Step {
    Add { who: usize, text: usize, parent: Option<i64> },
    Finish { who: usize, id: i64 },
    Reopen { who: usize, id: i64 },
    Rename { who: usize, id: i64, text: usize },
    Delete { who: usize, id: i64 },
}

/// A list as simple as it can be.
#[derive(Debug, Default)]
struct Model {
    last: i64,
    items: BTreeMap<i64, (usize, Option<i64>, bool)>,
}

impl Model {
    fn add(&mut self, text: usize, parent: Option<i64>) -> Option<i64> {
        if parent.is_some_and(|parent| !self.items.contains_key(&parent)) {
            return None;
        }
        let equal = self.items.iter().find(|(_, item)| **item == (text, parent, false));
        if let Some((id, _)) = equal {
            return Some(*id);
        }
        self.last += 1;
        self.items.insert(self.last, (text, parent, false));
        Some(self.last)
    }

    fn delete(&mut self, id: i64) -> bool {
        let had = self.items.remove(&id).is_some();
        let below: Vec<i64> = self.items.iter().filter(|(_, item)| item.1 == Some(id)).map(|(id, _)| *id).collect();
        if had {
            for id in below {
                self.delete(id);
            }
        }
        had
    }
}

pub(super) async fn whatever_two_people_do_their_lists_are_those_of_a_simple_model(f: Fixture) {
    let people = [person(&f, ANN).await, person(&f, BOB).await];
    let who = 0..2_usize;
    let some_id = 1..12_i64;
    let step = prop_oneof![
        4 => (who.clone(), 0..6_usize, proptest::option::weighted(0.3, some_id.clone())).prop_map(|(who, text, parent)| Step::Add { who, text, parent }),
        2 => (who.clone(), some_id.clone()).prop_map(|(who, id)| Step::Finish { who, id }),
        1 => (who.clone(), some_id.clone()).prop_map(|(who, id)| Step::Reopen { who, id }),
        1 => (who.clone(), some_id.clone(), 0..6_usize).prop_map(|(who, id, text)| Step::Rename { who, id, text }),
        1 => (who, some_id).prop_map(|(who, id)| Step::Delete { who, id }),
    ];
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let steps = proptest::collection::vec(step, 400..401).new_tree(&mut runner).unwrap().current();
    let mut models = [Model::default(), Model::default()];
    for step in steps {
        f.clock.advance(Duration::from_secs(1));
        let text = |number: usize| format!("text {number}");
        match step.clone() {
            Step::Add { who, text: number, parent } => {
                let added = f.store.add_todo(people[who], NewTodo { parent: parent.map(id), ..new(&text(number)) }, PLENTY).await;
                assert_eq!(added.ok().map(|added| added.todo.id.number()), models[who].add(number, parent), "{step:?}");
            }
            Step::Finish { who, id: number } | Step::Reopen { who, id: number } | Step::Rename { who, id: number, .. } => {
                let item = models[who].items.get_mut(&number);
                let known = item.is_some();
                let mut none = (0, None, false);
                let item = item.unwrap_or(&mut none);
                let change = match step {
                    Step::Finish { .. } => {
                        item.2 = true;
                        TodoChange::State(TodoState::Completed)
                    }
                    Step::Reopen { .. } => {
                        item.2 = false;
                        TodoChange::State(TodoState::Open)
                    }
                    Step::Rename { text: number, .. } => {
                        item.0 = number;
                        TodoChange::Text(text(number))
                    }
                    Step::Add { .. } | Step::Delete { .. } => unreachable!(),
                };
                assert_eq!(f.store.change_todo(people[who], id(number), vec![change]).await.is_ok(), known, "{step:?}");
            }
            Step::Delete { who, id: number } => {
                assert_eq!(f.store.delete_todo(people[who], id(number)).await.is_ok(), models[who].delete(number), "{step:?}");
            }
        }
    }
    for (person, model) in people.into_iter().zip(models) {
        let found: BTreeMap<i64, (String, Option<i64>, bool)> = all(&f.store, person, &TodoFilter::default())
            .await
            .into_iter()
            .map(|todo| (todo.id.number(), (todo.text, todo.parent.map(TodoId::number), todo.completed_at.is_some())))
            .collect();
        let expected: BTreeMap<_, _> =
            model.items.into_iter().map(|(id, (text, parent, done))| (id, (format!("text {text}"), parent, done))).collect();
        assert!(expected.len() > 2, "the steps left nothing to compare");
        assert_eq!(found, expected);
    }
}
