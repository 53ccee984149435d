//! Which secrets guard nothing.

/// Fewer characters than this are guessed, not found.
const SHORTEST: usize = 16;

/// Secrets that were published: LibreChat's `.env.example`, and what tutorials write. Compared without case.
const WELL_KNOWN: [&str; 4] = [
    "16f8c0ef4a5d391b26034086c628469d3f9f497f08163ab9b40137092f2909ef",
    "eaa5191f2914e30b9387fd84e254e4ba6fc51b4654968a9b0803b456a54b8418",
    "f34be427ebb29de8d88c107a71546019685ed8b241d8f2ed00c3df97ad2566f0",
    "e2341419ec3dd3d19b13a1a87fafcbfb",
];

/// Words of which placeholders are made: a "secret" that consists of them alone was never replaced.
const FILLERS: [&str; 24] = [
    "change", "changeme", "default", "example", "enter", "external", "here", "insert", "jwt", "key", "api", "auth", "me", "message", "my",
    "password", "replace", "secret", "server", "super", "this", "token", "twilio", "your",
];

/// Why a secret that is set guards nothing, or nothing when it does.
pub(super) fn weakness(secret: &str) -> Option<&'static str> {
    if secret.trim().is_empty() {
        return Some("is set but empty");
    }
    if WELL_KNOWN.iter().any(|known| known.eq_ignore_ascii_case(secret.trim())) {
        return Some("is a default that was published");
    }
    let lower = secret.to_lowercase();
    if lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).all(|word| FILLERS.contains(&word)) {
        return Some("is a placeholder");
    }
    if secret.chars().count() < SHORTEST {
        return Some("is shorter than 16 characters");
    }
    let mut characters: Vec<char> = secret.chars().collect();
    characters.sort_unstable();
    characters.dedup();
    // Random text of 16 characters has more, even when it is hexadecimal.
    if characters.len() < 6 { Some("repeats too few characters") } else { None }
}

/// What a key of a model's server holds when LibreChat asks its users for theirs: no key.
pub(super) fn is_no_key(key: &str) -> bool {
    matches!(key.trim().to_ascii_lowercase().as_str(), "user_provided" | "your_api_key" | "your-api-key" | "sk-...")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_guard_nothing_are_told_apart_from_good_ones() {
        for (secret, why) in [
            ("", "is set but empty"),
            ("  ", "is set but empty"),
            ("16f8c0ef4a5d391b26034086c628469d3f9f497f08163ab9b40137092f2909ef", "is a default that was published"),
            ("16F8C0EF4A5D391B26034086C628469D3F9F497F08163AB9B40137092F2909EF", "is a default that was published"),
            ("your-external-message-api-key", "is a placeholder"),
            ("change_me", "is a placeholder"),
            ("<your super secret key here>", "is a placeholder"),
            ("fifteen letters", "is shorter than 16 characters"),
            ("aaaaaaaaaaaaaaaaaaaaaaaa", "repeats too few characters"),
        ] {
            assert_eq!(weakness(secret), Some(why), "{secret}");
        }
        for secret in
            ["0123456789abcdef", "correct horse battery staple", "e2e-external-key-5f1d8a2b", "\u{e9}\u{e8}\u{ea}\u{eb}abcdefghijklm"]
        {
            assert_eq!(weakness(secret), None, "{secret}");
        }
    }
}
