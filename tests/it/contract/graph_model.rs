//! Random calls on a graph, compared with the simplest thing that could be right: lists that are searched from one end to the other.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use scrubjay::domain::graph::{Detail, GraphCounts, NewEntity, NewObservations, Relation, composed};
use scrubjay::domain::ids::UserId;
use scrubjay::store::{GraphSearch, NamedObservation, StoreError};

use super::fixture::{ANN, BOB, Fixture};
use super::graph::{LIMITS, texts, whole};

/// Names and texts that are easily taken for one another: case, accents, both Unicode forms, one inside the other.
const WORDS: &[&str] = &["Ada", "ada", "ADA", "Zoë", "Zoe\u{308}", "Zoe", "Σίσυφος", "a b", "a", "日本語", "日本", "x\0y", "\"q\" OR"];

#[derive(Debug, Clone)]
enum Call {
    Create(Vec<NewEntity>),
    Relate(Vec<Relation>),
    Add(Vec<NewObservations>),
    DeleteEntities(Vec<String>),
    DeleteObservations(Vec<(String, String)>),
    DeleteRelations(Vec<Relation>),
    Import(Vec<NewEntity>, Vec<Relation>),
    Forget,
    DeleteAll,
    Search(String),
    Open(Vec<String>),
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => proptest::sample::select(WORDS).prop_map(str::to_owned),
        1 => "[a-c]{1,4}",
        1 => "\\PC{1,6}".prop_filter("a name that can be seen", |text| !text.trim().is_empty()),
    ]
}

fn some<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(of, 0..4)
}

fn entity() -> impl Strategy<Value = NewEntity> {
    (word(), prop_oneof![word(), Just(String::new())], some(word())).prop_map(|(name, entity_type, observations)| NewEntity {
        name,
        entity_type,
        observations,
    })
}

fn relation() -> impl Strategy<Value = Relation> {
    (word(), word(), word()).prop_map(|(from, to, relation_type)| Relation { from, to, relation_type })
}

fn call() -> impl Strategy<Value = Call> {
    let observations = (word(), proptest::option::weighted(0.3, word()), some(word()))
        .prop_map(|(entity, entity_type, contents)| NewObservations { entity, entity_type, contents });
    let query = prop_oneof![3 => word(), 1 => (word(), word()).prop_map(|(a, b)| format!("{a} {b}")), 1 => Just(String::new())];
    prop_oneof![
        6 => some(entity()).prop_map(Call::Create),
        4 => some(relation()).prop_map(Call::Relate),
        4 => some(observations).prop_map(Call::Add),
        2 => some(word()).prop_map(Call::DeleteEntities),
        2 => some((word(), word())).prop_map(Call::DeleteObservations),
        2 => some(relation()).prop_map(Call::DeleteRelations),
        1 => (some(entity()), some(relation())).prop_map(|(entities, relations)| Call::Import(entities, relations)),
        1 => Just(Call::Forget),
        1 => proptest::bool::weighted(0.1).prop_map(|all| if all { Call::DeleteAll } else { Call::Forget }),
        4 => query.prop_map(Call::Search),
        2 => some(word()).prop_map(Call::Open),
    ]
}

/// An entity as the model has it: name, type, observations.
type Known = (String, String, Vec<String>);

#[derive(Default)]
struct Model {
    entities: Vec<Known>,
    relations: Vec<Relation>,
}

impl Model {
    fn find(&mut self, name: &str) -> Option<&mut Known> {
        let name = composed(name);
        self.entities.iter_mut().find(|entity| entity.0 == name)
    }

    fn has(&self, name: &str) -> bool {
        self.entities.iter().any(|entity| entity.0 == composed(name))
    }

    fn add(&mut self, name: &str, contents: &[String]) {
        let entity = self.find(name).unwrap();
        for text in contents.iter().map(|text| composed(text)) {
            if !entity.2.contains(&text) {
                entity.2.push(text);
            }
        }
    }

    fn create(&mut self, new: &NewEntity) {
        match self.find(&new.name) {
            Some(_there) if new.entity_type.is_empty() => {}
            Some(entity) => entity.1 = composed(&new.entity_type),
            None => self.entities.push((composed(&new.name), composed(&new.entity_type), Vec::new())),
        }
        self.add(&new.name, &new.observations);
    }

    fn relate(&mut self, relation: &Relation) {
        let relation = relation.composed();
        if self.has(&relation.from) && self.has(&relation.to) && !self.relations.contains(&relation) {
            self.relations.push(relation);
        }
    }

    fn counts(&self) -> GraphCounts {
        let observations: usize = self.entities.iter().map(|entity| entity.2.len()).sum();
        let count = |number: usize| i64::try_from(number).unwrap();
        GraphCounts { entities: count(self.entities.len()), observations: count(observations), relations: count(self.relations.len()) }
    }

    /// What the MCP project's memory server finds: the lower-cased query in the lower-cased texts.
    fn found(&self, query: &str) -> Vec<String> {
        let query = composed(query).to_lowercase();
        let contains = |text: &String| text.to_lowercase().contains(&query);
        let hit = |entity: &&Known| contains(&entity.0) || contains(&entity.1) || entity.2.iter().any(contains);
        self.entities.iter().filter(hit).map(|entity| entity.0.clone()).collect()
    }
}

async fn perform(f: &Fixture, user: UserId, model: &mut Model, call: Call) {
    let store = &f.store;
    match call {
        Call::Create(entities) => {
            for new in &entities {
                model.create(new);
            }
            store.create_entities(user, entities, None, LIMITS).await.unwrap();
        }
        Call::Relate(relations) => {
            for relation in &relations {
                model.relate(relation);
            }
            store.create_relations(user, relations, LIMITS).await.unwrap();
        }
        Call::Add(observations) => {
            let mut there: Vec<String> = Vec::new();
            let all_there = observations.iter().all(|new| {
                let is_there = model.has(&new.entity) || there.contains(&composed(&new.entity)) || new.entity_type.is_some();
                there.push(composed(&new.entity));
                is_there
            });
            let added = store.add_observations(user, observations.clone(), None, LIMITS).await;
            if !all_there {
                assert!(matches!(added, Err(StoreError::Conflict { .. })), "{added:?}");
                return;
            }
            assert_eq!(added.unwrap().len(), observations.len());
            for new in observations {
                if !model.has(&new.entity) {
                    model.entities.push((composed(&new.entity), composed(&new.entity_type.unwrap()), Vec::new()));
                }
                model.add(&new.entity, &new.contents);
            }
        }
        Call::DeleteEntities(names) => {
            let names: Vec<String> = names.iter().map(|name| composed(name)).collect();
            let before = model.entities.len();
            model.entities.retain(|entity| !names.contains(&entity.0));
            model.relations.retain(|relation| !names.contains(&relation.from) && !names.contains(&relation.to));
            let gone = store.delete_entities(user, names).await.unwrap();
            assert_eq!(gone.deleted, i64::try_from(before - model.entities.len()).unwrap());
        }
        Call::DeleteObservations(texts) => {
            let before = model.counts().observations;
            for (name, text) in &texts {
                if let Some(entity) = model.find(name) {
                    entity.2.retain(|known| *known != composed(text));
                }
            }
            let texts = texts.into_iter().map(|(entity, text)| NamedObservation { entity, text }).collect();
            assert_eq!(store.delete_observations(user, texts).await.unwrap().deleted, before - model.counts().observations);
        }
        Call::DeleteRelations(relations) => {
            let before = model.relations.len();
            model.relations.retain(|known| !relations.iter().any(|relation| relation.composed() == *known));
            let gone = store.delete_relations(user, relations).await.unwrap();
            assert_eq!(gone.deleted, i64::try_from(before - model.relations.len()).unwrap());
        }
        Call::Import(entities, relations) => {
            for new in &entities {
                model.create(new);
            }
            for relation in &relations {
                model.relate(relation);
            }
            store.import_graph(user, entities, relations, LIMITS).await.unwrap();
        }
        Call::Forget => {
            let newest = store.list_facts(user, scrubjay::store::PageRequest::first(1)).await.unwrap().items.pop();
            let Some(newest) = newest else {
                assert_eq!(model.counts().observations, 0);
                return;
            };
            store.delete_observation(user, newest.observation.id).await.unwrap().unwrap();
            model.find(&newest.entity).unwrap().2.retain(|text| *text != newest.observation.text);
        }
        Call::DeleteAll => {
            assert_eq!(store.delete_graph(user).await.unwrap(), model.counts());
            *model = Model::default();
        }
        Call::Search(query) => {
            let search = GraphSearch { query: query.clone(), cursor: None, limit: 1_000, bytes: usize::MAX, detail: Detail::Plain };
            let found = store.search_nodes(user, search).await.unwrap().found.entities;
            for name in model.found(&query) {
                assert!(found.iter().any(|entity| entity.name == name), "{query:?} does not find {name:?}");
            }
        }
        Call::Open(names) => {
            let wanted: Vec<String> = names.iter().map(|name| composed(name)).collect();
            let opened = store.open_nodes(user, names, Detail::Plain, usize::MAX).await.unwrap();
            let there: Vec<_> = model.entities.iter().filter(|entity| wanted.contains(&entity.0)).collect();
            assert_eq!(opened.found.entities.len(), there.len());
            for (entity, known) in opened.found.entities.iter().zip(there) {
                assert_eq!((&entity.name, texts(entity)), (&known.0, known.2.iter().map(String::as_str).collect()));
            }
        }
    }
}

async fn agrees(f: &Fixture, user: UserId, model: &Model) {
    let (entities, relations) = whole(&f.store, user).await;
    let entities: Vec<Known> = entities
        .into_iter()
        .map(|entity| (entity.name.clone(), entity.entity_type.clone(), texts(&entity).into_iter().map(str::to_owned).collect()))
        .collect();
    assert_eq!((&entities, &relations), (&model.entities, &model.relations));
    assert_eq!(f.store.graph_stats(user, 1).await.unwrap().counts, model.counts());
}

pub(super) async fn random_calls_do_what_a_simple_model_does(f: Fixture) {
    let handle = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, max_shrink_iters: 200, ..Config::default() });
        let calls = proptest::collection::vec((any::<bool>(), call()), 1..50);
        runner
            .run(&calls, |calls| {
                handle.block_on(async {
                    let f = f.fresh();
                    let people = [f.texted(ANN, "x").await.user_id, f.texted(BOB, "x").await.user_id];
                    let mut models = [Model::default(), Model::default()];
                    for (bob, call) in calls {
                        let who = usize::from(bob);
                        perform(&f, people[who], &mut models[who], call).await;
                    }
                    for (user, model) in people.into_iter().zip(&models) {
                        agrees(&f, user, model).await;
                    }
                    f.store.close().await;
                });
                Ok(())
            })
            .unwrap();
    })
    .await
    .unwrap();
}
