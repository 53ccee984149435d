//! The words about what is kept of a person, by text.

use super::bench::{ADA, BEA, bench};

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
