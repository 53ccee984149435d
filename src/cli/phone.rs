//! `phone`: how a number is read, or why it is refused.

use std::process::ExitCode;

use serde::Serialize;

use super::output::{Output, complain};
use super::{DONE, FAILED, Misuse};
use crate::config::sections;
use crate::domain::phone::PhoneNumber;

/// Arguments of `phone`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The number, as somebody wrote it
    #[arg(value_name = "NUMBER", allow_hyphen_values = true)]
    number: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Answer {
    Number {
        #[serde(rename = "phoneNumber")]
        phone_number: String,
    },
    Refused {
        error: &'static str,
        reason: String,
    },
}

/// Reads the number under the settings of `phone`.
pub(crate) fn run(args: &Args, settings: &sections::Phone) -> anyhow::Result<ExitCode> {
    let answer = answer(&args.number, settings)?;
    args.output.print(&answer, |answer| match answer {
        Answer::Number { phone_number } => phone_number.clone(),
        Answer::Refused { reason, .. } => {
            // Whoever reads standard output into a variable gets a number or nothing.
            complain(&format!("refused: {reason}"));
            String::new()
        }
    })?;
    Ok(ExitCode::from(if matches!(answer, Answer::Number { .. }) { DONE } else { FAILED }))
}

fn answer(number: &str, settings: &sections::Phone) -> Result<Answer, Misuse> {
    let rules = settings.rules().map_err(|error| Misuse(format!("phone.default_region: {error}")))?;
    Ok(match PhoneNumber::parse(number, &rules) {
        Ok(number) => Answer::Number { phone_number: number.as_str().to_owned() },
        // The words with which the external message API refuses it.
        Err(reason) => Answer::Refused { error: "Valid phone number required", reason: reason.to_string() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sections::PhoneValidation;

    fn json(number: &str, default_region: &str) -> Option<String> {
        let settings = sections::Phone { default_region: default_region.into(), validation: PhoneValidation::E164 };
        answer(number, &settings).ok().map(|answer| serde_json::to_string(&answer).unwrap())
    }

    #[test]
    fn a_number_or_the_reason_of_its_refusal_is_printed() {
        assert_eq!(json("(555) 123-4567", "US").as_deref(), Some(r#"{"phoneNumber":"+15551234567"}"#));
        let refused = json("555-1234", "US").unwrap();
        assert!(refused.starts_with(r#"{"error":"Valid phone number required","reason":"7 digits"#), "{refused}");
        assert_eq!(json("555-1234", "Nowhere"), None);
    }
}
