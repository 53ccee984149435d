//! Knowledge graphs that are larger than an answer, or than they may be.

use scrubjay::domain::graph::{Detail, Entity, GraphLimits, NewEntity, Relation};
use scrubjay::store::{GraphRead, GraphSearch, NamedObservation};

use super::fixture::{ANN, Fixture};
use super::graph::{LIMITS, PLENTY, create, more, names, new, refusal, relate, relation, remembered, texts, whole};

pub(super) async fn observations_and_relations_of_a_person_are_limited(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    let limits = GraphLimits { observations: 3, relations: 2, ..LIMITS };
    let create = |entity: NewEntity| f.store.create_entities(user, vec![entity], None, limits);
    create(new("a", "", &["1", "2"])).await.unwrap();
    create(new("b", "", &["1"])).await.unwrap();
    let wanted = [relation("a", "r", "b"), relation("b", "r", "a"), relation("a", "r", "a")];
    let relate = |relations: &[Relation]| f.store.create_relations(user, relations.to_vec(), limits);
    assert!(refusal(relate(&wanted).await).contains("more than 2 relations"));
    relate(&wanted[..2]).await.unwrap();
    let before = whole(&f.store, user).await;
    assert_eq!((before.0.len(), before.1.len()), (2, 2));
    assert!(refusal(create(new("c", "", &["4"])).await).contains("more than 3 observations"));
    assert!(refusal(f.store.add_observations(user, vec![more("a", &["1", "4"])], None, limits).await).contains("more than 3 observations"));
    assert!(refusal(f.store.import_graph(user, vec![new("a", "", &["4"])], Vec::new(), limits).await).contains("observations"));
    assert!(refusal(f.store.import_graph(user, Vec::new(), wanted.to_vec(), limits).await).contains("relations"));
    create(new("a", "", &["2", "1"])).await.unwrap();
    relate(&wanted[..2]).await.unwrap();
    assert_eq!(whole(&f.store, user).await, before, "a repeat is no more");
    f.store.delete_observations(user, vec![NamedObservation { entity: "a".to_owned(), text: "1".to_owned() }]).await.unwrap();
    create(new("a", "", &["4"])).await.unwrap();
}

pub(super) async fn close_names_are_told_for_the_first_missing_ones(f: Fixture) {
    let user = remembered(&f, ANN).await;
    let missing: Vec<String> = (0..20).map(|number| format!("London{number}")).collect();
    let opened = f.store.open_nodes(user, missing.clone(), Detail::Plain, PLENTY).await.unwrap();
    let told: Vec<bool> = opened.missing.iter().map(|name| name.close == ["London"]).collect();
    assert_eq!((told.len(), told[..5].to_vec(), told[5..].contains(&true)), (20, vec![true; 5], false));
    assert!(opened.missing[5..].iter().all(|name| name.close.is_empty()));

    let relations = missing.iter().flat_map(|name| [relation("Ada", "likes", name), relation("Bob", "likes", name)]).collect();
    let refused = f.store.create_relations(user, relations, LIMITS).await.unwrap().refused;
    let told: Vec<bool> = refused.iter().map(|refused| refused.missing[0].close == ["London"]).collect();
    assert_eq!((told.len(), told[..10].to_vec(), told[10..].contains(&true)), (40, vec![true; 10], false), "a name is looked up once");

    let observations = missing.iter().map(|name| more(name, &["x"])).collect();
    let reason = refusal(f.store.add_observations(user, observations, None, LIMITS).await);
    assert_eq!((reason.matches("there is no entity").count(), reason.matches("close: ").count()), (20, 5), "{reason}");

    let known = f.store.find_entities(user, ["Bob", "lodnon", "Ada", "Bob"].map(str::to_owned).to_vec(), PLENTY).await.unwrap();
    assert_eq!((names(&known), texts(&known[0])), (vec!["Ada", "Bob"], vec!["is my sister", "was born in London"]));
    let nobody = f.clock.user_id();
    assert_eq!(f.store.find_entities(nobody, vec!["Ada".to_owned()], PLENTY).await.unwrap(), []);
}

pub(super) async fn observations_are_given_as_far_as_there_is_room(f: Fixture) {
    let user = f.texted(ANN, "x").await.user_id;
    let facts: Vec<String> = (0..50).map(|number| format!("{number:02} {}", "x".repeat(95))).collect();
    let facts: Vec<&str> = facts.iter().map(String::as_str).collect();
    create(&f.store, user, &[new("small", "x", &["one", "two"]), new("large", "x", &facts), new("late", "x", &facts)]).await;
    relate(&f.store, user, &[relation("small", "r", "large")]).await;
    let three = || ["small", "large", "late"].map(str::to_owned).to_vec();
    let size = |entities: &[Entity]| entities.iter().map(|entity| entity.json_size(Detail::Plain)).sum::<usize>();
    let newest = |entity: &Entity| {
        assert!(facts.ends_with(&texts(entity)), "the newest, in their order: {entity:?}");
        assert_eq!(entity.observation_count, 50);
        entity.observations.len()
    };
    let all = f.store.open_nodes(user, three(), Detail::Plain, PLENTY).await.unwrap().found;
    assert!(all.entities.iter().all(|entity| !entity.is_cut(Detail::Plain)) && all.relations.len() == 1);
    let fits = f.store.open_nodes(user, three(), Detail::Plain, size(&all.entities) + 100).await.unwrap().found;
    assert_eq!(fits, all, "what fits is whole, whatever the shares");

    let cut = f.store.open_nodes(user, three(), Detail::Plain, 4_000).await.unwrap().found;
    assert!(size(&cut.entities) <= 4_000);
    assert_eq!(texts(&cut.entities[0]), ["one", "two"], "what needs little is whole");
    assert!(newest(&cut.entities[1]) > 12 && newest(&cut.entities[2]) > 11, "{:?}", cut.entities);
    let known = f.store.find_entities(user, three(), 4_000).await.unwrap();
    assert_eq!(known, cut.entities);

    let search = |cursor, bytes| GraphSearch { query: "x".to_owned(), cursor, limit: 9, bytes, detail: Detail::Plain };
    let page = f.store.search_nodes(user, search(None, 1_000)).await.unwrap();
    assert_eq!((names(&page.found.entities), newest(&page.found.entities[0])), (vec!["late"], 9));
    let page = f.store.search_nodes(user, search(page.next, 1_000)).await.unwrap();
    assert_eq!((names(&page.found.entities), newest(&page.found.entities[0])), (vec!["large"], 9));
    let page = f.store.search_nodes(user, search(page.next, 1_000)).await.unwrap();
    assert_eq!((names(&page.found.entities), page.next), (vec!["small"], None));

    let around = f.store.find_related(user, "small".to_owned(), 1, 9, 1_000).await.unwrap().unwrap();
    assert_eq!((texts(&around.entities[0].0), newest(&around.entities[1].0)), (vec!["one", "two"], 8));
    for (bytes, whole) in [(1_000, true), (6_000, true), (1_000, false), (6_000, false)] {
        let (mut read, mut cursor) = (Vec::new(), None);
        loop {
            let part = f.store.read_graph(user, GraphRead { cursor, limit: 9, bytes, detail: Detail::Plain, whole }).await.unwrap();
            assert!(whole || size(&part.entities) <= bytes, "{} bytes", size(&part.entities));
            read.extend(part.entities);
            cursor = part.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(names(&read), names(&all.entities));
        if whole {
            assert_eq!(read, all.entities, "read part by part nothing is cut");
        } else if bytes == 1_000 {
            assert_eq!((texts(&read[0]), newest(&read[1]), newest(&read[2])), (vec!["one", "two"], 9, 9), "a large one is cut to a part");
        }
    }
}
