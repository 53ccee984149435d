//! Every kind of mistake: found, with file, line, name, the nearest that exists and what to do; all of them at once.

use super::*;

/// One mistake and the whole line that reports it.
#[track_caller]
fn reported(world: &World, line: &str) {
    assert_eq!(world.problem(), line);
}

#[test]
fn unknown_keys_name_the_nearest() {
    reported(&World::toml("# x\n[server]\nlistn = \"x\"\n"), "config.toml:3: server.listn: is not a setting; did you mean server.listen?");
    reported(&World::toml("[colour]\nred = 1\n"), "config.toml:2: colour.red: is not a setting");
    reported(
        &World::toml("[profiles.p.log]\nfliter = \"x\"\n"),
        "config.toml:2: profiles.p.log.fliter: is not a setting (key log.fliter); did you mean log.filter?",
    );
    reported(
        &World::dotenv("A=1\nSCRUBJAY_SERVER_LISTEN=x\n"),
        ".env:2: SCRUBJAY_SERVER_LISTEN: is not a setting (key server_listen); did you mean SCRUBJAY_SERVER__LISTEN (server.listen)?",
    );
    reported(
        &World::environment(&[("SCRUBJAY_LOG__FILTER_FILE", "x")]),
        "process environment: SCRUBJAY_LOG__FILTER_FILE: is not a setting (key log.filter_file); did you mean SCRUBJAY_LOG__FILTER (log.filter)?; only secrets can be given as files",
    );
    reported(
        &World::yaml("env:\n  SCRUBJAY_ENDPOINTS__LOCAL__BASE_ULR: x\n"),
        "scrubjay.yaml:2: SCRUBJAY_ENDPOINTS__LOCAL__BASE_ULR: is not a setting (key endpoints.local.base_ulr); did you mean SCRUBJAY_ENDPOINTS__LOCAL__BASE_URL (endpoints.local.base_url)?",
    );
    reported(
        &World::default().with_override("balance.enable", "true"),
        "demo: balance.enable: is not a setting; did you mean balance.enabled?",
    );
}

#[test]
fn a_profile_that_is_not_chosen_is_looked_through_for_names_only() {
    let toml = "[profiles.far.auth]\njwt_secret_file = \"/run/secrets/elsewhere\"\n[profiles.far.server]\nlisten = 5\n";
    World::toml(toml).config();
    let mut chosen = World::toml(toml);
    chosen.sources.profile = Some("far".to_owned());
    assert_eq!(chosen.problems().len(), 2);
}

#[test]
fn sections_and_values_are_told_apart() {
    reported(&World::toml("server = 5\n"), "config.toml:1: server: is a section of settings, not one value");
    reported(&World::toml("[server.listen]\nx = 1\n"), "config.toml:1: server.listen: must be one value, not a table");
    reported(&World::toml("[endpoints]\n\"a.b\" = {kind = \"demo\"}\n"), "config.toml:2: endpoints.a.b.kind: a name must hold no dot");
    reported(&World::toml("[endpoints.default]\nkind = \"demo\"\n"), "config.toml:1: endpoints.default: must be one value, not a table");
}

#[test]
fn what_could_not_be_done_is_refused_where_it_is_written() {
    reported(
        &World::toml("[external_api]\ndeliver = \"sms\"\n"),
        "config.toml:2: external_api.deliver: is \"sms\", but no gateway is open that could text; set up gateways.twilio (account_sid and auth_token), or write none",
    );
    World::toml("[external_api]\ndeliver = \"sms\"\n[gateways.simulator]\nenabled = true\n").config();
}

#[test]
fn wrong_types_say_what_was_expected() {
    for (world, line) in [
        (
            World::toml("[server]\nstop_seconds = \"soon\"\n"),
            "config.toml:2: server.stop_seconds: is \"soon\", expected a whole number, 0 or more",
        ),
        (
            World::dotenv("SCRUBJAY_LIMITS__TURNS_PER_DAY=-1\n"),
            ".env:1: SCRUBJAY_LIMITS__TURNS_PER_DAY: is -1, expected a whole number from 0 to 4294967295 (key limits.turns_per_day)",
        ),
        (
            World::yaml("env:\n  MCP_USER_BASED: maybe\n"),
            "scrubjay.yaml:2: MCP_USER_BASED: is \"maybe\", expected true or false (key mcp.user_based)",
        ),
        (
            World::environment(&[("MCP_STORAGE_TYPE", "mongo")]),
            "process environment: MCP_STORAGE_TYPE: is \"mongo\", expected one of sqlite, json, mongodb (key storage.backend); did you mean \"mongodb\"?",
        ),
        (
            World::environment(&[("MCP_STORAGE_TYPE", "sqllite")]),
            "process environment: MCP_STORAGE_TYPE: is \"sqllite\", expected one of sqlite, json, mongodb (key storage.backend); did you mean \"sqlite\"?",
        ),
        (
            World::toml("[gateways.twilio]\nphone_number = 15550009999\n"),
            "config.toml:2: gateways.twilio.phone_number: is 15550009999, expected text; put it in quotes",
        ),
        (World::toml("[people]\nallow = \"+15551234567\"\n"), "config.toml:2: people.allow: is \"+15551234567\", expected a list"),
        (
            World::toml("[gateways.twilio]\nlookup_ms = [1, \"x\"]\n"),
            "config.toml:2: gateways.twilio.lookup_ms: is \"x\", expected a whole number, 0 or more",
        ),
        (
            World::dotenv("SCRUBJAY_ENDPOINTS__OPENAI__ADD_PARAMS=[1]\n"),
            ".env:1: SCRUBJAY_ENDPOINTS__OPENAI__ADD_PARAMS: is not a JSON object (key endpoints.openAI.add_params); write {\"name\": value, …}",
        ),
        (
            World::environment(&[("SCRUBJAY_SERVER__LISTEN", "8080")]),
            "process environment: SCRUBJAY_SERVER__LISTEN: invalid socket address syntax (key server.listen); write ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080",
        ),
        (World::dotenv("PORT=http\n"), ".env:1: PORT: \"http\" is no port (key server.listen); write a number from 0 to 65535"),
        (
            World::dotenv("HOST=example.org\n"),
            ".env:1: HOST: \"example.org\" is no address to listen on (key server.listen); write an IP address, such as 127.0.0.1 or 0.0.0.0, or localhost",
        ),
        (
            World::toml("[endpoints.local]\nbase_url = \"http://x\"\ndefault_model = \"m\"\nretries = []\n"),
            "config.toml:4: endpoints.local.retries: is a list, expected a whole number from 0 to 4294967295",
        ),
    ] {
        reported(&world, line);
    }
    let mut flag = World::default();
    flag.sources.listen = Some("nowhere".to_owned());
    assert!(flag.problem().starts_with("command line: --listen: invalid socket address"));
}

#[test]
fn files_that_cannot_be_read_say_where() {
    for (world, start) in [
        (World::toml("[server]\nlisten =\n"), "config.toml:2: TOML syntax: "),
        (World::toml("[server]\nlisten = \"x\"\nlisten = \"y\"\n"), "config.toml:3: TOML syntax: duplicate key"),
        (World::dotenv("A=1\nnonsense\n"), ".env:2: a line is NAME=VALUE"),
        (World::dotenv("A='1\nB=2\n"), ".env:1: the quote that begins here does not end"),
        (World::yaml("env:\n  A: [\n"), "scrubjay.yaml:"),
        (World::yaml("env:\n  SCRUBJAY_LOG__FILTER:\n"), "scrubjay.yaml:2: SCRUBJAY_LOG__FILTER: has no value; write \"\""),
        (World::yaml("env:\n  RUST_LOG: [a]\n"), "scrubjay.yaml:2: RUST_LOG: must be one value"),
    ] {
        let problems = world.problems();
        assert!(problems.iter().any(|problem| problem.to_string().starts_with(start)), "{problems:#?}");
    }
    let mut files = Files { config: Some(("config.toml".into(), b"[log]\n# \xff\n".to_vec())), ..Files::default() };
    let error = load_files(&Sources::default(), &files).unwrap_err();
    assert_eq!(error.problems[0].to_string(), "config.toml:2: is not UTF-8 text; save the file as UTF-8");
    files.config = None;
    let mut sources = Sources::default();
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt;
        let bytes = || std::ffi::OsString::from_vec(vec![0xff]);
        sources.environment = vec![("JWT_SECRET".into(), bytes()), ("SOMEBODYS".into(), bytes()), (bytes(), "x".into())];
        let error = load_files(&sources, &files).unwrap_err();
        assert_eq!(
            error.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["process environment: JWT_SECRET: is not UTF-8 text"]
        );
    }
    sources.environment.clear();
    sources.config = Some("/nonexistent/config.toml".into());
    let error = super::super::load(&sources).unwrap_err();
    assert!(error.to_string().contains("command line: --config: the file /nonexistent/config.toml cannot be read"), "{error}");
}

#[test]
fn two_names_of_one_key_in_one_layer_must_agree() {
    reported(
        &World::dotenv("MONGO_URI=a\n\nMONGODB_URI=b\n"),
        ".env:3: MONGODB_URI: disagrees with .env:1: MONGO_URI: both set storage.mongodb.uri in the same layer, to different values (key storage.mongodb.uri); remove one of them",
    );
    for world in [
        World::environment(&[("MCP_USER_ID", "a"), ("SCRUBJAY_MCP__USER_ID", "b")]),
        World::yaml("env:\n  MEMORY_FILE_PATH: a\n  TODOS_FILE_PATH: b\n"),
        World::dotenv("MCP_USER_ID=a\nMCP_USER_ID=b\n"),
        World::dotenv("PORT=1\nPORT=2\n"),
        World::dotenv("PORT=1\nSCRUBJAY_SERVER__LISTEN=127.0.0.1:2\n"),
        World::environment(&[("OPENAI_BASE_URL", "http://a/v1"), ("OPENAI_REVERSE_PROXY", "http://b/v1")]),
        World::toml("[endpoints.A]\nkind = \"demo\"\nretries = 1\n[endpoints.a]\nretries = 2\n"),
    ] {
        assert!(world.problem().contains("disagrees with"), "{}", world.problem());
    }
    // Saying the same twice is no contradiction, and neither are two layers.
    World::dotenv("MONGO_URI=a\nMONGODB_URI=a\nMCP_MONGODB_URI=a\nMCP_USER_ID=x\n")
        .with_environment(&[("SCRUBJAY_MCP__USER_ID", "y")])
        .config();
}

#[test]
fn placeholders_that_nothing_filled_in_are_found() {
    reported(
        &World::yaml("env:\n  MONGODB_DATABASE: ${DATABASE}\n"),
        "scrubjay.yaml:2: MONGODB_DATABASE: holds the placeholder ${DATABASE}, which nothing has filled in (key storage.mongodb.database); write the value itself; nothing is expanded here",
    );
    let hidden = World::dotenv("JWT_SECRET=abc${MARKED-SECRET}0123456789\n").problem();
    assert!(hidden.starts_with(".env:1: JWT_SECRET: holds a placeholder, which") && !hidden.contains("MARKED"), "{hidden}");
    for world in [
        World::toml("[sms]\nhelp_text = \"Hello {{name}}\"\n"),
        World::toml("[people]\nallow = [\"+15551234567\", \"${NUMBER}\"]\n"),
        World::toml("[endpoints.openAI.add_params]\nuser = \"{{LIBRECHAT_USER_ID}}\"\n"),
        World::environment(&[("MCP_USER_ID", "{{LIBRECHAT_USER_ID}}")]),
    ] {
        assert!(world.problem().contains("holds the placeholder"), "{}", world.problem());
    }
    // The system text is a template; a lone brace is none; what a higher layer replaces is only noted.
    World::toml("[prompt]\nsystem = \"Hello {{ name }}\"\n[sms]\nhelp_text = \"{x} $5\"\n").config();
    let noted = World::dotenv("MCP_USER_ID=${X}\n").with_environment(&[("MCP_USER_ID", "x")]).load().unwrap().notes;
    assert_eq!(
        noted[0].to_string(),
        ".env:1: MCP_USER_ID: holds the placeholder ${X}, which nothing fills in; a higher layer sets mcp.user_id"
    );
    World::yaml("mcpServers:\n  a:\n    command: x\n    env:\n      MCP_USER_ID: \"{{USER_ID}}\"\n").config();
}

#[test]
fn a_secret_that_is_set_must_guard_its_door() {
    let default = "16f8c0ef4a5d391b26034086c628469d3f9f497f08163ab9b40137092f2909ef";
    reported(
        &World::environment(&[("EXTERNAL_MESSAGE_API_KEY", "")]),
        "process environment: EXTERNAL_MESSAGE_API_KEY: is set but empty (key external_api.key); make a good one with: openssl rand -hex 32 (or remove the setting to keep this door closed)",
    );
    for (variable, secret, why) in [
        ("JWT_SECRET", default, "is a default that was published"),
        ("JWT_SECRET", "", "is set but empty"),
        ("EXTERNAL_MESSAGE_API_KEY", "hunter2", "is shorter than 16 characters"),
        ("EXTERNAL_MESSAGE_API_KEY", "your-external-api-key-here", "is a placeholder"),
        ("SCRUBJAY_AUTH__JWT_SECRET", "00000000000000000000000000000000", "repeats too few characters"),
        ("TWILIO_AUTH_TOKEN", "your_auth_token", "is a placeholder"),
        ("TWILIO_API_SECRET", "", "is set but empty"),
    ] {
        for world in [
            World::environment(&[(variable, secret)]),
            World::dotenv(&format!("{variable}={secret}\n")),
            World::yaml(&format!("env:\n  {variable}: \"{secret}\"\n")),
        ] {
            let problem = world.problem();
            assert!(problem.contains(why), "{problem}");
            assert!(secret.is_empty() || !problem.contains(secret), "{problem}");
        }
    }
    let toml = World::toml("[external_api]\nkey = \"\"\n[auth]\njwt_secret = 12345678901234567890\n");
    let problems: Vec<String> = toml.problems().iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[0].starts_with("config.toml:2: external_api.key: is set but empty"), "{problems:#?}");
    assert!(problems[1].starts_with("config.toml:4: auth.jwt_secret: is a value of another kind, expected text"), "{problems:#?}");
    assert!(World::environment(&[("OPENAI_API_KEY", "user_provided")]).problem().contains("is a placeholder and no key"));
    // Absent, the doors are closed and start goes on; a model's key may be anything or nothing.
    World::environment(&[("OPENAI_API_KEY", "")]).config();
    World::environment(&[("OPENAI_API_KEY", "x")]).config();
}

#[test]
fn endpoints_and_agents_must_make_sense() {
    for (toml, line) in [
        (
            "[endpoints.external]\nkind = \"demo\"\nretries = 1\n",
            "config.toml:2: endpoints.external.kind: \"external\" is the role of a message, not an endpoint; name openAI, agents or a configured endpoint (key endpoints.external)",
        ),
        (
            "[endpoints.Agents]\nkind = \"demo\"\n",
            "config.toml:2: endpoints.Agents.kind: the endpoint \"agents\" is built in and takes its settings from [agents.agent_NAME] (key endpoints.Agents)",
        ),
        (
            "[endpoints.local]\nbase_url = \"http://localhost:1\"\n",
            "config.toml:2: endpoints.local.base_url: the endpoint \"local\" has no default_model (key endpoints.local.default_model); set endpoints.local.default_model; an endpoint does not inherit it",
        ),
        (
            "[endpoints]\ndefault = \"extrenal\"\n",
            "config.toml:2: endpoints.default: \"extrenal\" is not configured; there are demo, openAI; name one of these, or add its section",
        ),
        (
            "[endpoints]\ndefault = \"external\"\n",
            "config.toml:2: endpoints.default: \"external\" is the role of a message, not an endpoint; name openAI, agents or a configured endpoint",
        ),
        (
            "[endpoints]\ndefault = \"agents\"\n",
            "config.toml:2: endpoints.default: is \"agents\", but no agent is the default one; set agents.default",
        ),
        ("[agents]\ndefault = \"agent_x\"\n", "config.toml:2: agents.default: \"agent_x\" is not configured; add [agents.agent_x]"),
        ("[agents]\ndefault = \"bob\"\n", "config.toml:2: agents.default: \"bob\" is not an agent's id (agent_…)"),
        ("[agents.bob]\nname = \"Bob\"\n", "config.toml:2: agents.bob.name: \"bob\" is not an agent's id (agent_…) (key agents.bob)"),
        (
            "[agents.agent_x]\nname = \"Bob\"\n",
            "config.toml:2: agents.agent_x.name: the agent \"agent_x\" has no instructions (key agents.agent_x.instructions); set agents.agent_x.instructions",
        ),
        (
            "[agents.agent_x]\ninstructions = \"i\"\nendpoint = \"nowhere\"\n",
            "config.toml:3: agents.agent_x.endpoint: \"nowhere\" cannot answer for an agent; there are demo, openAI; name one of these",
        ),
        (
            "[endpoints.openAI]\nmodels = [\"a\"]\ndefault_model = \"b\"\n",
            "config.toml:3: endpoints.openAI.default_model: the default model \"b\" is not among endpoints.openAI.models; add it there, or set endpoints.openAI.default_model to another",
        ),
        (
            "[endpoints.openAI]\nmodels = [\"a\"]\n",
            "config.toml:2: endpoints.openAI.models: the default model \"gpt-4o-mini\" is not among endpoints.openAI.models; add it there, or set endpoints.openAI.default_model to another",
        ),
    ] {
        reported(&World::toml(toml), line);
    }
    // An empty section lacks both of what it cannot inherit.
    let empty: Vec<String> = World::toml("[endpoints.local]\n").problems().iter().map(ToString::to_string).collect();
    assert_eq!(empty.len(), 2, "{empty:#?}");
    assert!(empty.iter().all(|line| line.starts_with("config.toml:1: endpoints.local: the endpoint \"local\" has no ")), "{empty:#?}");
}

#[test]
fn values_that_no_type_refuses_are_checked() {
    for (key, value, part) in [
        ("server.public_url", "sms.example.org", "is no http or https URL"),
        ("server.public_url", "ftp://sms.example.org", "is no http or https URL"),
        ("server.public_url", "https://sms.example.org/webhooks", "has a path or a query"),
        ("server.public_url", "https://sms.example.org?x", "has a path or a query"),
        ("server.public_url", "https://me:pw@sms.example.org", "holds a user name"),
        ("server.trusted_proxies", "10.0.0.0/33", "is neither an address nor a network"),
        ("server.trusted_proxies", "::1,proxy", "is neither an address nor a network"),
        ("log.filter", "info,scrubjay=loud", "is no filter"),
        ("phone.default_region", "XX", "region"),
        ("people.time_zone", "Mars/Base", "is no time zone"),
        ("people.email_domain", "a b", "is no domain"),
        ("people.email_domain", "", "is no domain"),
        ("people.allow", "+15551234567,bob", "entry 2 of the list is no phone number"),
        ("prompt.system", "Hello {{ name", "is no template"),
        ("storage.path", "", "is empty"),
        ("worker.turns", "0", "is 0"),
        ("balance.start_credits", "-5", "is -5"),
        ("conversations.debounce_max_ms", "1", "is below conversations.debounce_ms"),
        ("endpoints.openAI.base_url", "localhost:1", "is no http or https URL"),
        ("endpoints.openAI.api_key", "sk \n", "holds what no header can carry"),
        ("endpoints.openAI.default_model", " ", "is empty"),
        ("endpoints.openAI.total_seconds", "0", "is 0"),
        ("endpoints.demo.prompt_token_credits", "-0.5", "is -0.5"),
        ("gateways.twilio.account_sid", "SK123", "does not begin with AC"),
        ("gateways.twilio.phone_number", "555-123", "is no number as Twilio writes it"),
        ("gateways.twilio.api_base", "twilio", "is no http or https URL"),
    ] {
        let problem = World::default().with_override(key, value).problem();
        assert!(problem.starts_with(&format!("demo: {key}: ")) && problem.contains(part), "{problem}");
    }
    let config = World::default().with_override("server.public_url", "https://sms.example.org:8443/").config();
    assert_eq!(config.server.public_url, "https://sms.example.org:8443");
    World::default().with_override("server.trusted_proxies", "10.0.0.0/8, ::1, fd00::/8, 127.0.0.1").config();
    let librechat = World::dotenv("OPENAI_REVERSE_PROXY=http://localhost:1/v1/chat/completions\n").load().unwrap();
    assert_eq!(librechat.config.endpoints.named["openAI"].base_url, "http://localhost:1/v1");
    assert_eq!(librechat.notes.len(), 1);
}

#[test]
fn a_half_configured_twilio_stays_closed_and_says_what_is_missing() {
    let notes = |pairs: &[(&str, &str)]| -> Vec<String> {
        World::environment(pairs).load().unwrap().notes.iter().map(|note| note.message.clone()).collect()
    };
    let token = ("TWILIO_AUTH_TOKEN", "0123456789abcdef");
    let account = ("TWILIO_ACCOUNT_SID", "AC0123456789");
    let url = ("SCRUBJAY_SERVER__PUBLIC_URL", "https://sms.example.org");
    assert_eq!(notes(&[token]), ["Twilio stays closed: gateways.twilio.account_sid (TWILIO_ACCOUNT_SID) is missing"]);
    assert_eq!(notes(&[account]), ["Twilio stays closed: gateways.twilio.auth_token (TWILIO_AUTH_TOKEN) is missing"]);
    assert_eq!(notes(&[("TWILIO_PHONE_NUMBER", "+15550009999")])[0].matches("TWILIO_").count(), 2);
    assert_eq!(notes(&[account, token, url]), [] as [&str; 0]);
    assert!(notes(&[account, token])[0].contains("server.public_url is empty"));
    assert!(notes(&[account, token, url, ("TWILIO_API_KEY", "SK1")])[0].contains("api_secret is missing"));
    assert_eq!(notes(&[]), [] as [&str; 0]);
}

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_the_layers() {
    let world = World::toml(
        "[server]\nlisten = \"x\"\nstop_seconds = -1\nprot = 1\n[worker]\nturns = \"many\"\n[people]\ntime_zone = \"Nowhere\"\n",
    )
    .with_dotenv("nonsense\nSCRUBJAY_X=1\nJWT_SECRET=short\n")
    .with_environment(&[("PORT", "70000")])
    .with_yaml("env:\n  MCP_USER_BASED: perhaps\n  A:\n");
    let lines: Vec<String> = world.problems().iter().map(|problem| problem.origin.as_ref().unwrap().to_string()).collect();
    assert_eq!(
        lines,
        [
            "config.toml:2: server.listen",
            "config.toml:3: server.stop_seconds",
            "config.toml:4: server.prot",
            "config.toml:6: worker.turns",
            "config.toml:8: people.time_zone",
            ".env:1",
            ".env:2: SCRUBJAY_X",
            ".env:3: JWT_SECRET",
            "process environment: PORT",
            "scrubjay.yaml:2: MCP_USER_BASED",
            "scrubjay.yaml:3: A",
        ]
    );
    let error = world.load().unwrap_err().to_string();
    assert!(error.starts_with("the configuration has 11 problems:\n  config.toml:2: server.listen: "), "{error}");
}

#[test]
fn no_secret_is_told_by_debug_or_by_what_is_shown() {
    let secret = "marked-secret-9b1c4d7e";
    let everywhere = World::toml(&format!("[external_api]\nkey = \"{secret}\"\n[endpoints.openAI]\napi_key = \"{secret}\"\n"))
        .with_dotenv(&format!("JWT_SECRET={secret}\nMONGO_URI=mongodb://u:{secret}@h/\n"))
        .with_environment(&[("TWILIO_AUTH_TOKEN", secret), ("TWILIO_API_SECRET", secret)])
        .with_yaml(&format!(
            "env:\n  EXTERNAL_MESSAGE_API_KEY: {secret}-2\n  SCRUBJAY_ENDPOINTS__OPENAI__BASE_URL: http://u:{secret}@h/v1\n"
        ));
    let loaded = everywhere.load().unwrap();
    let told = format!("{:?}{:?}{:?}{:?}", loaded.provenance, loaded.provenance.shown(), loaded.notes, everywhere.sources);
    assert!(!told.contains(secret), "{told}");
    let masked = loaded.provenance.shown().iter().filter(|shown| shown.value == Some("********".into())).count();
    assert_eq!(masked, 6);
    // One mistake makes the whole load fail; the report is as silent.
    let failed = everywhere.with_environment(&[("SCRUBJAY_NONSENSE", secret)]).load().unwrap_err();
    assert!(!format!("{failed}{failed:?}").contains(secret), "{failed:?}");
}
