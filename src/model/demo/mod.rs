//! The offline model: needs no key, no network, no download, and says so.
//!
//! It is no language model and never passes for one. It knows a few things to say, remembers what its prompt holds, and gives the
//! same answer to the same prompt. Where it is offered tools it calls them for a few sentences, as any model would. It is there to
//! show the whole path, and to test it.

mod arithmetic;
mod summary;
mod tools;

use std::fmt::Write as _;

use async_trait::async_trait;

use crate::domain::ledger::Usage;
use crate::domain::step::ToolCall;
use crate::domain::text;

use super::{Completion, CompletionRequest, DeltaSink, Model, ModelError, PromptMessage, Speaker, estimate_tokens};

const WHAT_I_AM: &str = "I am Scrubjay's offline demo model, not a language model.";
const HOW_TO_GET_A_MODEL: &str =
    "For real answers, set OPENAI_API_KEY (or endpoints.openAI.base_url for a server of your own) and endpoints.default = \"openAI\".";
const WHAT_I_CAN: &str = "I can greet you, remember your name (\"my name is Ada\"), do sums (\"12 * (3 + 4)\"), tell the time, repeat \
    what you said (\"what did I say?\"), say something (\"say hello\") and tell a long story. With tools, try \"remember that my sister is \
    Ada\", \"what do you know about my sister\", \"add milk to my list\", \"what is on my list\", \"remind me in 2 minutes to stretch\".";

/// The offline model.
pub(super) struct Demo;

#[async_trait]
impl Model for Demo {
    async fn complete(&self, request: &CompletionRequest, sink: DeltaSink<'_>) -> Result<Completion, ModelError> {
        let (text, calls) = match next(request) {
            Next::Say(text) => (text, Vec::new()),
            Next::Call(call) => (String::new(), vec![call]),
        };
        text.split_inclusive(' ').for_each(sink);
        let prompt_tokens = request.estimated_tokens();
        let completion_tokens = estimate_tokens(&text) + calls.iter().map(|call| estimate_tokens(&call.arguments)).sum::<i64>();
        let usage = Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
        Ok(Completion { text, model: request.model.clone(), usage, cut_short: false, calls })
    }

    async fn check(&self) -> Result<String, ModelError> {
        Ok("the offline demo model is built in and always there".to_owned())
    }
}

/// What it does about a prompt.
enum Next {
    Say(String),
    Call(ToolCall),
}

fn next(request: &CompletionRequest) -> Next {
    let of =
        |speaker: Speaker| request.messages.iter().filter(move |message| message.role == speaker).map(|message| message.content.as_str());
    if let Some(step) = request.steps.last() {
        return Next::Say(introduced(tools::report(step), &request.messages));
    }
    let for_summary = of(Speaker::System).next().is_some_and(summary::is_asked_for);
    let text = of(Speaker::User).next_back().filter(|_text| !for_summary);
    match text.and_then(|text| tools::call_for(text, &request.tools)) {
        Some(Ok(call)) => Next::Call(call),
        Some(Err(refusal)) => Next::Say(introduced(refusal, &request.messages)),
        None => Next::Say(answer(&request.messages)),
    }
}

/// Whoever meets it for the first time is told at once what it is.
fn introduced(reply: String, prompt: &[PromptMessage]) -> String {
    let is_known = prompt.iter().any(|message| message.role == Speaker::Assistant);
    if is_known || reply.contains(WHAT_I_AM) { reply } else { format!("{reply} {WHAT_I_AM}") }
}

/// The answer to a prompt.
fn answer(prompt: &[PromptMessage]) -> String {
    let of = |speaker: Speaker| prompt.iter().filter(move |message| message.role == speaker).map(|message| message.content.as_str());
    let mut said: Vec<&str> = of(Speaker::User).collect();
    let Some(text) = said.pop() else {
        return format!("{WHAT_I_AM} {WHAT_I_CAN}");
    };
    let system = of(Speaker::System).next().unwrap_or_default();
    if summary::is_asked_for(system) {
        return summary::of(text);
    }
    introduced(reply(text, &said, system), prompt)
}

fn reply(text: &str, earlier: &[&str], system: &str) -> String {
    let plain = Plain::new(text);
    if text.contains("[attachment:") {
        return "Something came with your message. I know its name, and I cannot look at it.".to_owned();
    }
    if let Some(name) = name_in(text) {
        return format!("Nice to meet you, {name}. I will remember your name in this conversation.");
    }
    if plain.has(&["what is my name", "who am i", "do you know my name", "remember my name"]) {
        return match earlier.iter().rev().find_map(|text| name_in(text)).or_else(|| summary::shown(system).and_then(name_in)) {
            Some(name) => format!("Your name is {name}."),
            None => "You have not told me your name in this conversation. Say \"my name is …\" and I will remember it.".to_owned(),
        };
    }
    if let Some(sum) = arithmetic::answer(text) {
        return sum;
    }
    if let Some(rest) = ["say ", "echo "].iter().find_map(|word| strip_prefix_any_case(text.trim(), word)) {
        return rest.trim().to_owned();
    }
    if plain.has(&["what did i say", "what have i said", "what did i write", "summarize", "summarise", "summary", "recap", "repeat"]) {
        return recall(earlier);
    }
    if plain.has(&[
        "who are you",
        "what are you",
        "are you human",
        "are you a human",
        "are you a person",
        "are you a bot",
        "are you real",
        "are you an ai",
        "are you ai",
        "are you chatgpt",
        "which model",
        "what model",
    ]) {
        return format!("{WHAT_I_AM} {HOW_TO_GET_A_MODEL}");
    }
    if plain.has(&["story"]) {
        return story();
    }
    if plain.has(&["what time", "the time", "what day", "what date", "the date", "todays date", "what is today"])
        || plain.is(&["time", "date"])
    {
        return match moment_in(system) {
            Some(moment) => format!("It is {moment} where you are, as far as I was told."),
            None => "I was not told what time it is.".to_owned(),
        };
    }
    if plain.has(&["help", "what can you do", "what do you do", "what can i say", "what can i ask"]) {
        return format!("{WHAT_I_AM} {WHAT_I_CAN} {HOW_TO_GET_A_MODEL}");
    }
    if plain.has(&["how are you", "how do you do", "how is it going"]) {
        return "As well as a program can be, thank you. How are you?".to_owned();
    }
    if plain.has(&["thanks", "thank you", "thx"]) {
        return "You are welcome.".to_owned();
    }
    if plain.has(&["bye", "goodbye", "good night", "see you"]) {
        return "Goodbye. Text again whenever you like.".to_owned();
    }
    if plain.begins(&["hello", "hi", "hey", "good morning", "good afternoon", "good evening", "hallo", "hola", "bonjour"]) {
        let name = earlier.iter().rev().find_map(|text| name_in(text)).map(|name| format!(", {name}")).unwrap_or_default();
        return format!("Hello{name}! What can I do for you? Ask \"what can you do?\" to find out.");
    }
    if plain.0.trim().is_empty() {
        return "That has no words that I could answer.".to_owned();
    }
    let quoted = shortened(text, 80);
    format!("You wrote: \"{quoted}\". {WHAT_I_AM} I cannot think about that. {HOW_TO_GET_A_MODEL}")
}

/// A text brought to lower-case words with one blank before and after each.
struct Plain(String);

impl Plain {
    fn new(text: &str) -> Self {
        let mut plain = String::from(" ");
        let words = text.split(|c: char| !c.is_alphanumeric() && !matches!(c, '\'' | '’')).filter(|word| !word.is_empty());
        for word in words {
            let word = word.to_lowercase().replace('’', "'");
            // What contractions and hurried thumbs write.
            let word = match word.as_str() {
                "what's" | "whats" => "what is",
                "who's" | "whos" => "who is",
                "i'm" => "i am",
                "u" => "you",
                "r" => "are",
                other => &other.replace('\'', ""),
            };
            plain.push_str(word);
            plain.push(' ');
        }
        Self(plain)
    }

    /// Whether one of the phrases stands in it, as whole words.
    fn has(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.0.contains(&format!(" {phrase} ")))
    }

    /// Whether it begins with one of the phrases.
    fn begins(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.0.starts_with(&format!(" {phrase} ")))
    }

    /// Whether it is one of the phrases.
    fn is(&self, phrases: &[&str]) -> bool {
        phrases.contains(&self.0.trim())
    }
}

/// The name in "my name is Ada", as it was written.
fn name_in(text: &str) -> Option<String> {
    // Only ASCII letters change, so places in both are the same.
    let lower = text.to_ascii_lowercase();
    let after = ["my name is ", "my name's ", "my name’s ", "please call me ", "you can call me "]
        .iter()
        .find_map(|phrase| lower.find(phrase).map(|at| at + phrase.len()))?;
    let end = |c: char| !(c.is_alphabetic() || matches!(c, ' ' | '\'' | '’' | '-'));
    let name = text.get(after..)?.split(end).next()?;
    let name: Vec<&str> = name.split_whitespace().take_while(|word| !["and", "but", "so"].contains(word)).take(3).collect();
    let name: String = text::beginning(&name.join(" "), 40).to_owned();
    (!name.is_empty()).then_some(name)
}

fn strip_prefix_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    (start.eq_ignore_ascii_case(prefix) && !rest.trim().is_empty()).then_some(rest)
}

/// What the person said before, oldest first.
fn recall(earlier: &[&str]) -> String {
    if earlier.is_empty() {
        return "This is the first thing that you say in this conversation.".to_owned();
    }
    let skipped = earlier.len().saturating_sub(10);
    let mut text = String::from("You said:");
    for (index, said) in earlier.iter().enumerate().skip(skipped) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{}. {}", index + 1, shortened(said, 100));
    }
    text
}

/// One line of at most so many characters.
fn shortened(text: &str, characters: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text::shortened(&line, characters).into_owned()
}

/// The moment as our own system text writes it: from a weekday to the minutes.
fn moment_in(system: &str) -> Option<&str> {
    let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let start = days.iter().filter_map(|day| system.find(day)).min()?;
    let from = system.get(start..)?;
    let colon = from.find(':').filter(|colon| *colon < 60)?;
    from.get(..colon + 3).filter(|moment| moment.ends_with(|c: char| c.is_ascii_digit()))
}

/// Long enough that a phone has to ask for more of it.
fn story() -> String {
    const FINDS: [&str; 10] = [
        "a silver spoon",
        "a blue button",
        "a bicycle bell",
        "half a walnut",
        "a letter without a stamp",
        "a key that fitted nothing",
        "a marble",
        "a railway ticket",
        "an acorn",
        "the lid of a teapot",
    ];
    const FRIENDS: [&str; 7] =
        ["a squirrel", "the postman", "an old owl", "a boy with a kite", "the baker", "a tortoise", "a lighthouse keeper"];
    let mut text = String::from("Once there was a scrub jay who hid everything it found and never forgot where.");
    for (day, (find, friend)) in FINDS.iter().cycle().zip(FRIENDS.iter().cycle()).take(30).enumerate() {
        let _ = write!(text, " On day {} it found {find}, showed it to {friend}, and buried it under a stone of its own.", day + 1);
    }
    text.push_str(" When winter came, it knew all thirty stones by heart, and gave everything back. The end.");
    text
}

#[cfg(test)]
mod tests;
