//! Which key a variable means: our own names, and the names that LibreChat, its servers and Twilio's tools use.

use super::keys;

/// One variable as a layer holds it.
#[derive(Clone)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    /// From 1, where the layer is a file.
    pub(super) line: Option<usize>,
}

impl std::fmt::Debug for Variable {
    /// Without the value: it may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variable").field("name", &self.name).field("line", &self.line).finish_non_exhaustive()
    }
}

/// What a variable's name means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A key, by our own name for it.
    Key(String),
    /// A key, by another program's name for it.
    Alias(String),
    /// A file that holds the secret of this key.
    SecretFile(String),
    /// The address part of `server.listen`.
    Host,
    /// The port part of `server.listen`.
    Port,
    /// The profile to choose.
    Profile,
    /// A name with our prefix that means nothing: the key it would be.
    Unknown(String),
    /// Nobody's business.
    Foreign,
}

/// What stands before our own names.
const PREFIX: &str = "SCRUBJAY_";

/// Other programs' names, except `HOST` and `PORT`, which are parts of one key.
pub(super) const ALIASES: [(&str, &str); 24] = [
    ("EXTERNAL_MESSAGE_API_KEY", "external_api.key"),
    ("JWT_SECRET", "auth.jwt_secret"),
    ("MCP_STORAGE_TYPE", "storage.backend"),
    ("MCP_USER_BASED", "mcp.user_based"),
    ("MCP_USER_ID", "mcp.user_id"),
    ("MONGO_URI", "storage.mongodb.uri"),
    ("MONGODB_URI", "storage.mongodb.uri"),
    ("MCP_MONGODB_URI", "storage.mongodb.uri"),
    ("MONGODB_DATABASE", "storage.mongodb.database"),
    ("MONGODB_COLLECTION", "storage.mongodb.memory_collection"),
    ("TODOODLES_MONGODB_COLLECTION", "storage.mongodb.todo_collection"),
    ("MONGODB_COLLECTION_PREFIX", "storage.mongodb.collection_prefix"),
    ("MEMORY_FILE_PATH", "storage.json.path"),
    ("TODOS_FILE_PATH", "storage.json.path"),
    ("OPENAI_API_KEY", "endpoints.openAI.api_key"),
    ("OPENAI_REVERSE_PROXY", "endpoints.openAI.base_url"),
    ("OPENAI_BASE_URL", "endpoints.openAI.base_url"),
    ("TWILIO_ACCOUNT_SID", "gateways.twilio.account_sid"),
    ("TWILIO_AUTH_TOKEN", "gateways.twilio.auth_token"),
    ("TWILIO_API_KEY", "gateways.twilio.api_key"),
    ("TWILIO_API_SECRET", "gateways.twilio.api_secret"),
    ("TWILIO_PHONE_NUMBER", "gateways.twilio.phone_number"),
    ("TWILIO_MESSAGING_SERVICE_SID", "gateways.twilio.messaging_service_sid"),
    ("RUST_LOG", "log.filter"),
];

/// Reads a name. `named` knows the endpoints and agents of the layers below: `endpoints.LOCAL` -> `Local`.
pub(super) fn target(name: &str, named: &dyn Fn(&str) -> Option<String>) -> Target {
    if let Some(own) = name.get(..PREFIX.len()).filter(|prefix| prefix.eq_ignore_ascii_case(PREFIX)).and(name.get(PREFIX.len()..)) {
        return own_target(own, named);
    }
    match name {
        "HOST" => return Target::Host,
        "PORT" => return Target::Port,
        _ => {}
    }
    let alias = |name: &str| ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, key)| (*key).to_owned());
    if let Some(key) = alias(name) {
        return Target::Alias(key);
    }
    match name.strip_suffix("_FILE").and_then(alias).filter(|key| keys::is_secret(key)) {
        Some(key) => Target::SecretFile(key),
        None => Target::Foreign,
    }
}

/// Reads what follows our prefix.
fn own_target(own: &str, named: &dyn Fn(&str) -> Option<String>) -> Target {
    let upper = own.to_ascii_uppercase();
    if upper == "PROFILE" {
        return Target::Profile;
    }
    if upper == "TEST" || upper.starts_with("TEST_") {
        return Target::Foreign;
    }
    let key = |text: &str| keys::in_any_case(&text.split("__").collect::<Vec<_>>(), named);
    if let Some(key) = key(own) {
        return Target::Key(key);
    }
    let secret = upper.ends_with("_FILE").then(|| own.get(..own.len() - "_FILE".len())).flatten();
    match secret.and_then(key).filter(|key| keys::is_secret(key)) {
        Some(key) => Target::SecretFile(key),
        None => Target::Unknown(own.to_ascii_lowercase().replace("__", ".")),
    }
}

/// The variable that means a key.
#[must_use]
pub fn variable_name(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> Target {
        target(name, &|_| None)
    }

    #[test]
    fn every_key_is_reached_by_its_own_variable_in_any_case() {
        for (key, _) in keys::all() {
            let name = variable_name(key);
            assert_eq!(read(&name), Target::Key(key.to_owned()), "{name}");
            assert_eq!(read(&name.to_ascii_lowercase()), Target::Key(key.to_owned()), "{name}");
            let file = if keys::is_secret(key) {
                Target::SecretFile(key.to_owned())
            } else {
                Target::Unknown(format!("{}_file", key.to_ascii_lowercase()))
            };
            assert_eq!(read(&format!("{name}_FILE")), file, "{name}_FILE");
        }
    }

    #[test]
    fn every_alias_means_a_key_and_secrets_have_a_file_form() {
        for (alias, key) in ALIASES {
            assert!(keys::kind(key).is_some(), "{alias} -> {key}");
            assert_eq!(read(alias), Target::Alias(key.to_owned()));
            let file = if keys::is_secret(key) { Target::SecretFile(key.to_owned()) } else { Target::Foreign };
            assert_eq!(read(&format!("{alias}_FILE")), file, "{alias}");
            // Another program's name is that name only.
            assert_eq!(read(&alias.to_ascii_lowercase()), Target::Foreign, "{alias}");
        }
    }

    #[test]
    fn names_of_others_are_nobodys_business_and_ours_are_never_ignored() {
        for foreign in
            ["PATH", "", "SCRUBJAY", "TWILIO_REGION", "SCRUBJAY_TEST_MONGODB_URI", "scrubjay_test_x", "\u{e9}CRUBJAY_X", "PORT_FILE"]
        {
            assert_eq!(read(foreign), Target::Foreign, "{foreign}");
        }
        for (ours, key) in
            [("SCRUBJAY_", ""), ("SCRUBJAY_SERVER", "server"), ("SCRUBJAY_SERVER__LISTN", "server.listn"), ("SCRUBJAY_TESTS", "tests")]
        {
            assert_eq!(read(ours), Target::Unknown(key.to_owned()), "{ours}");
        }
        assert_eq!(read("SCRUBJAY_PROFILE"), Target::Profile);
        assert_eq!((read("HOST"), read("PORT")), (Target::Host, Target::Port));
    }
}
