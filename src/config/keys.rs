//! Which keys there are: those of the built-in `config.toml`, any endpoint's, any agent's.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use figment::value::Value;

use super::toml_file;

/// The built-in `config.toml`: the lowest layer, and the reference of all settings.
pub const EMBEDDED: &str = include_str!("../../config.toml");

/// What a key's value is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, or a word out of a few.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// Yes or no.
    Boolean,
    /// Several values of one kind; separated by commas where values are text.
    List,
    /// Names with values of any kind; a JSON object where values are text.
    Table,
}

/// Keys whose values are never shown; `*` is an endpoint's name. A test holds this list and the secret types together.
const SECRETS: [&str; 7] = [
    "auth.jwt_secret",
    "endpoints.*.api_key",
    "external_api.key",
    "gateways.twilio.api_secret",
    "gateways.twilio.auth_token",
    "gateways.twilio.auth_token_secondary",
    "storage.mongodb.uri",
];

/// The agent whose values the others inherit.
pub(super) const MODEL_AGENT: &str = "agent_scrubjay";

/// What an agent never inherits, because it makes it the agent that it is.
pub(super) const AGENTS_OWN: [&str; 6] = ["name", "instructions", "endpoint", "model", "parameters", "servers"];

/// The endpoint whose values the others inherit.
pub(super) const MODEL_ENDPOINT: &str = "openAI";

/// What an endpoint never inherits, because it belongs to one server.
pub(super) const OWN: [&str; 4] = ["base_url", "api_key", "models", "default_model"];

static KEYS: LazyLock<BTreeMap<String, Kind>> = LazyLock::new(|| {
    let mut keys: BTreeMap<String, Kind> =
        toml_file::leaves(EMBEDDED).into_iter().map(|(path, value)| (path.join("."), kind_of(&value))).collect();
    // Those without a default stand in config.toml as comments.
    for secret in SECRETS {
        let key = secret.replace('*', MODEL_ENDPOINT);
        // A section of such keys alone reads as an empty table.
        if let Some((section, _)) = key.rsplit_once('.') {
            keys.remove(section);
        }
        keys.entry(key).or_insert(Kind::Text);
    }
    keys
});

fn kind_of(value: &Value) -> Kind {
    match value {
        Value::Array(..) => Kind::List,
        Value::Dict(..) => Kind::Table,
        Value::Bool(..) => Kind::Boolean,
        Value::Num(_, number) if number.to_i128().is_some() || number.to_u128().is_some() => Kind::Integer,
        Value::Num(..) => Kind::Float,
        _ => Kind::Text,
    }
}

/// The kind of a key, or nothing when there is no such key.
pub(super) fn kind(key: &str) -> Option<Kind> {
    if let Some(kind) = KEYS.get(key) {
        return Some(*kind);
    }
    match *key.split('.').collect::<Vec<_>>() {
        ["endpoints", name, field] if name != "default" => KEYS.get(&format!("endpoints.{MODEL_ENDPOINT}.{field}")).copied(),
        ["agents", name, field] if name != "default" => KEYS.get(&format!("agents.{MODEL_AGENT}.{field}")).copied(),
        _ => None,
    }
}

/// Whether a key's value must never be shown.
pub(super) fn is_secret(key: &str) -> bool {
    match *key.split('.').collect::<Vec<_>>() {
        ["endpoints", _, field] => field == "api_key",
        _ => SECRETS.contains(&key),
    }
}

/// Whether keys lie below this one, so that it is a section and no value.
pub(super) fn is_section(path: &str) -> bool {
    let below = format!("{path}.");
    path.is_empty()
        || KEYS.keys().any(|key| key.starts_with(&below))
        || matches!(*path.split('.').collect::<Vec<_>>(), ["endpoints" | "agents", name] if name != "default")
}

/// The keys without a name of the host's own making, and the fields of `openAI`.
pub(super) fn all() -> impl Iterator<Item = (&'static str, Kind)> {
    KEYS.iter().map(|(key, kind)| (key.as_str(), *kind))
}

/// The fields of an endpoint's section.
pub(super) fn endpoint_fields() -> impl Iterator<Item = &'static str> {
    KEYS.range(format!("endpoints.{MODEL_ENDPOINT}.")..)
        .map_while(|(key, _)| key.strip_prefix("endpoints.")?.strip_prefix(MODEL_ENDPOINT)?.strip_prefix('.'))
}

/// The fields of an agent's section.
pub(super) fn agent_fields() -> impl Iterator<Item = &'static str> {
    KEYS.range(format!("agents.{MODEL_AGENT}.")..)
        .map_while(|(key, _)| key.strip_prefix("agents.")?.strip_prefix(MODEL_AGENT)?.strip_prefix('.'))
}

/// The key that is meant by parts written in any case, with the names that the layers below gave to endpoints and agents.
/// A new endpoint gets the name in lower case.
pub(super) fn in_any_case(parts: &[&str], named: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let written = parts.join(".");
    if let Some((key, _)) = KEYS.iter().find(|(key, _)| key.eq_ignore_ascii_case(&written)) {
        return Some(key.clone());
    }
    let [section, name, field] = parts else { return None };
    let section = ["endpoints", "agents"].into_iter().find(|known| known.eq_ignore_ascii_case(section))?;
    let field = field.to_ascii_lowercase();
    let name = named(&format!("{section}.{name}")).unwrap_or_else(|| name.to_ascii_lowercase());
    let key = format!("{section}.{name}.{field}");
    kind(&key).map(|_| key)
}

/// The known key nearest to one that is not known, if any is near.
pub(super) fn nearest(key: &str) -> Option<String> {
    // One underscore in place of two is the commonest slip in a variable, so both separators count as one.
    let folded = |key: &str| key.to_ascii_lowercase().replace('.', "_");
    let written = folded(key);
    let own_section = match *key.split('.').collect::<Vec<_>>() {
        ["endpoints", name, _] => endpoint_fields().map(|field| format!("endpoints.{name}.{field}")).collect(),
        ["agents", name, _] => agent_fields().map(|field| format!("agents.{name}.{field}")).collect(),
        _ => Vec::new(),
    };
    let near = KEYS
        .keys()
        .cloned()
        .chain(own_section)
        .map(|known| (strsim::damerau_levenshtein(&written, &folded(&known)), known))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, known)| *distance * 4 <= known.len().max(written.len()))
        .map(|(_, known)| known);
    // The right name in the wrong section, or in none.
    near.or_else(|| {
        let last = key.rsplit('.').next()?;
        let mut same = KEYS.keys().filter(|known| known.rsplit('.').next().is_some_and(|end| end.eq_ignore_ascii_case(last)));
        let first = same.next()?;
        same.next().is_none().then(|| first.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_types_and_the_list_of_secrets_name_the_same_keys() {
        // `name: SecretString` in sections.rs, by field name; the list by its last part.
        let source = include_str!("sections.rs");
        let mut typed: Vec<&str> = source
            .split("SecretString")
            .filter_map(|before| before.strip_suffix(": ")?.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next())
            .collect();
        let mut listed: Vec<&str> = SECRETS.iter().filter_map(|key| key.rsplit('.').next()).collect();
        typed.sort_unstable();
        listed.sort_unstable();
        assert_eq!(typed, listed);
        for secret in SECRETS {
            let key = secret.replace('*', "local");
            assert!(is_secret(&key), "{key}");
            assert_eq!(kind(&key), Some(Kind::Text), "{key}");
        }
        // `gateways.twilio.api_key` is an identifier, as the user name is beside the password.
        assert!(!is_secret("gateways.twilio.api_key"));
    }

    #[test]
    fn a_misspelt_key_has_a_near_one_and_nonsense_has_none() {
        for (written, meant) in [
            ("server.listn", "server.listen"),
            ("server_listen", "server.listen"),
            ("Server.Listen", "server.listen"),
            ("listen", "server.listen"),
            ("endpoints.local.base_ulr", "endpoints.local.base_url"),
            ("agents.agent_x.instruction", "agents.agent_x.instructions"),
            ("external_api.jwt_secret", "auth.jwt_secret"),
        ] {
            assert_eq!(nearest(written).as_deref(), Some(meant), "{written}");
        }
        for written in ["", "colour", "zzz.zzz", "a.b.c.d.e"] {
            assert_eq!(nearest(written), None, "{written}");
        }
    }

    #[test]
    fn a_key_is_found_in_any_case_and_new_endpoints_are_lower_case() {
        let named = |name: &str| name.eq_ignore_ascii_case("endpoints.openai").then(|| "openAI".to_owned());
        let found = |name: &str| in_any_case(&name.split("__").collect::<Vec<_>>(), &named);
        assert_eq!(found("ENDPOINTS__OPENAI__BASE_URL").as_deref(), Some("endpoints.openAI.base_url"));
        assert_eq!(found("endpoints__Local__Base_Url").as_deref(), Some("endpoints.local.base_url"));
        assert_eq!(found("AGENTS__AGENT_X__MODEL").as_deref(), Some("agents.agent_x.model"));
        assert_eq!(found("SERVER__LISTEN").as_deref(), Some("server.listen"));
        assert_eq!(found("SERVER"), None);
        assert_eq!(found("ENDPOINTS__LOCAL__NOTHING"), None);
    }
}
