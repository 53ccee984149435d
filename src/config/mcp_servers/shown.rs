//! What `config show` says of a server: its shape, and no secret.

use url::Url;

use super::super::provenance::MASK;
use super::template::{Part, parts};

/// An environment variable's or a header's value. Whether a literal is a secret cannot be told, so all are masked; what is only
/// a placeholder or names a variable is shown as written.
pub(super) fn value(written: &str) -> String {
    let literal = parts(written).iter().any(|part| matches!(part, Part::Text(text) if !text.trim().is_empty()));
    if literal { MASK.to_owned() } else { written.to_owned() }
}

/// Arguments as written; one that follows or holds a flag which asks for a secret is masked.
pub(super) fn arguments(written: &[&str]) -> Vec<String> {
    let mut after_flag = false;
    written
        .iter()
        .map(|argument| {
            let secret = std::mem::take(&mut after_flag);
            let named = argument.starts_with('-') && asks_for_secret(argument.split('=').next().unwrap_or_default());
            match argument.split_once('=') {
                Some((name, text)) if named => format!("{name}={}", value(text)),
                None if named => {
                    after_flag = true;
                    (*argument).to_owned()
                }
                _ if secret => value(argument),
                // `mcp-remote --header "Authorization: Bearer …"` and the like.
                _ => match argument.split_once(':') {
                    Some((name, text)) if name.eq_ignore_ascii_case("authorization") || asks_for_secret(name) => {
                        format!("{name}:{}", value(text))
                    }
                    _ => url(argument),
                },
            }
        })
        .collect()
}

fn asks_for_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "token", "secret", "password", "auth"].iter().any(|word| name.contains(word))
}

/// A URL without its password and without the values of its query, which often are keys. What is no URL stays.
pub(super) fn url(written: &str) -> String {
    let Ok(mut url) = Url::parse(written) else { return written.to_owned() };
    if !matches!(url.scheme(), "http" | "https") || (url.password().is_none() && url.query().is_none()) {
        return written.to_owned();
    }
    if url.password().is_some() && url.set_password(Some(MASK)).is_err() {
        return MASK.to_owned();
    }
    let pairs: Vec<(String, String)> = url.query_pairs().map(|(name, text)| (name.into_owned(), value(&text))).collect();
    url.set_query(None);
    let query: Vec<String> = pairs.iter().map(|(name, text)| format!("{name}={text}")).collect();
    if query.is_empty() { url.into() } else { format!("{url}?{}", query.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_placeholders_are_not() {
        assert_eq!(value("Bearer abc"), MASK);
        assert_eq!(value("Bearer ${TOKEN}"), MASK);
        assert_eq!(value("${TOKEN}"), "${TOKEN}");
        assert_eq!(value("{{USER_ID}}"), "{{USER_ID}}");
    }

    #[test]
    fn arguments_are_shown_but_for_their_secrets() {
        let written = [
            "-y",
            "@scope/server",
            "--api-key",
            "sk-MARKED",
            "--token=MARKED",
            "--secret=${X}",
            "/srv/files",
            "Authorization: Bearer MARKED",
            "http://x/mcp?key=MARKED",
        ];
        assert_eq!(
            arguments(&written),
            [
                "-y",
                "@scope/server",
                "--api-key",
                MASK,
                "--token=********",
                "--secret=${X}",
                "/srv/files",
                "Authorization:********",
                "http://x/mcp?key=********"
            ]
        );
    }

    #[test]
    fn a_url_keeps_its_place_and_loses_its_keys() {
        assert_eq!(
            url("https://u:MARKED@x.example/mcp?key=MARKED&who={{USER_ID}}"),
            "https://u:********@x.example/mcp?key=********&who={{USER_ID}}"
        );
        assert_eq!(url("https://x.example/mcp"), "https://x.example/mcp");
        assert_eq!(url("${URL}"), "${URL}");
    }
}
