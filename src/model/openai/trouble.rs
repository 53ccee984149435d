//! What can go wrong with one try, and how it is told: shortly, in the server's words, never with a key or the prompt.

use std::time::Duration;

use crate::domain::text::shortened;
use crate::model::{CompletionRequest, ModelError};

use super::wire::ServerError;

/// Why one try gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// What happened, in our words.
    what: String,
    /// What the server said about it.
    said: String,
    /// The same request will fail again.
    lasting: bool,
    /// Another try of ours may help: nothing was handed on yet, and the trouble is of the kind that passes at once.
    pub(super) again: bool,
    /// How long the server asked to wait.
    pub(super) after: Option<Duration>,
}

impl Trouble {
    /// It may work later, by another attempt at the turn.
    pub(super) fn passing(what: impl Into<String>) -> Self {
        Self { what: what.into(), said: String::new(), lasting: false, again: false, after: None }
    }

    /// The same request will fail again.
    pub(super) fn lasting(what: impl Into<String>) -> Self {
        Self { lasting: true, ..Self::passing(what) }
    }

    /// Lets us try again at once, unless something was handed on already.
    pub(super) fn again_unless(self, begun: bool) -> Self {
        Self { again: !self.lasting && !begun, ..self }
    }

    /// Forbids a second try once something was handed on.
    pub(super) fn once_begun(self, begun: bool) -> Self {
        Self { again: self.again && !begun, ..self }
    }

    /// An answer with a status that is not success.
    pub(super) fn from_status(status: u16, error: &ServerError, after: Option<Duration>) -> Self {
        // An exhausted account answers 429 too, but no wait of seconds fills it.
        let exhausted = error.kind.contains("insufficient_quota");
        let lasting = !matches!(status, 408 | 409 | 425 | 429 | 500..);
        let what = match status {
            300..=399 => format!("it answered {status}, a redirect, which is not followed; give its final address as base_url"),
            401 | 403 => format!("it answered {status}: is api_key right?"),
            404 => format!("it answered {status}: are base_url and the model's name right?"),
            _ => format!("it answered {status}"),
        };
        Self { what, said: error.message.clone(), lasting, again: !lasting && !exhausted, after }
    }

    /// An error in the middle of an answer that began as success. Without a better word it counts as passing: the request
    /// itself had been taken.
    pub(super) fn from_stream(error: &ServerError) -> Self {
        let refused = ["invalid_request", "authentication", "permission", "not_found", "insufficient_quota"];
        let lasting = match error.status {
            Some(status) => !matches!(status, 408 | 409 | 425 | 429 | 500..),
            None => refused.iter().any(|word| error.kind.contains(word)),
        };
        Self { what: "it reported an error".to_owned(), said: error.message.clone(), lasting, again: !lasting, after: None }
    }

    /// For the caller, naming the endpoint.
    pub(super) fn into_error(self, endpoint: &str, key: &str, request: Option<&CompletionRequest>) -> ModelError {
        let said = excerpt(&self.said, key, request);
        let reason = if said.is_empty() {
            format!("endpoint {endpoint}: {}", self.what)
        } else {
            format!("endpoint {endpoint}: {} (\"{said}\")", self.what)
        };
        if self.lasting { ModelError::Refused { reason } } else { ModelError::Unavailable { reason, after: self.after } }
    }
}

/// Characters of a server's message that are shown.
const SHOWN: usize = 200;
/// Characters that, shared with the prompt, are no accident any more.
const SHARED: usize = 16;

/// A server's message, on one line, cut, without the key; nothing at all of it when it quotes the prompt.
fn excerpt(said: &str, key: &str, request: Option<&CompletionRequest>) -> String {
    let mut shown = String::new();
    for word in said.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !shown.is_empty() {
            shown.push(' ');
        }
        // Servers repeat a wrong key, sometimes only its first and last letters.
        let secret = (!key.is_empty() && word.contains(key)) || word.contains("sk-") || word.starts_with("Bearer");
        shown.push_str(if secret { "[key]" } else { word });
        if shown.chars().count() > SHOWN {
            shown = shortened(&shown, SHOWN).into_owned();
            break;
        }
    }
    if request.is_some_and(|request| request.texts().any(|text| shares(&shown, text))) {
        return "its message quotes the prompt and is left out".to_owned();
    }
    shown
}

/// Whether `shown` repeats a stretch of `content`, or all of it where that is short.
fn shares(shown: &str, content: &str) -> bool {
    // The message was brought to one line, so the prompt is compared the same way.
    let content = content.split_whitespace().collect::<Vec<_>>().join(" ");
    if content.chars().count() < SHARED {
        return content.chars().count() >= 6 && shown.contains(&content);
    }
    let starts: Vec<usize> = shown.char_indices().map(|(at, _)| at).chain([shown.len()]).collect();
    starts.windows(SHARED + 1).any(|window| match window {
        [from, .., to] => shown.get(*from..*to).is_some_and(|stretch| content.contains(stretch)),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PromptMessage, Speaker};

    fn asked(content: &str) -> CompletionRequest {
        CompletionRequest::new("m", vec![PromptMessage { role: Speaker::User, content: content.to_owned() }], "u")
    }

    #[test]
    fn a_message_is_shown_on_one_line_and_cut() {
        assert_eq!(excerpt(" a\n\tb\u{7}c ", "", None), "a b c");
        let long = excerpt(&"é".repeat(5000), "", None);
        assert_eq!(long.chars().count(), SHOWN + 1);
    }

    #[test]
    fn neither_key_nor_prompt_is_shown() {
        assert_eq!(excerpt("wrong key hunter22, go away", "hunter22", None), "wrong key [key] go away");
        assert_eq!(excerpt("Incorrect API key provided: sk-ab***yz.", "sk-abcxyz", None), "Incorrect API key provided: [key]");
        let request = asked("my secret plan\nis to plant potatoes");
        for quoting in ["input 'my secret plan is to plant potatoes' is bad", "at: plan is to plant p"] {
            assert_eq!(excerpt(quoting, "", Some(&request)), "its message quotes the prompt and is left out", "{quoting}");
        }
        assert_eq!(excerpt("pin 1234 is no", "", Some(&asked("pin 1234"))), "its message quotes the prompt and is left out");
        assert_eq!(excerpt("model not found", "", Some(&request)), "model not found");
        assert_eq!(excerpt("", "", Some(&asked(""))), "");
    }
}
