//! Which layer wins, and that the winner's place and what it lies above are known.

use std::fs;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use super::super::{Layer, SecretStrength, Sources, load};
use super::*;

const PROFILE: &str = "prod";
const SERVER: &str = "memory";

/// Every layer that can hold a value, the lowest first.
const LAYERS: [Layer; 9] = [
    Layer::Embedded,
    Layer::File,
    Layer::Profile,
    Layer::DotEnv,
    Layer::Environment,
    Layer::Yaml,
    Layer::Server,
    Layer::Command("demo"),
    Layer::Flag,
];

/// A world in which these layers set a key. `variable` is the name used where names are variables.
fn world(settings: &[(Layer, &str)], key: &str, variable: &str) -> World {
    let (section, field) = key.rsplit_once('.').unwrap();
    let mut world = World::default();
    let (mut yaml_env, mut server_env) = (String::new(), String::new());
    for (layer, value) in settings {
        match layer {
            Layer::Embedded => {}
            Layer::File => world.toml = format!("[{section}]\n{field} = \"{value}\"\n{}", world.toml),
            Layer::Profile => {
                world = world.with_toml(&format!("[profiles.{PROFILE}.{section}]\n{field} = \"{value}\"\n"));
                world.sources.profile = Some(PROFILE.to_owned());
            }
            Layer::DotEnv => world.dotenv = format!("# a comment\n{variable}={value}\n"),
            Layer::Environment => world.sources.environment.push((variable.into(), value.into())),
            Layer::Yaml => yaml_env = format!("env:\n  {variable}: {value}\n"),
            Layer::Server => {
                server_env = format!("mcpServers:\n  {SERVER}:\n    command: scrubjay\n    env:\n      {variable}: {value}\n");
                world.sources.server = Some(SERVER.to_owned());
            }
            Layer::Command(_) => world = world.with_override(key, value),
            Layer::Flag => world.sources.data_dir = Some(PathBuf::from(value)),
        }
    }
    world.yaml = yaml_env + &server_env;
    world
}

/// File and line at which `world` writes a layer's value.
fn place(layer: Layer, both: &[Layer], key_variable: &str, key: &str) -> (Option<&'static str>, Option<usize>, String) {
    let field_line = |above: usize| Some(above + 2);
    let has = |layer: Layer| both.contains(&layer);
    match layer {
        Layer::Embedded | Layer::Command(_) => (None, None, key.to_owned()),
        Layer::File => (Some("config.toml"), field_line(0), key.to_owned()),
        Layer::Profile => (Some("config.toml"), field_line(if has(Layer::File) { 2 } else { 0 }), format!("profiles.{PROFILE}.{key}")),
        Layer::DotEnv => (Some(".env"), Some(2), key_variable.to_owned()),
        Layer::Environment => (None, None, key_variable.to_owned()),
        Layer::Yaml => (Some("scrubjay.yaml"), Some(2), key_variable.to_owned()),
        Layer::Server => (Some("scrubjay.yaml"), Some(if has(Layer::Yaml) { 7 } else { 5 }), key_variable.to_owned()),
        Layer::Flag => (None, None, "--data-dir".to_owned()),
    }
}

/// Checks every pair of `layers` for one key: the higher wins, its place is known, and the lower is what it overrode.
fn check_every_pair(layers: &[Layer], key: &str, variable: &str, read: impl Fn(&Config) -> String) {
    let mut pairs = 0;
    for (at, low) in layers.iter().enumerate() {
        for high in layers.iter().skip(at + 1) {
            let case = format!("{key} as {variable}: {} below {}", low.name(), high.name());
            let low_value = "value-of-the-lower-layer-0123";
            let high_value = "value-of-the-higher-layer-4567";
            let loaded =
                world(&[(*low, low_value), (*high, high_value)], key, variable).load().unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_eq!(read(&loaded.config), high_value, "{case}");

            let (_, stack) = loaded.provenance.iter().find(|(known, _)| *known == key).unwrap();
            let found: Vec<Layer> = stack.iter().map(|setting| setting.origin.layer).filter(|layer| *layer != Layer::Embedded).collect();
            let expected: Vec<Layer> = [*low, *high].into_iter().filter(|layer| *layer != Layer::Embedded).collect();
            assert_eq!(found, expected, "{case}");

            for setting in stack.iter().filter(|setting| setting.origin.layer != Layer::Embedded) {
                let (file, line, name) = place(setting.origin.layer, &[*low, *high], variable, key);
                let origin = &setting.origin;
                assert_eq!((origin.file.as_deref(), origin.line, &origin.name), (file.map(Path::new), line, &name), "{case}");
            }

            // Removing the winner gives the loser its effect back.
            if *low != Layer::Embedded {
                assert_eq!(read(&world(&[(*low, low_value)], key, variable).config()), low_value, "{case}, alone");
            }
            pairs += 1;
        }
    }
    assert_eq!(pairs, layers.len() * (layers.len() - 1) / 2);
}

#[test]
fn of_every_pair_of_layers_the_higher_wins_for_a_plain_key() {
    check_every_pair(&LAYERS, "storage.path", "SCRUBJAY_STORAGE__PATH", |config| config.storage.path.display().to_string());
}

#[test]
fn of_every_pair_of_layers_the_higher_wins_for_an_alias() {
    let layers: Vec<Layer> = LAYERS.into_iter().filter(|layer| *layer != Layer::Flag).collect();
    check_every_pair(&layers, "mcp.user_id", "MCP_USER_ID", |config| config.mcp.user_id.clone());
    check_every_pair(&layers, "storage.mongodb.database", "MONGODB_DATABASE", |config| config.storage.mongodb.database.clone());
}

#[test]
fn of_every_pair_of_layers_the_higher_wins_for_a_secret() {
    let layers: Vec<Layer> = LAYERS.into_iter().filter(|layer| !matches!(layer, Layer::Flag | Layer::Embedded)).collect();
    for variable in ["EXTERNAL_MESSAGE_API_KEY", "SCRUBJAY_EXTERNAL_API__KEY"] {
        check_every_pair(&layers, "external_api.key", variable, |config| config.external_api.key.expose_secret().to_owned());
    }
    check_every_pair(&LAYERS[..8], "storage.mongodb.uri", "MONGO_URI", |config| config.storage.mongodb.uri.expose_secret().to_owned());
}

#[test]
fn all_layers_at_once_lie_in_their_order() {
    let values: Vec<String> = LAYERS.iter().map(|layer| format!("from-{}", layer.name())).collect();
    let all: Vec<(Layer, &str)> = LAYERS.iter().copied().zip(values.iter().map(String::as_str)).collect();
    let loaded = world(&all, "storage.path", "SCRUBJAY_STORAGE__PATH").load().unwrap();
    let shown = loaded.provenance.shown();
    let path = shown.iter().find(|shown| shown.key == "storage.path").unwrap();
    assert_eq!(path.value, Some("from-flag".into()));
    let below: Vec<&str> = path.overrode.iter().map(|(_, setting)| setting.origin.layer.name()).collect();
    assert_eq!(below, ["demo", "mcpServers", "yaml", "environment", ".env", "profile", "file", "embedded"]);
    assert_eq!(path.overrode[7].0, "./data");
}

#[test]
fn host_and_port_each_replace_their_half_of_the_address_below() {
    let listen = |world: World| world.config().server.listen.to_string();
    assert_eq!(listen(World::environment(&[("PORT", "3080")])), "127.0.0.1:3080");
    assert_eq!(listen(World::environment(&[("HOST", "0.0.0.0")])), "0.0.0.0:8080");
    assert_eq!(listen(World::dotenv("HOST=localhost\nPORT=3080\n")), "127.0.0.1:3080");
    let both = World::dotenv("HOST=localhost\nPORT=3080\n").load().unwrap();
    assert_eq!(both.provenance.effective("server.listen").unwrap().origin.to_string(), ".env:2: HOST and PORT");
    assert_eq!(listen(World::environment(&[("HOST", "::"), ("PORT", "0")])), "[::]:0");
    // One layer's half on another layer's half.
    assert_eq!(listen(World::dotenv("HOST=10.0.0.1\n").with_environment(&[("PORT", "1")])), "10.0.0.1:1");
    assert_eq!(listen(World::toml("[server]\nlisten = \"[::1]:9\"\n").with_yaml("env:\n  PORT: 7\n")), "[::1]:7");
    // A whole address above replaces both.
    assert_eq!(listen(World::dotenv("PORT=1\n").with_environment(&[("SCRUBJAY_SERVER__LISTEN", "1.2.3.4:5")])), "1.2.3.4:5");
    // In one layer they may stand beside the whole address if they say the same.
    assert_eq!(listen(World::dotenv("PORT=5\nSCRUBJAY_SERVER__LISTEN=1.2.3.4:5\n")), "1.2.3.4:5");
    // Empty says nothing.
    assert_eq!(listen(World::dotenv("HOST=\nPORT=\nRUST_LOG=\n")), "127.0.0.1:8080");
}

#[test]
fn text_stays_text_and_numbers_are_read_where_a_key_wants_them() {
    let world = World::dotenv("TWILIO_PHONE_NUMBER=+15550009999\nSCRUBJAY_LIMITS__TURNS_PER_DAY= 0012 \nMCP_USER_BASED=no\n")
        .with_yaml("env:\n  MCP_USER_ID: 007\n  SCRUBJAY_ENDPOINTS__OPENAI__PROMPT_TOKEN_CREDITS: 2\n  SCRUBJAY_PEOPLE__ALLOW: +15550009999, +15550009998\n  SCRUBJAY_GATEWAYS__TWILIO__LOOKUP_MS: 1,2\n  SCRUBJAY_ENDPOINTS__OPENAI__ADD_PARAMS: '{\"seed\": 7}'\n");
    let config = world.config();
    assert_eq!(config.gateways.twilio.phone_number, "+15550009999");
    assert_eq!(config.mcp.user_id, "007");
    assert!(!config.mcp.user_based);
    assert_eq!(config.limits.turns_per_day, 12);
    assert!((config.endpoints.named["openAI"].prompt_token_credits - 2.0).abs() < f64::EPSILON);
    assert_eq!(config.people.allow, ["+15550009999", "+15550009998"]);
    assert_eq!(config.gateways.twilio.lookup_ms, [1, 2]);
    assert_eq!(config.endpoints.named["openAI"].add_params["seed"], 7);
    let empty = World::toml("[people]\nallow = [\"+15551234567\"]\n").with_environment(&[("SCRUBJAY_PEOPLE__ALLOW", "")]).config();
    assert!(empty.people.allow.is_empty());
    let models = World::environment(&[("SCRUBJAY_ENDPOINTS__OPENAI__MODELS", "[\"gpt-4o-mini\", \"a,b\"]")]);
    assert_eq!(models.config().endpoints.named["openAI"].models, ["gpt-4o-mini", "a,b"]);
}

#[test]
fn an_endpoint_has_the_values_of_openai_where_it_leaves_them_out() {
    let config = World::toml(
        "[endpoints.openai]\napi_key = \"sk-one\"\nmax_tokens = 77\nmodels = [\"gpt-4o-mini\"]\n[endpoints.Local]\nbase_url = \"http://localhost:1/v1\"\ndefault_model = \"m\"\nretries = 9\n",
    )
    .with_environment(&[("SCRUBJAY_ENDPOINTS__LOCAL__IDLE_SECONDS", "3"), ("SCRUBJAY_ENDPOINTS__NEW__BASE_URL", "http://localhost:2/v1"), ("SCRUBJAY_ENDPOINTS__NEW__DEFAULT_MODEL", "n")])
    .config();
    let names: Vec<&str> = config.endpoints.named.keys().map(String::as_str).collect();
    assert_eq!(names, ["Local", "demo", "new", "openAI"]);
    let local = &config.endpoints.named["Local"];
    assert_eq!((local.max_tokens, local.retries, local.idle_seconds, local.default_model.as_str()), (77, 9, 3, "m"));
    assert_eq!((local.api_key.expose_secret(), local.models.len()), ("", 0));
    assert_eq!(config.endpoints.named["new"].max_tokens, 77);
    assert_eq!(config.endpoints.named["openAI"].api_key.expose_secret(), "sk-one");
}

#[test]
fn an_agent_needs_instructions_only() {
    let config = World::toml(
        "[agents]\ndefault = \"agent_Bird\"\n[agents.agent_Bird]\ninstructions = \"Sing.\"\n[endpoints]\ndefault = \"agents\"\n",
    )
    .config();
    let (id, agent) = config.agents.named.first_key_value().unwrap();
    assert_eq!(
        (id.as_str(), agent.name.as_str(), agent.endpoint.as_str(), agent.model.as_str()),
        ("agent_Bird", "agent_Bird", "openAI", "gpt-4o-mini")
    );
    assert_eq!(config.agents.default.as_ref(), Some(id));
    assert!(World::default().config().agents.default.is_none());
}

/// Writes files into a fresh folder.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn sources(folder: &tempfile::TempDir) -> Sources {
    Sources { working_dir: folder.path().to_owned(), ..Sources::default() }
}

#[test]
fn files_are_found_where_they_are_looked_for() {
    let home = folder(&[
        ("config.toml", "[mcp]\nuser_id = \"here\"\n"),
        (".env", "MONGODB_DATABASE=here\n"),
        ("scrubjay.yaml", "env:\n  MONGODB_COLLECTION: here\n"),
        ("etc/config.toml", "[mcp]\nuser_id = \"etc\"\n"),
        ("etc/scrubjay.yaml", "env:\n  MONGODB_COLLECTION: etc\n"),
        ("other/.env", "MONGODB_DATABASE=other\n"),
        ("other/librechat.yaml", "version: 1\nenv:\n  MONGODB_COLLECTION: other\n"),
    ]);
    let found = |sources: Sources| {
        let config = load(&sources).unwrap_or_else(|error| panic!("{error}")).config;
        (config.mcp.user_id, config.storage.mongodb.database, config.storage.mongodb.memory_collection)
    };
    let as_text = |texts: [&str; 3]| (texts[0].to_owned(), texts[1].to_owned(), texts[2].to_owned());
    assert_eq!(found(sources(&home)), as_text(["here"; 3]));
    // Beside the given file first; `.env` in the working directory after that.
    let given = Sources { config: Some("etc/config.toml".into()), ..sources(&home) };
    assert_eq!(found(given.clone()), as_text(["etc", "here", "etc"]));
    fs::write(home.path().join("etc/.env"), "MONGODB_DATABASE=etc\n").unwrap();
    assert_eq!(found(given.clone()), as_text(["etc"; 3]));
    let named = Sources { env_file: Some("other/.env".into()), yaml: Some("other/librechat.yaml".into()), ..given };
    assert_eq!(found(named.clone()), as_text(["etc", "other", "other"]));
    let notes = load(&named).unwrap().notes;
    assert!(notes.iter().any(|note| note.message.contains("ignored: version")), "{notes:?}");
    // An empty folder is enough.
    assert_eq!(found(sources(&folder(&[]))).1, "", "the address names it, else it is LibreChat");
}

#[test]
fn the_env_file_changes_no_process_environment() {
    let before: Vec<_> = std::env::vars_os().collect();
    let home = folder(&[(".env", "SCRUBJAY_MCP__USER_ID=marked-7261\nPATH=/nowhere\nexport HOME='/nowhere'\nEXPANDED=$PATH\n")]);
    let loaded = load(&Sources { environment: before.clone(), ..sources(&home) }).unwrap();
    assert_eq!(loaded.config.mcp.user_id, "marked-7261");
    assert_eq!(std::env::vars_os().collect::<Vec<_>>(), before);
}

#[test]
fn a_profile_is_chosen_by_flag_or_by_the_highest_variable() {
    let toml = "[mcp]\nuser_id = \"plain\"\n[profiles.a.mcp]\nuser_id = \"a\"\n[profiles.b.mcp]\nuser_id = \"b\"\n[profiles.c]\n";
    let chosen = |world: World| world.config().mcp.user_id;
    assert_eq!(chosen(World::toml(toml)), "plain");
    assert_eq!(chosen(World::toml(toml).with_dotenv("SCRUBJAY_PROFILE=a\n")), "a");
    assert_eq!(chosen(World::toml(toml).with_dotenv("SCRUBJAY_PROFILE=a\n").with_environment(&[("SCRUBJAY_PROFILE", "b")])), "b");
    assert_eq!(chosen(World::toml(toml).with_environment(&[("SCRUBJAY_PROFILE", "c")])), "plain");
    assert_eq!(chosen(World::toml(toml).with_environment(&[("SCRUBJAY_PROFILE", "")])), "plain");
    let mut world = World::toml(toml).with_yaml("env:\n  SCRUBJAY_PROFILE: b\n");
    assert_eq!(chosen(World { sources: Sources { profile: Some("a".into()), ..Sources::default() }, ..world }), "a");
    world = World::toml(toml).with_environment(&[("SCRUBJAY_PROFILE", "cc")]);
    assert_eq!(
        world.problem(),
        "config.toml has no [profiles.cc]; did you mean \"c\"?; --profile and SCRUBJAY_PROFILE choose among the profiles of that file"
            .replace("; did you mean \"c\"?", "")
    );
}

#[test]
fn secrets_are_read_from_files_relative_to_where_they_are_named() {
    let home = folder(&[
        ("etc/config.toml", "[auth]\njwt_secret_file = \"secrets/jwt\"\n"),
        ("etc/secrets/jwt", "\u{feff}jwt-${not-a-placeholder}-0123\r\n"),
        ("api", "api-key-0123456789\n"),
        ("etc/.env", "TWILIO_AUTH_TOKEN_FILE=secrets/twilio\n"),
        ("etc/secrets/twilio", "twilio-token-0123456789"),
    ]);
    let mut sources = Sources { config: Some("etc/config.toml".into()), ..sources(&home) };
    sources.environment.push(("SCRUBJAY_EXTERNAL_API__KEY_FILE".into(), "api".into()));
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.config.auth.jwt_secret.expose_secret(), "jwt-${not-a-placeholder}-0123");
    assert_eq!(loaded.config.external_api.key.expose_secret(), "api-key-0123456789");
    assert_eq!(loaded.config.gateways.twilio.auth_token.expose_secret(), "twilio-token-0123456789");
    let setting = loaded.provenance.effective("auth.jwt_secret").unwrap();
    assert_eq!(setting.origin.name, "auth.jwt_secret_file");
    assert_eq!(setting.secret_file.as_deref(), Some(home.path().join("etc/secrets/jwt").as_path()));

    sources.environment = vec![
        ("JWT_SECRET_FILE".into(), "missing".into()),
        ("EXTERNAL_MESSAGE_API_KEY_FILE".into(), "etc".into()),
        ("TWILIO_AUTH_TOKEN_FILE".into(), "".into()),
    ];
    let problems: Vec<String> = load(&sources).unwrap_err().problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(problems[0].starts_with("process environment: EXTERNAL_MESSAGE_API_KEY_FILE: \"etc\" is not a file"), "{problems:#?}");
    assert!(problems[1].starts_with("process environment: JWT_SECRET_FILE: the file \"missing\" cannot be read"), "{problems:#?}");
    assert!(problems[2].starts_with("process environment: TWILIO_AUTH_TOKEN_FILE: names no file"), "{problems:#?}");
}

#[test]
fn a_signature_can_be_checked_with_any_secret() {
    let mut world = World::environment(&[("TWILIO_AUTH_TOKEN", "12345")]);
    assert!(world.problem().contains("shorter than 16"));
    world.sources.secrets = SecretStrength::Any;
    assert_eq!(world.config().gateways.twilio.auth_token.expose_secret(), "12345");
}
