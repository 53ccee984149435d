//! A change of `storage.backend` over data that is there: nobody is left before an empty store without a word.

use crate::backends::Ground;
use crate::support::home::{Home, Settings};

/// The settings of a server that needs nothing, with its data there.
fn settings(ground: &Ground) -> Settings {
    ground.keys().into_iter().fold(Settings::default(), |settings, (key, value)| settings.set(key, value))
}

fn change(home: &Home, ground: &Ground) {
    std::fs::write(home.path().join("config.toml"), settings(ground).to_text()).unwrap();
}

/// What a server says that does not start.
async fn refusal(home: &Home) -> String {
    let (code, _printed, said) = home.run(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("scrubjay archive write FILE") && said.contains("scrubjay archive read FILE"), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn files_beside_a_new_database_are_named_and_so_is_the_database_when_they_are_used_again() {
    let (sqlite, mongodb) = (Ground::new("sqlite"), Ground::new("mongodb"));
    let home = Home::new(&settings(&sqlite));
    home.serve().await.stop().await;
    change(&home, &mongodb);
    home.serve().await.stop().await;
    let said = "there is data of the backend \"sqlite\" beside it";
    assert_eq!(home.log().matches(said).count(), 1, "{}", home.log());
    home.serve().await.stop().await;
    assert_eq!(home.log().matches(said).count(), 1, "once: {}", home.log());
    change(&home, &sqlite);
    home.serve().await.stop().await;
    let said = "was a MongoDB database until now";
    assert_eq!(home.log().matches(said).count(), 1, "{}", home.log());
    home.serve().await.stop().await;
    assert_eq!(home.log().matches(said).count(), 1, "once: {}", home.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_data_is_in_a_database_does_not_begin_with_empty_files() {
    let mongodb = Ground::new("mongodb");
    let home = Home::new(&settings(&mongodb));
    home.serve().await.stop().await;
    for files in ["sqlite", "json"] {
        change(&home, &Ground::new(files));
        let said = refusal(&home).await;
        assert!(said.contains("mongodb.json") && said.contains("delete that file"), "{said}");
        assert!(!home.data().join("scrubjay.db").exists() && !home.data().join("json").exists(), "nothing was made");
    }
    // Data that was brought over is used, and whoever wants to begin with nothing may.
    std::fs::remove_file(home.data().join("mongodb.json")).unwrap();
    home.serve().await.stop().await;
}
