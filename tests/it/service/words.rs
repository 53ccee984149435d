//! The words about what is kept of a person, by text.

use scrubjay::service::people::UserName;

use super::bench::{ADA, BEA, bench, number};
use crate::contract::graph::{new, relation};

#[tokio::test]
async fn a_list_is_kept_by_text() {
    let bench = bench(|config| config.todos.items = 4).await;
    let say = async |text: &str| bench.exchange(ADA, text).await.join("|");
    assert_eq!(say("/todo").await, "Your list is empty. /todo and some words add an item.");
    assert_eq!(say("/todo buy milk").await, "Added to your list: buy milk");
    assert_eq!(say("/TODO  Buy  Milk").await, "That is on your list already: 1. buy milk");
    assert_eq!(say("/todo call mum").await, "Added to your list: call mum");
    assert_eq!(say("/todo call the bank").await, "Added to your list: call the bank");
    assert_eq!(say("/todo").await, "Your list:\n1. buy milk\n2. call mum\n3. call the bank\n/todo done and a number ticks one off.");
    assert_eq!(say("/todo done 1").await, "Done: buy milk");
    assert_eq!(say("/todo done #1.").await, "That was done already: buy milk");
    assert_eq!(say("/todo done 7").await, "There is no item 7 on your list. /todo shows it.");
    assert_eq!(say("/todo done call").await, "Several items are called that; give the number of one:\n2. call mum\n3. call the bank");
    assert_eq!(say("/todo done MUM").await, "Done: call mum");
    assert!(say("/todo done xylophone").await.starts_with("No open item of your list is called that."));
    assert!(say("/todo done").await.starts_with("Which one?"));
    assert_eq!(say("/todo bread").await, "Added to your list: bread");
    assert!(say("/todo butter").await.starts_with("Nothing was added: your list is full"));
    assert_eq!(say("/todo list").await, "Your list:\n3. call the bank\n4. bread\n/todo done and a number ticks one off.");
    let long = format!("/todo {}", "x".repeat(20_000));
    assert!(say(&long).await.starts_with("The text has 20000 characters"));
    // Another's list has the same numbers and is another.
    assert_eq!(bench.exchange(BEA, "/todo done 3").await, ["Your list is empty."]);
    assert_eq!(bench.exchange(BEA, "/todo buy milk").await, ["Added to your list: buy milk"]);
    assert_eq!(bench.exchange(BEA, "/todo").await, ["Your list:\n1. buy milk\n/todo done and a number ticks one off."]);
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn reminders_are_made_shown_and_removed_by_text() {
    // The clock stands at Monday, 21 September 2026, 14:13 UTC.
    let bench = bench(|config| {
        config.people.time_zone = "Europe/Berlin".to_owned();
        config.schedules.per_person = 2;
    })
    .await;
    let say = async |text: &str| bench.exchange(ADA, text).await.join("|");
    assert!(say("/remind").await.starts_with("You have no reminders."));
    // The first words of somebody, in the zone of those who have set none.
    assert_eq!(bench.exchange(BEA, "/remind tomorrow 9:00 call mum").await, ["I will remind you Tue 22 Sep 09:00: call mum"]);
    assert_eq!(say("/remind in 2 minutes to stretch").await, "I will remind you Mon 21 Sep 16:15: stretch");
    assert!(say("/remind in 2 minutes to stretch").await.starts_with("Nothing was added: that reminder is there already"));
    assert!(say("/remind every monday at 8:30 water the plants").await.starts_with("I will remind you Mon 28 Sep 08:30, every "));
    assert!(say("/remind tomorrow at 10 to rest").await.contains("you have 2, which is the most"));
    let listed = say("/remind").await;
    assert!(
        listed.starts_with("Your reminders, the next one first:\n1. Mon 21 Sep 16:15: stretch\n2. Mon 28 Sep 08:30 (every "),
        "{listed}"
    );
    assert_eq!(say("/remind some day").await.lines().count(), 1);
    assert!(say("/remind off").await.starts_with("Which one?"));
    assert_eq!(say("/remind off 7").await, "You have no reminder 7. /remind shows those that you have.");
    assert_eq!(say("/remind off 2").await, "That reminder is off: water the plants");
    assert_eq!(say("/remind off 2").await, "You have no reminder 2. /remind shows those that you have.");

    let before = bench.sent().len();
    bench.clock.advance(std::time::Duration::from_mins(3));
    bench.app.drain().await.unwrap();
    let sent: Vec<String> = bench.sent().split_off(before).into_iter().map(|(_, body)| body).collect();
    assert_eq!(sent, ["stretch"]);
    assert!(bench.exchange(BEA, "/remind").await[0].contains("1. Tue 22 Sep 09:00: call mum"));
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn what_has_no_number_is_shown_and_forgotten_by_its_name() {
    let bench = bench(|_config| ()).await;
    let say = async |text: &str| bench.exchange(ADA, text).await.join("|");
    assert_eq!(say("/memory").await, "Nothing is remembered about you yet.");
    let ada = bench.app.people.get(&UserName::Phone(number(ADA))).await.unwrap().id;
    let memory = &bench.app.memory;
    memory.create_entities(ada, ["me", "Berlin", "Atlantis"].map(|name| new(name, "thing", &[])).to_vec(), None).await.unwrap();
    memory.create_relations(ada, vec![relation("me", "lives in", "Berlin")]).await.unwrap();
    let listed = say("/memory").await;
    assert!(listed.contains("\n- me lives in Berlin\n- Atlantis\n"), "{listed}");
    assert!(say("/memory Berlin").await.contains("me lives in Berlin"));
    assert!(say("/memory atlantis").await.contains("\n- Atlantis"));
    memory.create_entities(ada, vec![new("Bob", "thing", &["we know each other"])], None).await.unwrap();
    let found = say("/memory know").await;
    assert!(found.contains("Bob: we know each other"), "a word that everybody uses is looked for as well: {found}");
    assert_eq!(say("/memory xylophone").await, "Nothing is remembered about that.");

    assert_eq!(say("/forget Atlantis").await, "Forgotten: Atlantis with 0 facts and 0 links.");
    assert!(say("/forget Atlantis").await.starts_with("Which one?"));
    let asked = say("/forget Berlin").await;
    assert_eq!(asked, "This forgets Berlin with 0 facts and 1 links, for good. Text \"/forget Berlin yes\" to do it.");
    assert_eq!(bench.exchange(BEA, "/forget Berlin yes").await.len(), 1, "another's is another's");
    assert!(say("/memory").await.contains("me lives in Berlin"));
    assert_eq!(say("/forget Berlin yes").await, "Forgotten: Berlin with 0 facts and 1 links.");
    let listed = say("/memory").await;
    assert!(!listed.contains("Berlin") && listed.contains("\n- me\n") && listed.contains("Bob: we know each other"), "{listed}");
    bench.assert_no_job_left().await;
}

#[tokio::test]
async fn answers_that_nobody_pays_are_limited_by_number_and_told_once() {
    let bench = bench(|config| config.limits.answers_per_hour = 3).await;
    for text in ["/todo milk", "/todo bread", "/todo"] {
        assert_eq!(bench.exchange(ADA, text).await.len(), 1, "{text}");
    }
    let told = bench.exchange(ADA, "/todo butter").await;
    assert!(told.join("|").starts_with("That was more than can be answered within an hour"), "{told:?}");
    assert!(bench.exchange(ADA, "/todo cheese").await.is_empty());
    assert!(bench.exchange(ADA, &"x".repeat(40_000)).await.is_empty(), "notices count as well");
    let open = bench.app.todos.figures(bench.app.people.get(&UserName::Phone(number(ADA))).await.unwrap().id).await.unwrap();
    assert_eq!(open.open, 2, "what was not answered was not done");
    // What must hold does, a model answers, and others have theirs.
    assert_eq!(bench.exchange(ADA, "HELP").await.len(), 1);
    assert_eq!(bench.exchange(ADA, "hello").await.len(), 1);
    assert_eq!(bench.exchange(BEA, "/todo milk").await, ["Added to your list: milk"]);
    assert_eq!(bench.exchange(ADA, "STOP").await.len(), 1);
    bench.assert_no_job_left().await;
}
