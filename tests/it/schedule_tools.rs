//! The schedule tools as a model sees them. What they do stands in `service/schedules.rs` and `contract/schedules.rs`.

use crate::http_home::Doors;
use crate::support::tools::as_listed;

#[tokio::test]
async fn the_tools_as_a_model_sees_them_are_those_of_the_snapshot_and_small() {
    let doors = Doors::open_idle("").await;
    let set = doors.app.tools.iter().find(|set| set.name() == "schedule").unwrap();
    let listed = as_listed(set.as_ref()).await;
    let bytes = listed.to_string().len();
    eprintln!("tools/list of the schedule set: {bytes} bytes");
    assert!(bytes < 7 * 1024, "{bytes}");
    for noise in ["$ref", "$schema", "\"title\":{", "\"null\"", "uint", "keepNull", "aliases", "user"] {
        assert!(!listed.to_string().contains(noise), "{noise} is in tools/list");
    }
    insta::assert_json_snapshot!("schedule_tools", listed);
    doors.close().await;
}
