//! What two people have together.

use super::*;
use crate::domain::time::Timestamp;
use crate::domain::todo::Priority;
use crate::store::record::words::Word;
use crate::store::record::{Activity, Notice, Person, StoredEntity, StoredGraph, StoredObservation, StoredRelation, StoredTodo, TodoList};

const FROM: UserId = UserId::from_bytes([1; 12]);
const INTO: UserId = UserId::from_bytes([2; 12]);

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn limits() -> MergeLimits {
    let graph = GraphLimits { name_characters: 9, observation_characters: 9, items: 9, entities: 3, observations: 3, relations: 3 };
    MergeLimits { graph, todos: 3, schedules: 3 }
}

fn somebody(user: UserId, phone: Option<&str>) -> Holdings {
    let person = Person {
        user_id: user,
        email: format!("{user}@example.com"),
        name: user.to_string(),
        username: user.to_string(),
        provider: "sms".to_owned(),
        role: "USER".to_owned(),
        email_verified: true,
        caller_metadata: serde_json::from_str("{}").unwrap(),
        blocked: false,
        first_contact: at(5),
        created_at: at(5),
        updated_at: at(5),
        phone: phone.map(|phone| PhoneNumber::from_stored(phone).unwrap()),
        preferred_endpoint: None,
        preferred_model: None,
        preferred_agent: None,
        time_zone: None,
        quiet_hours: None,
        erased_at: None,
    };
    Holdings { person: Some(person), ..Holdings::default() }
}

fn activity(user: UserId, day: Option<&str>, today: i64, balance: Option<i64>) -> Activity {
    Activity {
        user_id: user,
        last_sms: at(today),
        message_count: 10,
        latest_event: 4,
        turns_today: today,
        balance,
        refilled_at: balance.map(at),
        turns_day: day.map(str::to_owned),
        route_gateway: None,
        route_from: None,
    }
}

fn with_graph(mut holdings: Holdings, user: UserId, names: &[&str], facts: &[(i64, &str)], ties: &[(i64, i64)]) -> Holdings {
    let mut number = 0;
    let mut next = || {
        number += 1;
        number
    };
    holdings.entities = names
        .iter()
        .map(|name| StoredEntity {
            user_id: user,
            number: next(),
            name: (*name).to_owned(),
            entity_type: user.to_string(),
            created_at: at(1),
            updated_at: at(1),
        })
        .collect();
    holdings.observations = facts
        .iter()
        .map(|(entity, text)| StoredObservation {
            user_id: user,
            number: next(),
            entity: *entity,
            text: (*text).to_owned(),
            created_at: at(1),
            conversation_id: None,
        })
        .collect();
    holdings.relations = ties
        .iter()
        .map(|(source, target)| StoredRelation {
            user_id: user,
            number: next(),
            source: *source,
            target: *target,
            relation_type: "knows".to_owned(),
            created_at: at(1),
        })
        .collect();
    holdings.graph = Some(StoredGraph { user_id: user, last_item: next() - 1, entities: 0, observations: 0, relations: 0 });
    holdings
}

fn todo(user: UserId, id: i64, text: &str, parent_id: Option<i64>, completed_at: Option<Timestamp>) -> StoredTodo {
    StoredTodo {
        user_id: user,
        id,
        text: text.to_owned(),
        priority: Word(Priority::default()),
        created_at: at(7),
        updated_at: at(7),
        category: None,
        due_on: None,
        due_at: None,
        parent_id,
        completed_at,
    }
}

fn with_todos(mut holdings: Holdings, user: UserId, todos: Vec<StoredTodo>) -> Holdings {
    let last_id = todos.iter().map(|todo| todo.id).max().unwrap_or(0);
    holdings.todo_list = Some(TodoList { user_id: user, last_id, items: i64::try_from(todos.len()).unwrap() });
    holdings.todos = todos;
    holdings
}

#[test]
fn what_one_lacks_comes_from_the_other_and_what_both_have_is_the_remaining_ones() {
    let (mut from, mut into) = (somebody(FROM, Some("+15550000001")), somebody(INTO, None));
    from.activity = Some(activity(FROM, Some("2026-11-22"), 3, Some(100)));
    into.activity = Some(activity(INTO, Some("2026-11-22"), 2, Some(50)));
    let person = from.person.as_mut().unwrap();
    person.time_zone = Some("Europe/Berlin".to_owned());
    person.preferred_model = Some("large".to_owned());
    person.blocked = true;
    person.first_contact = at(1);
    let kept = into.person.as_mut().unwrap();
    kept.preferred_agent = Some("agent_x".to_owned());
    kept.quiet_hours = Some("22:00-07:00".to_owned());
    let united = unite(&from, &into, &limits()).unwrap();
    let [Record::Person(person), Record::Activity(activity)] = united.put.as_slice() else { panic!("{:?}", united.put) };
    assert_eq!(
        (person.user_id, &person.phone, person.blocked, person.first_contact),
        (INTO, &from.person.as_ref().unwrap().phone, true, at(1))
    );
    assert_eq!((person.time_zone.as_deref(), person.quiet_hours.as_deref()), (Some("Europe/Berlin"), Some("22:00-07:00")));
    assert_eq!(
        (person.preferred_model.as_deref(), person.preferred_agent.as_deref()),
        (None, Some("agent_x")),
        "one choice, not two halves"
    );
    assert_eq!((activity.balance, activity.refilled_at, activity.message_count), (Some(150), Some(at(100)), 20));
    assert_eq!((activity.turns_today, activity.latest_event, activity.last_sms), (5, 8, at(3)));
    assert_eq!((united.merged.taken, united.merged.freed), (person.phone.clone(), None));

    assert!(matches!(unite(&into, &into, &limits()), Err(StoreError::Conflict { .. })));
    assert!(matches!(unite(&Holdings::default(), &into, &limits()), Err(StoreError::NotFound { .. })));
}

#[test]
fn of_two_words_the_more_careful_holds() {
    assert_eq!(more_careful(Some((true, at(1))), Some((false, at(5)))), Some((true, at(5))), "and no earlier word undoes it");
    assert_eq!(more_careful(Some((true, at(1))), None), Some((true, at(1))));
    assert_eq!(more_careful(Some((true, at(9))), Some((true, at(5)))), None);
    assert_eq!(more_careful(Some((false, at(9))), Some((true, at(5)))), None);
    assert_eq!(more_careful(None, Some((false, at(5)))), None);
}

#[test]
fn notices_are_those_of_both_the_newer_of_two() {
    let notice = |user, key: &str, given| Notice { user_id: user, key: key.to_owned(), given_at: at(given) };
    let (mut from, mut into) = (somebody(FROM, None), somebody(INTO, None));
    from.notices = vec![notice(FROM, "a", 5), notice(FROM, "b", 5), notice(FROM, "c", 5)];
    into.notices = vec![notice(INTO, "a", 4), notice(INTO, "b", 6)];
    let put = unite(&from, &into, &limits()).unwrap().put;
    let expected = ["a", "c"].map(|key| Record::Notice(Box::new(notice(INTO, key, 5))));
    assert_eq!(put.get(1..).unwrap(), expected);
}

#[test]
fn entities_of_one_name_are_one() {
    // Tom and Ann are numbers 1 and 2; in the remaining graph Ann is 1 and Bob is 2.
    let mut from =
        with_graph(somebody(FROM, None), FROM, &["Tom", "Ann"], &[(1, "sings"), (2, "is kind"), (2, "swims")], &[(1, 2), (2, 2)]);
    from.entities[1].updated_at = at(9);
    let into = with_graph(somebody(INTO, None), INTO, &["Ann", "Bob"], &[(1, "is kind")], &[(1, 1)]);
    let united = unite(&from, &into, &limits()).unwrap();
    assert_eq!((united.merged.entities, united.merged.observations, united.merged.relations), (1, 2, 1));
    let lines: Vec<String> = united.put.iter().skip(1).map(|record| record.to_json().unwrap()).collect();
    assert!(lines[0].contains(r#""lastItem":8,"entities":3,"observations":3,"relations":2"#), "{}", lines[0]);
    // Ann keeps her type, and was known as early and changed as late as either says.
    assert!(lines[1].contains(r#""number":1,"name":"Ann","type":"020202020202020202020202""#), "{}", lines[1]);
    assert!(lines[2].contains(r#""number":5,"name":"Tom","type":"010101010101010101010101""#), "{}", lines[2]);
    assert!(lines[3].contains(r#""number":6,"entity":5,"text":"sings""#) && lines[4].contains(r#""number":7,"entity":1,"text":"swims""#));
    assert!(lines[5].contains(r#""number":8,"source":5,"target":1"#), "{}", lines[5]);
    assert_eq!(lines.len(), 6);
    assert!(united.put.iter().all(|record| record.user_id() == Some(INTO)));

    let narrow = MergeLimits { graph: GraphLimits { observations: 2, ..limits().graph }, ..limits() };
    let refused = unite(&from, &into, &narrow).unwrap_err().to_string();
    assert!(refused.contains("together they would have 3 observations, and 2 are allowed"), "{refused}");
}

#[test]
fn an_item_that_both_have_is_one_with_its_parts() {
    let from = vec![
        todo(FROM, 1, "Shop", None, None),
        todo(FROM, 2, "milk", Some(1), None),
        todo(FROM, 3, "bread", Some(1), None),
        todo(FROM, 4, "shave", None, Some(at(9))),
        todo(FROM, 5, "call", None, None),
    ];
    let into = vec![
        todo(INTO, 7, "shop", None, None),
        todo(INTO, 8, "Milk", Some(7), None),
        todo(INTO, 9, "shave", None, Some(at(9))),
        todo(INTO, 10, "call", None, Some(at(8))),
    ];
    let (from, into) = (with_todos(somebody(FROM, None), FROM, from), with_todos(somebody(INTO, None), INTO, into));
    let roomy = MergeLimits { todos: 6, ..limits() };
    let united = unite(&from, &into, &roomy).unwrap();
    assert_eq!(united.merged.todos, 2);
    let [_person, Record::TodoList(list), Record::Todo(bread), Record::Todo(call)] = united.put.as_slice() else {
        panic!("{:?}", united.put)
    };
    assert_eq!((list.last_id, list.items), (12, 6));
    assert_eq!((bread.id, bread.parent_id, bread.text.as_str()), (11, Some(7), "bread"));
    assert_eq!((call.id, call.parent_id, call.completed_at), (12, None, None));

    let refused = unite(&from, &into, &MergeLimits { todos: 5, ..limits() }).unwrap_err().to_string();
    assert!(refused.contains("together they would have 6 todo items, and 5 are allowed"), "{refused}");
    // Who has too much already may still be joined by somebody with nothing new.
    let same = with_todos(somebody(FROM, None), FROM, vec![todo(FROM, 1, "SHOP", None, None)]);
    assert_eq!(unite(&same, &into, &MergeLimits { todos: 1, ..limits() }).unwrap().merged.todos, 0);
}
