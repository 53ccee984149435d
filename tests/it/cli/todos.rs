//! `todos`: lists that are taken in, shown and given out.

use serde_json::{Value, json};

use super::offline;

const ONE: &str = "+15550100001";
const TWO: &str = "+15550100002";

/// What is left of items when numbers are, which each list gives anew.
fn without_ids(items: &[Value]) -> Vec<Value> {
    let mut items = items.to_vec();
    for item in &mut items {
        let item = item.as_object_mut().unwrap();
        item.remove("id");
        item.remove("parentId");
    }
    items
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_taken_in_shown_given_out_and_taken_in_again() {
    let home = offline();
    let file = home.path().join("todos.json");
    let path = file.to_str().unwrap();
    let items = json!({"todos": [
        {"id": 5, "text": "party", "category": "Fun", "priority": "urgent", "dueDate": "2028-02-29", "createdAt": "2024-01-01T00:00:00.000Z"},
        {"id": 6, "text": "write cards", "parentId": 5, "completed": true, "completedAt": "2024-01-02T00:00:00Z", "createdAt": "2024-01-01T00:00:00Z"},
        {"id": 7, "text": "line one\nline two", "dueDate": "2026-11-22T09:30:00+01:00"},
    ]});
    std::fs::write(&file, items.to_string()).unwrap();
    assert_eq!(home.json(&["todos", "import", "--user", ONE, path]).await, json!({"added": 3, "known": 0}));
    assert_eq!(home.json(&["todos", "import", "--user", ONE, path]).await, json!({"added": 0, "known": 3}));

    let listed = home.list(&["todos", "list", "--user", ONE]).await;
    assert_eq!(listed.len(), 3);
    assert_eq!((&listed[0]["id"], &listed[1]["parentId"], &listed[1]["secondsToComplete"]), (&json!(1), &json!(1), &json!(86_400)));
    assert_eq!(home.list(&["todos", "list", "--open", "--user", ONE]).await.len(), 2);
    let (code, table, _) = home.run(&["todos", "list", "--user", ONE]).await;
    assert_eq!(code, 0);
    assert!(table.lines().any(|line| line.contains("done") && line.ends_with("write cards")), "{table}");
    assert!(table.lines().any(|line| line.ends_with("line one line two")), "{table}");
    assert!(table.lines().all(|line| line.len() <= 80), "{table}");

    // To a file and to standard output the same, and from there to somebody else.
    let (code, exported, stderr) = home.run(&["todos", "export", "--user", ONE]).await;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(serde_json::from_str::<Value>(&exported).unwrap()["todos"], json!(listed));
    let (code, stdout, stderr) = home.run(&["todos", "export", "--user", ONE, path]).await;
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), exported);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "others may read it: {mode:o}");
    assert_eq!(home.json(&["todos", "import", "--user", TWO, path]).await, json!({"added": 3, "known": 0}));
    assert_eq!(without_ids(&home.list(&["todos", "list", "--user", TWO]).await), without_ids(&listed));
    assert_eq!(home.list(&["users", "list"]).await.len(), 2, "an import makes the person");
    let user = home.list(&["users", "list"]).await[0]["_id"].as_str().unwrap().to_owned();
    assert_eq!(home.list(&["todos", "list", "--user", &user]).await, listed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_in_is_told_by_its_place_and_nothing_is() {
    let home = offline();
    let file = home.path().join("todos.jsonl");
    let path = file.to_str().unwrap();
    for (text, places) in [
        ("{\"text\": \"fine\"}\n{\"text\": \"torn", &["line 2"][..]),
        ("[{\"text\": \"fine\"}, {\"text\": \"x\", \"priority\": \"asap\"}, {\"text\": \"x\", \"parentId\": 3}]", &["item 2", "item 3"]),
        (&format!("[{{\"text\": \"fine\"}}, {{\"text\": \"{}\"}}]", "x".repeat(2001)), &["item 2", "2001 characters"]),
        ("{\"entities\": []}", &["todos"]),
    ] {
        std::fs::write(&file, text).unwrap();
        let (code, stdout, stderr) = home.run(&["todos", "import", "--user", ONE, path]).await;
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        assert!(places.iter().all(|place| stderr.contains(place)), "{stderr}");
        assert_eq!(home.list(&["todos", "list", "--user", ONE]).await, [json!(null); 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_unknown_has_nothing_and_looking_makes_nobody() {
    let home = super::texted_by(&[ONE]).await;
    assert_eq!(home.list(&["todos", "list", "--user", TWO]).await.len(), 0);
    assert_eq!(serde_json::from_str::<Value>(&home.run(&["todos", "export", "--user", TWO]).await.1).unwrap(), json!({"todos": []}));
    assert_eq!(home.list(&["users", "list"]).await.len(), 1);
    let file = home.path().join("todos.json");
    std::fs::write(&file, "[]").unwrap();
    let unknown = "0123456789abcdef01234567";
    for arguments in [
        &["todos", "list", "--user", unknown][..],
        &["todos", "export", "--user", unknown],
        &["todos", "import", "--user", unknown, file.to_str().unwrap()],
    ] {
        let (code, _, stderr) = home.run(arguments).await;
        assert_eq!(code, 1, "{arguments:?}: {stderr}");
        assert!(stderr.contains(unknown) && stderr.contains("users list"), "{stderr}");
    }
    for arguments in [&["todos", "list"][..], &["todos", "list", "--user", "nobody"]] {
        assert_eq!(home.run(arguments).await.0, 2, "{arguments:?}");
    }
    let (code, _, stderr) = home.run(&["todos", "import", "--user", ONE, "no-such-file.json"]).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("no-such-file.json"), "{stderr}");
}
