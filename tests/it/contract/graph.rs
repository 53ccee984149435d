//! Knowledge graphs: what is merged, refused, found, opened, and gone.

use scrubjay::domain::graph::{Detail, Entity, GraphCounts, GraphLimits, NewEntity, NewObservations, ObservationId, Relation};
use scrubjay::domain::ids::UserId;
use scrubjay::store::{GraphFound, GraphRead, GraphSearch, NamedObservation, PageRequest, SharedStore, StoreError, Written};

use super::fixture::{ANN, BOB, Fixture, NOON};

/// Limits that no case but that of the limits meets.
pub(crate) const LIMITS: GraphLimits = GraphLimits {
    name_characters: 256,
    observation_characters: 4_000,
    items: 1_000,
    entities: 200_000,
    observations: 200_000,
    relations: 200_000,
};

/// More bytes than any case takes.
pub(super) const PLENTY: usize = 10_000_000;

pub(crate) fn new(name: &str, entity_type: &str, observations: &[&str]) -> NewEntity {
    let observations = observations.iter().map(|text| (*text).to_owned()).collect();
    NewEntity { name: name.to_owned(), entity_type: entity_type.to_owned(), observations }
}

pub(crate) fn relation(from: &str, relation_type: &str, to: &str) -> Relation {
    Relation { from: from.to_owned(), to: to.to_owned(), relation_type: relation_type.to_owned() }
}

pub(super) fn more(entity: &str, contents: &[&str]) -> NewObservations {
    NewObservations { entity: entity.to_owned(), entity_type: None, contents: contents.iter().map(|text| (*text).to_owned()).collect() }
}

pub(super) fn names(entities: &[Entity]) -> Vec<&str> {
    entities.iter().map(|entity| entity.name.as_str()).collect()
}

pub(super) fn texts(entity: &Entity) -> Vec<&str> {
    entity.observations.iter().map(|observation| observation.text.as_str()).collect()
}

pub(super) async fn create(store: &SharedStore, user: UserId, entities: &[NewEntity]) -> Vec<Written> {
    store.create_entities(user, entities.to_vec(), None, LIMITS).await.unwrap()
}

pub(super) async fn relate(store: &SharedStore, user: UserId, relations: &[Relation]) -> Vec<Relation> {
    store.create_relations(user, relations.to_vec(), LIMITS).await.unwrap().created
}

/// The whole graph, read in parts of a few items.
pub(super) async fn whole(store: &SharedStore, user: UserId) -> (Vec<Entity>, Vec<Relation>) {
    let (mut entities, mut relations, mut cursor) = (Vec::new(), Vec::new(), None);
    loop {
        let part = store.read_graph(user, GraphRead { cursor, limit: 7, bytes: PLENTY, detail: Detail::Full, whole: true }).await.unwrap();
        entities.extend(part.entities);
        relations.extend(part.relations);
        cursor = part.next;
        if cursor.is_none() {
            return (entities, relations);
        }
    }
}

async fn search(store: &SharedStore, user: UserId, query: &str) -> GraphFound {
    let search = GraphSearch { query: query.to_owned(), cursor: None, limit: 1_000, bytes: PLENTY, detail: Detail::Plain };
    store.search_nodes(user, search).await.unwrap()
}

async fn found(store: &SharedStore, user: UserId, query: &str) -> Vec<String> {
    search(store, user, query).await.found.entities.into_iter().map(|entity| entity.name).collect()
}

/// What somebody remembers in most cases.
pub(super) async fn remembered(f: &Fixture, number: &str) -> UserId {
    let user = f.texted(number, "x").await.user_id;
    let entities = [
        new("Ada", "person", &["is my sister", "was born in London"]),
        new("London", "city", &["has the Tower"]),
        new("Tower Hill", "tube station", &[]),
        new("Bob", "person", &["knows Ada from school"]),
    ];
    create(&f.store, user, &entities).await;
    relate(&f.store, user, &[relation("Ada", "lives in", "London"), relation("Bob", "knows", "Ada")]).await;
    user
}

pub(super) fn refusal<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Conflict { reason }) => reason,
        other => panic!("it was not refused: {other:?}"),
    }
}

pub(super) async fn an_entity_that_is_there_is_merged(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    let conversation = f.clock.conversation_id();
    let first =
        f.store.create_entities(user, vec![new("Ada", "person", &["one", "two", "one"])], Some(conversation), LIMITS).await.unwrap();
    let written = |added: &[&str], created| Written {
        name: "Ada".to_owned(),
        entity_type: "person".to_owned(),
        added: added.iter().map(|text| (*text).to_owned()).collect(),
        created,
    };
    assert_eq!(first, [written(&["one", "two"], true)]);
    assert_eq!(create(&f.store, user, &[new("Ada", "person", &["two", "one"])]).await, [], "a repeat changes nothing");
    f.advance(5);
    assert_eq!(create(&f.store, user, &[new("Ada", "", &["three", "two"])]).await, [written(&["three"], false)], "an empty type is none");
    let retyped = create(&f.store, user, &[new("Ada", "human", &[]), new("Ada", "human", &["four"])]).await;
    assert_eq!(retyped, [Written { entity_type: "human".to_owned(), ..written(&["four"], false) }], "an entity is told once");

    let (entities, _relations) = whole(&f.store, user).await;
    let [ada] = entities.as_slice() else { panic!("one entity: {entities:?}") };
    assert_eq!((ada.entity_type.as_str(), texts(ada)), ("human", vec!["one", "two", "three", "four"]));
    assert_eq!((ada.created_at, ada.updated_at), (NOON, f.clock.now()));
    let origins: Vec<_> = ada.observations.iter().map(|observation| (observation.conversation_id, observation.created_at)).collect();
    assert_eq!((origins[0], origins[3]), ((Some(conversation), NOON), (None, f.clock.now())));
    assert_eq!(found(&f.store, user, "person").await, Vec::<String>::new(), "the old type is found no more");
    assert_eq!(found(&f.store, user, "HUMAN").await, ["Ada"]);
}

pub(super) async fn names_and_observations_are_one_in_both_unicode_forms(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    create(&f.store, user, &[new("Zoe\u{308}", "person", &["likes cafe\u{301}s"])]).await;
    assert_eq!(create(&f.store, user, &[new("Zoë", "person", &["likes cafés"])]).await, []);
    create(&f.store, user, &[new("ZOË", "person", &[]), new("zoë", "person", &[]), new("Zoe", "person", &[])]).await;
    let added = f.store.add_observations(user, vec![more("Zoe\u{308}", &["one", "one"])], None, LIMITS).await.unwrap();
    assert_eq!((added[0].name.as_str(), added[0].added.as_slice()), ("Zoë", ["one".to_owned()].as_slice()));
    assert_eq!(relate(&f.store, user, &[relation("Zoe\u{308}", "is", "ZOË")]).await, [relation("Zoë", "is", "ZOË")]);
    assert_eq!(relate(&f.store, user, &[relation("Zoë", "is", "ZOE\u{308}")]).await, []);
    let opened = f.store.open_nodes(user, vec!["Zoë".to_owned(), "Zoe\u{308}".to_owned()], Detail::Full, PLENTY).await.unwrap();
    assert_eq!(names(&opened.found.entities), ["Zoë"], "case is kept, accents tell names apart");
    assert_eq!(texts(&opened.found.entities[0]), ["likes cafés", "one"]);
    let gone = vec![NamedObservation { entity: "Zoe\u{308}".to_owned(), text: "likes cafe\u{301}s".to_owned() }];
    assert_eq!(f.store.delete_observations(user, gone).await.unwrap().deleted, 1);
    assert_eq!(f.store.delete_entities(user, vec!["Zoe\u{308}".to_owned()]).await.unwrap().deleted, 1);
    assert_eq!(whole(&f.store, user).await.0.len(), 3);
}

pub(super) async fn texts_of_every_kind_are_kept_and_found(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    let strange = [
        "nul \0 inside",
        "tab\tline\n\r\u{7f}",
        "👩‍👩‍👧 مرحبا שלום",
        "'; DROP TABLE entities; --",
        "\"quoted\" NEAR(a b) text:x ^y* AND",
        "日本語",
        "%_",
        "{\"$gt\":\"\"}",
    ];
    for text in strange {
        create(&f.store, user, &[new(text, text, &[text, ""])]).await;
    }
    let (entities, _none) = whole(&f.store, user).await;
    assert_eq!(names(&entities), strange);
    for (entity, text) in entities.iter().zip(strange) {
        assert_eq!((entity.entity_type.as_str(), texts(entity)), (text, vec![text, ""]));
        assert_eq!(found(&f.store, user, text).await.first().map(String::as_str), Some(text), "{text:?} is found by itself");
    }
    for (query, name) in
        [("inside", strange[0]), ("שלום", strange[2]), ("語", strange[5]), ("本語", strange[5]), ("%", strange[6]), ("NEAR(", strange[4])]
    {
        assert_eq!(found(&f.store, user, query).await, [name], "{query:?}");
    }
    assert_eq!(found(&f.store, user, &"x".repeat(100_000)).await.len(), 0);
}

pub(super) async fn relations_need_both_ends(f: Fixture) {
    let user = remembered(&f, ANN).await;
    let wanted = vec![
        relation("Ada", "lives in", "London"),
        relation("Ada", "visited", "London"),
        relation("Ada", "visited", "London"),
        relation("Ada", "likes", "Ada"),
        relation("Ada", "knows", "Lodnon"),
        relation("Nobody", "is", "Nobody"),
    ];
    let written = f.store.create_relations(user, wanted, LIMITS).await.unwrap();
    assert_eq!(written.created, [relation("Ada", "visited", "London"), relation("Ada", "likes", "Ada")]);
    assert_eq!(written.refused.len(), 2);
    assert_eq!(
        (written.refused[0].missing[0].name.as_str(), written.refused[0].missing[0].close.as_slice()),
        ("Lodnon", ["London".to_owned()].as_slice())
    );
    assert_eq!(written.refused[1].missing.len(), 1, "a name is told once");
    assert_eq!(whole(&f.store, user).await.1.len(), 4);
    assert_eq!(f.store.graph_stats(user, 9).await.unwrap().counts.relations, 4);
}

pub(super) async fn observations_for_nobody_are_refused_and_nothing_is_written(f: Fixture) {
    let user = remembered(&f, ANN).await;
    let before = whole(&f.store, user).await;
    let wanted = vec![more("Ada", &["new"]), more("Adda", &["lost"]), more("Somebody else", &["lost"])];
    let reason = refusal(f.store.add_observations(user, wanted, None, LIMITS).await);
    assert!(
        reason.contains("\"Adda\" (close: \"Ada\")") && reason.contains("Somebody else") && reason.contains("create_entities"),
        "{reason}"
    );
    assert_eq!(whole(&f.store, user).await, before);
    assert_eq!(f.store.graph_stats(user, 9).await.unwrap().counts, GraphCounts { entities: 4, observations: 4, relations: 2 });

    let with_type = NewObservations { entity_type: Some("person".to_owned()), ..more("Adda", &["one", "one", "two"]) };
    let written = f.store.add_observations(user, vec![with_type.clone(), more("Ada", &["is my sister"])], None, LIMITS).await.unwrap();
    assert_eq!((written[0].created, written[0].added.len(), written[1].added.len()), (true, 2, 0));
    let again = f.store.add_observations(user, vec![with_type], None, LIMITS).await.unwrap();
    assert_eq!((again[0].created, again[0].added.len()), (false, 0));
}

pub(super) async fn what_is_deleted_is_counted_and_gone(f: Fixture) {
    let user = remembered(&f, ANN).await;
    let gone = f.store.delete_entities(user, vec!["London".to_owned(), "Paris".to_owned(), "London".to_owned()]).await.unwrap();
    assert_eq!((gone.deleted, gone.not_found), (1, vec!["Paris".to_owned()]));
    let (entities, relations) = whole(&f.store, user).await;
    assert_eq!((names(&entities), relations), (vec!["Ada", "Tower Hill", "Bob"], vec![relation("Bob", "knows", "Ada")]));
    assert_eq!(found(&f.store, user, "the tower").await, Vec::<String>::new());

    let named = |entity: &str, text: &str| NamedObservation { entity: entity.to_owned(), text: text.to_owned() };
    let wanted =
        vec![named("Ada", "is my sister"), named("Ada", "is my sister"), named("London", "has the Tower"), named("Bob", "is my sister")];
    let gone = f.store.delete_observations(user, wanted.clone()).await.unwrap();
    assert_eq!((gone.deleted, gone.not_found), (1, wanted[1..].to_vec()));

    let wanted = vec![
        relation("Bob", "knows", "Ada"),
        relation("Bob", "knows", "Ada"),
        relation("Ada", "knows", "Bob"),
        relation("Ada", "is", "Eve"),
    ];
    let gone = f.store.delete_relations(user, wanted.clone()).await.unwrap();
    assert_eq!((gone.deleted, gone.not_found), (1, wanted[1..].to_vec()));
    assert_eq!(f.store.graph_stats(user, 9).await.unwrap().counts, GraphCounts { entities: 3, observations: 2, relations: 0 });
    create(&f.store, user, &[new("London", "city", &[])]).await;
    assert_eq!(names(&whole(&f.store, user).await.0), ["Ada", "Tower Hill", "Bob", "London"], "it is new, with nothing of before");
    assert_eq!(f.store.open_nodes(user, vec!["London".to_owned()], Detail::Full, PLENTY).await.unwrap().found.entities[0].observations, []);
}

pub(super) async fn limits_hold_and_what_they_refuse_is_not_written(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    let limits = GraphLimits { name_characters: 4, observation_characters: 6, items: 3, entities: 3, observations: 100, relations: 100 };
    let create = |entities: Vec<NewEntity>| f.store.create_entities(user, entities, None, limits);
    create(vec![new("日本国人", "abcd", &["123456"]), new("b", "", &[])]).await.unwrap();
    let before = whole(&f.store, user).await;
    let too_many = (0..4).map(|number| new(&number.to_string(), "", &[])).collect();
    for (entities, told) in [
        (vec![new("ok", "", &[]), new("abcde", "", &[])], "entity name \"abcde…\" has 5 characters; at most 4"),
        (vec![new("ok", "abcde", &[])], "entity type"),
        (vec![new("ok", "", &["1234567"])], "observation \"1234567…\" has 7 characters; at most 6"),
        (vec![new(" ", "", &[])], "entity name is empty"),
        (too_many, "4 entities in one call; at most 3"),
        (vec![new("ok", "", &["1", "2", "3", "4"])], "4 observations of one entity in one call"),
        (vec![new("c", "", &[]), new("d", "", &[])], "more than 3 entities"),
    ] {
        let reason = refusal(create(entities).await);
        assert!(reason.contains(told), "{reason} does not say {told}");
    }
    let reason = refusal(f.store.create_relations(user, vec![relation("b", "", "b")], limits).await);
    assert!(reason.contains("relation type is empty"), "{reason}");
    let reason = refusal(f.store.add_observations(user, vec![more("b", &["fits", "1234567"])], None, limits).await);
    assert!(reason.contains("observation"), "{reason}");
    assert_eq!(whole(&f.store, user).await, before);
    create(vec![new("b", "", &["merges"]), new("c", "", &[])]).await.unwrap();
    let full = NewObservations { entity_type: Some(String::new()), ..more("d", &[]) };
    assert!(refusal(f.store.add_observations(user, vec![full], None, limits).await).contains("more than 3"));
    f.store.delete_entities(user, vec!["c".to_owned()]).await.unwrap();
    create(vec![new("d", "", &[])]).await.unwrap();

    let stranger = f.store.create_entities(f.clock.user_id(), vec![new("a", "", &[])], None, LIMITS).await;
    assert!(matches!(stranger, Err(StoreError::NotFound { .. })), "{stranger:?}");
}

pub(super) async fn everything_that_contains_the_query_is_found_the_best_first(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    let entities = [
        new("note 1", "x", &["the tower is tall", "a tower"]),
        new("note 2", "x", &["nothing", "of a TOWER"]),
        new("place", "tower block", &[]),
        new("Old Tower", "x", &["tower"]),
        new("Tower Hill", "x", &[]),
        new("TÔWER", "x", &[]),
        new("other", "hill", &["a tow", "er"]),
    ];
    create(&f.store, user, &entities).await;
    f.store.add_observations(user, vec![more("note 1", &["towers again"])], None, LIMITS).await.unwrap();
    let ranked = ["TÔWER", "Tower Hill", "Old Tower", "place", "note 1", "note 2"];
    assert_eq!(found(&f.store, user, "tOwer").await, ranked);
    assert_eq!(found(&f.store, user, "tower hill").await, ["Tower Hill"]);
    assert_eq!(found(&f.store, user, "hill x tower").await, ["Tower Hill"], "each word somewhere");
    assert_eq!(found(&f.store, user, "tall again note").await, ["note 1"], "in different observations");
    assert_eq!(found(&f.store, user, "w").await.len(), 7, "one character is searched for as well");
    assert_eq!(found(&f.store, user, "er").await.len(), 7);
    assert_eq!(found(&f.store, user, "").await.len(), 7);
    assert_eq!(found(&f.store, user, "towerx").await, Vec::<String>::new());
    let by_words = ["other", "TÔWER", "Tower Hill", "Old Tower", "place", "note 2", "note 1"];
    assert_eq!(found(&f.store, user, "tow er").await, by_words, "the newest first");

    for limit in [1, 2, 3, 5] {
        let (mut paged, mut cursor) = (Vec::new(), None);
        loop {
            let search = GraphSearch { query: "tower".to_owned(), cursor, limit, bytes: PLENTY, detail: Detail::Names };
            let page = f.store.search_nodes(user, search).await.unwrap();
            assert_eq!(page.hits, 6);
            assert!(page.found.entities.len() <= limit);
            paged.extend(page.found.entities.into_iter().map(|entity| entity.name));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(paged, ranked, "in pages of {limit}");
    }
    let small = GraphSearch { query: "tower".to_owned(), cursor: None, limit: 100, bytes: 10, detail: Detail::Plain };
    let page = f.store.search_nodes(user, small.clone()).await.unwrap();
    assert_eq!((names(&page.found.entities), page.next.is_some()), (vec!["TÔWER"], true), "one is given whatever it takes");
    let other = GraphSearch { query: "towers".to_owned(), cursor: page.next, ..small };
    assert!(matches!(f.store.search_nodes(user, other).await, Err(StoreError::InvalidCursor)), "a cursor is of its query");
}

pub(super) async fn hits_come_with_their_relations(f: Fixture) {
    let user = remembered(&f, ANN).await;
    let hits = search(&f.store, user, "london").await.found;
    assert_eq!(names(&hits.entities), ["London", "Ada"]);
    assert_eq!(hits.relations, [relation("Ada", "lives in", "London"), relation("Bob", "knows", "Ada")]);
    let hits = search(&f.store, user, "tower hill").await.found;
    assert_eq!((names(&hits.entities), hits.relations.len()), (vec!["Tower Hill"], 0));
    let opened = f.store.open_nodes(user, ["Bob", "London", "lodnon"].map(str::to_owned).to_vec(), Detail::Full, PLENTY).await.unwrap();
    assert_eq!(names(&opened.found.entities), ["London", "Bob"]);
    assert_eq!(opened.found.relations.len(), 2);
    assert_eq!(opened.missing.len(), 1);
    assert_eq!(opened.missing[0].close, ["London"]);
    let few = f.store.open_nodes(user, vec!["Ada".to_owned()], Detail::Plain, 154).await.unwrap().found;
    assert_eq!((few.relations.len(), few.relations_left), (1, 1));
}

pub(super) async fn a_graph_is_read_part_by_part(f: Fixture) {
    let user = remembered(&f, ANN).await;
    let read = |cursor: Option<String>, limit: usize, bytes: usize, detail: Detail| {
        let store = &f.store;
        async move { store.read_graph(user, GraphRead { cursor, limit, bytes, detail, whole: true }).await.unwrap() }
    };
    let all = read(None, 1_000, PLENTY, Detail::Plain).await;
    assert_eq!((all.entities.len(), all.relations.len(), all.next.is_none(), all.left), (4, 2, true, GraphCounts::default()));
    for bytes in [1, 100, 150, 300] {
        let (mut entities, mut relations, mut cursor) = (Vec::new(), Vec::new(), None);
        loop {
            let part = read(cursor, 1_000, bytes, Detail::Plain).await;
            entities.extend(part.entities);
            relations.extend(part.relations);
            let left = [part.left.entities, part.left.relations].map(|left| usize::try_from(left).unwrap());
            assert_eq!((entities.len() + left[0], relations.len() + left[1]), (4, 2), "what was left out is told");
            cursor = part.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((&entities, &relations), (&all.entities, &all.relations), "in parts of {bytes} bytes");
    }
    let names = read(None, 3, PLENTY, Detail::Names).await;
    assert_eq!((names.entities[0].observations.len(), names.entities[0].observation_count, names.left.entities), (0, 2, 1));
    f.store.add_observations(user, vec![more("Ada", &["3", "4", "5"])], None, LIMITS).await.unwrap();
    let summary = read(None, 1, PLENTY, Detail::Summary).await;
    assert_eq!((texts(&summary.entities[0]), summary.entities[0].observation_count), (vec!["3", "4", "5"], 5));
    let wrong = GraphRead { cursor: Some("nonsense".to_owned()), limit: 1, bytes: 1, detail: Detail::Plain, whole: true };
    assert!(matches!(f.store.read_graph(user, wrong).await, Err(StoreError::InvalidCursor)));
}

pub(super) async fn what_lies_around_an_entity_is_found_nearest_first(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    let entities: Vec<_> = ["a", "b", "c", "d", "e", "far"].iter().map(|name| new(name, "x", &[])).collect();
    create(&f.store, user, &entities).await;
    let relations = [
        relation("a", "r", "b"),
        relation("c", "r", "b"),
        relation("c", "r", "d"),
        relation("d", "r", "a"),
        relation("d", "r", "e"),
        relation("a", "self", "a"),
    ];
    relate(&f.store, user, &relations).await;
    let around = |depth: u32, limit: usize| {
        let store = &f.store;
        async move { store.find_related(user, "a".to_owned(), depth, limit, PLENTY).await.unwrap().unwrap() }
    };
    let names = |found: &scrubjay::store::Neighbourhood| -> Vec<(String, u32)> {
        found.entities.iter().map(|(entity, far)| (entity.name.clone(), *far)).collect()
    };
    let one = around(1, 10).await;
    assert_eq!(names(&one), [("a".to_owned(), 0), ("b".to_owned(), 1), ("d".to_owned(), 1)]);
    assert_eq!(one.relations, [relation("a", "r", "b"), relation("d", "r", "a"), relation("a", "self", "a")]);
    let two = around(2, 10).await;
    assert_eq!((two.entities.len(), two.relations.len(), two.more), (5, 6, false));
    let cut = around(5, 3).await;
    assert_eq!((cut.entities.len(), cut.more), (3, true));
    let missing = f.store.find_related(user, "A".to_owned(), 1, 10, PLENTY).await.unwrap().unwrap_err();
    assert_eq!(missing.close, ["a"]);
}

pub(super) async fn an_overview_counts_what_is_there(f: Fixture) {
    let user = remembered(&f, ANN).await;
    let stats = f.store.graph_stats(user, 2).await.unwrap();
    assert_eq!(stats.counts, GraphCounts { entities: 4, observations: 4, relations: 2 });
    assert_eq!(stats.types, [("person".to_owned(), 2), ("city".to_owned(), 1)]);
    assert_eq!(stats.most_connected, [("Ada".to_owned(), 2), ("London".to_owned(), 1)]);
    assert_eq!(stats.newest, [("Bob".to_owned(), NOON), ("Tower Hill".to_owned(), NOON)]);
}

pub(super) async fn facts_are_listed_newest_first_and_deleted_by_number(f: Fixture) {
    let user = remembered(&f, ANN).await;
    let list = |cursor: Option<String>| {
        let store = &f.store;
        async move { store.list_facts(user, PageRequest { cursor, limit: 3 }).await.unwrap() }
    };
    let first = list(None).await;
    let told: Vec<_> = first.items.iter().map(|fact| (fact.entity.as_str(), fact.observation.text.as_str())).collect();
    assert_eq!(told, [("Bob", "knows Ada from school"), ("London", "has the Tower"), ("Ada", "was born in London")]);
    let second = list(first.next).await;
    assert_eq!((second.items.len(), second.next), (1, None));
    let gone = f.store.delete_observation(user, first.items[1].observation.id).await.unwrap().unwrap();
    assert_eq!(gone, first.items[1]);
    assert_eq!(f.store.delete_observation(user, first.items[1].observation.id).await.unwrap(), None);
    assert_eq!(f.store.delete_observation(user, ObservationId(u32::MAX)).await.unwrap(), None);
    assert_eq!(found(&f.store, user, "has the").await, Vec::<String>::new());
    assert_eq!(f.store.graph_stats(user, 1).await.unwrap().counts.observations, 3);
    f.store.add_observations(user, vec![more("London", &["has the Tower"])], None, LIMITS).await.unwrap();
    let newest = list(None).await.items.remove(0);
    assert!(newest.observation.id > first.items[0].observation.id, "numbers are never used again");
}

pub(super) async fn a_text_recalls_what_it_is_about(f: Fixture) {
    let user = remembered(&f, ANN).await;
    let noise: Vec<_> = (0..300).map(|number| new(&format!("note {number}"), "note", &["know what a thing this is"])).collect();
    create(&f.store, user, &noise).await;
    let recall = |text: &str, limit: usize| {
        let (store, text) = (&f.store, text.to_owned());
        async move { store.recall(user, text, limit).await.unwrap() }
    };
    let facts =
        |found: &scrubjay::store::Recollection| -> Vec<String> { found.facts.iter().map(|fact| fact.observation.text.clone()).collect() };
    assert_eq!(facts(&recall("What do you know about my sister?", 1).await), ["is my sister"]);
    let ada = recall("tell me where ADA was born", 3).await;
    assert_eq!(facts(&ada)[0], "was born in London");
    assert!(ada.facts.iter().all(|fact| fact.entity == "Ada" || fact.observation.text.contains("Ada")), "{ada:?}");
    assert!(ada.relations.contains(&relation("Ada", "lives in", "London")));
    assert_eq!(recall("quantum chromodynamics", 5).await, scrubjay::store::Recollection::default());
    assert_eq!(recall("", 5).await, scrubjay::store::Recollection::default());
    let names = vec!["London".to_owned(), "nobody".to_owned()];
    let (found, entities) = f.store.recall_with(user, "tell me where ADA was born".to_owned(), 3, names.clone(), 4_000).await.unwrap();
    assert_eq!(found, ada);
    assert_eq!(entities, f.store.find_entities(user, names, 4_000).await.unwrap());
    assert_eq!(entities.len(), 1);
}

pub(super) async fn two_people_with_the_same_names_have_two_graphs(f: Fixture) {
    let (ann, bob) = (remembered(&f, ANN).await, remembered(&f, BOB).await);
    let nobody = f.texted("+15550000003", "x").await.user_id;
    f.store.add_observations(bob, vec![more("Ada", &["owes him money"])], None, LIMITS).await.unwrap();
    let of_ann = whole(&f.store, ann).await;
    assert_eq!(found(&f.store, ann, "money").await, Vec::<String>::new());
    assert_eq!(found(&f.store, ann, "ow").await, ["Tower Hill", "Bob", "London"], "a scan of few letters stays with its person as well");
    assert!(!f.store.recall(ann, "money".to_owned(), 9).await.unwrap().facts.iter().any(|fact| fact.observation.text.contains("money")));
    let number = f.store.list_facts(bob, PageRequest::first(1)).await.unwrap().items[0].observation.id;
    assert_eq!(f.store.delete_observation(ann, number).await.unwrap(), None);

    assert_eq!(f.store.delete_entities(nobody, vec!["Ada".to_owned()]).await.unwrap().deleted, 0);
    assert_eq!(f.store.delete_graph(nobody).await.unwrap(), GraphCounts::default());
    assert!(whole(&f.store, nobody).await.0.is_empty());
    assert!(f.store.find_related(nobody, "Ada".to_owned(), 5, 9, PLENTY).await.unwrap().is_err());
    assert_eq!(f.store.open_nodes(nobody, vec!["Ada".to_owned()], Detail::Full, PLENTY).await.unwrap().missing.len(), 1);

    let next = f
        .store
        .read_graph(bob, GraphRead { cursor: None, limit: 1, bytes: PLENTY, detail: Detail::Plain, whole: true })
        .await
        .unwrap()
        .next;
    let stolen =
        f.store.read_graph(ann, GraphRead { cursor: next, limit: 100, bytes: PLENTY, detail: Detail::Plain, whole: true }).await.unwrap();
    assert!(stolen.entities.iter().all(|entity| !texts(entity).contains(&"owes him money")));

    assert_eq!(f.store.delete_graph(bob).await.unwrap(), GraphCounts { entities: 4, observations: 5, relations: 2 });
    assert!(whole(&f.store, bob).await.0.is_empty());
    assert_eq!(found(&f.store, bob, "ada").await, Vec::<String>::new());
    assert_eq!(whole(&f.store, ann).await, of_ann);
    remembered(&f, BOB).await;
    assert_eq!(found(&f.store, bob, "sister").await, ["Ada"], "he may begin anew");
}

pub(super) async fn an_import_is_whole_and_can_be_repeated(f: Fixture) {
    let user = remembered(&f, ANN).await;
    let entities = vec![new("Ada", "person", &["is my sister", "plays chess"]), new("Eve", "person", &["is new"])];
    let relations = vec![relation("Eve", "knows", "Ada"), relation("Ada", "lives in", "London"), relation("Eve", "knows", "Nobody")];
    let imported = f.store.import_graph(user, entities.clone(), relations.clone(), LIMITS).await.unwrap();
    assert_eq!((imported.entities, imported.changed, imported.observations, imported.relations), (1, 1, 2, 1));
    assert_eq!(imported.dangling, relations[2..]);
    let before = whole(&f.store, user).await;
    let again = f.store.import_graph(user, entities, relations, LIMITS).await.unwrap();
    assert_eq!((again.entities, again.changed, again.observations, again.relations), (0, 0, 0, 0));
    let broken = vec![new("fits", "", &[]), new(&"x".repeat(300), "", &[])];
    refusal(f.store.import_graph(user, broken, Vec::new(), LIMITS).await);
    assert_eq!(whole(&f.store, user).await, before);
}

pub(super) async fn writers_side_by_side_lose_nothing(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    let other = f.open_again();
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..80 {
        let store = if number % 2 == 0 { f.store.clone() } else { other.clone() };
        writers.spawn(async move {
            let entities = vec![new("shared", "x", &[&format!("from {number}")]), new(&format!("own {number}"), "x", &[])];
            store.create_entities(user, entities, None, LIMITS).await.unwrap();
        });
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    let (entities, _relations) = whole(&f.store, user).await;
    let shared = entities.iter().find(|entity| entity.name == "shared").unwrap();
    assert_eq!((entities.len(), shared.observations.len()), (81, 80));
    assert_eq!(other.graph_stats(user, 1).await.unwrap().counts, GraphCounts { entities: 81, observations: 80, relations: 0 });
    other.close().await;
}

pub(super) async fn ten_thousand_entities_are_paged_and_found(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    let name = |number: usize| format!("entity-{number:05}");
    // It is the entities that are paged and found. Where each document takes its time, the others are fewer: those at both ends.
    let is_full = |number: usize| number.is_multiple_of(10_000 / f.times(10_000) as usize) || number > 9_990;
    let entity = |number: usize| {
        let mark = format!("mark{number:05}z words");
        if is_full(number) { new(&name(number), "thing", &[&mark]) } else { new(&name(number), "thing", &[]) }
    };
    let relations: Vec<_> =
        (1..10_000).filter(|number| is_full(*number)).map(|number| relation(&name(number), "after", &name(number - 1))).collect();
    let related = i64::try_from(relations.len()).unwrap();
    let imported = f.store.import_graph(user, (0..10_000).map(entity).collect(), relations, LIMITS).await.unwrap();
    assert_eq!((imported.entities, imported.relations), (10_000, related));
    for number in [0, 4, 5_000, 9_999] {
        assert_eq!(found(&f.store, user, &format!("MARK{number:05}z")).await, [name(number)]);
        assert_eq!(found(&f.store, user, &format!("words mark{number:05}z")).await, [name(number)]);
    }
    let (mut count, mut cursor) = (0, None);
    loop {
        let search = GraphSearch { query: "thing".to_owned(), cursor, limit: 3_000, bytes: PLENTY, detail: Detail::Names };
        let page = f.store.search_nodes(user, search).await.unwrap();
        count += page.found.entities.len();
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(count, 10_000);
    let reason = refusal(f.store.add_observations(user, vec![more("entity-5000", &["x"])], None, LIMITS).await);
    assert!(reason.contains("entity-05000"), "{reason}");
}
