//! Wrong usage and wrong configuration: exit code 2, one clear word on standard error, nothing on standard output.

use serde_json::{Value, json};

use super::offline;
use crate::support::home::{Home, Settings};

/// A folder with a store that holds one token and nothing else.
async fn with_a_store() -> Home {
    let home = offline();
    home.json(&["token", "create", "--admin"]).await;
    home
}

#[tokio::test]
async fn wrong_usage_is_exit_code_2_and_says_what_would_be_right() {
    let home = with_a_store().await;
    let cases: &[(&[&str], &str)] = &[
        (&["nonsense"], "nonsense"),
        (&["users"], "Usage: scrubjay users"),
        (&["users", "list", "--limit", "0"], "--limit"),
        (&["users", "show", "not-a-person"], "neither a person's id"),
        (&["users", "prefer", "+15550100001"], "nothing to set"),
        (&["users", "prefer", "+15550100001", "--endpoint", "external"], "the role of a message, not an endpoint"),
        (&["users", "prefer", "+15550100001", "--endpoint", "nowhere"], "no endpoint \"nowhere\" is configured"),
        (&["users", "prefer", "+15550100001", "--agent", "agent_x"], "no agent \"agent_x\" is configured"),
        (&["users", "prefer", "+15550100001", "--time-zone", "Mars/Olympus"], "not a time zone"),
        (&["conversations", "show", "1"], "scrubjay conversations list"),
        (&["jobs", "replay", "1"], "scrubjay jobs list"),
        (&["token", "create"], "--user <USER>|--service|--admin"),
        (&["token", "create", "--admin", "--service"], "cannot be used with"),
        (&["token", "create", "--admin", "--expires", "yesterday"], "is not a time"),
        (&["token", "create", "--user", "+15550100001", "--scope", "everything"], "is not a scope; there are read and write"),
        (&["token", "create", "--admin", "--scope", "read", "--scope", "Write"], "is not a scope; there are read and write"),
        (&["token", "revoke", "sj_secret"], "is not a token's id"),
        (&["chat", "--from", "123", "--once", "hello"], "--from \"123\""),
        (&["chat", "--once", " "], "--once wants a text"),
        (&["demo", "--listen", "0.0.0.0:0"], "loopback only"),
        (&["completions", "tcsh"], "tcsh"),
    ];
    for (arguments, said) in cases {
        let (code, stdout, stderr) = home.run(arguments).await;
        assert_eq!(code, 2, "{arguments:?} ended with {code}: {stderr}");
        assert_eq!(stdout, "", "{arguments:?} printed something");
        assert!(stderr.contains(said), "{arguments:?} said: {stderr}");
        assert!(!stderr.contains("panicked"), "{arguments:?} said: {stderr}");
    }
    assert_eq!(home.list(&["token", "list"]).await.len(), 1, "a refused token was stored");
}

#[tokio::test]
async fn what_does_not_exist_is_exit_code_1() {
    let home = with_a_store().await;
    let uuid = "018f0000-0000-7000-8000-000000000000";
    let reply = format!("reply-{uuid}");
    let cases: &[(&[&str], &str)] = &[
        (&["users", "show", "+15550100009"], "nobody is called"),
        (&["users", "show", "0123456789abcdef01234567"], "nobody is called"),
        (&["users", "block", "+15550100009"], "nobody is called"),
        (&["token", "create", "--user", "+15550100009"], "nobody is called"),
        (&["token", "revoke", uuid], "does not exist"),
        (&["conversations", "show", uuid], "there is no conversation"),
        (&["conversations", "close", uuid], "there is no conversation"),
        (&["jobs", "show", &reply], "does not exist"),
        (&["jobs", "replay", &reply], "does not exist"),
        (&["jobs", "discard", &reply], "does not exist"),
        (&["users", "list", "--cursor", "nonsense"], "begin again without it"),
        (&["conversations", "list", "--cursor", "nonsense"], "begin again without it"),
    ];
    for (arguments, said) in cases {
        let (code, stdout, stderr) = home.run(arguments).await;
        assert_eq!(code, 1, "{arguments:?} ended with {code}: {stderr}");
        assert_eq!(stdout, "", "{arguments:?} printed something");
        assert!(stderr.contains(said), "{arguments:?} said: {stderr}");
    }
}

#[tokio::test]
async fn a_wrong_setting_is_exit_code_2_for_every_command_that_needs_settings() {
    let home = Home::new(&Settings::default().set("server.listn", "127.0.0.1:0"));
    for arguments in
        [&["serve"][..], &["demo"], &["chat", "--once", "x"], &["users", "list"], &["phone", "1"], &["doctor"], &["config", "check"]]
    {
        let (code, stdout, stderr) = home.run(arguments).await;
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        let said = format!("{stdout}{stderr}");
        assert!(said.contains("server.listn") && said.contains("server.listen"), "{arguments:?} said: {said}");
    }
}

#[tokio::test]
async fn flags_of_the_configuration_stand_anywhere() {
    let home = offline();
    let elsewhere = home.path().join("elsewhere");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_scrubjay"));
    command.env_clear().current_dir(home.path()).args(["token", "create", "--admin", "--json", "--data-dir"]).arg(&elsewhere);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["kind"], "admin");
    assert!(elsewhere.join("scrubjay.db").exists());
}

#[tokio::test]
async fn a_mistyped_data_folder_is_refused_and_not_made() {
    let home = offline();
    let uuid = "018f0000-0000-7000-8000-000000000000";
    for arguments in [
        &["users", "list"][..],
        &["users", "show", "+15550100001"],
        &["users", "block", "+15550100001"],
        &["conversations", "list"],
        &["jobs", "list"],
        &["jobs", "replay", &format!("reply-{uuid}")],
        &["token", "list"],
        &["token", "revoke", uuid],
        &["token", "create", "--user", "+15550100001"],
    ] {
        let (code, stdout, stderr) = home.run(arguments).await;
        assert_eq!((code, stdout.as_str()), (1, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains("there is no store in") && stderr.contains("--data-dir"), "{arguments:?} said: {stderr}");
    }
    assert_eq!(home.json(&["doctor"]).await["healthy"], true);
    assert!(!home.data().exists(), "a command that reads made a data folder");
}

#[tokio::test]
async fn what_this_release_cannot_do_is_refused_before_anything_starts() {
    for (key, value, said) in [("external_api.deliver", "sms", "no gateway is open that could text")] {
        let home = Home::new(&super::offline_settings().set(key, value));
        for arguments in [&["config", "check"][..], &["serve", "--listen", "127.0.0.1:0"]] {
            let (code, stdout, stderr) = home.run(arguments).await;
            assert_eq!(code, 2, "{arguments:?} with {key} = {value}: {stderr}");
            let all = format!("{stdout}{stderr}");
            assert!(all.contains(key) && all.contains(said), "{arguments:?} with {key} = {value} said: {all}");
        }
        assert!(!home.data().exists());
    }
    let home = Home::new(&super::offline_settings().set("external_api.deliver", "sms").set("gateways.simulator.enabled", true));
    assert_eq!(home.json(&["config", "check"]).await["ok"], true);
}

#[tokio::test]
async fn numbers_and_texts_are_read_without_a_store() {
    let home = offline();
    assert_eq!(home.json(&["phone", "(555) 123-4567"]).await, json!({"phoneNumber": "+15551234567"}));
    let (code, stdout, _) = home.run(&["phone", "555-1234", "--json"]).await;
    let refused: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, refused["error"].as_str()), (1, Some("Valid phone number required")));
    let sms = home.json(&["sms", "“hi”"]).await;
    assert_eq!((sms["encoding"].as_str(), sms["segments"].as_u64()), (Some("GSM-7"), Some(1)));
    assert!(!home.data().exists(), "a store was made for nothing");
}
