//! What was deleted whole: gone for everybody at once, and erased step by step, by whichever process comes to it.

use rusqlite::Connection;
use scrubjay::domain::graph::{Detail, GraphCounts, NewEntity};
use scrubjay::domain::ids::UserId;
use scrubjay::store::{GraphRead, GraphSearch, SharedStore};

use super::fixture::{ANN, BOB, Fixture};
use super::graph::{LIMITS, new, relation};

/// Entities of a graph that is too large to be erased in the step that deletes it.
const MANY: usize = 300;

/// Gives somebody a graph: so many entities of two observations each, each related to the next.
async fn fill(store: &SharedStore, user: UserId, entities: usize) {
    let name = |number: usize| format!("entity {number}");
    let new: Vec<NewEntity> = (0..entities).map(|number| new(&name(number), "thing", &["is grey", "was blue once"])).collect();
    store.create_entities(user, new, None, LIMITS).await.unwrap();
    let relations = (1..entities).map(|number| relation(&name(number - 1), "precedes", &name(number))).collect();
    store.create_relations(user, relations, LIMITS).await.unwrap();
}

async fn names(store: &SharedStore, user: UserId) -> Vec<String> {
    let read = GraphRead { cursor: None, limit: 1_000, bytes: usize::MAX, detail: Detail::Names, whole: true };
    store.read_graph(user, read).await.unwrap().entities.into_iter().map(|entity| entity.name).collect()
}

async fn hits(store: &SharedStore, user: UserId, query: &str) -> usize {
    let search = GraphSearch { query: query.to_owned(), cursor: None, limit: 1_000, bytes: usize::MAX, detail: Detail::Names };
    store.search_nodes(user, search).await.unwrap().found.entities.len()
}

pub(super) async fn a_large_graph_is_empty_at_once_and_erased_step_by_step(f: Fixture) {
    let (ann, bob) = (f.texted(ANN, "x").await.user_id, f.texted(BOB, "x").await.user_id);
    fill(&f.store, ann, MANY).await;
    fill(&f.store, bob, 3).await;
    assert!(!f.store.erase_left_over(50).await.unwrap(), "nothing was deleted");

    let gone = f.store.delete_graph(ann).await.unwrap();
    assert_eq!(gone, GraphCounts { entities: 300, observations: 600, relations: 299 });
    assert_eq!((names(&f.store, ann).await, hits(&f.store, ann, "grey").await), (Vec::new(), 0));
    assert_eq!(f.store.graph_stats(ann, 5).await.unwrap().counts, GraphCounts::default());
    assert_eq!(f.store.delete_graph(ann).await.unwrap(), GraphCounts::default());
    f.store.create_entities(ann, vec![new("entity 1", "thing", &["is grey again"])], None, LIMITS).await.unwrap();

    // Another process, or this one after a crash, goes on with it; the steps are bounded.
    let other = f.open_again();
    let mut steps = 1;
    while other.erase_left_over(50).await.unwrap() {
        steps += 1;
        assert_eq!((names(&f.store, ann).await.len(), hits(&f.store, ann, "grey").await), (1, 1), "what was stored since stays");
    }
    // In SQLite 900 rows of the index and 1,199 of the graph, less the first that went at once; MongoDB deletes a graph in one.
    assert!(steps <= 45, "{steps} steps");
    assert!(!f.store.erase_left_over(50).await.unwrap());
    assert_eq!((names(&f.store, bob).await.len(), hits(&f.store, bob, "grey").await), (3, 3));
    assert_eq!(names(&f.store, ann).await, ["entity 1"]);
    // A number that somebody was shown before means nothing that was stored since.
    let facts = f.store.list_facts(ann, scrubjay::store::PageRequest::first(5)).await.unwrap().items;
    assert!(facts[0].observation.id.0 > 600, "{facts:?}");
}

#[test]
fn a_step_takes_away_no_more_rows_than_it_was_told_and_in_the_end_all() {
    super::run("sqlite", |f| async move {
        let (ann, bob) = (f.texted(ANN, "x").await.user_id, f.texted(BOB, "x").await.user_id);
        fill(&f.store, ann, MANY).await;
        fill(&f.store, bob, 2).await;
        let db = Connection::open(f.settings.path.join("scrubjay.db")).unwrap();
        let tables = ["graph_index", "relations", "observations", "entities", "graphs"];
        let rows = || tables.map(|table| db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap());
        let before: i64 = rows().iter().sum();
        f.store.delete_graph(ann).await.unwrap();
        assert_eq!(before - rows().iter().sum::<i64>(), 99, "a hundred went with it, and a graph's row came");
        loop {
            let before: i64 = rows().iter().sum();
            let more = f.store.erase_left_over(40).await.unwrap();
            let erased = before - rows().iter().sum::<i64>();
            assert!((1..=40).contains(&erased), "{erased} rows in one step");
            if !more {
                break;
            }
        }
        assert_eq!(rows(), [6, 1, 4, 2, 2], "his, and her empty graph");
        db.execute_batch("INSERT INTO graph_index (graph_index) VALUES ('integrity-check')").unwrap();
        let broken: i64 = db.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)).unwrap();
        assert_eq!(broken, 0);
    });
}
