//! Sixteen writers through two opened stores, and room for one: exactly one gets it.

use std::sync::Arc;

use scrubjay::domain::graph::GraphLimits;
use scrubjay::store::{NewTodo, ScheduleFilter, SharedStore, StoreError, StoreResult};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::fixture::{ANN, Fixture};
use super::graph::{LIMITS, more, new, relation};
use super::schedules;

/// Writers at the same time.
const WRITERS: usize = 16;
/// What one person may have, which is one more than they have.
const LIMIT: i64 = 10;

/// Lets everybody write at once. One must win and the others must be told that there is no room.
async fn race<T: Send + 'static, W: Future<Output = StoreResult<T>> + Send + 'static>(
    f: &Fixture,
    write: impl Fn(SharedStore, usize) -> W,
) {
    let other = f.open_again();
    let (ready, mut writers) = (Arc::new(Barrier::new(WRITERS)), JoinSet::new());
    for number in 0..WRITERS {
        let writing = write(if number % 2 == 0 { f.store.clone() } else { other.clone() }, number);
        let ready = Arc::clone(&ready);
        writers.spawn(async move {
            ready.wait().await;
            writing.await
        });
    }
    let mut won = 0;
    while let Some(written) = writers.join_next().await {
        match written.unwrap() {
            Ok(_) => won += 1,
            Err(StoreError::Conflict { reason }) => assert!(reason.contains("10"), "the limit is told: {reason}"),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(won, 1);
    other.close().await;
}

pub(super) async fn one_of_sixteen_gets_the_last_entity(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    let limits = GraphLimits { entities: LIMIT, ..LIMITS };
    let there = (1..LIMIT).map(|number| new(&format!("there {number}"), "thing", &[])).collect();
    f.store.create_entities(user, there, None, limits).await.unwrap();
    race(&f, |store, number| async move {
        store.create_entities(user, vec![new(&format!("writer {number}"), "thing", &["x"])], None, limits).await
    })
    .await;
    assert_eq!(f.store.graph_stats(user, 1).await.unwrap().counts.entities, LIMIT);
}

pub(super) async fn one_of_sixteen_gets_the_last_observation_and_the_last_relation(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    let limits = GraphLimits { observations: LIMIT, relations: LIMIT, ..LIMITS };
    let there: Vec<String> = (1..LIMIT).map(|number| format!("there {number}")).collect();
    let there: Vec<&str> = there.iter().map(String::as_str).collect();
    f.store.create_entities(user, vec![new("Ada", "person", &there), new("Bob", "person", &[])], None, limits).await.unwrap();
    let relations = (1..LIMIT).map(|number| relation("Ada", &format!("there {number}"), "Bob")).collect();
    f.store.create_relations(user, relations, limits).await.unwrap();
    race(
        &f,
        |store, number| async move { store.add_observations(user, vec![more("Ada", &[&format!("writer {number}")])], None, limits).await },
    )
    .await;
    race(&f, |store, number| async move {
        store.create_relations(user, vec![relation("Ada", &format!("writer {number}"), "Bob")], limits).await
    })
    .await;
    let counts = f.store.graph_stats(user, 1).await.unwrap().counts;
    assert_eq!((counts.observations, counts.relations), (LIMIT, LIMIT));
}

pub(super) async fn one_of_sixteen_gets_the_last_item(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    let item = |text: String| NewTodo { text, category: None, priority: None, due: None, parent: None };
    for number in 1..LIMIT {
        f.store.add_todo(user, item(format!("there {number}")), 10).await.unwrap();
    }
    race(&f, |store, number| async move { store.add_todo(user, item(format!("writer {number}")), 10).await }).await;
    let last = f.store.find_todo(user, scrubjay::domain::todo::TodoId::new(10).unwrap()).await.unwrap().unwrap();
    assert!(last.text.starts_with("writer"));
}

pub(super) async fn one_of_sixteen_gets_the_last_schedule(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    for number in 1..LIMIT {
        f.store.add_schedule(user, schedules::new(&format!("there {number}"), 10), 10).await.unwrap();
    }
    race(&f, |store, number| async move { store.add_schedule(user, schedules::new(&format!("writer {number}"), 10), 10).await }).await;
    assert_eq!(f.store.list_schedules(user, ScheduleFilter::All).await.unwrap().len(), 10);
}
