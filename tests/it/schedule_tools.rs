//! The schedule tools as a model sees them. What they do stands in `service/schedules.rs` and `contract/schedules.rs`.

use scrubjay::service::tools::ToolContext;
use serde_json::{Value, json};

use crate::http_home::Doors;

#[tokio::test]
async fn the_tools_as_a_model_sees_them_are_those_of_the_snapshot_and_small() {
    let doors = Doors::open_idle("").await;
    let set = doors.app.tools.iter().find(|set| set.name() == "schedule").unwrap();
    let context = ToolContext { user_id: scrubjay::domain::ids::UserId::from_bytes([1; 12]), conversation_id: None };
    let definitions = set.definitions(&context).await;
    let tools = definitions.iter().map(|tool| {
        json!({
            "name": tool.name,
            "title": tool.title,
            "description": tool.description,
            "inputSchema": tool.input_schema.as_ref(),
            "outputSchema": tool.output_schema.as_deref(),
            "annotations": {
                "readOnlyHint": tool.hints.read_only,
                "destructiveHint": tool.hints.destructive,
                "idempotentHint": tool.hints.idempotent,
                "openWorldHint": tool.hints.open_world,
            },
        })
    });
    let listed = json!({ "tools": tools.collect::<Vec<Value>>() });
    let bytes = listed.to_string().len();
    eprintln!("tools/list of the schedule set: {bytes} bytes");
    assert!(bytes < 7 * 1024, "{bytes}");
    for noise in ["$ref", "$schema", "\"title\":{", "\"null\"", "uint", "keepNull", "aliases", "user"] {
        assert!(!listed.to_string().contains(noise), "{noise} is in tools/list");
    }
    insta::assert_json_snapshot!("schedule_tools", listed);
    doors.close().await;
}
