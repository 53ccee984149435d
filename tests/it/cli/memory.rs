//! `memory`: graphs that are taken in, drawn and given out.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::offline;

const ONE: &str = "+15550100001";
const TWO: &str = "+15550100002";

/// A file as the upstream server writes it, without an end of line behind the last.
const FILE: &str = concat!(
    r#"{"type":"entity","name":"Ada & <Bob>","entityType":"person","observations":["likes \"tea\"","was born in 1815"]}"#,
    "\n",
    r#"{"type":"entity","name":"Acme","entityType":"company","observations":[]}"#,
    "\n",
    r#"{"type":"entity","name":"日本","entityType":"","observations":["far"]}"#,
    "\n",
    r#"{"type":"relation","from":"Ada & <Bob>","to":"Acme","relationType":"works at"}"#,
    "\n",
    r#"{"type":"relation","from":"Ada & <Bob>","to":"日本","relationType":"dreams of"}"#,
);

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_is_taken_in_drawn_given_out_and_taken_in_again() {
    let home = offline();
    let file = home.path().join("memory.jsonl");
    let path = file.to_str().unwrap();
    std::fs::write(&file, FILE).unwrap();
    let contents = home.json(&["memory", "import", "--dry-run", "--user", ONE, path]).await;
    assert_eq!(contents, json!({"entities": 3, "observations": 3, "relations": 2, "dangling": []}));
    assert!(!home.data().exists(), "a dry run made a store");
    let report = home.json(&["memory", "import", "--user", ONE, path]).await;
    assert_eq!(report, json!({"entities": 3, "changed": 0, "observations": 3, "relations": 2, "dangling": []}));
    let again = home.json(&["memory", "import", "--user", ONE, path]).await;
    assert_eq!(again, json!({"entities": 0, "changed": 0, "observations": 0, "relations": 0, "dangling": []}));

    let (code, exported, stderr) = home.run(&["memory", "export", "--user", ONE]).await;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(exported, format!("{FILE}\n"));
    let (code, _, stderr) = home.run(&["memory", "export", "--user", ONE, path]).await;
    assert_eq!((code, std::fs::read_to_string(&file).unwrap()), (0, exported), "{stderr}");
    home.json(&["memory", "import", "--user", TWO, path]).await;

    let shown = home.json(&["memory", "show", "--user", TWO]).await;
    assert_eq!(
        shown["entities"][0],
        json!({"name": "Ada & <Bob>", "entityType": "person", "observations": ["likes \"tea\"", "was born in 1815"]})
    );
    assert_eq!(shown["relations"][1], json!({"from": "Ada & <Bob>", "to": "日本", "relationType": "dreams of"}));
    let (code, drawn, _) = home.run(&["memory", "show", "--user", TWO]).await;
    assert_eq!(code, 0);
    let expected =
        "3 entities, 3 observations, 2 relations\n\nAda & <Bob> (person)\n  - likes \"tea\"\n  - was born in 1815\n  → works at: Acme\n";
    assert!(drawn.starts_with(expected), "{drawn}");
}

/// Python's own parser of XML reads the picture, and finds every name in it.
#[tokio::test(flavor = "multi_thread")]
async fn the_picture_is_xml_and_holds_every_name() {
    let home = offline();
    let file = home.path().join("memory.jsonl");
    let mut text = FILE.to_owned();
    let mut names = vec!["Ada & <Bob>".to_owned(), "Acme".to_owned(), "日本".to_owned()];
    for number in 0..120 {
        let name = format!("]]> \"{number}\" 'quoted' <!-- &amp; ☕ {}", "long ".repeat(number % 20));
        let observation = "a \u{1b}[31m\u{0}\u{ffff} & <b>\n\tc";
        text.push('\n');
        text.push_str(&json!({"type": "entity", "name": name, "entityType": "<t>", "observations": [observation]}).to_string());
        text.push('\n');
        text.push_str(&json!({"type": "relation", "from": name, "to": "Acme", "relationType": "<r>&"}).to_string());
        names.push(name);
    }
    std::fs::write(&file, text).unwrap();
    home.json(&["memory", "import", "--user", ONE, file.to_str().unwrap()]).await;
    let picture = home.path().join("memory.svg");
    let (code, stdout, stderr) = home.run(&["memory", "show", "--user", ONE, "--svg", picture.to_str().unwrap()]).await;
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    let read = "import json, sys, xml.etree.ElementTree as tree\n\
                titles = [title.text for title in tree.parse(sys.argv[1]).getroot().iter('{http://www.w3.org/2000/svg}title')]\n\
                json.dump(titles, sys.stdout)";
    let output = Command::new("python3").args(["-c", read, picture.to_str().unwrap()]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "the picture is not well-formed: {}", String::from_utf8_lossy(&output.stderr));
    let titles: Vec<String> = serde_json::from_slice(&output.stdout).unwrap();
    for name in &names {
        let shown = name.trim_end();
        assert!(titles.iter().any(|title| title.starts_with(shown)), "{name:?} is not in the picture");
    }
    assert_eq!(titles.len(), 1 + 123 + 122);
    // To standard output the same.
    let (_, stdout, _) = home.run(&["memory", "show", "--user", ONE, "--svg", "-"]).await;
    assert_eq!(stdout, std::fs::read_to_string(&picture).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_in_is_told_by_its_line_and_nothing_is() {
    let home = offline();
    let file = home.path().join("memory.jsonl");
    let path = file.to_str().unwrap();
    let torn = format!("{FILE}\n{{\"type\":\"entity\",\"name\":\"to");
    let foreign = format!("{FILE}\n{{\"type\":\"note\",\"text\":\"x\"}}\nhello\n");
    let long = format!("{FILE}\n{}", json!({"type": "entity", "name": "n".repeat(257), "entityType": "t", "observations": []}));
    for (text, places) in [(torn, &["line 6", "torn"][..]), (foreign, &["line 6", "note", "line 7"]), (long, &["line 6", "at most 256"])] {
        std::fs::write(&file, text).unwrap();
        for arguments in [&["memory", "import", "--user", ONE, path][..], &["memory", "import", "--dry-run", "--user", ONE, path]] {
            let (code, stdout, stderr) = home.run(arguments).await;
            assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
            assert!(places.iter().all(|place| stderr.contains(place)), "{stderr}");
        }
        assert_eq!(home.json(&["memory", "show", "--user", ONE]).await, json!({"entities": [], "relations": []}));
        assert_eq!(home.list(&["users", "list"]).await, [Value::Null; 0], "a refused import made the person");
    }
    // A relation that leads nowhere is left out and told; the upstream server makes such.
    let nowhere = r#"{"type":"relation","from":"Acme","to":"Nobody","relationType":"r"}"#;
    std::fs::write(&file, format!("{FILE}\n{nowhere}")).unwrap();
    let contents = home.json(&["memory", "import", "--dry-run", "--user", ONE, path]).await;
    assert_eq!((&contents["relations"], &contents["dangling"]), (&json!(2), &json!([6])), "a dry run tells it before");
    let report = home.json(&["memory", "import", "--user", ONE, path]).await;
    assert_eq!((&report["relations"], &report["dangling"]), (&json!(2), &json!([6])));
    // An end may be stored already: for whom it is, the relation counts.
    std::fs::write(&file, format!("{}\n{nowhere}", r#"{"type":"relation","from":"Acme","to":"日本","relationType":"sells to"}"#)).unwrap();
    for (user, relations, dangling) in [(ONE, 1, json!([2])), (TWO, 0, json!([1, 2]))] {
        let (code, stdout, stderr) = home.run(&["memory", "import", "--dry-run", "--json", "--user", user, path]).await;
        let contents: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!((code, &contents["relations"], &contents["dangling"]), (0, &json!(relations), &dangling), "{stderr}");
        assert!(stderr.contains("line 2: its relation would be left out"), "{stderr}");
    }
    assert_eq!(home.list(&["users", "list"]).await.len(), 1, "a dry run made somebody");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_unknown_has_no_graph_and_looking_makes_nobody() {
    let home = super::texted_by(&[ONE]).await;
    assert_eq!(home.json(&["memory", "show", "--user", TWO]).await, json!({"entities": [], "relations": []}));
    assert_eq!(home.run(&["memory", "export", "--user", TWO]).await.1, "");
    assert_eq!(home.list(&["users", "list"]).await.len(), 1);
    let unknown = "0123456789abcdef01234567";
    for arguments in [&["memory", "show", "--user", unknown][..], &["memory", "export", "--user", unknown]] {
        let (code, _, stderr) = home.run(arguments).await;
        assert_eq!(code, 1, "{arguments:?}: {stderr}");
    }
    assert_eq!(home.run(&["memory", "show"]).await.0, 2);
}
