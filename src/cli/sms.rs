//! `sms`: what would be sent for a text, and what it costs.

use std::fmt::Write as _;
use std::io::Read as _;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;

use super::DONE;
use super::output::Output;
use crate::config::sections;
use crate::domain::segment::{self, Count, Part};
use crate::service::compose::{self, Composed};

/// The longest text that is read, in bytes: more than anybody would send.
const LONGEST: u64 = 4 * 1024 * 1024;

/// Arguments of `sms`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The text; - reads it from standard input
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    text: String,
    /// Without transliteration, whatever sms.transliterate says
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    output: Output,
}

/// The text as one unsplit message, then as it would be sent.
#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    count: Count,
    /// What would be sent at once.
    parts: Vec<String>,
    /// What would wait for the word MORE.
    held: Vec<String>,
}

/// Measures the text under the settings of `sms`.
pub(crate) fn run(args: &Args, settings: &sections::Sms) -> anyhow::Result<ExitCode> {
    let text = if args.text == "-" { read_standard_input()? } else { args.text.clone() };
    let settings = sections::Sms { transliterate: settings.transliterate && !args.raw, ..settings.clone() };
    let answer = answer(&text, &settings);
    args.output.print(&answer, describe)?;
    Ok(ExitCode::from(DONE))
}

fn answer(text: &str, settings: &sections::Sms) -> Answer {
    // Markdown is left alone: this command measures exactly what it is given.
    let text = if settings.transliterate { segment::transliterate(text) } else { text.into() };
    let Composed { send, held } = compose::cut(&text, settings);
    let bodies = |parts: Vec<Part>| parts.into_iter().map(|part| part.body).collect();
    Answer { count: segment::count(&text), parts: bodies(send), held: bodies(held) }
}

fn describe(answer: &Answer) -> String {
    let Count { encoding, units, segments } = answer.count;
    let counted = |segments: usize| if segments == 1 { "1 segment".to_owned() } else { format!("{segments} segments") };
    let mut shown = format!("{}: {units} units, {}\n", encoding.as_str(), counted(segments));
    for (number, body) in (1..).zip(answer.parts.iter().chain(&answer.held)) {
        let when = if number > answer.parts.len() { ", held for MORE" } else { "" };
        let _infallible = write!(shown, "\n--- message {number}, {}{when}\n{body}\n", counted(segment::count(body).segments));
    }
    shown
}

fn read_standard_input() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().lock().take(LONGEST + 1).read_to_string(&mut text).context("standard input is not text in UTF-8")?;
    anyhow::ensure!(text.len() as u64 <= LONGEST, "the text is longer than {LONGEST} bytes");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settings(transliterate: bool) -> sections::Sms {
        let text = String::new;
        sections::Sms { segments_per_message: 1, max_messages: 2, transliterate, help_text: text(), stop_text: text(), start_text: text() }
    }

    fn printed(text: &str, transliterate: bool) -> Value {
        serde_json::to_value(answer(text, &settings(transliterate))).unwrap()
    }

    #[test]
    fn a_text_is_counted_as_one_message_and_shown_as_it_would_be_sent() {
        assert_eq!(printed("“hi”", true), json!({"encoding": "GSM-7", "units": 4, "segments": 1, "parts": ["\"hi\""], "held": []}));
        assert_eq!(printed("“hi”", false), json!({"encoding": "UCS-2", "units": 4, "segments": 1, "parts": ["“hi”"], "held": []}));
        assert_eq!(printed("", true), json!({"encoding": "GSM-7", "units": 0, "segments": 0, "parts": [], "held": []}));
        assert_eq!(printed("**a** \\ _b_", false)["parts"][0], "**a** \\ _b_");
        let long = printed(&"word ".repeat(100), true);
        assert_eq!((long["units"].as_u64(), long["segments"].as_u64()), (Some(500), Some(4)));
        assert_eq!((long["parts"].as_array().unwrap().len(), long["held"].as_array().unwrap().len()), (2, 2));
    }

    #[test]
    fn a_text_may_begin_with_a_hyphen_and_flags_stand_on_either_side() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        for (line, text, raw) in [
            (&["sms", "--raw", "- one"][..], "- one", true),
            (&["sms", "-5 degrees", "--raw"], "-5 degrees", true),
            (&["sms", "-", "--json"], "-", false),
            (&["sms", ""], "", false),
        ] {
            let args = <Line as clap::Parser>::try_parse_from(line).unwrap().args;
            assert_eq!((args.text.as_str(), args.raw), (text, raw), "{line:?}");
        }
    }

    #[test]
    fn people_are_shown_each_message() {
        let shown = describe(&answer(&"word ".repeat(100), &settings(true)));
        assert!(shown.starts_with("GSM-7: 500 units, 4 segments\n\n--- message 1, 1 segment\nword"), "{shown}");
        assert!(shown.contains("--- message 3, 1 segment, held for MORE\n"), "{shown}");
    }
}
