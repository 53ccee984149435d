//! The commands that show and change data.

use std::time::Duration;

use serde_json::{Value, json};

use super::{offline, texted_by};
use crate::support::eventually;
use crate::support::home::{Home, Settings};

const ONE: &str = "+15550100001";
const TWO: &str = "+15550100002";

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_listed_shown_preferred_and_blocked() {
    let home = texted_by(&[ONE, TWO]).await;
    let people = home.list(&["users", "list"]).await;
    assert_eq!(people.iter().map(|user| user["phoneNumber"].as_str().unwrap()).collect::<Vec<_>>(), [ONE, TWO]);

    let shown = home.json(&["users", "show", ONE]).await;
    assert_eq!(shown["metadata"]["messageCount"], 1);
    assert_eq!(shown["effective"], json!({"endpoint": "demo", "model": "demo"}));
    assert_eq!(home.json(&["users", "show", people[0]["_id"].as_str().unwrap()]).await, shown);

    let preferred = home.json(&["users", "prefer", ONE, "--endpoint", "OPENAI", "--model", "gpt-x", "--time-zone", "Europe/Berlin"]).await;
    assert_eq!(preferred["metadata"]["preferences"], json!({"endpoint": "openAI", "defaultModel": "gpt-x", "timeZone": "Europe/Berlin"}));
    assert_eq!(preferred["effective"], json!({"endpoint": "openAI", "model": "gpt-x"}));
    let cleared = home.json(&["users", "prefer", ONE, "--clear", "endpoint", "--clear", "model"]).await;
    assert_eq!(cleared["metadata"]["preferences"], json!({"timeZone": "Europe/Berlin"}));
    assert_eq!(cleared["effective"]["endpoint"], "demo");

    assert_eq!(home.json(&["users", "block", TWO]).await["blocked"], true);
    let (_, table, _) = home.run(&["users", "list"]).await;
    assert_eq!(table.lines().filter(|line| line.contains("blocked")).count(), 1, "{table}");
    assert_eq!(home.json(&["users", "unblock", TWO]).await["blocked"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_listed_of_one_and_of_all_shown_and_closed() {
    let home = texted_by(&[ONE, TWO]).await;
    let (code, _, stderr) = home.run(&["chat", "--from", ONE, "--once", "/new"]).await;
    assert_eq!(code, 0, "{stderr}");
    let (code, _, stderr) = home.run(&["chat", "--from", ONE, "--once", "again"]).await;
    assert_eq!(code, 0, "{stderr}");

    let all = home.list(&["conversations", "list"]).await;
    assert_eq!(all.len(), 3, "{all:?}");
    // Page by page it is the same list, across the border between two people as well.
    let mut paged = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut arguments = vec!["conversations", "list", "--json", "--limit", "1"];
        if let Some(cursor) = &cursor {
            arguments.extend(["--cursor", cursor]);
        }
        let (code, page, remarks) = home.run(&arguments).await;
        assert_eq!(code, 0, "{remarks}");
        paged.extend(serde_json::from_str::<Vec<Value>>(&page).unwrap());
        let Some((_, next)) = remarks.split_once("--cursor ") else { break };
        cursor = Some(next.trim().to_owned());
    }
    assert_eq!(paged, all);
    let of_one = home.list(&["conversations", "list", "--user", ONE]).await;
    assert_eq!(of_one.len(), 2);
    assert_eq!(of_one, all.iter().filter(|conversation| conversation["user"] == of_one[0]["user"]).cloned().collect::<Vec<_>>());

    let id = of_one[0]["conversationId"].as_str().unwrap();
    let shown = home.json(&["conversations", "show", id]).await;
    let said: Vec<_> = shown["messages"].as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(said, ["external", "assistant"]);
    assert_eq!(home.json(&["conversations", "show", id, "--user", ONE]).await, shown);
    let (code, _, stderr) = home.run(&["conversations", "show", id, "--user", TWO]).await;
    assert_eq!(code, 1, "another's conversation was shown: {stderr}");

    assert_eq!(home.json(&["conversations", "close", id]).await["closed"], true);
    home.run(&["chat", "--from", ONE, "--once", "and again"]).await;
    assert_eq!(home.list(&["conversations", "list", "--user", ONE]).await.len(), 3, "a closed conversation was continued");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_given_up_is_listed_with_its_reason_replayed_and_discarded() {
    // Nothing listens on port 1.
    let dead_model = |attempts: u32| {
        super::offline_settings()
            .set("endpoints.default", "openAI")
            .set("endpoints.openAI.base_url", "http://127.0.0.1:1/v1")
            .set("endpoints.openAI.retries", 0)
            .set("gateways.simulator.enabled", true)
            .set("worker.attempts", i64::from(attempts))
    };
    let home = Home::new(&dead_model(1));
    let (code, _, stderr) = home.run(&["chat", "--from", ONE, "--once", "hello", "--wait", "3"]).await;
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("no answer within 3 s"), "{stderr}");

    let jobs = home.list(&["jobs", "list"]).await;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    let mut expected = vec!["id", "kind", "state", "user", "attempts", "due", "error"];
    expected.sort_unstable();
    let mut found = keys(&jobs[0]);
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!((jobs[0]["kind"].as_str(), jobs[0]["state"].as_str()), (Some("reply"), Some("dead")));
    let id = jobs[0]["id"].as_str().unwrap();
    assert_eq!(home.json(&["jobs", "show", id]).await, jobs[0]);

    let replayed = home.json(&["jobs", "replay", id]).await;
    assert_eq!((replayed["state"].as_str(), replayed["attempts"].as_u64()), (Some("ready"), Some(0)));
    let (code, _, stderr) = home.run(&["jobs", "replay", id]).await;
    assert_eq!(code, 1, "a job that is not dead was replayed: {stderr}");

    // A server that has a model now does it.
    super::configure(&home, &super::offline_settings().set("gateways.simulator.enabled", true));
    let server = home.serve().await;
    eventually("the replayed job is done", Duration::from_secs(20), || async {
        home.list(&["jobs", "list"]).await.is_empty().then_some(())
    })
    .await;
    server.stop().await;
    assert_eq!(home.json(&["jobs", "show", id]).await["state"], "done");
    let (code, _, stderr) = home.run(&["jobs", "discard", id]).await;
    assert_eq!(code, 1, "a job that is done was discarded: {stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_listed_without_its_secret_and_refused_after_it_was_revoked() {
    let home = texted_by(&[ONE]).await;
    let user = home.json(&["users", "show", ONE]).await["_id"].clone();
    let made = home.json(&["token", "create", "--user", ONE, "--scope", "read", "--expires", "1d"]).await;
    let mut found = keys(&made);
    found.sort_unstable();
    assert_eq!(found, ["expires", "id", "kind", "scopes", "token", "user"]);
    assert_eq!((&made["kind"], &made["user"], &made["scopes"]), (&json!("user"), &user, &json!(["read"])));
    let (token, id) = (made["token"].as_str().unwrap(), made["id"].as_str().unwrap());
    let admin = home.json(&["token", "create", "--admin"]).await;
    assert_eq!((&admin["kind"], &admin["user"], &admin["expires"]), (&json!("admin"), &Value::Null, &Value::Null));

    let (_, listed, _) = home.run(&["token", "list", "--json"]).await;
    assert!(!listed.contains(token), "the secret was listed");
    assert_eq!(serde_json::from_str::<Vec<Value>>(&listed).unwrap().len(), 2);

    let server = home.serve().await;
    let ask = || async {
        let request = crate::support::http_client().get(server.url("/api/me")).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask().await, 200);
    assert_eq!(home.json(&["token", "revoke", id]).await, json!({"id": id, "revoked": true}));
    assert_eq!(ask().await, 401);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_what_is_well_and_what_is_not() {
    let home = offline();
    home.json(&["token", "create", "--admin"]).await;
    let report = home.json(&["doctor"]).await;
    assert_eq!(report["healthy"], true, "{report}");
    let part = |report: &Value, name: &str| {
        let findings = report["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["part"] == name).unwrap_or_else(|| panic!("no {name} in {report}")).clone()
    };
    for name in ["configuration", "data folder", "disk", "store", "work", "endpoint demo"] {
        assert_eq!(part(&report, name)["state"], "ok", "{report}");
    }
    assert_eq!(part(&report, "gateways")["state"], "warning");

    let twilio = Settings::default()
        .set("endpoints.openAI.base_url", "http://127.0.0.1:1/v1")
        .set("endpoints.openAI.api_key", "sk-0a1b2c3d4e5f60718293a4b5c6d7e8f9")
        .set("gateways.twilio.account_sid", "AC00000000000000000000000000000001")
        .set("gateways.twilio.auth_token", "0a1b2c3d4e5f60718293a4b5c6d7e8f9")
        .set("gateways.twilio.api_base", "http://127.0.0.1:1")
        .set("gateways.twilio.phone_number", "+15550100000")
        .set("server.public_url", "http://sms.example.org");
    super::configure(&home, &twilio);
    let (code, stdout, stderr) = home.run(&["doctor", "--json"]).await;
    assert_eq!(code, 1, "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(part(&report, "endpoint openAI")["state"], "failed");
    assert_eq!(part(&report, "gateway twilio")["state"], "failed");
    let url = part(&report, "public URL");
    assert_eq!(url["state"], "warning");
    assert!(url["mend"].as_str().unwrap().contains("http://sms.example.org/webhooks/twilio#rc=5&rp=all"), "{url}");
    assert!(!stdout.contains("0a1b2c3d4e5f60718293a4b5c6d7e8f9"), "the report shows a secret");

    // A server that stopped without a word.
    let server = home.serve().await;
    assert_eq!(part(&home_report(&home).await, "server")["state"], "ok");
    server.kill();
    assert_eq!(part(&home_report(&home).await, "server")["state"], "warning");
}

async fn home_report(home: &Home) -> Value {
    let (_, stdout, _) = home.run(&["doctor", "--json"]).await;
    serde_json::from_str(&stdout).unwrap()
}
