//! `mcpServers:` of the YAML file.

use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::World;
use crate::config::mcp_servers::{Instructions, McpServer, Person, Reach};

/// What a whole section of a LibreChat looks like.
const LIBRECHAT: &str = r#"version: 1.2.8
mcpServers:
  files:
    command: npx
    args: [-y, "@modelcontextprotocol/server-filesystem", "/srv/${WHERE}", --api-key, "${SECRET}"]
    env:
      TOKEN: "${SECRET}"
      PERSON: "{{USER_ID}}"
      LEVEL: MARKED-literal
    timeout: 60_000
    chatMenu: false
    stderr: ignore
  memory:
    type: streamable-http
    url: https://user:MARKED-password@mcp.example.org/mcp?key=MARKED-key
    headers:
      Authorization: Bearer ${SECRET}
      X-User-Id: "{{LIBRECHAT_USER_ID}}"
      X-User-Phone: "{{USER_PHONE}}"
      Accept: application/json
    initTimeout: 5000
    serverInstructions: true
    oauth: {client_id: x}
  plain:
    url: http://127.0.0.1:9/mcp
    serverInstructions: |
      Use it rarely.
"#;

fn world() -> World {
    World::yaml(LIBRECHAT).with_environment(&[
        ("SECRET", "MARKED-secret"),
        ("WHERE", "files"),
        ("PATH", "/usr/bin"),
        ("HOME", "/root"),
        ("JWT_SECRET", "MARKED 0123456789 ours"),
    ])
}

fn filled(server: &McpServer, id: &str, phone: Option<&str>) -> Vec<(String, Option<String>)> {
    let (Reach::Stdio { env: pairs, .. } | Reach::Http { headers: pairs, .. }) = &server.reach;
    let fill = |template: &crate::config::mcp_servers::Template| template.fill(Person { id, phone });
    pairs.iter().map(|(name, template)| (name.clone(), fill(template).map(|value| value.expose_secret().to_owned()))).collect()
}

#[test]
fn a_section_of_librechat_is_read_as_it_is() {
    let servers = world().config().mcp_servers;
    assert_eq!(servers.named.keys().collect::<Vec<_>>(), ["files", "memory", "plain"]);
    let mut inherited: Vec<_> = servers.inherited.iter().map(|(name, _)| name.to_str().unwrap()).collect();
    inherited.sort_unstable();
    assert_eq!(inherited, ["HOME", "PATH"]);

    let files = &servers.named["files"];
    assert_eq!((files.timeout, files.init_timeout), (Duration::from_mins(1), Duration::from_secs(30)));
    let Reach::Stdio { command, args, .. } = &files.reach else { panic!("{files:?}") };
    let args: Vec<&str> = args.iter().map(secrecy::ExposeSecret::expose_secret).map(|text: &str| text).collect();
    assert_eq!((command.as_str(), args[2], args[4]), ("npx", "/srv/files", "MARKED-secret"));
    let pairs = filled(files, "ada", None);
    assert_eq!(pairs[0], ("TOKEN".to_owned(), Some("MARKED-secret".to_owned())));
    assert_eq!(pairs[1], ("PERSON".to_owned(), Some("ada".to_owned())));

    let memory = &servers.named["memory"];
    assert_eq!((memory.init_timeout, &memory.instructions), (Duration::from_secs(5), &Instructions::Own));
    let pairs = filled(memory, "ada", Some("+15551234567"));
    let values: Vec<&str> = pairs.iter().map(|(_, value)| value.as_deref().unwrap()).collect();
    assert_eq!(values, ["Bearer MARKED-secret", "ada", "+15551234567"]);
    assert_eq!(filled(memory, "ada", None)[2].1, None, "who has no number is not given somebody's");

    let plain = &servers.named["plain"];
    assert!(matches!(plain.reach, Reach::Http { .. }));
    assert_eq!(plain.instructions, Instructions::Text("Use it rarely.\n".to_owned()));
}

#[test]
fn what_has_no_effect_is_noted_with_its_line() {
    let notes: Vec<String> = world().load().unwrap().notes.iter().map(ToString::to_string).collect();
    for expected in [
        "scrubjay.yaml:3: mcpServers.files: has no effect here: chatMenu, stderr",
        "scrubjay.yaml:20: mcpServers.memory.headers.Accept: the protocol sets this header; it has no effect",
        "scrubjay.yaml:13: mcpServers.memory: nobody logs in for it here (oauth); what a server wants to see must stand in headers",
    ] {
        assert!(notes.iter().any(|note| note == expected), "{expected}\n{notes:#?}");
    }
}

#[test]
fn no_secret_of_a_server_is_shown() {
    let loaded = world().load().unwrap();
    let shown: Vec<(String, String)> = loaded
        .provenance
        .shown()
        .into_iter()
        .map(|shown| (shown.key, shown.value.map_or(String::new(), |value| value.to_string())))
        .collect();
    let value = |key: &str| shown.iter().find(|(known, _)| known == key).unwrap_or_else(|| panic!("{key} {shown:#?}")).1.clone();
    assert_eq!(value("mcpServers.files.command"), "\"npx\"");
    assert_eq!(
        value("mcpServers.files.args"),
        r#"["-y","@modelcontextprotocol/server-filesystem","/srv/${WHERE}","--api-key","${SECRET}"]"#
    );
    assert_eq!(value("mcpServers.files.env.TOKEN"), "\"${SECRET}\"");
    assert_eq!(value("mcpServers.files.env.LEVEL"), "\"********\"");
    assert_eq!(value("mcpServers.files.timeout"), "60000");
    assert_eq!(value("mcpServers.memory.headers.Authorization"), "\"********\"");
    assert_eq!(value("mcpServers.memory.headers.X-User-Id"), "\"{{LIBRECHAT_USER_ID}}\"");
    assert_eq!(value("mcpServers.memory.url"), "\"https://user:********@mcp.example.org/mcp?key=********\"");
    let servers: Vec<_> = shown.iter().filter(|(key, _)| key.starts_with("mcpServers")).collect();
    assert!(!format!("{servers:?} {:?}", loaded.config.mcp_servers).contains("MARKED"), "{servers:?}");
}

#[test]
fn variables_come_from_the_highest_layer_that_has_them() {
    let yaml = "mcpServers:\n  a:\n    command: ${X}\n";
    let command = |world: World| match &world.config().mcp_servers.named["a"].reach {
        Reach::Stdio { command, .. } => command.clone(),
        Reach::Http { .. } => panic!("a child process was asked for"),
    };
    assert_eq!(command(World::yaml(yaml).with_dotenv("X=dotenv\n")), "dotenv");
    assert_eq!(command(World::yaml(yaml).with_dotenv("X=dotenv\n").with_environment(&[("X", "environment")])), "environment");
    let both = format!("env:\n  X: yaml\n{yaml}");
    assert_eq!(command(World::yaml(&both).with_environment(&[("X", "environment")])), "yaml");
}

#[test]
fn a_server_s_mistake_is_reported_with_its_line() {
    for (fields, expected) in [
        (
            "command: ${NONE}",
            "scrubjay.yaml:3: mcpServers.a.command: holds ${NONE}, and no layer has a variable NONE; set it in the environment or in .env, or write the value",
        ),
        (
            "url: http://x/mcp\n    headers:\n      A: Bearer ${NONE}",
            "scrubjay.yaml:5: mcpServers.a.headers.A: holds ${NONE}, and no layer",
        ),
        ("command: x\n    args: [a, \"${N-x}\"]", "scrubjay.yaml:4: mcpServers.a.args: holds ${N-x}, which names no variable"),
        (
            "command: x\n    env:\n      A: \"{{LIBRECHAT_USER_EMAIL}}\"",
            "scrubjay.yaml:5: mcpServers.a.env.A: holds the placeholder {{LIBRECHAT_USER_EMAIL}}, which nothing here fills in",
        ),
        (
            "url: http://x/{{USER_ID}}",
            "scrubjay.yaml:3: mcpServers.a.url: holds a person's placeholder; persons are filled into env and headers only",
        ),
        (
            "type: sse\n    url: http://x/sse",
            "scrubjay.yaml:3: mcpServers.a.type: is \"sse\", a transport that the protocol has replaced and that is not spoken here; write streamable-http",
        ),
        ("type: websocket\n    url: ws://x", "mcpServers.a.type: is \"websocket\""),
        ("url: ws://x", "mcpServers.a.url: is a websocket's"),
        ("url: ftp://x", "mcpServers.a.url: is no http or https URL"),
        ("type: stido\n    command: x", "mcpServers.a.type: \"stido\" is no way to reach a server"),
        ("comand: x\n    command: y", "scrubjay.yaml:3: mcpServers.a.comand: is not a setting of a server; did you mean command?"),
        ("command: x\n    init_timeout: 3", "mcpServers.a.init_timeout: is not a setting of a server; did you mean initTimeout?"),
        ("timeout: 3", "scrubjay.yaml:2: mcpServers.a: has neither a command nor a url"),
        ("command: x\n    url: http://x", "scrubjay.yaml:2: mcpServers.a: has a command and a url"),
        ("type: stdio\n    url: http://x", "mcpServers.a.type: is \"stdio\", but there is no command"),
        ("type: http\n    command: x", "mcpServers.a.type: speaks HTTP, but there is no url"),
        ("command: x\n    timeout: 0", "scrubjay.yaml:4: mcpServers.a.timeout: is no limit in milliseconds"),
        ("command: x\n    timeout: 30s", "mcpServers.a.timeout: is no limit in milliseconds"),
        ("command: x\n    args: hello", "mcpServers.a.args: must be a list of texts"),
        ("command: [x]", "mcpServers.a.command: must be text"),
        ("url: http://x\n    headers: {\"a b\": c}", "mcpServers.a.headers.a b: is no name of a header"),
        ("url: http://x\n    headers: {a: \"b\\nc\"}", "mcpServers.a.headers.a: holds what no header can carry"),
        ("command: x\n    env: {\"A=B\": c}", "mcpServers.a.env: no process can have a variable of that name"),
        ("command: x\n    serverInstructions: [x]", "mcpServers.a.serverInstructions: must be true, false or a text"),
    ] {
        let problem = World::yaml(&format!("mcpServers:\n  a:\n    {fields}\n")).problem();
        assert!(problem.contains(expected), "{fields}\n{problem}");
    }
    let name = World::yaml("mcpServers:\n  \"a,b\":\n    command: x\n").problem();
    assert!(name.contains("is no name for a server"), "{name}");
}

#[test]
fn a_key_of_a_coming_librechat_is_noted_only() {
    let notes = World::yaml("mcpServers:\n  a:\n    command: x\n    sparkles: many\n").load().unwrap().notes;
    assert_eq!(notes[0].to_string(), "scrubjay.yaml:2: mcpServers.a: has no effect here: sparkles");
}

#[test]
fn a_process_that_runs_as_a_server_does_not_need_the_others() {
    let mut world =
        World::yaml("mcpServers:\n  ours:\n    command: scrubjay\n    env:\n      PORT: 4321\n  other:\n    type: sse\n    url: ${NONE}\n");
    world.sources.server = Some("ours".to_owned());
    let config = world.config();
    assert_eq!(config.server.listen.port(), 4321);
    assert!(config.mcp_servers.named.is_empty());
}
