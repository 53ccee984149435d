//! Whatever files hold: loading ends, says where things are wrong, and tells no secret. The twin of the fuzz target.

use proptest::prelude::*;

use super::super::robustness::check;

const WORDS: [&str; 40] = [
    "[server]",
    "listen",
    "=",
    "\"127.0.0.1:1\"",
    "\n",
    "\n",
    "\n",
    "[profiles.p.auth]",
    "jwt_secret",
    "key_file",
    "\"/dev/null\"",
    "env:",
    "  ",
    ": ",
    "mcpServers:",
    "memory",
    "HOST=",
    "PORT",
    "SCRUBJAY_ENDPOINTS__A__BASE_URL",
    "=http://x",
    "[endpoints.x]",
    "base_url",
    "{{",
    "}}",
    "${",
    "}",
    "'",
    "\"",
    "#",
    "[[",
    "]]",
    "1",
    "-",
    "&a",
    "*a",
    "<<",
    "\r",
    "\u{feff}",
    "\t",
    "EXTERNAL_MESSAGE_API_KEY=",
];

fn text_of_words() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..40).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_bytes_are_loaded_or_refused_with_reasons(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&data);
    }

    #[test]
    fn files_of_likely_words_are_loaded_or_refused_with_reasons(toml in text_of_words(), dotenv in text_of_words(), yaml in text_of_words()) {
        check(&[toml, dotenv, yaml].join(&0));
    }
}
